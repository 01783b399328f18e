"""Hostile values and the seeded ways in which good files become bad ones."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

LAUGHS = "\n".join(
    [
        "a0: &a0 [lol]",
        *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)),
    ]
)
# What may stand in a place of a YAML file, as text.
YAML = (
    *("!!int abc", "!!float x", "2024-02-30", "2024-13-01", "9" * 5000, "-" + "9" * 5000),
    *("0x" + "f" * 5000, "0b2", "1:2:3:99", ".inf", "-.inf", ".nan", "1.0e+999", "1e-4", "~"),
    *("&a [*a]", "&a {x: *a}", "*undefined", "[" * 3000, "{a: " * 2000, "- " * 500, "[]", "{}"),
    *("!!python/object/apply:os.system ['touch VICTIM']", "!!binary '='", "!!set {a, b}"),
    *("!!omap [a]", "!!pairs [x]", "!!timestamp soon", "!!bool maybe", "!!null x", "!custom y"),
    *("'../../../victim'", '"$(touch VICTIM)"', "'; touch VICTIM; '", "/dev/zero", "/etc/passwd"),
    *('"a\\0b"', '"\\e[31mred"', '"\\u202e"', "'" + "x" * 5000 + "'", "'" + "../" * 1700 + "'"),
    *(
        '"\\ud800"',
        "'☃'",
        "true",
        "null",
        "-1",
        "0",
        "0.0",
        "1",
        "2",
        "1.5",
        "99999999999999999999",
    ),
    *("{? [a]: b}", "{? {a: b}: c}", "{1: 2}", "{null: 1}", "{<<: 3}", "{<<: [1]}", "|", ">", "%"),
    *("'no_teacher'", "[no_teacher, no_teacher]", "['../x']", "[1, [2, [3]]]", "@", "`", "? "),
    *("1000000000000", "4294967296", "2147483648", "100000", "'1'", "'1e-4'", "'${preset}'", "="),
)
WHOLE = (
    *("", "\0", "\ufeff", "- a\n", "3\n", "null\n", "---\n---\n", "%YAML 9.9\n---\na: 1\n", LAUGHS),
    *("\t", "a: b: c", "{" * 20_000, "a: &x\n  <<: *x\n", "? " * 3000, "'" * 9999, "# only\n"),
)
# What may stand in a JSON file.
JSON = (
    *(None, True, False, 0, -1, 1, 2, 1.5, 1e308, 10**9, 2**31, 2**63, 2**64, 10**400, -(10**30)),
    *("", "x", "x" * 5000, "\0", "☃", "\ud800", "../../../victim", "/dev/zero", "$(touch VICTIM)"),
    *([], {}, [None], [[]], {"": None}, [1, 2, 3], ["a", "b"], {"a": {"b": {}}}, [0] * 1000),
    *(float("nan"), float("inf"), "nan", "float8", "torch.load", "cuda", "gelu_x", "bert", "t5"),
)
FIELDS = (
    *("&#" + "9" * 5000 + ";", "&" + "amp;" * 2000, " " * 20_000, "x" * 100_000, "\0", "\x1b[31m"),
    *('"', '""', '"""', "'", "\r", "\n", "\t", ",", ";", "\ufeff", "\u2028", "\u202e", "\udc80"),
    *(
        "hxxps://a[.]b",
        "http://[::1",
        "http://a:99999999/",
        "http\u017f://x",
        "xn--",
        "xn--z.co",
    ),
    *("=1+1", "NaN", "nan", "null", "None", "-0", "1e999", "9" * 400, "true", "1.0", "", " ", "。"),
    *(
        "http://" + "a." * 5000,
        "//",
        "://",
        "@" * 5000,
        "%" * 3000,
        "😀" * 500,
        "\uff37\uff0e\uff43",
    ),
)
HEADS = (
    *(
        "sep=;\n",
        "# comment\n",
        "<html><body>x</body></html>",
        "PK\x03\x04",
        "\x1f\x8b",
        "%PDF",
    ),
    *("version https://git-lfs.github.com/spec/v1\n", "PAR1", "[{", "{", "\ufeff", "\0" * 64, "\n"),
)


def broken_bytes(content: bytes, chance: random.Random) -> bytes:
    """Return bytes with something flipped, cut out, doubled, put in or put in another place."""
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 5])):
        start = chance.randrange(len(changed) + 1)
        end = min(len(changed), start + chance.choice([1, 2, 10, 100, 1000]))
        kind = chance.randrange(6)
        if kind == 0 and start < len(changed):
            changed[start] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del changed[start:end]
        elif kind == 2:
            changed[start:start] = changed[start:end]
        elif kind == 3:
            changed[start:start] = chance.randbytes(end - start)
        elif kind == 4:
            del changed[start:]
        else:
            changed[start:end] = bytes(end - start)
    return bytes(changed)


def broken_yaml(text: str, chance: random.Random) -> bytes:
    """Return a YAML file with some values replaced, some lines moved, or its bytes broken."""
    kind = chance.randrange(10)
    if kind == 0:
        return chance.choice(WHOLE).encode("utf-8", "surrogatepass")
    if kind <= 2:
        return broken_bytes(text.encode(), chance)
    lines = text.splitlines()
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        place = chance.randrange(len(lines))
        key, colon, _ = lines[place].partition(":")
        value = chance.choice(YAML)
        if kind == 3:
            lines.insert(place, chance.choice(lines))
        elif kind == 4:
            del lines[place]
        elif kind == 5:
            lines[place] = f"{value}: {chance.choice(YAML)}"
        elif colon:
            lines[place] = f"{key}: {value}"
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def broken_json(value: Any, chance: random.Random) -> str:
    """Return a JSON value as text, with a leaf or a block of it replaced, taken out or added."""
    if chance.random() < 0.08:
        return chance.choice(["[" * 100_000, '{"a":' * 100_000, "", "{", "NaN", "1" * 5000, "\0"])
    value = json.loads(json.dumps(value))
    places = list(containers(value))
    for _ in range(chance.choice([1, 1, 2, 3])):
        block = chance.choice(places) if places else value
        new = chance.choice(JSON)
        keys: list[Any] = list(block) if isinstance(block, dict) else list(range(len(block)))
        if not keys or chance.random() < 0.15:
            _add(block, new, chance)
        elif chance.random() < 0.2:
            key = chance.choice(keys)
            if isinstance(block, dict) or key < len(block):
                del block[key]
        else:
            key = chance.choice(keys)
            if isinstance(block, dict) or key < len(block):
                block[key] = new
    return json.dumps(value)


def _add(block: Any, new: Any, chance: random.Random) -> None:
    if isinstance(block, dict):
        block[chance.choice(["auto_map", "base", "minnow_adapters", "x", ""])] = new
    else:
        block.append(new)


def containers(value: Any) -> Iterator[Any]:
    """Yield every list and mapping within a JSON value, itself included."""
    if isinstance(value, (dict, list)):
        yield value
        for part in list(value.values()) if isinstance(value, dict) else value:
            yield from containers(part)


def broken_rows(rows: list[list[str]], chance: random.Random) -> list[list[str]]:
    """Return a table with fields replaced, joined to nasty ones, missing or one too many."""
    rows = [list(row) for row in rows]
    for _ in range(chance.choice([1, 2, 5])):
        row = chance.choice(rows)
        place = chance.randrange(len(row)) if row else 0
        changes: list[Callable[[], Any]] = [
            lambda row=row, place=place: row.__setitem__(place, chance.choice(FIELDS)),
            lambda row=row, place=place: row.__setitem__(place, row[place] + chance.choice(FIELDS)),
            lambda row=row: row.append(chance.choice(FIELDS)),
            lambda row=row: row.pop(),
            lambda row=row: rows.insert(chance.randrange(len(rows)), list(row)),
        ]
        if row:
            chance.choice(changes)()
    return rows
