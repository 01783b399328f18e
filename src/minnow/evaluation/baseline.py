"""The plain baseline, logistic regression over TF-IDF of character n-grams. A transformer has to
clear it.

A saved one is text and float32, no pickle: `ngrams.jsonl` holds an n-gram a line in the order of
their columns, `model.safetensors` their idf and coefficients and the intercept, and `config.json`
how texts are cut into n-grams.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from safetensors.numpy import load_file
from safetensors.numpy import save as to_safetensors
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from threadpoolctl import threadpool_limits

from minnow.core.files import (
    MANIFEST,
    check_manifest,
    read_json,
    replacing,
    write_json,
    write_manifest,
)
from minnow.core.tables import write_logits
from minnow.errors import MinnowError

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
# The inverse strength of the penalty. On Hannousse's validation split F1 was 0.941 at 1, 0.950 at
# 3, 0.955 at 10 and at 30; letter case and 5-grams brought nothing.
C = 10.0
NGRAM_RANGE = (1, 4)
# Train rows beyond these are left out: 200,000 take 30 seconds and 1.2 GB, and both grow with the
# rows.
MAX_ROWS = 200_000
# Rows whose features are in memory at a time when logits are computed.
CHUNK = 20_000
NGRAMS, WEIGHTS, CONFIG = "ngrams.jsonl", "model.safetensors", "config.json"


def fit_baseline(texts: Sequence[str], labels: Sequence[int]) -> Pipeline:
    """Fit character 1-to-4-grams and logistic regression; the same rows in the same order give the
    same pipeline.

    Raises:
        MinnowError: no n-gram stands in two texts.
    """
    features = TfidfVectorizer(
        analyzer="char", ngram_range=NGRAM_RANGE, sublinear_tf=True, min_df=2
    )
    regression = LogisticRegression(C=C, max_iter=1000, random_state=0)
    try:
        counted = features.fit_transform(texts)
    except ValueError as error:  # scikit-learn's word for an empty vocabulary
        raise MinnowError(
            f"no character n-gram stands in two of the {len(texts)} train rows ({error}); give more"
            " rows"
        ) from None
    # Its vectors are short: more threads cost time, and give other last digits.
    with threadpool_limits(1):
        regression.fit(counted, labels)
    return make_pipeline(features, regression)


def baseline_logits(pipeline: Pipeline, texts: Sequence[str]) -> Array:
    """Return logits of shape (rows, 2) whose softmax is the regression's probability."""
    starts = range(0, len(texts), CHUNK)
    margins = [pipeline.decision_function(texts[start : start + CHUNK]) for start in starts]
    margin = np.concatenate([np.zeros(0), *margins])
    return np.stack([-margin / 2, margin / 2], axis=1)


def parameters(pipeline: Pipeline) -> int:
    """Return how many numbers were fitted: an idf and a coefficient for each n-gram, and the
    intercept.
    """
    features, regression = pipeline[0], pipeline[-1]
    return int(features.idf_.size + regression.coef_.size + regression.intercept_.size)


def save_baseline(pipeline: Pipeline, folder: Path) -> None:
    """Write a folder that is the same bytes for the same pipeline, with `manifest.json` beside the
    rest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    features, regression = pipeline[0], pipeline[-1]
    lines = (
        json.dumps(ngram, ensure_ascii=False) + "\n" for ngram in features.get_feature_names_out()
    )
    (folder / NGRAMS).write_bytes("".join(lines).encode())
    numbers = {
        "idf": features.idf_,
        "coefficients": regression.coef_[0],
        "intercept": regression.intercept_,
    }
    tensors = {
        name: np.ascontiguousarray(values, dtype=np.float32) for name, values in numbers.items()
    }
    (folder / WEIGHTS).write_bytes(to_safetensors(tensors))
    config = {
        name: getattr(features, name)
        for name in ("analyzer", "lowercase", "ngram_range", "sublinear_tf")
    }
    write_json(folder / CONFIG, config)
    parts = {
        "vocabulary": (folder / NGRAMS).stat().st_size,
        "weights": sum(each.nbytes for each in tensors.values()),
    }
    total = sum(file.stat().st_size for file in folder.iterdir() if file.name != MANIFEST)
    facts = {
        "parameters": parameters(pipeline),
        "bytes_by_part": {**parts, "other": total - sum(parts.values())},
    }
    write_manifest(folder, facts)


def load_baseline(folder: Path) -> Pipeline:
    """Return the pipeline in a folder that `save_baseline` wrote, its numbers rounded to float32.

    Raises:
        MinnowError: a file is missing or differs from the manifest.
    """
    check_manifest(folder)
    config, tensors = read_json(folder / CONFIG), load_file(folder / WEIGHTS)
    lines = (
        (folder / NGRAMS).read_bytes().decode().split("\n")[:-1]
    )  # not splitlines: an n-gram may hold U+2028
    config["ngram_range"] = tuple(config["ngram_range"])
    features = TfidfVectorizer(**config, vocabulary=[json.loads(line) for line in lines])
    features.idf_ = tensors["idf"]
    regression = LogisticRegression()
    regression.classes_ = np.array([0, 1])
    regression.coef_ = tensors["coefficients"].astype(np.float64)[None]
    regression.intercept_ = tensors["intercept"].astype(np.float64)
    return make_pipeline(features, regression)


def store_baseline_logits(folder: Path, out: Path, tables: Mapping[str, pl.DataFrame]) -> None:
    """Write `<out>/<name>.parquet` for tables with `id` and `text`, all or none, by the baseline
    saved in `folder`.

    Raises:
        MinnowError: the folder is damaged.
    """
    pipeline = load_baseline(folder)
    with replacing(out) as logits_folder:
        for name, table in tables.items():
            logits = baseline_logits(pipeline, table["text"].to_list()).astype(np.float32)
            write_logits(logits_folder / f"{name}.parquet", table["id"].to_list(), logits)
