"""sweeps: every experiment of `dvc exp run` in one table and one plot, mean and standard deviation
per value.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

from minnow.core.files import replacing
from minnow.errors import MinnowError, listed, shortened
from minnow.experiments import sweep_charts, sweeps
from minnow.layout import Layout
from minnow.tools import dvc

NAME = "sweeps"
ALL = "all"


def main(root: Path, commits: str = "") -> None:
    """Print the table and write it with its plot to `reports/`; `all` takes every commit's
    experiments, not HEAD's.

    Raises:
        MinnowError: there are no experiments, or DVC cannot show them.
    """
    if commits not in ("", ALL):
        raise MinnowError(
            f"sweeps takes nothing, or {ALL} for the experiments of all commits; given {commits!r}"
        )
    shown = experiments(root, ["--all-commits"] if commits else [])
    runs, left_out = sweeps.finished_runs(shown)
    if not any(commit["experiments"] for commit in shown) or not runs:
        others = listed(f"{count} {why}" for why, count in left_out.items())
        start = (
            "any commit"
            if commits
            else "this commit (`python src/stage.py sweeps all` takes those of all)"
        )
        raise MinnowError(
            f"no finished experiments{f' ({others})' if others else ''} that began from {start};"
            " make some: `dvc exp run --queue -S 'distill.temperature=1,2,4' -S"
            " 'distill.seed=0,1,2'`, then `dvc queue start`"
        )
    text, folder = sweeps.markdown(runs, left_out), Layout(root).reports
    with replacing(folder / f"{NAME}.svg") as file:
        file.write_text(as_svg(sweep_charts.chart(runs)), encoding="utf-8")
    with replacing(folder / f"{NAME}.md") as file:
        file.write_text(
            f"{text}\n![Mean and standard deviation per value; size against F1]({NAME}.svg)\n",
            "utf-8",
        )
    print(text, end="")


def experiments(root: Path, options: list[str]) -> list[dict[str, Any]]:
    """Return what `dvc exp show --json` says, by commit.

    Raises:
        MinnowError: DVC fails, with the last line that it wrote.
    """
    command = [dvc(), "exp", "show", "--json", *options]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise MinnowError(
            f"{dvc()} is missing; run `make install`, then take the python in .venv/bin"
        ) from None
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ["nothing"]
        raise MinnowError(
            f"`dvc exp show` failed in {root}: {shortened(lines[-1], 200)}; run it there by hand to"
            " see more"
        ) from None
    commits: list[dict[str, Any]] = json.loads(done.stdout)
    return commits


def as_svg(specification: dict[str, Any]) -> str:
    """Return a Vega-Lite specification as SVG."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(specification))
