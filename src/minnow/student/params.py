"""What the student begins as: the block `student` of a preset."""

from typing import Literal, Self

from pydantic import model_validator

from minnow.core.bounds import (
    Heads,
    LayerList,
    Layers,
    Length,
    Name,
    Neurons,
    Occurrences,
    Pieces,
    Place,
    ShareOrNone,
    Width,
)
from minnow.core.params import Block
from minnow.models.params import Architecture, BuildParams, require_room
from minnow.training.params import TrainingParams


class VocabularyParams(Block):
    """What becomes of the vocabulary that the student's tokenizer brings."""

    method: Literal["keep", "trim", "train"]
    min_count: Occurrences | None
    size: Pieces | None

    @model_validator(mode="after")
    def _field_of_method(self) -> Self:
        needed = {"keep": None, "trim": "min_count", "train": "size"}[self.method]
        for name in ("min_count", "size"):
            given = getattr(self, name) is not None
            if given and name != needed:
                raise ValueError(f"{name} does not go with method {self.method!r}: set it to null")
            if not given and name == needed:
                raise ValueError(f"method {self.method!r} needs {name}")
        return self


class StudentParams(Block):
    """Where the student comes from and how it is trained."""

    init: Literal["checkpoint", "teacher", "scratch"]
    base: Place | None
    revision: Name | None
    architecture: Architecture | None
    layers: Layers | None
    hidden_size: Width | None
    intermediate_size: Neurons | None
    narrowing: Literal["importance", "projection"] | None
    heads: Heads | None
    copy_layers: LayerList | None
    dropout: ShareOrNone | None
    build: BuildParams | None
    vocabulary: VocabularyParams
    max_length: Length
    training: TrainingParams

    @model_validator(mode="after")
    def _fields_of_init(self) -> Self:
        copied = {
            "layers",
            "hidden_size",
            "intermediate_size",
            "narrowing",
            "heads",
            "copy_layers",
            "dropout",
        }
        allowed = {
            "checkpoint": {"base", "revision", *copied},
            "teacher": {"architecture", *copied},
            "scratch": {"build"},
        }
        needed = {"checkpoint": {"base", "layers"}, "teacher": {"layers"}, "scratch": {"build"}}
        optional = set().union(*allowed.values())
        for name in sorted(optional - allowed[self.init]):
            if getattr(self, name) is not None:
                raise ValueError(f"{name} does not go with init {self.init!r}: set it to null")
        for name in sorted(needed[self.init]):
            if getattr(self, name) is None:
                raise ValueError(f"init {self.init!r} needs {name}")
        if self.copy_layers is not None and len(self.copy_layers) != self.layers:
            raise ValueError(
                f"copy_layers names {len(self.copy_layers)} layers and layers is {self.layers}"
            )
        return self

    @model_validator(mode="after")
    def _narrowing_narrows(self) -> Self:
        if self.narrowing is None:
            for name in ("hidden_size", "intermediate_size"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} needs narrowing: importance or projection")
        elif self.hidden_size is None and self.narrowing == "projection":
            raise ValueError(
                "narrowing 'projection' needs hidden_size; for fewer neurons alone take importance"
            )
        elif self.hidden_size is None and self.intermediate_size is None:
            raise ValueError(
                "narrowing needs hidden_size or intermediate_size: set it to null where nothing"
                " narrows"
            )
        return self

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.build is not None:
            pieces = self.vocabulary.size or 0  # otherwise known once the tokenizer is loaded
            require_room(self.build, pieces=pieces, length=self.max_length)
        return self
