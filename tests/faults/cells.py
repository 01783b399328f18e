"""The faults: each strikes one stage of a stand, and returns how that ended."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from faults.forks import Forks
from faults.judging import (
    bad_objects,
    differences,
    leftovers,
    lines,
    refusals,
    remedies,
    results,
    wordy,
)
from faults.stand import (
    Stand,
    begin,
    begin_and_wait,
    can_mount,
    files_below,
    fill,
    flip,
    md5,
    read_only,
    small_disk,
    stage_processes,
    wait_for,
)

SAME, LINE, BOTH = "same bytes", "one line", "one line, then same bytes"
# Who reads what a stage wrote.
READERS = {
    "teacher": "teacher_logits",
    "distill": "quantize",
    "recover": "predict quantized",
    "control": "evaluate",
}
ALLOWED = {"checkout", "tmp", "home", "site"}


class Broken(AssertionError):
    """A cell that did not end as it must; its text says how."""


@dataclass(frozen=True)
class Skipped(Exception):
    """A cell that this machine cannot try; says why."""

    why: str


def hold(condition: object, words: str) -> None:
    if not condition:
        raise Broken(words)


def recovered(stand: Stand) -> None:
    """Run `dvc repro` undisturbed: the bytes of the base, and nothing left of the fault."""
    repro = begin(stand)
    code, text = repro.wait(), repro.text()
    hold(code == 0, f"the next run failed with {code}: {' | '.join(lines(text)[-4:])[:400]}")
    judge_places(stand)


def judge_places(stand: Stand) -> None:
    changed = differences(results(stand.root), results(stand.base))
    hold(not changed, f"other bytes than undisturbed: {changed[:4]}")
    hold(not (left := leftovers(stand.root)), f"left over: {left[:4]}")
    hold(not (bad := bad_objects(stand.root)), f"bad objects in DVC's cache: {bad[:3]}")
    outside = {path.name for path in stand.place.iterdir()} - ALLOWED
    strange = {name for name in outside if not name.startswith("log")}
    hold(not strange, f"written outside the checkout: {strange}")


def in_words(text: str) -> None:
    hold(not (trouble := wordy(text)), trouble)


# --- Ends -----------------------------------------------------------------------------------------


def strike_stage(number: int) -> Callable[[Stand], str]:
    def cell(stand: Stand) -> str:
        repro = begin_and_wait(stand)
        for stage in stage_processes(stand.root):
            stage.send_signal(number)
        hold(repro.wait() != 0, "dvc says that all went well")
        hold("Traceback" not in repro.text(), "a traceback")
        hold(not any((stand.root / out).exists() for out in stand.entry("outs")), "an out is there")
        recovered(stand)
        return SAME

    return cell


def strike_dvc(number: int, *, group: bool = False) -> Callable[[Stand], str]:
    def cell(stand: Stand) -> str:
        repro = begin_and_wait(stand)
        (os.killpg if group else os.kill)(repro.pid, number)
        hold(repro.wait() != 0, "dvc says that all went well")
        hold(wait_for(lambda: not stage_processes(stand.root), 30), "the stage runs on, an orphan")
        if number == signal.SIGINT:
            in_words(repro.text())
        hold("Traceback" not in repro.text(), "a traceback")
        recovered(stand)
        return SAME

    return cell


# --- No room --------------------------------------------------------------------------------------


def disk_full_in_the_folder(stand: Stand) -> str:
    need_mounts()
    with small_disk(stand.root):
        repro = begin_and_wait(stand)
        filler = fill(stand.root, 20_000)
        code = repro.wait()
        filler.unlink()
        hold(code != 0, "dvc says that all went well")
        in_words(repro.text())
        recovered(stand)
    return BOTH


def disk_full_in_the_cache(stand: Stand) -> str:
    need_mounts()
    with small_disk(stand.root / ".dvc" / "cache"):
        filler = fill(stand.root / ".dvc" / "cache", 8_000)
        repro = begin(stand)
        code = repro.wait()
        hold("Traceback" not in repro.text(), "a traceback")
        hold(code != 0 or "No space left" in repro.text(), "nothing is said of the full disk")
        filler.unlink()
        recovered(stand)
    return BOTH


def disk_full_in_tmpdir(stand: Stand) -> str:
    need_mounts()
    with small_disk(stand.place / "tmp", 65_536):
        fill(stand.place / "tmp", 0)
        repro = begin(stand)
        code = repro.wait()
        (stand.place / "tmp" / "filler").unlink()
        if code:
            in_words(repro.text())
            recovered(stand)
            return BOTH
        judge_places(stand)
    return SAME


def file_size_limit(stand: Stand) -> str:
    """Like a quota: no file may grow above 100 kB."""
    repro = begin_and_wait(stand)
    for stage in stage_processes(stand.root):
        subprocess.run(["prlimit", "--pid", str(stage.pid), "--fsize=100000"], check=True)
    hold(repro.wait() != 0, "dvc says that all went well")
    in_words(repro.text())
    recovered(stand)
    return BOTH


def memory_in_mid_training(stand: Stand) -> str:
    repro = begin_and_wait(stand)
    for stage in stage_processes(stand.root):
        limit = stage.memory_info().vms // 2
        subprocess.run(["prlimit", "--pid", str(stage.pid), f"--as={limit}"], check=True)
    if repro.wait():
        in_words(repro.text())
    recovered(stand)
    return BOTH


def memory_at_the_start(stand: Stand) -> str:
    """At several limits, since another library is the one that finds no memory."""
    for gigabytes in (0.5, 1.0, 2.0):
        limit = ["prlimit", f"--as={int(gigabytes * 1e9)}"]
        done = subprocess.run(
            [*limit, sys.executable, "src/stage.py", *stand.command.split()],
            cwd=stand.root,
            env=stand.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        text = done.stdout + done.stderr
        hold("Traceback" not in text, f"a traceback at {gigabytes} GB: {lines(text)[-1:]}")
        # Where a library finds no memory while it is loaded, it ends the process in its own words.
        ours = bool(refusals(text))
        hold(not done.returncode or not ours or not wordy(text), f"{gigabytes} GB: {wordy(text)}")
        hold(not done.returncode or text.strip(), f"code {done.returncode} without a word")
    recovered(stand)
    return BOTH


# --- The surroundings -----------------------------------------------------------------------------


def no_network(stand: Stand) -> str:
    need_mounts()
    repro = begin(stand, before=("unshare", "--net"))
    hold(repro.wait() == 0, f"failed: {' | '.join(lines(repro.text())[-3:])[:300]}")
    judge_places(stand)
    return SAME


def read_only_folder(stand: Stand) -> str:
    need_mounts()
    out = stand.root / stand.entry("outs")[0]
    with read_only(out.parent):
        repro = begin(stand)
        hold(repro.wait() != 0, "dvc says that all went well")
        in_words(repro.text())
    recovered(stand)
    return BOTH


def two_at_once(stand: Stand) -> str:
    both = [begin(stand), begin(stand)]
    codes = [each.wait() for each in both]
    for code, each in zip(codes, both, strict=True):
        hold("Traceback" not in each.text(), f"a traceback, code {code}")
        told = [line for line in lines(each.text()) if line.startswith(("ERROR", "minnow "))]
        hold(code == 0 or told, f"code {code} without a word")
    hold(0 in codes, f"neither came through: {codes}")
    recovered(stand)
    return SAME


# --- Damage ---------------------------------------------------------------------------------------


def damaged_checkpoint(damage: str) -> Callable[[Stand], str]:
    def cell(stand: Stand) -> str:
        repro = begin_and_wait(stand)
        for stage in stage_processes(stand.root):
            stage.kill()
        repro.wait()
        chance = stand.random()
        for file in stand.checkpoints():
            content = file.read_bytes()
            if damage == "flipped":
                flip(file, chance)
            elif damage == "cut short":
                file.write_bytes(content[: chance.randrange(len(content))])
            elif damage == "junk":
                file.write_bytes(chance.randbytes(len(content)))
            else:
                file.unlink()
                file.mkdir()
        again = begin(stand)
        code, text = again.wait(), again.text()
        hold(code == 0, f"the next run failed: {' | '.join(lines(text)[-3:])[:300]}")
        hold("damaged" in text or "resuming" in text, "nothing is said of the checkpoint")
        judge_places(stand)
        return SAME

    return cell


def flipped_inputs(stand: Stand) -> str:
    """A bit of each file that the stage reads, one after the other, then the remedy that is told.

    The stage runs by itself, as under a DVC that believes size and time of a file. What its own
    digests do not cover, the facts of a manifest, it must find in dvc.lock, as it does under DVC.
    """
    chance, forks = stand.random(), Forks(stand.environment)
    told: dict[str, str] = {}
    wanted = results(stand.base, stand.entry("outs"))
    try:
        for file in stand.inputs():
            name, content, stat = file.relative_to(stand.root), file.read_bytes(), file.stat()
            place = flip(file, chance)
            run = forks.begin(stand.root, stand.command, stand.place / "log-flips")
            code = run.wait()
            if code:
                trouble = wordy(run.text())
                hold(not trouble, f"{name}, byte {place}: {trouble}")
                told[str(name)] = refusals(run.text())[0]
            else:
                changed = differences(stand.outputs(), wanted)
                line = line_of_the_lock(stand) if changed else ""
                hold(not changed or line, f"{name}, byte {place}: believed, so {changed[:2]}")
                if line:
                    told[str(name)] = line
            file.write_bytes(content)
            os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    finally:
        forks.close()
    heal(stand, told)
    return BOTH if told else SAME


def line_of_the_lock(stand: Stand) -> str:
    """Return what the stage says under DVC of files that dvc.lock knows otherwise, or nothing."""
    from minnow.errors import MinnowError
    from minnow.recorded import require_recorded

    with mock.patch.dict(os.environ, {"DVC_STAGE": stand.target}):
        try:
            require_recorded(stand.root)
        except MinnowError as error:
            return str(error)
    return ""


def heal(stand: Stand, told: dict[str, str]) -> None:
    """Damage what was noticed once more, one file a folder, and do what the line says."""
    folders = {Path(name).parent: name for name in told}
    for name in folders.values():
        flip(stand.root / name, stand.random())
        repro = begin(stand)
        if repro.wait():
            in_words(repro.text())
            do_as_told(stand, refusals(repro.text())[0])
        recovered(stand)
        stand.forget()


def do_as_told(stand: Stand, line: str) -> None:
    hold(commands := remedies(line), f"names no command: {line}")
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=stand.root,
            env=stand.environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        said = " | ".join(lines(done.stdout + done.stderr)[-3:])[:300]
        hold(done.returncode == 0, f"the remedy `{command}` failed: {said}")


def flipped_cache(stand: Stand) -> str:
    """A bit of each object of the stage's outs in DVC's cache, the outs gone: DVC restores them."""
    repro = begin(stand)
    hold(repro.wait() == 0, "the first run failed")
    chance = stand.random()
    # Metrics and plots are in git, which shows what changed in them.
    (out,) = [path for path in stand.entry("outs") if (stand.root / path).is_dir()]
    for file in files_below(stand.root / out):
        name = md5(file)
        flip(stand.root / ".dvc/cache/files/md5" / name[:2] / name[2:], chance)
    subprocess.run(["rm", "-rf", out], cwd=stand.root, check=True)
    restored = begin(stand)
    restored.wait()
    done = subprocess.run(
        [sys.executable, "src/stage.py", *READERS[stand.stage].split()],
        cwd=stand.root,
        env=stand.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode == 0:
        judge_places(stand)
        return SAME
    in_words(done.stdout + done.stderr)
    do_as_told(stand, refusals(done.stdout + done.stderr)[0])
    recovered(stand)
    return BOTH


def need_mounts() -> None:
    if not can_mount():
        raise Skipped("needs root, to mount a small file system")


FAULTS: dict[str, Callable[[Stand], str]] = {
    "kill -9 of the stage": strike_stage(signal.SIGKILL),
    "SIGTERM to the stage": strike_stage(signal.SIGTERM),
    "kill -9 of dvc": strike_dvc(signal.SIGKILL),
    "SIGTERM to dvc": strike_dvc(signal.SIGTERM),
    "Ctrl-C": strike_dvc(signal.SIGINT, group=True),
    "disk full in the stage's folder": disk_full_in_the_folder,
    "disk full in DVC's cache": disk_full_in_the_cache,
    "disk full in TMPDIR": disk_full_in_tmpdir,
    "limit on the size of files": file_size_limit,
    "memory runs out in mid-training": memory_in_mid_training,
    "memory runs out at the start": memory_at_the_start,
    "no network": no_network,
    "folder read only": read_only_folder,
    "two at once": two_at_once,
    "checkpoint with a flipped bit": damaged_checkpoint("flipped"),
    "checkpoint cut short": damaged_checkpoint("cut short"),
    "checkpoint of junk": damaged_checkpoint("junk"),
    "folder in place of the checkpoint": damaged_checkpoint("folder"),
    "a flipped bit in each file it reads": flipped_inputs,
    "a flipped bit in each object of DVC's cache": flipped_cache,
}
