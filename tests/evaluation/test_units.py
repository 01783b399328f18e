"""What is drawn, what rows in domains are worth, and the tests that know of domains."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import binom, norm

from minnow.errors import MinnowError
from minnow.evaluation import units
from minnow.evaluation.records import Domains
from minnow.evaluation.units import JudgedRows, Units


def named(*domains: str | None) -> Units:
    return Units.domains(pl.Series(domains, dtype=pl.String))


def sized(*sizes: int) -> Units:
    return named(*(f"d{number}" for number, size in enumerate(sizes) for _ in range(size)))


def test_rows_of_a_domain_are_a_unit_and_rows_without_one_are_alone() -> None:
    found = named("b.org", "a.org", "b.org", None, "", None)
    assert found.count == 5
    assert found.of[0] == found.of[2]
    assert len(set(found.of[[0, 1, 3, 4, 5]])) == 5
    assert [found.name(unit) for unit in found.of] == ["b.org", "a.org", "b.org", "", "", ""]


def test_units_are_chosen_by_params_and_by_what_the_rows_have() -> None:
    table = pl.DataFrame({"label": [0, 1, 1], "domain": ["a.org", "a.org", "b.org"]})
    assert [Units.chosen(table, unit).count for unit in (None, "domain", "row")] == [2, 2, 3]
    for bare in (table.drop("domain"), table.with_columns(domain=pl.lit(""))):
        assert Units.chosen(bare, None).names is None
        with pytest.raises(MinnowError, match="unit is domain, and no row has a domain; set row"):
            Units.chosen(bare, "domain")
    assert JudgedRows.of(table.cast({"label": pl.Int8}), None).labels.dtype == np.int64


def test_a_part_keeps_names_and_who_belongs_together() -> None:
    found = named("a", "b", "b", "c").part(np.array([False, True, True, True]))
    assert (found.count, [found.name(unit) for unit in found.of]) == (2, ["b", "b", "c"])
    assert found.sums(np.array([1.0, 2.0, 4.0])).tolist() == [3.0, 4.0]


def test_draws_are_as_many_units_as_there_are_with_repetition() -> None:
    weights = np.concatenate(list(units.draws(101, resamples=50, seed=0)), axis=1)
    assert weights.shape == (101, 50)
    assert set(weights.sum(axis=0)) == {101}
    assert weights.std() == pytest.approx(1.0, abs=0.05), "drawn with replacement: near Poisson"


def test_chunks_do_not_change_the_draws_and_seeds_do(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(units.draws(40, resamples=30, seed=7)), axis=1)
    monkeypatch.setattr(units, "CHUNK", 90)
    parts = list(units.draws(40, resamples=30, seed=7))
    assert len(parts) == 15
    assert np.array_equal(np.concatenate(parts, axis=1), whole)
    other = np.concatenate(list(units.draws(40, resamples=30, seed=8)), axis=1)
    assert not np.array_equal(other, whole)


def test_unequal_domains_weigh_as_much_as_fewer_equal_ones() -> None:
    assert units.equal_units(sized(3, 3, 3)) == pytest.approx(3)
    assert units.equal_units(sized(8, 1, 1)) == pytest.approx(100 / 66)
    assert units.equal_units(Units.rows(7)) == pytest.approx(7)


def test_effective_rows_by_hand() -> None:
    """Domains that are wholly right or wholly wrong count once; rows that go their own way, all."""
    wrong_together = np.repeat([True, False, True, False], 5)
    assert units.effective_rows(wrong_together, sized(5, 5, 5, 5)) == 4
    assert units.effective_rows(wrong_together, Units.rows(20)) == 20
    assert units.effective_rows(np.tile([True, False], 10), sized(10, 10)) == 20, "never more"
    assert units.effective_rows(np.ones(20, dtype=bool), sized(17, 1, 1, 1)) == round(400 / 292)


def test_effective_rows_know_the_share_as_well_as_so_many_independent_ones() -> None:
    """The variance of the share over many samples is p (1 − p) / n of the effective rows n."""
    shares, effective = [], []
    of = sized(*([20] * 30), *([1] * 400))
    for seed in range(400):
        draw = np.random.default_rng(seed)
        latent = draw.normal(size=of.count)[of.of] + draw.normal(size=len(of.of))
        right = latent / np.sqrt(2) < norm.ppf(0.9)
        shares.append(right.mean())
        effective.append(units.effective_rows(right, of))
    assert 0.09 / np.var(shares) == pytest.approx(np.median(effective), rel=0.2)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (JudgedRows(np.tile([0, 1], 20), Units.rows(40)), None),
        (
            JudgedRows(np.tile([0, 1], 19), Units.rows(38)),
            "there are 19 safe rows, and an interval",
        ),
        (JudgedRows(np.repeat([0, 1], [40, 5]), Units.rows(45)), "there are 5 phishing rows"),
        (JudgedRows(np.zeros(40, dtype=int), Units.rows(40)), "there are 0 phishing rows"),
        (
            JudgedRows(np.tile([0, 1], 100), sized(140, *([1] * 60))),
            "the 200 rows stand in 61 domains and weigh as much as 2 equal ones",
        ),
    ],
)
def test_where_few_domains_hold_most_rows_no_interval_can_be_had(
    rows: JudgedRows, reason: str | None
) -> None:
    sample = units.sample_facts(rows)
    assert (sample.safe, sample.phishing) == (rows.count(0), rows.count(1))
    if reason is None:
        assert sample.no_interval is None
    else:
        assert sample.no_interval is not None
        assert reason in sample.no_interval


def test_how_rows_lie_in_domains() -> None:
    assert units.domains_of(named("a", "b", "b", "b")) == Domains(2, "b", 0.75, 1.6)
    assert units.domains_of(Units.rows(4)) is None


def test_a_p_by_domain_by_hand() -> None:
    """z = Σs / √Σs²: 10 against 2 domains of one flip each, 8 / √12."""
    net = np.repeat([1, -1, 0], [10, 2, 50])
    assert units.clustered_p(net) == pytest.approx(2 * norm.sf(8 / np.sqrt(12)))
    assert units.clustered_p(-net) == units.clustered_p(net)
    # one domain of 24 flips beside 10 of one each, all for the worse: 34 / √586 is no proof
    assert units.clustered_p(np.append(-24, -np.ones(10))) == pytest.approx(
        2 * norm.sf(34 / np.sqrt(586))
    )
    assert units.clustered_p(np.array([-24, -9])) == 1.0, "two domains say nothing"
    assert units.clustered_p(np.zeros(5)) == 1.0


def test_a_p_by_domain_is_near_mcnemars_where_each_row_is_a_domain() -> None:
    worse, better = 60, 40
    exact = 2 * binom.cdf(better, worse + better, 0.5)
    assert units.clustered_p(np.repeat([-1, 1], [worse, better])) == pytest.approx(exact, abs=0.02)
