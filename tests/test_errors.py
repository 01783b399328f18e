"""The words of errors."""

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
