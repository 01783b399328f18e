"""The card's tables of slices, of test sets of other origin, and of sizes beside the notebook's."""

from collections.abc import Iterable, Mapping

from minnow.evaluation.records import WHOLE_WAY, Estimates, ExtraResult, Headline
from minnow.evaluation.slice_records import Slices, SliceScore
from minnow.layout import BASELINE, EXPORTED, JUDGED
from minnow.report import elsewhere
from minnow.report.formatting import (
    NONE,
    bounds,
    count,
    megabytes,
    models_in_order,
    number,
    percent,
    signed,
)
from minnow.report.markdown import code, estimate, markdown_table

BEFORE, FINAL = WHOLE_WAY
NAMES = {BASELINE: "n-gram baseline", EXPORTED: "exported (`model.onnx`)"}
SHOWN_SLICES = 5
# The notebook's own figures: MB, and what it says of them.
NOTEBOOK = {BEFORE: "438", "student": "211 (51 % smaller)", FINAL: "62.7 (7 times smaller)"}
NOTEBOOK_ROWS = "450"
SLICE_COLUMNS = ["slice", "rows", "measure", "teacher", "quantized"]


def model_names(models: Iterable[str]) -> list[str]:
    """Return how the tables name models."""
    return [NAMES.get(model, model) for model in models]


def hurt_table(slices: Slices) -> str:
    """Return the slices that compression hurts most, nothing where there is none."""
    rows = [
        [*slice_cells(hurt), signed(whole_way.change)]
        for hurt, whole_way in slices.hurt[:SHOWN_SLICES]
    ]
    return markdown_table([*SLICE_COLUMNS, "change"], rows) if rows else ""


def weak_table(slices: Slices) -> str:
    """Return the slices where the model is weakest, nothing where all are small."""
    large = [one for one in slices.slices if not one.small and FINAL in one.models]
    large.sort(key=lambda one: (one.models[FINAL], slice_name(one)))
    rows = [slice_cells(one) for one in large[:SHOWN_SLICES]]
    return markdown_table(SLICE_COLUMNS, rows) if rows else ""


def slice_name(score: SliceScore) -> str:
    """Return a slice's trait and value."""
    return f"{score.slice}: {score.value}"


def slice_cells(score: SliceScore) -> list[str]:
    """Return a slice's name, rows, measure, and its scores before and after."""
    scores = [number(score.models.get(model)) for model in (BEFORE, FINAL)]
    return [code(slice_name(score)), f"{score.rows:,}", score.measure, *scores]


def extra_table(extra: Mapping[str, ExtraResult]) -> str:
    """Return F1 on the test sets of other origin, nothing without any."""
    columns = models_in_order({*JUDGED, *(name for each in extra.values() for name in each.models)})
    rows = []
    for name, result in sorted(extra.items()):
        models = result.models
        scores = [estimate(models[model].f1) if model in models else NONE for model in columns]
        rows.append([code(name), count(result.rows), *scores])
    return markdown_table(["F1 on", "rows", *model_names(columns)], rows) if rows else ""


def broken_lines(extra: Mapping[str, ExtraResult]) -> str:
    """Return a list of the quantized student's thresholds that are shown not to carry over, nothing
    where there is none.
    """
    who = f"the {FINAL} student"
    return "\n".join(
        f"- {code(name)}: {line}"
        for name, result in sorted(extra.items())
        for line in elsewhere.broken_thresholds(result, FINAL, who)
    )


def rare_table(models: Mapping[str, Estimates]) -> str:
    """Return what the models' thresholds are worth where phishing is rare, nothing where no
    prevalence is asked for.
    """
    final, columns = models[FINAL].at_prevalence, models_in_order(models)
    rows = [
        [
            f"{100 * each.prevalence:g} %",
            *(number(models[model].at_prevalence[place].precision.value, 3) for model in columns),
            bounds(each.precision, 3),
            number(each.f1.value, 3),
            count(each.alarms_per_million.value),
        ]
        for place, each in enumerate(final)
    ]
    names = [f"precision, {name}" for name in model_names(columns)]
    header = [
        "phishing",
        *names,
        *(f"{name}, quantized" for name in ("interval", "F1", "false alarms in a million")),
    ]
    return markdown_table(header, rows) if rows else ""


def sizes_table(headline: Mapping[str, Headline], rows_of_test: int) -> str:
    """Return our sizes beside those of the notebook that this task is known from."""
    ours = {model: megabytes(headline[model].size_mb) for model in (BEFORE, "student", FINAL)}
    smaller = 1 - headline["student"].size_mb / headline[BEFORE].size_mb
    ours["student"] += f" ({percent(smaller, 0)} smaller)"
    ours[FINAL] += f" ({headline[FINAL].compression_x:.1f} times smaller)"
    rows = [[f"{model}, MB", NOTEBOOK[model], size] for model, size in ours.items()]
    rows.append(["test rows", NOTEBOOK_ROWS, f"{rows_of_test:,}"])
    return markdown_table(["", "notebook", "this model"], rows)
