"""The Hugging Face Hub: a local snapshot of a data set or a model, or one line that says why there
is none.

Nothing that the Hub sends is believed: every file must have the digest that the listing of its
commit names, also when it comes from the cache.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from minnow.core.files import discard, replacing
from minnow.core.hub_errors import DATA_SET as DATA_SET  # the kinds, for who wants a snapshot
from minnow.core.hub_errors import MODEL as MODEL
from minnow.core.hub_errors import RepositoryKind as RepositoryKind
from minnow.core.hub_errors import Wanted, failure, is_local, may_pass, pause_asked, said
from minnow.core.supplied import refuse_devices
from minnow.errors import MinnowError, listed, shortened, tell, warn

# How often is tried what the library tries once, and the first pause, which then doubles.
ATTEMPTS, PAUSE_S = 3, 1.0
REVISION = re.compile(r"\w[\w./+-]{0,199}", re.ASCII)
Answer = TypeVar("Answer")
PLACES = ("refs", "trees", "blobs", "snapshots")  # of the cache, below a repository's folder
DIGESTS = {40: "sha1", 64: "sha256"}  # Git's, and Git LFS's


def snapshot(kind: RepositoryKind, name: str, revision: str | None) -> Path:
    """Return the local snapshot of a repository, downloaded or from the cache; the folder's name is
    the commit.

    A commit that the cache holds whole is taken from there, and nobody is asked.

    Raises:
        MinnowError: the Hub cannot be reached and the cache lacks it, or there is no such
        repository or revision, or what the Hub sends is not what it names.
    """
    from minnow.core.hub_client import COMMIT, install_client

    if revision is None:
        warn(f"{kind.noun} {name!r} has no revision: its main branch is taken, which may change")
    wanted = Wanted(kind, name, revision or "main")
    check_names(wanted)
    check_cache(wanted)
    if COMMIT.fullmatch(wanted.revision) and (folder := cached(wanted)):
        return folder
    install_client()
    try:
        return downloaded(wanted, insisting(lambda: commit_of(wanted)))
    except Exception as error:
        if is_local(error):
            raise
        trouble = error
    # A branch may have moved, so the Hub was asked first; where it fails, the last commit does.
    if folder := cached(wanted):
        warn(f"{wanted} comes from the cache, at {folder.name}, since {said(trouble)}")
        return folder
    raise MinnowError(failure(wanted, trouble)) from None


def check_names(wanted: Wanted) -> None:
    """Refuse what can be no repository or revision; both become parts of paths in the cache.

    Raises:
        MinnowError: says which one it is.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # not exported, but public

    try:
        validate_repo_id(wanted.name)
    except HFValidationError:
        raise MinnowError(
            f"{wanted} is neither a folder here nor a Hub id like owner/name; correct"
            f" `{wanted.kind.key}`"
        ) from None
    if not REVISION.fullmatch(wanted.revision) or ".." in wanted.revision:
        raise MinnowError(
            f"revision {shortened(wanted.revision)!r} of {wanted} can be no commit, branch or tag;"
            " set it to the 40 letters and digits of a commit"
        )


def check_cache(wanted: Wanted) -> None:
    """Refuse pipes and devices in what the cache holds of a repository, and as the token's file:
    whoever opens one waits.

    Raises:
        MinnowError: names one.
    """
    from huggingface_hub import constants

    if os.path.realpath(constants.HF_TOKEN_PATH) != os.devnull:  # as who wants no token names it
        refuse_devices(Path(constants.HF_TOKEN_PATH))
    locks = Path(constants.HF_HUB_CACHE) / ".locks" / storage_of(wanted).name
    for place in (locks, *map(storage_of(wanted).joinpath, PLACES)):
        refuse_devices(place)


def storage_of(wanted: Wanted) -> Path:
    """Return the folder of the cache for a repository."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    name = repo_folder_name(repo_id=wanted.name, repo_type=wanted.kind.repo_type)
    return Path(constants.HF_HUB_CACHE) / name


def commit_of(wanted: Wanted) -> str:
    """Return the commit that the Hub has for a revision.

    One request that fails at once: without a network the library would try for 23 s.
    """
    from huggingface_hub import HfApi

    from minnow.core.hub_client import COMMIT, TIMEOUT_S

    commit = (
        HfApi()
        .repo_info(
            wanted.name,
            repo_type=wanted.kind.repo_type,
            revision=wanted.revision,
            timeout=TIMEOUT_S,
        )
        .sha
    )
    if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
        raise ValueError("no commit in the answer")
    if COMMIT.fullmatch(wanted.revision) and commit != wanted.revision:
        raise ValueError("another commit in the answer")
    return commit


def downloaded(wanted: Wanted, commit: str) -> Path:
    """Return the snapshot of a commit; files that lack its digest are fetched once more.

    Raises:
        MinnowError: they lack it again, or the commit has no file that is read here.
    """
    for _ in range(2):
        folder = insisting(lambda: _snapshot(wanted, commit, local=False))
        if not any(file.is_file() for file in folder.rglob("*")):
            forget(folder)
            raise MinnowError(
                f"commit {commit} has none of the files that are read of a {wanted.kind.noun}"
                f" ({listed(wanted.kind.files)}); check `{wanted.kind.key}` and `revision`"
            )
        unsound = list(unsound_files(wanted.kind, folder))
        if not unsound:
            remember(folder, wanted.revision)
            return folder
        for file in unsound:
            tell(f"{file.name} of {wanted} has another digest than its commit names: fetched anew")
            drop(file, storage_of(wanted))
    forget(folder)
    raise MinnowError(
        f"twice the Hub sent a {unsound[0].name} that is not the one of commit {commit}; it was not"
        " kept; look at HF_ENDPOINT and the proxy, or try again later"
    )


def drop(file: Path, storage: Path) -> None:
    """Remove a file of a snapshot, and the blob that it is a link to; what somebody linked to from
    elsewhere stays.
    """
    end = file.resolve()
    if end.parent == (storage / "blobs").resolve():
        end.unlink(missing_ok=True)
    file.unlink(missing_ok=True)


def remember(folder: Path, revision: str) -> None:
    """Note in the cache which commit a branch stood for, for when the Hub cannot be asked."""
    if revision != folder.name:
        with suppress(OSError), replacing(folder.parents[1] / "refs" / revision) as note:
            note.write_text(folder.name)


def cached(wanted: Wanted) -> Path | None:
    """Return the snapshot that the cache holds whole and sound, or nothing."""
    from minnow.core.hub_client import COMMIT

    try:
        folder = _snapshot(wanted, wanted.revision, local=True)
    except Exception as error:  # the library raises all kinds where a file of its cache is damaged
        if is_local(error):
            raise
        return None
    if not COMMIT.fullmatch(folder.name) or not any(folder.iterdir()):
        return None
    if not all((folder / name).is_file() for name in wanted.kind.needed):
        return None
    for file in unsound_files(wanted.kind, folder):
        warn(f"the cache's {file} has another digest than its commit names: it is not used")
        return None
    return folder


def _snapshot(wanted: Wanted, revision: str, *, local: bool) -> Path:
    from huggingface_hub import snapshot_download

    if not local:
        listing = storage_of(wanted) / "trees" / f"{revision}.json"
        drop_damaged_listing(listing, wanted.kind.needed)
    return Path(
        snapshot_download(
            wanted.name,
            repo_type=wanted.kind.repo_type,
            revision=revision,
            allow_patterns=list(wanted.kind.files),
            ignore_patterns=list(wanted.kind.but),
            local_files_only=local,
        )
    )


def forget(folder: Path) -> None:
    """Remove a snapshot and its listing from the cache: it may be the listing that is wrong, and
    without one nobody would see what the snapshot lacks. Blobs stay, and are linked anew.
    """
    discard(folder)
    (folder.parents[1] / "trees" / f"{folder.name}.json").unlink(missing_ok=True)


def drop_damaged_listing(file: Path, needed: Collection[str]) -> None:
    """Remove a cached listing that is none, over which the library would stumble, or that lacks
    what every such repository has: it may have been wrong once, and is asked for again.
    """
    if file.exists() and not (file.is_file() and is_listing(file.read_bytes(), needed)):
        discard(file)


def is_listing(content: bytes, needed: Collection[str]) -> bool:
    """Say whether this is JSON that names files, with an object for each, those needed included."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return False
    files = found.get("files") if isinstance(found, dict) else None
    return (
        isinstance(files, dict)
        and all(isinstance(entry, dict) for entry in files.values())
        and files.keys() >= set(needed)
    )


def insisting(ask: Callable[[], Answer]) -> Answer:
    """Return what the Hub answers, asking again where the next answer may be another."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return ask()
        except Exception as error:
            if not may_pass(error):
                raise
            tell(f"{said(error)}: trying again")
            time.sleep(max(PAUSE_S * 2**attempt, pause_asked(error)))
    return ask()


def unsound_files(kind: RepositoryKind, folder: Path) -> Iterator[Path]:
    """Yield the files of a snapshot that lack the digest that its commit's listing names, or are
    not there.

    Without a listing, as in a cache of an older version, a file must be what its blob is called.
    """
    from huggingface_hub._tree_cache import read_tree_cache

    listing = read_tree_cache(str(folder.parents[1]), folder.name) or {}
    names = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    for name in sorted(filter(kind.takes, names | set(listing))):
        file = folder / name
        if name not in names:
            yield file
            continue
        entry = listing.get(name)
        digest = (entry.lfs_sha256 or entry.blob_id) if entry else file.resolve().name
        known = re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", str(digest)) is not None
        if digest_of(file, DIGESTS[len(digest)]) != digest if known else entry is not None:
            yield file


def digest_of(file: Path, algorithm: str) -> str:
    """Return the digest of a file: of its bytes by SHA-256, as Git names them by SHA-1."""
    with file.open("rb") as opened:
        if algorithm == "sha256":
            return hashlib.file_digest(opened, algorithm).hexdigest()
        begun = hashlib.sha1(b"blob %d\0" % file.stat().st_size, usedforsecurity=False)
        return hashlib.file_digest(opened, lambda: begun).hexdigest()
