"""A data set as a folder laid out like one on the Hub: which of its files make up which split.

Only files of the folder count. What its README.md says is matched with their names, and nothing in
it is ever opened as a path or fetched.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from minnow.core.supplied import supplied_file, supplied_files
from minnow.data.contents import PACKED_ENDINGS, UTF8
from minnow.data.files import KINDS
from minnow.errors import MinnowError, listed, nearest, shortened

README = "README.md"
# Bytes of README.md between its two lines `---`.
MOST_FRONT_MATTER = 1 << 18
MOST_LEVELS = 100
# In C a long list takes a fifteenth of the time.
LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
# Of a pattern; `fnmatch` looks for the end of each bracket through all that follows.
MOST_LETTERS, MOST_BRACKETS = 1000, 20
FRONT_MATTER = re.compile(r"\s*---[ \t]*\r?\n(.*?\n)---[ \t]*(\r?\n|$)", re.DOTALL)
# Never data, although a reader would take them.
SETTINGS = {"config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json"}
SETTINGS |= {"state.json"}
# What names of files and folders say of a split, between blanks, dots, dashes and digits.
SPLIT_WORDS = {
    "train": "train|training",
    "validation": "validation|valid|dev|val",
    "test": "test|testing|eval|evaluation",
}
SPLIT_NAMES = {
    split: re.compile(rf"(.*[-._ 0-9])?({words})([-._ 0-9].*)?", re.DOTALL)
    for split, words in SPLIT_WORDS.items()
}
SHARD = re.compile(r"data/(?P<split>\w+)-\d{5}-of-\d{5}[^/]*\.[^/]*")
# What makes a name of README.md one that leads out of the folder.
LEADS_OUT = re.compile(r"://|::|^[/\\~]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)")

Files = Mapping[str, Sequence[Path]]


@dataclass(frozen=True)
class Configuration:
    """One of several sets of rows in a repository: its patterns by split, none where the names of
    files say the splits; and the folder that it lies in.
    """

    name: str
    patterns: Mapping[str, Sequence[str]] | None
    folder: str
    default: bool


def split_files(folder: Path, name: str, config: str | None) -> Files:
    """Return the files of each split of a data set, sorted.

    Args:
        folder: the data set.
        name: how errors name it.
        config: which of its configurations; None where there is one, or a default one.

    Raises:
        MinnowError: no file can be read, README.md is damaged or names what lies outside, there is
        no such configuration, or several and none is asked for; a file is a link out of the folder
        or no file.
    """
    paths = {path.relative_to(folder).as_posix(): path for path in supplied_files(folder)}
    files = {inner: path for inner, path in paths.items() if _readable(inner)}
    chosen = _chosen(_configurations(folder, name), name, config)
    if chosen is None or chosen.patterns is None:
        below = "" if chosen is None else chosen.folder
        found = _by_names([inner for inner in files if _below(inner, below)], below)
    else:
        found = {
            split: _matching(patterns, chosen.folder, files, name)
            for split, patterns in chosen.patterns.items()
        }
    if not any(found.values()):
        raise MinnowError(
            f"{name} cannot be loaded as a data set: it holds no file to read"
            f" ({listed(KINDS, 20)}); name another one"
        )
    return {split: [files[inner] for inner in inners] for split, inners in found.items()}


def _readable(inner: str) -> bool:
    path = PurePosixPath(inner)
    kinds = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in PACKED_ENDINGS]
    return path.name not in SETTINGS and bool(kinds) and kinds[-1] in KINDS


def _below(inner: str, folder: str) -> bool:
    return not folder or inner.startswith(f"{folder}/")


# What README.md says


def _configurations(folder: Path, name: str) -> list[Configuration]:
    """Return the configurations that README.md speaks of."""
    path = folder / README
    if not path.is_symlink() and not path.exists():
        return []
    with supplied_file(path, folder).open("rb") as file:
        text = file.read(MOST_FRONT_MATTER + 1).decode(UTF8, errors="replace")
    front = FRONT_MATTER.match(text)
    if front is None:
        if len(text) > MOST_FRONT_MATTER and text.lstrip().startswith("---"):
            raise MinnowError(f"{name}: the settings in {README} are too long; shorten them")
        return []
    try:
        _require_shallow(front[1])
        # Everything stays text, and nothing is multiplied, merged or made an object.
        document = yaml.load(front[1], LOADER)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise MinnowError(
            f"{name}: the settings at the top of {README} are not valid YAML; mend them, or delete"
            f" {README}"
        ) from None
    entries = document.get("configs") if isinstance(document, dict) else None
    return [] if entries is None else _distinct([*_entries(entries, name)], name)


def _require_shallow(text: str) -> None:
    """Refuse what is nested so deep that the parser in C would end the process.

    Raises:
        ValueError: it is.
    """
    levels = 0
    for event in yaml.parse(text, LOADER):
        levels += isinstance(event, yaml.CollectionStartEvent)
        levels -= isinstance(event, yaml.CollectionEndEvent)
        if levels > MOST_LEVELS:
            raise ValueError(f"more than {MOST_LEVELS} levels")


def _distinct(configurations: list[Configuration], name: str) -> list[Configuration]:
    """Refuse two configurations of one name: which one was meant, nobody can say."""
    for label, count in Counter(each.name for each in configurations).items():
        if count > 1:
            raise MinnowError(
                f"{name}: {README} has {count} configurations '{shortened(label)}'; rename or"
                " remove all but one"
            )
    return configurations


def _entries(entries: Any, name: str) -> Iterator[Configuration]:
    problem = MinnowError(
        f"{name}: `configs` in {README} is no list of configurations with config_name and"
        " data_files; mend it"
    )
    if not isinstance(entries, list):
        raise problem
    for entry in entries:
        if not isinstance(entry, dict):
            raise problem
        label, folder = entry.get("config_name", "default"), entry.get("data_dir", "")
        if not isinstance(label, str) or not isinstance(folder, str):
            raise problem
        files = entry.get("data_files")
        patterns = None if files is None else _patterns(files, problem)
        default = str(entry.get("default")).lower() == "true"
        yield Configuration(label, patterns, _inside(folder, name), default)


def _patterns(files: Any, problem: MinnowError) -> dict[str, list[str]]:
    """Return patterns by split, of any of the ways in which `data_files` may be written."""
    if isinstance(files, dict):
        entries = list(files.items())
    else:
        listed_files = files if isinstance(files, list) else [files]
        entries = [
            (file.get("split"), file.get("path")) if isinstance(file, dict) else ("train", file)
            for file in listed_files
        ]
    patterns: dict[str, list[str]] = {}
    for split, names in entries:
        several = names if isinstance(names, list) else [names]
        if not isinstance(split, str) or not all(isinstance(each, str) for each in several):
            raise problem
        patterns.setdefault(split, []).extend(several)
    return patterns


def _chosen(
    configurations: Sequence[Configuration], name: str, config: str | None
) -> Configuration | None:
    by_name = {each.name: each for each in configurations}
    if config is not None:
        if config not in by_name:
            raise MinnowError(
                f"{name} has no configuration '{shortened(config)}'; it has:"
                f" {listed(map(shortened, by_name)) or 'none'}{nearest(config, by_name)}; set"
                " data.config to one of these, or to null where it has none"
            )
        return by_name[config]
    if len(configurations) < 2:
        return configurations[0] if configurations else None
    defaults = [each for each in configurations if each.default] or [
        each for each in configurations if each.name == "default"
    ]
    if not defaults:
        raise MinnowError(
            f"{name} has several configurations: {listed(map(shortened, by_name))}; set"
            " data.config to one of these"
        )
    return defaults[0]


# Patterns and names of files


def _inside(pattern: str, name: str) -> str:
    """Return a pattern or folder of README.md without what means nothing.

    Raises:
        MinnowError: it leads out of the data set, or is longer than any name.
    """
    if len(pattern) > MOST_LETTERS or pattern.count("[") > MOST_BRACKETS:
        raise MinnowError(
            f"{name}: {README} names {shortened(pattern)!r} as data, of {len(pattern)} characters;"
            f" at most {MOST_LETTERS} are allowed, and {MOST_BRACKETS} brackets: shorten it"
        )
    if LEADS_OUT.search(pattern):
        raise MinnowError(
            f"{name}: {README} names {shortened(pattern)!r} as data, which lies outside the data"
            " set; nothing outside is read: put the file into it, or name another data set"
        )
    return "/".join(part for part in pattern.split("/") if part not in ("", "."))


def _matching(patterns: Sequence[str], folder: str, files: Files | Any, name: str) -> list[str]:
    found: dict[str, None] = {}
    for pattern in patterns:
        inside = _inside(pattern, name)
        parts = [*filter(None, folder.split("/")), *inside.split("/")]
        matches = [inner for inner in files if _matches(inner.split("/"), parts)]
        if not matches:
            raise MinnowError(
                f"{name}: {README} names {shortened(pattern)!r} as data, and no file to read is"
                " called that; get the data set anew, or mend its README.md"
            )
        found |= dict.fromkeys(matches)
    return sorted(found)


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether the parts of a path match those of a pattern, of which `**` stands for any
    number. Linear in both: a pattern is a stranger's.
    """
    reached = {0}
    for place, wanted in enumerate(pattern):
        if wanted == "**":
            last = place == len(pattern) - 1
            first = min(reached, default=len(parts))
            reached = {len(parts)} if last and reached else set(range(first, len(parts)))
        else:
            reached = {
                at + 1 for at in reached if at < len(parts) and fnmatchcase(parts[at], wanted)
            }
    return len(parts) in reached


def _by_names(inners: Sequence[str], below: str) -> dict[str, list[str]]:
    """Return files by split, as names of shards, of folders or of files say it; all are `train`
    where none does. Of several kinds of files the commonest is taken.
    """
    kinds = Counter(_ending(inner) for inner in sorted(inners))
    commonest = [inner for inner in sorted(inners) if _ending(inner) == max(kinds, key=kinds.get)]  # type: ignore[arg-type]
    places = {inner: inner.removeprefix(f"{below}/") if below else inner for inner in commonest}
    shards: dict[str, list[str]] = {}
    for inner, place in places.items():
        if shard := SHARD.fullmatch(place):
            shards.setdefault(shard["split"], []).append(inner)
    if shards:
        return shards
    for names_of in (_folders, _file):
        found = {
            split: [
                inner
                for inner, place in places.items()
                if any(pattern.fullmatch(each) for each in names_of(PurePosixPath(place)))
            ]
            for split, pattern in SPLIT_NAMES.items()
        }
        if any(found.values()):
            return {split: inners for split, inners in found.items() if inners}
    return {"train": commonest}


def _ending(inner: str) -> str:
    return "".join(PurePosixPath(inner).suffixes[-1:]).lower()


def _folders(path: PurePosixPath) -> Sequence[str]:
    return path.parts[:-1]


def _file(path: PurePosixPath) -> Sequence[str]:
    return [path.name]
