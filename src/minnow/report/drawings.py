"""The page's drawings, each with its title, what it shows, and its legend. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minnow.evaluation.records import Hop, Hops, Sizes
from minnow.evaluation.results import SensitivePart
from minnow.evaluation.slice_records import SliceScore
from minnow.layout import hops_among
from minnow.report import changes, charts, curves, dots, size_bars, svg
from minnow.report import confusion as confusions
from minnow.report.formatting import BITS, arrow, models_in_order, most_sensitive
from minnow.text.display import plain

if TYPE_CHECKING:
    import polars as pl


TRAINED = ("teacher", "student")
# The tables of metrics/plots that are drawn, those of figures and those of trainings, by name;
# sizes and slices come with more than their tables say.
FIGURES = ("roc", "pr", "calibration", "confusion", "shift")
# A curve has this column where validation had an extra part.
CHOSE_BESIDE = "validation_extra_score"
TRAININGS = tuple(f"{model}_training" for model in TRAINED)
Plots = Mapping[str, "pl.DataFrame"]


@dataclass(frozen=True)
class Figure:
    """A drawing with its title, what it shows in a sentence, and its legend as (role of the colour,
    name).
    """

    title: str
    about: str
    drawing: str
    legend: Sequence[tuple[str, str]] = ()


def figure(
    title: str, about: str, spec: svg.Spec, legend: Sequence[tuple[str, str]] = ()
) -> Figure:
    """Draw a figure."""
    return Figure(title, about, svg.draw(spec, f"{title}. {about}"), legend)


def drawn(
    plots: Plots,
    hops: Hops,
    sizes: Sizes,
    slices: Sequence[SliceScore],
    parts: Sequence[SensitivePart],
) -> dict[str, Any]:
    """Return all drawings by their place on the page; `plots` are the tables of FIGURES and
    TRAININGS.
    """
    judged = models_in_order(sizes)
    return {
        "forest": forest_drawing(hops.hops, hops.margin),
        "curves": by_threshold(plots),
        "confusion": [confusion_drawing(model, plots["confusion"]) for model in judged],
        "shifts": [
            shift_drawing(before, after, plots["shift"]) for before, after in hops_among(judged)
        ],
        "size": size_drawing(sizes),
        "training": training_drawing(plots),
        "slices": by_slice(slices),
        "sensitivity": sensitivity_drawing(parts),
    }


def forest_drawing(hops: Sequence[Hop], margin: float) -> Figure:
    """Return what each hop does to F1."""
    return figure(
        "What each hop does to F1",
        "The difference on the same rows and its interval. In the shaded part more is lost than"
        " the margin.",
        changes.forest_chart(hops, margin),
    )


def by_threshold(plots: Plots) -> list[Figure]:
    """Return ROC, precision-recall and reliability curves of all models."""
    return [
        figure(
            "ROC",
            "How much phishing is found, by how many safe URLs raise an alarm.",
            curves.roc_chart(plots["roc"]),
        ),
        figure(
            "Precision and recall",
            "How many alarms are right, by how much is found.",
            curves.precision_recall_chart(plots["pr"]),
        ),
        figure(
            "Calibration",
            "What happens, by what the model expects. On the diagonal its probabilities are true.",
            curves.calibration_chart(plots["calibration"]),
        ),
    ]


def confusion_drawing(model: str, table: "pl.DataFrame") -> Figure:
    """Return a model's confusion matrix."""
    about = "Test rows by what they are and what the model says."
    return figure(model, about, confusions.confusion_chart(model, table.filter(model=model)))


def shift_drawing(before: str, after: str, table: "pl.DataFrame") -> Figure:
    """Return the histogram of what a hop did to the probabilities."""
    about = "Test rows by how far their probability of phishing moved."
    moved = table.filter(before=before, after=after)
    return figure(arrow(before, after), about, changes.shift_chart(after, moved))


def size_drawing(sizes: Mapping[str, Mapping[str, int]]) -> Figure:
    """Return the sizes by part."""
    ordered = {model: sizes[model] for model in models_in_order(sizes)}
    parts = size_bars.parts(ordered)
    legend = [(charts.part_role(rank), plain(part)) for rank, part in enumerate(parts)]
    about = "All that a model needs to run."
    return figure("Size by part", about, size_bars.size_bars(ordered), legend)


def training_drawing(plots: Plots) -> list[Figure]:
    """Return loss and validation F1 by epoch of the models that were trained here."""
    tables = {model: plots[name] for model, name in zip(TRAINED, TRAININGS, strict=True)}
    trained = {model: table for model, table in tables.items() if table.height}
    if not trained:
        return []
    loss = curves.training_curves(trained, "loss", "loss")
    f1 = curves.training_curves(trained, "validation_f1", "F1")
    extra = any(CHOSE_BESIDE in table.columns for table in trained.values())
    kept = "By epoch; the epoch is kept that is best on it and its extra part, on average."
    return [
        figure("Training loss", "Each model’s own loss, by epoch.", loss),
        figure("F1 on validation", kept if extra else "By epoch; the best epoch is kept.", f1),
    ]


def by_slice(slices: Sequence[SliceScore]) -> Figure | None:
    """Return the models' scores by slice, None without slices."""
    if not slices:
        return None
    about = (
        "F1 of each model, or the share that is right where the label says so. Hollow: small"
        " slices."
    )
    models = models_in_order({model for one in slices for model in one.models})
    legend = [(model, model) for model in models]
    return figure("Scores by slice", about, dots.slices_chart(slices), legend)


def sensitivity_drawing(parts: Sequence[SensitivePart]) -> Figure:
    """Return what each part loses in 4, 8 and 16 bits."""
    about = (
        "Mean KL divergence from the student’s probabilities when one part alone has so few bits,"
        " on validation."
    )
    legend = [(charts.part_role(rank), f"{bits} bits") for rank, bits in enumerate(BITS)]
    return figure(
        "Damage by part", about, dots.sensitivity_chart(most_sensitive(parts), BITS), legend
    )
