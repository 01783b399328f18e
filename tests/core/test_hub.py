"""The Hub: what is asked of it, and what each of its refusals is called."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import errors

from minnow.core import hub
from minnow.errors import MinnowError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
KINDS = [hub.DATA_SET, hub.MODEL]


@pytest.mark.parametrize("kind", KINDS)
def test_a_branch_is_downloaded_at_the_commit_it_stands_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: hub.RepositoryKind
) -> None:
    asked: dict[str, Any] = {}

    def download(name: str, **options: Any) -> str:
        asked.update(options, name=name)
        return str(tmp_path / options["revision"])

    monkeypatch.setattr(
        f"huggingface_hub.HfApi.{kind.repo_type}_info", lambda *_, **__: SimpleNamespace(sha=COMMIT)
    )
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert hub.snapshot(kind, "me/thing", "v2").name == COMMIT
    request = {
        "name": "me/thing",
        "repo_type": kind.repo_type,
        "revision": COMMIT,
        "local_files_only": False,
    }
    assert asked.items() >= request.items()
    assert not any(
        pattern.endswith((".bin", ".pt", ".pkl", "/*")) or pattern == "*" for pattern in kind.files
    )


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        (
            hub.DATA_SET,
            errors.RevisionNotFoundError,
            "data set 'me/thing' has no revision 'v2'; set `revision`",
        ),
        (
            hub.MODEL,
            errors.RevisionNotFoundError,
            "base model 'me/thing' has no revision 'v2'; set `revision`",
        ),
        (hub.MODEL, errors.GatedRepoError, "accept its terms"),
        (hub.DATA_SET, errors.RepositoryNotFoundError, "or it is private; check `id`"),
        (hub.MODEL, errors.RepositoryNotFoundError, "or it is private; check `base`"),
        (hub.DATA_SET, OSError, "cannot reach the Hub for data set 'me/thing' @ v2"),
        (hub.DATA_SET, OSError, "hf download --repo-type dataset me/thing --revision v2"),
        (hub.MODEL, OSError, "hf download me/thing --revision v2"),
    ],
)
def test_what_the_hub_refuses_is_told_apart(
    kind: hub.RepositoryKind, error: type[Exception], words: str
) -> None:
    assert words in hub.failure(kind, "me/thing", "v2", error.__new__(error))


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_revision_is_warned_of(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kind: hub.RepositoryKind
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MinnowError, match="cannot reach the Hub"):
        hub.snapshot(kind, "nobody/nothing", None)
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        line == f"minnow: warning: {kind.noun} 'nobody/nothing' has no revision: its main branch is"
        " taken, which may change"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_id_is_told(kind: hub.RepositoryKind) -> None:
    with pytest.raises(
        MinnowError, match=f"{kind.noun} 'not an id' is neither a folder here nor .* `{kind.key}`"
    ):
        hub.snapshot(kind, "not an id", "main")
