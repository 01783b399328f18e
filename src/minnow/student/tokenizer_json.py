"""The JSON of a fast tokenizer: its kind, its ids, its special tokens."""

from collections.abc import Collection, Mapping
from itertools import chain
from typing import Any, Literal

from minnow.errors import MinnowError

Kind = Literal["WordPiece", "BPE"]


# --- A tokenizer's JSON ---------------------------------------------------------------------------


def kind_of(content: Mapping[str, Any]) -> Kind:
    """Return which of the two kinds a tokenizer's JSON is; a MinnowError for any other."""
    model, before = content["model"], content["pre_tokenizer"] or {}
    steps = [before, *before.get("pretokenizers", [])]
    if model["type"] == "WordPiece":
        return "WordPiece"
    plain = not (model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"))
    if model["type"] == "BPE" and plain and any(step.get("type") == "ByteLevel" for step in steps):
        return "BPE"
    raise MinnowError(
        f"the student's tokenizer is a {model['type']} of a kind whose vocabulary Minnow cannot"
        " change, which is WordPiece and byte-level BPE alone: set student.vocabulary.method to"
        " keep"
    )


def token_ids_of(content: Mapping[str, Any]) -> dict[str, int]:
    """Return token → id, of the model's vocabulary and of the added tokens."""
    vocabulary: dict[str, int] = content["model"]["vocab"]
    return vocabulary | {added["content"]: added["id"] for added in added_tokens(content)}


def special_tokens(content: Mapping[str, Any], named: Collection[str]) -> set[str]:
    """Return the tokens that must stay: those `named`, those marked as special, unknown, and what
    surrounds a text.
    """
    marked = {added["content"] for added in added_tokens(content) if added["special"]}
    unknown = {content["model"].get("unk_token")} - {None}
    return {*named, *marked, *unknown, *_surrounding(content["post_processor"])} & token_ids_of(
        content
    ).keys()


def added_tokens(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    added: list[dict[str, Any]] = content["added_tokens"]
    return added


def _surrounding(processor: Mapping[str, Any] | None) -> set[str]:
    """Return the tokens that a post-processor puts around texts."""
    if processor is None:
        return set()
    if processor["type"] == "Sequence":
        return set().union(*map(_surrounding, processor["processors"]))
    template = chain.from_iterable(
        entry["tokens"] for entry in processor.get("special_tokens", {}).values()
    )
    return {*template, *(processor[name][0] for name in ("sep", "cls") if name in processor)}
