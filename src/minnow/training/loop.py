"""Fine-tuning and distillation: one loop, the loss passed in.

A loop of our own instead of `transformers.Trainer`, because it is faster on a CPU
(benchmarks/distill_speed.py) and because a killed run must go on to byte-identical weights, which
needs the whole state under our hands.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from minnow.core.runtime import random_state, restore_random_state
from minnow.core.selection import Score
from minnow.errors import MinnowError, tell, warn
from minnow.models.batching import Encoded, training_batches
from minnow.models.inference import predict_logits
from minnow.progress import row_bar
from minnow.training.checkpoints import (
    read_checkpoint,
    same_moments,
    same_structure,
    write_checkpoint,
)
from minnow.training.history import Progress, is_progress, scores_by_part, undecided
from minnow.training.objective import Examples, Job, Objective, Schedule, Validation
from minnow.training.weights import Weights, fingerprint, only_used_embeddings

MAX_GRADIENT_NORM = 1.0
# Where gradients overflow although the loss is not even multiplied, they are no longer finite.
LEAST_SCALE = 1.0
CHECKPOINT_SECONDS = 60.0
# Longest text, in tokens, for which plain attention beats the fused kernel on a CPU.
EAGER_TOKENS = 128


def fit(
    model: PreTrainedModel,
    train: Examples,
    validation: Validation,
    objective: Objective,
    schedule: Schedule,
    job: Job,
) -> list[dict[str, float]]:
    """Train `model` in place, leave it in float32 with the weights of its best epoch, and return
    one record an epoch.

    AdamW (decoupled decay, not on embeddings, biases and norms), linear warm-up and decay,
    gradients clipped to norm 1. Dropout draws from torch's generator. The best epoch has the
    highest score, of equal scores the highest average precision, and then it is the first. With
    `patience` no more epochs come once so many were no better; the schedule stays that of all.
    With a checkpoint, the state is kept in that file about once a minute, and a later call with the
    same arguments goes on from it. A guide's mean is over other things than rows, such as tokens:
    in parts, a batch's terms are those means weighted by rows, nearly the same.

    Raises:
        MinnowError: loss or gradient are no longer finite, or the model has no embeddings for the
        token ids.
    """
    body: nn.Module = model
    pad = torch.tensor([train.encoded.pad_id])
    used = torch.cat([train.encoded.ids, validation.encoded.ids, pad]).unique()
    # Of 4-bit layers this casts all but the packed weights; transformers' own `float` refuses them.
    nn.Module.float(model)
    with only_used_embeddings(model, used):
        run = _Run(
            body.to(job.runtime.device),
            len(train),
            objective,
            schedule,
            job,
            extra=validation.extra,
        )
        run.resume()
        while not run.finished:
            with short_attention(model, train.encoded, run.device), objective.watching():
                run.epoch(train)
            run.end_epoch(validation.score(_validation_logits(run, model, validation.encoded)))
        run.restore_best()
    if (warning := undecided(run.progress, job.name, schedule.selection.by)) is not None:
        warn(warning)
    body.to("cpu").eval()
    return run.progress.history


def _validation_logits(run: "_Run", model: PreTrainedModel, encoded: Encoded) -> Tensor:
    if run.objective.validate is not None:
        return run.objective.validate(model)
    return predict_logits(model, encoded, device=run.device, desc=run.named("validation"))


class _Run:
    """A model under training, and what guides it, with optimiser, schedule, best weights and
    progress.
    """

    def __init__(
        self,
        model: nn.Module,
        rows: int,
        objective: Objective,
        schedule: Schedule,
        job: Job,
        *,
        extra: bool,
    ) -> None:
        self.model, self.rows, self.objective, self.job = model, rows, objective, job
        self.params, self.seed, self.device = schedule.params, schedule.seed, job.runtime.device
        self.progress, self.extra = Progress(), extra
        guide = objective.guide
        trained = model if guide is None else nn.ModuleList([model, guide.to(self.device)])
        # Numbers of one device and dtype are not continued with another's.
        where = f"{job.runtime.device.type} {job.runtime.dtype}"
        self.origin = f"{fingerprint(trained)} {where}" if job.checkpoint else ""
        self.weights = Weights(trained, job.runtime)
        self.best: list[Tensor] = []
        self.optimizer = torch.optim.AdamW(
            self.weights.groups(self.params.weight_decay), lr=self.params.learning_rate, fused=True
        )
        steps = math.ceil(rows / self.params.batch_size) * self.params.epochs
        factor = linear_schedule(steps, warmup=self.params.warmup)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, factor)
        # float16 holds nothing below 6e-8: gradients are computed of a multiple of the loss, as
        # large as they bear. A step whose gradients overflow is left out (Micikevicius et al. 2018,
        # section 3.2).
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=job.runtime.dtype == torch.float16
        )
        self.saved_at = time.monotonic()

    @property
    def finished(self) -> bool:
        """Whether no epoch is left, or patience is at an end."""
        patience, progress = self.params.patience, self.progress
        waited = progress.epoch - progress.best_epoch
        impatient = patience is not None and progress.epoch > 0 and waited >= patience
        return impatient or progress.epoch >= self.params.epochs

    def named(self, part: str) -> str:
        """Return what the progress bar calls a part of this epoch."""
        return f"{self.job.name} {part} {self.progress.epoch + 1}/{self.params.epochs}"

    def epoch(self, train: Examples) -> None:
        """Take the steps of this epoch that are left."""
        progress, encoded = self.progress, train.encoded
        order = torch.Generator().manual_seed(self.seed * 1_000_003 + progress.epoch)
        size = self.params.batch_size
        batches = training_batches(encoded.lengths, batch_size=size, generator=order)
        self.model.train()
        done = sum(len(rows) for rows in batches[: progress.batch])
        with row_bar(len(train), self.named("epoch"), initial=done) as bar:
            for rows in batches[progress.batch :]:
                self.step(train, rows)
                bar.update(len(rows))
                bar.set_postfix(loss=f"{progress.loss_sum / (bar.n or 1):.4f}", refresh=False)

    def loss(self, train: Examples, rows: Tensor) -> Tensor:
        """Return the loss of a batch."""
        batch = train.encoded.batch(rows, self.device)
        logits = self.model(**batch).logits
        value = self.objective.loss(logits, train.targets.of(rows, self.device))
        if self.objective.guide is not None:
            value = value + self.objective.guide(rows, batch["attention_mask"])
        return value

    def step(self, train: Examples, rows: Tensor) -> None:
        """Learn from a batch, in as many parts as `accumulate` says: a loss is a mean over rows, so
        the parts' weighted by their rows make the whole batch's.
        """
        for part in rows.chunk(self.params.accumulate):
            loss = self.loss(train, part)
            self.progress.loss_sum += self.finite("loss", loss.detach()) * len(part)
            self.scaler.scale(loss * (len(part) / len(rows))).backward()
            self.weights.take_gradients()
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.weights.masters, MAX_GRADIENT_NORM)
        if not self.scaler.is_enabled() or self.scaler.get_scale() <= LEAST_SCALE:
            self.finite("gradient", norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        self.weights.publish()
        self.progress.batch += 1
        self.save_if_due()

    def finite(self, name: str, value: Tensor) -> float:
        if not math.isfinite(number := float(value)):
            raise MinnowError(
                f"the {name} became {number} in epoch {self.progress.epoch + 1}; lower the learning"
                f" rate ({self.params.learning_rate}), or use precision: float32"
            )
        return number

    def end_epoch(self, score: Score) -> None:
        progress = self.progress
        progress.epoch += 1
        loss = progress.loss_sum / self.rows
        progress.history.append(
            {
                "epoch": progress.epoch,
                "loss": loss,
                "validation_f1": score.f1,
                "score": score.value,
                **scores_by_part(score),
            }
        )
        reached = (score.value, score.average_precision)
        if reached > progress.best or not self.best:
            progress.best, progress.best_epoch = reached, progress.epoch
            self.best = self.weights.snapshot()
        progress.batch, progress.loss_sum = 0, 0.0
        self.save_if_due()

    def restore_best(self) -> None:
        self.weights.widen()
        self.weights.restore(self.best)

    def save_if_due(self) -> None:
        if self.job.checkpoint is None or time.monotonic() - self.saved_at < CHECKPOINT_SECONDS:
            return
        write_checkpoint(self.job.checkpoint, self.state())
        self.saved_at = time.monotonic()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        return {
            "origin": self.origin,
            "progress": vars(self.progress),
            "weights": self.weights.snapshot(),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": random_state(),
        }

    def fits(self, state: Any) -> bool:
        """Say whether a checkpoint has the structure that this training writes, or begins from
        other weights and is told as such.
        """
        own = self.state()
        if not isinstance(state, dict) or state.keys() != own.keys():
            return False
        if not isinstance(state["origin"], str) or state["origin"] != self.origin:
            return isinstance(state["origin"], str)
        plain = ("weights", "schedule", "scaler", "random")
        return (
            all(same_structure(state[part], own[part]) for part in plain)
            and (state["best"] == [] or same_structure(state["best"], own["weights"]))
            and same_moments(state["optimizer"], own["optimizer"], self.optimizer)
            and self.can_be(state["progress"], begun=state["best"] == [])
        )

    def can_be(self, progress: Any, *, begun: bool) -> bool:
        """Say whether a place is one of this training; `begun` says that no epoch is over."""
        batches = math.ceil(self.rows / self.params.batch_size)
        if not is_progress(progress, epochs=self.params.epochs, batches=batches, extra=self.extra):
            return False
        return bool(begun == (progress["epoch"] == 0))

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one and it began from these very weights."""
        file = self.job.checkpoint
        state = None if file is None else read_checkpoint(file, self.fits)
        if state is None:
            return
        if state["origin"] != self.origin:
            warn(f"{self.job.checkpoint} began from other weights: training starts afresh")
            return
        self.progress = Progress(**state["progress"])
        self.weights.restore(state["weights"])
        self.best = state["best"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        restore_random_state(state["random"])
        tell(
            f"resuming a killed training at epoch {self.progress.epoch + 1}, batch"
            f" {self.progress.batch + 1}"
        )


@contextmanager
def short_attention(model: PreTrainedModel, train: Encoded, device: torch.device) -> Iterator[None]:
    """Train with plain matrix products for attention where they are faster than torch's fused
    kernel.

    On a CPU the fused kernel's backward pass takes several times as long for texts as short as
    URLs, above all in bfloat16 (benchmarks/attention.py). Both compute the same attention.
    """
    chosen = model.config._attn_implementation
    if device.type == "cpu" and int(train.lengths.max()) <= EAGER_TOKENS:
        model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(chosen)


def linear_schedule(steps: int, *, warmup: float) -> Callable[[int], float]:
    """Return step → factor of the learning rate: up to 1 over the first `warmup` share, then down
    to 0 at `steps`.
    """
    rising = round(steps * warmup)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        return max(0.0, (steps - step) / max(1, steps - rising))

    return factor
