"""Where the teacher comes from: the block `teacher` of a preset."""

from typing import Literal, Self

from pydantic import model_validator

from minnow.core.bounds import Length, Name, Pieces, Place, Seed
from minnow.core.params import Block
from minnow.models.params import BuildParams, LoraParams, require_room
from minnow.training.params import TrainingParams


class TeacherParams(Block):
    """Where the teacher comes from and how it is trained."""

    method: Literal["full", "head", "qlora", "none"]
    lora: LoraParams | None
    base: Place | None
    revision: Name | None
    phishing_label: Name | None
    build: BuildParams | None
    vocabulary: Pieces | None
    max_length: Length
    seed: Seed
    training: TrainingParams

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.base is None) == (self.build is None):
            raise ValueError(
                "set either base (a Hub id or a folder) or build (a shape), and the other to null"
            )
        if (self.build is None) != (self.vocabulary is None):
            raise ValueError("vocabulary goes with build: a base brings its own tokenizer")
        if self.build is not None and self.method != "full":
            raise ValueError(
                f"method {self.method!r} needs a pretrained base; a built model is trained with"
                " 'full'"
            )
        if (self.method == "qlora") != (self.lora is not None):
            needs = (
                "needs lora, a block with the keys rank, alpha"
                if self.lora is None
                else "has no lora: set it to null"
            )
            raise ValueError(f"method {self.method!r} {needs}")
        return self

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.build is not None and self.vocabulary is not None:
            require_room(self.build, pieces=self.vocabulary, length=self.max_length)
        return self
