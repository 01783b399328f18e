"""One pass of a model over encoded texts; almost nothing is padded."""

import torch
from torch import Tensor, nn
from tqdm import tqdm

from minnow.batching import Encoded, inference_batches

# Padded tokens a batch: large enough to keep two cores or a GPU busy, small enough for 1 GB.
BATCH_TOKENS = {"cpu": 4_096, "cuda": 131_072}


def predict_logits(model: nn.Module, encoded: Encoded, *, device: torch.device, desc: str | None = None) -> Tensor:
    """Return float32 logits of shape (rows, labels) in the order of the rows, computed in eval mode.

    `desc` names a progress bar; None shows none. The model's mode is put back afterwards.
    """
    training = model.training
    model.eval()
    logits: Tensor | None = None
    with torch.inference_mode(), tqdm(total=len(encoded), desc=desc, unit="row", disable=desc is None) as bar:
        for rows in inference_batches(encoded.lengths, tokens=BATCH_TOKENS[device.type]):
            batch = model(**encoded.batch(rows, device)).logits.float().cpu()
            if logits is None:
                logits = torch.empty(len(encoded), batch.shape[1])
            logits[rows] = batch
            bar.update(len(rows))
    model.train(training)
    assert logits is not None, "no rows: prepare refuses empty splits"
    return logits.clone()
