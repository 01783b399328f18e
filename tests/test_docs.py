"""README.md and docs/: width of lines, length of sentences, and links that lead somewhere."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WIDTH, README_LINES, SENTENCE = 100, 160, 250
LINK = re.compile(r"\]\(([^)\s]+)\)")
BLOCK = re.compile(r"```.*?```|<!--.*?-->", re.DOTALL)

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def prose(text: str) -> list[str]:
    """Return the paragraphs and the items of lists, each on one line, without code, tables and
    comments.
    """
    lines = [
        "" if line.startswith(("|", "#")) else line for line in BLOCK.sub("\n", text).splitlines()
    ]
    items = re.split(r"\n\s*\n|\n\s*(?:[-*]|\d+\.) ", "\n".join(lines))
    return [" ".join(item.split()) for item in items if item.strip()]


def sentences(text: str) -> list[str]:
    """Return the sentences of a page, links without their targets."""
    return [
        sentence
        for item in prose(text)
        for sentence in re.split(r"(?<=[.!?])[*)\"]*\s+(?=[^a-z])", LINK.sub("]", item))
    ]


def anchors(page: Path) -> set[str]:
    """Return what a link can name in a page: its headings, as GitHub writes them."""
    headings = re.findall(
        r"^#+ (.+)$", BLOCK.sub("\n", page.read_text(encoding="utf-8")), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_no_line_is_wider_than_a_screen(page: Path) -> None:
    """Tables are rendered, and a URL cannot be broken."""
    lines = page.read_text(encoding="utf-8").splitlines()
    wide = [
        line
        for line in lines
        if len(line) > WIDTH and not line.startswith("|") and "://" not in line
    ]
    assert not wide


@every_page
def test_no_sentence_is_a_paragraph(page: Path) -> None:
    assert not [
        found for found in sentences(page.read_text(encoding="utf-8")) if len(found) >= SENTENCE
    ]


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(BLOCK.sub("\n", page.read_text(encoding="utf-8"))):
        parts = urlsplit(target)
        if parts.scheme:
            continue
        linked = (page.parent / parts.path).resolve() if parts.path else page
        assert linked.exists(), target
        if parts.fragment:
            assert parts.fragment in anchors(linked), target


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    text = PAGES[0].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= README_LINES
    for page in PAGES[1:]:
        assert f"docs/{page.name}" in text, page.name


# --- docs/architecture.md against the code --------------------------------------------------------

ARCHITECTURE = ROOT / "docs" / "architecture.md"
PACKAGE = ROOT / "src" / "minnow"


def rows_of(header: str) -> dict[str, str]:
    """Return a table of docs/architecture.md, first cell → second, by its header."""
    table = ARCHITECTURE.read_text(encoding="utf-8").split(f"| {header} |\n", 1)[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[1:]]
    return {name: rest[0] for names, *rest in rows for name in names.replace("`", "").split(", ")}


def test_every_module_is_named() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    modules = [
        file
        for file in PACKAGE.rglob("*.py")
        if file.name != "__init__.py" and file.parent.name != "stages"
    ]
    named = set(re.findall(r"\b(\w+)(?:\.py)?`", text))
    assert sorted(file.stem for file in modules if file.stem not in named) == []


def test_the_folders_of_each_stage_are_those_of_dvc_yaml() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    told = rows_of("stage | folders")
    for name, stage in stages.items():
        if name == "control":
            continue  # it drives others
        code = [dep.removeprefix("src/minnow/") for dep in stage["deps"] if dep.startswith("src/")]
        assert set(told[name].split(", ")) == set(code) - {f"stages/{name}.py"}, name


def test_a_folder_imports_no_other_than_it_says() -> None:
    allowed = rows_of("folder | may import from")
    for file in PACKAGE.glob("*/*.py"):
        imports = re.findall(r"^\s*from minnow\.(\w+)", file.read_text(encoding="utf-8"), re.M)
        folder = file.parent.name
        others = {name for name in imports if (PACKAGE / name).is_dir()} - {folder}
        if allowed[folder] != "everything":
            assert others <= set(re.findall(r"`(\w+)`", allowed[folder])), file
