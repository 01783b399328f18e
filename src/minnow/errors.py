"""The one exception that stands for a user's mistake rather than a bug, and the words for it."""

import errno
import re
import shlex
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from pathlib import Path

# What one reads of an error: no line that a user gets is longer.
LONGEST = 300
# Whether warnings are kept back, see `warnings_held`.
_held: ContextVar[bool] = ContextVar("held", default=False)


class MinnowError(Exception):
    """Something a user can mend: its text is one line that says what was given, what is allowed,
    what to do.
    """


class MemoryShortage(MinnowError):
    """Memory ran out; its text says what for, and src/stage.py adds what to do."""


# How libraries say that memory ran out, where their error is none of Python's.
OUT_OF_MEMORY = re.compile(
    "can.?t allocate memory|cannot allocate memory|could not allocate|unable to allocate|bad_alloc"
    "|could not create a primitive|out of memory|not enough memory|failed to map segment"
    "|alloc of size|_ALLOC_FAILED",
    re.IGNORECASE,
)


def nearest(name: object, allowed: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest allowed name, or nothing when none is near."""
    given = shortened(str(name), 100)  # comparing takes time squared
    matches = get_close_matches(given, list(allowed), n=1)
    return f"; did you mean '{shortened(matches[0])}'?" if matches else ""


def choice(what: str, name: str, allowed: Collection[str]) -> str:
    """Return the name that `what`, a command, was called with.

    Raises:
        MinnowError: it is not one of those allowed.
    """
    if name not in allowed:
        raise MinnowError(
            f"{what} takes one of {', '.join(allowed)}, given {shortened(name)!r}"
            f"{nearest(name, allowed)}"
        )
    return name


def listed(names: Iterable[object], limit: int = 6) -> str:
    """Return `a, b, c` with at most `limit` names and a count of those left out."""
    all_names = [str(name) for name in names]
    rest = len(all_names) - limit
    return ", ".join(all_names[:limit]) + (f" and {rest} more" if rest > 0 else "")


def shortened(text: str, limit: int = 60) -> str:
    """Return what a user's data says, cut to `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def cut_off(line: str, limit: int = LONGEST) -> str:
    """Return a message of at most `limit` characters, its remedy whole: what stands behind the last
    semicolon. A command is kept whole or left out.
    """
    if len(line) <= limit:
        return line
    told, _, remedy = line.rpartition("; ")
    if not told or len(remedy) > limit - 60:
        return _head(line, limit)
    return f"{_head(told, limit - len(remedy) - 2)}; {remedy}"


def _head(text: str, limit: int) -> str:
    kept = text[: limit - 2]
    if kept.count("`") % 2:
        kept = kept[: kept.rindex("`")]
    return kept.rstrip() + " …"


def together(complaints: Iterable[str], limit: int = LONGEST - 60) -> str:
    """Return complaints in one line: as many as `limit` characters hold, the first at least, and a
    count of the rest.
    """
    told, *others = dict.fromkeys(complaints)
    rest = len(others)
    for complaint in others:
        if len(told) + len(complaint) + 2 > limit:
            break
        told, rest = f"{told}; {complaint}", rest - 1
    return told + (f"; and {rest} more" if rest else "")


def command(*parts: str | Path) -> str:
    """Return a command for the user's shell, between backticks: text of ours as it stands, a path
    quoted. Nobody else's text goes in as text.
    """
    words = (shlex.quote(str(part)) if isinstance(part, Path) else part for part in parts)
    return f"`{' '.join(words)}`"


def relative(line: str, root: Path) -> str:
    """Return a message whose commands name paths below the project's root from there; of a long
    one all paths.
    """
    raw = f"{root}/"
    pieces = line.split("`")
    odd = slice(None) if len(line) > LONGEST else slice(1, None, 2)
    pieces[odd] = [
        piece.replace(raw, "").replace(shlex.quote(raw)[1:-1], "") for piece in pieces[odd]
    ]
    return "`".join(pieces)


def reason(error: BaseException) -> str:
    """Return what a library's error says, in one line of at most 200 characters, after its kind."""
    return f"{type(error).__name__}: {shortened(' '.join(str(error).split()), 200)}".removesuffix(
        ": "
    )


def printable(message: str) -> str:
    """Return a message as one line, without what a terminal would obey or could not print."""
    line = " ".join(message.split())
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in line)


def behind(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that was raised before it, also where `from None` hides it."""
    seen: list[BaseException] = []
    part: BaseException | None = error
    while part is not None and not any(part is other for other in seen):
        seen.append(part)
        yield part
        part = part.__cause__ or part.__context__


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether a lack of memory, of the machine or of a GPU, is behind an error."""
    return any(
        isinstance(part, MemoryError)
        or getattr(part, "errno", None) == errno.ENOMEM
        or (not isinstance(part, MinnowError) and OUT_OF_MEMORY.search(str(part)) is not None)
        for part in behind(error)
    )


@contextmanager
def warnings_held() -> Iterator[None]:
    """Keep back what `warn` says while the block runs, since it will be said again; all else that
    is printed, such as a download's progress, is seen.
    """
    token = _held.set(True)
    try:
        yield
    finally:
        _held.reset(token)


def warn(message: str) -> None:
    """Tell the user on stderr, in one bounded line, of something legal that may surprise."""
    if _held.get():
        return
    print(cut_off(f"minnow: warning: {printable(message)}"), file=sys.stderr)


def tell(message: str) -> None:
    """Tell the user on stderr, in one bounded line, what is being done for them."""
    print(cut_off(f"minnow: {printable(message)}"), file=sys.stderr)
