"""report: everything that the pipeline found out, as one page to look at."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from minnow import store
from minnow.errors import MinnowError, reason
from minnow.layout import JUDGED, MODELS, Layout
from minnow.params import RuntimeParams, StageParams
from minnow.stages.distill import DistillParams, StudentParams
from minnow.stages.evaluate import Controls, EvaluateParams
from minnow.stages.prepare import DataParams
from minnow.stages.quantize import QuantizeParams
from minnow.stages.recover import RecoverParams
from minnow.stages.teacher import TeacherParams

if TYPE_CHECKING:
    import polars as pl

    from minnow.sections import Mistake

TOLD = ("prepare", "intervals", "hops", "calibration", "slices", "extra", "controls", "sizes", "sensitivity")
PACKAGES = ("torch", "transformers", "bitsandbytes", "scikit-learn", "dvc")


class Params(StageParams):
    """What `report` shows of params.yaml: all that is in force."""

    data: Annotated[DataParams, "presets.*.data"]
    runtime: Annotated[RuntimeParams, "presets.*.runtime"]
    teacher: Annotated[TeacherParams, "presets.*.teacher"]
    student: Annotated[StudentParams, "presets.*.student"]
    distill: Annotated[DistillParams, "distill"]
    quantize: Annotated[QuantizeParams, "quantize"]
    recover: Annotated[RecoverParams, "recover"]
    evaluate: Annotated[EvaluateParams, "evaluate"]
    controls: Annotated[Controls, "controls"]


def main(root: Path) -> None:
    """Write reports/report.html."""
    params, layout = Params.load(root), Layout(root)
    from minnow import drawings, page

    told = {name: store.read_json(layout.metrics(name)) for name in TOLD}
    missed, alarms = mistakes(layout, told["calibration"]["models"]["quantized"]["decision"]["threshold"])
    found = page.Findings(
        **told,
        preset=params.preset,
        headline={model: store.read_json(layout.metrics(model)) for model in JUDGED},
        plots={name: table(layout.plot(name)) for name in drawings.TABLES},
        formats=store.read_json(layout.manifest("quantized"))["formats"],
        missed=missed,
        alarms=alarms,
        params=params.model_dump(exclude={"preset"}),
        versions=versions(),
    )
    with store.replacing(layout.report("report")) as temporary:
        temporary.write_text(page.render(found), encoding="utf-8")


def mistakes(layout: Layout, threshold: float) -> tuple[list["Mistake"], list["Mistake"]]:
    """Return the hardest errors of the quantized student on test: phishing called safe, and the reverse."""
    from minnow import metrics, scoring, sections

    test = store.read_table(layout.split("test"))
    margins = {model: metrics.margin(scoring.logits(layout, model, "test")) for model in MODELS}
    probabilities = {model: metrics.probability(each) for model, each in margins.items()}
    texts = test["text"].to_list()
    found = sections.hardest(texts, test["label"].to_list(), margins["quantized"].tolist(), threshold)
    missed, alarms = (
        [
            sections.Mistake(texts[row], {model: float(each[row]) for model, each in probabilities.items()})
            for row in rows
        ]
        for rows in found
    )
    return missed, alarms


def table(path: Path) -> "pl.DataFrame":
    """Return the table of a plot.

    Raises:
        MinnowError: the file is missing or broken.
    """
    import polars as pl

    try:
        return pl.read_csv(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise MinnowError(f"{path} cannot be read ({reason(error)}); `dvc repro` makes it") from None


def versions() -> dict[str, Any]:
    """Return the versions of Python and of the main packages, without what tells builds of one version apart."""
    import platform
    from importlib.metadata import version

    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, **{name: version(name).split("+")[0] for name in PACKAGES}}
