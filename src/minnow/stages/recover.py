"""recover: let the quantized student make up for what quantization cost, and keep that only if validation says so."""

import shutil
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from minnow import curves, store
from minnow.layout import Layout
from minnow.params import Block, RuntimeParams, Seed, StageParams
from minnow.stages.distill import DistillParams


class RecoverParams(Block):
    """Adapters of the 4-bit layers, and how they are trained; the loss is distillation's."""

    epochs: Annotated[int, Field(ge=0)]
    rank: Annotated[int, Field(ge=0)]
    alpha: Annotated[float, Field(gt=0)]
    adapters: Literal["merged", "shipped"]
    batch_size: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0, lt=1)]
    warmup: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0, lt=1)]
    seed: Seed


class Params(StageParams):
    """What `recover` reads of params.yaml."""

    runtime: Annotated[RuntimeParams, "presets.*.runtime"]
    distill: Annotated[DistillParams, "distill"]
    recover: Annotated[RecoverParams, "recover"]


def main(root: Path) -> None:
    """Write the folder of the quantized student that is judged and ships, and the curve of its recovery."""
    params, layout = Params.load(root), Layout(root)
    packed, out = layout.model("packed"), layout.model("quantized")
    store.check_manifest(packed)
    if params.recover.epochs == 0:
        with store.replacing(out) as folder:
            shutil.copytree(packed, folder, copy_function=shutil.copyfile)
        store.write_table(layout.plot("recovery_training"), curves.of([]))
    else:
        recover(params, layout)


def recover(params: Params, layout: Layout) -> None:
    """Train, and write what is better."""
    from minnow import fitting, recovery, runtime
    from minnow.params import TrainingParams

    given, distill = params.recover, params.distill
    run = runtime.start(params.runtime, seed=given.seed)
    folders = recovery.Folders(layout.model("packed"), layout.model("student"))
    store.check_manifest(folders.student)
    train, validation = (store.read_table(layout.split(name)) for name in ("train", "validation"))
    logits = layout.logits_of("teacher", "train")
    inputs = [layout.split("train"), layout.split("validation"), logits, layout.manifest("packed")]
    with store.replacing(layout.model("quantized")) as out:
        curve = recovery.recover(
            folders,
            out,
            train,
            validation,
            teacher_logits=store.read_logits(logits, train["id"].to_list()),
            loss=distill.logit_loss,
            training=TrainingParams(**given.model_dump(include=set(TrainingParams.model_fields))),
            adapted=recovery.Adapters(given.rank, given.alpha, given.adapters == "shipped"),
            run=run,
            seed=given.seed,
            checkpoint=fitting.checkpoint_of(layout, "recovery", params.model_dump_json(), inputs),
        )
    store.write_table(layout.plot("recovery_training"), curve)
    fitting.discard_checkpoints(layout, "recovery")
