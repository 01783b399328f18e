"""Commands that messages tell the user to type: whole, quoted, and from the project's root."""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.paths import ROOT, SRC
from helpers.pipeline import ENVIRONMENT
from minnow.core.files import check_manifest, write_manifest
from minnow.core.plain_yaml import read_yaml
from minnow.errors import LONGEST, MinnowError, command, cut_off, relative, together
from minnow.tools.repository import require_git

PROGRAMS = ("rm", "git", "dvc", "cp", "mv", "chmod", "pip", "hf", "python", "make", "export")
# What stands there is a constant of ours.
OURS = {
    "src/minnow/tools/verify.py": "' '.join(command[:3])",
    "src/minnow/serve/backends.py": "EXTRAS[backend]",
}


def unquoted(file: Path) -> Iterator[str]:
    """Yield what f-strings of a file put between backticks, into a command, by themselves."""
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.JoinedStr):
            continue
        values = [part for part in node.values if isinstance(part, ast.FormattedValue)]
        text = "".join(
            str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values
        )
        for found in re.finditer(r"`([^`]*)`", text):
            before = text[: found.start()].count("\0")
            for number in range(found[1].count("\0")):
                if found[1].lstrip("\0").split(" ")[0] in PROGRAMS:
                    yield ast.unparse(values[before + number].value)


def test_no_message_puts_a_value_into_a_command_by_itself() -> None:
    found = {file.relative_to(ROOT).as_posix(): list(unquoted(file)) for file in SRC.rglob("*.py")}
    assert {name: values for name, values in found.items() if values and name not in OURS} == {}


def test_nobody_is_told_to_install_a_stranger() -> None:
    """On PyPI `minnow` is another project."""
    told = [*SRC.rglob("*.py"), *SRC.rglob("*.j2"), ROOT / "README.md", *ROOT.glob("docs/*.md")]
    named = re.compile(r"pip install[^`\n]*\bminnow\b|EXTRAS = .*minnow")
    assert not [file for file in told if named.search(file.read_text(encoding="utf-8"))]


def test_a_path_in_a_command_is_quoted_and_begins_at_the_root() -> None:
    root = Path("/home/me/a b's")
    said = f"bad; {command('rm -rf', root / 'models' / 'x y', '&& dvc repro')} mends it"
    assert relative(said, root) == "bad; `rm -rf 'models/x y' && dvc repro` mends it"
    assert command("git checkout --", Path("params.yaml")) == "`git checkout -- params.yaml`"
    elsewhere = f"{root}/data is missing; {command('rm', Path('/other/x'))}"
    assert relative(elsewhere, root) == elsewhere
    long = f"{root}/data is missing {'x' * LONGEST}"
    assert relative(long, root).startswith("data is missing")


def test_a_long_message_keeps_its_remedy_and_whole_commands() -> None:
    assert cut_off("short") == "short"
    line = cut_off(f"{'x ' * 300}is bad; run `dvc repro` to mend it")
    assert len(line) <= LONGEST
    assert line.endswith(" …; run `dvc repro` to mend it")
    assert cut_off(f"{'x' * 50} `rm -rf {'y' * 400}`") == f"{'x' * 50} …"
    assert together(["a", "b", "a"]) == "a; b"
    assert together(["a" * 200, "b" * 100, "c"]) == f"{'a' * 200}; and 2 more"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository whose path has a blank, with what a wrongly quoted command would remove."""
    root = tmp_path / "a checkout"
    (root / "models" / "student").mkdir(parents=True)
    (root / "models" / "student" / "model.safetensors").write_bytes(b"weights")
    write_manifest(root / "models" / "student", {})
    shutil.copy(ROOT / "params.yaml", root)
    (root / "dvc.yaml").touch()
    (tmp_path / "a").mkdir()
    for words in (["init", "-q"], ["add", "--all"], ["commit", "-q", "-m", "start"]):
        subprocess.run(["git", *words], cwd=root, env=ENVIRONMENT, check=True)
    return root


def told(error: pytest.ExceptionInfo[MinnowError], root: Path) -> str:
    """Return the one command of a message, as the user sees it."""
    (only,) = re.findall(r"`([^`]*)`", relative(str(error.value), root))
    return str(only)


def typed(line: str, root: Path) -> None:
    """Run a command at the project's root as a user would; dvc does nothing here."""
    (root.parent / "bin").mkdir()
    (root.parent / "bin" / "dvc").write_text("#!/bin/sh\necho .\n")
    (root.parent / "bin" / "dvc").chmod(0o755)
    path = f"{root.parent / 'bin'}:{ENVIRONMENT['PATH']}"
    subprocess.run(["sh", "-c", line], cwd=root, env={**ENVIRONMENT, "PATH": path}, check=True)


def test_the_remedy_for_a_damaged_model_removes_that_model_alone(checkout: Path) -> None:
    (checkout / "models" / "student" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(MinnowError) as error:
        check_manifest(checkout / "models" / "student")
    typed(told(error, checkout), checkout)
    assert not (checkout / "models" / "student").exists()
    assert (checkout / "models").is_dir()
    assert (checkout.parent / "a").is_dir()
    assert (checkout / "params.yaml").is_file()


@pytest.mark.parametrize("text", [None, "a: [", "a: !!int b"])
def test_the_remedy_for_a_broken_params_file_brings_it_back(
    checkout: Path, text: str | None
) -> None:
    path = checkout / "params.yaml"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(MinnowError) as error:
        read_yaml(path)
    typed(told(error, checkout), checkout)
    assert path.read_bytes() == (ROOT / "params.yaml").read_bytes()


def test_the_remedy_for_a_folder_without_git_makes_it_one(checkout: Path) -> None:
    shutil.rmtree(checkout / ".git")
    with pytest.raises(MinnowError) as error:
        require_git(checkout)
    typed(told(error, checkout), checkout)
    require_git(checkout)
