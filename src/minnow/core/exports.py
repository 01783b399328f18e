"""Whether a run exported its quantized model, and so which models it judges."""

from pathlib import Path

from minnow.core.files import read_json, replacing, write_json
from minnow.layout import EVERY_MODEL, EXPORTED, JUDGED, Layout

# What `export.mode` is where nothing is exported, and the file that says so in place of logits.
NONE, NOTE = "none", "none.json"
# The files of an exported model that a release takes over. Its tokenizer takes the quantized one's
# place: the same, but that it cuts texts by itself.
SHIPPED = ("model.onnx", "tokenizer.json")


def is_exported(layout: Layout) -> bool:
    """Say whether this run has an exported model, by its manifest."""
    return bool(read_json(layout.manifest(EXPORTED)).get("mode", NONE) != NONE)


def judged_models(layout: Layout) -> tuple[str, ...]:
    """Return the models that this run judges, in the order of the tables."""
    return EVERY_MODEL if is_exported(layout) else JUDGED


def write_note(out: Path) -> None:
    """Write a folder of no logits, which says that no model was exported."""
    with replacing(out) as folder:
        folder.mkdir(parents=True)
        write_json(folder / NOTE, {"mode": NONE})
