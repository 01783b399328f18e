"""check: validate the whole of params.yaml, inactive presets too, without running anything."""

from pathlib import Path

from minnow.errors import listed
from minnow.stages import validate


def main(root: Path) -> None:
    """Print one line if params.yaml is valid.

    Raises:
        MinnowError: the complaints, in one line.
    """
    document = validate.checked(root)
    presets = listed(document["presets"], 20)
    print(f"params.yaml is valid: preset {document['preset']}; presets {presets}")
