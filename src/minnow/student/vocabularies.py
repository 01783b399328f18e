"""Smaller vocabularies for students: a tokenizer in, another one out, and what its embeddings begin
with.

For WordPiece and byte-level BPE. A tokenizer's JSON is what stands in tokenizer.json. Special
tokens stay, with what surrounds a text, as [CLS] and [SEP] do. So does the normalizer: a teacher
that reads lower case alone has nothing to say about upper case, and the pieces of a new token are
looked for in what it would read.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from minnow.errors import MinnowError, listed
from minnow.student.tokenizer_json import Kind, added_tokens, kind_of, special_tokens, token_ids_of

# Texts tokenised at once: bounds the memory that their tokens take.
CHUNK = 20_000
# What a decoder writes for bytes that are no whole character.
BROKEN = "\N{REPLACEMENT CHARACTER}"
# How a tokenizer treats texts, besides what stands in its JSON.
ATTRIBUTES = (
    "model_max_length",
    "padding_side",
    "truncation_side",
    "model_input_names",
    "clean_up_tokenization_spaces",
)


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer's JSON, and for each of its ids the former ids whose embeddings that token begins
    as the mean of.

    `special` maps the former ids of special tokens to the new ones.
    """

    tokenizer: str
    sources: Sequence[Sequence[int]]
    special: Mapping[int, int]


# --- Fewer pieces ---------------------------------------------------------------------------------


def trimmed_vocabulary(
    tokenizer: str, texts: Sequence[str], *, special: Collection[str], min_count: int
) -> Vocabulary:
    """Return the tokenizer with only the tokens that `texts` use at least `min_count` times, and
    those that it needs.

    Needed are the `special` tokens and all single characters or bytes, so that no text becomes
    unknown that was not. With `min_count` 1 every one of the texts is cut into the same pieces as
    before. Each token keeps its embedding.

    - WordPiece cuts off the longest piece that it knows, again and again. A text's own pieces being
      there, no other can be longer. A character is there both ways, in front and as ##continuation,
      so that it never gets stuck.
    - BPE joins neighbours by a list of merges, the first of the list first. Whichever merges make a
      piece that is kept, with all pieces that go into it, are kept in their order; those merges
      that a text took are still the first.

    Raises:
        MinnowError: the tokenizer is of another kind, or a WordPiece that lacks pieces for
        characters within others.
    """
    content = _content(tokenizer)
    model, old = content["model"], token_ids_of(content)
    special = special_tokens(content, special)
    counts = token_counts(tokenizer, texts)
    used = {token for token, number in old.items() if counts[number] >= min_count}
    if kind_of(content) == "WordPiece":
        kept = used | special | _single_characters(_whole(tokenizer), model, special)
    else:
        kept = _with_parts(
            used | special | {token for token in old if len(token) == 1}, model["merges"]
        )
        model["merges"] = [pair for pair in model["merges"] if "".join(pair) in kept]
    inside = sorted(kept & model["vocab"].keys(), key=old.__getitem__)
    # `tokenizers` numbers added tokens that its model does not know from the end of the model's
    # vocabulary on.
    outside = sorted(kept - model["vocab"].keys(), key=old.__getitem__)
    new = {token: number for number, token in enumerate([*inside, *outside])}
    model["vocab"] = {token: new[token] for token in inside}
    content["added_tokens"] = [
        added | {"id": new[added["content"]]}
        for added in added_tokens(content)
        if added["content"] in kept
    ]
    content["post_processor"] = _renumbered(content["post_processor"], new)
    return Vocabulary(
        _checked(content),
        [[old[token]] for token in new],
        {old[token]: new[token] for token in special},
    )


def _single_characters(
    cutter: Tokenizer, model: Mapping[str, Any], special: Collection[str]
) -> set[str]:
    """Return all pieces of one character, in front and as continuation, and refuse a vocabulary
    with gaps in them.

    Whatever it tokenised is made of these: first characters of pieces in front, and characters
    anywhere else.
    """
    prefix, pieces = model["continuing_subword_prefix"], model["vocab"].keys() - set(special)
    for piece in sorted(pieces):
        inner = piece.removeprefix(prefix) or piece
        needed = [
            ("" if inner == piece else prefix) + inner[0],
            *(prefix + character for character in inner[1:]),
        ]
        if (missing := [single for single in needed if single not in pieces]) and _can_occur(
            cutter, inner
        ):
            raise MinnowError(
                f"student.vocabulary.method is 'trim' and the tokenizer lacks {listed(missing, 3)}"
                f" as a part of {piece}, so that texts could become unknown: take keep or train"
            )
    return {
        piece
        for piece in pieces
        if len(piece) == 1 or (len(piece) == len(prefix) + 1 and piece.startswith(prefix))
    }


def _can_occur(cutter: Tokenizer, text: str) -> bool:
    """Say whether these characters can stand in one word; BERT's rules for that look at each
    character by itself.
    """
    if not isinstance(cutter.pre_tokenizer, pre_tokenizers.BertPreTokenizer):
        return True
    normal = text if cutter.normalizer is None else cutter.normalizer.normalize_str(text)
    return [word for word, _ in cutter.pre_tokenizer.pre_tokenize_str(normal)] == [text]


def _with_parts(kept: set[str], merges: Iterable[Sequence[str]]) -> set[str]:
    """Return `kept` and every piece that merges go through on their way to one of them."""
    made_of: dict[str, list[Sequence[str]]] = defaultdict(list)
    for pair in merges:
        made_of["".join(pair)].append(pair)
    pieces, waiting = set(kept), list(kept)
    while waiting:
        parts = set(chain.from_iterable(made_of[waiting.pop()])) - pieces
        pieces |= parts
        waiting.extend(parts)
    return pieces


def token_counts(tokenizer: str, texts: Sequence[str]) -> np.typing.NDArray[np.int64]:
    """Return how often each id occurs in the texts, of which nothing is cut off; shape (highest id
    + 1,).
    """
    cutter = _whole(tokenizer)
    counts = np.zeros(max(cutter.get_vocab().values()) + 1, dtype=np.int64)
    for first in range(0, len(texts), CHUNK):
        encodings = cutter.encode_batch_fast(
            list(texts[first : first + CHUNK]), add_special_tokens=False
        )
        ids = np.fromiter(
            chain.from_iterable(encoding.ids for encoding in encodings), dtype=np.int64
        )
        counts += np.bincount(ids, minlength=len(counts))
    return counts


# --- New pieces -----------------------------------------------------------------------------------


def trained(
    tokenizer: str, texts: Sequence[str], *, special: Collection[str], size: int
) -> Vocabulary:
    """Return a byte-level BPE of `size` tokens trained on `texts`, its special tokens those of
    `tokenizer`.

    It has fewer where the texts give no more, and never fewer than all bytes and the special ones.

    Fast Vocabulary Transfer (Gee et al. 2022, arXiv 2402.09977): each new token begins with the
    mean of the embeddings of the pieces that the former tokenizer cuts its text into. Bytes that
    are no text by themselves begin as the unknown token, in a byte-level vocabulary as the bytes
    that they are.

    Byte-level whatever the former kind, because tokenizers' WordPiece trainer gives another
    vocabulary in every process (tokenizers #1794). Words are split as in GPT-2, so that no piece
    spans letters and punctuation.

    Raises:
        MinnowError: the tokenizer is of another kind.
    """
    content, former = _content(tokenizer), _whole(tokenizer)
    old, kind = token_ids_of(content), kind_of(content)
    kept = sorted(special_tokens(content, special), key=old.__getitem__)
    added = {entry["content"]: entry for entry in added_tokens(content)}
    new = Tokenizer(models.BPE())
    if former.normalizer is not None:
        new.normalizer = former.normalizer
    new.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    new.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[_as_added(token, added.get(token, {})) for token in kept],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    new.train_from_iterator(texts, trainer, length=len(texts))
    result, ids = json.loads(new.to_str()), new.get_vocab()
    result["post_processor"] = _renumbered(content["post_processor"], ids)
    unknown = (
        [old[content["model"]["unk_token"]]]
        if content["model"].get("unk_token")
        else sorted(old.values())
    )
    sources = [
        [old[token]] if token in kept else _pieces(former, token, kind) or unknown
        for token in sorted(ids, key=ids.__getitem__)
    ]
    return Vocabulary(_checked(result), sources, {old[token]: ids[token] for token in kept})


def _as_added(token: str, entry: Mapping[str, Any]) -> AddedToken:
    options = {
        name: entry[name]
        for name in ("single_word", "lstrip", "rstrip", "normalized")
        if name in entry
    }
    return AddedToken(token, special=True, **options)


def _pieces(former: Tokenizer, token: str, kind: Kind) -> list[int]:
    """Return the former ids of a byte-level token; none where there is no way to write it."""
    if kind == "BPE":
        return [piece.id for piece in former.model.tokenize(token)]
    text = decoders.ByteLevel().decode([token])
    return [] if BROKEN in text else list(former.encode(text, add_special_tokens=False).ids)


def _content(tokenizer: str) -> dict[str, Any]:
    """Return a tokenizer's JSON as this version of `tokenizers` writes it, nothing cut and nothing
    padded.
    """
    content: dict[str, Any] = json.loads(_whole(tokenizer).to_str())
    kind_of(content)
    return content


def _whole(tokenizer: str) -> Tokenizer:
    """Return the tokenizer, cutting and padding nothing."""
    result = Tokenizer.from_str(tokenizer)
    result.no_truncation()
    result.no_padding()
    return result


def _checked(content: Mapping[str, Any]) -> str:
    """Return a tokenizer's JSON as `tokenizers` reads and writes it."""
    return Tokenizer.from_str(json.dumps(content)).to_str()


def _renumbered(
    processor: Mapping[str, Any] | None, ids: Mapping[str, int]
) -> dict[str, Any] | None:
    """Return a post-processor with the new ids of the tokens that it puts around texts."""
    if processor is None:
        return None
    result = dict(processor)
    if "processors" in processor:
        result["processors"] = [_renumbered(each, ids) for each in processor["processors"]]
    if "special_tokens" in processor:
        result["special_tokens"] = {
            name: entry | {"ids": [ids[token] for token in entry["tokens"]]}
            for name, entry in processor["special_tokens"].items()
        }
    return result | {
        name: [processor[name][0], ids[processor[name][0]]]
        for name in ("sep", "cls")
        if name in processor
    }


# --- Tokenizers and models ------------------------------------------------------------------------


def new_vocabulary(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    method: Literal["trim", "train"],
    min_count: int | None,
    size: int | None,
) -> Vocabulary:
    """Return the vocabulary that `trimmed` or `trained` makes of a tokenizer and of the texts of
    the training split.

    Raises:
        MinnowError: the tokenizer is of a kind that has no such JSON, or that neither takes.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise MinnowError(
            f"the student's tokenizer is a {type(tokenizer).__name__}, which has no tokenizer.json:"
            " set student.vocabulary.method to keep"
        )
    special = [token for token in tokenizer.all_special_tokens if token]
    if method == "trim":
        assert min_count is not None, "VocabularyParams demands it"
        return trimmed_vocabulary(backend.to_str(), texts, special=special, min_count=min_count)
    assert size is not None, "VocabularyParams demands it"
    return trained(backend.to_str(), texts, special=special, size=size)


def retokenized(
    tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary
) -> PreTrainedTokenizerBase:
    """Return the tokenizer with another vocabulary, cutting and padding as before.

    It is of the plain class that reads tokenizer.json alone: a class of BERT's own would build a
    WordPiece again.
    """
    kept = {name: getattr(tokenizer, name) for name in ATTRIBUTES if hasattr(tokenizer, name)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(vocabulary.tokenizer),
        **kept,
        **tokenizer.special_tokens_map,
    )
