"""Logits and labels to numbers, for two labels with 1 = phishing. Floats are rounded to 4 decimals at the end."""

from typing import Any

import numpy as np
from sklearn import metrics as sk

from minnow.selection import validation_f1

DECIMALS = 4
Array = np.ndarray[Any, np.dtype[Any]]


def margin(logits: Array) -> Array:
    """Return phishing logit − safe logit of logits (rows, 2), as float64 of shape (rows,).

    It orders the rows as the probability does, which would tie those above 37: they all round to 1.
    """
    return np.subtract(logits[:, 1], logits[:, 0], dtype=np.float64)


def predicted(logits: Array) -> Array:
    """Return 1 where the phishing logit is the larger, else 0; shape (rows,)."""
    return (logits[:, 1] > logits[:, 0]).astype(np.int64)


def classification(logits: Array, labels: Array) -> dict[str, float]:
    """Return accuracy, precision, recall, f1 (phishing class, threshold 0.5) and roc_auc, each in [0, 1]."""
    guesses = predicted(logits)
    precision, recall, f1_score, _ = sk.precision_recall_fscore_support(
        labels, guesses, average="binary", pos_label=1, zero_division=0
    )
    return {
        "accuracy": rounded(sk.accuracy_score(labels, guesses)),
        "precision": rounded(precision),
        "recall": rounded(recall),
        "f1": rounded(f1_score),
        "roc_auc": rounded(sk.roc_auc_score(labels, margin(logits))),
    }


def headline(
    *,
    test: tuple[Array, Array],
    validation: tuple[Array, Array],
    parameters: int,
    size: int,
    teacher_size: int,
) -> dict[str, float | int]:
    """Return the flat metrics of one model, the same keys for every model.

    `test` and `validation` are (logits, labels); sizes are bytes of all that the model needs to run.
    """
    return {
        **classification(*test),
        "validation_f1": rounded(validation_f1(*validation)),
        "parameters": parameters,
        "size_mb": rounded(size / 1e6),
        "compression_x": rounded(teacher_size / size),
    }


def agreement(logits: Array, teacher_logits: Array, labels: Array) -> dict[str, float | int]:
    """Return how a model's predictions differ from the teacher's on the same rows.

    `changed` counts rows predicted otherwise; `mended` those of them that are right only now, `broken` the others.
    """
    guesses, teacher_guesses = predicted(logits), predicted(teacher_logits)
    changed = guesses != teacher_guesses
    return {
        "rows": len(labels),
        "agreement": rounded(1 - changed.mean()),
        "changed": int(changed.sum()),
        "mended": int((changed & (guesses == labels)).sum()),
        "broken": int((changed & (guesses != labels)).sum()),
    }


def rounded(value: float) -> float:
    """Round to the decimals that two CPU generations agree on."""
    return round(float(value), DECIMALS)
