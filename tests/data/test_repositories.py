"""Which files of a data set make up which split, and that nothing outside it is ever read."""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from helpers.data import HUB, filler, project
from minnow.data.repositories import split_files
from minnow.errors import MinnowError
from minnow.layout import SPLITS, Layout
from minnow.stages import prepare

TWO = """---
configs:
- config_name: urls
  data_files: urls/*.csv
- config_name: texts
  data_files: texts/*.csv
---
"""


def folder_of(root: Path, names: Sequence[str], readme: str | None = None) -> Path:
    """Return a folder with files of these names."""
    folder = root / "set"
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("text,labels\n")
    if readme is not None:
        (folder / "README.md").write_text(readme)
    return folder


def names_of(folder: Path, config: str | None = None) -> dict[str, list[str]]:
    return {
        split: [file.relative_to(folder).as_posix() for file in files]
        for split, files in split_files(folder, "me/set", config).items()
    }


LAYOUTS: list[tuple[list[str], dict[str, list[str]]]] = [
    (["train.csv", "test.csv"], {"train": ["train.csv"], "test": ["test.csv"]}),
    (
        ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"],
        {"train": [f"data/train-0000{n}-of-00002.parquet" for n in (0, 1)]},
    ),
    (
        ["data/odd-00000-of-00001-0a.parquet", "test.parquet"],
        {"odd": ["data/odd-00000-of-00001-0a.parquet"]},
    ),
    (["dev/a.csv", "train/a.csv"], {"train": ["train/a.csv"], "validation": ["dev/a.csv"]}),
    (["my-train_1.csv", "val.csv"], {"train": ["my-train_1.csv"], "validation": ["val.csv"]}),
    (["contest.csv", "trainee.csv"], {"train": ["contest.csv", "trainee.csv"]}),
    (["a.csv", "b.csv", "c.jsonl", "notes.txt", "x.py"], {"train": ["a.csv", "b.csv"]}),
    (["urls.csv.gz", "dataset_info.json", "config.json"], {"train": ["urls.csv.gz"]}),
]


@pytest.mark.parametrize(("names", "expected"), LAYOUTS)
def test_names_say_the_split(
    tmp_path: Path, names: list[str], expected: dict[str, list[str]]
) -> None:
    assert names_of(folder_of(tmp_path, names)) == expected


@pytest.mark.parametrize(("names", "expected"), LAYOUTS[:7])
def test_the_library_datasets_sees_the_same_splits(
    tmp_path: Path, names: list[str], expected: dict[str, list[str]]
) -> None:
    patterns = pytest.importorskip("datasets.data_files")
    kinds = (".csv", ".parquet")
    folder = folder_of(tmp_path, [name for name in names if name.endswith(kinds)])
    found: dict[str, set[str]] = {}
    for split, of_split in patterns.get_data_patterns(str(folder)).items():
        for pattern in of_split:
            with suppress(FileNotFoundError):  # another pattern of the split fits
                files = patterns.resolve_pattern(pattern, str(folder))
                names_found = {Path(file).relative_to(folder).as_posix() for file in files}
                found.setdefault(str(split), set()).update(names_found)
    assert {split: sorted(files) for split, files in found.items()} == expected


@pytest.mark.parametrize(
    ("data_files", "expected"),
    [
        ("a.csv", {"train": ["a.csv"]}),
        ("['a.csv', b/c.csv]", {"train": ["a.csv", "b/c.csv"]}),
        ("'**/*.csv'", {"train": ["a.csv", "b/c.csv", "b/d/e.csv"]}),
        ("'**'", {"train": ["a.csv", "b/c.csv", "b/d/e.csv"]}),
        ("./b/**", {"train": ["b/c.csv", "b/d/e.csv"]}),
        ("{train: a.csv, test: 'b/*'}", {"train": ["a.csv"], "test": ["b/c.csv"]}),
        (
            "[{split: test, path: ['?.csv']}, {split: 2024-02-30, path: 'b/[a-c].csv'}]",
            {"test": ["a.csv"], "2024-02-30": ["b/c.csv"]},
        ),
    ],
)
def test_a_readme_says_which_files(
    tmp_path: Path, data_files: str, expected: dict[str, list[str]]
) -> None:
    readme = (
        f"---\nlicense: mit\nconfigs:\n- config_name: x\n  data_files: {data_files}\n---\n# Set"
    )
    assert names_of(folder_of(tmp_path, ["a.csv", "b/c.csv", "b/d/e.csv"], readme)) == expected


def test_a_configuration_may_be_a_folder(tmp_path: Path) -> None:
    readme = TWO.replace("data_files: urls/*.csv", "data_dir: urls")
    folder = folder_of(tmp_path, ["urls/train.csv", "urls/test.csv", "texts/train.csv"], readme)
    assert names_of(folder, "urls") == {"train": ["urls/train.csv"], "test": ["urls/test.csv"]}


def test_one_of_several_configurations_is_asked_for(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, ["urls/a.csv", "texts/b.csv"], TWO)
    assert names_of(folder, "texts") == {"train": ["texts/b.csv"]}
    for config, words in [
        (None, "has several configurations: urls, texts; set data.config to one of these"),
        ("url", "has no configuration 'url'; it has: urls, texts; did you mean 'urls'?"),
    ]:
        with pytest.raises(MinnowError) as caught:
            names_of(folder, config)
        assert words in str(caught.value)
    (folder / "README.md").write_text(
        TWO.replace("config_name: texts", "config_name: texts\n  default: true")
    )
    assert names_of(folder) == {"train": ["texts/b.csv"]}


def test_a_configuration_of_a_data_set_that_has_none(tmp_path: Path) -> None:
    with pytest.raises(MinnowError, match=r"has no configuration 'x'; it has: none.*null"):
        names_of(folder_of(tmp_path, ["a.csv"]), "x")


@pytest.mark.parametrize(
    "data_files",
    [
        *("http://127.0.0.1:9/x.csv", "hf://datasets/me/x/a.csv", "zip://a.csv::http://x/y.zip"),
        *("/etc/passwd", "../secret.csv", "a/../../secret.csv", "'**/../*.csv'", "~/x.csv"),
        *("C:/x.csv", "\\\\host\\x.csv", "file:///etc/passwd", "{train: a.csv, test: ../x.csv}"),
        *("[{split: train, path: [a.csv, https://x/y.csv]}]", "..", "'*/..'"),
    ],
)
def test_what_a_readme_names_outside_is_refused(tmp_path: Path, data_files: str) -> None:
    (tmp_path / "secret.csv").write_text("text,labels\n")
    readme = f"---\nconfigs:\n- config_name: x\n  data_files: {data_files}\n---\n"
    with pytest.raises(MinnowError) as caught:
        names_of(folder_of(tmp_path, ["a.csv"], readme))
    assert "lies outside the data set; nothing outside is read" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("readme", "words"),
    [
        ("---\nconfigs: 3\n---\n", "is no list of configurations"),
        ("---\nconfigs: [a]\n---\n", "is no list of configurations"),
        ("---\nconfigs: [{config_name: [x]}]\n---\n", "is no list of configurations"),
        ("---\nconfigs: [{data_files: [[[a]]]}]\n---\n", "is no list of configurations"),
        ("---\nconfigs: [{data_files: {a: {b: c}}}]\n---\n", "is no list of configurations"),
        ("---\nconfigs: [{data_dir: ../x}]\n---\n", "lies outside the data set"),
        ("---\nconfigs: [{data_files: b*.csv}]\n---\n", "'b*.csv' as data, and no file"),
        ("---\nx: [\n---\n", "not valid YAML"),
        ("---\n" + "[" * 5_000 + "\n---\n", "not valid YAML"),
        # The parser in C would end the process on these.
        ("---\n" + "[" * 100_000 + "\n---\n", "not valid YAML"),
        ("---\n" + "? " * 100_000 + "\n---\n", "not valid YAML"),
        ("---\nconfigs: [" + "a," * 125_000 + "]\n---\n", "is no list of configurations"),
        ("---\n" + "x: y\n" * 60_000 + "---\n", "are too long"),
        ("---\nconfigs: [{data_dir: empty}]\n---\n", "it holds no file to read"),
        # `fnmatch` took five seconds to make sense of this one.
        (
            f"---\nconfigs: [{{data_files: '{'[a-' * 8000}'}}]\n---\n",
            "of 24000 characters",
        ),
        (f"---\nconfigs: [{{data_files: '{'[' * 21}'}}]\n---\n", "20 brackets: shorten it"),
        (f"---\nconfigs: [{{data_files: '{'a' * 1001}'}}]\n---\n", "of 1001 characters"),
        ("\ufeff---\nconfigs: 3\n---\n", "is no list of configurations"),
        (TWO.replace("texts\n", "urls\n"), "README.md has 2 configurations 'urls'; rename"),
    ],
)
def test_a_damaged_readme_gets_one_line(tmp_path: Path, readme: str, words: str) -> None:
    start = time.monotonic()
    with pytest.raises(MinnowError) as caught:
        names_of(folder_of(tmp_path, ["a.csv"], readme))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert time.monotonic() - start < 10


def test_aliases_and_merges_are_not_multiplied(tmp_path: Path) -> None:
    laughs = "a0: &a0 {k: v}\n" + "".join(
        f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12)
    )
    folder = folder_of(tmp_path, ["a.csv"], f"---\n{laughs}---\n")
    start = time.monotonic()
    assert names_of(folder) == {"train": ["a.csv"]}
    assert time.monotonic() - start < 5


def test_a_pattern_of_many_stars_takes_no_time(tmp_path: Path) -> None:
    deep = "/".join(["a" * 60] * 20) + "/train.csv"
    pattern = "/".join(["**", "*a*a*a*a*a*a*a*a*b"] * 20)
    readme = f"---\nconfigs:\n- data_files: '{pattern}'\n---\n"
    start = time.monotonic()
    with pytest.raises(MinnowError, match="no file to read is called that"):
        names_of(folder_of(tmp_path, [deep], readme))
    assert time.monotonic() - start < 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "more.csv").symlink_to("../../../../../params.yaml"),
        lambda folder: (folder / "more.csv").symlink_to("/dev/zero"),
        lambda folder: os.mkfifo(folder / "more.csv"),
        lambda folder: os.mkfifo(folder / "README.md"),
        lambda folder: (folder / "README.md").symlink_to("/dev/zero"),
        lambda folder: (folder / "data").symlink_to("/etc"),
        lambda folder: (
            shutil.move(folder, folder.parents[3] / "moved")
            and folder.symlink_to(folder.parents[3] / "moved")
        ),
    ],
)
def test_the_stage_refuses_links_out_of_the_folder_and_pipes(
    tmp_path: Path, spoil: Callable[[Path], Any]
) -> None:
    folder = Layout(project(tmp_path, HUB, "hub")).raw("hub") / "set"
    folder.mkdir()
    for split in SPLITS:
        rows = "".join(f"{text},{label}\n" for text, label, _ in filler(split))
        (folder / f"{split}.csv").write_text("text,labels\n" + rows)
    prepare.main(tmp_path)
    spoil(folder)
    with pytest.raises(MinnowError) as caught:
        prepare.main(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_stage_reads_the_configuration_of_params(tmp_path: Path) -> None:
    folder = Layout(project(tmp_path, HUB | {"config": "urls"}, "hub")).raw("hub") / "set"
    for config in ("urls", "texts"):
        (folder / config).mkdir(parents=True)
        rows = "".join(f"{config}{n}.com,{n % 2}\n" for n in range(60))
        (folder / config / "all.csv").write_text("text,labels\n" + rows)
    (folder / "README.md").write_text(TWO)
    prepare.main(tmp_path)
    report = Layout(tmp_path).metrics("prepare").read_text()
    assert '"config": "urls"' in report
    assert '"rows_read": 60' in report
