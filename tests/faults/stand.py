"""A tiny pipeline that ran once, undisturbed, and copies in which one stage is to run again."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from faults.judging import lines, results
from helpers.pipeline import ENVIRONMENT, TRAINING, checkout, edit, run

# Stage → its name in DVC, the words that src/stage.py takes.
STAGES = {
    "teacher": ("teacher", "teacher"),
    "distill": ("distill", "distill"),
    "recover": ("recover", "recover"),
    "control": ("control@no_teacher", "control no_teacher"),
}
# Long enough to be struck in the middle.
STUDENT = {**TRAINING, "epochs": 4, "batch_size": 16}
CHECKPOINTED = "CHECKPOINT_SECONDS = 60.0", "CHECKPOINT_SECONDS = 0.1"


def build(folder: Path) -> Path:
    """Run the whole tiny pipeline, recovery and a control included, checkpoints often."""
    checkout(folder)
    loop = folder / "src" / "minnow" / "training" / "loop.py"
    text = loop.read_text()
    assert CHECKPOINTED[0] in text
    loop.write_text(text.replace(*CHECKPOINTED))
    edit(
        folder,
        controls=["no_teacher"],
        recover__training={**STUDENT, "learning_rate": 1.0e-3},
        presets__embedded__student__training=STUDENT,
        presets__embedded__teacher__training={**TRAINING, "batch_size": 16},
    )
    run(folder, "dvc", "repro")
    for words in (["add", "--all"], ["commit", "--quiet", "--message", "results"]):
        run(folder, "git", *words)
    return folder


@dataclass(frozen=True)
class Stand:
    """A copy of the base in a folder of its own, in which `stage` has not run yet.

    Beside the checkout lie the places that a run may write to: `tmp`, `home`, and DVC's `site`.
    """

    base: Path
    place: Path
    stage: str
    seed: int

    @property
    def root(self) -> Path:
        return self.place / "checkout"

    @property
    def target(self) -> str:
        return STAGES[self.stage][0]

    @property
    def command(self) -> str:
        return STAGES[self.stage][1]

    @property
    def environment(self) -> dict[str, str]:
        places = {"TMPDIR": "tmp", "HOME": "home", "DVC_SITE_CACHE_DIR": "site", "HF_HOME": "home"}
        return {
            **{key: value for key, value in ENVIRONMENT.items() if key != "PYTHONPATH"},
            **{name: str(self.place / folder) for name, folder in places.items()},
            "DVC_GLOBAL_CONFIG_DIR": str(self.place / "home"),
        }

    def random(self) -> random.Random:
        return random.Random(f"{self.stage} {self.seed}")

    def entry(self, part: str) -> list[str]:
        """Return the paths of the stage in the base's dvc.lock: its `deps` or its `outs`."""
        stages = yaml.safe_load((self.base / "dvc.lock").read_text())["stages"]
        return [fact["path"] for fact in stages[self.target][part]]

    def lay_out(self) -> None:
        """Copy the base, times and all, and forget the stage: its outs, objects and entry."""
        shutil.rmtree(self.place, ignore_errors=True)
        for name in ("tmp", "home", "site"):
            (self.place / name).mkdir(parents=True)
        subprocess.run(["cp", "-a", str(self.base), str(self.root)], check=True)
        self.forget()

    def forget(self) -> None:
        lock = self.root / "dvc.lock"
        document = yaml.safe_load(lock.read_text())
        del document["stages"][self.target]
        lock.write_text(yaml.safe_dump(document, sort_keys=False))
        shutil.rmtree(self.root / ".dvc" / "cache" / "runs", ignore_errors=True)
        outs = [self.root / path for path in self.entry("outs")]
        mine = {md5(file) for out in outs for file in files_below(out)}
        for out in outs:
            shutil.rmtree(out) if out.is_dir() else out.unlink()
        others = {md5(file) for top in ("data", "models") for file in files_below(self.root / top)}
        for name in mine - others:
            (self.root / ".dvc/cache/files/md5" / name[:2] / name[2:]).unlink(missing_ok=True)

    def inputs(self) -> list[Path]:
        """Return the data files, not the code, that the stage reads."""
        deps = [self.root / path for path in self.entry("deps") if not path.startswith("src/")]
        return [file for dep in deps for file in files_below(dep) if file.name != ".gitkeep"]

    def outputs(self) -> dict[str, str]:
        return results(self.root, self.entry("outs"))

    def checkpoints(self) -> list[Path]:
        found = (self.root / ".minnow").rglob("checkpoints/*")
        return [path for path in found if path.is_file() and path.suffix == ".pt"]

    def under_way(self) -> bool:
        return bool(self.checkpoints())


@dataclass
class Repro:
    """A `dvc repro` that runs, and the file that it prints into."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def poll(self) -> int | None:
        return self.process.poll()

    def wait(self, seconds: float = 240.0) -> int:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            raise AssertionError(f"hangs: {' | '.join(lines(self.text())[-3:])}") from None

    def text(self) -> str:
        return self.log.read_text(errors="replace")


def begin(stand: Stand, *words: str, before: tuple[str, ...] = ()) -> Repro:
    """Start `dvc repro STAGE` in a session of its own; `before` are words such as `unshare -n`."""
    number = len(list(stand.place.glob("log*")))
    log = stand.place / f"log{number}"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*before, "dvc", "repro", *(words or [stand.target])],
            cwd=stand.root,
            env=stand.environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # a shell in the background has its children ignore Ctrl-C
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # type: ignore[arg-type]
        )
    return Repro(process, log)


def begin_and_wait(stand: Stand) -> Repro:
    """Start it, and return at a seeded moment of its training."""
    repro = begin(stand)
    wait_for(lambda: stand.under_way() or repro.poll() is not None)
    assert repro.poll() is None, f"ended before its training: {repro.text()[-500:]}"
    time.sleep(stand.random().uniform(0.0, 0.4))
    return repro


def stage_processes(root: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if "src/stage.py" in process.cmdline() and process.cwd() == str(root):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def wait_for(condition: Callable[[], Any], seconds: float = 120.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def files_below(path: Path) -> list[Path]:
    return sorted(file for file in [path, *path.rglob("*")] if file.is_file())


def md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes()).hexdigest()


def flip(path: Path, chance: random.Random) -> int:
    """Flip one bit as failing hardware does, size and times kept, and return its place."""
    stat, content = path.stat(), bytearray(path.read_bytes())
    place = chance.randrange(len(content))
    content[place] ^= 1 << chance.randrange(8)
    path.chmod(0o644)
    with path.open("r+b") as file:  # the same inode, which DVC looks at
        file.write(content)
    path.chmod(stat.st_mode)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    return place


@contextmanager
def small_disk(path: Path, spare: int = 8_000_000) -> Iterator[Path]:
    """Move what lies at `path` to a file system in memory with `spare` bytes more than that."""
    used = sum(file.stat().st_size + 4096 for file in path.rglob("*"))
    kept = path.with_name(f"{path.name}.kept")
    path.rename(kept)
    path.mkdir()
    options = f"size={used + spare},mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(path)], check=True)
    try:
        subprocess.run(["cp", "-a", f"{kept}/.", str(path)], check=True)
        shutil.rmtree(kept)
        yield path
        shutil.copytree(path, kept, symlinks=True)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
    path.rmdir()
    kept.rename(path)


def fill(disk: Path, leave: int) -> Path:
    """Fill a file system but for `leave` bytes, though a stage writes to it; return the filler."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as out:
        try:
            while True:
                out.write(bytes(65_536))
        except OSError:
            pass
        out.truncate(max(0, out.tell() - leave))
    return filler


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """Mount a folder on itself, read only: even root cannot write to it then."""
    subprocess.run(["mount", "--bind", str(path), str(path)], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def can_mount() -> bool:
    """Return whether this process may mount, as root outside a container may."""
    return (
        os.geteuid() == 0
        and not subprocess.run(
            ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True
        ).returncode
    )
