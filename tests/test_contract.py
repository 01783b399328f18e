"""dvc.yaml, params.yaml, the code and its imports, held against each other."""

import ast
import importlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.paths import ROOT, SRC
from minnow.core.params import at, validated
from minnow.evaluation.params import CONTROL_NAMES
from minnow.layout import EVERY_MODEL, JUDGED, MODELS, SPLITS, Layout

PIPELINE: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())
# A stage that is made once per name of a list stands under `do`.
STAGES: dict[str, Any] = {
    name: entry.get("do", entry) for name, entry in PIPELINE["stages"].items()
}
# What a stage reads below src/ besides modules lies in the folder of the module that reads it.
PRESET = "${preset}"
LAYOUT = Layout(Path())
PACKAGE = SRC / "minnow"
# Folders follow the pipeline: each imports from those before it, and from the modules at the top.
STEPS = (
    *("core", "text", "data", "models", "training", "teacher", "student", "distill"),
    *(
        "quantization",
        "controls",
        "evaluation",
        "report",
        "serve",
        "export",
        "release",
        "experiments",
    ),
    *("stages", "tools"),
)
# No number depends on them: a new path or another message runs no stage again.
HALL = ("endings", "errors", "layout", "progress", "recorded", "remedies")
TOP = {f"minnow.{name}" for name in HALL}


def module_file(module: str) -> Path | None:
    """Return the file of one of our modules, None for a package or somebody else's."""
    file = SRC / (module.replace(".", "/") + ".py")
    return file if file.is_file() else None


def our_imports(file: Path) -> set[str]:
    """Return our modules that a file imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.startswith("minnow.") and module_file(name)}


def closure(module: str) -> set[str]:
    """Return the module and all of ours that it imports, directly or not."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            file = module_file(name)
            assert file is not None
            waiting.extend(our_imports(file))
    return seen


def params_of(stage: str) -> Any:
    return importlib.import_module(f"minnow.stages.{stage}").Params


def names(entries: list[Any]) -> set[str]:
    """Return the paths of dvc.yaml's list, whose entries are names or one-key mappings."""
    return {entry if isinstance(entry, str) else next(iter(entry)) for entry in entries}


def outputs(entry: dict[str, Any]) -> list[Any]:
    """Return a stage's outs, metrics and plots."""
    return [out for kind in ("outs", "metrics", "plots") for out in entry.get(kind, [])]


def test_every_stage_has_a_module_and_every_module_a_stage() -> None:
    modules = {file.stem for file in (SRC / "minnow" / "stages").glob("[!_]*.py")}
    assert set(STAGES) == modules


def test_the_mission_names_these_stages() -> None:
    assert {"prepare", "teacher_eval", "distill", "quantize", "evaluate"} <= set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_stage_is_described_and_called_by_name(stage: str) -> None:
    entry = STAGES[stage]
    assert len(entry["desc"]) > 20
    # `exec`, so that dvc's child is python itself and dies with it
    assert re.fullmatch(
        rf"exec python src/stage\.py {stage}( \$\{{item(\.model)?\}})?", entry["cmd"]
    )


def code_of(stage: str) -> list[Path]:
    """Return the files and folders of code that a stage names in dvc.yaml."""
    return [ROOT / name for name in names(STAGES[stage]["deps"]) if name.startswith("src/")]


@pytest.mark.parametrize("stage", STAGES)
def test_every_import_of_a_stage_lies_under_its_deps_and_each_dep_is_needed(stage: str) -> None:
    modules = {module_file(name) for name in closure(f"minnow.stages.{stage}") - TOP}
    if stage == "validate":  # of all stages, which it imports by their names, it reads the Params
        modules = {*PACKAGE.glob("stages/[!_]*.py"), *PACKAGE.glob("*/params.py")}
    code = code_of(stage)
    covered = {file for file in modules for dep in code if file.is_relative_to(dep)}
    assert {str(file) for file in modules - covered} == set()
    assert [dep for dep in code if not any(file.is_relative_to(dep) for file in modules)] == []


@pytest.mark.parametrize("stage", ["teacher", "distill", "recover", "control"])
def test_a_checkpoint_depends_on_the_code_that_dvc_watches(stage: str) -> None:
    """Else a killed training would go on with code that is no longer there, or begin anew for
    nothing.
    """
    module = "minnow.controls.scratch" if stage == "control" else f"minnow.stages.{stage}"
    code = [PACKAGE / name for name in importlib.import_module(module).CODE]
    assert sorted(code) == sorted(code_of(stage))


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_the_blocks_that_the_stage_reads(stage: str) -> None:
    """Blocks are listed whole; of one that is read in part, the fields that are read."""
    wanted = {"preset"}
    for place, block in params_of(stage).places().values():
        key = at(place, PRESET)
        in_part = block.model_config.get("extra") == "ignore"
        wanted |= {f"{key}.{field}" for field in block.model_fields} if in_part else {key}
    assert names(STAGES[stage]["params"]) == wanted


def artefacts() -> dict[str, set[str]]:
    """Return what each stage writes according to Layout."""
    paths: dict[str, set[Path]] = {
        "validate": {LAYOUT.asked(name) for name in ("preset", *CONTROL_NAMES)},
        "prepare": {LAYOUT.prepared, LAYOUT.metrics("prepare")},
        "teacher": {LAYOUT.model("teacher"), LAYOUT.plot("teacher_training")},
        "teacher_logits": {LAYOUT.logits_of("teacher", split) for split in SPLITS},
        "teacher_unlabelled": {LAYOUT.unlabelled},
        "teacher_eval": {LAYOUT.metrics("teacher")},
        "teacher_states": {LAYOUT.teacher_states},
        "distill": {LAYOUT.model("student"), LAYOUT.plot("student_training")},
        "sensitivity": {LAYOUT.metrics("sensitivity"), LAYOUT.plot("sensitivity")},
        "quantize": {LAYOUT.model("packed")},
        "recover": {LAYOUT.model("quantized"), LAYOUT.plot("recovery_training")},
        "predict": {LAYOUT.logits("${item.model}")},
        "export": {LAYOUT.model("exported"), LAYOUT.metrics("export")},
        "predict_exported": {LAYOUT.logits("exported"), LAYOUT.extra("exported")},
        "baseline": {LAYOUT.model("baseline"), LAYOUT.logits("baseline")},
        "predict_extra": {LAYOUT.extra("${item.model}")},
        "control": {LAYOUT.control("${item}")},
        "evaluate": (
            {
                *(LAYOUT.metrics(name) for name in EVERY_MODEL if name != "teacher"),
                *(LAYOUT.evidence_folder, LAYOUT.evaluation_plots),
            }
        ),
        "report": {LAYOUT.report("report")},
        "package": {LAYOUT.release},
        "compare": {LAYOUT.metrics("candidate")},
    }
    return {stage: {path.as_posix() for path in wanted} for stage, wanted in paths.items()}


@pytest.mark.parametrize("stage", STAGES)
def test_outs_come_from_layout(stage: str) -> None:
    entry = STAGES[stage]
    assert names(outputs(entry)) == artefacts()[stage]


def test_metrics_are_the_flat_files_and_all_small_results_are_in_git() -> None:
    metrics = {name for entry in STAGES.values() for name in names(entry.get("metrics", []))}
    assert metrics == {f"metrics/{name}.json" for name in (*EVERY_MODEL, "candidate")}
    for entry in STAGES.values():
        for out in outputs(entry):
            name = out if isinstance(out, str) else next(iter(out))
            assert name.startswith(("metrics/", "reports/")) == (
                isinstance(out, dict) and out[name]["cache"] is False
            ), name


@pytest.mark.parametrize(
    "stage",
    [
        *(
            "teacher",
            "teacher_logits",
            "teacher_states",
            "teacher_unlabelled",
            "distill",
            "quantize",
            "recover",
        ),
        *("predict", "predict_extra", "control"),
    ],
)
def test_heavy_stages_can_be_restored_from_the_run_cache(stage: str) -> None:
    """DVC saves no run with an uncached out that is neither metric nor plot (dvc/stage,
    `no_cache_outs`).
    """
    assert all(isinstance(out, str) for out in STAGES[stage]["outs"])


def test_no_free_text_of_params_reaches_a_command_or_an_output() -> None:
    """It would reach a shell, or a folder that DVC removes. `item` is out of a list that is written
    out here; the preset's name stands in paths that DVC reads, behind the stage that refuses it.
    """
    for name, entry in PIPELINE["stages"].items():
        assert not isinstance(entry.get("foreach", []), str), name
        assert all(isinstance(each, list) for each in entry.get("matrix", {}).values()), name
        stage = entry.get("do", entry)
        acted_on = json.dumps([stage["cmd"], outputs(stage), stage.get("wdir")])
        assert set(re.findall(r"\$\{(.*?)\}", acted_on)) <= {"item", "item.model"}, name
        deps = json.dumps(stage["deps"])
        assert set(re.findall(r"\$\{(.*?)\}", deps)) <= {"item", "item.model", "preset"}, name
    assert "vars" not in PIPELINE


def test_every_stage_comes_after_the_one_that_validates() -> None:
    """Through outs that others depend on, so that DVC refuses before it reads or removes."""
    made = {out: stage for stage in STAGES for out in names(outputs(STAGES[stage]))}

    def before(stage: str) -> set[str]:
        deps = names(STAGES[stage]["deps"])
        makers = {
            maker
            for out, maker in made.items()
            for dep in deps
            if dep == out or out.startswith(f"{dep}/") or dep.startswith(f"{out}/")
        }
        return makers.union(*(before(maker) for maker in makers))

    for stage in set(STAGES) - {"validate"}:
        assert "validate" in before(stage), stage


def test_only_reporting_stages_see_the_test_split() -> None:
    for stage in ("teacher", "distill", "sensitivity", "quantize", "recover"):
        assert not {"data/prepared", "data/prepared/test.parquet"} & names(STAGES[stage]["deps"]), (
            stage
        )


def test_the_teacher_runs_once() -> None:
    """Nothing that is swept reaches a stage that runs the teacher, and no later stage lists its
    weights to run them.
    """
    runners = {"teacher_logits", "teacher_states", "teacher_unlabelled"}
    for stage in ("prepare", "teacher", "baseline", "predict_extra", *runners):
        swept = {"distill", "quantize", "recover", "evaluate", "presets.${preset}.student"}
        assert not swept & names(STAGES[stage]["params"]), stage
    for stage in runners:
        models = {name for name in names(STAGES[stage]["deps"]) if name.startswith("models/")}
        assert models == {"models/teacher"}, stage
    runs_it = {
        stage for stage in STAGES if "minnow.models.inference" in closure(f"minnow.stages.{stage}")
    }
    with_teacher = {stage for stage in runs_it if "models/teacher" in names(STAGES[stage]["deps"])}
    # distill copies its layers, and so do controls, one of which has a teacher of their own
    assert with_teacher == {*runners, "distill", "control"}


def test_predict_covers_every_model_but_the_teacher() -> None:
    from minnow.stages.predict import PREDICTED

    assert set(STAGES["predict"]["matrix"]["model"]) == set(PREDICTED) == set(MODELS) - {"teacher"}
    assert set(STAGES["predict_extra"]["matrix"]["model"]) == set(JUDGED)


def test_controls_are_off_by_default_and_each_can_be_switched_on() -> None:
    from minnow.controls.definitions import CONTROLS
    from minnow.stages.control import STEPS

    assert PIPELINE["stages"]["control"]["foreach"] == list(CONTROL_NAMES)
    assert yaml.safe_load((ROOT / "params.yaml").read_text())["controls"] == []
    assert set(CONTROLS) == set(STEPS) == set(CONTROL_NAMES)
    folders = {name for name in names(STAGES["evaluate"]["deps"]) if name.startswith("data/c")}
    assert folders == {LAYOUT.control(name).as_posix() for name in CONTROLS}
    for name in CONTROLS:
        validated(params_of("evaluate").places()["controls"][1], [name], "controls")


def test_plots_show_files_that_a_stage_writes() -> None:
    written = {name for paths in artefacts().values() for name in paths}
    shown: set[str] = set()
    for plot in PIPELINE["plots"]:
        for definition in plot.values():
            shown |= set(definition["y"])
    shown |= {name for entry in STAGES.values() for name in names(entry.get("plots", []))}
    folder = LAYOUT.evaluation_plots.as_posix()
    outs = {folder if name.startswith(f"{folder}/") else name for name in shown}
    assert outs == {name for name in written if name.startswith("metrics/plots/")}


@pytest.mark.parametrize("preset", ["embedded", "hub", "file"])
@pytest.mark.parametrize("stage", STAGES)
def test_every_preset_is_valid_for_every_stage(stage: str, preset: str, tmp_path: Path) -> None:
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({**document, "preset": preset}))
    assert params_of(stage).load(tmp_path).preset == preset


def keys(tree: Any, prefix: str = "") -> Iterator[str]:
    for name, value in tree.items():
        yield f"{prefix}{name}"
        if isinstance(value, dict):
            yield from keys(value, f"{prefix}{name}.")


def test_presets_hold_the_same_keys() -> None:
    """`dvc exp run -S` can only change a key that is there; the shape under `build` is there where
    it is used.
    """
    presets = yaml.safe_load((ROOT / "params.yaml").read_text())["presets"]
    shapes = {
        name: {key for key in keys(preset) if ".build." not in key}
        for name, preset in presets.items()
    }
    assert shapes["embedded"] == shapes["hub"] == shapes["file"]
    for name in presets:
        assert (ROOT / LAYOUT.raw(name) / ".gitkeep").is_file()
        assert (ROOT / LAYOUT.base(name) / ".gitkeep").is_file()


def modules() -> list[str]:
    """Return all of our modules by name; a package is its `__init__`."""
    files = sorted(PACKAGE.rglob("*.py"))
    return [".".join(file.relative_to(SRC).with_suffix("").parts) for file in files]


@pytest.mark.parametrize("module", modules())
def test_a_folder_imports_from_folders_of_earlier_steps_only(module: str) -> None:
    file = SRC / (module.replace(".", "/") + ".py")
    own, *_ = folder = module.split(".")[1:-1] or [""]
    imported = {name.split(".")[1] for name in our_imports(file) - TOP}
    if not own:
        assert module == "minnow.__init__" or not imported, "the top imports none of the folders"
    else:
        assert imported <= {*STEPS[: STEPS.index(own)], own}, folder


@pytest.mark.parametrize("module", modules())
def test_there_is_no_circle_of_imports(module: str) -> None:
    file = module_file(module)
    assert file is not None
    assert all(module not in closure(name) for name in our_imports(file) - {module})


def test_no_stage_imports_another_but_control() -> None:
    for file in (PACKAGE / "stages").glob("[!_]*.py"):
        others = {name for name in our_imports(file) if name.startswith("minnow.stages.")}
        assert not others or file.stem == "control", file


def test_a_folders_init_holds_a_docstring_and_nothing_else() -> None:
    for file in PACKAGE.glob("*/__init__.py"):
        body = ast.parse(file.read_text()).body
        exempt = file.parent.name == "tools"
        assert exempt or [type(node) for node in body] == [ast.Expr], file


def test_modules_and_lines_stay_short() -> None:
    for file in PACKAGE.rglob("*.py"):
        assert len(file.read_text().splitlines()) <= 350, file
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) <= 360


def test_stages_start_without_heavy_imports() -> None:
    """`make check`, and a stage that refuses its params, must not wait for torch."""
    heavy = {"torch", "transformers", "sklearn", "bitsandbytes", "datasets", "tokenizers", "pandas"}
    light = [*PACKAGE.glob("*.py"), *PACKAGE.glob("*/params.py"), PACKAGE / "core" / "files.py"]
    for file in [*(SRC / "minnow" / "stages").glob("*.py"), *light]:
        for node in ast.parse(file.read_text()).body:
            found = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in found} & heavy, file


def test_splits_and_models_are_spelled_once() -> None:
    """Paths are Layout's alone: no stage holds a path literal."""
    assert SPLITS == ("train", "validation", "test")
    for file in (SRC / "minnow" / "stages").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and "\n" not in node.value
            ):
                assert not re.search(r"\.(parquet|json|csv|yaml)$", node.value), (
                    file.name,
                    node.value,
                )


def test_constraints_pin_every_direct_dependency() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert project["dependencies"] == []
    assert set(extras["serve"]) == {"numpy", "onnxruntime", "tokenizers"}
    wanted = [requirement for extra in extras.values() for requirement in extra]
    pinned = {
        line.split("==")[0].lower()
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    for requirement in wanted:
        match = re.match(r"[A-Za-z0-9_.-]+", requirement)
        assert match is not None
        assert match[0].lower() in pinned, requirement


def committed(path: Path) -> dict[str, float]:
    command = ["git", "show", f"HEAD:{path.as_posix()}"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if shown.returncode:
        pytest.skip(f"{path} is not committed here")
    content: dict[str, float] = json.loads(shown.stdout)
    return content


def test_the_diff_in_the_documents_is_that_of_the_committed_metrics() -> None:
    """As committed: the workspace's may come from another CPU or another preset."""
    table = (ROOT / "docs" / "tuning.md").read_text().split("| Metric ", 1)[1].split("\n\n")[0]
    teacher, student = (committed(LAYOUT.metrics(name)) for name in ("teacher", "student"))
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]
    ]
    assert {row[0]: (float(row[1]), float(row[2])) for row in rows} == {
        name: (teacher[name], student[name]) for name in teacher if teacher[name] != student[name]
    }
