"""validate: refuse a params.yaml that no stage could use, before DVC reads, removes or runs
anything for another stage.

DVC puts the preset's name into paths of dependencies, which it reads, and removes what a stage
made before that stage can refuse its params. So this one comes first: all others wait for it.
"""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from minnow import stages
from minnow.core import estimates, params
from minnow.core.files import write_json
from minnow.core.params import StageParams
from minnow.distill.params import DistillParams, check_teacher_rows
from minnow.errors import MinnowError, listed, nearest, shortened, together
from minnow.evaluation.params import CONTROL_NAMES
from minnow.layout import Layout

PREFIX = "params.yaml: "
Places = Sequence[tuple[str, type[BaseModel]]]


class Params(StageParams):
    """What `validate` hands on of params.yaml; it looks at all of it."""


def main(root: Path) -> None:
    """Write down which preset and which controls a valid params.yaml asks for, each in a file of
    its own, so that nothing runs again but what depends on it.

    Raises:
        MinnowError: as `checked`.
    """
    document, layout = checked(root), Layout(root)
    write_json(layout.asked("preset"), {"preset": document["preset"]})
    for name in CONTROL_NAMES:
        write_json(layout.asked(name), {"asked": name in document["controls"]})


def checked(root: Path) -> Mapping[str, Any]:
    """Return the document of params.yaml if all of it is valid, inactive presets too.

    Raises:
        MinnowError: the complaints, in one line.
    """
    document = params.read_params(Layout(root).params)
    params.active_preset(document)
    presets = list(document["presets"])
    places = [
        (params.at(place, preset), block)
        for place, block in declared()
        for preset in (presets if "*" in place else [""])
    ]
    complaints = [*unknown_keys(document, places), *invalid_blocks(document, places)]
    if complaints:
        raise MinnowError(PREFIX + together(complaints))
    check_blocks_together(document)
    return document


def check_blocks_together(document: Mapping[str, Any]) -> None:
    """Refuse what single blocks allow and the stage `distill` would not."""
    distill = params.validated(DistillParams, document["distill"], "distill")
    texts = document["teacher_unlabelled"]
    stored = document["teacher_states"]["layers"] is not None
    more_texts = texts["file"] is not None or texts["copies"] > 0
    check_teacher_rows(distill, more_texts=more_texts, stored_states=stored)
    rows = document["presets"][document["preset"]]["data"]["rows"] or 0
    try:
        estimates.require_rows(rows * texts["copies"], "copies")
    except ValueError as error:
        raise MinnowError(f"{PREFIX}teacher_unlabelled: {error}") from None


def declared() -> Places:
    """Return the places in params.yaml that stages read, each once, with the class of its block."""
    places: dict[tuple[str, type[BaseModel]], None] = {}
    for folder in stages.__path__:
        for file in sorted(Path(folder).glob("[!_]*.py")):
            module = importlib.import_module(f"{stages.__name__}.{file.stem}")
            read = module.Params.places().values()
            places.update(dict.fromkeys(place for place in read if place[1] is not params.Raw))
    return list(places)


def unknown_keys(document: Mapping[str, Any], places: Places) -> Iterator[str]:
    """Yield a complaint for each key, above the blocks, that leads to no block."""
    legal: dict[tuple[str, ...], list[str]] = {(): ["preset"]}
    for place, _ in places:
        parts = place.split(".")
        for depth, part in enumerate(parts):
            names = legal.setdefault(tuple(parts[:depth]), [])
            if part not in names:
                names.append(part)
    # A whole block's class knows its keys, also where a part of it is read by itself.
    whole = {place for place, _ in places}
    for path, names in legal.items():
        if ".".join(path) in whole:
            continue
        block: Any = document
        for part in path:
            block = block.get(part) if isinstance(block, dict) else None
        for key in block if isinstance(block, dict) else ():
            if key not in names:
                yield (
                    f"{'.'.join([*path, shortened(key)])} is unknown; allowed:"
                    f" {listed(names, 20)}{nearest(key, names)}"
                )


def invalid_blocks(document: Mapping[str, Any], places: Places) -> Iterator[str]:
    """Yield the complaints of each block that is missing or not as its class demands."""
    for place, block in places:
        try:
            params.validated(block, params.pick(document, place), place)
        except MinnowError as error:
            yield str(error).removeprefix(PREFIX)
