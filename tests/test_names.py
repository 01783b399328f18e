"""One public name, one meaning: what two modules call by one name is hard to find and read."""

import ast
from collections import defaultdict

from helpers.paths import SRC

# What every stage has: `main` runs it, `Params` is what it reads of params.yaml.
OF_EVERY_STAGE = {"main", "Params"}


def defined_twice() -> dict[str, list[str]]:
    """Return the public top-level functions and classes that several modules define, with these."""
    modules: dict[str, list[str]] = defaultdict(list)
    for path in sorted((SRC / "minnow").rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                modules[node.name].append(path.relative_to(SRC).as_posix())
    return {name: places for name, places in modules.items() if len(places) > 1}


def test_a_public_name_has_one_meaning() -> None:
    twice = defined_twice()
    print(f"public names with two meanings: {len(set(twice) - OF_EVERY_STAGE)}")
    new = {name: twice[name] for name in sorted(set(twice) - OF_EVERY_STAGE)}
    assert new == {}, "give each its own name"
