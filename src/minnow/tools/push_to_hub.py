"""push_to_hub: upload models/release to the Hugging Face Hub, or with "dry-run" only say what would
be uploaded.

A repository that is not there yet is made, private unless "public" is given; one that is there
stays as visible as it is, and its card is replaced. A card there that names a licence is not
replaced by one without: the upload is refused. A release of synthetic data is refused unless
"synthetic" is given.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minnow.core.files import MANIFEST, read_json
from minnow.errors import MinnowError, listed, nearest, reason
from minnow.layout import Layout
from minnow.serve import settings

DRY_RUN, SYNTHETIC, PUBLIC = "dry-run", "synthetic", "public"
OPTIONS = (DRY_RUN, SYNTHETIC, PUBLIC)
LOG_IN = "run `hf auth login`, or set HF_TOKEN, with a token that may write"
MESSAGE = "Release made by Minnow"


def main(
    root: Path, repo: str = "", option: str = "", second_option: str = "", third_option: str = ""
) -> None:
    """Upload the release to `repo`; the options are words of OPTIONS, in any order.

    Raises:
        MinnowError: a wrong repository or option, a damaged or synthetic release, no token, or the
        Hub refuses.
    """
    options = {word for word in (option, second_option, third_option) if word}
    for word in sorted(options - set(OPTIONS)):
        raise MinnowError(
            f"unknown option {word!r}{nearest(word, OPTIONS)}; allowed: {listed(OPTIONS)}, or"
            " nothing"
        )
    check_repo(repo)
    folder = Layout(root).release
    sizes = release_files(folder, allow_synthetic=SYNTHETIC in options)
    target = f"{repo} ({'public' if PUBLIC in options else 'private'} if it is made now)"
    total = f"{len(sizes)} files, {sum(sizes.values()) / 1e6:.1f} MB"
    if DRY_RUN in options:
        for name, size in sizes.items():
            print(f"{size:>13,} {name}")
        print(
            f"dry run, nothing was sent: {total} would go to {target}; a {settings.CARD} there"
            " would be replaced"
        )
        return
    with explained(repo):
        named = licence_of_card(folder)
        address = upload(
            folder,
            repo,
            names=list(sizes),
            private=PUBLIC not in options,
            licensed=named is not None,
        )
    card = folder / settings.CARD
    said = (
        f"names the licence {named}"
        if named
        else f"names no licence: choose one, {in_card(card)}, and upload again"
    )
    print(f"uploaded {total} to {address}; its model card {said}")


def in_card(card: Path) -> str:
    """Return how to write a licence into a card."""
    return f"write it into the metadata of {card} (`license: ...`)"


def licence_of_card(folder: Path) -> str | None:
    """Return the licence that a release's card names."""
    from huggingface_hub import ModelCard

    named = ModelCard.load(folder / settings.CARD).data.get("license")
    return str(named) if named else None


def check_repo(repo: str) -> None:
    """Make sure that a repository's name has the form owner/name that the Hub takes.

    Raises:
        MinnowError: it has not.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # not exported, but public

    wanted = "give owner/name, such as `make push-to-hub REPO=me/phishing-urls`"
    if not repo:
        raise MinnowError(f"no repository named; {wanted}")
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise MinnowError(
            f"{repo!r} is no repository of the Hub ({reason(error)}); {wanted}"
        ) from None
    if "/" not in repo:
        raise MinnowError(f"{repo!r} names no owner; {wanted}")


def release_files(folder: Path, *, allow_synthetic: bool) -> dict[str, int]:
    """Return name and bytes of every file of the release, after checking them against their
    manifest.

    Raises:
        MinnowError: there is no release, it is damaged, or it was made from synthetic data.
    """
    if not folder.is_dir():
        raise MinnowError(
            f"{folder} is missing; `dvc repro package` makes it, `dvc pull package` fetches it"
        )
    settings.check(folder)
    if not (folder / settings.CARD).is_file():
        raise MinnowError(f"{folder / settings.CARD} is missing; `dvc repro package` makes it")
    if settings.read_settings(folder).synthetic and not allow_synthetic:
        raise MinnowError(
            "this release learned from synthetic URLs and can recognise no real phishing, so it is"
            " not uploaded; make one from real data (preset hub or file), or show it as a"
            f" demonstration: SYNTHETIC=1, or {SYNTHETIC!r}"
        )
    names = [*read_json(folder / MANIFEST)["files"], MANIFEST]
    return {name: (folder / name).stat().st_size for name in sorted(names)}


def upload(folder: Path, repo: str, *, names: list[str], private: bool, licensed: bool) -> str:
    """Make the repository if needed, put these files into it in one commit, and return its address.

    Weights of an earlier release that this one does not replace are deleted: a loader would prefer
    them.

    Raises:
        MinnowError: there is no token, or a licence that the repository names would be lost.
    """
    from huggingface_hub import HfApi, get_token

    if get_token() is None:
        raise MinnowError(f"no token for the Hugging Face Hub; {LOG_IN}")
    api = HfApi()
    # First, since it fails at once without a network; an upload tries for 23 s.
    address = str(api.create_repo(repo, private=private, exist_ok=True))
    there = api.model_info(repo).card_data
    if there is not None and there.get("license") and not licensed:
        raise MinnowError(
            f"nothing was sent: the card of {repo} names the licence {there.get('license')}, and"
            " this release's card, which would replace it, names none;"
            f" {in_card(folder / settings.CARD)}"
        )
    api.upload_folder(
        repo_id=repo,
        folder_path=folder,
        allow_patterns=names,
        delete_patterns=["*.safetensors", "*.safetensors.index.json"],
        commit_message=MESSAGE,
    )
    return address


@contextmanager
def explained(repo: str) -> Iterator[None]:
    """Turn what the Hub, or the way to it, answers into one line with the remedy."""
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of its own httpx

    try:
        yield
    except (HTTPError, OSError, ValueError, RuntimeError) as error:
        raise MinnowError(remedy(repo, error)) from error


def remedy(repo: str, error: Exception) -> str:
    """Return in one line what an error of an upload means and how to go on."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return f"nothing was sent to {repo}: HF_HUB_OFFLINE is set; unset it"
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    owner = repo.split("/")[0]
    known = {
        400: (
            f"the Hub does not take this name or these files ({reason(error)}); mend what it names"
        ),
        401: f"the Hub does not know this token, or it has expired; {LOG_IN}",
        403: (
            f"this token may not write to {repo}: take one with write access to {owner}, or another"
            f" REPO; {LOG_IN}"
        ),
        404: (
            f"the Hub has no {repo} that this token may see, or no owner {owner}; check REPO, or"
            f" {LOG_IN}"
        ),
        409: f"{repo} was changed by somebody else meanwhile; run it again",
        429: "the Hub asks for a pause; run it again in some minutes",
    }
    if status in known:
        return known[status]
    if status is not None:
        return f"the Hub failed for {repo} ({reason(error)}); run it again later"
    return (
        f"the upload to {repo} failed ({reason(error)}); check the network, then run it again: it"
        " sends what is missing"
    )
