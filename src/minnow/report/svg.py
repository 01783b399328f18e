"""Vega-Lite to SVG that takes its colours from the page around it, and can hold nothing but
drawing. Pure.

A specification names its colours by role (`paint("teacher")`); `draw` turns them into CSS
variables, so that a drawing serves dark and light. Elements and attributes that are not on a list
are dropped, whatever a name in the data says.
"""

from typing import Any
from xml.etree import ElementTree

from minnow.layout import EVERY_MODEL
from minnow.text.display import plain

Spec = dict[str, Any]
# Placeholders that no chart would use for themselves; `draw` replaces them by var(--ROLE).
ROLES = (
    "ink",
    "muted",
    "grid",
    "paper",
    *EVERY_MODEL,
    "good",
    "bad",
    "open",
    *(f"part-{n}" for n in range(1, 7)),
)
PAINTS = {role: f"#0a0b{number:02x}" for number, role in enumerate(ROLES)}
VARIABLES = {paint: f"var(--{role})" for role, paint in PAINTS.items()}
# Bundled with vl-convert, which measures texts with it: a font of the machine would move the axes.
FONT = "Liberation Sans"
SVG = "http://www.w3.org/2000/svg"
KEPT_TAGS = {"svg", "g", "path", "line", "rect", "circle", "text", "tspan"}
KEPT_ATTRIBUTES = {
    *(
        "viewBox",
        "width",
        "height",
        "x",
        "y",
        "x1",
        "x2",
        "y1",
        "y2",
        "cx",
        "cy",
        "r",
        "dx",
        "dy",
        "d",
        "transform",
    ),
    *(
        "fill",
        "fill-opacity",
        "stroke",
        "stroke-width",
        "stroke-opacity",
        "stroke-dasharray",
        "stroke-linecap",
    ),
    *("opacity", "text-anchor", "font-size", "font-weight"),
}


def paint(role: str) -> str:
    """Return the placeholder of a colour's role."""
    return PAINTS[role]


def draw(spec: Spec, label: str) -> str:
    """Return a specification drawn as an `<svg>` for a page: colours as CSS variables, and `label`
    for screen readers.

    Deterministic, without ids, links, scripts, styles or fonts.
    """
    import vl_convert

    drawn = vl_convert.vegalite_to_svg({**spec, "config": CONFIG}, allowed_base_urls=[])
    root = ElementTree.fromstring(drawn)
    cleaned = _cleaned(root)
    assert cleaned is not None
    cleaned.set("role", "img")
    cleaned.set("aria-label", plain(label, 300))
    return ElementTree.tostring(cleaned, encoding="unicode")


def _cleaned(element: ElementTree.Element) -> ElementTree.Element | None:
    """Return a copy with what is on the lists and nothing else; None for an element that is not, or
    draws nothing.
    """
    tag = element.tag.removeprefix(f"{{{SVG}}}")
    if (
        tag not in KEPT_TAGS
        or element.get("display") == "none"
        or element.get("class") == "background"
    ):
        return None
    copy = ElementTree.Element(tag)
    for name, value in element.attrib.items():
        if name in KEPT_ATTRIBUTES and (name, value) not in (
            ("opacity", "1"),
            ("stroke-width", "0"),
        ):
            copy.set(name, VARIABLES.get(value, value))
    copy.text = element.text
    copy.extend(child for child in map(_cleaned, element) if child is not None)
    return None if tag == "g" and not len(copy) else copy


CONFIG: Spec = {
    "aria": False,
    "font": FONT,
    "background": None,
    "padding": {"left": 2, "right": 6, "top": 4, "bottom": 4},
    "view": {"stroke": None},
    "axis": {
        "labelColor": paint("muted"),
        "titleColor": paint("ink"),
        "titleFontWeight": "normal",
        "labelFontSize": 11,
        "titleFontSize": 12,
        "titlePadding": 8,
        "gridColor": paint("grid"),
        "domainColor": paint("muted"),
        "tickColor": paint("muted"),
        "tickSize": 4,
        "labelLimit": 220,
        "tickCount": 5,
    },
    "axisY": {"domain": False, "ticks": False},
}
