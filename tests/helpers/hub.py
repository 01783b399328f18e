"""A stand-in for the Hugging Face Hub on loopback: what huggingface_hub asks of it, and many a way
to misbehave.

Two servers, since the real Hub sends large files from another host: `Hub.address` answers questions
and redirects, `Hub.store` holds the bytes.
"""

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import pytest

# Files with these ends are kept as Git LFS does, by the SHA-256 of their bytes.
LARGE = (".parquet", ".safetensors")
PIECE = 16_384
ADDRESSES = re.compile(
    r"/(?P<api>api/)?(?P<cached>resolve-cache/)?((?P<kind>models|datasets)/)?(?P<name>[^/]+/[^/]+)"
    r"(/(?P<what>resolve|tree|revision)/(?P<revision>[^/]+))?(/(?P<file>.*))?"
)


@dataclass(frozen=True)
class Answer:
    """What is sent: `delay` and `pause` in seconds, before the first byte and between pieces; the
    connection is cut after `cut` bytes of the body. Headers come byte by byte, `trickle` seconds
    apart.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0
    pause: float = 0
    trickle: float = 0
    piece: int = PIECE
    cut: int | None = None


Fault = Callable[[Answer], Answer]


@dataclass(frozen=True)
class Asked:
    """A request as it arrived: `at` is which server, `authorization` the header or nothing."""

    at: Literal["hub", "store"]
    method: str
    path: str
    authorization: str | None
    range: str | None


@dataclass(frozen=True)
class Repository:
    """Files of one commit; `main` stands for it."""

    files: Mapping[str, bytes]
    gated: bool = False

    @cached_property
    def commit(self) -> str:
        """The name of the commit."""
        names = {name: blob_id(content) for name, content in self.files.items()}
        return hashlib.sha1(json.dumps(names, sort_keys=True).encode()).hexdigest()


def blob_id(content: bytes) -> str:
    """Return what Git calls these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def entity(name: str, content: bytes) -> str:
    """Return what the Hub calls these bytes in ETag."""
    return hashlib.sha256(content).hexdigest() if name.endswith(LARGE) else blob_id(content)


class Hub:
    """The stand-in: what it holds, what it was asked, and how it is to misbehave."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.asked: list[Asked] = []
        self._faults: list[tuple[str, Fault, list[int]]] = []
        self._lock = threading.Lock()
        self._servers = [_server(self, "hub"), _server(self, "store")]
        self.address, self.store = (
            f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers
        )

    def close(self) -> None:
        """Stop both servers."""
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def add(self, kind: str, name: str, files: Mapping[str, bytes], **options: Any) -> str:
        """Hold a repository of `kind` models or datasets, and return its commit."""
        self.repositories[kind, name] = repository = Repository(files, **options)
        return repository.commit

    def forget(self) -> None:
        """Behave well from now on, and forget what was asked."""
        self._faults.clear()
        self.asked.clear()

    def misbehave(self, fault: Fault, where: str = "", times: int = 1_000_000) -> None:
        """Put a fault on the next answers to requests whose `METHOD server path` holds `where`, a
        regular expression.
        """
        self._faults.append((where, fault, [times]))

    def answer(self, asked: Asked) -> Answer:
        """Return the answer to a request, faults included."""
        self.asked.append(asked)
        given = self._sincere(asked)
        with self._lock:
            for where, fault, left in self._faults:
                if left[0] and re.search(where, f"{asked.method} {asked.at} {asked.path}"):
                    left[0] -= 1
                    given = fault(given)
        return given

    def _sincere(self, asked: Asked) -> Answer:
        if asked.at == "store":
            return self._stored(asked)
        found = ADDRESSES.fullmatch(unquote(urlsplit(asked.path).path))
        if found is None:
            return refusal(404, "EntryNotFound")
        kind = found["kind"] or "models"
        repository = self.repositories.get((kind, found["name"]))
        if repository is None:
            return refusal(404, "RepoNotFound")
        if repository.gated and not asked.authorization:
            return refusal(401, "GatedRepo")
        if found["revision"] not in (None, "main", repository.commit) and not found["cached"]:
            return refusal(404, "RevisionNotFound")
        if found["cached"]:
            content = repository.files[(found["file"] or "").split("/", 1)[1]]
            return part_of(asked, content, **{"X-Repo-Commit": repository.commit})
        if not found["api"]:
            return self._resolved(kind, found["name"], repository, found["file"] or "")
        listing = tree(repository) if found["what"] == "tree" else info(found["name"], repository)
        return as_json(listing)

    def _resolved(self, kind: str, name: str, repository: Repository, file: str) -> Answer:
        """Redirect to where a file lies: large ones to the other host."""
        commit = {"X-Repo-Commit": repository.commit}
        content = repository.files.get(file)
        if content is None:
            return refusal(404, "EntryNotFound", **commit)
        known = entity(file, content)
        large = file.endswith(LARGE)
        cached = f"/api/resolve-cache/{kind}/{name}/{repository.commit}/{file}"
        headers = {
            **commit,
            "X-Linked-Etag": f'"{known}"',
            "X-Linked-Size": str(len(content)),
            "ETag": f'"{known}"',
            "Location": f"{self.store}/{known}?Signature=secret" if large else cached,
        }
        return Answer(302 if large else 307, headers)

    def _stored(self, asked: Asked) -> Answer:
        known = urlsplit(asked.path).path.strip("/")
        for repository in self.repositories.values():
            for name, content in repository.files.items():
                if entity(name, content) == known:
                    return part_of(asked, content)
        return Answer(403, {"Content-Type": "application/xml"}, b"<Error>AccessDenied</Error>")


def part_of(asked: Asked, content: bytes, **headers: str) -> Answer:
    """Return bytes from where a request's range begins."""
    headers["ETag"] = f'"{blob_id(content)}"'
    found = re.fullmatch(r"bytes=(\d+)-", asked.range or "")
    if found is None:
        return Answer(200, headers, content)
    start = int(found[1])
    headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
    return Answer(206, headers, content[start:])


def info(name: str, repository: Repository) -> dict[str, Any]:
    """Return what the Hub says of a repository."""
    return {
        "_id": "0",
        "id": name,
        "sha": repository.commit,
        "private": False,
        "gated": False,
        "tags": [],
        "siblings": [{"rfilename": file} for file in repository.files],
    }


def tree(repository: Repository) -> list[dict[str, Any]]:
    """Return the listing of a repository's files."""
    return [
        {"type": "file", "path": file, "size": len(content), "oid": blob_id(content)}
        | ({"lfs": _large(file, content)} if file.endswith(LARGE) else {})
        for file, content in repository.files.items()
    ]


def _large(file: str, content: bytes) -> dict[str, Any]:
    return {"oid": entity(file, content), "size": len(content), "pointerSize": 130}


def as_json(value: Any, status: int = 200, **headers: str) -> Answer:
    """Return a value as an answer."""
    return Answer(
        status, {"Content-Type": "application/json", **headers}, json.dumps(value).encode()
    )


def refusal(status: int, code: str = "", **headers: str) -> Answer:
    """Return an error as the Hub words it."""
    named = {"X-Error-Code": code} if code else {}
    return as_json({"error": f"refused: {code or status}"}, status, **named, **headers)


# --- Faults ---------------------------------------------------------------------------------------


def instead(answer: Answer) -> Fault:
    """Answer something else."""
    return lambda given: answer


def changed(**parts: Any) -> Fault:
    """Answer the same but for some parts of it; headers are added."""
    headers: Mapping[str, str] = parts.pop("headers", {})
    return lambda given: replace(given, headers={**given.headers, **headers}, **parts)


def redirected(location: str) -> Fault:
    """Send on to another address, with what the Hub says of the file."""
    return lambda given: replace(
        given, status=302, headers={**given.headers, "Location": location}, body=b""
    )


def portal(given: Answer) -> Answer:
    """Answer as a hotel's network does that wants a click first."""
    return Answer(200, {"Content-Type": "text/html"}, b"<!doctype html><h1>Welcome</h1>")


# --- Servers --------------------------------------------------------------------------------------


def _server(hub: Hub, at: Literal["hub", "store"]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else every answer waits 40 ms for an acknowledgement

        def do_GET(self) -> None:
            asked = Asked(
                at,
                self.command,
                self.path,
                self.headers.get("Authorization"),
                self.headers.get("Range"),
            )
            with suppress(ConnectionError):
                self._send(hub.answer(asked))

        do_HEAD = do_GET

        def _send(self, answer: Answer) -> None:
            time.sleep(answer.delay)
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self._end_headers(answer.trickle)
            if self.command == "HEAD":
                return
            for start in range(0, len(answer.body[: answer.cut]), answer.piece):
                self.wfile.write(answer.body[: answer.cut][start : start + answer.piece])
                self.wfile.flush()
                time.sleep(answer.pause)
            self.close_connection = answer.cut is not None

        def _end_headers(self, trickle: float) -> None:
            if trickle:
                lines: list[bytes] = self._headers_buffer
                for letter in b"".join(lines):
                    self.wfile.write(bytes([letter]))
                    self.wfile.flush()
                    time.sleep(trickle)
                lines.clear()
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


@contextmanager
def running() -> Iterator[Hub]:
    """Run a stand-in."""
    hub = Hub()
    try:
        yield hub
    finally:
        hub.close()


def taken_for_the_hub(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process take the stand-in for the Hub; huggingface_hub has read its environment."""
    library = "huggingface_hub.constants"
    template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(f"{library}.ENDPOINT", hub.address)
    monkeypatch.setattr(f"{library}.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(f"{library}.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(f"{library}.HF_HUB_DISABLE_XET", True)
