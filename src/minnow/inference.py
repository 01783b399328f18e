"""One pass of a model over encoded texts; almost nothing is padded."""

import torch
from torch import Tensor, nn

from minnow.batching import Encoded, inference_batches
from minnow.progress import row_bar

# Padded tokens a batch: large enough to keep two cores or a GPU busy, small enough for 1 GB.
BATCH_TOKENS = {"cpu": 4_096, "cuda": 131_072}


def predict_logits(model: nn.Module, encoded: Encoded, *, device: torch.device, desc: str | None = None) -> Tensor:
    """Return float32 logits of shape (rows, labels) in the order of the rows, computed in eval mode.

    `desc` names a progress bar; None shows none. The model's mode is put back afterwards, come what may.
    """
    batches: list[Tensor] = []
    logits: list[Tensor] = []
    training = model.training
    model.eval()
    try:
        with torch.inference_mode(), row_bar(len(encoded), desc) as bar:
            for rows in inference_batches(encoded.lengths, tokens=BATCH_TOKENS[device.type]):
                batches.append(rows)
                logits.append(model(**encoded.batch(rows, device)).logits.float().cpu())
                bar.update(len(rows))
    finally:
        model.train(training)
    assert batches, "no rows: prepare refuses empty splits"
    return torch.cat(logits)[torch.cat(batches).argsort()]
