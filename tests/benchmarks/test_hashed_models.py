"""Hashed models: the same buckets in every process, rounding within its bound, and files of the
size that is said, from which the same margins come.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

import hashed_models as hm
from helpers.paths import ROOT

TEXTS = ["example.org/login", "пример.example/a?b=1", "aaaa", ""]
BUCKETS = 4096
values = arrays(
    np.float32,
    st.integers(1, 3 * hm.BLOCK),
    elements=st.floats(-100, 100, width=32, allow_subnormal=False),
)


def rows(buckets: int = BUCKETS) -> hm.csr_matrix:
    return hm.sublinear(hm.folded(hm.character_counts(TEXTS, (1, 4)), buckets))


def model(buckets: int = BUCKETS, dimension: int = 1) -> hm.Linear:
    draw = np.random.default_rng(0)
    table, head = draw.normal(size=(buckets, dimension)), draw.normal(size=dimension)
    return hm.Linear(*(each.astype(np.float32) for each in (table, head, np.array([0.25]))))


# Texts to sparse rows


def test_the_hash_is_murmurhash3() -> None:
    """0x3C2569B2 is the published value of MurmurHash3_x86_32 for "a" and seed 0."""
    assert hm.character_counts(["a"], (1, 1)).indices.tolist() == [0x3C2569B2 % hm.MOST_BUCKETS]


def test_folding_is_hashing_into_fewer_buckets() -> None:
    direct = HashingVectorizer(
        analyzer="char", ngram_range=(1, 4), n_features=1024, norm=None, alternate_sign=False
    ).transform(TEXTS)
    found = hm.folded(hm.character_counts(TEXTS, (1, 4)), 1024)
    assert np.array_equal(found.toarray(), direct.toarray())


def test_folding_leaves_the_counts_as_they_were() -> None:
    counts = hm.character_counts(TEXTS, (1, 4))
    before = counts.indices.copy(), counts.data.copy()
    hm.folded(counts, 16)
    assert np.array_equal(counts.indices, before[0])
    assert np.array_equal(counts.data, before[1])


def test_sublinear_rows_are_those_of_scikit_learn_without_idf() -> None:
    counts = hm.folded(hm.character_counts(TEXTS, (1, 4)), BUCKETS)
    wanted = TfidfTransformer(use_idf=False, sublinear_tf=True).fit_transform(counts)
    assert np.allclose(rows().toarray(), wanted.toarray(), atol=1e-6)


def test_averaging_gives_shares_and_an_empty_text_none() -> None:
    shares = hm.averaging(hm.folded(hm.character_counts(TEXTS, (3, 6)), BUCKETS))
    assert np.asarray(shares.sum(axis=1)).ravel() == pytest.approx([1, 1, 1, 0])


def test_words_are_letters_and_digits_in_a_row() -> None:
    wanted = hm.word_counts(["example", "org", "login"]).indices
    assert sorted(hm.word_counts(TEXTS[:1]).indices) == sorted(wanted)


# Numbers to bytes, and back


@given(values)
@settings(deadline=None)
def test_int8_is_off_by_half_a_scale_at_most(given_values: np.ndarray) -> None:
    stored = hm.to_int8(given_values)
    bound = np.repeat(stored["scales"], hm.BLOCK)[: given_values.size].astype(np.float64) / 2
    error = np.abs(hm.from_int8(stored).astype(np.float64) - given_values)
    assert (error <= bound * (1 + 1e-4) + 1e-30).all()
    assert len(stored["scales"]) == -(-given_values.size // hm.BLOCK)


def test_whole_numbers_up_to_127_come_back_as_they_were() -> None:
    whole = np.arange(-63, 64, dtype=np.float32) * 2 + 1
    assert np.array_equal(hm.from_int8(hm.to_int8(whole)), whole)


def test_a_block_of_zeros_stays_zeros() -> None:
    assert not hm.from_int8(hm.to_int8(np.zeros(hm.BLOCK + 1, np.float32))).any()


def test_pruning_keeps_the_largest_and_the_first_of_equals() -> None:
    small = np.array([0.0, -127.0, 5.0, 5.0, -2.0, 64.0], dtype=np.float32)
    stored = hm.to_pruned(small, 3)
    assert hm.from_pruned(stored, 6).tolist() == [0, -127, 5, 0, 0, 64]
    assert stored["there"].tolist() == [0b01100100]


@given(values, st.integers(0, 200))
@settings(deadline=None)
def test_what_pruning_leaves_out_is_no_larger_than_what_it_keeps(
    given_values: np.ndarray, kept: int
) -> None:
    stored = hm.to_pruned(given_values, kept)
    there = np.unpackbits(stored["there"], count=given_values.size).astype(bool)
    assert there.sum() == min(kept, given_values.size)
    if 0 < there.sum() < given_values.size:
        assert np.abs(given_values[~there]).max() <= np.abs(given_values[there]).min()


# Files


CASES = [
    ("float16", BUCKETS, 1),
    ("int8", BUCKETS, 1),
    ("pruned", 4 * BUCKETS, 1),
    ("int8", 500, 8),
]


@pytest.mark.parametrize(("stored_as", "buckets", "dimension"), CASES)
def test_a_file_takes_the_bytes_that_are_said_and_gives_its_numbers(
    tmp_path: Path, stored_as: str, buckets: int, dimension: int
) -> None:
    wanted = model(buckets, dimension)
    size = hm.save_linear(wanted, tmp_path / "one", stored_as, budget=10_000)
    assert size == len((tmp_path / "one").read_bytes()) <= 10_000
    read = hm.load_linear(tmp_path / "one")
    flat = wanted.table.ravel()
    rounded = {
        "float16": lambda: flat.astype(np.float16).astype(np.float32),
        "int8": lambda: hm.from_int8(hm.to_int8(flat)),
        "pruned": lambda: hm.from_pruned(hm.to_pruned(flat, (read.table != 0).sum()), flat.size),
    }[stored_as]()
    assert np.array_equal(read.table.ravel(), rounded)
    same = hm.Linear(rounded.reshape(wanted.table.shape), wanted.head, wanted.bias)
    assert np.array_equal(read.margins(rows(buckets)), same.margins(rows(buckets)))
    hm.save_linear(wanted, tmp_path / "two", stored_as, budget=10_000)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_margins_are_those_of_plain_products() -> None:
    some = model(dimension=3)
    dense = rows().toarray() @ (some.table.astype(np.float64) @ some.head) + 0.25
    assert np.allclose(some.margins(rows()), dense, atol=1e-5)


def test_pruning_fills_its_budget(tmp_path: Path) -> None:
    size = hm.save_linear(model(32_768), tmp_path / "full", "pruned", budget=20_000)
    assert 20_000 - hm.HEADER <= size <= 20_000


@pytest.mark.parametrize("stored_as", hm.FORMATS)
@pytest.mark.parametrize("budget", [2_000, 5_000, 10_000, 40_000])
def test_what_is_said_to_fit_fits(tmp_path: Path, stored_as: str, budget: int) -> None:
    sizes = [2**bits for bits in range(8, 16) if hm.fitting(stored_as, 2**bits, budget)]
    assert sizes
    for buckets in sizes:
        assert hm.save_linear(model(buckets), tmp_path / "model", stored_as, budget) <= budget


@pytest.mark.parametrize("dimension", [1, 8, 16])
def test_there_is_room_for_what_room_says(tmp_path: Path, dimension: int) -> None:
    buckets = hm.room(50_000, dimension)
    size = hm.save_linear(model(buckets, dimension), tmp_path / "model", "int8", 50_000)
    assert 50_000 - 2 * hm.HEADER <= size <= 50_000


def test_what_is_too_large_is_refused_and_nothing_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="4,000 are allowed"):
        hm.save_linear(model(), tmp_path / "model", "int8", budget=4_000)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_another_process_gives_the_same_margins(tmp_path: Path, hash_seed: str) -> None:
    file = tmp_path / "model"
    hm.save_linear(model(), file, "int8", budget=10_000)
    program = (
        "import sys, json; from pathlib import Path; import hashed_models as hm\n"
        "counts = hm.character_counts(json.loads(sys.argv[2]), (1, 4))\n"
        f"rows = hm.sublinear(hm.folded(counts, {BUCKETS}))\n"
        "print([each.hex() for each in hm.load_linear(Path(sys.argv[1])).margins(rows)])"
    )
    paths = os.pathsep.join(str(ROOT / folder) for folder in ("src", "benchmarks"))
    done = subprocess.run(
        [sys.executable, "-c", program, str(file), json.dumps(TEXTS)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    here = hm.load_linear(file).margins(rows())
    assert done.stdout.strip() == str([each.hex() for each in here])
