"""The command `minnow`: order, bad input, resuming at any point, processes, streams, memory."""

import csv
import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import minnow
from helpers.onnx import TEXTS, tiny_release
from helpers.paths import SRC
from minnow.errors import LONGEST as LONGEST_LINE
from minnow.errors import MinnowError
from minnow.serve import chunks, classify, formats, meter, reading, writing
from minnow.serve.cli import main

Call = Callable[..., tuple[int, bytes, str]]
URLS = [f"{text}?n={number}" for number in range(7) for text in TEXTS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_release(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def call(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Call:
    """Run a command with the release's folder: exit code, stdout, stderr."""

    def run(command: str, *arguments: object) -> tuple[int, bytes, str]:
        capfdbinary.readouterr()
        code = main([command, str(folder), *map(str, arguments)])
        found = capfdbinary.readouterr()
        return code, found.out, found.err.decode()

    return run


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of three records."""
    monkeypatch.setattr(chunks, "ROWS", 3)


def process(folder: Path, *arguments: object, **options: object) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "minnow.serve.cli", "classify", str(folder)]
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(SRC)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,  # type: ignore[call-overload]
    )


def expected(folder: Path, texts: list[str]) -> list[tuple[str, str]]:
    probabilities, labels = minnow.load(folder).predict(texts)
    return [(f"{p:.6f}", label) for p, label in zip(probabilities, labels, strict=True)]


# --- What it writes -------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
def test_lines_keep_their_order_and_get_an_answer(call: Call, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "urls.txt"
    file.write_text("\n".join(URLS))
    code, out, err = call("classify", file)
    assert (code, err) == (0, "")
    answers = expected(folder, URLS)
    assert out.decode().splitlines() == [
        f"{url}\t{p}\t{label}" for url, (p, label) in zip(URLS, answers, strict=True)
    ]
    file.with_suffix(".txt.gz").write_bytes(gzip.compress(file.read_bytes()))
    assert call("classify", file.with_suffix(".txt.gz")) == (0, out, "")
    assert call("classify", file, "--jobs", 2) == (0, out, "")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_gets_two_columns(call: Call, folder: Path, tmp_path: Path, delimiter: str) -> None:
    rows = [["id", "URL", "note"], *([str(n), url, 'a "b"\nc'] for n, url in enumerate(URLS))]
    shown = io.StringIO()
    csv.writer(shown, delimiter=delimiter).writerows(rows)
    file = tmp_path / "urls.csv"
    file.write_text("\ufeff" + shown.getvalue(), newline="")
    code, out, err = call("classify", file)
    assert (code, err) == (0, "")
    found = [*csv.reader(io.StringIO(out.decode(), newline=""), delimiter=delimiter)]
    answers = [("probability", "label"), *expected(folder, URLS)]
    assert found == [[*row, *answer] for row, answer in zip(rows, answers, strict=True)]


def test_json_lines_get_two_keys_and_are_else_as_they_were(
    call: Call, folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "urls.jsonl"
    objects = [{"text": url, "é": [1.50, {"a": None}]} for url in URLS]
    lines = [json.dumps(each, ensure_ascii=False) for each in objects]
    file.write_text("".join(f" {line} \r\n" for line in lines))
    code, out, err = call("classify", file)
    assert (code, err) == (0, "")
    for line, mine, (p, label) in zip(
        lines, out.decode().splitlines(), expected(folder, URLS), strict=True
    ):
        assert mine == f'{line[:-1]}, "probability": {p}, "label": "{label}"}}'


def test_parquet_gets_two_columns(call: Call, folder: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "urls.parquet", tmp_path / "out.parquet"
    texts = [*URLS, None, ""]
    pq.write_table(pa.table({"url": texts, "label": [1] * len(texts)}), file)
    code, _, err = call("classify", file, "--output", out)
    assert code == 0
    assert "2 without an answer: line 29: no text, line 30: no text" in err
    found = pq.read_table(out)
    assert found.column_names == ["url", "label", "minnow_probability", "minnow_label"]
    answers = [(float(p), label) for p, label in expected(folder, URLS)] + [(None, None)] * 2
    pairs = zip(*(found[name].to_pylist() for name in found.column_names[2:]), strict=True)
    assert [*pairs] == answers
    assert call("classify", file)[0] == 1  # to a terminal
    assert "is there already" in call("classify", file, "--output", out)[2]


def test_what_is_called_as_the_answers_stays_beside_them(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "urls.csv"
    file.write_text("url,label\na.b,1\n")
    assert call("classify", file)[1].startswith(b"url,label,minnow_probability,minnow_label\n")
    file = tmp_path / "urls.jsonl"
    file.write_text('{"url": "a.b", "label": 1}\n{"url": "a.b", "minnow_label": 1}\n')
    code, out, err = call("classify", file)
    assert code == 0
    assert [*json.loads(out.splitlines()[0])][2:] == ["minnow_probability", "minnow_label"]
    assert json.loads(out.splitlines()[1])["minnow_label"] is None
    assert "line 2: has a key minnow_probability or minnow_label already" in err


def test_a_threshold_is_a_probability(call: Call, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "urls.txt"
    file.write_text("\n".join(URLS))
    probabilities, _ = minnow.load(folder).predict(URLS)
    below, above = sorted({*probabilities})[9:11]
    middle = (below + above) / 2
    for threshold in (0, middle, 1):
        lines = call("classify", file, "--threshold", threshold)[1].decode().splitlines()
        wanted = ["phishing" if p > threshold else "safe" for p in probabilities]
        if threshold in (0, 1):
            wanted = ["safe" if threshold else "phishing"] * len(URLS)
        assert [line.split("\t")[2] for line in lines] == wanted


def test_a_column_is_chosen_by_name(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "urls.csv"
    file.write_text("where,what\na.b,c.d\n")
    code, out, err = call("classify", file)
    assert (code, out) == (1, b"")
    assert "no column that is sure to hold URLs, only 'where', 'what'; give --column NAME" in err
    assert "did you mean 'what'?" in call("classify", file, "--column", "whatt")[2]
    assert call("classify", file, "--column", "what")[0] == 0
    assert reading.chosen_column(["Link", "Url"], None) == "Url"
    assert reading.chosen_column(["only"], None) == "only"


# --- Bad input ------------------------------------------------------------------------------------


def test_lines_that_are_no_url_stay_in_their_places(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "urls.txt"
    long = b"x" * (reading.LONGEST + 2)
    file.write_bytes(b"\n".join([b"a.b", b"", b"  ", b"\xff.com", long, b"c.d", b"e\x00f.g"]))
    code, out, err = call("classify", file)
    lines = out.split(b"\n")[:-1]
    assert code == 0
    assert [bool(line.split(b"\t")[1]) for line in lines] == [True, *[False] * 4, True, True]
    assert lines[3] == b"\xff.com\t\t"
    assert lines[4] == b"\t\t"
    assert (
        "of 7 rows 4 without an answer: line 2: no text, line 3: no text, line 4: no UTF-8," in err
    )
    assert "line 5: longer than 1 MB" in err


def test_rows_that_are_no_url_stay_in_their_places(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "urls.csv"
    rows = [
        b"url,n",
        b"a.b,1",
        b"one",
        b"",
        b"a,b,c",
        b",2",
        b"\xff.com,3",
        b"c.d,\xff",
        b"y" * (reading.LONGEST + 5) + b",4",
        b'"' + b"z" * 600_000,
        b"z" * 600_000,
        b"e.f,5",
        b'g"h.i,6',
    ]
    file.write_bytes(b"\r\n".join(rows) + b"\r\n")
    code, out, err = call("classify", file)
    lines = out.split(b"\n")[1:-1]
    assert code == 0
    assert [bool(line.split(b",")[-1]) for line in lines] == [
        *(True, False, False, False, False, False, True, False, False, True, True)
    ]
    assert lines[6].startswith(b"c.d,\xff,")
    assert lines[5].startswith(b"\xff.com,3,,")
    assert "line 3: 1 fields, not 2, line 4: no text, line 5: 3 fields, not 2" in err
    assert "; and 2 more" in err
    assert len(err) <= LONGEST_LINE + 1


def test_objects_that_are_no_url_stay_in_their_places(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "urls.jsonl"
    lines = [
        *('{"url": "a.b"}', "", "[1]", '{"url": 3}', '{"n": 1}', '{"url": "a", "url": "b"}'),
        *("[" * 100_000, '{"url": "\\ud800.b"}', '{"url": "c.d"', "{}", '{"url": ""}'),
    ]
    file.write_bytes("\n".join(lines).encode() + b'\n{"url": "\xff"}\n{"url": "e.f"}')
    code, out, err = call("classify", file)
    assert code == 0
    found = [json.loads(line) for line in out.decode().splitlines()]
    answered = [place for place, each in enumerate(found) if each["label"]]
    assert (len(found), answered) == (13, [0, 7, 12])
    assert found[3] == {"url": 3, "probability": None, "label": None}
    assert "of 13 rows 10 without an answer: line 2: no text, line 3: no JSON object," in err


@pytest.mark.parametrize("kind", ["txt", "csv", "jsonl"])
@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"\x00" * 99, b'"', b"{}", b"a\rb\r"])
def test_any_bytes_are_read_or_refused_in_one_line(
    call: Call, tmp_path: Path, kind: str, content: bytes
) -> None:
    file = tmp_path / f"urls.{kind}"
    file.write_bytes(content)
    code, _, err = call("classify", file)
    assert code in (0, 1)
    assert len(err.splitlines()) == code or err.startswith("minnow: warning: ")
    assert err.isprintable() or err.strip().isprintable()


@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=200), kind=st.sampled_from(["txt", "csv", "jsonl"]))
def test_there_is_a_row_for_each_record(content: bytes, kind: str) -> None:
    """Lines of text and of JSON correspond one to one; rows of CSV read back as many as written."""
    start = {"txt": b"", "csv": b"url,n\n", "jsonl": b'{"url": "a.b"}\n'}[kind]
    found = formats.records(io.BytesIO(start + content), kind, None)
    rows = [*found.rows]
    written = found.start + b"".join(row.head + found.end("", "") for row in rows)
    if kind == "csv":
        text = written.decode("utf-8", "surrogateescape")
        assert len([*csv.reader(io.StringIO(text, newline=""))]) == len(rows) + 1
    else:
        whole = start + content
        assert len(rows) == whole.count(b"\n") + (not whole.endswith(b"\n") and whole != b"")
        assert written.count(b"\n") == len(rows)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["no.txt"], "no.txt cannot be read (No such file or directory)"),
        (["urls.xls"], "'urls.xls' does not say its format; add --format txt|csv|jsonl|parquet"),
        (["urls.txt", "--column", "url"], "lines of text have no columns"),
        (["urls.txt", "--output", "out.csv"], "the input is txt, and so is the output; name it"),
        (["urls.txt", "--output", "out.txt.gz"], "would be packed"),
        (["urls.txt", "--output", "urls.txt"], "urls.txt is the input"),
        (["no.txt", "--output", "urls.txt"], "no.txt cannot be read (No such file or directory)"),
        (["urls.txt", "--output", "x" * 300 + ".txt"], "cannot be used (File name too long)"),
        (["urls.txt", "--output", "no/where.txt"], "cannot be written (No such file"),
        (["urls.gz", "--format", "txt"], "the input breaks off after line 0"),
        (["urls.parquet"], "give --output FILE.parquet"),
        (["urls.parquet", "--output", "o.parquet"], "cannot be read, or o.parquet not written"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("urls.txt", "urls.gz", "urls.parquet"):
        Path(name).write_text("a.b\n")
    before = sorted(tmp_path.iterdir())
    code, out, err = call("classify", *arguments)
    assert (code, out) == (1, b"")
    assert told in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


SIGNS = [
    ("a.b\n".encode("utf-16"), "is UTF-16; `iconv -f UTF-16 -t UTF-8` makes"),
    (b"PAR1\x15\x04", "is Parquet; give --format parquet"),
    (b"PK\x03\x04\x14", "is a ZIP file or a workbook; unpack it"),
]


@pytest.mark.parametrize(("content", "told"), SIGNS)
def test_what_holds_no_lines_is_known_by_its_first_bytes(
    call: Call, tmp_path: Path, content: bytes, told: str
) -> None:
    file = tmp_path / "urls.txt"
    file.write_bytes(content)
    code, out, err = call("classify", file)
    assert (code, out) == (1, b"")
    assert told in err


def test_what_is_packed_is_known_by_its_first_bytes(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "urls.txt"
    file.write_bytes(b"a.b\nc.d\n")
    expected = call("classify", file)
    file.write_bytes(gzip.compress(file.read_bytes()))
    assert call("classify", file) == expected


def test_names_of_columns_may_have_several_lines(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "urls.csv"
    file.write_text('url,"no\nte"\na.b,1\n')
    code, out, err = call("classify", file)
    assert (code, err) == (0, "")
    rows = [*csv.reader(io.StringIO(out.decode(), newline=""))]
    assert rows[0] == ["url", "no\nte", "probability", "label"]
    assert [len(row) for row in rows] == [4, 4]
    assert rows[1][:2] == ["a.b", "1"]


@pytest.mark.parametrize("note", ["a\nb", "a\rb", "a\r\nb", "\n", 'a"b', "a,b", " a"])
def test_other_columns_read_back_as_they_were(call: Call, tmp_path: Path, note: str) -> None:
    file = tmp_path / "urls.csv"
    with file.open("w", newline="") as to:
        csv.writer(to).writerows([["url", "note"], ["a.b", note], ["c.d", "x"]])
    out = call("classify", file)[1].decode()
    assert [row[1] for row in csv.reader(io.StringIO(out, newline=""))] == ["note", note, "x"]


def test_a_url_of_several_lines_has_swallowed_rows(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "urls.csv"
    file.write_text('url,n\n"a.b,1\nc.d,2\ne.f",3\n"g.h\n",4\n')
    code, out, err = call("classify", file)
    assert code == 0
    assert "of 2 rows 1 without an answer: line 2: a line break inside the URL" in err
    assert out.count(b"safe") + out.count(b"phishing") == 1


def test_a_name_that_several_columns_have_is_said(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "urls.csv"
    file.write_text("url,url\na.b,c.d\n")
    assert "has 2 times the column 'url', only" in call("classify", file, "--column", "url")[2]


def test_parquet_that_is_no_utf8_stays_in_its_place(call: Call, tmp_path: Path) -> None:
    file, out = tmp_path / "urls.parquet", tmp_path / "out.parquet"
    offsets = pa.array([0, 3, 4], pa.int32()).buffers()[1]
    texts = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"a.b\xff")])
    pq.write_table(pa.table({"url": texts}), file)
    code, _, err = call("classify", file, "--output", out)
    assert code == 0
    assert "of 2 rows 1 without an answer: line 2" in err
    assert [bool(label) for label in pq.read_table(out)["label"].to_pylist()] == [True, False]


def shell(folder: Path, rest: str) -> "subprocess.CompletedProcess[bytes]":
    """Run `minnow classify FOLDER` with what a shell makes of the rest."""
    line = f"{sys.executable} -m minnow.serve.cli {rest}".replace("FOLDER", str(folder))
    env = {**os.environ, "PYTHONPATH": str(SRC)}
    return subprocess.run(["sh", "-c", line], env=env, capture_output=True, timeout=30)


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ("classify FOLDER {file} >/dev/full", "standard output cannot be used (No space left"),
        ("info FOLDER >/dev/full", "standard output cannot be used (No space left"),
        ("classify FOLDER {file} >&-", "standard output cannot be used (Bad file descriptor)"),
        ("classify FOLDER <&-", "the input breaks off after line 0: "),
        ("classify FOLDER {file} >>{file}", "standard output goes into {file}, the input"),
    ],
)
def test_a_stream_that_cannot_be_used_is_one_line(
    folder: Path, tmp_path: Path, rest: str, told: str
) -> None:
    file = tmp_path / "in.txt"
    file.write_text("a.b\n")
    done = shell(folder, rest.format(file=file))
    assert done.returncode == 1
    assert told.format(file=file) in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    assert file.read_text() == "a.b\n"


def test_without_standard_error_nothing_is_said_among_the_answers(
    folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "in.txt"
    file.write_text("a.b\n\n")
    done = shell(folder, f"classify FOLDER {file} 2>&-")
    assert done.returncode == 0
    assert [line.count(b"\t") for line in done.stdout.splitlines()] == [2, 2]


@pytest.mark.parametrize(
    "arguments",
    [
        *([], ["classify"], ["classfy", "x"], ["classify", "x", "--jobs", "0"]),
        *(["classify", "x", "--threshold", "1.5"], ["classify", "x", "--threshold", "nan"]),
        *(["classify", "x", "--format", "xls"], ["classify", "x", "--jobs", "x"]),
    ],
)
def test_what_was_typed_wrong_is_exit_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_a_folder_that_is_no_release_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("classify", "info", "verify"):
        assert main([command, str(tmp_path)]) == 1
        found = capsys.readouterr()
        assert re.fullmatch(r"minnow: .* is no release: .*\n", found.err)


def test_without_pyarrow_parquet_is_one_line(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    code, _, err = call("classify", tmp_path / "x.parquet", "--output", tmp_path / "y.parquet")
    assert (code, err) == (1, "minnow: Parquet needs pyarrow: `pip install pyarrow`\n")


# --- Taking up where an earlier call ended --------------------------------------------------------

SHORT = [f"{letter}.b" for letter in "pqrs"]
INPUTS = {
    "txt": "\n".join([*SHORT, "", *SHORT]),
    "csv": 'url,note\n"a.b","x\ny"\n\n' + "".join(f"{url},z\n" for url in SHORT),
    "jsonl": "".join(f'{{"url": "{url}"}}\n' for url in SHORT) + "no\n{}\n",
}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", INPUTS)
def test_resumed_at_every_byte_it_gives_the_same_bytes(
    call: Call, folder: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, output = tmp_path / f"in.{kind}", tmp_path / f"out.{kind}"
    file.write_text(INPUTS[kind])
    named: list[Path] = []
    link, model = os.link, minnow.load(folder)
    monkeypatch.setattr(classify, "load", lambda _: model)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # takes most of the time, and nobody dies here
    monkeypatch.setattr(os, "link", lambda file, to: (named.append(file), link(file, to))[1])
    code, _, told = call("classify", file, "--output", output)
    whole = output.read_bytes()
    assert code == 0
    assert whole == call("classify", file)[1]
    (partial,) = named
    asked = 0
    predict = classify.answered

    def counting(model: object, jobs: object) -> object:
        nonlocal asked
        for job, margins in predict(model, jobs):  # type: ignore[arg-type]
            asked += len(margins)
            yield job, margins

    monkeypatch.setattr(classify, "answered", counting)
    rows = []
    for cut in range(len(whole) + 1):
        output.unlink()
        partial.write_bytes(whole[:cut])
        asked = 0
        assert call("classify", file, "--output", output) == (0, b"", told), cut
        assert output.read_bytes() == whole, cut
        assert not partial.exists()
        rows.append(asked)
    assert rows == sorted(rows, reverse=True)
    assert (rows[0] > 0, rows[-1]) == (True, 0)


@pytest.mark.usefixtures("small")
def test_another_input_is_not_taken_up(call: Call, tmp_path: Path) -> None:
    file, output = tmp_path / "in.txt", tmp_path / "out.txt"
    file.write_text("\n".join(URLS))
    call("classify", file, "--output", output)
    whole = output.read_bytes()
    assert "is there already; remove it" in call("classify", file, "--output", output)[2]
    output.unlink()
    file.write_text("\n".join([URLS[0], "other.com", *URLS[2:]]))
    partial = partial_of(call, tmp_path, output)
    for content in (whole, whole[:200], whole + b"x", whole.replace(b"safe", b"SAFE", 1)):
        partial.write_bytes(content)
        code, _, err = call("classify", file, "--output", output)
        assert code == 1
        assert "holds what is not of this input, or was changed; remove it" in err
        assert partial.read_bytes() == content
        assert not output.exists()
    partial.write_bytes(whole + whole[:50])
    file.write_text("\n".join(URLS))
    assert "not of this input" in call("classify", file, "--output", output)[2]


def partial_of(call: Call, tmp_path: Path, output: Path) -> Path:
    """Return the name of what is not whole yet, from a call that is refused."""
    blocked = tmp_path / "blocked.txt"
    blocked.write_text("a.b")
    seen: list[Path] = []
    original = writing.partial_name

    def noting(path: Path, settings: object) -> Path:
        seen.append(original(path, settings))  # type: ignore[arg-type]
        return seen[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "partial_name", noting)
        assert call("classify", blocked, "--output", output)[0] == 0
    output.unlink()
    return seen[0]


def test_other_settings_have_a_file_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    names = {writing.partial_name(path, settings) for settings in (["a", "b"], ["ab"], ["a"])}
    assert len(names) == 3
    for name in names:
        assert name.parent == tmp_path
        assert re.fullmatch(r"out\.txt\.[0-9a-f]{12}\.partial", name.name)


def test_two_do_not_write_one_file(call: Call, tmp_path: Path) -> None:
    import fcntl

    file, output = tmp_path / "in.txt", tmp_path / "out.txt"
    file.write_text("a.b")
    partial = partial_of(call, tmp_path, output)
    with partial.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        code, _, err = call("classify", file, "--output", output)
    assert code == 1
    assert "is being written by another process" in err
    assert call("classify", file, "--output", output)[0] == 0


def test_what_came_to_the_name_in_the_meantime_stays(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, output = tmp_path / "in.txt", tmp_path / "out.txt"
    file.write_text("a.b")
    finish = writing.Resumable.finish
    monkeypatch.setattr(
        writing.Resumable, "finish", lambda self: (output.write_text("other"), finish(self))[1]
    )
    code, _, err = call("classify", file, "--output", output)
    assert (code, output.read_text()) == (1, "other")
    assert "is there already; remove it" in err


def test_what_another_finished_just_now_is_not_written_on(tmp_path: Path) -> None:
    partial = tmp_path / "out.txt.1.partial"
    with partial.open("w+b") as file:
        partial.rename(tmp_path / "out.txt")
        with pytest.raises(MinnowError, match="was finished by another process"):
            writing.hold(file, partial)
        partial.write_bytes(b"")
        with pytest.raises(MinnowError, match="was finished by another process"):
            writing.hold(file, partial)


def test_a_pipe_or_somebody_elses_file_is_not_taken_up(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, output = tmp_path / "in.txt", tmp_path / "out.txt"
    file.write_text("a.b")
    partial = partial_of(call, tmp_path, output)
    os.mkfifo(partial)
    assert "is no file of yours; remove it" in call("classify", file, "--output", output)[2]
    partial.unlink()
    partial.touch()
    monkeypatch.setattr(os, "geteuid", lambda: partial.stat().st_uid + 1)
    assert "is no file of yours; remove it" in call("classify", file, "--output", output)[2]


def test_killed_it_leaves_no_process_of_jobs(folder: Path) -> None:
    run = process(folder, "--jobs", 2)
    assert run.stdin is not None
    run.stdin.write(b"a.b\n" * 3 * chunks.ROWS)
    run.stdin.flush()
    begun = workers(run.pid)
    run.kill()
    run.wait(10)
    until = time.monotonic() + 20
    while any(map(alive, begun)) and time.monotonic() < until:
        time.sleep(0.02)
    assert len(begun) == 2
    assert not any(map(alive, begun))


def alive(process: int) -> bool:
    """Say whether a process runs; one that ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_killed_it_goes_on_to_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    file, output = tmp_path / "in.txt", tmp_path / "out.txt"
    file.write_text("\n".join(URLS * 800))
    assert process(folder, file, "--output", tmp_path / "whole.txt").wait(60) == 0
    run = process(folder, file, "--output", output)
    until = time.monotonic() + 30
    while time.monotonic() < until and not any(
        each.stat().st_size for each in tmp_path.glob("out.txt.*.partial")
    ):
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    run.wait(10)
    assert not output.exists()
    assert process(folder, file, "--output", output).wait(60) == 0
    assert output.read_bytes() == (tmp_path / "whole.txt").read_bytes()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in.txt", "out.txt", "whole.txt"]


# --- Streams, signals, memory ---------------------------------------------------------------------


def test_a_stream_is_answered_while_it_is_open(folder: Path) -> None:
    run = process(folder)
    assert run.stdin is not None
    assert run.stdout is not None
    for url in URLS[:3]:
        run.stdin.write(f"{url}\n".encode())
        run.stdin.flush()
        assert run.stdout.readline().startswith(url.encode() + b"\t")
    run.stdin.close()
    assert run.wait(20) == 0


def test_whoever_has_read_enough_ends_it_quietly(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "in.txt"
    file.write_text("\n".join(URLS * 2_000))
    run = process(folder, file)
    assert run.stdout is not None
    assert run.stderr is not None
    run.stdout.readline()
    run.stdout.close()
    assert run.wait(30) == 141
    assert run.stderr.read() == b""


def workers(of: int) -> list[int]:
    """Return the processes that a process of --jobs has begun, once there are two."""
    until = time.monotonic() + 30
    found: list[int] = []
    while len(found) < 2 and time.monotonic() < until:
        children = Path(f"/proc/{of}/task/{of}/children").read_text().split()
        named = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
        found = [child for child, name in named.items() if b"spawn_main" in name]
        time.sleep(0.01)
    return found


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_ends_it_quietly(folder: Path, jobs: int) -> None:
    run = process(folder, "--jobs", jobs, start_new_session=True)
    assert run.stdin is not None
    assert run.stdout is not None
    assert run.stderr is not None
    run.stdin.write(b"a.b\n" * (1 if jobs == 1 else 2 * chunks.ROWS))
    run.stdin.flush()
    if jobs == 1:
        run.stdout.readline()
    else:
        assert len(workers(run.pid)) == 2
        time.sleep(1)  # they are past their beginning, which Python's own signal handler guards
    os.killpg(run.pid, signal.SIGINT)
    assert run.wait(20) == 130
    assert run.stderr.read() == b""


def test_a_process_of_jobs_that_ends_is_one_line(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "in.txt"
    file.write_text("\n".join(URLS * 4_000))
    run = process(folder, file, "--jobs", 2)
    for worker in workers(run.pid):
        os.kill(worker, signal.SIGKILL)
    _, err = run.communicate(timeout=30)
    assert run.returncode == 1
    assert err.startswith(b"minnow: a process of --jobs ended early")
    assert err.count(b"\n") == 1


MEMORY = """
import resource, sys
sys.argv[1:] = ["classify", {folder!r}, {file!r}, "--output", {output!r}]
from minnow.serve.cli import main
assert main(sys.argv[1:]) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(folder: Path, tmp_path: Path, rows: int) -> int:
    """Return the most kilobytes that a run over so many lines takes."""
    file = tmp_path / f"{rows}.txt"
    with file.open("w") as to:
        to.writelines(f"{TEXTS[row % 4]}?n={row}\n" for row in range(rows))
    code = MEMORY.format(folder=str(folder), file=str(file), output=f"{file}.out.txt")
    run = [sys.executable, "-c", code]
    done = subprocess.run(
        run, env={**os.environ, "PYTHONPATH": str(SRC)}, capture_output=True, check=True
    )
    with (tmp_path / f"{rows}.txt.out.txt").open("rb") as answers:
        assert sum(1 for _ in answers) == rows
    return int(done.stdout)


def test_memory_does_not_grow_with_the_input(folder: Path, tmp_path: Path) -> None:
    few, many = peak(folder, tmp_path, 4_000), peak(folder, tmp_path, 60_000)
    print(f"peak: {few / 1e3:.0f} MB for 4,000 lines, {many / 1e3:.0f} MB for 60,000")
    assert many < few + 10_000


# --- Progress, info, verify -----------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_alone() -> None:
    silent, lively = io.StringIO(), Terminal()
    for to in (silent, lively):
        shown = meter.Meter(1_000, to)
        shown.add(100, read=100)
        shown.close()
    assert silent.getvalue() == ""
    assert lively.getvalue().startswith("\r\x1b[K100 rows, ")
    assert lively.getvalue().endswith("\r\x1b[K")
    assert (
        meter.Meter(1_000, rows=1_500).line(250, 3.0) == "1,500 rows, 500 a second, 25%, 9 s left"
    )
    assert meter.Meter(None, rows=10).line(0, 1.0) == "10 rows, 10 a second"
    assert [meter.duration(seconds) for seconds in (0.4, 59, 61, 3_599, 7_260)] == [
        *("0 s", "59 s", "1 min 1 s", "59 min 59 s", "2 h 1 min")
    ]


def test_what_an_earlier_call_did_is_no_speed() -> None:
    shown = meter.Meter(1_000)
    shown.add(600, read=600, computed=False)
    shown.add(100, read=700)
    assert shown.line(700, 2.0).startswith("700 rows, 50 a second, 70%, 6 s left")


def test_info_and_verify(call: Call, folder: Path, tmp_path: Path) -> None:
    code, out, _ = call("info")
    assert code == 0
    for said in ("safe, phishing", "0.5987", "32 tokens", "synthetic", "model.onnx", "in 3 files"):
        assert said in out.decode()
    code, out, _ = call("verify")
    assert (code, out.decode().partition(":")[2].strip()[:7]) == (0, "3 files")


def test_verify_names_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tiny_release(tmp_path / "release")
    (folder / "README.md").write_text("---\nlicense: mit\nbase_model: a\x1b[31m/b\n---\n")
    assert main(["info", str(folder)]) == 0
    found = capsys.readouterr().out
    assert re.search(r"license +mit\n", found)
    assert "\x1b" not in found
    assert main(["verify", str(folder)]) == 0
    model = folder / "model.onnx"
    model.write_bytes(model.read_bytes() + b"\0")
    capsys.readouterr()
    assert main(["verify", str(folder)]) == 1
    assert "model.onnx differs from its manifest: download" in capsys.readouterr().err
    (folder / "manifest.json").write_text("[")
    assert main(["info", str(folder)]) == 0
    assert "unknown: manifest.json is missing or broken" in capsys.readouterr().out
