"""distill: train the student on the teacher's stored logits and the labels."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from minnow import store
from minnow.layout import Layout
from minnow.params import Architecture, Block, BuildParams, RuntimeParams, Seed, StageParams, TrainingParams
from minnow.states_params import StatesParams

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from minnow.runtime import Runtime
    from minnow.training import Guide


class VocabularyParams(Block):
    """What becomes of the vocabulary that the student's tokenizer brings."""

    method: Literal["keep", "trim", "train"]
    min_count: Annotated[int, Field(ge=1)] | None
    size: Annotated[int, Field(ge=300)] | None

    @model_validator(mode="after")
    def _field_of_method(self) -> Self:
        needed = {"keep": None, "trim": "min_count", "train": "size"}[self.method]
        for name in ("min_count", "size"):
            given = getattr(self, name) is not None
            if given and name != needed:
                raise ValueError(f"{name} does not go with method {self.method!r}: set it to null")
            if not given and name == needed:
                raise ValueError(f"method {self.method!r} needs {name}")
        return self


class StudentParams(Block):
    """Where the student comes from and how it is trained."""

    init: Literal["checkpoint", "teacher", "scratch"]
    base: str | None
    revision: str | None
    architecture: Architecture | None
    layers: Annotated[int, Field(ge=1)] | None
    heads: Annotated[int, Field(ge=1)] | None
    copy_layers: list[Annotated[int, Field(ge=0)]] | None
    dropout: Annotated[float, Field(ge=0, lt=1)] | None
    build: BuildParams | None
    vocabulary: VocabularyParams
    max_length: Annotated[int, Field(ge=8)]
    training: TrainingParams

    @model_validator(mode="after")
    def _fields_of_init(self) -> Self:
        allowed = {
            "checkpoint": {"base", "revision", "layers", "heads", "copy_layers", "dropout"},
            "teacher": {"architecture", "layers", "heads", "copy_layers", "dropout"},
            "scratch": {"build"},
        }
        needed = {"checkpoint": {"base", "layers"}, "teacher": {"layers"}, "scratch": {"build"}}
        optional = set().union(*allowed.values())
        for name in sorted(optional - allowed[self.init]):
            if getattr(self, name) is not None:
                raise ValueError(f"{name} does not go with init {self.init!r}: set it to null")
        for name in sorted(needed[self.init]):
            if getattr(self, name) is None:
                raise ValueError(f"init {self.init!r} needs {name}")
        if self.copy_layers is not None and len(self.copy_layers) != self.layers:
            raise ValueError(f"copy_layers names {len(self.copy_layers)} layers and layers is {self.layers}")
        return self


class DistillParams(StatesParams):
    """The loss: soft_weight · `loss` on the logits + (1 − soft_weight) · cross-entropy; mse has no temperature.

    To that the white-box terms are added, each times its weight.
    """

    model_config = ConfigDict(extra="forbid")

    loss: Literal["forward_kl", "reverse_kl", "jensen_shannon", "mse"]
    temperature: Annotated[float, Field(gt=0, le=100)]
    soft_weight: Annotated[float, Field(ge=0, le=1)]
    hidden_weight: Annotated[float, Field(ge=0)]
    hidden_measure: Literal["cosine", "mse"]
    attention_weight: Annotated[float, Field(ge=0)]
    relation_weight: Annotated[float, Field(ge=0)]
    relation_heads: Annotated[int, Field(ge=1)] | None
    layer_map: list[Annotated[int, Field(ge=0)]] | None
    seed: Seed

    @property
    def inside(self) -> bool:
        """Whether there is a white-box term."""
        return self.hidden_weight > 0 or self.attention_weight > 0 or self.relation_weight > 0


class Params(StageParams):
    """What `distill` reads of params.yaml."""

    student: Annotated[StudentParams, "presets.*.student"]
    runtime: Annotated[RuntimeParams, "presets.*.runtime"]
    distill: Annotated[DistillParams, "distill"]


def main(root: Path) -> None:
    """Write the student's folder and its training curve."""
    params, layout = Params.load(root), Layout(root)
    from minnow import fitting, losses, models, runtime

    distill = params.distill
    run = runtime.start(params.runtime, seed=distill.seed)
    train, validation = (store.read_table(layout.split(name)) for name in ("train", "validation"))
    teacher_logits = store.read_logits(layout.logits_of("teacher", "train"), train["id"].to_list())
    texts = train["text"].to_list()
    model, tokenizer, facts = origin(params.student, layout.model("teacher"), layout.base(params.preset), texts)
    guide = guide_of(params, model, tokenizer, layout, train, run)
    inputs = [layout.split("train"), layout.split("validation"), layout.logits_of("teacher", "train")]
    inputs += [layout.manifest("teacher")] if guide else []
    curve = fitting.fit_tables(
        model,
        tokenizer,
        train,
        validation,
        teacher_logits=teacher_logits,
        loss=losses.distillation(loss=distill.loss, temperature=distill.temperature, soft_weight=distill.soft_weight),
        params=params.student.training,
        run=run,
        seed=distill.seed,
        desc="student",
        checkpoint=fitting.checkpoint_of(layout, "student", params.model_dump_json(), inputs),
        guide=guide,
    )
    with store.replacing(layout.model("student")) as out:
        models.save(model, tokenizer, out, facts=facts)
    store.write_table(layout.plot("student_training"), curve)
    fitting.discard_checkpoints(layout, "student")


def origin(
    student: StudentParams, teacher: Path, folder: Path, texts: Sequence[str]
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase", dict[str, str | None]]:
    """Return the student before distillation, its tokenizer, and its base.

    The tokenizer is a checkpoint's own, or the teacher's, with the vocabulary that params ask for; `texts` are those of
    the training split, by which that is chosen.
    """
    from minnow import pretrained, students, vocabularies

    source, tokenizer, facts = source_of(student, teacher, folder)
    if source is not None:
        pretrained.check_fits(source, tokenizer)
    if student.vocabulary.method != "keep":
        vocabulary = vocabularies.changed(tokenizer, texts, **student.vocabulary.model_dump())
        tokenizer = vocabularies.retokenized(tokenizer, vocabulary)
        if source is not None:
            vocabularies.adopt(source, vocabulary)
    if source is None:
        assert student.build is not None, "StudentParams demands build where nothing is copied"
        return pretrained.build(student.build, tokenizer), tokenizer, facts
    assert student.layers is not None, "StudentParams demands layers unless it has build"
    model = students.shrink(
        source, layers=student.layers, heads=student.heads, copy_layers=student.copy_layers, dropout=student.dropout
    )
    return model, tokenizer, facts


def guide_of(
    params: Params,
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    layout: Layout,
    train: "pl.DataFrame",
    run: "Runtime",
) -> "Guide | None":
    """Return the white-box terms that params ask for, None if none; they run the teacher, or read what it stored."""
    from minnow import models, students, whitebox

    student, distill, teacher = params.student, params.distill, layout.model("teacher")
    terms = whitebox.Terms(**{field.name: getattr(distill, field.name) for field in fields(whitebox.Terms)})
    if not terms.any:
        return None
    copied = None
    if student.init == "teacher" and student.layers is not None:
        total = models.load_config(teacher).num_hidden_layers
        copied = students.chosen_layers(student.layers, total, student.copy_layers)
    return whitebox.guide(
        terms,
        model,
        tokenizer,
        teacher,
        train,
        run,
        given_map=distill.layer_map,
        copied=copied,
        stored=layout.teacher_states if distill.hidden_states == "stored" else None,
    )


def source_of(
    student: StudentParams, teacher: Path, folder: Path
) -> tuple["PreTrainedModel | None", "PreTrainedTokenizerBase", dict[str, str | None]]:
    """Return the model that layers are copied from, None where the student is built; its tokenizer; and its base."""
    from minnow import models, pretrained, students

    if student.base is not None:
        checkpoint = pretrained.locate(student.base, student.revision, folder)
        tokenizer = pretrained.load_tokenizer(checkpoint, max_length=student.max_length)
        source = pretrained.load_classifier(checkpoint)
        pretrained.agree_on_padding(source, tokenizer)
        models.name_labels(source.config)
        return source, tokenizer, checkpoint.facts
    store.check_manifest(teacher)
    tokenizer = models.load_tokenizer(teacher)
    tokenizer.model_max_length = student.max_length
    if student.build is not None:
        return None, tokenizer, {}
    return students.as_architecture(models.load_model(teacher), student.architecture), tokenizer, {}
