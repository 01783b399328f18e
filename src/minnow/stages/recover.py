"""recover: let the quantized student make up for what quantization cost, and keep that only if
validation says so.
"""

import shutil
from pathlib import Path
from typing import Annotated, Literal

from minnow.core.bounds import EpochsOrNone, Seed
from minnow.core.files import check_manifest, replacing
from minnow.core.params import Block, RuntimeParams, Select, StageParams, ThresholdParams
from minnow.core.tables import read_logits, read_table, write_table
from minnow.distill.params import DistillParams
from minnow.layout import Layout
from minnow.models.params import LoraParams
from minnow.training.params import TrainingParams

# What dvc.yaml lists of the package, on which the name of a checkpoint depends.
CODE = ("core", "models", "training", "distill", "quantization", "stages/recover.py")


class RecoveryTrainingParams(TrainingParams):
    """As any training; 0 epochs is none."""

    epochs: EpochsOrNone


class RecoverParams(Block):
    """How what stays trainable is trained, and the adapters of the 4-bit layers, if any.

    The loss is distillation's.
    """

    training: RecoveryTrainingParams
    lora: LoraParams | None
    adapters: Literal["merged", "shipped"]
    seed: Seed


class Params(StageParams):
    """What `recover` reads of params.yaml."""

    runtime: Annotated[RuntimeParams, "presets.*.runtime"]
    distill: Annotated[DistillParams, "distill"]
    recover: Annotated[RecoverParams, "recover"]
    select: Annotated[Select, "select"]
    threshold: Annotated[ThresholdParams, "evaluate.threshold"]


def main(root: Path) -> None:
    """Write the folder of the quantized student that is judged and ships, and the curve of its
    recovery.
    """
    params, layout = Params.load(root), Layout(root)
    packed, out = layout.model("packed"), layout.model("quantized")
    check_manifest(packed)
    if params.recover.training.epochs == 0:
        from minnow.training.curves import curve_of

        with replacing(out) as folder:
            shutil.copytree(packed, folder, copy_function=shutil.copyfile)
        write_table(layout.plot("recovery_training"), curve_of([]))
    else:
        recover(params, layout)


def recover(params: Params, layout: Layout) -> None:
    """Train, and write what is better."""
    from minnow.core.runtime import start

    chosen, lora = params.recover, params.recover.lora
    run = start(params.runtime, seed=chosen.seed)
    from minnow.core.selection import Selection
    from minnow.quantization import recovery
    from minnow.quantization.rebuilding import Adapters, Folders
    from minnow.training import checkpoints
    from minnow.training.fitting import Tables
    from minnow.training.objective import Job, Schedule

    train, validation = (read_table(layout.split(name)) for name in ("train", "validation"))
    extra, logits = layout.validation_extra, layout.logits_of("teacher", "train")
    rows = [layout.split("train"), layout.split("validation"), extra]
    inputs = [*rows, logits, layout.manifest("packed")]
    checkpoint = checkpoints.checkpoint_of(
        layout, "recovery", params.model_dump_json(), inputs, CODE
    )
    check_manifest(layout.model("student"))
    with replacing(layout.model("quantized")) as out:
        curve = recovery.recover_student(
            Folders(layout.model("packed"), layout.model("student"), out),
            Tables(
                train,
                validation,
                read_logits(logits, train["id"].to_list()),
                read_table(extra),
            ),
            Adapters(
                rank=0 if lora is None else lora.rank,
                alpha=1.0 if lora is None else lora.alpha,
                shipped=chosen.adapters == "shipped",
            ),
            params.distill.logit_loss,
            Schedule(chosen.training, chosen.seed, Selection(params.select.root, params.threshold)),
            Job("recovery", run, checkpoint),
        )
    write_table(layout.plot("recovery_training"), curve)
    checkpoints.discard_checkpoints(layout, "recovery")
