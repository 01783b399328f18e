"""The exported graph against torch in float64: every architecture, every way to store a part."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerBase

from conftest import TEXTS
from helpers.graphs import Session
from helpers.quantized import (
    float64_logits,
    float64_model,
    quantized_folder,
    student,
    with_adapters,
)
from minnow.core.files import read_json, write_json
from minnow.export import products
from minnow.export.classifiers import encoder_of
from minnow.export.graph import onnx_file
from minnow.export.nodes import FLOAT, INT64, Nodes
from minnow.export.packed import read_packed
from minnow.export.reference import Reference

KINDS = ("bert", "distilbert", "roberta")
# Ways to store a student. Layers by the names that all three architectures' have in part.
STORED: dict[str, dict[str, Any]] = {
    "nf4": {},
    "nf4 with plain scales": {"double": False},
    "fp4, tables int8": {"scheme": "fp4", "tables": "int8"},
    "fp4 with plain scales, float tables": {"scheme": "fp4", "double": False, "tables": "none"},
    "int8": {"scheme": "int8", "tables": "int8"},
    "int8, tables nf4": {"scheme": "int8", "tables": "nf4"},
}
# The rounding of float32, with room for other processors.
EXACT = 1e-5
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def make(tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Return what makes a quantized folder of a kind; students of one kind and shape are made
    once.
    """
    root, made = tmp_path_factory.mktemp("models"), dict[str, Path]()

    def folder(kind: str, shape: dict[str, Any] | None = None, **stored: Any) -> Path:
        name = f"{kind}{len(made)}"
        key = f"{kind} {shape}"
        torch.manual_seed(0)
        if key not in made:
            made[key] = student(kind, tokenizer, root / key.replace(" ", "_"), **(shape or {}))
        made[name] = quantized_folder(made[key], root / f"{name}_packed", **stored)
        return made[name]

    return folder


@pytest.fixture(scope="module")
def texts(tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Texts of different lengths, one of a single token; ids are none of the special ones'."""
    draw = np.random.default_rng(0)
    drawn = [draw.integers(5, len(tokenizer), length).tolist() for length in (1, 9, 32)]
    return [*(tokenizer(text)["input_ids"] for text in TEXTS), *drawn]


def reference_logits(folder: Path, texts: Sequence[Sequence[int]]) -> np.ndarray:
    reference = Reference(encoder_of(read_packed(folder)))
    return np.stack([reference.logits(np.array(ids)) for ids in texts])


def session(folder: Path, mode: Any = "exact") -> Session:
    return Session(onnx_file(encoder_of(read_packed(folder)), mode))


def padded(texts: Sequence[Sequence[int]], pad: int) -> tuple[np.ndarray, np.ndarray]:
    ids = np.full((len(texts), max(map(len, texts))), pad)
    mask = np.zeros_like(ids)
    for row, text in enumerate(texts):
        ids[row, : len(text)], mask[row, : len(text)] = text, 1
    return ids, mask


def assert_exact(folder: Path, texts: Sequence[Sequence[int]]) -> None:
    """Hold reference and graph, one text at a time and in one padded batch, against torch."""
    expected = float64_logits(float64_model(folder), texts).numpy()
    bound = EXACT * np.maximum(1, np.abs(expected))
    assert (np.abs(reference_logits(folder, texts) - expected) < bound / 10).all()
    encoder, run = encoder_of(read_packed(folder)), session(folder)
    assert (np.abs(run.each(texts) - expected) < bound).all()
    batch = run.batch(*padded(texts, encoder.padding or 0))
    assert (np.abs(batch - expected) < bound).all()
    # A wrong number anywhere would show: texts have answers of their own.
    assert np.ptp(expected, axis=0).min() > 1e-3


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_torch_in_float64(
    make: Make, texts: list[list[int]], kind: str, stored: str
) -> None:
    assert_exact(make(kind, **STORED[stored]), texts)


@pytest.mark.parametrize("kind", KINDS)
def test_adapters_beside_the_weights_count(
    make: Make, texts: list[list[int]], tmp_path: Path, kind: str
) -> None:
    packed = make(kind)
    adapted = with_adapters(packed, packed, tmp_path / "adapted")
    assert_exact(adapted, texts)
    assert np.abs(reference_logits(adapted, texts) - reference_logits(packed, texts)).max() > 0.01


def test_a_budgets_mixture_of_formats_is_exported(make: Make, texts: list[list[int]]) -> None:
    """Queries stay bfloat16 beside packed keys and values, and tables differ."""
    below = "bert.embeddings"
    tables = {f"{below}.word_embeddings": "int8", f"{below}.position_embeddings": "nf4"}
    query = "bert.encoder.layer.0.attention.self.query"
    folder = make("bert", tables=tables, precious=[query])
    assert read_packed(folder).tensors[f"{query}.weight"].dtype == np.uint16
    assert_exact(folder, texts)
    exact, fast = (session(folder, mode).each(texts) for mode in ("exact", "fast"))
    assert np.abs(exact - fast).max() < 0.1


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("bert", {"hidden_act": "relu", "layer_norm_eps": 1e-5}),
        ("distilbert", {"activation": "relu"}),
        ("roberta", {"layer_norm_eps": 1e-5, "type_vocab_size": 1}),
        ("bert", {"width": 96, "num_attention_heads": 3, "num_hidden_layers": 1}),
    ],
)
def test_other_shapes_are_exported(
    make: Make, texts: list[list[int]], kind: str, shape: dict[str, Any]
) -> None:
    assert_exact(make(kind, shape, scheme="int8"), texts)


@pytest.mark.parametrize("labels", [1, 3])
@pytest.mark.parametrize(
    ("kind", "head"), [("bert", "classifier"), ("roberta", "classifier.out_proj")]
)
def test_any_number_of_labels_is_exported(
    make: Make, texts: list[list[int]], tmp_path: Path, kind: str, head: str, labels: int
) -> None:
    shutil.copytree(make(kind), tmp_path / "relabelled")
    weights = tmp_path / "relabelled" / "model.safetensors"
    tensors = load_file(weights)
    drawn = {"weight": torch.randn(labels, 64), "bias": torch.randn(labels)}
    tensors |= {f"{head}.{name}": value.bfloat16() for name, value in drawn.items()}
    save_file(tensors, weights, metadata={"format": "pt"})
    config = read_json(tmp_path / "relabelled" / "config.json")
    names = {str(label): f"label {label}" for label in range(labels)}
    del config["label2id"]
    write_json(tmp_path / "relabelled" / "config.json", config | {"id2label": names})
    (tmp_path / "relabelled" / "manifest.json").unlink()
    assert_exact(tmp_path / "relabelled", texts)
    assert encoder_of(read_packed(tmp_path / "relabelled")).labels == labels


def test_padding_within_a_text_shifts_robertas_positions(make: Make) -> None:
    folder, pad = make("roberta"), 1
    texts = [[5, pad, 7, 8], [5, 7, pad, 8], [9, 9, 9, 9]]
    expected = float64_logits(float64_model(folder), texts).numpy()
    assert np.abs(session(folder).each(texts) - expected).max() < EXACT


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_the_file_is_the_same_bytes_twice_and_of_standard_operators(make: Make, mode: Any) -> None:
    folder = make("bert")
    files = [onnx_file(encoder_of(read_packed(folder)), mode) for _ in range(2)]
    assert files[0] == files[1]
    model = onnx.load_from_string(files[0])
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 17)]
    assert {node.domain for node in model.graph.node} == {""}
    assert [each.name for each in model.graph.input] == ["input_ids", "attention_mask"]
    assert [each.name for each in model.graph.output] == ["logits"]


def test_the_file_is_hardly_larger_than_the_weights(make: Make) -> None:
    folder = make("bert", {"num_hidden_layers": 12})
    model = onnx_file(encoder_of(read_packed(folder)), "exact")
    assert len(model) < 1.2 * (folder / "model.safetensors").stat().st_size


@pytest.mark.parametrize("kind", KINDS)
def test_fast_stays_near_exact_and_multiplies_integers(
    make: Make, texts: list[list[int]], kind: str
) -> None:
    folder = make(kind)
    exact, fast = (session(folder, mode).each(texts) for mode in ("exact", "fast"))
    assert 0 < np.abs(exact - fast).max() < 0.1
    model = onnx.load_from_string(onnx_file(encoder_of(read_packed(folder)), "fast"))
    kinds = [node.op_type for node in model.graph.node]
    # Of each layer: queries, keys and values together, but in the last; context; up; down.
    assert kinds.count("MatMulInteger") == 4 * 2 + 1


def test_fast_weights_stay_within_what_every_processor_adds_without_loss(make: Make) -> None:
    nodes = Nodes()
    weight = np.random.default_rng(0).normal(size=(8, 16)).astype(np.float32)
    weight[3] = 0
    codes, steps = products._rounded(nodes, nodes.constant(weight))
    back = nodes.op("Mul", nodes.op("Cast", codes, to=FLOAT), steps)
    nodes.op_named("Identity", back, output="logits")
    inputs = [
        helper.make_tensor_value_info(n, INT64, ["b", "t"]) for n in ("input_ids", "attention_mask")
    ]
    run = Session(nodes.model(inputs, [helper.make_tensor_value_info("logits", FLOAT, ["a", "b"])]))
    none = np.zeros((1, 1), np.int64)
    step = np.maximum(np.abs(weight).max(1), 1e-30) / products.REACH
    found = run.batch(none, none).T
    assert np.abs(found - weight).max() <= step.max() / 2 * 1.001
    assert np.abs(np.rint(found / step[:, None])).max() == products.REACH == 63
    assert 2 * 255 * products.REACH < 2**15
