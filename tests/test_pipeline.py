"""The real thing: `dvc repro` on tiny models in temporary clones, changed, killed, broken and brought back."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import psutil
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    "OMP_WAIT_POLICY": "PASSIVE",
    "HF_HUB_OFFLINE": "1",
    "DVC_NO_ANALYTICS": "1",
    "GIT_AUTHOR_NAME": "test",
    "GIT_AUTHOR_EMAIL": "test@localhost",
    "GIT_COMMITTER_NAME": "test",
    "GIT_COMMITTER_EMAIL": "test@localhost",
}
MODELS = ("teacher", "student", "quantized")
JUDGED = ("baseline", *MODELS)
# What follows when a student changes.
AFTER_RECOVER = {"predict@quantized", "predict_extra@quantized", "evaluate", "report", "package", "compare"}
AFTER_QUANTIZE = AFTER_RECOVER | {"recover"}
BESIDE = {"teacher_eval", "teacher_states", "teacher_unlabelled", "baseline"}
AFTER_DISTILL = AFTER_QUANTIZE | {"sensitivity", "quantize", "predict@student", "predict_extra@student"}
NEW_URLS = [f"shop{number}.example-{number}.org/cart/{number}" for number in range(40)]
TRAINING = {"epochs": 2, "batch_size": 32, "learning_rate": 2.0e-3, "warmup": 0.1, "weight_decay": 0.01}
pytestmark = pytest.mark.pipeline


def run(folder: Path, *command: str, fails: bool = False) -> str:
    """Run a command and return what it printed; it must end as expected."""
    done = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=500
    )
    assert (done.returncode != 0) == fails, done.stdout[-4000:]
    return done.stdout


def edit(folder: Path, **changes: object) -> None:
    """Set params by dotted key, with `__` for the dots."""
    path = folder / "params.yaml"
    document = yaml.safe_load(path.read_text())
    for key, value in changes.items():
        *parents, last = key.split("__")
        block = document
        for parent in parents:
            block = block[parent]
        assert last in block, key
        block[last] = value
    path.write_text(yaml.safe_dump(document, sort_keys=False))


def stages_run(output: str) -> list[str]:
    return re.findall(r"Running stage '([^']+)'", output)


def metrics(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every small result."""
    files = sorted((folder / "metrics").rglob("*.*"))
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def checkout(folder: Path) -> Path:
    """Copy the working tree, as git would commit it, into a repository of its own, with the models made tiny."""
    listed = run(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and not name.startswith("metrics/") and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    shape = {"layers": 2, "heads": 2, "hidden_size": 64, "intermediate_size": 128, "dropout": 0.1}
    embedded = "presets__embedded__"
    swept: dict[str, object] = {
        "preset": "embedded",
        "distill__temperature": 2.0,
        "distill__soft_weight": 0.5,
        "distill__seed": 0,
        "distill__unlabelled": None,
        "distill__augmentation": {"copies": 0, "seed": 0},
        "quantize__scheme": "nf4",
        "quantize__double_quantization": True,
        "quantize__embeddings": "none",
        "quantize__budget_mb": None,
        "recover__epochs": 0,
        "evaluate__threshold__fpr": None,
        "evaluate__extra": {},
        "controls": [],
        "compare__model": "student",
    }
    edit(
        folder,
        **swept,
        **{
            f"{embedded}data__rows": 2000,
            f"{embedded}runtime__threads": 1,
            f"{embedded}teacher__build": {"architecture": "bert", **shape},
            f"{embedded}teacher__vocabulary": 400,
            f"{embedded}teacher__max_length": 48,
            f"{embedded}teacher__training": TRAINING,
            f"{embedded}student__layers": 1,
            f"{embedded}student__max_length": 48,
            f"{embedded}student__training": TRAINING,
        },
    )
    run(folder, "git", "init", "--quiet", "--initial-branch", "main")
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", "start")
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which `dvc repro` has run once and its results are committed. Tests copy it."""
    folder = checkout(tmp_path_factory.mktemp("built"))
    output = run(folder, "dvc", "repro")
    order = stages_run(output)
    chain = ["prepare", "teacher", "teacher_logits", "distill", "sensitivity", "quantize", "recover"]
    chain += ["predict@quantized", "evaluate", "report"]
    assert [stage for stage in order if stage in chain] == chain
    extra = {f"predict_extra@{model}" for model in JUDGED}
    assert set(order) == {*chain, *AFTER_DISTILL, *extra, *BESIDE}
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", "results")
    return folder


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Path:
    """A copy of the built repository, cache and all."""
    return Path(shutil.copytree(built, tmp_path / "project", symlinks=True))


def test_repro_is_complete_and_a_second_one_does_nothing(project: Path) -> None:
    baseline, *flat = [json.loads((project / "metrics" / f"{model}.json").read_text()) for model in JUDGED]
    wanted = {
        "accuracy",
        "precision",
        "recall",
        "f1",
        "roc_auc",
        "tpr_at_fpr_1pct",
        "ece",
        "validation_f1",
        "size_mb",
        "parameters",
        "compression_x",
    }
    assert [set(each) for each in (baseline, *flat)] == [wanted] * 4
    assert flat[0]["size_mb"] > flat[1]["size_mb"] > flat[2]["size_mb"]
    assert flat[1]["parameters"] == flat[2]["parameters"] < flat[0]["parameters"]
    assert flat[0]["compression_x"] == 1.0 < flat[1]["compression_x"] < flat[2]["compression_x"]
    assert all(each["accuracy"] > 0.6 for each in flat)
    assert stages_run(run(project, "dvc", "repro")) == []
    assert run(project, "git", "status", "--porcelain") == ""


def test_metrics_show_has_a_row_for_each_model(project: Path) -> None:
    table = run(project, "dvc", "metrics", "show", "--md")
    rows = [line for line in table.splitlines() if line.startswith("| metrics/")]
    names = ("teacher", "baseline", "student", "quantized", "candidate")
    assert [row.split("|")[1].strip() for row in rows] == [f"metrics/{name}.json" for name in names]
    # So few rows know nothing of one false alarm in a hundred, and DVC shows no column of nulls.
    assert table.splitlines()[0].count("|") == 12


def test_two_cold_runs_give_the_same_bytes(built: Path, tmp_path: Path) -> None:
    other = tmp_path / "another-folder-with-a-longer-name"
    run(tmp_path, "git", "clone", "--quiet", str(built), str(other))
    assert not (other / ".dvc" / "cache").exists()
    output = run(other, "dvc", "repro")
    assert {"prepare", "teacher", "distill"} <= set(stages_run(output))
    assert metrics(other) == metrics(built)
    assert run(other, "git", "status", "--porcelain") == ""


def test_a_fresh_clone_needs_to_run_nothing_to_be_up_to_date(built: Path, tmp_path: Path) -> None:
    run(tmp_path, "git", "clone", "--quiet", str(built), "clone")
    output = run(tmp_path / "clone", "dvc", "repro", "--allow-missing", "--dry")
    assert stages_run(output) == []


def test_a_new_temperature_never_runs_the_teacher(project: Path) -> None:
    before = metrics(project)
    output = run(project, "dvc", "exp", "run", "-S", "distill.temperature=4")
    assert set(stages_run(output)) == {"distill"} | AFTER_DISTILL
    after = metrics(project)
    assert after["metrics/teacher.json"] == before["metrics/teacher.json"]
    assert after["metrics/plots/student_training.csv"] != before["metrics/plots/student_training.csv"]


def test_more_text_runs_the_teacher_on_that_alone_and_once(project: Path) -> None:
    (project / "data/raw/embedded/more.csv").write_text("\n".join(["text", *NEW_URLS]) + "\n")
    more = ("-S", "distill.unlabelled=data/raw/embedded/more.csv", "-S", "distill.augmentation.copies=1")
    run(project, "dvc", "repro", "prepare")  # the folder changed, not what comes out of it
    output = run(project, "dvc", "exp", "run", *more, "distill")
    assert stages_run(output) == ["teacher_unlabelled", "distill"]
    report = json.loads((project / "data/unlabelled/report.json").read_text())
    assert report["file"]["kept"] == len(NEW_URLS)
    output = run(project, "dvc", "exp", "run", *more, "-S", "distill.temperature=4", "distill")
    assert stages_run(output) == ["distill"]
    output = run(project, "dvc", "exp", "run", *more, "-S", "distill.temperature=4")
    assert set(stages_run(output)) == AFTER_DISTILL | {f"predict_extra@{model}" for model in JUDGED}
    card = (project / "models/release/README.md").read_text().replace("\n", " ")
    assert f"{len(NEW_URLS)} of the file `more.csv`" in card


def test_no_teacher_and_pure_imitation_both_run(project: Path) -> None:
    curves = {(project / "metrics/plots/student_training.csv").read_bytes()}
    for weight in ("0.0", "1.0"):
        output = run(project, "dvc", "exp", "run", "-S", f"distill.soft_weight={weight}", "distill")
        assert stages_run(output) == ["distill"]
        curves.add((project / "metrics/plots/student_training.csv").read_bytes())
    assert len(curves) == 3


def test_without_the_committed_cache_what_was_trained_is_restored(built: Path, tmp_path: Path) -> None:
    """As with real data in a fresh clone: the lock of HEAD names objects that this cache never held."""
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "--quiet", str(built), str(clone))
    changed = ("dvc", "exp", "run", "-S", "presets.embedded.data.seed=5")
    assert {"teacher", "distill"} <= set(stages_run(run(clone, *changed)))
    before = metrics(clone)
    run(clone, "git", "checkout", "--quiet", "--force", ".")
    output = run(clone, *changed)
    assert not {"teacher", "teacher_logits", "distill", "quantize"} & set(stages_run(output))
    assert metrics(clone) == before


def test_stored_states_of_the_teacher_outlive_a_new_weight(project: Path) -> None:
    stored = ["-S", "distill.hidden_states=stored", "-S", "distill.stored_layers=[1]"]
    weights = [["-S", f"distill.relation_weight={weight}"] for weight in (1.0, 2.0)]
    output = run(project, "dvc", "exp", "run", *stored, *weights[0], "distill")
    assert stages_run(output) == ["teacher_states", "distill"]
    assert "the teacher's hidden states of" in output
    assert (project / "data/states/teacher/layer_01.npy").is_file()
    assert stages_run(run(project, "dvc", "exp", "run", *weights[1], "distill")) == ["distill"]


def test_an_edit_of_an_inactive_preset_runs_nothing(project: Path) -> None:
    edit(project, presets__hub__teacher__seed=7, presets__file__student__layers=2)
    assert stages_run(run(project, "dvc", "repro", "--dry")) == []


def test_quantization_alone_follows_its_params(project: Path) -> None:
    output = run(project, "dvc", "exp", "run", "-S", "quantize.scheme=int8", "-S", "quantize.double_quantization=false")
    assert set(stages_run(output)) == {"sensitivity", "quantize"} | AFTER_QUANTIZE
    config = json.loads((project / "models/quantized/config.json").read_text())
    assert config["quantization_config"]["load_in_8bit"] is True


def test_recovery_trains_what_was_quantized(project: Path) -> None:
    files = sorted(file.name for file in (project / "models/packed").iterdir())
    for name in files:
        assert (project / "models/quantized" / name).read_bytes() == (project / "models/packed" / name).read_bytes()
    output = run(project, "dvc", "exp", "run", "-S", "recover.epochs=1", "-S", "recover.learning_rate=0.002")
    assert set(stages_run(output)) - AFTER_RECOVER == {"recover"}
    told = json.loads((project / "models/quantized/manifest.json").read_text())["recovery"]
    assert told["kept"] == (told["validation_f1_after"] > told["validation_f1_before"])
    curve = (project / "metrics/plots/recovery_training.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in curve] == ["epoch", "0", "1"]


def test_a_budget_is_kept_without_measuring_anew(project: Path) -> None:
    size = json.loads((project / "metrics/quantized.json").read_text())["size_mb"]
    output = run(project, "dvc", "exp", "run", "-S", f"quantize.budget_mb={size + 0.02}")
    assert set(stages_run(output)) == {"quantize"} | AFTER_QUANTIZE
    assert size < json.loads((project / "metrics/quantized.json").read_text())["size_mb"] <= size + 0.02
    formats = json.loads((project / "models/quantized/manifest.json").read_text())["formats"]
    assert {"nf4", "bfloat16"} == {each for name, each in formats.items() if ".layer." in name}
    shipped = json.loads((project / "models/release/manifest.json").read_text())["formats"]
    assert shipped == formats
    assert "left more bits to" in (project / "models/release/README.md").read_text()


def test_an_evaluation_knob_trains_and_runs_no_model(project: Path) -> None:
    knobs = ["-S", "evaluate.margin=0.01", "-S", "evaluate.threshold.fpr=0.1"]
    output = run(project, "dvc", "exp", "run", *knobs)
    assert set(stages_run(output)) == {"teacher_eval", "evaluate", "report", "package", "compare"}
    decision = json.loads((project / "metrics/calibration.json").read_text())["models"]["quantized"]["decision"]
    assert decision["validation_fpr"] <= 0.1
    assert json.loads((project / "metrics/hops.json").read_text())["margin"] == 0.01


def test_a_further_test_set_runs_the_teacher_on_that_alone(project: Path) -> None:
    """Rows that stand in train are removed and counted, whatever their scheme."""
    seen = pl.read_parquet(project / "data/prepared/train.parquet").head(5)["text"].to_list()
    rows = [f"{text},{number % 2}" for number, text in enumerate([*(f"http://{url}" for url in seen), *NEW_URLS])]
    (project / "data/raw/embedded/new.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    output = run(project, "dvc", "exp", "run", "-S", "+evaluate.extra.new=data/raw/embedded/new.csv")
    again = {f"predict_extra@{model}" for model in JUDGED} | {"evaluate", "report", "package"}
    assert set(stages_run(output)) - {"prepare", "teacher_unlabelled", "compare"} == again
    found = json.loads((project / "metrics/extra.json").read_text())["new"]
    assert (found["rows"], found["removed_seen"]) == (len(NEW_URLS), 5)
    assert set(found["models"]) == set(JUDGED)


def test_a_control_is_made_on_demand_before_it_is_evaluated(project: Path) -> None:
    output = run(project, "dvc", "exp", "run", "-S", "controls=[no_teacher]")
    order = stages_run(output)
    assert order.index("control@no_teacher") < order.index("evaluate")
    assert not {"teacher", "teacher_logits", "distill"} & set(order)
    found = json.loads((project / "metrics/controls.json").read_text())["no_teacher"]
    assert [(hop["before"], hop["after"]) for hop in found["hops"]] == [("no_teacher", "student")]


def test_temporary_experiments_run_the_code_of_their_own_checkout(project: Path) -> None:
    """An editable install would import the workspace's code: here that is broken on purpose after the commit."""
    stage = project / "src" / "minnow" / "stages" / "compare.py"
    good = stage.read_text()
    stage.write_text(good.replace("store.write_json(", "print('own code'); store.write_json("))
    run(project, "git", "commit", "--all", "--quiet", "--message", "says so")
    output = run(project, "dvc", "exp", "run", "--temp", "-S", "compare.model=teacher")
    assert "own code" in output
    assert (project / "params.yaml").read_text().count("model: student") == 1


def test_compare_works_in_a_clone_without_cache_or_training(built: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "--quiet", str(built), str(clone))
    for _ in range(2):  # the second time finds the experiments there
        for model in MODELS:
            output = run(
                clone, "dvc", "exp", "run", "--temp", "-f", "-s", "-n", model, "-S", f"compare.model={model}", "compare"
            )
            assert stages_run(output) == ["compare"]
    table = run(clone, "dvc", "metrics", "diff", "teacher", "student", "--md", "--no-path")
    teacher, student = (json.loads((clone / "metrics" / f"{name}.json").read_text()) for name in ("teacher", "student"))
    row = next(line for line in table.splitlines() if "size_mb" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:3] == ["size_mb", str(teacher["size_mb"]), str(student["size_mb"])]
    assert run(clone, "git", "status", "--porcelain") == ""


def test_a_refused_param_loses_nothing(project: Path) -> None:
    """DVC deletes outs before it runs a stage: with the params restored, everything comes back from the cache."""
    before = metrics(project)
    edit(project, distill__temperature=-1.0)
    output = run(project, "dvc", "repro", fails=True)
    line = next(line for line in output.splitlines() if line.startswith("minnow distill:"))
    assert "distill.temperature is -1.0" in line
    assert "Traceback" not in output
    run(project, "git", "checkout", "--", "params.yaml")
    output = run(project, "dvc", "repro")
    assert stages_run(output) == []
    assert metrics(project) == before
    assert run(project, "git", "status", "--porcelain") == ""
    assert (project / "models" / "student" / "model.safetensors").is_file()


def stage_processes(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if "src/stage.py" in process.cmdline() and process.cwd() == str(folder):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def wait_for(condition: object, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]
            return
        time.sleep(0.02)
    raise AssertionError("it did not come")


def test_a_killed_run_leaves_no_orphan_and_goes_on_to_the_same_bytes(project: Path) -> None:
    """`kill -9` of dvc in the middle of a training; the next run takes up its checkpoint."""
    training = project / "src" / "minnow" / "training.py"
    text = training.read_text()
    assert "CHECKPOINT_SECONDS = 60.0" in text
    training.write_text(text.replace("CHECKPOINT_SECONDS = 60.0", "CHECKPOINT_SECONDS = 0.0"))
    run(project, "dvc", "repro")
    wanted = metrics(project)
    edit(project, distill__seed=1)
    run(project, "dvc", "repro")
    wanted = metrics(project)
    shutil.rmtree(project / ".dvc" / "cache" / "runs")
    run(project, "git", "checkout", "--", "dvc.lock", "metrics")
    shutil.rmtree(project / "models" / "student")

    dvc = subprocess.Popen(
        ["dvc", "repro", "distill"], cwd=project, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    checkpoints = project / ".minnow" / "checkpoints"
    wait_for(lambda: list(checkpoints.glob("student-*.pt")))
    dvc.send_signal(signal.SIGKILL)
    dvc.wait()
    wait_for(lambda: not stage_processes(project), 20)
    assert list(checkpoints.glob("student-*.pt"))
    assert not (project / "models" / "student").exists()

    output = run(project, "dvc", "repro")
    assert "distill" in stages_run(output)
    assert "resum" in output.lower()
    assert metrics(project) == wanted
    assert not list(checkpoints.glob("*.pt"))
