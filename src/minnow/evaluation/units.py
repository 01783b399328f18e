"""What was sampled: registered domains where the rows have them, else single rows.

A split by domain promises new domains, and the rows of one domain are right and wrong together. So
a resample draws domains, with repetition, and a row counts as often as its domain was drawn (the
cluster bootstrap; Cameron, Gelbach & Miller 2008, Review of Economics and Statistics 90(3)).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import norm

from minnow.errors import MinnowError
from minnow.evaluation.metrics import Array, rounded
from minnow.evaluation.params import Unit
from minnow.evaluation.records import Domains, SampleFacts

# Equal domains that rows must weigh as much as for an interval to be had. With fewer, and with few
# large ones among many, resampling covers too seldom: "few" ends between 20 and 50 (Cameron &
# Miller 2015, Journal of Human Resources 50(2), section VI), unequal ones counted by their weight
# (Carter, Schnepel & Steigerwald 2017, Review of Economics and Statistics 99(4)).
LEAST_EQUAL_UNITS = 20
# Below this many domains that flip, neither bootstrap nor normal distribution decides.
FEW_FLIPS = 10
# Weights held at once, which bounds the memory, and resamples at once, which the caches like.
CHUNK, AT_ONCE = 1 << 25, 32


@dataclass(frozen=True)
class Units:
    """The unit of each row, as a number from 0 (rows,), how many there are, and their names
    (units,): the domains, or None where each row is its own.
    """

    of: Array
    count: int
    names: Array | None

    @classmethod
    def rows(cls, rows: int) -> "Units":
        """Each row is a unit."""
        return cls(np.arange(rows, dtype=np.int32), rows, None)

    @classmethod
    def domains(cls, domains: pl.Series) -> "Units":
        """Rows of one domain are a unit, and a row without domain is one of its own."""
        alone = domains.fill_null("") == ""
        rows = domains.to_frame("d").with_row_index("row")
        own = pl.format("\n{}", pl.col("row"))
        keys = rows.select(pl.when(pl.lit(alone)).then(own).otherwise(pl.col("d")).alias("d"))["d"]
        names = keys.unique().sort()
        numbers = pl.Series(range(len(names)), dtype=pl.Int32)
        of = keys.replace_strict(names, numbers, return_dtype=pl.Int32).to_numpy()
        return cls(of, len(names), names.to_numpy())

    @classmethod
    def chosen(cls, table: pl.DataFrame, unit: Unit | None) -> "Units":
        """Return the units that `evaluate.unit` asks for, of a table with a column `domain` or
        none.

        Raises:
            MinnowError: domains are asked for, and no row has one.
        """
        known = "domain" in table.columns and bool((table["domain"].fill_null("") != "").any())
        if unit == "domain" and not known:
            raise MinnowError(
                "evaluate.unit is domain, and no row has a domain; set row, or null, which takes"
                " domains where there are any"
            )
        by_row = unit == "row" or not known
        return cls.rows(table.height) if by_row else cls.domains(table["domain"])

    def name(self, unit: int) -> str:
        """Return a domain's name; a row without one has none."""
        return "" if self.names is None else str(self.names[unit]).split("\n")[0]

    def sums(self, values: Array) -> Array:
        """Return the sum of values (rows,) over each unit, (units,)."""
        return np.bincount(self.of, weights=values, minlength=self.count)

    def part(self, rows: Array) -> "Units":
        """Return the units of some rows, a mask (rows,)."""
        kept, of = np.unique(self.of[rows], return_inverse=True)
        names = None if self.names is None else self.names[kept]
        return Units(of.astype(np.int32), len(kept), names)


@dataclass(frozen=True)
class JudgedRows:
    """Labels (rows,) and units of the rows that models are judged on."""

    labels: Array
    units: Units

    @classmethod
    def of(cls, table: pl.DataFrame, unit: Unit | None) -> "JudgedRows":
        """Return the rows of a table with columns `label` and, if there are any, `domain`."""
        return cls(table["label"].to_numpy().astype(np.int64), Units.chosen(table, unit))

    def count(self, label: int) -> int:
        """Return how many rows have a label."""
        return int((self.labels == label).sum())


def draws(units: int, *, resamples: int, seed: int) -> Iterator[Array]:
    """Yield weights (units, some resamples), `resamples` of them in all: how often each unit was
    drawn. They are the same whatever the size of a chunk.
    """
    generator = np.random.default_rng(seed)
    at_once = max(1, min(AT_ONCE, CHUNK // units))
    for first in range(0, resamples, at_once):
        weights = np.empty((min(at_once, resamples - first), units), dtype=np.int32)
        for row in weights:
            drawn = generator.integers(units, size=units, dtype=np.int32)
            row[:] = np.bincount(drawn, minlength=units)
        yield np.ascontiguousarray(weights.T)


def equal_units(units: Units) -> float:
    """Return as how many equal units these weigh: (Σm)² / Σm² of their rows m (Kish 1965)."""
    rows = np.bincount(units.of, minlength=units.count).astype(np.float64)
    return float(rows.sum() ** 2 / (rows**2).sum())


def effective_rows(right: Array, units: Units) -> int:
    """Return as many independent rows as would know the share of `right` (rows,) as well.

    It is rows / design effect, and that is the variance by unit over the variance by row:
    Σ_d (Σ_{i in d} e_i)² / Σ e_i², with e the distance of a row from the mean (Kish 1965, Survey
    Sampling, section 8.2); never more than the rows. Where all are right or all wrong, nothing
    shows how errors go together, and they count as if they did wholly: (Σm)² / Σm².
    """
    far = right - np.mean(right)
    alone = float((far**2).sum())
    if not alone:
        return round(equal_units(units))
    return round(len(right) / max(1.0, float((units.sums(far) ** 2).sum()) / alone))


def too_few(rows: JudgedRows) -> str | None:
    """Return why no interval can be had of these rows, None where one can."""
    for name, mask in (
        ("", np.ones(len(rows.labels), dtype=bool)),
        ("safe ", rows.labels == 0),
        ("phishing ", rows.labels == 1),
    ):
        if reason := too_few_units(rows.units.part(mask), name):
            return reason
    return None


def too_few_units(units: Units, kind: str) -> str | None:
    """Return why no interval can be had of rows of a kind (`safe `), None where one can."""
    rows = len(units.of)
    weigh = equal_units(units) if rows else 0.0
    if weigh >= LEAST_EQUAL_UNITS:
        return None
    if units.names is None:
        return f"there are {rows} {kind}rows, and an interval needs {LEAST_EQUAL_UNITS}"
    return (
        f"the {rows:,} {kind}rows stand in {units.count:,} domains and weigh as much as"
        f" {weigh:.0f} equal ones; an interval needs {LEAST_EQUAL_UNITS}"
    )


def domains_of(units: Units) -> Domains | None:
    """Return how rows lie in their domains, None where none are known."""
    if units.names is None:
        return None
    rows = np.bincount(units.of, minlength=units.count)
    most = int(rows.argmax())
    return Domains(
        count=units.count,
        largest=units.name(most),
        largest_share=rounded(rows[most] / rows.sum()),
        equal=rounded(equal_units(units)),
    )


def sample_facts(rows: JudgedRows) -> SampleFacts:
    """Return how many rows, in which domains, and whether they allow an interval."""
    return SampleFacts(
        safe=rows.count(0),
        phishing=rows.count(1),
        domains=domains_of(rows.units),
        no_interval=too_few(rows),
    )


def clustered_p(net: Array) -> float:
    """Return the two-sided p of so unequal flips, summed by unit: `net` (units,) is better − worse.

    z = Σs / √Σs², normally distributed for many units: McNemar's test with the variance between
    units for that between rows (Obuchowski 1998, Statistics in Medicine 17(13)). 1 where fewer than
    FEW_FLIPS units have a net flip.
    """
    flipped = net[net != 0]
    if len(flipped) < FEW_FLIPS:
        return 1.0
    return float(2 * norm.sf(abs(flipped.sum()) / np.sqrt((flipped.astype(float) ** 2).sum())))
