"""Progress bars: lively on a terminal, a line now and then in a log."""

import sys

from tqdm import tqdm

TERMINAL_SECONDS = 0.1
LOG_SECONDS = 10.0


def row_bar(total: int, desc: str | None, *, initial: int = 0) -> tqdm:
    """Return a bar over `total` rows, `initial` of them done; without a `desc` it shows nothing."""
    seconds = TERMINAL_SECONDS if sys.stderr.isatty() else LOG_SECONDS
    return tqdm(
        total=total,
        initial=initial,
        desc=desc,
        unit="row",
        disable=desc is None,
        mininterval=seconds,
        maxinterval=60,
    )
