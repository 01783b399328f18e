"""The gate: each limit can break, nothing undefined passes, and the worst rows are named."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from conftest import TEXTS
from helpers.quantized import quantized_folder, student
from minnow.errors import MinnowError
from minnow.export import checks, gate
from minnow.export.checks import LIMITS, ROUNDING, WORDS, Check, Judged, require, rounded_up
from minnow.export.classifiers import Encoder, encoder_of
from minnow.export.graph import onnx_file
from minnow.export.packed import read_packed
from minnow.export.reference import Reference
from minnow.serve.onnx import OnnxModel, opened
from minnow.serve.tokens import read_tokenizer

Shipped = Callable[[bytes, bool], OnnxModel]
ROWS = 2_000
EXACT, FAST = LIMITS["exact"], LIMITS["fast"]


def judged(shift: np.ndarray | float = 0.0, *, threshold: float = 0.0) -> Judged:
    """Return rows whose exported margins are the evaluated ones plus `shift`; none lies nearer to 0
    than 0.5 but the first, at 0.01.
    """
    margins = np.linspace(0.5, 6, ROWS) * np.where(np.arange(ROWS) % 2, 1, -1)
    margins[0] = 0.01
    labels = (np.arange(ROWS) % 2).astype(np.int64)
    before, after = (np.stack([np.zeros(ROWS), each], 1) for each in (margins, margins + shift))
    return Judged([f"id{row}" for row in range(ROWS)], labels, before, after, threshold)


def one(row: int, value: float) -> np.ndarray:
    shift = np.zeros(ROWS)
    shift[row] = value
    return shift


def broken(rows: Judged, limits: checks.Limits = EXACT) -> list[str]:
    return [check.name for check in checks.against_evaluated(rows, limits) if not check.holds]


def found(rows: Judged, name: str) -> Check:
    return next(each for each in checks.against_evaluated(rows, EXACT) if each.name == name)


def test_equal_logits_hold_every_limit() -> None:
    assert broken(judged()) == []
    assert all(each.found == 0 for each in checks.against_evaluated(judged(), EXACT))


def test_the_limits_are_those_that_were_agreed() -> None:
    assert checks.Limits(0.001, 0.1, 0.03, 5e-4, 0.002) == EXACT
    assert checks.Limits(0.002, 0.1, 0.03, 5e-4, 0.002) == FAST


def test_one_flip_at_the_threshold_is_allowed_and_one_far_off_is_not() -> None:
    near = judged(one(0, -0.02))
    assert broken(near) == []
    assert found(near, "flips").found == 1
    assert found(near, "flip_distance").found == pytest.approx(0.01)
    far = judged(one(8, 1.0))
    assert {"flip_distance", "probability_change"} <= set(broken(far))
    assert found(far, "flip_distance").worst == ("id8",)


@pytest.mark.parametrize(("limits", "allowed"), [(EXACT, 2), (FAST, 4)])
def test_a_share_of_the_rows_may_flip(limits: checks.Limits, allowed: int) -> None:
    """Of margins that lie at the threshold, so that nothing else breaks."""
    rows = judged()
    for count, expected in ((allowed, []), (allowed + 1, ["flips"])):
        margins = rows.evaluated.copy()
        margins[:count, 1] = 0.001
        after = margins.copy()
        after[:count, 1] = -0.001
        found = broken(replace(rows, evaluated=margins, exported=after), limits)
        assert [name for name in found if name == "flips"] == expected


def test_the_least_number_of_rows_may_flip_one() -> None:
    rows = judged(one(0, -0.02))
    few = Judged(rows.ids[:9], rows.labels[:9], rows.evaluated[:9], rows.exported[:9], 0.0)
    assert found(few, "flips").limit == 1


@pytest.mark.parametrize(("shift", "breaks"), [(0.12, False), (0.14, True)])
def test_a_probability_may_change_by_three_hundredths(shift: float, breaks: bool) -> None:
    """At margin 0.5 the logistic function rises by 0.235 a unit."""
    rows = judged(one(1, shift))
    assert ("probability_change" in broken(rows)) is breaks
    assert found(rows, "probability_change").worst == ("id1",)
    assert found(rows, "probability_change").found == pytest.approx(0.235 * shift, rel=0.05)


def test_ranking_and_f1_are_bounded_each_alone() -> None:
    rows = judged()
    turned = np.where(np.arange(ROWS) >= ROWS - 20, -2 * rows.margins[0], 0.0)
    assert "roc_auc_change" in broken(judged(turned))
    safe = np.where((rows.labels == 1) & (np.arange(ROWS) < 100), -20.0, 0.0)
    assert "f1_loss" in broken(judged(safe))
    gained = judged(one(0, -0.02))  # a safe row that was called phishing
    assert found(gained, "f1_loss").found == 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_passes_nowhere(value: float) -> None:
    names = broken(judged(one(5, value)))
    assert {"probability_change", "roc_auc_change", "f1_loss"} <= set(names) or value == math.inf
    assert {"roc_auc_change", "f1_loss", "flip_distance"} <= set(names)
    logits = np.array([[0.0, 1.0], [value, 0.0]])
    with np.errstate(invalid="ignore"):
        check = checks.against_reference(["a", "b"], logits, np.zeros((2, 2)))
    assert not check.holds
    assert check.worst[0] == "b"
    assert not Check("flips", math.nan, 1.0).holds


@pytest.mark.parametrize(("size", "off"), [(0.5, 1.1), (100, 110)])
def test_a_logit_may_be_off_by_its_own_rounding(size: float, off: float) -> None:
    reference = np.array([[0.0, 1.0], [size, 2.0]])
    for share, holds in ((0.9 / 1.1, True), (1.0, False)):
        logits = reference + np.array([[0, 0], [off * ROUNDING * share, 0]])
        check = checks.against_reference(["a", "b"], logits, reference)
        assert check.holds is holds
        assert check.worst == ("b",)


def test_equal_to_the_bit_sees_the_last_bit() -> None:
    one = np.ones((3, 2), np.float32)
    other = one.copy()
    assert checks.equal_to_the_bit("beside_others", ["a", "b", "c"], one, other).holds
    other[1, 0] = np.nextafter(np.float32(1), np.float32(2))
    check = checks.equal_to_the_bit("beside_others", ["a", "b", "c"], one, other)
    assert (check.holds, check.found, check.worst) == (False, 1, ("b",))
    other[1, 0] = np.nan
    assert not checks.equal_to_the_bit("beside_others", ["a", "b", "c"], other, other).holds


def test_values_that_differ_name_their_rows() -> None:
    check = checks.same_values("tokens", ["a", "b"], [[1], [2]], [[1], [2, 3]])
    assert (check.holds, check.worst) == (False, ("b",))
    with pytest.raises(ValueError, match="shorter"):
        checks.same_values("tokens", ["a", "b"], [[1], [2]], [[1]])


def test_a_broken_gate_is_one_line_with_words_numbers_and_rows() -> None:
    require([Check("flips", 1, 1)], "quantized")
    failed = [Check("flips", 7, 4, ("x", "y")), Check("f1_loss", 0.01, 0.002)]
    with pytest.raises(MinnowError) as error:
        require(failed, "quantized")
    line = str(error.value)
    assert "another label: 7, above 4 (rows x, y)" in line
    assert "F1 loses 0.01, above 0.002" in line
    assert "export.mode" in line


def test_of_few_rows_what_one_can_change_is_allowed() -> None:
    rows = judged()
    few = Judged(rows.ids[:40], rows.labels[:40], rows.evaluated[:40], rows.exported[:40], 0.0)
    assert found(few, "roc_auc_change").limit == found(few, "f1_loss").limit == 1 / 20
    assert found(rows, "f1_loss").limit == EXACT.f1
    assert found(rows, "roc_auc_change").limit == 1 / 1000


def test_every_check_has_words() -> None:
    made = checks.against_evaluated(judged(), EXACT)
    assert {each.name for each in made} <= set(WORDS)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, 0.0), (3.0, 3.0), (0.0031, 0.005), (0.005, 0.005), (6e-7, 1e-6), (1.1e-5, 2e-5)],
)
def test_what_is_written_hides_what_varies_between_processors(
    value: float, expected: float
) -> None:
    assert rounded_up(value) == expected


@pytest.fixture(scope="module")
def folder(tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    return quantized_folder(student("bert", tokenizer, root / "student"), root / "packed")


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Encoder:
    return encoder_of(read_packed(folder))


@pytest.fixture(scope="module")
def shipped(folder: Path) -> Shipped:
    tokenizer = read_tokenizer(folder, 32)
    return lambda graph, alone: OnnxModel(opened(graph, keep=False), tokenizer, alone)


@pytest.fixture(scope="module")
def rows(encoder: Encoder, tokenizer: PreTrainedTokenizerBase) -> gate.Evaluated:
    """Rows as the float64 reference evaluates them, at a threshold in their middle."""
    texts = [f"{text}/{place}" for place in range(8) for text in TEXTS]
    tokens = [tokenizer(text, truncation=True)["input_ids"] for text in texts]
    reference = Reference(encoder)
    logits = np.stack([reference.logits(np.array(ids)) for ids in tokens]).astype(np.float32)
    margins = logits[:, 1].astype(float) - logits[:, 0]
    threshold = float(np.median(margins))
    labels = (margins > threshold).astype(np.int64)
    return gate.Evaluated([str(n) for n in range(32)], labels, texts, tokens, logits, threshold)


def test_the_exact_file_passes(rows: gate.Evaluated, encoder: Encoder, shipped: Shipped) -> None:
    model = shipped(onnx_file(encoder, "exact"), False)
    made = gate.model_checks(rows, encoder, model, "exact")
    assert [each.name for each in made if not each.holds] == []
    assert found_error(made) < ROUNDING


def found_error(made: list[Check]) -> float:
    return next(each.found for each in made if each.name == "logit_error")


def test_a_fast_file_that_passes_for_exact_is_found_out(
    rows: gate.Evaluated, encoder: Encoder, shipped: Shipped
) -> None:
    """Its logits are off, and depend on the texts beside, if it is run on several."""
    model = shipped(onnx_file(encoder, "fast"), False)
    made = gate.model_checks(rows, encoder, model, "exact")
    assert {"logit_error", "beside_others"} <= {each.name for each in made if not each.holds}


def test_a_fast_file_is_run_text_by_text(
    rows: gate.Evaluated, encoder: Encoder, shipped: Shipped
) -> None:
    model = shipped(onnx_file(encoder, "fast"), True)
    made = gate.model_checks(rows, encoder, model, "fast")
    names = {each.name for each in made if not each.holds}
    assert not {"logit_error", "beside_others", "probability_change"} & names


def test_another_models_file_is_found_out(
    rows: gate.Evaluated, encoder: Encoder, shipped: Shipped
) -> None:
    other = shipped(onnx_file(replace(encoder, epsilon=0.1), "exact"), False)
    made = gate.model_checks(rows, encoder, other, "exact")
    assert "logit_error" in {each.name for each in made if not each.holds}


def test_texts_and_tokens_are_compared_row_by_row(rows: gate.Evaluated) -> None:
    odd = ([[1], [2]], [[1], [2]])
    good = gate.text_checks(rows, rows.tokens, odd, move_scheme=True)
    assert all(each.holds for each in good)
    other = [list(ids) for ids in rows.tokens]
    other[3] = other[3][:-1]
    unclean = replace(rows, texts=["http://a.b", *rows.texts[1:]])
    bad = gate.text_checks(unclean, other, (odd[0], [[1], [3]]), move_scheme=True)
    assert [each.worst for each in bad] == [("0",), ("3",), ("odd text 1",)]
    assert not any(each.holds for each in bad)


@pytest.mark.parametrize("count", [1, 5, gate.SAMPLE, 3 * gate.SAMPLE])
def test_a_sample_has_the_longest_row_and_stays_bounded(count: int) -> None:
    tokens = [[0]] * count
    tokens[count // 3] = [0, 0]
    sample = gate.reference_sample(tokens)
    assert count // 3 in sample
    assert len(set(sample)) == len(sample) <= gate.SAMPLE + 1
    assert len(sample) >= min(count, gate.SAMPLE)
