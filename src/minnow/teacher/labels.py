"""Which of a ready-made classifier's labels means phishing."""

from collections.abc import Mapping

import torch
from transformers import PreTrainedModel

from minnow.errors import MinnowError, listed, nearest
from minnow.models.heads import classification_layer, name_labels

# What ready-made classifiers call label 1. LABEL_1 is what transformers writes when nobody chose a
# name.
PHISHING_NAMES = {
    "phishing",
    "phish",
    "malicious",
    "malware",
    "bad",
    "unsafe",
    "not safe",
    "spam",
    "1",
    "label_1",
}


def standardise_labels(model: PreTrainedModel, *, phishing_label: str | None) -> None:
    """Make label 0 `safe` and label 1 `phishing`, exchanging the head's two rows where the base had
    them otherwise.

    `phishing_label` is the base's own name for phishing; None goes by the usual names.

    Raises:
        MinnowError: the base's names do not tell which label is phishing.
    """
    names = {str(name): int(index) for index, name in (model.config.id2label or {}).items()}
    if phishing_index(names, phishing_label) == 0:
        head = classification_layer(model)
        with torch.no_grad():
            head.weight.copy_(head.weight.flip(0).clone())
            if head.bias is not None:
                head.bias.copy_(head.bias.flip(0).clone())
    name_labels(model.config)


def phishing_index(names: Mapping[str, int], phishing_label: str | None) -> int:
    """Return the index of the label that means phishing among `names` (name → index)."""
    if phishing_label is not None:
        if phishing_label not in names:
            raise MinnowError(
                f"teacher.phishing_label is {phishing_label!r}; the base's labels are"
                f" {listed(names)}{nearest(phishing_label, names)}"
            )
        return names[phishing_label]
    known = [index for name, index in names.items() if name.lower() in PHISHING_NAMES]
    if len(known) != 1:
        raise MinnowError(
            f"the base's labels are {listed(names)}: set teacher.phishing_label to the one that is"
            " phishing"
        )
    return known[0]
