"""minnow.json: it survives, what is broken is named, and reading it needs nothing heavy."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.paths import SRC
from helpers.release import SETTINGS
from minnow.errors import MinnowError
from minnow.serve import settings

HEAVY = ("torch", "transformers", "polars", "pydantic", "numpy", "huggingface_hub", "yaml")


def test_serving_needs_the_standard_library_alone(tmp_path: Path) -> None:
    """A None in sys.modules makes an import of it fail."""
    code = f"""
import sys
for name in {HEAVY}:
    sys.modules[name] = None
sys.path.insert(0, {str(SRC)!r})
import minnow
from minnow.serve import settings
from minnow.errors import MinnowError
try:
    settings.read_settings(__import__("pathlib").Path({str(tmp_path)!r}))
except MinnowError as error:
    assert "is no release" in str(error)
loaded = {{name for name in sys.modules if name.startswith("minnow.")}}
folders = {{name.split(".")[1] for name in loaded}}
assert folders == {{"serve", "core", "text", "errors", "layout", "remedies"}}, folders
assert {{name for name in loaded if name.count(".") > 1}} == {{
    *("minnow.serve.settings", "minnow.core.files", "minnow.text.cleaning"),
    *("minnow.core.strict_json", "minnow.core.supplied"),
}}, loaded
"""
    subprocess.run([sys.executable, "-I", "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("content", ["[]", "{}", '{"labels": ["one"]}', '{"labels": 3}'])
def test_a_broken_minnow_json_is_named(tmp_path: Path, content: str) -> None:
    with pytest.raises(MinnowError, match="is no release"):
        settings.read_settings(tmp_path)
    (tmp_path / "minnow.json").write_text(content)
    with pytest.raises(MinnowError, match=r"minnow\.json is broken"):
        settings.read_settings(tmp_path)


@pytest.mark.parametrize(
    "block",
    [
        "null",
        "[]",
        "{}",
        '{"temperature": 1, "decision": null}',
        '{"temperature": "1", "decision": {"threshold": 0}}',
        '{"temperature": 1, "decision": {"threshold": "0"}}',
        '{"temperature": true, "decision": {"threshold": 0}}',
        '{"temperature": 1, "decision": {"threshold": NaN}}',
        '{"temperature": 1e999, "decision": {"threshold": 0}}',
        f'{{"temperature": {"9" * 400}, "decision": {{"threshold": 0}}}}',
        f'{{"temperature": {"9" * 5000}, "decision": {{"threshold": 0}}}}',
        '{"temperature": 1, "decision": {"threshold": 0}, "temperature": 2}',
    ],
    ids=range(12),
)
def test_a_broken_block_of_model_onnx_is_named(tmp_path: Path, block: str) -> None:
    whole = json.dumps(SETTINGS.as_json())
    (tmp_path / "minnow.json").write_text(f'{whole[:-1]}, "onnx": {block}}}')
    with pytest.raises(MinnowError, match=r"minnow\.json is broken"):
        settings.read_settings(tmp_path)


def test_settings_survive_json() -> None:
    other = replace(SETTINGS, move_scheme=False, synthetic=True, threshold=-3.0)
    for given in (SETTINGS, other, replace(other, onnx=settings.Fitted(0.5, 2.0))):
        assert settings.Settings.from_json(given.as_json()) == given


def test_model_onnx_answers_by_its_own_numbers_where_it_has_any() -> None:
    assert "onnx" not in SETTINGS.as_json()
    assert SETTINGS.of_onnx() == SETTINGS
    both = replace(SETTINGS, onnx=settings.Fitted(0.5, 2.0))
    assert both.as_json()["onnx"] == {
        "temperature": 0.5,
        "decision": {"threshold": 2.0, "probability": round(1 / (1 + math.exp(-4)), 4)},
    }
    assert (both.temperature, both.threshold) == (SETTINGS.temperature, SETTINGS.threshold)
    assert both.of_onnx() == replace(SETTINGS, temperature=0.5, threshold=2.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 0},
        {"temperature": -1.0},
        {"temperature": math.inf},
        {"decision": {"threshold": math.nan}},
        {"onnx": {"temperature": 0, "decision": {"threshold": 0.0}}},
    ],
)
def test_settings_that_give_no_probability_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match="temperature must lie above 0 and the threshold must be finite"
    ):
        settings.Settings.from_json(SETTINGS.as_json() | wrong)


def test_probability_and_label_follow_the_margin() -> None:
    """sigmoid(2.5 / 1.25) = 1 / (1 + e⁻²) = 0.880797; the threshold itself is safe, as in the
    metrics.
    """
    assert SETTINGS.probability(2.5) == pytest.approx(0.8807970779778823, abs=1e-15)
    assert SETTINGS.probability(0.0) == 0.5
    assert (SETTINGS.probability(-1e6), SETTINGS.probability(1e6)) == (0.0, 1.0)
    assert [SETTINGS.label(margin) for margin in (0.5, 0.5001, -9.0)] == [
        "safe",
        "phishing",
        "safe",
    ]
