"""`make check`: the whole of params.yaml, inactive presets too, without torch."""

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.paths import ROOT
from minnow.core import params
from minnow.errors import MinnowError
from minnow.stages import validate
from minnow.tools import check


def written(root: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    document = copy.deepcopy(dict(params.read_params(ROOT / "params.yaml")))
    change(document)
    (root / "params.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    return root


def test_a_valid_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check.main(written(tmp_path, lambda document: document.update(preset="file")))
    assert (
        capsys.readouterr().out
        == "params.yaml is valid: preset file; presets embedded, hub, file\n"
    )


def nested(document: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        document = document[part]
    document[last] = value


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("distil", {}, "distil is unknown; allowed: .*did you mean 'distill'"),
        ("preset", "embeded", "preset is 'embeded'; .*did you mean 'embedded'"),
        ("distill.temprature", 1.0, "distill.temprature is unknown; .*did you mean 'temperature'"),
        ("compare.model", "quantised", "did you mean 'quantized'"),
        ("presets.hub.techer", {}, "presets.hub.techer is unknown; .*did you mean 'teacher'"),
        (
            "presets.hub.teacher.method",
            "haed",
            "presets.hub.teacher.method is 'haed'.*did you mean 'head'",
        ),
        (
            "presets.file.student.training.epoch",
            2,
            "presets.file.student.training.epoch is unknown; .*'epochs'",
        ),
        (
            "presets.mine",
            {"data": None},
            "presets.mine.data is null: must be a block.*presets.mine.teacher is missing",
        ),
        ("presets.mine", 3, "presets.mine.data is missing"),
    ],
)
def test_each_mistake_is_found_in_every_preset(
    tmp_path: Path, key: str, value: Any, said: str
) -> None:
    with pytest.raises(MinnowError, match=said) as caught:
        check.main(written(tmp_path, lambda document: nested(document, key, value)))
    assert str(caught.value).startswith("params.yaml: ")
    assert str(caught.value).count("params.yaml") == 1
    assert "\n" not in str(caught.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        del document["compare"]
        document["presets"]["hub"]["runtime"]["threads"] = 0
        document["quantize"]["scheme"] = "nf5"

    with pytest.raises(MinnowError) as caught:
        check.main(written(tmp_path, change))
    text = str(caught.value)
    assert all(
        each in text
        for each in ("compare is missing", "presets.hub.runtime.threads is 0", "did you mean 'nf4'")
    )


def test_every_section_of_the_file_is_read_by_a_stage() -> None:
    document = params.read_params(ROOT / "params.yaml")
    tops = {place.split(".")[0] for place, _ in validate.declared()}
    assert set(document) == tops | {"preset"}


def test_the_command_validates_the_projects_file_without_torch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')")
    done = subprocess.run(
        [sys.executable, str(ROOT / "src" / "stage.py"), "check"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("params.yaml is valid: preset ")
