"""Bit rot under real `dvc repro`: told in one line, whose remedy heals workspace and cache."""

import re
from pathlib import Path

import pytest

from helpers.pipeline import metrics, run, stages_run
from helpers.rot import cached, rot

pytestmark = pytest.mark.pipeline


@pytest.mark.parametrize("name", ["data/prepared/train.parquet", "data/unlabelled/report.json"])
def test_rot_that_dvc_does_not_see_trains_no_other_student(project: Path, name: str) -> None:
    assert "up to date" in run(project, "dvc", "status")
    before, content = metrics(project), (project / name).read_bytes()
    for damaged in (cached(project, project / name), project / name):
        rot(damaged)
    assert "up to date" in run(project, "dvc", "status"), "DVC goes by size and times"
    output = run(project, "dvc", "repro", "--force", "--single-item", "distill", fails=True)
    (line,) = [line for line in output.splitlines() if line.startswith("minnow ")]
    assert "is not what dvc.lock says of it, and DVC's cache may hold the same" in line
    (remedy,) = re.findall(r"`(.*)`", line)
    made_again = stages_run(run(project, "bash", "-c", remedy))
    assert made_again == ["prepare" if "prepared" in name else "teacher_unlabelled"]
    assert (project / name).read_bytes() == content == cached(project, project / name).read_bytes()
    assert metrics(project) == before
