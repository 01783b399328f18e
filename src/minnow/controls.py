"""Controls: the pipeline again with one thing changed, to see what that thing is worth.

A control's stages run as in a checkout of its own, the scratch: its params.yaml has the change, what stays the same is
linked, and the rest is made anew. Only logits, labels and facts are kept of it.
"""

import copy
import hashlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from minnow import store
from minnow.errors import MinnowError, nearest
from minnow.layout import Layout
from minnow.params import active_preset, at, pick, read

FACTS = "facts.json"
# In the scratch: what it was laid out for, and how many of its steps are done.
STATE = "state.json"
KEPT_SPLITS = ("validation", "test")

Step = Callable[[Path], None]


@dataclass(frozen=True)
class Control:
    """What a control changes, by place in params.yaml (`*` is the active preset), and which models it makes anew."""

    changes: Mapping[str, Any]
    models: Sequence[str]
    shared: Callable[[Layout], Sequence[Path]]


CONTROLS = {
    "no_teacher": Control(
        # Rows that only the teacher labelled are its gift too.
        {
            "distill.soft_weight": 0.0,
            "distill.hidden_weight": 0.0,
            "distill.attention_weight": 0.0,
            "distill.relation_weight": 0.0,
            "distill.unlabelled": None,
            "distill.augmentation.copies": 0,
        },
        ("student",),
        lambda layout: (layout.prepared, layout.model("teacher"), layout.logits("teacher")),
    ),
    "random_split": Control({"presets.*.data.split": "random"}, ("teacher", "student"), lambda layout: ()),
}


@dataclass(frozen=True)
class Finished:
    """What a control left: facts; by split ids and labels; by model and split logits (rows, labels), in that order."""

    facts: dict[str, Any]
    ids: dict[str, list[str]]
    labels: dict[str, Any]
    logits: dict[str, dict[str, Any]]


def named(name: str) -> Control:
    """Return the control of that name; a MinnowError lists them all."""
    if name not in CONTROLS:
        raise MinnowError(f"control takes one of {', '.join(CONTROLS)}, given {name!r}{nearest(name, CONTROLS)}")
    return CONTROLS[name]


# Running


def changes(layout: Layout, name: str) -> dict[str, Any]:
    """Return what the control sets otherwise than it is, by dotted key of params.yaml.

    Raises:
        MinnowError: all of it stands there already.
    """
    document = read(layout.params)
    wanted = {at(place, active_preset(document)): value for place, value in named(name).changes.items()}
    changed = {key: value for key, value in wanted.items() if pick(document, key) != value}
    if not changed:
        shown = ", ".join(f"{key} {'null' if value is None else value}" for key, value in wanted.items())
        raise MinnowError(f"control {name} sets {shown}, as it is already: take {name} off `controls` in params.yaml")
    return changed


def with_changes(document: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return params.yaml's document with some dotted keys set anew, and all else as it is."""
    result = copy.deepcopy(dict(document))
    for key, value in wanted.items():
        block, _, last = key.rpartition(".")
        pick(result, block)[last] = value
    return result


def scratch_of(layout: Layout, name: str, params: str) -> Layout:
    """Lay the control's scratch out, or return what a killed run left of it if nothing differs since.

    `params` are those of all stages that it runs, as text.
    """
    scratch = Layout(layout.control_scratch(name))
    document = with_changes(read(layout.params), changes(layout, name))
    sources, links = (_shared(place, name, active_preset(document)) for place in (layout, scratch))
    origin = _digest(params, [*sources, Path(__file__).parent])
    if _state(scratch).get("origin") == origin:
        return scratch
    if scratch.root.exists():
        for left in scratch.root.iterdir():
            # Checkpoints have an origin of their own in their names.
            if left != scratch.checkpoints.parent:
                store.discard(left)
    for source, link in zip(sources, links, strict=True):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(source.absolute())
    scratch.params.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    store.write_json(scratch.root / STATE, {"origin": origin, "done": 0})
    return scratch


def run(scratch: Layout, steps: Sequence[Step]) -> None:
    """Run the steps that are not done yet; each is given the scratch's root."""
    state = _state(scratch)
    for number, step in enumerate(steps[state["done"] :], state["done"] + 1):
        step(scratch.root)
        store.write_json(scratch.root / STATE, {**state, "done": number})


def require_carved(root: Path) -> None:
    """Refuse a random split where the test split is not carved out here: it would hold the same rows."""
    report = store.read_json(Layout(root).metrics("prepare"))
    if "test" not in report["carved"]:
        raise MinnowError(
            "control random_split has nothing to split: this data brings a test split of its own, which is kept; "
            "take random_split off `controls` in params.yaml"
        )


def _shared(layout: Layout, name: str, preset: str) -> list[Path]:
    return [layout.raw(preset), layout.base(preset), *named(name).shared(layout)]


def _state(scratch: Layout) -> dict[str, Any]:
    file = scratch.root / STATE
    return dict(store.read_json(file)) if file.exists() else {}


def _digest(text: str, folders: Iterable[Path]) -> str:
    """Return the SHA-256 of a text and of all files below folders, code compiled by python left out."""
    digest = hashlib.sha256(text.encode())
    for folder in folders:
        for file in sorted(folder.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(folder)} {store.sha256(file)}\n".encode())
    return digest.hexdigest()


# What is kept


def keep(layout: Layout, name: str, facts: Mapping[str, Any]) -> None:
    """Write what evaluation reads of the control's scratch, all or nothing, and remove the scratch."""
    scratch = Layout(layout.control_scratch(name))
    with store.replacing(layout.control(name)) as out:
        for split in KEPT_SPLITS:
            store.write_table(_labels(out, split), store.read_table(scratch.split(split)).select("id", "label"))
            for model in named(name).models:
                target = _logits(out, model, split)
                target.parent.mkdir(exist_ok=True)
                shutil.copyfile(scratch.logits_of(model, split), target)
        store.write_json(out / FACTS, facts)
    store.discard(scratch.root)


def read_control(layout: Layout, name: str) -> Finished:
    """Return what a control left; a MinnowError names the file that is missing or belongs to other rows."""
    folder, models = layout.control(name), named(name).models
    tables = {split: store.read_table(_labels(folder, split)) for split in KEPT_SPLITS}
    return Finished(
        facts=store.read_json(folder / FACTS),
        ids={split: table["id"].to_list() for split, table in tables.items()},
        labels={split: table["label"].to_numpy() for split, table in tables.items()},
        logits={
            model: {
                split: store.read_logits(_logits(folder, model, split), table["id"].to_list())
                for split, table in tables.items()
            }
            for model in models
        },
    )


def discard_stale(layout: Layout, wanted: Iterable[str]) -> None:
    """Remove what controls left that are no longer asked for and so are no stage's outs.

    DVC leaves them lying, and their bytes would stand in dvc.lock as part of the folder that evaluation depends on.
    """
    for name in set(CONTROLS) - set(wanted):
        store.discard(layout.control(name))


def _labels(folder: Path, split: str) -> Path:
    return folder / Layout(folder).prepared.name / Layout(folder).split(split).name


def _logits(folder: Path, model: str, split: str) -> Path:
    return folder / model / Layout(folder).logits_of(model, split).name
