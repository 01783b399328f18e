"""YAML as params.yaml needs it: mappings, lists, text and numbers, whatever a hostile file holds.

What a parser would expand, follow or execute is bounded or refused before anything is built of it.
"""

import os
import re
import stat
import unicodedata
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from minnow.errors import MinnowError, command, shortened

# Far above any real file: the one of this project holds 15,000 bytes, 400 values, 6 levels.
MOST_BYTES = 100_000
MOST_VALUES = 10_000
MOST_LEVELS = 20
MOST_LETTERS = 1_000
# Longest whole number, in digits; each that a field takes is far smaller.
MOST_DIGITS = 30
# Control characters and halves of a surrogate pair: no path, name or column has them.
UNWANTED = ("Cc", "Cs")

# What is true or false or a number without quotes, as DVC reads it: YAML 1.2. PyYAML alone reads
# 1.1, to which 010 is 8, 1:30 is 90, yes is true, and 1e-05, as DVC writes a small number, is text.
PLAIN: Final = {
    "bool": ("tTfF", "true|True|TRUE|false|False|FALSE"),
    "int": ("-+0123456789", "[-+]?(0b[01_]+|0o?[0-7_]+|[0-9_]+|0x[0-9a-fA-F_]+)"),
    "float": (
        "-+.0123456789",
        r"[-+]?[0-9][0-9_]*(\.[0-9_]*([eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)"
        r"|[-+]?\.([0-9_]+([eE][-+][0-9]+)?|inf|Inf|INF)|\.(nan|NaN|NAN)",
    ),
}
BASES = {"0b": 2, "0o": 8, "0x": 16}
TAG = "tag:yaml.org,2002:"

_Parser: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """Return, by its first letter, what a text without quotes is; the first match counts."""
    kept: dict[str, list[tuple[str, re.Pattern[str]]]] = {
        letter: [rule for rule in rules if rule[0].removeprefix(TAG) not in PLAIN]
        for letter, rules in _Parser.yaml_implicit_resolvers.items()
    }
    for name in ("bool", "float", "int"):
        letters, pattern = PLAIN[name]
        for letter in letters:
            kept.setdefault(letter, []).append((TAG + name, re.compile(rf"(?:{pattern})\Z")))
    return kept


def is_plain_number(text: str) -> bool:
    """Say whether a text would be a number if it stood without quotes."""
    return any(re.fullmatch(PLAIN[name][1], text) for name in ("int", "float"))


class _Loader(_Parser):  # type: ignore[misc]
    """Builds text, numbers, true, false and null, lists and mappings with distinct keys of text."""

    yaml_implicit_resolvers = _resolvers()

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Refuse a key written twice, of which PyYAML takes the last without a word."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == TAG + "merge":  # would bring in names that nobody has looked at
                raise _refusal("<< is not allowed; write out the names that it brings in", key)
            if not isinstance(key, yaml.ScalarNode) or key.tag != TAG + "str":
                raise _refusal("a name is not text; write it in quotes", key)
            if key.value in seen:
                raise _refusal(f"{shortened(key.value)} is written twice", key)
            seen.add(key.value)
        built: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return built

    def construct_scalar(self, node: yaml.ScalarNode) -> Any:
        """Return the text, if it is one that a field could take."""
        if len(node.value) > MOST_LETTERS:
            raise _refusal(
                f"a text of {len(node.value)} characters; at most {MOST_LETTERS} are allowed", node
            )
        if any(unicodedata.category(letter) in UNWANTED for letter in node.value):
            raise _refusal("a text with control characters; take them out", node)
        return super().construct_scalar(node)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Return the number; one of thousands of digits could not even be printed."""
        if len(node.value) > MOST_DIGITS:
            raise _refusal(
                f"a number of {len(node.value)} digits; at most {MOST_DIGITS} are allowed", node
            )
        text = node.value.replace("_", "")
        return int(text, BASES.get(text.lstrip("-+")[:2], 10))

    def refuse_date(self, node: yaml.ScalarNode) -> None:
        """No field takes a date, and not each is one: 2024-02-30."""
        raise _refusal(f"{shortened(node.value)} reads as a date; write text in quotes", node)


_Loader.add_constructor(TAG + "int", _Loader.construct_yaml_int)
_Loader.add_constructor(TAG + "timestamp", _Loader.refuse_date)


class _Dumper(yaml.SafeDumper):
    """Puts quotes where YAML 1.2 needs them: around the text 1e5, which 1.1 reads as text."""

    yaml_implicit_resolvers = _resolvers()


def as_yaml(document: Mapping[str, Any]) -> str:
    """Return a document as text that `read_yaml` and DVC read as this document."""
    text: str = yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


def _refusal(problem: str, node: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(None, None, problem, node.start_mark)


def read_yaml(path: Path) -> Mapping[str, Any]:
    """Return the mapping in a file.

    Raises:
        MinnowError: it is missing, no regular file, too large, not YAML, not a mapping, or holds
        what no field takes.
    """
    undo = f"undo with {command('git checkout --', Path(path.name))}"
    text = _text(path, undo)
    try:
        _check_events(text)
        document = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {min(where.line + 1, len(text.splitlines()))}" if where else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        raise MinnowError(
            f"{path.name}{line} is not valid YAML: {shortened(str(problem), 120)}; mend it, or"
            f" {undo}"
        ) from None
    if not isinstance(document, dict):
        raise MinnowError(
            f"{path.name} must be a mapping of names to values, not {type(document).__name__}"
        )
    return document


def _text(path: Path, undo: str) -> str:
    """Return what a regular file of at most MOST_BYTES holds."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise MinnowError(f"{path} is no regular file; {undo}")
            raw = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        missing = command("git checkout --", Path(path.name))
        raise MinnowError(f"{path} is missing; bring it back with {missing}") from None
    except OSError as error:
        raise MinnowError(
            f"{path} cannot be read: {error.strerror}; make it a readable file"
        ) from None
    if len(raw) > MOST_BYTES:
        raise MinnowError(
            f"{path.name} has more than {MOST_BYTES:,} bytes, which no real one has; shorten it, or"
            f" {undo}"
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise MinnowError(
            f"{path.name} is not valid YAML: the file is not text in UTF-8; mend it, or {undo}"
        ) from None


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a named pipe too, which by default waits for who writes into it."""
    return os.open(path, flags | os.O_NONBLOCK)


def _check_events(text: str) -> None:
    """Refuse, before anything is built, what is nested deeply, tagged, or grows when aliases are
    written out.

    Raises:
        yaml.YAMLError: says what, and where.
    """
    sizes: dict[str, int] = {}  # of what each anchor stands for, with its aliases written out
    opened: list[tuple[str | None, int]] = []
    values = 0
    for event in yaml.parse(text, _Parser):
        if getattr(event, "tag", None) is not None:
            raise _refusal("tags that begin with ! are not allowed; take it off", event)
        if getattr(event, "version", None) not in (None, (1, 2)):  # DVC would read 1.1 as 1.1
            raise _refusal("it says %YAML, and is read as YAML 1.2; take that line out", event)
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            if anchor not in sizes:
                raise _refusal(f"*{shortened(str(anchor))} stands for nothing before it", event)
            values += sizes[anchor]
        elif isinstance(event, yaml.CollectionStartEvent | yaml.ScalarEvent):
            values += 1
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append((anchor, values))
        elif isinstance(event, yaml.CollectionEndEvent):
            name, before = opened.pop()
            sizes.update({name: values - before + 1} if name else {})
        elif isinstance(event, yaml.ScalarEvent) and anchor:
            sizes[anchor] = 1
        if len(opened) > MOST_LEVELS:
            raise _refusal(f"nested more than {MOST_LEVELS} levels deep", event)
        if values > MOST_VALUES:
            raise _refusal(f"more than {MOST_VALUES:,} values, with aliases written out", event)
