"""The Hugging Face Hub: a local snapshot of a data set or a model, or one line that says why there
is none.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from minnow.errors import MinnowError, reason, warn

TIMEOUT_S = 10


@dataclass(frozen=True)
class RepositoryKind:
    """A kind of repository: which files of it are fetched, and how errors speak of it.

    `key` is what names it in params.yaml, `otherwise` what to do where the Hub cannot be reached.
    """

    repo_type: Literal["dataset", "model"]
    noun: str
    key: str
    files: tuple[str, ...]
    otherwise: str


DATA_SET = RepositoryKind(
    repo_type="dataset",
    noun="data set",
    key="id",
    files=("README.md", "*.csv*", "*.tsv*", "*.json*", "*.parquet", "*.arrow"),
    otherwise="use the preset `embedded` or `file`",
)
# Never pickle weights; what lies in a model's folders are other formats.
MODEL = RepositoryKind(
    repo_type="model",
    noun="base model",
    key="base",
    files=("*.json", "*.txt", "*.model", "*.safetensors"),
    otherwise="put a model below data/base/",
)


def snapshot(kind: RepositoryKind, name: str, revision: str | None) -> Path:
    """Return the local snapshot of a repository, downloaded or from the cache; the folder's name is
    the commit.

    Raises:
        MinnowError: the Hub cannot be reached and the cache lacks it, or there is no such
        repository or revision.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError, HTTPError  # type: ignore[attr-defined]  # of its own httpx

    if revision is None:
        warn(f"{kind.noun} {name!r} has no revision: its main branch is taken, which may change")
    branch, commit, trouble = revision or "main", None, None
    try:
        # One request that fails at once: without a network snapshot_download retries for 23 s.
        commit = (
            HfApi()
            .repo_info(name, repo_type=kind.repo_type, revision=branch, timeout=TIMEOUT_S)
            .sha
        )
    except HFValidationError:
        raise MinnowError(
            f"{kind.noun} {name!r} is neither a folder here nor a Hub id like owner/name; correct"
            f" `{kind.key}`"
        ) from None
    except (HTTPError, OSError) as error:
        trouble = error
    try:
        folder = snapshot_download(
            name,
            repo_type=kind.repo_type,
            revision=commit or branch,
            allow_patterns=list(kind.files),
            ignore_patterns=["*/*"] if kind is MODEL else None,
            local_files_only=commit is None,
        )
    except (HTTPError, OSError) as error:
        raise MinnowError(failure(kind, name, branch, trouble or error)) from None
    return Path(folder)


def failure(kind: RepositoryKind, name: str, revision: str, error: Exception) -> str:
    """Return in one line what the Hub's error means and how to go on."""
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, RevisionNotFoundError):
        return (
            f"{kind.noun} {name!r} has no revision {revision!r}; set `revision` to one of its"
            " commits"
        )
    if isinstance(error, GatedRepoError):
        return (
            f"{kind.noun} {name!r} is gated; accept its terms on its page, then run `hf auth login`"
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"the Hub has no {kind.noun} {name!r}, or it is private; check `{kind.key}`, or run `hf"
            " auth login`"
        )
    option = "--repo-type dataset " if kind is DATA_SET else ""
    return (
        f"cannot reach the Hub for {kind.noun} {name!r} @ {revision}, and the cache lacks it"
        f" ({reason(error)}); connect, or run `hf download {option}{name} --revision {revision}` on"
        " a connected machine, copy its ~/.cache/huggingface/hub here and set HF_HUB_OFFLINE=1, or"
        f" {kind.otherwise}"
    )
