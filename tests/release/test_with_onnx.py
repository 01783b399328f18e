"""The code that runs model.onnx without Minnow: it prints what Minnow answers."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.onnx import SETTINGS, summing_model, tiny_release
from minnow.release import loading
from minnow.serve.onnx import load_onnx
from minnow.serve.settings import Fitted

ASKED = ["http://example.org/", "login.example.com/verify?account=1"]


@pytest.mark.parametrize("quantized", [False, True])
def test_it_prints_what_minnow_answers(
    tmp_path: Path, quantized: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    settings = replace(SETTINGS, onnx=Fitted(0.5, 1.0) if quantized else None)
    model = summing_model(quantized=quantized)
    folder = tiny_release(tmp_path / "release", model, settings=settings)
    done = subprocess.run(
        [sys.executable, "-I", "-c", loading.with_onnx()],
        cwd=folder,
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    probabilities, labels = load_onnx(folder).predict(ASKED)
    assert done.stdout.splitlines() == [
        f"{label} {probability:.4f} {url}"
        for url, probability, label in zip(ASKED, probabilities, labels, strict=True)
    ]


def test_it_is_twenty_lines_of_code_and_the_cleaning() -> None:
    code = [line for line in loading.ONNX_CALLS.splitlines() if line.strip()]
    assert len(code) <= 20
    assert not re.search(r"\b(torch|transformers|minnow)\b", loading.ONNX_IMPORTS)
    assert loading.cleaning_source() in loading.with_onnx()
