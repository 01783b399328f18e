"""Budgets: the best choice by hand and by brute force, and folders that stay within their bytes and
load.
"""

import itertools
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from minnow.core.files import MANIFEST, read_json
from minnow.core.runtime import Runtime
from minnow.errors import MinnowError
from minnow.models import building, embeddings, folders, heads
from minnow.models.batching import Encoded
from minnow.models.inference import predict_logits
from minnow.models.params import BuildParams
from minnow.models.schemes import EightBit, FourBit, Scheme
from minnow.quantization import budget, quantize, sensitivity
from minnow.quantization.budget import Budget, Choice, Option
from minnow.quantization.quantize import Recipe
from minnow.release import provenance

CPU = torch.device("cpu")
KEEP = ["classifier", "pre_classifier"]
NF4 = FourBit("nf4", double_quantization=True)


def part(*options: tuple[int, float]) -> list[Option]:
    return [Option(f"{number}", size, damage) for number, (size, damage) in enumerate(options)]


# --- The choice -----------------------------------------------------------------------------------


def test_choices_worked_by_hand() -> None:
    """10 bytes buy 5 of a's damage, 20 buy 8 of b's, 5 more only one of a's: with 20, b; with 10,
    a; with 30, both.
    """
    front = budget.best_choices([part((0, 7.0), (10, 2.0), (15, 1.0)), part((0, 9.0), (20, 1.0))])
    assert [(each.bytes, each.damage, each.numbers) for each in front] == [
        (0, 16.0, (0, 0)),
        (10, 11.0, (1, 0)),
        (15, 10.0, (2, 0)),
        (20, 8.0, (0, 1)),
        (30, 3.0, (1, 1)),
        (35, 2.0, (2, 1)),
    ]
    assert [budget.best_within(front, limit).bytes for limit in (0, 9, 10, 29, 34, 35, 1000)] == [
        0,
        0,
        10,
        20,
        30,
        35,
        35,
    ]


def test_a_format_that_costs_more_and_loses_more_is_never_chosen() -> None:
    front = budget.best_choices([part((0, 1.0), (10, 1.0), (20, 2.0), (30, 0.5))])
    assert [each.numbers for each in front] == [(0,), (3,)]


def brute(options: Sequence[Sequence[Option]], limit: int) -> float:
    """Return the least damage of all choices within `limit` bytes."""
    return min(
        sum(option.damage for option in every)
        for every in itertools.product(*options)
        if sum(option.bytes for option in every) <= limit
    )


@pytest.mark.parametrize("seed", range(25))
def test_the_choice_is_that_of_brute_force(seed: int) -> None:
    draw = random.Random(seed)
    options = [
        part(
            (0, draw.random()),
            *((draw.randint(1, 40), draw.random()) for _ in range(draw.randint(0, 2))),
        )
        for _ in range(draw.randint(1, 7))
    ]
    front = budget.best_choices(options)
    most = sum(max(option.bytes for option in each) for each in options)
    last = float("inf")
    for limit in range(most + 2):
        choice = budget.best_within(front, limit)
        assert choice.bytes <= limit
        assert choice.damage == pytest.approx(brute(options, limit), abs=1e-12)
        assert choice.damage <= last, "more bytes never lose more"
        last = choice.damage
        chosen = [each[number] for each, number in zip(options, choice.numbers, strict=True)]
        assert sum(option.bytes for option in chosen) == choice.bytes


def test_many_layers_of_few_shapes_are_exact_and_quick() -> None:
    """72 layers of two shapes and two tables: the best of k layers of a shape are those that gain
    most.
    """
    draw = random.Random(0)
    gains = [[draw.random() for _ in range(each)] for each in (48, 24)]
    options = [
        part((0, gain), (size, 0.0))
        for size, of in zip((64, 256), gains, strict=True)
        for gain in of
    ]
    options += [
        part((0, 0.4), (5_000, 0.1), (16_000, 0.0)),
        part((0, 0.02), (300, 0.01), (900, 0.0)),
    ]
    front = budget.best_choices(options)
    assert len(front) < budget.MOST_CHOICES
    for limit in (700, 3_000, 9_000, 20_000):
        least = min(
            sum(sorted(gains[0])[: 48 - few])
            + sum(sorted(gains[1])[: 24 - many])
            + words[1]
            + places[1]
            for few in range(49)
            for many in range(25)
            for words in ((0, 0.4), (5_000, 0.1), (16_000, 0.0))
            for places in ((0, 0.02), (300, 0.01), (900, 0.0))
            if 64 * few + 256 * many + words[0] + places[0] <= limit
        )
        assert budget.best_within(front, limit).damage == pytest.approx(least, abs=1e-9)


def test_too_many_choices_are_thinned_and_keep_both_ends() -> None:
    front = [Choice(2 * number, 1000.0 - number, (number,)) for number in range(1000)]
    kept = budget.fewer_choices(front, 100)
    assert 50 < len(kept) <= 100
    assert (kept[0], kept[-1]) == (front[0], front[-1])
    assert kept == sorted(kept)
    assert budget.fewer_choices(front, 1000) is front


# --- Students -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def student(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerBase, shape: BuildParams
) -> Path:
    torch.manual_seed(0)
    model = building.build(shape.model_copy(update={"hidden_size": 128}), tokenizer)
    with torch.no_grad():
        heads.classification_layer(model).weight.normal_()
    folder = tmp_path_factory.mktemp("models") / "student"
    folders.save(model, tokenizer, folder, facts={"base": None})
    return folder


@pytest.fixture(scope="module")
def told(student: Path, encoded: Encoded) -> dict[str, Any]:
    model, _ = sensitivity.load_float(student, CPU)
    found = sensitivity.measure(model, encoded, [1, 0, 1, 1], NF4, keep_float=KEEP)
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


def quantized(
    student: Path,
    out: Path,
    told: dict[str, Any],
    probe: Encoded,
    mb: float,
    tables: str = "nf4",
    scheme: Scheme = NF4,
) -> dict[str, Any]:
    """Quantize within a budget and return the manifest."""
    within = Budget(mb, tables, told)
    budget.quantize_within(student, out, Recipe(scheme, KEEP), within, probe=probe, device=CPU)
    found: dict[str, Any] = read_json(out / MANIFEST)
    return found


def load(folder: Path) -> PreTrainedModel:
    return folders.load_for_inference(folder, Runtime(CPU, torch.float32))


def smallest(student: Path, out: Path, tables: Any = "nf4") -> int:
    recipe = Recipe(NF4, KEEP, embeddings.SCHEMES.get(tables))
    quantize.write_quantized(student, out, recipe, device=CPU)
    return folders.folder_bytes(out)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.35, 0.7, 0.95])
def test_a_folder_stays_within_its_budget_and_loads(
    student: Path, tmp_path: Path, told: dict[str, Any], encoded: Encoded, share: float
) -> None:
    least = smallest(student, tmp_path / "least")
    room = sum(
        part["in_bits"]["16"]["bytes"] - part["in_bits"]["4"]["bytes"] for part in told["parts"]
    )
    wanted = least + int(share * room)
    manifest = quantized(student, tmp_path / "out", told, encoded, wanted / 1e6)
    size, formats, within = (
        folders.folder_bytes(tmp_path / "out"),
        manifest["formats"],
        manifest["budget"],
    )
    assert size <= within["bytes"] == wanted
    # 64 bytes for each part that is raised, and what config.json says of tables
    assert -200 <= within["predicted"]["bytes"] - size <= 64 * len(within["raised"]) + 600

    # that choice is the best of all: by brute force over what parts of one shape can be exchanged
    # for
    options = budget.options_of(told, NF4, "nf4")
    lost = sum(
        next(o.damage for o in each if o.format == formats[name]) for name, each in options.items()
    )
    assert within["predicted"]["kl"] == pytest.approx(lost)
    for name, each in options.items():  # at least, no single part can be raised in what is left
        now = next(o for o in each if o.format == formats[name])
        for better in each:
            if better.damage < now.damage:
                assert size + better.bytes - now.bytes > wanted - 64 * len(options) - 600, name

    model, original = load(tmp_path / "out"), load(student)
    for name, module in model.named_modules():
        if name in options:
            kind = type(module).__name__
            assert (
                kind == {"nf4": "Linear4bit", "bfloat16": "Linear"}.get(formats[name], "")
                or "mbedding" in kind
            )
    held = sum(each.nbytes for each in [*model.parameters(), *model.buffers()])
    assert held <= 1.2 * (tmp_path / "out" / "model.safetensors").stat().st_size
    logits, expected = (predict_logits(each, encoded, device=CPU) for each in (model, original))
    assert float((logits - expected).abs().max()) < 0.3 * float(expected.std())
    config = read_json(tmp_path / "out" / "config.json")
    skipped = config["quantization_config"]["llm_int8_skip_modules"]
    linear = {name for name in options if "embeddings" not in name}
    assert {name for name in linear if formats[name] == "bfloat16"} == set(skipped) - {"classifier"}
    packed = {
        name: each.name for name, each in (embeddings.tables_of_config(model.config) or {}).items()
    }
    assert packed == {
        name: formats[name] for name in set(options) - linear if formats[name] != "bfloat16"
    }


def test_a_budget_is_kept_to_the_byte(
    student: Path, tmp_path: Path, told: dict[str, Any], encoded: Encoded
) -> None:
    least = smallest(student, tmp_path / "least")
    first = quantized(student, tmp_path / "first", told, encoded, (least + 40_000) / 1e6)
    size = folders.folder_bytes(tmp_path / "first")
    same = quantized(student, tmp_path / "same", told, encoded, (least + 40_000) / 1e6)
    files = [
        {file.name: file.read_bytes() for file in sorted((tmp_path / name).iterdir())}
        for name in ("first", "same")
    ]
    assert files[0] == files[1]
    less = quantized(student, tmp_path / "less", told, encoded, (size - 1) / 1e6)
    assert folders.folder_bytes(tmp_path / "less") < size
    assert first["formats"] == same["formats"] != less["formats"]
    assert first["budget"]["predicted"]["kl"] < less["budget"]["predicted"]["kl"]


def test_a_choice_that_turns_out_too_large_gives_way_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
    student: Path,
    tmp_path: Path,
    told: dict[str, Any],
    encoded: Encoded,
) -> None:
    least = smallest(student, tmp_path / "least")
    honest = budget.added

    def flattering(*given: Any) -> list[Option]:
        return [Option(each.format, each.bytes // 2, each.damage) for each in honest(*given)]

    monkeypatch.setattr(budget, "added", flattering)
    quantized(student, tmp_path / "out", told, encoded, (least + 30_000) / 1e6)
    assert least < folders.folder_bytes(tmp_path / "out") <= least + 30_000


def test_tables_in_different_formats_load_in_one_call(
    student: Path, tmp_path: Path, told: dict[str, Any], encoded: Encoded
) -> None:
    least = smallest(student, tmp_path / "least")
    mixed = json.loads(json.dumps(told))
    for part in mixed["parts"]:  # only the words lose anything, and int8 is as good as 16 bits
        for bits, each in part["in_bits"].items():
            each["kl"] = 1.0 if bits == "4" and part["name"].endswith("word_embeddings") else 0.0
    formats = quantized(student, tmp_path / "out", mixed, encoded, (least + 30_000) / 1e6)[
        "formats"
    ]
    words, places = (f"bert.embeddings.{kind}_embeddings" for kind in ("word", "position"))
    assert (formats[words], formats[places]) == ("int8", "nf4")
    model = load(tmp_path / "out")
    assert [model.get_submodule(name).scheme.name for name in (words, places)] == ["int8", "nf4"]
    assert provenance.embeddings(tmp_path / "out") == "int8 and nf4"
    said = read_json(tmp_path / "out" / "config.json")["minnow_embeddings"]
    assert [(block["scheme"], block["tables"]) for block in said] == [
        ("int8", [words]),
        ("nf4", [places]),
    ]


@pytest.mark.parametrize("tables", ["none", "nf4"])
def test_more_than_enough_leaves_everything_in_bfloat16(
    student: Path, tmp_path: Path, told: dict[str, Any], encoded: Encoded, tables: str
) -> None:
    falling = json.loads(json.dumps(told))
    for part in falling["parts"]:
        for bits, each in part["in_bits"].items():
            each["kl"] = 1 / int(bits)
    manifest = quantized(student, tmp_path / "out", falling, encoded, 100, tables)
    assert set(manifest["formats"].values()) == {"bfloat16"}
    model = load(tmp_path / "out")
    assert not hasattr(model.config, "minnow_embeddings")
    held = sum(each.nbytes for each in [*model.parameters(), *model.buffers()])
    assert held <= 1.2 * folders.folder_bytes(tmp_path / "out")
    logits, expected = (
        predict_logits(each, encoded, device=CPU) for each in (model, load(student))
    )
    assert float((logits - expected).abs().max()) < 0.03 * float(expected.std())


def test_scheme_and_embeddings_are_the_fewest_bits(told: dict[str, Any]) -> None:
    def formats(scheme: Scheme, tables: str) -> dict[str, list[str]]:
        options = budget.options_of(told, scheme, tables)
        return {
            "linear": [each.format for each in options["bert.encoder.layer.0.output.dense"]],
            "table": [each.format for each in options["bert.embeddings.word_embeddings"]],
        }

    assert formats(NF4, "nf4") == {
        "linear": ["nf4", "bfloat16"],
        "table": ["nf4", "int8", "bfloat16"],
    }
    assert formats(NF4, "int8") == {"linear": ["nf4", "bfloat16"], "table": ["int8", "bfloat16"]}
    assert formats(EightBit(), "none") == {"linear": ["int8", "bfloat16"], "table": ["bfloat16"]}


def test_int8_takes_a_budget_too(
    student: Path, tmp_path: Path, told: dict[str, Any], encoded: Encoded
) -> None:
    manifest = quantized(student, tmp_path / "out", told, encoded, 0.62, "int8", EightBit())
    assert folders.folder_bytes(tmp_path / "out") <= 620_000
    linear = {each for name, each in manifest["formats"].items() if ".layer." in name}
    assert linear == {"int8", "bfloat16"}


@pytest.mark.parametrize(
    ("tables", "remedy"), [("nf4", "or more, or distil"), ("none", "quantize.embeddings: nf4")]
)
def test_a_budget_below_the_smallest_says_what_would_do(
    student: Path, tmp_path: Path, told: dict[str, Any], encoded: Encoded, tables: str, remedy: str
) -> None:
    least = smallest(student, tmp_path / "least", tables)
    with pytest.raises(MinnowError, match=remedy) as refused:
        quantized(student, tmp_path / "out", told, encoded, (least - 1) / 1e6, tables)
    enough = float(str(refused.value).split(" takes ")[1].split(" MB")[0])
    assert least <= enough * 1e6 < least + 1000
    quantized(student, tmp_path / "out", told, encoded, enough, tables)


def test_damages_of_another_student_are_refused(
    student: Path, tmp_path: Path, told: dict[str, Any], encoded: Encoded
) -> None:
    fewer = {**told, "parts": told["parts"][:-1]}
    with pytest.raises(MinnowError, match=r"belongs to another student or scheme .*pooler"):
        quantized(student, tmp_path / "out", fewer, encoded, 1)
    with pytest.raises(MinnowError, match="another student or scheme"):
        quantized(
            student,
            tmp_path / "out",
            told,
            encoded,
            1,
            scheme=FourBit("fp4", double_quantization=True),
        )
    for broken in ({}, {"parts": [{"name": "a"}]}, {"parts": None}, []):
        with pytest.raises(MinnowError, match=r"sensitivity.json is broken .*dvc repro"):
            quantized(student, tmp_path / "out", broken, encoded, 1)  # type: ignore[arg-type]
