"""The page as a file: whole, closed, and what it refuses to be made of; its lists in V8."""

import base64
import csv
import hashlib
import io
import json
import random
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from conftest import TEXTS
from helpers.page import FACTS, Made, embedded, make_page
from helpers.v8 import V8
from minnow.export.page import building
from minnow.export.page.building import HERE, build_page
from minnow.export.parts import FloatPart, FourBits

ODD = ["<img src=x onerror=alert(1)>", "hxxps[:]//a[.]b/&amp;x", "пример.рф/путь", "", "=1+1"]


@pytest.fixture(scope="module")
def made(tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_page(tmp_path_factory.mktemp("page"), tokenizer)


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text of scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.within = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.texts.append("")
        self.within = True

    def handle_endtag(self, tag: str) -> None:
        self.within = False

    def handle_data(self, data: str) -> None:
        if self.within:
            self.texts[-1] += data

    def named(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        pairs = zip(self.found, self.texts, strict=True)
        return [(attributes, text) for (name, attributes), text in pairs if name == tag]


def test_the_policy_lets_nothing_run_or_load_but_what_is_in_the_page(made: Made) -> None:
    page = Elements(made.html)
    said = [each["content"] for each, _ in page.named("meta") if "http-equiv" in each]
    rules = dict(rule.split(" ", 1) for rule in str(said[0]).split("; "))
    scripts = [text for each, text in page.named("script") if "type" not in each]
    assert len(said) == len(scripts) == len(page.named("style")) == 1
    digests = [
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in (scripts[0], page.named("style")[0][1])
    ]
    assert rules == {
        "default-src": "'none'",
        "script-src": f"{digests[0]} 'wasm-unsafe-eval'",
        "style-src": digests[1],
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }


def test_nothing_in_the_page_points_outside_or_makes_markup(made: Made) -> None:
    page = Elements(made.html)
    for tag, attributes in page.found:
        assert tag not in {"a", "img", "link", "iframe", "object", "embed", "base"}, tag
        odd = {"src", "href", "style", "srcset", "action", "data"} & attributes.keys()
        assert not odd, (tag, attributes)
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
    [(_, script)] = [each for each in page.named("script") if "type" not in each[0]]
    for never in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "fetch(", "eval("):
        assert never not in script
    assert not re.search(r"https?://\w", script)


def test_what_is_said_of_the_model_ends_no_element(made: Made) -> None:
    """Its name holds `</script>`."""
    assert made.html.count("</script>") == 2
    data: dict[str, Any] = embedded(made.html)
    assert ["Name", FACTS.name] in data["about"]["facts"]
    assert data["settings"]["threshold"] == made.facts.threshold
    assert data["about"]["limits"] == list(FACTS.limits)
    assert data["about"]["synthetic"] is True


def test_equal_models_give_equal_bytes(made: Made) -> None:
    again, reason = build_page(made.encoder, made.tokenizer_json, made.facts)
    assert (again, reason) == (made.html, "")


def test_without_its_model_the_page_is_small(made: Made) -> None:
    """3 × 256 with 4,096 pieces has 1.9 MB of weights, 2.5 in base64, and 0.11 of tokenizer."""
    data: dict[str, Any] = embedded(made.html)
    own = len(made.html.encode()) - len(data["weights"]) - len(json.dumps(data["tokenizer"]))
    assert own < 160_000


def test_v8_gives_what_python_gives_to_the_bit(made: Made) -> None:
    """The very data in the page, by the page's own class."""
    engine = V8()
    engine.give("data", embedded(made.html))
    engine.context.eval(
        "globalThis.classifier = new Classifier(data, instance(bytesOfBase64(data.kernel)));0"
    )
    texts = [*TEXTS, *ODD, "x" * 500]
    assert engine.each("classifier.tokenizer.encode(classifier.cleaned(x))", texts) == made.ids(
        texts
    )
    margins = made.margins(texts)
    assert engine.each("classifier.margin(x)", texts) == margins.tolist()
    assert len(set(margins.tolist())) == len(texts)
    wanted = 1 / (1 + np.exp(-margins / FACTS.temperature))
    found = engine.each("classifier.probability(classifier.margin(x))", texts)
    assert np.abs(np.array(found) - wanted).max() < 1e-12


def test_base64_of_every_length(tmp_path: Path) -> None:
    draw, engine = random.Random(0), V8()
    raw = [draw.randbytes(length) for length in range(70)]
    found = engine.each("Array.from(bytesOfBase64(x))", [building.as_base64(each) for each in raw])
    assert [bytes(each) for each in found] == raw


# --- What there is no page of ---------------------------------------------------------------------


def refusal(made: Made, **changes: Any) -> str:
    html, reason = build_page(replace(made.encoder, **changes), made.tokenizer_json, FACTS)
    assert html is None
    assert reason.endswith("; run model.onnx with onnxruntime-web")
    assert len(reason) < 300
    assert "\n" not in reason
    return reason


def test_a_model_that_the_kernel_cannot_compute_is_named(made: Made) -> None:
    encoder = made.encoder
    assert "64 dimensions, 32 heads" in refusal(made, heads=32)
    assert "49 layers" in refusal(made, layers=encoder.layers[:1] * 49)
    head = replace(encoder.head, weight=FloatPart(np.zeros((3, encoder.width), np.float32)))
    assert "3 labels" in refusal(made, head=head)
    first = encoder.layers[0].query.weight
    assert isinstance(first, FourBits)
    odd = replace(encoder.layers[0].query, weight=replace(first, book=first.book + 1))
    layers = (replace(encoder.layers[0], query=odd), *encoder.layers[1:])
    assert "different code books" in refusal(made, layers=layers)


def test_a_tokenizer_or_a_length_that_does_not_fit_is_named(made: Made) -> None:
    content = json.loads(made.tokenizer_json) | {"normalizer": {"type": "NFC"}}
    longer = replace(FACTS, max_length=33)
    for tokenizer, facts, named in (
        (json.dumps(content), FACTS, "normalizer is NFC"),
        (made.tokenizer_json, longer, "up to 33 tokens, and it knows 32"),
    ):
        html, reason = build_page(made.encoder, tokenizer, facts)
        assert html is None
        assert named in reason


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"threshold": float("inf")}, "threshold is inf"),
        ({"temperature": 0.0}, "temperature 0.0"),
    ],
)
def test_numbers_that_json_does_not_know_are_named(
    made: Made, changes: dict[str, Any], named: str
) -> None:
    html, reason = build_page(made.encoder, made.tokenizer_json, replace(FACTS, **changes))
    assert (html, named in reason) == (None, True)


def test_what_a_browser_cannot_hold_is_named(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "MOST_BYTES", 1_000)
    assert "MB, and a page takes" in refusal(made)
    monkeypatch.setattr(building, "MOST_NUMBERS", 1_000)
    assert "more memory" in refusal(made)


def test_a_tokenizer_file_is_read_as_the_library_reads_it(made: Made) -> None:
    """Older files write two pieces to be merged as one text; others are no tokenizers at all."""
    content = json.loads(made.tokenizer_json)
    content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]
    assert build_page(made.encoder, json.dumps(content), made.facts)[0] == made.html
    for broken in ("", "{}", "[1]", json.dumps(content | {"added_tokens": 3})):
        html, reason = build_page(made.encoder, broken, FACTS)
        assert (html, "tokenizer.json cannot be read" in reason) == (None, True)
        assert len(reason) < 400


def test_signs_that_turn_text_are_not_in_what_is_said(made: Made) -> None:
    facts = replace(FACTS, name="a\u202eb\ud800", labels=("s\ud800", "p"), limits=("\u2066c",))
    data: dict[str, Any] = embedded(
        str(build_page(made.encoder, made.tokenizer_json, facts)[0]).encode().decode()
    )
    assert (data["about"]["facts"][0], data["about"]["limits"]) == (["Name", "ab"], ["c"])
    assert data["settings"]["labels"] == ["s", "p"]


# --- Lists ----------------------------------------------------------------------------------------


def drawn_cell(draw: random.Random) -> str:
    return "".join(draw.choice('ab,;"\n\r\t =+-@.😀') for _ in range(draw.randint(0, 6)))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_is_read_as_python_reads_it(delimiter: str) -> None:
    draw, engine = random.Random(0), V8()
    for quoting in (csv.QUOTE_ALL, csv.QUOTE_MINIMAL):
        rows = [[f"x{drawn_cell(draw)}" for _ in range(3)] for _ in range(200)]
        file = io.StringIO(newline="")
        csv.writer(file, delimiter=delimiter, quoting=quoting).writerows(rows)
        assert engine.each(f"[...csvRows(x, {delimiter!r})]", [file.getvalue()]) == [rows]


def test_a_csv_that_is_none_is_read_to_its_end() -> None:
    engine, texts = V8(), ["", "\n\n", 'a,"b', '"a""b"c,d\n', "a,", ",\n", "a\r\rb", '"']
    found = engine.each("[...csvRows(x, ',')]", texts)
    assert found == [
        *([], [], [["a", "b"]], [['a"bc', "d"]], [["a", ""]], [["", ""]], [["a"], ["b"]], [])
    ]


WIDE_SIGNS = "\uff1d\uff0b\uff0d\uff20"
FORMULA = re.compile(f"[\\s\u200b\ufeff]*[=+@{WIDE_SIGNS}-]|[\t\r\n]")


def test_lines_are_those_that_are_not_blank() -> None:
    engine, texts = V8(), ["", "a", "\n\r\n \n a \r\t\rb\n", "\r\na\r\n\r\nb"]
    assert engine.each("linesOf(x)", texts) == [[], ["a"], [" a ", "b"], ["a", "b"]]
    assert engine.run("linesOf('\\n'.repeat(2 ** 27) + 'x').length") == 1
    assert engine.run("linesOf('x'.repeat(2 ** 26))[0].length") == 2**26


def test_no_written_cell_is_a_formula() -> None:
    """Whatever is written is read back, but for the ' in front of what could be a formula."""
    draw, engine = random.Random(0), V8()
    rows = [[drawn_cell(draw) for _ in range(3)] for _ in range(500)]
    signs = [*"=+-@\t\r\n", *WIDE_SIGNS, " =", "\u00a0@", "\u200b+", "\ufeff-"]
    rows += [[f"{sign}1", "b", "c"] for sign in signs]
    written = "".join(engine.each("csvLine(x)", rows))
    read = list(csv.reader(io.StringIO(written, newline="")))
    assert read == [[f"'{each}" if FORMULA.match(each) else each for each in row] for row in rows]


def test_the_column_of_urls_is_guessed() -> None:
    engine = V8()
    firsts = [["id", "URL", "x"], ["1", "a.b/c"], ["1", "2"], [" link ", "url"], []]
    found = engine.each("[guessed(x).column, guessed(x).names]", firsts)
    assert found == [[1, True], [1, False], [0, False], [0, True], [0, False]]
    assert engine.each("delimiterOf(x)", ["a;b;c,d\n,,,,", "a\tb", "a", "a,b"]) == [*";\t,,"]


def test_everything_that_the_page_needs_is_installed() -> None:
    import tomllib

    project = tomllib.loads((HERE.parents[3] / "pyproject.toml").read_text())
    assert "export/page/*" in project["tool"]["setuptools"]["package-data"]["minnow"]
    assert {*building.SCRIPTS, building.KERNEL} <= {file.name for file in HERE.iterdir()}
