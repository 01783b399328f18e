"""One loop, held against a plain one; killed, and gone on with; in float32 and in bfloat16."""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, RobertaConfig, RobertaForSequenceClassification

from helpers.training import (
    BFLOAT16,
    FLOAT32,
    PAD,
    PHISHING_TOKEN,
    ROWS,
    VALIDATION,
    KilledError,
    accuracy,
    digest,
    encoded,
    loss_killed_at,
    scored,
    task,
    tiny_model,
    train,
    training_params,
)
from minnow.core.runtime import Runtime
from minnow.errors import MinnowError
from minnow.models import inference
from minnow.models.batching import Encoded, training_batches
from minnow.training import loop
from minnow.training.loop import fit, linear_schedule
from minnow.training.objective import Examples, Guide, Job, Objective, Schedule, Validation
from minnow.training.targets import Targets, hard_loss
from minnow.training.weights import only_used_embeddings


def scripted(scores: list[float]) -> Callable[[Tensor], float]:
    """Return a score function that gives these numbers, one an epoch."""
    left = iter(scores)
    return lambda logits: next(left)


def embeddings(model: PreTrainedModel) -> Tensor:
    return model.get_input_embeddings().weight.detach()


# --- against a plain loop -------------------------------------------------------------------------


def plain_loop(
    model: PreTrainedModel, texts: Encoded, labels: Tensor, *, epochs: int, seed: int
) -> None:
    """Train as `fit` says it does, with all embeddings, torch's unfused AdamW and textbook code."""
    params = training_params()
    embedding_names = ("word_embeddings", "position_embeddings", "token_type_embeddings")
    decayed, others = [], []
    for name, weight in model.named_parameters():
        plain = weight.dim() < 2 or any(part in name for part in embedding_names)
        (others if plain else decayed).append(weight)
    optimizer = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": params.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        foreach=False,
    )
    total = math.ceil(len(texts) / params.batch_size) * epochs
    warm = round(params.warmup * total)
    step = 0
    model.train()
    for epoch in range(epochs):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        for rows in training_batches(
            texts.lengths, batch_size=params.batch_size, generator=generator
        ):
            factor = (step + 1) / (warm + 1) if step < warm else (total - step) / (total - warm)
            for group in optimizer.param_groups:
                group["lr"] = params.learning_rate * factor
            logits = model(**texts.batch(rows, torch.device("cpu"))).logits
            nn.functional.cross_entropy(logits, labels[rows]).backward()
            norm = torch.sqrt(sum((w.grad**2).sum() for w in model.parameters()))
            for weight in model.parameters():
                weight.grad *= min(1.0, 1.0 / float(norm))
            optimizer.step()
            optimizer.zero_grad()
            step += 1


def test_equals_a_plain_loop_over_all_embeddings() -> None:
    start = tiny_model()
    mine, plain = copy.deepcopy(start), copy.deepcopy(start)
    train(mine, score=scripted([1, 2, 3]), epochs=3)
    plain_loop(plain, *task(ROWS), epochs=3, seed=0)
    for (name, left), right in zip(
        mine.state_dict().items(), plain.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(
            left, right, atol=2e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
        )
    moved = (embeddings(plain) - embeddings(start)).abs().max()
    assert moved > 1e-3, "the weights went somewhere that the comparison can miss"


@pytest.mark.parametrize("runtime", [FLOAT32, BFLOAT16], ids=["float32", "bfloat16"])
def test_tokens_that_never_occur_keep_their_embeddings_to_the_bit(runtime: Runtime) -> None:
    model = tiny_model()
    before = embeddings(model).clone()
    train(model, runtime=runtime)
    unused = torch.ones(len(before), dtype=torch.bool)
    unused[torch.cat([task(ROWS)[0].ids, VALIDATION.ids])] = False
    assert 10 < int(unused.sum()) < 40
    assert torch.equal(embeddings(model)[unused], before[unused])
    assert not torch.equal(embeddings(model)[PHISHING_TOKEN], before[PHISHING_TOKEN])
    assert torch.equal(embeddings(model)[PAD], before[PAD])


def test_shrunk_embeddings_compute_the_same_and_come_back() -> None:
    model = tiny_model()
    embedding = model.get_input_embeddings()
    full = embedding.weight
    batch = VALIDATION.batch(torch.arange(5), torch.device("cpu"))
    expected = model(**batch).logits
    used = torch.cat([VALIDATION.ids, torch.tensor([PAD])]).unique()
    with only_used_embeddings(model, used):
        assert embedding.weight.shape[0] == len(used) < len(full)
        assert torch.equal(model(**batch).logits, expected)
        with pytest.raises(IndexError):
            model(torch.tensor([[59]]))
        embedding(torch.tensor([[PAD, PHISHING_TOKEN]])).sum().backward()
        moved = (embedding.weight.grad != 0).any(dim=1)
        assert used[moved].tolist() == [PHISHING_TOKEN], "padding is never trained"
    assert embedding.weight is full
    assert embedding.padding_idx == PAD
    assert torch.equal(model(**batch).logits, expected)
    assert set(model.state_dict()) == set(tiny_model().state_dict())


def test_models_that_compute_positions_from_token_ids_are_trained_rightly() -> None:
    # RoBERTa counts positions from the ids that are not padding (id 1), also where few ids occur.
    config = RobertaConfig(
        vocab_size=60,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        pad_token_id=1,
    )
    torch.manual_seed(0)
    model = RobertaForSequenceClassification(config).eval()
    ids = torch.tensor([[20, 30, 40, 1, 1], [20, 30, 31, 40, 41]])
    mask = (ids != 1).long()
    expected = model(input_ids=ids, attention_mask=mask).logits
    with only_used_embeddings(model, ids.unique()):
        logits = model(input_ids=ids, attention_mask=mask).logits
        assert torch.equal(logits, expected)
        logits.sum().backward()
        trained = (model.get_input_embeddings().weight.grad != 0).any(dim=1)
        assert trained.tolist() == [False, True, True, True, True, True], "all but the padding"


def test_a_padding_row_that_is_not_used_does_not_shield_another_one() -> None:
    model = tiny_model()
    used = torch.tensor([3, 5, 9])
    with only_used_embeddings(model, used):
        model(torch.tensor([[3, 5, 9]])).logits.sum().backward()
        assert bool((model.get_input_embeddings().weight.grad != 0).any(dim=1).all())


def test_token_ids_beyond_the_embeddings_are_refused() -> None:
    with pytest.raises(MinnowError, match=r"token id 60 and the model has 60 word embeddings"):
        fit(
            tiny_model(),
            Examples(encoded([[1, 60]]), Targets(torch.tensor([0]))),
            Validation(VALIDATION, scored(accuracy)),
            Objective(hard_loss),
            Schedule(training_params(), 0),
            Job("test", FLOAT32),
        )


def test_decay_shrinks_the_matrices_of_layers_and_nothing_else() -> None:
    """Training the used rows of the embeddings alone is right only because these never decay."""
    model, params = tiny_model(), training_params(learning_rate=0.1, weight_decay=0.9)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    # Without a gradient AdamW does nothing but decay: w becomes w · Π(1 − rate · decay).
    train(
        model,
        rows=27,  # the last of 4 batches is smaller, and counts as a step all the same
        score=scripted([0, 1]),
        learning_rate=params.learning_rate,
        weight_decay=params.weight_decay,
        loss=lambda logits, targets: logits.sum() * 0,
    )
    factors = [1 / 2, 1.0, 6 / 7, 5 / 7, 4 / 7, 3 / 7, 2 / 7, 1 / 7]  # the first step warms up
    left = math.prod(1 - params.learning_rate * factor * params.weight_decay for factor in factors)
    assert left < 0.7
    for name, value in model.state_dict().items():
        if value.dim() == 2 and "embeddings" not in name:
            torch.testing.assert_close(value, before[name] * left)
        else:
            assert torch.equal(value, before[name]), name


def test_the_last_batch_may_be_smaller_and_every_row_is_seen_each_epoch() -> None:
    seen: list[int] = []

    def loss(logits: Tensor, targets: Targets) -> Tensor:
        seen.append(len(targets.labels))
        return hard_loss(logits, targets)

    train(tiny_model(), rows=19, epochs=2, loss=loss)
    assert sorted(seen) == [3, 3, 8, 8, 8, 8]


def test_who_watches_reads_which_epoch_of_how_many(capsys: pytest.CaptureFixture[str]) -> None:
    train(tiny_model(), epochs=2)
    shown = capsys.readouterr().err
    places = [
        shown.index(f"test {part} {epoch}/2")
        for epoch in (1, 2)
        for part in ("epoch", "validation")
    ]
    assert places == sorted(places)
    assert not any(
        f"{part} {other}/2" in shown for part in ("epoch", "validation") for other in (0, 3)
    )


def test_dropout_is_on_in_training() -> None:
    weights = set()
    for dropout in (0.0, 0.2):
        model = tiny_model(dropout=dropout)  # the same weights
        train(model)
        weights.add(digest(model))
    assert len(weights) == 2


def test_no_epoch_of_any_seed_has_the_order_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def recorded(lengths: Tensor, *, batch_size: int, generator: torch.Generator) -> list[Tensor]:
        drawn.append(generator.initial_seed())
        return training_batches(lengths, batch_size=batch_size, generator=generator)

    monkeypatch.setattr(loop, "training_batches", recorded)
    for seed in range(3):
        train(tiny_model(), epochs=3, seed=seed)
    assert len(set(drawn)) == len(drawn) == 9


def test_a_guides_own_weights_are_trained() -> None:
    class Pull(Guide):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2))

        def watching(self) -> AbstractContextManager[None]:
            return nullcontext()

        def forward(self, rows: Tensor, mask: Tensor) -> Tensor:
            assert mask.shape[0] == len(rows)
            return (self.weight**2).sum()

    guide, (texts, labels) = Pull(), task(ROWS)
    fit(
        tiny_model(),
        Examples(texts, Targets(labels)),
        Validation(VALIDATION, scored(accuracy)),
        Objective(hard_loss, guide),
        Schedule(training_params(), 0),
        Job("test", FLOAT32),
    )
    assert float(guide.weight.detach().max()) < 0.999


# --- the best epoch -------------------------------------------------------------------------------


def weights_after(epochs: int) -> str:
    """Return the digest of the weights after so many epochs of the same four-epoch training."""
    model = tiny_model(dropout=0.1)
    train(model, epochs=4, score=scripted([0.0] * (epochs - 1) + [1.0] + [0.0] * (4 - epochs)))
    return digest(model)


def test_the_best_epoch_is_restored() -> None:
    seen: list[Tensor] = []
    scores = iter([0.2, 0.9, 0.5, 0.8])

    def score(logits: Tensor) -> float:
        seen.append(logits)
        return next(scores)

    model = tiny_model(dropout=0.1)
    history = train(model, epochs=4, score=score)
    assert [entry["validation_f1"] for entry in history] == [0.2, 0.9, 0.5, 0.8]
    assert [entry["epoch"] for entry in history] == [1, 2, 3, 4]
    again = inference.predict_logits(model, VALIDATION, device=torch.device("cpu"))
    assert torch.equal(again, seen[1])
    assert not torch.equal(again, seen[3])


def test_of_equal_epochs_the_first_is_kept() -> None:
    model = tiny_model(dropout=0.1)
    train(model, epochs=4, score=scripted([0.3, 0.7, 0.7, 0.7]))
    assert digest(model) == weights_after(2)
    assert digest(model) != weights_after(3)


def test_a_score_of_0_throughout_keeps_the_first_epoch() -> None:
    model = tiny_model(dropout=0.1)
    train(model, epochs=4, score=scripted([0.0] * 4))
    assert digest(model) == weights_after(1)


# --- killed and gone on with ----------------------------------------------------------------------


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where a checkpoint is kept after every step."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    return tmp_path / "state" / "run.pt"


def score_killed_at(epoch: int) -> Callable[[Tensor], float]:
    """Return the accuracy, which raises in the `epoch`-th validation, from 0."""
    epochs: Iterator[int] = iter(range(1000))

    def score(logits: Tensor) -> float:
        if next(epochs) == epoch:
            raise KilledError
        return accuracy(logits)

    return score


# What is killed where, and the steps then left of the 12: 32 rows in batches of 8 are 4 steps an
# epoch, and 3 epochs.
KILLS = {
    "before the first step": (loss_killed_at, "loss", 0, 12),
    "mid-epoch": (loss_killed_at, "loss", 6, 6),
    "in the last step": (loss_killed_at, "loss", 11, 1),
    "after an epoch": (loss_killed_at, "loss", 4, 8),
    "in a validation": (score_killed_at, "score", 1, 4),
    "in the last validation": (score_killed_at, "score", 2, 0),
}


@pytest.mark.parametrize("runtime", [FLOAT32, BFLOAT16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("kill", KILLS)
def test_a_killed_run_goes_on_to_the_same_bytes(
    checkpoint: Path, runtime: Runtime, kill: str
) -> None:
    whole, killed, resumed = (tiny_model(dropout=0.2) for _ in range(3))
    history = train(whole, runtime=runtime, epochs=3)
    killed_at, name, when, left = KILLS[kill]
    with pytest.raises(KilledError):
        train(killed, runtime=runtime, epochs=3, checkpoint=checkpoint, **{name: killed_at(when)})
    steps: list[int] = []

    def counted(logits: Tensor, targets: Targets) -> Tensor:
        steps.append(len(targets.labels))
        return hard_loss(logits, targets)

    assert train(resumed, runtime=runtime, epochs=3, checkpoint=checkpoint, loss=counted) == history
    assert digest(resumed) == digest(whole)
    assert len(steps) == left


def test_a_checkpoint_goes_on_in_its_own_dtype_alone(checkpoint: Path) -> None:
    """What half of it was computed in is part of the bytes: `precision: auto` may choose anew."""
    alone, resumed = tiny_model(dropout=0.2), tiny_model(dropout=0.2)
    with pytest.raises(KilledError):
        train(
            tiny_model(dropout=0.2),
            runtime=FLOAT32,
            checkpoint=checkpoint,
            loss=loss_killed_at(3),
        )
    history = train(alone, runtime=BFLOAT16)
    assert train(resumed, runtime=BFLOAT16, checkpoint=checkpoint) == history
    assert digest(resumed) == digest(alone)


def test_checkpoints_do_not_change_the_run(checkpoint: Path) -> None:
    with_them, without = tiny_model(dropout=0.2), tiny_model(dropout=0.2)
    assert train(with_them, checkpoint=checkpoint) == train(without)
    assert digest(with_them) == digest(without)


def test_a_finished_run_is_not_repeated(checkpoint: Path) -> None:
    first, second = tiny_model(), tiny_model()
    history = train(first, checkpoint=checkpoint)
    assert train(second, checkpoint=checkpoint, loss=loss_killed_at(0)) == history
    assert digest(first) == digest(second)


def test_a_run_that_has_time_left_writes_no_checkpoint(tmp_path: Path) -> None:
    train(tiny_model(), checkpoint=tmp_path / "run.pt")
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_is_replaced_whole_or_not_at_all(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KilledError):
        train(tiny_model(dropout=0.2), checkpoint=checkpoint, loss=loss_killed_at(3))
    before = checkpoint.read_bytes()

    def die_half_way(state: object, file: Path) -> None:
        file.write_bytes(before[: len(before) // 2])
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", die_half_way)
        with pytest.raises(KilledError):
            train(tiny_model(dropout=0.2), checkpoint=checkpoint)
    assert checkpoint.read_bytes() == before
    assert {file.name for file in checkpoint.parent.iterdir()} == {"run.pt", "run.previous.pt"}


def test_a_checkpoint_of_another_start_is_not_used(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KilledError):
        train(tiny_model(seed=1), checkpoint=checkpoint, loss=loss_killed_at(6))
    fresh, model = tiny_model(seed=2), tiny_model(seed=2)
    train(fresh)
    train(model, checkpoint=checkpoint)
    assert "run.pt began from other weights: training starts afresh\n" in capsys.readouterr().err
    assert digest(model) == digest(fresh)


# --- precision ------------------------------------------------------------------------------------


def test_bfloat16_learns_and_ends_in_float32() -> None:
    model = tiny_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    dtypes: set[torch.dtype] = set()

    def loss(logits: Tensor, targets: Targets) -> Tensor:
        dtypes.add(logits.dtype)
        return hard_loss(logits, targets)

    history = train(model, rows=64, runtime=BFLOAT16, loss=loss, epochs=12, learning_rate=1e-2)
    assert dtypes == {torch.bfloat16}
    assert {value.dtype for value in model.state_dict().values() if value.is_floating_point()} == {
        torch.float32
    }
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert max(entry["validation_f1"] for entry in history) > 0.9
    weight = model.classifier.weight
    assert not torch.equal(weight, weight.bfloat16().float()), (
        "the masters came back, not the narrow copies"
    )
    assert not torch.equal(weight, before["classifier.weight"])


def test_bfloat16_does_not_lose_updates_too_small_for_it() -> None:
    # AdamW's first steps are as large as the learning rate. 1e-5 is far below bfloat16's spacing of
    # 0.0039 near 1, so a norm's weight of 1.0 would never move if it were kept in bfloat16.
    model = tiny_model()
    train(model, runtime=BFLOAT16, epochs=4, learning_rate=1e-5, score=scripted([1, 2, 3, 4]))
    moved = (model.bert.embeddings.LayerNorm.weight.detach() - 1).abs()
    assert 1e-5 < float(moved.max()) < 16 * 1e-5


@pytest.mark.parametrize("runtime", [FLOAT32, BFLOAT16], ids=["float32", "bfloat16"])
def test_frozen_weights_stay_to_the_bit(runtime: Runtime) -> None:
    model = tiny_model()
    model.bert.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train(model, runtime=runtime)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith("bert."), name
    assert [name for name, weight in model.named_parameters() if weight.requires_grad] == [
        "classifier.weight",
        "classifier.bias",
    ]


# --- steps and seeds ------------------------------------------------------------------------------


def test_linear_schedule_by_hand() -> None:
    factor = linear_schedule(10, warmup=0.2)  # 2 steps up, 8 down
    expected = [1 / 3, 2 / 3, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0, 0]
    assert [factor(step) for step in range(12)] == pytest.approx(expected)
    assert [linear_schedule(4, warmup=0.0)(step) for step in range(4)] == [1, 0.75, 0.5, 0.25]
    assert all(linear_schedule(1, warmup=w)(0) > 0 for w in (0.0, 0.1, 0.9))


def test_gradients_are_clipped_to_norm_1() -> None:
    # AdamW forgets a gradient's scale but for epsilon, so its first moment tells: after one step it
    # is 0.1 · gradient.
    norms: list[float] = []
    original = torch.optim.AdamW.step

    def step(self: torch.optim.AdamW, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        moments = [state["exp_avg"] for state in self.state.values()]
        norms.append(float(torch.sqrt(sum((moment**2).sum() for moment in moments))))
        return result

    for scale in (1e-3, 1e3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.optim.AdamW, "step", step)
            train(
                tiny_model(),
                rows=8,
                epochs=1,
                loss=lambda logits, t, s=scale: s * hard_loss(logits, t),
            )
    assert norms[0] < 0.01
    assert norms[1] == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_one_clear_error(bad: float) -> None:
    with pytest.raises(
        MinnowError, match=rf"the loss became {bad} in epoch 1; lower the learning rate \(0.003\)"
    ):
        train(tiny_model(), loss=lambda logits, targets: logits.sum() * 0 + bad)


def test_a_gradient_that_is_not_finite_is_one_clear_error() -> None:
    def loss(logits: Tensor, targets: Targets) -> Tensor:
        return (
            (logits - logits.detach()).abs().sum().sqrt()
        )  # 0, and its derivative there is infinite

    with pytest.raises(MinnowError, match="the gradient became nan in epoch 1"):
        train(tiny_model(), loss=loss)


def test_history_holds_the_mean_loss_over_rows() -> None:
    # 12 rows in batches of 8 and 4: a mean over batches would weigh the second one double.
    values = {8: 1.0, 4: 4.0}
    history = train(
        tiny_model(),
        rows=12,
        epochs=1,
        loss=lambda logits, t: logits.sum() * 0 + values[len(t.labels)],
    )
    assert history[0]["loss"] == pytest.approx((8 * 1.0 + 4 * 4.0) / 12)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_the_seed_decides_everything(dropout: float) -> None:
    def weights(seed: int) -> str:
        model = tiny_model(dropout=dropout)
        train(model, seed=seed)
        return digest(model)

    assert weights(0) == weights(0)
    assert weights(0) != weights(1)


def test_targets_of_rows() -> None:
    targets = Targets(torch.tensor([0, 1, 1]), torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]))
    some = targets.of(torch.tensor([2, 0]), torch.device("cpu"))
    assert some.labels.tolist() == [1, 0]
    assert some.teacher_logits is not None
    assert some.teacher_logits.tolist() == [[4.0, 5.0], [0.0, 1.0]]
