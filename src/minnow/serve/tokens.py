"""Texts to token ids as in training, by the library tokenizers alone."""

import re
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer, normalizers, pre_tokenizers

from minnow.errors import MinnowError, reason

TOKENIZER = "tokenizer.json"
# Of a longer text only this many characters for each token that counts are read, and up to a place
# where a new word begins whatever stands before and after: reading 2 MB takes 1.3 GB of memory.
CHARACTERS = 64
# Texts of more characters are tokenised one at a time.
LONG = 100_000
WORD_ENDS = re.compile(r"[0-9A-Za-z](?=[/.?&:%-])")
# What tokenizers call the token for what they do not know, and for what is no token at all.
UNKNOWN = ("[UNK]", "<unk>", "[PAD]", "<pad>")
REMEDY = "download the release, or build it, again"


def read_tokenizer(folder: Path, max_length: int) -> Tokenizer:
    """Return the tokenizer of a folder, which cuts texts at `max_length` tokens and pads nothing.

    Raises:
        MinnowError: it is missing or broken.
    """
    file = folder / TOKENIZER
    try:
        tokenizer = Tokenizer.from_str(file.read_text(encoding="utf-8"))
        side = (tokenizer.truncation or {}).get("direction", "right").lower()
        tokenizer.enable_truncation(max_length, direction=side)
    except OSError as error:
        raise MinnowError(f"{file} cannot be read ({error.strerror}); {REMEDY}") from None
    except Exception as error:  # the library raises Exception itself
        raise MinnowError(f"{file} is broken ({reason(error)}); {REMEDY}") from None
    tokenizer.no_padding()
    return tokenizer


def token_rows(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Return each text's token ids, one at least: those of `models/batching.py`, for any text.

    All tokens of a beginning are also the whole's first: as many as count are the same.
    """
    most = cut_at(tokenizer)
    read = begun(tokenizer, texts, CHARACTERS * most)
    rows = _ids(tokenizer, read)
    for place, (text, beginning) in enumerate(zip(texts, read, strict=True)):
        if len(beginning) < len(text) and len(rows[place]) < most:
            rows[place] = _ids(tokenizer, [text])[0]
    nothing = [unknown_id(tokenizer)]
    return [row or nothing for row in rows]


def cut_at(tokenizer: Tokenizer) -> int:
    """Return how many tokens a tokenizer leaves of a text."""
    assert tokenizer.truncation is not None
    length: int = tokenizer.truncation["max_length"]
    return length


def _ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Return token ids; of long texts one after the other, since 1 MB takes up to 500 MB."""
    if max(map(len, texts), default=0) > LONG:
        return [tokenizer.encode_batch_fast([text])[0].ids for text in texts]
    if len(texts) == 1:
        return [tokenizer.encode(texts[0]).ids]
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]


def unknown_id(tokenizer: Tokenizer) -> int:
    """Return the id of the token that stands for a text without tokens."""
    ids = map(tokenizer.token_to_id, UNKNOWN)
    return next((known for known in ids if known is not None), 0)


def begun(tokenizer: Tokenizer, texts: Sequence[str], most: int) -> list[str]:
    """Return the texts, those of more than `most` characters cut where that changes no token before
    the cut.
    """
    if max(map(len, texts), default=0) <= most or not reads_word_by_word(tokenizer):
        return list(texts)
    return [text if len(text) <= most else _cut(text, most) for text in texts]


def _cut(text: str, most: int) -> str:
    """Return a text up to the last end of a word in the second half of `most` characters; all of it
    if there is none.
    """
    ends = [match.end() for match in WORD_ENDS.finditer(text, most // 2, most)]
    return text[: ends[-1]] if ends else text


def reads_word_by_word(tokenizer: Tokenizer) -> bool:
    """Say whether a tokenizer begins a new word wherever `WORD_ENDS` says, and looks at each word
    alone, as BERT's and GPT-2's do.
    """
    words, normal = tokenizer.pre_tokenizer, tokenizer.normalizer
    splits = isinstance(words, pre_tokenizers.BertPreTokenizer) or (
        isinstance(words, pre_tokenizers.ByteLevel) and words.use_regex
    )
    known = normal is None or isinstance(
        normal, normalizers.BertNormalizer | normalizers.NFC | normalizers.Lowercase
    )
    added = tokenizer.get_added_tokens_decoder().values()  # are looked for before words are
    right = (tokenizer.truncation or {}).get("direction", "right").lower() == "right"
    return right and splits and known and not any(WORD_ENDS.search(it.content) for it in added)
