"""The page's drawings, each with its title, what it shows, and its legend. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minnow.layout import HOPS, JUDGED
from minnow.report import charts, svg
from minnow.report.formatting import BITS, arrow, judged, most_sensitive
from minnow.text.display import plain

if TYPE_CHECKING:
    import polars as pl


TRAINED = ("teacher", "student")
CURVES = ("roc", "pr", "calibration")
# The tables of metrics/plots that are drawn, by name; sizes and slices come with more than their
# tables say.
TABLES = (
    *(f"{kind}_{model}" for kind in (*CURVES, "confusion") for model in JUDGED),
    *(f"shift_{before}_{after}" for before, after in HOPS),
    *(f"{model}_training" for model in TRAINED),
)
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
    hops: Mapping[str, Any],
    sizes: Mapping[str, Mapping[str, int]],
    slices: Sequence[Mapping[str, Any]],
    parts: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return all drawings by their place on the page; `plots` are the tables of metrics/plots by
    name.
    """
    return {
        "forest": figure(
            "What each hop does to F1",
            "The difference on the same rows and its interval. In the shaded part more is lost than"
            " the margin.",
            charts.forest(hops["hops"], hops["margin"]),
        ),
        "curves": curves(plots),
        "confusion": [confusion(model, plots[f"confusion_{model}"]) for model in JUDGED],
        "shifts": [
            shift(before, after, plots[f"shift_{before}_{after}"]) for before, after in HOPS
        ],
        "size": size(sizes),
        "training": training(plots),
        "slices": by_slice(slices),
        "sensitivity": sensitivity(parts),
    }


def curves(plots: Plots) -> list[Figure]:
    """Return ROC, precision-recall and reliability curves of all models."""
    roc, pr, calibration = (
        {model: plots[f"{kind}_{model}"] for model in JUDGED} for kind in CURVES
    )
    return [
        figure(
            "ROC",
            "How much phishing is found, by how many safe URLs raise an alarm.",
            charts.roc(roc),
        ),
        figure(
            "Precision and recall",
            "How many alarms are right, by how much is found.",
            charts.precision_recall(pr),
        ),
        figure(
            "Calibration",
            "What happens, by what the model expects. On the diagonal its probabilities are true.",
            charts.calibration(calibration),
        ),
    ]


def confusion(model: str, table: "pl.DataFrame") -> Figure:
    """Return a model's confusion matrix."""
    return figure(
        model, "Test rows by what they are and what the model says.", charts.confusion(model, table)
    )


def shift(before: str, after: str, table: "pl.DataFrame") -> Figure:
    """Return the histogram of what a hop did to the probabilities."""
    about = "Test rows by how far their probability of phishing moved."
    return figure(arrow(before, after), about, charts.shift(after, table))


def size(sizes: Mapping[str, Mapping[str, int]]) -> Figure:
    """Return the sizes by part."""
    ordered = {model: sizes[model] for model in judged(sizes)}
    names = [
        (charts.part_role(rank), plain(part)) for rank, part in enumerate(charts.parts(ordered))
    ]
    return figure(
        "Size by part", "All that a model needs to run.", charts.size_by_part(ordered), names
    )


def training(plots: Plots) -> list[Figure]:
    """Return loss and validation F1 by epoch of the models that were trained here."""
    tables = {model: plots[f"{model}_training"] for model in TRAINED}
    trained = {model: table for model, table in tables.items() if table.height}
    if not trained:
        return []
    loss, score = (
        charts.training(trained, *column) for column in (("loss", "loss"), ("validation_f1", "F1"))
    )
    return [
        figure("Training loss", "Each model’s own loss, by epoch.", loss),
        figure("F1 on validation", "By epoch; the best epoch is kept.", score),
    ]


def by_slice(slices: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Return the models' scores by slice, None without slices."""
    if not slices:
        return None
    about = (
        "F1 of each model, or the share that is right where the label says so. Hollow: small"
        " slices."
    )
    return figure(
        "Scores by slice", about, charts.slices(slices), [(model, model) for model in JUDGED]
    )


def sensitivity(parts: Sequence[Mapping[str, Any]]) -> Figure:
    """Return what each part loses in 4, 8 and 16 bits."""
    about = (
        "Mean KL divergence from the student’s probabilities when one part alone has so few bits,"
        " on validation."
    )
    legend = [(charts.part_role(rank), f"{bits} bits") for rank, bits in enumerate(BITS)]
    return figure("Damage by part", about, charts.sensitivity(most_sensitive(parts), BITS), legend)
