"""Whether onnxruntime or torch runs a release, by what lies in its folder and is installed."""

from importlib.util import find_spec
from pathlib import Path

from minnow.errors import MinnowError, choice
from minnow.serve.settings import Settings, read_settings

BACKENDS = ("auto", "onnx", "torch")
# What lies in a folder that onnxruntime can run, and in one that torch can.
GRAPH, CONFIG = "model.onnx", "config.json"
# What each needs, and how a checkout installs it: on PyPI `minnow` is somebody else's package.
NEEDED = {
    "onnx": ("onnxruntime", "tokenizers", "numpy"),
    "torch": ("torch", "transformers", "bitsandbytes"),
}
EXTRAS = {"onnx": ".[serve]", "torch": ".[train]"}


def chosen_backend(folder: Path, device: object, backend: str) -> str:
    """Return `onnx` or `torch`.

    Raises:
        MinnowError: nothing that is installed runs this folder, or not on this device.
    """
    choice("backend", str(backend), BACKENDS)
    if backend == "auto":
        backend = _fitting(folder, device)
    if backend == "onnx" and not _on_cpu(device):
        raise MinnowError(
            f"device is {str(device)[:40]!r}, and {GRAPH} runs on the CPU alone; leave device out,"
            " or give backend='torch'"
        )
    if lacking := [name for name in NEEDED[backend] if not _installed(name)]:
        read_settings(folder)  # of what is no release, nobody need install anything
        raise MinnowError(
            f"{folder} needs {', '.join(lacking)}, which this Python does not have;"
            f" `pip install '{EXTRAS[backend]}'` in a checkout of Minnow"
        )
    return backend


def settings_in_use(folder: Path) -> Settings:
    """Return the settings by which `load` answers where it is asked for nothing else.

    Raises:
        MinnowError: the folder is no release.
    """
    settings = read_settings(folder)
    return settings.of_onnx() if _fitting(folder, None) == "onnx" else settings


def _fitting(folder: Path, device: object) -> str:
    """Return what can run a folder; where nothing can, what it was made for."""
    if not (folder / GRAPH).is_file():
        return "torch"
    if _on_cpu(device) and all(map(_installed, NEEDED["onnx"])):
        return "onnx"
    with_torch = (folder / CONFIG).is_file() and all(map(_installed, NEEDED["torch"]))
    return "torch" if with_torch else "onnx"


def _on_cpu(device: object) -> bool:
    return device is None or str(device) == "cpu"


def _installed(name: str) -> bool:
    """Say whether a package can be imported, without importing it."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # refused by a finder; set to None in sys.modules
        return False
