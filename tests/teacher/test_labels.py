"""What a base calls its labels, and which of them means phishing."""

from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from helpers.errors import one_line
from helpers.models import body, classifier, logits, named, padded_batch, saved
from minnow.errors import MinnowError
from minnow.models import pretrained
from minnow.models.heads import classification_layer
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
        ("LABEL_0", "LABEL_1", None, False),
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
