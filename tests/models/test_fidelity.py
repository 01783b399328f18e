"""What transformers would leave out of a base, or read as something else, is refused; what others
publish beside a body is not.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForTokenClassification,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from helpers.errors import one_line
from helpers.models import body, classifier, saved
from minnow.errors import MinnowError
from minnow.models import pretrained

Weights = dict[str, Tensor]
MATRIX = torch.ones(3, 3)


@pytest.fixture(autouse=True, scope="module")
def quiet() -> None:
    transformers_logging.set_verbosity_error()


def checkpoint(folder: Path) -> pretrained.Checkpoint:
    return pretrained.Checkpoint("me/model", folder)


def rewritten(folder: Path, change: Callable[[Weights], Weights]) -> Path:
    file = folder / "model.safetensors"
    weights = {name: weight.clone() for name, weight in change(load_file(file)).items()}
    save_file(weights, file, metadata={"format": "pt"})
    return folder


def with_more(folder: Path, *names: str) -> Path:
    return rewritten(folder, lambda weights: weights | dict.fromkeys(names, MATRIX))


def configured(folder: Path, **changes: Any) -> Path:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return folder


# --- Legitimate bases -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "task", "options", "more"),
    [
        ("bert", AutoModelForPreTraining, {}, ["bert.embeddings.position_ids"]),
        ("roberta", AutoModelForMaskedLM, {}, ["roberta.pooler.dense.weight"]),
        ("distilbert", AutoModelForMaskedLM, {}, []),
        ("electra", AutoModelForPreTraining, {}, ["electra.embeddings.position_ids"]),
        ("electra", AutoModelForMaskedLM, {}, []),
        ("albert", AutoModelForPreTraining, {"embedding_size": 32}, []),
        ("deberta-v2", AutoModelForMaskedLM, {}, []),
        ("modernbert", AutoModelForMaskedLM, {}, []),
        ("gpt2", AutoModelForCausalLM, {}, ["transformer.h.0.attn.masked_bias"]),
        ("llama", AutoModelForCausalLM, {}, ["model.layers.0.self_attn.rotary_emb.inv_freq"]),
    ],
)
def test_a_pretrained_model_loads_without_its_head(
    tmp_path: Path, kind: str, task: Any, options: dict[str, Any], more: list[str]
) -> None:
    theirs = task.from_config(body(kind, **options).config)
    folder = with_more(saved(theirs, None, tmp_path), *more)
    ours = pretrained.load_classifier(checkpoint(folder)).base_model.state_dict()
    kept = {name: weight for name, weight in theirs.base_model.state_dict().items() if name in ours}
    assert len(kept) > 10
    assert all(torch.equal(weight, ours[name]) for name, weight in kept.items())


def test_names_of_ten_years_ago_are_understood(tmp_path: Path) -> None:
    def older(weights: Weights) -> Weights:
        names = (("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta"))
        for new, old in names:
            weights = {name.replace(new, old): weight for name, weight in weights.items()}
        return {f"bert.{name}": weight for name, weight in weights.items()}

    theirs = body("bert")
    ours = pretrained.load_classifier(checkpoint(rewritten(saved(theirs, None, tmp_path), older)))
    norm = "encoder.layer.1.output.LayerNorm.weight"
    assert torch.equal(ours.base_model.state_dict()[norm], theirs.state_dict()[norm])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_the_bits_are_enough(tmp_path: Path, dtype: torch.dtype) -> None:
    theirs = body("bert").to(dtype)
    ours = pretrained.load_classifier(checkpoint(saved(theirs, None, tmp_path)))
    assert ours.dtype == torch.float32


def test_a_head_of_another_task_and_size_is_replaced(tmp_path: Path) -> None:
    theirs = AutoModelForTokenClassification.from_config(body("bert", num_labels=9).config)
    ours = pretrained.load_classifier(checkpoint(saved(theirs, None, tmp_path)))
    head: Any = ours.get_submodule("classifier")
    norm = "encoder.layer.1.output.LayerNorm.weight"
    assert head.weight.shape == (2, theirs.config.hidden_size)
    assert float(head.weight.detach().std()) > 0
    assert torch.equal(ours.base_model.state_dict()[norm], theirs.base_model.state_dict()[norm])
    with pytest.raises(MinnowError, match="no trained classification head"):
        pretrained.load_classifier(checkpoint(tmp_path), ready_made=True)


# --- Others ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        "encoder.layer.0.attention.self.distance_embedding.weight",
        "encoder.layer.0.adapter.down.weight",
        "encoder.layer.2.output.dense.weight",
        "embeddings.turn_embeddings.weight",
        "prefix_encoder.weight",
    ],
)
def test_weights_of_the_body_that_would_be_dropped_are_named(
    tmp_path: Path, whole: bool, name: str
) -> None:
    stored = f"bert.{name}" if whole else name
    folder = with_more(saved(classifier() if whole else body(), None, tmp_path), stored)
    with pytest.raises(MinnowError) as caught:
        pretrained.load_classifier(checkpoint(folder))
    assert "has weights that a 'bert' model of its config.json has no place for" in one_line(caught)
    assert stored[:59] in str(caught.value)


def test_layers_that_the_config_does_not_count_are_not_cut_off(tmp_path: Path) -> None:
    folder = configured(saved(body("distilbert", layers=3), None, tmp_path), n_layers=2)
    with pytest.raises(MinnowError, match=r"no place for \(transformer\.layer\.2\."):
        pretrained.load_classifier(checkpoint(folder))


@pytest.mark.parametrize("name", ["bert.embeddings.word_embeddings.weight", "classifier.weight"])
def test_weights_of_other_sizes_are_named(tmp_path: Path, name: str) -> None:
    folder = rewritten(
        saved(classifier(), None, tmp_path), lambda weights: weights | {name: weights[name][:1]}
    )
    with pytest.raises(MinnowError) as caught:
        pretrained.load_classifier(checkpoint(folder))
    assert f"holds {name} in other sizes than its config.json says" in one_line(caught)


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "electra"])
@pytest.mark.parametrize("positions", ["relative_key", "relative_key_query", "alibi", 3])
def test_positions_that_transformers_no_longer_computes_are_refused(
    tmp_path: Path, kind: str, positions: object
) -> None:
    folder = configured(saved(body(kind), None, tmp_path), position_embedding_type=positions)
    with pytest.raises(MinnowError) as caught:
        pretrained.classifier_config(checkpoint(folder))
    assert "take one with absolute positions" in one_line(caught)


@pytest.mark.parametrize("positions", ["absolute", None])
def test_absolute_positions_are_read(tmp_path: Path, positions: str | None) -> None:
    folder = configured(saved(body(), None, tmp_path), position_embedding_type=positions)
    pretrained.classifier_config(checkpoint(folder))


@pytest.mark.parametrize("positions", ["absolute", "sans_pos"])
def test_modernberts_of_others_are_read(tmp_path: Path, positions: str) -> None:
    theirs = saved(body("modernbert"), None, tmp_path)
    folder = configured(theirs, position_embedding_type=positions)
    pretrained.classifier_config(checkpoint(folder))


@pytest.mark.parametrize(
    "dtype", [torch.int8, torch.uint8, torch.int32, torch.float8_e4m3fn, torch.float8_e5m2]
)
def test_quantized_weights_are_not_cast(tmp_path: Path, dtype: torch.dtype) -> None:
    name = "encoder.layer.0.output.dense.weight"
    folder = rewritten(
        saved(body(), None, tmp_path), lambda weights: weights | {name: weights[name].to(dtype)}
    )
    with pytest.raises(MinnowError) as caught:
        pretrained.classifier_config(checkpoint(folder))
    assert f"holds {name} as " in one_line(caught)


def test_whole_numbers_that_are_no_weights_are_read(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    folder = rewritten(
        saved(body(), tokenizer, tmp_path),
        lambda weights: weights | {"embeddings.position_ids": torch.arange(66)[None]},
    )
    pretrained.load_classifier(checkpoint(folder))


@pytest.mark.parametrize("auto_map", ["x.Y", {"AutoModel": "x.Y"}, {"AutoConfig": ["x.Y", None]}])
def test_a_base_with_code_of_its_own_is_refused(tmp_path: Path, auto_map: Any) -> None:
    folder = configured(saved(body(), None, tmp_path), auto_map=auto_map)
    with pytest.raises(MinnowError) as caught:
        pretrained.classifier_config(checkpoint(folder))
    assert "brings code of its own (auto_map: x.Y)" in one_line(caught)


@pytest.mark.parametrize("auto_map", [{}, {"AutoTokenizer": [None, None]}])
def test_a_map_that_names_no_class_is_none(tmp_path: Path, auto_map: Any) -> None:
    folder = configured(saved(body(), None, tmp_path), auto_map=auto_map)
    pretrained.classifier_config(checkpoint(folder))
