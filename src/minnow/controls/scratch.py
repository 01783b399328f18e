"""A control's run: the pipeline again with one thing changed, in a checkout of its own."""

import copy
import hashlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from minnow.controls.definitions import FACTS, KEPT_SPLITS, labels_file, logits_file, named
from minnow.core.files import discard, read_json, replacing, sha256, write_json
from minnow.core.params import active_preset, at, pick, read_params
from minnow.core.plain_yaml import as_yaml
from minnow.core.tables import read_table, write_table
from minnow.errors import MinnowError
from minnow.layout import Layout

# In the scratch: what it was laid out for, and how many of its steps are done.
STATE = "state.json"
PACKAGE = Path(__file__).parents[1]
# Folders of the package that the stages of a control run, as dvc.yaml lists them.
CODE = (
    "core",
    "text",
    "data",
    "models",
    "training",
    "teacher",
    "student",
    "distill",
    "controls",
    "stages",
)
Step = Callable[[Path], None]


# Running


def changed_params(layout: Layout, name: str) -> dict[str, Any]:
    """Return what the control sets otherwise than it is, by dotted key of params.yaml.

    Raises:
        MinnowError: all of it stands there already.
    """
    document = read_params(layout.params)
    wanted = {
        at(place, active_preset(document)): value for place, value in named(name).changes.items()
    }
    changed = {key: value for key, value in wanted.items() if pick(document, key) != value}
    if not changed:
        shown = ", ".join(
            f"{key} {'null' if value is None else value}" for key, value in wanted.items()
        )
        raise MinnowError(
            f"control {name} sets {shown}, as it is already: take {name} off `controls` in"
            " params.yaml"
        )
    return changed


def with_changes(document: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return params.yaml's document with some dotted keys set anew, and all else as it is."""
    result = copy.deepcopy(dict(document))
    for key, value in wanted.items():
        block, _, last = key.rpartition(".")
        pick(result, block)[last] = value
    return result


def scratch_of(layout: Layout, name: str, params: str) -> Layout:
    """Lay the control's scratch out, or return what a killed run left of it if nothing differs
    since.

    `params` are those of all stages that it runs, as text.
    """
    scratch = Layout(layout.control_scratch(name))
    document = with_changes(read_params(layout.params), changed_params(layout, name))
    sources, links = (_shared(place, name, active_preset(document)) for place in (layout, scratch))
    origin = _digest(params, [*sources, *(PACKAGE / folder for folder in CODE)])
    if _state(scratch).get("origin") == origin:
        return scratch
    if scratch.root.exists():
        for left in scratch.root.iterdir():
            # Checkpoints have an origin of their own in their names.
            if left != scratch.checkpoints.parent:
                discard(left)
    for source, link in zip(sources, links, strict=True):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(source.absolute())
    scratch.params.write_text(as_yaml(document), encoding="utf-8")
    write_json(scratch.root / STATE, {"origin": origin, "done": 0})
    return scratch


def run(scratch: Layout, steps: Sequence[Step]) -> None:
    """Run the steps that are not done yet; each is given the scratch's root."""
    state = _state(scratch)
    for number, step in enumerate(steps[state["done"] :], state["done"] + 1):
        step(scratch.root)
        write_json(scratch.root / STATE, {**state, "done": number})


def require_carved(root: Path) -> None:
    """Refuse a random split where the test split is not carved out here: it would hold the same
    rows.
    """
    report = read_json(Layout(root).metrics("prepare"))
    if "test" not in report["carved"]:
        raise MinnowError(
            "control random_split has nothing to split: this data brings a test split of its own,"
            " which is kept; take random_split off `controls` in params.yaml"
        )


def _shared(layout: Layout, name: str, preset: str) -> list[Path]:
    return [layout.raw(preset), layout.base(preset), *named(name).shared(layout)]


def _state(scratch: Layout) -> dict[str, Any]:
    file = scratch.root / STATE
    return dict(read_json(file)) if file.exists() else {}


def _digest(text: str, folders: Iterable[Path]) -> str:
    """Return the SHA-256 of a text and of all files below folders, code compiled by python left
    out.
    """
    digest = hashlib.sha256(text.encode())
    for folder in folders:
        for file in sorted(folder.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(folder)} {sha256(file)}\n".encode())
    return digest.hexdigest()


# What is kept


def keep(layout: Layout, name: str, facts: Mapping[str, Any]) -> None:
    """Write what evaluation reads of the control's scratch, all or nothing; remove the scratch."""
    scratch = Layout(layout.control_scratch(name))
    with replacing(layout.control(name)) as out:
        for split in KEPT_SPLITS:
            rows = read_table(scratch.split(split)).select("id", "label", "domain")
            write_table(labels_file(out, split), rows)
            for model in named(name).models:
                target = logits_file(out, model, split)
                target.parent.mkdir(exist_ok=True)
                shutil.copyfile(scratch.logits_of(model, split), target)
        write_json(out / FACTS, facts)
    discard(scratch.root)
