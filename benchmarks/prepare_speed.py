"""How long `prepare` takes and how much memory, by rows: `python benchmarks/prepare_speed.py [ROWS
...]`.

Rows of the generator, written as CSV, go through the stage in a process of its own. Stated target:
1,000,000 rows in under 90 s and 2 GB on two cores, linear in rows.
"""

import json
import os
import platform
import shutil
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

SRC = Path(__file__).resolve().parents[1] / "src"
sys.path.insert(0, str(SRC))

import polars as pl  # noqa: E402
import yaml  # noqa: E402

from minnow.data import synthetic  # noqa: E402
from minnow.layout import Layout  # noqa: E402

ROWS = (100_000, 300_000, 1_000_000)
DATA = {
    "source": "file",
    "seed": 0,
    "path": "data/raw/file/urls.csv",
    "test_path": None,
    "id": None,
    "revision": None,
    "config": None,
    "text_column": "url",
    "label_column": "label",
    "split_column": None,
    "time_column": None,
    "positive_label": "1",
    "negative_label": None,
    "rows": None,
    "label_noise": None,
    "move_scheme": True,
    "split": "domain",
    "past_domains": "remove",
    "validation": 0.15,
    "test": 0.15,
}


def project(root: Path, rows: int) -> None:
    """Lay out what the stage reads, and the code itself."""
    urls, labels = synthetic.generate(rows, seed=0, label_noise=0.02)
    layout = Layout(root)
    layout.raw("file").mkdir(parents=True)
    pl.DataFrame({"url": urls, "label": labels}).write_csv(layout.raw("file") / "urls.csv")
    layout.params.write_text(
        yaml.safe_dump({"preset": "file", "presets": {"file": {"data": DATA}}})
    )
    shutil.copytree(SRC, root / "src", ignore=shutil.ignore_patterns("__pycache__"))


def measure(root: Path) -> tuple[float, float]:
    """Run the stage in a new process; return its seconds and its peak memory in GB."""
    command = [sys.executable, str(root / "src" / "stage.py"), "prepare"]
    start = time.perf_counter()
    process = os.posix_spawn(sys.executable, command, os.environ)
    _, status, usage = os.wait4(process, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit("the stage failed; its message stands above")
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def processor() -> str:
    """Return the CPU's name as the system states it."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    return next(
        (line.split(": ")[1] for line in lines if line.startswith("model name")),
        platform.processor(),
    )


def main(rows: list[int]) -> None:
    """Print one line per number of rows."""
    print(
        f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, polars"
        f" {pl.__version__}"
    )
    print(f"{'rows':>9} {'seconds':>8} {'rows/s':>8} {'peak GB':>8} {'kept':>9}", flush=True)
    for count in rows:
        with tempfile.TemporaryDirectory() as folder:
            # In a process of its own: Linux counts a parent's memory as its child's.
            generator = get_context("spawn").Process(target=project, args=(Path(folder), count))
            generator.start()
            generator.join()
            seconds, peak = measure(Path(folder))
            kept = json.loads(Layout(Path(folder)).metrics("prepare").read_text())["kept"]
        total = sum(sum(classes.values()) for classes in kept.values())
        print(
            f"{count:>9,} {seconds:>8.1f} {count / seconds:>8,.0f} {peak:>8.2f} {total:>9,}",
            flush=True,
        )


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or list(ROWS))
