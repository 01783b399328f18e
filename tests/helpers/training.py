"""Tiny models and encoded texts for the tests of training and inference."""

from typing import Any

import torch
from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel

from minnow.core.runtime import Runtime
from minnow.models.batching import Encoded
from minnow.training.params import TrainingParams

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
    }
    return TrainingParams(**{**values, **changes})
