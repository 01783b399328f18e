"""Experiments as `dvc exp show --json` gives them, to tables: what each value of a parameter is
worth.

Seeds are no parameter here: runs that differ in nothing else are averaged, and their standard
deviation is shown.
"""

import json
import math
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from minnow.layout import JUDGED, Layout

CHOOSES, REPORTED = "validation_f1", "f1"
# What chooses in place of F1, and the parameter that names it.
OTHER_SCORE, SELECT = "validation_score", "select"
SWEPT_MODELS = ("student", "quantized")
MEASURES = [(model, key) for model in SWEPT_MODELS for key in (CHOOSES, REPORTED)]
TITLES = {CHOOSES: "validation F1", REPORTED: "test F1"}
# They change no model's metrics, but for the threshold.
IDLE = ("compare", "controls", "evaluate")
NOT_IDLE = ("evaluate.threshold", "evaluate.validation_extra")
ABSENT = "\u2013"  # a dash
FILES = {Layout(Path()).metrics(model).as_posix(): model for model in JUDGED}


@dataclass(frozen=True)
class Run:
    """One finished run: the params that can matter, by dotted key, and the metrics by model."""

    preset: str
    params: dict[str, str]
    metrics: dict[str, dict[str, float]]

    @property
    def synthetic(self) -> bool:
        """Whether its data were generated."""
        return self.params.get(f"presets.{self.preset}.data.source") == "synthetic"


@dataclass(frozen=True)
class Spread:
    """Mean of some runs, and their sample standard deviation: None for a single run, which has
    none.
    """

    mean: float
    sd: float | None

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Self:
        """Return mean and sample standard deviation (n − 1 in the denominator)."""
        # `fmean` rounds: equal numbers would not always have themselves as mean, and ties would be
        # lost.
        sd = statistics.stdev(numbers) if len(numbers) > 1 else None
        return cls(statistics.mean(numbers), sd)

    def __str__(self) -> str:
        return f"{self.mean:.4f} ± {ABSENT if self.sd is None else f'{self.sd:.4f}'}"


@dataclass(frozen=True)
class Group:
    """Runs with the same values of some parameters."""

    values: tuple[str, ...]
    runs: tuple[Run, ...]

    def spread(self, model: str, key: str) -> Spread:
        """Return mean and standard deviation of one metric of one model."""
        return Spread.of([run.metrics[model][key] for run in self.runs])


@dataclass(frozen=True)
class Point:
    """One model of one combination of values: where it stands between size and quality."""

    model: str
    label: str
    size_mb: float
    validation_f1: float
    f1: float
    score: float | None = None  # what chooses, None where that is validation F1


# Reading


def finished_runs(shown: Sequence[Mapping[str, Any]]) -> tuple[list[Run], Counter[str]]:
    """Return the finished runs, and why how many others were left out.

    Commits count as the runs that they hold. The workspace does not: its params may be edited and
    not run yet, and `dvc exp run` records what it leaves there as an experiment too.
    """
    runs: list[Run] = []
    left_out: Counter[str] = Counter()
    for commit in shown:
        if commit["rev"] != "workspace":
            _take(commit, runs, left_out)
        for experiment in commit["experiments"] or []:
            state = (experiment["executor"] or {}).get("state", "success")
            if state == "success":
                _take(experiment["revs"][0], runs, left_out)
            # the metrics that DVC shows for a failed one are those of the commit it began from
            else:
                left_out[state] += 1
    return runs, left_out


def _take(entry: Mapping[str, Any], runs: list[Run], left_out: Counter[str]) -> None:
    run = _run(entry.get("data") or {}) if not entry.get("error") else None
    if run is None:
        left_out["without metrics"] += 1
    elif run in runs:
        left_out["repeated"] += 1
    else:
        runs.append(run)


def _run(data: Mapping[str, Any]) -> Run | None:
    files = (data.get("params") or {}).values()
    document: Mapping[str, Any] = next((file["data"] for file in files if "data" in file), {})
    preset = document.get("preset")
    if not isinstance(preset, str):
        return None
    metrics = {
        FILES[path]: {
            key: number
            for key, value in file["data"].items()
            if (number := as_number(value)) is not None
        }
        for path, file in (data.get("metrics") or {}).items()
        if path in FILES and isinstance(file.get("data"), dict)
    }
    if any(key not in metrics.get(model, {}) for model, key in MEASURES):
        return None
    return Run(preset, dict(params_that_matter(document, preset)), metrics)


def params_that_matter(document: Mapping[str, Any], preset: str) -> Iterator[tuple[str, str]]:
    """Yield key and value of the params that can change a model's metrics, by dotted key."""
    for key, value in _leaves(document):
        foreign = key.startswith("presets.") and not key.startswith(f"presets.{preset}.")
        idle = key.split(".")[0] in IDLE and not key.startswith(NOT_IDLE)
        if not (foreign or idle or key == "preset"):
            yield key, as_text(value)


def _leaves(block: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in block.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def as_number(value: Any) -> float | None:
    """Return a finite number, also one that came as text, or None."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def as_text(value: Any) -> str:
    """Return a parameter's value as it is shown; equal numbers look alike, 4 and 4.0."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# Summing up


def by_preset(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Return the runs by preset, in alphabetical order; presets are never compared."""
    return {
        preset: [run for run in runs if run.preset == preset]
        for preset in sorted({run.preset for run in runs})
    }


def varying(runs: Sequence[Run]) -> list[str]:
    """Return the keys with more than one value, seeds left out."""
    keys = sorted({key for run in runs for key in run.params if not is_seed(key)})
    return [key for key in keys if len({run.params.get(key, ABSENT) for run in runs}) > 1]


def is_seed(key: str) -> bool:
    """Return whether a dotted key is a seed, which is what is averaged over."""
    return key.rpartition(".")[2] == "seed"


def chooser(runs: Sequence[Run]) -> str:
    """Return the metric by which these runs are chosen: what they `select` by, if all do by the
    same, else validation F1.
    """
    names = {run.params.get(SELECT) for run in runs}
    scored = all(OTHER_SCORE in run.metrics[model] for run in runs for model in SWEPT_MODELS)
    return OTHER_SCORE if len(names) == 1 and scored else CHOOSES


def grouped(runs: Sequence[Run], keys: Sequence[str]) -> list[Group]:
    """Return the runs by their values of these keys, the best first by the mean of what chooses,
    the student's before all.
    """
    groups: dict[tuple[str, ...], list[Run]] = {}
    chooses = chooser(runs)
    for run in runs:
        groups.setdefault(tuple(run.params.get(key, ABSENT) for key in keys), []).append(run)
    return sorted(
        [Group(values, tuple(members)) for values, members in groups.items()],
        key=lambda group: (
            *(-group.spread(model, chooses).mean for model in SWEPT_MODELS),
            group.values,
        ),
    )


def points(runs: Sequence[Run]) -> list[Point]:
    """Return one point per model and combination of values, means over seeds; a model that never
    changes has one.
    """
    keys, best_by = varying(runs), chooser(runs)
    unlike: dict[tuple[object, ...], Point] = {}
    for group in grouped(runs, keys):
        label = ", ".join(
            f"{key.rpartition('.')[2]} {value}"
            for key, value in zip(keys, group.values, strict=True)
        )
        for model in JUDGED:
            numbers = ("size_mb", CHOOSES, REPORTED, best_by)
            if all(key in run.metrics.get(model, {}) for run in group.runs for key in numbers):
                means = [group.spread(model, key).mean for key in numbers]
                point = Point(model, label if model in SWEPT_MODELS else "", *means)
                unlike.setdefault((model, *means[:3]), point)
    return list(unlike.values())


def front(candidates: Sequence[Point]) -> list[Point]:
    """Return the points that no other one dominates: none is as small and as good, and better in
    one of the two.
    """
    return [
        point for point in candidates if not any(dominates(other, point) for other in candidates)
    ]


def dominates(one: Point, other: Point) -> bool:
    """Return whether `one` is no larger, no worse on validation, and better in at least one of the
    two.
    """
    ours, theirs = (p.validation_f1 if p.score is None else p.score for p in (one, other))
    gains = (other.size_mb - one.size_mb, ours - theirs)
    return min(gains) >= 0 and max(gains) > 0


# Text


def markdown(runs: Sequence[Run], left_out: Mapping[str, int]) -> str:
    """Return the whole summary as Markdown."""
    others = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
    lines = [
        "# Sweeps",
        "",
        (
            f"Runs: {len(runs)}{f'; left out: {others}' if others else ''}. Mean ± sample standard"
            " deviation over the runs with that value, the best student on validation first;"
            f" {ABSENT} where there is one run."
        ),
        (
            "Validation chooses, by F1 or what `select` names; test F1 is what the choice is then"
            " worth, and never a reason for it."
        ),
    ]
    for preset, members in by_preset(runs).items():
        lines += ["", f"## Preset {preset}, runs: {len(members)}", "", *_section(members)]
    return "\n".join(lines) + "\n"


def _section(runs: Sequence[Run]) -> Iterator[str]:
    keys = varying(runs)
    seeds = sorted({key for run in runs for key in run.params if is_seed(key)})
    averaged = [key for key in seeds if len({run.params.get(key) for run in runs}) > 1]
    if any(run.synthetic for run in runs):
        yield "Synthetic data: these figures say nothing about the real world."
    yield f"Averaged over: {', '.join(averaged) or 'nothing, since no seed varies'}."
    if len(keys) > 1:
        yield (
            f"{len(keys)} parameters vary, so a table of one of them mixes the others; the last one"
            " does not."
        )
        for key in keys:
            yield from ["", f"### {key}", "", *_table([key], grouped(runs, [key]))]
    combinations = grouped(runs, keys)
    if all(len(group.runs) == 1 for group in combinations) and keys:
        yield (
            "One run for each: whether a difference is more than chance, only further seeds can"
            " tell."
        )
    yield from ["", f"### {', '.join(keys) or 'One setting'}", "", *_table(keys, combinations)]
    if best := front(points(runs)):
        yield from ["", "### Pareto front, size against validation", "", *_front_table(best)]


def _table(keys: Sequence[str], groups: Sequence[Group]) -> list[str]:
    runs = [run for group in groups for run in group.runs]
    shown = dict.fromkeys((chooser(runs), CHOOSES, REPORTED))
    measures = [(model, key) for model in SWEPT_MODELS for key in shown]
    titles = {**TITLES, OTHER_SCORE: f"validation {runs[0].params.get(SELECT, '')}"}
    head = [*keys, "runs", *(f"{model}, {titles[key]}" for model, key in measures)]
    rows = [
        [
            *group.values,
            str(len(group.runs)),
            *(str(group.spread(model, key)) for model, key in measures),
        ]
        for group in groups
    ]
    return _rows(head, rows, texts=len(keys))


def _front_table(best: Sequence[Point]) -> list[str]:
    ordered = sorted(best, key=lambda point: (point.size_mb, point.label))
    rows = [
        [p.model, p.label, f"{p.size_mb:.2f}", f"{p.validation_f1:.4f}", f"{p.f1:.4f}"]
        for p in ordered
    ]
    return _rows(["model", "setting", "MB", TITLES[CHOOSES], TITLES[REPORTED]], rows, texts=2)


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int) -> list[str]:
    """Return a Markdown table whose first columns are text and the others numbers."""
    rule = ["---"] * texts + ["---:"] * (len(head) - texts)
    escaped = [
        [cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in [head, rule, *rows]
    ]
    return [f"| {' | '.join(row)} |" for row in escaped]
