"""What a base calls its labels, and which of them means phishing."""

from pathlib import Path

import pytest
import torch
from sklearn.metrics import roc_auc_score
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from helpers.errors import one_line
from helpers.models import body, classifier, logits, named, padded_batch, saved
from helpers.origins import file_project, some_urls
from helpers.stage import edit
from minnow.errors import MinnowError
from minnow.layout import Layout
from minnow.models import pretrained
from minnow.models.heads import classification_layer
from minnow.stages import prepare, teacher
from minnow.teacher import labels


@pytest.fixture(autouse=True, scope="module")
def quiet() -> None:
    transformers_logging.set_verbosity_error()


@pytest.mark.parametrize(
    "zero_one", [("entailment", "other"), ("phishing", "safe"), ("LABEL_0", "LABEL_1")]
)
def test_names_without_a_head_mean_nothing(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, zero_one: tuple[str, str]
) -> None:
    model = pretrained.load_classifier(
        pretrained.Checkpoint("me/model", saved(named(body(), *zero_one), tokenizer, tmp_path))
    )
    before = classification_layer(model).weight.clone()
    labels.standardise_labels(model, phishing_label=None)
    assert torch.equal(classification_layer(model).weight, before)
    assert model.config.id2label == {0: "safe", 1: "phishing"}


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "electra"])
@pytest.mark.parametrize(
    ("zero", "one", "phishing_label", "exchanged"),
    [
        ("safe", "phishing", None, False),
        ("phishing", "safe", None, True),
        ("Safe", "Not Safe", None, False),
        ("Not Safe", "Safe", None, True),
        ("LABEL_0", "LABEL_1", "LABEL_1", False),
        ("MALICIOUS", "benign", None, True),
        ("LABEL_0", "LABEL_1", "LABEL_0", True),
        ("kaputt", "heil", "kaputt", True),
    ],
)
def test_label_one_means_phishing_whatever_the_base_calls_it(
    kind: str, zero: str, one: str, phishing_label: str | None, exchanged: bool
) -> None:
    model, batch = named(classifier(kind, layers=1), zero, one), padded_batch()
    before = logits(model, batch)
    labels.standardise_labels(model, phishing_label=phishing_label)
    assert torch.equal(logits(model, batch), before.flip(1) if exchanged else before)
    assert not torch.equal(before[:, 0], before[:, 1])
    assert model.config.id2label == {0: "safe", 1: "phishing"}
    assert model.config.label2id == {"safe": 0, "phishing": 1}


@pytest.mark.parametrize(
    ("zero", "one", "phishing_label", "said"),
    [
        (
            "ham",
            "eggs",
            None,
            "the base's labels are ham, eggs: set teacher.phishing_label to the one",
        ),
        ("bad", "malware", None, "set teacher.phishing_label"),
        ("LABEL_0", "LABEL_1", None, "labels are LABEL_0, LABEL_1: set teacher.phishing_label"),
        ("phishing", "phishing", None, "gives its labels one name (phishing, phishing)"),
        ("phishing", "Phishing ", "phishing", "gives its labels one name"),
        (
            "kaputt",
            "heil",
            "kaput",
            "phishing_label is 'kaput'; the base's labels are kaputt, heil; did you mean 'kaputt'",
        ),
    ],
)
def test_labels_are_never_guessed(
    zero: str, one: str, phishing_label: str | None, said: str
) -> None:
    model = named(classifier(layers=1), zero, one)
    with pytest.raises(MinnowError) as caught:
        labels.standardise_labels(model, phishing_label=phishing_label)
    assert said in one_line(caught)


def test_a_head_that_is_trained_here_needs_no_names() -> None:
    model, batch = named(classifier(layers=1), "LABEL_0", "LABEL_1"), padded_batch()
    before = logits(model, batch)
    labels.standardise_labels(model, phishing_label=None, trained_here=True)
    assert torch.equal(logits(model, batch), before)


# --- The other way round --------------------------------------------------------------------------


def logits_of(margins: list[float]) -> torch.Tensor:
    return torch.tensor([[0.0, margin] for margin in margins])


def test_the_auc_of_a_reversed_teacher_is_what_scikit_learn_says() -> None:
    draw = torch.Generator().manual_seed(0)
    truth = torch.arange(400) % 2
    margins = (torch.randn(400, generator=draw) - truth).round(decimals=1)  # with ties
    found = labels.reversed_auc(margins[truth == 1], margins[truth == 0])
    assert found == pytest.approx(roc_auc_score(truth, margins))


@pytest.mark.parametrize(
    ("phishing", "safe", "found"),
    [
        ([-1.0] * 50, [1.0] * 50, 0.0),
        ([1.0] * 50, [-1.0] * 50, None),
        ([0.0] * 50, [0.0] * 50, None),
        ([-1.0, 1.0] * 25, [1.0] * 50, 0.25),
        ([-1.0] * 2, [1.0] * 2, None),  # two rows of each tell nothing
        ([], [1.0], None),
    ],
)
def test_far_below_chance_is_told_from_chance(
    phishing: list[float], safe: list[float], found: float | None
) -> None:
    assert labels.reversed_auc(torch.tensor(phishing), torch.tensor(safe)) == found


def test_a_reversed_teacher_stops_and_names_the_setting() -> None:
    truth = [0, 1] * 20
    labels.check_not_reversed(logits_of([1.0 if label else -1.0 for label in truth]), truth, None)
    with pytest.raises(MinnowError) as caught:
        labels.check_not_reversed(
            logits_of([-1.0 if label else 1.0 for label in truth]), truth, "LABEL_1"
        )
    said = one_line(caught)
    assert "ROC AUC on validation is 0.00" in said
    assert "presets.*.teacher.phishing_label in params.yaml) is 'LABEL_1'" in said


def test_the_stage_writes_no_reversed_teacher(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(file_project(tmp_path, some_urls(120, seed=1)))
    saved(named(classifier(layers=1), "phishing", "ok"), tokenizer, layout.base("file") / "ready")
    wanted = {"teacher.base": "data/base/file/ready", "teacher.method": "none"}
    edit(tmp_path, wanted, "file")
    prepare.main(tmp_path)
    asked: list[int] = []
    monkeypatch.setattr(
        labels, "reversed_auc", lambda phishing, safe: asked.append(len(phishing + 0)) or 0.08
    )
    with pytest.raises(MinnowError, match=r"ROC AUC on validation is 0\.08, far below chance"):
        teacher.main(tmp_path)
    assert asked[0] > 0
    assert not layout.model("teacher").exists()


def test_labels_that_are_not_0_and_1_are_not_guessed(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    model = classifier(layers=1)
    model.config.id2label = {1: "phishing", 2: "safe"}
    with pytest.raises(MinnowError, match="numbers its labels 1, 2: number the two 0 and 1"):
        labels.standardise_labels(model, phishing_label="phishing")
