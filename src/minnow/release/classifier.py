"""A released model in one call: `probabilities, labels = load(folder).predict(urls)`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from minnow.core.runtime import Runtime
from minnow.errors import MinnowError
from minnow.models import folders
from minnow.models.batching import encode
from minnow.models.inference import predict_logits
from minnow.serve.settings import Settings, check, read_settings
from minnow.text import cleaning


@dataclass(frozen=True)
class Classifier:
    """A released model with what it needs to answer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    settings: Settings
    device: torch.device

    def predict(self, texts: Sequence[str]) -> tuple[list[float], list[str]]:
        """Return each URL's calibrated probability of phishing and its label at the release's
        threshold.

        Raises:
            MinnowError: one text was given in place of a list.
        """
        margins = self.margins(texts)
        probabilities = [self.settings.probability(margin) for margin in margins]
        return probabilities, [self.settings.label(margin) for margin in margins]

    def margins(self, texts: Sequence[str]) -> list[float]:
        """Return phishing logit − safe logit of each URL, cleaned as the training texts were.

        Raises:
            MinnowError: one text was given in place of a list.
        """
        if isinstance(texts, str):
            raise MinnowError(
                f"predict takes a list of URLs, given the text {texts[:60]!r}: put it into a list"
            )
        texts = list(texts)  # also of an array or a column, which have no truth
        if not texts:
            return []
        cleaned = [
            cleaning.normalise(text, move_scheme=self.settings.move_scheme) for text in texts
        ]
        logits = predict_logits(
            self.model, encode(self.tokenizer, cleaned), device=self.device
        ).double()
        margins: list[float] = (logits[:, 1] - logits[:, 0]).tolist()
        return margins


def load_release(folder: str | Path, *, device: str | None = None) -> Classifier:
    """Return the model in a release's folder; `device` None takes a GPU where torch sees one.

    Raises:
        MinnowError: the folder is no release, or a file of it is missing or damaged.
    """
    path = Path(folder)
    settings = read_settings(path)
    check(path)
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model = folders.load_for_inference(path, Runtime(chosen, torch.float32))
    return Classifier(model, folders.load_tokenizer(path), settings, chosen)
