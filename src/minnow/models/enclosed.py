"""What of a model's folder the libraries get to see: the files that Minnow knows, and that a
manifest lists where there is one.

Libraries read whatever they find beside the weights, such as the adapter that an
`adapter_config.json` speaks of, and then compute something else.
"""

import json
import re
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minnow.core.files import MANIFEST, read_json
from minnow.core.strict_json import bounded_text
from minnow.core.supplied import supplied_file
from minnow.errors import MinnowError, reason
from minnow.models.adapters import WEIGHTS as ADAPTER_WEIGHTS

CONFIG, TOKENIZER_CONFIG, INDEX = (
    "config.json",
    "tokenizer_config.json",
    "model.safetensors.index.json",
)
WEIGHTS = re.compile(rf"model(-\d+-of-\d+)?\.safetensors|{re.escape(ADAPTER_WEIGHTS)}")
# What transformers' tokenizers are made of. Text, JSON and sentencepiece's own format, no pickles.
OF_TOKENIZERS = {
    *("tokenizer.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt", "bpe.codes", "dict.txt"),
    *("spiece.model", "spm.model", "tokenizer.model", "sentencepiece.bpe.model"),
    *("sentencepiece.model", "prophetnet.tokenizer", "entity_vocab.json"),
}
# What nobody reads in order to run a model.
HARMLESS = {MANIFEST, "minnow.json", "README.md", "LICENSE", "LICENSE.txt"}
# What would make transformers read other files than these, or take its attention from the Hub.
# config.json as transformers writes it has none of them.
LEADING_ELSEWHERE = {
    *("transformers_weights", "attn_implementation", "_attn_implementation"),
    *("_attn_implementation_internal", "experts_implementation"),
    *("_experts_implementation", "_experts_implementation_internal"),
    *("fast_tokenizer_files", "init_inputs", "vocab_file", "merges_file", "tokenizer_file"),
    *("spm_file", "special_tokens_map_file", "added_tokens_file", "chat_template_file"),
}
# Longer than any tokenizer's file, which its library reads whole.
LONGEST_TOKENIZER = 200_000_000
# More than any classifier has.
MOST_LABELS = 1_000
# Begins the name of the private folder of links.
PRIVATE = "minnow-model-"


def is_known(name: str) -> bool:
    """Say whether a file of this name may belong to a model."""
    named = {CONFIG, TOKENIZER_CONFIG, INDEX} | OF_TOKENIZERS
    return name in named or WEIGHTS.fullmatch(name) is not None


def model_files(folder: Path) -> list[str]:
    """Return the names of the files that a model is made of: known ones, and of these the listed
    ones where the folder has a manifest.

    Raises:
        MinnowError: the folder cannot be read, or one of them is no regular file in it.
    """
    try:
        present = [file.name for file in folder.iterdir()]
    except OSError as error:
        raise MinnowError(f"{folder} cannot be read ({error.strerror}); name a folder") from None
    listed = read_json(folder / MANIFEST) if MANIFEST in present else None
    files = listed.get("files") if isinstance(listed, dict) else None
    if MANIFEST in present and not isinstance(files, dict):
        raise MinnowError(f"{folder / MANIFEST} lists no files; make or download the folder anew")
    names = sorted(name for name in present if is_known(name) and (files is None or name in files))
    for name in names:
        size = supplied_file(folder / name, folder).stat().st_size
        if name in OF_TOKENIZERS and size > LONGEST_TOKENIZER:
            raise MinnowError(
                f"{folder / name} has {size / 1e6:,.0f} MB, and no tokenizer has more than"
                f" {LONGEST_TOKENIZER / 1e6:.0f}; get the folder anew"
            )
    return names


@contextmanager
def enclosed(folder: Path) -> Iterator[Path]:
    """Yield a folder that holds the files of a model and nothing else that a library would read.

    That is the folder itself where there is nothing else in it. Otherwise it is a private one of
    links, for as long as the block runs.

    Raises:
        MinnowError: the folder cannot be read, or no temporary folder can be made.
        ValueError: its JSON is damaged.
    """
    names = model_files(folder)
    configs = {
        name: read_object(folder / name) for name in (CONFIG, TOKENIZER_CONFIG) if name in names
    }
    _check_count(folder, configs.get(CONFIG, {}))
    mended = {
        name: {key: value for key, value in content.items() if key not in LEADING_ELSEWHERE}
        for name, content in configs.items()
        if not content.keys().isdisjoint(LEADING_ELSEWHERE)
    }
    read = {file.name for file in folder.iterdir() if not file.name.startswith(".")}
    if not mended and read <= {*names} | HARMLESS:
        yield folder
        return
    with _temporary_folder() as inner:
        for name in {*names} - {*mended}:
            (inner / name).symlink_to((folder / name).resolve())
        for name, content in mended.items():
            (inner / name).write_text(json.dumps(content), encoding="utf-8")
        yield inner


def _check_count(folder: Path, config: dict[str, Any]) -> None:
    """Refuse a number of labels for which transformers would name each one, however many."""
    count = config.get("num_labels", 0)
    if type(count) is not int or not 0 <= count <= MOST_LABELS:
        raise MinnowError(
            f"{folder / CONFIG}: num_labels is {str(count)[:40]}, and a count up to {MOST_LABELS:,}"
            " is allowed; get the folder anew"
        )


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    try:
        holder = tempfile.TemporaryDirectory(prefix=PRIVATE, ignore_cleanup_errors=True)
    except OSError as error:
        raise MinnowError(
            f"no temporary folder can be made ({reason(error)}), and one is needed to keep foreign"
            " files from a model: set TMPDIR to a folder that can be written"
        ) from None
    with holder as name:
        yield Path(name)


def check_complete(folder: Path, names: Collection[str]) -> None:
    """Refuse a model of these files in `folder` if it lacks its config or weights.

    Raises:
        MinnowError: one of them is not there, or not listed.
        ValueError: the index of its weights is damaged.
    """
    wanted = {CONFIG, "model.safetensors"}
    if INDEX in names and "model.safetensors" not in names:
        shards = read_object(folder / INDEX).get("weight_map")
        wanted = {CONFIG, *map(str, shards.values() if isinstance(shards, dict) else [])}
    elif ADAPTER_WEIGHTS in names:
        wanted = {CONFIG}
    for name in sorted(wanted - {*names}):
        unlisted = (folder / MANIFEST).exists() and is_known(name) and (folder / name).exists()
        listed = f" that its {MANIFEST} lists" if unlisted else ""
        raise MinnowError(f"{folder} has no {name[:60]}{listed}; get the folder anew")


def read_object(file: Path) -> dict[str, Any]:
    """Return the JSON object in a file of a model's folder.

    Raises:
        ValueError: it is too long, no JSON, or no object.
    """
    try:
        content = json.loads(bounded_text(file))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file.name} is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{file.name} holds no JSON object")
    return content


@contextmanager
def library_errors(said: str, remedy: str) -> Iterator[None]:
    """Turn what the libraries raise about a model's files into one line: `said`, the reason,
    `remedy`.

    Raises:
        MinnowError: in place of any other error but those of too little memory.
    """
    try:
        yield
    except (MinnowError, MemoryError, ImportError):
        raise
    except Exception as error:  # tokenizers and safetensors raise bare Exceptions
        if "allocate memory" in str(error) or type(error).__name__ == "OutOfMemoryError":
            raise
        if "trust_remote_code" in str(error):
            raise MinnowError(
                f"{said}: it brings code of its own, which Minnow never runs; take a model that"
                " transformers knows"
            ) from None
        raise MinnowError(f"{said} ({_told(error)}); {remedy}") from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of tokenizers, which are written in Rust
            raise
        raise MinnowError(f"{said} ({_told(error)}); {remedy}") from None


def _told(error: BaseException) -> str:
    """Return what an error says, without the private folder's path."""
    return re.sub(rf"[^\s'\"]*/{PRIVATE}\w*", "the folder", reason(error))
