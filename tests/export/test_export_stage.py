"""The stage on a tiny project: what it writes, twice the same, and when it refuses."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from transformers import PreTrainedTokenizerBase

from conftest import TEXTS
from helpers.quantized import quantized_folder, student
from helpers.stage import complaint, edit, new_project, tree
from minnow.core.exports import judged_models
from minnow.core.files import check_manifest, read_json
from minnow.core.runtime import Runtime
from minnow.core.tables import read_logits, read_table, write_logits, write_table
from minnow.data.extra import ExtraSet
from minnow.data.reports import ExtraReport
from minnow.export.odd_texts import WRITTEN, odd_texts
from minnow.export.tokenizing import cutting_tokenizer
from minnow.layout import EVERY_MODEL, JUDGED, Layout
from minnow.models.batching import encode
from minnow.models.folders import load_tokenizer
from minnow.models.inference import store_logits
from minnow.serve.onnx import read_onnx
from minnow.serve.tokens import read_tokenizer, token_rows
from minnow.stages import predict_exported

Run = Callable[[Path, str], tuple[int, str]]
ROWS = 60
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def finished(tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project up to the logits of its quantized model. Not to be changed: `project` is a copy."""
    root = new_project(tmp_path_factory.mktemp("project"))
    layout = Layout(root)
    edit(root, {"export.mode": "exact"})
    torch.manual_seed(0)
    source = student("distilbert", tokenizer, root / "models" / "student")
    quantized_folder(source, layout.model("quantized"))
    texts = [f"{TEXTS[row % 4]}/{row}" for row in range(ROWS)]
    table = pl.DataFrame(
        {"id": [f"row{row}" for row in range(ROWS)], "text": texts, "label": [0, 1] * (ROWS // 2)}
    )
    write_table(layout.split("validation"), table)
    run = Runtime(CPU, torch.float32)
    folder = layout.logits("quantized")
    store_logits(layout.model("quantized"), folder, {"validation": table, "test": table}, run)
    return root


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def refusal(project: Path, run: Run) -> str:
    before = tree(project)
    code, stderr = run(project, "export")
    line = complaint("export", code, stderr)
    assert tree(project) == before
    return line


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_the_folder_runs_without_torch_and_is_the_same_bytes_twice(
    project: Path, run: Run, mode: str
) -> None:
    edit(project, {"export.mode": mode})
    layout = Layout(project)
    made = []
    for _ in range(2):
        assert run(project, "export") == (0, "")
        made.append(tree(layout.model("exported")) | tree(layout.metrics_folder))
    assert made[0] == made[1]
    folder = layout.model("exported")
    check_manifest(folder)
    names = {file.name for file in folder.iterdir()}
    assert names == {"model.onnx", "tokenizer.json", "export.json", "manifest.json"}
    facts = read_json(folder / "export.json")
    assert facts["labels"] == ["safe", "phishing"]
    assert (facts["mode"], facts["max_length"], facts["form"]) == (mode, 32, 1)
    assert answers_apart(layout) < 0.2


def answers_apart(layout: Layout) -> float:
    """Return how far the folder's own logits are from the stored ones: bfloat16's rounding."""
    folder, ids = layout.model("exported"), [f"row{row}" for row in range(ROWS)]
    texts = [f"{TEXTS[row % 4]}/{row}" for row in range(ROWS)]
    logits = read_onnx(folder, 32, keep=False).logits(texts)
    stored = read_logits(layout.logits_of("quantized", "validation"), ids)
    return float(np.abs(logits - stored).max())


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_first_and_later_loads_answer_alike_to_the_bit(
    project: Path, run: Run, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    edit(project, {"export.mode": mode})
    assert run(project, "export") == (0, "")
    assert not (tmp_path / "cache").exists()  # a stage leaves nothing in the user's cache
    folder = Layout(project).model("exported")
    first, later, without = (read_onnx(folder, 32, keep=keep) for keep in (True, True, False))
    assert len(list((tmp_path / "cache").rglob("*.onnx"))) == 1
    assert first.alone is (mode == "fast")
    logits = first.logits(TEXTS)
    assert np.array_equal(logits, later.logits(TEXTS))
    assert np.array_equal(logits, without.logits(TEXTS))


def test_the_manifest_counts_what_the_quantized_models_does(project: Path, run: Run) -> None:
    assert run(project, "export") == (0, "")
    exported, quantized = (
        read_json(Layout(project).manifest(n)) for n in ("exported", "quantized")
    )
    assert exported["parameters"] == quantized["parameters"]
    assert exported["formats"] == quantized["formats"]
    parts = exported["bytes_by_part"]
    assert sum(parts.values()) == sum(fact["bytes"] for fact in exported["files"].values())
    assert min(parts.values()) > 0
    for part in ("embeddings", "head"):  # packed there as here
        assert parts[part] == quantized["bytes_by_part"][part]
    assert parts["body"] < quantized["bytes_by_part"]["body"]


def test_the_gates_numbers_are_written(project: Path, run: Run) -> None:
    assert run(project, "export") == (0, "")
    written = read_json(Layout(project).metrics("export"))
    assert written["mode"] == "exact"
    found = written["checks"]
    assert found["tokens"] == {"found": 0.0, "limit": 0.0}
    assert 0 <= found["logit_error"]["found"] < found["logit_error"]["limit"] == 1e-5
    assert found["flips"]["limit"] == 1


def test_none_exports_nothing_and_says_so(project: Path, run: Run) -> None:
    edit(project, {"export.mode": "none"})
    assert run(project, "export") == (0, "")
    folder = Layout(project).model("exported")
    assert {file.name for file in folder.iterdir()} == {"export.json", "manifest.json"}
    assert read_json(folder / "export.json") == {"form": 1, "mode": "none"}
    assert read_json(Layout(project).metrics("export")) == {"checks": {}, "mode": "none"}
    check_manifest(folder)


def test_the_exported_models_logits_are_those_of_the_code_that_ships(
    project: Path, run: Run
) -> None:
    """Of both splits, in any order and company of rows."""
    layout = Layout(project)
    table = read_table(layout.split("validation"))
    write_table(layout.split("test"), table.reverse().head(7))
    assert run(project, "export") == (0, "")
    assert run(project, "predict_exported") == (0, "")
    assert judged_models(layout) == EVERY_MODEL
    model = read_onnx(layout.model("exported"), 32, keep=False)
    expected = np.concatenate([model.logits([text]) for text in table["text"]])
    ids = table["id"].to_list()
    validation = read_logits(layout.logits_of("exported", "validation"), ids)
    test = read_logits(layout.logits_of("exported", "test"), ids[:-8:-1])
    assert np.array_equal(validation, expected)
    assert np.array_equal(test, expected[:-8:-1])
    assert read_json(layout.extra_report("exported")) == {}


def test_a_further_test_set_gets_the_exported_models_logits_with_labels(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(project)
    rows = read_table(layout.split("validation")).reverse().head(9)
    rows = rows.with_columns(domain=pl.lit("example.org"))
    report = ExtraReport("feed.csv", 9, {"safe": 4, "phishing": 5}, 0, {}, 0.0)
    monkeypatch.setattr(predict_exported, "load_sets", lambda *_: {"feed": ExtraSet(rows, report)})
    edit(project, {"extra": {"feed": "data/raw/embedded/feed.csv"}})
    write_table(layout.split("test"), read_table(layout.split("validation")))
    assert run(project, "export") == (0, "")
    assert run(project, "predict_exported") == (0, "")
    found = read_table(layout.extra_set("exported", "feed"))
    assert found.select("id", "label").equals(rows.select("id", "label"))
    model = read_onnx(layout.model("exported"), 32, keep=False)
    expected = np.concatenate([model.logits([text]) for text in rows["text"]])
    assert np.array_equal(found.select("logit_0", "logit_1").to_numpy(), expected)
    assert read_json(layout.extra_report("exported"))["feed"] == report.as_json()


def test_without_an_export_notes_stand_in_place_of_logits(project: Path, run: Run) -> None:
    edit(project, {"export.mode": "none"})
    layout = Layout(project)
    assert run(project, "export") == (0, "")
    assert run(project, "predict_exported") == (0, "")
    for folder in (layout.logits("exported"), layout.extra("exported")):
        assert [file.name for file in folder.iterdir()] == ["none.json"]
    assert judged_models(layout) == JUDGED


def test_a_damaged_folder_gives_no_logits(project: Path, run: Run) -> None:
    layout = Layout(project)
    assert run(project, "export") == (0, "")
    write_table(layout.split("test"), read_table(layout.split("validation")))
    (layout.model("exported") / "tokenizer.json").write_text("{}")
    code, stderr = run(project, "predict_exported")
    assert "tokenizer.json" in complaint("predict_exported", code, stderr)
    assert not layout.logits("exported").exists()


def test_logits_of_another_model_close_the_gate_and_name_rows(project: Path, run: Run) -> None:
    path = Layout(project).logits_of("quantized", "validation")
    ids = [f"row{row}" for row in range(ROWS)]
    logits = read_logits(path, ids)
    logits[7] = [9, -9] if logits[7, 1] > logits[7, 0] else [-9, 9]
    write_logits(path, ids, logits)
    line = refusal(project, run)
    assert "row7" in line
    assert "export.mode" in line


def test_texts_that_were_not_cleaned_close_the_gate(project: Path, run: Run) -> None:
    edit(project, {"data.move_scheme": False}, "embedded")
    assert run(project, "export") == (0, "")
    path = Layout(project).split("validation")
    table = pl.DataFrame(
        {
            "id": [f"row{row}" for row in range(ROWS)],
            "text": [f" {TEXTS[row % 4]}/{row}" for row in range(ROWS)],
            "label": [0, 1] * (ROWS // 2),
        }
    )
    write_table(path, table)
    assert "cleaned otherwise: 60" in refusal(project, run)


def damage(project: Path) -> None:
    weights = Layout(project).model("quantized") / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)


def lose_the_tokenizer(project: Path) -> None:
    (Layout(project).model("quantized") / "tokenizer.json").unlink()


def lose_logits(project: Path) -> None:
    Layout(project).logits_of("quantized", "validation").unlink()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (damage, "model.safetensors"),
        (lose_the_tokenizer, "tokenizer.json"),
        (lose_logits, "logits"),
    ],
)
def test_damaged_inputs_are_named_and_nothing_is_written(
    project: Path, run: Run, change: Callable[[Path], None], words: str
) -> None:
    change(project)
    assert words in refusal(project, run)


@pytest.mark.parametrize("mode", ["quick", None, 1])
def test_a_mode_that_there_is_not_is_refused(project: Path, run: Run, mode: Any) -> None:
    edit(project, {"export.mode": mode})
    assert "export.mode" in refusal(project, run)


def test_odd_texts_are_always_the_same_and_tokenized_alike(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    texts = list(odd_texts(300))
    assert texts == list(odd_texts(300))
    assert len(texts) == len(WRITTEN) + 300
    tokenizer.save_pretrained(tmp_path)
    shipped, length = cutting_tokenizer(tmp_path)
    encoded = encode(load_tokenizer(tmp_path), texts)
    expected = [row.tolist() for row in encoded.ids.split(encoded.lengths.tolist())]
    (tmp_path / "tokenizer.json").write_text(shipped, encoding="utf-8")
    assert token_rows(read_tokenizer(tmp_path, length), texts) == expected
    assert max(map(len, expected)) == length == 32
