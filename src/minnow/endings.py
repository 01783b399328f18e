"""How a stage ends that cannot go on: what an error means that is no bug of ours, in one line.

Only Python's own modules are imported: what is told may be that all else is missing.
"""

import errno
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from minnow.errors import (
    LONGEST,
    MemoryShortage,
    MinnowError,
    behind,
    is_out_of_memory,
    listed,
    reason,
    shortened,
)

Params = Callable[[], Mapping[str, Any]]

FULL = (errno.ENOSPC, errno.EDQUOT)
# How libraries say so whose errors carry no number.
SAY_FULL = ("no space left on device", "enforce fail at inline_container")
NUMBERED = re.compile(r"(?:os error|errno) (\d{1,3})", re.IGNORECASE)
NO_THREAD = re.compile("start new thread|thread creation failed|pthread_create", re.IGNORECASE)
# With less than this, PyTorch, polars and tokenizers end the process in code that is not Python's.
LEAST_ADDRESS_SPACE = 2_500_000_000
LIBRARIES = "PyTorch and the other libraries take about 2.5 GB of addresses before any model"
# What to do about what the operating system refuses.
REMEDIES = {
    errno.EROFS: "that file system is read-only: mount it for writing, or work on another one",
    errno.EACCES: "change the owner or the mode of that file or of its folder",
    errno.EPERM: (
        "change the owner or the mode of that file or of its folder; it may be marked as immutable"
        " (`lsattr`)"
    ),
    errno.EMFILE: "raise the number of open files: `ulimit -n 4096`",
    errno.ENFILE: "the machine has too many files open: end other programs",
    errno.ENAMETOOLONG: "give that file a shorter name, or move the project to a shorter path",
    errno.EISDIR: "a folder lies where a file belongs: move it away",
    errno.ENOTDIR: "a file lies where a folder belongs: move it away",
    errno.EEXIST: "something lies where a file or a folder belongs: move it away",
    errno.ELOOP: "symbolic links lead in a circle: remove one",
    errno.EIO: "the disk or the network drive fails: copy the project to another one",
    errno.ESTALE: "the network drive was changed meanwhile: mount it anew",
    errno.EBUSY: "another program, or a mount, holds it: end that first",
    errno.ETXTBSY: "another program runs it: end that first",
    errno.EXDEV: "a mount lies within the project: take it away, since files move as a whole",
    errno.EFBIG: "files may not become so large here: raise `ulimit -f`, or take another disk",
    errno.ENOENT: "put it there; what the pipeline makes, `dvc repro` makes",
    errno.EPIPE: "who read the output has gone",
}
# How the environment variables begin that libraries read.
READ = ("TORCH_", "PYTORCH_", "TRANSFORMERS_", "HF_", "POLARS_", "NPY_", "BNB_")
OTHER_REMEDY = "the operating system refuses it: mend that, then run it again"
# Where a stage's batches and lengths are set: below the preset, but for recover.
TRAINED = {
    "teacher": ("presets.{preset}.teacher",) * 2,
    "distill": ("presets.{preset}.student",) * 2,
    "recover": ("recover", "presets.{preset}.student"),
}


def ending(name: str, error: BaseException, root: Path, params: Params) -> str | None:
    """Return in one line what an error means that ended a stage or tool, and what to do; None for a
    bug, whose trace is worth having. `params` reads what params.yaml holds.
    """
    if is_too_long(error):
        return f"no file may become so long here ({reason(error)}): {REMEDIES[errno.EFBIG]}"
    if is_disk_full(error):
        return (
            f"no space left for files of {root}, of HF_HOME or of TMPDIR: free some, then `dvc"
            " repro`; nothing half-written was kept"
        )
    if is_out_of_memory(error):
        return out_of_memory_line(name, error, params)
    if isinstance(error, MinnowError):
        return str(error)
    if NO_THREAD.search(str(error)):
        return (
            f"no further thread can be started ({reason(error)}): raise `ulimit -u` or the"
            " container's limit of processes, or end other programs"
        )
    return refused(error) or unusable(error)


def system_number(error: BaseException) -> int | None:
    """Return the operating system's number of an error, also where a library has it in words."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    found = NUMBERED.search(str(error))
    return int(found[1]) if found else None


def is_disk_full(error: BaseException) -> bool:
    """Return whether a full disk is behind an error; safetensors and torch say so only in words."""
    return any(
        system_number(part) in FULL or any(word in str(part).lower() for word in SAY_FULL)
        for part in behind(error)
    )


def is_too_long(error: BaseException) -> bool:
    """Return whether `ulimit -f` is behind what torch calls a failed write, as it does a full
    disk.
    """
    parts = list(behind(error))
    full = any(system_number(part) in FULL for part in parts)
    return (
        limit_of("FSIZE") is not None
        and not full
        and any(SAY_FULL[1] in str(part).lower() for part in parts)
    )


def refused(error: BaseException) -> str | None:
    """Return what the operating system refused, and the remedy."""
    told = system_number(error)
    if told is None and not isinstance(error, OSError):
        return None
    if "temporary directory" in str(error):
        return f"{reason(error)}: set TMPDIR to a folder that can be written"
    return f"{reason(error)}: {REMEDIES.get(told or 0, OTHER_REMEDY)}"


def unusable(error: BaseException) -> str | None:
    """Return what of this Python or of its environment cannot be used."""
    if isinstance(error, ImportError) and not (error.name or "minnow").startswith("minnow"):
        return (
            f"{sys.executable}: {reason(error)}; run `make install`, then take the python in"
            " .venv/bin"
        )
    read = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    if any(Path(file).parts[-2:] == ("huggingface_hub", "constants.py") for file in read):
        return (
            f"one of the environment variables HF_... cannot be read ({reason(error)}): look at"
            " HF_ENDPOINT and at those that end in _TIMEOUT"
        )
    if isinstance(error, Warning):
        return f"PYTHONWARNINGS makes an error of a warning ({reason(error)}); unset it"
    if is_import(error) and is_of_library(read[-1]):
        return (
            f"a library cannot be loaded, perhaps for an environment variable ({reason(error)});"
            f" unset {listed(suspects(str(error)), 3)}, or mend .venv by `make install`"
        )
    return None


def is_of_library(file: str) -> bool:
    """Whether a module is none of ours."""
    return not Path(file).is_relative_to(Path(__file__).parent)


def suspects(said: str) -> list[str]:
    """Return the environment variables that an error speaks of, or else all that libraries read."""
    if "error" in os.environ.get("PYTHONWARNINGS", ""):
        return ["PYTHONWARNINGS"]
    read = {name: value for name, value in os.environ.items() if name.startswith(READ)}
    named = [
        name for name, value in read.items() if name in said or (len(value) > 3 and value in said)
    ]
    return sorted(named or read) or ["what is set of them"]


def out_of_memory_line(name: str, error: BaseException, params: Params) -> str:
    """Return what to lower where memory ran out, and let go of what the stage still holds."""
    parts = list(behind(error))
    told, importing = shortened(reason(parts[-1]), 60), any(map(is_import, parts))
    for part in parts:
        traceback.clear_frames(part.__traceback__)
    if importing:
        return f"out of memory before it begins ({told}): {LIBRARIES}; {allowance()}"
    takes = "".join([f" {part};" for part in parts if isinstance(part, MemoryShortage)][:1])
    what = ", ".join(settings(name, params)) or "the size of the model or of the data"
    others = ", end other programs, or take a machine or a limit with more"
    lines = (
        f"out of memory ({told});{takes} {allowance()}; lower {what}{others}",
        f"out of memory;{takes} {allowance()}; lower {what}{others}",
        f"out of memory;{takes} {allowance()}; lower {what}",
        f"out of memory;{takes} lower batch_size or max_length in params.yaml",
    )
    room = LONGEST - len(f"minnow {name}: ")
    return next((line for line in lines if len(line) <= room), lines[-1])


def is_import(error: BaseException) -> bool:
    """Whether an error came while a module was loaded."""
    frames = traceback.extract_tb(error.__traceback__)
    loading = any(
        frame.name == "<module>" or "importlib._bootstrap" in frame.filename for frame in frames
    )
    return isinstance(error, ImportError) or loading


def settings(name: str, params: Params) -> list[str]:
    """Return what decides a stage's memory, with the values in force."""
    if name not in TRAINED:
        return []
    try:
        document = params()
        training, length = (key.format(preset=document["preset"]) for key in TRAINED[name])
        keys = (f"{training}.training.batch_size", f"{length}.max_length")
        return [f"{key} (now {value_at(document, key)})" for key in keys]
    except Exception:  # nothing may hide what is being told
        return []


def value_at(document: Any, key: str) -> Any:
    """Return what params hold at a dotted key."""
    for part in key.split("."):
        document = document[part]
    return document


def allowance() -> str:
    """Return how much memory this process may take, in words."""
    limit = limit_of("AS")
    if limit is not None:
        return f"`ulimit -v` allows {limit / 1e9:.2f} GB: raise it"
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"this machine has {total / 1e9:.1f} GB"


def limit_of(kind: str) -> int | None:
    """Return the bytes that `ulimit -v` (`AS`) or `ulimit -f` (`FSIZE`) allows, None where nothing
    limits them.
    """
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    soft: int = resource.getrlimit(getattr(resource, f"RLIMIT_{kind}"))[0]
    return None if soft == resource.RLIM_INFINITY else soft


def too_little() -> str | None:
    """Return what to say where not even the libraries fit, which would die without our words."""
    limit = limit_of("AS")
    if limit is None or limit >= LEAST_ADDRESS_SPACE:
        return None
    return f"out of memory before it begins: {LIBRARIES}; {allowance()}"
