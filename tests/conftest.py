"""What all tests share: no idle threads that spin, no network, tiny models made once."""

import os
import tempfile

# Before torch and huggingface_hub are imported, which read these only then; child processes inherit
# them. Port 9 refuses at once, so that no test depends on a network, and nobody's own cache is
# used.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="minnow-hf-")
os.environ.pop("HF_HUB_OFFLINE", None)

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from minnow.models.params import BuildParams

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from minnow.models.batching import Encoded

TEXTS = [
    "paypa1.com/login?user=1",
    "example.org",
    "a.b.c.example.net/path/to/page.html",
    "10.0.0.1/verify/account",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that take minutes, lest one worker be left with them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("pipeline") is None)


@pytest.fixture(autouse=True, scope="session")
def hugging_face_home() -> Iterator[None]:
    """Remove the temporary cache at the end."""
    yield
    shutil.rmtree(os.environ["HF_HOME"], ignore_errors=True)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Let every test draw the same weights, whichever ran before it."""
    import torch

    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tokenizer() -> "PreTrainedTokenizerBase":
    """A byte-level BPE of about 300 pieces that cuts at 32 tokens. Not to be changed: copy it."""
    from minnow.models import building

    return building.train_tokenizer(TEXTS * 5, vocabulary=300, max_length=32)


@pytest.fixture(scope="session")
def encoded(tokenizer: "PreTrainedTokenizerBase") -> "Encoded":
    """A few texts of different lengths."""
    from minnow.models.batching import encode

    return encode(tokenizer, TEXTS)


@pytest.fixture(scope="session")
def shape() -> BuildParams:
    """The smallest shape that 4-bit schemes take."""
    return BuildParams(
        architecture="bert", layers=2, heads=2, hidden_size=64, intermediate_size=128, dropout=0.1
    )


@pytest.fixture
def base_folder(tmp_path: Path) -> Path:
    """The folder of a project, of preset `file`, that base models lie in."""
    folder = tmp_path / "data" / "base" / "file"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Path, str], tuple[int, str]]:
    """Call the entry point's `main` on a project, in this process: exit code, and stderr without
    progress bars.
    """
    from helpers.stage import entry_point

    def call(root: Path, command: str) -> tuple[int, str]:
        stage = entry_point()
        monkeypatch.setattr(stage, "ROOT", root)
        monkeypatch.setattr(stage, "prepare_process", lambda: None)
        capsys.readouterr()
        code = stage.main(command.split())
        return code, "\n".join(
            line for line in capsys.readouterr().err.splitlines() if line and "%|" not in line
        )

    return call


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the results of tiny models. Not to be changed: `project` is a copy."""
    from helpers.pipeline import build

    return build(tmp_path_factory.mktemp("built"))


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Path:
    """A copy of the built repository, cache and all."""
    return Path(shutil.copytree(built, tmp_path / "project", symlinks=True))
