"""The tokenizer that is shipped: one file for the library tokenizers alone, which cuts texts by
itself.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from minnow.core.files import read_json
from minnow.core.supplied import supplied_file
from minnow.errors import MinnowError, reason

FILE, CONFIG = "tokenizer.json", "tokenizer_config.json"
# What stands for a text without tokens, the first that there is: as `models/batching.py` has it.
NOTHING = ("unk_token", "pad_token")


def cutting_tokenizer(folder: Path) -> tuple[str, int]:
    """Return the tokenizer of a model's folder as the text of a tokenizer.json which cuts texts and
    pads nothing, and the tokens that it leaves.

    Raises:
        MinnowError: a file is missing or damaged, or says no length.
    """
    content = read_json(supplied_file(folder / FILE, folder))
    config = read_json(supplied_file(folder / CONFIG, folder))
    length = config.get("model_max_length") if isinstance(config, dict) else None
    if type(length) is not int or length < 1 or not isinstance(content, dict):
        raise MinnowError(f"{folder / CONFIG} says no length that texts are cut at; make it anew")
    side = "Left" if config.get("truncation_side") == "left" else "Right"
    content["truncation"] = {
        **{"direction": side, "max_length": length},
        **{"strategy": "LongestFirst", "stride": 0},
    }
    content["padding"] = None
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")), length


def token_of_nothing(folder: Path) -> str | None:
    """Return the token that stands for a text without tokens."""
    config: dict[str, Any] = read_json(folder / CONFIG)
    found = (config.get(name) for name in NOTHING)
    return next((token for token in found if isinstance(token, str)), None)


def tokenized(tokenizer: str, texts: Sequence[str], nothing: str | None) -> list[list[int]]:
    """Return each text's token ids, one at least, by the text of a tokenizer.json.

    Raises:
        MinnowError: the library cannot read it.
    """
    try:
        library = Tokenizer.from_str(tokenizer)
    except Exception as error:  # the library raises Exception itself
        raise MinnowError(f"{FILE} cannot be read ({reason(error)}); make it anew") from None
    empty = [(library.token_to_id(nothing) if nothing is not None else None) or 0]
    return [encoding.ids or empty for encoding in library.encode_batch_fast(list(texts))]
