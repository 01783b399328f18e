"""report: everything that the pipeline found out, as one page to look at."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from minnow.core.files import read_json, replacing
from minnow.core.params import RuntimeParams, StageParams
from minnow.data.params import DataParams
from minnow.distill.params import DistillParams
from minnow.errors import MinnowError, reason
from minnow.evaluation.params import Controls, EvaluateParams
from minnow.layout import JUDGED, Layout
from minnow.quantization.params import QuantizeParams
from minnow.report.mistakes import collected
from minnow.stages.recover import RecoverParams
from minnow.student.params import StudentParams
from minnow.teacher.params import TeacherParams

if TYPE_CHECKING:
    import polars as pl


TOLD = (
    "prepare",
    "intervals",
    "hops",
    "calibration",
    "slices",
    "extra",
    "controls",
    "sizes",
    "sensitivity",
)
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
    from minnow.report import drawings, page

    told = {name: read_json(layout.metrics(name)) for name in TOLD}
    missed, alarms = collected(
        layout, told["calibration"]["models"]["quantized"]["decision"]["threshold"]
    )
    found = page.Findings(
        **told,
        preset=params.preset,
        headline={model: read_json(layout.metrics(model)) for model in JUDGED},
        plots={
            **{name: table(layout.evaluation_plot(name)) for name in drawings.FIGURES},
            **{name: table(layout.plot(name)) for name in drawings.TRAININGS},
        },
        formats=read_json(layout.manifest("quantized"))["formats"],
        missed=missed,
        alarms=alarms,
        params=params.model_dump(exclude={"preset"}),
        versions=versions(),
    )
    with replacing(layout.report("report")) as temporary:
        temporary.write_text(page.render(found), encoding="utf-8")


def table(path: Path) -> "pl.DataFrame":
    """Return the table of a plot.

    Raises:
        MinnowError: the file is missing or broken.
    """
    import polars as pl

    try:
        return pl.read_csv(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise MinnowError(
            f"{path} cannot be read ({reason(error)}); `dvc repro` makes it"
        ) from None


def versions() -> dict[str, Any]:
    """Return the versions of Python and of the main packages, without what tells builds of one
    version apart.
    """
    import platform
    from importlib.metadata import version

    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, **{name: version(name).split("+")[0] for name in PACKAGES}}
