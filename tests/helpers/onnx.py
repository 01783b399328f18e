"""Releases with a `model.onnx` made by hand: a sum of two numbers a token, without torch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from minnow.core.files import write_json, write_manifest
from minnow.serve.settings import Settings

TEXTS = [
    "paypa1.com/login?user=1",
    "example.org",
    "a.b.c.example.net/path/to/page.html",
    "10.0.0.1/verify/account",
]
SETTINGS = Settings(("safe", "phishing"), 32, True, 1.25, 0.5, True)
PIECES = 300


def byte_pairs(texts: Sequence[str] = TEXTS, pieces: int = PIECES) -> Tokenizer:
    """Return a byte-level BPE with BERT's special tokens, as Minnow trains them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=pieces,
        special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def summing_model(
    *, rows: int = PIECES, places: int = 32, quantized: bool = False, seed: int = 0
) -> ModelProto:
    """Return a graph whose logits are the sum over tokens of a table's row, times a place's factor.

    `quantized` rounds all tokens of a batch by one scale, as dynamic int8 does. Otherwise every sum
    is exact in float32, so that no order of summing matters.
    """
    drawn = np.random.default_rng(seed)
    table = (drawn.integers(-256, 257, size=(rows, 2)) / 128).astype(np.float32)
    factors = (drawn.integers(8, 17, size=(places, 1)) / 16).astype(np.float32)
    constants = {
        "table": table,
        "places": factors,
        "zero": np.array([0], np.int64),
        "one": np.array([1], np.int64),
        "two": np.array([2], np.int64),
    }
    node = helper.make_node
    nodes = [
        node("Gather", ["table", "input_ids"], ["words"]),
        node("Shape", ["input_ids"], ["shape"]),
        node("Slice", ["shape", "one", "two"], ["length"]),
        node("Slice", ["places", "zero", "length", "zero"], ["factors"]),
        node("Mul", ["words", "factors"], ["placed"]),
        *(_rounded() if quantized else [node("Identity", ["placed"], ["rounded"])]),
        node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        node("Unsqueeze", ["mask", "two"], ["column"]),
        node("Mul", ["rounded", "column"], ["counted"]),
        node("ReduceSum", ["counted", "one"], ["logits"], keepdims=0),
    ]
    return as_model(nodes, constants)


def _rounded() -> list[object]:
    node = helper.make_node
    return [
        node("DynamicQuantizeLinear", ["placed"], ["codes", "scale", "middle"]),
        node("DequantizeLinear", ["codes", "scale", "middle"], ["rounded"]),
    ]


def as_model(nodes: list[object], constants: dict[str, np.ndarray]) -> ModelProto:
    """Return a graph with the inputs and the output of Minnow's."""
    shape = ["texts", "tokens"]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, shape)
        for name in ("input_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["texts", 2])
    stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "minnow", inputs, [output], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def tiny_release(
    folder: Path,
    model: ModelProto | None = None,
    *,
    settings: Settings = SETTINGS,
    tokenizer: Tokenizer | None = None,
) -> Path:
    """Write a release that onnxruntime runs, and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    made = summing_model(places=settings.max_length) if model is None else model
    (folder / "model.onnx").write_bytes(made.SerializeToString())
    (tokenizer or byte_pairs()).save(str(folder / "tokenizer.json"))
    write_json(folder / "minnow.json", settings.as_json())
    write_manifest(folder, {})
    return folder


def with_threshold(threshold: float) -> Settings:
    """Return SETTINGS with another threshold."""
    return replace(SETTINGS, threshold=threshold)
