"""The inside of models: what transformers itself says of it, online, and out of files."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from conftest import TEXTS
from helpers.models import classifier, padded_batch
from helpers.rot import flipped
from helpers.training import BFLOAT16, CPU, FLOAT32
from minnow.core.files import read_json
from minnow.core.runtime import Runtime
from minnow.distill import states
from minnow.distill.losses import attention_scores
from minnow.distill.states import (
    OnlineStates,
    StoredStates,
    Teacher,
    Watch,
    read_states,
    store_states,
)
from minnow.errors import MinnowError
from minnow.models import folders
from minnow.models.anatomy import layers_of, projections_of
from minnow.models.batching import Encoded, encode

KINDS = ("bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta")
TABLE = pl.DataFrame({"id": ["a", "b", "c", "d"], "text": TEXTS})
ROWS = torch.tensor([2, 0, 1])


def watched(model: PreTrainedModel, batch: dict[str, Tensor], **what: Any) -> states.States:
    watch = Watch(model, **what)
    with watch.on():
        model(**batch)
    return watch.take()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerBase) -> Path:
    """A teacher of three layers as Minnow saves it."""
    torch.manual_seed(0)
    out = tmp_path_factory.mktemp("models") / "teacher"
    folders.save(classifier("bert", layers=3), tokenizer, out)
    return out


# --- Watching -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_states_are_those_that_transformers_gives(kind: str) -> None:
    model, batch = classifier(kind, layers=3), padded_batch()
    expected = model(**batch, output_hidden_states=True).hidden_states
    found = watched(model, batch, hidden=range(4)).hidden
    assert list(found) == [0, 1, 2, 3]
    for layer, state in found.items():
        assert torch.equal(state, expected[layer]), layer


@pytest.mark.parametrize("kind", KINDS)
def test_queries_and_keys_make_the_attention_that_transformers_gives(kind: str) -> None:
    model, batch = classifier(kind, layers=2), padded_batch()
    model.set_attn_implementation("eager")
    expected = model(**batch, output_attentions=True).attentions
    query, key, value = watched(model, batch, projected=[2]).projected[2]
    assert not torch.equal(key, value)
    scores = attention_scores(query, key, heads=2).masked_fill(
        batch["attention_mask"][:, None, None] == 0, -1e9
    )
    torch.testing.assert_close(scores.softmax(dim=-1), expected[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_queries_keys_and_values_follow_from_the_hidden_state_before(kind: str) -> None:
    model, batch = classifier(kind, layers=3), padded_batch()
    found = watched(model, batch, hidden=range(3), projected=[1, 3])
    for layer, made in found.projected.items():
        linears = projections_of(model, layer)
        assert len(linears) == 3
        for linear, expected in zip(linears, made, strict=True):
            assert torch.equal(linear(found.hidden[layer - 1]), expected)


def test_nobody_watches_after_the_block() -> None:
    model, batch = classifier("bert"), padded_batch()
    watch = Watch(model, hidden=[0, 1], projected=[2])
    with watch.on():
        model(**batch)
    assert set(watch.take().hidden) == {0, 1}
    model(**batch)
    assert watch.take() == states.States({}, {})
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_only_the_latest_pass_is_remembered() -> None:
    model, batch = classifier("bert"), padded_batch()
    watch = Watch(model, hidden=[1], projected=[2])
    with watch.on():
        for _ in range(2):
            model(**batch)
            found = watch.take()
            assert len(found.projected[2]) == 3


def test_other_architectures_are_refused() -> None:
    with pytest.raises(
        MinnowError,
        match="cannot look into a 'modernbert' model, only into bert, camembert, distilb",
    ):
        layers_of(classifier("modernbert"))


def test_needed_layers() -> None:
    assert states.needed([1, 3, 6], []) == [1, 3, 6]
    assert states.needed([], [6]) == [5]
    assert states.needed([2], [1, 3]) == [0, 2]


# --- The teacher online ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bert", "distilbert", "electra"])
@pytest.mark.parametrize("layers", [[0], [1], [0, 2, 3]])
def test_what_lies_behind_the_last_needed_layer_is_not_computed(
    kind: str, layers: list[int]
) -> None:
    torch.manual_seed(0)
    model = classifier(kind, layers=3)
    texts = Encoded(torch.arange(5, 19), torch.tensor([4, 7, 3]), 0)
    batch = texts.batch(torch.arange(3), CPU)
    expected = watched(model, batch, hidden=layers).hidden
    source = states.online(model, texts, layers, CPU)
    assert len(layers_of(model)) == max(1, *layers)
    found = source.of(torch.arange(3))
    assert list(found) == layers
    assert all(torch.equal(found[layer], expected[layer]) for layer in layers)


def test_a_teachers_states_can_be_kept_for_a_backward_pass(
    folder: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    model = folders.load_for_inference(folder, BFLOAT16)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    linears = {3: projections_of(model, 3)}
    teacher = Teacher(states.online(model, encode(tokenizer, TEXTS), [2], CPU), [2], linears)
    found = teacher.of(ROWS)
    tensors = [found.hidden[2], *found.projected[3]]
    assert {tensor.dtype for tensor in tensors} == {torch.float32}
    for tensor in tensors:
        assert not tensor.requires_grad
        student = torch.zeros_like(tensor, requires_grad=True)
        torch.nn.functional.mse_loss(student, tensor).backward()
        assert student.grad is not None
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


# --- Stored ---------------------------------------------------------------------------------------


def stored(folder: Path, out: Path, layers: list[int], run: Runtime = FLOAT32) -> StoredStates:
    store_states(folder, out, TABLE, layers, run)
    texts = encode(folders.load_tokenizer(folder), TEXTS)
    return read_states(out, TABLE["id"].to_list(), texts, layers, CPU)


@pytest.mark.parametrize("runtime", [FLOAT32, BFLOAT16], ids=["float32", "bfloat16"])
def test_stored_states_are_what_the_teacher_computes(
    folder: Path, tmp_path: Path, runtime: Runtime
) -> None:
    source = stored(folder, tmp_path / "states", [0, 2, 3], runtime)
    model = folders.load_for_inference(folder, runtime)
    texts = encode(folders.load_tokenizer(folder), TEXTS)
    online = OnlineStates(model, texts, [0, 2, 3], CPU)
    narrow = states.STORED[runtime.dtype]
    everything, now = torch.arange(len(TEXTS)), online.of(torch.arange(len(TEXTS)))
    real = texts.places(everything)[1]
    for layer, state in source.of(everything).items():
        assert state.dtype == narrow
        assert torch.equal(state[real], now[layer].to(narrow)[real]), "one batch, then as now"
    picked, mask = source.of(ROWS), texts.places(ROWS)[1]
    for layer, state in online.of(ROWS).items():
        torch.testing.assert_close(
            picked[layer].float()[mask], state.float()[mask], rtol=2e-2, atol=2e-2
        )


def test_two_bytes_a_number_and_the_same_bytes_again(folder: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        stored(folder, tmp_path / name, [1, 2], BFLOAT16)
    files = sorted(file.name for file in (tmp_path / "one").iterdir())
    assert files == [
        "layer_01.npy",
        "layer_02.npy",
        "manifest.json",
        "rows.parquet",
        "states.json",
    ]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    tokens = len(encode(folders.load_tokenizer(folder), TEXTS).ids)
    assert np.load(tmp_path / "one" / "layer_01.npy").nbytes == 2 * 64 * tokens
    assert read_json(tmp_path / "one" / "states.json") == {"dtype": "bfloat16", "layers": [1, 2]}


def test_without_layers_no_model_is_loaded(tmp_path: Path) -> None:
    store_states(tmp_path / "no teacher", tmp_path / "states", TABLE, [], FLOAT32)
    assert [file.name for file in (tmp_path / "states").iterdir()] == ["states.json"]


def test_storing_in_many_batches_is_storing_in_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = stored(folder, tmp_path / "one", [3])
    monkeypatch.setattr(states, "BATCH_TOKENS", {"cpu": 20})
    many = stored(folder, tmp_path / "many", [3])
    torch.testing.assert_close(many.states[3].float(), one.states[3].float(), rtol=2e-3, atol=2e-3)


def test_too_little_space_is_refused_with_nothing_left(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(MinnowError, match="MB are needed"):
        store_states(folder, tmp_path / "states", TABLE, [1], FLOAT32)
    assert list(tmp_path.iterdir()) == []


def test_the_size_is_told(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored(folder, tmp_path / "states", [1, 3])
    assert (
        "minnow: storing 0 MB: the teacher's hidden states of 50 tokens, layers 1, 3"
        in capsys.readouterr().err
    )


def test_a_layer_that_the_teacher_lacks_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        MinnowError,
        match=r"teacher_states\.layers names layer 4, 9; the teacher has layers 1 to 3, and 0 for",
    ):
        store_states(folder, tmp_path / "states", TABLE, [0, 4, 9], FLOAT32)


def test_states_that_are_not_finite_are_refused(
    folder: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    model = folders.load_model(folder)
    with torch.no_grad():
        model.bert.encoder.layer[2].output.LayerNorm.bias[0] = 1e6  # beyond float16
    folders.save(model, tokenizer, tmp_path / "teacher")
    with pytest.raises(MinnowError, match=r"layer 3 are infinite or undefined in torch\.float16"):
        store_states(tmp_path / "teacher", tmp_path / "states", TABLE, [3], FLOAT32)
    assert not (tmp_path / "states").exists()


@pytest.mark.parametrize("name", ["layer_02.npy", "rows.parquet", "states.json"])
def test_a_flipped_bit_is_refused(
    folder: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerBase, name: str
) -> None:
    stored(folder, tmp_path, [2])
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(flipped(content, 4 * len(content)))
    with pytest.raises(MinnowError, match=f"{name} "):
        read_states(tmp_path, TABLE["id"].to_list(), encode(tokenizer, TEXTS), [2], CPU)


def test_missing_layers_and_other_rows_are_refused(
    folder: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    stored(folder, tmp_path, [2])
    ids, texts = TABLE["id"].to_list(), encode(tokenizer, TEXTS)
    with pytest.raises(
        MinnowError, match=r"and 1, 3 are not stored: set teacher_states.layers to \[1, 2, 3\]"
    ):
        read_states(tmp_path, ids, texts, [1, 2, 3], CPU)
    for wrong, others in (
        (["a", "b", "d", "c"], texts),
        (ids[:3], encode(tokenizer, TEXTS[:3])),
        (ids, encode(tokenizer, TEXTS[::-1])),
    ):
        with pytest.raises(MinnowError, match="belongs to other rows or to another teacher"):
            read_states(tmp_path, wrong, others, [2], CPU)
