"""The page: what it says first, that nothing from the data becomes markup, and that it is the same
each time.
"""

import functools
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from helpers import results as made_up
from helpers.paths import ROOT
from helpers.results import record
from helpers.stage import new_project
from minnow.core.files import write_json
from minnow.core.tables import write_logits, write_table
from minnow.errors import MinnowError
from minnow.evaluation.calibration_records import WantedPrecision
from minnow.evaluation.records import (
    AgainstPipeline,
    Decisive,
    Difference,
    Estimate,
    Hop,
    Hops,
    Intervals,
    SampleFacts,
)
from minnow.evaluation.results import DataReport, Sensitivity, as_json, write_evidence
from minnow.evaluation.slice_records import MonthScores, Slices
from minnow.layout import EVERY_MODEL, JUDGED, MODELS, Layout
from minnow.report import (
    formatting,
    markdown,
    mistakes,
    other_rows,
    page,
    probabilities,
    sections,
    svg,
    verdicts,
)
from minnow.report.background import data_facts
from minnow.report.mistakes import Mistake
from minnow.text.display import defanged, plain

HOSTILE = [
    "<script>alert(1)</script>",
    "javascript:alert(1)",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7*7 }}{% raw %}{# x #}",
    "</svg><script>alert(1)</script>",
    "</title></style></textarea></code><iframe src=//evil.example>",
    "http://evil.example/\u202egpj.exe",
    "HtTpS://user:pass@evil.example:8080/a.b?u=http://other.example",
    "a\x00b\x1b[31m\u2028\ufeff.example",
    "&lt;b&gt;&#60;script&#62;",
    "evil.example/" + "a" * 5000,
    "",
]


class Elements(HTMLParser):
    """Every element in order, as (tag, attributes), and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    @property
    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        """Tags with the names of their attributes."""
        return [(tag, tuple(attributes)) for tag, attributes in self.found]


@pytest.fixture(autouse=True)
def each_chart_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most tests change little of the page; the renderer takes a second for all charts."""
    monkeypatch.setattr(svg, "draw", lambda spec, label: once(json.dumps(spec), label))


DRAW = svg.draw


@functools.cache
def once(spec: str, label: str) -> str:
    return DRAW(json.loads(spec), label)


def rendered(**changes: Any) -> Elements:
    return Elements(page.render(made_up.findings(**changes)))


def hop(before: str, after: str, low: float, high: float) -> Hop:
    return record(Hop, made_up.hop(before, after, low, high))


def with_hops(*intervals: tuple[float, float]) -> dict[str, Any]:
    """hops.json with these intervals of F1, in the order of helpers_results.HOPS."""
    hops = [
        made_up.hop(*names, *interval)
        for names, interval in zip(made_up.HOPS, intervals, strict=True)
    ]
    return {**made_up.hops(), "hops": hops}


def first_line(html: Elements) -> str:
    """The first text of the body."""
    start = next(number for number, text in enumerate(html.texts) if ":root" in text)
    return next(text for text in html.texts[start + 1 :] if text.strip())


BEATS, OPEN, WORSE = (0.01, 0.03), (-0.01, 0.03), (-0.03, -0.01)
SMALL, LARGE, WIDE, UP = (-0.004, 0.003), (-0.03, -0.01), (-0.02, 0.01), (0.001, 0.01)


@pytest.mark.parametrize(
    ("whole", "teacher", "quantized", "sentence"),
    [
        (
            SMALL, BEATS, BEATS,
            "The quantized student keeps the teacher’s F1 within the margin of"
            " 0.005; both beat the plain baseline.",
        ),
        (
            UP, BEATS, BEATS,
            "The quantized student is better than the teacher; both beat the plain"
            " baseline.",
        ),
        (
            LARGE, BEATS, OPEN,
            "The quantized student is not shown to beat the plain baseline, which"
            " the teacher beats; the quantized "
            "student loses more of the teacher’s F1 than the margin of 0.005 allows.",
        ),
        (
            SMALL, OPEN, BEATS,
            "The teacher is not shown to beat the plain baseline, which the"
            " quantized student beats; the quantized "
            "student keeps the teacher’s F1 within the margin of 0.005.",
        ),
        (
            SMALL, OPEN, WORSE,
            "Neither the teacher nor the quantized student is shown to beat the"
            " plain baseline; the quantized student "
            "keeps the teacher’s F1 within the margin of 0.005.",
        ),
        (
            WIDE, WORSE, WORSE,
            "The teacher and the quantized student are both worse than the plain"
            " baseline; 4,508 test rows cannot tell "
            "whether the quantized student keeps the teacher’s F1 within the margin of 0.005.",
        ),
        (
            SMALL, BEATS, WORSE,
            "The quantized student is worse than the plain baseline, which the"
            " teacher beats; the quantized student "
            "keeps the teacher’s F1 within the margin of 0.005.",
        ),
    ],
)  # fmt: skip
def test_the_first_line_is_the_verdict_and_begins_with_an_unbeaten_baseline(
    whole: tuple[float, float],
    teacher: tuple[float, float],
    quantized: tuple[float, float],
    sentence: str,
) -> None:
    hops = with_hops(SMALL, SMALL, whole, teacher, quantized)
    assert verdicts.sentence(record(Hops, hops), {}) == sentence
    assert first_line(rendered(hops=hops)) == sentence


INTERVALS = [UP, SMALL, WIDE, LARGE, (0.0, 0.01), (-0.005, 0.01), (-0.01, -0.005)]


@pytest.mark.parametrize("interval", INTERVALS)
def test_better_than_the_teacher_is_said_only_where_the_interval_says_so(
    interval: tuple[float, float],
) -> None:
    html = rendered(hops=with_hops(SMALL, SMALL, interval, BEATS, BEATS))
    assert ("better than the teacher" in html.text) == (interval[0] > 0)


@pytest.mark.parametrize(
    ("interval", "before", "words"),
    [
        (SMALL, "teacher", ("within the margin", "good")),
        (LARGE, "teacher", ("beyond the margin", "bad")),
        (WIDE, "teacher", ("undecided", "open")),
        (UP, "teacher", ("better", "good")),
        ((-0.02, -0.001), "teacher", ("worse, margin open", "bad")),
        (UP, "baseline", ("beats it", "good")),
        (SMALL, "baseline", ("not shown better", "open")),
        ((0.0, 0.01), "baseline", ("not shown better", "open")),
        (LARGE, "no_teacher", ("worse", "bad")),
    ],
)
def test_a_hop_in_words(interval: tuple[float, float], before: str, words: tuple[str, str]) -> None:
    assert verdicts.label(hop(before, "quantized", *interval)) == words


def test_what_a_hop_means() -> None:
    def said(low: float, high: float) -> str:
        return verdicts.meaning(hop("teacher", "student", low, high), 0.005, 450)

    assert said(*LARGE) == "The student loses at least 0.0100 of F1, more than the margin of 0.005."
    assert (
        said(*WIDE)
        == "With 450 rows it stays open whether the loss of F1 is below the margin of 0.005. "
        "About 20,000 rows would show it non-inferior in 4 of 5 cases, if the difference stayed"
        " what it is."
    )
    assert said(*SMALL) == "If the student loses any F1, then less than the margin of 0.005."
    assert said(-0.0045, -0.0012) == "The student loses some F1, but less than the margin of 0.005."
    assert said(-0.0045, 0.0) == "If the student loses any F1, then less than the margin of 0.005."
    assert said(-0.02, -0.001).startswith(
        "The student loses some F1: the whole interval lies below zero. With 450 rows it stays open"
        " whether the loss is below the margin of 0.005. About 20,000 rows"
    )
    unknown = replace(hop("teacher", "student", *WIDE), rows_needed=None)
    assert (
        verdicts.meaning(unknown, 0.005, 450)
        == "With 450 rows it stays open whether the loss of F1 is below the margin of 0.005."
    )


def test_a_rival_is_beaten_by_the_interval_before_rounding() -> None:
    """0.00004 rounds to 0.0000; the JSON says which side of zero it was on."""
    for verdict, word in (("better", "beats it"), ("undecided", "not shown better")):
        found = replace(hop("baseline", "quantized", 0.0, 0.01), verdict=verdict)
        assert verdicts.label(found)[0] == word
        assert ("beats" in verdicts.meaning(found, 0.005, 450)) == (verdict == "better")


def test_what_the_number_of_verdicts_takes_back_is_said() -> None:
    found = replace(
        hop("teacher", "student", *SMALL), verdict="undecided", p=0.0201, adjusted_p=0.0804
    )
    assert verdicts.meaning(found, 0.005, 450) == (
        "With 450 rows it stays open whether the loss of F1 is below the margin of 0.005. By its"
        " interval alone it would be “within the margin”; among so many verdicts in one table, that"
        " may be chance (p 0.0201, corrected 0.0804)."
    )


def test_what_chose_on_validation_is_named_and_only_that() -> None:
    found = made_up.findings()
    scored = {name: replace(each, validation_score=-0.25) for name, each in found.headline.items()}
    noted = [
        {row["name"]: (row["note"], row["cells"][0]["value"]) for row in table}
        for headline in (found.headline, scored)
        for table in [sections.models_table(found.evidence.intervals.models, headline)]
    ]
    chooses = "chooses epochs and settings"
    assert noted[0]["F1 on validation"][0] == noted[1]["Score on validation"][0] == chooses
    assert noted[1]["Score on validation"][1] == "−0.250"
    assert noted[1]["F1 on validation"][0] == ""
    assert "Score on validation" not in noted[0]


def test_a_domain_that_decides_is_named_and_cannot_be_followed() -> None:
    one = Decisive("evil.example", 24, 0, "undecided")
    found = replace(hop("teacher", "student", *SMALL), decisive=one)
    assert verdicts.meaning(found, 0.005, 450).endswith(
        "One domain decides: evil[.]example has 24 of the 41 flips to wrong and 0 of the 50 to"
        " right, and without it the verdict would be “undecided”."
    )
    assert verdicts.one_domain(replace(found, decisive=replace(one, verdict_without=None))) == (
        "One domain decides: evil[.]example has 24 of the 41 flips to wrong and 0 of the 50 to"
        " right."
    )
    facts = dict(sections.hop_facts(found, "domain"))
    assert facts["Most of them"] == "login[.]example[.]com: 9 to wrong, 1 to right"
    assert (facts["By row"], facts["By domain"]) == ("McNemar’s p = 0.4021", "p = 0.5012")
    assert facts["Verdict"] == "p = 0.0010, corrected 0.0040"


def test_verdicts_on_a_rival_are_in_words_for_a_rival() -> None:
    one = Decisive("evil.example", 24, 0, "undecided")
    found = replace(hop("baseline", "quantized", *LARGE), verdict="undecided", decisive=one, p=0.02)
    assert "By its interval alone it would be “worse”" in verdicts.meaning(found, 0.005, 450)
    assert verdicts.one_domain(found).endswith(
        "without it the verdict would be “not shown better”."
    )


@pytest.mark.parametrize("name", ["*a*.b", "[x](http://a.b)", "<b>.a", "`a`.b", "|.a"])
def test_a_domain_is_no_markup(name: str) -> None:
    assert not set("*()<>`|/") & set(formatting.harmless_domain(name))


def test_rows_say_how_they_lie_in_domains_and_whether_an_interval_can_be_had() -> None:
    sample = record(SampleFacts, made_up.sample(2182, 2326))
    assert formatting.sample_words(sample) == (
        "The 4,508 rows stand in 2,695 domains; the largest, free[.]example[.]com, has 4.6 % of"
        " them. They weigh as much as 1,348 domains of equal size."
    )
    few = replace(sample, domains=None, no_interval="there are 12 phishing rows")
    assert formatting.sample_words(few) == (
        "Each row is taken for independent of all others. No interval can be had: there are 12"
        " phishing rows."
    )
    assert formatting.bounds(Estimate(0.9, 0.0, 1.0)) == "no interval"
    assert formatting.interval_text(Difference(0.1, -1.0, 1.0)) == "no interval"


def test_what_phishing_is_found_where_it_is_rare() -> None:
    rows = probabilities.prevalence_table(made_up.findings().evidence.intervals.models)
    assert [row["name"] for row in rows] == [
        f"{name}, {share} phishing"
        for share in ("2 %", "0.1 %")
        for name in ("Precision", "F1", "False alarms in a million URLs")
    ]
    assert rows[0]["cells"][0] == {"value": "0.160", "below": ["0.159–0.161"]}
    assert rows[2]["cells"][0] == {"value": "81,438", "below": ["73,500–89,376"]}
    unknown = made_up.intervals()
    unknown["models"]["teacher"]["fpr"] |= {"low": 0.0, "high": 1.0}
    cell = probabilities.prevalence_table(record(Intervals, unknown).models)[2]["cells"][1]
    assert cell["below"] == ["no interval"]
    asked = "Where phishing is rare"
    assert asked in rendered().text
    none = made_up.intervals()
    for each in none["models"].values():
        each["at_prevalence"] = []
    assert asked not in rendered(intervals=none).text


def test_a_table_of_markdown() -> None:
    assert (
        markdown.markdown_table(["a", "b"], [["x", "1"], ["y", "2"]])
        == "| a | b |\n| --- | ---: |\n| x | 1 |\n| y | 2 |"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0021, "+0.0021"), (-0.0021, "−0.0021"), (0.0, "0.0000"), (-0.00001, "0.0000")],
)
def test_differences_carry_their_sign(value: float, text: str) -> None:
    assert formatting.signed(value) == text


def test_numbers_in_words() -> None:
    assert formatting.p_value(0.0) == "p < 0.0001"
    assert formatting.p_value(0.0312) == "p = 0.0312"
    assert formatting.percent(0.0131, 2) == "1.31 %"
    assert [formatting.short(value) for value in (0.005, 0.01, 1.0)] == ["0.005", "0.01", "1"]
    assert [formatting.megabytes(value) for value in (438.2, 100, 63.64, 0.941)] == [
        "438",
        "100",
        "63.6",
        "0.94",
    ]


@pytest.mark.parametrize("source", ["synthetic", "hub", "file"])
def test_synthetic_data_is_announced_and_only_it(source: str) -> None:
    html = rendered(prepare=made_up.prepare(source))
    assert ("Synthetic data." in html.text) == (source == "synthetic")
    assert ("say nothing about phishing in the real world" in html.text) == (source == "synthetic")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://a.example.com/x.html", "hxxp://a[.]example[.]com/x.html"),
        ("HTTPS://a.example.com", "hxxpS://a[.]example[.]com"),
        ("example.com/path", "example[.]com/path"),
        ("example.com", "example[.]com"),
        ("10.0.0.1:8080/a", "10[.]0[.]0[.]1[:]8080/a"),
        ("http://u:p@a.b:1/c", "hxxp://u:p@a[.]b:1/c"),
        ("ftp://a.b/c", "ftp[:]//a[.]b/c"),
        ("javascript:alert(1)", "javascript[:]alert(1)"),
        ("a.b/?u=https://c.d/e", "a[.]b/?u=hxxps://c.d/e"),
        ("http:\\\\a.b\\c", "hxxp:\\\\a[.]b\\c"),
        ("http:a.b/c.d", "hxxp:a[.]b/c.d"),
        ("a\u3002b\uff0ec\uff61d/x", "a[.]b[.]c[.]d/x"),
        ("a.b?c.d", "a[.]b?c.d"),
        ("", ""),
    ],
)
def test_urls_are_defanged(url: str, shown: str) -> None:
    assert defanged(url) == shown


def test_nothing_defanged_can_be_followed() -> None:
    for url in HOSTILE:
        assert not re.search(r"https?:|javascript:", defanged(url), re.IGNORECASE)


def test_invisible_letters_are_seen_and_long_texts_keep_both_ends() -> None:
    assert plain("a\u202eb\x00c\u200bd\u2028e") == "a�b�c�d�e"
    shown = plain("start" + "x" * 500 + "end", 40)
    assert len(shown) == 40
    assert shown.startswith("start")
    assert shown.endswith("end")
    assert plain("x" * 40, 40) == "x" * 40


def hostile_findings(texts: Sequence[str]) -> dict[str, Any]:
    """Every place that a text from data or user reaches, filled from `texts` in turn."""
    turn = itertools.cycle(texts)
    slices = made_up.slices()
    for each in slices["slices"]:
        each["slice"], each["value"] = "trait", next(turn)
    slices["slices"][0]["slice"] = next(turn)
    sizes = {model: {**parts, next(turn) + model: 1} for model, parts in made_up.sizes().items()}
    prepare = made_up.prepare("file")
    prepare["dropped"] = {next(turn): 4}
    prepare["cleaned"] = {next(turn): 4}
    found = made_up.extra()["next_year"]
    found["dropped"] = {next(turn): 19}
    control = {
        "facts": {next(turn): next(turn)},
        "against_pipeline": {},
        "rows": 10,
        "sample": made_up.sample(5, 5),
        "models": dict.fromkeys(("no_teacher", "student"), made_up.main_estimates(0.9)),
        "hops": [made_up.hop("no_teacher", "student", 0.001, 0.01)],
    }
    return {
        "preset": next(turn),
        "slices": slices,
        "sizes": sizes,
        "prepare": prepare,
        "extra": {next(turn): found},
        "controls": {next(turn): control},
        "missed": made_up.mistakes([next(turn) for _ in texts]),
        "alarms": made_up.mistakes([next(turn) for _ in texts]),
        "params": {"data": {next(turn): next(turn), "nested": {next(turn): [next(turn)]}}},
        "versions": {next(turn): next(turn)},
    }


def test_nothing_from_the_data_becomes_an_element_or_an_attribute() -> None:
    """With hostile texts the page has the very elements and attributes that it has with harmless
    ones.
    """
    harmless = rendered(
        **hostile_findings([f"harmless {number}" for number in range(len(HOSTILE))])
    )
    for shift in range(len(HOSTILE)):  # so that every text reaches every place
        html = rendered(**hostile_findings(HOSTILE[shift:] + HOSTILE[:shift]))
        assert html.shape == harmless.shape
        for tag, attributes in html.found:
            assert not any(name.startswith("on") for name in attributes), (tag, attributes)
            for name, value in attributes.items():
                assert not re.search("alert|evil|7|lt;", value) or name not in (
                    "href",
                    "src",
                    "style",
                    "class",
                ), value
    assert "<script>alert(1)</script>" in html.text
    assert "{{ 7*7 }}" in html.text


def test_no_link_leaves_the_page_and_nothing_is_loaded() -> None:
    html = rendered(extra=made_up.extra(), missed=made_up.mistakes(HOSTILE))
    ids = [attributes["id"] for _, attributes in html.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for tag, attributes in html.found if tag == "a"]
    assert len(links) > 5
    assert {link.removeprefix("#") for link in links} <= set(ids)
    assert [attributes["href"] for tag, attributes in html.found if tag == "link"] == ["data:,"]
    assert not {"script", "img", "iframe", "object", "embed", "form", "base"} & {
        tag for tag, _ in html.found
    }
    assert not any(
        {"src", "srcset", "xlink:href"} & set(attributes) for _, attributes in html.found
    )
    policy = next(
        each["content"]
        for _, each in html.found
        if each.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    css = (page.TEMPLATES / "report.css").read_text()
    assert not re.search(r"url\(|@import|https?:", css)


def test_the_page_is_the_same_each_time_and_tells_no_place_or_time() -> None:
    once, again = (page.render(made_up.findings()) for _ in range(2))
    assert once == again
    assert str(ROOT) not in once
    assert not re.search(r"20\d\d-\d\d", once)


def test_charts_are_named_for_those_who_do_not_see_them() -> None:
    html = rendered()
    drawn = [attributes for tag, attributes in html.found if tag == "svg"]
    assert (
        len(drawn) == 16
    )  # forest, 3 curves, 4 confusions, 3 shifts, size, 2 of training, slices, sensitivity
    assert all(each["role"] == "img" and len(each["aria-label"]) > 10 for each in drawn)
    assert next(attributes for tag, attributes in html.found if tag == "html")["lang"] == "en-GB"
    heads = [int(tag[1]) for tag, _ in html.found if re.fullmatch(r"h\d", tag)]
    assert heads.count(1) == 1
    assert all(after <= before + 2 for before, after in itertools.pairwise(heads))
    assert all("scope" in attributes for tag, attributes in html.found if tag == "th")


def test_an_exported_model_has_a_column_in_every_table_and_a_place_in_every_figure() -> None:
    changes = made_up.with_exported()
    filled = page.content(made_up.findings(**changes))
    assert filled["judged"] == list(EVERY_MODEL)
    assert {len(row["cells"]) for row in filled["models"]} == {5}
    assert {len(row["scores"]) for group in filled["slices"] for row in group["rows"]} == {5}
    assert len(filled["figures"]["confusion"]) == 5
    assert [figure.title for figure in filled["figures"]["shifts"]][-2:] == [
        "quantized → exported",
        "teacher → exported",
    ]
    assert [(hop["before"], hop["after"]) for hop in filled["hops"]][-2:] == [
        ("quantized", "exported"),
        ("teacher", "exported"),
    ]
    html = page.render(made_up.findings(**changes))
    assert "var(--exported)" in html
    assert "runs without PyTorch" in html


def test_without_an_export_nobody_speaks_of_one() -> None:
    _, body = page.render(made_up.findings()).split("</style>")
    assert "exported" not in body


def test_the_table_shows_estimates_with_their_intervals() -> None:
    found = made_up.findings()
    rows = {
        row["name"]: row["cells"]
        for row in sections.models_table(found.evidence.intervals.models, found.headline)
    }
    assert rows["F1"][0] == {"value": "0.901", "below": ["0.893–0.909"]}
    assert rows["Phishing found at 1 % false alarms"][0]["below"][1] == "at 1.31 %"
    assert rows["Phishing found at 0.1 % false alarms"][3] == {
        "value": formatting.NONE,
        "below": [],
    }
    assert rows["Smaller than the teacher"][3]["value"] == "4.7 ×"
    assert [len(cells) for cells in rows.values()] == [len(JUDGED)] * len(rows)
    assert sections.unmeasured_reasons(found.evidence.intervals.models) == [
        "Phishing found at 0.1 % false alarms: validation has 450 safe rows; a false-positive rate"
        " of 0.1 % needs 1000."
    ]


def test_parts_stand_by_what_they_lose_with_what_they_are_shipped_in() -> None:
    shown = sections.sensitivity_table(record(Sensitivity, made_up.sensitivity()), made_up.FORMATS)
    assert [(row["name"].removeprefix("bert."), row["shipped"]) for row in shown["rows"]] == [
        ("encoder.layer.0.output.dense", "nf4"),
        ("embeddings.word_embeddings", "bfloat16"),
        ("encoder.layer.1.output.dense", "nf4"),
        ("pooler.dense", formatting.NONE),
    ]
    assert [cell["value"] for cell in shown["rows"][0]["cells"]] == ["2.3e-03", "3.2e-06", "0"]
    assert shown["rows"][0]["cells"][0]["below"] == "3 flips, 0.03 MB in nf4"
    assert shown["rows"][3]["cells"][0] == {"value": formatting.NONE, "below": ""}
    text = rendered().text
    assert "on 1,000 validation rows, where it has an F1 of 0.923" in text
    assert "bert.encoder.layer.0.output.dense" in text


def test_hurt_slices_are_named_as_evaluation_found_them() -> None:
    def lost(value: str, rows: int, change: float, *, hurt: bool) -> dict[str, Any]:
        each = made_up.one_slice("s", value, rows) | {"hurt": hurt}
        each["hops"][2] |= {"change": change}
        return each

    found = [
        lost("a", 500, -0.01, hurt=True),
        lost("small", 50, -0.2, hurt=False),
        lost("same", 500, 0.0, hurt=False),
        lost("d", 500, -0.03, hurt=True),
        lost("gained", 500, 0.1, hurt=False),
    ]
    named = sections.hurt_slices(record(Slices, {"small_below": 100, "slices": found}), "domain")
    assert [each["name"] for each in named] == ["s: d", "s: a"]
    assert named[0]["text"] == (
        "F1 −0.0300; of its 500 rows 12 turned wrong and 3 right; p by domain 0.0201, corrected"
        " 0.0402"
    )
    shown = rendered(slices={"small_below": 100, "slices": found}).text
    assert "No slice is shown to be hurt." not in shown
    assert "Small slices aside, 4 slices were looked at." in shown
    assert "one in 20 on average may be there by chance" in shown
    unhurt = rendered(slices={"small_below": 100, "slices": found[1:3]}).text
    assert "No slice is shown to be hurt. Small slices aside, 1 slice was looked at." in unhurt


def test_what_the_intervals_leave_out_is_said_beside_them() -> None:
    models = rendered().text.split("What each hop cost")[0]
    assert "another training seed" in models
    assert "The 4,508 rows stand in 2,695 domains" in models
    assert "bootstrap by domain, 1,000 resamples" in models


def test_a_hop_shows_what_is_found_at_few_false_alarms_where_that_is_known() -> None:
    bare = hop("teacher", "student", *SMALL)
    known = replace(bare, tpr_at_fpr_1pct=Difference(-0.0213, -0.05, 0.0074))
    facts = [dict(card["facts"]) for card in sections.hop_cards([known, bare], 0.005, 450, "row")]
    assert facts[0]["Found at 1 %"] == "−0.0213 (−0.0500 to +0.0074)"
    assert "Found at 1 %" not in facts[1]


def test_rows_that_were_drawn_by_row_have_no_p_by_domain() -> None:
    facts = dict(sections.hop_facts(hop("teacher", "student", *SMALL), "row"))
    assert facts["By row"].startswith("McNemar")
    assert "By domain" not in facts
    assert "p by row, corrected" in verdicts.chance_of_slices(3, "row")
    slice_ = made_up.one_slice("s", "a", 500) | {"hurt": True}
    hurt = sections.hurt_slices(record(Slices, {"small_below": 100, "slices": [slice_]}), "row")
    assert "p by row 0.0201" in hurt[0]["text"]


def test_a_threshold_on_the_page_says_which_probability_it_is() -> None:
    found = made_up.findings().evidence.calibration
    moved = {
        model: replace(one, decision=replace(one.decision, probability_before_temperature=0.7312))
        for model, one in found.models.items()
    }
    found = replace(found, models=moved)
    (row,) = [
        row for row in probabilities.calibration_table(found)["rows"] if row["name"] == "Threshold"
    ]
    assert (row["note"], row["cells"][0]) == ("probability before temperature", "0.731")


def test_other_sets_and_controls_are_there_when_there_are_any() -> None:
    assert not {"Other test sets", "Controls"} & set(rendered().texts)
    html = rendered(extra=made_up.extra(), controls=hostile_findings(["x"])["controls"])
    assert {"Other test sets", "Controls"} <= set(html.texts)
    assert "41 removed because training or validation holds them" in html.text
    assert "12.1 % of the rows have a domain that training has too" in html.text
    assert "Here the margin is 0.02 of F1." in html.text
    assert "whether the loss of F1 is below the margin of 0.02." in html.text
    assert "Safe URLs above the threshold for 1 %" in html.text
    assert "Safe URLs above the threshold for 0.1 %" not in html.text
    assert (
        "The threshold of the quantized student does not carry over: it calls 38.1 %" in html.text
    )
    assert "; on next_year it is not shown to keep" in first_line(html)
    assert "calls 38.1 % of the safe URLs phishing, against 8.3 % on test" in first_line(html)


def test_data_params_and_versions_are_spelled_out() -> None:
    html = rendered(
        params={
            "distill": {"temperature": 2.0, "seed": None, "deep": {"on": True, "list": ["a", "b"]}}
        }
    )
    text = html.text
    for words in (
        "temperature 2.0",
        "seed null",
        "deep.on true",
        "deep.list a, b",
        "torch 2.13.0",
        "python 3.11",
    ):
        assert words in text
    for words in (
        "30,000 rows read",
        "both labels 4",
        "train 20,984 10,490 10,494 12,381",
        "0.0 % of the test rows",
    ):
        assert words in text


def test_a_split_by_time_says_from_when_to_when_and_what_became_of_the_past() -> None:
    report = made_up.record(DataReport, made_up.prepare())
    assert data_facts(report)["split"] == "The split is by registered domain"
    assert data_facts(report)["times"] == data_facts(report)["past"] == ""
    times = {
        name: {"first": f"2026-0{month}-01T00:00:00Z", "last": f"2026-0{month}-28T09:00:00Z"}
        for month, name in enumerate(("train", "validation", "test"), start=1)
    }
    timed = replace(report, split="time", times=times, past_domains={"test": 1200, "validation": 7})
    facts = data_facts(timed)
    assert facts["split"] == "The split is by time"
    assert facts["times"] == (
        "train from 2026-01-01 to 2026-01-28; validation from 2026-02-01 to 2026-02-28; test from"
        " 2026-03-01 to 2026-03-28"
    )
    told = "Rows whose domain the past knows, 1,200 in test and 7 in validation, "
    assert facts["past"] == f"{told}are kept: see the slices."
    removed = replace(timed, dropped={**report.dropped, "past_domain": 1207})
    assert data_facts(removed)["past"] == f"{told}were removed."


def test_months_are_a_table_only_where_rows_have_a_time() -> None:
    slices = made_up.findings().evidence.slices
    scores = dict(zip(JUDGED, (0.91, 0.92, 0.93, 0.94), strict=True))
    month = MonthScores("2026-03", 1200, 300, dict.fromkeys(JUDGED, 0.5), scores, scores)
    text = rendered(slices=as_json(replace(slices, months=(month,)))).text
    assert "Month by month" in text
    assert "2026-03 1,200 25.0 % 0.910 0.500 0.910 0.920 0.500 0.920" in text
    assert "Month by month" not in rendered().text


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"wanted_f1": True}, "each model’s threshold is the one with the best F1: compression"),
        (
            {"wanted_precision": WantedPrecision(0.9, 0.02)},
            "is the lowest where 90 % of what is called phishing would be, if 2 % of the URLs were",
        ),
    ],
    ids=["f1", "precision"],
)
def test_the_rule_of_the_threshold_is_named(wanted: dict[str, Any], words: str) -> None:
    asked = as_json(replace(made_up.findings().evidence.calibration, **wanted))
    assert words in rendered(calibration=asked).text


def test_the_page_says_that_few_domains_fitted_what_validation_set() -> None:
    fitted = made_up.findings().evidence.calibration
    asked = as_json(replace(fitted, few_domains="there is one"))
    assert (
        "other domains cannot be told: of validation there is one."
        in rendered(calibration=asked).text
    )
    assert "on other domains cannot be told" not in rendered(calibration=as_json(fitted)).text


def test_a_wanted_rate_is_named() -> None:
    wanted = as_json(replace(made_up.findings().evidence.calibration, wanted_fpr=0.01))
    assert "at most 1 % of the safe rows pass" in rendered(calibration=wanted).text
    assert "Every model says phishing from probability 0.5." in rendered().text


def test_the_hardest_errors_are_those_farthest_beyond_the_threshold() -> None:
    texts, labels = ["a", "b", "c", "d", "e", "f"], [1, 1, 1, 0, 0, 0]
    margins = [-3.0, 0.5, 2.0, 4.0, 0.9, -1.0]
    assert mistakes.hardest(texts, labels, margins, 0.0) == ([0], [3, 4])
    assert mistakes.hardest(texts, labels, margins, 1.0) == ([0, 1], [3])
    assert mistakes.hardest(texts, labels, [0.0] * 6, 0.0) == (
        [0, 1, 2],
        [],
    )  # at the threshold is not above it
    many = mistakes.hardest(
        [str(row) for row in range(50)], [0] * 50, [float(row) for row in range(50)], -1.0
    )
    assert many == ([], list(range(49, 39, -1)))
    assert mistakes.hardest(["b", "a"], [1, 1], [-1.0, -1.0], 0.0) == ([1, 0], [])


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_texts_and_lines_stand_out_from_the_paper(theme: int) -> None:
    """WCAG AA: 4.5 for texts, 3 for graphics."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    css = (page.TEMPLATES / "report.css").read_text()
    colours = dict(
        re.findall(r"--([\w-]+): (#\w{6})", css.split(":root {")[theme + 1].split("}")[0])
    )
    for role in ("ink", "muted", "good", "bad", "open"):
        assert contrast(colours[role], colours["paper"]) >= 4.5, role
        assert contrast(colours[role], colours["raised"]) >= 4.5, role
    for model in EVERY_MODEL:
        assert contrast(colours[model], colours["paper"]) >= 3, model


def project(root: Path) -> Layout:
    """A project with made-up results and a test split of four rows."""
    layout = Layout(new_project(root))
    found = made_up.findings()
    write_evidence(layout, found.evidence)
    write_json(layout.metrics("prepare"), made_up.prepare())
    write_json(layout.metrics("sensitivity"), made_up.sensitivity())
    for model in JUDGED:
        write_json(layout.metrics(model), made_up.headline(model))
    write_json(layout.manifest("quantized"), {"formats": found.formats})
    made_up.write_plots(layout, found.plots)
    texts = ["http://fine.example/", "caught.example", "missed.example/<b>", "alarm.example"]
    split = pl.DataFrame({"id": list("abcd"), "text": texts, "label": [0, 1, 1, 0]})
    write_table(layout.split("test"), split)
    for model in MODELS:
        logits = pl.DataFrame(
            {"logit_0": [2.0, 0.0, 2.0, 0.0], "logit_1": [0.0, 2.0, 0.0, 2.0]}
        ).to_numpy()
        write_logits(layout.logits_of(model, "test"), list("abcd"), logits)
    return layout


def test_the_stage_writes_the_page_from_files(tmp_path: Path) -> None:
    from minnow.stages import report

    layout = project(tmp_path)
    report.main(tmp_path)
    once = layout.report("report").read_bytes()
    report.main(tmp_path)
    assert layout.report("report").read_bytes() == once
    html = Elements(once.decode())
    assert "missed[.]example/<b>" in html.text
    assert "alarm[.]example" in html.text
    assert "caught" not in html.text
    assert "88.1 %" in html.text  # 1 / (1 + exp(-2))
    assert "soft_weight 0.5" in html.text


@pytest.mark.parametrize("block", [None, [], 1])
def test_a_preset_without_blocks_ends_in_one_line(tmp_path: Path, block: Any) -> None:
    from minnow.stages import report

    layout = Layout(new_project(tmp_path))
    document = yaml.safe_load(layout.params.read_text())
    document["presets"][document["preset"]] = block
    layout.params.write_text(yaml.safe_dump(document))
    with pytest.raises(MinnowError, match=r"presets\.\w+ is .*; it must be a block") as refusal:
        report.Params.load(tmp_path).blocks()
    assert "\n" not in str(refusal.value)


def test_the_stage_names_a_plot_that_is_missing(tmp_path: Path) -> None:
    from minnow.stages import report

    layout = project(tmp_path)
    layout.evaluation_plot("roc").unlink()
    with pytest.raises(MinnowError, match=r"roc\.csv cannot be read .* `dvc repro` makes it"):
        report.main(tmp_path)
    assert not layout.report("report").exists()


def test_mistakes_show_what_every_model_thought() -> None:
    shown = mistakes.mistakes(
        [Mistake("a.b", {"teacher": 0.5, "student": 0.25, "quantized": 0.0})], []
    )
    assert shown[0]["rows"] == [{"url": "a[.]b", "cells": ["50.0 %", "25.0 %", "0.0 %"]}]
    assert shown[1]["rows"] == []


def test_a_control_on_another_split_is_set_against_the_pipeline() -> None:
    up, open_ = Difference(0.03, 0.01, 0.05), Difference(0.0, -0.1, 0.1)
    line = other_rows.against_pipeline("teacher", AgainstPipeline(up, up))
    assert (
        line
        == "The teacher: +0.0300 of F1 against this pipeline’s own split (+0.0100 to +0.0500, two"
        " independent samples)."
    )
    assert other_rows.against_pipeline("student", AgainstPipeline(open_, open_)).endswith(
        "; the interval holds zero."
    )
    none = Difference(0.02, -1.0, 1.0)
    assert other_rows.against_pipeline("student", AgainstPipeline(none, none)).endswith(
        "own split (no interval, two independent samples)."
    )
