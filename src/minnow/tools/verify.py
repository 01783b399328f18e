"""verify: rebuild the committed pipeline in a clone without cache, and judge its metrics against
the committed ones.

With portable kernels they are the same bytes on every x86-64 CPU with AVX2. Elsewhere other weights
come out, and a metric passes where it lies within the committed one's own 95 % interval. What has
no interval has a TOLERANCE, and no hop may be good there and bad here.
"""

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from minnow.errors import MinnowError
from minnow.evaluation.records import CalibrationError, Estimate, Headline, between
from minnow.evaluation.results import Evidence, read_evidence, read_headline
from minnow.layout import Layout
from minnow.tools import dvc

# Largest difference of a metric without an interval, absolute. What is not here must be equal.
TOLERANCE = {
    "precision": 0.02,  # at one threshold they trade against each other
    "recall": 0.02,
    "validation_f1": 0.02,
    "ece": 0.01,  # its interval is that of the error without chance
    "validation_score": 0.02,
    "size_mb": 0.01,  # scales compress differently
    "compression_x": 0.05,
}
# Verdicts that contradict each other: one says that nothing was lost, the other that too much was.
KEPT, LOST = ("better", "non_inferior"), ("inferior",)

Value = float | int | None


@dataclass(frozen=True)
class CheckoutResults:
    """What a checkout says of its models."""

    headline: Mapping[str, Headline]
    evidence: Evidence


@dataclass(frozen=True)
class Judgement:
    """A metric of a model, or the verdict on a hop, committed and rebuilt."""

    subject: str
    metric: str
    committed: Value | str
    rebuilt: Value | str
    passed: bool

    @property
    def line(self) -> str:
        """What is printed of it."""
        where = "passes" if self.passed else "FAILS"
        return (
            f"{self.subject} {self.metric}: {self.committed} committed, {self.rebuilt} rebuilt,"
            f" {where}"
        )


def main(root: Path) -> None:
    """Rebuild HEAD in a temporary clone and print whatever moved.

    Raises:
        MinnowError: the clone or the rebuild failed, or a metric or verdict does not pass.
    """
    with tempfile.TemporaryDirectory(prefix="minnow-verify-") as folder:
        clone = Path(folder) / "clone"
        run_command(["git", "clone", "--quiet", str(root), str(clone)], root)
        committed = results_of(Layout(clone))
        # A cache that the clone shared with others would give the committed outs back instead of
        # building them.
        cache = str(clone / ".dvc" / "cache")
        run_command([dvc(), "cache", "dir", "--quiet", "--local", cache], clone)
        run_command([dvc(), "repro"], clone)
        rebuilt = results_of(Layout(clone))
    judgements = [*judge_metrics(committed, rebuilt), *judge_hops(committed, rebuilt)]
    moved = [judgement for judgement in judgements if judgement.rebuilt != judgement.committed]
    for judgement in moved:
        print(judgement.line)
    if failed := sum(not judgement.passed for judgement in judgements):
        raise MinnowError(
            f"{failed} of {len(judgements)} metrics and verdicts do not pass; docs/"
            "reproducibility.md says what may differ, and why"
        )
    same = len(judgements) - len(moved)
    print(f"verified: {len(judgements)} metrics and verdicts rebuilt, {same} identical, all pass")


def run_command(command: list[str], folder: Path) -> None:
    """Run a command that shows its own output; a MinnowError says that it failed."""
    try:
        subprocess.run(command, cwd=folder, check=True)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        raise MinnowError(f"`{' '.join(command[:3])}` failed in {folder}: {error}") from None


def results_of(layout: Layout) -> CheckoutResults:
    """Return the results of a checkout; a MinnowError names a file that is missing or broken."""
    evidence = read_evidence(layout)
    headline = {model: read_headline(layout, model) for model in evidence.intervals.models}
    return CheckoutResults(headline, evidence)


def judge_metrics(committed: CheckoutResults, rebuilt: CheckoutResults) -> Iterator[Judgement]:
    """Yield a judgement for every metric of every model."""
    for model, headline in committed.headline.items():
        again = asdict(rebuilt.headline[model])
        for metric, value in asdict(headline).items():
            interval = getattr(committed.evidence.intervals.models[model], metric, None)
            passed = passes(metric, value, again[metric], interval)
            yield Judgement(model, metric, value, again[metric], passed)


def passes(metric: str, committed: Value, rebuilt: Value, interval: object) -> bool:
    """Return whether a rebuilt metric may stand for the committed one."""
    if rebuilt is None or committed is None:
        return rebuilt == committed
    if isinstance(interval, Estimate) and not isinstance(interval, CalibrationError):
        return rebuilt == committed or interval.low <= rebuilt <= interval.high
    return abs(rebuilt - committed) <= TOLERANCE.get(metric, 0.0)


def judge_hops(committed: CheckoutResults, rebuilt: CheckoutResults) -> Iterator[Judgement]:
    """Yield a judgement for the verdict on every hop."""
    for hop in committed.evidence.hops.hops:
        again = between(rebuilt.evidence.hops.hops, hop.before, hop.after)
        verdicts = hop.verdict, "" if again is None else again.verdict
        contradicts = any(
            one in KEPT and other in LOST for one, other in (verdicts, verdicts[::-1])
        )
        name = f"{hop.before} → {hop.after}"
        yield Judgement(name, "verdict", *verdicts, again is not None and not contradicts)
