"""Very long texts: only their beginnings are read, and the tokens are the same."""

import random
import time
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from minnow.models import beginnings, building
from minnow.models.batching import encode

# Pieces that a tokenizer treats unlike letters, or that change with what stands beside them.
PARTS = (
    "a b z 1 / . ? & : % - = _ ' 's 'll \u0301 \u0338 \u0323 é ß Σ İ ﬁ 中 \u200d \0 <  [MASK] [CLS"
)
PARTS += " > @ ab login paypal com www http:// %2e " + "x" * 130
BYTES, WORDS = "byte-level", "wordpiece"


def wordpiece(normal: Any, most: int = 12) -> PreTrainedTokenizerFast:
    """A tokenizer as BERT's, whose words of more than 100 characters are unknown."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789/.?&:%-=_'<>@é", "log", "pay", "com", "www"]
    pieces = [*special, *letters, *(f"##{piece}" for piece in letters)]
    backend = Tokenizer(models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = normal, pre_tokenizers.BertPreTokenizer()
    backend.add_special_tokens([AddedToken(token) for token in special])
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", model_max_length=most
    )


def byte_level(normal: Any) -> PreTrainedTokenizerBase:
    texts = ["login.paypal.com/www?a=1&b=2", "http://www.com/'s", "a-b_c%2e'll"] * 5
    tokenizer = building.train_tokenizer(texts, vocabulary=300, max_length=12)
    if normal is not None:
        tokenizer.backend_tokenizer.normalizer = normal
    return tokenizer


MADE = {BYTES: byte_level, WORDS: wordpiece}
NORMAL = [None, normalizers.NFC(), normalizers.Lowercase(), normalizers.BertNormalizer()]
NORMAL += [normalizers.BertNormalizer(strip_accents=False, lowercase=False)]


def texts(draw: random.Random, count: int) -> list[str]:
    parts = [*PARTS.split(" "), " ", "\n"]
    return ["".join(draw.choices(parts, k=draw.randrange(60))) for _ in range(count)]


@pytest.mark.parametrize("normal", NORMAL, ids=str)
@pytest.mark.parametrize("kind", MADE)
def test_tokens_of_a_beginning_are_the_first_of_the_whole(kind: str, normal: Any) -> None:
    """The property that all rests on, of every place where a text may be cut."""
    tokenizer = MADE[kind](normal)
    assert beginnings.splits_words(tokenizer)
    backend, cuts = tokenizer.backend_tokenizer, 0
    backend.no_truncation()
    for text in texts(random.Random(1), 150):
        whole = backend.encode(text, add_special_tokens=False).ids
        for place in beginnings.PLACE.finditer(text):
            first = backend.encode(text[: place.end()], add_special_tokens=False).ids
            assert first == whole[: len(first)], (text, place.end())
            cuts += 1
    assert cuts > 300


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("characters", [1, 2, 5])
def test_encode_gives_the_same_tokens(
    kind: str, characters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beginnings, "CHARACTERS", characters)
    tokenizer = MADE[kind](None)
    asked = texts(random.Random(2), 400)
    read = beginnings.beginnings(tokenizer, asked)
    assert sum(len(a) < len(b) for a, b in zip(read, asked, strict=True)) > 20
    result = encode(tokenizer, asked)
    rows = [row.tolist() for row in result.ids.split(result.lengths.tolist())]
    assert rows == tokenizer(asked, truncation=True)["input_ids"]


def test_a_text_is_cut_at_the_last_place_of_the_second_half() -> None:
    assert beginnings.cut_at_place("a/b/c/d/e", 9) == "a/b/c/d/e"
    assert beginnings.cut_at_place("a/b/c/d/e", 8) == "a/b/c/d"
    assert beginnings.cut_at_place("a/b/c/d/e", 7) == "a/b/c", "what follows d is not looked at"
    assert beginnings.cut_at_place("a/bbbbbbb", 8) == "a/bbbbbbb"
    assert beginnings.cut_at_place("a=b c'd_e", 8) == "a=b c'd_e"


def test_other_tokenizers_read_all() -> None:
    def changed(**parts: Any) -> PreTrainedTokenizerFast:
        tokenizer = wordpiece(None)
        for name, part in parts.items():
            setattr(tokenizer.backend_tokenizer, name, part)
        return tokenizer

    assert beginnings.splits_words(changed())
    blanks = pre_tokenizers.Metaspace()
    assert not beginnings.splits_words(changed(pre_tokenizer=blanks))
    assert not beginnings.splits_words(
        changed(pre_tokenizer=pre_tokenizers.ByteLevel(use_regex=False))
    )
    assert not beginnings.splits_words(changed(normalizer=normalizers.Replace("a/", "b")))
    left = changed()
    left.truncation_side = "left"
    assert not beginnings.splits_words(left)
    over = changed()
    over.add_tokens(["x/y"])
    assert not beginnings.splits_words(over)
    assert beginnings.beginnings(over, ["x/y" * 9_000]) == ["x/y" * 9_000]


def test_a_long_text_takes_little_time() -> None:
    tokenizer = byte_level(None)
    began = time.process_time()
    assert encode(tokenizer, ["a/" * 5_000_000]).lengths.tolist() == [12]
    assert time.process_time() - began < 1
