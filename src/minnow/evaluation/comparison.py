"""Two models on the same rows: is the difference real, and is it small enough?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from scipy.stats import binomtest, norm

from minnow.evaluation import metrics
from minnow.evaluation.bootstrap import CONFIDENCE, interval
from minnow.evaluation.metrics import Array, rounded
from minnow.evaluation.records import Difference, Verdict
from minnow.evaluation.units import FEW_FLIPS, JudgedRows, Units, clustered_p, equal_units

# What a verdict may claim of a difference of F1, each with the chance of a mistake that half of the
# interval leaves. The second of two such holds where the first does.
CLAIMS: tuple[Verdict, ...] = ("better", "non_inferior", "inferior", "worse_margin_open")
MISTAKEN = (1 - CONFIDENCE) / 2
# With one of these, the margin does not stay open.
SETTLED: frozenset[Verdict] = frozenset(("non_inferior", "inferior"))


@dataclass(frozen=True)
class Flips:
    """How many predictions changed: `worse` from right to wrong, `better` from wrong to right."""

    changed: int
    worse: int
    better: int


@dataclass(frozen=True)
class Changes:
    """What changed row by row between two models; `mean_abs_dp` is of their probabilities, `net`
    (units,) the flips for the better − those for the worse of each unit.
    """

    flips: Flips
    agreement: float
    mcnemar_p: float
    clustered_p: float
    mean_abs_dp: float
    net: Array


@dataclass(frozen=True)
class Ruling:
    """What may be said of a difference of f1: the claims that its interval allows, the p of every
    one, and the rows that would settle it where it is open; `rows_at` returns those that another
    chance of a mistake, `mistaken`, asks for.
    """

    allowed: frozenset[Verdict]
    p: Mapping[Verdict, float]
    rows_needed: int | None
    more_rows_show: Verdict | None
    rows_at: Callable[..., int | None] | None = field(default=None, compare=False)

    def corrected(self, p: Mapping[Verdict, float]) -> "Ruling":
        """Return the ruling at corrected p. Only a p that the correction raised takes a claim back;
        the rows are then those that a claim needs at so much less chance of a mistake.
        """
        kept = {claim for claim in self.allowed if p[claim] <= max(MISTAKEN, self.p[claim])}
        needed, shown = self.rows_needed, self.more_rows_show
        if self.allowed & SETTLED and not kept & SETTLED:
            (shown,) = self.allowed & SETTLED
            level = MISTAKEN * self.p[shown] / p[shown]
            needed = self.rows_at(mistaken=level) if self.rows_at else None
        return Ruling(frozenset(kept), p, needed, shown if needed else None, self.rows_at)


# What may be said where no interval can be had.
NOTHING = Ruling(frozenset(), dict.fromkeys(CLAIMS, 1.0), None, None)


def claims(low: float, high: float, margin: float) -> frozenset[Verdict]:
    """Return what an interval of a difference, after − before, allows to claim."""
    holds = (low > 0, low > -margin, high < -margin, high < 0)
    return frozenset(claim for claim, held in zip(CLAIMS, holds, strict=True) if held)


def verdict(allowed: frozenset[Verdict]) -> Verdict:
    """Return the strongest of the claims, `undecided` where there is none."""
    return next((claim for claim in CLAIMS if claim in allowed), "undecided")


def claim_ps(resampled: Array, margin: float) -> dict[Verdict, float]:
    """Return the one-sided p of each claim: the share of resampled differences that lie on the
    wrong side of its edge (Efron & Tibshirani 1993, chapter 15), one more than there are.
    """
    values = resampled[~np.isnan(resampled)]
    beyond = (values <= 0, values <= -margin, values >= -margin, values >= 0)
    shares = [float((1 + wrong.sum()) / (1 + len(values))) for wrong in beyond]
    return dict(zip(CLAIMS, shares, strict=True))


def holm(ps: Sequence[float]) -> list[float]:
    """Return p values corrected for their number, so that all that lie below a level are true but
    with that chance (Holm 1979, Scandinavian Journal of Statistics 6(2)).
    """
    order = np.argsort(ps, kind="stable")
    times = np.arange(len(ps), 0, -1)
    corrected = np.empty(len(ps))
    corrected[order] = np.minimum(1, np.maximum.accumulate(times * np.asarray(ps)[order]))
    return [float(p) for p in corrected]


def corrected(rulings: Sequence[Ruling]) -> list[Ruling]:
    """Return the rulings that stand in one table, each claim corrected for their number."""
    by_claim = {claim: holm([each.p[claim] for each in rulings]) for claim in CLAIMS}
    return [
        each.corrected({claim: by_claim[claim][place] for claim in CLAIMS})
        for place, each in enumerate(rulings)
    ]


def rows_needed(
    difference: float, error: float, *, margin: float, rows: int, mistaken: float = MISTAKEN
) -> int | None:
    """Return the rows, to one digit, at which in four of five cases the interval would no longer
    hold −margin, `mistaken` being the chance of a mistake at each of its ends.

    `error` is the standard error on as many `rows`: it falls with their root, while the difference
    is taken to stay what it is. None where that lies within one standard error of −margin: then it
    may as well lie on the other side.
    """
    distance = abs(difference + margin)
    if distance <= error:
        return None
    reach = float(norm.isf(mistaken) + norm.ppf(0.8))
    return one_digit(rows * (reach * error / distance) ** 2)


def one_digit(number: float) -> int:
    """Return a positive number to one significant digit, 1 at least."""
    return max(1, int(float(f"{number:.0e}")))


def unseen_loss(worse: int, *, units: float, rows: int, positives: int, f1: float) -> float:
    """Return the loss of F1 that so few units with a flip for the worse leave possible, in [0, 1].

    Where hardly a row flips, the bootstrap knows hardly any flips and gives an interval of no
    width. The share of `units` (equal ones) that flip may yet be as high as the exact binomial
    bound (Clopper & Pearson 1934). The costliest flip is a phishing row that is lost:
    (2 − F1) / (2 · positives) at F1 near its precision and recall.
    """
    share = binomtest(min(worse, round(units)), round(units)).proportion_ci(
        CONFIDENCE, method="exact"
    )
    return float(share.high * rows * (2 - f1) / (2 * positives))


def hidden_loss(net: Array, rows: JudgedRows, f1: float) -> float:
    """Return the loss of F1, from `f1`, that chance may have kept out of sight, of net flips by
    unit (units,); 0 where FEW_FLIPS units or more have one: then the bootstrap knows.
    """
    if np.count_nonzero(net) >= FEW_FLIPS:
        return 0.0
    return unseen_loss(
        int((net < 0).sum()),
        units=equal_units(rows.units),
        rows=len(rows.labels),
        positives=rows.count(1),
        f1=f1,
    )


def mcnemar(worse: int, better: int) -> float:
    """Return the two-sided exact p of so unequal counts of discordant rows, were either equally
    likely.

    McNemar 1947, in its exact form: a binomial test. It takes rows for independent.
    """
    return float(binomtest(better, worse + better).pvalue) if worse + better else 1.0


def flips(before: Array, after: Array, labels: Array) -> Flips:
    """Count the flips between two models' predictions (rows,)."""
    changed = before != after
    better = int((changed & (after == labels)).sum())
    return Flips(int(changed.sum()), worse=int(changed.sum()) - better, better=better)


def net_flips(before: Array, after: Array, labels: Array, units: Units) -> Array:
    """Return better − worse flips between two models' predictions (rows,) by unit, (units,)."""
    moved = (after == labels).astype(np.int64) - (before == labels)
    return units.sums(moved).round().astype(np.int64)


def difference(before: float, after: float, resampled: Array) -> Difference:
    """Return after − before with its interval from paired resamples of that difference."""
    low, high = interval(resampled)
    return Difference(rounded(after - before), rounded(low), rounded(high))


def ruling(
    before: float, after: float, resampled: Array, *, net: Array, rows: JudgedRows, margin: float
) -> Ruling:
    """Return what may be said of a difference of f1 and, where the margin stays open, the rows that
    would settle it.

    `net` are the net flips behind it by unit: with few of them, nothing good is said where as many
    as chance may have kept out of sight would pass the margin.
    """
    allowed, count = claims(*interval(resampled), margin), len(rows.labels)
    p, distance, error = claim_ps(resampled, margin), after - before + margin, np.nanstd(resampled)
    rows_at = partial(rows_needed, after - before, float(error), margin=margin, rows=count)
    needed = None if allowed & SETTLED else rows_at()
    if "non_inferior" in allowed and (unseen := hidden_loss(net, rows, before)) > margin:
        allowed -= {"better", "non_inferior"}
        p |= {"better": 1.0, "non_inferior": 1.0}
        needed = one_digit(count * unseen / margin) if margin else None
    shown: Verdict = "non_inferior" if distance > 0 else "inferior"
    return Ruling(allowed, p, needed, shown if needed else None, rows_at)


def changes(
    before: Array, after: Array, rows: JudgedRows, *, thresholds: tuple[float, float]
) -> Changes:
    """Return what changed row by row between two models' margins (rows,), each judged at its own
    threshold.
    """
    guesses = [
        metrics.predicted(margins, at)
        for margins, at in zip((before, after), thresholds, strict=True)
    ]
    counts = flips(guesses[0], guesses[1], rows.labels)
    net = net_flips(guesses[0], guesses[1], rows.labels, rows.units)
    moved = np.abs(metrics.probability(after) - metrics.probability(before))
    return Changes(
        counts,
        agreement=rounded(1 - counts.changed / len(rows.labels)),
        mcnemar_p=rounded(mcnemar(counts.worse, counts.better)),
        clustered_p=rounded(clustered_p(net)),
        mean_abs_dp=rounded(moved.mean()),
        net=net,
    )
