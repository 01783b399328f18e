"""shape_check: ask of the student, before anything trains, what later stages will ask.

Runs before the stages `teacher` and `distill`. It can refuse but changes no number; so no stage
depends on it. What it cannot read of a teacher it leaves to the stage, which says so. A base of the
student's own, which no stage reads before the teacher has trained, is loaded here once.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from minnow.core.params import StageParams
from minnow.distill.params import DistillParams
from minnow.errors import MinnowError, warnings_held
from minnow.layout import Layout
from minnow.models.params import BuildParams
from minnow.quantization.params import QuantizeParams
from minnow.stages.teacher_states import TeacherStatesParams
from minnow.student.params import StudentParams
from minnow.teacher.params import TeacherParams

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from minnow.models.pretrained import Checkpoint


class Params(StageParams):
    """What decides on shapes."""

    teacher: Annotated[TeacherParams, "presets.*.teacher"]
    student: Annotated[StudentParams, "presets.*.student"]
    distill: Annotated[DistillParams, "distill"]
    teacher_states: Annotated[TeacherStatesParams, "teacher_states"]
    quantize: Annotated[QuantizeParams, "quantize"]


@dataclass(frozen=True)
class Outlook:
    """What a model is or will be: its shape, on torch's meta device, and its tokenizer; a made-up
    one where it is `built` and its own is trained on texts.
    """

    model: "PreTrainedModel"
    tokenizer: Any
    built: bool = False


def main(root: Path, stage: str = "teacher") -> None:
    """Print nothing but a download's progress, or refuse in one line; `stage` is what is about to
    run.

    Raises:
        MinnowError: a later stage would refuse the student, when the teacher has trained.
    """
    layout = Layout(root)
    # The stage itself will say this again: a base without a revision, heads that are re-cut.
    with warnings_held():
        try:
            params = Params.load(root)
            teacher = outlook_of_teacher(params, layout, stage)
        except MinnowError:
            return
        check_student(params, teacher, outlook_of_student(params, teacher, layout, stage))


def outlook_of_teacher(params: Params, layout: Layout, stage: str) -> Outlook:
    """Return what the teacher is, or will be.

    Raises:
        MinnowError: it cannot be read.
    """
    from minnow.models import folders, pretrained
    from minnow.models.declared import shape_of_config
    from minnow.models.enclosed import library_errors

    teacher = params.teacher
    if stage == "distill":
        folder = layout.model("teacher")
        with library_errors(str(folder), "make it anew"):
            shape = shape_of_config(folders.load_config(folder), folder)
        return Outlook(shape, folders.load_tokenizer(folder))
    if teacher.build is not None:
        return built(teacher.build, teacher.max_length)
    assert teacher.base is not None, "params demand a base, or build"
    found = pretrained.locate(teacher.base, teacher.revision, layout.base(params.preset))
    if teacher.method == "none":
        pretrained.check_has_head(found, pretrained.classifier_config(found))
    return outlook_of_base(found, teacher.max_length)


def outlook_of_base(found: "Checkpoint", max_length: int) -> Outlook:
    """Return the shape and the tokenizer of a base model."""
    from transformers.utils import logging

    from minnow.models import pretrained
    from minnow.models.declared import shape_of_config
    from minnow.models.enclosed import library_errors

    logging.set_verbosity_error()
    tokenizer = pretrained.base_tokenizer(found, max_length=max_length)
    config = pretrained.classifier_config(found)
    with library_errors(found.name, "get it anew"):
        return Outlook(shape_of_config(config, found.folder), tokenizer)


def outlook_of_student(
    params: Params, teacher: Outlook, layout: Layout, stage: str
) -> Outlook | None:
    """Return what the student's layers are copied from; None where it is built.

    Raises:
        MinnowError: its base cannot be read, or is none that `distill` would take.
    """
    from minnow.models import pairing, pretrained

    student = params.student
    if student.build is not None:
        return None
    if student.base is None:
        tokenizer = copy.deepcopy(teacher.tokenizer)
        tokenizer.model_max_length = student.max_length
        return Outlook(teacher.model, tokenizer, teacher.built)
    folder = layout.base(params.preset)
    found = pretrained.locate(student.base, student.revision, folder)
    origin = outlook_of_base(found, student.max_length)
    pairing.check_fits(origin.model, origin.tokenizer, whose="student")
    if stage == "teacher":
        load_once(student, layout.model("teacher"), folder)
    return origin


def load_once(student: StudentParams, teacher: Path, folder: Path) -> None:
    """Load a student's base as `distill` will, and forget it; torch's generator stays as it is."""
    import torch
    from transformers.utils import logging

    from minnow.student import origin

    logging.disable_progress_bar()
    with torch.random.fork_rng(devices=[]):
        origin.source_of(student, teacher, folder)


def built(shape: BuildParams, max_length: int) -> Outlook:
    """Return a built model's shape; its vocabulary, which changes no layer, is a small one."""
    import torch

    from minnow.models import building

    tokenizer: Any = _SomeTokenizer(max_length)
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return Outlook(building.build(shape, tokenizer), tokenizer, built=True)


@dataclass
class _SomeTokenizer:
    """As much of a tokenizer as building a model asks for."""

    model_max_length: int
    pad_token_id: int = 0

    def __len__(self) -> int:
        return 512

    def get_vocab(self) -> dict[str, int]:
        return {}


def check_student(params: Params, teacher: Outlook, source: Outlook | None) -> None:
    """Refuse a student that could not be made from its source, not be taught, or not be quantized.

    Raises:
        MinnowError: what `teacher_states`, `distill` or `quantize` would say.
    """
    import torch

    from minnow.distill import states
    from minnow.models import pairing
    from minnow.student import layers

    student = params.student
    if source is None:
        assert student.build is not None, "a student without a source is built"
        model = built(student.build, student.max_length).model
    else:
        pairing.check_fits(source.model, source.tokenizer, whose="student")
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            model = cut_student(student, source.model)
    check_vocabulary(student, source or teacher, source)
    layers.check_blocks(model)
    if named := params.teacher_states.layers:
        states.check_layers_exist(teacher.model, named)
    if params.distill.any:
        check_white_box(params, model, teacher, source or teacher)
    check_budget(params, model, source)


def check_vocabulary(student: StudentParams, whose: Outlook, source: Outlook | None) -> None:
    """Refuse a tokenizer whose vocabulary cannot be changed as asked; which texts change it does
    not matter.
    """
    from minnow.student import adoption, vocabularies

    if student.vocabulary.method == "keep" or whose.built:
        return
    wanted = student.vocabulary.model_dump()
    vocabulary = vocabularies.new_vocabulary(whose.tokenizer, [], **wanted)
    if source is not None and student.vocabulary.method == "train":
        adoption.check_adoptable(source.model, vocabulary)


def check_white_box(
    params: Params, model: "PreTrainedModel", teacher: Outlook, whose: Outlook
) -> None:
    """Refuse terms of the loss that these two models cannot be compared by."""
    from minnow.distill import alignment, states, whitebox
    from minnow.student import layers

    student, copied = params.student, None
    if student.init == "teacher" and student.layers is not None:
        total = teacher.model.config.num_hidden_layers
        copied = layers.chosen_layers(student.layers, total, student.copy_layers)
    pupil = whitebox.Pupil(model, whose.tokenizer, params.distill.layer_map, copied)
    compared = whitebox.comparisons(
        params.distill, pupil.pairs(teacher.model), model, teacher.model
    )
    if stored := params.teacher_states.layers:
        states.check_layers_stored(compared.stored, stored)
    for origin in (whose, teacher):
        if not origin.built:
            alignment.check_spans(origin.tokenizer)


def check_budget(params: Params, model: "PreTrainedModel", source: Outlook | None) -> None:
    """Refuse layers that the scheme cannot hold, and a budget below what the weights alone take."""
    from minnow.models import embeddings, schemes
    from minnow.quantization import budget
    from minnow.quantization.quantize import Recipe, layers_to_quantize

    student, chosen = params.student, params.quantize
    scheme = schemes.scheme(chosen.scheme, double_quantization=chosen.double_quantization)
    layers_to_quantize(model, scheme, chosen.keep_float)
    if chosen.budget_mb is None:
        return
    known = source is not None and not source.built and student.vocabulary.method == "keep"
    recipe = Recipe(scheme, chosen.keep_float, embeddings.SCHEMES.get(chosen.embeddings))
    pieces = int(model.config.vocab_size) if known else 0
    least = budget.least_bytes(model, recipe, pieces=pieces, longest=student.max_length)
    wanted = budget.Budget(chosen.budget_mb, chosen.embeddings, {})
    if least > wanted.bytes:
        raise MinnowError(budget.too_small(wanted, least, scheme, more=True))


def cut_student(student: StudentParams, source: "PreTrainedModel") -> "PreTrainedModel":
    """Return the student's shape: in its architecture, with its layers, as wide as it will be."""
    from minnow.models.heads import from_config
    from minnow.student import architectures, layers, shapes

    turned = architectures.as_architecture(source, student.architecture)
    assert student.layers is not None, "params demand layers unless the student is built"
    model = layers.shrink(
        turned,
        layers=student.layers,
        heads=student.heads if student.narrowing is None else None,
        copy_layers=student.copy_layers,
        dropout=student.dropout,
    )
    if student.narrowing is None:
        return model
    shape = shapes.narrower(
        shapes.shape_of(source),
        hidden_size=student.hidden_size,
        heads=student.heads,
        intermediate_size=student.intermediate_size,
    )
    return from_config(shapes.with_shape(model.config, shape))
