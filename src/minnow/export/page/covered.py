"""Which tokenizers the page's own code covers, and the ids that they put around a text.

Content is that of a tokenizer.json.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from minnow.errors import shortened

Json = Mapping[str, Any]


def misfit_of_tokenizer(content: Json) -> str:
    """Return what tokenizer.js does not know of a tokenizer, or nothing where it knows all."""
    return next(_misfits(content), "")


def _misfits(content: Json) -> Iterator[str]:
    normalizer, words = content["normalizer"], content["pre_tokenizer"] or {}
    if normalizer is not None and normalizer["type"] != "BertNormalizer":
        yield _said("normalizer", normalizer["type"], "BertNormalizer or none")
    gpt2 = words.get("type") == "ByteLevel" and words["use_regex"]
    if not gpt2 and words.get("type") != "BertPreTokenizer":
        yield _said("pre_tokenizer", words.get("type"), "ByteLevel or BertPreTokenizer")
    yield from _misfits_of_model(content["model"], byte_level=gpt2)
    for added in content["added_tokens"]:
        if added["single_word"] or (added["normalized"] and normalizer is not None):
            yield f"its added token {shortened(added['content'])!r} is looked for in words only"
    if (content["truncation"] or {}).get("direction", "Right") != "Right":
        yield "it cuts long texts at their beginning"
    if surrounding_ids(content) is None:
        yield "it puts tokens around a text in a way of its own"


def _misfits_of_model(model: Json, *, byte_level: bool) -> Iterator[str]:
    if model["type"] == "WordPiece":
        if byte_level or model["unk_token"] not in model["vocab"]:
            yield "its WordPiece has no unknown token, or reads bytes"
    elif model["type"] != "BPE":
        yield _said("model", model["type"], "WordPiece or BPE")
    elif not byte_level or any(model.get(each) for each in ODD_IN_BPE):
        yield "its BPE is not byte-level BPE as GPT-2's"


ODD_IN_BPE = (
    *("dropout", "continuing_subword_prefix", "end_of_word_suffix"),
    *("fuse_unk", "byte_fallback", "unk_token"),
)


def _said(what: str, given: Any, known: str) -> str:
    return f"its {what} is {shortened(str(given))}, and the page knows {known}"


def surrounding_ids(content: Json) -> tuple[list[int], list[int]] | None:
    """Return the ids in front of each text and behind it; None where it is not known which."""
    processor = content["post_processor"]
    if processor is not None and processor["type"] == "Sequence":
        steps = [each for each in processor["processors"] if each["type"] != "ByteLevel"]
        processor = steps[0] if len(steps) == 1 else None if not steps else {"type": "several"}
    if processor is None or processor["type"] == "ByteLevel":
        return [], []
    if processor["type"] in ("BertProcessing", "RobertaProcessing"):
        return [processor["cls"][1]], [processor["sep"][1]]
    return _template_ids(processor) if processor["type"] == "TemplateProcessing" else None


def _template_ids(processor: Json) -> tuple[list[int], list[int]] | None:
    pieces: Sequence[Json] = processor["single"]
    places = [place for place, piece in enumerate(pieces) if "Sequence" in piece]
    if len(places) != 1:
        return None
    special = processor["special_tokens"]
    return _ids_of(pieces[: places[0]], special), _ids_of(pieces[places[0] + 1 :], special)


def _ids_of(pieces: Sequence[Json], special: Json) -> list[int]:
    """Return the ids of the special tokens of a template."""
    return [number for piece in pieces for number in special[piece["SpecialToken"]["id"]]["ids"]]
