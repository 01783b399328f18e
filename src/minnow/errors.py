"""The one exception that stands for a user's mistake rather than a bug, and the words for it."""

import sys
from collections.abc import Collection, Iterable
from difflib import get_close_matches


class MinnowError(Exception):
    """Something a user can mend: its text is one line that says what was given, what is allowed,
    what to do.
    """


def nearest(name: object, allowed: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest allowed name, or nothing when none is near."""
    matches = get_close_matches(str(name), list(allowed), n=1)
    return f"; did you mean '{matches[0]}'?" if matches else ""


def choice(what: str, name: str, allowed: Collection[str]) -> str:
    """Return the name that `what`, a command, was called with.

    Raises:
        MinnowError: it is not one of those allowed.
    """
    if name not in allowed:
        raise MinnowError(
            f"{what} takes one of {', '.join(allowed)}, given {name!r}{nearest(name, allowed)}"
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


def reason(error: BaseException) -> str:
    """Return what a library's error says, in one line of at most 200 characters, after its kind."""
    return f"{type(error).__name__}: {shortened(' '.join(str(error).split()), 200)}".removesuffix(
        ": "
    )


def warn(message: str) -> None:
    """Tell the user on stderr, in one line, of something legal that may surprise."""
    print(f"minnow: warning: {' '.join(message.split())}", file=sys.stderr)


def tell(message: str) -> None:
    """Tell the user on stderr, in one line, what is being done for them."""
    print(f"minnow: {' '.join(message.split())}", file=sys.stderr)
