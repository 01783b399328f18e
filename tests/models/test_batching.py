"""Tokens once, in batches without waste: what every row of every batch must be."""

from itertools import pairwise

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from helpers.training import CPU, PAD, encoded
from minnow.models import batching
from minnow.models.batching import BLUR, POOL_BATCHES, encode, inference_batches, training_batches

ROWS = [[1, 5, 6], [1], [1, 9, 9, 9, 2], [1, 4]]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of single characters, with `[CLS]` and `[SEP]` around them."""
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    vocabulary = {piece: i for i, piece in enumerate([*special, *"abcdefghijklmnopqrstuvwxyz./-"])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", model_max_length=12
    )


def lengths(rows: int) -> torch.Tensor:
    """Return lengths as URLs have them: most short, some very long."""
    draw = torch.Generator().manual_seed(0)
    return (torch.randn(rows, generator=draw) * 0.6 + 3.1).exp().clamp(4, 128).long()


def padding(rows_of_lengths: torch.Tensor, batches: list[torch.Tensor]) -> float:
    """Return the share of padded places that hold no token."""
    places = sum(len(rows) * int(rows_of_lengths[rows].max()) for rows in batches)
    return 1 - int(rows_of_lengths.sum()) / places


def test_a_batch_is_as_wide_as_its_longest_row() -> None:
    batch = encoded(ROWS).batch(torch.tensor([3, 0]), CPU)
    assert batch["input_ids"].tolist() == [[1, 4, PAD], [1, 5, 6]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]


def test_batches_hold_the_rows_that_were_put_in() -> None:
    batch = encoded(ROWS).batch(torch.arange(4), CPU)
    assert [ids[mask.bool()].tolist() for ids, mask in zip(*batch.values(), strict=True)] == ROWS


def test_encode_gives_the_tokenizers_own_ids(tokenizer: PreTrainedTokenizerFast) -> None:
    texts = ["ab.c/d", "x", "login-here.example/path", "é"]
    result = encode(tokenizer, texts)
    rows = [row.tolist() for row in result.ids.split(result.lengths.tolist())]
    assert rows == tokenizer(texts, truncation=True)["input_ids"]
    assert rows[1] == [1, tokenizer.convert_tokens_to_ids("x"), 2]
    assert result.pad_id == 0
    assert result.ids.dtype == torch.long


def test_encode_truncates_at_model_max_length(tokenizer: PreTrainedTokenizerFast) -> None:
    result = encode(tokenizer, ["a" * 500, "a" * 10, "a" * 9])
    assert result.lengths.tolist() == [12, 12, 11]
    assert result.ids[11] == 2, "[SEP] stands at the end of a text that was cut"


def test_chunks_do_not_change_the_result(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["abc"[: i % 4] + "/" * (i % 5) + "z" for i in range(50)]
    whole = encode(tokenizer, texts)
    monkeypatch.setattr(batching, "ENCODE_CHUNK", 7)
    parts = encode(tokenizer, texts)
    assert torch.equal(whole.ids, parts.ids)
    assert torch.equal(whole.lengths, parts.lengths)


@pytest.mark.parametrize("rows", [1, 8, 9, 1000])
def test_training_batches_hold_every_row_once(rows: int) -> None:
    batches = training_batches(
        lengths(rows), batch_size=8, generator=torch.Generator().manual_seed(3)
    )
    assert sorted(torch.cat(batches).tolist()) == list(range(rows))
    assert len(batches) == -(-rows // 8)
    assert max(len(batch) for batch in batches) <= 8


def test_training_order_differs_by_epoch_and_not_by_run() -> None:
    def order(seed: int) -> list[int]:
        generator = torch.Generator().manual_seed(seed)
        return torch.cat(training_batches(lengths(500), batch_size=8, generator=generator)).tolist()

    assert order(0) == order(0)
    assert order(0) != order(1)


def test_training_batches_waste_little() -> None:
    rows = lengths(6_400)
    batches = training_batches(rows, batch_size=32, generator=torch.Generator().manual_seed(0))
    assert padding(rows, batches) < 0.08
    assert padding(rows, list(torch.randperm(6_400).split(32))) > 0.5, (
        "the lengths are such that it matters"
    )


@pytest.mark.parametrize("batch_size", [32, 64, 128])
def test_little_data_is_neither_padded_much_nor_batched_alike_in_every_epoch(
    batch_size: int,
) -> None:
    rows, generator = lengths(2_100), torch.Generator().manual_seed(0)
    first, second = (
        training_batches(rows, batch_size=batch_size, generator=generator) for _ in range(2)
    )
    assert padding(rows, first) < 0.2
    place = torch.empty(len(rows), dtype=torch.long)
    for number, batch in enumerate(second):
        place[batch] = number
    mates = sum(len(batch) * (len(batch) - 1) for batch in first)
    again = sum(
        int((count * (count - 1)).sum()) for count in (place[batch].bincount() for batch in first)
    )
    assert again / mates < 0.45


def test_training_batches_are_not_in_order_of_length() -> None:
    rows = lengths(3_200)
    batches = training_batches(rows, batch_size=32, generator=torch.Generator().manual_seed(0))
    means = [float(rows[batch].float().mean()) for batch in batches]
    rising = sum(a < b for a, b in pairwise(means)) / (len(means) - 1)
    assert 0.3 < rising < 0.7


@pytest.mark.parametrize(("rows", "blurred"), [(900, True), (4 * 50 * 4, False)])
def test_training_batches_equal_a_plain_loop(rows: int, blurred: bool) -> None:
    """Pools of 50 batches, each in order of length, which little data blurs by up to a tenth;
    rows as long as each other stay in the order of the draw.
    """
    size = 8 if blurred else 4
    got = training_batches(
        lengths(rows), batch_size=size, generator=torch.Generator().manual_seed(5)
    )
    generator, wanted = torch.Generator().manual_seed(5), []
    order = torch.randperm(rows, generator=generator).tolist()
    for first in range(0, rows, POOL_BATCHES * size):
        pool = order[first : first + POOL_BATCHES * size]
        keys = lengths(rows)[pool]
        if blurred:
            keys = keys * (1 + BLUR * (2 * torch.rand(len(pool), generator=generator) - 1))
        ranked = [pool[i] for i in sorted(range(len(pool)), key=keys.tolist().__getitem__)]
        wanted += [ranked[start : start + size] for start in range(0, len(ranked), size)]
    drawn = torch.randperm(len(wanted), generator=generator).tolist()
    assert [batch.tolist() for batch in got] == [wanted[i] for i in drawn]


def test_rows_of_one_length_are_answered_in_their_order() -> None:
    rows = torch.tensor([5, 9, 7] * 400)
    flat = torch.cat(list(inference_batches(rows, tokens=90))).tolist()
    assert flat == sorted(range(1_200), key=lambda row: -int(rows[row]))


def test_inference_batches_cover_all_rows_within_the_budget() -> None:
    rows = lengths(1_000)
    batches = list(inference_batches(rows, tokens=512))
    assert sorted(torch.cat(batches).tolist()) == list(range(1_000))
    assert all(len(batch) * int(rows[batch].max()) <= 512 for batch in batches)
    assert padding(rows, batches) < 0.08


def test_a_row_longer_than_the_budget_gets_a_batch_of_its_own() -> None:
    batches = [batch.tolist() for batch in inference_batches(torch.tensor([3, 100, 4]), tokens=10)]
    assert batches == [[1], [2, 0]]


def test_any_two_rows_may_meet_in_a_batch() -> None:
    """Rows are sorted within pools; which rows share a pool is drawn anew each time."""
    batches = training_batches(
        torch.full((200,), 7), batch_size=2, generator=torch.Generator().manual_seed(0)
    )
    across = sum(int(batch.min()) < 100 <= int(batch.max()) for batch in batches)
    assert 25 < across < 75  # of 100


def test_a_text_without_tokens_has_one_that_is_unknown(tokenizer: PreTrainedTokenizerFast) -> None:
    bare = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]")),
        pad_token="a",
        unk_token="[UNK]",
        model_max_length=12,
    )
    assert encode(bare, ["", "a"]).lengths.tolist() == [1, 1]
    assert encode(bare, ["", "a"]).ids.tolist() == [0, 1]
    bare.unk_token = None
    assert encode(bare, [""]).ids.tolist() == [1]
    assert encode(tokenizer, [""]).lengths.tolist() == [2], "what stands around a text suffices"
