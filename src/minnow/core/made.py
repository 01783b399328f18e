"""How a student was made, as its manifest says it to later steps."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Made:
    """What of the params decided how a student came about; `made` in its manifest.

    `loss` is the soft loss with the parameter that is its own, `vocabulary` and `narrowing` name
    methods, None for no narrowing, and `whitebox` says whether states inside the teacher counted.
    """

    loss: str
    temperature: float
    soft_weight: float
    init: str
    vocabulary: str
    narrowing: str | None
    whitebox: bool
