"""check: validate the whole of params.yaml, inactive presets too, without running anything."""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from minnow import stages
from minnow.core import params
from minnow.distill.params import DistillParams, check_teacher_rows
from minnow.errors import MinnowError, listed, nearest
from minnow.layout import Layout
from minnow.stages.teacher_unlabelled import TeacherUnlabelledParams

PREFIX = "params.yaml: "
Places = Sequence[tuple[str, type[BaseModel]]]


def main(root: Path) -> None:
    """Print one line if params.yaml is valid.

    Raises:
        MinnowError: every complaint, in one line.
    """
    document = params.read_params(Layout(root).params)
    active = params.active_preset(document)
    presets = list(document["presets"])
    places = [
        (params.at(place, preset), block)
        for place, block in declared()
        for preset in presets_at(place, presets)
    ]
    complaints = [*unknown_keys(document, places), *invalid_blocks(document, places)]
    if complaints:
        raise MinnowError(PREFIX + "; ".join(dict.fromkeys(complaints)))
    check_blocks_together(document)
    print(f"params.yaml is valid: preset {active}; presets {listed(presets, 20)}")


def check_blocks_together(document: Mapping[str, Any]) -> None:
    """Refuse what single blocks allow and the stage `distill` would not."""
    distill = params.validated(DistillParams, document["distill"], "distill")
    texts = params.validated(
        TeacherUnlabelledParams, document["teacher_unlabelled"], "teacher_unlabelled"
    )
    stored = document["teacher_states"]["layers"] is not None
    check_teacher_rows(distill, more_texts=texts.any, stored_states=stored)


def declared() -> Places:
    """Return the places in params.yaml that stages read, each once, with the class of its block."""
    places: dict[tuple[str, type[BaseModel]], None] = {}
    for module in pkgutil.iter_modules(stages.__path__, f"{stages.__name__}."):
        read = importlib.import_module(module.name).Params.places().values()
        places.update(dict.fromkeys(place for place in read if place[1] is not params.Raw))
    return list(places)


def presets_at(place: str, presets: Sequence[str]) -> Sequence[str]:
    """Return the presets that have a block at `place`: all, or none in particular for what stands
    outside presets.
    """
    return presets if "*" in place else [""]


def unknown_keys(document: Mapping[str, Any], places: Places) -> Iterator[str]:
    """Yield a complaint for each key, above the blocks, that leads to no block."""
    legal: dict[tuple[str, ...], list[str]] = {(): ["preset"]}
    for place, _ in places:
        parts = place.split(".")
        for depth, part in enumerate(parts):
            names = legal.setdefault(tuple(parts[:depth]), [])
            if part not in names:
                names.append(part)
    whole = {
        place for place, _ in places
    }  # its class knows its keys, also where a part of it is read by itself
    for path, names in legal.items():
        if ".".join(path) in whole:
            continue
        block: Any = document
        for part in path:
            block = block.get(part) if isinstance(block, dict) else None
        for key in block if isinstance(block, dict) else ():
            if key not in names:
                yield (
                    f"{'.'.join([*path, str(key)])} is unknown; allowed:"
                    f" {listed(names, 20)}{nearest(key, names)}"
                )


def invalid_blocks(document: Mapping[str, Any], places: Places) -> Iterator[str]:
    """Yield the complaints of each block that is missing or not as its class demands."""
    for place, block in places:
        try:
            params.validated(block, params.pick(document, place), place)
        except MinnowError as error:
            yield str(error).removeprefix(PREFIX)
