"""A quotation mark that swallows rows is told; a text of several lines is read."""

import csv
import random
import time
from pathlib import Path

import polars as pl
import pytest

from minnow.data.columns import Columns, Texts
from minnow.data.files import read_file
from minnow.errors import MinnowError

COLUMNS = Columns("url", "label", 1)
HEADS = [
    ["url", "note", "label"],
    ["note", "url", "label"],
    ["url", "label", "note"],
    ["label", "url", "note"],
    ["note", "url", "x", "label"],
]
STRAY = ['"hi', 'hi"', '5" tv', '"5 inch', '"hi" there']
FINE = ["x", "a;b", '"ok"', '"one, two"', '"say ""hi"""', '"two\nlines"', '"one, of\ntwo, three"']


def reading(tmp_path: Path, raw: bytes, wanted: Columns | Texts = COLUMNS) -> pl.DataFrame:
    (tmp_path / "a.csv").write_bytes(raw)
    return read_file(tmp_path / "a.csv", wanted, tmp_path)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        # b.com is gone, and its label would be a.com's.
        (b'url,note,label\na.com,"hi,0\nb.com,"ok",1\nc.com,x,1\n', "row 1 has a line break"),
        (b'url,note,label\nz.com,,1\na.com,"5 inch,1\nb.com,6 inch",0\n', "row 2 has a line"),
        (b'url,note,label\ra.com,"5 inch,1\rb.com,6 inch",0\r', "row 1 has a line break"),
        (b'title,url,label\n"Hello,a.com,1\n"World,b.com,0\nz,c.com,1\n', "row 1 has a line"),
        (b'url,label,note\na.com,0,"hi\nb.com,1,"ok"\n', "row 1 has a line break"),
        # What is around a text may be a row too.
        (b'url,label\na.com,1\n"\nd.com,1\n",0\n', "row 2 has a line break"),
        # Two values of several lines, and the swallowed row ends in the second.
        (b'a,b,url,label,c\n"x\n",y,a.com,1,"p\nq,r,b.com,1,s"\n', "'c', and has swallowed 1"),
    ],
)
def test_a_row_that_ends_in_the_middle_of_a_line_is_not_lost(
    tmp_path: Path, raw: bytes, words: str
) -> None:
    with pytest.raises(MinnowError) as caught:
        reading(tmp_path, raw)
    assert words in str(caught.value)
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize(
    "raw",
    [
        b'url,note,label\na.com,"two\nlines",1\nb.com,"one, 2\nthree, 4",0\n',
        b'note,url,label\n"two\nlines",a.com,1\n"so, and\nso",b.com,0\n',
        b'url,label,note\na.com,1,"two\nlines"\nb.com,0,"\nthe, last, one\n"\n',
        b'x,url,label,y\n"two\nlines",a.com,1,"two\nlines"\n,b.com,0,\n',
        b'url,x,label,x\na.com,"1\n2",1,"3\n4"\nb.com,,0,\n',
    ],
)
def test_a_text_of_several_lines_is_read(tmp_path: Path, raw: bytes) -> None:
    assert reading(tmp_path, raw).rows() == [("a.com", "1"), ("b.com", "0")]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (b'b.com,"hi" there,0', '"hi" there,0'),
        (b'"b.com,"a, b",0', '"b.com,"a, b",0'),
    ],
)
def test_a_field_that_goes_on_after_its_end_is_told(tmp_path: Path, row: bytes, told: str) -> None:
    raw = b'url,note,label\n\na.com,"x ""y"", z" ,1\n' + row + b"\nc.com,,1\n"
    with pytest.raises(MinnowError) as caught:
        reading(tmp_path, raw)
    assert str(caught.value) == (
        f"a.csv: row 2 goes on after the quotation mark that closes a field: '{told}'; remove the"
        " marks around it, or write two for each inside"
    )


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "arrow"])
def test_rows_that_another_file_has_swallowed_are_told(tmp_path: Path, kind: str) -> None:
    write = {"jsonl": "write_ndjson", "parquet": "write_parquet", "arrow": "write_ipc"}[kind]
    urls = ["b.com", "\nc.com\n", "http://evil.com/a,1\nf.com,1\ng.com"]
    path = tmp_path / f"a.{kind}"
    getattr(pl.DataFrame({"url": urls[:2], "label": [1, 0]}), write)(path)
    assert read_file(path, COLUMNS, tmp_path).height == 2
    getattr(pl.DataFrame({"url": urls, "label": [1, 0, 1]}), write)(path)
    with pytest.raises(MinnowError) as caught:
        read_file(path, COLUMNS, tmp_path)
    assert str(caught.value) == (
        f"a.{kind}: row 3 has a line break in its column 'url': 'http://evil.com/a,1 f.com,1 g.com'"
        "; make each of its lines a row, or remove the row"
    )


@pytest.mark.parametrize(
    ("raw", "swallows"),
    [
        (b'url,note,x\na.com,"5 inch,1\nb.com,6 inch",0\n', True),
        (b'url,note\na.com,"5 inch\nb.com,6 inch"\n', True),
        (b'url,note,x\na.com,"one, two\nthree",1\n', False),
        (b'url,note\na.com,"two\nlines"\n', False),
    ],
)
def test_without_labels_all_lines_must_be_rows(
    tmp_path: Path, raw: bytes, *, swallows: bool
) -> None:
    if swallows:
        with pytest.raises(MinnowError, match="row 1 has a line break"):
            reading(tmp_path, raw, Texts("url"))
    else:
        assert reading(tmp_path, raw, Texts("url")).rows() == [("a.com",)]


def test_no_stray_quotation_mark_loses_a_row(tmp_path: Path) -> None:
    chance, kept, refused = random.Random(3), 0, 0
    for _ in range(1500):
        head, notes = chance.choice(HEADS), chance.choice([FINE, [*FINE, *STRAY], STRAY])
        wanted = [(f"s{number}.com", str(number % 2)) for number in range(chance.randrange(2, 7))]
        raw = written(head, wanted, notes, chance)
        try:
            got = reading(tmp_path, raw.encode()).rows()
        except MinnowError:
            refused += 1
            # Of texts that Python reads as they were meant, none is refused.
            assert notes is not FINE, raw
            continue
        kept += 1
        assert got == wanted, raw
        with_python = list(csv.DictReader(raw.splitlines(keepends=True), strict=True))
        assert [(row["url"], row["label"]) for row in with_python] == wanted
    assert kept > 500
    assert refused > 300


def written(
    head: list[str], rows: list[tuple[str, str]], notes: list[str], chance: random.Random
) -> str:
    lines = [",".join(head)]
    for url, label in rows:
        row = {"url": url, "label": label, "note": chance.choice(notes), "x": "x"}
        lines.append(",".join(row[column] for column in head))
    return "\n".join(lines) + "\n"


def test_a_hundred_thousand_texts_of_several_lines_take_a_second(tmp_path: Path) -> None:
    rows = (b'h%d.com,"one, two\nthree",%d\n' % (number, number % 2) for number in range(100_000))
    (tmp_path / "a.csv").write_bytes(b"url,note,label\n" + b"".join(rows))
    start = time.process_time()
    assert read_file(tmp_path / "a.csv", COLUMNS, tmp_path).height == 100_000
    # It took a minute and more when labels were looked up anew for each row.
    assert time.process_time() - start < 5
