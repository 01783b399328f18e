"""Folders that cannot be exported: damaged, foreign, or of another architecture."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerBase

from helpers.quantized import quantized_folder, student
from minnow.errors import MinnowError
from minnow.export.classifiers import encoder_of
from minnow.export.exported import labels_of_logits
from minnow.export.packed import NF4, read_packed
from minnow.models import embeddings

QUERY = "bert.encoder.layer.0.attention.self.query"
STATE = f"{QUERY}.weight.quant_state.bitsandbytes__nf4"
WORDS = "bert.embeddings.word_embeddings.weight"
DOUBLE = '{"blocksize": 64, "shape": [64, 64], "nested_blocksize": 256, '
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def sound(tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    return quantized_folder(student("bert", tokenizer, root / "student"), root / "packed")


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "copy"))


def refusal(folder: Path) -> str:
    with pytest.raises(MinnowError) as error:
        encoder_of(read_packed(folder))
    line = str(error.value)
    assert "\n" not in line
    assert len(line) < 400
    return line


def configured(folder: Path, **changes: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def changed(folder: Path, change: Callable[[Tensors], None]) -> Path:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    return folder


def test_the_code_book_is_that_of_the_tables() -> None:
    assert tuple(NF4.tolist()) == embeddings.CODE_BOOK


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert name in refusal(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("kept", [0, 5, 100])
def test_a_file_that_was_cut_off_is_named(folder: Path, name: str, kept: int) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:kept])
    assert name in refusal(folder)


def test_every_tensor_is_needed(folder: Path) -> None:
    """Whichever is taken away, the model is refused; BERT's other token types count as one."""
    packed = read_packed(folder)
    for name in packed.tensors:
        less = {key: value for key, value in packed.tensors.items() if key != name}
        with pytest.raises(MinnowError, match=re.escape(name.partition(".quant_state")[0])):
            encoder_of(type(packed)(packed.folder, packed.config, less))


def nan(tensors: Tensors) -> None:
    tensors["classifier.bias"][0] = float("nan")


def infinite_scale(tensors: Tensors) -> None:
    tensors[WORDS][0, -1] = 0x7C  # the upper byte of float16's infinity, in which
    tensors[WORDS][0, -2] = 0  # the lower one is 0


def infinite_absmax(tensors: Tensors) -> None:
    tensors[f"{QUERY}.weight.nested_absmax"][0] = float("inf")


def fewer_codes(tensors: Tensors) -> None:
    tensors[f"{QUERY}.weight"] = tensors[f"{QUERY}.weight"][:-1].clone()


def fewer_scales(tensors: Tensors) -> None:
    tensors[f"{QUERY}.weight.absmax"] = tensors[f"{QUERY}.weight.absmax"][:-1].clone()


def other_width(tensors: Tensors) -> None:
    tensors[WORDS] = tensors[WORDS][:, :-1].clone()


def other_shape(tensors: Tensors) -> None:
    tensors["classifier.weight"] = tensors["classifier.weight"][:, :-1].clone()


def other_bias(tensors: Tensors) -> None:
    tensors[f"{QUERY}.bias"] = tensors[f"{QUERY}.bias"][:-1].clone()


def state(text: str) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        tensors[STATE] = torch.tensor(list(text.encode()), dtype=torch.uint8)

    return change


def no_matrix(tensors: Tensors) -> None:
    tensors[f"{QUERY}.weight"] = torch.tensor(1, dtype=torch.int8)


def integers(tensors: Tensors) -> None:
    tensors["classifier.bias"] = tensors["classifier.bias"].long()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (nan, "classifier.bias"),
        (infinite_scale, "word_embeddings"),
        (infinite_absmax, "nested_absmax"),
        (fewer_codes, "query"),
        (fewer_scales, "query"),
        (other_width, "word_embeddings"),
        (other_shape, "classifier"),
        (other_bias, "query.bias"),
        (state("{"), "query"),
        (state("[]"), "query"),
        (state('{"blocksize": 64, "shape": [64]}'), "query"),
        (state('{"blocksize": 0, "shape": [64, 64]}'), "query"),
        (state('{"blocksize": 7, "shape": [64, 64]}'), "query"),
        (state('{"blocksize": 64, "shape": [64, 64], "nested_blocksize": 256}'), "query"),
        (state(DOUBLE + '"nested_offset": 1e300}'), "query"),
        (no_matrix, "no matrix"),
        (integers, "classifier.bias"),
    ],
)
def test_what_a_tensor_cannot_be_is_named(
    folder: Path, change: Callable[[Tensors], None], words: str
) -> None:
    assert words in refusal(changed(folder, change))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "electra"}, "'electra' model cannot be exported, only bert, distilbert"),
        ({"model_type": None}, "cannot be exported"),
        ({"model_type": "distilbert"}, "dim"),
        ({"hidden_act": "gelu_new"}, "'gelu_new'"),
        ({"position_embedding_type": "relative_key"}, "positions"),
        ({"num_attention_heads": 3}, "3 heads"),
        ({"num_attention_heads": 0}, "num_attention_heads"),
        ({"num_hidden_layers": 3}, "layer.2"),
        ({"num_hidden_layers": True}, "num_hidden_layers"),
        ({"hidden_size": 128}, "128"),
        ({"intermediate_size": 64}, "intermediate"),
        ({"layer_norm_eps": 0.0}, "layer_norm_eps"),
        ({"minnow_embeddings": {"scheme": "nf5", "tables": []}}, "minnow_embeddings"),
        ({"minnow_embeddings": {"scheme": "nf4", "block": 32, "tables": []}}, "minnow_embeddings"),
        ({"minnow_embeddings": "nf4"}, "minnow_embeddings"),
        ({"minnow_adapters": {"layers": []}}, "adapters"),
        ({"minnow_adapters": {"layers": [], "rank": 4, "scale": float("inf")}}, "adapters"),
        ({"minnow_adapters": {"layers": [], "rank": 4, "scale": 1e300}}, "adapters"),
        ({"is_decoder": True}, "decoder"),
        ({"type_vocab_size": 1}, "token_type_embeddings"),
    ],
)
def test_what_a_config_cannot_say_is_named(
    folder: Path, changes: dict[str, Any], words: str
) -> None:
    assert words in refusal(configured(folder, **changes))


@pytest.mark.parametrize(
    "labels",
    [None, {"0": "a"}, {"5": "a", "7": "b"}, {"0": 1, "1": "b"}, {"0": "\ud800", "1": "b"}],
)
def test_labels_that_are_not_a_text_a_logit_are_named(folder: Path, labels: Any) -> None:
    packed = read_packed(configured(folder, id2label=labels))
    with pytest.raises(MinnowError, match="label"):
        labels_of_logits(packed, 2)


def test_a_config_that_is_no_object_is_named(folder: Path) -> None:
    (folder / "config.json").write_text("[]")
    assert "config.json holds no JSON object" in refusal(folder)


def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    weights = folder / "model.safetensors"
    weights.rename(tmp_path / "elsewhere")
    weights.symlink_to(tmp_path / "elsewhere")
    assert "outside" in refusal(folder)


def test_adapters_are_read_from_their_own_file(folder: Path) -> None:
    said = {"layers": [QUERY], "rank": 4, "scale": 2.0}
    assert "minnow.safetensors is missing" in refusal(configured(folder, minnow_adapters=said))


def test_a_sound_folder_has_the_shapes_of_its_config(sound: Path) -> None:
    encoder = encoder_of(read_packed(sound))
    assert (encoder.width, encoder.heads, len(encoder.layers), encoder.labels) == (64, 2, 2, 2)
    assert encoder.longest == encoder.positions.shape[0]
    assert np.dtype(np.uint16) == encoder.types.values.dtype  # type: ignore[union-attr]
