"""package: the folder that ships: the quantized model, how to call it, and a model card that says what it is worth."""

import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

from minnow import store
from minnow.layout import JUDGED, Layout
from minnow.params import StageParams
from minnow.stages.distill import DistillParams, StudentParams
from minnow.stages.prepare import DataParams

if TYPE_CHECKING:
    from minnow.cards import Evidence, Origin


class Params(StageParams):
    """What `package` reads of params.yaml: how the texts are cleaned, and how the student was made."""

    data: Annotated[DataParams, "presets.*.data"]
    student: Annotated[StudentParams, "presets.*.student"]
    distill: Annotated[DistillParams, "distill"]


def main(root: Path) -> None:
    """Write the release's folder."""
    params, layout = Params.load(root), Layout(root)
    from minnow import cards, settings

    model = layout.model("quantized")
    store.check_manifest(model)
    manifest, evidence = store.read_json(layout.manifest("quantized")), evidence_of(layout)
    called = settings.of_model(
        model,
        calibration=evidence.calibration["models"]["quantized"],
        move_scheme=params.data.move_scheme,
        synthetic=evidence.prepare["source"] == "synthetic",
    )
    card = cards.card(evidence, origin(params, layout), called)
    with store.replacing(layout.release) as out:
        for name in manifest["files"]:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(model / name, out / name)
        store.write_json(out / settings.FILE, called.as_json())
        (out / settings.CARD).write_text(card, encoding="utf-8")
        store.write_manifest(out, {name: manifest[name] for name in ("parameters", "formats")})


def evidence_of(layout: Layout) -> "Evidence":
    """Return the metrics of all models."""
    from minnow.cards import Evidence

    names = ("prepare", "intervals", "hops", "calibration", "slices", "extra")
    found: dict[str, Any] = {name: store.read_json(layout.metrics(name)) for name in names}
    return Evidence(**found, headline={model: store.read_json(layout.metrics(model)) for model in JUDGED})


def origin(params: Params, layout: Layout) -> "Origin":
    """Return what the model was made from, by params and by the manifests of teacher and student."""
    from minnow import cards, settings

    return cards.Origin(
        teacher=cards.base(store.read_json(layout.manifest("teacher"))),
        student=cards.base(store.read_json(layout.manifest("student"))),
        copied=params.student.init == "teacher",
        narrowed=params.student.narrowing is not None,
        vocabulary=params.student.vocabulary.method,
        loss=params.distill.loss_name,
        soft_weight=params.distill.soft_weight,
        temperature=params.distill.temperature,
        quantization=settings.quantization(layout.model("quantized")),
        embeddings=settings.embeddings(layout.model("quantized")),
        adapters=settings.adapters(layout.model("quantized")),
        recovered=cards.recovered(store.read_json(layout.manifest("quantized"))),
        budget=store.read_json(layout.manifest("quantized")).get("budget"),
        file=None if params.data.path is None else PurePosixPath(params.data.path).name,
        states=params.distill.inside,
        unlabelled=store.read_json(layout.unlabelled_report) if params.distill.more_text else None,
    )
