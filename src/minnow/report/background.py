"""Data and parameters to the page's tables. Pure; the template escapes all of it."""

from collections.abc import Mapping
from typing import Any

from minnow.evaluation.results import DataReport
from minnow.evaluation.slice_records import Slices
from minnow.layout import SPLITS
from minnow.report.formatting import count, flattened, models_in_order, number, percent, words
from minnow.text.display import plain

SPLIT_WAYS = {
    "domain": "The split is by registered domain",
    "random": "The split is by row",
    "time": "The split is by time",
}


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
        "split": SPLIT_WAYS[report.split],
        "times": time_ranges(report),
        "past": past_rows(report),
        "source": plain(report.source),
    }


def time_ranges(report: DataReport) -> str:
    """Return from when to when each split reaches, nothing where nobody knows."""
    return "; ".join(
        f"{split} from {plain(each['first'][:10])} to {plain(each['last'][:10])}"
        for split in SPLITS
        if (each := (report.times or {}).get(split))
    )


def past_rows(report: DataReport) -> str:
    """Return how many rows have a domain of the past, and what became of them; nothing where the
    split is not by time.
    """
    if report.past_domains is None:
        return ""
    found = " and ".join(f"{count(n)} in {plain(name)}" for name, n in report.past_domains.items())
    then = "were removed" if "past_domain" in report.dropped else "are kept: see the slices"
    return f"Rows whose domain the past knows, {found}, {then}."


def months_table(report: Slices) -> list[dict[str, Any]]:
    """Return a row for each month of test: a cell for each model, F1 with accuracy and recall."""
    return [
        {
            "month": plain(one.month),
            "rows": count(one.rows),
            "phishing": percent(one.phishing / one.rows),
            "cells": [
                {
                    "f1": number(one.f1[model], 3),
                    "below": f"{number(one.accuracy[model], 3)} {number(one.recall[model], 3)}",
                }
                for model in models_in_order(one.f1)
            ],
        }
        for one in report.months
    ]


def params_tables(blocks: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the parameters in force, a table per block, its keys dotted."""
    return [{"name": plain(name), "rows": list(flattened(block))} for name, block in blocks.items()]
