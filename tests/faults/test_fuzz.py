"""A few of the ten thousand hostile inputs of `make faults`, and that the loop notices a fault."""

from pathlib import Path
from random import Random

import pytest

from faults import fuzz, watching


@pytest.mark.parametrize(("kind", "cases"), [("params", 30), ("data", 60), ("release", 12)])
def test_a_hostile_input_ends_well_or_in_one_line(kind: str, cases: int) -> None:
    counts, broken = fuzz.fuzz(kind, range(cases), seed=1)
    assert broken == {}
    assert counts["refused"] > cases // 5


def test_the_loop_notices_tracebacks_writes_and_long_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from minnow.errors import MinnowError

    def raising(error: Exception) -> object:
        def asks() -> None:
            raise error

        return lambda place, chance: asks

    def judged(case: object) -> tuple[str, str]:
        monkeypatch.setitem(fuzz.CASES, "own", case)  # type: ignore[arg-type]
        return fuzz.tried("own", 0, 0, tmp_path / "place")

    assert judged(raising(KeyError("x")))[0] == "broken"
    assert judged(raising(MinnowError("x" * 400)))[0] == "broken"
    assert judged(raising(MinnowError("one line")))[0] == "refused"
    assert judged(lambda place, chance: lambda: None) == ("fine", "")
    outside = tmp_path / "outside"
    assert judged(lambda place, chance: outside.touch)[0] == "broken"
    assert judged(lambda place, chance: (place / "inside").touch) == ("fine", "")


def test_a_process_and_a_connection_are_seen(tmp_path: Path) -> None:
    import socket
    import subprocess

    with watching.watching(tmp_path) as seen:
        subprocess.run(["true"], check=True)
        with socket.socket() as reached:
            assert reached.connect_ex(("127.0.0.1", 9)) != 0
    assert [event.split()[0] for event in seen] == ["subprocess.Popen", "socket.connect"]


def test_a_case_is_made_from_its_number_alone(tmp_path: Path) -> None:
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        fuzz.data_case(tmp_path / name, Random("7"))
        files = [path for path in sorted((tmp_path / name).rglob("*")) if path.is_file()]
        made.append([path.read_bytes() for path in files])
    assert made[0] == made[1] != []
