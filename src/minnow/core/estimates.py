"""What params.yaml asks for at least, in bytes of memory and disk, held against what this machine
has. Nothing heavy is imported for it, so that it is said before anything is loaded.

Every estimate is a floor: what needs more may still not fit, what needs less than there is passes.
"""

import os
import shutil
from pathlib import Path

# float32 weights, gradients and AdamW's two moments.
BYTES_A_TRAINED_WEIGHT = 16
# Of memory while splits are made: 60,000 synthetic rows took 53 MB more than 20,000.
BYTES_A_ROW = 1000
# Of disk: a row of data/prepared takes 35 bytes, DVC's copy of it as many; logits come to that.
STORED_BYTES_A_ROW = 70
CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def weights(*, layers: int, hidden: int, neurons: int, pieces: int, length: int) -> int:
    """Return how many weights an encoder of BERT's kind has, without biases and norms."""
    return (pieces + length) * hidden + layers * (4 * hidden * hidden + 2 * hidden * neurons)


def physical_memory() -> int:
    """Return the bytes of memory that this process may take: the machine's, or its container's."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in CGROUPS:
        try:
            limits.append(int(Path(name).read_text()))
        except (OSError, ValueError):  # not here, or `max`
            continue
    return min(limits)


def in_words(size: int) -> str:
    """Return bytes as GB, or MB where they are few."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def require_memory(what: str, needed: int, lower: str) -> None:
    """Refuse what cannot fit into memory; `lower` names what makes it smaller.

    Raises:
        ValueError: says the estimate and what there is.
    """
    if needed > (there := physical_memory()):
        raise ValueError(
            f"{what} takes at least {in_words(needed)} of memory, and this machine has"
            f" {in_words(there)}: lower {lower}"
        )


def require_rows(rows: int, key: str) -> None:
    """Refuse more rows than fit into memory, or onto the disk of the folder that a stage runs in.

    Raises:
        ValueError: says the estimate and what there is.
    """
    require_memory(f"a table of {rows:,} rows", rows * BYTES_A_ROW, key)
    needed, free = rows * STORED_BYTES_A_ROW, shutil.disk_usage(Path.cwd()).free
    if needed > free:
        raise ValueError(
            f"{rows:,} rows take at least {in_words(needed)} of disk, and {in_words(free)} are"
            f" free: lower {key}, or free some"
        )
