"""Which domains a hop's flips stand in, and whether one of them decides what is said of it."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from minnow.evaluation.bootstrap import CONFIDENCE
from minnow.evaluation.comparison import claims, verdict
from minnow.evaluation.metrics import Array
from minnow.evaluation.records import Decisive, DomainFlips, Verdict
from minnow.evaluation.units import FEW_FLIPS, JudgedRows

# Domains that are listed of a hop, and net flips below which one is no block worth to be named.
SHOWN, LEAST_NET = 5, 3


@dataclass(frozen=True)
class Guesses:
    """Two models' predictions on the same rows, each (rows,)."""

    before: Array
    after: Array
    rows: JudgedRows


def by_domain(guesses: Guesses) -> tuple[Array, Array]:
    """Return the flips for the worse and those for the better of each unit, each (units,)."""
    labels, units = guesses.rows.labels, guesses.rows.units
    right, now = guesses.before == labels, guesses.after == labels
    worse, better = (units.sums(moved).astype(np.int64) for moved in (right & ~now, now & ~right))
    return worse, better


def top(guesses: Guesses) -> tuple[DomainFlips, ...]:
    """Return the domains with most net flips, at most SHOWN of those with LEAST_NET or more;
    nothing where the rows have no domains.
    """
    worse, better = by_domain(guesses)
    return tuple(
        DomainFlips(guesses.rows.units.name(unit), int(worse[unit]), int(better[unit]))
        for unit in most_net(guesses, better - worse)
    )


def most_net(guesses: Guesses, net: Array) -> list[int]:
    """Return the units of the most net flips, `net` (units,) of them, the most first."""
    if guesses.rows.units.names is None:
        return []
    order = np.argsort(-np.abs(net), kind="stable")[:SHOWN]
    return [int(unit) for unit in order if abs(net[unit]) >= LEAST_NET]


def decisive(guesses: Guesses, margin: float, told: Collection[Verdict] = ()) -> Decisive | None:
    """Return the domain that decides: it holds more than half of all net flips, where these are
    FEW_FLIPS or more, or the verdict would be another without it. None where no domain does.

    Verdicts here are the standard error's, which knows too little where fewer than FEW_FLIPS
    domains have net flips; one that is `told` of the hop already is no other.
    """
    worse, better = by_domain(guesses)
    net = better - worse
    known = np.count_nonzero(net) >= FEW_FLIPS
    said = verdict_of(*influence(guesses), margin)
    for unit in most_net(guesses, net):
        other = verdict_of(*influence(guesses, without=unit), margin)
        changed = known and other != said and other not in told
        if changed or (abs(net.sum()) >= FEW_FLIPS and holds_most(net, unit)):
            return Decisive(
                guesses.rows.units.name(unit),
                int(worse[unit]),
                int(better[unit]),
                other if changed else None,
            )
    return None


def holds_most(net: Array, unit: int) -> bool:
    """Return whether a unit has more than half of all net flips, `net` (units,)."""
    return bool(2 * net[unit] * np.sign(net.sum()) > abs(net.sum()))


def influence(guesses: Guesses, without: int | None = None) -> tuple[float, Array]:
    """Return the difference of F1, after − before, and what each unit moves it by, (units,); one
    unit may be left out. The variance of the difference is the sum of the squares of the latter.
    """
    (one, moves), (other, moved) = (
        influence_on_f1(guess, guesses.rows, without) for guess in (guesses.before, guesses.after)
    )
    return other - one, moved - moves


def influence_on_f1(
    guess: Array, rows: JudgedRows, without: int | None = None
) -> tuple[float, Array]:
    """Return F1 of predictions (rows,), and what each unit moves it by, (units,); one unit may be
    left out.

    F1 = 2 TP / (P + C), of found, phishing and called rows; a unit moves it by
    (2 tp − F1 (p + c)) / (P + C) (the delta method).
    """
    kept = np.arange(rows.units.count) != (-1 if without is None else without)
    found, phishing, called = (
        rows.units.sums(each)[kept] for each in (guess & rows.labels, rows.labels, guess)
    )
    size = max(phishing.sum() + called.sum(), 1)
    f1 = float(2 * found.sum() / size)
    return f1, (2 * found - f1 * (phishing + called)) / size


def error_of(moves: Array) -> float:
    """Return the standard error of a difference, of what each unit moves it by (units,)."""
    return float(np.sqrt((moves**2).sum()))


def verdict_of(change: float, moves: Array, margin: float) -> Verdict:
    """Return the verdict on a difference by what each unit moves it, (units,)."""
    reach = float(norm.ppf((1 + CONFIDENCE) / 2)) * error_of(moves)
    return verdict(claims(change - reach, change + reach, margin))
