"""The words of errors."""

from collections.abc import Callable

import pytest

from minnow import errors


def test_a_choice_is_returned_or_refused_with_the_nearest() -> None:
    assert errors.choice("predict", "student", ("student", "quantized")) == "student"
    with pytest.raises(errors.MinnowError) as refusal:
        errors.choice("predict", "studnet", ("student", "quantized"))
    assert str(refusal.value) == (
        "predict takes one of student, quantized, given 'studnet'; did you mean 'student'?"
    )
    with pytest.raises(errors.MinnowError, match=r"^control takes one of a, given ''$"):
        errors.choice("control", "", {"a": 1})


@pytest.mark.parametrize("say", [errors.warn, errors.tell])
def test_what_is_told_is_one_bounded_line_with_its_remedy(
    say: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    say("x\n" * 400 + "; shorten it")
    line = capsys.readouterr().err
    assert errors.LONGEST - 2 < len(line) <= errors.LONGEST + 1
    assert line.endswith("x …; shorten it\n")
    assert line.count("\n") == 1
