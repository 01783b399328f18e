"""A study: which runs it plans, what it refuses, and that a second call runs only what is missing,
asked of DVC itself with a pipeline that trains nothing.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from helpers.paths import ROOT
from helpers.pipeline import ENVIRONMENT, edit
from minnow.core.files import read_json
from minnow.errors import MinnowError
from minnow.experiments.kept_margins import RunSeeds, read_kept
from minnow.layout import JUDGED, Layout
from minnow.tools import dvc, study

# Writes what a run leaves, by the seeds in params.yaml, and a line a run.
FAKE = f"""
import shutil, sys, tempfile
sys.path[:0] = [{str(ROOT / "src")!r}, {str(ROOT / "tests")!r}]
from pathlib import Path
import yaml
from helpers.study import write_run
from minnow.experiments.kept_margins import RunSeeds
document = yaml.safe_load(Path("params.yaml").read_text())
block = document["presets"]["embedded"]
seeds = RunSeeds(block["data"]["seed"], block["teacher"]["seed"], document["distill"]["seed"])
if seeds.student == 13:
    sys.exit("thirteen")
root = Path() if sys.argv[1] == "evaluate" else Path(tempfile.mkdtemp())
write_run(root, seeds)
if sys.argv[1] == "evaluate":
    Path("metrics/teacher.json").unlink()
else:
    Path("metrics").mkdir(exist_ok=True)
    shutil.copy(root / "metrics" / "teacher.json", "metrics")
"""


def stages() -> dict[str, Any]:
    """Return both stages that a study asks for; as in dvc.yaml, neither comes after the other."""
    models = [f"metrics/{model}.json" for model in JUDGED if model != "teacher"]
    outs = {
        "evaluate": ["data", *({file: {"cache": False}} for file in [*models, "metrics/evidence"])],
        "teacher_eval": [{"metrics/teacher.json": {"cache": False}}],
    }
    deps = ["fake.py", "params.yaml"]
    return {
        name: {"cmd": f"python fake.py {name}", "deps": deps, "outs": files}
        for name, files in outs.items()
    }


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose stages make margins up."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "fake.py").write_text(FAKE)
    (tmp_path / ".gitignore").write_text("/data\n")
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": stages()}))
    for words in (
        ["git", "init", "-q"],
        [dvc(), "init", "-q"],
        ["git", "add", "--all"],
        ["git", "commit", "-q", "-m", "start"],
    ):
        subprocess.run(words, cwd=tmp_path, check=True)
    return tmp_path


def runs_of(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("run ")]


@pytest.mark.pipeline
def test_a_second_call_runs_what_is_missing_alone(repository: Path, capsys: Any) -> None:
    study.main(repository, "mine", teachers="1", students="2")
    first = capsys.readouterr().out
    assert len(runs_of(first)) == 2
    assert "no claim: one teacher" in first
    study.main(repository, "mine", teachers="2", students="2")
    second = capsys.readouterr().out
    assert runs_of(second) == [
        "run 3 of 4, default: split seed 0, teacher seed 1, student seed 100",
        "run 4 of 4, default: split seed 0, teacher seed 1, student seed 101",
    ]
    assert "no claim: one teacher" not in second
    layout = Layout(repository)
    kept = read_kept(layout.kept_margins("mine"))
    assert [run.seeds for run in kept.runs] == study.planned(1, 2, 2)
    assert len(read_json(layout.results / "mine_study.json")["kept_changes"]) == 4 * 5
    # Margins lost before they were committed come back from the experiments, without a run.
    layout.kept_margins("mine").unlink()
    again = study.run_experiment(repository, "mine-default-d0-t0-s0", RunSeeds(0, 0, 0))
    assert study.fetch(repository, again, repository / "fetched").split("test").is_file()
    shutil.rmtree(repository / ".dvc" / "cache" / "files")
    with pytest.raises(MinnowError, match=rf"{again} has no data/\S+ in DVC's cache; `dvc exp rem"):
        study.fetch(repository, again, repository / "again")


@pytest.mark.pipeline
def test_a_run_that_fails_ends_the_study_and_keeps_the_others(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = [RunSeeds(0, 0, 0), RunSeeds(0, 0, 13)]
    monkeypatch.setattr(study, "planned", lambda *numbers: plan)
    with pytest.raises(MinnowError, match=r"mine-default-d0-t0-s13-\w+ failed, and its message"):
        study.main(repository, "mine")
    kept = read_kept(Layout(repository).kept_margins("mine"))
    assert [run.seeds for run in kept.runs] == plan[:1]
    edit(repository, distill__temperature=4.0)
    with pytest.raises(MinnowError, match="keeps 1 runs of the recipe 'default' that were made"):
        study.main(repository, "mine")


def test_a_larger_plan_holds_every_smaller_one_and_no_seed_twice() -> None:
    small, large = set(study.planned(1, 2, 3)), study.planned(2, 3, 4)
    assert small < set(large)
    students = [seeds.student for seeds in large]
    assert len(set(students)) == len(students) == 24
    assert len({seeds.teacher for seeds in large}) == 6
    assert large[0] == RunSeeds(0, 0, 0)


@pytest.mark.parametrize("given", ["0", "101", "", "-1", "three", "²", "9" * 5000, "00050000"])
def test_a_number_of_seeds_that_is_none_is_refused(tmp_path: Path, given: str) -> None:
    with pytest.raises(MinnowError, match=r"TEACHERS is .*; give a number from 1 to 100"):
        study.main(tmp_path, "mine", teachers=given)


def test_a_study_in_a_folder_without_git_or_commit_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MinnowError, match=r"is no git repository.*make it one with `git init"):
        study.main(tmp_path, "mine")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    with pytest.raises(MinnowError, match=r"has no commit yet"):
        study.main(tmp_path, "mine")


@pytest.mark.parametrize("name", ["", "a/b"])
def test_a_study_without_a_plain_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(MinnowError, match=r"STUDY is .*such as psu"):
        study.main(tmp_path, name)
