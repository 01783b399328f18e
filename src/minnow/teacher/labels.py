"""Which of a ready-made classifier's labels means phishing."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from minnow.errors import MinnowError, listed, nearest
from minnow.models.heads import classification_layer, name_labels

# What ready-made classifiers call label 1.
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
}
# What transformers writes where nobody chose names.
UNNAMED = {"LABEL_0": 0, "LABEL_1": 1}
# The ROC AUC of who knows nothing, and how far below it a teacher must lie to be held for reversed.
CHANCE, FAR = 0.5, 0.1


def standardise_labels(
    model: PreTrainedModel, *, phishing_label: str | None, trained_here: bool = False
) -> None:
    """Make label 0 `safe` and label 1 `phishing`, exchanging the head's two rows where the base had
    them otherwise.

    `phishing_label` is the base's own name for phishing; None goes by the usual names. A model that
    is `trained_here` may have no names: its head learns which label is which.

    Raises:
        MinnowError: the base's names do not tell which label is phishing.
    """
    called = model.config.id2label or {}
    names = {str(name): int(index) for index, name in called.items()}
    if len({name.strip().casefold() for name in names}) < len(called):
        raise MinnowError(
            f"the base gives its labels one name ({listed(called.values())}): give them two in its"
            " config.json (id2label), of which one is phishing"
        )
    if called and sorted(names.values()) != [0, 1]:
        raise MinnowError(
            f"the base numbers its labels {listed(sorted(names.values()))}: number the two 0 and 1"
            " in its config.json (id2label), in the order of its head's rows"
        )
    unnamed = trained_here and phishing_label is None and names == UNNAMED
    if not unnamed and phishing_index(names, phishing_label) == 0:
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
            " phishing (presets.*.teacher.phishing_label in params.yaml)"
        )
    return known[0]


def check_not_reversed(logits: Tensor, labels: Sequence[int], phishing_label: str | None) -> None:
    """Refuse a teacher that takes phishing for safe, by its logits (rows, 2) for rows of validation
    and their labels.

    Raises:
        MinnowError: its ROC AUC lies far below chance.
    """
    phishing = torch.tensor(labels, dtype=torch.bool)
    margins = (logits[:, 1] - logits[:, 0]).double()
    found = reversed_auc(margins[phishing], margins[~phishing])
    if found is not None:
        given = "is null" if phishing_label is None else f"is {phishing_label!r}"
        raise MinnowError(
            f"the teacher's ROC AUC on validation is {found:.2f}, far below chance: its labels, or"
            " the data's, stand the other way round; teacher.phishing_label"
            f" (presets.*.teacher.phishing_label in params.yaml) {given}: set it to the base's"
            " other label, or mend data.positive_label"
        )


def reversed_auc(phishing: Tensor, safe: Tensor) -> float | None:
    """Return the ROC AUC of margins of phishing and safe rows if it is far below chance, else None.

    That is, by a tenth and by three standard deviations of what no knowledge would give (Mann &
    Whitney 1947).
    """
    positives, negatives = len(phishing), len(safe)
    if not positives or not negatives:
        return None
    below = torch.searchsorted(safe.sort().values, phishing)
    up_to = torch.searchsorted(safe.sort().values, phishing, right=True)
    auc = float((below + up_to).sum()) / 2 / (positives * negatives)
    deviation = math.sqrt((positives + negatives + 1) / (12 * positives * negatives))
    return auc if auc < CHANCE - max(FAR, 3 * deviation) else None
