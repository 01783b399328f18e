"""What changed between two models on the same rows, and what may be said of it."""

from collections.abc import Sequence
from typing import get_args

from minnow.evaluation import bootstrap, comparison, domain_flips
from minnow.evaluation.comparison import Changes, Ruling
from minnow.evaluation.metrics import Array, rounded
from minnow.evaluation.outcomes import Method, Resampled, guesses_of
from minnow.evaluation.records import RIVALS, Difference, Hop, Verdict
from minnow.evaluation.units import JudgedRows


def hops_between(
    pairs: Sequence[tuple[Resampled, Resampled]], rows: JudgedRows, method: Method
) -> tuple[Hop, ...]:
    """Return what changed between each two models, verdicts corrected for the number of pairs."""
    changed = [
        comparison.changes(
            before.outcome.test,
            after.outcome.test,
            rows,
            thresholds=(before.outcome.threshold, after.outcome.threshold),
        )
        for before, after in pairs
    ]
    rulings = [
        ruling_between(*pair, each.net, rows, margin_of(pair[0].name, method.margin))
        for pair, each in zip(pairs, changed, strict=True)
    ]
    return tuple(
        hop_of(*pair, each, said, rows, margin_of(pair[0].name, method.margin))
        for pair, each, *said in zip(
            pairs, changed, rulings, comparison.corrected(rulings), strict=True
        )
    )


def margin_of(before: str, margin: float) -> float:
    """Return the loss of f1 that is small enough; against a rival none is."""
    return 0.0 if before in RIVALS else margin


def ruling_between(
    before: Resampled, after: Resampled, net: Array, rows: JudgedRows, margin: float
) -> Ruling:
    """Return what may be said of a difference of f1; nothing where no interval can be had."""
    if not before.known:
        return comparison.NOTHING
    moved = moves_of_f1(before, after, rows)
    one, other = (float(model.point["f1"]) for model in (before, after))
    return comparison.ruling(one, other, moved, net=net, rows=rows, margin=margin)


def hop_of(
    before: Resampled,
    after: Resampled,
    changed: Changes,
    said: Sequence[Ruling],
    rows: JudgedRows,
    margin: float,
) -> Hop:
    """Return what changed between two models on the same rows; `said` is the ruling before and
    after its correction.
    """
    raw, corrected = said
    uncorrected, verdict = (comparison.verdict(each.allowed) for each in said)
    claim = "non_inferior" if uncorrected == "undecided" else uncorrected
    guesses = domain_flips.Guesses(guesses_of(before), guesses_of(after), rows)
    # Without an interval there is no verdict, and none to be another.
    told = (uncorrected, verdict) if before.known else get_args(Verdict)
    few = "tpr_at_fpr_1pct" in before.fixed and "tpr_at_fpr_1pct" in after.fixed
    return Hop(
        before=before.name,
        after=after.name,
        f1=change_of_f1(before, after, rows),
        roc_auc=change("roc_auc", before, after),
        tpr_at_fpr_1pct=change("tpr_at_fpr_1pct", before, after) if few else None,
        changed=changed.flips.changed,
        worse=changed.flips.worse,
        better=changed.flips.better,
        agreement=changed.agreement,
        mcnemar_p=changed.mcnemar_p,
        clustered_p=changed.clustered_p,
        mean_abs_dp=changed.mean_abs_dp,
        verdict=verdict,
        uncorrected=uncorrected,
        p=rounded(raw.p[claim]),
        adjusted_p=rounded(corrected.p[claim]),
        rows_needed=corrected.rows_needed,
        more_rows_show=corrected.more_rows_show,
        domains=domain_flips.top(guesses),
        decisive=domain_flips.decisive(guesses, margin, told),
    )


def moves_of_f1(before: Resampled, after: Resampled, rows: JudgedRows) -> Array:
    """Return after − before of f1 in each resample (resamples,), stretched around the difference
    where few domains hold many rows.
    """
    measured = float(after.point["f1"] - before.point["f1"])
    return bootstrap.stretched(measured, after.draws["f1"] - before.draws["f1"], rows.units)


def change_of_f1(before: Resampled, after: Resampled, rows: JudgedRows) -> Difference:
    """Return after − before of f1 with its interval; [−1, 1] where none can be had."""
    if not before.known:
        return change("f1", before, after)
    one, other = (float(model.point["f1"]) for model in (before, after))
    return comparison.difference(one, other, moves_of_f1(before, after, rows))


def change(key: str, before: Resampled, after: Resampled) -> Difference:
    """Return after − before of a metric, with its interval; [−1, 1] where none can be had."""
    one, other = (float(model.point[key]) for model in (before, after))
    if not before.known:
        return Difference(rounded(other - one), -1.0, 1.0)
    return comparison.difference(one, other, after.draws[key] - before.draws[key])
