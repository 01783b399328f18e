"""Which domains a hop's flips stand in, and whether one decides."""

import numpy as np
import polars as pl
import pytest

from minnow.evaluation import domain_flips
from minnow.evaluation.domain_flips import Guesses
from minnow.evaluation.records import Decisive, DomainFlips
from minnow.evaluation.units import JudgedRows, Units


def flipping(flips: dict[str, tuple[int, int]], still: int = 2_000) -> Guesses:
    """Rows of which each domain has so many that turn wrong and right; all others stay right, in
    domains of their own.
    """
    domains, before, after = [], [], []
    for domain, (worse, better) in flips.items():
        domains += [domain] * (worse + better)
        before += [True] * worse + [False] * better
        after += [False] * worse + [True] * better
    domains += [f"still{number}" for number in range(still)]
    right = np.array(before + [True] * still), np.array(after + [True] * still)
    labels = np.arange(len(domains)) % 2
    one, other = (np.where(each, labels, 1 - labels) for each in right)
    return Guesses(one, other, JudgedRows(labels, Units.domains(pl.Series(domains))))


def test_the_domains_with_most_net_flips_come_first() -> None:
    found = flipping({"a": (2, 0), "b": (7, 1), "c": (0, 9), "d": (5, 5), "e": (3, 0)})
    assert domain_flips.top(found) == (
        DomainFlips("c", 0, 9),
        DomainFlips("b", 7, 1),
        DomainFlips("e", 3, 0),
    )


def test_rows_without_domains_have_no_list() -> None:
    rows = JudgedRows(np.ones(30, dtype=int), Units.rows(30))
    found = Guesses(np.ones(30, dtype=int), np.zeros(30, dtype=int), rows)
    assert domain_flips.top(found) == ()
    assert domain_flips.decisive(found, 0.005) is None


def test_a_domain_with_more_than_half_of_the_net_flips_decides() -> None:
    """24 of 33, as on one real set, where the loss stays open with it and without."""
    many = {f"d{number}": (1, 0) for number in range(9)}
    found = domain_flips.decisive(flipping({"torcache.net": (24, 0), **many}), 0.005)
    assert found is not None
    assert (found.domain, found.worse, found.better) == ("torcache.net", 24, 0)


def test_a_domain_without_which_the_verdict_is_another_decides() -> None:
    many = {f"d{number}": (0, 1) for number in range(30)}
    found = domain_flips.decisive(flipping({"bad.org": (25, 0), **many}), 0.005)
    assert found == Decisive("bad.org", 25, 0, "better")


def test_a_verdict_that_is_told_of_the_hop_already_is_no_other() -> None:
    """As where the correction has taken back what the interval alone says."""
    many = {f"d{number}": (0, 1) for number in range(30)}
    found = flipping({"bad.org": (25, 0), **many})
    assert domain_flips.decisive(found, 0.005, ("better", "undecided")) is None
    holds_most = flipping({"bad.org": (60, 0), **many})
    decided = domain_flips.decisive(holds_most, 0.005, ("better", "undecided", "inferior"))
    assert decided == Decisive("bad.org", 60, 0, None)


def test_many_domains_that_flip_alike_decide_together() -> None:
    many = {f"d{number}": (3, 0) for number in range(20)}
    assert domain_flips.decisive(flipping(many), 0.005) is None


def test_of_few_net_flips_none_is_a_block() -> None:
    assert domain_flips.decisive(flipping({"a": (3, 0), "b": (1, 0)}), 0.02) is None


@pytest.mark.parametrize("without", [None, 0])
def test_the_standard_error_is_that_of_resampled_domains(without: int | None) -> None:
    draw = np.random.default_rng(0)
    many = {f"d{number}": tuple(draw.integers(0, 4, 2)) for number in range(60)}
    given = flipping(many, still=300)
    change, moves = domain_flips.influence(given, without)
    error = domain_flips.error_of(moves)
    of, labels = given.rows.units, given.rows.labels
    keep = np.ones(of.count, dtype=bool)
    if without is not None:
        keep[without] = False
    pool, moved = np.flatnonzero(keep), []
    for _ in range(2_000):
        weight = np.bincount(draw.choice(pool, len(pool)), minlength=of.count)[of.of]
        scores = [
            2 * (weight * guess * labels).sum() / (weight * (guess + labels)).sum()
            for guess in (given.before, given.after)
        ]
        moved.append(scores[1] - scores[0])
    assert change == pytest.approx(np.mean(moved), abs=error / 10)
    assert error == pytest.approx(np.std(moved), rel=0.08)
