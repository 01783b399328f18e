"""Which weights decay: never an embedding, for only so are the rows that occur trained alone."""

import torch
from torch import nn

from helpers.training import BFLOAT16, FLOAT32, tiny_model
from minnow.core.runtime import Runtime
from minnow.training.weights import Weights, only_used_embeddings

DECAY = 0.25


def decays(model: nn.Module, runtime: Runtime) -> dict[str, float]:
    """Return the decay of each weight by its name."""
    names = [name for name, weight in model.named_parameters() if weight.requires_grad]
    weights = Weights(model, runtime)
    found = {
        id(m): group["weight_decay"] for group in weights.groups(DECAY) for m in group["params"]
    }
    return {name: found[id(master)] for name, master in zip(names, weights.masters, strict=True)}


def test_matrices_decay_and_embeddings_biases_and_norms_do_not() -> None:
    for runtime in (FLOAT32, BFLOAT16):
        found = decays(tiny_model(), runtime)
        plain = {name for name in found if "embeddings" in name or "bias" in name or "Norm" in name}
        assert {name for name, decay in found.items() if decay == 0.0} == plain
        assert {found[name] for name in found.keys() - plain} == {DECAY}
        assert "bert.embeddings.word_embeddings.weight" in plain


def test_a_row_that_never_occurs_keeps_its_weights_to_the_last_bit() -> None:
    """Whether all rows are trained or those that occur: the optimiser leaves the others alone."""
    ids = torch.tensor([[1, 2, 3]])
    trained = []
    for used in (torch.arange(60), torch.tensor([0, 1, 2, 3])):
        model = tiny_model()
        before = model.get_input_embeddings().weight.detach().clone()
        with only_used_embeddings(model, used):
            weights = Weights(model, FLOAT32)
            optimizer = torch.optim.AdamW(weights.groups(DECAY), lr=0.1)
            for _ in range(3):
                model(ids).logits[0, 0].backward()
                optimizer.step()
                weights.publish()
        after = model.get_input_embeddings().weight.detach()
        assert torch.equal(after[4:], before[4:])
        assert not torch.equal(after[1:4], before[1:4])
        trained.append(after)
    assert torch.equal(*trained)
