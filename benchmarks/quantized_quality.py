"""What each step of quantization costs on the data of a finished run: linear layers, then
embeddings too.

    python benchmarks/quantized_quality.py psu --clone /tmp/minnow_real/psu

Takes the student that lies in a clone in which the pipeline has run, quantizes it anew in every way
of WAYS, runs each over validation and test and judges it against the clone's teacher, whose logits
are stored there. Trains nothing. Validation is what chooses; test is reported beside it. Writes
docs/results/NAME_quantized.json.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT / "src"))

import numpy as np  # noqa: E402
import torch  # noqa: E402

from minnow.core import runtime, selection  # noqa: E402
from minnow.core.files import MANIFEST, read_json, write_json  # noqa: E402
from minnow.core.params import RuntimeParams  # noqa: E402
from minnow.core.tables import read_logits, read_table  # noqa: E402
from minnow.evaluation import evidence, inputs, metrics, other_sets  # noqa: E402
from minnow.evaluation.outcomes import Method, Outcome  # noqa: E402
from minnow.evaluation.results import as_json  # noqa: E402
from minnow.evaluation.units import JudgedRows  # noqa: E402
from minnow.layout import Layout  # noqa: E402
from minnow.models import embeddings, folders, inference, schemes  # noqa: E402
from minnow.models.batching import encode  # noqa: E402
from minnow.quantization.quantize import PROBE_ROWS, Recipe, quantize  # noqa: E402

# Scheme of the linear layers and of the embeddings; None is the student as it was trained, in
# bfloat16.
WAYS: tuple[tuple[Literal["nf4", "int8"] | None, str], ...] = (
    (None, "none"),
    ("int8", "none"),
    ("nf4", "none"),
    ("nf4", "int8"),
    ("nf4", "nf4"),
)
KEEP_FLOAT = ("classifier", "pre_classifier", "score", "out_proj")
METHOD = Method(margin=0.005, resamples=1000, seed=0)
SPLITS = ("validation", "test")


def quantized(
    student: Path, out: Path, scheme: Literal["nf4", "int8"], packed: str, texts: Sequence[str]
) -> None:
    """Write the student quantized in one way."""
    recipe = Recipe(
        schemes.scheme(scheme, double_quantization=scheme != "int8"),
        KEEP_FLOAT,
        None if packed == "none" else embeddings.SCHEMES[packed],
    )
    probe = encode(folders.load_tokenizer(student), texts)
    quantize(student, out, recipe, probe=probe, device=torch.device("cpu"))


def measure(clone: Layout, threads: int) -> list[dict[str, Any]]:
    """Return for each way its bytes, its validation F1, its estimates on test and what it lost
    against the teacher.
    """
    run = runtime.start(
        RuntimeParams(
            device="auto",
            precision="auto",
            threads=threads,
            kernels="native",
        )
    )
    tables = {split: read_table(clone.split(split)) for split in SPLITS}
    labels = {split: np.asarray(table["label"].to_numpy()) for split, table in tables.items()}
    probe = tables["validation"]["text"].to_list()[:PROBE_ROWS]
    outcomes, rows = {"teacher": other_sets.Judging(clone, METHOD).outcome("teacher")}, []
    with tempfile.TemporaryDirectory() as folder:
        for scheme, packed in WAYS:
            name = "student" if scheme is None else f"{scheme}, embeddings {packed}"
            model = clone.model("student") if scheme is None else Path(folder) / name
            if scheme is not None:
                quantized(clone.model("student"), model, scheme, packed, probe)
            out = Path(folder) / f"logits of {name}"
            inference.store_logits(model, out, tables, run)
            here = {s: read_logits(out / f"{s}.parquet", tables[s]["id"].to_list()) for s in SPLITS}
            outcomes[name] = Outcome(
                metrics.margins_of(here["validation"]), metrics.margins_of(here["test"]), 0.0
            )
            manifest = read_json(model / MANIFEST)
            size = sum(file["bytes"] for file in manifest["files"].values())
            chosen_by = metrics.rounded(
                selection.validation_f1(here["validation"], labels["validation"])
            )
            row = {
                "scheme": scheme,
                "embeddings": packed,
                "bytes": size,
                "bytes_by_part": manifest["bytes_by_part"],
            }
            rows.append({**row, "name": name, "validation_f1": chosen_by})
    assessment = evidence.assess(
        outcomes,
        validation=JudgedRows.of(tables["validation"], None),
        test=JudgedRows.of(tables["test"], None),
        hops=[("teacher", row["name"]) for row in rows],
        method=METHOD,
    )
    return [
        {
            **row,
            "estimates": as_json(assessment.models[row["name"]]),
            "hop": as_json(hop),
        }
        for row, hop in zip(rows, assessment.hops, strict=True)
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", help="of the data set, for the file's name")
    parser.add_argument(
        "--clone", type=Path, required=True, help="a checkout in which the pipeline has run"
    )
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    clone = Layout(options.clone.resolve())
    rows = measure(clone, options.threads)
    facts = {"machine": runtime.machine(), "teacher_bytes": inputs.needed_bytes(clone, "teacher")}
    write_json(
        PROJECT / "docs" / "results" / f"{options.name}_quantized.json", {"ladder": rows, **facts}
    )
    for row in rows:
        hop = row["hop"]
        print(
            row["name"],
            row["bytes"],
            row["validation_f1"],
            row["estimates"]["f1"],
            hop["f1"],
            hop["verdict"],
        )


if __name__ == "__main__":
    main()
