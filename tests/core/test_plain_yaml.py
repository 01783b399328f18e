"""Hostile YAML: one line that says what is wrong, soon, and without eating memory."""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import parse_yaml

from helpers.errors import one_line
from helpers.paths import ROOT
from minnow.core import plain_yaml
from minnow.core.plain_yaml import MOST_BYTES, MOST_DIGITS, MOST_LETTERS, MOST_LEVELS, MOST_VALUES
from minnow.errors import LONGEST, MinnowError

LAUGHS = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
MERGES = "a0: &a0 {k0: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}], k{n}: 1}}\n" for n in range(1, 12)
)
HOSTILE = {
    "billion laughs": (LAUGHS, "more than 10,000 values"),
    "billion merged keys": (MERGES, "more than 10,000 values"),
    "list in itself": ("a: &a [*a]\n", "*a stands for nothing before it"),
    "alias of nothing": ("a: *b\n", "*b stands for nothing before it"),
    "deep list": ("a: " + "[" * 20_000, "nested more than 20 levels deep"),
    "deep mapping": ("{a: " * 1000, "nested more than 20 levels deep"),
    "deep blocks": ("\n".join(" " * n + "a:" for n in range(60)), "nested more than 20 levels"),
    "many values": ("a: [" + "1," * 20_000 + "]", "more than 10,000 values"),
    "no such day": ("a: 2024-02-30\n", "2024-02-30 reads as a date; write text in quotes"),
    "a time": ("a: 2024-02-28 25:61:00\n", None),
    "tag": ("a: !!int abc\n", "tags that begin with ! are not allowed"),
    "python tag": ("a: !!python/object/apply:os.system [ls]\n", "tags that begin with !"),
    "binary": ("a: !!binary abc\n", "tags that begin with !"),
    "set": ("a: !!set {b}\n", "tags that begin with !"),
    "digits": ("a: " + "9" * 5000, "a number of 5000 digits; at most 30"),
    "digits of a list": ("a: [" + "9" * 5000 + "]", "a number of 5000 digits"),
    "hexadecimal": ("a: 0x" + "f" * 900, "a number of 902 digits"),
    "version": ("%YAML 1.1\n---\na: 010\n", "read as YAML 1.2; take that line out"),
    "no digit": ("a: ._\n", None),
    "null byte": ("a: x\0y", "control characters"),
    "escaped null byte": ('a: "x\\0y"', "control characters"),
    "escape": ('a: "\\e[31m"', "control characters"),
    "half a pair": ('a: "\\ud800"', None),
    "long text": ("a: " + "x" * 5000, "a text of 5000 characters; at most 1000"),
    "long key": ("x" * 5000 + ": 1", None),
    "number as name": ("5: a\n", "a name is not text"),
    "null as name": ("~: a\n", "a name is not text"),
    "true as name": ("true: a\n", "a name is not text"),
    "list as name": ("[a]: 1\n", "a name is not text"),
    "mapping as name": ("{a: 1}: 1\n", "a name is not text"),
    "mapping of itself": ("? &a {b: *a}\n: 1\n", "stands for nothing before it"),
    "date as name": ("2024-01-01: 1\n", "a name is not text"),
    "two documents": ("a: 1\n---\nb: 2\n", None),
    "tabs": ("a:\n\tb: 1\n", None),
    "percent": ("%YAML 9.9\n---\na: 1\n", None),
    "unknown escape": ('a: "\\q"', None),
    "too large": ("a: 1\n" + "#" * MOST_BYTES, "more than 100,000 bytes"),
    "merge of text": ("a: {<<: text}\n", "<< is not allowed; write out the names"),
    "merge of a number": ("<<: {1: 2}\n", "line 1 is not valid YAML: << is not allowed"),
    "merge of two": ("a:\n  <<: {device: cpu, device: cuda}\n", "line 2 is not valid YAML: <<"),
    "merge of an alias": ("a: &a {b: 1}\nc: {<<: *a}\n", "<< is not allowed"),
    "merge as value": ("a: <<\n", None),
}
SPELLINGS = """
010 030000 00 0 -0 +0 +7 -7 09 -010 0_1 1_000 1__0 1_ _1 -_1 0o17 -0o17 0O17 0o_7 0o8 0b11 0b2
0b_1 0x1F 0X1F -0x1 0x_1 0x 1:30 1:30.5 1e5 1E5 1e-05 2e-5 1e+5 +1e5 -1e5 12e03 1.0e-5 1.0e5
1.e5 1. .5 +.5 -.5 .5e3 .5e-3 ._5 1._5 1_0.5 1_0e5 .1_0 01.5 01e5 00.0 0e0 1e 1e+ e5 1.0e1_0
1e400 .inf -.inf +.inf .Inf .iNF .nan .NaN +.nan . yes Yes NO on off y n true True TRUE tRUE
false FALSE ~ null Null NULL nULL 1.2.3 --1 2024-1-1 0123456e1
"""
READ = """
import resource, sys
from pathlib import Path
from minnow.core.plain_yaml import read_yaml
from minnow.errors import MinnowError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in sys.argv[1:]:
    try:
        read_yaml(Path(name))
    except MinnowError:
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def read(path: Path, text: str | bytes) -> object:
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    return plain_yaml.read_yaml(path)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_yaml_is_one_line(tmp_path: Path, name: str) -> None:
    text, said = HOSTILE[name]
    began = time.process_time()
    with pytest.raises(MinnowError) as caught:
        read(tmp_path / "params.yaml", text)
    assert time.process_time() - began < 1
    line = one_line(caught)
    assert len(line) <= LONGEST
    assert line.isprintable()
    assert said is None or said in line
    assert line.startswith("params.yaml")


def test_hostile_yaml_takes_little_memory(tmp_path: Path) -> None:
    files = []
    for number, (text, _) in enumerate(HOSTILE.values()):
        files.append(str(tmp_path / str(number)))
        Path(files[-1]).write_bytes(text.encode("utf-8", "surrogatepass"))
    done = subprocess.run(
        [sys.executable, "-c", READ, *files],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (10, 10)),
    )
    assert int(done.stdout) < 50_000, "kilobytes more than python itself"


def test_what_the_bounds_leave_is_read(tmp_path: Path) -> None:
    nested = "[" * (MOST_LEVELS - 1) + "]" * (MOST_LEVELS - 1)
    assert read(tmp_path / "p", f"a: {nested}")
    assert read(tmp_path / "p", "a: " + "9" * MOST_DIGITS) == {"a": int("9" * MOST_DIGITS)}
    assert read(tmp_path / "p", "a: " + "x" * MOST_LETTERS) == {"a": "x" * MOST_LETTERS}
    many = read(tmp_path / "p", "a: [" + "1," * (MOST_VALUES - 3) + "]")
    assert many == {"a": [1] * (MOST_VALUES - 3)}
    assert read(tmp_path / "p", "a: &a {x: [1, ü]}\nb: *a\n'5': '2024-02-30'\n") == {
        "a": {"x": [1, "ü"]},
        "b": {"x": [1, "ü"]},
        "5": "2024-02-30",
    }


@pytest.mark.parametrize("spelling", SPELLINGS.split())
def test_a_value_is_what_dvc_reads(tmp_path: Path, spelling: str) -> None:
    """DVC's lock and its runs' tables would otherwise tell of other values than the stages used."""
    text = f"a: {spelling}\nb: [{spelling}]\n{spelling}x: 1\n"
    assert repr(read(tmp_path / "p", text)) == repr(dict(parse_yaml(text, "p")))


def test_numbers_are_read_as_yaml_1_2(tmp_path: Path) -> None:
    text = "a: [010, 0o10, 0x1F, -0b11, 1_000, 1e-05, 2E5, .5, 1:30, yes, off, 0O7, True]\n"
    assert read(tmp_path / "p", text) == {
        "a": [10, 8, 31, -3, 1000, 1e-5, 2e5, 0.5, "1:30", "yes", "off", "0O7", True]
    }


@pytest.mark.parametrize("value", ["1", "1.5", "1e-05", "yes", "010", "1:30", "0o7", "true", "~"])
def test_text_that_dvc_writes_is_text(tmp_path: Path, value: str) -> None:
    """As DVC writes down what `-S` sets: with quotes only where YAML 1.2 needs them."""
    (tmp_path / "p").write_text("a: 0\nb: 0\n")
    apply_overrides(tmp_path / "p", [f'a="{value}"', "b=2e-5"])
    assert plain_yaml.read_yaml(tmp_path / "p") == {"a": value, "b": 2e-5}


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """Text that looks like a number, or is one to YAML 1.1 or 1.2 alone, stays text."""
    document = {"a": SPELLINGS.split(), "b": [1e-5, 2e20, 30_000, True, None, "ü", "", "<<"]}
    document |= {"1e5": [], "yes": [], "~": []}
    text = plain_yaml.as_yaml(document)
    assert read(tmp_path / "p", text) == document
    assert parse_yaml(text, "p") == document


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    for name, said in (
        ("pipe", "is no regular file"),
        ("zero", "is no regular file"),
        ("loop", "cannot be read"),
        ("folder", "cannot be read: Is a directory"),
    ):
        with pytest.raises(MinnowError, match=said) as caught:
            plain_yaml.read_yaml(tmp_path / name)
        one_line(caught)
    (tmp_path / "real").write_text("a: 1")
    (tmp_path / "link").symlink_to("real")
    assert plain_yaml.read_yaml(tmp_path / "link") == {"a": 1}
