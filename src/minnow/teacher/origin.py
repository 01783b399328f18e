"""The teacher before training: built, or taken from a base."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import PreTrainedModel

from minnow.teacher.params import TeacherParams

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from minnow.core.runtime import Runtime


def freeze_body(model: PreTrainedModel) -> None:
    """Leave only the pooler and the classification head to be trained, as the public notebook
    does.
    """
    for name, weight in model.base_model.named_parameters():
        weight.requires_grad = "pooler" in name.split(".")


def teacher_origin(
    teacher: TeacherParams, texts: Sequence[str], folder: Path, run: "Runtime"
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase", dict[str, str | None]]:
    """Return the model to train, or to take over, its tokenizer (a built one is trained on
    `texts`), and its base.
    """
    from minnow.models import building, pairing, pretrained
    from minnow.models.inference import check_rows_apart
    from minnow.teacher import labels

    if teacher.build is not None and teacher.vocabulary is not None:
        tokenizer = building.train_tokenizer(
            texts, vocabulary=teacher.vocabulary, max_length=teacher.max_length
        )
        return building.build(teacher.build, tokenizer), tokenizer, {}
    assert teacher.base is not None, "TeacherParams has either base or build"
    checkpoint = pretrained.locate(teacher.base, teacher.revision, folder)
    tokenizer = pretrained.base_tokenizer(checkpoint, max_length=teacher.max_length)
    if teacher.lora is not None:
        from minnow.teacher import qlora

        model = qlora.load_nf4(
            checkpoint, device=run.device, rank=teacher.lora.rank, alpha=teacher.lora.alpha
        )
    else:
        model = pretrained.load_classifier(checkpoint, ready_made=teacher.method == "none")
    pairing.agree_on_padding(model, tokenizer)
    pairing.check_fits(model, tokenizer, whose="teacher")
    labels.standardise_labels(
        model,
        phishing_label=teacher.phishing_label,
        trained_here=teacher.method != "none",
    )
    check_rows_apart(model, tokenizer, f"base model {checkpoint.name!r}")
    if teacher.method == "head":
        freeze_body(model)
    return model, tokenizer, checkpoint.facts
