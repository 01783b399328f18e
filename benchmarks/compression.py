"""How small a student can get on real URLs, and by which way: losses, shapes, and the rungs of
quantization.

    python benchmarks/compression.py psu screen      # every loss on 10,000 rows, one seed, judged
    by validation alone python benchmarks/compression.py psu losses      # the best of them on all
    rows, three seeds, judged on test as well python benchmarks/compression.py psu ladder      #
    float, 4 bits, small vocabulary, packed embeddings, recovery python benchmarks/compression.py
    psu recoveries  # the last rung again, for three seeds python benchmarks/compression.py psu
    shapes      # size against F1 over students' shapes

Also `hannousse`. Teacher, splits and baseline are those of the clone that benchmarks/real_data.py
made (`--clone`, by default /tmp/minnow_real/NAME): one teacher for everything. Its logits are
computed once, by today's code.

Each run calls the pipeline's own stages in a checkout of its own below `--work`, with the committed
params.yaml and the changes that stand here, and is written to docs/results/NAME_WHAT.json as it
finishes, with the commit of its code. What has finished there is not run again: take another folder
for that.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT / "src"), str(PROJECT / "benchmarks")]

import numpy as np  # noqa: E402
import yaml  # noqa: E402

from minnow.controls.scratch import with_changes  # noqa: E402
from minnow.core import params, runtime, selection  # noqa: E402
from minnow.core.files import read_json, replacing, write_json  # noqa: E402
from minnow.core.params import RuntimeParams  # noqa: E402
from minnow.core.tables import read_table, write_table  # noqa: E402
from minnow.evaluation import inputs  # noqa: E402
from minnow.experiments import sweep_charts  # noqa: E402
from minnow.experiments.sweeps import Point  # noqa: E402
from minnow.layout import JUDGED, Layout  # noqa: E402
from minnow.models import inference  # noqa: E402
from minnow.stages import (  # noqa: E402
    distill,
    evaluate,
    predict,
    predict_extra,
    quantize,
    recover,
    teacher_logits,
    teacher_unlabelled,
)
from minnow.stages.teacher_unlabelled import TeacherUnlabelledParams  # noqa: E402
from real_data import (  # noqa: E402
    CASES,
    EXACT,
    EXACT_FILE,
    RAW,
    THREADS,
    curve,
    machine,
    overrides,
)

Changes = Mapping[str, Any]
# URLs of the other data set, without their labels.
OTHERS, OTHER_ROWS = "others.txt", 13_000
# The same in every run of a case.
REFERENCES = ("baseline", "teacher")
SEEDS = (0, 1, 2)
HEAD_WIDTH = 32  # of MiniLM
# A screen ranks; it need not train to the end.
SCREENED_ROWS, SCREENED_EPOCHS = 10_000, 3
STUDENT = "presets.file.student"
SMALL_VOCABULARY = {f"{STUDENT}.vocabulary": {"method": "train", "min_count": None, "size": 4096}}
# A new vocabulary takes longer to learn than the layers that were copied.
LONGER = {f"{STUDENT}.training.epochs": 4, f"{STUDENT}.training.learning_rate": 2.0e-4}
# Three layers of MiniLM with 4,096 pieces, all of it in 4 bits: 3.85 MB.
SMALLEST = {**SMALL_VOCABULARY, **LONGER, "quantize.embeddings": "nf4"}


def narrow(width: int, method: str) -> Changes:
    """Return a student of this width, with heads as wide as the teacher's and four times as many
    neurons.
    """
    shape = {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "heads": width // HEAD_WIDTH,
        "narrowing": method,
    }
    return {f"{STUDENT}.{key}": value for key, value in shape.items()}


def scratch(width: int) -> Changes:
    """Return the same shape without anything of the teacher."""
    shape = {
        "layers": 3,
        "heads": width // HEAD_WIDTH,
        "hidden_size": width,
        "intermediate_size": 4 * width,
    }
    built = {"architecture": "bert", **shape, "dropout": 0.0}
    changed = {"init": "scratch", "build": built, "layers": None, "dropout": None}
    return {f"{STUDENT}.{key}": value for key, value in changed.items()}


LOSSES: dict[str, Changes] = {
    "labels alone": {"distill.soft_weight": 0.0},
    "forward_kl": {},
    "forward_kl, T = 4": {"distill.temperature": 4.0},
    "reverse_kl": {"distill.loss": "reverse_kl"},
    "jensen_shannon": {"distill.loss": "jensen_shannon"},
    "mse": {"distill.loss": "mse"},
    # White-box terms beside forward_kl.
    "+ hidden states, cosine": {"distill.hidden_weight": 1.0},
    "+ hidden states, mse": {"distill.hidden_weight": 1.0, "distill.hidden_measure": "mse"},
    "+ attention": {"distill.attention_weight": 0.1},
    "+ relations": {"distill.relation_weight": 1.0},
    # More text, which the teacher labels, beside forward_kl; and as many steps as 13,000 more rows
    # take on Hannousse.
    "+ 1 altered copy": {"teacher_unlabelled.copies": 1},
    "+ 2 altered copies": {"teacher_unlabelled.copies": 2},
    "+ URLs of the other set": {"teacher_unlabelled.file": f"{RAW}/{OTHERS}"},
    "+ URLs of the other set, 5 epochs": {
        "teacher_unlabelled.file": f"{RAW}/{OTHERS}",
        f"{STUDENT}.training.epochs": 5,
    },
    "forward_kl, 9 epochs": {f"{STUDENT}.training.epochs": 9},
    # The smallest that holds its own against the teacher: 1.99 MB.
    "forward_kl, 256 wide": narrow(256, "projection"),
}

SHAPES: dict[str, Changes] = {
    "1 x 384": {f"{STUDENT}.layers": 1},
    "2 x 384": {f"{STUDENT}.layers": 2},
    "3 x 384": {},
    "4 x 384": {f"{STUDENT}.layers": 4},
    "3 x 256, projection": narrow(256, "projection"),
    "3 x 256, importance": narrow(256, "importance"),
    "3 x 256, scratch": scratch(256),
    "3 x 128, projection": narrow(128, "projection"),
}
# The loss of ladder and shapes, if none is named.
PLAIN = "forward_kl"
RECOVERY = {"recover.epochs": 1}
# Of recovery: adapters within the weights, beside them, and none at all.
RECOVERIES: dict[str, Changes] = {
    "recovery, merged adapters": {**RECOVERY, "recover.adapters": "merged"},
    "recovery, shipped adapters": {**RECOVERY, "recover.adapters": "shipped"},
    "recovery without adapters": {**RECOVERY, "recover.rank": 0},
}


# A run


def document(case: str, changes: Changes) -> dict[str, Any]:
    """Return params.yaml with what the case and the run set."""
    changed = {**overrides(CASES[case]), **changes}
    preset = changed.pop("preset")
    return {**with_changes(params.read_params(Layout(PROJECT).params), changed), "preset": preset}


def link(source: Path, target: Path) -> None:
    """Let `target` point to `source`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source.resolve())


def shared(case: str, clone: Layout, root: Path) -> Layout:
    """Lay out, once, what all runs of a case share: splits, teacher, baseline, and what they say of
    every row.
    """
    layout = Layout(root)
    if root.exists():
        return layout
    with replacing(root) as fresh:
        made = Layout(fresh)
        for path in (
            layout.prepared,
            layout.model("teacher"),
            layout.model("baseline"),
            layout.logits("baseline"),
        ):
            link(clone.root / path.relative_to(root), fresh / path.relative_to(root))
        for path in clone.raw("file").glob("*.gz"):
            link(path, made.raw("file") / path.name)
        others = read_table(Layout(clone.root.parent / CASES[case].other).split("train"))["text"]
        (made.raw("file") / OTHERS).write_text(
            "\n".join(others.sample(min(OTHER_ROWS, len(others)), seed=0)) + "\n"
        )
        made.params.write_text(yaml.safe_dump(with_exact_rows(document(case, {}))))
        teacher_logits.main(fresh)
        teacher_unlabelled.main(fresh)
        for model in ("baseline", "teacher"):
            predict_extra.main(fresh, model)
    return layout


def with_exact_rows(document: dict[str, Any]) -> dict[str, Any]:
    """Return the params with the exact 1,000 rows of the public original as a further test set."""
    document["extra"] = {EXACT: f"{RAW}/{EXACT_FILE}"}
    return document


def checkout(
    case: str,
    changes: Changes,
    common: Layout,
    root: Path,
    *,
    student: Path | None,
    rows: int | None,
) -> Layout:
    """Lay out the checkout of one run; `rows` None takes all training rows, `student` a finished
    one.
    """
    shutil.rmtree(root, ignore_errors=True)
    layout = Layout(root)
    layout.root.mkdir(parents=True)
    block = document(case, changes)
    layout.params.write_text(yaml.safe_dump(block if rows else with_exact_rows(block)))
    for path in (common.model("teacher"), common.model("baseline"), common.raw("file")):
        link(path, root / path.relative_to(common.root))
    layout.base("file").mkdir(parents=True)
    if student is not None:
        link(student, layout.model("student"))
    if rows:
        sample(common, layout, rows)
    else:
        # Of the further rows those go that a student met without a label: then all models run over
        # what is left.
        same = () if more_text(layout) else (common.extra("teacher"), common.extra("baseline"))
        for path in (common.prepared, common.logits("teacher"), common.logits("baseline"), *same):
            link(path, root / path.relative_to(common.root))
    return layout


def sample(common: Layout, layout: Layout, rows: int) -> None:
    """Take training rows by chance, always the same, and validation; test stays out of reach."""
    table = read_table(common.split("train"))
    kept = np.sort(np.random.default_rng(0).permutation(table.height)[:rows])
    write_table(layout.split("train"), table[kept.tolist()])
    write_table(
        layout.logits_of("teacher", "train"),
        read_table(common.logits_of("teacher", "train"))[kept.tolist()],
    )
    chosen_by = (common.split("validation"), common.validation_extra)
    for split in (*chosen_by, common.logits_of("teacher", "validation")):
        link(split, layout.root / split.relative_to(common.root))


def train(layout: Layout, common: Layout, *, distilled: bool) -> None:
    """Distil, unless the student stands there, quantize, and recover."""
    label_more(layout, common)
    if not distilled:
        distill.main(layout.root)
    quantize.main(layout.root)
    recover.main(layout.root)


def more_text(layout: Layout) -> bool:
    """Return whether a run has text that the teacher alone labels."""
    return texts_of(layout).any


def texts_of(layout: Layout) -> TeacherUnlabelledParams:
    """Return which text a run has the teacher label."""
    block = params.read_params(layout.params)["teacher_unlabelled"]
    return params.validated(TeacherUnlabelledParams, block, "teacher_unlabelled")


def label_more(layout: Layout, common: Layout) -> None:
    """Let the teacher label more text, once for all runs that want the same."""
    asked = [texts_of(layout).model_dump(), read_table(layout.split("train")).height]
    folder = common.root.parent / f"unlabelled_{digest(asked)}"
    if not folder.exists():
        alone = not layout.split("test").exists()
        if alone:  # to be left out of that text, and for nothing else
            link(common.split("test"), layout.split("test"))
        teacher_unlabelled.main(layout.root)
        if alone:
            layout.split("test").unlink()
        layout.unlabelled.rename(folder)
    link(folder, layout.unlabelled)


def digest(value: Any) -> str:
    """Return a name for what JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def screened(layout: Layout) -> dict[str, Any]:
    """Return what validation says of each model; test is not looked at."""
    run = runtime.start(
        params.validated(
            RuntimeParams, params.read_params(layout.params)["presets"]["file"]["runtime"], ""
        )
    )
    table = {"validation": read_table(layout.split("validation"))}
    for model in predict.PREDICTED:
        inference.store_logits(layout.model(model), layout.logits(model), table, run)
    return {model: on_validation(layout, model) for model in predict.PREDICTED}


def on_validation(layout: Layout, model: str) -> dict[str, Any]:
    """Return a model's bytes and the number that chooses."""
    score = selection.validation_f1(
        inputs.logits(layout, model, "validation"), inputs.labels_of(layout, "validation")
    )
    return {"bytes": inputs.needed_bytes(layout, model), "validation_f1": round(score, 4)}


def judged(layout: Layout) -> dict[str, Any]:
    """Return what validation and test say of each model: estimates, and the hops that lead to it.

    `elsewhere` is the same on the exact 1,000 rows.
    """
    for model in predict.PREDICTED:
        predict.main(layout.root, model)
    for model in JUDGED:
        if not layout.extra(model).exists():
            predict_extra.main(layout.root, model)
    evaluate.main(layout.root)
    test = {**read_json(layout.evidence("intervals")), **read_json(layout.evidence("hops"))}
    exact = read_json(layout.evidence("extra"))[EXACT]
    return {
        model: {
            **on_validation(layout, model),
            **shown(test, model),
            "elsewhere": shown(exact, model),
        }
        for model in (*REFERENCES, *predict.PREDICTED)
    }


def shown(judged: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Return a model's part of what `evaluate` wrote on one test set."""
    return {
        "estimates": judged["models"][model],
        "hops": [hop for hop in judged["hops"] if hop["after"] == model],
    }


def measured(
    case: str,
    name: str,
    changes: Changes,
    work: Path,
    common: Layout,
    *,
    rows: int | None = None,
    student: Path | None = None,
) -> dict[str, Any]:
    """Return the result of one run, from its checkout if it is finished there."""
    asked: dict[str, Any] = {"changes": dict(changes), "rows": rows}
    if student is not None:
        asked["student"] = student.parent.parent.name
    root = work / "runs" / digest(asked)
    finished = root / "result.json"
    if not finished.exists():
        print(f"--- {case}: {name}", flush=True)
        layout = checkout(case, changes, common, root, student=student, rows=rows)
        train(layout, common, distilled=student is not None)
        measures = screened(layout) if rows else judged(layout)
        curves = {} if student else {"curve": curve(layout, "student")}
        # Where it was not kept, what is judged is the student that did not recover.
        recovery = read_json(layout.manifest("quantized")).get("recovery")
        more = {**curves, **({"recovery": recovery} if recovery else {})}
        write_json(
            finished, {"name": name, **asked, **more, **measures, "code": code(), "run": root.name}
        )
    result: dict[str, Any] = read_json(finished)
    return result


def code() -> str:
    """Return the commit of the last change to the package."""
    command = ["git", "log", "-1", "--format=%h", "--", "src/minnow", "params.yaml"]
    return subprocess.run(
        command, cwd=PROJECT, check=True, capture_output=True, text=True
    ).stdout.strip()


# What is compared


class Study:
    """The runs of one kind on one data set, and their file."""

    def __init__(self, case: str, what: str, work: Path, clone: Layout, threads: int) -> None:
        self.case, self.what, self.work, self.clone = case, what, work, clone
        # Two runs of one thread each get more done than one after the other of two, and other
        # weights.
        self.always = {} if threads == THREADS else {"presets.file.runtime.threads": threads}
        self.common = shared(case, clone, work / "shared")
        self.runs: list[dict[str, Any]] = []
        self.file = PROJECT / "docs" / "results" / f"{case}_{what}.json"

    def student(self, changes: Changes) -> Path:
        """Return the folder of a run's student on all rows, which is made if it is not there."""
        run = measured(self.case, "student", {**changes, **self.always}, self.work, self.common)
        return Layout(self.work / "runs" / run["run"]).model("student")

    def add(self, name: str, changes: Changes, *, model: str = "quantized", **options: Any) -> None:
        """Run, or read, and write down what there is so far; the table shows `model`."""
        changed = {**changes, **self.always}
        run = {
            **measured(self.case, name, changed, self.work, self.common, **options),
            "name": name,
            "model": model,
        }
        references = {
            model: run.pop(model, None) or on_validation(self.common, model) for model in REFERENCES
        }
        self.runs.append(run)
        write_json(self.file, {"runs": self.runs, "references": references, "machine": machine()})
        print(name, *(run[model]["validation_f1"] for model in predict.PREDICTED), flush=True)


def screen(study: Study, names: Sequence[str]) -> None:
    """Run each loss on a sample, one seed."""
    for name in names or LOSSES:
        changes = {**SMALLEST, f"{STUDENT}.training.epochs": SCREENED_EPOCHS, **LOSSES[name]}
        study.add(name, changes, rows=SCREENED_ROWS)


def losses(study: Study, names: Sequence[str]) -> None:
    """Run the losses named on all rows with every seed."""
    for seed in SEEDS:
        for name in names or LOSSES:
            study.add(name, {**SMALLEST, **LOSSES[name], "distill.seed": seed})


def ladder(study: Study, names: Sequence[str]) -> None:
    """Go down rung by rung: on the clone's student, which has the teacher's vocabulary, and on one
    with its own.
    """
    whole, theirs = {"quantize.embeddings": "none"}, study.clone.model("student")
    study.add("3 layers, float32", whole, model="student", student=theirs)
    study.add("linear layers in nf4", whole, student=theirs)
    smallest = {**SMALLEST, **LOSSES[names[0] if names else PLAIN]}
    own = study.student({**smallest, "distill.seed": 0})
    study.add("4,096 pieces of its own", {**smallest, **whole}, student=own)
    study.add("embeddings in nf4", smallest, student=own)
    for name, changed in RECOVERIES.items():
        study.add(name, {**smallest, **changed}, student=own)


def recoveries(study: Study, names: Sequence[str]) -> None:
    """Recover the smallest student of every seed, each way or those named."""
    for seed in SEEDS:
        smallest = {**SMALLEST, **LOSSES[PLAIN], "distill.seed": seed}
        own = study.student(smallest)
        for name in names or RECOVERIES:
            study.add(name, {**smallest, **RECOVERIES[name]}, student=own)


def shapes(study: Study, names: Sequence[str]) -> None:
    """Run every shape, or those named, with one loss and one seed, and draw size against F1."""
    for name in names or SHAPES:
        study.add(name, {**SMALLEST, **LOSSES[PLAIN], "distill.seed": 0, **SHAPES[name]})
        draw(study)


def draw(study: Study) -> None:
    """Draw size against F1 beside the results: baseline, teacher, and every run quantized."""
    import vl_convert

    file = study.file.with_suffix(".svg")
    results = read_json(study.file)
    models = [
        *results["references"].items(),
        *(("quantized", run["quantized"]) for run in results["runs"]),
    ]
    labels = [*(["n-grams", "teacher"]), *(run["name"] for run in results["runs"])]
    points = [
        Point(
            model,
            label,
            entry["bytes"] / 1e6,
            entry["validation_f1"],
            entry["estimates"]["f1"]["value"],
        )
        for (model, entry), label in zip(models, labels, strict=True)
    ]
    with replacing(file) as temporary:
        temporary.write_text(
            vl_convert.vegalite_to_svg(sweep_charts.front_specification(study.case, points))
        )


KINDS = {
    "screen": screen,
    "losses": losses,
    "ladder": ladder,
    "recoveries": recoveries,
    "shapes": shapes,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one kind of comparison on one data set and write its results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("case", choices=CASES)
    parser.add_argument("what", choices=KINDS)
    parser.add_argument("names", nargs="*", help="of what to run; all if none is given")
    parser.add_argument(
        "--clone", type=Path, help="a checkout in which the pipeline has run on this data set"
    )
    parser.add_argument(
        "--work", type=Path, default=Path("/tmp/minnow_compression"), help="folder for the runs"
    )
    parser.add_argument("--threads", type=int, default=THREADS)
    options = parser.parse_args(arguments)
    clone = Layout((options.clone or Path("/tmp/minnow_real") / options.case).resolve())
    work = options.work.resolve() / options.case
    KINDS[options.what](
        Study(options.case, options.what, work, clone, options.threads), options.names
    )


if __name__ == "__main__":
    main()
