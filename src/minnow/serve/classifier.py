"""What a released model answers, whichever runtime gives its logits."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from minnow.errors import MinnowError
from minnow.serve.settings import Settings
from minnow.serve.texts import asked_texts
from minnow.text import cleaning


class ReleasedClassifier(ABC):
    """A model with the settings by which its logits become a probability and a label."""

    settings: Settings

    @abstractmethod
    def logits(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return the logits of cleaned texts, shape (texts, 2), one text at least."""

    def predict(self, texts: Sequence[str]) -> tuple[list[float], list[str]]:
        """Return each URL's calibrated probability of phishing and its label at the release's
        threshold.

        Raises:
            MinnowError: names what was given in place of a list of texts, or of one of them.
        """
        margins = self.margins(texts)
        probabilities = [self.settings.probability(margin) for margin in margins]
        return probabilities, [self.settings.label(margin) for margin in margins]

    def margins(self, texts: Sequence[str]) -> list[float]:
        """Return phishing logit − safe logit of each URL, cleaned as the training texts were.

        Raises:
            MinnowError: names what was given in place of a list of texts, or of one of them.
        """
        given, move_scheme = asked_texts(texts), self.settings.move_scheme
        if not given:
            return []
        logits = self.logits([cleaning.normalise(text, move_scheme=move_scheme) for text in given])
        if not np.isfinite(logits).all():
            raise MinnowError(
                "the model gives infinite or undefined logits: its weights are damaged; download"
                " the release, or build it, again"
            )
        margins: list[float] = (logits[:, 1] - logits[:, 0]).tolist()
        return margins
