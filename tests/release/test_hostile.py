"""Releases with bytes changed and a manifest made to match: one line, or answers, never more."""

import json
import os
import random
import shutil
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from helpers.errors import one_line
from helpers.release import TEXTS, packable
from minnow import load
from minnow.core.files import MANIFEST, read_json, write_manifest
from minnow.errors import MinnowError
from minnow.layout import Layout
from minnow.models.params import BuildParams
from minnow.stages import package

CASES = 40
FILES = ("config.json", "minnow.json", "model.safetensors", "tokenizer.json")
FILES += ("tokenizer_config.json", MANIFEST)


@pytest.fixture(scope="module")
def release(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerBase, shape: BuildParams
) -> Path:
    root = packable(tmp_path_factory.mktemp("hostile") / "project", tokenizer, shape)
    package.main(root)
    return Layout(root).release


@pytest.fixture
def folder(release: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(release, tmp_path / "release"))


def mutated(content: bytes, draw: random.Random, *, header: bool) -> bytes:
    """Return bytes with a few of them changed, cut, doubled or put in."""
    end = min(len(content), 4_000 if header else len(content))
    place, length = draw.randrange(end), draw.choice([1, 1, 2, 8, 60])
    kind = draw.choice(["flip", "digit", "cut", "double", "nest"])
    if kind == "digit":
        place = draw.choice([at for at in range(end) if content[at : at + 1].isdigit()] or [place])
    before, here, after = content[:place], content[place : place + 1], content[place + 1 :]
    if kind == "flip":
        return before + bytes([here[0] ^ 1 << draw.randrange(8)]) + after
    if kind == "digit":
        return before + draw.choice([b"-", b"9" * 9, b"9" * 5_000, b"1e99"]) + after
    if kind == "cut":
        return before + content[place + length :]
    if kind == "double":
        return content[: place + length] + content[place:]
    opening = draw.choice([b"[", b'{"a":', b'"']) * draw.choice([1, 100_000])
    return before + opening + content[place:]


def attack(folder: Path, draw: random.Random) -> None:
    """Change one file of a release, and let its manifest say so."""
    name = draw.choice(FILES)
    file = folder / name
    manifest = read_json(folder / MANIFEST)
    file.write_bytes(
        mutated(file.read_bytes(), draw, header=name.endswith((".safetensors", "r.json")))
    )
    if name != MANIFEST:
        write_manifest(folder, {key: manifest[key] for key in ("parameters", "formats")})


@pytest.mark.parametrize("seed", range(CASES))
def test_a_mutated_release_ends_in_one_line_or_in_answers(folder: Path, seed: int) -> None:
    attack(folder, random.Random(seed))
    try:
        probabilities, labels = load(folder, device="cpu").predict(TEXTS)
    except MinnowError as error:
        probabilities, labels, said = [], [], str(error)
    else:
        said = ""
    assert "\n" not in said
    assert len(probabilities) == len(labels) == (0 if said else len(TEXTS))
    assert all(0 <= probability <= 1 for probability in probabilities)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", ".", "a\\b", "a\nb"])
def test_a_manifest_cannot_list_what_lies_elsewhere(folder: Path, name: str) -> None:
    manifest = read_json(folder / MANIFEST)
    manifest["files"][name] = {"bytes": 0, "sha256": ""}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(MinnowError, match="which is no file below it: download") as caught:
        load(folder)
    one_line(caught)


def test_a_manifest_lists_nothing_twice(folder: Path) -> None:
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace('"files": {', '"files": {"config.json": {},', 1))
    with pytest.raises(MinnowError, match=r"names 'config\.json' twice"):
        load(folder)


def test_a_link_out_of_the_release_is_refused(folder: Path, tmp_path: Path) -> None:
    """Though what it leads to is the same to the byte."""
    (folder / "config.json").rename(tmp_path / "elsewhere")
    (folder / "config.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MinnowError, match=r"leads to .*elsewhere, outside"):
        load(folder)


def test_minnow_json_must_be_listed(folder: Path) -> None:
    manifest = read_json(folder / MANIFEST)
    del manifest["files"]["minnow.json"]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(MinnowError, match=r"does not list minnow\.json: download"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "value"), [("max_length", True), ("labels", "ab"), ("synthetic", "no")]
)
def test_settings_of_another_type_are_refused(folder: Path, name: str, value: object) -> None:
    content = read_json(folder / "minnow.json")
    (folder / "minnow.json").write_text(json.dumps(content | {name: value}))
    with pytest.raises(MinnowError, match=r"minnow\.json is broken \(TypeError"):
        load(folder)


def test_no_message_of_load_is_longer_than_a_line(tmp_path: Path) -> None:
    far = tmp_path.joinpath(*["x" * 100] * 4)
    far.mkdir(parents=True)
    with pytest.raises(MinnowError, match="give the folder models/release") as caught:
        load(far)
    assert len(one_line(caught)) <= 300


@pytest.mark.parametrize("name", ["minnow.json", MANIFEST])
def test_a_file_without_end_is_not_read(folder: Path, name: str) -> None:
    os.truncate(folder / name, 10**12)
    with pytest.raises(MinnowError, match="it has 1,000,000 MB") as caught:
        load(folder)
    one_line(caught)


@pytest.mark.parametrize("length", [1, 31, 33, 32_768])
def test_minnow_json_and_tokenizer_must_agree_on_the_length(folder: Path, length: int) -> None:
    content = read_json(folder / "minnow.json")
    (folder / "minnow.json").write_text(json.dumps(content | {"max_length": length}))
    write_manifest(folder, {})
    with pytest.raises(MinnowError, match="says that texts are cut at") as caught:
        load(folder)
    one_line(caught)
