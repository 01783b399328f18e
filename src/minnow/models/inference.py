"""One pass of a model over texts, its logits stored with the ids of the rows; almost nothing is
padded.
"""

from collections.abc import Mapping
from pathlib import Path

import polars as pl
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from minnow.core.files import check_manifest, replacing
from minnow.core.runtime import Runtime
from minnow.core.tables import write_logits
from minnow.errors import MinnowError
from minnow.models import folders
from minnow.models.batching import Encoded, encode, inference_batches
from minnow.models.enclosed import library_errors
from minnow.progress import row_bar

# Padded tokens a batch: large enough to keep two cores or a GPU busy, small enough for 1 GB.
BATCH_TOKENS = {"cpu": 4_096, "cuda": 131_072}


def predict_logits(
    model: nn.Module, encoded: Encoded, *, device: torch.device, desc: str | None = None
) -> Tensor:
    """Return float32 logits of shape (rows, labels) in the order of the rows, computed in eval
    mode.

    `desc` names a progress bar; None shows none. The model's mode is put back afterwards, come what
    may.
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


# Texts of different lengths, so that a batch of them pads all but one.
PROBES = ("x.io", "example.org/login", "shop.example.com/cart/1?id=37&name=" + "q" * 60)
# How far apart logits of one text may lie: this share of what tells texts apart, and what rounding
# does to numbers of their size. In float32 80 architectures stayed a tenth of that apart or less.
SHARE, ROUNDINGS = 1e-3, 16


def check_rows_apart(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, what: str) -> None:
    """Make sure that a text has the same logits alone, in a padded batch and beside the longest
    text that the tokenizer leaves, whatever the model read before; `what` names the model.

    Raises:
        MinnowError: it has others, or none: the model cannot be run.
    """
    probes, device = encode(tokenizer, PROBES), next(model.parameters()).device
    shortest = torch.tensor([int(probes.lengths.argmin()), len(probes)])
    encoded = with_longest(probes, int(tokenizer.model_max_length))

    def logits(rows: Tensor) -> Tensor:
        return _logits_of_batch(model, encoded.batch(rows, device))

    with library_errors(f"{what} cannot be run", "take another base"):
        # The longest first: some read all that follows in another way once they saw a short text.
        beside_longest = logits(shortest)
        together = logits(torch.arange(len(probes)))
        alone = torch.cat([logits(torch.tensor([row])) for row in range(len(encoded))])
        again = logits(shortest[:1])
    if not bool(alone.isfinite().all()):
        raise MinnowError(f"{what} gives undefined logits: its weights are damaged; get it anew")
    rounding = ROUNDINGS * torch.finfo(model.dtype).eps * float(alone.abs().max())
    seen = torch.cat([beside_longest, together, again])
    expected = alone[[*shortest.tolist(), *range(len(probes)), int(shortest[0])]]
    apart = float((seen - expected).abs().max())
    if not apart <= SHARE * float(alone[: len(probes)].std(dim=0).max()) + rounding:
        raise MinnowError(
            f"{what} ({type(model).__name__}) gives a text logits that depend on the other texts of"
            f" its batch, by {apart:.2g}; take another architecture, such as BERT or RoBERTa"
        )


def with_longest(encoded: Encoded, length: int) -> Encoded:
    """Return these rows and one of `length` tokens, which repeats the tokens of all of them."""
    row = encoded.ids.repeat(-(-length // len(encoded.ids)))[:length]
    lengths = torch.cat([encoded.lengths, torch.tensor([length])])
    return Encoded(torch.cat([encoded.ids, row]), lengths, encoded.pad_id)


def _logits_of_batch(model: PreTrainedModel, batch: Mapping[str, Tensor]) -> Tensor:
    """Return float32 logits of one batch, in eval mode, the model's mode put back afterwards."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            logits: Tensor = model(**batch).logits.float().cpu()
    finally:
        model.train(training)
    return logits


def store_logits(folder: Path, out: Path, tables: Mapping[str, pl.DataFrame], run: Runtime) -> None:
    """Write `<out>/<name>.parquet` for tables with `id` and `text`, all of them or none, by the
    model in `folder`.

    Raises:
        MinnowError: the model's folder is damaged, or a logit is not finite.
    """
    check_manifest(folder)
    model, tokenizer = folders.load_for_inference(folder, run), folders.load_tokenizer(folder)
    with replacing(out) as logits_folder:
        for name, table in tables.items():
            logits = predict_logits(
                model,
                encode(tokenizer, table["text"].to_list()),
                device=run.device,
                desc=f"{folder.name} {name}",
            )
            if bad := int((~logits.isfinite()).any(dim=1).sum()):
                raise MinnowError(
                    f"{folder.name} gives infinite or undefined logits for {bad} of {len(logits)}"
                    f" rows of {name}; train it with a lower learning rate, or in float32"
                    " (runtime.precision)"
                )
            write_logits(logits_folder / f"{name}.parquet", table["id"].to_list(), logits.numpy())
