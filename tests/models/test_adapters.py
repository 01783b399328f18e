"""What a config says of adapters."""

from types import SimpleNamespace

import pytest

from minnow.errors import MinnowError
from minnow.models import adapters


def test_a_folder_loads_whichever_function_it_names_as_its_loader() -> None:
    """Folders made before minnow.load name what was to be called then."""
    said = adapters.described_adapters(["b", "a"], 4, 0.5)
    assert said["load_with"] == "minnow.load"
    old = {**said, "load_with": "minnow.models.load_for_inference"}
    for config in (said, old):
        found = adapters.adapters_of_config(SimpleNamespace(minnow_adapters=config))
        assert found == adapters.Described(["a", "b"], 4, 0.5)
    with pytest.raises(MinnowError, match="this Minnow cannot read"):
        adapters.adapters_of_config(SimpleNamespace(minnow_adapters={**old, "adds": "nothing"}))
