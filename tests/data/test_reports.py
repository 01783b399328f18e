"""Reports: JSON that a record can be made of again, and that holds what others read of it."""

import json

import pytest

from helpers.data import PUBLISHED, Row, run, source
from helpers.paths import ROOT
from minnow.data.reports import (
    Copies,
    ExtraReport,
    FileTexts,
    HubOrigin,
    PrepareReport,
    UnlabelledReport,
)
from minnow.data.sources import Source

TEST: list[Row] = [("new.com", 1, None), ("newer.com", 0, None), ("newer.com", 0, None)]
ROWS = source(*PUBLISHED, test=TEST)


@pytest.mark.parametrize(
    "rows",
    [
        source(*PUBLISHED),
        ROWS,
        Source(ROWS.rows, hub=HubOrigin("me/urls", "0123")),
        Source(ROWS.rows, hub=HubOrigin("data/raw/hub/set", None)),
    ],
)
def test_a_prepared_report_comes_back_from_its_json(rows: Source) -> None:
    report = run(rows).report
    assert PrepareReport.from_json(json.loads(json.dumps(report.as_json()))) == report


def test_the_hub_is_named_only_where_rows_are_the_hubs() -> None:
    assert not {"id", "commit", "hub"} & set(run(ROWS).report.as_json())
    document = run(Source(ROWS.rows, hub=HubOrigin("me/urls", "0123"))).report.as_json()
    assert (document["id"], document["commit"]) == ("me/urls", "0123")
    assert "hub" not in document


def test_the_committed_report_is_one() -> None:
    document = json.loads((ROOT / "metrics" / "prepare.json").read_text())
    assert PrepareReport.from_json(document).as_json() == document


def test_extra_and_unlabelled_reports_come_back_from_their_json() -> None:
    extra = ExtraReport("x.csv", 9, {"safe": 2, "phishing": 3}, 1, {"duplicate": 3}, 0.25)
    assert ExtraReport.from_json(extra.as_json()) == extra
    file = FileTexts("more.csv", 3, {"empty": 1}, 2)
    for report in (
        UnlabelledReport(0),
        UnlabelledReport(4, None, Copies(5, 4)),
        UnlabelledReport(6, file, Copies(5, 4)),
    ):
        assert UnlabelledReport.from_json(report.as_json()) == report
    assert UnlabelledReport(0).as_json() == {"rows": 0}
    assert UnlabelledReport(4, None, Copies(5, 4)).as_json() == {
        "rows": 4,
        "file": None,
        "copies": {"asked": 5, "kept": 4},
    }
