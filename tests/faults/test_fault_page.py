"""docs/security.md shows what `make faults` found."""

from faults import page


def test_the_page_shows_what_was_found() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert len(page.BLOCK.findall(text)) == 2
    assert page.rendered(text) == text, "run `make faults`"


def test_tables_by_hand() -> None:
    found = page.matrix({"kill -9": {"teacher": "same bytes", "distill": "one line"}})
    assert found.splitlines()[2] == "| kill -9 | same bytes | one line |"
    counts = page.fuzzed({"params": {"fine": 1, "refused": 1999}})
    assert counts.splitlines()[2] == "| params.yaml | 2,000 | 1 | 1,999 | 0 |"
