"""An agent's local API that answers what a test tells it to, on a real Unix socket."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from scoord import local

Reply = tuple[int, bytes]


class ScriptedApi(socketserver.ThreadingUnixStreamServer):
    """Replies by path, one after the other; keeps what it was asked."""

    daemon_threads = True

    def __init__(self, socket: Path) -> None:
        self.replies: dict[str, list[Reply]] = {}
        self.asked: list[tuple[str, Any]] = []
        super().__init__(str(socket), _Handler)

    def will(self, path: str, body: object, status: int = 200) -> None:
        """Add a reply to ``path``; the last one goes on for ever."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.replies.setdefault(path, []).append((status, data))

    def reply(self, path: str) -> Reply:
        """Take the next reply."""
        waiting = self.replies[path]
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedApi

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def address_string(self) -> str:
        """A Unix socket's peer has no address."""
        return "local"

    def _replied(self, path: str, asked: tuple[str, Any]) -> Reply:
        """Most commands ask for news first, and most tests are not about that."""
        if path == "/v1/news" and path not in self.server.replies:
            return 200, b"{}"
        self.server.asked.append(asked)
        return self.server.reply(path)

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        path = self.path.partition("?")[0]
        asked = path, json.loads(self.rfile.read(length) or b"null")
        status, body = self._replied(path, asked)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def scripted_api() -> Iterator[ScriptedApi]:
    """The API, where this process's state directory says the agent's socket is."""
    with ScriptedApi(local.socket_path()) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
