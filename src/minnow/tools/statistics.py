"""statistics: make the statistics of kept margins anew, without a training: docs/results/margins/
NAME.parquet to docs/results/NAME_study.json, for one name or for all.
"""

from pathlib import Path
from typing import Annotated

from minnow.core.files import write_json
from minnow.core.params import StageParams
from minnow.errors import MinnowError
from minnow.evaluation.params import EvaluateParams
from minnow.experiments.kept_margins import read_kept
from minnow.experiments.margin_statistics import Plan
from minnow.experiments.seed_statistics import study_report
from minnow.layout import Layout
from minnow.tools.keep import require_name


class StatisticsParams(StageParams):
    """What of params.yaml says how margins are judged."""

    evaluate: Annotated[EvaluateParams, "evaluate"]


def main(root: Path, name: str = "") -> None:
    """Write the statistics as JSON, which `make results` renders.

    Raises:
        MinnowError: no plain name; or nothing is kept under it, or nothing at all.
    """
    if name:
        require_name("NAME", name)
    layout = Layout(root)
    folder = layout.kept_margins("").parent
    names = [name] if name else sorted(file.stem for file in folder.glob("*.parquet"))
    if not names:
        raise MinnowError(
            f"{folder} holds no margins; `python src/stage.py keep NAME` keeps what a run gave"
        )
    for each in names:
        print(write_statistics(layout, each))


def write_statistics(layout: Layout, name: str) -> str:
    """Write the statistics of one data set, and return a line that says where."""
    settings = StatisticsParams.load(layout.root).evaluate
    plan = Plan(settings.margin, settings.resamples, settings.seed)
    kept = read_kept(layout.kept_margins(name))
    target = layout.results / f"{name}_study.json"
    write_json(target, study_report(kept, plan))
    return f"{target}: {len(kept.runs)} runs; `make results` renders them"
