"""The student before distillation: which layers, how wide, which vocabulary."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.core.files import check_manifest
from minnow.student.params import StudentParams

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from minnow.student.narrowing import Narrowing


def student_origin(
    student: StudentParams,
    teacher: Path,
    folder: Path,
    texts: Sequence[str],
    labels: Sequence[int] | None = None,
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase", dict[str, str | None]]:
    """Return the student before distillation, its tokenizer, and its base.

    The tokenizer is a checkpoint's own, or the teacher's, with the vocabulary that params ask for.
    `texts` are those of the training split, by which that is chosen; by them and their labels too,
    what a narrower student keeps.
    """
    from minnow.models import building
    from minnow.student import adoption, architectures, layers, narrowing, vocabularies

    original, tokenizer, facts = source_of(student, teacher, folder)
    source = (
        None if original is None else architectures.as_architecture(original, student.architecture)
    )
    plan = None if original is None else narrowing_plan(student, original, tokenizer, texts, labels)
    if student.vocabulary.method != "keep":
        vocabulary = vocabularies.new_vocabulary(
            tokenizer, texts, **student.vocabulary.model_dump()
        )
        tokenizer = vocabularies.retokenized(tokenizer, vocabulary)
        if source is not None:
            adoption.adopt(source, vocabulary)
    if source is None:
        assert student.build is not None, "StudentParams demands build where nothing is copied"
        return building.build(student.build, tokenizer), tokenizer, facts
    assert student.layers is not None, "StudentParams demands layers unless it has build"
    model = layers.shrink(
        source,
        layers=student.layers,
        heads=student.heads if plan is None else None,
        copy_layers=student.copy_layers,
        dropout=student.dropout,
    )
    return model if plan is None else narrowing.narrowed(model, plan), tokenizer, facts


def narrowing_plan(
    student: StudentParams,
    source: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    texts: Sequence[str],
    labels: Sequence[int] | None,
) -> "Narrowing | None":
    """Return how the source becomes narrower, by what it computes in its own architecture and
    vocabulary.

    None where it stays as wide as it is. A checkpoint's head need not be trained: its labels are
    not looked at.
    """
    from minnow.student import layers, narrowing, shapes

    if student.narrowing is None:
        return None
    assert student.layers is not None, "StudentParams demands layers unless it has build"
    shape = shapes.narrower(
        shapes.shape_of(source),
        hidden_size=student.hidden_size,
        heads=student.heads,
        intermediate_size=student.intermediate_size,
    )
    chosen = layers.chosen_layers(
        student.layers, source.config.num_hidden_layers, student.copy_layers
    )
    sample = narrowing.sample_of(tokenizer, texts, labels if student.init == "teacher" else None)
    return narrowing.narrowing_of(source, sample, narrowing.Aim(chosen, shape, student.narrowing))


def source_of(
    student: StudentParams, teacher: Path, folder: Path
) -> tuple["PreTrainedModel | None", "PreTrainedTokenizerBase", dict[str, str | None]]:
    """Return the model that layers are copied from, None where the student is built; its tokenizer;
    and its base.

    Raises:
        MinnowError: it cannot be loaded, or not be run with texts as long as the student's.
    """
    from minnow.models import folders, heads, pairing, pretrained
    from minnow.models.inference import check_rows_apart

    if student.base is not None:
        checkpoint = pretrained.locate(student.base, student.revision, folder)
        tokenizer = pretrained.base_tokenizer(checkpoint, max_length=student.max_length)
        source = pretrained.load_classifier(checkpoint)
        pairing.agree_on_padding(source, tokenizer)
        heads.name_labels(source.config)
        pairing.check_fits(source, tokenizer, whose="student")
        check_rows_apart(source, tokenizer, f"base model {checkpoint.name!r}")
        return source, tokenizer, checkpoint.facts
    check_manifest(teacher)
    tokenizer = folders.load_tokenizer(teacher)
    tokenizer.model_max_length = student.max_length
    if student.build is not None:
        return None, tokenizer, {}
    source = folders.load_model(teacher)
    pairing.check_fits(source, tokenizer, whose="student")
    check_rows_apart(source, tokenizer, "the teacher")
    return source, tokenizer, {}
