"""Base models: folders, the Hub that cannot be reached, its cache, and tokenizers."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoTokenizer,
    CLIPConfig,
    GPT2Config,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    T5Config,
)
from transformers.utils import logging as transformers_logging

from helpers.errors import one_line
from helpers.models import POSITIONS, body, classifier, logits, padded_batch, saved
from helpers.paths import SRC
from minnow.errors import MinnowError
from minnow.models import folders, inference, pairing, pretrained
from minnow.models.heads import classification_layer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "data/base/file/model"
EVIL = "import pathlib\npathlib.Path({path!r}).write_text('ran')\n"


@pytest.fixture(autouse=True, scope="module")
def quiet() -> None:
    transformers_logging.set_verbosity_error()


def checkpoint(folder: Path) -> pretrained.Checkpoint:
    return pretrained.Checkpoint("me/model", folder)


def configured(folder: Path, **changes: Any) -> Path:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return folder


# --- Where a base is ------------------------------------------------------------------------------


def test_a_folder_of_the_project_is_found(
    base_folder: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    saved(body(), tokenizer, base_folder / "model")
    found = pretrained.locate(NAME, None, base_folder)
    assert found.folder == base_folder / "model"
    assert found.facts == {"base": NAME, "commit": None}


@pytest.mark.parametrize(
    ("base", "revision", "said"),
    [
        (
            "data/base/file/nothing",
            None,
            "there is no such folder; put the model below data/base/file/",
        ),
        ("./nothing", None, "there is no such folder"),
        ("~/nothing", None, "there is no such folder"),
        ("/nothing", None, "there is no such folder"),
        ("a/b/c", None, "there is no such folder"),
        ("data/base/hub/model", None, "lies outside data/base/file/"),
        ("data/base/file/../hub/model", None, "lies outside data/base/file/"),
        ("data/base/file/model", "main", "is a folder and has no revisions"),
        ("data/base/file/pickled", None, "has no .safetensors weights here; pickle weights"),
        ("not an id", "main", "is neither a folder here nor a Hub id like owner/name"),
    ],
)
def test_a_base_in_the_wrong_place_is_refused(
    base_folder: Path, base: str, revision: str | None, said: str
) -> None:
    for name in (
        "file/model/model.safetensors",
        "hub/model/model.safetensors",
        "file/pickled/pytorch_model.bin",
    ):
        path = base_folder.parent / name
        path.parent.mkdir(parents=True)
        path.touch()
    with pytest.raises(MinnowError) as caught:
        pretrained.locate(base, revision, base_folder)
    assert said in one_line(caught)


def test_an_absolute_path_is_refused_though_it_leads_to_the_right_folder(base_folder: Path) -> None:
    (base_folder / "model").mkdir()
    with pytest.raises(MinnowError, match="give its path from the project's root"):
        pretrained.locate(str(base_folder / "model"), None, base_folder)


def warmed(cache: Path, tokenizer: PreTrainedTokenizerBase) -> Path:
    """Lay out a model as the Hub's client keeps it."""
    folder = cache / "models--me--model"
    saved(body(), tokenizer, folder / "snapshots" / COMMIT)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    return cache


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize("revision", [COMMIT, None])
def test_an_unreachable_hub_says_in_one_line_how_to_go_on(
    base_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    offline: bool,
    revision: str | None,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(base_folder / "cache"))
    start = time.monotonic()
    with pytest.raises(MinnowError) as caught:
        pretrained.locate("me/model", revision, base_folder)
    assert time.monotonic() - start < 10
    assert all(
        word in one_line(caught)
        for word in (
            "HF_HUB_OFFLINE is set" if offline else "cannot reach the Hub",
            *("me/model", "hf download", "copy the cache of"),
        )
    )
    said = capsys.readouterr().err.splitlines()
    warned = (
        "minnow: warning: base model 'me/model' has no revision: its main branch is taken, which"
        " may change"
    )
    assert said == ([] if revision else [warned])


@pytest.mark.parametrize("revision", [COMMIT, None])
def test_a_warmed_cache_is_enough_without_a_network(
    base_folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    monkeypatch: pytest.MonkeyPatch,
    revision: str | None,
) -> None:
    monkeypatch.setattr(
        "huggingface_hub.constants.HF_HUB_CACHE", str(warmed(base_folder / "cache", tokenizer))
    )
    found = pretrained.locate("me/model", revision, base_folder)
    assert found.facts == {"base": "me/model", "commit": COMMIT}


def test_offline_with_a_warmed_cache_in_a_process_of_its_own(
    base_folder: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    warmed(tmp_path / "home" / "hub", tokenizer)
    code = f"""
from pathlib import Path
from minnow.core import runtime
from minnow.models import folders, inference, pairing, pretrained
from minnow.core.params import RuntimeParams
runtime.start(RuntimeParams(device="cpu", precision="float32", threads=1, kernels="native"))
found = pretrained.locate("me/model", {COMMIT!r}, Path({str(base_folder)!r}))
tokenizer = pretrained.base_tokenizer(found, max_length=16)
pairing.check_fits(pretrained.load_classifier(found), tokenizer, whose="student")
"""
    environment = {"PYTHONPATH": str(SRC), "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


# --- What is in a base ----------------------------------------------------------------------------


def test_a_body_gets_a_head_of_two_labels(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    theirs = body("bert")
    model = pretrained.load_classifier(checkpoint(saved(theirs, tokenizer, tmp_path)))
    assert classification_layer(model).out_features == 2
    assert model.dtype == torch.float32
    assert all(
        torch.equal(weight, model.base_model.state_dict()[name])
        for name, weight in theirs.state_dict().items()
    )


def test_another_number_of_names_without_a_head_means_nothing(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    model = pretrained.load_classifier(checkpoint(saved(body(num_labels=5), tokenizer, tmp_path)))
    assert classification_layer(model).out_features == 2


def test_a_head_is_demanded_of_a_ready_made_classifier(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    folder = saved(body(), tokenizer, tmp_path)
    with pytest.raises(MinnowError, match="no trained classification head"):
        pretrained.load_classifier(checkpoint(folder), ready_made=True)


def test_a_ready_made_classifier_is_taken_as_it_is(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    theirs, batch = classifier("distilbert"), padded_batch()
    ours = pretrained.load_classifier(
        checkpoint(saved(theirs, tokenizer, tmp_path)), ready_made=True
    )
    assert torch.equal(logits(ours, batch), logits(theirs, batch))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            lambda: classifier(num_labels=3),
            "classifies into 3 labels and Minnow needs 2; take the model that it was",
        ),
        (lambda: T5Config(num_layers=1), "is a 't5' model, of which Minnow makes no classifier"),
        (CLIPConfig, "is a 'clip' model, of which Minnow makes no classifier"),
    ],
)
def test_a_base_of_another_kind_is_refused(tmp_path: Path, model: Any, said: str) -> None:
    model().save_pretrained(tmp_path)
    with pytest.raises(MinnowError) as caught:
        pretrained.load_classifier(checkpoint(tmp_path))
    assert said in one_line(caught)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        (
            "model.safetensors",
            lambda old: old[: len(old) // 2],
            "cannot be loaded (SafetensorError",
        ),
        ("model.safetensors", lambda _: b"junk", "cannot be loaded (SafetensorError"),
        ("config.json", lambda _: b"{", "cannot be loaded ("),
        ("config.json", lambda _: b"{}", "cannot be loaded ("),
        ("config.json", lambda _: b'{"model_type": "berd"}', "cannot be loaded ("),
        (
            "config.json",
            lambda old: old.replace(b'"hidden_size": 64', b'"hidden_size": 32'),
            "in other sizes than its config.json says",
        ),
        (
            "config.json",
            lambda old: old.replace(b'_layers": 2', b'_layers": 3'),
            "lacks weights of its own body",
        ),
    ],
)
def test_a_damaged_base_is_one_line(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, file: str, content: Any, said: str
) -> None:
    folder = saved(classifier(), tokenizer, tmp_path)
    before = (folder / file).read_bytes()
    (folder / file).write_bytes(content(before))
    assert (folder / file).read_bytes() != before
    with pytest.raises(MinnowError) as caught:
        pretrained.load_classifier(checkpoint(folder))
    assert said in one_line(caught)


def test_code_in_a_base_is_never_run(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    folder, proof = saved(classifier(), tokenizer, tmp_path / "model"), tmp_path / "proof"
    (folder / "evil.py").write_text(EVIL.format(path=str(proof)))
    token_file = folder / "tokenizer_config.json"
    plain = token_file.read_text()
    named = {"auto_map": {"AutoTokenizer": ["evil.Evil", None]}}
    token_file.write_text(json.dumps(json.loads(plain) | named))
    with pytest.raises(MinnowError, match=r"code of its own \(auto_map: evil\.Evil\)"):
        pretrained.base_tokenizer(checkpoint(folder), max_length=16)
    token_file.write_text(plain)
    kinds = ("AutoConfig", "AutoModel", "AutoModelForSequenceClassification", "AutoTokenizer")
    configured(folder, auto_map=dict.fromkeys(kinds, "evil.Evil"))
    with pytest.raises(MinnowError, match=r"code of its own \(auto_map: evil\.Evil"):
        pretrained.load_classifier(checkpoint(folder))
    configured(folder, model_type="evil")
    with pytest.raises(MinnowError, match="brings code of its own, which Minnow never runs"):
        pretrained.load_classifier(checkpoint(folder))
    assert not proof.exists()


# --- Tokenizers -----------------------------------------------------------------------------------


def test_a_tokenizer_cuts_at_max_length(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    loaded = pretrained.base_tokenizer(checkpoint(saved(body(), tokenizer, tmp_path)), max_length=9)
    assert len(loaded("a-rather-long.example.com/with/a/path", truncation=True)["input_ids"]) == 9


def test_a_missing_tokenizer_is_not_made_up(tmp_path: Path) -> None:
    folder = saved(body(), None, tmp_path)
    assert len(AutoTokenizer.from_pretrained(folder)) < 10, "transformers makes one up"
    with pytest.raises(MinnowError, match=r"has no tokenizer \(tokenizer.json, vocab.txt\)"):
        pretrained.base_tokenizer(checkpoint(folder), max_length=16)


@pytest.mark.parametrize(
    "odd",
    [
        {"output_attentions": True},
        {"output_hidden_states": True},
        {"return_dict": False},
        {"chunk_size_feed_forward": 8},
    ],
)
def test_however_a_base_wants_to_be_run_it_is_run_and_saved(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, odd: dict[str, Any]
) -> None:
    folder = configured(saved(classifier(), tokenizer, tmp_path / "base"), **odd)
    model = pretrained.load_classifier(checkpoint(folder))
    inference.check_rows_apart(model, tokenizer, "base")
    folders.save(model, tokenizer, tmp_path / "saved")
    batch = padded_batch()
    with torch.inference_mode():
        assert torch.equal(
            folders.load_model(tmp_path / "saved")(**batch).logits, model.eval()(**batch).logits
        )


def test_a_tokenizer_for_sentencepiece_alone_is_told(tmp_path: Path) -> None:
    (tmp_path / "spm.model").touch()
    with pytest.raises(MinnowError) as caught:
        pretrained.base_tokenizer(checkpoint(saved(body(), None, tmp_path)), max_length=32)
    assert "has its tokenizer as spm.model alone" in one_line(caught)


def test_a_tokenizer_without_padding_is_refused(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    GPT2Config().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    content = json.loads(file.read_text())
    del content["pad_token"]
    file.write_text(json.dumps(content))
    with pytest.raises(MinnowError, match="has no padding token"):
        pretrained.base_tokenizer(checkpoint(tmp_path), max_length=16)


def test_a_damaged_tokenizer_is_one_line(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    folder = saved(body(), tokenizer, tmp_path)
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(MinnowError) as caught:
        pretrained.base_tokenizer(checkpoint(folder), max_length=16)
    assert "cannot be loaded" in one_line(caught)


@pytest.mark.parametrize(
    ("kind", "most"), [("bert", POSITIONS), ("distilbert", POSITIONS), ("roberta", POSITIONS - 1)]
)
def test_texts_must_fit_the_positions(
    tokenizer: PreTrainedTokenizerBase, kind: str, most: int
) -> None:
    model, cut = classifier(kind), SimpleNamespace(model_max_length=most)
    fits = {
        "input_ids": torch.full((1, most), 5),
        "attention_mask": torch.ones(1, most, dtype=torch.long),
    }
    assert logits(model, fits).shape == (1, 2)
    cutting = _Cut(len(tokenizer), most)
    pairing.check_fits(model, cutting, whose="student")  # type: ignore[arg-type]
    longer = _Cut(len(tokenizer), cut.model_max_length + 1)
    with pytest.raises(
        MinnowError,
        match=rf"student.max_length is {most + 1}, but the model .* has {most} positions",
    ):
        pairing.check_fits(model, longer, whose="student")  # type: ignore[arg-type]


class _Cut:
    """As much of a tokenizer as `check_fits` looks at."""

    def __init__(self, size: int, model_max_length: int) -> None:
        self.size, self.model_max_length = size, model_max_length

    pad_token_id = 0

    def __len__(self) -> int:
        return self.size

    def get_vocab(self) -> dict[str, int]:
        return {"a": 0}


def test_a_foreign_tokenizer_is_refused() -> None:
    with pytest.raises(MinnowError, match="tokenizer has 301 tokens and the model embeds 300"):
        pairing.check_fits(classifier(), _Cut(301, 16), whose="student")  # type: ignore[arg-type]


def word_pieces(*tokens: str, unknown: str | None = "[UNK]") -> PreTrainedTokenizerBase:
    inner = Tokenizer(models.WordPiece({token: i for i, token in enumerate(tokens)}))
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token=unknown, model_max_length=16
    )


def test_ids_with_gaps_reach_beyond_the_table(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    folder = saved(body(vocab_size=10), None, tmp_path)
    inner = Tokenizer(models.WordPiece({"[PAD]": 0, "[UNK]": 1, "a": 10}))
    PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(folder)
    loaded = pretrained.base_tokenizer(checkpoint(folder), max_length=16)
    assert len(loaded) < 10
    with pytest.raises(MinnowError, match="tokenizer has 11 tokens and the model embeds 10"):
        pairing.check_fits(pretrained.load_classifier(checkpoint(folder)), loaded, whose="teacher")


def test_a_tokenizer_that_some_text_stops_is_refused(tmp_path: Path) -> None:
    folder = saved(body(), word_pieces("[PAD]", "a", "b", unknown=None), tmp_path)
    with pytest.raises(MinnowError, match=r"cannot read every text .*Missing") as caught:
        pretrained.base_tokenizer(checkpoint(folder), max_length=16)
    assert "give it an unknown token" in one_line(caught)


@pytest.mark.parametrize("template", [7, {"a": 3}, "{{ messages }}", None])
def test_a_chat_template_is_left_out(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, template: Any
) -> None:
    folder = saved(body(), tokenizer, tmp_path / "base")
    configured_tokenizer(folder, chat_template=template)
    loaded = pretrained.base_tokenizer(checkpoint(folder), max_length=16)
    assert loaded.chat_template is None
    loaded.save_pretrained(tmp_path / "out")
    assert "chat_template" not in (tmp_path / "out" / "tokenizer_config.json").read_text()


@pytest.mark.parametrize("template", [["x"], [{"name": 1}]])
def test_a_chat_template_that_cannot_be_read_is_one_line(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, template: Any
) -> None:
    folder = saved(body(), tokenizer, tmp_path / "base")
    configured_tokenizer(folder, chat_template=template)
    with pytest.raises(MinnowError, match="cannot be loaded") as caught:
        pretrained.base_tokenizer(checkpoint(folder), max_length=16)
    one_line(caught)


def configured_tokenizer(folder: Path, **changes: Any) -> None:
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("architectures", 7),
        ("architectures", [7]),
        ("architectures", {"a": 1}),
        ("id2label", 7),
        ("id2label", {"0": 5, "1": 6}),
        ("id2label", ["a", "b"]),
        ("pad_token_id", "x"),
        ("hidden_size", "x"),
        ("num_hidden_layers", 1.5),
        ("quantization_config", 7),
    ],
)
def test_a_config_of_wrong_types_is_one_line(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, key: str, value: Any
) -> None:
    folder = configured(saved(body(), tokenizer, tmp_path), **{key: value})
    with pytest.raises(MinnowError, match="base model 'me/model'") as caught:
        pretrained.load_classifier(checkpoint(folder))
    one_line(caught)


@pytest.mark.parametrize("kind", ["gemma3", "perceiver"])
def test_a_base_of_parts_is_one_line(tmp_path: Path, kind: str) -> None:
    AutoConfig.for_model(kind).save_pretrained(tmp_path)
    with pytest.raises(MinnowError) as caught:
        pretrained.classifier_config(checkpoint(tmp_path))
    assert f"is a {kind!r} model, made of several parts or blocks" in one_line(caught)
