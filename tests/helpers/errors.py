"""Errors as users see them."""

import pytest

from minnow.errors import MinnowError


def one_line(error: pytest.ExceptionInfo[MinnowError]) -> str:
    """Return the text of an error, which must be one line and no longer than one reads."""
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 600
    return text
