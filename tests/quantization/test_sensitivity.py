"""Sensitivity: damages by hand and anew from the definition, weights put back, bytes that are those
of the file.
"""

import math
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from helpers.models import classifier
from minnow.errors import MinnowError
from minnow.models import embeddings, folders
from minnow.models.batching import Encoded, encode
from minnow.models.embeddings import CODE_BOOK
from minnow.models.inference import predict_logits
from minnow.models.schemes import EightBit, FourBit, Scheme
from minnow.quantization import quantize, sensitivity
from minnow.quantization.quantize import Recipe

CPU = torch.device("cpu")
KEEP = ["classifier", "out_proj"]
NF4 = FourBit("nf4", double_quantization=True)
TEXTS = [
    "a.com/x",
    "b.org/" + "long/" * 9,
    "paypa1.com/login?user=1",
    "10.0.0.1/verify",
    "example.net",
    "c.example",
]
LABELS = [0, 1, 1, 1, 0, 0]


@pytest.fixture
def probe(tokenizer: PreTrainedTokenizerBase) -> Encoded:
    return encode(tokenizer, TEXTS)


def shaped(kind: str = "bert", layers: int = 2) -> PreTrainedModel:
    return classifier(
        kind, layers=layers, **{"hidden_dim" if kind == "distilbert" else "intermediate_size": 128}
    )


# --- Damage ---------------------------------------------------------------------------------------


def test_damage_worked_by_hand() -> None:
    """(½, ½) becomes (¼, ¾): ½ ln 2 + ½ ln ⅔ = ½ ln 4/3 nats; the second row stays as it is, so
    that means halve it.
    """
    before = torch.tensor([[0.0, 0.0], [0.0, 2.0]])
    after = torch.tensor([[0.0, math.log(3)], [5.0, 7.0]])
    found = sensitivity.damage(before, after, [1, 1])
    assert found == {
        "kl": float(f"{math.log(4 / 3) / 4:.2e}"),
        "mean_abs_dp": 0.125,
        "flips": 1,
        "validation_f1_change": round(1 - 2 / 3, 4),
    }


def test_nothing_changed_costs_nothing_and_no_change_costs_less() -> None:
    logits = torch.randn(50, 2) * 5
    labels = (torch.arange(50) % 2).tolist()
    assert set(sensitivity.damage(logits, logits.clone(), labels).values()) == {0.0}
    assert sensitivity.damage(logits, logits.double() + 3, labels)["kl"] == 0, (
        "softmax knows no shift"
    )
    for size in (1e-6, 1e-3, 1.0):
        assert sensitivity.damage(logits, logits + size * torch.randn(50, 2), labels)["kl"] >= 0


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, 0.0),
        (0.0123456, 0.0123),
        (9.996e-7, 1e-6),
        (1234.0, 1230.0),
        (4e-10, 0.0),
        (-1e-17, 0.0),
    ],
)
def test_damages_are_rounded_to_three_digits(value: float, said: float) -> None:
    assert str(sensitivity.three_digits(value)) == str(said)


# --- Rows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 599, 600, 601, 3751, 100_000])
def test_rows_are_all_or_some_hundreds_evenly_spaced(rows: int) -> None:
    found = sensitivity.sample(rows)
    assert len(found) == min(rows, 600)
    assert found[0] == 0
    assert rows - found[-1] <= math.ceil(rows / 600)
    assert {b - a for a, b in pairwise(found)} <= {max(1, rows // 600), rows // 600 + 1}


# --- Models ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["bert", "distilbert", "roberta", "electra", "modernbert", "deberta-v2"]
)
def test_what_is_computed_once_for_all_is_what_each_part_alone_gives(
    monkeypatch: pytest.MonkeyPatch, probe: Encoded, kind: str
) -> None:
    """Against a model whose one weight is replaced, run from the beginning; afterwards everything
    is as it was.
    """
    monkeypatch.setattr(sensitivity, "BATCH_TOKENS", 40)  # more than one batch
    model = shaped(kind)
    before = deepcopy(model.state_dict())
    stored = {name: dict(formats) for name, formats in sensitivity.stored_parts(model, NF4, KEEP)}
    assert len(stored) > 8
    reference, damaged = sensitivity.logits_of(model, probe, stored)
    plain = predict_logits(model, probe, device=CPU)
    torch.testing.assert_close(reference, plain, atol=1e-5, rtol=1e-5)
    for name, formats in stored.items():
        for bits, each in formats.items():
            other = deepcopy(model)
            other.get_parameter(f"{name}.weight").data = each.weight.float()
            expected = predict_logits(other, probe, device=CPU)
            torch.testing.assert_close(damaged[name, bits], expected, atol=1e-5, rtol=1e-5)
        assert not torch.equal(damaged[name, 4], reference), name
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())
    assert not any(
        "forward" in module.__dict__ or module._forward_hooks for module in model.modules()
    )


def test_what_runs_before_a_part_is_not_computed_again(probe: Encoded) -> None:
    model = shaped()
    with sensitivity.recorded(model) as record, torch.no_grad():
        model(**probe.batch(torch.arange(2), CPU))
    done = record.before("bert.encoder.layer.1.attention.output.dense")
    assert set(done) == {
        "bert.embeddings",
        "bert.encoder.layer.0",
        "bert.encoder.layer.1.attention.self",
    }
    assert record.before("bert.embeddings.word_embeddings") == {}


def test_weights_that_bfloat16_holds_lose_nothing_in_16_bits(probe: Encoded) -> None:
    model = shaped()
    for weight in model.parameters():
        weight.data = weight.data.bfloat16().float()
    found = sensitivity.measure(model, probe, LABELS, NF4, keep_float=KEEP)
    for part in found["parts"]:
        in_bits = part["in_bits"]
        assert [
            in_bits["16"][key] for key in ("kl", "mean_abs_dp", "flips", "validation_f1_change")
        ] == [0, 0, 0, 0]
        assert in_bits["4"]["kl"] > 0
        assert in_bits["16"]["bytes"] == 2 * part["weights"]


def test_a_layer_with_outliers_is_the_most_sensitive(probe: Encoded) -> None:
    """One weight of each block is far larger than the others, and meets an input of zero: it does
    nothing but harm.
    """
    model = shaped()
    name = "bert.encoder.layer.1.output.dense"
    before = model.get_submodule("bert.encoder.layer.1.intermediate.dense")
    blocks = [0, 64]
    with torch.no_grad():
        before.weight[blocks], before.bias[blocks] = 0.0, 0.0  # type: ignore[operator,index]
        model.get_parameter(f"{name}.weight").mul_(10)

    def losses() -> dict[str, float]:
        found = sensitivity.measure(model, probe, LABELS, NF4, keep_float=KEEP)
        return {part["name"]: part["in_bits"]["4"]["kl"] for part in found["parts"]}

    without = losses()
    with torch.no_grad():
        model.get_parameter(f"{name}.weight")[:, blocks] = 300.0
    found = losses()
    assert max(found, key=found.__getitem__) == name
    assert found.pop(name) > 10 * without.pop(name)
    assert found == without, "the others lose what they lost"


def nf4_by_hand(weight: Tensor) -> Tensor:
    """Return weights in blocks of 64, each the nearest of 16 numbers times the block's largest."""
    blocks = weight.bfloat16().double().numpy().reshape(-1, 64)
    absmax = np.abs(blocks).max(axis=1, keepdims=True)
    book = np.array(CODE_BOOK)
    nearest = np.abs((blocks / absmax)[:, :, None] - book).argmin(axis=2)
    return torch.from_numpy(book[nearest] * absmax).view(weight.shape).bfloat16().float()


def test_an_entry_computed_anew_from_its_definition(
    tokenizer: PreTrainedTokenizerBase, probe: Encoded
) -> None:
    """Text by text, without padding, batches, replay or bitsandbytes; KL in NumPy."""
    model, name = shaped(), "bert.encoder.layer.1.output.dense"
    plain = FourBit("nf4", double_quantization=False)
    found = sensitivity.measure(model, probe, LABELS, plain, keep_float=KEEP)
    entry = next(part for part in found["parts"] if part["name"] == name)["in_bits"]["4"]
    other = deepcopy(model)
    other.get_parameter(f"{name}.weight").data = nf4_by_hand(
        model.get_parameter(f"{name}.weight").detach()
    )
    kls, moved = [], []
    for text in TEXTS:
        ids = torch.tensor([tokenizer(text, truncation=True)["input_ids"]])
        with torch.no_grad():
            p, q = (
                np.exp(z := each(ids).logits[0].double().numpy()) / np.exp(z).sum()
                for each in (model, other)
            )
        kls.append(float((p * np.log(p / q)).sum()))
        moved.append(abs(float(p[1] - q[1])))
    assert entry["kl"] == pytest.approx(np.mean(kls), rel=0.01)
    assert entry["mean_abs_dp"] == pytest.approx(np.mean(moved), rel=0.01)
    assert found["rows"] == len(TEXTS)


SCHEMES: list[tuple[Scheme, Literal["nf4", "int8"]]] = [
    (NF4, "nf4"),
    (FourBit("nf4", double_quantization=False), "int8"),
    (FourBit("fp4", double_quantization=True), "nf4"),
    (EightBit(), "int8"),
]


@pytest.mark.parametrize(("scheme", "tables"), SCHEMES)
def test_bytes_are_those_of_the_saved_file(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, scheme: Scheme, tables: str
) -> None:
    folders.save(shaped(), tokenizer, tmp_path / "student")
    model, _ = sensitivity.load_float(tmp_path / "student", CPU)
    recipe = Recipe(scheme, KEEP, embeddings.SCHEMES[tables])
    quantize.write_quantized(tmp_path / "student", tmp_path / "out", recipe, device=CPU)
    saved = folders.tensor_bytes(tmp_path / "out" / "model.safetensors")
    for name, formats in sensitivity.stored_parts(model, scheme, KEEP):
        found = dict(formats)[
            {"nf4": 4, "int8": 8}[tables] if "embeddings" in name else scheme.bits
        ]
        own = [
            size
            for key, size in saved.items()
            if key.startswith(f"{name}.") and key != f"{name}.bias"
        ]
        assert found.bytes == sum(own), name


def test_layers_that_4_bits_cannot_hold_have_8_and_16(probe: Encoded) -> None:
    model = classifier(layers=1, hidden_size=40, intermediate_size=56)
    found = sensitivity.measure(model, probe, LABELS, EightBit(), keep_float=KEEP)
    kinds = {part["kind"]: set(part["in_bits"]) for part in found["parts"]}
    assert kinds == {"linear": {"8", "16"}, "embedding": {"4", "8", "16"}}
    table = sensitivity.plot_table(found)
    assert table.columns == ["part", "bits", "format", "mb", "kl"]
    assert table.height == sum(len(part["in_bits"]) for part in found["parts"])
    with pytest.raises(MinnowError, match="40 inputs and 40 outputs"):
        sensitivity.measure(model, probe, LABELS, NF4, keep_float=KEEP)
