"""Fine-tuning and distillation: one loop, the loss passed in.

A loop of our own instead of `transformers.Trainer`, because it is faster on a CPU (benchmarks/distill_speed.py) and
because a killed run must go on to byte-identical weights, which needs the whole state under our hands.
"""

import hashlib
import math
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from minnow import store
from minnow.batching import Encoded, training_batches
from minnow.errors import MinnowError, tell, warn
from minnow.inference import predict_logits
from minnow.params import TrainingParams
from minnow.progress import row_bar
from minnow.runtime import Runtime, random_state, restore_random_state

MAX_GRADIENT_NORM = 1.0
CHECKPOINT_SECONDS = 60.0
# Longest text, in tokens, for which plain attention beats the fused kernel on a CPU.
EAGER_TOKENS = 128
# The label of a row that only the teacher labelled.
NO_LABEL = -1


@dataclass(frozen=True)
class Targets:
    """What a row should become: `labels` (rows,) and, when there is a teacher, its logits (rows, labels).

    The label of a row that only the teacher labelled is `NO_LABEL`.
    """

    labels: Tensor
    teacher_logits: Tensor | None = None

    def of(self, rows: Tensor, device: torch.device) -> "Targets":
        """Return the targets of these rows, on the device."""
        logits = None if self.teacher_logits is None else self.teacher_logits[rows].to(device)
        return Targets(self.labels[rows].to(device), logits)


def hard_loss(logits: Tensor, targets: Targets) -> Tensor:
    """Return the cross-entropy with the labels in nats, averaged over the batch, in float32.

    A row without a label adds 0 and still counts. So every labelled row weighs in its batch what it would weigh with
    labelled ones beside it; a mean over the labelled rows alone would give those the most weight that stand, by their
    length, among many without a label.
    """
    if bool((targets.labels != NO_LABEL).all()):
        return nn.functional.cross_entropy(logits.float(), targets.labels)
    total = nn.functional.cross_entropy(logits.float(), targets.labels, ignore_index=NO_LABEL, reduction="sum")
    return total / len(targets.labels)


Loss = Callable[[Tensor, Targets], Tensor]
Score = Callable[[Tensor], float]


class Guide(nn.Module):
    """A further term of the loss, which looks into the model; its own weights are trained beside the model's."""

    def watching(self) -> AbstractContextManager[None]:
        """Look into the model until the block ends."""
        raise NotImplementedError

    def forward(self, rows: Tensor, mask: Tensor) -> Tensor:
        """Return the term for these rows, right after the model's forward pass with this attention mask."""
        raise NotImplementedError


@dataclass
class Progress:
    """Where a training stands: all that a killed run needs besides weights, optimiser and random state."""

    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    best_score: float = -math.inf
    history: list[dict[str, float]] = field(default_factory=list)


def fit(
    model: PreTrainedModel,
    train: Encoded,
    targets: Targets,
    validation: Encoded,
    *,
    loss: Loss,
    score: Score,
    params: TrainingParams,
    runtime: Runtime,
    seed: int,
    desc: str,
    checkpoint: Path | None = None,
    guide: Guide | None = None,
    validate: Callable[[PreTrainedModel], Tensor] | None = None,
) -> list[dict[str, float]]:
    """Train `model` in place, leave it in float32 with the weights of its best epoch, and return one record an epoch.

    AdamW (decoupled decay, not on embeddings, biases and norms), linear warm-up and decay, gradients clipped to norm 1.
    `seed` orders the batches; dropout draws from torch's generator. `score` turns validation logits into the number
    that chooses the epoch (the first of equals). With `checkpoint`, the state is kept in that file about once a minute
    and a later call with the same arguments goes on from it. What `guide` gives is added to the loss. `validate`
    returns the validation logits of a model in training, where they are not what the model itself computes, as when it
    is rounded before it is used.

    Raises:
        MinnowError: loss or gradient are no longer finite, or the model has no embeddings for the token ids.
    """
    body: nn.Module = model
    used = torch.cat([train.ids, validation.ids, torch.tensor([train.pad_id])]).unique()
    # Of 4-bit layers this casts all but the packed weights; transformers' own `float` refuses them.
    nn.Module.float(model)
    with only_used_embeddings(model, used):
        run = _Run(body.to(runtime.device), len(train), params, runtime, checkpoint, guide)
        run.resume()
        while run.progress.epoch < params.epochs:
            with short_attention(model, train, runtime.device), guide.watching() if guide else nullcontext():
                _epoch(run, train, targets, loss, seed, desc)
            name = f"{desc} validation {run.progress.epoch + 1}/{params.epochs}"
            logits = (
                predict_logits(model, validation, device=runtime.device, desc=name)
                if validate is None
                else validate(model)
            )
            run.end_epoch(score(logits))
        run.restore_best()
    body.to("cpu").eval()
    return run.progress.history


def _epoch(run: "_Run", train: Encoded, targets: Targets, loss: Loss, seed: int, desc: str) -> None:
    progress = run.progress
    order = torch.Generator().manual_seed(seed * 1_000_003 + progress.epoch)
    batches = training_batches(train.lengths, batch_size=run.params.batch_size, generator=order)
    run.model.train()
    name = f"{desc} epoch {progress.epoch + 1}/{run.params.epochs}"
    done = sum(len(rows) for rows in batches[: progress.batch])
    with row_bar(len(train), name, initial=done) as bar:
        for rows in batches[progress.batch :]:
            batch = train.batch(rows, run.device)
            value = loss(run.model(**batch).logits, targets.of(rows, run.device))
            if run.guide is not None:
                value = value + run.guide(rows, batch["attention_mask"])
            run.step(value, rows=len(rows))
            bar.update(len(rows))
            bar.set_postfix(loss=f"{progress.loss_sum / (bar.n or 1):.4f}", refresh=False)


class _Run:
    """A model under training, and what guides it, with optimiser, schedule, best weights and progress."""

    def __init__(
        self,
        model: nn.Module,
        rows: int,
        params: TrainingParams,
        runtime: Runtime,
        checkpoint: Path | None,
        guide: Guide | None,
    ) -> None:
        self.model, self.rows, self.params, self.checkpoint, self.guide = model, rows, params, checkpoint, guide
        self.device = runtime.device
        self.progress = Progress()
        trained = model if guide is None else nn.ModuleList([model, guide.to(runtime.device)])
        self.origin = fingerprint(trained) if checkpoint else ""
        self.weights = Weights(trained, runtime)
        self.best: list[Tensor] = []
        self.optimizer = torch.optim.AdamW(
            self.weights.groups(params.weight_decay), lr=params.learning_rate, fused=True
        )
        steps = math.ceil(rows / params.batch_size) * params.epochs
        factor = linear_schedule(steps, warmup=params.warmup)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, factor)
        self.saved_at = time.monotonic()

    def step(self, loss: Tensor, *, rows: int) -> None:
        value = self.finite("loss", loss.detach())
        loss.backward()
        self.weights.take_gradients()
        self.finite("gradient", nn.utils.clip_grad_norm_(self.weights.masters, MAX_GRADIENT_NORM))
        self.optimizer.step()
        self.schedule.step()
        self.weights.publish()
        self.progress.loss_sum += value * rows
        self.progress.batch += 1
        self.save_if_due()

    def finite(self, name: str, value: Tensor) -> float:
        if not math.isfinite(number := float(value)):
            raise MinnowError(
                f"the {name} became {number} in epoch {self.progress.epoch + 1}; lower the learning rate "
                f"({self.params.learning_rate}), or use precision: float32"
            )
        return number

    def end_epoch(self, score: float) -> None:
        progress = self.progress
        progress.epoch += 1
        loss = progress.loss_sum / self.rows
        progress.history.append({"epoch": progress.epoch, "loss": loss, "validation_f1": score})
        if score > progress.best_score or not self.best:
            progress.best_score, self.best = score, self.weights.snapshot()
        progress.batch, progress.loss_sum = 0, 0.0
        self.save_if_due()

    def restore_best(self) -> None:
        self.weights.widen()
        self.weights.restore(self.best)

    def save_if_due(self) -> None:
        if self.checkpoint is None or time.monotonic() - self.saved_at < CHECKPOINT_SECONDS:
            return
        state = {
            "origin": self.origin,
            "progress": vars(self.progress),
            "weights": self.weights.snapshot(),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "random": random_state(),
        }
        with store.replacing(self.checkpoint) as temporary:
            torch.save(state, temporary)
        self.saved_at = time.monotonic()

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one and it began from these very weights."""
        state = None if self.checkpoint is None else read_checkpoint(self.checkpoint)
        if state is None:
            return
        if state["origin"] != self.origin:
            warn(f"{self.checkpoint} began from other weights: training starts afresh")
            return
        self.progress = Progress(**state["progress"])
        self.weights.restore(state["weights"])
        self.best = state["best"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        restore_random_state(state["random"])
        tell(f"resuming a killed training at epoch {self.progress.epoch + 1}, batch {self.progress.batch + 1}")


def read_checkpoint(file: Path) -> dict[str, Any] | None:
    """Return what stands in a checkpoint, or None where there is none or, with a warning, where it is damaged."""
    if not file.exists():
        return None
    try:
        with zipfile.ZipFile(file) as archive:  # torch.load itself does not notice a flipped bit
            damaged = archive.testzip() is not None
    except (zipfile.BadZipFile, EOFError):
        damaged = True
    if damaged:
        warn(f"{file} is damaged: training starts afresh")
        return None
    state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    return state


def fingerprint(model: nn.Module) -> str:
    """Return the SHA-256 of all weights and buffers."""
    digest = hashlib.sha256()
    for tensor in model.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


class Weights:
    """The trained parameters: float32 masters, and the model's own copies in the dtype that it computes in.

    In float32 the two are the same tensors. In bfloat16 the model computes wholly in bfloat16, so that nothing is cast
    between its layers, and small updates are not lost because they are added to the masters (Micikevicius et al. 2018,
    arXiv 1710.03740, section 3.1).
    """

    def __init__(self, model: nn.Module, runtime: Runtime) -> None:
        embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
        self.working: list[Tensor] = [weight for weight in model.parameters() if weight.requires_grad]
        self.decayed = [weight.dim() >= 2 and id(weight) not in embeddings for weight in self.working]
        self.mixed = runtime.mixed
        self.masters = [weight.detach().clone() for weight in self.working] if self.mixed else self.working
        # Frozen weights are narrowed too, and come back to what they were to the last bit.
        floats = [weight for weight in model.parameters() if weight.is_floating_point()]  # not packed ones
        self.frozen = [(weight, weight.detach()) for weight in floats if not weight.requires_grad]
        if self.mixed:
            for weight in floats:  # not the buffers: rotary frequencies must keep their precision
                weight.data = weight.data.to(runtime.dtype)

    def groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Return AdamW's parameter groups, decayed and not."""
        return [
            {
                "params": [m for m, d in zip(self.masters, self.decayed, strict=True) if d == decayed],
                "weight_decay": weight_decay if decayed else 0.0,
            }
            for decayed in (True, False)
        ]

    def take_gradients(self) -> None:
        """Move the working copies' gradients to the masters."""
        if not self.mixed:
            return
        for master, working in zip(self.masters, self.working, strict=True):
            master.grad = None if working.grad is None else working.grad.float()
            working.grad = None

    def publish(self) -> None:
        """Copy the masters into the model and forget the gradients."""
        for master in self.masters:
            master.grad = None
        if self.mixed:
            with torch.no_grad():
                torch._foreach_copy_(self.working, self.masters)

    def snapshot(self) -> list[Tensor]:
        """Return copies of the masters."""
        return [master.detach().to("cpu", copy=True) for master in self.masters]

    def restore(self, snapshot: list[Tensor]) -> None:
        """Put a snapshot back into the masters and into the model."""
        with torch.no_grad():
            for master, working, value in zip(self.masters, self.working, snapshot, strict=True):
                master.copy_(value)
                working.copy_(value)

    def widen(self) -> None:
        """Turn the model back to float32."""
        for working, master in zip(self.working, self.masters, strict=True):
            working.data = master.data
        for weight, value in self.frozen:
            weight.data = value


@contextmanager
def short_attention(model: PreTrainedModel, train: Encoded, device: torch.device) -> Iterator[None]:
    """Train with plain matrix products for attention where they are faster than torch's fused kernel.

    On a CPU the fused kernel's backward pass takes several times as long for texts as short as URLs, above all in
    bfloat16 (benchmarks/attention.py). Both compute the same attention.
    """
    chosen = model.config._attn_implementation
    if device.type == "cpu" and int(train.lengths.max()) <= EAGER_TOKENS:
        model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(chosen)


@contextmanager
def only_used_embeddings(model: PreTrainedModel, used: Tensor) -> Iterator[None]:
    """Shrink the model's word embeddings to the rows of the sorted token ids `used`; put all rows back afterwards.

    A token that never occurs gets no gradient, and without weight decay AdamW leaves its row as it is: training the
    used rows alone gives the same weights and spares the optimiser its pass over the others. The model still takes
    the tokenizer's ids, since some compute positions or lengths from them.

    Raises:
        MinnowError: the model has no word embeddings of its own, or fewer than there are token ids.
    """
    embedding = model.get_input_embeddings()
    if not isinstance(embedding, nn.Embedding) or (model.config.tie_word_embeddings and model.get_output_embeddings()):
        raise MinnowError(f"{type(model).__name__} has no plain word embeddings; Minnow trains BERT-like classifiers")
    full, padding = embedding.weight, embedding.padding_idx
    if int(used[-1]) >= len(full):
        raise MinnowError(
            f"the tokenizer gives token id {int(used[-1])} and the model has {len(full)} word embeddings; take "
            "tokenizer and model from the same checkpoint"
        )
    rows = torch.full((len(full),), -1)
    rows[used] = torch.arange(len(used))
    embedding.register_buffer("rows", rows, persistent=False)
    hook = embedding.register_forward_pre_hook(lambda module, ids: (module.rows[ids[0]],))
    embedding.weight = nn.Parameter(full.detach()[used], requires_grad=full.requires_grad)
    embedding.padding_idx = None if padding is None or rows[padding] < 0 else int(rows[padding])
    try:
        yield
    finally:
        with torch.no_grad():
            full[used] = embedding.weight.detach().to(full.device, full.dtype)
        embedding.weight, embedding.padding_idx = full, padding
        hook.remove()
        del embedding.rows


def linear_schedule(steps: int, *, warmup: float) -> Callable[[int], float]:
    """Return step → factor of the learning rate: up to 1 over the first `warmup` share, then down to 0 at `steps`."""
    rising = round(steps * warmup)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        return max(0.0, (steps - step) / max(1, steps - rising))

    return factor
