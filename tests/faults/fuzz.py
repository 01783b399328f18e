"""Ten thousand hostile inputs: `python tests/faults/fuzz.py [KIND ...] [--cases N] [--seed N]`.

Every case has a number, from which alone it is made: `--first N --cases 1 KIND` tries it again. A
case ends well or in one line of ours; it starts nothing, reaches nothing, writes nothing elsewhere.
"""

import argparse
import contextlib
import faulthandler
import gzip
import importlib
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent / "src"), str(TESTS)]

from faults import page  # noqa: E402
from faults.judging import LONGEST, wordy  # noqa: E402
from faults.nasty import (  # noqa: E402
    FIELDS,
    HEADS,
    broken_bytes,
    broken_json,
    broken_rows,
    broken_yaml,
)
from faults.watching import watching  # noqa: E402

SHARES = {"params": 4000, "data": 4000, "release": 2000}
SECONDS, MEMORY = 10.0, 12 << 30
SOURCE = {"source": "file", "text_column": "url", "label_column": "label", "positive_label": 1}
URLS = [[f"site{n}.example{n}.org/path/{n}", str(n % 2)] for n in range(80)]
NAMES = (
    *(["urls.csv"] * 8 + ["urls.tsv", "urls.jsonl", "urls.parquet"] * 2),
    *("urls.csv.gz", "urls.jsonl.gz", "urls", "urls.xlsx", "urls.CSV"),
)


class Hang(BaseException):
    """A case took longer than it may."""


# --- Cases: each lays its input out in an empty folder and returns what to call -------------------

Case = Callable[[Path, random.Random], Callable[[], object]]


def params_case(place: Path, chance: random.Random) -> Callable[[], object]:
    text = (TESTS.parent / "params.yaml").read_text(encoding="utf-8")
    bare = "\n".join(line.split("  #")[0] for line in text.splitlines() if line.strip()[:1] != "#")
    (place / "params.yaml").write_bytes(broken_yaml(bare, chance))
    stage = chance.choice(["", "distill", "prepare", "recover", "evaluate", "compare"])
    return lambda: loaded(place, stage) if stage else staged(place, "check")


def loaded(root: Path, stage: str) -> None:
    """Read params.yaml as a stage does first of all."""
    importlib.import_module(f"minnow.stages.{stage}").Params.load(root)


def data_case(place: Path, chance: random.Random) -> Callable[[], object]:
    import yaml

    from helpers.data import FIELDS as NOTHING
    from helpers.data import SPLIT

    name = chance.choice(NAMES)
    split = {**SPLIT, "split": chance.choice(["domain", "random"])}
    block = {**NOTHING, **split, **SOURCE, "path": f"data/raw/file/{name}"}
    if chance.random() < 0.2:
        keys = ["text_column", "label_column", "positive_label", "negative_label", "split_column"]
        block[chance.choice(keys)] = chance.choice([*FIELDS, "split", "label", 0, 1.0, True, "bad"])
    if chance.random() < 0.03:
        block["path"] = chance.choice(["/dev/zero", "data/raw/file", "../x.csv", "/dev/stdin", "."])
    folder = place / "data" / "raw" / "file"
    folder.mkdir(parents=True)
    document = {"preset": "file", "presets": {"file": {"data": block}}}
    document |= {"evaluate": {"validation_extra": None}, "extra": {}}
    (place / "params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    file = folder / name
    kind = chance.random()
    if kind < 0.01:
        os.mkfifo(file)
    elif kind < 0.02:
        file.symlink_to(chance.choice(["/dev/zero", "/etc/passwd", "..", name]))
    elif kind < 0.03:
        file.mkdir()
    else:
        file.write_bytes(data_bytes(name, chance))
    return lambda: staged(place, "prepare")


def data_bytes(name: str, chance: random.Random) -> bytes:
    """Return a file of labelled URLs, of the kind that its name says or of another, and broken."""
    kind = chance.choice([name.split(".")[1] if "." in name else "csv"] * 6 + ["csv", "jsonl"])
    rows = broken_rows([["url", "label"], *URLS], chance) if chance.random() < 0.8 else []
    rows = rows or [["url", "label"], *URLS]
    if kind == "jsonl":
        content = "\n".join(jsonl_line(row, chance) for row in rows[1:]).encode(errors="replace")
    elif kind == "parquet":
        content = parquet_bytes(rows)
    else:
        between = "\t" if kind == "tsv" else chance.choice([","] * 8 + [";", "\t", "|"])
        end = chance.choice(["\n"] * 6 + ["\r\n", "\r", "\n\n"])
        content = end.join(between.join(row) for row in rows).encode("utf-8", "surrogatepass")
        if chance.random() < 0.05:
            content = content.decode(errors="replace").encode("utf-16")
    if chance.random() < 0.15:
        content = chance.choice(HEADS).encode("latin-1", "replace") + content
    if name.endswith(".gz") != (chance.random() < 0.05):
        content = gzip.compress(content, 1)
    return broken_bytes(content, chance) if chance.random() < 0.4 else content


def jsonl_line(row: list[str], chance: random.Random) -> str:
    record = {f"{key}": value for key, value in zip(["url", "label"], row, strict=False)}
    return broken_json(record, chance) if chance.random() < 0.03 else json.dumps(record)


def parquet_bytes(rows: list[list[str]]) -> bytes:
    import polars as pl

    wide = max(len(row) for row in rows)
    columns = [[row[n] if n < len(row) else None for row in rows[1:]] for n in range(wide)]
    names = ["url", "label", *(f"more{n}" for n in range(wide))]
    clean = [[t and t.encode(errors="replace").decode() for t in column] for column in columns]
    out = io.BytesIO()
    pl.DataFrame(dict(zip(names, clean, strict=False))).write_parquet(out)
    return out.getvalue()


def release_case(place: Path, chance: random.Random) -> Callable[[], object]:
    folder = place / "release"
    shutil.copytree(good_release(), folder)
    files = sorted(file for file in folder.iterdir() if file.name != "manifest.json")
    believed = chance.random() < 0.15
    if believed:
        plant(folder, chance)
    else:
        for file in chance.sample(files, chance.choice([1, 1, 2])):
            break_file(file, chance)
        if chance.random() < 0.85:
            match_manifest(folder)
        if chance.random() < 0.15:
            manifest = folder / "manifest.json"
            manifest.write_text(broken_json(json.loads(manifest.read_text()), chance))

    def asks() -> None:
        answered(folder, same=believed)

    return asks


def break_file(file: Path, chance: random.Random) -> None:
    kind = chance.random()
    if kind < 0.02:
        file.unlink()
    elif kind < 0.05:
        file.unlink()
        how = chance.choice(["fifo", "zero", "folder", "itself", "outside"])
        if how == "fifo":
            os.mkfifo(file)
        elif how == "folder":
            file.mkdir()
        else:
            target = {"zero": "/dev/zero", "itself": file.name, "outside": "/etc/passwd"}[how]
            file.symlink_to(target)
    elif file.suffix == ".json" and kind < 0.85:
        file.write_text(broken_json(json.loads(file.read_text(encoding="utf-8")), chance))
    elif file.suffix == ".safetensors" and kind < 0.6:
        file.write_bytes(broken_header(file.read_bytes(), chance))
    else:
        file.write_bytes(broken_bytes(file.read_bytes(), chance))


def broken_header(content: bytes, chance: random.Random) -> bytes:
    size = int.from_bytes(content[:8], "little")
    header = broken_json(json.loads(content[8 : 8 + size]), chance).encode(errors="replace")
    length = len(header) if chance.random() < 0.8 else chance.choice([0, 1, 2**40, 2**63])
    return length.to_bytes(8, "little") + header + content[8 + size :]


def plant(folder: Path, chance: random.Random) -> None:
    """Put a file into a release that its manifest does not list."""
    adapter = {"peft_type": "LORA", "base_model_name_or_path": "x", "r": 8, "task_type": "SEQ_CLS"}
    pickle = b"cos\nsystem\n(S'touch VICTIM'\ntR."
    planted = {
        "adapter_config.json": json.dumps(adapter).encode(),
        "pytorch_model.bin": pickle,
        "model.safetensors.index.json": b'{"weight_map": {"a": "../x.safetensors"}}',
        "modeling_x.py": b"open('VICTIM', 'w')",
        "tokenizer.py": b"open('VICTIM', 'w')",
        "added_tokens.json": b'{"http": 5}',
        "special_tokens_map.json": b'{"pad_token": "http"}',
        "vocab.txt": b"[PAD]\nhttp\n",
        "merges.txt": b"#version: 0.2\nh t\n",
        "generation_config.json": b"{}",
        "chat_template.jinja": b"{{ 1 }}",
        "quantization_config.json": b'{"load_in_8bit": true}',
        "adapter_model.safetensors": b"\0" * 64,
        "minnow.safetensors": b"\0" * 64,
        "sentencepiece.bpe.model": b"x",
    }
    for name in chance.sample(sorted(planted), chance.choice([1, 1, 2, 4])):
        if not (folder / name).exists():
            (folder / name).write_bytes(planted[name])


def match_manifest(folder: Path) -> None:
    """Let the manifest list what now lies there, so that it is parsed and not merely refused."""
    from minnow.core.files import sha256

    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    for name in list(manifest["files"]):
        file = folder / name
        if file.is_file() and not file.is_symlink():
            manifest["files"][name] = {"bytes": file.stat().st_size, "sha256": sha256(file)}
    path.write_text(json.dumps(manifest), encoding="utf-8")


def answered(folder: Path, *, same: bool) -> None:
    """Load and ask; what an unlisted file changed is an error of ours."""
    import minnow

    asked = ["example.com/login", "http://a.example.org/?q=1"]
    found = minnow.load(folder, device="cpu").predict(asked)
    if same:
        assert found == good_answers(asked), f"an unlisted file changed {found}"


_made: dict[str, Any] = {}


def good_release() -> Path:
    if "release" not in _made:
        from helpers.release import packable
        from minnow.layout import Layout
        from minnow.models.building import train_tokenizer
        from minnow.models.params import BuildParams
        from minnow.stages import package

        shape = {"layers": 1, "heads": 2, "hidden_size": 64, "intermediate_size": 128}
        tokenizer = train_tokenizer(["a.com/x", "http://b.org"] * 5, vocabulary=300, max_length=32)
        built = BuildParams(architecture="bert", dropout=0.1, **shape)
        _made["folder"] = tempfile.TemporaryDirectory()  # removed when this process ends
        root = packable(Path(_made["folder"].name) / "p", tokenizer, built)
        package.main(root)
        _made["release"] = Layout(root).release
    return Path(_made["release"])


def good_answers(asked: list[str]) -> Any:
    if "answers" not in _made:
        import minnow

        _made["answers"] = minnow.load(good_release(), device="cpu").predict(asked)
    return _made["answers"]


CASES: dict[str, Case] = {"params": params_case, "data": data_case, "release": release_case}


# --- The loop -------------------------------------------------------------------------------------


def tried(kind: str, number: int, seed: int, place: Path) -> tuple[str, str]:
    """Return how one case ended: `fine`, `refused`, or `broken` with what is wrong."""
    chance = random.Random(f"{kind} {seed} {number}")
    shutil.rmtree(place, ignore_errors=True)
    inside, scratch = place / "victim" / "checkout", place / "tmp"
    for folder in (inside, scratch):
        folder.mkdir(parents=True)
    call = CASES[kind](inside, chance)
    before = {path for path in place.rglob("*") if inside not in path.parents}
    tempfile.tempdir = str(scratch)
    try:
        with watching(inside, scratch) as seen:
            how, words = outcome(call)
    finally:
        tempfile.tempdir = None
    if seen:
        return "broken", f"did {seen[0]}"
    after = {path for path in place.rglob("*") if inside not in path.parents}
    if before != after or list(inside.rglob("VICTIM")) or Path("VICTIM").exists():
        return "broken", f"wrote {after - before or 'VICTIM'}"
    return how, words


def outcome(call: Callable[[], object]) -> tuple[str, str]:
    """Call, and judge what came of it: an exit code of a stage, an error, or nothing."""
    from helpers.stage import entry_point
    from minnow.errors import MinnowError

    said = io.StringIO()
    try:
        with alarm(), contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            code = call()
    except Hang:
        return "broken", f"hangs, more than {SECONDS:.0f} s in {innermost()}"
    except MinnowError as error:
        if call.__name__ == "asks" and len(str(error)) > LONGEST:  # nobody cuts it for the caller
            return "broken", f"a message of {len(str(error))} characters: {str(error)[:100]}"
        with contextlib.redirect_stderr(said := io.StringIO()):
            code = entry_point().fail("stage", str(error))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic in Rust is no Exception
        return "broken", f"{type(error).__name__} {str(error)[:150]!r} from {innermost()}"
    if not code:
        return "fine", ""
    trouble = wordy(said.getvalue())
    return ("broken", trouble) if trouble else ("refused", said.getvalue())


def staged(root: Path, *words: str) -> int:
    """Run the entry point's `main` on a project, in this process, and return its exit code."""
    from helpers.stage import entry_point

    stage = entry_point()
    stage.ROOT, stage.prepare_process = root, lambda: None  # type: ignore[attr-defined]
    return int(stage.main(list(words)))


def innermost() -> str:
    """Return the places of ours that an error came through, the last one first."""
    frames = traceback.extract_tb(sys.exc_info()[2])
    ours = [frame for frame in frames if "/minnow/" in frame.filename]
    last = ours[-2:] or frames[-1:]
    return " < ".join(f"{Path(each.filename).name}:{each.name}" for each in reversed(last))


@contextmanager
def alarm() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise Hang

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    faulthandler.dump_traceback_later(6 * SECONDS, exit=True)  # what an alarm cannot interrupt
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()


def fuzz(kind: str, numbers: range, seed: int) -> tuple[dict[str, int], dict[str, list[int]]]:
    """Return how many cases ended how, and the numbers of the broken ones by what is wrong."""
    counts: dict[str, int] = defaultdict(int)
    broken: dict[str, list[int]] = defaultdict(list)
    place = Path(tempfile.mkdtemp(prefix="fuzz-"))
    for number in numbers:
        how, words = tried(kind, number, seed, place)
        counts[how] += 1
        if how == "broken":  # alike but for numbers and names is the same
            broken[re.sub(r"\d+|'[^']{40,}'", "…", words)].append(number)
    shutil.rmtree(place, ignore_errors=True)
    return counts, broken


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=list(CASES))
    parser.add_argument("--cases", type=int, help="of each kind; default 10,000 in all")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, help="a folder for fuzz.json; none by default")
    asked = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    bad = 0
    for kind in asked.kinds:
        begun = time.monotonic()
        cases = SHARES[kind] if asked.cases is None else asked.cases
        counts, broken = fuzz(kind, range(asked.first, asked.first + cases), asked.seed)
        seconds = round(time.monotonic() - begun, 1)
        print(f"{kind}: {dict(counts)} in {seconds} s", flush=True)
        for words, numbers in sorted(broken.items(), key=lambda item: -len(item[1])):
            print(f"  {len(numbers)} × {words} (cases {numbers[:4]})")
        bad += counts["broken"]
        if asked.results:
            note(asked.results, kind, counts)
    return int(bad > 0)


def note(folder: Path, kind: str, counts: dict[str, int]) -> None:
    """Add the counts of a kind to fuzz.json, and show them in docs/security.md."""
    file = folder / page.FUZZ
    found = json.loads(file.read_text()) if file.exists() else {}
    found[kind] = dict(sorted(counts.items()))
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    if folder.resolve() == page.FOLDER:
        page.write()


if __name__ == "__main__":
    sys.exit(main())
