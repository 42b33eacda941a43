"""Whether gateways will reach us: for a moment we listen where we shall serve, and knock at our own public URL."""

import http.client
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit

from steelyard.protocol.errors import Refused

SECONDS = 5.0


def require_reachable(host: str, port: int, url: str) -> str:
    """Words for a person. Raises Refused("url.taken") if the port is in use, Refused("url.unreachable") if the URL
    does not lead back to it."""
    word = secrets.token_hex(16).encode()
    with _listening(host, port, word):
        said = _knock(url)
    if said != word:
        raise Refused("url.unreachable", f"{url} leads to somebody else than {host}:{port}")
    return f"{url} leads to {host}:{port}"


@contextmanager
def _listening(host: str, port: int, word: bytes) -> Iterator[None]:
    class Porter(BaseHTTPRequestHandler):
        """Says the word to whoever knocks."""

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(word)))
            self.end_headers()
            self.wfile.write(word)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    try:
        server = HTTPServer((host, port), Porter)
    except (OSError, OverflowError) as error:
        raise Refused("url.taken", f"{host}:{port}: {error}") from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _knock(url: str) -> bytes:
    try:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=SECONDS)
        try:
            connection.request("GET", (parts.path or "/").rstrip("/") + "/health")
            return connection.getresponse().read(1024)
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Refused("url.unreachable", f"{url}: {type(error).__name__} {error}") from error
