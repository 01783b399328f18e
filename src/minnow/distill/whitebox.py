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
from minnow.training.loop import Guide

# Width of a relation head of the teacher: 48 heads for a width of 768, 64 for 1,024, as in
# MiniLMv2.
RELATION_WIDTH = 16
Pair = tuple[int, int]


@dataclass(frozen=True)
class Plan:
    """Which layers are compared, as pairs (student's, teacher's), and in how many relation
    heads.
    """

    hidden: Sequence[Pair]
    attention: Sequence[Pair]
    relation: Pair | None
    relation_heads: int

    @property
    def projected(self) -> list[Pair]:
        """The layers whose queries, keys and values are compared."""
        return sorted({*self.attention, *([self.relation] if self.relation else [])})

    @property
    def stored(self) -> list[int]:
        """The teacher's hidden states that all of it is made of."""
        return states.needed(
            [theirs for _, theirs in self.hidden], [theirs for _, theirs in self.projected]
        )


def layer_map(
    given: Sequence[int] | None,
    *,
    student_layers: int,
    teacher_layers: int,
    copied: Sequence[int] | None = None,
) -> list[Pair]:
    """Return which of the teacher's layers each of the student's is held against, as pairs
    (student's, teacher's).

    `given` names one for each layer of the student, from 1. If it has one more and begins with 0,
    the embeddings are a pair too. None takes those that the student's were `copied` from (counted
    from 0), or evenly spaced ones with the last among them (TinyBERT's uniform map).

    Raises:
        MinnowError: a layer that does not exist, or another number of them.
    """
    if given is None and copied is not None:
        given = [number + 1 for number in copied]
    if given is None:
        spaced = np.linspace(0, teacher_layers, student_layers + 1).round().astype(int)
        given = [max(1, int(number)) for number in spaced[1:]]
    embeddings = len(given) == student_layers + 1 and given[0] == 0
    body = given[1:] if embeddings else given
    if len(body) != student_layers or not all(1 <= number <= teacher_layers for number in body):
        raise MinnowError(
            f"distill.layer_map is {list(given)}: it names one of the teacher's layers 1 to"
            f" {teacher_layers} for each of the student's {student_layers}, behind a 0 if the"
            " embeddings are to be compared too; or set it to null"
        )
    return [*([(0, 0)] if embeddings else []), *enumerate(body, start=1)]


def plan(
    terms: Terms, pairs: Sequence[Pair], student: PreTrainedModel, teacher: PreTrainedModel
) -> Plan:
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
    return Plan(
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


def relation_heads(given: int | None, student_width: int, teacher_width: int) -> int:
    """Return into how many heads both widths are cut; None takes as many as leave the teacher's
    RELATION_WIDTH each.

    Raises:
        MinnowError: it does not divide both widths.
    """
    common = int(np.gcd(student_width, teacher_width))
    allowed = [number for number in range(1, common + 1) if common % number == 0]
    if given is None:
        return max(
            [number for number in allowed if teacher_width // number >= RELATION_WIDTH] or [1]
        )
    if given not in allowed:
        raise MinnowError(
            f"distill.relation_heads is {given}, which does not divide the widths of student"
            f" ({student_width}) and teacher ({teacher_width}); allowed: {listed(allowed, 20)}"
        )
    return given


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
        plan: Plan,
        student: PreTrainedModel,
        teacher: Teacher,
        *,
        teacher_width: int,
        tokens: tuple[Tokens, Tokens] | None,
    ) -> None:
        super().__init__()
        self.terms, self.plan, self.teacher, self.tokens = terms, plan, teacher, tokens
        self.heads = int(student.config.num_attention_heads)
        own = int(student.config.hidden_size)
        self.maps = nn.ModuleList(
            nn.Linear(own, teacher_width, bias=False) if own != teacher_width else nn.Identity()
            for _ in plan.hidden
        )
        self.watch = Watch(
            student,
            hidden=[ours for ours, _ in plan.hidden],
            projected=[ours for ours, _ in plan.projected],
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
        if self.plan.hidden:
            total = total + self.terms.hidden_weight * self._hidden(student, teacher, mask)
        if self.plan.attention:
            total = total + self.terms.attention_weight * self._attention(student, teacher, mask)
        if self.plan.relation is not None:
            ours, theirs = self.plan.relation
            value = losses.relations(
                student.projected[ours],
                teacher.projected[theirs],
                mask,
                heads=self.plan.relation_heads,
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
                for linear, (ours, theirs) in zip(self.maps, self.plan.hidden, strict=True)
            ]
        ).mean()

    def _attention(self, student: States, teacher: States, mask: Tensor) -> Tensor:
        values = []
        for pair in self.plan.attention:
            ours, theirs = (
                losses.attention_scores(query, key, heads=self.heads)
                for query, key, _ in (student.projected[pair[0]], teacher.projected[pair[1]])
            )
            values.append(losses.attention(ours, theirs, mask))
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


def guide(
    terms: Terms,
    student: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    teacher: Path,
    train: pl.DataFrame,
    run: Runtime,
    *,
    given_map: Sequence[int] | None = None,
    copied: Sequence[int] | None = None,
    stored: Path | None = None,
) -> WhiteBox | None:
    """Return what `fitting.fit_tables` takes as `guide` for this student on `train` (id, text);
    None if all is off.

    `teacher` is its model folder, `stored` the folder with its hidden states if it is not to run;
    see `layer_map` for the rest.

    Raises:
        MinnowError: the terms do not suit these models, or states are not stored or belong to other
        rows.
    """
    if not terms.any:
        return None
    check_manifest(teacher)
    model = folders.load_for_inference(teacher, run)
    model.requires_grad_(False)
    teacher_width, teacher_layers = int(model.config.hidden_size), len(anatomy.layers_of(model))
    student_layers = len(anatomy.layers_of(student))
    pairs = layer_map(
        given_map, student_layers=student_layers, teacher_layers=teacher_layers, copied=copied
    )
    wanted = plan(terms, pairs, student, model)
    texts = train["text"].to_list()
    ours, theirs = (
        alignment.tokens(tokenizer, texts),
        alignment.tokens(folders.load_tokenizer(teacher), texts),
    )
    projections = {layer: anatomy.projections_of(model, layer) for _, layer in wanted.projected}
    source: states.Source
    if stored is None:
        source = states.online(model, theirs.encoded, wanted.stored, run.device)
    else:
        source = states.read_states(
            stored, train["id"].to_list(), theirs.encoded, wanted.stored, run.device
        )
    return WhiteBox(
        terms,
        wanted,
        student,
        Teacher(source, [layer for _, layer in wanted.hidden], projections),
        teacher_width=teacher_width,
        tokens=None if alignment.same_spans(ours, theirs) else (ours, theirs),
    )
