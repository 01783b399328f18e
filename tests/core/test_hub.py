"""The Hub: a snapshot through huggingface_hub's real code, from a stand-in that misbehaves."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from huggingface_hub import _tree_cache, errors, set_client_factory
from huggingface_hub.utils._http import default_client_factory

from helpers.errors import one_line
from helpers.hub import (
    Answer,
    Fault,
    Hub,
    as_json,
    changed,
    instead,
    portal,
    redirected,
    refusal,
    running,
    taken_for_the_hub,
    tree,
)
from minnow.core import hub, hub_client, hub_pace
from minnow.core.hub_errors import Wanted, failure, is_local
from minnow.errors import MinnowError

NAME, TOKEN = "me/thing", "hf_sesame"
FILES = {
    "README.md": b"---\n---\n",
    "config.json": b"{}",
    "tokenizer.json": b'{"version": "1.0"}',
    "model.safetensors": bytes(range(256)) * 400,
    "data/train.parquet": b"PAR1",
    "pytorch_model.bin": b"pickle",
}
OF_MODEL = ("config.json", "model.safetensors", "tokenizer.json")
ASKED, LISTED, HEAD, FILE = "GET hub .*/revision/", "GET hub .*/tree/", "HEAD hub", "GET store"
RETRY = {"Retry-After": "3"}
DOTS = {"X-Linked-Etag": '"../../../../evil"', "ETag": '"../../../../evil"'}


@pytest.fixture(scope="module")
def servers() -> Iterator[Hub]:
    with running() as standing:
        yield standing


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def standing(servers: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The stand-in, behaving well, which this process takes for the Hub; nobody waits."""
    servers.forget()
    for kind in ("models", "datasets"):
        servers.add(kind, NAME, FILES)
    taken_for_the_hub(servers, cache, monkeypatch)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1_000)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(hub_client, "TIMEOUT_S", 1.0)
    waits = SimpleNamespace(sleep=lambda seconds: None, time=time.time, monotonic=time.monotonic)
    for module in (
        "minnow.core.hub",
        "huggingface_hub.utils._http",
        "huggingface_hub.file_download",
    ):
        monkeypatch.setattr(f"{module}.time", waits)
    yield servers
    set_client_factory(default_client_factory)


def commit(standing: Hub) -> str:
    return standing.repositories["models", NAME].commit


def fetched(standing: Hub, revision: str | None = None) -> dict[str, bytes]:
    """Return the files of a snapshot of the model, at its commit if no other revision is given."""
    _tree_cache._IN_MEMORY_TREE_CACHE.clear()  # as in a process of its own
    folder = hub.snapshot(hub.MODEL, NAME, revision or commit(standing))
    assert folder.name == commit(standing)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def whole(files: dict[str, bytes]) -> bool:
    return files == {name: FILES[name] for name in OF_MODEL}


# --- What is asked of a Hub that behaves ----------------------------------------------------------


@pytest.mark.parametrize("kind", [hub.DATA_SET, hub.MODEL])
def test_only_files_that_are_read_are_fetched(standing: Hub, kind: hub.RepositoryKind) -> None:
    folder = hub.snapshot(kind, NAME, "main")
    assert folder.name == commit(standing)
    got = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    data = {"README.md", "config.json", "tokenizer.json", "data/train.parquet"}
    assert got == (set(OF_MODEL) if kind is hub.MODEL else data)


def test_the_token_goes_to_the_hub_and_nowhere_else(standing: Hub) -> None:
    assert whole(fetched(standing))
    known = {
        asked.at: asked.authorization for asked in standing.asked if "harness" not in asked.path
    }
    assert known == {"hub": f"Bearer {TOKEN}", "store": None}


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        (LISTED, lambda at: changed(headers={"Link": f'<{at}/api/models/x/y>; rel="next"'})),
        (ASKED, lambda at: redirected(f"{at}/api/models/x/y")),
        (HEAD, lambda at: redirected(f"{at}/elsewhere")),
    ],
)
def test_another_host_gets_no_token(standing: Hub, where: str, fault: Any) -> None:
    standing.misbehave(fault(standing.store), where)
    with pytest.raises(MinnowError) as caught:
        fetched(standing)
    assert TOKEN not in one_line(caught)
    assert {asked.authorization for asked in standing.asked if asked.at == "store"} == {None}


def test_a_commit_in_the_cache_needs_nobody(standing: Hub) -> None:
    fetched(standing)
    standing.asked.clear()
    assert whole(fetched(standing))
    assert standing.asked == []


# --- What passes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "where", "times"),
    [
        (changed(delay=0.3), "", 9),
        (changed(pause=0.01), "store", 1),
        (changed(cut=50_001), FILE, 2),
        (changed(cut=0), FILE, 2),
        *((instead(refusal(status)), ASKED, 2) for status in (429, 500, 502, 503)),
        (instead(refusal(429, **RETRY)), ASKED, 1),
        *((instead(refusal(status)), LISTED, 1) for status in (429, 503)),
        *((instead(refusal(status)), HEAD, 1) for status in (408, 429, 500)),
        *((instead(refusal(status)), FILE, 1) for status in (429, 503)),
        (changed(body=b"short"), FILE, 1),
        (changed(body=b"x" * len(FILES["model.safetensors"])), FILE, 1),
    ],
)
def test_what_passes_is_waited_for(
    standing: Hub, fault: Fault, where: str, times: int, capsys: pytest.CaptureFixture[str]
) -> None:
    standing.misbehave(fault, where, times)
    assert whole(fetched(standing))
    assert all(line.startswith(("minnow: ", "Fetching")) for line in lines(capsys))


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What is told, but for progress bars, which say s/it where a file takes more than a second."""
    told = capsys.readouterr().err.split("\n")
    return [line for line in told if line and not line.endswith(("it/s]", "s/it]"))]


def test_a_file_that_is_cut_off_goes_on_from_there(standing: Hub) -> None:
    standing.misbehave(changed(cut=50_001), FILE, 1)
    assert whole(fetched(standing))
    ranges = [asked.range for asked in standing.asked if asked.at == "store"]
    assert ranges == [None, "bytes=50000-"]


# --- What does not pass ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "where", "words"),
    [
        (instead(refusal(401)), ASKED, "or the token is wrong or has expired"),
        (instead(refusal(403)), ASKED, "forbids base model 'me/thing'"),
        (instead(refusal(403, "GatedRepo")), ASKED, "is gated; accept its terms"),
        (instead(refusal(403, "GatedRepo")), HEAD, "is gated; accept its terms"),
        (instead(refusal(404, "RepoNotFound")), ASKED, "or it is private; check `base`"),
        (instead(refusal(404, "RevisionNotFound")), ASKED, "has no revision"),
        (instead(refusal(404)), ASKED, "the Hub has no base model 'me/thing'"),
        (instead(refusal(404, "EntryNotFound")), HEAD, "lists a file of base model"),
        (instead(refusal(407)), ASKED, "the proxy wants a user and a password"),
        (instead(refusal(418)), ASKED, "HTTP 418"),
        (instead(refusal(451)), FILE, "HTTP 451"),
        (instead(refusal(429)), ASKED, "asks for a pause"),
        (instead(refusal(429, **{"Retry-After": "3600"})), "", "a pause of 3,600 s"),
        (instead(refusal(429, ratelimit='"api";r=0;t=300')), LISTED, "a pause of 300 s"),
        *((instead(refusal(500)), where, "HTTP 500") for where in (ASKED, LISTED, HEAD, FILE)),
        *((portal, where, "sign in") for where in ("", ASKED, LISTED, HEAD, FILE)),
        *(
            (instead(as_json(shape)), where, "sign in")
            for shape in ([1], None, 7, {"id": NAME}, {"id": NAME, "sha": "../../../evil"})
            for where in (ASKED, LISTED)
        ),
        (instead(Answer(body=b"[" * 100_000)), LISTED, "sign in"),
        (instead(Answer(body=b"\xff\xfe")), ASKED, "sign in"),
        (instead(as_json([])), LISTED, "has none of the files that are read"),
        (changed(body=b"short"), FILE, "another size"),
        (changed(body=b"x" * len(FILES["model.safetensors"])), FILE, "twice the Hub sent a model."),
        (changed(cut=9), FILE, "cannot reach the Hub"),
        (changed(body=b"?", headers={"Content-Encoding": "gzip"}), FILE, "sign in"),
        (redirected("file:///etc/passwd"), ASKED, "leads nowhere"),
        (redirected("file:///etc/passwd"), HEAD, "leads nowhere"),
        (redirected("file:///etc/passwd"), FILE, "leads nowhere"),
        (redirected("gopher://x"), ASKED, "leads nowhere"),
        (redirected("http://[::1"), ASKED, "cannot reach the Hub"),
        (changed(headers=DOTS), HEAD, "refused"),
        (changed(headers={"X-Repo-Commit": "../../evil"}), HEAD, "refused"),
        (changed(headers={"X-Repo-Commit": "a" * 40}), HEAD, "has none of the files"),
        (changed(delay=30), ASKED, "cannot reach the Hub"),
        (changed(delay=30), HEAD, "cannot reach the Hub"),
        (changed(pause=30, piece=1), FILE, "cannot reach the Hub"),
    ],
)
def test_what_does_not_pass_ends_in_one_line(
    standing: Hub, fault: Fault, where: str, words: str, cache: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(hub_client, "TIMEOUT_S", 0.1 if words == "cannot reach the Hub" else 1)
    standing.misbehave(fault, where)
    began = time.monotonic()
    with pytest.raises(MinnowError) as caught:
        fetched(standing)
    assert time.monotonic() - began < 5
    assert words in one_line(caught)
    assert TOKEN not in one_line(caught)
    assert "Signature" not in one_line(caught)
    assert {path.name for path in cache.parent.iterdir()} <= {"cache"}, "nothing lies elsewhere"
    assert not list(cache.rglob("*evil*")) + list(cache.rglob("*.incomplete"))


@pytest.mark.parametrize(
    "path", ["../evil.json", "/tmp/evil.json", "a/../../evil.json", "a\0.json"]
)
@pytest.mark.parametrize("kind", [hub.DATA_SET, hub.MODEL])
def test_a_listing_names_nothing_outside(
    standing: Hub, kind: hub.RepositoryKind, path: str, cache: Path
) -> None:
    entry = {"type": "file", "path": path, "size": 2, "oid": "a" * 40}
    standing.misbehave(instead(as_json([entry])), LISTED)
    with pytest.raises(MinnowError) as caught:
        hub.snapshot(kind, NAME, "main")
    one_line(caught)
    assert not list(cache.parent.rglob("*evil*"))


def test_redirects_and_pages_have_an_end(standing: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    here = f"{standing.address}/api/models/{NAME}/revision/{commit(standing)}"
    standing.misbehave(redirected(here), ASKED)
    with pytest.raises(MinnowError, match="TooManyRedirects"):
        fetched(standing)
    standing.forget()
    monkeypatch.setattr(hub_client, "MOST_QUESTIONS", 20)
    here = here.replace("/revision/", "/tree/")
    standing.misbehave(changed(headers={"Link": f'<{here}>; rel="next"'}), LISTED)
    with pytest.raises(MinnowError, match="no end after 20 pages"):
        fetched(standing)


def test_an_answer_has_an_end_and_a_least_speed(
    standing: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_client, "MOST_BYTES_OF_ANSWER", 50)
    with pytest.raises(MinnowError, match="answer has no end"):
        fetched(standing)
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("trickle", "where"),
    [
        (changed(piece=10, pause=0.05), FILE),
        *((changed(trickle=0.05), where) for where in (ASKED, LISTED, HEAD, FILE)),
    ],
)
def test_a_trickle_is_given_up(
    standing: Hub, trickle: Fault, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_pace, "PACE_S", 0.3)
    standing.misbehave(trickle, where)
    began = time.monotonic()
    with pytest.raises(MinnowError, match="bytes a second, too few to go on"):
        fetched(standing)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "slow", [changed(pause=0.05, piece=50), changed(delay=0.1)], ids=["a slow page", "slow pages"]
)
@pytest.mark.parametrize("path", [f"/api/models/{NAME}/tree/main", "/elsewhere"])
def test_a_listing_has_an_end_in_time(
    standing: Hub, slow: Fault, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its next page lies at an address that no page has."""
    monkeypatch.setattr(hub_client, "LONGEST_LISTING_S", 0.4)
    following = {"Link": f'<{standing.address}{path}>; rel="next"'}
    standing.misbehave(instead(as_json(tree(standing.repositories["models", NAME]))), path)
    standing.misbehave(changed(headers=following), f"{LISTED}|{path}")
    standing.misbehave(slow)
    began = time.monotonic()
    with pytest.raises(MinnowError, match="not listed its files within"):
        fetched(standing)
    assert time.monotonic() - began < 3


# --- The cache ------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [refusal(503), refusal(401), refusal(404, "RepoNotFound")])
def test_without_the_hub_a_branch_is_what_the_cache_knows(
    standing: Hub, trouble: Answer, capsys: pytest.CaptureFixture[str]
) -> None:
    fetched(standing, "main")
    standing.misbehave(instead(trouble))
    assert whole(fetched(standing, "main"))
    assert f"comes from the cache, at {commit(standing)}, since" in lines(capsys)[-1]


@pytest.mark.parametrize("revision", [None, "main"])
def test_offline_a_whole_cache_is_enough(
    standing: Hub, revision: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched(standing, "main")
    standing.asked.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert whole(fetched(standing, revision))
    assert standing.asked == []


def test_offline_without_a_cache_says_so(standing: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MinnowError, match="HF_HUB_OFFLINE is set and the cache lacks") as caught:
        fetched(standing)
    assert f"the cache of `hf download {NAME} --revision" in one_line(caught)


def rotten(cache: Path, commit: str) -> Path:
    """Flip a bit of the cached weights, and return their file."""
    file = cache / "models--me--thing" / "snapshots" / commit / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[1000] ^= 1
    file.resolve().write_bytes(content)
    return file


@pytest.mark.parametrize("listed", [True, False])
def test_a_rotten_cache_is_fetched_anew(standing: Hub, cache: Path, listed: bool) -> None:
    fetched(standing)
    rotten(cache, commit(standing))
    if not listed:  # a cache as older versions of the library leave it
        next(cache.rglob("trees/*.json")).unlink()
    assert whole(fetched(standing))


def test_what_somebody_linked_into_the_cache_is_not_deleted(
    standing: Hub, cache: Path, tmp_path: Path
) -> None:
    fetched(standing)
    mine, file = tmp_path / "mine", next(cache.rglob("config.json"))
    mine.write_text("{}  ")
    file.unlink()
    file.symlink_to(mine)
    assert whole(fetched(standing))
    assert mine.read_text() == "{}  "


def test_a_rotten_cache_is_not_believed_offline(
    standing: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    fetched(standing)
    file = rotten(cache, commit(standing))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MinnowError, match="HF_HUB_OFFLINE is set"):
        fetched(standing)
    assert f"the cache's {file} has another digest" in lines(capsys)[-1]
    assert file.is_file(), "only what can be fetched anew is deleted"


@pytest.mark.parametrize("left", ["", "../../../etc", "main", "0" * 39])
def test_a_damaged_reference_is_no_commit(
    standing: Hub, cache: Path, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched(standing, "main")
    (cache / "models--me--thing" / "refs" / "main").write_text(left)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MinnowError, match="HF_HUB_OFFLINE is set and the cache lacks"):
        fetched(standing, "main")


@pytest.mark.parametrize(
    "left",
    [
        *("", "{", "[]", '{"format_version": 1}', json.dumps({"files": {}})),
        *('{"format_version": 1, "files": []}', '{"format_version": 1, "files": {"a": 7}}'),
    ],
)
def test_a_damaged_listing_is_fetched_anew(standing: Hub, cache: Path, left: str) -> None:
    fetched(standing)
    next(cache.rglob("trees/*.json")).write_text(left)
    next(cache.rglob("config.json")).unlink()
    standing.misbehave(changed(delay=0.0))
    assert set(fetched(standing)) >= {"model.safetensors"}


def wrong_digest(answer: Answer) -> Answer:
    """A listing in which each file has the digest of another, or none."""
    files = [entry | {"oid": 7, "lfs": None} for entry in json.loads(answer.body)]
    return as_json(files)


@pytest.mark.parametrize("wrong", [instead(as_json([])), wrong_digest], ids=["empty", "digests"])
def test_a_listing_that_was_wrong_once_is_not_believed_for_ever(standing: Hub, wrong: Any) -> None:
    standing.misbehave(wrong, LISTED)
    with pytest.raises(MinnowError) as caught:
        fetched(standing)
    one_line(caught)
    standing.forget()
    assert whole(fetched(standing))


def test_a_listing_without_a_config_is_asked_for_again(standing: Hub, cache: Path) -> None:
    """It may have been wrong once; a repository that truly has none is told of by who reads it."""

    def lacking(answer: Answer) -> Answer:
        listed = json.loads(answer.body)
        return as_json([entry for entry in listed if entry["path"] != "config.json"])

    standing.misbehave(lacking, LISTED)
    for _ in range(2):
        assert "config.json" not in fetched(standing)
    standing.forget()
    assert whole(fetched(standing))


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize(
    "place", ["refs/main", "trees/*.json", "blobs/*", "snapshots/*/config.json", "token"]
)
def test_a_pipe_or_a_device_in_the_cache_is_not_opened(
    standing: Hub, cache: Path, place: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched(standing, "main")
    if place == "token":
        monkeypatch.delenv("HF_TOKEN")
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(cache / "token"))
        (cache / "token").write_text(TOKEN)
    file = next((cache if place == "token" else cache / "models--me--thing").glob(place))
    file.unlink()
    os.mkfifo(file) if kind == "pipe" else file.symlink_to("/dev/zero")
    for revision in (None, "main"):
        with pytest.raises(MinnowError, match=r"is a (named pipe|device), not a file") as caught:
            fetched(standing, revision)
        assert str(file.parent) in one_line(caught)


def test_no_token_may_be_written_as_the_null_device(
    standing: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", os.devnull)
    assert whole(fetched(standing))


def test_a_folder_in_place_of_a_listing_is_removed(standing: Hub, cache: Path) -> None:
    fetched(standing)
    listing = next(cache.rglob("trees/*.json"))
    listing.unlink()
    (listing / "x").mkdir(parents=True)
    next(cache.rglob("config.json")).unlink()
    assert whole(fetched(standing))
    assert listing.is_file()


# --- What the environment says --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("HTTPS_PROXY", "socks9://user:hidden@proxy:1", "a proxy that HTTPS_PROXY names cannot"),
        ("HTTPS_PROXY", "socks5://proxy:1", "needs the package socksio"),
        ("https_proxy", "ftp://proxy:1", "a proxy that HTTPS_PROXY names cannot"),
        ("ALL_PROXY", "foo://proxy", "a proxy that ALL_PROXY names cannot"),
        ("HTTP_PROXY", "http://proxy:port", "a proxy that HTTP_PROXY names cannot"),
        ("HTTP_PROXY", "http://[::1", "a proxy that HTTP_PROXY names cannot"),
        ("SSL_CERT_FILE", "/nowhere.pem", "the certificates that SSL_CERT_FILE names"),
        ("SSLKEYLOGFILE", "/nowhere/keys", "the file that SSLKEYLOGFILE names cannot be written"),
        ("SSLKEYLOGFILE", "/etc", "the file that SSLKEYLOGFILE names cannot be written"),
        ("HF_TOKEN", "hf_hidden and more", "the token for the Hugging Face Hub"),
        ("HF_TOKEN", "hf_hiddén", "the token for the Hugging Face Hub"),
    ],
)
def test_what_no_client_can_use_is_told(
    standing: Hub, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(MinnowError) as caught:
        fetched(standing)
    assert words in one_line(caught)
    assert "hidd" not in one_line(caught)


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("http://127.0.0.1:9", "cannot reach the Hub"),
        ("http://no-such-host.invalid", "cannot reach the Hub"),
        ("https://127.0.0.1", "cannot reach the Hub"),
        ("ftp://127.0.0.1", "leads nowhere"),
        ("nonsense", "leads nowhere"),
        ("", "leads nowhere"),
    ],
)
def test_a_hub_that_is_not_there_is_told_at_once(
    standing: Hub, monkeypatch: pytest.MonkeyPatch, endpoint: str, words: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    with pytest.raises(MinnowError) as caught:
        fetched(standing)
    assert words in one_line(caught)


def test_a_server_without_a_known_certificate_is_told(
    standing: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Wanted(hub.MODEL, NAME, "main")
    error = httpx2.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")
    assert "set SSL_CERT_FILE" in failure(wanted, error)
    monkeypatch.setattr(
        "huggingface_hub.constants.ENDPOINT", standing.address.replace("http:", "https:")
    )
    with pytest.raises(MinnowError, match="SSL"):
        fetched(standing)


@pytest.mark.parametrize(
    ("name", "revision", "words"),
    [
        ("not an id", "main", "is neither a folder here nor a Hub id like owner/name"),
        ("../../etc", "main", "is neither a folder here nor a Hub id like owner/name"),
        (NAME, "../../../etc/passwd", "can be no commit, branch or tag"),
        (NAME, "a\0b", "can be no commit, branch or tag"),
        (NAME, "a" * 5_000, "can be no commit, branch or tag"),
    ],
)
@pytest.mark.parametrize("kind", [hub.DATA_SET, hub.MODEL])
def test_what_is_no_name_is_told(
    standing: Hub, kind: hub.RepositoryKind, name: str, revision: str, words: str
) -> None:
    with pytest.raises(MinnowError) as caught:
        hub.snapshot(kind, name, revision)
    assert words in one_line(caught)
    assert standing.asked == []


@pytest.mark.parametrize("kind", [hub.DATA_SET, hub.MODEL])
def test_a_missing_revision_is_warned_of(
    standing: Hub, capsys: pytest.CaptureFixture[str], kind: hub.RepositoryKind
) -> None:
    assert hub.snapshot(kind, NAME, None).name == commit(standing)
    assert lines(capsys)[0] == (
        f"minnow: warning: {kind.noun} 'me/thing' has no revision: its main branch is taken, which"
        " may change"
    )


def test_a_disk_is_not_the_hub(standing: Hub, cache: Path) -> None:
    cache.write_text("no folder")
    with pytest.raises(OSError, match=str(cache)) as caught:
        fetched(standing)
    assert is_local(caught.value)
    assert not is_local(errors.OfflineModeIsEnabled("unset it"))
    assert not is_local(ConnectionRefusedError(111, "Connection refused"))
