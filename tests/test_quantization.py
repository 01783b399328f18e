"""Quantized models: really packed, close to what they came from, and what was saved is what ran."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import bitsandbytes
import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from helpers_models import classifier
from minnow import models, pretrained, quantization, store
from minnow.batching import Encoded
from minnow.errors import MinnowError
from minnow.inference import predict_logits
from minnow.params import BuildParams
from minnow.quantization import EightBit, FourBit, Scheme
from minnow.runtime import Runtime

CPU = torch.device("cpu")
KEEP = ["classifier", "pre_classifier"]
SCHEMES: list[tuple[Literal["nf4", "fp4", "int8"], bool]] = [
    ("nf4", True),
    ("nf4", False),
    ("fp4", True),
    ("fp4", False),
    ("int8", False),
]
# Largest share of a layer's norm that rounding may move; uniformly drawn weights move by 0.09, 0.12 and 0.006.
ERROR = {"nf4": 0.15, "fp4": 0.2, "int8": 0.02}


@pytest.fixture(scope="module", params=["bert", "distilbert"])
def student(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    tokenizer: PreTrainedTokenizerBase,
    shape: BuildParams,
) -> Path:
    torch.manual_seed(0)
    model = pretrained.build(shape.model_copy(update={"architecture": request.param, "hidden_size": 128}), tokenizer)
    folder = tmp_path_factory.mktemp("models") / "student"
    with torch.no_grad():
        models.classification_layer(model).weight.normal_()
    models.save(model, tokenizer, folder)
    return folder


def quantized(student: Path, out: Path, scheme: Scheme, probe: Encoded) -> Path:
    quantization.quantize(student, out, scheme, keep_float=KEEP, probe=probe, device=CPU)
    return out


def inputs_of(encoded: Encoded) -> Any:
    return encoded.batch(torch.arange(len(encoded)), CPU)


@pytest.mark.parametrize(("name", "double"), SCHEMES)
def test_a_quantized_student_is_small_packed_and_survives_save_and_load(
    student: Path, tmp_path: Path, encoded: Encoded, name: Literal["nf4", "fp4", "int8"], double: bool
) -> None:
    scheme = quantization.scheme(name, double_quantization=double)
    out = quantized(student, tmp_path / "out", scheme, encoded)
    model, original = (models.load_for_inference(path, Runtime(CPU, torch.float32)) for path in (out, student))

    heads = set(models.head_modules(original))
    layers = {each for each, module in original.named_modules() if isinstance(module, torch.nn.Linear)}
    for layer in layers:
        weight = model.get_submodule(layer).weight
        if layer in heads:
            assert weight.dtype == torch.bfloat16
            assert torch.equal(weight, original.get_submodule(layer).weight.bfloat16())
        else:
            assert weight.dtype == (torch.int8 if name == "int8" else torch.uint8)
            assert weight.nbytes * (8 // scheme.bits) == original.get_submodule(layer).weight.numel()
    floats = {weight.dtype for each, weight in model.named_parameters() if each.rsplit(".", 1)[0] not in layers - heads}
    assert floats == {torch.bfloat16}

    manifest, before = (store.read_json(path / "manifest.json") for path in (out, student))
    assert manifest["parameters"] == before["parameters"]
    assert manifest["bytes_by_part"]["body"] < before["bytes_by_part"]["body"] * (0.3 if name == "int8" else 0.25)
    files = [file for file in out.rglob("*") if file.is_file() and file.name != "manifest.json"]
    assert sum(manifest["bytes_by_part"].values()) == sum(file.stat().st_size for file in files)
    store.check_manifest(out)

    logits, expected = (predict_logits(each, encoded, device=CPU) for each in (model, original))
    spread = float(expected.std())
    assert torch.isfinite(logits).all()
    assert float((logits - expected).abs().max()) < 0.3 * spread
    assert not torch.equal(logits, expected)
    again = models.load_for_inference(out, Runtime(CPU, torch.float32))
    assert torch.equal(predict_logits(again, encoded, device=CPU), logits)


def test_double_quantization_saves_bytes_of_the_scales(student: Path, tmp_path: Path, encoded: Encoded) -> None:
    def scales(double: bool) -> int:
        out = quantized(student, tmp_path / str(double), FourBit("nf4", double_quantization=double), encoded)
        weights = load_file(out / "model.safetensors")
        return sum(tensor.nbytes for name, tensor in weights.items() if name.endswith("absmax"))

    assert scales(True) < scales(False) / 3


@pytest.mark.parametrize(("code", "double"), [("nf4", True), ("nf4", False), ("fp4", True)])
def test_what_is_saved_is_the_direct_quantization_of_the_weights(
    student: Path, tmp_path: Path, encoded: Encoded, code: Literal["nf4", "fp4"], double: bool
) -> None:
    """Scales too, bit for bit: a CPU's first forward pass rounds them to bfloat16, hence they are saved before it."""
    out = quantized(student, tmp_path / "out", FourBit(code, double_quantization=double), encoded)
    saved, original = load_file(out / "model.safetensors"), load_file(student / "model.safetensors")
    packed = [name for name, tensor in saved.items() if tensor.dtype == torch.uint8 and name.endswith(".weight")]
    assert len(packed) in (2 * 6, 2 * 6 + 1), "two layers of six, and BERT's pooler"
    for name in packed:
        weight = original[name].bfloat16()
        data, state = bitsandbytes.functional.quantize_4bit(weight, quant_type=code, compress_statistics=double)
        assert torch.equal(saved[name], data)
        assert torch.equal(saved[f"{name}.absmax"], state.absmax)
        assert (f"{name}.nested_absmax" in saved) == double
        if double:
            assert torch.equal(saved[f"{name}.nested_absmax"], state.state2.absmax)
        restored = bitsandbytes.functional.dequantize_4bit(data, state).float()
        assert float((restored - original[name]).norm() / original[name].norm()) < ERROR[code]


def test_eight_bits_restore_the_weights_within_half_a_step(student: Path, tmp_path: Path, encoded: Encoded) -> None:
    out = quantized(student, tmp_path / "out", EightBit(), encoded)
    saved, original = load_file(out / "model.safetensors"), load_file(student / "model.safetensors")
    packed = [name for name, tensor in saved.items() if tensor.dtype == torch.int8]
    assert packed
    for name in packed:
        scale = saved[f"{name.removesuffix('.weight')}.SCB"][:, None]
        restored = saved[name].float() * scale / 127
        # half a step, and what float16 and bfloat16 had rounded before
        assert ((restored - original[name]).abs() <= scale / 127 * 0.5 + original[name].abs() / 128).all()


def linear_names(model: PreTrainedModel, scheme: Scheme, keep_float: list[str]) -> tuple[list[str], list[str]]:
    return quantization.layers_to_quantize(model, scheme, keep_float)


def test_layers_named_by_any_part_stay_float() -> None:
    model = classifier("roberta", layers=1, intermediate_size=128)
    quantized_names, kept = linear_names(model, FourBit("nf4", double_quantization=True), ["classifier", "query"])
    assert kept == ["roberta.encoder.layer.0.attention.self.query", "classifier.dense", "classifier.out_proj"]
    assert len(quantized_names) == 5


@pytest.mark.parametrize(
    ("kind", "options", "keep_float", "said"),
    [
        ("bert", {}, ["pooler"], "keep_float must name the classification layer: add 'classifier' to the list"),
        ("roberta", {}, ["dense"], "keep_float must name the classification layer: add 'out_proj' to the list"),
        ("bert", {"hidden_size": 96}, ["classifier"], "query has 96 inputs and 96 outputs.*multiples of 64 and 32"),
        ("bert", {"intermediate_size": 80}, ["classifier"], "64 inputs and 80 outputs.*add 'dense' to quantize.keep"),
        ("bert", {}, ["bert", "classifier"], r"keep_float \(bert, classifier\) leaves no linear layer to quantize"),
    ],
)
def test_what_cannot_be_quantized_is_refused(
    kind: str, options: dict[str, int], keep_float: list[str], said: str
) -> None:
    model = classifier(kind, layers=1, **({"intermediate_size": 128} | options))
    with pytest.raises(MinnowError, match=said):
        linear_names(model, FourBit("fp4", double_quantization=False), keep_float)


def test_eight_bits_take_any_width(tmp_path: Path, tokenizer: PreTrainedTokenizerBase, encoded: Encoded) -> None:
    student = tmp_path / "student"
    models.save(classifier(layers=1, hidden_size=40, intermediate_size=56), tokenizer, student)
    quantized(student, tmp_path / "out", EightBit(), encoded)
    with pytest.raises(MinnowError, match="40 inputs and 40 outputs"):
        quantized(student, tmp_path / "out4", FourBit("nf4", double_quantization=True), encoded)


def test_a_layer_that_is_not_packed_as_asked_is_noticed(student: Path) -> None:
    scheme = FourBit("nf4", double_quantization=True)
    names, kept = linear_names(models.load_model(student), scheme, KEEP)
    model = quantization.load_quantized(student, scheme, kept, device=CPU)
    quantization.check_layers(model, scheme, names)
    with pytest.raises(MinnowError, match="not quantized as asked"):
        quantization.check_layers(model, scheme, names[1:])
    with pytest.raises(MinnowError, match="not quantized as asked"):
        quantization.check_layers(model, EightBit(), names)
    with pytest.raises(MinnowError, match="not quantized as asked"):
        quantization.check_layers(models.load_model(student), scheme, names)


def test_differing_logits_are_noticed() -> None:
    logits = torch.zeros(2, 2)
    quantization.check_same(logits, logits.clone())
    with pytest.raises(MinnowError, match=r"differ by up to 1e-07"):
        quantization.check_same(logits, logits + 1e-7)


def test_int8_knows_no_double_quantization() -> None:
    assert quantization.scheme("int8", double_quantization=False) == EightBit()
    assert quantization.scheme("fp4", double_quantization=True) == FourBit("fp4", double_quantization=True)
    assert replace(FourBit("nf4", True), code="fp4").config(["a"]).llm_int8_skip_modules == ["a"]
