"""Any params.yaml is valid, or refused in one line, soon. MINNOW_MUTANTS=10000 tries that many."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from helpers.mutants import mutants
from helpers.paths import ROOT
from minnow.errors import LONGEST

SEED = 11
NUMBER = int(os.environ.get("MINNOW_MUTANTS", "120"))


def test_a_mutant_is_valid_or_refused_in_one_line(
    tmp_path: Path, run: Callable[[Path, str], tuple[int, str]]
) -> None:
    path, refused = tmp_path / "params.yaml", 0
    for mutant in mutants((ROOT / "params.yaml").read_text(), SEED, NUMBER):
        path.write_bytes(mutant.encode("utf-8", "surrogatepass"))
        began = time.process_time()
        code, said = run(tmp_path, "check")
        assert time.process_time() - began < 1, mutant
        if code:
            refused += 1
            assert said.startswith("minnow check: "), mutant
            assert said.isprintable(), said
            assert len(said) <= LONGEST, said
        else:
            assert not said, said
        assert [file.name for file in tmp_path.iterdir()] == ["params.yaml"], mutant
    assert NUMBER / 4 < refused < NUMBER, "both are tried"
