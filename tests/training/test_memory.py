"""What a training takes of memory: a value worked by hand, and who is told."""

import pytest

from helpers.models import classifier
from helpers.training import training_params
from minnow.errors import MemoryShortage
from minnow.models.batching import Encoded
from minnow.training.memory import explaining_memory, training_memory

PARAMS = training_params()


def test_the_estimate_is_what_is_worked_by_hand() -> None:
    model = classifier(layers=2)  # 64 wide, two heads
    numbers = sum(weight.numel() for weight in model.parameters())
    takes = training_memory(model, batch_size=8, length=16)
    assert takes.weights == 8 * numbers, "as they are, and the best epoch's"
    assert takes.optimizer == 12 * numbers, "gradient and two moments"
    assert takes.batch == 2 * 8 * 16 * (68 * 64 + 10 * 2 * 16)


def test_frozen_weights_need_no_optimizer() -> None:
    model = classifier()
    for weight in model.parameters():
        weight.requires_grad = False
    assert training_memory(model, batch_size=8, length=16).optimizer == 0


def test_a_lack_of_memory_is_explained_and_nothing_else(encoded: Encoded) -> None:
    model = classifier()
    with (
        pytest.raises(
            MemoryShortage, match=r"weights 1 MB.* a batch 1 MB of 8 texts of \d+ tokens"
        ),
        explaining_memory(model, encoded, PARAMS),
    ):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
    with pytest.raises(KeyError), explaining_memory(model, encoded, PARAMS):
        raise KeyError("x")
