"""What of `distill` in params.yaml asks for more text than labels, in a file of its own because two stages read it.

In distill's it would make every change of the student a reason to run the teacher again.
"""

from typing import Annotated

from pydantic import ConfigDict, Field

from minnow.params import Block, Seed


class AugmentationParams(Block):
    """Altered copies of the URLs that there are."""

    copies: Annotated[int, Field(ge=0, le=20)]
    seed: Seed


class UnlabelledParams(Block):
    """A file of URLs without labels, and altered copies; the block's other keys are read, and refused, by distill."""

    model_config = ConfigDict(extra="ignore")

    unlabelled: str | None
    augmentation: AugmentationParams

    @property
    def more_text(self) -> bool:
        """Whether there is any text that the teacher alone labels."""
        return self.unlabelled is not None or self.augmentation.copies > 0
