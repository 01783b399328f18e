"""The model card: its metadata, what it may claim, and that nothing of the data becomes markup."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from huggingface_hub import ModelCard

from helpers.release import (
    BUILT,
    COMMIT,
    METRICS,
    PRETRAINED,
    SETTINGS,
    estimated,
    results,
    slice_,
    with_hop,
)
from minnow.evaluation import comparison
from minnow.evaluation.results import from_json
from minnow.release import card as card_module
from minnow.release.provenance import Base, MoreTexts, Origin, SpentBudget
from minnow.report.formatting import NONE

MODELS = ("baseline", "teacher", "student", "quantized")


def made(origin: Origin = BUILT, *, synthetic: bool = False, **changes: Any) -> str:
    return card_module.card(results(**changes), origin, replace(SETTINGS, synthetic=synthetic))


def changed(origin: Origin, **changes: Any) -> Origin:
    """Return an origin with changes to it, or to how its student was made."""
    made = {name: changes.pop(name) for name in list(changes) if hasattr(origin.made, name)}
    return replace(origin, made=replace(origin.made, **made), **changes)


def section(card: str, title: str) -> str:
    return card.split(f"\n## {title}", 1)[1].split("\n## ", 1)[0]


def cells(card: str, first: str) -> list[str]:
    """Return the cells of the table row that begins with `first`."""
    (line,) = [line for line in card.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


# --- Metadata -------------------------------------------------------------------------------------


def test_the_hub_reads_the_metadata() -> None:
    data = ModelCard(
        made(PRETRAINED, prepare={"source": "hub", "id": "me/urls", "commit": COMMIT})
    ).data
    assert (data.library_name, data.pipeline_tag, data.language) == (
        "transformers",
        "text-classification",
        "zxx",
    )
    assert data.base_model == "google-bert/bert-base-uncased"
    assert data.datasets == ["me/urls"]
    assert set(data.tags) == {
        "phishing",
        "url-classification",
        "bitsandbytes",
        "nf4",
        "distillation",
    }
    results = {result.metric_type: result for result in data.eval_results}
    assert {name: result.metric_value for name, result in results.items()} == {
        name: METRICS["quantized"][name] for name in ("f1", "accuracy", "roc_auc")
    }
    f1 = results["f1"]
    assert (f1.dataset_type, f1.dataset_revision, f1.dataset_split) == ("me/urls", COMMIT, "test")


def test_recovery_learns_from_what_distillation_did() -> None:
    assert "again from the same logits and labels" in made(changed(BUILT, recovered=True))
    card = made(changed(BUILT, recovered=True, soft_weight=0.0))
    assert "again from the same labels, to recover" in card
    card = made(changed(BUILT, recovered=True, soft_weight=1.0))
    assert "again from the same logits, to recover" in card
    assert "again from" not in made()


def test_no_licence_is_claimed_and_the_user_is_told() -> None:
    card = made(PRETRAINED, prepare={"source": "file", "file": "urls.csv"})
    assert ModelCard(card).data.license is None
    said = section(card, "Licence")
    assert "None is granted here" in said
    assert "`google-bert/bert-base-uncased`" in said
    assert "the maker's own data" in said
    assert "`urls.csv`" in section(card, "Data")
    assert "no other model and from generated data alone" in section(made(), "Licence")


@pytest.mark.parametrize(
    ("origin", "base"),
    [
        (BUILT, None),
        (PRETRAINED, "google-bert/bert-base-uncased"),
        (
            changed(PRETRAINED, init="checkpoint"),
            None,
        ),  # a student from scratch has no weight of the teacher's
        (changed(PRETRAINED, init="checkpoint", student=Base("me/small", COMMIT)), "me/small"),
        (changed(BUILT, teacher=Base("data/base/file/mine", None)), None),  # a folder is no Hub id
    ],
)
def test_the_base_model_is_where_the_weights_come_from_if_the_hub_has_it(
    origin: Origin, base: str | None
) -> None:
    assert ModelCard(made(origin)).data.base_model == base


def test_equal_results_give_equal_bytes() -> None:
    assert made() == made()


# --- What it says ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "copies", "words"),
    [
        (None, 6400, "6,400 URLs without labels, 6,400 altered copies of URLs."),
        (
            {"name": "data/raw/file/a`b.csv", "kept": 1200},
            0,
            "1,200 URLs without labels, 1,200 of the file `a?b.csv`.",
        ),
        (
            {"name": "data/raw/file/more.csv", "kept": 1200},
            80,
            "1,200 of the file `more.csv` and 80 altered copies of URLs.",
        ),
    ],
)
def test_what_the_teacher_alone_labelled_is_told(
    file: dict[str, Any] | None, copies: int, words: str
) -> None:
    rows = copies + (file["kept"] if file else 0)
    report = {"file": file, "copies": {"asked": 9999, "kept": copies}, "rows": rows}
    texts = from_json(MoreTexts, report, "report")
    said = made(changed(PRETRAINED, unlabelled=texts)).replace("\n", " ")
    assert "and the labels; and from the teacher's logits alone on " in said
    assert words in said
    assert "without labels" not in made(PRETRAINED)
    both = made(changed(PRETRAINED, unlabelled=texts, whitebox=True)).replace("\n", " ")
    assert "; and from the teacher's logits and the states inside the teacher alone on " in both
    inside = made(changed(PRETRAINED, unlabelled=texts, whitebox=True, soft_weight=0.0)).replace(
        "\n", " "
    )
    assert "; and from the states inside the teacher alone on " in inside


def test_a_model_of_synthetic_data_says_so_before_anything_else() -> None:
    card = made(synthetic=True)
    head = ModelCard(card).text.strip().split("\n\n")[1]
    assert head.startswith("> **This model is a demonstration and must not be deployed.**")
    assert {"synthetic-data", "demonstration"} <= set(ModelCard(card).data.tags)
    real = made(prepare={"source": "file", "file": "urls.csv"})
    assert "synthetic" not in real.lower()
    assert "demonstration" not in real


def test_every_model_stands_with_its_interval() -> None:
    card = made()
    assert cells(card, "test split") == [
        "test split",
        "n-gram baseline",
        "teacher",
        "student",
        "quantized",
    ]
    assert cells(card, "F1 (phishing)")[1:] == [
        "0.9000 (0.8900 to 0.9100)",
        "0.9100 (0.9000 to 0.9200)",
        "0.9200 (0.9100 to 0.9300)",
        "0.9300 (0.9200 to 0.9400)",
    ]
    assert cells(card, "MB")[1:] == ["1.80", "4.47", "2.88", "0.94"]
    said = section(card, "Metrics").replace("\n", " ")
    assert "not what another training seed" in said
    assert "bootstrap resamples by domain of the 4,508 test rows" in said
    assert "the largest, a[.]example[.]org, has 0.6 % of them" in said
    assert "are worth 2,148 independent rows" in said


def test_what_could_not_be_measured_has_a_dash_and_one_reason() -> None:
    card = made()
    assert set(cells(card, "phishing found at 1 % false positives")[1:]) == {NONE}
    assert card.count("A dash: validation has 45 safe rows; 1 % needs 100.") == 1
    assert "never shown" not in card


VERDICTS: list[tuple[dict[str, Any], str]] = [
    ({"verdict": "non_inferior"}, "keeps the teacher"),
    ({"verdict": "inferior"}, "loses more of the teacher"),
    (
        {"verdict": "undecided", "uncorrected": "undecided"}
        | {"rows_needed": 20000, "more_rows_show": "inferior"},
        "About 20,000 rows would show it inferior in 4 of 5 cases",
    ),
    (
        {"verdict": "undecided", "uncorrected": "undecided", "rows_needed": None},
        "below the margin of 0.005. 41 rows",
    ),
    ({"verdict": "worse_margin_open"}, "loses some of the teacher"),
    ({"verdict": "better"}, "is better than the teacher"),
]


@pytest.mark.parametrize(("changes", "said"), VERDICTS)
def test_the_verdict_is_in_words_and_better_only_where_the_interval_says_so(
    changes: dict[str, Any], said: str
) -> None:
    card = made(hops=with_hop("teacher", "quantized", **changes))
    assert said in section(card, "Metrics")
    assert ("better than the teacher" in card) == (changes["verdict"] == "better")
    assert "F1 +0.0020 (95 % interval −0.0041 to +0.0083)" in card
    assert "41 rows that were right are wrong now, and 1,050 the other way round" in card


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"difference": -0.1, "low": -0.15, "high": -0.0001}, True),
        ({"difference": -0.1, "low": -0.2, "high": 0.0}, False),
        ({"difference": 0.1, "low": 0.05, "high": 0.2}, False),
        (None, False),
    ],
)
def test_a_loss_at_few_false_positives_is_told_where_the_difference_shows_it(
    change: dict[str, float] | None, told: bool
) -> None:
    """Only the interval of the difference decides: those of the two models lie far apart in every
    case.
    """
    point = {"threshold": 1.5, "validation_fpr": 0.01}
    models = {name: dict(each) for name, each in METRICS["intervals"]["models"].items()}
    models["teacher"]["tpr_at_fpr_1pct"] = {
        **estimated(0.23),
        **point,
        "test_fpr": estimated(0.011),
    }
    models["quantized"]["tpr_at_fpr_1pct"] = {
        **estimated(0.13),
        **point,
        "test_fpr": estimated(0.005),
    }
    card = made(
        intervals={"models": models}, hops=with_hop("teacher", "quantized", tpr_at_fpr_1pct=change)
    )
    assert ("finds 13.0 % (at 0.5 % false positives) of the phishing on test" in card) == told
    assert (
        "the teacher 23.0 % (at 1.1 % false positives): a change of −0.1000, 95 % interval −0.1500"
        " to −0.0001" in card
    ) == told


@pytest.mark.parametrize(
    ("f1", "beaten"),
    [
        ({"difference": 0.03, "low": 0.02, "high": 0.04}, True),
        ({"difference": 0.01, "low": -0.01, "high": 0.03}, False),
        ({"difference": -0.03, "low": -0.04, "high": -0.02}, False),
    ],
)
def test_whether_it_beats_the_plain_baseline_is_said(f1: dict[str, float], beaten: bool) -> None:
    verdict = comparison.verdict(comparison.claims(f1["low"], f1["high"], 0.0))
    given = {"f1": f1, "verdict": verdict, "uncorrected": verdict}
    hops = with_hop("baseline", "quantized", **given)
    hops = {
        "hops": [each | given if each["before"] == "baseline" else each for each in hops["hops"]]
    }
    said = section(made(hops=hops), "Metrics")
    (line,) = [line for line in said.splitlines() if line.startswith("- From the baseline")]
    assert ("beats the plain baseline" in line) == beaten


def test_a_student_that_never_saw_the_teacher_is_not_called_distilled() -> None:
    card = made(changed(BUILT, soft_weight=0.0))
    assert "learned from the labels alone, **not** from the teacher" in card
    inside = made(changed(BUILT, soft_weight=0.0, whitebox=True))
    assert "learned from the states inside the teacher and the labels" in inside
    assert "distillation" not in ModelCard(card).data.tags
    assert "distillation" in ModelCard(made()).data.tags


def test_a_student_that_never_saw_the_labels_is_not_said_to() -> None:
    said = made(changed(BUILT, soft_weight=1.0)).replace("\n", " ")
    assert "weight 1), **not** from the labels" in said
    assert "and the labels" not in said


@pytest.mark.parametrize(
    ("vocabulary", "said"),
    [
        ("keep", "layers of the teacher, learned"),
        (
            "trim",
            (
                "layers of the teacher with only the tokens that its training texts use often"
                " enough, learned"
            ),
        ),
        (
            "train",
            (
                "layers of the teacher with a vocabulary of its own, byte pairs of its training"
                " texts, learned"
            ),
        ),
    ],
)
def test_a_vocabulary_of_its_own_is_told(vocabulary: str, said: str) -> None:
    assert said in made(changed(BUILT, vocabulary=vocabulary))


def test_narrowed_layers_are_not_told_as_the_teachers_own() -> None:
    assert "narrowed" not in made()
    assert "narrowed layers of the teacher, learned" in made(changed(BUILT, narrowing="importance"))


@pytest.mark.parametrize(
    ("loss", "said"),
    [("reverse_kl", "(reverse_kl, temperature 2, weight 0.5)"), ("mse", "(mse, weight 0.5)")],
)
def test_the_loss_is_named_with_a_temperature_where_it_has_one(loss: str, said: str) -> None:
    assert f"learned from the teacher's logits {said} and the labels" in made(
        changed(BUILT, loss=loss)
    )


@pytest.mark.parametrize(
    ("carved", "method", "said"),
    [
        (
            ["test", "validation"],
            "domain",
            "Minnow split off validation and test by registered domain",
        ),
        (["validation"], "random", "Minnow split off validation at random by row"),
        (["validation"], "random", "which flatters every model. The other split is as published"),
        ([], "domain", "The splits are as published or given."),
    ],
)
def test_the_data_are_described(carved: list[str], method: str, said: str) -> None:
    data = section(made(prepare={"carved": carved, "split": method}), "Data")
    assert said in data
    assert "30,000 rows were read, and 25 of them dropped" in data
    assert "1.2 % of the test rows have a domain" in data
    assert cells(data, "validation") == ["validation", "750", "250"]


def test_what_a_budget_left_more_bits_is_named() -> None:
    assert "budget" not in made()
    assert "but for the parts" not in made()
    raised = {f"bert.layer.{number}.dense": "bfloat16" for number in range(7)} | {
        "bert.words": "int8"
    }
    told = " ".join(made(changed(BUILT, budget=SpentBudget(12_000_000, raised))).split())
    assert (
        "The budget of 12.0 MB left more bits to what loses most by having few:"
        " `bert.layer.0.dense` (bfloat16)," in told
    )
    assert (
        "`bert.layer.5.dense` (bfloat16) and 2 more. `manifest.json` says it of each part." in told
    )
    assert ", but for the parts named below; what is left is in bfloat16" in told
    nothing = " ".join(made(changed(BUILT, budget=SpentBudget(900_000, {}))).split())
    assert "The budget of 0.90 MB left no part more bits." in nothing


def test_the_sizes_stand_beside_the_notebooks() -> None:
    """1 − 2.8774 / 4.4682 = 0.356, and 4.4682 / 0.9412 = 4.747."""
    said = section(made(), "Sizes")
    assert cells(said, "teacher, MB") == ["teacher, MB", "438", "4.47"]
    assert cells(said, "student, MB") == [
        "student, MB",
        "211 (51 % smaller)",
        "2.88 (36 % smaller)",
    ]
    assert cells(said, "quantized, MB") == [
        "quantized, MB",
        "62.7 (7 times smaller)",
        "0.94 (4.7 times smaller)",
    ]
    assert cells(said, "test rows") == ["test rows", "450", "4,508"]
    assert "accuracies must\nnot be compared" in said


def test_the_card_says_that_few_domains_fitted_what_validation_set() -> None:
    said = section(made(calibration={"few_domains": "there is one"}), "Probability")
    assert "on other domains cannot be told: of validation there is one.\n" in said
    assert "on other domains cannot be told" not in section(made(), "Probability")


def test_threshold_and_probability_are_those_of_the_settings() -> None:
    """1 / (1 + e^(−0.5 / 1.25)) = 0.5987."""
    said = section(made(calibration={"wanted_fpr": 0.01}), "Probability").replace("\n", " ")
    assert (
        "lies above 0.5, a probability of 0.5987, on validation the one that at most 1 % of the"
        " safe rows pass" in said
    )
    assert "calls 8.71 % of the safe URLs phishing and finds 91.23 %" in said
    assert "as frequent as in validation, 25 %" in said


# --- Slices, other test sets, and what the data may not do ----------------------------------------


def test_the_slices_that_are_hurt_most_come_first_and_small_ones_are_left_out() -> None:
    unproven = slice_("path", "without path", {"teacher": 0.95, "quantized": 0.85})
    unproven["hurt"] = False  # evaluation decides
    limits = section(made(slices={"slices": [unproven, *METRICS["slices"]["slices"]]}), "Limits")
    lost, weak = limits.split("**Where it is weakest**")
    assert re.findall(r"^\| `(.*?)`", lost, re.MULTILINE) == ["host: IP address", "path: with path"]
    assert re.findall(r"^\| `(.*?)`", weak, re.MULTILINE)[0] == "host: IP address"
    assert cells(lost, "`host: IP address`")[1:] == ["120", "f1", "0.9000", "0.8000", "−0.1000"]
    assert "punycode" not in limits
    assert "without path" not in lost
    assert "4 slices were looked at." in lost, "the small one was not"
    assert "one in 20 on average may be there by chance" in lost


def test_what_it_is_worth_where_phishing_is_rare() -> None:
    said = section(made(), "Probability and threshold")
    row = cells(said, "2 %")
    assert row[4:] == ["0.200", "0.195 to 0.205", "0.240", "78,400"]
    assert "| phishing | precision" in said
    models = {name: dict(each) for name, each in METRICS["intervals"]["models"].items()}
    for each in models.values():
        each["at_prevalence"] = []
    assert "| phishing | precision" not in made(intervals={"models": models})


def test_slices_that_say_nothing_are_survived() -> None:
    silent = slice_("path", "with path", {"teacher": 0.9, "quantized": 0.9})
    del silent["models"]["quantized"]
    silent["hops"] = []
    for slices in ([], [silent]):
        card = made(slices={"slices": slices})
        assert "no such slice is shown to be hurt" in card
        assert "0 slices were looked at" in card


def test_other_test_sets_stand_in_a_table_or_their_lack_is_said() -> None:
    assert "It was tested on no other data" in made()
    extra = {"models": {model: {"f1": estimated(0.8)} for model in MODELS[1:]}, "rows": 1234}
    limits = section(made(extra={"other|set": extra}), "Limits")
    assert cells(limits, "`other?set`") == [
        "`other?set`",
        "1,234",
        NONE,
        *["0.8000 (0.7900 to 0.8100)"] * 3,
    ]
    assert "no other data" not in limits


HOSTILE = "`x`|<script>[a](javascript:0)![](http://evil.example)\n# {{7*7}}"


class Tags(HTMLParser):
    """Collects what a browser would take for a tag."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)


def test_names_of_the_data_are_never_markup() -> None:
    hostile = slice_("suffix", HOSTILE, {"teacher": 0.9, "quantized": 0.1})
    extra = {HOSTILE: {"models": {model: {"f1": estimated(0.8)} for model in MODELS}, "rows": 1}}
    origin = changed(PRETRAINED, teacher=Base(HOSTILE, None))
    own_file = {"source": "file", "file": HOSTILE}
    card = made(origin, slices={"slices": [hostile]}, extra=extra, prepare=own_file)
    body = ModelCard(card).text
    shown = re.sub(r"```python.*?```", "", body, flags=re.DOTALL)
    assert "evil.example" in shown, "it is shown, and harmless"
    outside = re.sub(r"`[^`\n]*`", "", shown)
    for part in ("evil", "script", "javascript", "http", "{{"):
        assert part not in outside, part
    tags = Tags()
    tags.feed(shown)
    assert tags.seen == []
    for line in shown.splitlines():
        if "evil" in line and line.startswith("|"):
            assert line.count("|") in (6, 7), "five or six cells"
    assert [line for line in body.splitlines() if line.startswith("# ")] == [
        "# Phishing URLs, told by a distilled and quantized classifier"
    ]


def test_a_hostile_id_stays_inside_the_metadata() -> None:
    card = made(changed(PRETRAINED, teacher=Base("a: b\n---\n# x", COMMIT)))
    data = ModelCard(card).data
    assert data.base_model == "a: b\n---\n# x"
    assert data.library_name == "transformers"
