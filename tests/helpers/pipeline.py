"""Temporary repositories in which `dvc repro` runs on tiny models."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from helpers.paths import ROOT

BIN = Path(sys.executable).parent
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    "OMP_WAIT_POLICY": "PASSIVE",
    "HF_HUB_OFFLINE": "1",
    "DVC_NO_ANALYTICS": "1",
    "GIT_AUTHOR_NAME": "test",
    "GIT_AUTHOR_EMAIL": "test@localhost",
    "GIT_COMMITTER_NAME": "test",
    "GIT_COMMITTER_EMAIL": "test@localhost",
}
MODELS = ("teacher", "student", "quantized")
JUDGED = ("baseline", *MODELS)
# What follows when a student changes. Nothing is exported here, so `export` writes the same note
# again, and `predict_exported` has nothing new to read.
AFTER_RECOVER = {
    "export",
    "predict@quantized",
    "predict_extra@quantized",
    "evaluate",
    "report",
    "package",
    "compare",
}
AFTER_QUANTIZE = AFTER_RECOVER | {"recover"}
BESIDE = {"teacher_eval", "teacher_states", "teacher_unlabelled", "baseline", "predict_exported"}
AFTER_DISTILL = AFTER_QUANTIZE | {
    "sensitivity",
    "quantize",
    "predict@student",
    "predict_extra@student",
}
# What runs again with any change of params.yaml or of nearly anything, and then writes the same.
IDLE = ("validate", "control@no_teacher", "control@random_split")
NEW_URLS = [f"shop{number}.example-{number}.org/cart/{number}" for number in range(40)]
TRAINING = {
    "epochs": 2,
    "batch_size": 32,
    "learning_rate": 2.0e-3,
    "warmup": 0.1,
    "weight_decay": 0.01,
    "class_weight": None,
    "label_smoothing": 0.0,
    "accumulate": 1,
    "patience": None,
}


def run(folder: Path, *command: str, fails: bool = False) -> str:
    """Run a command and return what it printed; it must end as expected."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=500,
    )
    assert (done.returncode != 0) == fails, done.stdout[-4000:]
    return done.stdout


def edit(folder: Path, **changes: object) -> None:
    """Set params by dotted key, with `__` for the dots."""
    path = folder / "params.yaml"
    document = yaml.safe_load(path.read_text())
    for key, value in changes.items():
        *parents, last = key.split("__")
        block = document
        for parent in parents:
            block = block[parent]
        assert last in block, key
        block[last] = value
    path.write_text(yaml.safe_dump(document, sort_keys=False))


def stages_run(output: str, *idle: str) -> list[str]:
    """Return the stages that ran; of IDLE, which do nothing by default, those named alone."""
    order = re.findall(r"Running stage '([^']+)'", output)
    return [stage for stage in order if stage not in IDLE or stage in idle]


def metrics(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every small result."""
    files = sorted((folder / "metrics").rglob("*.*"))
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def checkout(folder: Path) -> Path:
    """Copy the working tree, as git would commit it, into a repository of its own, with the models
    made tiny.
    """
    listed = run(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and not name.startswith("metrics/") and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    shape = {"layers": 2, "heads": 2, "hidden_size": 64, "intermediate_size": 128, "dropout": 0.1}
    embedded = "presets__embedded__"
    swept: dict[str, object] = {
        "preset": "embedded",
        "distill__temperature": 2.0,
        "distill__soft_weight": 0.5,
        "distill__seed": 0,
        "teacher_states__layers": None,
        "teacher_unlabelled": {"file": None, "copies": 0, "seed": 0},
        "quantize__scheme": "nf4",
        "quantize__double_quantization": True,
        "quantize__embeddings": "none",
        "quantize__budget_mb": None,
        "recover__training__epochs": 0,
        "evaluate__threshold__fpr": None,
        "extra": {},
        "controls": [],
        "compare__model": "student",
        # A student of two epochs may tell rows apart by less than bfloat16 rounds.
        "export__mode": "none",
    }
    edit(
        folder,
        **swept,
        **{
            f"{embedded}data__rows": 2000,
            f"{embedded}runtime__threads": 1,
            f"{embedded}teacher__build": {"architecture": "bert", **shape},
            f"{embedded}teacher__vocabulary": 400,
            f"{embedded}teacher__max_length": 48,
            f"{embedded}teacher__training": TRAINING,
            f"{embedded}student__layers": 1,
            f"{embedded}student__max_length": 48,
            f"{embedded}student__training": TRAINING,
        },
    )
    run(folder, "git", "init", "--quiet", "--initial-branch", "main")
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", "start")
    return folder


def build(folder: Path) -> Path:
    """Return a repository in this folder in which `dvc repro` has run once and its results are
    committed.
    """
    checkout(folder)
    output = run(folder, "dvc", "repro")
    order = stages_run(output)
    chain = [
        "prepare",
        "teacher",
        "teacher_logits",
        "distill",
        "sensitivity",
        "quantize",
        "recover",
    ]
    chain += ["predict@quantized", "evaluate", "report"]
    assert [stage for stage in order if stage in chain] == chain
    extra = {f"predict_extra@{model}" for model in JUDGED}
    assert set(order) == {*chain, *AFTER_DISTILL, *extra, *BESIDE}
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", "results")
    return folder
