"""The tokenizer that is shipped: one file for the library tokenizers alone, which cuts texts by
itself.
"""

import json
from pathlib import Path

from minnow.core.files import read_json
from minnow.core.supplied import supplied_file
from minnow.errors import MinnowError

FILE, CONFIG = "tokenizer.json", "tokenizer_config.json"


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
