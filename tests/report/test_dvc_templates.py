"""Templates of `dvc plots show`: they are those of the charts, and DVC's data is seen in them."""

import json
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest
import vl_convert
import yaml
from dvc_render.vega import VegaRenderer

from helpers import results as made_up
from helpers.paths import ROOT
from minnow.layout import JUDGED
from minnow.report import dvc_templates
from minnow.report.svg import PAINTS
from minnow.tools import plots_template

FOLDER = ROOT / ".dvc" / "plots"
PLOTS = {
    name: definition
    for plot in yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
    for name, definition in plot.items()
}
REVISIONS = ("workspace", "HEAD")
SVG = "{http://www.w3.org/2000/svg}"


def drawn(plot: str, rows: list[dict[str, Any]], *revisions: str) -> ElementTree.Element:
    """Return what `dvc plots show` draws of a plot of dvc.yaml; DVC reads numbers as text."""
    given = {key: PLOTS[plot][key] for key in ("template", "x")}
    (y,) = set(PLOTS[plot]["y"].values())
    points = [
        {**{key: str(value) for key, value in row.items()}, "rev": revision}
        for revision in revisions
        for row in rows
    ]
    renderer = VegaRenderer(points, plot, **given, y=y, template_dir=str(FOLDER))
    return ElementTree.fromstring(vl_convert.vegalite_to_svg(renderer.get_filled_template()))


def placed(
    element: ElementTree.Element, x: float = 0.0, y: float = 0.0
) -> Iterator[tuple[str, float, float]]:
    """Return every text with its place on the picture."""
    shift = element.get("transform", "")
    if shift.startswith("translate("):
        right, down = shift.removeprefix("translate(").split(")")[0].split(",")
        x, y = x + float(right), y + float(down)
    if element.tag == f"{SVG}text":
        yield element.text or "", x, y
    for child in element:
        yield from placed(child, x, y)


def strings(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {text for inner in value.values() for text in strings(inner)}
    if isinstance(value, list):
        return {text for inner in value for text in strings(inner)}
    return {value} if isinstance(value, str) else set()


def test_the_committed_templates_are_those_of_the_charts() -> None:
    committed = {file.stem: file.read_text(encoding="utf-8") for file in FOLDER.glob("*.json")}
    assert committed == plots_template.template_texts(), (
        "`python src/stage.py plots_template` first"
    )


@pytest.mark.parametrize("name", dvc_templates.templates())
def test_a_template_has_colours_and_no_placeholder_of_one(name: str) -> None:
    assert not strings(dvc_templates.templates()[name]) & set(PAINTS.values())


def test_the_colours_are_those_of_the_light_page() -> None:
    assert dvc_templates.light_colours()["teacher"] == "#1769aa"
    assert set(PAINTS) <= set(dvc_templates.light_colours())


@pytest.mark.parametrize(("plot", "template"), [("ROC", "roc"), ("Calibration", "calibration")])
def test_the_line_to_compare_with_has_the_columns_that_dvc_fills_in(
    plot: str, template: str
) -> None:
    below = json.loads((FOLDER / f"{template}.json").read_text())["layer"][0]
    (y,) = PLOTS[plot]["y"].values()
    assert set(below["data"]["values"][0]) == {PLOTS[plot]["x"], y}


def test_each_matrix_stands_under_its_model_and_beside_its_revision() -> None:
    cells = {
        (revision, model): 10 * (1 + 4 * down) + across
        for down, revision in enumerate(REVISIONS)
        for across, model in enumerate(JUDGED)
    }
    rows = [
        {"rev": revision, "model": model, "actual": "safe", "predicted": "safe"}
        for (revision, model), count in cells.items()
        for _ in range(count)
    ]
    renderer = VegaRenderer(
        rows, "c", template="confusion", template_dir=str(FOLDER), x="actual", y="predicted"
    )
    root = ElementTree.fromstring(vl_convert.vegalite_to_svg(renderer.get_filled_template()))
    places = {text: (x, y) for text, x, y in placed(root)}
    for (revision, model), count in cells.items():
        # the only cell of a matrix stands in its middle
        x, y = places[str(count)]
        assert x == pytest.approx(places[model][0], abs=15), (revision, model)
        assert y == pytest.approx(places[revision][1], abs=15), (revision, model)


@pytest.mark.parametrize(("plot", "table"), [("Sensitivity", "sensitivity"), ("Slices", "slices")])
def test_every_row_of_a_table_is_a_dot_in_a_colour(plot: str, table: str) -> None:
    rows = made_up.plots()[table].to_dicts()
    root = drawn(plot, rows, *REVISIONS)
    groups = [
        group
        for group in root.iter(f"{SVG}g")
        if "role-mark" in group.get("class", "") and "marks" in group.get("class", "")
    ]
    dots = [path for group in groups for path in group.iter(f"{SVG}path")]
    colours = set(dvc_templates.light_colours().values())
    assert len([dot for dot in dots if dot.get("fill") in colours]) == 2 * len(rows)
