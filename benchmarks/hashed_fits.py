"""Fitting hashed models: logistic regression with one number a bucket, and embeddings trained as
fastText trains them.
"""

import numpy as np
import torch
from scipy.sparse import csr_matrix, diags
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from hashed_models import Array, Linear
from minnow.evaluation.metrics import classification

SEED, EPOCHS, BATCH = 0, 5, 128
# Rows (texts, buckets) with their labels (texts,).
Labelled = tuple[csr_matrix, Array]


def fit_regression(rows: csr_matrix, labels: Array, strength: float) -> Linear:
    """Fit logistic regression over rows (texts, buckets); a bucket of one text gets 0.

    Each column is multiplied by its idf for the fit, and the idf into the coefficient afterwards:
    a file then holds one number a bucket.
    """
    found = np.bincount(rows.indices, minlength=rows.shape[1])
    known = np.flatnonzero(found >= 2)
    idf = np.log((1 + rows.shape[0]) / (1 + found[known])) + 1
    regression = LogisticRegression(C=strength, max_iter=1000, random_state=0)
    with threadpool_limits(1):
        regression.fit(csr_matrix(rows[:, known] @ diags(idf)), labels)
    table = np.zeros((rows.shape[1], 1), dtype=np.float32)
    table[known, 0] = regression.coef_[0] * idf
    return Linear(table, np.ones(1, np.float32), regression.intercept_.astype(np.float32))


def train_embeddings(
    train: Labelled, validation: Labelled, dimension: int, rate: float
) -> tuple[Linear, int]:
    """Train an embedding a bucket, their mean and a linear head; return the best epoch's model.

    Joulin et al. 2016, arXiv 1607.01759, with one logit for two labels and Adagrad for SGD: each
    bucket has a rate of its own, so that rare n-grams are learnt too.
    """
    torch.manual_seed(SEED)
    bag = torch.nn.EmbeddingBag(train[0].shape[1], dimension, mode="sum", sparse=True)
    torch.nn.init.uniform_(bag.weight, -1 / dimension, 1 / dimension)
    bag.weight.data[torch.from_numpy(unseen(train[0]))] = 0  # and it stays so: no noise on test
    head = torch.nn.Linear(dimension, 1)
    torch.nn.init.zeros_(head.weight)
    optimizer = torch.optim.Adagrad([*bag.parameters(), *head.parameters()], lr=rate)
    epochs = []
    for epoch in range(1, EPOCHS + 1):
        train_epoch(bag, head, optimizer, *train)
        numbers = (bag.weight, head.weight[0], head.bias)
        model = Linear(*(each.detach().numpy().copy() for each in numbers))
        epochs.append((f1_on(model, validation), model, epoch))
    return max(epochs, key=lambda each: each[0])[1:]


def unseen(rows: csr_matrix) -> Array:
    """Return which buckets no text falls into, (buckets,)."""
    return np.asarray(np.bincount(rows.indices, minlength=rows.shape[1]) == 0)


def f1_on(model: Linear, validation: Labelled) -> float:
    """Return a model's F1 at probability 0.5."""
    rows, labels = validation
    return classification(model.margins(rows), labels).f1


def train_epoch(
    bag: torch.nn.EmbeddingBag,
    head: torch.nn.Linear,
    optimizer: torch.optim.Optimizer,
    rows: csr_matrix,
    labels: Array,
) -> None:
    """Pass once over the rows, in an order that torch's seed gives."""
    for chosen in torch.randperm(rows.shape[0]).split(BATCH):
        batch = rows[chosen.numpy()]
        pooled = bag(
            torch.from_numpy(batch.indices.astype(np.int64)),
            torch.from_numpy(batch.indptr[:-1].astype(np.int64)),
            per_sample_weights=torch.from_numpy(batch.data.astype(np.float32)),
        )
        targets = torch.from_numpy(labels[chosen.numpy()].astype(np.float32))
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(head(pooled)[:, 0], targets).backward()
        # Opted out of, since Adagrad warns that they are off.
        with torch.sparse.check_sparse_tensor_invariants(enable=False):
            optimizer.step()


def multiplied(model: Linear) -> Linear:
    """Return the same model with one number a bucket: its head is linear, so nothing is lost."""
    return Linear(model.weights[:, None], np.ones(1, np.float32), model.bias)
