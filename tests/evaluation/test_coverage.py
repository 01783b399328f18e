"""Do intervals cover the truth, and are claims as seldom false as they promise? Samples of known
truth, many times over. The figures are in docs/evidence.md.
"""

import numpy as np
import pytest
from scipy.stats import norm

from minnow.evaluation import bootstrap, calibration, comparison, domain_flips, metrics, units
from minnow.evaluation.bootstrap import Ranked
from minnow.evaluation.domain_flips import Guesses
from minnow.evaluation.metrics import Array
from minnow.evaluation.units import JudgedRows, Units

pytestmark = pytest.mark.slow
RESAMPLES = 400
# Of rows in clusters: their share of all rows, and what rows of a cluster share of the variance.
CLUSTERED, RHO = 0.2, 0.5
ACCURACY = 0.95


def clusters(rows: int, draw: np.random.Generator) -> Units:
    """A fifth of the rows lies in clusters of 10 to 50, each other row is alone."""
    sizes: list[int] = []
    while sum(sizes) < CLUSTERED * rows:
        sizes.append(int(draw.integers(10, 51)))
    of = np.repeat(np.arange(len(sizes)), sizes)
    of = np.append(of, np.arange(len(sizes), len(sizes) + rows - len(of)))
    return Units(of.astype(np.int32), int(of[-1]) + 1, np.arange(of[-1] + 1).astype(str))


def uniform(of: Units, draw: np.random.Generator) -> Array:
    """Even numbers in [0, 1] (rows,), of which the rows of a unit share half of the variance."""
    shared, own = draw.normal(size=of.count)[of.of], draw.normal(size=len(of.of))
    return np.asarray(norm.cdf(np.sqrt(RHO) * shared + np.sqrt(1 - RHO) * own))


def resampled(
    guesses: dict[str, Array], rows: JudgedRows, seed: int
) -> dict[str, dict[str, Array]]:
    """Metrics of models that are sure of what they guess, in each resample."""
    ranked = {name: Ranked.of(2.0 * guess - 1, rows) for name, guess in guesses.items()}
    at = {name: {"decision": 0.0} for name in guesses}
    return bootstrap.bootstrap(ranked, at, rows.units.count, resamples=RESAMPLES, seed=seed)


def covered(values: Array, truth: float) -> bool:
    low, high = bootstrap.interval(values)
    return low <= truth <= high


def shares(runs: int, once) -> dict[str, float]:  # type: ignore[no-untyped-def]
    """How often each thing that `once` tells of a seed is so."""
    found = [once(seed) for seed in range(runs)]
    result = {key: float(np.mean([each[key] for each in found])) for key in found[0]}
    print({key: round(share, 3) for key, share in result.items()})
    return result


def balanced(of: Units, draw: np.random.Generator) -> tuple[JudgedRows, Array]:
    """Rows, half of them phishing, of which a model has 95 % right: so are accuracy and F1."""
    labels = (uniform(of, draw) < 0.5).astype(np.int64)
    right = uniform(of, draw) < ACCURACY
    return JudgedRows(labels, of), np.where(right, labels, 1 - labels)


@pytest.mark.parametrize("rows", [2_000, 8_000])
def test_intervals_by_domain_cover_where_rows_lie_in_clusters(rows: int) -> None:
    def once(seed: int) -> dict[str, bool]:
        draw = np.random.default_rng(seed)
        sample, guess = balanced(clusters(rows, draw), draw)
        alone = JudgedRows(sample.labels, Units.rows(rows))
        by_domain, by_row = (resampled({"m": guess}, each, seed)["m"] for each in (sample, alone))
        return {
            "accuracy": covered(by_domain["accuracy"], ACCURACY),
            "f1": covered(by_domain["f1"], ACCURACY),
            "accuracy by row": covered(by_row["accuracy"], ACCURACY),
        }

    found = shares(500, once)
    assert min(found["accuracy"], found["f1"]) >= 0.90
    assert found["accuracy by row"] < 0.85, "what the domains are there for"


@pytest.mark.parametrize("rows", [2_000, 8_000])
def test_intervals_of_independent_rows_are_neither_too_narrow_nor_too_wide(rows: int) -> None:
    def once(seed: int) -> dict[str, bool]:
        draw = np.random.default_rng(seed)
        sample, guess = balanced(Units.rows(rows), draw)
        found = resampled({"m": guess}, sample, seed)["m"]
        return {key: covered(found[key], ACCURACY) for key in ("accuracy", "f1")}

    assert all(0.93 <= share <= 0.97 for share in shares(1_000, once).values())


@pytest.mark.parametrize("rows", [2_000, 8_000])
def test_intervals_of_f1_cover_where_phishing_is_rare(rows: int) -> None:
    phishing, found_share, alarms = 0.02, 0.95, 0.05
    hits = phishing * found_share
    truth = 2 * hits / (phishing + hits + (1 - phishing) * alarms)

    def once(seed: int) -> dict[str, bool]:
        draw = np.random.default_rng(seed)
        labels = (draw.random(rows) < phishing).astype(np.int64)
        guess = (draw.random(rows) < np.where(labels == 1, found_share, alarms)).astype(np.int64)
        values = resampled({"m": guess}, JudgedRows(labels, Units.rows(rows)), seed)["m"]["f1"]
        return {"f1": covered(values, truth)}

    assert shares(500, once)["f1"] >= 0.92


@pytest.mark.parametrize("rows", [3_000, 8_500])
@pytest.mark.parametrize("change", [-0.005, 0.0])
def test_claims_of_a_hop_are_seldom_false(rows: int, change: float) -> None:
    """Of two models 2 % of the rows flip, in clusters: at the margin, none is non-inferior; with no
    change at all, none is better, and McNemar's test by domain finds no difference.
    """
    worse = 0.01 - change / 2

    def once(seed: int) -> dict[str, bool]:
        draw = np.random.default_rng(seed)
        of = clusters(rows, draw)
        labels, place = (uniform(of, draw) < 0.5).astype(np.int64), uniform(of, draw)
        # lowest: those that turn wrong, then those that turn right, then those wrong in both
        turned_right, both = (worse <= place) & (place < 0.02), (place >= 0.02)
        below = place < 0.05 + worse
        wrong = {"before": turned_right | both & below, "after": below & ~turned_right}
        guesses = {name: np.where(each, 1 - labels, labels) for name, each in wrong.items()}
        sample = JudgedRows(labels, of)
        drawn = resampled(guesses, sample, seed)
        net = comparison.net_flips(guesses["before"], guesses["after"], labels, of)
        measured, _ = domain_flips.influence(Guesses(guesses["before"], guesses["after"], sample))
        said = comparison.ruling(
            metrics.classification(guesses["before"] - 0.5, labels).f1,
            metrics.classification(guesses["after"] - 0.5, labels).f1,
            bootstrap.stretched(measured, drawn["after"]["f1"] - drawn["before"]["f1"], of),
            net=net,
            rows=sample,
            margin=0.005,
        )
        flips = comparison.flips(guesses["before"], guesses["after"], labels)
        return {
            "non_inferior": "non_inferior" in said.allowed,
            "better": "better" in said.allowed,
            "by domain": units.clustered_p(net) < 0.05,
            "by row": comparison.mcnemar(flips.worse, flips.better) < 0.05,
        }

    found = shares(3_000 if change else 1_000, once)  # 0.04 is near: a thousand tell too little
    if change:
        assert found["non_inferior"] <= 0.04
    else:
        assert found["better"] <= 0.04
        assert found["by domain"] <= 0.07


@pytest.mark.parametrize("rows", [500, 2_000, 8_000])
@pytest.mark.parametrize("sharpened", [1.0, 1.6])
def test_intervals_of_the_calibration_error_cover(rows: int, sharpened: float) -> None:
    """A calibrated model, whose true error is 0, and one that is too sure."""
    odds = np.random.default_rng(1).normal(size=1_000_000) * 2
    off = metrics.probability(odds * sharpened) - metrics.probability(odds)
    truth = np.abs(np.bincount(metrics.bin_of(odds), weights=off)).sum() / len(odds)

    def once(seed: int) -> dict[str, bool]:
        draw = np.random.default_rng(seed)
        true = draw.normal(size=rows) * 2
        labels = (draw.random(rows) < metrics.probability(true)).astype(np.int64)
        sample, at = JudgedRows(labels, Units.rows(rows)), {"decision": 0.0}
        ranked = {"m": Ranked.of(true * sharpened, sample)}
        drawn = bootstrap.bootstrap(ranked, {"m": at}, rows, resamples=300, seed=seed)["m"]
        gaps = bootstrap.point(true * sharpened, sample, at)["gaps"]
        value, low, high = calibration.without_chance(gaps, drawn["gaps"])
        return {"covered": low <= truth <= high, "value": value, "measured": np.abs(gaps).sum()}

    print(f"truth {truth:.4f}")
    found = shares(300, once)
    assert found["covered"] >= 0.90
    assert abs(found["value"] - truth) < abs(found["measured"] - truth)
