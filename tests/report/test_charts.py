"""Charts: what is drawn where, in whose colour, and that nothing in the data becomes more than
text.
"""

import re
import subprocess
import sys
from collections import Counter
from xml.etree import ElementTree

import polars as pl
import pytest
import vl_convert

from helpers import results as made_up
from helpers.paths import ROOT
from helpers.results import record
from minnow.evaluation.records import Hop, Hops
from minnow.evaluation.results import Sensitivity
from minnow.evaluation.slice_records import Slices, SliceScore
from minnow.layout import JUDGED
from minnow.report import changes, charts, confusion, curves, dots, size_bars, svg
from minnow.report.formatting import BITS
from minnow.text.display import REPLACEMENT, plain

PATHS = (ROOT / "src", ROOT / "tests", ROOT / "tests" / "report")
PLOTS = made_up.plots()
SIZES = made_up.sizes()
HOSTILE = "</text></svg><script>alert(1)</script>\u202e\x00\" onload='x' {{ 7*7 }}"


def every_chart() -> dict[str, svg.Spec]:
    trained = {model: PLOTS[f"{model}_training"] for model in ("teacher", "student")}
    counts = PLOTS["confusion"].filter(model="teacher")
    moved = PLOTS["shift"].filter(before="teacher", after="student")
    return {
        "roc": curves.roc_chart(PLOTS["roc"]),
        "precision_recall": curves.precision_recall_chart(PLOTS["pr"]),
        "calibration": curves.calibration_chart(PLOTS["calibration"]),
        "confusion": confusion.confusion_chart("teacher", counts),
        "shift": changes.shift_chart("student", moved),
        "size": size_bars.size_bars(SIZES),
        "loss": curves.training_curves(trained, "loss", "loss"),
        "slices": dots.slices_chart(record(Slices, made_up.slices()).slices),
        "sensitivity": dots.sensitivity_chart(
            record(Sensitivity, made_up.sensitivity()).parts, BITS
        ),
        "forest": changes.forest_chart(record(Hops, made_up.hops()).hops, 0.005),
    }


CHARTS = every_chart()


def drawn(spec: svg.Spec) -> ElementTree.Element:
    return ElementTree.fromstring(svg.draw(spec, "label"))


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter("text")]


def across(element: ElementTree.Element) -> float:
    found = re.match(r"translate\(([-\d.]+)", element.get("transform", ""))
    assert found
    return float(found[1])


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_holds_nothing_but_drawing_in_the_colours_of_the_page(name: str) -> None:
    root = drawn(CHARTS[name])
    assert {element.tag for element in root.iter()} <= svg.KEPT_TAGS
    assert root.get("role") == "img"
    assert root.get("aria-label") == "label"
    allowed = {*svg.VARIABLES.values(), "none", "transparent"}
    for element in root.iter():
        assert set(element.attrib) <= svg.KEPT_ATTRIBUTES | {"role", "aria-label"}
        assert {element.get(kind, "none") for kind in ("fill", "stroke")} <= allowed
    assert sum(element.tag in ("path", "rect", "line") for element in root.iter()) >= 4


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_fits_a_phone(name: str) -> None:
    root = drawn(CHARTS[name])
    assert float(root.get("width", "nan")) <= charts.WIDE
    assert root.get("viewBox", "").split() == ["0", "0", root.get("width"), root.get("height")]


def test_the_same_chart_gives_the_same_bytes_in_another_process() -> None:
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\nimport test_charts as t, minnow.report.svg as s,"
        " hashlib\nprint(hashlib.sha256(''.join(s.draw(c, n) for n, c in"
        " t.CHARTS.items()).encode()).hexdigest())"
    )
    command = [sys.executable, "-c", code, *map(str, PATHS)]
    seen = {
        subprocess.run(
            command, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1


@pytest.mark.parametrize("name", ["roc", "precision_recall", "calibration"])
def test_curves_draw_one_line_per_model_on_top_of_each_other_from_wide_to_narrow(name: str) -> None:
    lines = [
        path for path in drawn(CHARTS[name]).iter("path") if path.get("fill", "none") == "none"
    ]
    by_model = {path.get("stroke"): float(path.get("stroke-width", "1")) for path in lines}
    widths = [by_model[f"var(--{model})"] for model in ("teacher", "student", "quantized")]
    assert widths == sorted(widths, reverse=True)
    assert "var(--baseline)" in by_model


def test_curves_run_through_their_points() -> None:
    """One point in the middle of unit axes lies in the middle of the frame that (0, 0) and (1, 1)
    span.
    """
    table = pl.DataFrame({"probability": [0.0, 0.5, 1.0], "observed": [0.0, 0.5, 1.0]})
    table = table.select(pl.lit("teacher").alias("model"), pl.all())
    paths = drawn(curves.calibration_chart(table)).iter("path")
    line = next(
        path
        for path in paths
        if path.get("stroke") == "var(--teacher)" and "L" in path.get("d", "")
    )
    places = [
        tuple(map(float, pair.split(",")))
        for pair in re.findall(r"[-\d.]+,[-\d.]+", line.get("d", ""))
    ]
    (left, bottom), middle, (right, top) = places
    assert middle == pytest.approx(((left + right) / 2, (bottom + top) / 2))
    assert right > left
    assert top < bottom


def test_confusion_shows_the_four_counts_and_tints_shares_of_the_actual_label() -> None:
    pairs = [("safe", "safe")] * 6 + [("safe", "phishing")] * 2 + [("phishing", "phishing")] * 1500
    root = drawn(
        confusion.confusion_chart(
            "student", pl.DataFrame(pairs, schema=["actual", "predicted"], orient="row")
        )
    )
    assert [text for text in texts(root) if text[0].isdigit()] == ["6", "2", "0", "1,500"]
    tints = [
        float(path.get("fill-opacity", "1"))
        for path in root.iter("path")
        if path.get("fill") == "var(--student)"
    ]
    low, high = 0.06, 0.42
    assert tints == pytest.approx([low + 0.75 * (high - low), low + 0.25 * (high - low), low, high])


def test_sizes_stack_to_their_totals() -> None:
    sizes = {
        "teacher": {"body": 6_000_000, "head": 2_000_000, "total": 8_000_000},
        "quantized": {"body": 1_000_000, "other": 1_000_000, "total": 2_000_000},
    }
    assert size_bars.parts(sizes) == ["body", "head", "other"]
    root = drawn(size_bars.size_bars(sizes))
    assert [text for text in texts(root) if text.endswith("MB")] == ["8.00 MB", "2.00 MB"]
    bars = [path for path in root.iter("path") if path.get("fill", "").startswith("var(--part-")]
    widths = Counter[str]()
    for bar in bars:
        found = re.fullmatch(r"M([-\d.]+),([-\d.]+)h([-\d.]+)v[-\d.]+h[-\d.]+Z", bar.get("d", ""))
        assert found
        widths[found[2]] += float(found[3])
    teacher, quantized = (widths[row] for row in sorted(widths, key=float))
    assert teacher == pytest.approx(4 * quantized, rel=1e-3)


def test_small_slices_are_hollow_and_the_others_filled() -> None:
    found = record(Slices, made_up.slices()).slices
    marks = [
        mark
        for mark in drawn(dots.slices_chart(found)).iter("path")
        if "var(" in mark.get("fill", "")
    ]
    hollow = [mark for mark in marks if mark.get("fill-opacity") == "0"]
    assert len(marks) == len(found) * len(JUDGED)
    assert len(hollow) == sum(score.small for score in found) * len(JUDGED) == 2 * 4


def test_a_slice_is_drawn_even_if_another_has_its_name_or_a_model_has_no_score() -> None:
    twins = [made_up.one_slice("host", "same", 200), made_up.one_slice("host", "same", 300)]
    del twins[0]["models"]["teacher"]
    root = drawn(dots.slices_chart([record(SliceScore, twin) for twin in twins]))
    assert texts(root).count("host: same") == 2
    assert len([mark for mark in root.iter("path") if "var(" in mark.get("fill", "")]) == 7


def test_the_forest_has_zero_where_the_zero_line_is_and_colours_by_verdict() -> None:
    hops = [
        made_up.hop("teacher", "student", -0.002, 0.002),
        made_up.hop("student", "quantized", -0.02, -0.01),
        made_up.hop("teacher", "quantized", -0.01, 0.01),
        made_up.hop("baseline", "quantized", -0.001, 0.002),
    ]
    root = drawn(changes.forest_chart([record(Hop, hop) for hop in hops], 0.005))
    points = [path for path in root.iter("path") if path.get("d", "").count("A") > 1]
    assert [point.get("fill") for point in points] == [
        f"var(--{role})" for role in ("good", "bad", "open", "open")
    ]
    uprights = [
        line
        for line in root.iter("line")
        if line.get("stroke") == "var(--muted)" and line.get("y2")
    ]
    zero = next(line for line in uprights if line.get("stroke-dasharray") == "1,0")
    margin = next(line for line in uprights if line.get("stroke-dasharray") == "3,2")
    places = [across(point) for point in points]
    assert places[0] == places[2] == pytest.approx(across(zero))
    assert places[1] < across(margin) < places[0] < places[3]


def test_training_curves_leave_out_what_a_model_has_not() -> None:
    tables = {"student": pl.DataFrame({"epoch": [1], "loss": [0.5], "validation_f1": [None]})}
    root = drawn(curves.training_curves(tables, "validation_f1", "F1"))
    assert not [
        path
        for path in root.iter("path")
        if path.get("stroke") == "var(--student)" and path.get("d")
    ]


def test_names_from_the_data_stay_text() -> None:
    found = [
        made_up.one_slice("top-level domain", HOSTILE, 200),
        made_up.one_slice(HOSTILE, "x", 200),
    ]
    sizes = {"teacher": {HOSTILE: 5, "total": 5}}
    scores = [record(SliceScore, score) for score in found]
    for spec in (dots.slices_chart(scores), size_bars.size_bars(sizes)):
        markup = svg.draw(spec, HOSTILE)
        root = ElementTree.fromstring(markup)
        assert {element.tag for element in root.iter()} <= svg.KEPT_TAGS
        assert not any(
            "alert" in value
            for element in root.iter()
            for value in element.attrib.values()
            if element != root
        )
        assert "<script" not in markup
        assert "\u202e" not in markup
        assert markup.count("<svg") == markup.count("</svg>") == 1
    assert root.get("aria-label") == plain(HOSTILE, 300)
    assert REPLACEMENT in plain(HOSTILE, 300)


def test_whatever_the_renderer_returns_only_drawing_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = (
        f'<svg xmlns="{svg.SVG}" xmlns:xlink="http://www.w3.org/1999/xlink" width="9" height="9"'
        ' onload="alert(1)"><script>alert(1)</script><a xlink:href="javascript:alert(1)"><path'
        ' d="M0,0"/></a><image xlink:href="x"/><style>*{color:red}</style><foreignObject><iframe'
        ' src="x"/></foreignObject><g onclick="alert(1)" style="x" id="y" class="z"><path d="M1,1"'
        ' fill="#0a0b05"/></g><g/></svg>'
    )
    monkeypatch.setattr(vl_convert, "vegalite_to_svg", lambda *_, **__: given)
    assert (
        svg.draw({}, "l") == '<svg width="9" height="9" role="img" aria-label="l"><g><path d="M1,1"'
        ' fill="var(--teacher)" /></g></svg>'
    )
