"""How slowly the Hub may send: a least speed of what comes over the network, headers included.

httpx limits the wait for the next byte, so an answer that trickles byte by byte would never end.
"""

import ssl
import time
from typing import Any

import httpx2
from httpcore2 import NetworkBackend, NetworkStream, SyncBackend

from minnow.errors import MinnowError

# Fewer bytes a second than this, over so many seconds of waiting, and the request is given up.
SLOWEST, PACE_S = 1_000, 30.0


def keep_pace(client: httpx2.Client) -> None:
    """Let every connection of a client have a least speed, to a proxy as well."""
    for transport in (client._transport, *client._mounts.values()):
        if isinstance(transport, httpx2.HTTPTransport):
            transport._pool._network_backend = _Backend()


class _Backend(NetworkBackend):
    """Connects as ever, to a stream with a least speed."""

    def connect_tcp(self, *where: Any, **options: Any) -> NetworkStream:
        return _Stream(SyncBackend().connect_tcp(*where, **options))


class _Stream(NetworkStream):
    """A connection; what counts begins anew with every request, and every PACE_S seconds."""

    def __init__(self, stream: NetworkStream) -> None:
        self.stream = stream
        self.waited_s, self.got = 0.0, 0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        began = time.monotonic()
        piece = self.stream.read(max_bytes, timeout)
        self.waited_s += time.monotonic() - began
        self.got += len(piece)
        if self.waited_s > PACE_S:
            if self.got < SLOWEST * self.waited_s:
                raise MinnowError(
                    f"the Hub sends {self.got / self.waited_s:,.0f} bytes a second, too few to go"
                    " on: run it again on a better connection; whole files are kept"
                )
            self.waited_s, self.got = 0.0, 0
        return piece

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.waited_s, self.got = 0.0, 0
        self.stream.write(buffer, timeout)

    def close(self) -> None:
        self.stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> NetworkStream:
        return _Stream(self.stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)
