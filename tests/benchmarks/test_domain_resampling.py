"""Resampling by domain: weights, and every weighted metric against scikit-learn."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn import metrics as sk

import domain_resampling as dr

Array = np.ndarray


def example(rows: int = 300, *, ties: bool = False) -> tuple[Array, Array, Array]:
    """Return margins, labels and domains of a middling classifier."""
    draw = np.random.default_rng(0)
    labels = (draw.random(rows) < 0.4).astype(np.int64)
    margins = draw.normal(size=rows) * 2 + 3 * labels - 1.5
    return (np.round(margins) if ties else margins), labels, draw.integers(0, 40, size=rows)


def as_numbers(domains: Array) -> Array:
    return np.unique(domains, return_inverse=True)[1]


def test_a_domain_is_drawn_whole_and_as_many_as_there_are() -> None:
    _, _, domains = example()
    domains = as_numbers(domains)
    weights = dr.domain_weights(domains, resamples=50)
    _, firsts = np.unique(domains, return_index=True)
    assert weights.shape == (51, 300)
    assert (weights[0] == 1).all()
    assert np.array_equal(weights, weights[:, firsts][:, domains])
    assert (weights[:, firsts].sum(axis=1) == len(firsts)).all()
    assert np.array_equal(weights, dr.domain_weights(domains, resamples=50))
    assert not np.array_equal(weights, dr.domain_weights(domains, resamples=50, seed=1))


@pytest.mark.parametrize("ties", [False, True])
def test_metrics_equal_scikit_learn_under_every_weight(ties: bool) -> None:
    margins, labels, domains = example(ties=ties)
    weights = dr.domain_weights(as_numbers(domains), resamples=20)
    cuts = np.linspace(-1, 1, len(weights))
    found = dr.f1_and_accuracy(margins, labels, weights, cuts)
    auc = dr.roc_auc(margins, labels, weights)
    for number, (weight, cut) in enumerate(zip(weights, cuts, strict=True)):
        called = margins > cut
        f1 = sk.f1_score(labels, called, sample_weight=weight)
        accuracy = sk.accuracy_score(labels, called, sample_weight=weight)
        assert found["f1"][number] == pytest.approx(f1)
        assert found["accuracy"][number] == pytest.approx(accuracy)
        assert auc[number] == pytest.approx(sk.roc_auc_score(labels, margins, sample_weight=weight))


@pytest.mark.parametrize("ties", [False, True])
def test_no_other_cut_has_a_better_f1(ties: bool) -> None:
    margins, labels, domains = example(100, ties=ties)
    weights = dr.domain_weights(as_numbers(domains), resamples=5)
    cuts = dr.best_cuts(margins, labels, weights)
    found = dr.f1_and_accuracy(margins, labels, weights, cuts)["f1"]
    for number, weight in enumerate(weights):
        tried = (sk.f1_score(labels, margins > cut, sample_weight=weight) for cut in margins)
        assert found[number] == pytest.approx(max(tried))


def test_rows_repeated_within_their_domain_make_no_interval_narrower() -> None:
    """The domain is what is sampled: ten copies of each row are no more evidence than one."""
    margins, labels, domains = example()
    domains = as_numbers(domains)
    once, tenfold = (
        dr.roc_auc(
            *(np.repeat(each, times) for each in (margins, labels)),
            dr.domain_weights(np.repeat(domains, times), resamples=100),
        )
        for times in (1, 10)
    )
    assert np.allclose(once, tenfold)


def test_rows_of_one_domain_each_vary_as_independent_rows_do() -> None:
    _, labels, _ = example(2_000)
    weights = dr.domain_weights(np.arange(2_000), resamples=1_000)
    cuts = np.zeros(1)
    share = dr.f1_and_accuracy(np.where(labels == 1, 1.0, -1.0), labels, weights, cuts)
    assert (share["accuracy"] == 1).all()
    wrong = np.random.default_rng(1).random(2_000) < 0.1
    margins = np.where((labels == 1) ^ wrong, 1.0, -1.0)
    found = dr.f1_and_accuracy(margins, labels, weights, cuts)["accuracy"][1:]
    assert found.std() == pytest.approx(np.sqrt(wrong.mean() * (1 - wrong.mean()) / 2_000), rel=0.1)


def test_an_estimate_is_the_first_value_with_the_interval_of_the_others() -> None:
    values = np.concatenate([[0.5], np.arange(101) / 100])
    assert dr.estimate(values) == {"value": 0.5, "low": 0.025, "high": 0.975}


def test_groups_rise_and_their_weights_are_cumulated() -> None:
    margins, labels = np.array([2.0, 1.0, 2.0, 3.0]), np.array([1, 0, 0, 1])
    groups, phishing, safe = dr.cumulated(margins, labels, np.array([[1.0, 2.0, 3.0, 4.0]]))
    assert all(one < two for one, two in pairwise(groups))
    assert (phishing.tolist(), safe.tolist()) == ([[0, 1, 5]], [[2, 5, 5]])
