"""`make verify`: what counts as the same result on another machine."""

import subprocess
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from helpers import results as made_up
from minnow.core.files import write_json
from minnow.errors import MinnowError
from minnow.evaluation.records import Headline
from minnow.evaluation.results import as_json, write_evidence
from minnow.layout import JUDGED, Layout
from minnow.tools import verify


def results(**changes: Any) -> verify.CheckoutResults:
    """Made-up results of every model, their metrics and hops changed."""
    evidence = made_up.findings().evidence
    flat = {name: value for name, value in changes.items() if name != "verdict"}
    headline = {
        model: replace(made_up.record(Headline, made_up.headline(model)), **flat)
        for model in JUDGED
    }
    if "verdict" in changes:
        hops = tuple(replace(hop, verdict=changes["verdict"]) for hop in evidence.hops.hops)
        evidence = replace(evidence, hops=replace(evidence.hops, hops=hops))
    return verify.CheckoutResults(headline, evidence)


def failed(**changes: Any) -> set[str]:
    judged = [
        *verify.judge_metrics(results(), results(**changes)),
        *verify.judge_hops(results(), results(**changes)),
    ]
    return {judgement.metric for judgement in judged if not judgement.passed}


def test_equal_results_pass() -> None:
    judged = list(verify.judge_metrics(results(), results()))
    assert len(judged) == len(JUDGED) * len(fields(Headline))
    assert failed() == set()


def test_a_metric_passes_within_its_own_interval() -> None:
    """Those of the made-up models reach ±0.0081 around F1, which is what a metric may differ by."""
    low, high = 0.9204 - 0.0081, 0.9204 + 0.0081
    quantized = results().evidence.intervals.models["quantized"].f1
    assert (quantized.low, quantized.high) == (round(low, 4), round(high, 4))
    for value, passed in ((low, True), (high, True), (low - 0.0002, False), (high + 0.01, False)):
        assert verify.passes("f1", 0.9204, round(value, 4), quantized) == passed
    assert verify.passes("f1", 0.5, 0.5, quantized), "what is equal passes, whatever the interval"


def test_a_metric_without_an_interval_has_a_tolerance_or_must_be_equal() -> None:
    assert verify.passes("size_mb", 2.5, 2.509, None)
    assert not verify.passes("size_mb", 2.5, 2.52, None)
    assert not verify.passes("parameters", 1000, 1001, None)
    assert not verify.passes("tpr_at_fpr_1pct", None, 0.5, None), "it must stay unsaid"
    assert "parameters" in failed(parameters=1)


def test_verdicts_may_not_contradict_each_other() -> None:
    """Of the made-up hops some are open, and some are better."""
    assert "verdict" in failed(verdict="inferior")
    assert "verdict" not in failed(verdict="undecided")
    assert "verdict" not in failed(verdict="non_inferior")


def repository(root: Path) -> Path:
    """Return a git repository with committed metrics, whose `dvc repro` the tests replace."""
    root.mkdir()
    write_results(Layout(root), results())
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


def write_results(layout: Layout, made: verify.CheckoutResults) -> None:
    for model, headline in made.headline.items():
        write_json(layout.metrics(model), as_json(headline))
    write_evidence(layout, made.evidence)


def rebuild_with(changes: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    real = verify.run_command

    def run(command: list[str], folder: Path) -> None:
        if command[0] == "git":
            real(command, folder)
            return
        if command[-1] == "repro":
            write_results(Layout(folder), results(**changes))

    monkeypatch.setattr(verify, "run_command", run)


def test_verify_rebuilds_head_and_says_what_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = repository(tmp_path / "r")
    rebuild_with({"ece": 0.032}, monkeypatch)
    verify.main(root)
    printed = capsys.readouterr().out
    assert "student ece: 0.0311 committed, 0.032 rebuilt, passes" in printed
    assert "identical, all pass" in printed
    assert subprocess.check_output(["git", "status", "--porcelain"], cwd=root) == b""


def test_verify_fails_outside_the_tolerance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = repository(tmp_path / "r")
    rebuild_with({"f1": 0.5}, monkeypatch)
    with pytest.raises(MinnowError, match="4 of 53 metrics and verdicts do not pass"):
        verify.main(root)


def test_a_failed_rebuild_is_one_line(tmp_path: Path) -> None:
    arguments: Any = (["false"], tmp_path)
    with pytest.raises(MinnowError, match="`false` failed"):
        verify.run_command(*arguments)
