"""One pass of a saved model over splits, its logits stored with the rows' ids."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from minnow import models, store
from minnow.batching import encode
from minnow.errors import MinnowError
from minnow.inference import predict_logits
from minnow.runtime import Runtime


def store_logits(folder: Path, out: Path, tables: Mapping[str, pl.DataFrame], run: Runtime) -> None:
    """Write `<out>/<name>.parquet` for tables with `id` and `text`, all of them or none, by the model in `folder`.

    Raises:
        MinnowError: the model's folder is damaged, or a logit is not finite.
    """
    store.check_manifest(folder)
    model, tokenizer = models.load_for_inference(folder, run), models.load_tokenizer(folder)
    with store.replacing(out) as logits_folder:
        for name, table in tables.items():
            logits = predict_logits(
                model,
                encode(tokenizer, table["text"].to_list()),
                device=run.device,
                desc=f"{folder.name} {name}",
            )
            if bad := int((~logits.isfinite()).any(dim=1).sum()):
                raise MinnowError(
                    f"{folder.name} gives infinite or undefined logits for {bad} of {len(logits)} rows of {name}; "
                    "train it with a lower learning rate, or in float32 (runtime.precision)"
                )
            store.write_logits(logits_folder / f"{name}.parquet", table["id"].to_list(), logits.numpy())
