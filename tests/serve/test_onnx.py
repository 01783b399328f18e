"""The ONNX model of a release: it answers as torch's, alone as beside others, and nothing that is
damaged, foreign or kept in a cache is believed.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from onnx import helper
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase

import minnow
from helpers.onnx import (
    PIECES,
    SETTINGS,
    TEXTS,
    as_model,
    byte_pairs,
    summing_model,
    tiny_release,
)
from helpers.paths import SRC
from minnow.core.files import write_manifest
from minnow.errors import LONGEST, MinnowError
from minnow.models.batching import encode
from minnow.serve import backends, describing, folded, onnx, tokens
from minnow.serve.settings import Fitted
from minnow.text import cleaning

QUIET = "ORT_DISABLE_TELEMETRY"
BLOCKED = ("torch", "transformers", "polars", "pydantic", "bitsandbytes", "pandas", "onnx")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    return home / "minnow"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_release(tmp_path_factory.mktemp("release"))


# --- What it answers ------------------------------------------------------------------------------


def test_margins_are_those_worked_out_from_the_table(folder: Path) -> None:
    model = summing_model()
    table, places = (
        np.frombuffer(each.raw_data, np.float32).reshape(each.dims)
        for each in model.graph.initializer[:2]
    )
    expected = []
    for text in TEXTS:
        ids = byte_pairs().encode(text).ids[:31]
        ids = ids if ids[-1] == 3 else [*ids, 3]
        logits = (table[ids] * places[: len(ids)]).sum(0)
        expected.append(logits[1] - logits[0])
    classifier = onnx.load_onnx(folder)
    assert classifier.margins(TEXTS) == pytest.approx(expected, abs=1e-5)
    probabilities, labels = classifier.predict([f"https://{text}" for text in TEXTS])
    assert probabilities == pytest.approx([1 / (1 + np.exp(-x / 1.25)) for x in expected])
    assert labels == ["phishing" if margin > 0.5 else "safe" for margin in expected]
    assert classifier.predict([]) == ([], [])


@pytest.mark.parametrize("quantized", [False, True])
@hypothesis_settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(texts=st.lists(st.text(max_size=60) | st.sampled_from(TEXTS), min_size=1, max_size=12))
def test_a_text_has_the_same_margin_alone_as_beside_others(
    folder: Path, tmp_path: Path, quantized: bool, texts: list[str]
) -> None:
    if quantized:
        folder = tmp_path / "quantized"
        folder.exists() or tiny_release(folder, summing_model(quantized=True))
    classifier = onnx.load_onnx(folder)
    assert classifier.model.alone is quantized
    alone = [classifier.margins([text])[0] for text in texts]
    assert classifier.margins(texts) == alone
    assert classifier.margins(texts[::-1]) == alone[::-1]


def test_one_scale_for_a_whole_batch_would_make_texts_depend_on_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the test above can fail. A graph that says it has a scale a row is not believed."""
    model = summing_model(quantized=True)
    helper.set_model_props(model, {onnx.SCALES: onnx.BY_ROW})
    folder = tiny_release(tmp_path / "release", model)
    assert "a text's logits depend on the texts beside it" in refusal(folder)
    monkeypatch.setattr(onnx, "check_rows", lambda model, ids: None)
    classifier = onnx.load_onnx(folder)
    assert classifier.model.alone is False
    texts = [f"{letter}{number}.com" for letter in "ab" for number in range(9)]
    assert classifier.margins(texts) != [classifier.margins([text])[0] for text in texts]


def test_batches_hold_each_text_once_and_only_so_many_tokens() -> None:
    lengths = [5, 3, 5, 2_000, 3, 5, 3_000, *[7] * 1_000]
    batches = [*onnx.batches_of_equal_length(lengths, alone=False)]
    assert sorted(place for batch in batches for place in batch) == [*range(len(lengths))]
    for batch in batches:
        assert len({lengths[place] for place in batch}) == 1
        assert len(batch) == 1 or sum(lengths[place] for place in batch) <= onnx.BATCH_TOKENS
    assert len(batches) == 4 + -(-1_000 // (onnx.BATCH_TOKENS // 7))


LONG = ["a.b/" + "x" * 5_000, "a.b/c?d=" * 2_000, " é" * 3_000, "é'=" * 999, "x" * 999, ""]


def test_token_ids_are_those_of_training(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    tokenizer.save_pretrained(tmp_path)
    mine = tokens.read_tokenizer(tmp_path, 32)
    texts = [*TEXTS, *LONG, "[SEP] [PAD] x", "\U0001f600" * 40]
    encoded = encode(tokenizer, texts)
    rows = [row.tolist() for row in encoded.ids.split(encoded.lengths.tolist())]
    assert tokens.token_rows(mine, texts) == rows
    assert [tokens.token_rows(mine, [text])[0] for text in texts] == rows


def test_of_a_very_long_text_the_beginning_is_read(folder: Path) -> None:
    tokenizer = tokens.read_tokenizer(folder, 32)
    text = "a.b/c?d=" * 10_000
    read = tokens.begun(tokenizer, [text, "x"], 2_048)
    assert 1_024 <= len(read[0]) <= 2_048
    assert text.startswith(read[0])
    assert read[1] == "x"
    assert tokens.token_rows(tokenizer, [text]) == [tokenizer.encode(text).ids]


# --- Which of the two runs ------------------------------------------------------------------------


def test_load_takes_onnx_where_it_lies_and_no_other_device_is_asked(folder: Path) -> None:
    for asked in ({}, {"device": "cpu"}, {"backend": "onnx"}):
        assert isinstance(minnow.load(folder, **asked), onnx.OnnxClassifier)
    with pytest.raises(MinnowError, match=r"^device is 'cuda', and model\.onnx runs on the CPU"):
        minnow.load(folder, device="cuda", backend="onnx")
    with pytest.raises(MinnowError, match=r"backend takes one of auto, onnx, torch, given 'onx'"):
        minnow.load(folder, backend="onx")


def test_what_is_not_installed_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_installed", lambda name: name == "numpy")
    asked = r"needs onnxruntime, tokenizers, which .*`pip install '\.\[serve\]'` in a checkout"
    with pytest.raises(MinnowError, match=asked):
        minnow.load(folder)
    with pytest.raises(MinnowError, match=r"needs torch, transformers, bitsandbytes, .*\[train\]"):
        minnow.load(folder, backend="torch")
    with pytest.raises(MinnowError, match="is no release"):
        minnow.load(folder.parent)


def test_it_runs_where_nothing_heavy_can_be_imported(folder: Path) -> None:
    """A finder refuses what the extra `serve` does not bring."""
    code = f"""
import sys, time
class Refuses:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED}:
            raise ImportError(f"{{name}} is blocked")
sys.meta_path.insert(0, Refuses())
sys.path.insert(0, {str(SRC)!r})
begin = time.perf_counter()
import minnow
model = minnow.load({str(folder)!r})
took = time.perf_counter() - begin
assert model.predict(["example.com/login"])[1][0] in ("safe", "phishing")
assert type(model).__name__ == "OnnxClassifier"
print(f"import and load: {{1000 * took:.0f}} ms")
assert took < 20
"""
    run = [sys.executable, "-I", "-c", code]
    done = subprocess.run(run, check=True, timeout=120, capture_output=True, text=True)
    print(done.stdout)


# --- What is refused ------------------------------------------------------------------------------


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def refusal(folder: Path) -> str:
    write_manifest(folder, {})
    with pytest.raises(MinnowError) as caught:
        minnow.load(folder)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) <= LONGEST
    return message


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_file_that_differs_from_the_manifest_is_named(copied: Path, name: str) -> None:
    file = copied / name
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(MinnowError, match=f"{name} differs from its manifest: download"):
        minnow.load(copied)
    file.unlink()
    with pytest.raises(MinnowError, match=f"{name} is missing: download|torch|is no release"):
        onnx.load_onnx(copied)


@pytest.mark.parametrize("content", [b"", b"\0" * 99, b"not a model", b"\x08\x09" * 50])
def test_a_graph_that_is_none_is_one_line(copied: Path, content: bytes) -> None:
    (copied / "model.onnx").write_bytes(content)
    assert "model.onnx cannot be run (" in refusal(copied)


@pytest.mark.parametrize("content", ["", "{}", "[1", '{"model": {"type": "BPE"}}', "\x00"])
def test_a_tokenizer_that_is_none_is_one_line(copied: Path, content: str) -> None:
    (copied / "tokenizer.json").write_text(content)
    assert "tokenizer.json is broken (" in refusal(copied)


def test_no_file_at_all_is_one_line(copied: Path) -> None:
    (copied / "tokenizer.json").unlink()
    assert "manifest.json does not list tokenizer.json" in refusal(copied)
    with pytest.raises(MinnowError, match=r"tokenizer\.json cannot be read \(No such file"):
        onnx.read_onnx(copied, 32)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "minnow.json"])
def test_a_file_that_the_manifest_does_not_list_is_not_believed(copied: Path, name: str) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    del manifest["files"][name]
    (copied / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(MinnowError, match=f"manifest.json does not list {name}: download"):
        minnow.load(copied)
    with pytest.raises(MinnowError, match=f"{name}: download|{name} is not in|lists no model"):
        describing.verify(copied)


def without_unknown() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({"a": 0, "b": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def with_unknown_id() -> Tokenizer:
    told = json.loads(byte_pairs().to_str())
    told["post_processor"]["special_tokens"]["[CLS]"]["ids"] = [10**6]
    return Tokenizer.from_str(json.dumps(told))


@pytest.mark.parametrize("make", [without_unknown, with_unknown_id])
def test_a_tokenizer_that_fails_at_the_first_text_is_one_line(
    tmp_path: Path, make: Callable[[], Tokenizer]
) -> None:
    folder = tiny_release(tmp_path / "release", tokenizer=make())
    assert "the model cannot be run (" in refusal(folder)


@pytest.mark.parametrize(
    "changed",
    [{"labels": ["safe", ""]}, {"labels": ["safe", "x" * 999]}, {"max_length": 10**9}],
)
def test_settings_without_bounds_are_refused(copied: Path, changed: dict[str, object]) -> None:
    (copied / "minnow.json").write_text(json.dumps(SETTINGS.as_json() | changed))
    assert "minnow.json is broken (ValueError(" in refusal(copied)


def test_long_texts_are_tokenised_one_at_a_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Together they would be in memory together, half a kilobyte a character."""
    tokenizer = tokens.read_tokenizer(folder, 32)
    texts, at_once = ["x" * 200, "a.b", "y" * 200], []
    expected = tokens.token_rows(tokenizer, texts)
    monkeypatch.setattr(tokens, "LONG", 100)
    several = Tokenizer.encode_batch_fast

    class Counting:
        def encode_batch_fast(self, given: list[str]) -> object:
            at_once.append(len(given))
            return several(tokenizer, given)

    assert tokens._ids(Counting(), texts) == expected  # type: ignore[arg-type]
    assert at_once == [1, 1, 1]


def test_a_graph_with_fewer_rows_than_the_tokenizer_has_tokens_is_refused(tmp_path: Path) -> None:
    folder = tiny_release(tmp_path / "few", summing_model(rows=PIECES - 50))
    assert "its tokenizer does not fit it" in refusal(folder)


def test_a_graph_with_fewer_places_than_texts_have_tokens_is_refused(tmp_path: Path) -> None:
    assert "does not fit it" in refusal(tiny_release(tmp_path / "few", summing_model(places=31)))


def other(nodes: list[object], **names: str) -> object:
    model = as_model(nodes, {"table": np.ones((PIECES, 3), np.float32)})
    for kind, name in names.items():
        getattr(model.graph, kind)[0].name = name
    return model


SUM = [
    helper.make_node("Gather", ["table", "input_ids"], ["words"]),
    helper.make_node("Cast", ["attention_mask"], ["mask"], to=1),
    helper.make_node("ReduceMax", ["words"], ["logits"], axes=[1], keepdims=0),
]


@pytest.mark.parametrize(
    ("nodes", "names", "told"),
    [
        (SUM, {}, "two float32 logits|cannot be run"),
        (
            [
                helper.make_node("Gather", ["table", "ids"], ["words"]),
                helper.make_node("ReduceMax", ["words"], ["logits"], axes=[1], keepdims=0),
            ],
            {"input": "ids"},
            "its inputs or outputs have other names",
        ),
    ],
)
def test_a_graph_of_another_model_is_refused(
    tmp_path: Path, nodes: list[object], names: dict[str, str], told: str
) -> None:
    import re

    assert re.search(told, refusal(tiny_release(tmp_path / "other", other(nodes, **names))))  # type: ignore[arg-type]


def test_a_graph_that_names_files_elsewhere_is_refused(tmp_path: Path) -> None:
    model = summing_model()
    stored = model.graph.initializer[0]
    entry = stored.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    stored.data_location = 1
    stored.ClearField("raw_data")
    assert "it names other files" in refusal(tiny_release(tmp_path / "outside", model))


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_logits_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    model = summing_model()
    table = np.frombuffer(model.graph.initializer[0].raw_data, np.float32).copy()
    table[:] = value
    model.graph.initializer[0].raw_data = table.tobytes()
    assert "infinite or undefined logits" in refusal(tiny_release(tmp_path / "broken", model))


def test_a_folder_of_a_later_version_is_one_line(copied: Path) -> None:
    (copied / "minnow.json").write_text('{"format": 9, "classes": ["safe", "phishing"]}')
    assert "minnow.json is broken" in refusal(copied)
    model = summing_model()
    model.ir_version, model.opset_import[0].version = 99, 99
    (copied / "minnow.json").unlink()
    assert "model.onnx cannot be run (" in refusal(tiny_release(copied, model))


# --- The cache ------------------------------------------------------------------------------------


def kept(cache: Path) -> Path:
    (file,) = cache.iterdir()
    return file


def test_what_was_unfolded_is_kept_for_the_user_alone_and_used(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = onnx.load_onnx(folder).margins(TEXTS)
    file = kept(cache)
    assert file.stat().st_mode & 0o777 == 0o600
    assert cache.stat().st_mode & 0o777 == 0o700
    content = file.read_bytes()
    assert hashlib.sha256(content[64:]).hexdigest().encode() == content[:64]
    monkeypatch.setattr(onnx, "unfolded", None)  # would fail if it were called
    assert onnx.load_onnx(folder).margins(TEXTS) == first


def test_a_damaged_cache_is_made_anew(folder: Path, cache: Path) -> None:
    first = onnx.load_onnx(folder).margins(TEXTS)
    file = kept(cache)
    whole = file.read_bytes()
    other_graph = summing_model(seed=9).SerializeToString()
    for content in (b"", whole[:-1], whole[:50], whole[:64] + other_graph, b"x" * 64 + whole[64:]):
        file.write_bytes(content)
        assert onnx.load_onnx(folder).margins(TEXTS) == first
        assert file.read_bytes() == whole


def test_a_cache_that_others_could_write_is_not_believed(folder: Path, cache: Path) -> None:
    first = onnx.load_onnx(folder).margins(TEXTS)
    file = kept(cache)
    graph = summing_model(seed=9).SerializeToString()
    file.write_bytes(hashlib.sha256(graph).hexdigest().encode() + graph)
    assert onnx.load_onnx(folder).margins(TEXTS) != first  # its digest fits, it is the user's own
    for path, mode in ((cache, 0o777), (file, 0o666)):
        path.chmod(mode)
        assert folded.read_folded(file) is None
        path.chmod(0o700)
    elsewhere = file.with_suffix(".other")
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    assert folded.read_folded(file) is None


@pytest.mark.parametrize("home", ["/proc/nowhere", "relative", "/dev/null"])
def test_where_no_cache_can_be_written_there_is_none(
    folder: Path, home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", home)
    monkeypatch.chdir(tmp_path)
    assert len(onnx.load_onnx(folder).margins(TEXTS)) == 4
    assert not (tmp_path / "relative").exists()


def test_where_there_is_no_room_for_the_unfolded_graph_it_runs_all_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = onnx.load_onnx(folder).margins(TEXTS)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    assert onnx.load_onnx(folder).margins(TEXTS) == expected


def test_onnxruntime_reports_to_nobody(folder: Path, tmp_path: Path) -> None:
    """It would write an id of the machine into the cache, and send what it did elsewhere."""
    code = (
        f"import minnow; minnow.load({str(folder)!r}); import os; print(os.environ.get('{QUIET}'))"
    )
    told = {name: value for name, value in os.environ.items() if name != QUIET}
    env = {**told, "PYTHONPATH": str(SRC), "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True)
    assert done.stdout == b"1\n"
    assert [each.name for each in tmp_path.iterdir()] == ["minnow"]


def test_another_model_or_runtime_has_another_place(monkeypatch: pytest.MonkeyPatch) -> None:
    places = {folded.folded_file(model, version) for model in (b"a", b"b") for version in "12"}
    assert len(places) == 4
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    found = folded.folded_file(b"a", "1")
    assert found is not None
    assert found.is_relative_to("/home/somebody/.cache/minnow")


def test_it_answers_by_its_own_temperature_and_threshold(tmp_path: Path) -> None:
    plain = onnx.load_onnx(tiny_release(tmp_path / "plain"))
    margin = plain.margins(TEXTS[:1])[0]
    own = replace(SETTINGS, onnx=Fitted(2.0, margin + 1))
    folder = tiny_release(tmp_path / "own", settings=own)
    (probability,), (label,) = minnow.load(folder).predict(TEXTS[:1])
    assert probability == pytest.approx(1 / (1 + np.exp(-margin / 2)))
    assert label == "safe"
    assert backends.settings_in_use(folder) == own.of_onnx()


def test_settings_are_those_of_the_folder(folder: Path) -> None:
    classifier = onnx.load_onnx(folder)
    assert classifier.settings == SETTINGS
    text = "https://a.b/" + "c" * 5_000
    cleaned = cleaning.normalise(text, move_scheme=True)
    assert classifier.model.logits([cleaned]).shape == (1, 2)
    assert os.environ["XDG_CACHE_HOME"]
