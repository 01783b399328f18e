"""Rows per second of distillation: the public notebook's way, a careful peer's, and Minnow's, side
by side.

    python benchmarks/distill_speed.py [--seconds 120] [--threads 2]

Same rows and models for all three: a BERT-base teacher and a DistilBERT student with 4 layers and 8
heads, both randomly initialised, on token sequences as long as URLs are. Weights and tokens do not
matter to the clock.

(a) notebook: teacher in the loop, every URL padded to 512 tokens, float32, batch 32. (b) peer:
teacher in the loop, padded to the longest of the batch, float32, batch 32. (c) minnow:
`training.fit` as the distill stage calls it: batches of like length, bfloat16 where the CPU has it,
              stored teacher logits. The teacher's one pass, by `predict_logits`, is counted in,
              spread over 5 epochs.

(a) and (b) run whole steps for `--seconds` each after one step to warm up; (c) runs one epoch over
all rows after a short one to warm up. A row is one URL in one epoch.

The last column says how much of a matrix product's speed (c) reaches, measured in the same run: the
FLOPs of the linear layers' products alone, 2 a weight and token forward and 4 backward, over what
`minnow.core.runtime.product_rate` gives. Attention, norms and the optimizer count as nothing.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PreTrainedModel,
)

from minnow.core.runtime import Runtime, choose_dtype, machine, product_rate
from minnow.core.selection import Score
from minnow.distill.losses import distillation
from minnow.models.batching import Encoded, training_batches
from minnow.models.inference import predict_logits
from minnow.training.loop import fit
from minnow.training.objective import Examples, Job, Objective, Schedule, Validation
from minnow.training.params import TrainingParams
from minnow.training.targets import Targets

T = TypeVar("T")

CPU = torch.device("cpu")
EPOCHS = 5
ROWS = 2_100  # the public set's training split
# Tokens of the public set's URLs under BERT's vocabulary: 24 on average, with a long tail.
SHORTEST, MEAN_EXTRA, LONGEST = 8, 16.0, 128
VOCABULARY, TOKENS_IN_USE = 30_522, 6_000
TEMPERATURE, SOFT_WEIGHT, LEARNING_RATE = 2.0, 0.5, 1e-4
DROPOUT = 0.1


@dataclass(frozen=True)
class Work:
    """The rows and what they should become."""

    encoded: Encoded
    labels: Tensor


def make_work(rows: int) -> Work:
    """Return rows of random tokens with exponentially distributed lengths."""
    generator = torch.Generator().manual_seed(0)
    extra = torch.empty(rows).exponential_(1 / MEAN_EXTRA, generator=generator).long()
    lengths = (SHORTEST + extra).clamp(max=LONGEST)
    ids = torch.randint(1_000, 1_000 + TOKENS_IN_USE, (int(lengths.sum()),), generator=generator)
    return Work(Encoded(ids, lengths, 0), torch.randint(0, 2, (rows,), generator=generator))


def make_teacher() -> PreTrainedModel:
    """Return a BERT-base classifier with random weights."""
    torch.manual_seed(0)
    teacher: PreTrainedModel = BertForSequenceClassification(BertConfig(vocab_size=VOCABULARY))
    teacher.eval()
    return teacher


def make_student(dropout: float = DROPOUT) -> PreTrainedModel:
    """Return a DistilBERT classifier with 4 layers and 8 heads and random weights."""
    torch.manual_seed(0)
    config = DistilBertConfig(
        vocab_size=VOCABULARY, n_layers=4, n_heads=8, dropout=dropout, attention_dropout=dropout
    )
    return DistilBertForSequenceClassification(config)


def teacher_in_the_loop(
    work: Work, teacher: PreTrainedModel, *, width: int | None, batch_size: int, seconds: float
) -> float:
    """Return rows per second of a plain loop; `width` pads to so many tokens, None to the longest
    of the batch.
    """
    student = make_student().train()
    optimizer = torch.optim.Adam(student.parameters(), lr=LEARNING_RATE)
    loss_of = distillation(loss="forward_kl", temperature=TEMPERATURE, soft_weight=SOFT_WEIGHT)

    def step(rows: Tensor) -> None:
        batch = work.encoded.batch(rows, CPU)
        if width is not None:
            batch = {
                name: torch.nn.functional.pad(value, (0, width - value.shape[1]))
                for name, value in batch.items()
            }
        with torch.no_grad():
            teacher_logits = teacher(**batch).logits
        optimizer.zero_grad()
        loss_of(student(**batch).logits, Targets(work.labels[rows], teacher_logits)).backward()
        optimizer.step()

    batches = torch.randperm(len(work.encoded), generator=torch.Generator().manual_seed(0)).split(
        batch_size
    )
    step(batches[0])
    done, began = 0, time.perf_counter()
    for rows in batches[1:]:
        step(rows)
        done += len(rows)
        if time.perf_counter() - began > seconds:
            break
    return done / (time.perf_counter() - began)


def teacher_pass(work: Work, dtype: torch.dtype) -> tuple[Tensor, float]:
    """Return the teacher's logits of all rows and the seconds that Minnow takes for them."""
    teacher = make_teacher()
    nn.Module.to(teacher, dtype)  # transformers' own `to` hides its arguments from mypy
    predict_logits(teacher, first_rows(work, 64).encoded, device=CPU)
    return timed(lambda: predict_logits(teacher, work.encoded, device=CPU))


def epoch_seconds(
    work: Work, logits: Tensor, *, batch_size: int, dropout: float, dtype: torch.dtype
) -> float:
    """Return the seconds of one epoch of Minnow's distillation, after a short one to warm up."""

    params = TrainingParams(
        epochs=1,
        batch_size=batch_size,
        learning_rate=LEARNING_RATE,
        warmup=0.0,
        weight_decay=0.01,
        class_weight=None,
        label_smoothing=0.0,
        accumulate=1,
        patience=None,
    )

    def epoch(part: Work, student: PreTrainedModel) -> float:
        _, seconds = timed(
            lambda: fit(
                student,
                Examples(part.encoded, Targets(part.labels, logits[: len(part.encoded)])),
                Validation(first_rows(work, 8).encoded, lambda _: Score(0.0, 0.0, 0.0)),
                Objective(
                    distillation(
                        loss="forward_kl", temperature=TEMPERATURE, soft_weight=SOFT_WEIGHT
                    )
                ),
                Schedule(params, seed=0),
                Job("minnow", Runtime(CPU, dtype)),
            )
        )
        return seconds

    epoch(first_rows(work, 2 * batch_size), make_student(dropout))
    return epoch(work, make_student(dropout))


def padding(lengths: Tensor, batch_size: int) -> float:
    """Return how many tokens Minnow's training batches compute for each real one."""
    batches = training_batches(
        lengths, batch_size=batch_size, generator=torch.Generator().manual_seed(0)
    )
    return sum(int(lengths[rows].max()) * len(rows) for rows in batches) / int(lengths.sum())


def body_weights(model: PreTrainedModel) -> int:
    """Return how many weights the linear layers have that see every token: all but the head's."""
    body: nn.Module = model.base_model
    return sum(part.weight.numel() for part in body.modules() if isinstance(part, nn.Linear))


def gflop_a_row(lengths: Tensor, batch_size: int) -> float:
    """Return the GFLOP of the products for a row in one epoch, the teacher's part spread over all
    epochs and without its padding.
    """
    tokens = float(lengths.float().mean())
    trained = 6 * body_weights(make_student()) * tokens * padding(lengths, batch_size)
    return 1e-9 * (trained + 2 * body_weights(make_teacher()) * tokens / EPOCHS)


def first_rows(work: Work, rows: int) -> Work:
    """Return the first rows of the work."""
    rows = min(rows, len(work.encoded))
    lengths = work.encoded.lengths[:rows]
    return Work(
        Encoded(work.encoded.ids[: int(lengths.sum())], lengths, work.encoded.pad_id),
        work.labels[:rows],
    )


def timed(call: Callable[[], T]) -> tuple[T, float]:
    """Return what the call returns and its seconds."""
    began = time.perf_counter()
    result = call()
    return result, time.perf_counter() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--seconds",
        type=float,
        default=120.0,
        help="how long (a) and (b) run, at least one step each",
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--precision", choices=["auto", "float32", "bfloat16"], default="auto", help="of (c)"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    work, teacher = make_work(ROWS), make_teacher()
    print(machine())
    lengths = work.encoded.lengths.float()
    print(f"{ROWS} rows of {lengths.mean():.1f} tokens on average (longest {lengths.max():.0f})")
    for batch_size in (32, 128):
        tokens = padding(work.encoded.lengths, batch_size)
        print(f"(c) computes {tokens:.2f} tokens for each real one at batch {batch_size}")
    notebook = teacher_in_the_loop(work, teacher, width=512, batch_size=32, seconds=options.seconds)
    print(f"(a) notebook: {notebook:.2f} rows/s", flush=True)
    peer = teacher_in_the_loop(work, teacher, width=None, batch_size=32, seconds=options.seconds)
    print(f"(b) peer: {peer:.2f} rows/s", flush=True)
    dtype = choose_dtype(options.precision, CPU)
    product = max(product_rate(dtype) for _ in range(3))
    print(f"a matrix product: {product:.0f} GFLOP/s")
    logits, teacher_seconds = teacher_pass(work, dtype)
    print(f"the teacher's one pass: {teacher_seconds:.1f} s", flush=True)
    print(
        "| way | batch | dropout | precision | rows/s | over (a) | over (b) | of a product |"
        "\n|---|---|---|---|---|---|---|---|"
    )
    print(
        f"| (a) notebook | 32 | {DROPOUT} | float32 | {notebook:.2f} | 1.0 |"
        f" {notebook / peer:.2f} | |"
    )
    print(f"| (b) peer | 32 | {DROPOUT} | float32 | {peer:.2f} | {peer / notebook:.1f} | 1.0 | |")
    for batch_size, dropout in ((32, DROPOUT), (128, DROPOUT), (128, 0.0)):
        seconds = epoch_seconds(work, logits, batch_size=batch_size, dropout=dropout, dtype=dtype)
        rate = ROWS / (seconds + teacher_seconds / EPOCHS)
        share = rate * gflop_a_row(work.encoded.lengths, batch_size) / product
        name = str(dtype).removeprefix("torch.")
        cells = (
            f"{batch_size} | {dropout} | {name} | {rate:.1f} | {rate / notebook:.1f} |"
            f" {rate / peer:.2f} | {share:.0%}"
        )
        print(f"| (c) minnow | {cells} |", flush=True)


if __name__ == "__main__":
    main()
