"""What cannot fit is refused with the estimate, before anything is loaded."""

import shutil
from types import SimpleNamespace

import pytest

from minnow.core import estimates
from minnow.models import building
from minnow.models.params import BuildParams


def test_the_weights_are_those_of_a_model_but_for_biases_and_norms(
    shape: BuildParams, tokenizer: building.PreTrainedTokenizerBase
) -> None:
    model = building.build(shape, tokenizer)
    two_dimensional = sum(
        weight.numel()
        for name, weight in model.named_parameters()
        if weight.ndim == 2 and not any(part in name for part in ("classifier", "pooler", "type"))
    )
    assert two_dimensional == estimates.weights(
        layers=shape.layers,
        hidden=shape.hidden_size,
        neurons=shape.intermediate_size,
        pieces=len(tokenizer),
        length=tokenizer.model_max_length,
    )


def test_what_cannot_fit_is_refused_with_the_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "physical_memory", lambda: 10**9)
    estimates.require_memory("a table", 10**9, "rows")
    with pytest.raises(ValueError, match=r"a table takes at least 2.0 GB .* has 1.0 GB: lower x"):
        estimates.require_memory("a table", 2 * 10**9, "x")
    with pytest.raises(ValueError, match=r"1,000,001 rows takes at least 1.0 GB of memory"):
        estimates.require_rows(1_000_001, "rows")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=70 * 1000))
    estimates.require_rows(1000, "rows")
    with pytest.raises(ValueError, match=r"take at least 0.1 MB of disk, and 0.1 MB are free"):
        estimates.require_rows(1001, "rows")


def test_memory_is_what_this_machine_has() -> None:
    assert 10**8 < estimates.physical_memory() < 10**14
