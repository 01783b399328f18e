"""Narrower students: laws, hand-made models whose answer is known, NumPy references, and a pass
through the stages.
"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from helpers.models import VOCABULARY, classifier, logits, padded_batch
from minnow.errors import MinnowError
from minnow.models import anatomy
from minnow.models.batching import Encoded
from minnow.models.folders import load_model, save
from minnow.models.heads import classification_layer
from minnow.models.inference import predict_logits
from minnow.student import architectures, importance, narrowing, reconstruction, shapes
from minnow.student.layers import shrink
from minnow.student.narrowing import Aim, Method, Narrowing, Sample
from minnow.student.reconstruction import Moments
from minnow.student.shapes import Shape

KINDS = ("bert", "roberta", "distilbert")
METHODS: tuple[Method, ...] = ("importance", "projection")
# Of helpers_models: width 64, two heads of 32, 96 neurons.
WHOLE = Shape(64, 2, 96)
CPU = torch.device("cpu")


def sample(rows: int = 24) -> Encoded:
    """Return random texts of 4 to 12 tokens."""
    lengths = torch.randint(4, 13, (rows,))
    return Encoded(torch.randint(5, VOCABULARY, (int(lengths.sum()),)), lengths, 0)


def labels(rows: int = 24) -> Tensor:
    return torch.arange(rows) % 2


def planned(
    model: PreTrainedModel, shape: Shape, method: Method = "importance", layers: Any = (0, 1)
) -> Narrowing:
    return narrowing.narrowing_of(model, Sample(sample(), labels()), Aim(layers, shape, method))


def narrowed(
    model: PreTrainedModel, shape: Shape, method: Method = "importance"
) -> PreTrainedModel:
    layers = range(model.config.num_hidden_layers)
    return narrowing.narrowed(model, planned(model, shape, method, layers))


def part(model: PreTrainedModel, layer: int, name: str) -> nn.Linear:
    """Return a part of a layer by the name of the field of `Parts`."""
    parts = anatomy.parts_of(model)
    found = model.base_model.get_submodule(f"{parts.layers}.{layer}.{getattr(parts, name)}")
    assert isinstance(found, nn.Linear)
    return found


def close(one: PreTrainedModel, other: PreTrainedModel, atol: float = 1e-5) -> bool:
    batch = padded_batch()
    return torch.allclose(logits(one, batch), logits(other, batch), rtol=0, atol=atol)


# --- Laws -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_the_same_shape_is_the_same_model(kind: str, method: Method) -> None:
    model = classifier(kind)
    assert close(narrowed(model, WHOLE, method), model)


@pytest.mark.parametrize("kind", KINDS)
def test_neurons_that_nobody_reads_go_first_and_change_nothing(kind: str) -> None:
    model = classifier(kind)
    idle = [torch.arange(0, 96, 3), torch.arange(64, 96)]
    with torch.no_grad():
        for layer, neurons in enumerate(idle):
            part(model, layer, "down").weight[:, neurons] = 0
    plan = planned(model, Shape(64, 2, 64))
    for kept, neurons in zip(plan.kept, idle, strict=True):
        assert not set(kept.tolist()) & set(neurons.tolist())
    narrow = narrowing.narrowed(model, plan)
    assert part(narrow, 0, "up").weight.shape == (64, 64)
    assert close(narrow, model)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_a_head_that_nobody_reads_is_the_one_that_goes(kind: str, method: Method) -> None:
    """Another one in each layer; queries, keys, values and context columns of the others stay
    together.
    """
    model = classifier(
        kind, **({"n_heads": 4} if kind == "distilbert" else {"num_attention_heads": 4})
    )
    idle = (2, 0)
    with torch.no_grad():
        for layer, head in enumerate(idle):
            part(model, layer, "context").weight[:, 16 * head : 16 * head + 16] = 0
    plan = planned(model, Shape(48, 3, 96), method)
    for columns, head in zip(plan.columns, idle, strict=True):
        assert columns.tolist() == [column for column in range(64) if column // 16 != head]
    narrow = narrowing.narrowed(model, plan)
    assert (narrow.config.hidden_size, narrow.config.num_attention_heads) == (48, 3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_weights_are_those_of_the_source_between_guess_and_basis(kind: str, method: Method) -> None:
    model = classifier(kind)
    plan = planned(model, Shape(32, 1, 48), method)
    narrow = narrowing.narrowed(model, plan)
    for layer in range(2):
        before, between = plan.stream[2 * layer], plan.stream[2 * layer + 1]
        assert not torch.allclose(before.bias, between.bias, atol=1e-3)
        columns = plan.columns[layer]
        reads = dict.fromkeys(("query", "key", "value"), (before, columns)) | {
            "up": (between, plan.kept[layer])
        }
        for name, (guess, rows) in reads.items():
            wide, ours = part(model, layer, name), part(narrow, layer, name)
            torch.testing.assert_close(ours.weight, wide.weight[rows] @ guess.weight)
            torch.testing.assert_close(
                ours.bias, F.linear(guess.bias, wide.weight, wide.bias)[rows]
            )
        for name, guess in {"context": plan.contexts[layer], "down": plan.neurons[layer]}.items():
            wide, ours = part(model, layer, name), part(narrow, layer, name)
            torch.testing.assert_close(ours.weight, plan.basis.T @ wide.weight @ guess.weight)
            torch.testing.assert_close(
                ours.bias, F.linear(guess.bias, wide.weight, wide.bias) @ plan.basis
            )
    words = [each.get_input_embeddings().weight for each in (model, narrow)]
    torch.testing.assert_close(words[1], words[0] @ plan.basis)


@pytest.mark.parametrize("method", METHODS)
def test_guesses_are_unbiased(method: Method) -> None:
    """On the sample itself the mean of what is guessed is that of what there is, whatever gains and
    biases.
    """
    model, texts = classifier(), sample()
    aim = Aim([0, 1], Shape(32, 1, 48), method)
    plan = narrowing.narrowing_of(model, Sample(texts, labels()), aim)
    tokens: list[Tensor] = []
    taken: list[Tensor] = []
    with torch.inference_mode():
        for _, tape, real, _ in importance.taped_passes(model, texts, [0, 1]):
            tokens.append(tape["stream", 1][real])
            taken.append(tape["before", 1][real])
    gain, bias = plan.norms[1]
    kept = F.layer_norm(torch.cat(taken) @ plan.basis, (32,), gain, bias, eps=1e-12)
    guessed = F.linear(kept, plan.stream[1].weight, plan.stream[1].bias)
    wide = torch.cat(tokens)
    torch.testing.assert_close(guessed.mean(0), wide.mean(0), rtol=0, atol=1e-4)
    torch.testing.assert_close(kept.mean(0), wide.mean(0) @ plan.basis, rtol=0, atol=1e-4)
    left = (guessed - wide).square().mean()
    assert left < (kept @ plan.basis.T - wide).square().mean() < wide.square().mean()


@pytest.mark.parametrize("method", METHODS)
def test_guessed_neurons_and_contexts_are_unbiased(method: Method) -> None:
    """The mean of those that go is what is guessed from the mean of those that stay."""
    model, texts = classifier(), sample()
    with torch.no_grad():
        part(model, 0, "value").bias.add_(3)  # contexts with a mean, which a bias has to hold
    aim = Aim([0, 1], Shape(32, 1, 48), method)
    plan = narrowing.narrowing_of(model, Sample(texts, labels()), aim)
    keys = [("heads", plan.columns, plan.contexts), ("neurons", plan.kept, plan.neurons)]
    for name, kept, guesses in keys:
        numbers: list[Tensor] = []
        with torch.inference_mode():
            for _, tape, real, _ in importance.taped_passes(model, texts, [0, 1]):
                numbers.append(tape[name, 0][real])
        means = torch.cat(numbers).mean(0)
        guessed = F.linear(means[kept[0]], guesses[0].weight, guesses[0].bias)
        torch.testing.assert_close(guessed, means, rtol=0, atol=1e-4)


def test_the_head_reads_what_is_guessed_of_the_last_layer() -> None:
    model = classifier()
    plan = planned(model, Shape(32, 1, 48))
    assert len(plan.stream) == 5  # embeddings, then attention and output of two layers
    weight, bias = plan.stream[4].read_by(model.base_model.pooler.dense, plan.units)
    ours = narrowing.narrowed(model, plan).base_model.pooler.dense
    torch.testing.assert_close((ours.weight, ours.bias), (weight, bias), check_stride=False)


def test_weights_that_nothing_made_are_refused() -> None:
    model = classifier()
    plan = planned(model, Shape(32, 1, 48))
    assembly = narrowing._Assembly(model, plan)
    with pytest.raises(
        MinnowError,
        match=r"^bert\.embeddings\.word_embeddings of this 'bert' model cannot be made narrower: "
        "take init: scratch$",
    ):
        assembly.check_complete()


def low_rank(kind: str, rank: int) -> PreTrainedModel:
    """Return a model whose stream spans `rank` directions orthogonal to (1, …, 1), LayerNorms
    plain, one live head.
    """
    model = classifier(kind)
    directions = torch.linalg.qr(torch.cat([torch.ones(64, 1), torch.randn(64, rank)], dim=1))[0][
        :, 1:
    ]
    onto = directions @ directions.T
    with torch.no_grad():
        for table in model.base_model.get_submodule("embeddings").children():
            if isinstance(table, nn.Embedding):
                table.weight.copy_(table.weight @ onto)
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                module.weight.fill_(1)
                module.bias.zero_()
        for layer in range(2):
            for name in ("context", "down"):
                linear = part(model, layer, name)
                linear.weight.copy_(onto @ linear.weight)
                linear.bias.copy_(onto @ linear.bias)
            part(model, layer, "context").weight[:, 32:] = 0
        keep_units(model, 32)
    return model


def keep_units(model: PreTrainedModel, number: int) -> None:
    """Let the classification layer read the first units alone."""
    classification_layer(model).weight[:, number:] = 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_projection_that_holds_the_whole_stream_changes_nothing(kind: str) -> None:
    model = low_rank(kind, 31)
    narrow = narrowed(model, Shape(32, 1, 96), "projection")
    assert narrow.num_parameters() < model.num_parameters() / 1.7
    assert close(narrow, model, atol=1e-4)
    assert not close(narrowed(model, Shape(32, 1, 96), "importance"), model, atol=1e-2), (
        "axes hold half of it"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_one_direction_too_few_is_not_enough(kind: str) -> None:
    """A narrower LayerNorm takes off a mean, hence has room for 31 directions in 32 numbers."""
    model = low_rank(kind, 40)
    assert not close(narrowed(model, Shape(32, 1, 96), "projection"), model, atol=1e-3)


def test_guessing_what_is_left_out_brings_a_model_nearer(monkeypatch: pytest.MonkeyPatch) -> None:
    """On other texts than those that the guesses are made by; 20 directions can be told by 32
    dimensions.
    """
    model, seen, others = low_rank("bert", 20), sample(100), sample(50)

    def error() -> float:
        shape = Shape(32, 1, 96)
        aim = Aim([0, 1], shape, "importance")
        plan = narrowing.narrowing_of(model, Sample(seen, labels(100)), aim)
        given = [
            predict_logits(each, others, device=CPU)
            for each in (model, narrowing.narrowed(model, plan))
        ]
        return float((given[0] - given[1]).square().mean())

    guessed = error()
    monkeypatch.setattr(narrowing, "completed", lambda start, cross, square: start)
    assert guessed < error() / 3


# --- Numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_importance_is_the_slope_of_a_gate(kind: str) -> None:
    """Against finite differences: each part times 1 ± ε for one text at a time, in float64."""
    model = classifier(kind).double()
    texts, truth, epsilon = sample(5), labels(5), 1e-5
    found = importance.importance(model, texts, truth, [1])

    def loss(row: int, module: nn.Module, gate: Tensor, *, gives: bool) -> float:
        if gives:
            handle = module.register_forward_hook(lambda _, __, out: out * gate)
        else:
            handle = module.register_forward_pre_hook(
                lambda _, given: (given[0] * gate, *given[1:])
            )
        with torch.inference_mode():
            one = torch.tensor([row])
            value = F.cross_entropy(model(**texts.batch(one, CPU)).logits, truth[one])
        handle.remove()
        return float(value)

    def slopes(module: nn.Module, numbers: list[int], width: int, *, gives: bool = False) -> float:
        total = 0.0
        for row in range(5):
            up, down = torch.ones(width).double(), torch.ones(width).double()
            up[numbers] += epsilon
            down[numbers] -= epsilon
            total += abs(
                loss(row, module, up, gives=gives) - loss(row, module, down, gives=gives)
            ) / (2 * epsilon)
        return total

    head, neuron, dimension, unit = 1, 17, 40, int(found["units", 0].argmax().item())
    norms: list[nn.Module] = anatomy.layer_norms(model, [1])
    expected = [
        (found["heads", 0][head], slopes(part(model, 1, "context"), list(range(32, 64)), 64)),
        (found["neurons", 0][neuron], slopes(part(model, 1, "down"), [neuron], 96)),
        (found["stream", 0][dimension], slopes(norms[0], [dimension], 64, gives=True)),
        (found["stream", 2][dimension], slopes(norms[2], [dimension], 64, gives=True)),
        (found["units", 0][unit], slopes(classification_layer(model), [unit], 64)),
    ]
    for given, wanted in expected:
        assert wanted > 1e-6
        assert float(given) == pytest.approx(wanted, rel=1e-4)


def test_without_labels_the_head_does_not_matter() -> None:
    model, texts = classifier(), sample()
    pooler: Any = model.get_submodule("bert.pooler.dense")
    before = importance.importance(model, texts, None, [0, 1])
    with torch.no_grad():
        classification_layer(model).weight.normal_()
        pooler.weight.normal_()
    after = importance.importance(model, texts, None, [0, 1])
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert before["neurons", 0].min() > 0
    assert before["units", 0].max() == 0


def test_the_largest_of_equals_is_the_first() -> None:
    assert importance.largest(torch.tensor([1.0, 3, 3, 3, 2]), 2).tolist() == [1, 2]
    assert importance.largest(torch.zeros(4), 3).tolist() == [0, 1, 2]
    assert importance.columns_of(torch.tensor([0, 2]), 3).tolist() == [0, 1, 2, 6, 7, 8]
    assert narrowing.rest_of(torch.tensor([0, 2]), 4).tolist() == [1, 3]


def test_moments_and_guesses_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    given = rng.normal(size=(500, 6)) @ rng.normal(size=(6, 6)) + 3
    wanted = given @ rng.normal(size=(6, 4)) + rng.normal(size=(500, 4)) - 1
    moments = Moments()
    for rows in np.array_split(np.arange(500), 7):
        moments.add(torch.tensor(wanted[rows]), torch.tensor(given[rows]))
    means = [torch.tensor(each.mean(0)) for each in (wanted, given)]
    covariance = torch.tensor(np.cov(np.hstack([wanted, given]).T, bias=True))
    for found, expected in zip(
        moments.result(), [*means, covariance[:4, 4:], covariance[4:, 4:]], strict=True
    ):
        torch.testing.assert_close(found, expected)
    _, _, cross, square = moments.result()
    # Ridge regression as least squares with rows for the penalty.
    penalty = np.sqrt(reconstruction.RIDGE * np.var(given, axis=0).mean() * 500)
    centred = [
        np.vstack([each - each.mean(0), np.zeros((6, each.shape[1]))]) for each in (given, wanted)
    ]
    centred[0][500:] = penalty * np.eye(6)
    expected = np.linalg.lstsq(centred[0], centred[1], rcond=None)[0].T
    np.testing.assert_allclose(
        reconstruction.completed(torch.zeros_like(cross), cross, square), expected, atol=1e-9
    )


def test_a_guess_that_is_right_already_stays() -> None:
    square = torch.cov(torch.randn(5, 40)).double()
    start = torch.randn(3, 5).double()
    torch.testing.assert_close(reconstruction.completed(start, start @ square, square), start)
    assert (
        reconstruction.completed(start, torch.zeros(3, 5).double(), torch.zeros(5, 5).double())
        .isfinite()
        .all()
    )


def test_principal_directions_are_those_of_numpy_and_have_no_mean() -> None:
    numbers = np.random.default_rng(0).normal(size=(400, 12)) * np.arange(1, 13)
    numbers -= numbers.mean(1, keepdims=True)
    covariance = np.cov(numbers.T, bias=True)
    basis = narrowing.principal(torch.tensor(covariance), 5).numpy()
    assert basis.shape == (12, 5)
    np.testing.assert_allclose(basis.sum(1), 0, atol=1e-12)
    np.testing.assert_allclose(basis.sum(0), 0, atol=1e-12)
    _, _, rows = np.linalg.svd(numbers - numbers.mean(0), full_matrices=False)
    np.testing.assert_allclose(basis @ basis.T, rows[:4].T @ rows[:4], atol=1e-9)
    again = narrowing.principal(torch.tensor(covariance), 5).numpy()
    np.testing.assert_array_equal(basis, again)


def test_what_a_layer_norm_takes_off_is_no_direction_however_much_it_varies() -> None:
    covariance = 100 * torch.ones(8, 8).double() + torch.arange(1, 9).double().diag()
    basis = narrowing.principal(covariance, 4)
    torch.testing.assert_close(basis.sum(0), torch.zeros(4).double(), rtol=0, atol=1e-9)


def test_numbers_are_normalised_each_row_by_itself_with_the_models_own_epsilon() -> None:
    rows = torch.tensor([[1.0, 3.0], [0.0, 4.0]])
    spread = torch.tensor([[1 / 2**0.5], [2 / 5**0.5]])  # variances 1 and 4, epsilon 1
    torch.testing.assert_close(
        narrowing.normalised(rows, 1.0), torch.tensor([[-1.0, 1.0]]) * spread
    )


def test_rows_beyond_float32s_whole_numbers_are_spread_evenly_too() -> None:
    rows = narrowing.spaced(2**26 + 2)
    assert rows[-1] == 2**26 + 1


def test_texts_that_are_looked_at_are_spread_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narrowing, "SAMPLE_ROWS", 4)
    assert narrowing.spaced(10) == [0, 3, 6, 9]
    assert narrowing.spaced(3) == [0, 1, 2]
    assert narrowing.spaced(1) == [0]


# --- Models ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_what_is_saved_is_what_ran_and_the_same_every_time(
    kind: str, method: Method, tokenizer: PreTrainedTokenizerBase, tmp_path: Any
) -> None:
    model = classifier(kind, layers=3)
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    texts = sample()
    assert not torch.equal(state, torch.get_rng_state())
    plans = []
    for _ in range(2):
        state = torch.get_rng_state()
        plans.append(
            narrowing.narrowing_of(
                model, Sample(texts, labels()), Aim([0, 2], Shape(32, 1, 48), method)
            )
        )
        assert torch.equal(state, torch.get_rng_state()), "measuring draws nothing"
    cut = shrink(model, layers=2, heads=None, copy_layers=[0, 2], dropout=None)
    one, two = (narrowing.narrowed(cut, plan) for plan in plans)
    assert all(
        torch.equal(weight, two.state_dict()[name]) for name, weight in one.state_dict().items()
    )
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())
    save(one, tokenizer, tmp_path / "student")
    batch, loaded = padded_batch(), load_model(tmp_path / "student")
    assert torch.equal(logits(loaded, batch), logits(one, batch))
    config = loaded.config
    assert (config.hidden_size, config.num_attention_heads, config.num_hidden_layers) == (32, 1, 2)
    assert part(loaded, 1, "up").weight.shape == (48, 32)


@pytest.mark.parametrize("method", METHODS)
def test_a_berts_plan_makes_the_same_distilbert(method: Method) -> None:
    """Measured with the teacher's trained head, in its own architecture; both bodies compute the
    same.
    """
    bert, batch = classifier("bert"), padded_batch()
    plan = planned(bert, Shape(32, 1, 48), method)
    distilbert = narrowing.narrowed(architectures.as_architecture(bert, "distilbert"), plan)
    with torch.inference_mode():
        ours = distilbert.base_model(**batch).last_hidden_state
        theirs = narrowing.narrowed(bert, plan).base_model(**batch).last_hidden_state
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(ours[real], theirs[real], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_width_with_other_heads_re_cuts_the_columns_of_the_best(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = classifier(kind)
    shape = shapes.narrower(WHOLE, hidden_size=48, heads=4, intermediate_size=None)
    assert shape == Shape(48, 4, 96)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("minnow: warning: student.heads is 4 at width 48")
    plan = planned(model, shape)
    assert all(len(columns) == 48 for columns in plan.columns)
    assert logits(narrowing.narrowed(model, plan), padded_batch()).isfinite().all()


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((None, None, 48), Shape(64, 2, 48)),
        ((32, None, None), Shape(32, 1, 96)),
        ((32, 1, 64), Shape(32, 1, 64)),
        ((64, None, 96), WHOLE),
    ],
)
def test_null_keeps_what_there_is(
    asked: tuple[int | None, int | None, int | None],
    expected: Shape,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hidden_size, heads, neurons = asked
    shape = shapes.narrower(WHOLE, hidden_size=hidden_size, heads=heads, intermediate_size=neurons)
    assert shape == expected
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            (128, None, None),
            "student.hidden_size is 128 and its source has 64.*set it to 64 or less",
        ),
        (
            (None, None, 97),
            "student.intermediate_size is 97 and its source has 96.*set it to 96 or less",
        ),
        (
            (48, None, None),
            (
                "hidden_size is 48 and the source's heads have dimension 32: take one of 32, 64,"
                " or set"
            ),
        ),
        (
            (48, 5, None),
            "heads is 5, which does not divide the student's width 48; allowed: 1, 2, 3; null",
        ),
    ],
)
def test_shapes_that_cannot_be_are_refused(
    asked: tuple[int | None, int | None, int | None], said: str
) -> None:
    hidden_size, heads, neurons = asked
    with pytest.raises(MinnowError, match=said):
        shapes.narrower(WHOLE, hidden_size=hidden_size, heads=heads, intermediate_size=neurons)


@pytest.mark.parametrize("call", [shapes.shape_of, anatomy.parts_of])
def test_other_architectures_are_refused(call: Callable[[PreTrainedModel], Any]) -> None:
    with pytest.raises(
        MinnowError, match="'electra' model cannot be made narrower, only bert, distilbert, roberta"
    ):
        call(classifier("electra"))
