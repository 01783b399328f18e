"""`minnow info` and `minnow verify`: what lies in a release's folder, and whether it is whole."""

import re
from pathlib import Path
from typing import Any

from minnow.core.files import MANIFEST
from minnow.core.strict_json import bounded_text, parsed_json
from minnow.errors import MinnowError, listed, printable, shortened
from minnow.serve.backends import settings_in_use
from minnow.serve.settings import CARD, Settings, check, read_settings

# What each file is for, by its name.
PARTS = {
    "model.onnx": "the model, for onnxruntime",
    "model.safetensors": "the model, for torch",
    "minnow.safetensors": "the model with adapters, for torch",
    "page.html": "a page that classifies in a browser",
    "tokenizer.json": "the tokenizer",
    "minnow.json": "labels, temperature, threshold, and how texts are cleaned",
    CARD: "the model card: how it was made, results, limits",
}
# Fields of the card's metadata that say what it comes from.
FIELD = re.compile(r"^(license|base_model|datasets): *(.+)$", re.MULTILINE)
LONGEST_CARD = 1_000_000


def info(folder: Path) -> str:
    """Return what a release is, in lines.

    Raises:
        MinnowError: it is none.
    """
    settings = settings_in_use(folder)
    pairs = {
        "name": shortened(printable(folder.resolve().name)),
        **settings_lines(settings),
        **manifest_lines(folder),
        **card_fields(folder),
    }
    width = max(map(len, pairs))
    files = [file_line(file) for file in sorted(folder.iterdir()) if file.is_file()]
    return "\n".join([*(f"{name:<{width}}  {value}" for name, value in pairs.items()), *files])


def settings_lines(settings: Settings) -> dict[str, str]:
    """Return what minnow.json says, as words."""
    safe, phishing = map(printable, settings.labels)
    return {
        "labels": f"{safe}, {phishing}",
        "threshold": f"{phishing} above probability {settings.threshold_probability:.4f}",
        "temperature": f"{settings.temperature:g}",
        "longest text": f"{settings.max_length} tokens",
        "data": "synthetic: it says nothing about real URLs" if settings.synthetic else "real",
    }


def manifest_lines(folder: Path) -> dict[str, str]:
    """Return size and number of weights, as far as the manifest says them."""
    try:
        manifest: Any = parsed_json(bounded_text(folder / MANIFEST))
        size = sum(fact["bytes"] for fact in manifest["files"].values())
        found = {"size": f"{size / 1e6:.2f} MB in {len(manifest['files'])} files"}
        weights, formats = manifest.get("parameters"), manifest.get("formats")
        found |= {"weights": f"{weights:,}"} if isinstance(weights, int) else {}
        if isinstance(formats, dict) and formats:
            found["formats"] = printable(listed(sorted({str(kept) for kept in formats.values()})))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {"size": f"unknown: {MANIFEST} is missing or broken"}
    return found


def card_fields(folder: Path) -> dict[str, str]:
    """Return what the card's metadata say of licence, base and data; it may be anybody's text."""
    try:
        with (folder / CARD).open("rb") as file:
            card = file.read(LONGEST_CARD).decode("utf-8", "replace")
    except OSError:
        return {}
    metadata = card.split("---", 2)[1] if card.startswith("---") else ""
    return {name: shortened(printable(value), 100) for name, value in FIELD.findall(metadata)}


def file_line(file: Path) -> str:
    """Return name, size and purpose of a file."""
    name, purpose = shortened(printable(file.name), 40), PARTS.get(file.name, "")
    return f"  {name:<22} {file.stat().st_size / 1e6:>9.3f} MB  {purpose}".rstrip()


def verify(folder: Path) -> str:
    """Return that a release is as its manifest says.

    Raises:
        MinnowError: a file is missing or differs, or the folder is no release.
    """
    read_settings(folder)
    check(folder)
    listed_files = parsed_json(bounded_text(folder / MANIFEST))["files"]
    if not {"model.onnx", "model.safetensors", "minnow.safetensors"} & {*listed_files}:
        raise MinnowError(f"{folder} lists no model; download the release, or build it, again")
    there = [name for name in PARTS if name != CARD and (folder / name).exists()]
    if unlisted := [name for name in there if name not in listed_files]:
        raise MinnowError(
            f"{folder / unlisted[0]} is not in {MANIFEST}; remove it, or build the release again"
        )
    count = len({*listed_files} - {CARD})
    return f"{folder}: {count} files as {MANIFEST} says; {CARD} is its owner's and not compared"
