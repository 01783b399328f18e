"""Students: the right layers, bit for bit, and a DistilBERT that computes what its BERT
computes.
"""

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from helpers.models import classifier, logits, padded_batch
from minnow.errors import MinnowError
from minnow.student import architectures
from minnow.student.layers import check_blocks, chosen_layers, shrink

LAYERS = {
    "bert": "bert.encoder.layer",
    "roberta": "roberta.encoder.layer",
    "electra": "electra.encoder.layer",
    "distilbert": "distilbert.transformer.layer",
    "modernbert": "model.layers",
}


def shrunk(source: PreTrainedModel, layers: int, **options: object) -> PreTrainedModel:
    return shrink(
        source, layers=layers, **({"heads": None, "copy_layers": None, "dropout": None} | options)
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("total", "layers", "expected"),
    [
        (12, 6, [0, 2, 4, 7, 9, 11]),
        (6, 3, [0, 2, 5]),
        (4, 2, [0, 3]),
        (4, 1, [3]),
        (3, 3, [0, 1, 2]),
        (1, 1, [0]),
    ],
)
def test_layers_are_spaced_evenly(total: int, layers: int, expected: list[int]) -> None:
    assert chosen_layers(layers, total, None) == expected


@pytest.mark.parametrize("total", [2, 5, 12, 24])
def test_spaced_layers_rise_from_the_first_to_the_last(total: int) -> None:
    for layers in range(2, total + 1):
        chosen = chosen_layers(layers, total, None)
        assert len(chosen) == layers
        assert (chosen[0], chosen[-1]) == (0, total - 1)
        assert all(a < b for a, b in pairwise(chosen))


@pytest.mark.parametrize("kind", LAYERS)
def test_as_many_layers_are_the_same_model(kind: str) -> None:
    source, batch = classifier(kind, layers=3), padded_batch()
    assert torch.equal(logits(shrunk(source, 3), batch), logits(source, batch))


@pytest.mark.parametrize("kind", LAYERS)
def test_a_student_computes_what_its_source_does_without_the_other_layers(kind: str) -> None:
    source, batch = classifier(kind, layers=4), padded_batch()
    student = shrunk(source, 2, copy_layers=[0, 3])
    cut = copy.deepcopy(source)
    kept = cut.get_submodule(LAYERS[kind])
    assert isinstance(kept, nn.ModuleList)
    del kept[2], kept[1]
    cut.config.num_hidden_layers = 2
    assert torch.equal(logits(student, batch), logits(cut, batch))
    assert not torch.equal(logits(student, batch), logits(source, batch))
    assert student.config.num_hidden_layers == 2


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
def test_layers_are_copied_bit_for_bit_in_the_order_asked_for(kind: str) -> None:
    source = classifier(kind, layers=3)
    student = shrunk(source, 2, copy_layers=[2, 0])
    for new, old in enumerate([2, 0]):
        theirs = source.get_submodule(f"{LAYERS[kind]}.{old}").state_dict()
        ours = student.get_submodule(f"{LAYERS[kind]}.{new}").state_dict()
        assert theirs.keys() == ours.keys()
        assert all(torch.equal(theirs[name], ours[name]) for name in theirs)


def test_the_source_is_left_alone() -> None:
    source = classifier("bert", layers=3)
    before = copy.deepcopy(source.state_dict())
    student = shrunk(source, 2, heads=4, dropout=0.0)
    with torch.no_grad():
        for weight in student.parameters():
            weight.zero_()
    assert source.config.num_hidden_layers == 3
    assert source.config.num_attention_heads == 2
    assert all(torch.equal(before[name], weight) for name, weight in source.state_dict().items())


@pytest.mark.parametrize(
    ("layers", "options", "said"),
    [
        (4, {}, "student.layers is 4, but its source has only 3"),
        (2, {"copy_layers": [0, 3]}, "names layer 3; the source has layers 0 to 2"),
        (
            2,
            {"heads": 5},
            "heads is 5, which does not divide .* width 64; allowed: 1, 2, 4; null",
        ),
    ],
)
def test_what_cannot_be_cut_is_refused(layers: int, options: dict[str, object], said: str) -> None:
    with pytest.raises(MinnowError, match=said):
        shrunk(classifier("bert", layers=3), layers, **options)


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_re_cut_heads_keep_the_weights_and_are_warned_of(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source, batch = classifier(kind, layers=2), padded_batch()
    student = shrunk(source, 2, heads=4)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "minnow: warning: student.heads is 4 at width 64, and the source's heads have dimension"
        " 32, not 16"
    )
    assert student.config.num_attention_heads == 4
    assert all(
        torch.equal(weight, source.state_dict()[name])
        for name, weight in student.state_dict().items()
    )
    assert not torch.allclose(logits(student, batch), logits(source, batch))


def test_the_same_heads_are_not_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    shrunk(classifier("bert"), 1, heads=2)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
def test_dropout_reaches_every_place(kind: str) -> None:
    rates = {
        module.p
        for module in shrunk(classifier(kind), 1, dropout=0.25).modules()
        if isinstance(module, nn.Dropout)
    }
    assert rates == {0.25}
    kept = {
        module.p
        for module in shrunk(classifier(kind), 1).modules()
        if isinstance(module, nn.Dropout)
    }
    assert 0.25 not in kept


def test_shared_layers_are_refused() -> None:
    with pytest.raises(MinnowError, match="layers of a 'albert' model share their weights"):
        shrunk(classifier("albert", layers=2, embedding_size=64), 1)


def test_a_first_layer_unlike_the_others_is_one_line() -> None:
    with pytest.raises(
        MinnowError, match="layers 1, 2 with 2 heads make no 'modernbert' model"
    ) as caught:
        shrunk(classifier("modernbert", layers=3), 2, copy_layers=[1, 2])
    assert "\n" not in str(caught.value)


def test_distilbert_computes_what_bert_does_in_every_layer() -> None:
    bert, batch = classifier("bert", layers=3), padded_batch()
    distilbert = architectures.as_architecture(bert, "distilbert").eval()
    assert distilbert.config.model_type == "distilbert"
    assert distilbert.config.id2label == {0: "safe", 1: "phishing"}
    with torch.inference_mode():
        theirs = bert.base_model(**batch, output_hidden_states=True).hidden_states
        ours = distilbert.base_model(**batch, output_hidden_states=True).hidden_states
    assert len(theirs) == len(ours) == 4
    real = batch["attention_mask"].bool()
    for expected, given in zip(theirs, ours, strict=True):
        torch.testing.assert_close(given[real], expected[real], rtol=1e-4, atol=1e-5)
    assert (theirs[0] - theirs[3])[real].abs().max() > 0.1, "the layers do something"


def test_a_distilbert_can_then_be_shrunk() -> None:
    bert = classifier("bert", layers=3)
    student = shrunk(architectures.as_architecture(bert, "distilbert"), 2)
    ours = student.get_submodule("distilbert.transformer.layer.1.ffn.lin1").state_dict()["weight"]
    assert torch.equal(ours, bert.state_dict()["bert.encoder.layer.2.intermediate.dense.weight"])


@pytest.mark.parametrize("architecture", [None, "bert"])
def test_its_own_architecture_is_the_teacher_itself(architecture: str | None) -> None:
    bert = classifier("bert")
    assert architectures.as_architecture(bert, architecture) is bert


@pytest.mark.parametrize(
    ("kind", "options", "architecture", "said"),
    [
        ("bert", {"hidden_act": "relu"}, "distilbert", r"DistilBERT is an encoder with gelu.*relu"),
        (
            "bert",
            {"layer_norm_eps": 1e-5},
            "distilbert",
            r"layer_norm_eps 1e-12, and the teacher is not \(gelu, 1e-05\)",
        ),
        ("roberta", {}, "distilbert", "takes a BERT, not a 'roberta'; set it to null"),
        ("distilbert", {}, "bert", "from BERT to DistilBERT only; set it to null"),
    ],
)
def test_what_another_architecture_cannot_express_is_refused(
    kind: str, options: dict[str, object], architecture: str, said: str
) -> None:
    with pytest.raises(MinnowError, match=said):
        architectures.as_architecture(classifier(kind, **options), architecture)


def test_what_four_bits_will_refuse_is_said_before_training(
    capsys: pytest.CaptureFixture[str],
) -> None:
    check_blocks(classifier("bert", intermediate_size=128))
    assert capsys.readouterr().err == ""
    check_blocks(classifier("bert", layers=2))
    (line,) = capsys.readouterr().err.splitlines()
    assert "bert.encoder.layer.0.output.dense has 96 inputs and 64 outputs" in line


def test_kinds_of_attention_are_no_list_of_layers() -> None:
    """DeBERTa has two of them, as many as this source has layers."""
    student = shrink(
        classifier("deberta-v2", layers=2), layers=1, heads=None, copy_layers=[0], dropout=None
    )
    assert student.config.pos_att_type == ["p2c", "c2p"]


def test_layers_of_another_kind_are_refused_before_training() -> None:
    with pytest.raises(
        MinnowError,
        match="GPT2ForSequenceClassification has no linear layers that could be quantized",
    ):
        check_blocks(classifier("gpt2"))
