"""Every fault × every stage: `python tests/faults/matrix.py [--stages a,b] [--faults N,M] ...`.

Writes docs/faults.md, one row a fault, and its seconds into docs/results/fault_seconds.json.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent / "src"), str(TESTS)]

from faults.cells import FAULTS, STAGES, Skipped  # noqa: E402
from faults.stand import Stand, build  # noqa: E402


def main() -> int:
    asked = arguments()
    base = asked.work / "base"
    if not (base / "dvc.lock").exists():
        shutil.rmtree(base, ignore_errors=True)
        base.mkdir(parents=True)
        build(base)
    found = json.loads(asked.results.read_text()) if asked.results.exists() else {}
    for stage in asked.stages:
        for number in asked.faults:
            fault = list(FAULTS)[number]
            begun = time.monotonic()
            outcome = tried(Stand(base, asked.work / "stand", stage, asked.seed), fault)
            seconds = round(time.monotonic() - begun, 1)
            found.setdefault(fault, {})[stage] = {"outcome": outcome, "seconds": seconds}
            asked.results.parent.mkdir(parents=True, exist_ok=True)
            asked.results.write_text(json.dumps(found, indent=1))
            print(f"{number:2} {fault} × {stage}: {outcome} ({seconds} s)", flush=True)
    print(table(found))
    return int(any("BROKEN" in cell["outcome"] for row in found.values() for cell in row.values()))


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


def table(found: dict[str, dict[str, dict[str, object]]]) -> str:
    head = ["fault", *STAGES]
    rows = [head, ["---"] * len(head)]
    for fault, cells in found.items():
        outcomes = [str(cells.get(stage, {}).get("outcome", "")) for stage in STAGES]
        rows.append([fault, *outcomes])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    everything = list(range(len(FAULTS)))
    parser.add_argument("--stages", type=lambda text: text.split(","), default=list(STAGES))
    parser.add_argument(
        "--faults", type=lambda text: [int(part) for part in text.split(",")], default=everything
    )
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "minnow-faults")
    parser.add_argument("--results", type=Path, default=TESTS.parent / "reports" / "faults.json")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
