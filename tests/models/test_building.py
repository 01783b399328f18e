"""Models and tokenizers built from nothing: their shape, and the same ones from the same seed."""

import copy
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from helpers.models import logits
from helpers.paths import SRC
from minnow.core import runtime
from minnow.core.params import RuntimeParams
from minnow.models import building, pairing
from minnow.models.params import BuildParams


@pytest.fixture(autouse=True, scope="module")
def quiet() -> None:
    transformers_logging.set_verbosity_error()


def test_a_trained_tokenizer_is_the_same_in_every_process() -> None:
    texts = [
        f"{name}.example.com/{path}"
        for name in ("login", "pay", "mail")
        for path in ("a", "bb", "account")
    ]
    code = f"""
from minnow.models.building import train_tokenizer
print(train_tokenizer({texts!r}, vocabulary=320, max_length=16).backend_tokenizer.to_str())
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(SRC), "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    here: Any = building.train_tokenizer(texts, vocabulary=320, max_length=16)
    assert done.stdout == here.backend_tokenizer.to_str() + "\n"
    assert len(here) > 270, "pieces were learned beyond bytes and special tokens"


def test_a_trained_tokenizer_loses_nothing(tokenizer: PreTrainedTokenizerBase) -> None:
    text = "пример.рф/ÿ?q=%20&x=☃"
    ids = tokenizer(text)["input_ids"]
    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_a_built_model_has_its_shape_and_takes_the_tokenizers_texts(
    tokenizer: PreTrainedTokenizerBase, shape: BuildParams, architecture: str
) -> None:
    model = building.build(shape.model_copy(update={"architecture": architecture}), tokenizer)
    config = model.config
    assert (config.model_type, config.num_hidden_layers, config.hidden_size) == (
        architecture,
        2,
        64,
    )
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {0.1}
    pairing.check_fits(model, tokenizer, whose="student")
    # Of a copy: padding would stay in what the tokenizer that all tests share writes.
    batch = copy.deepcopy(tokenizer)(
        ["x" * 99, "short.example"], padding=True, truncation=True, return_tensors="pt"
    )
    batch.pop("token_type_ids", None)
    assert logits(model, batch).shape == (2, 2)


def test_equal_seeds_build_equal_models(
    tokenizer: PreTrainedTokenizerBase, shape: BuildParams
) -> None:
    def built(seed: int) -> torch.Tensor:
        runtime.start(
            RuntimeParams(
                device="cpu",
                precision="float32",
                threads=None,
                kernels="native",
            ),
            seed=seed,
        )
        return torch.cat(
            [weight.flatten() for weight in building.build(shape, tokenizer).parameters()]
        )

    assert torch.equal(built(3), built(3))
    assert not torch.equal(built(3), built(4))
