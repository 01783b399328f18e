"""The real thing: `dvc repro` on tiny models in temporary clones, copied, killed, refused and
brought back.
"""

import json
import shutil
import signal
import subprocess
import time
from dataclasses import MISSING, fields
from pathlib import Path

import psutil
import pytest

from helpers.pipeline import ENVIRONMENT, JUDGED, MODELS, edit, metrics, run, stages_run
from minnow.evaluation.records import Headline

pytestmark = pytest.mark.pipeline


def test_repro_is_complete_and_a_second_one_does_nothing(project: Path) -> None:
    baseline, *flat = [
        json.loads((project / "metrics" / f"{model}.json").read_text()) for model in JUDGED
    ]
    wanted = {metric.name for metric in fields(Headline) if metric.default is MISSING}
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
    names = ("teacher", "baseline", "student", "quantized", "exported", "candidate")
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


def test_without_the_committed_cache_what_was_trained_is_restored(
    built: Path, tmp_path: Path
) -> None:
    """As with real data in a fresh clone: the lock of HEAD names objects that this cache never
    held.
    """
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "--quiet", str(built), str(clone))
    changed = ("dvc", "exp", "run", "-S", "presets.embedded.data.seed=5")
    assert {"teacher", "distill"} <= set(stages_run(run(clone, *changed)))
    before = metrics(clone)
    run(clone, "git", "checkout", "--quiet", "--force", ".")
    output = run(clone, *changed)
    assert not {"teacher", "teacher_logits", "distill", "quantize"} & set(stages_run(output))
    assert metrics(clone) == before


def test_temporary_experiments_run_the_code_of_their_own_checkout(project: Path) -> None:
    """An editable install would import the workspace's code: here that is broken on purpose after
    the commit.
    """
    stage = project / "src" / "minnow" / "stages" / "compare.py"
    good = stage.read_text()
    stage.write_text(good.replace("    write_json(", "    print('own code')\n    write_json("))
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
                clone,
                "dvc",
                "exp",
                "run",
                "--temp",
                "-f",
                "-s",
                "-n",
                model,
                "-S",
                f"compare.model={model}",
                "compare",
            )
            assert stages_run(output) == ["compare"]
    table = run(clone, "dvc", "metrics", "diff", "teacher", "student", "--md", "--no-path")
    teacher, student = (
        json.loads((clone / "metrics" / f"{name}.json").read_text())
        for name in ("teacher", "student")
    )
    row = next(line for line in table.splitlines() if "size_mb" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:3] == ["size_mb", str(teacher["size_mb"]), str(student["size_mb"])]
    assert run(clone, "git", "status", "--porcelain") == ""


def test_a_refused_param_loses_nothing(project: Path) -> None:
    """The first stage refuses it, before DVC deletes any outs; where a stage is run by itself, DVC
    does so first: with the params restored, everything comes back from the cache.
    """
    before = metrics(project)
    for name, command in (("validate", ["repro"]), ("distill", ["repro", "-s", "distill"])):
        edit(project, distill__temperature=-1.0)
        output = run(project, "dvc", *command, fails=True)
        line = next(line for line in output.splitlines() if line.startswith(f"minnow {name}:"))
        assert "distill.temperature is -1.0" in line
        assert "Traceback" not in output
        assert metrics(project) == before or name == "distill"
        assert (project / "models" / "student").is_dir() == (name == "validate")
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
    training = project / "src" / "minnow" / "training" / "loop.py"
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
        ["dvc", "repro", "distill"],
        cwd=project,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
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
