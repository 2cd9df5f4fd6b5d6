"""Asks the agent of this machine, over its Unix socket. Synchronous; standard library only.

The socket lies in a directory that only its user may enter, so no token is needed.
It knows the paths and errors of the local API, not what the answers mean.
"""

import http.client
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import takewhile
from typing import Any, Final
from urllib.parse import urlencode

from scoord import local
from scoord.errors import (
    BY_CODE,
    CoordinatorUnreachable,
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    ScoordError,
)

ANSWER_S: Final = 10.0
"""The agent gives up on its coordinator well before this."""

SUGGEST_S: Final = 20.0
"""How long a repository may be read that was never read before, and the coordinator asked."""

GLANCE_S: Final = 2.0
"""What is good to see, but not worth waiting for, has so long."""

NOT_RUNNING: Final = "the agent is not running; start it with `scoord up`"

Answer = dict[str, Any]
"""A JSON object, as the agent sent it; ``pictures.py`` gives it types."""


def status(*, everything: bool, cwd: str = "", timeout_s: float = ANSWER_S) -> Answer:
    """Return what the agent knows: about the project of ``cwd`` (here), or about all."""
    query = urlencode({"cwd": cwd or str(local.here()), "all": int(everything)})
    return ask("GET", f"/v1/status?{query}", timeout_s=timeout_s)


def suggestions() -> Answer:
    """Return what is free to be done here; nothing of it is kept for anybody."""
    query = urlencode({"cwd": str(local.here())})
    return ask("GET", f"/v1/suggestions?{query}", timeout_s=GLANCE_S)


def rehearse() -> None:
    """See that the coordinator can take something in now. Raises what it says."""
    ask("POST", "/v1/rehearse", {})


def acquire(
    paths: Sequence[str], reason: str, *, shared: bool = False, lasts_s: float = 0.0
) -> Answer:
    """Take all the paths for the session above this process, or none; 0 s lasts as it does."""
    terms = {"shared": shared, "lasts_s": lasts_s, "lasting": True}
    wish = from_here(paths=list(paths), reason=reason, **terms)
    return ask("POST", "/v1/acquire", wish)


def wait(paths: Sequence[str], reason: str, within_s: float, held: Sequence[Answer] = ()) -> Answer:
    """As ``acquire``; wait for its turn for so long, at most. The place in the queue stays.

    ``held`` is what the last call was answered.
    """
    terms = {"within_s": within_s, "refused": refused(held), "lasting": True}
    wish = from_here(paths=list(paths), reason=reason, **terms)
    return ask("POST", "/v1/wait", wish, timeout_s=within_s + ANSWER_S)


def refused(held: Sequence[Answer]) -> list[tuple[str, str]]:
    """Name what was asked for and is ``held``, as far as an agent of any version says it."""
    return [(row["project"], row["asked"]) for row in held if {"project", "asked"} <= row.keys()]


def leave(paths: Sequence[str]) -> set[tuple[str, str]]:
    """Give up the places in the queues of the paths; in which projects and of which some stay."""
    answer = ask("POST", "/v1/leave", from_here(paths=list(paths)))
    return {(project, key) for project, key in answer.get("kept", ())}


def release(paths: Sequence[str]) -> Answer:
    """Give back what the session above this process holds of the paths."""
    return ask("POST", "/v1/release", from_here(paths=list(paths)))


def break_lock(path: str, token: int, by: str, reason: str) -> Answer:
    """Take a lock away from its holder, if it is still the grant that ``token`` names."""
    return ask("POST", "/v1/break", from_here(path=path, token=token, by=by, reason=reason))


def history(**question: object) -> Answer:
    """Return lines of history, newest first."""
    return ask("POST", "/v1/history", from_here(**question))


def finished_sessions(**question: object) -> Answer:
    """Return logs of finished sessions, newest first."""
    return ask("POST", "/v1/history/sessions", from_here(**question))


def follow_history(**question: object) -> Iterator[Answer]:
    """Yield an ``event`` of history as it comes, an ``error`` that is the last, or nothing.

    Raises as ``stream``.
    """
    return stream("/v1/history/follow", from_here(**question))


def refresh(*, everything: bool) -> Answer:
    """Have the store read anew, and what is stale ended."""
    return ask("POST", "/v1/refresh", from_here(all=everything))


def graph(cwd: str = "") -> Answer:
    """Return the graph of the project of ``cwd`` (here), and what the settings call it."""
    return ask("GET", f"/v1/graph?{urlencode({'cwd': cwd or str(local.here())})}")


def news(asker: Mapping[str, object] | None = None) -> list[str]:
    """Return what the terminal above was not told yet; a coding session hears it by its hooks.

    ``asker`` is where who asks stands, if not here.
    """
    answer = ask("POST", "/v1/news", asker or from_here(), timeout_s=GLANCE_S)
    return list(map(str, answer.get("news", ())))


def healthy(timeout_s: float = 1.0) -> bool:
    """Whether an agent answers now."""
    try:
        return bool(ask("GET", "/v1/health", timeout_s=timeout_s).get("ok"))
    except ScoordError:
        return False


def from_here(**fields: object) -> dict[str, object]:
    """Add where the command stands, so that the agent finds project and session."""
    return {"cwd": str(local.here()), "pid": os.getpid(), **fields}


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over the agent's Unix socket."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(local.socket_path()))


def ask(
    method: str,
    path: str,
    body: Mapping[str, object] | None = None,
    timeout_s: float = ANSWER_S,
) -> Answer:
    """Ask the agent once. Raises the catalogue's errors, the agent's own among them."""
    with _explained(timeout_s):
        return _read(*_exchange(method, path, body, timeout_s))


@contextmanager
def _explained(timeout_s: float) -> Iterator[None]:
    """Say what it means that the agent does not answer."""
    try:
        yield
    except TimeoutError as failure:
        raise DeadlineExceeded(
            f"the agent did not answer within {timeout_s:g} s; see `scoord doctor`"
        ) from failure
    except (OSError, http.client.HTTPException) as failure:
        raise CoordinatorUnreachable(NOT_RUNNING) from failure


def stream(path: str, body: Mapping[str, object], quiet_s: float = ANSWER_S) -> Iterator[Answer]:
    """Yield the lines of JSON that the agent answers with; an empty one says that it is there.

    Raises as ``ask``, and CoordinatorUnreachable at the end: the agent does not end it.
    """
    headers = {"Content-Type": "application/json"}
    with closing(_UnixConnection("localhost", timeout=quiet_s)) as connection, _explained(quiet_s):
        connection.request("POST", path, json.dumps(body), headers)
        with connection.getresponse() as response:
            if response.status >= http.client.BAD_REQUEST:
                _read(response.status, response.read())
            # A line without an end is one in the midst of which the agent ended.
            for line in takewhile(lambda line: line.endswith(b"\n"), response):
                yield json.loads(line) if line.strip() else {}
            raise CoordinatorUnreachable(NOT_RUNNING)


def _exchange(
    method: str, path: str, body: Mapping[str, object] | None, timeout_s: float
) -> tuple[int, bytes]:
    headers = {"Content-Type": "application/json"} if body else {}
    with closing(_UnixConnection("localhost", timeout=timeout_s)) as connection:
        connection.request(method, path, json.dumps(body) if body else None, headers)
        with connection.getresponse() as response:
            return response.status, response.read()


def _read(status_code: int, body: bytes) -> Answer:
    if status_code == http.client.NOT_FOUND:
        # No failure of the catalogue has this status: there is no such path.
        raise InvalidRequest(
            "the agent that runs does not serve this: it is of another version; restart it"
            " with `scoord down` and `scoord up`"
        )
    try:
        answer = json.loads(body)
    except ValueError as failure:
        raise InternalError("the agent's answer is not JSON; see `scoord doctor`") from failure
    if not isinstance(answer, dict):
        raise InternalError("the agent's answer is not a JSON object; see `scoord doctor`")
    if status_code >= http.client.BAD_REQUEST:
        raise failure_of(answer.get("error"), status_code)
    return answer


def failure_of(told: object, status_code: int = http.client.SERVICE_UNAVAILABLE) -> ScoordError:
    """Return the failure that the agent named; an unknown name is a failure all the same."""
    fields = told if isinstance(told, dict) else {}
    message = str(fields.get("message") or f"the agent answered with HTTP {status_code}")
    entry = BY_CODE.get(str(fields.get("code")))
    return entry.error(message) if entry else InternalError(message)
