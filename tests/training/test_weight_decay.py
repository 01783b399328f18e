"""Embeddings never decay, for only so may the rows that occur be trained alone."""

import torch

from helpers.training import FLOAT32, tiny_model
from minnow.training.weights import Weights, only_used_embeddings

DECAY = 0.25


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
