"""Damaged checkpoints: none is believed, none is lost, and the training ends in the same bytes."""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.rot import flipped
from helpers.training import KilledError, digest, loss_killed_at, tiny_model, train
from minnow.training import loop
from minnow.training.checkpoints import read_checkpoint, whole, write_checkpoint

FLIPS, CUTS = 300, 60
Damage = Callable[[Path], Any]


@pytest.fixture
def killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the checkpoint of a training that was killed after 6 of 8 steps; one a step."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    file = tmp_path / "run.pt"
    with pytest.raises(KilledError):
        train(tiny_model(dropout=0.2), checkpoint=file, loss=loss_killed_at(6))
    return file


@pytest.fixture(scope="module")
def undisturbed() -> tuple[list[dict[str, float]], str]:
    """Return curve and weights of the same training that nobody killed."""
    model = tiny_model(dropout=0.2)
    return train(model), digest(model)


def changed(how: Callable[[bytes], bytes]) -> Damage:
    return lambda file: file.write_bytes(how(file.read_bytes()))


def replaced_by(make: Callable[[Path], Any]) -> Damage:
    def damage(file: Path) -> None:
        file.unlink()
        make(file)

    return damage


DAMAGES: dict[str, Damage] = {
    "half of it": changed(lambda content: content[: len(content) // 2]),
    "a bit in the middle": changed(lambda content: flipped(content, 4 * len(content))),
    "its last bit": changed(lambda content: flipped(content, 8 * len(content) - 1)),
    "a page of zeros": changed(lambda content: content[:8192] + bytes(4096) + content[12_288:]),
    "bytes after the end": changed(lambda content: content + b"junk"),
    "without its seal": changed(lambda content: content[:-76]),
    "nothing": changed(lambda _: b""),
    "other content": changed(lambda _: b"no checkpoint"),
    "a folder": replaced_by(Path.mkdir),
    "a named pipe": replaced_by(os.mkfifo),
    "a link to nothing": replaced_by(lambda file: file.symlink_to("nothing")),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_taken(
    killed: Path,
    kind: str,
    undisturbed: tuple[list[dict[str, float]], str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    DAMAGES[kind](killed)
    model = tiny_model(dropout=0.2)
    history = train(model, checkpoint=killed)
    said = capsys.readouterr().err
    assert (history, digest(model)) == undisturbed
    assert (
        "run.pt is damaged: training goes on from the checkpoint before it; it is set aside as"
        " run.pt.damaged\n"
    ) in said
    assert "resuming a killed training at epoch 2, batch 2\n" in said, "5 of 8 steps were done"
    assert os.path.lexists(killed.with_name("run.pt.damaged"))


def test_without_a_whole_one_the_training_starts_afresh(
    killed: Path,
    undisturbed: tuple[list[dict[str, float]], str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    for file in (killed, killed.with_name("run.previous.pt")):
        DAMAGES["a bit in the middle"](file)
    model = tiny_model(dropout=0.2)
    history = train(model, checkpoint=killed)
    said = capsys.readouterr().err
    assert (history, digest(model)) == undisturbed
    assert "training starts afresh; it is set aside as run.pt.damaged, run.previous.pt.d" in said
    assert "resuming" not in said


def test_one_that_was_not_yet_renamed_leaves_the_one_before_it(killed: Path) -> None:
    killed.unlink()  # as if the power went between the two renames
    state = read_checkpoint(killed)
    assert state is not None
    assert state["progress"]["batch"] == 1


def test_no_flipped_bit_and_no_cut_is_believed(killed: Path) -> None:
    content = killed.read_bytes()
    draw = random.Random(0)
    # The end has the index of the archive and the seal, and so more than its share.
    bits = [draw.randrange(8 * len(content)) for _ in range(FLIPS // 2)]
    bits += [8 * len(content) - 1 - draw.randrange(8 * 8192) for _ in range(FLIPS // 2)]
    cuts = [draw.randrange(len(content)) for _ in range(CUTS)]
    assert whole(killed) is not None
    for damaged in [flipped(content, bit) for bit in bits] + [content[:cut] for cut in cuts]:
        killed.write_bytes(damaged)
        assert whole(killed) is None


def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path) -> None:
    """Not even where the seal fits: whoever can write there is not believed either."""

    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    write_checkpoint(tmp_path / "run.pt", {"origin": Evil()})
    assert whole(tmp_path / "run.pt") is None
    assert not (tmp_path / "ran").exists()


def test_what_was_written_is_read(tmp_path: Path) -> None:
    for step in range(3):
        write_checkpoint(tmp_path / "run.pt", {"step": step, "weights": [torch.ones(3) * step]})
    state, before = whole(tmp_path / "run.pt"), whole(tmp_path / "run.previous.pt")
    assert state is not None
    assert before is not None
    assert (state["step"], state["weights"][0].tolist(), before["step"]) == (2, [2, 2, 2], 1)
    assert {file.name for file in tmp_path.iterdir()} == {"run.pt", "run.previous.pt"}


# --- Whole, and of another training ---------------------------------------------------------------

Change = Callable[[dict[str, Any]], Any]
FOREIGN: dict[str, Change] = {
    "no key": lambda state: state.pop("schedule"),
    "one key more": lambda state: state.update(more=1),
    "other progress": lambda state: state["progress"].pop("batch"),
    "progress that is none": lambda state: state.update(progress=[1, 2]),
    "no history": lambda state: state["progress"].pop("history"),
    "an epoch that never comes": lambda state: state["progress"].update(epoch=99),
    "other shapes": lambda state: state["weights"].__setitem__(0, torch.ones(2, 2)),
    "fewer weights": lambda state: state["weights"].pop(),
    "other best weights": lambda state: state["best"].__setitem__(0, torch.ones(2, 2)),
    "no best weights": lambda state: state.update(best=[]),
    "integers": lambda state: state["weights"].__setitem__(0, state["weights"][0].long()),
    "other moments": lambda state: state["optimizer"]["state"][0].update(exp_avg=torch.ones(2)),
    "moments of nothing": lambda state: state["optimizer"]["state"].update({999: {}}),
    "other groups": lambda state: state["optimizer"]["param_groups"].pop(),
    "an optimizer that is none": lambda state: state.update(optimizer=3),
    "another generator": lambda state: state["random"].update(cpu=torch.ones(3)),
    "an origin that is none": lambda state: state.update(origin=None),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_whole_checkpoint_of_a_foreign_structure_is_set_aside(
    killed: Path,
    kind: str,
    undisturbed: tuple[list[dict[str, float]], str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    for file in (killed, killed.with_name("run.previous.pt")):
        state = whole(file)
        assert state is not None
        FOREIGN[kind](state)
        write_checkpoint(file.with_suffix(".changed"), state)
        file.with_suffix(".changed").replace(file)
    model = tiny_model(dropout=0.2)
    history = train(model, checkpoint=killed)
    said = capsys.readouterr().err
    assert (history, digest(model)) == undisturbed
    assert "training starts afresh; it is set aside as run.pt.damaged, run.previous.pt.d" in said
    assert "resuming" not in said


def test_no_dictionary_at_all_is_set_aside(killed: Path) -> None:
    write_checkpoint(killed, [1, 2])  # type: ignore[arg-type]
    assert train(tiny_model(dropout=0.2), checkpoint=killed)
    assert killed.with_name("run.pt.damaged").exists()
