"""A .txt is lines of URLs, and what is a table in truth is read as one or refused."""

import io
import zipfile
from pathlib import Path

import pytest

from minnow.data.columns import Texts
from minnow.data.files import read_file
from minnow.errors import MinnowError

TWO = ["a.com/x", "b.com/y,z"]
ROWS = b'url,label\na.com/x,1\n"b.com/y,z",0\n'


def texts(tmp_path: Path, raw: bytes, name: str = "a.txt") -> list[str]:
    (tmp_path / name).write_bytes(raw)
    return read_file(tmp_path / name, Texts("url"), tmp_path)["url"].to_list()


def zipped(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "raw",
    [
        b"a.com/x\nb.com/y,z\n",
        b"# URLhaus\n#\n\n # more\na.com/x\nb.com/y,z\n",
        b"url\na.com/x\nb.com/y,z\n",
        ROWS,
        b"# a dump\n" + ROWS,
        b'"first.seen"\turl\n1\ta.com/x\n2\tb.com/y,z\n',
        b'{"url": "a.com/x"}\n{"url": "b.com/y,z"}\n',
        b'[{"url": "a.com/x"}, {"url": "b.com/y,z"}]',
        zipped("x.csv", ROWS),
        zipped("x.txt", b"a.com/x\nb.com/y,z\n"),
    ],
)
def test_a_txt_is_read_by_what_it_holds(tmp_path: Path, raw: bytes) -> None:
    assert texts(tmp_path, raw) == TWO


def test_what_urls_begin_with_is_no_json_and_no_comment(tmp_path: Path) -> None:
    raw = b"[::1]/a\na.com/#b\n#c\n"
    assert texts(tmp_path, raw) == ["[::1]/a", "a.com/#b", "#c"]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'["a.com","b.com"]', "is JSON or markup, not lines of URLs; put one URL a line"),
        (b"\n<body><p>hello</p></body>", "; "),
        (b"<p>Log in", "is JSON or markup"),
        (b"address,label\na.com,1\n", "has no column 'url'; it has: address, label"),
        (b"# only\n# comments\n", "holds no rows"),
        (b"url\n", "holds no rows"),
    ],
)
def test_what_holds_no_lines_of_urls_is_refused(tmp_path: Path, raw: bytes, words: str) -> None:
    with pytest.raises(MinnowError) as caught:
        texts(tmp_path, raw)
    assert words in str(caught.value)
