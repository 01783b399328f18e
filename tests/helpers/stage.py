"""A project in a temporary folder, `python src/stage.py STAGE` run on it, and what a refusal must
look like.
"""

import hashlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from helpers.paths import ROOT
from minnow.core.plain_yaml import as_yaml
from minnow.layout import JUDGED

TRAINING = {
    "epochs": 1,
    "batch_size": 64,
    "learning_rate": 1.0e-3,
    "warmup": 0.1,
    "weight_decay": 0.01,
    "class_weight": None,
    "label_smoothing": 0.0,
    "accumulate": 1,
    "patience": None,
}
TINY = {
    "data.rows": 400,
    "runtime.threads": 1,
    "runtime.kernels": "native",
    "teacher.build.layers": 2,
    "teacher.build.heads": 2,
    "teacher.build.hidden_size": 64,
    "teacher.build.intermediate_size": 64,
    "teacher.vocabulary": 300,
    "teacher.max_length": 16,
    "teacher.training": TRAINING,
    "student.layers": 1,
    "student.max_length": 16,
    "student.training": TRAINING,
}
FILE = "data/raw/file/urls.csv"
# Every stage with its argument, in an order that the pipeline allows.
COMMANDS = (
    *(
        "prepare",
        "teacher",
        "teacher_logits",
        "teacher_states",
        "teacher_unlabelled",
        "teacher_eval",
        "baseline",
    ),
    *("distill", "sensitivity", "quantize", "recover"),
    *(f"predict {model}" for model in ("student", "quantized")),
    *("export", "predict_exported"),
    *(f"predict_extra {model}" for model in JUDGED),
    *("evaluate", "report", "package", "compare"),
)


def entry_point() -> ModuleType:
    """Return src/stage.py as a module."""
    spec = importlib.util.spec_from_file_location("stage", ROOT / "src" / "stage.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def edit(root: Path, changes: dict[str, Any], preset: str = "") -> None:
    """Set params by dotted key, below the preset if one is given; a new key is an unknown one."""
    path = root / "params.yaml"
    document = yaml.safe_load(path.read_text())
    for key, value in changes.items():
        *parents, last = (["presets", preset] if preset else []) + key.split(".")
        block = document
        for parent in parents:
            block = block[parent]
        block[last] = value
    path.write_text(as_yaml(document))


def new_project(root: Path, preset: str = "embedded") -> Path:
    """Lay out a project with the shipped params, made tiny, and another preset if one is named."""
    for kind in ("raw", "base"):
        (root / "data" / kind / preset).mkdir(parents=True)
    (root / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    edit(root, TINY, "embedded")
    # A student of one epoch tells rows apart by less than bfloat16 rounds: no gate lets it pass.
    edit(root, {"preset": preset, "export.mode": "none"})
    return root


def tree(root: Path) -> dict[str, str]:
    """Return every folder and file below a project with its digest: what a refusal must leave as it
    was.
    """
    return {
        path.relative_to(root).as_posix(): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        )
        for path in sorted(root.rglob("*"))
        if not {"src", ".minnow"} & set(path.relative_to(root).parts)
    }


def complaint(stage: str, code: int, stderr: str) -> str:
    """Return the one line that a refused stage printed, after its name; warnings may stand before
    it.
    """
    assert code not in (0, None)
    assert "Traceback" not in stderr, stderr
    lines = [line for line in stderr.splitlines() if not line.startswith("minnow: ")]
    assert len(lines) == 1, stderr
    assert lines[0].startswith(f"minnow {stage}: "), stderr
    assert len(lines[0]) < 1000, stderr
    return lines[0].removeprefix(f"minnow {stage}: ")


def warned(stderr: str) -> list[str]:
    """Return the warnings that a stage printed, but for what a training of a few rows gets: it
    finds no phishing.
    """
    lines = [line for line in stderr.splitlines() if line.startswith("minnow: warning: ")]
    return [line for line in lines if "F1 on validation is 0 in every epoch" not in line]


def refused(
    root: Path, run: Callable[[Path, str], tuple[int, str]], command: str, *words: str
) -> str:
    """Run a command that must fail in one line with these words and leave the project alone."""
    before = tree(root)
    code, stderr = run(root, command)
    name, entry = (command.split() or [""])[0], entry_point()
    line = complaint(
        name if name in entry.names("stages") + entry.names("tools") else "stage.py", code, stderr
    )
    assert [word for word in words if word not in line] == [], line
    assert tree(root) == before
    return line


def in_process_of_its_own(root: Path, command: str, **environment: str) -> tuple[int, str]:
    """Run a copied project's own src/stage.py."""
    done = subprocess.run(
        [sys.executable, "src/stage.py", *command.split()],
        cwd=root,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stderr
