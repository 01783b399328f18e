"""How long one hostile text of a megabyte takes to clean: `python benchmarks/cleaning_speed.py`.

A megabyte is 10⁶ bytes of UTF-8. Stated target: under 50 ms of CPU for each kind, for a release
(`normalise`). `prepare` also makes the key and the domain, in time that grows with the length.
"""

import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

SRC = Path(__file__).resolve().parents[1] / "src"
sys.path.insert(0, str(SRC))

import polars as pl  # noqa: E402

from minnow.data.cleaning import cleaned  # noqa: E402
from minnow.text.cleaning import normalise  # noqa: E402

SIZE = 1_000_000
# What is repeated up to the size, and what stands before and after it.
KINDS = {
    "letters": ("", "h", ""),
    "blanks inside": ("a", " ", "b"),
    "quotes": ("", "'", ""),
    "emoji": ("", "\U0001f600", ""),
    "zero-width spaces between letters": ("", "a\u200b", ""),
    "controls between letters": ("", "a\x00", ""),
    "surrogates": ("", "\udcff", ""),
    "U+FFFD": ("", "\ufffd", ""),
    "&amp;amp;amp;…": ("&", "amp;", "lt;"),
    "&lt;&lt;&lt;…": ("", "&lt;", ""),
    "&": ("", "&", ""),
    "&#": ("", "&#", ""),
    "one &# of digits": ("&#", "9", ";"),
    "escapes within escapes": ("", "&#5&#4", "8;;;;"),
    "dots": ("", ".", ""),
    "labels": ("", "a.", "com"),
    "@": ("", "@", ""),
    "slashes": ("", "/", ""),
    "backslashes": ("", "\\", ""),
    "brackets": ("", "[", ""),
    "brackets and blanks": ("", "[ ", ""),
    "dots in brackets": ("", "[.]", "com"),
    "hxxp:// and brackets": ("hxxp://", "[", ""),
    "hxxp:// and dots in brackets": ("hxxp://", "[.]", "com"),
    "dot in words": ("evil", " dot ", "com"),
    "schemes": ("", "hxxp://", "a"),
    "schemes in quotes": ("", "a://'", "a"),
    "%25252525": ("a.com/%", "25", ""),
    "percent-escapes": ("", "%C3%BC", ""),
    "percent-escapes within them": ("a.com/", "%3", "4"),
    "Unicode host": ("", "é", ".com"),
    "punycode": ("xn--", "a", ".com"),
}


def hostile(before: str, unit: str, after: str) -> str:
    """Return a text of about a megabyte."""
    return before + unit * (SIZE // len(unit.encode("utf-8", "surrogatepass"))) + after


def milliseconds(call: Callable[[], object], tries: int = 3) -> float:
    """Return the CPU time of the fastest of some calls."""
    times = []
    for _ in range(tries):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return 1_000 * min(times)


def row(kind: str) -> str:
    """Return a kind's line: cleaned for a release, and prepared, which cannot hold surrogates."""
    text = hostile(*KINDS[kind])
    alone = milliseconds(lambda: normalise(text, move_scheme=True))
    if kind == "surrogates":
        return f"| {kind} | {alone:.0f} | |"
    rows = pl.DataFrame({"text": [text]})
    prepared = milliseconds(lambda: cleaned(rows, move_scheme=True), tries=1)
    return f"| {kind} | {alone:.0f} | {prepared:.0f} |"


def main() -> None:
    """Print one line per kind."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print("| a megabyte of | a release, ms | `prepare`, ms |\n| --- | ---: | ---: |", flush=True)
    for kind in KINDS:
        print(row(kind), flush=True)


if __name__ == "__main__":
    main()
