"""What must hold after a fault: bytes, one line, nothing half written, nothing elsewhere."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

LONGEST = 300
RESULTS = ("data", "models", "metrics", "reports")


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def results(root: Path, tops: Iterable[str] = RESULTS) -> dict[str, str]:
    """Return the digest of every file that the pipeline made or read."""
    return {
        file.relative_to(root).as_posix(): sha(file)
        for top in tops
        for file in sorted((root / top).rglob("*"))
        if file.is_file()
    }


def differences(found: dict[str, str], wanted: dict[str, str]) -> list[str]:
    return [key for key in sorted({*found, *wanted}) if found.get(key) != wanted.get(key)]


def leftovers(root: Path) -> list[str]:
    """Return what was begun and not finished: partial files, checkpoints, scratch checkouts."""
    partial = [path for path in root.rglob("*.partial") if ".git" not in path.parts]
    unfinished = [
        path
        for path in (root / ".minnow").rglob("*")
        if path.is_file() and path.suffix != ".damaged"  # set aside for whoever looks into it
    ]
    return [path.relative_to(root).as_posix() for path in [*partial, *unfinished]]


def bad_objects(root: Path) -> list[str]:
    """Return the objects of DVC's cache whose bytes are not what their names say."""
    bad = []
    for file in sorted((root / ".dvc" / "cache" / "files" / "md5").glob("??/[!.]*")):
        name = file.parent.name + file.name.removesuffix(".dir")
        if len(name) == 32 and hashlib.md5(file.read_bytes()).hexdigest() != name:
            bad.append(name)
    return bad


def lines(text: str) -> list[str]:
    """Return what was printed, line by line, without progress bars."""
    return [line for line in re.split(r"[\r\n]+", text) if line.strip() and "%|" not in line]


def refusals(text: str) -> list[str]:
    """Return the lines in which a stage refused or gave up: `minnow STAGE: ...`."""
    return [line for line in lines(text) if re.match(r"minnow [\w.]+: ", line)]


def wordy(text: str) -> str:
    """Return what is wrong with the words of a run that failed, or nothing."""
    if "Traceback" in text:
        return f"a traceback: {' | '.join(lines(text)[-2:])[:300]}"
    said = refusals(text)
    if len(said) != 1:
        return f"{len(said)} lines of ours: {' | '.join(lines(text)[-3:])[:300]}"
    if len(said[0]) > LONGEST:
        return f"a line of {len(said[0])} characters: {said[0][:120]}…"
    return ""


def remedies(line: str) -> list[str]:
    """Return the commands that a line names between backquotes."""
    return re.findall(r"`([^`]+)`", line)
