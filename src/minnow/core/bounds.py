"""How large a number or how long a text in params.yaml may be, each kind in one place.

No bound is a recommendation. What lies above has never been meant: a digit too many, or an attempt
to fill memory or disk. What may still be too much for this machine is `core.estimates`' to say.
"""

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field

# Of rows, of occurrences in texts, of the numbers that stand for classes in a file.
MOST_ROWS = 100_000_000
# Bytes of one part of a path on every usual file system.
MOST_BYTES_OF_A_NAME = 255

Share = Annotated[float, Field(gt=0, lt=1)]
Portion = Annotated[float, Field(ge=0, le=1)]
ShareOrNone = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Threads = Annotated[int, Field(ge=1, le=1024)]

Rows = Annotated[int, Field(ge=1, le=MOST_ROWS)]
Copies = Annotated[int, Field(ge=0, le=20)]
Occurrences = Annotated[int, Field(ge=1, le=MOST_ROWS)]

Layers = Annotated[int, Field(ge=1, le=128)]
# Which layer, from 0.
Layer = Annotated[int, Field(ge=0, le=128)]
LayerList = Annotated[list[Layer], Field(min_length=1, max_length=129)]
Heads = Annotated[int, Field(ge=1, le=1024)]
Width = Annotated[int, Field(ge=16, le=16_384)]
Neurons = Annotated[int, Field(ge=16, le=65_536)]
Pieces = Annotated[int, Field(ge=300, le=1_000_000)]
Length = Annotated[int, Field(ge=8, le=32_768)]
Rank = Annotated[int, Field(ge=1, le=4096)]

Epochs = Annotated[int, Field(ge=1, le=10_000)]
EpochsOrNone = Annotated[int, Field(ge=0, le=10_000)]
BatchSize = Annotated[int, Field(ge=1, le=65_536)]
Weight = Annotated[float, Field(ge=0, le=1e6)]
Factor = Annotated[float, Field(gt=0, le=1e6)]
Temperature = Annotated[float, Field(gt=0, le=100)]
Resamples = Annotated[int, Field(ge=1000, le=1_000_000)]
Megabytes = Annotated[float, Field(gt=0, le=1e6)]


def _plain_path(path: str) -> str:
    """Return a path as it stands, if it is one from the project's root to somewhere below it."""
    parts = PurePosixPath(path).parts
    if path.startswith(("/", "~")) or ".." in parts:
        raise ValueError(
            f"{path[:60]!r} leads out of the project: give a path from its root, no .."
        )
    if any(len(part.encode()) > MOST_BYTES_OF_A_NAME for part in parts):
        raise ValueError(f"a part of the path has more than {MOST_BYTES_OF_A_NAME} bytes")
    return path


# A column's, a class's, a layer's; a commit.
Name = Annotated[str, Field(min_length=1, max_length=MOST_BYTES_OF_A_NAME)]
NameList = Annotated[list[Name], Field(min_length=1, max_length=100)]
# A file or folder of the project, or what the Hub calls owner/name.
Place = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_plain_path)]
# What a file calls a class.
ClassName = (
    Annotated[str, Field(min_length=1, max_length=MOST_BYTES_OF_A_NAME)]
    | Annotated[int, Field(ge=-(2**63), lt=2**63)]
    | Annotated[float, Field(ge=-1e308, le=1e308)]
    | bool
)
