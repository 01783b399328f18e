"""What evaluation says of slices of the test rows, as frozen records. Light: no numpy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from minnow.evaluation.records import WHOLE_WAY, Domains, Strict, between

# A slice is hurt where its flips are less likely than this, were either direction equally likely,
# with the number of slices looked at taken into account.
BEYOND_CHANCE = 0.05
Measure = Literal["f1", "recall", "specificity"]


@dataclass(frozen=True)
class SliceHop(Strict):
    """What a hop did to a slice: the change of its score, and the flips behind it.

    `mcnemar_p` takes rows for independent, `clustered_p` domains; `adjusted_p` is the latter
    corrected for the number of slices, None where the slice is not judged.
    """

    before: str
    after: str
    change: float
    worse: int
    better: int
    mcnemar_p: float
    clustered_p: float
    adjusted_p: float | None


@dataclass(frozen=True)
class SliceScore(Strict):
    """Test rows that share a `value` of a trait, `slice`, and each model's score on them.

    `small` says that the rows which its `measure` counts are fewer than `Slices.small_below`,
    `hurt` that compression is shown to hurt it. `effective_rows` are the independent rows that
    would know the last model's accuracy as well.
    """

    slice: str
    value: str
    rows: int
    effective_rows: int
    domains: Domains | None
    safe: int
    phishing: int
    small: bool
    measure: Measure
    models: Mapping[str, float]
    hops: tuple[SliceHop, ...]
    hurt: bool


@dataclass(frozen=True)
class Slices(Strict):
    """metrics/evidence/slices.json: whom compression hurts."""

    small_below: int
    slices: tuple[SliceScore, ...]

    @property
    def watched(self) -> list[SliceScore]:
        """The slices that are large enough to be judged, with the whole way measured."""
        return [one for one in self.slices if not one.small and between(one.hops, *WHOLE_WAY)]

    @property
    def hurt(self) -> list[tuple[SliceScore, SliceHop]]:
        """The slices that are shown to be hurt and the whole way there, the greatest loss first."""
        pairs = [
            (one, hop)
            for one in self.slices
            if one.hurt and (hop := between(one.hops, *WHOLE_WAY)) is not None
        ]
        return sorted(pairs, key=lambda pair: (pair[1].change, pair[0].slice, pair[0].value))
