"""What can be wanted of the Hub, and what each of its refusals means, in one line."""

import errno
import ssl
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from minnow.errors import MinnowError, behind, command, reason

# What no network causes, though it may not name a file.
OF_THIS_MACHINE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM),
)
LOG_IN = "run `hf auth login`, or set HF_TOKEN"


@dataclass(frozen=True)
class RepositoryKind:
    """A kind of repository: which files of it are fetched, and how errors speak of it.

    `key` is what names it in params.yaml, `otherwise` what to do where the Hub cannot be reached,
    `needed` what each one has.
    """

    repo_type: Literal["dataset", "model"]
    noun: str
    key: str
    files: tuple[str, ...]
    but: tuple[str, ...]
    otherwise: str
    needed: tuple[str, ...] = ()

    def takes(self, file: str) -> bool:
        """Whether a file is fetched."""
        wanted, not_wanted = (
            any(fnmatch(file, pattern) for pattern in patterns)
            for patterns in (self.files, self.but)
        )
        return wanted and not not_wanted


DATA_SET = RepositoryKind(
    repo_type="dataset",
    noun="data set",
    key="id",
    files=("README.md", "*.csv*", "*.tsv*", "*.json*", "*.parquet", "*.arrow"),
    but=(),
    otherwise="use the preset `embedded` or `file`",
)
# Never pickle weights; what lies in a model's folders are other formats.
MODEL = RepositoryKind(
    repo_type="model",
    noun="base model",
    key="base",
    files=("*.json", "*.txt", "*.model", "*.safetensors"),
    but=("*/*",),
    otherwise="put a model below data/base/",
    needed=("config.json",),
)


@dataclass(frozen=True)
class Wanted:
    """A repository as params.yaml names it."""

    kind: RepositoryKind
    name: str
    revision: str

    def __str__(self) -> str:
        return f"{self.kind.noun} {self.name!r}"


def is_local(error: BaseException) -> bool:
    """Whether this machine, not the Hub or the way to it, is behind an error."""
    from huggingface_hub.errors import HfHubHTTPError

    return any(
        isinstance(part, MemoryError)
        or (
            isinstance(part, OSError)
            and not isinstance(part, HfHubHTTPError | ssl.SSLError)
            and (part.filename is not None or part.errno in OF_THIS_MACHINE)
        )
        for part in behind(error)
    )


def may_pass(error: BaseException) -> bool:
    """Whether the same question may soon be answered: a server that fails, a connection that is
    cut. Where nobody answers at all it is not worth waiting.
    """
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if isinstance(error, MinnowError | LocalEntryNotFoundError) or is_local(error):
        return False  # of the second kind the library has tried for long
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in (408, 429) or error.response.status_code >= 500
    cut = (httpx2.ReadError, httpx2.RemoteProtocolError, httpx2.WriteError, httpx2.DecodingError)
    return isinstance(error, cut) or is_short(error)


def is_short(error: BaseException) -> bool:
    """Whether a file came with another size than the Hub had said; the library says so in words
    alone.
    """
    return isinstance(error, OSError) and "Consistency check failed" in str(error)


def pause_asked(error: BaseException) -> int:
    """Return for how many seconds a refusal asks us to wait."""
    from minnow.core.hub_client import pause_of

    response = getattr(error, "response", None)
    return 0 if response is None else pause_of(response)


def root_of(error: BaseException) -> BaseException:
    """Return what is behind the library's word that the cache lacks something."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    while isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def said(error: BaseException) -> str:
    """Return what happened, in few words; no address in full, since one may hold a signature."""
    from huggingface_hub.errors import HfHubHTTPError

    error = root_of(error)
    if isinstance(error, MinnowError):
        return str(error)
    if isinstance(error, HfHubHTTPError) and getattr(error, "response", None) is not None:
        return f"{error.response.request.url.host} answers with HTTP {error.response.status_code}"
    if is_short(error):
        return "a file came with another size than the Hub had said"
    return reason(error)


def failure(wanted: Wanted, error: Exception) -> str:
    """Return in one line what the Hub's error means and how to go on."""
    root = root_of(error)
    return refusal(wanted, root) or way(wanted, root)


def refusal(wanted: Wanted, error: BaseException) -> str:
    """Return what an answer of the Hub means, or nothing where it is none of those known."""
    from huggingface_hub import errors

    key = wanted.kind.key
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{wanted} has no revision {wanted.revision!r}; set `revision` to one of its commits"
    if isinstance(error, errors.GatedRepoError):
        return f"{wanted} is gated; accept its terms on its page, then run `hf auth login`"
    if isinstance(error, errors.DisabledRepoError):
        return f"{wanted} is disabled on the Hub; take another, and set `{key}` to it"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"the Hub has no {wanted}, or it is private; check `{key}`, or run `hf auth login`"
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return (
            f"the Hub lists a file of {wanted} @ {wanted.revision} that it does not have: that"
            " revision is damaged; set `revision` to another of its commits"
        )
    if isinstance(error, errors.HfHubHTTPError):
        return by_status(wanted, error)
    return ""


def by_status(wanted: Wanted, error: Exception) -> str:
    """Return what the HTTP status of an answer means, or nothing."""
    status: int | None = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return (
            f"the Hub does not let you see {wanted}: there is none, it is private, or the token is"
            f" wrong or has expired; check `{wanted.kind.key}`, then {LOG_IN}"
        )
    if status == 403:
        return (
            f"the Hub, or a proxy before it, forbids {wanted} ({said(error)}); take a token that"
            f" may read it ({LOG_IN}), or ask who runs the proxy"
        )
    if status == 404:
        return f"the Hub has no {wanted}; check `{wanted.kind.key}`, `revision` and HF_ENDPOINT"
    if status == 407:
        return f"the proxy wants a user and a password: put them into HTTPS_PROXY to get {wanted}"
    if status == 429:
        return f"the Hub asks for a pause; fetch {wanted} again in some minutes, or {LOG_IN}"
    if status is not None and status >= 500:
        return (
            f"the Hub fails for {wanted} ({said(error)}); run it again later, or"
            f" {wanted.kind.otherwise}"
        )
    if status is not None:
        return f"the Hub does not give {wanted} ({said(error)}); look at HF_ENDPOINT and the proxy"
    return ""


def way(wanted: Wanted, error: BaseException) -> str:
    """Return what an error on the way to the Hub means, or nothing where it is none of those."""
    import httpx2
    from huggingface_hub.errors import FileMetadataError, OfflineModeIsEnabled

    if isinstance(error, MinnowError):
        return f"{wanted} was not fetched: {error}"
    if isinstance(error, OfflineModeIsEnabled):
        lacking = f"HF_HUB_OFFLINE is set and the cache lacks {wanted}"
        return f"{lacking}; unset it, {without_network(wanted)}"
    if "CERTIFICATE" in str(error):
        return (
            f"{wanted} was not fetched: the Hub's certificate is not trusted ({reason(error)});"
            " set SSL_CERT_FILE to the certificates of who looks into connections here, and look"
            " at the clock"
        )
    if isinstance(error, httpx2.TooManyRedirects | httpx2.UnsupportedProtocol | httpx2.InvalidURL):
        return (
            f"{wanted} was not fetched: the way to the Hub leads nowhere ({reason(error)}); look"
            " at HF_ENDPOINT and the proxy"
        )
    not_ours = isinstance(error, FileMetadataError) or is_short(error)
    if not_ours or not isinstance(error, httpx2.HTTPError | OSError):
        return (
            f"{wanted} was not fetched: what answers is not the Hub ({said(error)}); the network"
            " may want you to sign in in a browser; look at HF_ENDPOINT and the proxy too"
        )
    away = f"cannot reach the Hub for {wanted} ({reason(error)})"
    return f"{away}; connect, {without_network(wanted)}"


def without_network(wanted: Wanted) -> str:
    """Return how a machine that does not reach the Hub does without it; short, since the line
    before it names the repository as well.
    """
    option = ["--repo-type dataset"] if wanted.kind is DATA_SET else []
    fetch = command("hf download", *option, Path(wanted.name), "--revision", Path(wanted.revision))
    return f"{wanted.kind.otherwise}, or copy the cache of {fetch}"
