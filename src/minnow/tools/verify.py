"""verify: rebuild the committed pipeline in a clone without cache, and judge its metrics against
the committed ones.

Another CPU or number of threads gives other weights, so bytes may differ; what must hold are the
numbers, each within its TOLERANCE.
"""

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from minnow.core.files import read_json
from minnow.errors import MinnowError
from minnow.layout import JUDGED, Layout
from minnow.tools import dvc

# Largest difference that another kind of CPU is allowed, absolute. A key that is not here must be
# equal.
TOLERANCE = {
    "accuracy": 0.01,
    "precision": 0.02,
    "recall": 0.02,
    "f1": 0.01,
    "roc_auc": 0.005,
    "tpr_at_fpr_1pct": 0.05,  # its threshold hangs on a few dozen rows of validation
    "ece": 0.01,
    "validation_f1": 0.01,
    "size_mb": 0.01,
    "compression_x": 0.05,
}


@dataclass(frozen=True)
class Judgement:
    """One metric of one model, committed and rebuilt."""

    model: str
    metric: str
    committed: float | None
    rebuilt: float | None

    @property
    def passed(self) -> bool:
        """Whether the two differ by no more than the metric's tolerance."""
        if self.rebuilt is None or self.committed is None:
            return self.rebuilt == self.committed
        return abs(self.rebuilt - self.committed) <= TOLERANCE.get(self.metric, 0.0)


def main(root: Path) -> None:
    """Rebuild HEAD in a temporary clone and print every metric that moved.

    Raises:
        MinnowError: the clone or the rebuild failed, or a metric lies outside its tolerance.
    """
    with tempfile.TemporaryDirectory(prefix="minnow-verify-") as folder:
        clone = Path(folder) / "clone"
        run(["git", "clone", "--quiet", str(root), str(clone)], root)
        committed = read_metrics(Layout(clone))
        # A cache that the clone shared with others would give the committed outs back instead of
        # building them.
        run([dvc(), "cache", "dir", "--quiet", "--local", str(clone / ".dvc" / "cache")], clone)
        run([dvc(), "repro"], clone)
        judgements = list(judge(committed, read_metrics(Layout(clone))))
    moved = [each for each in judgements if each.rebuilt != each.committed]
    for each in moved:
        verdict = "within" if each.passed else "OUTSIDE"
        print(
            f"{each.model} {each.metric}: {each.committed} committed, {each.rebuilt} rebuilt,"
            f" {verdict} tolerance"
        )
    failed = [each for each in judgements if not each.passed]
    if failed:
        raise MinnowError(
            f"{len(failed)} of {len(judgements)} metrics lie outside the tolerances of"
            " src/minnow/tools/verify.py"
        )
    same = len(judgements) - len(moved)
    print(
        f"verified: {len(judgements)} metrics rebuilt, {same} identical, the others within"
        " tolerance"
    )


def run(command: list[str], folder: Path) -> None:
    """Run a command that shows its own output; a MinnowError says that it failed."""
    try:
        subprocess.run(command, cwd=folder, check=True)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        raise MinnowError(f"`{' '.join(command[:3])}` failed in {folder}: {error}") from None


def read_metrics(layout: Layout) -> dict[str, dict[str, float | None]]:
    """Return the metrics of every model, by model."""
    return {model: read_json(layout.metrics(model)) for model in JUDGED}


def judge(
    committed: Mapping[str, Mapping[str, float | None]],
    rebuilt: Mapping[str, Mapping[str, float | None]],
) -> Iterator[Judgement]:
    """Yield a judgement for every metric.

    Raises:
        MinnowError: the two do not have the same metrics.
    """
    for model, metrics in committed.items():
        if set(metrics) != set(rebuilt[model]):
            raise MinnowError(
                f"{model} has other metrics than the committed ones: run `dvc repro` and commit"
            )
        for metric, value in metrics.items():
            yield Judgement(model, metric, value, rebuilt[model][metric])
