"""What helps where phishing is rare or a GPU is small: weights, smoothing, parts of a batch,
patience, loss scaling.
"""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from helpers.training import (
    CPU,
    FLOAT32,
    ROWS,
    VALIDATION,
    KilledError,
    accuracy,
    digest,
    loss_killed_at,
    task,
    tiny_model,
    train,
    training_params,
)
from minnow.core.params import validated
from minnow.core.runtime import Runtime
from minnow.core.selection import Score
from minnow.distill.losses import distillation
from minnow.errors import MinnowError
from minnow.training import loop
from minnow.training.history import Progress, undecided
from minnow.training.loop import fit
from minnow.training.objective import Examples, Job, Objective, Schedule, Validation
from minnow.training.params import TrainingParams
from minnow.training.targets import NO_LABEL, Targets, class_weights, hard_loss

FLOAT16 = Runtime(CPU, torch.float16)
LOGITS = torch.randn(12, 2, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1] + [0] * 8 + [1, 0])
SOME = torch.where(torch.arange(12) % 3 == 0, NO_LABEL, LABELS)


# --- class weights and smoothing ------------------------------------------------------------------


def test_balanced_weights_by_hand() -> None:
    """10 safe and 2 phishing of 12: 12 / 20 and 12 / 4."""
    weights = class_weights("balanced", LABELS)
    assert weights is not None
    assert weights.tolist() == pytest.approx([0.6, 3])


def test_given_weights_keep_their_proportion_and_a_mean_of_1() -> None:
    weights = class_weights([1.0, 5.0], LABELS)
    assert weights is not None
    assert float(weights[1] / weights[0]) == pytest.approx(5)
    assert float(weights[LABELS].mean()) == pytest.approx(1)


def test_rows_without_a_label_do_not_count_for_the_weights() -> None:
    labelled = SOME[SOME != NO_LABEL]
    for asked in ("balanced", [1.0, 5.0]):
        weights = class_weights(asked, SOME)  # type: ignore[arg-type]
        assert torch.equal(weights, class_weights(asked, labelled))  # type: ignore[arg-type]
    assert class_weights(None, LABELS) is None


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 3.0])], ids=["even", "weighted"])
@pytest.mark.parametrize("labels", [LABELS, SOME], ids=["all", "some"])
def test_the_label_term_is_torchs_sum_over_the_rows(
    labels: Tensor, weights: Tensor | None, smoothing: float
) -> None:
    found = hard_loss(LOGITS, Targets(labels, None, weights, smoothing))
    theirs = nn.CrossEntropyLoss(
        weights, ignore_index=NO_LABEL, reduction="sum", label_smoothing=smoothing
    )
    torch.testing.assert_close(found, theirs(LOGITS, labels) / 12)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_in_a_batch_like_train_the_label_term_is_torchs_mean(smoothing: float) -> None:
    weights = class_weights("balanced", LABELS)
    found = hard_loss(LOGITS, Targets(LABELS, None, weights, smoothing))
    theirs = nn.CrossEntropyLoss(weights, label_smoothing=smoothing)
    torch.testing.assert_close(found, theirs(LOGITS, LABELS))


def test_weights_leave_the_teachers_term_alone() -> None:
    teacher, weights = LOGITS.flip(0), torch.tensor([0.5, 3.0])
    loss = distillation(loss="forward_kl", temperature=2.0, soft_weight=0.5)
    soft = distillation(loss="forward_kl", temperature=2.0, soft_weight=1.0)
    targets = Targets(LABELS, teacher, weights, 0.1)
    expected = 0.5 * soft(LOGITS, targets) + 0.5 * hard_loss(LOGITS, targets)
    torch.testing.assert_close(loss(LOGITS, targets), expected)
    torch.testing.assert_close(soft(LOGITS, targets), soft(LOGITS, Targets(LABELS, teacher)))


def test_a_batch_takes_the_weights_along() -> None:
    some = Targets(LABELS, None, torch.tensor([0.5, 3.0]), 0.2).of(torch.tensor([3, 1]), CPU)
    assert some.labels.tolist() == [0, 1]
    assert some.class_weights is not None
    assert (some.class_weights.tolist(), some.label_smoothing) == ([0.5, 3.0], 0.2)


# --- parts of a batch -----------------------------------------------------------------------------


@pytest.mark.parametrize("accumulate", [2, 3, 8])
@pytest.mark.parametrize("rows", [ROWS, 19])
def test_in_parts_a_batch_gives_the_same_weights(accumulate: int, rows: int) -> None:
    start = tiny_model()
    whole, parts = copy.deepcopy(start), copy.deepcopy(start)
    history = train(whole, rows=rows)
    in_parts = train(parts, rows=rows, accumulate=accumulate)
    for left, right in zip(parts.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(left, right, atol=2e-5, rtol=1e-3)
    assert [each["loss"] for each in in_parts] == pytest.approx(
        [each["loss"] for each in history], abs=1e-5
    )
    assert digest(whole) != digest(start)


def test_parts_see_every_row_once() -> None:
    seen: list[int] = []

    def loss(logits: Tensor, targets: Targets) -> Tensor:
        seen.append(len(targets.labels))
        return hard_loss(logits, targets)

    train(tiny_model(), rows=19, epochs=1, loss=loss, accumulate=3)
    assert sorted(seen) == sorted([3, 3, 2, 3, 3, 2, 1, 1, 1])


def test_in_16_bits_parts_are_added_in_32() -> None:
    """Eight gradients of 1/8 on top of 256 would be lost one by one in bfloat16."""
    from minnow.training.weights import Weights

    layer = nn.Linear(1, 1, bias=False)
    weights = Weights(layer, Runtime(CPU, torch.bfloat16))
    for value in (256.0, *[0.125] * 8):
        layer.weight.grad = torch.full((1, 1), value, dtype=torch.bfloat16)
        weights.take_gradients()
    assert float(weights.masters[0].grad) == 257.0


# --- patience -------------------------------------------------------------------------------------


def scripted(*scores: float) -> Callable[[Tensor], float]:
    left = iter(scores)
    return lambda logits: next(left)


@pytest.mark.parametrize(
    ("patience", "epochs"), [(None, 6), (1, 3), (2, 4), (3, 6), (6, 6)], ids=str
)
def test_patience_ends_a_training_that_is_no_better(patience: int | None, epochs: int) -> None:
    """The best so far in epochs 1, 2 and 5."""
    scores = scripted(0.1, 0.5, 0.5, 0.4, 0.6, 0.2)
    history = train(tiny_model(), epochs=6, score=scores, patience=patience)
    assert len(history) == epochs


def test_the_epochs_that_patience_leaves_are_those_of_the_whole_training() -> None:
    short, whole = tiny_model(dropout=0.2), tiny_model(dropout=0.2)
    first = train(short, epochs=5, score=scripted(0.1, 0.5, 0.3), patience=1)
    assert first == train(whole, epochs=5, score=scripted(0.1, 0.5, 0.3, 0.2, 0.2))[:3]
    assert digest(short) == digest(whole)


def test_a_finished_training_that_was_impatient_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    first, second = tiny_model(), tiny_model()
    scores = (0.5, 0.3)
    kept = tmp_path / "run.pt"
    history = train(first, epochs=4, score=scripted(*scores), patience=1, checkpoint=kept)
    again = train(second, epochs=4, patience=1, checkpoint=kept, loss=loss_killed_at(0))
    assert again == history
    assert digest(first) == digest(second)


# --- the epoch that is kept -----------------------------------------------------------------------


def fitted(scores: list[Score], capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """Return the weights of a training with these scores, and what it warned of."""
    texts, labels = task(ROWS)
    model, left = tiny_model(), iter(scores)
    torch.manual_seed(0)
    fit(
        model,
        Examples(texts, Targets(labels)),
        Validation(VALIDATION, lambda logits: next(left)),
        Objective(hard_loss),
        Schedule(training_params(epochs=len(scores)), 0),
        Job("test", FLOAT32),
    )
    lines = capsys.readouterr().err.splitlines()
    return digest(model), "\n".join(line for line in lines if line.startswith("minnow"))


def test_where_f1_is_0_throughout_average_precision_decides_and_a_warning_says_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found, said = fitted([Score(0.0, 0.1, 0.0), Score(0.0, 0.4, 0.0), Score(0.0, 0.2, 0.0)], capsys)
    best, _ = fitted([Score(0.0, 0.0, 0.0), Score(1.0, 0.0, 1.0), Score(0.0, 0.0, 0.0)], capsys)
    assert found == best
    assert said == (
        "minnow: warning: test: F1 on validation is 0 in every epoch, since no phishing passes the"
        " threshold; epoch 2 is kept, by average precision; set evaluate.threshold.f1 to true or"
        " training.class_weight to balanced, or train longer"
    )


def test_a_score_that_tells_no_epoch_from_another_is_warned_of(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, said = fitted([Score(0.25, 0.1, 0.25), Score(0.25, 0.1, 0.25)], capsys)
    assert "f1 on validation is the same in every epoch, 0.2500, so epoch 1 is kept" in said


@pytest.mark.parametrize(
    ("by", "advice"),
    [
        ("f1", "by average precision; set select to average_precision or log_loss, or train"),
        ("accuracy", "by average precision; set select to average_precision or log_loss, or train"),
        ("roc_auc", "by average precision; set select to log_loss, or train longer or faster"),
        ("average_precision", "the earliest; set select to log_loss, or train longer or faster"),
        ("log_loss", "by average precision; train longer or faster"),
    ],
)
def test_nobody_is_told_to_select_by_what_does_not_move(by: str, advice: str) -> None:
    record = {"loss": 1.0, "validation_f1": 0.5, "score": 0.25}
    history = [record | {"epoch": 1}, record | {"epoch": 2}]
    said = undecided(Progress(epoch=2, best_epoch=1, history=history), "teacher", by)
    assert said is not None
    assert f"{by} on validation is the same in every epoch, 0.2500, so epoch 1 is kept" in said
    assert f"is kept, {advice}" in said


def test_the_warning_names_what_kept_the_epoch() -> None:
    record = {"loss": 1.0, "validation_f1": 0.0}
    history = [record | {"epoch": at + 1, "score": score} for at, score in enumerate((0.8, 0.9))]
    said = undecided(Progress(epoch=2, best_epoch=2, history=history), "teacher", "roc_auc")
    assert said is not None
    assert "epoch 2 is kept, by roc_auc; set" in said


def test_a_perfect_score_is_no_reason_for_a_warning_whatever_f1_is() -> None:
    record = {"loss": 1.0, "validation_f1": 0.5, "score": 1.0}
    history = [record | {"epoch": 1}, record | {"epoch": 2}]
    progress = Progress(epoch=2, best_epoch=1, history=history)
    assert undecided(progress, "teacher", "average_precision") is None


@pytest.mark.parametrize(
    "scores",
    [
        [Score(0.0, 0.1, 0.0), Score(0.2, 0.1, 0.2)],
        [Score(1.0, 1.0, 1.0), Score(1.0, 1.0, 1.0)],
        [Score(0.4, 0.1, 0.4)],
    ],
    ids=["it rose", "perfect", "one epoch"],
)
def test_nothing_is_said_of_a_choice(
    scores: list[Score], capsys: pytest.CaptureFixture[str]
) -> None:
    assert fitted(scores, capsys)[1] == ""


# --- float16 --------------------------------------------------------------------------------------


def test_float16_learns_and_ends_in_float32() -> None:
    model = tiny_model()
    dtypes: set[torch.dtype] = set()

    def loss(logits: Tensor, targets: Targets) -> Tensor:
        dtypes.add(logits.dtype)
        return hard_loss(logits, targets)

    history = train(model, rows=64, runtime=FLOAT16, loss=loss, epochs=12, learning_rate=1e-2)
    assert dtypes == {torch.float16}
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert max(entry["validation_f1"] for entry in history) > 0.9


def test_a_loss_too_small_for_float16_still_teaches() -> None:
    """Its gradients lie below 6e-8, float16's smallest number, and would be 0 without scaling."""
    start = tiny_model()
    model = copy.deepcopy(start)

    def tiny(logits: Tensor, targets: Targets) -> Tensor:
        return 1e-7 * hard_loss(logits, targets)

    train(model, runtime=FLOAT16, epochs=1, loss=tiny)
    moved = (model.classifier.weight - start.classifier.weight).detach().abs()
    assert float(moved.min()) > 0


def test_a_step_whose_gradients_overflow_is_left_out() -> None:
    """Of one step at the first scale, 2¹⁶, times a slope of 10, float16 holds nothing."""
    start = tiny_model()
    model = copy.deepcopy(start)
    train(model, rows=8, runtime=FLOAT16, epochs=1, loss=lambda logits, t: 10 * logits.sum())
    assert all(
        torch.equal(left, right)
        for left, right in zip(model.parameters(), start.parameters(), strict=True)
    )
    learnt = copy.deepcopy(start)
    train(learnt, rows=64, runtime=FLOAT16, epochs=2, loss=lambda logits, t: 10 * logits.sum())
    assert digest(learnt) != digest(start), "half the scale is tried next, and so on"


def test_gradients_that_overflow_at_any_scale_are_one_clear_error() -> None:
    def loss(logits: Tensor, targets: Targets) -> Tensor:
        return (logits - logits.detach()).abs().sum().sqrt()  # its derivative at 0 is infinite

    with pytest.raises(MinnowError, match=r"the gradient became \w+ in epoch \d; lower the lea"):
        train(tiny_model(), runtime=FLOAT16, loss=loss, epochs=10)


@pytest.mark.parametrize("step", [1, 5, 11])
def test_a_killed_float16_run_goes_on_to_the_same_bytes(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scale is part of the state: the first steps halve it."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    kept = tmp_path / "run.pt"

    def steep(inner: Callable[[Tensor, Targets], Tensor]) -> Callable[[Tensor, Targets], Tensor]:
        return lambda logits, targets: 100 * inner(logits, targets)

    whole, killed, resumed = (tiny_model(dropout=0.2) for _ in range(3))
    history = train(whole, runtime=FLOAT16, epochs=3, loss=steep(hard_loss))
    killer = steep(loss_killed_at(step))
    with pytest.raises(KilledError):
        train(killed, runtime=FLOAT16, epochs=3, checkpoint=kept, loss=killer)
    state = torch.load(kept, weights_only=True)
    assert state["scaler"]["scale"] < 2**16, "the loss is steep enough to be scaled less"
    again = train(resumed, runtime=FLOAT16, epochs=3, checkpoint=kept, loss=steep(hard_loss))
    assert again == history
    assert digest(resumed) == digest(whole)


# --- params ---------------------------------------------------------------------------------------

VALID = training_params().model_dump()
NEITHER = r"class_weight: \S.* is neither null nor balanced nor two numbers above 0, \[safe"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"class_weight": "even"}, NEITHER),
        ({"class_weight": [1.0]}, NEITHER),
        ({"class_weight": [1.0, 0.0]}, NEITHER),
        ({"class_weight": [1.0, 2.0, 3.0]}, NEITHER),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0"),
        ({"label_smoothing": -0.1}, "label_smoothing is -0.1"),
        ({"accumulate": 0}, "accumulate is 0"),
        ({"accumulate": 9}, "accumulate 9 cuts a batch of 8 rows into more parts than rows"),
        ({"patience": 0}, "patience is 0"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_in_one_line(changes: dict[str, object], words: str) -> None:
    with pytest.raises(MinnowError, match=rf"^params.yaml: b[.:].*{words}") as refusal:
        validated(TrainingParams, {**VALID, **changes}, "b")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("good", ["balanced", [1.0, 5.0], [2.0, 1e6]], ids=str)
def test_class_weights_that_can_be(good: object) -> None:
    assert validated(TrainingParams, {**VALID, "class_weight": good}, "b").class_weight == good


def test_options_that_are_off_draw_nothing() -> None:
    """Weights of 1, no smoothing, one part, endless patience: the same bytes."""
    plain, spelled = tiny_model(dropout=0.2), tiny_model(dropout=0.2)
    train(plain)
    train(spelled, patience=100, score=accuracy)
    assert digest(plain) == digest(spelled)
    even = class_weights([1.0, 1.0], LABELS)
    assert even is not None
    assert np.array_equal(even.numpy(), [1.0, 1.0])
