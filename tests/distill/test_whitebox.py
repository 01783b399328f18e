"""White-box distillation: which layers, in which tokens, online or stored; killed and gone on."""

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
import yaml
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from conftest import TEXTS
from helpers.models import classifier
from helpers.paths import ROOT
from helpers.stage import edit, new_project, refused
from helpers.training import BFLOAT16, CPU, FLOAT32, training_params
from minnow.core.files import sha256
from minnow.core.runtime import Runtime
from minnow.distill import alignment, losses, states, whitebox
from minnow.distill.params import DistillParams, check_teacher_rows
from minnow.distill.states import store_states
from minnow.distill.whitebox import (
    Pupil,
    TeacherFolders,
    Terms,
    WhiteBox,
    layer_map,
    relation_heads,
)
from minnow.errors import MinnowError
from minnow.layout import Layout
from minnow.models import building, folders
from minnow.models.anatomy import projections_of
from minnow.models.batching import encode
from minnow.stages import (
    distill,
    prepare,
    teacher,
    teacher_logits,
    teacher_states,
    teacher_unlabelled,
)
from minnow.training import fitting, loop, targets
from minnow.training.objective import Job, Objective, Schedule
from minnow.training.targets import hard_loss

URLS = [f"{text}/{number}" for number in range(6) for text in TEXTS]
TABLE = pl.DataFrame(
    {"id": [str(n) for n in range(24)], "text": URLS, "label": [n % 2 for n in range(24)]}
)
ALL = Terms(
    hidden_weight=1.0,
    hidden_measure="mse",
    attention_weight=0.5,
    relation_weight=2.0,
    relation_heads=4,
)
HIDDEN_AND_RELATION = Terms(hidden_weight=1.0, relation_weight=1.0)
SOME = torch.tensor([3, 1, 2])


@pytest.fixture(scope="module")
def coarse() -> PreTrainedTokenizerBase:
    """A tokenizer that cuts into other pieces than the teacher's."""
    return building.train_tokenizer(URLS, vocabulary=290, max_length=24)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerBase) -> Path:
    """A teacher of three layers, 64 wide, with two heads and the fixture's tokenizer."""
    torch.manual_seed(0)
    out = tmp_path_factory.mktemp("models") / "teacher"
    folders.save(classifier("bert", layers=3), tokenizer, out)
    return out


def student_of(kind: str = "bert", **options: Any) -> PreTrainedModel:
    torch.manual_seed(1)
    return classifier(kind, layers=2, **options)


def guide(
    terms: Terms,
    student: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    run: Runtime = FLOAT32,
    named: list[int] | None = None,
    stored: Path | None = None,
) -> WhiteBox:
    torch.manual_seed(2)
    pupil = Pupil(student, tokenizer, named)
    made = whitebox.white_box(terms, pupil, TeacherFolders(folder, stored), TABLE, run)
    assert made is not None
    return made


def value_of(
    made: WhiteBox, student: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Tensor
) -> Tensor:
    batch = encode(tokenizer, URLS).batch(rows, CPU)
    with made.watching():
        student(**batch)
    result: Tensor = made(rows, batch["attention_mask"])
    return result


# --- Which layers, how many heads -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "copied", "layers", "total", "expected"),
    [
        (None, None, 3, 6, [(1, 2), (2, 4), (3, 6)]),
        (None, None, 4, 12, [(1, 3), (2, 6), (3, 9), (4, 12)]),
        (None, None, 1, 6, [(1, 6)]),
        (None, None, 3, 1, [(1, 1), (2, 1), (3, 1)]),
        (None, [0, 2, 5], 3, 6, [(1, 1), (2, 3), (3, 6)]),
        ([1, 6], [0, 5], 2, 6, [(1, 1), (2, 6)]),
        ([4, 4], None, 2, 6, [(1, 4), (2, 4)]),
        ([0, 2, 6], None, 2, 6, [(0, 0), (1, 2), (2, 6)]),
    ],
)
def test_layer_map(
    given: list[int] | None,
    copied: list[int] | None,
    layers: int,
    total: int,
    expected: list[tuple[int, int]],
) -> None:
    assert layer_map(given, student_layers=layers, teacher_layers=total, copied=copied) == expected


@pytest.mark.parametrize("given", [[1], [1, 2, 3], [0, 1], [1, 7], [0, 0, 1], [0, 1, 7]])
def test_a_layer_map_that_does_not_fit_is_refused(given: list[int]) -> None:
    with pytest.raises(
        MinnowError,
        match=r"layer_map is \[.*\]: it names one of the teacher's layers 1 to 6 for each",
    ):
        layer_map(given, student_layers=2, teacher_layers=6)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [(768, 768, 48), (384, 1024, 64), (384, 384, 24), (312, 768, 24), (128, 128, 8)],
)
def test_relation_heads_are_as_many_as_in_the_paper(ours: int, theirs: int, expected: int) -> None:
    assert relation_heads(None, ours, theirs) == expected
    assert relation_heads(2, ours, theirs) == 2


def test_relation_heads_divide_both_widths() -> None:
    assert relation_heads(None, 21, 16) == 1
    with pytest.raises(
        MinnowError,
        match=r"relation_heads is 16, which does not divide .*\(312\) and teacher \(768\)",
    ):
        relation_heads(16, 312, 768)


# --- One batch ------------------------------------------------------------------------------------


def test_nothing_is_made_where_all_weights_are_0(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    assert (
        whitebox.white_box(
            Terms(),
            Pupil(student_of(), tokenizer),
            TeacherFolders(tmp_path / "no teacher"),
            TABLE,
            FLOAT32,
        )
        is None
    )


@pytest.mark.parametrize(
    "terms", [Terms(hidden_weight=1), Terms(attention_weight=1), Terms(relation_weight=1)]
)
def test_a_copy_of_the_teacher_has_nothing_to_learn(
    folder: Path, tokenizer: PreTrainedTokenizerBase, terms: Terms
) -> None:
    torch.manual_seed(3)
    copy, other = folders.load_model(folder), classifier("bert", layers=3)
    everything = [0, 1, 2, 3]
    made = guide(terms, copy, tokenizer, folder, named=everything)
    assert value_of(made, copy, tokenizer, SOME).item() == pytest.approx(0, abs=1e-6)
    made = guide(terms, other, tokenizer, folder, named=everything)
    assert value_of(made, other, tokenizer, SOME).item() > 0.01


def test_the_sum_is_that_of_its_terms(folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Against the models themselves: layers 2 and 3 of the teacher for 1 and 2 of a student of
    equal width.
    """
    student, big = student_of(), folders.load_model(folder)
    made = guide(ALL, student, tokenizer, folder, named=[2, 3])
    rows = encode(tokenizer, URLS)
    batch, mask = rows.batch(SOME, CPU), rows.places(SOME)[1]
    ours, theirs = (
        model(**batch, output_hidden_states=True).hidden_states for model in (student, big)
    )
    hidden = [
        losses.hidden_states(ours[i], theirs[j], mask, measure="mse") for i, j in ((1, 2), (2, 3))
    ]
    made_of = {
        key: [linear(state) for linear in projections_of(model, layer)]
        for key, model, layer, state in (
            ("s1", student, 1, ours[0]),
            ("s2", student, 2, ours[1]),
            ("t2", big, 2, theirs[1]),
            ("t3", big, 3, theirs[2]),
        )
    }
    scores = {key: losses.attention_scores(q, k, heads=2) for key, (q, k, _) in made_of.items()}
    attention = [
        losses.attention(scores[s], scores[t], mask) for s, t in (("s1", "t2"), ("s2", "t3"))
    ]
    relation = losses.relations(made_of["s2"], made_of["t3"], mask, heads=4)
    expected = sum(hidden) / 2 + 0.5 * sum(attention) / 2 + 2 * relation
    torch.testing.assert_close(
        value_of(made, student, tokenizer, SOME), expected, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("kind", ["distilbert", "roberta"])
def test_other_kinds_widths_and_heads(
    folder: Path, coarse: PreTrainedTokenizerBase, kind: str
) -> None:
    narrow = (
        {"dim": 32, "n_heads": 4}
        if kind == "distilbert"
        else {"hidden_size": 32, "num_attention_heads": 4}
    )
    student = student_of(kind, **narrow)
    made = guide(Terms(hidden_weight=1.0, relation_weight=1.0), student, coarse, folder)
    assert [tuple(linear.weight.shape) for linear in made.maps] == [(64, 32), (64, 32)]
    assert made.tokens is not None
    value_of(made, student, coarse, SOME).backward()
    assert all(bool(weight.grad.any()) for weight in made.parameters() if weight.grad is not None)
    assert sum(weight.grad is not None for weight in made.parameters()) == 2
    body = student.base_model.named_parameters()
    assert all(
        weight.grad is not None and bool(weight.grad.isfinite().all())
        for name, weight in body
        if "q" in name
    )


def test_relations_need_no_equal_heads_and_attention_does(
    folder: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    two, four = student_of(), student_of(num_attention_heads=4)
    relation = Terms(relation_weight=1.0)
    # With the same queries, keys and values, how attention cuts them plays no part.
    assert all(torch.equal(a, b) for a, b in zip(two.parameters(), four.parameters(), strict=True))
    layer = {"named": [1, 3]}
    with torch.no_grad():
        values = []
        for student in (two, four):
            made = guide(relation, student, tokenizer, folder, **layer)
            batch = encode(tokenizer, URLS).batch(SOME, CPU)
            fixed = torch.ones((*batch["input_ids"].shape, 64)).cumsum(dim=-1).sin()
            made.watch.projected = {2: [linear(fixed) for linear in projections_of(student, 2)]}
            values.append(made(SOME, batch["attention_mask"]).item())
    assert values[0] == values[1]
    with pytest.raises(
        MinnowError,
        match="attention_weight is 1, and the student has 4 attention heads where the te",
    ):
        guide(Terms(attention_weight=1.0), four, tokenizer, folder)


def test_a_row_has_the_same_value_in_every_company(
    folder: Path, coarse: PreTrainedTokenizerBase
) -> None:
    """Padding, in the student's tokens and in the teacher's, changes nothing: the mean is that of
    all real tokens.
    """
    lengths = encode(coarse, URLS).lengths
    assert len({int(lengths[row]) for row in SOME}) == 3
    student = student_of()
    made = guide(HIDDEN_AND_RELATION, student, coarse, folder)
    counted = [counterparts(coarse, folder, row) for row in SOME.tolist()]
    single = [value_of(made, student, coarse, torch.tensor([row])) for row in SOME.tolist()]
    expected = sum(value * count for value, count in zip(single, counted, strict=True)) / sum(
        counted
    )
    torch.testing.assert_close(value_of(made, student, coarse, SOME), expected)


def counterparts(tokenizer: PreTrainedTokenizerBase, folder: Path, row: int) -> int:
    """Return how many of a row's tokens have a counterpart."""
    ours, theirs = (
        alignment.tokens(each, URLS).batch(torch.tensor([row]))
        for each in (tokenizer, folders.load_tokenizer(folder))
    )
    return int((alignment.matrix(ours, theirs).sum(dim=-1) > 0).sum())


@pytest.mark.parametrize(
    "terms", [Terms(hidden_weight=1.0), Terms(attention_weight=1.0), Terms(relation_weight=1.0)]
)
def test_tokens_behind_the_teachers_end_do_not_count(
    folder: Path, coarse: PreTrainedTokenizerBase, terms: Terms
) -> None:
    """A text that only the student reads to its end: what it makes of the rest is not looked at."""
    student = student_of()
    made = guide(terms, student, coarse, folder, named=[1, 3])
    assert made.tokens is not None
    (ours, theirs), row = made.tokens, torch.tensor([2])
    # as if the teacher had been cut off behind six tokens and [SEP]
    begin, length = int(theirs.encoded.starts[2]), int(theirs.encoded.lengths[2])
    spans = theirs.spans.clone()
    spans[begin + 7 : begin + length - 1] = 0
    made.tokens = (ours, alignment.Tokens(theirs.encoded, spans))
    counted = alignment.matrix(ours.batch(row), made.tokens[1].batch(row)).sum(dim=-1)[0] > 0
    assert 3 < int(counted.sum()) < len(counted) - 3
    batch = encode(coarse, URLS).batch(row, CPU)
    with made.watching():
        student(**batch)
    watched = [made.watch.hidden[2]] if terms.hidden_weight else made.watch.projected[2]
    for gradient in torch.autograd.grad(
        made(row, batch["attention_mask"]), watched, allow_unused=True
    ):
        if gradient is not None:  # attention has no use for values
            assert bool(gradient[0, counted].any(dim=-1).all())
            assert not bool(gradient[0, ~counted].any())


def test_aligned_states_by_hand() -> None:
    matrix = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 0.25, 0.75]]])
    hidden = torch.tensor([[[1.0, 2.0], [4.0, 0.0], [8.0, 4.0]]])
    made = whitebox.aligned(
        states.States({1: hidden}, {2: (hidden, 2 * hidden, 3 * hidden)}), matrix
    )
    expected = torch.tensor([[[1.0, 2.0], [7.0, 3.0]]])
    assert torch.equal(made.hidden[1], expected)
    assert torch.equal(made.projected[2][2], 3 * expected)


def test_averaged_states_make_averaged_scores() -> None:
    """What is said of attention between unequal tokens: scores are averaged over queries and over
    keys.
    """
    query, key = torch.randn(2, 1, 5, 8)
    matrix = torch.rand(1, 3, 5)
    matrix = matrix / matrix.sum(dim=-1, keepdim=True)
    scores = losses.attention_scores(query, key, heads=2)
    made = losses.attention_scores(matrix @ query, matrix @ key, heads=2)
    torch.testing.assert_close(made, matrix[:, None] @ scores @ matrix[:, None].transpose(-1, -2))


# --- Training -------------------------------------------------------------------------------------


class KilledError(Exception):
    """Stands for the end of the process."""


def digest(model: nn.Module) -> str:
    content = hashlib.sha256()
    for value in model.state_dict().values():
        content.update(value.numpy().tobytes())
    return content.hexdigest()


def trained(
    folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    checkpoint: Path,
    *,
    terms: Terms = HIDDEN_AND_RELATION,
    run: Runtime = FLOAT32,
    loss: targets.Loss = hard_loss,
    stored: Path | None = None,
    epochs: int = 3,
) -> tuple[PreTrainedModel, WhiteBox, pl.DataFrame]:
    """Fit a student that is narrower than its teacher, with dropout."""
    student = student_of(hidden_size=32, hidden_dropout_prob=0.1)
    made = guide(terms, student, tokenizer, folder, run=run, stored=stored)
    curve = fitting.fit_tables(
        student,
        tokenizer,
        fitting.Tables(TABLE, TABLE),
        Objective(loss, made),
        Schedule(training_params(epochs=epochs), 0),
        Job("test", run, checkpoint),
    )
    return student, made, curve


def killed_at(step: int) -> Callable[..., Tensor]:
    steps = iter(range(1000))

    def loss(*arguments: Any) -> Tensor:
        if next(steps) == step:
            raise KilledError
        return hard_loss(*arguments)

    return loss


@pytest.mark.parametrize("runtime", [FLOAT32, BFLOAT16], ids=["float32", "bfloat16"])
def test_a_killed_run_goes_on_to_the_same_bytes_maps_too(
    folder: Path,
    coarse: PreTrainedTokenizerBase,
    tmp_path: Path,
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    whole, maps, curve = trained(folder, coarse, tmp_path / "whole.pt", run=runtime)
    checkpoint = tmp_path / "killed.pt"
    with pytest.raises(KilledError):
        trained(folder, coarse, checkpoint, run=runtime, loss=killed_at(5))
    resumed, resumed_maps, resumed_curve = trained(folder, coarse, checkpoint, run=runtime)
    assert (digest(resumed), digest(resumed_maps)) == (digest(whole), digest(maps))
    assert resumed_curve.equals(curve)
    untrained = guide(Terms(hidden_weight=1.0), student_of(hidden_size=32), coarse, folder)
    assert digest(maps) != digest(untrained), "the maps learn"


def test_other_maps_are_another_start(
    folder: Path,
    coarse: PreTrainedTokenizerBase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KilledError):
        trained(folder, coarse, tmp_path / "run.pt", loss=killed_at(5))
    original = nn.Linear.reset_parameters
    monkeypatch.setattr(
        nn.Linear, "reset_parameters", lambda self: (original(self), self.weight.data.mul_(2))[0]
    )
    monkeypatch.setitem(globals(), "student_of", lambda **options: student)
    with monkeypatch.context() as plain:
        plain.setattr(nn.Linear, "reset_parameters", original)
        torch.manual_seed(1)
        student = classifier("bert", layers=2, hidden_size=32, hidden_dropout_prob=0.1)
    trained(folder, coarse, tmp_path / "run.pt")
    assert "began from other weights: training starts afresh" in capsys.readouterr().err


def test_training_lessens_the_terms_and_leaves_the_teacher_alone(
    folder: Path, coarse: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    before = sha256(folder / "model.safetensors")
    _, made, curve = trained(
        folder, coarse, tmp_path / "run.pt", epochs=8, loss=lambda logits, _: 0 * logits.sum()
    )
    assert curve["loss"][-1] < 0.6 * curve["loss"][0]
    source: Any = made.teacher.source
    assert not source.model.training
    assert not any(weight.requires_grad for weight in source.model.parameters())
    assert sha256(folder / "model.safetensors") == before
    expected = folders.load_model(folder).state_dict()
    assert all(
        torch.equal(weight, expected[name]) for name, weight in source.model.state_dict().items()
    )


def test_maps_are_weights_on_disk_too(folder: Path, coarse: PreTrainedTokenizerBase) -> None:
    student = student_of(hidden_size=32)
    made = guide(Terms(hidden_weight=1.0), student, coarse, folder)
    assert (
        fitting.bytes_on_disk(student, made) - fitting.bytes_on_disk(student)
        == 4 * 12 * 2 * 32 * 64
    )


@pytest.mark.parametrize("runtime", [FLOAT32, BFLOAT16], ids=["float32", "bfloat16"])
def test_stored_states_train_what_the_teacher_in_the_loop_does(
    folder: Path, coarse: PreTrainedTokenizerBase, tmp_path: Path, runtime: Runtime
) -> None:
    student = student_of()
    online = guide(ALL, student, coarse, folder, run=runtime)
    store_states(folder, tmp_path / "states", TABLE, online.compared.stored, runtime)
    stored = guide(ALL, student, coarse, folder, run=runtime, stored=tmp_path / "states")
    rows = torch.arange(len(URLS))
    values = [value_of(made, student, coarse, rows).item() for made in (online, stored)]
    # In bfloat16 what is stored is what was computed, but for batches of other lengths, whose sums
    # round otherwise.
    assert values[1] == pytest.approx(values[0], rel=1e-3 if runtime.mixed else 1e-4)
    assert math.isfinite(values[0])


# --- The stages -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny project with a teacher and its logits."""
    root = new_project(tmp_path_factory.mktemp("taught"))
    for stage in (prepare, teacher, teacher_logits, teacher_unlabelled):
        stage.main(root)
    return root


def student_bytes(root: Path, changes: dict[str, Any]) -> tuple[bytes, list[float]]:
    edit(root, {"teacher_states.layers": None, **changes})
    teacher_states.main(root)
    distill.main(root)
    curve = pl.read_csv(Layout(root).plot("student_training"))
    return (Layout(root).model("student") / "model.safetensors").read_bytes(), curve[
        "loss"
    ].to_list()


def test_the_stages_with_a_new_vocabulary_online_and_stored(taught: Path) -> None:
    edit(
        taught,
        {"student.vocabulary": {"method": "train", "min_count": None, "size": 320}},
        "embedded",
    )
    weights = {"distill.hidden_weight": 1.0, "distill.relation_weight": 1.0}
    off, _ = student_bytes(taught, {})
    online, online_loss = student_bytes(taught, weights)
    again, _ = student_bytes(taught, weights)
    stored, stored_loss = student_bytes(taught, {**weights, "teacher_states.layers": [1, 2]})
    assert len({off, online, stored}) == 3
    assert again == online
    assert stored_loss == pytest.approx(online_loss, rel=1e-3)
    # what a run was not told to store it names before any training
    edit(taught, {"teacher_states.layers": [0]})
    teacher_states.main(taught)
    with pytest.raises(MinnowError, match=r"set teacher_states.layers to \[1, 2\]"):
        distill.main(taught)


def test_heads_that_differ_are_refused_before_any_training(
    taught: Path, run: Callable[[Path, str], tuple[int, str]]
) -> None:
    edit(taught, {"student.heads": 4}, "embedded")
    edit(
        taught,
        {
            "distill.attention_weight": 1.0,
            "teacher_states.layers": None,
        },
    )
    teacher_states.main(taught)
    refused(taught, run, "distill", "distill.attention_weight is 1", "4 attention heads")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"distill.hidden_weight": -1.0},
            ["distill.hidden_weight is -1.0", "greater than or equal to 0"],
        ),
        (
            {"distill.hidden_measure": "cosinus"},
            ["distill.hidden_measure is 'cosinus'", "did you mean 'cosine'?"],
        ),
        ({"distill.relation_heads": 0}, ["distill.relation_heads is 0"]),
        ({"distill.layer_map": []}, ["distill.layer_map is []", "at least 1 item"]),
        ({"distill.layer_map": [-1]}, ["distill.layer_map.0 is -1"]),
        (
            {"distill.hidden_weigth": 1.0},
            ["distill.hidden_weigth is unknown", "did you mean 'hidden_weight'?"],
        ),
    ],
)
def test_bad_params_are_one_line(
    tmp_path: Path,
    run: Callable[[Path, str], tuple[int, str]],
    changes: dict[str, Any],
    words: list[str],
) -> None:
    project = new_project(tmp_path)
    edit(project, changes)
    refused(project, run, "distill", *words)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([], ["teacher_states.layers is []", "at least 1 item"]),
        ([-1], ["teacher_states.layers.0 is -1"]),
    ],
)
def test_bad_layers_are_one_line(
    tmp_path: Path,
    run: Callable[[Path, str], tuple[int, str]],
    layers: list[int],
    words: list[str],
) -> None:
    project = new_project(tmp_path)
    edit(project, {"teacher_states.layers": layers})
    refused(project, run, "teacher_states", *words)


def test_rows_of_the_teacher_alone_need_something_to_learn_from_them() -> None:
    params = new_distill(soft_weight=0.0)
    check_teacher_rows(params, more_texts=False, stored_states=True)
    with pytest.raises(MinnowError, match=r"distill\.soft_weight is 0, .*teacher_unlabelled\.file"):
        check_teacher_rows(params, more_texts=True, stored_states=False)


def test_stored_states_are_of_the_training_split_alone() -> None:
    params = new_distill(hidden_weight=1.0)
    check_teacher_rows(params, more_texts=True, stored_states=False)
    check_teacher_rows(new_distill(), more_texts=True, stored_states=True)
    with pytest.raises(MinnowError, match=r"teacher_states\.layers stores .*set it to null"):
        check_teacher_rows(params, more_texts=True, stored_states=True)


def new_distill(**changes: Any) -> DistillParams:
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    return DistillParams(**{**document["distill"], **changes})
