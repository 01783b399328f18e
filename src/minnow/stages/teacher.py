"""teacher: fine-tune a sequence classifier, or take over a ready-made one."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from minnow import store
from minnow.layout import Layout
from minnow.params import Block, BuildParams, RuntimeParams, Seed, StageParams, TrainingParams

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from minnow.runtime import Runtime


class LoraParams(Block):
    """The adapters of a base that is trained in 4 bits; `alpha` / `rank` is what their output is multiplied by."""

    rank: Annotated[int, Field(ge=1)]
    alpha: Annotated[float, Field(gt=0)]


class TeacherParams(Block):
    """Where the teacher comes from and how it is trained."""

    method: Literal["full", "head", "qlora", "none"]
    lora: LoraParams | None
    base: str | None
    revision: str | None
    phishing_label: str | None
    build: BuildParams | None
    vocabulary: Annotated[int, Field(ge=300)] | None
    max_length: Annotated[int, Field(ge=8)]
    seed: Seed
    training: TrainingParams

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.base is None) == (self.build is None):
            raise ValueError("set either base (a Hub id or a folder) or build (a shape), and the other to null")
        if (self.build is None) != (self.vocabulary is None):
            raise ValueError("vocabulary goes with build: a base brings its own tokenizer")
        if self.build is not None and self.method != "full":
            raise ValueError(f"method {self.method!r} needs a pretrained base; a built model is trained with 'full'")
        if (self.method == "qlora") != (self.lora is not None):
            needs = (
                "needs lora, a block with the keys rank, alpha" if self.lora is None else "has no lora: set it to null"
            )
            raise ValueError(f"method {self.method!r} {needs}")
        return self


class Params(StageParams):
    """What `teacher` reads of params.yaml."""

    teacher: Annotated[TeacherParams, "presets.*.teacher"]
    runtime: Annotated[RuntimeParams, "presets.*.runtime"]


def main(root: Path) -> None:
    """Write the teacher's folder and its training curve."""
    params, layout = Params.load(root), Layout(root)
    from minnow import curves, fitting, models, runtime, training

    teacher = params.teacher
    run = runtime.start(params.runtime, seed=teacher.seed)
    train, validation = (store.read_table(layout.split(name)) for name in ("train", "validation"))
    model, tokenizer, facts = origin(teacher, train["text"].to_list(), layout.base(params.preset), run)
    checkpoint = fitting.checkpoint_of(
        layout, "teacher", params.model_dump_json(), [layout.split("train"), layout.split("validation")]
    )
    if teacher.method == "none":
        curve = curves.of([])
    else:
        curve = fitting.fit_tables(
            model,
            tokenizer,
            train,
            validation,
            loss=training.hard_loss,
            params=teacher.training,
            run=run,
            seed=teacher.seed,
            desc="teacher",
            checkpoint=checkpoint,
        )
    if teacher.method == "qlora":
        from minnow import qlora

        model = qlora.merged(model)
    with store.replacing(layout.model("teacher")) as out:
        models.save(model, tokenizer, out, facts=facts)
    store.write_table(layout.plot("teacher_training"), curve)
    fitting.discard_checkpoints(layout, "teacher")


def origin(
    teacher: TeacherParams, texts: Sequence[str], folder: Path, run: "Runtime"
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase", dict[str, str | None]]:
    """Return the model to train, or to take over, its tokenizer (a built one is trained on `texts`), and its base."""
    from minnow import pretrained

    if teacher.build is not None and teacher.vocabulary is not None:
        tokenizer = pretrained.train_tokenizer(texts, vocabulary=teacher.vocabulary, max_length=teacher.max_length)
        return pretrained.build(teacher.build, tokenizer), tokenizer, {}
    assert teacher.base is not None, "TeacherParams has either base or build"
    checkpoint = pretrained.locate(teacher.base, teacher.revision, folder)
    tokenizer = pretrained.load_tokenizer(checkpoint, max_length=teacher.max_length)
    if teacher.lora is not None:
        from minnow import qlora

        model = qlora.load(checkpoint, device=run.device, rank=teacher.lora.rank, alpha=teacher.lora.alpha)
    else:
        model = pretrained.load_classifier(checkpoint, ready_made=teacher.method == "none")
    pretrained.agree_on_padding(model, tokenizer)
    pretrained.check_fits(model, tokenizer, whose="teacher")
    pretrained.standardise_labels(model, phishing_label=teacher.phishing_label)
    if teacher.method == "head":
        pretrained.freeze_body(model)
    return model, tokenizer, checkpoint.facts
