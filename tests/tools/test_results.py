"""Tables between markers: what is rendered, that a second time changes nothing, and what is
refused.
"""

import io
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from helpers.paths import ROOT
from minnow.core.files import write_json
from minnow.errors import MinnowError
from minnow.experiments import run_tables
from minnow.layout import JUDGED, Layout
from minnow.tools import results

METRICS = {
    "accuracy": 0.9,
    "precision": 0.91,
    "recall": 0.89,
    "f1": 0.9,
    "roc_auc": 0.95,
    "tpr_at_fpr_1pct": None,
    "ece": 0.0123,
    "validation_f1": 0.9012,
    "size_mb": 91.333,
    "parameters": 22713986,
    "compression_x": 1.0,
}
MARKED = "# Results\n\n<!-- results:{name} -->\nold\n<!-- /results -->\n\nThe end.\n"


def project(root: Path, name: str, **parts: Any) -> Path:
    """Write docs/results.md with one marker, and docs/results/mine.json."""
    (root / "docs").mkdir()
    (root / "docs" / "results.md").write_text(MARKED.format(name=name))
    write_json(root / "docs" / "results" / "mine.json", parts)
    return root / "docs" / "results.md"


def test_models_stand_in_the_order_of_the_pipeline(tmp_path: Path) -> None:
    document = project(
        tmp_path,
        "mine",
        models=dict.fromkeys(["student", "quantized", "baseline", "teacher"], METRICS),
    )
    results.main(tmp_path)
    lines = document.read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")] == [
        "| model",
        "| ---",
        "| character n-grams",
        "| teacher",
        "| student",
        "| quantized",
    ]
    assert (
        "| teacher | 0.9000 | 0.9100 | 0.8900 | 0.9000 | 0.9500 | n/a | 0.0123 | 0.9012 | 91.3 |"
        " 22,713,986 | 1.0 |" in lines
    )
    assert lines[0] == "# Results"
    assert lines[-1] == "The end."


def test_rendering_twice_changes_nothing_and_check_agrees(tmp_path: Path) -> None:
    document = project(tmp_path, "mine.models", models={"teacher": METRICS})
    with pytest.raises(MinnowError, match="make results"):
        results.main(tmp_path, "check")
    assert "old" in document.read_text()
    results.main(tmp_path)
    once = document.read_text()
    results.main(tmp_path)
    results.main(tmp_path, "check")
    assert document.read_text() == once


@pytest.mark.parametrize("exported", [METRICS, {}], ids=["exported", "not exported"])
def test_readme_shows_the_embedded_presets_metrics(
    tmp_path: Path, exported: dict[str, Any]
) -> None:
    write_json(Layout(tmp_path).evidence("hops"), {"hops": []})
    for model in JUDGED:
        write_json(tmp_path / "metrics" / f"{model}.json", METRICS)
    write_json(Layout(tmp_path).metrics("exported"), exported)
    write_json(Layout(tmp_path).metrics("prepare"), {"source": "synthetic"})
    (tmp_path / "README.md").write_text(MARKED.format(name="embedded"))
    results.main(tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "| quantized | 0.9000 |" in text
    assert ("| exported | 0.9000 |" in text) == bool(exported)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mime", "did you mean 'mine'"),
        ("mine.model", "did you mean 'models'"),
        ("mine.curves", "has no part 'curves'"),
        ("embedded", "dvc repro"),
    ],
)
def test_a_marker_that_names_nothing_is_refused(tmp_path: Path, name: str, message: str) -> None:
    document = project(tmp_path, name, models={"teacher": METRICS})
    with pytest.raises(MinnowError, match=message):
        results.main(tmp_path)
    assert "old" in document.read_text()


@pytest.mark.parametrize(
    "text", ["<!-- results:mine -->\nno end\n", "<!-- results:mine --> a <!-- /results -->\n"]
)
def test_a_marker_that_is_not_closed_is_refused(tmp_path: Path, text: str) -> None:
    project(tmp_path, "mine", models={"teacher": METRICS}).write_text(text)
    with pytest.raises(MinnowError, match="line of its own"):
        results.main(tmp_path)


def test_an_unknown_argument_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MinnowError, match="allowed: check"):
        results.main(tmp_path, "chek")


def hop(before: str, after: str, difference: float, verdict: str, **changed: Any) -> dict[str, Any]:
    f1 = {"difference": difference, "low": difference - 0.01, "high": difference + 0.01}
    facts = {
        "mcnemar_p": 0.2,
        "worse": 7,
        "better": 3,
        "rows_needed": None,
        "better_than_before": False,
    }
    return {"before": before, "after": after, "f1": f1, "verdict": verdict, **facts, **changed}


def run(seed: int, f1: float) -> dict[str, Any]:
    """Return a run whose student has this F1; teacher and baseline are the same in each."""
    value = {"value": f1 - 0.1, "low": 0.0, "high": 1.0}
    there = {"accuracy": value, "f1": value, "roc_auc": value}
    return {
        "seed": seed,
        "models": {"baseline": METRICS, "teacher": METRICS, "student": {**METRICS, "f1": f1}},
        "curves": {
            "teacher": [{"validation_f1": 0.5}],
            "student": [{"validation_f1": 0.6}, {"validation_f1": f1}],
        },
        "hops": {
            "hops": [
                hop("teacher", "student", f1 - 0.9, "inferior"),
                hop("baseline", "teacher", 0.1, "better"),
            ]
        },
        "controls": {
            "no_teacher": {
                "models": {"no_teacher": there},
                "hops": [hop("no_teacher", "student", 0.1, "x")],
            }
        },
        "extra": {
            "other": {"rows": 1234, "removed_seen": 5, "leak": 0.25, "models": {"student": there}}
        },
    }


def rendered(root: Path, part: str, **parts: Any) -> list[str]:
    document = project(root, f"mine.{part}", prepare={}, **parts)
    results.main(root)
    return document.read_text().splitlines()


def test_seeds_are_averaged_and_what_is_the_same_has_no_deviation(tmp_path: Path) -> None:
    lines = rendered(tmp_path, "seeds", runs=[run(0, 0.8), run(1, 0.9), run(2, 0.85)])
    assert (
        "| student | 0.9000 | 0.8500 ± 0.0500 | 0.9500 | n/a | 0.0123 | 0.9012 | 91.3 | 1.0 |"
        in lines
    )
    assert "| teacher | 0.9000 | 0.9000 | 0.9500 | n/a | 0.0123 | 0.9012 | 91.3 | 1.0 |" in lines
    assert any(
        line.startswith("| student without teacher | 0.7500 ± 0.0500 | 0.7500 ± 0.0500")
        for line in lines
    )


def test_hops_are_shown_for_each_seed_unless_all_are_the_same(tmp_path: Path) -> None:
    lines = rendered(tmp_path, "hops", runs=[run(0, 0.8), run(1, 0.9)])
    assert (
        "| teacher → student | 0 | -0.1000 | [-0.1100, -0.0900] | 7 | 3 | 0.200 | inferior |"
        in lines
    )
    assert (
        "| teacher → student | 1 | +0.0000 | [-0.0100, +0.0100] | 7 | 3 | 0.200 | inferior |"
        in lines
    )
    assert sum(line.startswith("| character n-grams → teacher | all |") for line in lines) == 1
    assert any(
        line.startswith("| student without teacher → student | all | +0.1000") for line in lines
    )


def test_a_hop_that_only_some_seeds_have_names_its_seed(tmp_path: Path) -> None:
    lines = rendered(tmp_path, "hops", runs=[{**run(0, 0.8), "controls": {}}, run(1, 0.9)])
    assert next(line for line in lines if "without teacher" in line).split(" | ")[1:3] == [
        "1",
        "+0.1000",
    ]


def test_a_hop_says_better_or_how_many_rows_are_needed() -> None:
    """Of runs that are told in older words too."""
    settled = hop("teacher", "student", 0.0, "undecided", rows_needed=20_000)
    settled["more_rows_show"] = "non_inferior"
    assert run_tables.hop_cells(settled)[-1] == "undecided (20,000 rows show non-inferior)"
    lost = hop("teacher", "student", -0.02, "worse_margin_open")
    assert run_tables.hop_cells(lost)[-1] == "worse, margin open"
    assert run_tables.hop_cells(hop("teacher", "student", 0.02, "better"))[-1] == "better"
    needs = hop("teacher", "student", 0.0, "inconclusive", rows_needed=21_000, mcnemar_p=0.0)
    assert run_tables.hop_cells(needs)[-2:] == ["< 0.001", "inconclusive"]
    assert (
        run_tables.hop_cells(hop("teacher", "student", 0.02, "non_inferior"))[-1] == "non-inferior"
    )
    assert (
        run_tables.hop_cells(
            hop("teacher", "student", 0.02, "non_inferior", better_than_before=True)
        )[-1]
        == "better"
    )


def test_of_a_rival_only_is_said_who_beats_whom() -> None:
    """A baseline is to be beaten, not to be kept up with: no margin, and no rows that would show
    that.
    """
    rival = hop("baseline", "teacher", 0.0, "inconclusive", rows_needed=21_000)
    assert run_tables.hop_cells(rival)[-1] == "not shown better"


def test_other_test_sets_tell_what_was_removed(tmp_path: Path) -> None:
    lines = rendered(tmp_path, "elsewhere", runs=[run(0, 0.8), run(1, 0.9)])
    value = "0.7500 ± 0.0707"
    assert f"| other | 1,234 | 5 | 25.0% | student | {value} | {value} | {value} |" in lines


def test_curves_of_unequal_length_fill_their_row(tmp_path: Path) -> None:
    lines = rendered(tmp_path, "curves", runs=[run(0, 0.8)])
    assert "| teacher | 0.5000 |  |" in lines
    assert "| student, seed 0 | 0.6000 | 0.8000 |" in lines


def test_a_sweep_takes_each_runs_best_epoch_and_averages_over_seeds(tmp_path: Path) -> None:
    runs = [
        {
            "batch_size": 64,
            "dropout": dropout,
            "seed": seed,
            "validation_f1": [0.5, 0.9 + seed / 100, 0.8],
        }
        for seed in (0, 1)
        for dropout in (None, 0)
    ]
    assert "| 64 | 0 | 0.9000 | 0.9100 | 0.9050 |" in rendered(tmp_path, "sweep", sweep=runs)


def test_a_ladder_shows_bytes_and_what_they_cost(tmp_path: Path) -> None:
    f1 = {"value": 0.94, "low": 0.93, "high": 0.95}
    rung = {"name": "nf4", "bytes": 27_400_000, "validation_f1": 0.95, "estimates": {"f1": f1}}
    lines = rendered(
        tmp_path, "ladder", ladder=[{**rung, "hop": hop("teacher", "nf4", -0.002, "non_inferior")}]
    )
    wanted = (
        "| nf4 | 27.40 | 0.9500 | 0.9400 [0.9300, 0.9500] | -0.0020 | [-0.0120, +0.0080] |"
        " non-inferior |"
    )
    assert wanted in lines


def compressed_run(name: str, f1: float, **given: Any) -> dict[str, Any]:
    """Return a run as benchmarks/compression.py writes it, student and quantized alike."""
    test = {key: {"value": f1, "low": f1 - 0.01, "high": f1 + 0.01} for key in ("f1", "roc_auc")}
    hops = [
        hop("teacher", "quantized", f1 - 0.95, "inconclusive"),
        hop("baseline", "quantized", f1 - 0.89, None),
    ]
    exact = {"estimates": {"f1": {"value": f1 + 0.01, "low": f1, "high": f1 + 0.02}}}
    model = {
        "bytes": 4_010_000,
        "validation_f1": f1,
        "estimates": test,
        "hops": hops,
        "elsewhere": exact,
    }
    return {"name": name, "model": "quantized", "student": model, "quantized": model, **given}


def compressed_results(*runs: dict[str, Any]) -> dict[str, Any]:
    return {
        "runs": list(runs),
        "references": {model: compressed_run("", 0.95)["student"] for model in JUDGED[:2]},
    }


def test_a_screen_shows_validation_alone(tmp_path: Path) -> None:
    runs = [
        {
            "name": "mse",
            **{
                model: {"validation_f1": f1}
                for model, f1 in (("student", 0.9412), ("quantized", 0.9401))
            },
        }
    ]
    references = {model: {"validation_f1": 0.95} for model in ("baseline", "teacher")}
    lines = rendered(tmp_path, "screen", runs=runs, references=references)
    assert "| teacher | 0.9500 |  |" in lines
    assert "| mse | 0.9412 | 0.9401 |" in lines


def test_losses_are_means_over_their_own_seeds(tmp_path: Path) -> None:
    runs = [compressed_run("mse", 0.94), compressed_run("kl", 0.9), compressed_run("mse", 0.96)]
    lines = rendered(tmp_path, "losses", **compressed_results(*runs))
    assert (
        "| mse | 2 | 4.01 | 0.9500 ± 0.0141 | 0.9500 ± 0.0141 | 0.9500 ± 0.0141 | 0.9600 ± 0.0141 |"
        in lines
    )
    assert "| kl | 1 | 4.01 | 0.9000 | 0.9000 | 0.9000 | 0.9100 |" in lines


def test_compressed_students_stand_beside_teacher_and_baseline(tmp_path: Path) -> None:
    lines = rendered(tmp_path, "compressed", **compressed_results(compressed_run("3 layers", 0.93)))
    test = (
        "0.9300 [0.9200, 0.9400] | 0.9300 [0.9200, 0.9400] | -0.0200 [-0.0300, -0.0100] |"
        " inconclusive"
    )
    end = "| +0.0400 [+0.0300, +0.0500] | 0.9400 [0.9300, 0.9500] |"
    assert any(
        line.startswith(f"| 3 layers | 4.01 | 0.9300 | {test}") and line.endswith(end)
        for line in lines
    )
    assert any(line.startswith("| character n-grams | 4.01 | 0.9500 |") for line in lines)


def test_the_headline_gives_teacher_and_baseline_intervals_and_seeds_their_spread(
    tmp_path: Path,
) -> None:
    runs = [compressed_run("forward_kl", f1) for f1 in (0.93, 0.95)] + [
        compressed_run("forward_kl, 256 wide", 0.94)
    ]
    found = compressed_results(*runs)
    found["references"]["teacher"]["hops"] = [hop("baseline", "teacher", 0.06, "non_inferior")]
    lines = rendered(tmp_path, "headline", **found)
    assert (
        "| teacher: MiniLM, 6 layers, fine-tuned | 4.01 | 0.9500 [0.9400, 0.9600] |  |  |" in lines
    )
    baseline = "0.9500 [0.9400, 0.9600] | -0.0600 [-0.0700, -0.0500] |  |"
    assert f"| character n-grams, logistic regression | 4.01 | {baseline}" in lines
    spread = "0.9400 ± 0.0141 | -0.0100 (-0.0200 to +0.0000) | 0 of 2 |"
    assert f"| **student, 4 bits** (2 seeds) | 4.01 | {spread}" in lines


def test_every_page_of_docs_is_rendered(tmp_path: Path) -> None:
    project(tmp_path, "mine", models={"teacher": METRICS})
    page = tmp_path / "docs" / "another.md"
    page.write_text(MARKED.format(name="mine"))
    results.main(tmp_path)
    assert "| teacher | 0.9000 |" in page.read_text()


def test_seeds_are_told_apart(tmp_path: Path) -> None:
    runs = [compressed_run("kl", 0.93, changes={"distill.seed": seed}) for seed in (0, 1)]
    lines = rendered(tmp_path, "compressed", **compressed_results(*runs))
    assert [line.split(" | ")[0] for line in lines if "kl" in line] == [
        "| kl, seed 0",
        "| kl, seed 1",
    ]


def test_a_recovery_that_did_not_pay_says_so(tmp_path: Path) -> None:
    runs = [
        compressed_run(f"rank {kept:d}", 0.93, recovery={"kept": kept}) for kept in (False, True)
    ]
    lines = rendered(tmp_path, "compressed", **compressed_results(*runs))
    assert [line.split(" | ")[0] for line in lines if "rank" in line] == [
        "| rank 0 (not kept)",
        "| rank 1",
    ]


def test_rivals_stand_below_the_n_grams_that_they_are_compared_with(tmp_path: Path) -> None:
    def rival(name: str, budget: int | None, **settings: Any) -> dict[str, Any]:
        keys = ("f1", "accuracy", "roc_auc", "f1_at_best_cut", "accuracy_at_best_cut")
        estimates = {key: {"value": 0.9, "low": 0.89, "high": 0.91} for key in keys}
        against = {key: {"value": -0.01, "low": -0.02, "high": 0.005} for key in keys}
        facts = {"name": name, "budget": budget, "bytes": 249_905, "settings": settings}
        scores = {"validation_f1": 0.95, "estimates": estimates, "against_baseline": against}
        return {**facts, **scores}

    hashed = {"ngram_range": [1, 4], "buckets": 1024, "stored_as": "pruned"}
    embedded = {"dimension": 8, "buckets": 30, "stored_as": "int8"}
    models = [
        rival("n-grams", None),
        rival("hashed", 300_000, **hashed),
        rival("fastText-style", 300_000, **embedded, multiplied=False),
        rival("fastText-style", 300_000, **embedded, multiplied=True),
    ]
    lines = rendered(tmp_path, "rivals", rivals={"mine": {"models": models}})
    score, change = "0.9000 [0.8900, 0.9100]", "-0.0100 [-0.0200, +0.0050]"
    even = f"| 0.30 | 0.25 | 0.9500 | {score} | {change} | {score} | {score}"
    at_cut = f"{even} | {score} | {change} | {score} |"
    forms = ("30 buckets, int8, 8 wide", "30 buckets, int8, 1 number each")
    assert lines[5] == (
        f"| mine | n-grams |  |  | 0.25 | 0.9500 | {score} |  | {score} | {score} | {score} |  |"
        f" {score} |"
    )
    assert lines[6] == f"| mine | hashed | 1 to 4, 1,024 buckets, pruned {at_cut}"
    assert lines[7:9] == [f"| mine | fastText-style | {each} {at_cut}" for each in forms]


def test_results_of_other_data_never_stand_in_for_the_embedded_ones(tmp_path: Path) -> None:
    write_json(Layout(tmp_path).metrics("prepare"), {"source": "file"})
    (tmp_path / "README.md").write_text(MARKED.format(name="embedded"))
    with pytest.raises(MinnowError, match="metrics/ holds results of 'file' data"):
        results.main(tmp_path)


def test_the_projects_own_documents_match_their_results_as_committed(tmp_path: Path) -> None:
    """At HEAD, not in the workspace: its metrics may come from another CPU or another preset."""
    root = ROOT
    command = ["git", "archive", "--format=zip", "HEAD", "README.md", "docs", "metrics"]
    archive = subprocess.run(command, cwd=root, capture_output=True)
    if archive.returncode:
        pytest.skip("no git history with results here")
    with zipfile.ZipFile(io.BytesIO(archive.stdout)) as files:
        files.extractall(tmp_path)
    results.main(tmp_path, "check")
