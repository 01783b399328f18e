"""Tiny models and encoded texts for the tests of training and inference."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel

from minnow.core.runtime import Runtime
from minnow.core.selection import Score
from minnow.models.batching import Encoded
from minnow.training.loop import fit
from minnow.training.objective import Examples, Job, Objective, Schedule, Validation
from minnow.training.params import TrainingParams
from minnow.training.targets import Loss, Targets, hard_loss

VOCABULARY = 60
PAD = 0
PHISHING_TOKEN = 7
CPU = torch.device("cpu")
FLOAT32 = Runtime(CPU, torch.float32)
BFLOAT16 = Runtime(CPU, torch.bfloat16)


def tiny_model(*, seed: int = 0, dropout: float = 0.0) -> PreTrainedModel:
    """Return a BERT of a few thousand weights, the same for the same seed."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    return BertForSequenceClassification(config).eval()


def encoded(rows: list[list[int]]) -> Encoded:
    """Return token ids, row by row, as `encode` would."""
    return Encoded(
        torch.tensor([i for row in rows for i in row]),
        torch.tensor([len(row) for row in rows]),
        PAD,
    )


def task(rows: int, *, seed: int = 0) -> tuple[Encoded, torch.Tensor]:
    """Return rows of 2 to 12 of the tokens 1 to 39, and labels: 1 where PHISHING_TOKEN occurs."""
    draw = torch.Generator().manual_seed(seed)
    texts, labels = [], []
    for row in range(rows):
        length = int(torch.randint(2, 13, (), generator=draw))
        ids = torch.randint(8, 40, (length,), generator=draw).tolist()
        ids[0] = 1
        if row % 2:
            ids[int(torch.randint(1, length, (), generator=draw))] = PHISHING_TOKEN
        texts.append(ids)
        labels.append(row % 2)
    return encoded(texts), torch.tensor(labels)


def training_params(**changes: Any) -> TrainingParams:
    """Return params of a short training, with changes."""
    values = {
        "epochs": 2,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "warmup": 0.1,
        "weight_decay": 0.01,
        "class_weight": None,
        "label_smoothing": 0.0,
        "accumulate": 1,
        "patience": None,
    }
    return TrainingParams(**{**values, **changes})


ROWS = 32
VALIDATION, VALIDATION_LABELS = task(24, seed=1)
History = list[dict[str, float]]


class KilledError(Exception):
    """Stands for the end of the process."""


def accuracy(logits: Tensor) -> float:
    return float((logits.argmax(dim=1) == VALIDATION_LABELS).float().mean())


def scored(score: Callable[[Tensor], float]) -> Callable[[Tensor], Score]:
    """Return what gives these numbers as scores, without an average precision."""

    def whole(logits: Tensor) -> Score:
        value = score(logits)
        return Score(value, 0.0, value)

    return whole


def train(
    model: PreTrainedModel,
    *,
    rows: int = ROWS,
    runtime: Runtime = FLOAT32,
    loss: Loss = hard_loss,
    score: Callable[[Tensor], float] = accuracy,
    seed: int = 0,
    checkpoint: Path | None = None,
    **params: Any,
) -> History:
    """Fit `model` to the task in place, dropout seeded."""
    texts, labels = task(rows)
    torch.manual_seed(seed)
    return fit(
        model,
        Examples(texts, Targets(labels)),
        Validation(VALIDATION, scored(score)),
        Objective(loss),
        Schedule(training_params(**params), seed),
        Job("test", runtime, checkpoint),
    )


def digest(model: nn.Module) -> str:
    """Return a hash of all bytes of all weights."""
    content = hashlib.sha256()
    for name, value in model.state_dict().items():
        content.update(name.encode() + value.numpy().tobytes())
    return content.hexdigest()


def loss_killed_at(step: int) -> Loss:
    """Return the cross-entropy, which raises when it is asked for the `step`-th time, from 0."""
    steps: Iterator[int] = iter(range(1000))

    def loss(logits: Tensor, targets: Targets) -> Tensor:
        if next(steps) == step:
            raise KilledError
        return hard_loss(logits, targets)

    return loss
