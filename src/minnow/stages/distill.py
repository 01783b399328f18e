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
from minnow.unlabelled_params import UnlabelledParams

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from minnow.narrowing import Plan
    from minnow.runtime import Runtime
    from minnow.training import Guide, Loss


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
    hidden_size: Annotated[int, Field(ge=16)] | None
    intermediate_size: Annotated[int, Field(ge=16)] | None
    narrowing: Literal["importance", "projection"] | None
    heads: Annotated[int, Field(ge=1)] | None
    copy_layers: list[Annotated[int, Field(ge=0)]] | None
    dropout: Annotated[float, Field(ge=0, lt=1)] | None
    build: BuildParams | None
    vocabulary: VocabularyParams
    max_length: Annotated[int, Field(ge=8)]
    training: TrainingParams

    @model_validator(mode="after")
    def _fields_of_init(self) -> Self:
        copied = {"layers", "hidden_size", "intermediate_size", "narrowing", "heads", "copy_layers", "dropout"}
        allowed = {
            "checkpoint": {"base", "revision", *copied},
            "teacher": {"architecture", *copied},
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

    @model_validator(mode="after")
    def _narrowing_narrows(self) -> Self:
        if self.narrowing is None:
            for name in ("hidden_size", "intermediate_size"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} needs narrowing: importance or projection")
        elif self.hidden_size is None and self.narrowing == "projection":
            raise ValueError("narrowing 'projection' needs hidden_size; for fewer neurons alone take importance")
        elif self.hidden_size is None and self.intermediate_size is None:
            raise ValueError("narrowing needs hidden_size or intermediate_size: set it to null where nothing narrows")
        return self


class DistillParams(StatesParams, UnlabelledParams):
    """The loss: soft_weight · `loss` on the logits + (1 − soft_weight) · cross-entropy; mse has no temperature.

    To that the white-box terms are added, each times its weight. Rows that only the teacher labelled have no
    cross-entropy.
    """

    model_config = ConfigDict(extra="forbid")

    loss: Literal["forward_kl", "reverse_kl", "jensen_shannon", "mse"]
    beta: Annotated[float, Field(gt=0, lt=1)]
    temperature: Annotated[float, Field(gt=0, le=100)]
    soft_weight: Annotated[float, Field(ge=0, le=1)]
    hidden_weight: Annotated[float, Field(ge=0)]
    hidden_measure: Literal["cosine", "mse"]
    attention_weight: Annotated[float, Field(ge=0)]
    relation_weight: Annotated[float, Field(ge=0)]
    relation_heads: Annotated[int, Field(ge=1)] | None
    layer_map: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None
    seed: Seed

    @property
    def inside(self) -> bool:
        """Whether there is a white-box term."""
        return self.hidden_weight > 0 or self.attention_weight > 0 or self.relation_weight > 0

    @property
    def loss_name(self) -> str:
        """The loss with the parameter that is its own."""
        return f"{self.loss}, beta {self.beta:g}" if self.loss == "jensen_shannon" else self.loss

    @property
    def logit_loss(self) -> "Loss":
        """What is made of student's and teacher's logits and the labels."""
        from minnow import losses

        return losses.distillation(
            loss=self.loss, beta=self.beta, temperature=self.temperature, soft_weight=self.soft_weight
        )

    @model_validator(mode="after")
    def _teacher_for_its_rows(self) -> Self:
        if self.more_text and not self.soft_weight and not self.inside:
            raise ValueError(
                "with soft_weight 0 there is nothing to learn from rows that only the teacher labels; set unlabelled "
                "to null and augmentation.copies to 0, or raise soft_weight or a white-box weight"
            )
        if self.more_text and self.inside and self.hidden_states == "stored":
            raise ValueError(
                "hidden_states 'stored' holds those of the training split alone; with unlabelled or augmentation set "
                "it to 'online'"
            )
        return self


class Params(StageParams):
    """What `distill` reads of params.yaml."""

    student: Annotated[StudentParams, "presets.*.student"]
    runtime: Annotated[RuntimeParams, "presets.*.runtime"]
    distill: Annotated[DistillParams, "distill"]


def main(root: Path) -> None:
    """Write the student's folder and its training curve."""
    params, layout = Params.load(root), Layout(root)
    from minnow import fitting, models, runtime, students

    distill = params.distill
    run = runtime.start(params.runtime, seed=distill.seed)
    train, validation = (store.read_table(layout.split(name)) for name in ("train", "validation"))
    teacher_logits = store.read_logits(layout.logits_of("teacher", "train"), train["id"].to_list())
    texts = train["text"].to_list()
    labels = train["label"].to_list()
    model, tokenizer, facts = origin(params.student, layout.model("teacher"), layout.base(params.preset), texts, labels)
    students.check_blocks(model)
    inputs = [layout.split("train"), layout.split("validation"), layout.logits_of("teacher", "train")]
    if distill.more_text:
        more = store.read_table(layout.unlabelled_texts)
        more_logits = store.read_logits(layout.unlabelled_logits, more["id"].to_list())
        train, teacher_logits = fitting.with_unlabelled(train, teacher_logits, more["text"].to_list(), more_logits)
        inputs += [layout.unlabelled_texts, layout.unlabelled_logits]
    guide = guide_of(params, model, tokenizer, layout, train, run)
    inputs += [layout.manifest("teacher")] if guide else []
    curve = fitting.fit_tables(
        model,
        tokenizer,
        train,
        validation,
        teacher_logits=teacher_logits,
        loss=distill.logit_loss,
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
    student: StudentParams,
    teacher: Path,
    folder: Path,
    texts: Sequence[str],
    labels: Sequence[int] | None = None,
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase", dict[str, str | None]]:
    """Return the student before distillation, its tokenizer, and its base.

    The tokenizer is a checkpoint's own, or the teacher's, with the vocabulary that params ask for. `texts` are those of
    the training split, by which that is chosen; by them and their labels too, what a narrower student keeps.
    """
    from minnow import narrowing, pretrained, students, vocabularies

    found, tokenizer, facts = source_of(student, teacher, folder)
    source = None if found is None else students.as_architecture(found, student.architecture)
    if source is not None:
        pretrained.check_fits(source, tokenizer, whose="student")
    plan = None if found is None else plan_of(student, found, tokenizer, texts, labels)
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
        source,
        layers=student.layers,
        heads=student.heads if plan is None else None,
        copy_layers=student.copy_layers,
        dropout=student.dropout,
    )
    return model if plan is None else narrowing.narrowed(model, plan), tokenizer, facts


def plan_of(
    student: StudentParams,
    source: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    texts: Sequence[str],
    labels: Sequence[int] | None,
) -> "Plan | None":
    """Return how the source becomes narrower, by what it computes in its own architecture and vocabulary.

    None where it stays as wide as it is. A checkpoint's head need not be trained: its labels are not looked at.
    """
    from minnow import narrowing, students

    if student.narrowing is None:
        return None
    assert student.layers is not None, "StudentParams demands layers unless it has build"
    shape = narrowing.narrower(
        narrowing.shape_of(source),
        hidden_size=student.hidden_size,
        heads=student.heads,
        intermediate_size=student.intermediate_size,
    )
    return narrowing.planned(
        source,
        tokenizer,
        texts,
        labels if student.init == "teacher" else None,
        layers=students.chosen_layers(student.layers, source.config.num_hidden_layers, student.copy_layers),
        shape=shape,
        method=student.narrowing,
    )


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
    from minnow import models, pretrained

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
    return models.load_model(teacher), tokenizer, {}
