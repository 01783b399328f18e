"""Files that are not what their names say: read where that is safe, and otherwise one line that
names the likely cause.
"""

import bz2
import gzip
import io
import lzma
import os
import random
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from minnow.data import contents
from minnow.data.columns import Columns, Texts
from minnow.data.files import read_file
from minnow.errors import MinnowError

COLUMNS = Columns("url", "label", 1)
TABLE = pl.DataFrame({"url": ["a.example/x", "b.example/x"], "label": ["1", "0"]})
CSV = b"url,label\na.example/x,1\nb.example/x,0\n"
JSONL = b'{"url": "a.example/x", "label": 1}\n{"url": "b.example/x", "label": 0}\n'
ARRAY = b"[" + JSONL.strip().replace(b"\n", b",") + b"]"


def gzipped(content: bytes) -> bytes:
    """Pack without the time, which stands in the names of tests."""
    return gzip.compress(content, mtime=0)


def written(write: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    getattr(TABLE, write)(buffer, **options)
    return buffer.getvalue()


def zipped(**members: bytes) -> bytes:
    """Return a zip of files, whose names have `__` for a dot."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return buffer.getvalue()


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def reading(tmp_path: Path, name: str, raw: bytes) -> pl.DataFrame:
    (tmp_path / name).write_bytes(raw)
    return read_file(tmp_path / name, COLUMNS, tmp_path)


# What is read


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        *(("a.csv", pack(CSV)) for pack in (gzipped, bz2.compress, lzma.compress, zstd)),
        ("a.csv", gzipped(gzipped(CSV))),
        ("a.csv.gz", CSV),
        ("a.csv.zst", zstd(CSV)),
        ("a.csv", zipped(x__csv=CSV)),
        ("a.zip", zipped(x__jsonl=JSONL, __MACOSX=b"x")),
        ("a.zip", zipped(**{"./x__csv": CSV, "y/__DS_Store": b"x", "__MACOSX/x__csv": b"x"})),
        ("a.csv", written("write_parquet")),
        ("a.jsonl.gz", gzipped(written("write_parquet"))),
        ("a.csv", written("write_ipc")),
        ("a.arrow", written("write_ipc_stream")),
        ("a.parquet", CSV),
        ("a.tsv", CSV),
        ("a.jsonl", CSV),
        ("a.csv", JSONL),
        ("a.jsonl", ARRAY),
        ("a.json", JSONL.replace(b", ", b",\n\t")),
        ("a.jsonl", JSONL.replace(b"\n", b"\r")),
        *(("a.csv", CSV.replace(b",", mark)) for mark in (b";", b"\t", b"|")),
        ("a.csv", b"sep=;\r\n" + CSV.replace(b",", b";")),
        ("a.csv", b'"sep=^"\n' + CSV.replace(b",", b"^")),
        ("a.csv", b"# a dump, with a comma\n#\n\n// more\n" + CSV),
        ("a.csv", b"# a dump\n# url,label\n" + CSV.removeprefix(b"url,label\n")),
        ("a.csv", b"\xef\xbb\xbf" + CSV),
        ("a.csv", CSV.replace(b"\n", b"\r")),
        ("a.csv", b" url ,label\na.example/x,1\nb.example/x,0"),
        ("a.csv", b"x,url,label,x\n1,a.example/x,1,\n,b.example/x,0,2\n"),
        ("a.csv", b'url,note,label\na.example/x,"two\nlines, or\nthree",1\nb.example/x,,0\n'),
        *(
            ("a.csv", CSV.decode().encode(encoding))
            for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig")
        ),
    ],
)
def test_what_a_file_holds_counts_and_not_its_name(tmp_path: Path, name: str, raw: bytes) -> None:
    table = reading(tmp_path, name, raw)
    assert table.select(pl.all().cast(pl.String)).equals(TABLE)


def test_what_json_lacks_is_missing_and_numbers_stay_as_they_are(tmp_path: Path) -> None:
    lines = [
        '{"url": 1.50, "label": NaN}',
        '{"url": "\\ud800x", "label": -Infinity}',
        '{"label": true}',
        '{"url": "\\ud83d\\ude00", "label": ' + "9" * 5000 + "}",
    ]
    table = reading(tmp_path, "a.jsonl", "\n".join(lines).encode())
    assert table["url"].to_list() == ["1.50", "\ufffdx", None, "\U0001f600"]
    assert table["label"].to_list() == [None, None, "true", "9" * 5000]


def test_bytes_that_are_no_utf8_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reading(tmp_path, "a.csv", CSV.replace(b"a.example/x", b"a.example/\xe9"))
    assert "a.csv is not all UTF-8: 1 characters" in capsys.readouterr().err


# What is refused


@pytest.mark.parametrize(
    ("name", "raw", "words"),
    [
        ("a.csv", b"a.example/x,1\nb.example/x,0\n", "looks like a row: put a line of names first"),
        ("a.csv", b"Export of May\n" + CSV, "a line further down has these names"),
        ("a.csv", b"Url,Label\na,1\n", "did you mean 'Url'?"),
        ("a.csv", b"url,label,url\na,1,2\n", "two columns 'url'"),
        ("a.csv", b"a" * 200_000, "its first line is longer than 65536 bytes"),
        ("a.csv", b'"url,\nlabel', "has no column 'url'"),
        (
            "a.csv",
            b"\n<!DOCTYPE html><html>",
            "is a web page or XML, not a table of the kinds that are read; down",
        ),
        ("a.jsonl", b"\xef\xbb\xbf<html>", "is a web page"),
        ("a.csv", b"%PDF-1.7", "is a PDF"),
        ("a.csv", zipped(xl__xml=b"x", **{"[Content_Types]__xml": b"x"}), "is a workbook"),
        ("a.csv", zipped(x__csv=CSV, y__csv=CSV), "zip of 2 files (x.csv, y.csv); unpack it"),
        ("a.csv", zipped(), "is an empty zip"),
        ("a.csv", b"\xd0\xcf\x11\xe0", "old Excel"),
        *(
            ("a.csv", page, "is a web page")
            for page in (b"<!-- saved -->\n<html>", b"<script>", b"\n<body>")
        ),
        ("a.csv", b"FEA1\0\0\0\0", "is a Feather file of version 1"),
        ("a.csv", b"ORC\n\x0b", "is an ORC file"),
        ("a.csv", b"Obj\x01\x04\x14avro.codec", "is an Avro file"),
        ("a.csv", b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        ("a.csv", b"\x93NUMPY\x01\0v\0", "is an array of NumPy"),
        ("a.csv", b"\x04\x22\x4d\x18" + CSV, "is packed by LZ4"),
        ("a.csv", b"\x1f\x9d\x90" + CSV, "is packed by compress (.Z)"),
        ("a.csv", lzma.compress(CSV, format=lzma.FORMAT_ALONE), "is packed by LZMA"),
        ("a.zip", zipped(__DS_Store=b"x"), "is a zip without a file; put the table into it"),
        ("a.csv", b"SQLite format 3\0", "an SQLite database"),
        ("a.csv", b"\x80\x04\x95", "a Python pickle"),
        ("a.csv", b"x" * 257 + b"ustar", "a tar archive"),
        ("a.csv", b"version https://git-lfs.github.com/spec/v1\n", "run `git lfs pull`"),
        ("a.csv", b"outs:\n- md5: 00\n", "a pointer of DVC"),
        ("a.csv", b"\0" * 5000, "holds binary data"),
        ("a.csv", gzipped(CSV)[:-9], "cannot be unpacked"),
        ("a.csv", lzma.compress(CSV)[:-9], "cannot be unpacked"),
        ("a.parquet", b"PAR1" + b"x" * 99, "cannot be read as parquet"),
        ("a.parquet", b"x,y\n1,2\n", "cannot be read as parquet"),
        ("a.jsonl", JSONL + b'{"url": \n', "line 4, character 1: Expecting value"),
        ("a.jsonl", JSONL + b"3\n", "record 3 is no object"),
        ("a.jsonl", ARRAY[:-1], "line 1, character"),
        ("a.jsonl", ARRAY + b"3", "something follows the array"),
        ("a.jsonl", b'{"url": "a", "x": ' + b"[" * 100_000, "line 1 is nested too deep"),
        ("a.jsonl", b'{"url": {"a": 1}, "label": 1}', "'url' holds an object"),
        ("a.jsonl", b'{"url": "a"}\n', "has no column 'label'; it has: url"),
        ("a.jsonl", JSONL + b'{"url": "a", "url": "b"}', "'url' stands twice in record 3"),
        ("a.csv", CSV + b"# the end\n", "row 3 is a comment"),
        ("a.csv", CSV + b"c,d,1\n", "row 3 has 3 columns and the names 2: 'c,d,1'"),
        ("a.csv", CSV + b"c" * 1_100_000 + b",1\n", "row 3 has 1100000 bytes in column 'url'"),
    ],
)
def test_what_cannot_be_read_gets_one_line_with_the_likely_cause(
    tmp_path: Path, name: str, raw: bytes, words: str
) -> None:
    with pytest.raises(MinnowError) as caught:
        reading(tmp_path, name, raw)
    message = str(caught.value)
    assert words in message, message
    assert message.startswith(name)
    assert "\n" not in message
    assert len(message) < 500


# Quotation marks that swallow rows


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (CSV + b'"http://evil.com/a,1\nf.com,1\n"http://g.com,0\n', ["row 3", "2 lines after it"]),
        (CSV + b'c.com,"1\nd.com,0\n"\n', ["row 3", "column 'label'"]),
        (CSV + b'"http://evil.com/a,1\nf.com,1\n', ["row 3", "never closed"]),
        (CSV + b'"http://evil.com/a,1\n' + b"f.com,1\n" * 20_000, ["row 3", "never closed"]),
        (b'url,note,label\na,"5 inch,1\nb,x,0\nc,"y,1\nd,z,0\n', ["row 1", "'note'"]),
    ],
)
def test_a_quotation_mark_that_swallows_rows_names_the_row(
    tmp_path: Path, raw: bytes, words: list[str]
) -> None:
    with pytest.raises(MinnowError) as caught:
        reading(tmp_path, "a.csv", raw)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


def test_line_breaks_around_a_text_swallow_nothing(tmp_path: Path) -> None:
    assert reading(tmp_path, "a.csv", CSV + b'"c.com\n",1\n').height == 3


# Bombs


@pytest.mark.parametrize("pack", [gzipped, bz2.compress, lzma.compress, zstd])
def test_what_grows_beyond_its_size_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(contents, "PLENTY", 1 << 20)
    with pytest.raises(MinnowError, match="unpacks to more than 1 MB"):
        reading(tmp_path, "a.csv", pack(b"url,label\n" + b"a,1\n" * 1_000_000))


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_columns_that_grow_beyond_memory_are_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(contents, "MOST_BYTES", 10 << 20)
    url = pa.DictionaryArray.from_arrays(pa.array([0] * 200, pa.int32()), pa.array(["a" * 10**5]))
    table = pa.table({"url": url.cast(pa.string()), "label": [1] * 200})
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        pq.write_table(table, path, compression="zstd")
    else:
        with pa.ipc.new_stream(
            path, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")
        ) as stream:
            stream.write_table(table)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(MinnowError, match=r"holds 2\d MB and at most 10 MB can be read"):
        read_file(path, COLUMNS, tmp_path)


def test_a_file_that_is_too_large_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("wb") as file:
        file.truncate(contents.MOST_BYTES + 1)  # no block of it is on the disk
    with pytest.raises(MinnowError, match="can be read here"):
        read_file(path, COLUMNS, tmp_path)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_not_opened(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "a.csv")
    with pytest.raises(MinnowError, match=r"a\.csv is a (named pipe|device), not a file"):
        read_file(tmp_path / "a.csv", COLUMNS, tmp_path)


# Fuzz

SEEDS = [
    ("a.csv", b"url,label,note\n" + b'a.example/x,1,"say ""hi"", all"\nb.example/x,0,\n' * 9),
    ("a.jsonl", JSONL * 9),
    ("a.csv", gzipped(CSV * 9)),
    ("a.parquet", written("write_parquet")),
]
TOKENS = [
    *(b'"', b"\n", b"\r", b",", b";", b"\t", b"#", b"\0", b"{", b"[", b"}", b"\\u", b"NaN"),
    *(b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"sep=;\n", b"9" * 400, b"[" * 3000, b"PAR1"),
]


def mutant(raw: bytes, chance: random.Random) -> bytes:
    """Return bytes with a few of them flipped, inserted, taken out, repeated or cut off."""
    changed = bytearray(raw)
    for _ in range(chance.choice([1, 1, 2, 4, 8])):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(5):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << chance.randrange(8)
            case 1:
                changed[at:at] = chance.choice(TOKENS)
            case 2:
                del changed[at : at + chance.randrange(1, 40)]
            case 3:
                changed[at:at] = changed[: chance.randrange(200)]
            case _ if chance.random() < 0.3:
                del changed[at:]
    return bytes(changed)


@pytest.mark.parametrize("wanted", [COLUMNS, Texts("url")])
def test_no_mutant_gets_more_than_one_line(tmp_path: Path, wanted: Columns | Texts) -> None:
    chance, start = random.Random(0), time.monotonic()
    refused: list[str] = []
    for _ in range(300):
        name, raw = chance.choice(SEEDS)
        (tmp_path / name).write_bytes(mutant(raw, chance) or b"x")
        try:
            read_file(tmp_path / name, wanted, tmp_path)
        except MinnowError as error:
            refused.append(str(error))
    assert [line for line in refused if "\n" in line or len(line) > 600] == []
    assert 30 < len(refused) < 300
    assert time.monotonic() - start < 60
