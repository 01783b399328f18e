"""Every fault × every stage: `python tests/faults/matrix.py [--stages a,b] [--faults 0,3]`.

What it finds goes into docs/faults/outcomes.json and docs/security.md, its seconds into a file of
their own. With `--results` it goes elsewhere, and the page stays as it is.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent / "src"), str(TESTS)]

from faults import page  # noqa: E402
from faults.cells import FAULTS, Skipped  # noqa: E402
from faults.stand import STAGES, Stand, build  # noqa: E402


def main() -> int:
    asked = arguments()
    base = asked.work / "base"
    if not (base / "dvc.lock").exists():
        shutil.rmtree(base, ignore_errors=True)
        base.mkdir(parents=True)
        build(base)
    broken = 0
    for stage in asked.stages:
        for fault in (list(FAULTS)[number] for number in asked.faults):
            begun = time.monotonic()
            outcome = tried(Stand(base, asked.work / "stand", stage, asked.seed), fault)
            seconds = round(time.monotonic() - begun, 1)
            print(f"{fault} × {stage}: {outcome} ({seconds} s)", flush=True)
            note(asked.results / page.OUTCOMES, fault, stage, outcome)
            note(asked.results / page.SECONDS, fault, stage, seconds)
            broken += "BROKEN" in outcome
    print(page.matrix(json.loads((asked.results / page.OUTCOMES).read_text())))
    if asked.results == page.FOLDER:
        page.write()
    return int(broken > 0)


def tried(stand: Stand, fault: str) -> str:
    """Return how a cell ended, in words."""
    stand.lay_out()
    try:
        return FAULTS[fault](stand)
    except Skipped as skipped:
        return f"not tried: {skipped.why}"
    except Exception as error:
        return f"BROKEN: {type(error).__name__}: {' '.join(str(error).split())[:600]}"
    finally:
        shutil.rmtree(stand.place, ignore_errors=True)


def note(file: Path, fault: str, stage: str, found: object) -> None:
    """Put a cell into a JSON file, in the order of faults and stages."""
    table: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    table.setdefault(fault, {})[stage] = found
    ordered = {
        fault: {stage: table[fault][stage] for stage in STAGES if stage in table[fault]}
        for fault in FAULTS
        if fault in table
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(ordered, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    numbers = list(range(len(FAULTS)))
    parser.add_argument("--stages", type=lambda text: text.split(","), default=list(STAGES))
    parser.add_argument(
        "--faults", type=lambda text: [int(part) for part in text.split(",")], default=numbers
    )
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "minnow-faults")
    parser.add_argument("--results", type=Path, default=page.FOLDER)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
