"""Linear models over hashed n-grams, each a file of a few hundred kilobytes.

A text is a sparse row: a weight for each bucket that one of its n-grams falls into. A model is a
table of numbers, a row a bucket, and a head: margin = row @ table @ head + bias. The table is
stored as float16, as int8 with a float32 scale per block, or as int8 of the largest numbers alone,
with a bit per bucket that says which. MurmurHash3 finds the bucket, the same in every process. A
file does not say how its texts become rows: that is the caller's.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from safetensors.numpy import save as to_safetensors
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import HashingVectorizer

from minnow.core.files import replacing

Array = np.ndarray[Any, np.dtype[Any]]
# As many as scikit-learn can number: folded to as few as a model has.
MOST_BUCKETS = 2**31 - 1
# Numbers that share a scale, and the largest whole number that one is rounded to.
BLOCK, LARGEST = 128, 127
FORMATS = ("float16", "int8", "pruned")
# Bytes that a file holds beside its numbers: names, shapes, bias and padding.
HEADER = 512


@dataclass(frozen=True)
class Linear:
    """A model: `table` (buckets, dimension), `head` (dimension,) and `bias` (1,)."""

    table: Array
    head: Array
    bias: Array

    @property
    def weights(self) -> Array:
        """What each bucket adds to the margin, (buckets,)."""
        return np.asarray(self.table @ self.head)

    def margins(self, rows: csr_matrix) -> Array:
        """Return the margins (rows,) of sparse rows, as float64."""
        return np.asarray(rows @ self.weights.astype(np.float64) + self.bias[0])


# Texts to sparse rows


def character_counts(texts: Sequence[str], ngram_range: tuple[int, int]) -> csr_matrix:
    """Return how often each hash of a character n-gram stands in a text, (texts, MOST_BUCKETS)."""
    return _hashed(texts, analyzer="char", ngram_range=ngram_range)


def word_counts(texts: Sequence[str]) -> csr_matrix:
    """Return how often each hash of a word stands in a text: letters, digits and _ in a row."""
    return _hashed(texts, analyzer="word", token_pattern=r"\w+")


def _hashed(texts: Sequence[str], **options: Any) -> csr_matrix:
    vectorizer = HashingVectorizer(
        n_features=MOST_BUCKETS, norm=None, alternate_sign=False, dtype=np.float32, **options
    )
    return csr_matrix(vectorizer.transform(texts))


def folded(counts: csr_matrix, buckets: int) -> csr_matrix:
    """Return counts (texts, buckets): hashes that leave the same remainder share a bucket."""
    shape = (counts.shape[0], buckets)
    whole = csr_matrix((counts.data, counts.indices % buckets, counts.indptr), shape, copy=True)
    whole.sum_duplicates()
    return whole


def sublinear(counts: csr_matrix) -> csr_matrix:
    """Return 1 + ln(count), each row of Euclidean length 1: the baseline's weights without idf."""
    return scaled(counts, 1 + np.log(counts.data), lambda values: np.sqrt(values.power(2).sum(1)))


def averaging(counts: csr_matrix) -> csr_matrix:
    """Return each row's shares of its count: a product with it is a mean over its n-grams."""
    return scaled(counts, counts.data, lambda values: values.sum(1))


def scaled(counts: csr_matrix, values: Array, length: Callable[[csr_matrix], Array]) -> csr_matrix:
    """Return rows of these values, each divided by its length; an empty row stays empty."""
    rows = csr_matrix((values, counts.indices, counts.indptr), counts.shape)
    lengths = np.asarray(length(rows)).ravel()
    rows.data = rows.data / np.repeat(lengths, np.diff(rows.indptr))
    return rows


# Numbers to bytes, and back


def to_int8(values: Array) -> dict[str, Array]:
    """Return `numbers` (n,) as int8 and a float32 `scales` per BLOCK; rounded by half a scale at
    most.
    """
    padded = np.zeros(-(-values.size // BLOCK) * BLOCK, dtype=np.float32)
    padded[: values.size] = values.ravel()
    blocks = padded.reshape(-1, BLOCK)
    scales = np.abs(blocks).max(axis=1) / np.float32(LARGEST)
    divisors = np.where(scales == 0, np.float32(1), scales)
    whole = np.rint(blocks / divisors[:, None]).clip(-LARGEST, LARGEST).astype(np.int8)
    return {"numbers": whole.ravel()[: values.size], "scales": scales.astype(np.float32)}


def from_int8(stored: dict[str, Array]) -> Array:
    """Return the float32 values (n,) that `to_int8` rounded."""
    numbers = stored["numbers"]
    return np.asarray(numbers * np.repeat(stored["scales"], BLOCK)[: numbers.size])


def to_pruned(values: Array, kept: int) -> dict[str, Array]:
    """Return the `kept` largest of values (n,) by |value| as int8, and a bit for each of the n."""
    largest = np.sort(np.argsort(-np.abs(values), kind="stable")[:kept])
    there = np.zeros(values.size, dtype=bool)
    there[largest] = True
    return {"there": np.packbits(there), **to_int8(values[largest])}


def from_pruned(stored: dict[str, Array], size: int) -> Array:
    """Return the values (size,) that `to_pruned` stored, 0 where one was left out."""
    values = np.zeros(size, dtype=np.float32)
    values[np.unpackbits(stored["there"], count=size).astype(bool)] = from_int8(stored)
    return values


def save_linear(model: Linear, path: Path, stored_as: str, budget: int) -> int:
    """Write a model and return the bytes of its file, at most `budget`.

    `pruned` keeps as many buckets as the budget has room for; it is for a dimension of 1.

    Raises:
        ValueError: it does not fit.
    """
    numbers = _packers(model.table, budget)[stored_as]()
    shape = np.array(model.table.shape, dtype=np.int64)
    tensors = {"shape": shape, "head": model.head, "bias": model.bias, **numbers}
    content = to_safetensors({key: np.ascontiguousarray(each) for key, each in tensors.items()})
    if len(content) > budget:
        raise ValueError(f"{path.name} takes {len(content):,} bytes; {budget:,} are allowed")
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path.stat().st_size


def _packers(table: Array, budget: int) -> dict[str, Callable[[], dict[str, Array]]]:
    return {
        "float16": lambda: {"halves": table.astype(np.float16).ravel()},
        "int8": partial(to_int8, table),
        "pruned": lambda: to_pruned(table[:, 0], room(budget - table.size // 8)),
    }


def load_linear(path: Path) -> Linear:
    """Return the model that `save_linear` wrote, its numbers as they were rounded."""
    stored = load_file(path)
    buckets, dimension = map(int, stored["shape"])
    if "halves" in stored:
        values = stored["halves"].astype(np.float32)
    elif "there" in stored:
        values = from_pruned(stored, buckets * dimension)
    else:
        values = from_int8(stored)
    return Linear(values.reshape(buckets, dimension), stored["head"], stored["bias"])


def room(budget: int, dimension: int = 1) -> int:
    """Return how many rows of a table in int8, with their scales, fit into so many bytes."""
    return max(0, (budget - HEADER) * BLOCK // (BLOCK + 4) // dimension)


def fitting(stored_as: str, buckets: int, budget: int) -> bool:
    """Tell whether a table of dimension 1 fits; of a pruned one, an eighth of the numbers."""
    needed: dict[str, Iterable[float]] = {
        "float16": [2 * buckets],
        "int8": [buckets, 4 * buckets / BLOCK],
        "pruned": [buckets / 8, buckets / 8],
    }
    return sum(needed[stored_as]) + HEADER <= budget
