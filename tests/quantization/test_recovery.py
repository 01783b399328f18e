"""Recovery: what it trains and what it leaves alone, what it is judged by, what it saves, and when
it gives up.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bitsandbytes
import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerBase

from helpers.stage import new_project
from helpers.training import BFLOAT16, FLOAT32, training_params
from minnow.core.files import ADAPTERS_KEY, MANIFEST, check_manifest, read_json, write_json
from minnow.core.runtime import Runtime
from minnow.core.selection import Score, Selection, validation_f1
from minnow.distill import losses
from minnow.errors import MinnowError
from minnow.layout import Layout
from minnow.models import adapters, building, embeddings, schemes
from minnow.models.batching import encode
from minnow.models.folders import folder_bytes, load_for_inference, load_model, load_tokenizer, save
from minnow.models.inference import predict_logits
from minnow.models.packed import float_copy, packed_layers
from minnow.models.params import BuildParams
from minnow.quantization import quantize, rebuilding, recovery
from minnow.quantization.quantize import Recipe
from minnow.quantization.rebuilding import Adapters, Folders
from minnow.stages import recover as recover_module
from minnow.training import loop
from minnow.training.fitting import Tables, fit_tables
from minnow.training.objective import Job, Objective, Schedule
from minnow.training.params import TrainingParams
from minnow.training.targets import Loss, Targets, hard_loss

CPU = torch.device("cpu")
MERGED, SHIPPED, NONE = Adapters(4, 8.0, False), Adapters(4, 8.0, True), Adapters(0, 8.0, False)
KEEP = ["classifier", "pre_classifier"]
LOSS = losses.distillation(loss="forward_kl", temperature=2.0, soft_weight=0.5)
TRAINING = training_params(epochs=3, batch_size=16, learning_rate=5e-3)


def table(rows: int, seed: int) -> pl.DataFrame:
    """Return texts in which the word `login` means phishing."""
    draw = np.random.default_rng(seed)
    words = ["user", "page", "html", "verify", "net", "path"]
    texts = [
        "/".join(draw.choice(words, 4)) + ("/login" if row % 2 else "/account")
        for row in range(rows)
    ]
    return pl.DataFrame({"text": texts, "label": [row % 2 for row in range(rows)]})


TRAIN, VALIDATION = table(192, 0), table(96, 1)
TEACHER = np.where(TRAIN["label"].to_numpy()[:, None] == [0, 1], 3.0, -3.0).astype(np.float32)


@dataclass(frozen=True)
class Student:
    folders: Folders
    float_f1: float

    def packed_f1(self) -> float:
        return f1(self.folders.packed)


def f1(folder: Path) -> float:
    return validation_f1(logits(folder), VALIDATION["label"].to_numpy())


def logits(folder: Path) -> Tensor:
    """Return the validation logits of a folder as it is used."""
    model = load_for_inference(folder, Runtime(CPU, torch.bfloat16))
    return predict_logits(
        model, encode(load_tokenizer(folder), VALIDATION["text"].to_list()), device=CPU
    )


def quantized(student: Path, out: Path, scheme: str, packed: str = "none") -> Path:
    tokenizer = load_tokenizer(student)
    record = schemes.scheme(scheme, double_quantization=scheme != "int8")  # type: ignore[arg-type]
    probe, tables = (
        encode(tokenizer, VALIDATION["text"].to_list()[:8]),
        embeddings.SCHEMES.get(packed),
    )
    quantize.quantize(student, out, Recipe(record, KEEP, tables), probe=probe, device=CPU)
    return out


def damaged(shape: BuildParams, tokenizer: PreTrainedTokenizerBase, folder: Path) -> Student:
    """Return a trained student that 4 bits damage: large weights in every block of 64 leave no code
    for the others.
    """
    torch.manual_seed(0)
    model = building.build(shape.model_copy(update={"dropout": 0.0}), tokenizer)
    with torch.no_grad():
        for module in model.base_model.modules():
            if isinstance(module, torch.nn.Linear):
                module.weight[:, ::64] = 1.0
    params = training_params(epochs=4, batch_size=16, learning_rate=3e-3)
    fit_tables(
        model,
        tokenizer,
        Tables(TRAIN, VALIDATION),
        Objective(hard_loss),
        Schedule(params, 0),
        Job("test", FLOAT32, folder / "student.pt"),
    )
    save(model, tokenizer, folder / "student")
    quantized(folder / "student", folder / "packed", "fp4", "nf4")
    folders = Folders(folder / "packed", folder / "student", folder / "out")
    return Student(folders, f1(folder / "student"))


@pytest.fixture(scope="module")
def student(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerBase, shape: BuildParams
) -> Student:
    return damaged(shape, tokenizer, tmp_path_factory.mktemp("models"))


def recover(
    student: Student,
    out: Path,
    adapted: Adapters,
    *,
    teacher_logits: Any = TEACHER,
    loss: Loss = LOSS,
    training: TrainingParams = TRAINING,
    run: Runtime = FLOAT32,
) -> pl.DataFrame:
    torch.manual_seed(0)
    return recovery.recover_student(
        replace(student.folders, out=out),
        Tables(TRAIN, VALIDATION, teacher_logits),
        adapted,
        loss,
        Schedule(training, 0),
        Job("recovery", run, out.parent / "recovery.pt"),
    )


def recovery_facts(folder: Path) -> Any:
    return read_json(folder / MANIFEST)["recovery"]


def weights(folder: Path) -> dict[str, Tensor]:
    (file,) = folder.glob("*.safetensors")
    return load_file(file)


def packed_names(found: dict[str, Tensor]) -> set[str]:
    """Return the names of what 4-bit layers hold: codes and scales."""
    layers = {name.split(".quant_state.")[0] for name in found if ".quant_state." in name}
    return {
        name
        for name in found
        if any(name == layer or name.startswith(f"{layer}.") for layer in layers)
    }


# --- With an extra part of validation -------------------------------------------------------------


def recover_beside(student: Student, out: Path, extra: pl.DataFrame | None) -> pl.DataFrame:
    """Recover by accuracy on 64 rows of validation, and on an extra part."""
    torch.manual_seed(0)
    return recovery.recover_student(
        replace(student.folders, out=out),
        Tables(TRAIN, VALIDATION.head(64), TEACHER, extra),
        NONE,
        LOSS,
        Schedule(TRAINING, 0, Selection("accuracy")),
        Job("recovery", FLOAT32, out.parent / "recovery.pt"),
    )


def test_with_a_copy_of_validation_recovery_is_the_same(student: Student, tmp_path: Path) -> None:
    curve = recover_beside(student, tmp_path / "alone", None)
    more = recover_beside(student, tmp_path / "beside", VALIDATION.head(64))
    alone, beside = weights(tmp_path / "alone"), weights(tmp_path / "beside")
    assert all(torch.equal(beside[name], value) for name, value in alone.items())
    assert more.select(curve.columns).equals(curve)
    facts = recovery_facts(tmp_path / "beside")
    assert facts["kept"]
    assert recovery_facts(tmp_path / "alone").items() <= facts.items()
    assert facts["validation_extra_score_after"] > facts["validation_extra_score_before"]


def test_what_an_extra_part_loses_as_much_by_is_not_kept(
    student: Student, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the same rows with the other labels accuracy falls by what it rises on validation."""
    rows = VALIDATION.head(64)
    curve = recover_beside(student, tmp_path / "out", rows.with_columns(label=1 - pl.col("label")))
    facts = recovery_facts(tmp_path / "out")
    assert not facts["kept"]
    assert facts["validation_score_after"] >= facts["validation_score_before"]
    assert facts["validation_score_after"] + facts["validation_extra_score_after"] == 1
    assert (
        "mean accuracy of validation and its extra part 0.5000 before, 0.5000 after, not kept"
        in (capsys.readouterr().err)
    )
    assert curve["epoch"].to_list() == [0, 1, 2, 3]
    assert (curve["validation_score"] + curve["validation_extra_score"]).to_list() == [1.0] * 4


# --- What it does ---------------------------------------------------------------------------------


@pytest.mark.parametrize("adapted", [MERGED, SHIPPED, NONE], ids=["merged", "shipped", "rank 0"])
def test_a_damaged_student_recovers_and_is_saved_as_it_ran(
    student: Student, tmp_path: Path, adapted: Adapters
) -> None:
    before = student.packed_f1()
    assert before < student.float_f1 - 0.1, "4 bits have damaged it"
    out = tmp_path / "out"
    curve = recover(student, out, adapted)
    facts = recovery_facts(out)
    assert facts["kept"]
    assert facts["validation_f1_before"] == pytest.approx(before, abs=1e-6)
    assert facts["validation_f1_after"] == pytest.approx(f1(out), abs=1e-6), (
        "of the model as it was saved"
    )
    assert facts["validation_f1_after"] > before
    assert curve["epoch"].to_list() == [0, 1, 2, 3]
    assert curve["loss"].to_list()[0] is None
    assert curve["validation_f1"][0] == pytest.approx(before, abs=1e-4)
    assert curve["validation_f1"].max() == pytest.approx(f1(out), abs=1e-4)
    assert curve["loss"][3] < curve["loss"][1]
    check_manifest(out)
    assert torch.equal(logits(out), logits(out))


def test_distilbert_recovers_too(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, shape: BuildParams
) -> None:
    student = damaged(shape.model_copy(update={"architecture": "distilbert"}), tokenizer, tmp_path)
    recover(student, tmp_path / "out", SHIPPED)
    assert recovery_facts(tmp_path / "out")["kept"]
    assert f1(tmp_path / "out") > student.packed_f1()


@pytest.mark.parametrize("adapted", [MERGED, SHIPPED, NONE], ids=["merged", "shipped", "rank 0"])
def test_what_changes_and_what_stays(student: Student, tmp_path: Path, adapted: Adapters) -> None:
    out = tmp_path / "out"
    recover(student, out, adapted)
    old, new = weights(student.folders.packed), weights(out)
    inner = packed_names(old)
    beside = {name for name in new if name.startswith(ADAPTERS_KEY)}
    assert set(new) - beside == set(old)
    assert bool(beside) == adapted.shipped
    tables = {name for name in old if "embeddings." in name and "LayerNorm" not in name}
    for name, value in old.items():
        assert new[name].dtype == value.dtype, name
        if ".quant_state." not in name:  # numbers as text, of which some are longer
            assert new[name].shape == value.shape, name
        if name in tables or (name in inner and adapted is not MERGED):
            assert torch.equal(new[name], value), name
    floats = set(old) - tables - inner
    assert all(old[name].dtype == torch.bfloat16 for name in floats)
    moved = {name for name in floats if not torch.equal(new[name], old[name])}
    assert {"classifier.weight", "classifier.bias"} <= moved
    assert len(moved) > 0.8 * len(floats)
    codes = [name for name in inner if f"{name}.absmax" in old]
    assert any(not torch.equal(new[name], old[name]) for name in codes) == (adapted is MERGED)

    manifest, packed = (read_json(path / MANIFEST) for path in (out, student.folders.packed))
    size = {
        path: sum(each["bytes"] for each in found["files"].values())
        for path, found in ((1, manifest), (0, packed))
    }
    assert sum(manifest["bytes_by_part"].values()) == size[1]
    if adapted.shipped:
        linear = [new[name].shape for name in beside]
        extra = sum(rows * columns for rows, columns in linear)
        assert {each.dtype for each in map(new.__getitem__, beside)} == {torch.bfloat16}
        assert manifest["parameters"] == packed["parameters"] + extra
        assert manifest["bytes_by_part"]["body"] == packed["bytes_by_part"]["body"] + 2 * extra
        config = read_json(out / "config.json")[ADAPTERS_KEY]
        assert (config["rank"], config["scale"]) == (4, 2.0)
        assert len(config["layers"]) == len(beside) / 2 == len(codes)
    else:
        assert abs(size[1] - size[0]) <= (200 if adapted.rank else 0), "it costs no byte"
        assert manifest["parameters"] == packed["parameters"]


def test_adapters_beside_the_weights_are_loaded_by_our_loader_alone(
    student: Student, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    recover(student, out, SHIPPED)
    model = load_model(out)
    assert not hasattr(model.config, "transformers_weights")
    held = sum(each.nbytes for each in [*model.parameters(), *model.buffers()])
    for module in model.modules():
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        held += sum(each.nbytes for each in (state.as_dict(packed=True).values() if state else []))
    assert held <= 1.2 * (out / adapters.WEIGHTS).stat().st_size
    with pytest.raises(OSError, match=r"model\.safetensors"):
        AutoModelForSequenceClassification.from_pretrained(out)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rank": 5}, "its weights have other shapes than config.json says"),
        (
            {"layers": ["x"]},
            "config.json says that x has adapters, and the model has no such layer",
        ),
        ({"adds": "nothing"}, "which this Minnow cannot read"),
    ],
)
def test_adapters_from_elsewhere_are_refused(
    student: Student, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    out = tmp_path / "out"
    recover(
        student, out, SHIPPED, training=training_params(epochs=2, batch_size=16, learning_rate=5e-3)
    )
    config = read_json(out / "config.json")
    config[ADAPTERS_KEY] |= change
    write_json(out / "config.json", config)
    with pytest.raises(MinnowError, match=said):
        load_model(out)


def test_what_does_not_help_is_not_kept(
    student: Student, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trained to the opposite of every label."""
    out, wrong = (
        tmp_path / "out",
        losses.distillation(loss="forward_kl", temperature=2.0, soft_weight=1.0),
    )
    recover(student, out, NONE, teacher_logits=-TEACHER, loss=wrong)
    assert recovery_facts(out)["kept"] is False
    assert recovery_facts(out)["validation_f1_after"] <= recovery_facts(out)["validation_f1_before"]
    assert "not kept" in capsys.readouterr().err
    packed = student.folders.packed
    names = {file.name for file in packed.iterdir()}
    assert {file.name for file in out.iterdir()} == names
    for name in names - {MANIFEST}:
        assert (out / name).read_bytes() == (packed / name).read_bytes()
    check_manifest(out)


def test_an_equal_score_is_not_kept(
    student: Student, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Selection, "score", lambda *_: Score(0.5, 0.1, 0.5))
    recover(student, tmp_path / "out", NONE, training=training_params(epochs=1))
    assert recovery_facts(tmp_path / "out")["kept"] is False


def test_eight_bits_have_nothing_to_adapt_but_floats_to_train(
    student: Student, tmp_path: Path
) -> None:
    packed = quantized(student.folders.student, tmp_path / "int8", "int8")
    eight = Student(replace(student.folders, packed=packed), 0.0)
    with pytest.raises(
        MinnowError, match=r"recover\.lora has rank 4 and the student has no 4-bit layer"
    ):
        recover(eight, tmp_path / "out", MERGED)
    recover(eight, tmp_path / "out", NONE, training=training_params(epochs=1))
    assert "kept" in recovery_facts(tmp_path / "out")


# --- Within a budget ------------------------------------------------------------------------------


def within(student: Student, folder: Path, byte_count: int) -> Student:
    """Return a student that was quantized within so many bytes, by what its manifest says."""
    shutil.copytree(student.folders.packed, folder)
    manifest = read_json(folder / MANIFEST)
    write_json(folder / MANIFEST, {**manifest, "budget": {"bytes": byte_count}})
    return Student(replace(student.folders, packed=folder), student.float_f1)


def test_adapters_that_a_budget_has_no_room_for_are_refused(
    student: Student, tmp_path: Path
) -> None:
    full = within(student, tmp_path / "full", folder_bytes(student.folders.packed) + 2_000)
    with pytest.raises(
        MinnowError, match=r"quantize\.budget_mb, .*set recover\.adapters to merged"
    ):
        recover(full, tmp_path / "out", SHIPPED)


def test_a_recovered_student_above_the_budget_is_not_kept(student: Student, tmp_path: Path) -> None:
    """Config and header of adapters are counted at the end alone, as is what re-quantized scales
    take more.
    """
    size = folder_bytes(student.folders.packed)
    pairs = adapters.layer_adapters(
        rebuilding.trainable(rebuilding.load_packed(student.folders.packed, CPU), SHIPPED)
    )
    room = 2 * sum(pair.a.numel() + pair.b.numel() for pair in pairs.values())
    tight = within(student, tmp_path / "tight", size + room)
    recover(
        tight,
        tmp_path / "out",
        SHIPPED,
        training=training_params(epochs=1, batch_size=16, learning_rate=5e-3),
    )
    assert (
        recovery_facts(tmp_path / "out")["validation_f1_after"]
        > recovery_facts(tmp_path / "out")["validation_f1_before"]
    )
    assert not recovery_facts(tmp_path / "out")["kept"]
    assert folder_bytes(tmp_path / "out") == size
    check_manifest(tmp_path / "out")


def test_a_budget_that_left_nothing_in_four_bits_is_named(student: Student) -> None:
    with pytest.raises(
        MinnowError, match=r"give quantize\.budget_mb less, or set recover\.lora to null"
    ):
        rebuilding.trainable(load_model(student.folders.student), MERGED)


# --- Its parts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["nf4", "fp4", "int8"])
def test_the_float_copy_holds_the_numbers_that_are_computed_with(
    student: Student, tmp_path: Path, scheme: str
) -> None:
    folder = quantized(student.folders.student, tmp_path / "packed", scheme, "nf4")
    packed, original = (
        rebuilding.load_packed(folder, CPU),
        load_file(student.folders.student / "model.safetensors"),
    )
    copy = float_copy(packed).state_dict()
    assert {value.dtype for value in copy.values()} == {torch.float32}
    for name, layer in packed_layers(packed).items():
        weight = original[f"{name}.weight"].bfloat16()
        if scheme == "int8":
            step = weight.float().abs().amax(dim=1, keepdim=True) / 127
            assert ((copy[f"{name}.weight"] - weight.float()).abs() <= 0.51 * step).all()
        else:
            data, state = bitsandbytes.functional.quantize_4bit(
                weight, quant_type=scheme, compress_statistics=True
            )
            expected = bitsandbytes.functional.dequantize_4bit(data, state).float()
            assert torch.equal(copy[f"{name}.weight"], expected)
        assert layer.weight.dtype in (torch.uint8, torch.int8)
    words = next(name for name in copy if name.endswith("word_embeddings.weight"))
    rows = embeddings.quantize_rows(original[words], embeddings.Nf4())
    assert torch.equal(
        copy[words], embeddings.dequantize_rows(rows, 64, embeddings.Nf4()).bfloat16().float()
    )


def test_a_merged_product_by_hand() -> None:
    pair = adapters.Adapter(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0]]), 0.5)
    assert pair.product.tolist() == [[1.5, 3.0], [2.0, 4.0]]


def test_shipped_adapters_add_their_product(student: Student) -> None:
    """A layer's output moves by product · input."""
    torch.manual_seed(0)
    model = load_model(student.folders.student)
    name = next(
        each for each, m in model.base_model.named_modules() if isinstance(m, torch.nn.Linear)
    )
    name = f"{model.base_model_prefix}.{name}"
    layer, inputs = model.get_submodule(name), torch.randn(5, 64)
    plain = layer(inputs)
    pair = adapters.Adapter(torch.randn(3, 64), torch.randn(64, 3), 0.25)
    adapters.attach(model, {name: pair})
    moved = layer(inputs) - plain
    torch.testing.assert_close(moved, inputs @ pair.product.T, atol=0.2, rtol=0.05)


def test_fresh_adapters_change_nothing(student: Student) -> None:
    packed = rebuilding.load_packed(student.folders.packed, CPU)
    plain, adapted = float_copy(packed), rebuilding.trainable(packed, SHIPPED)
    batch = encode(load_tokenizer(student.folders.packed), VALIDATION["text"].to_list()[:6])
    assert torch.equal(*(predict_logits(each, batch, device=CPU) for each in (plain, adapted)))
    trained = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert not any("embeddings" in name and "LayerNorm" not in name for name in trained)
    assert not any(name.endswith("base_layer.weight") for name in trained)
    assert any(name.endswith("base_layer.bias") for name in trained)


def test_merging_nothing_gives_the_packed_weights(student: Student) -> None:
    found = rebuilding.learnt(
        rebuilding.trainable(rebuilding.load_packed(student.folders.packed, CPU), MERGED)
    )
    again = rebuilding.rebuilt(student.folders, found, shipped=False, device=CPU).state_dict()
    packed = weights(student.folders.packed)
    assert set(again) == set(packed)
    assert all(torch.equal(again[name], value) for name, value in packed.items())


# --- Killed and gone on with ----------------------------------------------------------------------


class KilledError(Exception):
    """Stands for the end of the process."""


def loss_killed_at(step: int) -> Loss:
    steps: Iterator[int] = iter(range(1000))

    def loss(logits: Tensor, targets: Targets) -> Tensor:
        if next(steps) == step:
            raise KilledError
        return LOSS(logits, targets)

    return loss


@pytest.mark.parametrize("runtime", [FLOAT32, BFLOAT16], ids=["float32", "bfloat16"])
def test_a_killed_recovery_goes_on_to_the_same_bytes(
    student: Student, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: Runtime
) -> None:
    short = training_params(epochs=2, batch_size=32, learning_rate=5e-3)
    whole = recover(student, tmp_path / "whole", MERGED, run=runtime, training=short)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KilledError):
        recover(
            student, tmp_path / "out", MERGED, run=runtime, training=short, loss=loss_killed_at(8)
        )
    assert recover(student, tmp_path / "out", MERGED, run=runtime, training=short).equals(whole)
    for file in (tmp_path / "whole").iterdir():
        assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes()


# --- The stage ------------------------------------------------------------------------------------


def test_the_stage_passes_the_packed_student_through(
    student: Student, tmp_path: Path, run: Callable[[Path, str], tuple[int, str]]
) -> None:
    """Byte for byte, whatever the modes of the files in DVC's cache; no model is loaded."""
    layout = Layout(new_project(tmp_path / "project"))
    shutil.copytree(student.folders.packed, layout.model("packed"))
    for file in layout.model("packed").iterdir():
        file.chmod(0o444)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recover_module, "recover", None)
        assert run(layout.root, "recover") == (0, "")
    for file in layout.model("packed").iterdir():
        copy = layout.model("quantized") / file.name
        assert copy.read_bytes() == file.read_bytes()
        assert copy.stat().st_mode & 0o200
    assert layout.plot("recovery_training").read_text() == "epoch,loss,validation_f1\n"
