"""shape_check: ask of the student, before anything trains, what `distill` and `quantize` will ask.

Runs before the stages `teacher` and `distill`. It looks at shapes alone, and can refuse but changes
no number; so no stage depends on it. What it cannot read it leaves to the stage, which says so.
"""

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from minnow.core.params import StageParams
from minnow.errors import MinnowError
from minnow.layout import Layout
from minnow.models.params import BuildParams
from minnow.quantization.params import QuantizeParams
from minnow.student.params import StudentParams
from minnow.teacher.params import TeacherParams

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Params(StageParams):
    """What decides on shapes."""

    teacher: Annotated[TeacherParams, "presets.*.teacher"]
    student: Annotated[StudentParams, "presets.*.student"]
    quantize: Annotated[QuantizeParams, "quantize"]


def main(root: Path, stage: str = "teacher") -> None:
    """Print nothing, or refuse in one line; `stage` is what is about to run.

    Raises:
        MinnowError: the student could not be made or quantized.
    """
    try:
        params = Params.load(root)
        # The stage itself will say this again: a base without a revision, heads that are re-cut.
        with contextlib.redirect_stderr(io.StringIO()):
            source = source_of_student(params, Layout(root), stage)
    except MinnowError:
        return
    with contextlib.redirect_stderr(io.StringIO()):
        check_student(params, source)


def source_of_student(params: Params, layout: Layout, stage: str) -> "PreTrainedModel | None":
    """Return the shape of the model whose layers the student copies, on torch's meta device; None
    where it is built.

    Raises:
        MinnowError: its config cannot be read.
    """
    from transformers.utils import logging

    from minnow.models import folders, pretrained
    from minnow.models.declared import shape_of_config
    from minnow.models.enclosed import library_errors

    logging.set_verbosity_error()
    student, teacher = params.student, params.teacher
    if student.build is not None:
        return None
    if student.init == "teacher" and stage == "distill":
        folder = layout.model("teacher")
        with library_errors(str(folder), "make it anew"):
            return shape_of_config(folders.load_config(folder), folder)
    if student.init == "teacher" and teacher.build is not None:
        return built(teacher.build)
    base, revision = (
        (teacher.base, teacher.revision)
        if student.init == "teacher"
        else (student.base, student.revision)
    )
    assert base is not None, "params demand a base, or build"
    found = pretrained.locate(base, revision, layout.base(params.preset))
    pretrained.base_tokenizer(found, max_length=student.max_length)
    config = pretrained.classifier_config(found)
    if student.init == "teacher" and teacher.method == "none":
        pretrained.check_has_head(found, config)
    with library_errors(base, "get it anew"):
        return shape_of_config(config, found.folder)


def built(shape: BuildParams) -> "PreTrainedModel":
    """Return a built model's shape; its vocabulary, which changes no layer, is a small one."""
    import torch

    from minnow.models import building

    tokenizer: Any = _SomeTokenizer()
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return building.build(shape, tokenizer)


class _SomeTokenizer:
    """As much of a tokenizer as building a model asks for."""

    model_max_length, pad_token_id = 512, 0

    def __len__(self) -> int:
        return 512


def check_student(params: Params, source: "PreTrainedModel | None") -> None:
    """Refuse a student that could not be made from its source, or not be quantized.

    Raises:
        MinnowError: what `distill` or `quantize` would say.
    """
    import torch

    from minnow.models import schemes
    from minnow.quantization.quantize import layers_to_quantize
    from minnow.student import layers

    student, chosen = params.student, params.quantize
    if source is None:
        assert student.build is not None, "a student without a source is built"
        model = built(student.build)
    else:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            model = cut_student(student, source)
    layers.check_blocks(model)
    scheme = schemes.scheme(chosen.scheme, double_quantization=chosen.double_quantization)
    layers_to_quantize(model, scheme, chosen.keep_float)


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
