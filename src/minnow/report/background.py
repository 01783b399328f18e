"""Data and parameters to the page's tables. Pure; the template escapes all of it."""

from collections.abc import Mapping
from typing import Any

from minnow.evaluation.results import DataReport
from minnow.layout import SPLITS
from minnow.report.formatting import count, flattened, percent, words
from minnow.text.display import plain


def data_facts(report: DataReport) -> dict[str, Any]:
    """Return what was read, dropped and kept, and how far the splits leak."""
    splits = [
        {
            "name": split,
            "cells": [
                count(report.kept[split].total),
                count(report.kept[split].phishing),
                count(report.kept[split].safe),
                count(report.domains[split]),
            ],
        }
        for split in SPLITS
    ]
    return {
        "rows_read": count(report.rows_read),
        "dropped": [(words(why), count(rows)) for why, rows in report.dropped.items()],
        "cleaned": [(words(what), count(rows)) for what, rows in report.cleaned.items()],
        "splits": splits,
        "leak": percent(report.leak),
        "by_domain": report.split == "domain",
        "source": plain(report.source),
    }


def params_tables(blocks: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the parameters in force, a table per block, its keys dotted."""
    return [{"name": plain(name), "rows": list(flattened(block))} for name, block in blocks.items()]
