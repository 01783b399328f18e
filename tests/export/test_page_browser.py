"""The page in Chromium with the network cut: used as people use it, and given what is hostile."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from conftest import TEXTS
from helpers.devtools import Tab, tab
from helpers.page import Made, make_page
from minnow.data.synthetic import generate

HOSTILE = [
    "<img src=x onerror=document.title='struck'>",
    "</script><script>document.title='struck'</script>",
    '"><svg onload=document.title="struck">',
    "javascript:document.title='struck'",
    "\u202egnp.exe\u202c\u200f\u2066a",
    '=HYPERLINK("http://evil")',
    "&lt;b&gt;bold",
    "https://a.b/<b>bold</b>",
]
READY = "!document.getElementById('classify').disabled"


@pytest.fixture(scope="module")
def made(tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_page(tmp_path_factory.mktemp("page"), tokenizer, "bert")


@pytest.fixture(scope="module")
def browser(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    folder = tmp_path_factory.mktemp("browser")
    (folder / "page.html").write_text(made.html, encoding="utf-8")
    with tab(folder / "profile") as found:
        found.folder = folder
        yield found


@pytest.fixture
def page(browser: Tab) -> Iterator[Tab]:
    """The page, opened anew; at the end nothing but its own file has been asked for."""
    browser.look(width=1280)
    browser.requests.clear()
    browser.complaints.clear()
    browser.open(browser.folder / "page.html")
    browser.until(READY)
    yield browser
    browser.run("1")  # what it has noted until now
    asked = {each for each in browser.requests if not each.startswith("blob:")}
    assert asked == {(browser.folder / "page.html").as_uri()}
    assert browser.complaints == []


def classify(page: Tab, texts: list[str]) -> None:
    """Type URLs and press the button."""
    lines = json.dumps("\n".join(texts))
    page.run(f"$('urls').value = {lines}; $('classify').click()")
    page.until("!$('results').hidden")


def shown_rows(page: Tab) -> list[list[str]]:
    """Return the texts of the table's cells."""
    rows: list[list[str]] = page.run(
        "Array.from($('rows').rows, (row) => Array.from(row.cells, (cell) => cell.textContent))"
    )
    return rows


def test_a_list_is_classified_as_python_does(page: Tab, made: Made) -> None:
    texts = [
        *TEXTS,
        "hxxps[:]//a[.]b/&amp;x",
        "пример.рф/путь",
        *generate(60, seed=2, label_noise=0.0)[0],
    ]
    classify(page, texts)
    margins = made.margins(texts).tolist()
    assert page.run("Array.from(result.margins)") == margins, "to the bit"
    wanted = [
        [text, f"{100 * page.run(f'classifier.probability({margin!r})'):.1f} %"]
        for text, margin in zip(texts, margins, strict=True)
    ]
    labels = [made.facts.labels[margin > made.facts.threshold] for margin in margins]
    assert set(labels) == set(made.facts.labels)
    assert shown_rows(page) == [[*row, label] for row, label in zip(wanted, labels, strict=True)]
    said = page.run("$('said').textContent")
    assert said == f"{labels.count('phishing')} of {len(texts)} URLs called phishing."


def test_what_is_typed_never_becomes_markup(page: Tab) -> None:
    classify(page, HOSTILE)
    cells = page.run("$('rows').querySelectorAll('*').length")
    kinds = page.run("[...new Set([...$('rows').querySelectorAll('*')].map((x) => x.localName))]")
    assert sorted(kinds) == ["i", "span", "td", "tr"]
    assert cells == len(HOSTILE) * 8
    shown = [row[0] for row in shown_rows(page)]
    assert shown[4] == "\ufffdgnp.exe\ufffda", "directions show"
    assert [*shown[:4], *shown[5:]] == [*HOSTILE[:4], *HOSTILE[5:]]
    assert page.run("document.title") == "Is this URL phishing? – Minnow"
    assert "'=HYPERLINK" in page.run("csvParts().join('')")


def test_no_script_style_or_request_gets_past_the_policy(browser: Tab) -> None:
    browser.open(browser.folder / "page.html")
    browser.until(READY)
    browser.requests.clear()
    tried = """(async () => {
      const script = document.createElement("script");
      try { script.textContent = "globalThis.struck = 1"; document.body.append(script); } catch {}
      try { document.body.innerHTML += "<b>x</b>"; globalThis.struck = 2; } catch {}
      const image = new Image();
      image.src = "http://127.0.0.1:9/x";
      let met = "";
      await fetch("http://127.0.0.1:9/y").then(() => (met = "met"), () => (met = "refused"));
      return [globalThis.struck ?? 0, met];
    })()"""
    assert browser.run(tried) == [0, "refused"]
    assert any("Content Security Policy" in each for each in browser.complaints)
    browser.complaints.clear()


def test_the_threshold_moves_labels_and_returns(page: Tab, made: Made) -> None:
    texts = generate(40, seed=3, label_noise=0.0)[0]
    classify(page, texts)
    before = shown_rows(page)
    move = "$('threshold').value = {}; $('threshold').dispatchEvent(new Event('input'))"
    page.run(move.format(100))
    assert {row[2] for row in shown_rows(page)} == {"safe"}
    page.run(move.format(0))
    assert {row[2] for row in shown_rows(page)} == {"phishing"}
    page.run("$('reset').click()")
    assert shown_rows(page) == before
    page.run("$('only').click(); $('sorted').click()")
    found = [row for row in before if row[2] == "phishing"]
    assert sorted(shown_rows(page)) == sorted(found)
    shares = [float(row[1].split()[0]) for row in shown_rows(page)]
    assert shares == sorted(shares, reverse=True)


def drop(page: Tab, name: str, script: str) -> None:
    """Drop a file whose text is the value of a script."""
    page.run(
        f"{{ const data = new DataTransfer(); data.items.add(new File([{script}], '{name}'));"
        " document.dispatchEvent(new DragEvent('drop', { dataTransfer: data, cancelable: true }));"
        " 0 }"
    )
    page.until(f"$('source-name').textContent.startsWith('{name}')")


def test_a_csv_is_dropped_and_another_column_chosen(page: Tab) -> None:
    drop(page, "a.csv", """'id,url,note\\r\\n1,"a.b/c,d",x.y\\r\\n2,e.f,\\r\\n3,,z.z\\r\\n'""")
    assert page.run("[$('column').value, $('names').checked]") == ["1", True]
    page.run("$('classify').click()")
    page.until("!$('results').hidden")
    assert [row[0] for row in shown_rows(page)] == ["a.b/c,d", "e.f"]
    page.run("$('column').value = '2'; $('names').checked = false; $('classify').click()")
    page.until("!$('results').hidden && $('rows').childElementCount === 3")
    assert [row[0] for row in shown_rows(page)] == ["note", "x.y", "z.z"]
    page.run("$('discard').click()")
    assert page.run("[$('source').hidden, $('urls').disabled]") == [True, False]


def test_a_hundred_thousand_pasted_lines_and_fifty_megabytes(page: Tab) -> None:
    """The page answers while it works, and what was done is kept when the user stops."""
    page.run("""{ const data = new DataTransfer();
      data.setData("text/plain", "login.example.com/path\\n".repeat(100_000));
      const paste = { clipboardData: data, bubbles: true, cancelable: true };
      $("urls").dispatchEvent(new ClipboardEvent("paste", paste)); 0 }""")
    assert page.run("$('source-name').textContent") == "Pasted text, 100,000 lines"
    page.run("$('classify').click()")
    page.until("$('progress').value > 50 && / a second, /.test($('rate').textContent)")
    page.run("$('stop').click()")
    assert "Stopped before the other" in page.run("$('summary').textContent")
    assert page.run("$('rows').childElementCount") <= 100
    done = page.run("result.done")
    assert page.run("csvParts().join('').split('\\r\\n').length") == done + 2
    drop(
        page, "big.txt", "'login.example.com/a/long/path/of/fifty/bytes/here\\n'.repeat(1_000_000)"
    )
    page.run("$('classify').click()")
    page.until("$('progress').max === 1_000_000 && $('progress').value > 20")
    page.run("$('stop').click()")
    assert "called phishing" in page.run("$('summary').textContent")


def test_a_line_that_is_too_long_is_named_and_the_others_answered(page: Tab) -> None:
    drop(page, "a.txt", "'a.b\\n' + 'x'.repeat(3_000_000) + '\\nc.d\\n\\n'")
    page.run("$('classify').click()")
    page.until("!$('results').hidden")
    assert [row[2] for row in shown_rows(page)][1] == "too long"
    assert len(shown_rows(page)) == 3
    assert "1 too long to be read" in page.run("$('summary').textContent")
    classify_nothing = "$('discard').click(); $('urls').value = ' \\n'; $('classify').click()"
    page.run(classify_nothing)
    page.until("$('trouble').textContent.startsWith('Enter a URL')")


def test_a_file_that_cannot_be_read_and_a_kernel_that_fails_are_told(page: Tab) -> None:
    page.run("open({ name: 'gone.txt', size: 1, arrayBuffer: async () => { throw Error('No.') } })")
    page.until("$('trouble').textContent === 'gone.txt cannot be read. No.'")
    page.run("classifier.kernel.longest = 0; $('urls').value = 'a.b'; $('classify').click(); 0")
    page.until("$('trouble').textContent.startsWith('The URLs cannot be classified.')")
    assert page.run("$('running').hidden && !$('trouble').hidden")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_its_window_and_can_be_read(page: Tab, *, width: int, dark: bool) -> None:
    page.look(width=width, dark=dark)
    classify(page, [*HOSTILE, "www." + "x" * 3_000 + ".com"])
    assert page.run("document.documentElement.scrollWidth") <= width
    contrasts = page.run(CONTRASTS)
    assert len(contrasts) > 20
    assert [each for each in contrasts if each[0] < 4.5] == []


# Contrast of each text with what is behind it, by WCAG's formula.
CONTRASTS = """
(() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = numbers(colour).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if ((numbers(colour)[3] ?? 1) === 1) return colour;
    }
  };
  return [...document.body.querySelectorAll("*")]
    .filter((e) => e.checkVisibility() && [...e.childNodes].some(
      (node) => node.nodeType === 3 && node.textContent.trim()))
    .map((e) => {
      const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
      return [(a + 0.05) / (b + 0.05), e.className || e.localName];
    });
})()
"""


def test_everything_has_a_name_and_can_be_reached_by_keyboard(page: Tab) -> None:
    classify(page, TEXTS)
    unnamed = """[...document.querySelectorAll("button, input, select, textarea, progress")]
      .filter((e) => e.checkVisibility() && !(e.textContent.trim() || e.labels?.length
        || e.getAttribute("aria-label"))).map((e) => e.id)"""
    assert page.run(unnamed) == []
    page.send("Accessibility.enable")
    tree = page.send("Accessibility.getFullAXTree")["nodes"]
    roles = {node["role"]["value"]: node for node in tree if not node["ignored"]}
    assert {"table", "row", "cell", "columnheader", "status", "textbox", "slider"} <= roles.keys()
    page.look(width=390)  # where rows are blocks
    tree = page.send("Accessibility.getFullAXTree")["nodes"]
    cells = [node for node in tree if not node["ignored"] and node["role"]["value"] == "cell"]
    assert len(cells) == 3 * len(TEXTS)
    page.run("document.activeElement.blur(); $('urls').focus()")
    reached = []
    for _ in range(6):
        for kind in ("rawKeyDown", "keyUp"):
            key = {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}
            page.send("Input.dispatchKeyEvent", type=kind, **key)
        reached.append(page.run("document.activeElement.id"))
        outline = page.run("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", reached
    assert [*reached] == [*("classify", "open", "download", "threshold", "only", "sorted")]
    page.send("Accessibility.disable")


def test_ctrl_and_enter_classify(page: Tab) -> None:
    page.run("$('urls').value = 'a.b'; $('urls').focus()")
    enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "modifiers": 2}
    page.send("Input.dispatchKeyEvent", type="rawKeyDown", **enter)
    page.until("!$('results').hidden")


def test_the_download_is_a_file_under_the_policy(page: Tab) -> None:
    folder = page.folder / "downloads"
    page.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    classify(page, [*TEXTS, "=1+1"])
    page.run("$('download').click()")
    written = folder / "minnow-results.csv"
    page.until_file(written)
    lines = written.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "url,probability,label"
    assert [line.split(",")[0] for line in lines[1:]] == [*TEXTS, "'=1+1"]


def test_pictures_in_the_documents_are_small() -> None:
    from helpers.paths import ROOT

    for width in (390, 1280):
        assert (ROOT / "docs" / f"page-{width}.png").stat().st_size < 150_000


def test_weights_that_are_damaged_are_named(browser: Tab, made: Made) -> None:
    damaged: Path = browser.folder / "damaged.html"
    head, tail = made.html.rsplit('"weights":"', 1)
    damaged.write_text(f'{head}"weights":"AAAA{tail}', encoding="utf-8")
    browser.open(damaged)
    browser.until("$('trouble').textContent.startsWith('The model cannot run')")
    assert browser.run("$('classify').disabled")
