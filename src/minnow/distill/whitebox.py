"""White-box distillation: what happens inside the student, held against what happens inside its
teacher.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from minnow.core.files import check_manifest
from minnow.core.runtime import Runtime
from minnow.distill import alignment, losses, states
from minnow.distill.alignment import Tokens
from minnow.distill.params import Terms
from minnow.distill.states import States, Teacher, Watch
from minnow.errors import MinnowError, listed
from minnow.models import anatomy, folders
from minnow.training.objective import Guide

# Width of a relation head of the teacher: 48 heads for a width of 768, 64 for 1,024, as in
# MiniLMv2.
RELATION_WIDTH = 16
# A layer of the student's and one of the teacher's, counted from 1; 0 is the embeddings.
LayerPair = tuple[int, int]


@dataclass(frozen=True)
class Comparisons:
    """Which layers are compared, as pairs (student's, teacher's), and in how many relation
    heads.
    """

    hidden: Sequence[LayerPair]
    attention: Sequence[LayerPair]
    relation: LayerPair | None
    relation_heads: int

    @property
    def projected(self) -> list[LayerPair]:
        """The layers whose queries, keys and values are compared."""
        return sorted({*self.attention, *([self.relation] if self.relation else [])})

    @property
    def stored(self) -> list[int]:
        """The teacher's hidden states that all of it is made of."""
        return states.needed(
            [theirs for _, theirs in self.hidden], [theirs for _, theirs in self.projected]
        )


def layer_map(
    named: Sequence[int] | None,
    *,
    student_layers: int,
    teacher_layers: int,
    copied: Sequence[int] | None = None,
) -> list[LayerPair]:
    """Return which of the teacher's layers each of the student's is held against, as pairs
    (student's, teacher's).

    `named` has one for each layer of the student, from 1. If it has one more and begins with 0,
    the embeddings are a pair too. None takes those that the student's were `copied` from (counted
    from 0), or evenly spaced ones with the last among them (TinyBERT's uniform map).

    Raises:
        MinnowError: a layer that does not exist, or another number of them.
    """
    if named is None and copied is not None:
        named = [number + 1 for number in copied]
    if named is None:
        spaced = np.linspace(0, teacher_layers, student_layers + 1).round().astype(int)
        named = [max(1, int(number)) for number in spaced[1:]]
    embeddings = len(named) == student_layers + 1 and named[0] == 0
    body = named[1:] if embeddings else named
    if len(body) != student_layers or not all(1 <= number <= teacher_layers for number in body):
        raise MinnowError(
            f"distill.layer_map is {list(named)}: it names one of the teacher's layers 1 to"
            f" {teacher_layers} for each of the student's {student_layers}, behind a 0 if the"
            " embeddings are to be compared too; or set it to null"
        )
    return [*([(0, 0)] if embeddings else []), *enumerate(body, start=1)]


def comparisons(
    terms: Terms, pairs: Sequence[LayerPair], student: PreTrainedModel, teacher: PreTrainedModel
) -> Comparisons:
    """Return what is compared.

    Raises:
        MinnowError: a term cannot work with these two models.
    """
    for model in (student, teacher):
        anatomy.anatomy_of(model)
    heads, their_heads = (int(model.config.num_attention_heads) for model in (student, teacher))
    if terms.attention_weight > 0 and heads != their_heads:
        raise MinnowError(
            f"distill.attention_weight is {terms.attention_weight:g}, and the student has {heads}"
            f" attention heads where the teacher has {their_heads}: set it to 0 and take"
            " relation_weight, which needs no equal number, or give the student as many heads"
        )
    layers = [pair for pair in pairs if pair[0]]
    return Comparisons(
        hidden=pairs if terms.hidden_weight > 0 else [],
        attention=layers if terms.attention_weight > 0 else [],
        relation=layers[-1] if terms.relation_weight > 0 else None,
        relation_heads=relation_heads(
            terms.relation_heads if terms.relation_weight > 0 else None,
            width(student),
            width(teacher),
        ),
    )


def width(model: PreTrainedModel) -> int:
    """Return how wide a model's queries, keys and values are, all heads together."""
    return anatomy.projections_of(model, 1)[0].out_features


def relation_heads(heads: int | None, student_width: int, teacher_width: int) -> int:
    """Return into how many heads both widths are cut; None takes as many as leave the teacher's
    RELATION_WIDTH each.

    Raises:
        MinnowError: it does not divide both widths.
    """
    common = int(np.gcd(student_width, teacher_width))
    allowed = [number for number in range(1, common + 1) if common % number == 0]
    if heads is None:
        return max(
            [number for number in allowed if teacher_width // number >= RELATION_WIDTH] or [1]
        )
    if heads not in allowed:
        raise MinnowError(
            f"distill.relation_heads is {heads}, which does not divide the widths of student"
            f" ({student_width}) and teacher ({teacher_width}); allowed: {listed(allowed, 20)}"
        )
    return heads


class WhiteBox(Guide):
    """The weighted sum of the terms for a batch of training rows.

    Hidden states and attention are averaged over the pairs of layers, relations are of one pair.
    Where the student's states have another width, a linear map without bias for each pair, trained
    with the student, takes them to the teacher's (TinyBERT's). Where the two cut texts into other
    tokens, the teacher's states, queries, keys and values are averaged over the tokens that share
    characters with a student's token; a student's token without any does not count. Scores being
    products of queries and keys, this averages them over both.
    """

    def __init__(
        self,
        terms: Terms,
        compared: Comparisons,
        student: PreTrainedModel,
        teacher: Teacher,
        *,
        teacher_width: int,
        tokens: tuple[Tokens, Tokens] | None,
    ) -> None:
        super().__init__()
        self.terms, self.compared, self.teacher, self.tokens = terms, compared, teacher, tokens
        self.heads = int(student.config.num_attention_heads)
        own = int(student.config.hidden_size)
        self.maps = nn.ModuleList(
            nn.Linear(own, teacher_width, bias=False) if own != teacher_width else nn.Identity()
            for _ in compared.hidden
        )
        self.watch = Watch(
            student,
            hidden=[ours for ours, _ in compared.hidden],
            projected=[ours for ours, _ in compared.projected],
        )

    def watching(self) -> AbstractContextManager[None]:
        """Look into the student until the block ends."""
        return self.watch.on()

    def forward(self, rows: Tensor, mask: Tensor) -> Tensor:
        """Return the terms for these rows, which the student has just computed with this mask
        (rows, tokens).
        """
        student, teacher = self.watch.take(), self.teacher.of(rows)
        mask = mask.bool()
        if self.tokens is not None:
            matrix = alignment.matrix(*(tokens.batch(rows) for tokens in self.tokens)).to(
                mask.device
            )
            teacher, mask = aligned(teacher, matrix), mask & (matrix.sum(dim=-1) > 0)
        total = torch.zeros((), device=mask.device)
        if self.compared.hidden:
            total = total + self.terms.hidden_weight * self._hidden(student, teacher, mask)
        if self.compared.attention:
            total = total + self.terms.attention_weight * self._attention(student, teacher, mask)
        if self.compared.relation is not None:
            ours, theirs = self.compared.relation
            value = losses.relations(
                student.projected[ours],
                teacher.projected[theirs],
                mask,
                heads=self.compared.relation_heads,
            )
            total = total + self.terms.relation_weight * value
        return total

    def _hidden(self, student: States, teacher: States, mask: Tensor) -> Tensor:
        return torch.stack(
            [
                losses.hidden_states(
                    linear(student.hidden[ours]),
                    teacher.hidden[theirs],
                    mask,
                    measure=self.terms.hidden_measure,
                )
                for linear, (ours, theirs) in zip(self.maps, self.compared.hidden, strict=True)
            ]
        ).mean()

    def _attention(self, student: States, teacher: States, mask: Tensor) -> Tensor:
        values = []
        for ours, theirs in self.compared.attention:
            scores, their_scores = (
                losses.attention_scores(query, key, heads=self.heads)
                for query, key, _ in (student.projected[ours], teacher.projected[theirs])
            )
            values.append(losses.attention(scores, their_scores, mask))
        return torch.stack(values).mean()


def aligned(teacher: States, matrix: Tensor) -> States:
    """Return the teacher's states in the student's tokens; `matrix` (rows, student tokens, teacher
    tokens).
    """
    return States(
        {layer: matrix @ state for layer, state in teacher.hidden.items()},
        {
            layer: (matrix @ q, matrix @ k, matrix @ v)
            for layer, (q, k, v) in teacher.projected.items()
        },
    )


@dataclass(frozen=True)
class Pupil:
    """A student before training, and what `layer_map` needs to know of it: the layers that params
    name, and those that its own were copied from.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    named_layers: Sequence[int] | None = None
    copied_layers: Sequence[int] | None = None

    def pairs(self, teacher: PreTrainedModel) -> list[LayerPair]:
        """Return which layers are held against which."""
        return layer_map(
            self.named_layers,
            teacher_layers=len(anatomy.layers_of(teacher)),
            student_layers=len(anatomy.layers_of(self.model)),
            copied=self.copied_layers,
        )


@dataclass(frozen=True)
class TeacherFolders:
    """A teacher's model folder, and the folder with its hidden states if it is not to run."""

    model: Path
    states: Path | None = None


def white_box(
    terms: Terms, pupil: Pupil, teacher: TeacherFolders, train: pl.DataFrame, runtime: Runtime
) -> WhiteBox | None:
    """Return what guides this student's training on `train` (id, text); None if all terms are off.

    Raises:
        MinnowError: the terms do not suit these models, or states are not stored or belong to other
        rows.
    """
    if not terms.any:
        return None
    check_manifest(teacher.model)
    model = folders.load_for_inference(teacher.model, runtime)
    model.requires_grad_(False)
    compared = comparisons(terms, pupil.pairs(model), pupil.model, model)
    texts = train["text"].to_list()
    ours = alignment.tokens(pupil.tokenizer, texts)
    theirs = alignment.tokens(folders.load_tokenizer(teacher.model), texts)
    # Before what does not run is cut off the model.
    projections = {layer: anatomy.projections_of(model, layer) for _, layer in compared.projected}
    source: states.StateSource
    if teacher.states is None:
        source = states.online(model, theirs.encoded, compared.stored, runtime.device)
    else:
        source = states.read_states(
            teacher.states, train["id"].to_list(), theirs.encoded, compared.stored, runtime.device
        )
    return WhiteBox(
        terms,
        compared,
        pupil.model,
        Teacher(source, [layer for _, layer in compared.hidden], projections),
        teacher_width=int(model.config.hidden_size),
        tokens=None if alignment.same_spans(ours, theirs) else (ours, theirs),
    )
