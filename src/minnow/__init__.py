"""Minnow: distil a text classifier into a small one, quantize it, and measure what that cost."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minnow.serve.classifier import ReleasedClassifier

# From 1.32 on onnxruntime reports on its use over the network, and writes an id of the machine into
# ~/.cache/Microsoft, unless this says otherwise before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def load(
    folder: str | Path, *, device: str | None = None, backend: str = "auto"
) -> "ReleasedClassifier":
    """Return the model in a release's folder.

    `backend` is `onnx`, `torch`, or `auto`: onnx where the folder has a model.onnx, onnxruntime is
    installed, and no `device` but the CPU is asked for. With torch, `device` None takes a GPU where
    torch sees one.

    Raises:
        MinnowError: the folder is no release, a file of it is missing or damaged, what it needs is
        not installed, or torch sees no such device; one line of at most 300 characters.
    """
    from minnow.errors import MinnowError, cut_off
    from minnow.serve.backends import chosen_backend

    try:
        if chosen_backend(Path(folder), device, backend) == "onnx":
            from minnow.serve.onnx import load_onnx

            return load_onnx(folder)
        from minnow.release.classifier import load_release

        return load_release(folder, device=device)
    except MinnowError as error:
        raise MinnowError(cut_off(str(error))) from error.__cause__
