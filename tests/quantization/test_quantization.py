"""Quantized models: really packed, close to what they came from, and what was saved is what ran."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import bitsandbytes
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from helpers.models import classifier
from minnow.core.files import MANIFEST, check_manifest, read_json, write_json
from minnow.core.runtime import Runtime
from minnow.errors import MinnowError
from minnow.models import building, embeddings, folders, schemes
from minnow.models.batching import Encoded, encode
from minnow.models.heads import classification_layer, head_modules
from minnow.models.inference import predict_logits
from minnow.models.packed import check_layers
from minnow.models.params import BuildParams
from minnow.models.schemes import EightBit, FourBit, Scheme
from minnow.quantization import quantize
from minnow.quantization.quantize import Recipe

CPU = torch.device("cpu")
KEEP = ["classifier", "pre_classifier"]
SCHEMES: list[tuple[Literal["nf4", "fp4", "int8"], bool]] = [
    ("nf4", True),
    ("nf4", False),
    ("fp4", True),
    ("fp4", False),
    ("int8", False),
]
# Largest share of a layer's norm that rounding may move; uniformly drawn weights move by 0.09, 0.12
# and 0.006.
ERROR = {"nf4": 0.15, "fp4": 0.2, "int8": 0.02}


@pytest.fixture(scope="module", params=["bert", "distilbert"])
def student(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    tokenizer: PreTrainedTokenizerBase,
    shape: BuildParams,
) -> Path:
    torch.manual_seed(0)
    model = building.build(
        shape.model_copy(update={"architecture": request.param, "hidden_size": 128}), tokenizer
    )
    folder = tmp_path_factory.mktemp("models") / "student"
    with torch.no_grad():
        classification_layer(model).weight.normal_()
    folders.save(model, tokenizer, folder)
    return folder


def quantized(
    student: Path, out: Path, scheme: Scheme, probe: Encoded, packed: str = "none"
) -> Path:
    recipe = Recipe(scheme, KEEP, embeddings.SCHEMES.get(packed))
    quantize.quantize(student, out, recipe, probe=probe, device=CPU)
    return out


def load(folder: Path) -> PreTrainedModel:
    return folders.load_for_inference(folder, Runtime(CPU, torch.float32))


def file_bytes(folder: Path) -> int:
    """Return the bytes of all that a model's folder holds but its manifest."""
    return sum(
        file.stat().st_size
        for file in folder.rglob("*")
        if file.is_file() and file.name != MANIFEST
    )


def inputs_of(encoded: Encoded) -> Any:
    return encoded.batch(torch.arange(len(encoded)), CPU)


@pytest.mark.parametrize(("name", "double"), SCHEMES)
def test_a_quantized_student_is_small_packed_and_survives_save_and_load(
    student: Path,
    tmp_path: Path,
    encoded: Encoded,
    name: Literal["nf4", "fp4", "int8"],
    double: bool,
) -> None:
    scheme = schemes.scheme(name, double_quantization=double)
    out = quantized(student, tmp_path / "out", scheme, encoded)
    model, original = load(out), load(student)

    heads = set(head_modules(original))
    last = classification_layer(model)
    layers = {
        each for each, module in original.named_modules() if isinstance(module, torch.nn.Linear)
    }
    for layer in layers:
        weight = model.get_submodule(layer).weight
        if layer in heads:
            assert weight.dtype == (
                torch.float32 if model.get_submodule(layer) is last else torch.bfloat16
            )
            assert torch.equal(weight.bfloat16(), original.get_submodule(layer).weight.bfloat16())
        else:
            assert weight.dtype == (torch.int8 if name == "int8" else torch.uint8)
            assert (
                weight.nbytes * (8 // scheme.bits) == original.get_submodule(layer).weight.numel()
            )
    floats = {
        weight.dtype
        for each, weight in model.named_parameters()
        if each.rsplit(".", 1)[0] not in layers
    }
    assert floats == {torch.bfloat16}

    manifest, before = (read_json(path / "manifest.json") for path in (out, student))
    assert manifest["parameters"] == before["parameters"]
    assert manifest["bytes_by_part"]["body"] < before["bytes_by_part"]["body"] * (
        0.3 if name == "int8" else 0.25
    )
    assert sum(manifest["bytes_by_part"].values()) == file_bytes(out)
    check_manifest(out)

    logits, expected = (predict_logits(each, encoded, device=CPU) for each in (model, original))
    spread = float(expected.std())
    assert torch.isfinite(logits).all()
    assert float((logits - expected).abs().max()) < 0.3 * spread
    assert not torch.equal(logits, expected)
    assert torch.equal(predict_logits(load(out), encoded, device=CPU), logits)


def test_double_quantization_saves_bytes_of_the_scales(
    student: Path, tmp_path: Path, encoded: Encoded
) -> None:
    def scales(double: bool) -> int:
        out = quantized(
            student, tmp_path / str(double), FourBit("nf4", double_quantization=double), encoded
        )
        weights = load_file(out / "model.safetensors")
        return sum(tensor.nbytes for name, tensor in weights.items() if name.endswith("absmax"))

    assert scales(True) < scales(False) / 3


@pytest.mark.parametrize(("code", "double"), [("nf4", True), ("nf4", False), ("fp4", True)])
def test_what_is_saved_is_the_direct_quantization_of_the_weights(
    student: Path, tmp_path: Path, encoded: Encoded, code: Literal["nf4", "fp4"], double: bool
) -> None:
    """Scales too, bit for bit: a CPU's first forward pass rounds them to bfloat16, hence they are
    saved before it.
    """
    out = quantized(student, tmp_path / "out", FourBit(code, double_quantization=double), encoded)
    saved, original = load_file(out / "model.safetensors"), load_file(student / "model.safetensors")
    packed = [
        name
        for name, tensor in saved.items()
        if tensor.dtype == torch.uint8 and name.endswith(".weight")
    ]
    assert len(packed) in (2 * 6, 2 * 6 + 1), "two layers of six, and BERT's pooler"
    for name in packed:
        weight = original[name].bfloat16()
        data, state = bitsandbytes.functional.quantize_4bit(
            weight, quant_type=code, compress_statistics=double
        )
        assert torch.equal(saved[name], data)
        assert torch.equal(saved[f"{name}.absmax"], state.absmax)
        assert (f"{name}.nested_absmax" in saved) == double
        if double:
            assert torch.equal(saved[f"{name}.nested_absmax"], state.state2.absmax)
        restored = bitsandbytes.functional.dequantize_4bit(data, state).float()
        assert float((restored - original[name]).norm() / original[name].norm()) < ERROR[code]


def test_eight_bits_restore_the_weights_within_half_a_step(
    student: Path, tmp_path: Path, encoded: Encoded
) -> None:
    out = quantized(student, tmp_path / "out", EightBit(), encoded)
    saved, original = load_file(out / "model.safetensors"), load_file(student / "model.safetensors")
    packed = [name for name, tensor in saved.items() if tensor.dtype == torch.int8]
    assert packed
    for name in packed:
        scale = saved[f"{name.removesuffix('.weight')}.SCB"][:, None]
        restored = saved[name].float() * scale / 127
        # half a step, and what float16 and bfloat16 had rounded before
        assert (
            (restored - original[name]).abs() <= scale / 127 * 0.5 + original[name].abs() / 128
        ).all()


# --- Embeddings -----------------------------------------------------------------------------------

PACKED = ["int8", "nf4"]
# bytes of 128 weights and their scales, by hand: 128 + 2, and 64 + 2 · 2
ROW_BYTES = {"int8": 130, "nf4": 68}


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("name", ["nf4", "fp4", "int8"])
def test_embeddings_are_packed_and_survive_save_and_load(
    student: Path,
    tmp_path: Path,
    encoded: Encoded,
    name: Literal["nf4", "fp4", "int8"],
    packed: str,
) -> None:
    scheme = schemes.scheme(name, double_quantization=name != "int8")
    out = quantized(student, tmp_path / "out", scheme, encoded, packed)
    plain = quantized(student, tmp_path / "plain", scheme, encoded)
    model, without, original = load(out), load(plain), load(student)

    saved, before = load_file(out / "model.safetensors"), load_file(student / "model.safetensors")
    tables = [
        each
        for each in before
        if each.endswith(("word_embeddings.weight", "position_embeddings.weight"))
    ]
    for table in tables:
        assert saved[table].shape == (len(before[table]), ROW_BYTES[packed])
        expected = embeddings.quantize_rows(before[table], embeddings.SCHEMES[packed])
        assert torch.equal(saved[table], expected), "of the float32 weights, not of their bfloat16"
        assert torch.equal(model.get_buffer(table), expected)
    said = read_json(out / "config.json")["minnow_embeddings"]
    assert (said["scheme"], said["block"]) == (packed, 64 if packed == "nf4" else None)
    assert [f"{each}.weight" for each in said["tables"]] == sorted(tables)
    assert "minnow_embeddings" not in read_json(plain / "config.json")

    manifest, bare, float_ = (read_json(path / MANIFEST) for path in (out, plain, student))
    assert manifest["parameters"] == float_["parameters"] == folders.count_parameters(model)
    assert sum(manifest["bytes_by_part"].values()) == file_bytes(out)
    rows = sum(len(before[table]) for table in tables)
    saving = rows * (2 * 128 - ROW_BYTES[packed])
    assert bare["bytes_by_part"]["embeddings"] - manifest["bytes_by_part"]["embeddings"] == saving
    for part in ("body", "head"):
        assert manifest["bytes_by_part"][part] == bare["bytes_by_part"][part]

    logits, whole, expected = (
        predict_logits(each, encoded, device=CPU) for each in (model, without, original)
    )
    assert not torch.equal(logits, whole)
    assert float((logits - expected).abs().max()) < 0.4 * float(expected.std())
    assert torch.equal(predict_logits(load(out), encoded, device=CPU), logits)


def resident(model: PreTrainedModel) -> int:
    """Return the bytes of a model's weights and buffers, and of what bitsandbytes keeps beside
    packed weights.
    """
    held = [*model.parameters(), *model.buffers()]
    for module in model.modules():
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        held += [
            each
            for each in (state.as_dict(packed=True).values() if state else [])
            if torch.is_tensor(each)
        ]
    return sum(each.nbytes for each in held)


@pytest.mark.parametrize("packed", ["none", *PACKED])
@pytest.mark.parametrize("name", ["nf4", "int8"])
def test_loading_does_not_inflate_a_model(
    student: Path, tmp_path: Path, encoded: Encoded, name: Literal["nf4", "int8"], packed: str
) -> None:
    scheme = schemes.scheme(name, double_quantization=name != "int8")
    out = quantized(student, tmp_path / "out", scheme, encoded, packed)
    limit = 1.2 * (out / "model.safetensors").stat().st_size
    model = load(out)
    assert 0.5 * limit < resident(model) <= limit
    predict_logits(model, encoded, device=CPU)
    assert sum(each.nbytes for each in [*model.parameters(), *model.buffers()]) <= limit, (
        "nor does running it"
    )


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("loader", [AutoModel, AutoModelForSequenceClassification, "own class"])
def test_plain_transformers_refuses_packed_embeddings(
    student: Path, tmp_path: Path, encoded: Encoded, packed: str, loader: Any
) -> None:
    """Instead of running on bytes or on random numbers: a packed row is never as long as the row
    that it stands for.
    """
    out = quantized(
        student, tmp_path / "out", FourBit("nf4", double_quantization=True), encoded, packed
    )
    loader = type(folders.load_model(student)) if loader == "own class" else loader
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        loader.from_pretrained(out)


def test_a_config_from_elsewhere_is_refused(
    student: Path, tmp_path: Path, encoded: Encoded
) -> None:
    out = quantized(
        student, tmp_path / "out", FourBit("nf4", double_quantization=True), encoded, "nf4"
    )
    config = read_json(out / "config.json")
    config["minnow_embeddings"]["block"] = 32
    write_json(out / "config.json", config)
    with pytest.raises(MinnowError, match="this Minnow cannot read"):
        load(out)


# --- Positions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "rows"), [("bert", 32), ("distilbert", 32), ("electra", 32), ("roberta", 34)]
)
@pytest.mark.parametrize("packed", ["none", "nf4"])
def test_positions_that_no_text_reaches_are_cut(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, kind: str, rows: int, packed: str
) -> None:
    """66 positions, texts of at most 32 tokens; RoBERTa counts from 2 on, behind padding, whose id
    is set to 1 here.
    """
    shape = {"hidden_dim": 128} if kind == "distilbert" else {"intermediate_size": 128}
    padding = {"pad_token_id": 1} if kind == "roberta" else {}
    model = classifier(kind, layers=1, **shape, **padding)
    student, out = tmp_path / "student", tmp_path / "out"
    folders.save(model, tokenizer, student)
    probe = encode(tokenizer, ["a.com/x", "b.org/" + "long/" * 60])
    assert int(probe.lengths.max()) == 32
    keep = [*KEEP, "dense", "out_proj"] if kind in ("roberta", "electra") else KEEP
    recipe = Recipe(EightBit(), keep, embeddings.SCHEMES.get(packed))
    quantize.quantize(student, out, recipe, probe=probe, device=CPU)
    assert read_json(out / "config.json")["max_position_embeddings"] == rows
    (name,) = [
        each
        for each in load_file(out / "model.safetensors")
        if each.endswith("position_embeddings.weight")
    ]
    assert len(load_file(out / "model.safetensors")[name]) == rows
    counted = [read_json(path / MANIFEST)["parameters"] for path in (student, out)]
    assert counted[0] - counted[1] == (66 - rows) * 64


@pytest.mark.parametrize("kind", ["bert", "distilbert", "electra", "roberta"])
def test_the_cut_changes_no_logit(tokenizer: PreTrainedTokenizerBase, kind: str) -> None:
    model = classifier(kind, layers=1, **({"pad_token_id": 1} if kind == "roberta" else {}))
    probe = encode(tokenizer, ["a.com/x", "b.org/" + "long/" * 60])
    expected = predict_logits(model, probe, device=CPU)
    quantize.cut_positions(model, 32)
    assert torch.equal(predict_logits(model, probe, device=CPU), expected)
    assert model.config.max_position_embeddings == (34 if kind == "roberta" else 32)
    assert all(
        buffer.shape[-1] == model.config.max_position_embeddings for buffer in model.buffers()
    )
    quantize.cut_positions(model, 32)
    quantize.cut_positions(model, 512)
    quantize.cut_positions(model, int(1e30))  # what a tokenizer without a limit says
    assert model.config.max_position_embeddings == (34 if kind == "roberta" else 32)


def test_positions_that_size_another_table_are_not_cut(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    """DeBERTa's table of distances has twice as many rows as the config gives positions."""
    shape = {
        "layers": 1,
        "intermediate_size": 128,
        "relative_attention": True,
        "position_biased_input": True,
    }
    model = classifier("deberta-v2", **shape, max_relative_positions=-1, position_buckets=-1)
    assert (
        len(model.get_parameter("deberta.encoder.rel_embeddings.weight"))
        == 2 * model.config.max_position_embeddings
    )
    positions = model.config.max_position_embeddings
    assert positions > 32
    folders.save(model, tokenizer, tmp_path / "student")
    nf4, probe = (
        FourBit("nf4", double_quantization=True),
        encode(tokenizer, ["a.com/x", "b.org/login"]),
    )
    out = quantized(tmp_path / "student", tmp_path / "out", nf4, probe, "nf4")
    assert load(out).config.max_position_embeddings == positions
    assert read_json(out / MANIFEST)["formats"]["deberta.embeddings.position_embeddings"] == "nf4"


def test_a_table_that_is_multiplied_with_stays_float(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    """DeBERTa's distances have a table whose rows nobody looks up; packed, it would be bytes in a
    matrix product.
    """
    folders.save(
        classifier("deberta-v2", layers=1, intermediate_size=128), tokenizer, tmp_path / "student"
    )
    nf4, probe = (
        FourBit("nf4", double_quantization=True),
        encode(tokenizer, ["a.com/x", "b.org/login"]),
    )
    out = quantized(tmp_path / "student", tmp_path / "out", nf4, probe, "nf4")
    formats = read_json(out / MANIFEST)["formats"]
    assert formats["deberta.embeddings.word_embeddings"] == "nf4"
    assert "deberta.encoder.rel_embeddings" not in formats


# --- Logits ---------------------------------------------------------------------------------------


def test_logits_are_computed_in_float32(student: Path, tmp_path: Path, encoded: Encoded) -> None:
    """The layer with an output per label alone; its weights are stored in bfloat16."""
    out = quantized(student, tmp_path / "out", FourBit("nf4", double_quantization=True), encoded)
    model, plain = load(out), folders.load_model(out)
    layer = classification_layer(model)
    seen: list[Any] = []
    layer.register_forward_hook(lambda _, given, made: seen.append((given[0], made)))
    with torch.inference_mode():
        logits, rounded = (each(**inputs_of(encoded)).logits for each in (model, plain))
    assert {weight.dtype for weight in layer.parameters()} == {torch.float32}
    assert logits.dtype == seen[0][0].dtype == torch.float32
    assert not torch.equal(logits, logits.bfloat16().float()), "more than bfloat16 holds"
    assert torch.allclose(
        logits, seen[0][0] @ layer.weight.detach().T + layer.bias.detach(), atol=1e-6
    )
    assert rounded.dtype == torch.bfloat16
    assert torch.allclose(
        rounded.float(), logits, rtol=2**-7, atol=2**-7 * float(logits.abs().max())
    )
    saved = load_file(out / "model.safetensors")
    assert {tensor.dtype for name, tensor in saved.items() if name.startswith("classifier")} == {
        torch.bfloat16
    }


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "electra"])
def test_a_float_model_in_bfloat16_gives_float32_logits_too(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, encoded: Encoded, kind: str
) -> None:
    """Else the student would be judged on a coarser scale than what it is quantized to."""
    folders.save(classifier(kind), tokenizer, tmp_path / "out")
    exact, rounded = (
        folders.load_for_inference(tmp_path / "out", Runtime(CPU, each))
        for each in (torch.float32, torch.bfloat16)
    )
    with torch.inference_mode():
        expected, found = (each(**inputs_of(encoded)).logits for each in (exact, rounded))
    assert found.dtype == torch.float32
    assert not torch.equal(found, found.bfloat16().float())
    assert torch.allclose(found, expected, atol=0.1 * float(expected.abs().max()))


# --- Layers ---------------------------------------------------------------------------------------


def linear_names(
    model: PreTrainedModel, scheme: Scheme, keep_float: list[str]
) -> tuple[list[str], list[str]]:
    return quantize.layers_to_quantize(model, scheme, keep_float)


def test_layers_named_by_any_part_stay_float() -> None:
    model = classifier("roberta", layers=1, intermediate_size=128)
    quantized_names, kept = linear_names(
        model, FourBit("nf4", double_quantization=True), ["classifier", "query"]
    )
    assert kept == [
        "roberta.encoder.layer.0.attention.self.query",
        "classifier.dense",
        "classifier.out_proj",
    ]
    assert len(quantized_names) == 5


@pytest.mark.parametrize("kind", ["distilbert", "roberta", "bert"])
def test_keeping_the_classification_layer_alone_is_enough(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, encoded: Encoded, kind: str
) -> None:
    """transformers leaves out whatever ends with its name too, such as DistilBERT's
    pre_classifier.
    """
    last = "out_proj" if kind == "roberta" else "classifier"
    shape = {"hidden_dim" if kind == "distilbert" else "intermediate_size": 128}
    folders.save(classifier(kind, layers=1, **shape), tokenizer, tmp_path / "student")
    nf4 = FourBit("nf4", double_quantization=True)
    out = tmp_path / "out"
    recipe = Recipe(nf4, [last])
    quantize.quantize(tmp_path / "student", out, recipe, probe=encoded, device=CPU)
    float_ones = {
        name for name, kept in read_json(out / MANIFEST)["formats"].items() if kept != "nf4"
    }
    assert {name for name in float_ones if "embeddings" not in name} == {
        "distilbert": {"pre_classifier", "classifier"},
        "roberta": {"classifier.out_proj"},
        "bert": {"classifier"},
    }[kind]


@pytest.mark.parametrize(
    ("kind", "options", "keep_float", "said"),
    [
        (
            "bert",
            {},
            ["pooler"],
            "keep_float must name the classification layer: add 'classifier' to the list",
        ),
        (
            "roberta",
            {},
            ["dense"],
            "keep_float must name the classification layer: add 'out_proj' to the list",
        ),
        (
            "bert",
            {"hidden_size": 96},
            ["classifier"],
            "query has 96 inputs and 96 outputs.*multiples of 64 and 32",
        ),
        (
            "bert",
            {"intermediate_size": 80},
            ["classifier"],
            "64 inputs and 80 outputs.*'dense' to .*leaves 4 layers",
        ),
        (
            "bert",
            {},
            ["bert", "classifier"],
            r"keep_float \(bert, classifier\) leaves no linear layer to quantize",
        ),
    ],
)
def test_what_cannot_be_quantized_is_refused(
    kind: str, options: dict[str, int], keep_float: list[str], said: str
) -> None:
    model = classifier(kind, layers=1, **({"intermediate_size": 128} | options))
    with pytest.raises(MinnowError, match=said):
        linear_names(model, FourBit("fp4", double_quantization=False), keep_float)


def test_eight_bits_take_any_width(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, encoded: Encoded
) -> None:
    student = tmp_path / "student"
    folders.save(classifier(layers=1, hidden_size=40, intermediate_size=56), tokenizer, student)
    quantized(student, tmp_path / "out", EightBit(), encoded)
    with pytest.raises(MinnowError, match="40 inputs and 40 outputs"):
        quantized(student, tmp_path / "out4", FourBit("nf4", double_quantization=True), encoded)


def test_a_layer_that_is_not_packed_as_asked_is_noticed(student: Path) -> None:
    scheme = FourBit("nf4", double_quantization=True)
    names, kept = linear_names(folders.load_model(student), scheme, KEEP)
    model = quantize.load_quantized(student, scheme, kept, device=CPU)
    check_layers(model, scheme, names)
    with pytest.raises(MinnowError, match="not quantized as asked"):
        check_layers(model, scheme, names[1:])
    with pytest.raises(MinnowError, match="not quantized as asked"):
        check_layers(model, EightBit(), names)
    with pytest.raises(MinnowError, match="not quantized as asked"):
        check_layers(folders.load_model(student), scheme, names)


def test_differing_logits_are_noticed() -> None:
    logits = torch.zeros(2, 2)
    quantize.check_same(logits, logits.clone())
    with pytest.raises(MinnowError, match=r"differ by up to 1e-07"):
        quantize.check_same(logits, logits + 1e-7)


def test_int8_knows_no_double_quantization() -> None:
    assert schemes.scheme("int8", double_quantization=False) == EightBit()
    assert schemes.scheme("fp4", double_quantization=True) == FourBit(
        "fp4", double_quantization=True
    )
    assert replace(FourBit("nf4", True), code="fp4").config(["a"]).llm_int8_skip_modules == ["a"]
