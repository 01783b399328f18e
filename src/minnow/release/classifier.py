"""A released model in one call: `probabilities, labels = load(folder).predict(urls)`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from minnow.core.runtime import Runtime
from minnow.errors import MinnowError, listed, shortened
from minnow.models import folders
from minnow.models.anatomy import longest_text
from minnow.models.batching import encode
from minnow.models.enclosed import library_errors
from minnow.models.inference import PROBES, predict_logits
from minnow.serve.settings import Settings, check, read_settings
from minnow.serve.texts import asked_texts
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
        given = asked_texts(texts)
        if not given:
            return []
        cleaned = [
            cleaning.normalise(text, move_scheme=self.settings.move_scheme) for text in given
        ]
        logits = predict_logits(
            self.model, encode(self.tokenizer, cleaned), device=self.device
        ).double()
        if not logits.isfinite().all():
            raise MinnowError(
                "the model gives infinite or undefined logits: its weights are damaged; download"
                " the release, or build it, again"
            )
        margins: list[float] = (logits[:, 1] - logits[:, 0]).tolist()
        return margins


def load_release(folder: str | Path, *, device: str | None = None) -> Classifier:
    """Return the model in a release's folder; `device` None takes a GPU where torch sees one.

    Raises:
        MinnowError: the folder is no release, a file of it is missing or damaged, or torch sees no
        such device.
    """
    chosen, path = chosen_device(device), Path(folder)
    settings = read_settings(path)
    check(path)
    model = folders.load_for_inference(path, Runtime(chosen, torch.float32))
    classifier = Classifier(model, folders.load_tokenizer(path), settings, chosen)
    with library_errors(f"{path} cannot be run", "download the release, or build it, again"):
        check_belong(classifier)
        classifier.margins(PROBES)
    return classifier


def chosen_device(asked: str | torch.device | None) -> torch.device:
    """Return the device of that name; None: a GPU where torch sees one, or else the CPU.

    Raises:
        MinnowError: torch sees no device of that name.
    """
    if asked is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    named = isinstance(asked, str | torch.device)
    if not named or str(asked) not in seen_devices():
        given = repr(str(asked)) if named else f"a {type(asked).__name__}"
        raise MinnowError(
            f"device is {shortened(given)}; allowed here: {listed(seen_devices())}; give one of"
            " these, or none to take a GPU where there is one"
        )
    return torch.device(asked)


def seen_devices() -> list[str]:
    """Return the names of the devices that torch sees on this machine."""
    gpus = [f"cuda:{gpu}" for gpu in range(torch.cuda.device_count())]
    metal = ["mps"] if torch.backends.mps.is_available() else []
    return ["cpu", *(["cuda", *gpus] if torch.cuda.is_available() else []), *metal]


def check_belong(classifier: Classifier) -> None:
    """Refuse a tokenizer that gives the model tokens, or texts of a length, that it does not know.

    Raises:
        ValueError: says what is wrong.
    """
    model, tokenizer = classifier.model, classifier.tokenizer
    last = max(tokenizer.get_vocab().values(), default=0)
    if tokenizer.pad_token_id is None or last >= model.config.vocab_size:
        raise ValueError(f"its tokenizer does not fit its {model.config.vocab_size} embeddings")
    positions = longest_text(model)
    if positions is not None and not 0 < tokenizer.model_max_length <= positions:
        raise ValueError(
            f"its tokenizer cuts texts at {tokenizer.model_max_length} tokens, and it has"
            f" {positions} positions"
        )
    said = classifier.settings.max_length
    if said != tokenizer.model_max_length:
        raise ValueError(
            f"its minnow.json says that texts are cut at {said} tokens, and its tokenizer cuts"
            f" them at {tokenizer.model_max_length}"
        )
