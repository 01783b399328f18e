"""The margins of published runs on validation and test, kept so that any statistic can be made anew
without a training.

One Parquet file holds all runs of a data set: a row for each URL that any split seed put into
validation or test, its text left out, and a float16 column for each model. A margin is kept as its
distance from the model's threshold, so that rounding moves no decision. `domain` is a plain digest:
who has a list of domains can find them again, so it hides nothing.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import polars as pl

from minnow.core.files import replacing
from minnow.core.params import EVEN_ODDS, ThresholdParams
from minnow.core.seals import PLACE, intact, seal
from minnow.core.strict_json import parsed_json
from minnow.errors import MinnowError, command, listed
from minnow.evaluation.metrics import Array
from minnow.evaluation.records import OPTIONAL
from minnow.evaluation.results import as_json, from_json

RUNS = b"minnow-runs"
# What a row is, whatever the run.
ROW = {"id": pl.UInt64, "domain": pl.UInt64, "label": pl.Boolean}
FACTS = tuple(ROW)
LARGEST = float(np.finfo(np.float16).max)
SMALLEST = np.finfo(np.float16).smallest_subnormal


@dataclass(frozen=True)
class KeptModel:
    """The column with a model's distances, and the margin that they are distances from."""

    column: str
    threshold: float


@dataclass(frozen=True, order=True)
class RunSeeds:
    """What tells runs of one recipe apart."""

    split: int
    teacher: int
    student: int

    def __str__(self) -> str:
        return f"d{self.split}-t{self.teacher}-s{self.student}"


@dataclass(frozen=True)
class KeptRun:
    """One run: its recipe, its seeds, a digest of all other params that matter, its models.

    `rule` took their thresholds from validation; without one they are held fixed.
    """

    recipe: str
    seeds: RunSeeds
    params: str
    models: Mapping[str, KeptModel]
    rule: ThresholdParams = field(default=EVEN_ODDS, metadata=OPTIONAL)

    @property
    def name(self) -> str:
        return f"{self.recipe}-{self.seeds}"


@dataclass(frozen=True)
class KeptSet:
    """All runs of one data set.

    `rows` has FACTS, a column `split D` that says `validation`, `test` or nothing for each split
    seed D, and the columns that the runs name.
    """

    rows: pl.DataFrame
    runs: tuple[KeptRun, ...]

    @classmethod
    def empty(cls) -> "KeptSet":
        """Return a set without runs."""
        return cls(pl.DataFrame(schema=ROW), ())

    def find(self, recipe: str, seeds: RunSeeds) -> KeptRun | None:
        """Return a run, or None where it is not kept."""
        return next((run for run in self.runs if (run.recipe, run.seeds) == (recipe, seeds)), None)

    def missing(self) -> list[str]:
        """Return the columns that the rows lack, or hold as other numbers than they should."""
        kinds: dict[str, type[pl.DataType]] = dict(ROW)
        for run in self.runs:
            kinds[split_column(run.seeds.split)] = pl.String
            kinds |= {model.column: pl.Float16 for model in run.models.values()}
        return [name for name, kind in kinds.items() if self.rows.schema.get(name) != kind]

    def part(self, split_seed: int, split: str) -> pl.DataFrame:
        """Return the rows that a split seed put into `validation` or `test`."""
        return self.rows.filter(pl.col(split_column(split_seed)) == split)


def split_column(seed: int) -> str:
    """Return the name of the column that says where a split seed put a row."""
    return f"split {seed}"


# Numbers


def distances(margins: Array, threshold: float) -> Array:
    """Return margins (rows,) less the threshold as float16; above 0 exactly where the margin lies
    above it.

    Rounding keeps order and sign, but for what is nearer to 0 than float16 can say: that stays
    above 0. What is larger than float16 can say becomes its largest number.
    """
    exact = np.subtract(margins, threshold, dtype=np.float64)
    kept = np.clip(exact, -LARGEST, LARGEST).astype(np.float16)
    kept[(exact > 0) & (kept <= 0)] = SMALLEST
    return np.asarray(kept)


def row_facts(table: pl.DataFrame, split: str, split_seed: int) -> pl.DataFrame:
    """Return FACTS and the split's column for a prepared split with `id`, `domain` and `label`."""
    numbers = {
        "id": [int(row, 16) for row in table["id"].to_list()],
        "domain": [domain_digest(domain) for domain in table["domain"].to_list()],
    }
    facts = pl.DataFrame(numbers, schema={"id": pl.UInt64, "domain": pl.UInt64})
    return facts.with_columns(
        (table["label"] == 1).alias("label"), pl.lit(split).alias(split_column(split_seed))
    )


def domain_digest(domain: str) -> int:
    """Return the first 8 bytes of a registered domain's blake2b as a number."""
    return int.from_bytes(blake2b(domain.encode(), digest_size=8).digest(), "big")


# Runs


def with_run(
    kept: KeptSet, run: KeptRun, facts: pl.DataFrame, columns: Mapping[str, Array]
) -> KeptSet:
    """Return the set with one run more, or with that run replaced.

    `facts` are its rows, as `row_facts` returns them, and `columns` the distances (rows,) by model,
    float16. Equal columns are stored once: students of one teacher share its column. Thresholds by
    another rule are drawn otherwise, so a column is of one rule.

    Raises:
        MinnowError: the rows differ from what is kept of this split seed.
    """
    others = without(kept, run.name)
    split = split_column(run.seeds.split)
    _require_equal_rows(others, facts, split)
    rows = _union(others.rows, facts, split)
    foreign = {
        model.column for one in others.runs for model in one.models.values() if one.rule != run.rule
    }
    models = {}
    for model, distance in columns.items():
        added = facts.select("id", distance=pl.Series(distance, dtype=pl.Float16))
        column = _aligned(rows, added)
        name = _same_column(rows.drop(foreign), column) or f"{model} {run.name}"
        rows = rows.with_columns(column.alias(name))
        models[model] = KeptModel(name, run.models[model].threshold)
    runs = sorted(
        (*others.runs, replace(run, models=models)), key=lambda one: (one.recipe, one.seeds)
    )
    return KeptSet(rows, tuple(runs))


def without(kept: KeptSet, name: str) -> KeptSet:
    """Return the set without a run, and without the rows and columns that it alone had."""
    runs = tuple(run for run in kept.runs if run.name != name)
    splits = {split_column(run.seeds.split) for run in runs}
    used = splits | {model.column for run in runs for model in run.models.values()}
    rows = kept.rows.select(*FACTS, *(name for name in kept.rows.columns if name in used))
    placed = pl.any_horizontal(pl.col(split).is_not_null() for split in splits) if splits else False
    return KeptSet(rows.filter(placed), runs)


def _require_equal_rows(kept: KeptSet, facts: pl.DataFrame, split: str) -> None:
    both = kept.rows.select(FACTS).join(facts.select(FACTS), on="id", suffix="_new")
    changed = both.filter(
        (pl.col("domain") != pl.col("domain_new")) | (pl.col("label") != pl.col("label_new"))
    )
    moved = 0
    if split in kept.rows.columns:
        there = kept.rows.filter(pl.col(split).is_not_null()).select("id", split)
        new = facts.select("id", split)
        moved = sum(
            one.join(other, on=["id", split], how="anti").height
            for one, other in ((there, new), (new, there))
        )
    if changed.height or moved:
        raise MinnowError(
            f"these are other rows than those kept: {changed.height} have another label or domain"
            f" and {moved} stand in another split of the same seed; keep them under another name"
        )


def _union(rows: pl.DataFrame, facts: pl.DataFrame, split: str) -> pl.DataFrame:
    """Return all rows of both, those of one domain together, with the split's column of `facts`."""
    known = pl.concat([rows.select(FACTS), facts.select(FACTS)]).unique().sort("domain", "id")
    old = rows.drop("domain", "label", split, strict=False)
    joined = known.join(old, on="id", how="left", maintain_order="left")
    return joined.join(facts.select("id", split), on="id", how="left", maintain_order="left")


def _aligned(rows: pl.DataFrame, added: pl.DataFrame) -> pl.Series:
    ids = rows.select("id")
    return ids.join(added, on="id", how="left", maintain_order="left")["distance"]


def _same_column(rows: pl.DataFrame, column: pl.Series) -> str | None:
    named = (name for name in rows.columns if rows.schema[name] == pl.Float16)
    return next((name for name in named if rows[name].equals(column, null_equal=True)), None)


# Files


def write_kept(path: Path, kept: KeptSet) -> None:
    """Write a set, sealed by a digest of the whole file; equal sets give equal bytes."""
    from pyarrow.parquet import ParquetWriter

    arrow = kept.rows.to_arrow()
    floats = [name for name, kind in kept.rows.schema.items() if kind == pl.Float16]
    splits = [name for name in kept.rows.columns if name.startswith("split ")]
    options = {
        "compression": "zstd",
        "compression_level": 19,
        "use_dictionary": splits,
        # The first byte of a float16 compresses well, the second hardly.
        "column_encoding": dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
        "write_statistics": False,
        "store_schema": False,
    }
    told = json.dumps([as_json(run) for run in kept.runs], sort_keys=True)
    with replacing(path) as temporary:
        with ParquetWriter(temporary, arrow.schema, **options) as writer:
            writer.write_table(arrow)
            writer.add_key_value_metadata({RUNS.decode(): told, "seal": PLACE.decode()})
        seal(temporary)


def read_kept(path: Path) -> KeptSet:
    """Return the set in a file.

    Raises:
        MinnowError: the file is missing, or is not what was written.
    """
    if not path.is_file():
        names = sorted(file.stem for file in path.parent.glob("*.parquet"))
        there = f"; there are {listed(names)}" if names else ""
        raise MinnowError(
            f"{path} is missing{there}; `python src/stage.py keep NAME` keeps what a run gave"
        )
    content = path.read_bytes()
    if not intact(content):
        back = command("git checkout --", path)
        raise MinnowError(f"{path} is not what was written; {back} takes the committed one back")
    from pyarrow.parquet import ParquetFile

    told = (ParquetFile(io.BytesIO(content)).metadata.metadata or {}).get(RUNS, b"null")
    try:
        found = parsed_json(told)
    except ValueError:
        found = None
    kept = KeptSet(
        pl.read_parquet(io.BytesIO(content)), from_json(tuple[KeptRun, ...], found, str(path))
    )
    if missing := kept.missing():
        raise MinnowError(f"{path} lacks {listed(missing)}, which its runs name; keep them anew")
    return kept


def read_or_empty(path: Path) -> KeptSet:
    """Return the set in a file, or one without runs where there is none."""
    return read_kept(path) if path.exists() else KeptSet.empty()
