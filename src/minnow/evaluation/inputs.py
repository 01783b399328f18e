"""Stored logits, labels and sizes of one checkout. No model is loaded."""

import numpy as np

from minnow.core.files import read_json
from minnow.core.tables import read_logits, read_table
from minnow.evaluation import calibration, metrics
from minnow.evaluation.records import Headline
from minnow.evaluation.thresholds import Rule
from minnow.layout import Layout


def labels_of(layout: Layout, split: str) -> metrics.Array:
    """Return the labels of a split, shape (rows,)."""
    return np.asarray(read_table(layout.split(split))["label"].to_numpy())


def ids_of(layout: Layout, split: str) -> list[str]:
    """Return the ids of a split, in the order of its rows."""
    return read_table(layout.split(split))["id"].to_list()


def logits(layout: Layout, model: str, split: str) -> metrics.Array:
    """Return a model's stored logits of a split, joined by id, shape (rows, labels)."""
    return np.asarray(read_logits(layout.logits_of(model, split), ids_of(layout, split)))


def needed_bytes(layout: Layout, model: str) -> int:
    """Return the bytes of everything that a model needs to run, from its manifest."""
    return sum(int(file["bytes"]) for file in read_json(layout.manifest(model))["files"].values())


def headline_of(layout: Layout, model: str, rule: Rule | None) -> Headline:
    """Return the flat metrics of one model, at the threshold that a rule asks for."""
    test, validation = (
        (logits(layout, model, split), labels_of(layout, split)) for split in ("test", "validation")
    )
    return metrics.headline(
        test=test,
        validation=validation,
        threshold=calibration.decision_threshold(
            metrics.margins_of(validation[0]), validation[1], rule
        ),
        parameters=read_json(layout.manifest(model))["parameters"],
        size=needed_bytes(layout, model),
        teacher_size=needed_bytes(layout, "teacher"),
    )


def needed_bytes_by_part(layout: Layout, model: str) -> dict[str, int]:
    """Return the bytes of a model by part; they add up to all that it needs to run.

    A tokenizer's files are taken out of the manifest's `other` as `vocabulary`, as the baseline
    calls its own; what is left there are configs and the header of the weights' file.
    """
    manifest = read_json(layout.manifest(model))
    parts, files = manifest["bytes_by_part"], manifest["files"]
    tokenizer = sum(
        int(fact["bytes"]) for name, fact in files.items() if name.startswith("tokenizer")
    )
    split = {"vocabulary": tokenizer, "other": parts["other"] - tokenizer} if tokenizer else {}
    return {**parts, **split, "total": needed_bytes(layout, model)}
