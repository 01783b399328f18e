"""Seconds and memory of judging stored logits: intervals and hops of four models, calibration,
slices, plots' data.

    python benchmarks/evidence_speed.py [--rows 10000 100000 1000000]

Margins, domains and URLs are generated; each size runs in a process of its own, so that the memory
is its own. There are half as many domains as rows, and the largest holds some per cent of them. The
bootstrap has 1,000 resamples, shared by the four models. Seconds of CPU are those of all threads.
"""

import argparse
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import numpy as np
import polars as pl

from minnow.core import runtime
from minnow.data import cleaning, sources
from minnow.evaluation import evidence, findings, plots, slices
from minnow.evaluation.metrics import Array
from minnow.evaluation.outcomes import Method, Outcome
from minnow.evaluation.units import JudgedRows, Units
from minnow.layout import AGAINST_BASELINE, HOPS, JUDGED

ROWS = (10_000, 100_000, 1_000_000)
METHOD = Method(margin=0.005, resamples=1000, seed=0, prevalences=(0.02, 0.001))
SKILL = {"baseline": 1.2, "teacher": 1.5, "student": 1.45, "quantized": 1.44}


def timed(name: str, work: Callable[[], object]) -> None:
    """Run and print how long it took."""
    start, cpu = time.perf_counter(), time.process_time()
    work()
    wall, spent = time.perf_counter() - start, time.process_time() - cpu
    print(f"  {name:<28}{wall:8.1f} s, {spent:6.1f} s of CPU", flush=True)


def outcomes(labels: Array, validation_labels: Array) -> dict[str, Outcome]:
    """Return margins of four models, float32 like stored logits."""
    draw = np.random.default_rng(1)
    validation, test = (
        {
            model: (draw.normal(size=len(truth)) + skill * (2 * truth - 1)).astype(np.float32)
            for model, skill in SKILL.items()
        }
        for truth in (validation_labels, labels)
    )
    return {
        model: Outcome(
            validation[model].astype(np.float64), test[model].astype(np.float64), threshold=0.0
        )
        for model in JUDGED
    }


def in_domains(labels: Array, *, seed: int) -> JudgedRows:
    """Return rows in half as many domains, of which low numbers hold many rows."""
    draw = np.random.default_rng(seed)
    numbers = (draw.random(len(labels)) ** 3 * (len(labels) / 2)).astype(np.int64)
    return JudgedRows(labels, Units.domains(pl.Series(numbers).cast(pl.String)))


def measure(rows: int) -> None:
    """Print the seconds of each part and the peak memory."""
    print(f"{rows:,} test rows", flush=True)
    draw = np.random.default_rng(0)
    labels, validation_labels = (
        draw.integers(0, 2, size) for size in (rows, max(rows // 4, 2_500))
    )
    models = outcomes(labels, validation_labels)
    sample, validation = in_domains(labels, seed=2), in_domains(validation_labels, seed=3)
    judged = {"validation": validation, "test": sample}
    hops = (*HOPS, *AGAINST_BASELINE)
    timed(
        "intervals and hops, 4 models",
        lambda: evidence.assess(models, **judged, hops=hops, method=METHOD),
    )
    timed("calibration", lambda: findings.calibration_report(models, **judged, wanted_fpr=None))
    source = sources.load_synthetic(min(rows, 50_000), seed=0, label_noise=0.0)
    texts = cleaning.cleaned(source.rows, move_scheme=True)[0].select("text", "domain")
    test = pl.concat([texts] * (rows // texts.height + 1)).head(rows)
    timed(
        "slices",
        lambda: slices.report(slices.cut(test, test["domain"][:1]), sample, models, HOPS),
    )
    scores = slices.slices_table(slices.report([], sample, models, HOPS))
    sizes = {model: {"body": 1, "total": 1} for model in models}
    timed("plots' data", lambda: plots.plot_tables(models, labels, sizes, scores))
    print(
        f"  peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB",
        flush=True,
    )


def main() -> None:
    """Measure each size in a process of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    print(runtime.machine())
    for rows in parser.parse_args().rows:
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(rows,))
        process.start()
        process.join()
        if process.exitcode:
            sys.exit(process.exitcode)


if __name__ == "__main__":
    main()
