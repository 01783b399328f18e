"""Models that read a text in another way beside a long one, and those that read it alike."""

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerBase

from helpers.errors import one_line
from helpers.models import classifier
from minnow.errors import MinnowError
from minnow.models.anatomy import rescaled_beyond
from minnow.models.batching import encode
from minnow.models.inference import PROBES, check_rows_apart, with_longest
from minnow.models.pairing import check_fits

BLOCKS = {"max_position_embeddings": 400, "block_size": 16, "num_random_blocks": 2}
SPARSE = {**BLOCKS, "attention_type": "block_sparse"}
FULL = {**BLOCKS, "attention_type": "original_full"}
DYNAMIC = {"rope_parameters": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4}}
LONG = {
    "rope_type": "longrope",
    "short_factor": [1.0] * 16,
    "long_factor": [4.0] * 16,
    "original_max_position_embeddings": 64,
    "rope_theta": 1e4,
}
LONGROPE = {
    "rope_parameters": LONG,
    "max_position_embeddings": 256,
    "original_max_position_embeddings": 64,
}


def cutting_at(tokenizer: PreTrainedTokenizerBase, length: int) -> PreTrainedTokenizerBase:
    changed = copy.deepcopy(tokenizer)
    changed.model_max_length = length
    return changed


@pytest.mark.parametrize(
    ("kind", "options", "length", "apart"),
    [
        ("big_bird", SPARSE, 200, True),
        ("big_bird", SPARSE, 60, False),
        ("big_bird", FULL, 200, False),
        ("llama", DYNAMIC, 200, True),
        ("llama", DYNAMIC, 60, False),
        ("phi3", LONGROPE, 200, True),
        ("phi3", LONGROPE, 60, False),
    ],
)
def test_a_text_is_read_alike_beside_the_longest(
    tokenizer: PreTrainedTokenizerBase,
    kind: str,
    options: dict[str, Any],
    length: int,
    apart: bool,
) -> None:
    model, cutting = classifier(kind, **options), cutting_at(tokenizer, length)
    if not apart:
        check_rows_apart(model, cutting, "it")
        return
    with pytest.raises(MinnowError, match="depend on the other texts of its batch") as caught:
        check_rows_apart(model, cutting, "it")
    one_line(caught)


def test_what_a_model_remembers_is_seen(tokenizer: PreTrainedTokenizerBase) -> None:
    """As of one that draws numbers in each pass, or that the first short text switches over."""
    model = classifier("bert")
    passes = iter(range(100))
    model.classifier.register_forward_hook(lambda _, __, output: output + next(passes))
    with pytest.raises(MinnowError, match="depend on the other texts"):
        check_rows_apart(model, cutting_at(tokenizer, 32), "it")


def test_the_longest_text_has_as_many_tokens_as_are_allowed(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    probes = encode(cutting_at(tokenizer, 20), PROBES)
    longest = with_longest(probes, 500)
    assert longest.lengths.tolist() == [*probes.lengths.tolist(), 500]
    assert len(longest.ids) == int(longest.lengths.sum())
    assert torch.equal(longest.ids[: len(probes.ids)], probes.ids)


@pytest.mark.parametrize(
    ("kind", "options", "positions"),
    [("llama", DYNAMIC, ("dynamic", 66)), ("phi3", LONGROPE, ("longrope", 64)), ("bert", {}, None)],
)
def test_positions_that_are_scaled_by_the_batch_bound_the_texts(
    kind: str, options: dict[str, Any], positions: tuple[str, int] | None
) -> None:
    assert rescaled_beyond(classifier(kind, **options).config) == positions


def test_they_are_found_by_the_kind_of_layer_too() -> None:
    kinds = {"sliding_attention": {"rope_type": "default"}, "full_attention": LONG}
    config: Any = SimpleNamespace(rope_parameters=kinds)
    assert rescaled_beyond(config) == ("longrope", 64)


def test_longer_texts_are_refused_in_one_line(tokenizer: PreTrainedTokenizerBase) -> None:
    model = classifier("phi3", **LONGROPE)
    check_fits(model, cutting_at(tokenizer, 64), whose="teacher")
    with pytest.raises(MinnowError) as caught:
        check_fits(model, cutting_at(tokenizer, 65), whose="teacher")
    assert "teacher.max_length is 65" in one_line(caught)
    assert "(longrope) by the longest text of a batch" in str(caught.value)


def test_each_mode_is_put_back(tokenizer: PreTrainedTokenizerBase) -> None:
    for training in (True, False):
        model = classifier("bert").train(training)
        check_rows_apart(model, tokenizer, "it")
        assert model.training is training
