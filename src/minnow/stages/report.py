"""report: everything that the pipeline found out, as one page to look at."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from minnow.core.files import read_json, replacing
from minnow.core.params import Raw, StageParams
from minnow.errors import MinnowError, reason
from minnow.layout import Layout

if TYPE_CHECKING:
    import polars as pl


PACKAGES = ("torch", "transformers", "bitsandbytes", "scikit-learn", "dvc")


class Params(StageParams):
    """What `report` shows of params.yaml: all that is in force, as it stands there."""

    active: Annotated[Raw, "presets.*"]
    teacher_states: Annotated[Raw, "teacher_states"]
    teacher_unlabelled: Annotated[Raw, "teacher_unlabelled"]
    distill: Annotated[Raw, "distill"]
    select: Annotated[Raw, "select"]
    quantize: Annotated[Raw, "quantize"]
    recover: Annotated[Raw, "recover"]
    evaluate: Annotated[Raw, "evaluate"]
    extra: Annotated[Raw, "extra"]
    controls: Annotated[Raw, "controls"]

    def blocks(self) -> dict[str, Any]:
        """Return every block by name, those of the preset first.

        Raises:
            MinnowError: the preset holds no blocks.
        """
        shown = self.model_dump(exclude={"preset"})
        active = shown.pop("active")
        if not isinstance(active, dict):
            raise MinnowError(
                f"params.yaml: presets.{self.preset} is {active!r}; it must be a block with the"
                " preset's own blocks, such as data and teacher"
            )
        return {**active, **shown}


def main(root: Path) -> None:
    """Write reports/report.html."""
    params, layout = Params.load(root), Layout(root)
    from minnow.evaluation import results
    from minnow.report import drawings, mistakes, page

    evidence = results.read_evidence(layout)
    threshold = evidence.calibration.models["quantized"].decision.threshold
    missed, alarms = mistakes.collected(layout, threshold)
    findings = page.Findings(
        preset=params.preset,
        data=results.read_record(results.DataReport, layout.metrics("prepare")),
        headline={
            model: results.read_headline(layout, model) for model in evidence.intervals.models
        },
        evidence=evidence,
        sensitivity=results.read_record(results.Sensitivity, layout.metrics("sensitivity")),
        formats=read_json(layout.manifest("quantized"))["formats"],
        plots={
            **{name: read_plot(layout.evaluation_plot(name)) for name in drawings.FIGURES},
            **{name: read_plot(layout.plot(name)) for name in drawings.TRAININGS},
        },
        missed=missed,
        alarms=alarms,
        params=params.blocks(),
        versions=main_versions(),
    )
    with replacing(layout.report("report")) as temporary:
        temporary.write_text(page.render(findings), encoding="utf-8")


def read_plot(path: Path) -> "pl.DataFrame":
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


def main_versions() -> dict[str, str]:
    """Return the versions of Python and of the main packages, without what tells builds of one
    version apart.
    """
    import platform
    from importlib.metadata import version

    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, **{name: version(name).split("+")[0] for name in PACKAGES}}
