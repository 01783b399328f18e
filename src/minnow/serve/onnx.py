"""A released model without torch: `model.onnx` run by onnxruntime.

Texts of equal length are computed together, so nothing is padded, and a text has the same logits
alone as beside others.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Tokenizer

from minnow.errors import MinnowError, reason
from minnow.serve.classifier import ReleasedClassifier
from minnow.serve.folded import folded_file, keep_folded, read_folded
from minnow.serve.settings import Settings, check, read_settings
from minnow.serve.tokens import REMEDY, TOKENIZER, read_tokenizer, token_rows

MODEL = "model.onnx"
INPUTS, OUTPUT = {"input_ids", "attention_mask"}, "logits"
# Tokens computed at once: more are no faster, and take more memory.
BATCH_TOKENS = 2_048
# What scales activations by the largest of a batch: one text's answer then depends on the others.
BY_BATCH = b"DynamicQuantize"
# Metadata of a graph of ours that computes a scale for each row instead.
SCALES, BY_ROW = "minnow.scales", "row"
# How a graph names files beside itself. None of ours does; they could lie anywhere.
OTHER_FILES = b"location"
PROBES = ("x.io", "example.org/login")

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class OnnxModel:
    """A graph, its tokenizer, and whether it takes one text at a time alone."""

    session: Any
    tokenizer: Tokenizer
    alone: bool

    def logits(self, texts: Sequence[str]) -> Logits:
        """Return the logits of cleaned texts, shape (texts, 2)."""
        rows = token_rows(self.tokenizer, texts)
        found = np.empty((len(rows), 2), np.float32)
        for places in batches_of_equal_length([len(row) for row in rows], alone=self.alone):
            found[places] = self.run(np.array([rows[place] for place in places], np.int64))
        return found

    def run(self, ids: npt.NDArray[np.int64]) -> Logits:
        """Return the logits of token ids (texts, tokens), none of them padding."""
        fed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        logits: Logits = self.session.run([OUTPUT], fed)[0]
        return logits


def batches_of_equal_length(lengths: Sequence[int], *, alone: bool) -> Iterator[list[int]]:
    """Yield the places of texts of one length, as many as `BATCH_TOKENS` hold, or one by one."""
    by_length: dict[int, list[int]] = {}
    for place, length in enumerate(lengths):
        by_length.setdefault(length, []).append(place)
    for length, places in by_length.items():
        most = 1 if alone else max(1, BATCH_TOKENS // length)
        for first in range(0, len(places), most):
            yield places[first : first + most]


@dataclass(frozen=True)
class OnnxClassifier(ReleasedClassifier):
    """A released model with what it needs to answer."""

    model: OnnxModel
    settings: Settings

    def logits(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return the logits of cleaned texts, shape (texts, 2).

        Raises:
            MinnowError: the tokenizer or the graph cannot be run.
        """
        try:
            return self.model.logits(texts).astype(np.float64)
        except Exception as error:  # the tokenizer's and the runtime's have no class of their own
            raise MinnowError(f"the model cannot be run ({reason(error)}); {REMEDY}") from None


def load_onnx(folder: str | Path) -> OnnxClassifier:
    """Return the ONNX model in a release's folder.

    Raises:
        MinnowError: the folder is no release, or a file of it is missing, damaged or another's.
    """
    path = Path(folder)
    settings = read_settings(path).of_onnx()
    check(path, (MODEL, TOKENIZER))
    classifier = OnnxClassifier(read_onnx(path, settings.max_length), settings)
    classifier.margins(PROBES)
    return classifier


def read_onnx(folder: Path, max_length: int, *, keep: bool = True) -> OnnxModel:
    """Return the graph and tokenizer of a folder; texts are cut at `max_length` tokens. With `keep`
    the unfolded graph is taken from the user's cache, or laid there.

    Raises:
        MinnowError: one is missing or broken, or they do not belong together.
    """
    file = folder / MODEL
    try:
        content = file.read_bytes()
    except OSError as error:
        raise MinnowError(f"{file} cannot be read ({error.strerror}); {REMEDY}") from None
    tokenizer = read_tokenizer(folder, max_length)
    try:
        session = opened(content, keep=keep)
        model = OnnxModel(session, tokenizer, scaled_by_batch(content, session))
        check_graph(model, max_length)
    except Exception as error:  # the runtime's errors have no class of their own
        told = error if isinstance(error, ValueError) else reason(error)
        raise MinnowError(f"{file} cannot be run ({told}); {REMEDY}") from None
    return model


def scaled_by_batch(content: bytes, session: Any) -> bool:
    """Return whether a text's logits depend on those beside it, by the graph's operators."""
    told = session.get_modelmeta().custom_metadata_map
    return BY_BATCH in content and told.get(SCALES) != BY_ROW


def check_graph(model: OnnxModel, max_length: int) -> None:
    """Refuse a graph that is no classifier of two labels, or has no numbers for a token or a place
    that the tokenizer gives.

    Raises:
        Exception: what the runtime or numpy says, a ValueError where we say it.
    """
    inputs = {each.name for each in model.session.get_inputs()}
    outputs = [each.name for each in model.session.get_outputs()]
    if inputs != INPUTS or outputs != [OUTPUT]:
        raise ValueError("it is no classifier of Minnow's: its inputs or outputs have other names")
    last = max(model.tokenizer.get_vocab().values(), default=0)
    try:
        logits = model.run(np.full((1, max_length), last, np.int64))
    except Exception as error:
        raise ValueError(f"its tokenizer does not fit it: {reason(error)}") from None
    if logits.shape != (1, 2) or logits.dtype != np.float32:
        raise ValueError("it does not give two float32 logits a text")
    if not model.alone:
        check_rows(model, np.array([[last], [0]], np.int64).repeat(min(max_length, 8), 1))


def check_rows(model: OnnxModel, ids: npt.NDArray[np.int64]) -> None:
    """Refuse a graph that gives texts together other logits than alone.

    Raises:
        ValueError: it does, by more than rounding.
    """
    together, alone = model.run(ids), np.concatenate([model.run(row[None]) for row in ids])
    if together.shape != alone.shape or not np.allclose(
        together, alone, rtol=1e-4, atol=1e-4, equal_nan=True
    ):
        raise ValueError("a text's logits depend on the texts beside it")


def opened(content: bytes, *, keep: bool = True) -> Any:
    """Return a session of a graph, unfolded; with `keep`, from the cache where it lies there."""
    if OTHER_FILES in content:
        raise ValueError("it names other files")
    runtime = f"{onnxruntime.__version__} {fusing(content)}"
    file = folded_file(content, runtime) if keep else None
    graph = read_folded(file) if file else None
    if graph is None:
        try:
            graph = unfolded(content)
        except OSError:  # there is no room for it on any disk
            return session_of(content, options(fusing(content)))
        if file:
            keep_folded(file, graph)
    return session_of(graph, options("ORT_DISABLE_ALL"))


def fusing(content: bytes) -> str:
    """Return the level that a graph is unfolded at. Basic fuses nothing; of integers what extended
    fuses takes a fifth of the time off. What is fused is kept: all loads are equal.
    """
    return "ORT_ENABLE_EXTENDED" if BY_BATCH in content else "ORT_ENABLE_BASIC"


def unfolded(content: bytes) -> bytes:
    """Return the graph with everything computed that depends on no text."""
    with tempfile.TemporaryDirectory(prefix="minnow-") as folder:
        file = Path(folder) / MODEL
        chosen = options(fusing(content))
        chosen.optimized_model_filepath = str(file)
        session_of(content, chosen)
        return file.read_bytes()


def session_of(content: bytes, chosen: Any) -> Any:
    """Return a session on the CPU."""
    return onnxruntime.InferenceSession(content, chosen, providers=["CPUExecutionProvider"])


def options(level: str) -> Any:
    """Return the options of a session: one thread, which never spins, and no log of its own."""
    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads = chosen.inter_op_num_threads = 1
    chosen.add_session_config_entry("session.intra_op.allow_spinning", "0")
    chosen.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    chosen.log_severity_level = 4
    return chosen
