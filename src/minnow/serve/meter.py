"""How far a run has come: one line on a terminal, written over and over."""

import sys
import time
from dataclasses import dataclass, field
from typing import TextIO

SECONDS = 0.2
CLEAR = "\r\x1b[K"


@dataclass
class Meter:
    """Rows done, of an input of `total` bytes where that is known; silent where nobody looks."""

    total: int | None = None
    to: TextIO = field(default_factory=lambda: sys.stderr)
    began: float = field(default_factory=time.monotonic)
    rows: int = 0
    taken_up: int = 0
    shown: float = 0.0

    @property
    def lively(self) -> bool:
        """Whether somebody looks."""
        return self.to.isatty()

    def add(self, rows: int, *, read: int, computed: bool = True) -> None:
        """Count rows, after `read` bytes of the input in all; those of an earlier call cost
        nothing.
        """
        self.rows += rows
        self.taken_up += 0 if computed else rows
        if not computed:
            self.began = time.monotonic()
        if self.lively and time.monotonic() - self.shown >= SECONDS:
            self.shown = time.monotonic()
            self.to.write(CLEAR + self.line(read, self.shown - self.began))
            self.to.flush()

    def line(self, read: int, seconds: float) -> str:
        """Return rows, rows a second, share of the input, and the time left."""
        computed = self.rows - self.taken_up
        rate = computed / seconds if seconds > 0 else 0.0
        parts = [f"{self.rows:,} rows", f"{rate:,.0f} a second"]
        if self.total and read:
            share = min(1.0, read / self.total)
            parts.append(f"{share:.0%}")
            rows_left = self.rows * (1 - share) / share
            parts += [f"{duration(rows_left / rate)} left"] if rate else []
        return ", ".join(parts)

    def close(self) -> None:
        """Take the line away."""
        if self.lively:
            self.to.write(CLEAR)
            self.to.flush()


def duration(seconds: float) -> str:
    """Return a time as hours, minutes and seconds, as far as they count."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3_600:,} h {whole % 3_600 // 60} min"
