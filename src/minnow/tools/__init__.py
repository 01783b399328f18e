"""What `make` calls beside the pipeline."""

import sys
from pathlib import Path


def dvc() -> str:
    """Return the dvc of this environment."""
    return str(Path(sys.executable).parent / "dvc")
