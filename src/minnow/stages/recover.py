"""recover: let the quantized student make up for what quantization cost, and keep that only if
validation says so.
"""

import shutil
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from minnow.core.files import check_manifest, replacing
from minnow.core.params import Block, RuntimeParams, Seed, StageParams
from minnow.core.tables import read_logits, read_table, write_table
from minnow.distill.params import DistillParams
from minnow.layout import Layout
from minnow.training import fitting


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
    """Write the folder of the quantized student that is judged and ships, and the curve of its
    recovery.
    """
    params, layout = Params.load(root), Layout(root)
    packed, out = layout.model("packed"), layout.model("quantized")
    check_manifest(packed)
    if params.recover.epochs == 0:
        with replacing(out) as folder:
            shutil.copytree(packed, folder, copy_function=shutil.copyfile)
        write_table(layout.plot("recovery_training"), fitting.curve_of([]))
    else:
        recover(params, layout)


def recover(params: Params, layout: Layout) -> None:
    """Train, and write what is better."""
    from minnow.core.runtime import start
    from minnow.quantization import recovery
    from minnow.training import checkpoints
    from minnow.training.params import TrainingParams

    given, distill = params.recover, params.distill
    run = start(params.runtime, seed=given.seed)
    folders = recovery.Folders(layout.model("packed"), layout.model("student"))
    check_manifest(folders.student)
    train, validation = (read_table(layout.split(name)) for name in ("train", "validation"))
    logits = layout.logits_of("teacher", "train")
    inputs = [layout.split("train"), layout.split("validation"), logits, layout.manifest("packed")]
    with replacing(layout.model("quantized")) as out:
        curve = recovery.recover(
            folders,
            out,
            train,
            validation,
            teacher_logits=read_logits(logits, train["id"].to_list()),
            loss=distill.logit_loss,
            training=TrainingParams(**given.model_dump(include=set(TrainingParams.model_fields))),
            adapted=recovery.Adapters(given.rank, given.alpha, given.adapters == "shipped"),
            run=run,
            seed=given.seed,
            checkpoint=checkpoints.checkpoint_of(
                layout, "recovery", params.model_dump_json(), inputs
            ),
        )
    write_table(layout.plot("recovery_training"), curve)
    checkpoints.discard_checkpoints(layout, "recovery")
