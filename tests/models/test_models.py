"""Saved models: equal bytes for equal models, honest sizes, and what is read back is what was
written.
"""

import json
import os
import random
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, BertTokenizer, PreTrainedTokenizerBase

from helpers.models import body, classifier, logits, padded_batch, saved
from helpers.paths import SRC
from minnow.core.files import check_manifest, read_json
from minnow.core.runtime import Runtime
from minnow.errors import MinnowError
from minnow.models import building, folders, heads, schemes
from minnow.models.batching import encode
from minnow.models.params import BuildParams
from minnow.quantization import quantize
from minnow.quantization.quantize import Recipe

CPU = torch.device("cpu")


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "electra"])
def test_what_is_read_back_is_what_was_written(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, kind: str
) -> None:
    model, batch = classifier(kind), padded_batch()
    folders.save(model, tokenizer, tmp_path / "out", facts={"base": "me/model", "commit": None})
    loaded = folders.load_for_inference(tmp_path / "out", Runtime(CPU, torch.float32))
    assert torch.equal(logits(loaded, batch), logits(model, batch))
    assert not loaded.training
    assert (
        folders.load_tokenizer(tmp_path / "out")("a.com/x")["input_ids"]
        == tokenizer("a.com/x")["input_ids"]
    )
    check_manifest(tmp_path / "out")
    manifest = read_json(tmp_path / "out" / "manifest.json")
    assert manifest["parameters"] == sum(weight.numel() for weight in model.parameters())
    assert (manifest["base"], manifest["commit"]) == ("me/model", None)
    assert set(manifest["files"]) == set(files_of(tmp_path / "out")) - {"manifest.json"}


def test_inference_runs_in_the_dtype_of_the_run(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    folders.save(classifier(), tokenizer, tmp_path / "out")
    for dtype in (torch.float32, torch.bfloat16):
        loaded = folders.load_for_inference(tmp_path / "out", Runtime(CPU, dtype))
        last = set(heads.classification_layer(loaded).parameters())
        assert {weight.dtype for weight in loaded.parameters() if weight not in last} == {dtype}
        assert {weight.dtype for weight in last} == {torch.float32}


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
def test_the_bytes_of_all_parts_are_those_of_the_folder(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, kind: str
) -> None:
    model, out = classifier(kind), tmp_path / "out"
    folders.save(model, tokenizer, out)
    parts = read_json(out / "manifest.json")["bytes_by_part"]
    everything = files_of(out)
    assert sum(parts.values()) == sum(map(len, everything.values())) - len(
        everything["manifest.json"]
    )
    weights = load_file(out / "model.safetensors")
    by_hand = {"embeddings": 0, "body": 0, "head": 0}
    for name, tensor in weights.items():
        part = (
            "head"
            if not name.startswith(f"{kind}.")
            else "embeddings"
            if ".embeddings." in name
            else "body"
        )
        by_hand[part] += tensor.nbytes
    assert {part: parts[part] for part in by_hand} == by_hand
    assert all(by_hand.values())
    header = len(everything["model.safetensors"]) - sum(by_hand.values())
    other_files = everything.keys() - {"model.safetensors", "manifest.json"}
    assert parts["other"] == header + sum(len(everything[name]) for name in other_files)


def test_a_decoders_word_embeddings_are_embeddings(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    """They stand in no module of that name."""
    model = classifier("llama")
    folders.save(model, tokenizer, tmp_path)
    parts = read_json(tmp_path / "manifest.json")["bytes_by_part"]
    assert parts["embeddings"] == model.get_input_embeddings().weight.nbytes
    assert parts["head"] == model.score.weight.nbytes


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "electra"])
def test_no_weight_is_saved_that_the_logits_do_not_need(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, kind: str
) -> None:
    """BERT's head reads the pooler and keeps it; RoBERTa's does not, and loses it though the base
    has one.
    """
    if kind in ("roberta", "bert"):
        base = body(kind)
        assert any("pooler" in name for name, _ in base.named_parameters())
        saved(base, tokenizer, tmp_path / "base")
        model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base", num_labels=2)
    else:
        model = classifier(kind)
    folders.save(model, tokenizer, tmp_path / "out")
    loaded = folders.load_model(tmp_path / "out")
    assert set(load_file(tmp_path / "out" / "model.safetensors")) == {
        name for name, _ in loaded.named_parameters()
    }
    loaded(**padded_batch()).logits.pow(2).sum().backward()
    assert [name for name, weight in loaded.named_parameters() if weight.grad is None] == []
    assert any("pooler" in name for name, _ in loaded.named_parameters()) == (kind == "bert")


def word_piece() -> PreTrainedTokenizerBase:
    """A lower-casing WordPiece tokenizer that knows letters of several scripts, and quotes, blanks
    and an escape.
    """
    letters = [
        *"abcdefghijklmnopqrstuvwxyz0123456789.:/?=-_",
        *"äßøжλ漢字日本🐟",
        "\u2028",
        '"',
        "\\",
    ]
    pieces = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *letters,
        *(f"##{letter}" for letter in letters),
        "login",
    ]
    return BertTokenizer(
        vocab={piece: number for number, piece in enumerate(pieces)}, model_max_length=64
    )


@pytest.mark.parametrize("kind", ["byte-level BPE", "WordPiece"])
def test_a_compact_tokenizer_is_the_same_one(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, kind: str
) -> None:
    given = tokenizer if kind == "byte-level BPE" else word_piece()
    for name, compact in (("plain", False), ("compact", True)):
        folders.save(classifier(), given, tmp_path / name, compact=compact)
    files = [tmp_path / name / "tokenizer.json" for name in ("plain", "compact")]
    plain, compact = (file.read_text(encoding="utf-8") for file in files)
    assert json.loads(plain) == json.loads(compact)
    assert list(json.loads(plain)["model"]["vocab"]) == list(json.loads(compact)["model"]["vocab"])
    assert len(compact.encode()) < 0.8 * len(plain.encode())
    draw = random.Random(0)
    alphabets = [
        "abc019./:?=-_%",
        "äßøжλ漢字日本🐟\u2028\"\\'",
        "".join(map(chr, range(1, 0x300))),
        "\u200d\ufffd\U0001f9ff\x00",
    ]
    texts = [
        "".join(draw.choices(draw.choice(alphabets), k=draw.randint(0, 60))) for _ in range(300)
    ]
    ids = [
        folders.load_tokenizer(tmp_path / name)(texts, truncation=True)["input_ids"]
        for name in ("plain", "compact")
    ]
    assert ids[0] == ids[1] == given(texts, truncation=True)["input_ids"]
    assert len({tuple(each) for each in ids[0]}) > 150
    check_manifest(tmp_path / "compact")


def test_saved_files_follow_the_umask(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    before = os.umask(0o027)
    try:
        folders.save(classifier(layers=1), tokenizer, tmp_path / "out")
    finally:
        os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "out").iterdir()}
    assert set(modes.values()) == {0o640}, modes


def test_equal_models_are_equal_bytes_in_another_process_and_place(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, shape: BuildParams
) -> None:
    """Loaded from another path, under another working directory, offline or not: nothing of it may
    be written.
    """
    texts = ["a.com/login", "b.example.org"]

    def make(root: Path) -> None:
        start, student, quantized = root / "start", root / "student", root / "quantized"
        folders.save(folders.load_model(start), folders.load_tokenizer(start), student)
        quantize.quantize(
            student,
            quantized,
            Recipe(schemes.scheme("nf4", double_quantization=True), ["classifier"]),
            probe=encode(folders.load_tokenizer(student), texts),
            device=CPU,
        )

    here, there = tmp_path / "here", tmp_path / "elsewhere" / "there"
    model = building.build(shape, tokenizer)
    for root in (here, there):
        folders.save(model, tokenizer, root / "start")
    make(here)
    code = f"""
from pathlib import Path
import torch
from minnow.models import folders, schemes
from minnow.quantization.quantize import Recipe, quantize
from minnow.models.batching import encode
start, student, quantized = Path("start"), Path("student"), Path("quantized")
folders.save(folders.load_model(start), folders.load_tokenizer(start), student)
scheme = schemes.scheme("nf4", double_quantization=True)
probe = encode(folders.load_tokenizer(student), {texts!r})
cpu = torch.device("cpu")
quantize(student, quantized, Recipe(scheme, ["classifier"]), probe=probe, device=cpu)
"""
    environment = {
        **os.environ,
        "PYTHONPATH": str(SRC),
        "HF_HUB_OFFLINE": "1",
        "PYTHONHASHSEED": "7",
    }
    subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=there, check=True, capture_output=True
    )
    assert files_of(here) == files_of(there)
    for name, content in files_of(here).items():
        if name.endswith(".json"):
            assert str(tmp_path).encode() not in content, name
            assert folders.VARYING_KEYS.isdisjoint(json.loads(content)), name


def test_paths_that_others_left_in_a_base_are_removed(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    folders.save(classifier(layers=1), tokenizer, tmp_path)
    file = tmp_path / "tokenizer_config.json"
    clean = json.loads(file.read_text())
    theirs = {
        "name_or_path": "/home/me",
        "tokenizer_file": "/home/me/t",
        "special_tokens_map_file": "/home/me/s",
    }
    file.write_text(json.dumps(clean | theirs))
    folders.strip_varying_keys(tmp_path)
    assert json.loads(file.read_text()) == clean


def test_the_head_is_what_lies_outside_the_body() -> None:
    assert set(heads.head_modules(classifier("distilbert"))) == {"pre_classifier", "classifier"}
    assert set(heads.head_modules(classifier("roberta"))) == {
        "classifier.dense",
        "classifier.out_proj",
    }
    model = classifier("roberta")
    assert heads.classification_layer(model) is model.get_submodule("classifier.out_proj")
    with pytest.raises(MinnowError, match="no linear layer with 2 outputs"):
        heads.classification_layer(classifier(num_labels=3))


def test_a_missing_library_is_one_line(
    tmp_path: Path,
    tokenizer: PreTrainedTokenizerBase,
    shape: BuildParams,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folders.save(building.build(shape, tokenizer), tokenizer, tmp_path / "s")
    monkeypatch.setattr(
        "transformers.quantizers.quantizer_bnb_4bit.is_bitsandbytes_available", lambda: False
    )
    four_bit = schemes.FourBit("nf4", double_quantization=True)
    with pytest.raises(
        MinnowError, match=r"cannot be loaded.*bitsandbytes.*make install"
    ) as caught:
        quantize.load_quantized(tmp_path / "s", four_bit, ["classifier"], device=CPU)
    assert "\n" not in str(caught.value)
