"""The exported model's logits of many rows, by the code that runs a release."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from minnow.core.files import check_manifest, read_json, replacing
from minnow.core.tables import write_logits
from minnow.errors import MinnowError
from minnow.serve.onnx import OnnxModel, read_onnx

FACTS = "export.json"


def read_exported(folder: Path) -> OnnxModel:
    """Return the model in an exported model's folder; nothing is kept in the user's cache.

    Raises:
        MinnowError: the folder is damaged.
    """
    check_manifest(folder)
    facts: Mapping[str, Any] = read_json(folder / FACTS)
    return read_onnx(folder, facts["max_length"], keep=False)


def store_exported_logits(folder: Path, tables: Mapping[str, pl.DataFrame], out: Path) -> None:
    """Write `<out>/<name>.parquet` for tables with `id` and cleaned `text`, all of them or none.

    Raises:
        MinnowError: the model's folder is damaged, or a logit is not finite.
    """
    model = read_exported(folder)
    with replacing(out) as logits_folder:
        for name, table in tables.items():
            logits = model.logits(table["text"].to_list())
            if bad := int((~np.isfinite(logits)).any(axis=1).sum()):
                raise MinnowError(
                    f"{folder.name} gives infinite or undefined logits for {bad} of {len(logits)}"
                    f" rows of {name}; set export.mode to none"
                )
            write_logits(logits_folder / f"{name}.parquet", table["id"].to_list(), logits)
