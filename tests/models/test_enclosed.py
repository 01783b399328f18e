"""What the libraries see of a model's folder, and what damaged or hostile files end in."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerBase

from helpers.errors import one_line
from helpers.models import body, classifier, logits, padded_batch, saved
from minnow.core.files import read_json, write_json
from minnow.errors import MinnowError
from minnow.models import folders, pretrained
from minnow.models.declared import shape_of_config
from minnow.models.enclosed import PRIVATE, enclosed, model_files
from minnow.models.inference import check_rows_apart


@pytest.fixture
def folder(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> Path:
    folders.save(classifier(layers=1), tokenizer, tmp_path / "model")
    return tmp_path / "model"


def changed(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


# --- Files beside a model -------------------------------------------------------------------------


def test_a_folder_of_its_own_files_is_read_where_it_lies(folder: Path) -> None:
    (folder / ".gitattributes").touch()
    (folder / "README.md").touch()
    with enclosed(folder) as inner:
        assert inner == folder


def test_an_adapter_beside_a_model_changes_nothing(folder: Path) -> None:
    from peft import LoraConfig, get_peft_model

    batch, model = padded_batch(), folders.load_model(folder)
    before = logits(model, batch)
    lora = get_peft_model(model, LoraConfig(r=2, target_modules=["query"], task_type="SEQ_CLS"))
    for name, weight in lora.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    lora.save_pretrained(folder)
    assert (folder / "adapter_config.json").is_file()
    assert torch.equal(logits(folders.load_model(folder), batch), before)


@pytest.mark.parametrize(
    "name", ["added_tokens.json", "merges.txt", "model-00001-of-00001.safetensors", "evil.py"]
)
def test_what_a_manifest_does_not_list_is_not_there(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"junk")
    with enclosed(folder) as inner:
        assert PRIVATE in inner.name
        assert {file.name for file in inner.iterdir()} == set(model_files(folder))
        assert name not in model_files(folder)
    assert not inner.exists()
    folders.load_model(folder)
    assert folders.load_tokenizer(folder)("a.com")["input_ids"]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_what_is_needed_must_be_listed(folder: Path, name: str) -> None:
    manifest = read_json(folder / "manifest.json")
    del manifest["files"][name]
    write_json(folder / "manifest.json", manifest)
    with pytest.raises(MinnowError, match=f"{name}") as caught:
        folders.load_model(folder)
    one_line(caught)


def test_keys_that_lead_elsewhere_are_not_followed(folder: Path) -> None:
    batch = padded_batch()
    before = logits(folders.load_model(folder), batch)
    changed(folder / "config.json", transformers_weights="../x.safetensors")
    changed(folder / "config.json", attn_implementation="somebody/kernel")
    changed(folder / "tokenizer_config.json", fast_tokenizer_files=["../tokenizer.4.json"])
    assert torch.equal(logits(folders.load_model(folder), batch), before)
    assert folders.load_tokenizer(folder)("a.com")["input_ids"]


def test_an_index_cannot_name_a_file_elsewhere(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    folder = saved(classifier(layers=1), tokenizer, tmp_path / "base")
    (folder / "model.safetensors").rename(tmp_path / "other.safetensors")
    index = {"metadata": {}, "weight_map": {"classifier.weight": "../other.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(MinnowError, match=r"has no \.\./other\.safetensors"):
        pretrained.load_classifier(pretrained.Checkpoint("me/model", folder))


def test_a_pipe_in_place_of_a_file_is_one_line(folder: Path) -> None:
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    with pytest.raises(MinnowError, match="is a named pipe"):
        folders.load_model(folder)


# --- Junk -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "tokenizer.json"])
@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\xff\x00junk",
        b"[]",
        b"null",
        b'{"model_type": 3, "vocab_size": "x", "model_max_length": "x", "added_tokens": 3}',
        b'{"model_type": "bert", "vocab_size": %s}' % (b"9" * 5_000),
    ],
)
def test_junk_is_one_line(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    said = ""
    try:
        folders.load_model(folder)
        folders.load_tokenizer(folder)
    except MinnowError as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 600


@pytest.mark.parametrize("name", ["hidden_size", "vocab_size", "intermediate_size"])
@pytest.mark.parametrize("value", [10**9, 10**15, -1, 0, 1.5, "64", None])
def test_a_config_of_another_size_takes_no_memory(folder: Path, name: str, value: Any) -> None:
    changed(folder / "config.json", **{name: value})
    with pytest.raises(MinnowError):
        folders.load_model(folder)


@pytest.mark.parametrize("name", ["num_hidden_layers", "max_position_embeddings"])
def test_a_config_of_endless_layers_takes_no_time(folder: Path, name: str) -> None:
    changed(folder / "config.json", **{name: 10**9})
    with pytest.raises(MinnowError, match="speaks of a larger model than its weights make"):
        folders.load_model(folder)


def test_a_shape_is_made_without_numbers_and_leaves_the_generator(folder: Path) -> None:
    before = torch.get_rng_state()
    shape = shape_of_config(folders.load_config(folder), folder)
    assert torch.equal(torch.get_rng_state(), before)
    assert {weight.device.type for weight in shape.parameters()} == {"meta"}
    assert {name: weight.shape for name, weight in shape.named_parameters()} == {
        name: weight.shape for name, weight in folders.load_model(folder).named_parameters()
    }


# --- Bases ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [True, False])
def test_a_base_with_an_adapter_is_refused(
    base_folder: Path, tokenizer: PreTrainedTokenizerBase, whole: bool
) -> None:
    if whole:
        saved(body(layers=1), tokenizer, base_folder / "model")
    (base_folder / "model").mkdir(exist_ok=True)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (base_folder / "model" / name).touch()
    with pytest.raises(MinnowError) as caught:
        pretrained.locate("data/base/file/model", None, base_folder)
    said = one_line(caught)
    assert ("has a PEFT adapter beside its weights" in said) == whole
    assert ("is a PEFT adapter alone" in said) == (not whole)
    assert "merge_and_unload" in said


@pytest.mark.parametrize(
    "kind",
    [
        "canine",
        "convbert",
        "fnet",
        "ibert",
        "mobilebert",
        "nystromformer",
        "reformer",
        "xlnet",
        "yoso",
    ],
)
def test_kinds_that_minnow_cannot_take_are_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(MinnowError, match=f"{kind}.*take "):
        pretrained.classifier_config(pretrained.Checkpoint("me/model", tmp_path))


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "deberta-v2", "modernbert"])
def test_ordinary_kinds_give_a_text_the_same_logits_in_any_batch(
    tokenizer: PreTrainedTokenizerBase, kind: str
) -> None:
    check_rows_apart(classifier(kind), tokenizer, "it")


def test_logits_that_depend_on_the_batch_are_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    """Where a model does not look at the mask, padding counts as text."""
    model = classifier("bert")
    model.register_forward_pre_hook(
        lambda _, inputs, options: (inputs, {**options, "attention_mask": None}), with_kwargs=True
    )
    with pytest.raises(MinnowError, match="depend on the other texts of its batch"):
        check_rows_apart(model, tokenizer, "it")


def test_a_quantized_base_is_refused(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    folder = saved(classifier(layers=1), tokenizer, tmp_path)
    changed(folder / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(MinnowError, match="is quantized already"):
        pretrained.load_classifier(pretrained.Checkpoint("me/model", folder))


# --- Files that are not what their names say, and weights that are not there ----------------------


def test_a_pipe_beside_the_weights_is_not_opened(folder: Path) -> None:
    """As macOS leaves them, hidden, and as nobody should."""
    for name in (".x.safetensors", "._model.safetensors", "notes.safetensors"):
        os.mkfifo(folder / name)
    folders.load_model(folder)


@pytest.mark.parametrize("name", ["classifier.weight", "bert.embeddings.word_embeddings.weight"])
def test_weights_that_lack_are_not_drawn_at_random(folder: Path, name: str) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    del weights[name]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(MinnowError, match=f"lacks weights \\({name}\\)") as caught:
        folders.load_model(folder)
    assert "get it anew" in one_line(caught)


@pytest.mark.parametrize("count", [10**9, -1, True, "2", None])
def test_a_number_of_labels_takes_no_memory(folder: Path, count: object) -> None:
    changed(folder / "config.json", num_labels=count)
    with pytest.raises(MinnowError, match=r"num_labels is .*up to 1,000") as caught:
        folders.load_model(folder)
    one_line(caught)


def test_weights_that_are_no_numbers_are_named(tokenizer: PreTrainedTokenizerBase) -> None:
    model = classifier(layers=1)
    torch.nn.init.constant_(model.classifier.weight, float("nan"))
    with pytest.raises(MinnowError, match="the base gives undefined logits: its weights are"):
        check_rows_apart(model.eval(), tokenizer, "the base")


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer_config.json", "tokenizer.json", "manifest.json"]
)
def test_a_file_without_end_is_not_read(folder: Path, name: str) -> None:
    """As large as the memory, and no room on disk."""
    os.truncate(folder / name, 10**12)
    with pytest.raises(MinnowError, match=r"1,000,000 MB") as caught:
        folders.load_tokenizer(folder)
    one_line(caught)
