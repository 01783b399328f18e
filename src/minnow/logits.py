"""One pass of a saved model over splits, its logits stored with the rows' ids."""

from collections.abc import Mapping

import polars as pl

from minnow import models, store
from minnow.batching import encode
from minnow.errors import MinnowError
from minnow.inference import predict_logits
from minnow.layout import Layout
from minnow.runtime import Runtime


def store_logits(layout: Layout, model_name: str, tables: Mapping[str, pl.DataFrame], run: Runtime) -> None:
    """Write `data/logits/<model_name>/<split>.parquet` for tables with `id` and `text`, all of them or none.

    Raises:
        MinnowError: the model's folder is damaged, or a logit is not finite.
    """
    folder = layout.model(model_name)
    store.check_manifest(folder)
    model, tokenizer = models.load_for_inference(folder, run), models.load_tokenizer(folder)
    with store.replacing(layout.logits(model_name)) as out:
        for split, table in tables.items():
            logits = predict_logits(
                model,
                encode(tokenizer, table["text"].to_list()),
                device=run.device,
                desc=f"{model_name} {split}",
            )
            if bad := int((~logits.isfinite()).any(dim=1).sum()):
                raise MinnowError(
                    f"{model_name} gives infinite or undefined logits for {bad} of {len(logits)} rows of {split}; "
                    "train it with a lower learning rate, or in float32 (runtime.precision)"
                )
            store.write_logits(out / f"{split}.parquet", table["id"].to_list(), logits.numpy())
