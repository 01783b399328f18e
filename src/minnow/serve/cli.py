"""The command `minnow`: classify, info, verify."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from minnow.errors import MinnowError, shortened, tell
from minnow.serve.reading import FORMATS

# What a shell says of a process that ended so.
INTERRUPTED, BROKEN_PIPE = 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 2 for what was typed wrong, 1 for what went wrong."""
    keep_places()
    asked = parser().parse_args(arguments)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # --jobs says how many cores
    try:
        asked.run(asked)
        sys.stdout.flush()
    except MinnowError as error:
        tell(str(error))
        return 1
    except BrokenPipeError:  # whoever reads has enough
        _silence()
        return BROKEN_PIPE
    except OSError as error:
        _silence()
        name = shortened(str(error.filename or "standard output"))
        told = error.strerror or str(error)
        tell(f"{name} cannot be used ({told}); mend that, and run it again")
        return 1
    except MemoryError:
        tell("there is too little memory; give fewer --jobs, or use a machine with more")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def keep_places() -> None:
    """Open what was closed of standard input, output and error, so that no file of ours takes its
    number; whoever reads the input or writes the output then gets an error.
    """
    for number, mode in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest number that is free
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _silence() -> None:
    """Let go what standard output still holds, lest it fails once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def parser() -> argparse.ArgumentParser:
    """Return what may be typed."""
    top = argparse.ArgumentParser(prog="minnow", description="Classify URLs with a release.")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    _add_classify(commands.add_parser("classify", help="add probability and label to each record"))
    for name, run, words in (
        ("info", _info, "say what a release is"),
        ("verify", _verify, "compare a release with its checksums"),
    ):
        command = commands.add_parser(name, help=words, description=words)
        command.add_argument("folder", metavar="FOLDER", help="the folder of a release")
        command.set_defaults(run=run)
    return top


def _add_classify(command: argparse.ArgumentParser) -> None:
    command.description = (
        "Add probability and label to each line, row or object. Order is kept, and what holds no"
        " URL stays in its place without an answer."
    )
    add = command.add_argument
    add("folder", metavar="FOLDER", help="the folder of a release")
    kinds = "txt, csv, jsonl, also .gz, or parquet; - is standard input"
    add("file", metavar="FILE", nargs="?", default="-", help=kinds)
    add("--output", metavar="FILE", help="write there; the same command goes on where it ended")
    add("--format", choices=FORMATS, help="of the input, where its name does not say it")
    add("--column", metavar="NAME", help="the column or key that holds the URLs")
    add("--threshold", metavar="P", type=_probability, help="label above this probability")
    add("--jobs", metavar="N", type=_count, default=1, help="processes; 1 by default")
    command.set_defaults(run=_classify)


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("give a probability from 0 to 1")
    return value


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 1_024):
        raise argparse.ArgumentTypeError("give a number of processes from 1 to 1024")
    return int(text)


def _classify(asked: argparse.Namespace) -> None:
    from minnow.serve.answers import Asked
    from minnow.serve.classify import classify

    given = {name: value for name, value in vars(asked).items() if name != "run"}
    classify(Asked(**given))


def _info(asked: argparse.Namespace) -> None:
    from minnow.serve.describing import info

    _say(info(Path(asked.folder)))


def _verify(asked: argparse.Namespace) -> None:
    from minnow.serve.describing import verify

    _say(verify(Path(asked.folder)))


def _say(text: str) -> None:
    """Print a text, with escapes for the letters that standard output has none for."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


if __name__ == "__main__":
    sys.exit(main())
