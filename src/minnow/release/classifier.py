"""A released model in one call: `probabilities, labels = load(folder).predict(urls)`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from minnow.core.runtime import Runtime
from minnow.errors import MinnowError, listed, shortened
from minnow.models import folders
from minnow.models.anatomy import longest_text
from minnow.models.batching import encode
from minnow.models.enclosed import library_errors
from minnow.models.inference import PROBES, predict_logits
from minnow.serve.classifier import ReleasedClassifier
from minnow.serve.settings import Settings, check, read_settings


@dataclass(frozen=True)
class Classifier(ReleasedClassifier):
    """A released model with what it needs to answer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    settings: Settings
    device: torch.device

    def logits(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return the logits of cleaned texts, shape (texts, 2)."""
        encoded = encode(self.tokenizer, list(texts))
        found: npt.NDArray[np.float64] = (
            predict_logits(self.model, encoded, device=self.device).double().numpy()
        )
        return found


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
