"""Preparing data: laws of the split, hand-made dirt with its counts, each format, each bad input, the Hub's loader."""

import gzip
import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import yaml

from minnow import data, params, store, synthetic
from minnow.errors import MinnowError
from minnow.layout import SPLITS, Layout
from minnow.stages import prepare

SRC = Path(prepare.__file__).parents[2]
FIELDS = dict.fromkeys(prepare.DataParams.model_fields)
SPLIT = {"seed": 0, "move_scheme": True, "split": "domain", "validation": 0.25, "test": 0.25}
FILE = FIELDS | SPLIT | {"source": "file", "path": "data/raw/file/urls.csv", "text_column": "url"}
FILE |= {"label_column": "label", "positive_label": "1"}
HUB = FIELDS | SPLIT | {"source": "hub", "id": "data/raw/hub/set", "text_column": "text", "label_column": "labels"}
HUB |= {"positive_label": 1}
SHARES: dict[str, Any] = {"validation": 0.2, "test": 0.2}
COMMIT = "0123456789abcdef0123456789abcdef01234567"

Row = tuple[str | None, int | None, str | None]


def source(*rows: Row, test: list[Row] | None = None) -> data.Source:
    def table(rows: Any) -> pl.DataFrame:
        return pl.DataFrame(rows, schema={"text": pl.String, "label": pl.Int8, "split": pl.String}, orient="row")

    return data.Source(table(rows), None if test is None else table(test))


def run(given: data.Source, *, seed: int = 0, method: Any = "domain", **shares: float) -> data.Prepared:
    return data.prepare(given, move_scheme=True, method=method, seed=seed, **(SHARES | shares))


def filler(split: str | None, name: str = "fill") -> list[Row]:
    """One row of each class for a published split."""
    return [(f"{name}-{split}-{label}.com", label, split) for label in (0, 1)]


PUBLISHED = [row for split in SPLITS for row in filler(split)]


def project(root: Path, block: dict[str, Any], preset: str = "file") -> Path:
    Layout(root).raw(preset).mkdir(parents=True, exist_ok=True)
    Layout(root).params.write_text(yaml.safe_dump({"preset": preset, "presets": {preset: {"data": block}}}))
    return root


def outcome(root: Path) -> tuple[dict[str, pl.DataFrame], dict[str, Any]]:
    prepare.main(root)
    layout = Layout(root)
    return {name: store.read_table(layout.split(name)) for name in SPLITS}, store.read_json(layout.metrics("prepare"))


def many(rows: int = 400) -> pl.DataFrame:
    texts, labels = synthetic.generate(rows, seed=1, label_noise=0.0)
    return pl.DataFrame({"url": texts, "label": labels})


# Cleaning


@pytest.mark.parametrize(
    ("dirty", "clean", "kinds"),
    [
        ("a.com/?x=1&amp;y=2", "a.com/?x=1&y=2", {"html_escapes"}),
        ("a.com/?x=1&amp;amp;y&#61;2", "a.com/?x=1&y=2", {"html_escapes"}),
        ("a.com/?a=1&section=2&reg=3&copy", "a.com/?a=1&section=2&reg=3&copy", set()),
        ("a.com/?a=1&section;&nosuch;", "a.com/?a=1&section;&nosuch;", set()),
        ("\ufeffa.com/\u200bx\x00\ty", "a.com/xy", {"control_characters"}),
        ("a.com/\ufffdx", "a.com/x", {"undecodable_bytes"}),
        ("  'a.com' ", "a.com", {"quotes_and_blanks"}),
        ('"http://a.com/x"', "a.com/x", {"quotes_and_blanks", "scheme_moved"}),
        ("&quot;hxxps://a.com&quot;", "a.com", {"html_escapes", "quotes_and_blanks", "scheme_moved"}),
        ("http:// a.com", "a.com", {"scheme_moved"}),
        (None, "", set()),
    ],
)
def test_cleaning_by_hand(dirty: str | None, clean: str, kinds: set[str]) -> None:
    rows, counts = data.cleaned(source((dirty, 1, None)).rows, move_scheme=True)
    assert rows["text"].to_list() == [clean]
    assert {kind for kind, count in counts.items() if count} == kinds


def test_scheme_stays_when_it_is_not_moved() -> None:
    rows, counts = data.cleaned(source(("HTTP://a.com/", 1, None)).rows, move_scheme=False)
    assert rows.select("text", "scheme", "key", "domain").row(0) == ("HTTP://a.com/", "", "a.com", "a.com")
    assert counts["scheme_moved"] == 0


# Dropping


def test_every_reason_to_drop_is_counted_and_rows_are_conserved() -> None:
    dirt: list[Row] = [
        ("http://dup.com/", 1, "train"),
        ("https://www.DUP.com", 1, "train"),
        ("both.com", 0, "train"),
        ("both.com/", 1, "validation"),
        ("nolabel.com", None, "train"),
        (" ' ", 1, "train"),
        (None, 0, "train"),
        ("http:///", 0, "train"),
    ]
    prepared = run(source(*PUBLISHED, *dirt))
    assert prepared.report["dropped"] == {
        "missing_label": 1,
        "empty": 3,
        "replaced_by_test_file": 0,
        "in_test_file": 0,
        "both_labels": 2,
        "duplicate": 1,
    }
    kept = sum(sum(counts.values()) for counts in prepared.report["kept"].values())
    assert prepared.report["rows_read"] == kept + sum(prepared.report["dropped"].values()) == 14
    assert prepared.splits["train"].filter(domain="dup.com")["scheme"].to_list() == ["http"]


def test_duplicates_across_published_splits_stay_in_test_before_validation_before_train() -> None:
    spread: list[Row] = [("x.com", 1, name) for name in ("train", "dev", "TEST")]
    spread += [("y.com", 0, name) for name in ("train", "val")]
    prepared = run(source(*PUBLISHED, *spread))
    where = {name: set(table["domain"]) & {"x.com", "y.com"} for name, table in prepared.splits.items()}
    assert where == {"train": set(), "validation": {"y.com"}, "test": {"x.com"}}
    assert prepared.report["dropped"]["duplicate"] == 3


def test_a_separate_test_file_is_taken_whole_and_removed_from_the_rest() -> None:
    fixed: list[Row] = [("in.com/", 1, None), ("http://in.com", 1, None), ("in.com", 0, None), ("", 0, None)]
    prepared = run(
        source(*PUBLISHED, ("www.in.com", 1, "train"), ("in.com", 0, "validation"), test=[*fixed, ("x", None, None)])
    )
    test = prepared.splits["test"]
    assert sorted(test["text"]) == ["", "in.com", "in.com", "in.com/"]
    assert test["id"].n_unique() == 4
    assert prepared.report["dropped"] | {"replaced_by_test_file": 2, "in_test_file": 2} == prepared.report["dropped"]
    kept_anyway = {"rows_read": 5, "missing_label": 1, "duplicates_kept": 2, "both_labels_kept": 3}
    assert kept_anyway.items() <= prepared.report["test_file"].items()
    assert prepared.report["carved"] == []


def test_the_leak_of_a_test_file_is_measured() -> None:
    fixed: list[Row] = [("fill-train-0.com/other", 0, None), ("new.com", 1, None)]
    assert run(source(*PUBLISHED, test=fixed)).report["leak"] == 0.5


# Splitting


def test_domains_are_disjoint_and_nothing_leaks_under_the_domain_split() -> None:
    table = many(2000)
    given = source(*((url, label, None) for url, label in table.rows()))
    apart, at_random = run(given), run(given, method="random")
    domains = [set(table["domain"]) for table in apart.splits.values()]
    assert sum(map(len, domains)) == len(set.union(*domains))
    assert apart.report["leak"] == 0
    assert at_random.report["leak"] > 0
    for prepared in (apart, at_random):
        ids = pl.concat(prepared.splits.values())["id"]
        assert ids.n_unique() == len(ids)
    assert at_random.splits["test"].height / len(ids) == pytest.approx(0.2, abs=0.03)


def test_private_suffixes_separate_domains() -> None:
    rows, _ = data.cleaned(source(("a.github.io/x", 1, None), ("b.github.io/x", 0, None)).rows, move_scheme=True)
    assert rows["domain"].to_list() == ["a.github.io", "b.github.io"]


@pytest.mark.parametrize("method", ["domain", "random"])
def test_the_order_of_rows_changes_nothing_and_the_seed_does(method: str) -> None:
    table = pl.concat([many(600), many(600).with_columns(pl.col("url").str.replace("://", "://www."))])
    rows: list[Row] = [(url, label, None) for url, label in table.rows()]
    first, backwards = (run(source(*given), method=method) for given in (rows, rows[::-1]))
    assert all(first.splits[name].equals(backwards.splits[name]) for name in SPLITS)
    assert first.report == backwards.report
    assert not first.splits["test"].equals(run(source(*rows), method=method, seed=1).splits["test"])


def test_places_are_even_and_pinned() -> None:
    places = data.unit(pl.Series([f"{n}.com" for n in range(20_000)]), seed=0).to_list()
    assert min(places) >= 0
    assert max(places) < 1
    assert sum(places) / len(places) == pytest.approx(0.5, abs=0.01)
    assert places[0] == pytest.approx(0.29214579854787315, abs=1e-12)
    assert data.ids(pl.Series(["a.com"])).to_list() == ["ea0a1c0ec47b5b65"]


def test_splits_that_are_not_published_are_carved_from_train_alone() -> None:
    train: list[Row] = [(f"t{n}.com", n % 2, "train") for n in range(400)]
    prepared = run(source(*train, *filler("test")))
    assert prepared.report["carved"] == ["validation"]
    assert prepared.splits["test"].height == 2
    assert prepared.splits["validation"].height == pytest.approx(80, abs=25)
    assert run(source(*train)).report["carved"] == ["test", "validation"]


# Labels


@pytest.mark.parametrize(
    ("labels", "positive", "negative", "expected"),
    [
        (["1", "0.0", "1.0", None], 1, None, [1, 0, 1, None]),
        (["True", "false", " TRUE ", ""], True, None, [1, 0, 1, None]),
        (["bad", "good", "Bad", "good"], "bad", "good", [1, 0, 1, 0]),
    ],
)
def test_labels_compare_by_their_text(labels: list[Any], positive: Any, negative: Any, expected: list[Any]) -> None:
    table = pl.DataFrame({"label": labels})
    columns = data.Columns("text", "label", positive, negative)
    assert data._labelled([table], columns)[0]["label"].to_list() == expected


# Files


@pytest.mark.parametrize("name", ["urls.csv", "urls.csv.gz", "urls.tsv", "urls.jsonl", "urls.jsonl.gz", "urls.parquet"])
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
    expected = run(source(*((url, label, None) for url, label in table.rows())), validation=0.25, test=0.25)
    assert all(splits[split].equals(expected.splits[split]) for split in SPLITS)
    assert report["kept"] == expected.report["kept"]


def test_a_dirty_csv_is_read_as_it_stands(tmp_path: Path) -> None:
    raw = '\ufeffurl,label\n"""www.a.com/x",1\nb.com"x,0\n"c.com,d",1\n'.encode() + b"e.com/\xe9,0\n"
    path = tmp_path / "urls.csv"
    path.write_bytes(raw)
    table = data.read(path, data.Columns("url", "label", 1))
    assert table["url"].to_list() == ['"www.a.com/x', 'b.com"x', "c.com,d", "e.com/\ufffd"]
    path.write_bytes(raw.decode("utf-8", "replace").encode("utf-16"))
    assert data.read(path, data.Columns("url", "label", 1)).height == 4


def test_split_column_and_test_file_of_the_file_preset(tmp_path: Path) -> None:
    block = FILE | {"split_column": "part", "test_path": "data/raw/file/test.csv"}
    raw = Layout(project(tmp_path, block)).raw("file")
    rows = pl.DataFrame(PUBLISHED, schema=["url", "label", "part"], orient="row")
    rows.write_csv(raw / "urls.csv")
    rows.filter(part="validation").with_columns(part=pl.lit("junk")).write_csv(raw / "test.csv")
    rows.filter(part="train").with_columns(pl.col("url") + "/v", pl.lit("valid").alias("part")).vstack(rows).write_csv(
        raw / "urls.csv"
    )
    splits, report = outcome(tmp_path)
    assert {name: table.height for name, table in splits.items()} == {"train": 2, "validation": 2, "test": 2}
    assert report["dropped"]["in_test_file"] == report["dropped"]["replaced_by_test_file"] == 2


def test_two_runs_write_the_same_bytes_and_no_path(tmp_path: Path) -> None:
    block = FIELDS | SPLIT | {"source": "synthetic", "rows": 500, "label_noise": 0.02}
    roots = [project(tmp_path / name, block, "embedded") for name in ("one", "two")]
    for root in roots:
        prepare.main(root)
    files = [Layout(roots[0]).metrics("prepare"), *map(Layout(roots[0]).split, SPLITS)]
    assert all(file.read_bytes() == (roots[1] / file.relative_to(roots[0])).read_bytes() for file in files)
    assert str(tmp_path) not in files[0].read_text()
    assert pl.read_parquet_schema(files[1]) == {
        "id": pl.String,
        "text": pl.String,
        "label": pl.Int8,
        "domain": pl.String,
        "scheme": pl.String,
    }


# Bad input: one line that says what is wrong and how to mend it

GOOD = "url,label\n" + "".join(f"{n}.com,{n % 2}\n" for n in range(40))


@pytest.mark.parametrize(
    ("change", "content", "words"),
    [
        ({}, None, ["is missing", "did you mean 'urls2.csv'", "dvc add"]),
        ({}, b"", ["is empty"]),
        ({}, b"url,label\n", ["no rows"]),
        ({}, b"url,label\na,1,2\n", ["cannot be read as csv", "Expected 2 columns, got 3"]),
        ({}, b"urls,label\na,1\n", ["no column 'url'", "did you mean 'urls'"]),
        ({}, b"url,label\na,1\nb,1\n", ["one class only"]),
        ({}, b"url,label\na,\nb,\n", ["'1' does not occur", "no label at all"]),
        ({}, b"url,label\na,1\nb,0\nc,2\n", ["'2' (1 rows)", "set negative_label"]),
        ({"negative_label": "0"}, b"url,label\na,1\nb,0\nc,2\n", ["'2' (1 rows)", "remove the rows"]),
        ({"negative_label": 1}, b"url,label\na,1\nb,0\n", ["both '1'"]),
        ({"positive_label": "phish"}, b"url,label\na,phishing\nb,safe\n", ["did you mean 'phishing'"]),
        ({}, b"url,label\na,1\na/,0\nb,1\n", ["one class only", "2 both_labels"]),
        ({}, b"url,label\na.com,1\nb.com,0\n", ["too few rows", "2 rows in all"]),
        ({"split_column": "s"}, b"url,label,s\na,1,train\nb,0,hold\n", ["'hold'", "allowed: train"]),
        ({"split_column": "s"}, b"url,label,s\na,1,train\nb,0,\n", ["unknown split names ''"]),
        ({"path": "data/raw/file/urls.csv.gz"}, GOOD.encode(), ["cannot be read as csv", "gzip"]),
        ({"path": "data/raw/file/urls.jsonl"}, b'{"url": \n', ["cannot be read as jsonl"]),
        ({"path": "data/raw/file/urls.jsonl"}, b'{"url": ["a"], "label": 1}\n', ["column 'url' holds List"]),
        ({"path": "data/raw/file/urls.parquet"}, b"junk", ["cannot be read as parquet"]),
        ({"path": "data/raw/file/urls.xlsx"}, b"junk", ["no known kind", ".parquet"]),
        ({"path": "elsewhere/urls.csv"}, GOOD.encode(), ["must lie in data/raw/file/"]),
        ({"path": "data/raw/file/../urls.csv"}, GOOD.encode(), ["must lie in data/raw/file/"]),
        ({"path": "data/raw/file"}, None, ["cannot be read", "Is a directory"]),
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


@pytest.mark.parametrize("name", ["embedded", "hub", "file"])
def test_the_shipped_presets_are_valid(name: str) -> None:
    document = params.read(Layout(SRC.parent).params)
    place = f"presets.{name}.data"
    assert params.validated(prepare.DataParams, params.pick(document, place), place)


# The Hub


def hub_folder(folder: Path) -> None:
    folder.mkdir(parents=True)
    for split in SPLITS:
        rows = [{"text": text, "labels": label} for text, label, _ in filler(split) * (2 if split == "train" else 1)]
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
def test_bad_hub_input_gets_one_line(tmp_path: Path, change: dict[str, Any], words: list[str]) -> None:
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
    away = {"PYTHONPATH": str(SRC), "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(root / "home")}
    command = [sys.executable, "-c", code, str(root)]
    return subprocess.run(command, env={**os.environ, **away, **environment}, capture_output=True, text=True)


@pytest.mark.parametrize("offline", ["0", "1"])
@pytest.mark.parametrize("revision", [COMMIT, None])
def test_an_unreachable_hub_says_in_one_line_how_to_go_on(tmp_path: Path, offline: str, revision: str | None) -> None:
    start = time.monotonic()
    done = run_offline(project(tmp_path, HUB | {"id": "me/set", "revision": revision}, "hub"), HF_HUB_OFFLINE=offline)
    assert done.returncode == 1
    *warning, line = done.stderr.strip().splitlines()
    assert len(warning) == (revision is None), done.stderr
    assert all(word in line for word in ("me/set", "HF_HUB_OFFLINE=1", "hf download", "embedded")), line
    assert time.monotonic() - start < 15


@pytest.mark.parametrize(("offline", "revision"), [("0", COMMIT), ("1", COMMIT), ("1", None)])
def test_a_warmed_cache_is_enough(tmp_path: Path, offline: str, revision: str | None) -> None:
    cache = tmp_path / "home" / "hub" / "datasets--me--set"
    hub_folder(cache / "snapshots" / COMMIT)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(COMMIT)
    done = run_offline(project(tmp_path, HUB | {"id": "me/set", "revision": revision}, "hub"), HF_HUB_OFFLINE=offline)
    assert done.returncode == 0, done.stderr
    report = json.loads(Layout(tmp_path).metrics("prepare").read_text())
    assert (report["commit"], report["kept"]["test"]) == (COMMIT, {"safe": 1, "phishing": 1})


def test_a_branch_is_downloaded_at_the_commit_it_stands_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def download(name: str, **options: Any) -> str:
        asked.update(options)
        return str(tmp_path / options["revision"])

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda *_, **__: SimpleNamespace(sha=COMMIT))
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert data.hub_folder("me/set", "v2").name == COMMIT
    assert asked.items() >= {"repo_type": "dataset", "revision": COMMIT, "local_files_only": False}.items()


def test_what_the_hub_refuses_is_told_apart() -> None:
    from huggingface_hub import errors

    def trouble(kind: type[Exception]) -> str:
        return data._hub_trouble("me/set", "main", kind.__new__(kind))

    assert "no revision 'main'" in trouble(errors.RevisionNotFoundError)
    assert "accept its terms" in trouble(errors.GatedRepoError)
    assert "or it is private" in trouble(errors.RepositoryNotFoundError)


def test_a_missing_revision_is_warned_of(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with caplog.at_level(logging.WARNING), pytest.raises(MinnowError):
        data.hub_folder("nobody/nothing", None)
    assert "`main` is used" in caplog.text
