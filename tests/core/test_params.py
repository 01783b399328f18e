"""params.yaml: every mistake gets one line with the full key and the nearest legal name."""

import copy
import shutil
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from pydantic import ValidationError

from helpers.paths import ROOT
from helpers.stage import TRAINING
from minnow.core import params
from minnow.core.params import Block, Names, RuntimeParams, StageParams
from minnow.data.params import DataParams
from minnow.errors import MinnowError
from minnow.evaluation.params import EvaluateParams
from minnow.models.params import BuildParams
from minnow.stages import validate
from minnow.stages.distill import Params
from minnow.student.params import StudentParams
from minnow.teacher.params import TeacherParams
from minnow.training.params import TrainingParams

DOCUMENT = params.read_params(ROOT / "params.yaml")
BLOCKS: dict[str, type[Block]] = {
    "data": DataParams,
    "runtime": RuntimeParams,
    "teacher": TeacherParams,
    "student": StudentParams,
}
BUILD = {
    "architecture": "bert",
    "layers": 1,
    "heads": 2,
    "hidden_size": 32,
    "intermediate_size": 64,
    "dropout": 0.0,
}
MISSING = object()


def complaint(key: str, value: Any) -> str:
    """What is said when `key` of the preset `embedded` has this value."""
    raw = copy.deepcopy(DOCUMENT["presets"]["embedded"])
    raw["teacher"]["build"] = dict(BUILD)
    *path, last = key.split(".")
    block = raw
    for part in path:
        block = block[part]
    if value is MISSING:
        del block[last]
    else:
        block[last] = value
    with pytest.raises(MinnowError) as caught:
        params.validated(BLOCKS[path[0]], raw[path[0]], f"presets.embedded.{path[0]}")
    text = str(caught.value)
    assert text.startswith("params.yaml: ")
    assert "\n" not in text
    assert "Value error" not in text
    return text.removeprefix("params.yaml: ")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("teacher.build.layers", "four", "is 'four': must be a valid integer"),
        ("teacher.build", 3, "is 3: must be a block with the keys architecture, layers, heads"),
        ("teacher.build.layer", 3, "is unknown; allowed: architecture, layers"),
        ("teacher.training.epochs", 2.5, "is 2.5: must be a valid integer"),
        ("teacher.training.epochs", True, "is true: must be a valid integer"),
        ("teacher.training.epochs", MISSING, "is missing"),
        ("teacher.training.epoch", 3, "did you mean 'epochs'?"),
        ("teacher.training.learning_rate", "1e-4", "it is text, take off the quotes"),
        ("teacher.training.learning_rate", ".5e3", "write for example 0.05 or 5e-2 without"),
        ("teacher.training.batch_size", "64", "it is text, take off the quotes"),
        ("teacher.training", None, "is null: must be a block with the keys epochs"),
        ("runtime.threads", 0, "is 0: must be greater than or equal to 1"),
        ("runtime.device", "gpu", "must be 'auto', 'cpu' or 'cuda'"),
        ("student.copy_layers", "0,1", "is '0,1': must be a valid list"),
        ("student.copy_layers.0", "a", "is 'a': must be a valid integer"),
        ("student.architecture", "distillbert", "did you mean 'distilbert'?"),
        ("student.narrowing", "projektion", "did you mean 'projection'?"),
        ("student.hidden_size", 8, "greater than or equal to 16"),
        ("data.positive_label", [1], "is [1]: must be text, a number, true or false"),
        ("data.positive_label", "x" * 300, "xx…: String should have at most 255 characters"),
        ("data.positive_label", "", "is '': String should have at least 1 character"),
        ("data.positive_label", float("inf"), "is inf: must be a finite number"),
        ("data.move_scheme", "yes", "valid boolean; it is text, write for example true or false"),
        ("data.test", float("nan"), "is nan: must be a finite number"),
    ],
)
def test_a_wrong_value_is_named_with_its_whole_key(key: str, value: Any, said: str) -> None:
    if key == "student.copy_layers.0":
        key, value, shown = "student.copy_layers", [value, 1], "student.copy_layers.0"
    else:
        shown = key
    text = complaint(key, value)
    assert text.startswith(f"presets.embedded.{shown} ")
    assert said in text
    assert text.count("presets.") == 1, "one complaint"


def test_unknown_keys_come_before_the_missing_ones_that_they_explain() -> None:
    with pytest.raises(MinnowError) as caught:
        params.validated(RuntimeParams, {"processor": "cpu"}, "runtime")
    said = str(caught.value).removeprefix("params.yaml: ").split("; ")
    assert said[0] == "runtime.processor is unknown"
    assert "runtime.device is missing" in said[1:]


@pytest.mark.parametrize(
    ("block", "key", "ends"),
    [
        (EvaluateParams, "unit", "must be 'domain' or 'row', or null"),
        (RuntimeParams, "device", "must be 'auto', 'cpu' or 'cuda'"),
    ],
)
def test_a_name_says_whether_null_is_allowed(block: type[Block], key: str, ends: str) -> None:
    with pytest.raises(MinnowError) as caught:
        params.validated(block, {key: "rows"}, "block")
    assert f"block.{key} is 'rows': {ends};" in str(caught.value) + ";"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (
            "teacher.build.heads",
            3,
            "presets.embedded.teacher.build: heads is 3, which does not divide hidden_size 32",
        ),
        ("teacher.base", "me/model", "presets.embedded.teacher: set either base"),
        (
            "teacher.method",
            "head",
            "presets.embedded.teacher: method 'head' needs a pretrained base",
        ),
        (
            "student.base",
            "me/model",
            "presets.embedded.student: base does not go with init 'teacher'",
        ),
        (
            "student.copy_layers",
            [0],
            "presets.embedded.student: copy_layers names 1 layers and layers is 2",
        ),
        ("student.layers", None, "presets.embedded.student: init 'teacher' needs layers"),
        (
            "student.hidden_size",
            64,
            "presets.embedded.student: hidden_size needs narrowing: importance or projection",
        ),
        (
            "student.intermediate_size",
            64,
            "presets.embedded.student: intermediate_size needs narrowing",
        ),
        (
            "student.narrowing",
            "importance",
            "presets.embedded.student: narrowing needs hidden_size or intermediate_size",
        ),
        (
            "student.narrowing",
            "projection",
            "presets.embedded.student: narrowing 'projection' needs hidden_size",
        ),
        (
            "student.vocabulary.method",
            "trim",
            "presets.embedded.student.vocabulary: method 'trim' needs min_count",
        ),
        (
            "student.vocabulary.method",
            "train",
            "presets.embedded.student.vocabulary: method 'train' needs size",
        ),
        (
            "student.vocabulary.size",
            4096,
            "presets.embedded.student.vocabulary: size does not go with method 'keep'",
        ),
        (
            "student.vocabulary.min_count",
            1,
            "presets.embedded.student.vocabulary: min_count does not go with method",
        ),
        (
            "student.vocabulary",
            None,
            "presets.embedded.student.vocabulary is null: must be a block with the keys method",
        ),
        (
            "student.vocabulary.method",
            "trimm",
            "presets.embedded.student.vocabulary.method is 'trimm'",
        ),
        (
            "student.vocabulary",
            {"method": "trim", "min_count": 0, "size": None},
            "presets.embedded.student.vocabulary.min_count is 0",
        ),
        (
            "student.vocabulary",
            {"method": "train", "min_count": None, "size": 256},
            "presets.embedded.student.vocabulary",
        ),
        (
            "student.vocabulary",
            {"method": "train", "min_count": 2, "size": 512},
            "presets.embedded.student.vocabulary: min_count does",
        ),
    ],
)
def test_rules_across_fields_name_their_block(key: str, value: Any, said: str) -> None:
    assert complaint(key, value).startswith(said)


def test_all_complaints_of_a_block_come_at_once() -> None:
    with pytest.raises(
        MinnowError, match=r"b\.speed is unknown.*; b\.epochs is 0: .*; b\.batch_size is missing"
    ):
        params.validated(
            TrainingParams,
            {
                **{name: value for name, value in TRAINING.items() if name != "batch_size"},
                **{"epochs": 0, "speed": 1},
            },
            "b",
        )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "is missing; bring it back with `git checkout -- params.yaml`"),
        ("a: [1", "params.yaml, line 1 is not valid YAML"),
        ("- 1", "must be a mapping of names to values, not list"),
        ("", "must be a mapping of names to values, not NoneType"),
        (
            "a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n",
            "params.yaml, line 5 is not valid YAML: c is written twice",
        ),
        (b"\xff\xfe\x00", "is not valid YAML: the file is not text in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(
    tmp_path: Path, text: str | bytes | None, said: str
) -> None:
    path = tmp_path / "params.yaml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(MinnowError) as caught:
        params.read_params(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_equal_keys_of_different_blocks_are_no_duplicates(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("a: &a {x: 1}\nb: {y: *a, x: 2}\n")
    assert params.read_params(tmp_path / "p") == {"a": {"x": 1}, "b": {"y": {"x": 1}, "x": 2}}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (
            {"preset": "hubb", "presets": {"hub": {}, "file": {}}},
            "preset is 'hubb'; allowed: hub, file; did you mean 'hub'",
        ),
        ({"preset": None, "presets": {"hub": {}}}, "preset is null; allowed: hub"),
        ({"preset": [], "presets": {"hub": {}}}, r"preset is \[\]; allowed: hub"),
        ({"preset": "hub", "presets": None}, "presets must be a mapping"),
        ({"preset": "hub"}, "presets is missing; did you mean 'preset'"),
    ],
)
def test_the_active_preset_must_be_one_of_presets(document: dict[str, Any], said: str) -> None:
    with pytest.raises(MinnowError, match=said):
        params.active_preset(document)


class Toy(Block):
    size: int


class ToyStage(StageParams):
    mine: Annotated[Toy, "presets.*.toy"]
    shared: Annotated[Toy, "toy"]


def test_a_stage_gets_the_blocks_of_the_active_preset(tmp_path: Path) -> None:
    document = {
        "preset": "b",
        "presets": {"a": {"toy": {"size": 1}}, "b": {"toy": {"size": 2}}},
        "toy": {"size": 3},
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document))
    loaded = ToyStage.load(tmp_path)
    assert (loaded.preset, loaded.mine.size, loaded.shared.size) == ("b", 2, 3)
    assert ToyStage.places() == {"mine": ("presets.*.toy", Toy), "shared": ("toy", Toy)}


Chosen = Names[Literal["one", "two"]]


def test_a_list_of_names_is_taken_as_it_is() -> None:
    assert params.validated(Chosen, ["two", "one"], "chosen").root == ["two", "one"]
    assert params.validated(Chosen, [], "chosen").root == []


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (["twwo"], "chosen.0 is 'twwo': must be 'one' or 'two'; did you mean 'two'"),
        (["one", "one"], "chosen: names one, one, one of them twice"),
        ("one", "chosen is 'one': must be a valid list"),
        (None, "chosen is null: must be a valid list"),
        ([1], "chosen.0 is 1: must be 'one' or 'two'"),
    ],
)
def test_a_list_of_names_is_refused_with_the_nearest(raw: Any, said: str) -> None:
    with pytest.raises(MinnowError, match=said):
        params.validated(Chosen, raw, "chosen")


def test_params_are_frozen() -> None:
    shape = BuildParams(**BUILD)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="frozen"):
        shape.layers = 3  # type: ignore[misc]


@pytest.mark.parametrize("preset", ["embedded", "hub", "file"])
def test_the_projects_own_presets_load(tmp_path: Path, preset: str) -> None:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({**DOCUMENT, "preset": preset}))
    assert Params.load(tmp_path).preset == preset


@pytest.mark.parametrize(
    ("key", "given", "value"),
    [
        ("presets.embedded.teacher.training.learning_rate", "2e-5", 2e-5),
        ("presets.embedded.teacher.training.learning_rate", "0.00001", 1e-5),
        ("presets.file.data.positive_label", '"yes"', "yes"),
        ("presets.file.data.positive_label", '"010"', "010"),
        ("presets.file.data.positive_label", '"1:30"', "1:30"),
        ("presets.file.teacher.revision", '"123456e1"', "123456e1"),
    ],
)
def test_what_an_experiment_sets_is_read_as_given(
    tmp_path: Path, key: str, given: str, value: object
) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    apply_overrides(tmp_path / "params.yaml", [f"{key}={given}"])
    assert params.pick(validate.checked(tmp_path), key) == value
