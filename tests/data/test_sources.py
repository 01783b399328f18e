"""Reading rows: labels, each format, each bad input, the Hub's loader."""

import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from helpers.data import FILE, HUB, PUBLISHED, filler, many, outcome, project, run, source
from helpers.errors import one_line
from helpers.paths import SRC
from minnow.data import columns, files, sources
from minnow.errors import MinnowError
from minnow.layout import SPLITS, Layout
from minnow.stages import prepare

COMMIT = "0123456789abcdef0123456789abcdef01234567"


# Labels


@pytest.mark.parametrize(
    ("labels", "positive", "negative", "expected"),
    [
        (["1", "0.0", "1.0", None], 1, None, [1, 0, 1, None]),
        (["True", "false", " TRUE ", ""], True, None, [1, 0, 1, None]),
        (["bad", "good", "Bad", "good"], "bad", "good", [1, 0, 1, 0]),
    ],
)
def test_labels_compare_by_their_text(
    labels: list[Any], positive: Any, negative: Any, expected: list[Any]
) -> None:
    table = pl.DataFrame({"label": labels})
    wanted = columns.Columns("text", "label", positive, negative)
    assert sources._labelled([table], wanted)[0]["label"].to_list() == expected


# Files


@pytest.mark.parametrize(
    "name", ["urls.csv", "urls.csv.gz", "urls.tsv", "urls.jsonl", "urls.jsonl.gz", "urls.parquet"]
)
def test_every_format_gives_the_same_splits(tmp_path: Path, name: str) -> None:
    table = many()
    path = Layout(project(tmp_path, FILE | {"path": f"data/raw/file/{name}"})).raw("file") / name
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    writers: dict[str, Any] = {
        ".csv": table.write_csv,
        ".tsv": lambda file: table.write_csv(file, separator="\t"),
        ".jsonl": table.write_ndjson,
        ".parquet": table.write_parquet,
    }
    writers[plain.suffix](plain)
    if plain != path:
        path.write_bytes(gzip.compress(plain.read_bytes()))
    splits, report = outcome(tmp_path)
    expected = run(
        source(*((url, label, None) for url, label in table.rows())), validation=0.25, test=0.25
    )
    assert all(splits[split].equals(expected.splits[split]) for split in SPLITS)
    assert report["kept"] == expected.report.kept


def test_a_dirty_csv_is_read_as_it_stands(tmp_path: Path) -> None:
    raw = (
        '\ufeffurl,label\n"""www.a.com/x",1\nb.com"x,0\n"c.com,d",1\n'.encode() + b"e.com/\xe9,0\n"
    )
    path = tmp_path / "urls.csv"
    path.write_bytes(raw)
    table = files.read_file(path, columns.Columns("url", "label", 1), tmp_path)
    assert table["url"].to_list() == ['"www.a.com/x', 'b.com"x', "c.com,d", "e.com/\ufffd"]
    path.write_bytes(raw.decode("utf-8", "replace").encode("utf-16"))
    assert files.read_file(path, columns.Columns("url", "label", 1), tmp_path).height == 4


def test_split_column_and_test_file_of_the_file_preset(tmp_path: Path) -> None:
    block = FILE | {"split_column": "part", "test_path": "data/raw/file/test.csv"}
    raw = Layout(project(tmp_path, block)).raw("file")
    rows = pl.DataFrame(PUBLISHED, schema=["url", "label", "part"], orient="row")
    rows.write_csv(raw / "urls.csv")
    rows.filter(part="validation").with_columns(part=pl.lit("junk")).write_csv(raw / "test.csv")
    rows.filter(part="train").with_columns(
        pl.col("url") + "/v", pl.lit("valid").alias("part")
    ).vstack(rows).write_csv(raw / "urls.csv")
    splits, report = outcome(tmp_path)
    assert {name: table.height for name, table in splits.items()} == {
        "train": 2,
        "validation": 2,
        "test": 2,
    }
    assert report["dropped"]["in_test_file"] == report["dropped"]["replaced_by_test_file"] == 2


# Bad input: one line that says what is wrong and how to mend it

GOOD = "url,label\n" + "".join(f"{n}.com,{n % 2}\n" for n in range(40))


@pytest.mark.parametrize(
    ("change", "content", "words"),
    [
        ({}, None, ["is missing", "did you mean 'urls2.csv'", "dvc add"]),
        ({}, b"", ["is empty"]),
        ({}, b"url,label\n", ["no rows"]),
        ({}, b"url,label\na,1,2\n", ["row 1 has 3 columns and the names 2: 'a,1,2'"]),
        ({}, b"urls,label\na,1\n", ["no column 'url'", "did you mean 'urls'"]),
        ({}, b"url,label\na,1\nb,1\n", ["one class only"]),
        ({}, b"url,label\na,\nb,\n", ["'1' does not occur", "no label at all"]),
        ({}, b"url,label\na,1\nb,0\nc,2\n", ["'2' (1 rows)", "set negative_label"]),
        (
            {"negative_label": "0"},
            b"url,label\na,1\nb,0\nc,2\n",
            ["'2' (1 rows)", "remove the rows"],
        ),
        ({"negative_label": 1}, b"url,label\na,1\nb,0\n", ["both '1'"]),
        (
            {"positive_label": "phish"},
            b"url,label\na,phishing\nb,safe\n",
            ["did you mean 'phishing'"],
        ),
        ({}, b"url,label\na,1\na/,0\nb,1\n", ["one class only", "2 both_labels"]),
        ({}, b"url,label\na.com,1\nb.com,0\n", ["too few rows", "2 rows in all"]),
        (
            {"split_column": "s"},
            b"url,label,s\na,1,train\nb,0,hold\n",
            ["'hold'", "allowed: train"],
        ),
        (
            {"split_column": "s"},
            b"url,label,s\na,1,train\nb,0,\n",
            ["1 rows have a blank split", "drop the rows"],
        ),
        ({"path": "data/raw/file/urls.csv.gz"}, b"\x1f\x8bjunk", ["cannot be unpacked", "anew"]),
        ({"path": "data/raw/file/urls.jsonl"}, b'{"url": \n', ["cannot be read as jsonl"]),
        (
            {"path": "data/raw/file/urls.jsonl"},
            b'{"url": ["a"], "label": 1}\n',
            ["column 'url' holds a list in record 1"],
        ),
        ({"path": "data/raw/file/urls.parquet"}, b"junk", ["cannot be read as parquet"]),
        ({"path": "data/raw/file/urls.xlsx"}, b"junk", ["no known kind", ".parquet"]),
        ({"path": "elsewhere/urls.csv"}, GOOD.encode(), ["must lie in data/raw/file/"]),
        ({"path": "data/raw/file/../urls.csv"}, GOOD.encode(), ["leads out", "no .."]),
        ({"path": "data/raw/file"}, None, ["is a folder, not a file"]),
        ({"path": None}, None, ["source file needs path"]),
        ({"rows": 5}, None, ["no use for rows", "rows: null"]),
        ({"validation": 0.5, "test": 0.5}, None, ["leave nothing to train on"]),
        ({"validation": 1.5}, None, ["validation is 1.5", "less than 1"]),
        ({"split": "domains"}, None, ["did you mean 'domain'"]),
        ({"source": "hubb"}, None, ["did you mean 'hub'"]),
    ],
)
def test_bad_input_gets_one_line(
    tmp_path: Path, change: dict[str, Any], content: bytes | None, words: list[str]
) -> None:
    block = FILE | change
    raw = Layout(project(tmp_path, block)).raw("file")
    (raw / "urls2.csv").write_text(GOOD)
    if content is not None:
        path = tmp_path / str(block["path"])
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    with pytest.raises(MinnowError) as caught:
        prepare.main(tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert [word for word in words if word not in message] == [], message
    assert not Layout(tmp_path).prepared.exists()


def test_a_file_that_was_not_pulled_says_so(tmp_path: Path) -> None:
    (Layout(project(tmp_path, FILE)).raw("file") / "urls.csv.dvc").touch()
    with pytest.raises(MinnowError, match=r"dvc pull"):
        prepare.main(tmp_path)


def test_messages_shorten_what_the_data_says(tmp_path: Path) -> None:
    lines = "".join(f"{n}.com,{'x' * 500}{n}\n" for n in range(40))
    (Layout(project(tmp_path, FILE)).raw("file") / "urls.csv").write_text("url,label\n" + lines)
    with pytest.raises(MinnowError) as caught:
        prepare.main(tmp_path)
    assert len(str(caught.value)) < 600


# The Hub


def hub_folder(folder: Path) -> None:
    folder.mkdir(parents=True)
    for split in SPLITS:
        rows = [
            {"text": text, "labels": label}
            for text, label, _ in filler(split) * (2 if split == "train" else 1)
        ]
        pl.DataFrame(rows).write_csv(folder / f"{split}.csv")


def test_a_local_folder_goes_through_the_hubs_loader(tmp_path: Path) -> None:
    hub_folder(Layout(project(tmp_path, HUB, "hub")).raw("hub") / "set")
    splits, report = outcome(tmp_path)
    assert {name: table.height for name, table in splits.items()} == dict.fromkeys(SPLITS, 2)
    assert report["dropped"]["duplicate"] == 2
    assert (report["id"], report["commit"], report["carved"]) == ("data/raw/hub/set", None, [])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"text_column": "txt"}, ["no column 'txt'", "did you mean 'text'"]),
        ({"id": "data/raw/hub/empty"}, ["cannot be loaded as a data set"]),
        ({"id": "data"}, ["must lie in data/raw/hub/"]),
        ({"id": "data/raw/hub/sett"}, ["neither a folder here nor a Hub id"]),
    ],
)
def test_bad_hub_input_gets_one_line(
    tmp_path: Path, change: dict[str, Any], words: list[str]
) -> None:
    raw = Layout(project(tmp_path, HUB | change, "hub")).raw("hub")
    hub_folder(raw / "set")
    (raw / "empty").mkdir()
    with pytest.raises(MinnowError) as caught:
        prepare.main(tmp_path)
    assert "\n" not in str(caught.value)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


def run_offline(root: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the stage in a process whose Hub is out of reach."""
    code = """
import sys
from pathlib import Path
from minnow.errors import MinnowError
from minnow.stages import prepare
try:
    prepare.main(Path(sys.argv[1]))
except MinnowError as error:
    sys.exit(str(error))
assert "torch" not in sys.modules
"""
    away = {
        "PYTHONPATH": str(SRC),
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HOME": str(root / "home"),
    }
    command = [sys.executable, "-c", code, str(root)]
    return subprocess.run(
        command, env={**os.environ, **away, **environment}, capture_output=True, text=True
    )


@pytest.mark.parametrize("offline", ["0", "1"])
@pytest.mark.parametrize("revision", [COMMIT, None])
def test_an_unreachable_hub_says_in_one_line_how_to_go_on(
    tmp_path: Path, offline: str, revision: str | None
) -> None:
    start = time.monotonic()
    done = run_offline(
        project(tmp_path, HUB | {"id": "me/set", "revision": revision}, "hub"),
        HF_HUB_OFFLINE=offline,
    )
    assert done.returncode == 1
    *warning, line = done.stderr.strip().splitlines()
    assert len(warning) == (revision is None), done.stderr
    assert all(
        word in line for word in ("me/set", "copy the cache of", "hf download", "embedded")
    ), line
    assert time.monotonic() - start < 15


@pytest.mark.parametrize(("offline", "revision"), [("0", COMMIT), ("1", COMMIT), ("1", None)])
def test_a_warmed_cache_is_enough(tmp_path: Path, offline: str, revision: str | None) -> None:
    cache = tmp_path / "home" / "hub" / "datasets--me--set"
    hub_folder(cache / "snapshots" / COMMIT)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(COMMIT)
    done = run_offline(
        project(tmp_path, HUB | {"id": "me/set", "revision": revision}, "hub"),
        HF_HUB_OFFLINE=offline,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(Layout(tmp_path).metrics("prepare").read_text())
    assert (report["commit"], report["kept"]["test"]) == (COMMIT, {"safe": 1, "phishing": 1})


@pytest.mark.parametrize("linked", ["data/raw/file", "data/raw", "data"])
def test_a_raw_folder_that_is_a_link_to_elsewhere_is_refused(tmp_path: Path, linked: str) -> None:
    root, elsewhere = project(tmp_path / "project", FILE), tmp_path / "elsewhere"
    many().write_csv(Layout(root).raw("file") / "urls.csv")
    prepare.main(root)
    (root / linked).rename(elsewhere)
    (root / linked).symlink_to(elsewhere)
    with pytest.raises(MinnowError, match=r"data/raw/file leads to .*elsewhere.*outside") as caught:
        prepare.main(root)
    one_line(caught)


def test_a_scratch_within_the_project_may_link_to_its_raw_folder(tmp_path: Path) -> None:
    raw = Layout(project(tmp_path, FILE)).raw("file")
    many().write_csv(raw / "urls.csv")
    scratch = tmp_path / ".minnow" / "controls" / "one"
    inner = Layout(project(scratch, FILE)).raw("file")
    inner.rmdir()
    inner.symlink_to(raw)
    prepare.main(scratch)
    assert Layout(scratch).metrics("prepare").is_file()
