"""The beginning of a very long text, where its first tokens are those of the whole.

A tokenizer reads all of a text before it throws away what is too long: of 2 MB, 1.3 GB of memory.
"""

import re
from collections.abc import Sequence

from tokenizers import normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerBase

# Only a text with more characters than this for each token that counts is cut.
CHARACTERS = 64
# Where such a text may be cut. The tokenizers that `splits_words` takes begin a new word here,
# whatever stands before and after: neither side is changed by the other, as an accent would be.
# Nothing is said of blanks, of apostrophes, or of =, which a stroke behind it turns into another.
PLACE = re.compile(r"[0-9A-Za-z](?=[/.?&:%-])")


def beginnings(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[str]:
    """Return the texts, the very long ones cut where that changes none of the tokens before."""
    most = CHARACTERS * tokenizer.model_max_length
    if max(map(len, texts), default=0) <= most or not splits_words(tokenizer):
        return list(texts)
    return [cut_at_place(text, most) for text in texts]


def cut_at_place(text: str, most: int) -> str:
    """Return at most `most` characters of a text, up to the last place in the second half of these
    where it may be cut; all of it if there is none.
    """
    if len(text) <= most:
        return text
    ends = [place.end() for place in PLACE.finditer(text, most // 2, most)]
    return text[: ends[-1]] if ends else text


def splits_words(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Say whether a tokenizer begins a new word at each `PLACE`, and looks at each word alone.

    Those of BERT and GPT-2 do, and those that Minnow trains. One that splits at blanks only, as
    sentencepiece's do, looks at a URL as a whole.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or tokenizer.truncation_side != "right":
        return False
    words = backend.pre_tokenizer
    splits = isinstance(words, pre_tokenizers.BertPreTokenizer) or (
        isinstance(words, pre_tokenizers.ByteLevel) and words.use_regex
    )
    normal = backend.normalizer
    known = normal is None or isinstance(
        normal, normalizers.BertNormalizer | normalizers.NFC | normalizers.Lowercase
    )
    added = backend.get_added_tokens_decoder().values()  # are looked for before words are
    return bool(splits and known and not any(PLACE.search(token.content) for token in added))
