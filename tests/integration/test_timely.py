"""Commands that a coordinator comes to, or goes on with, after their callers gave up."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from scoord.clock import SystemClock
from scoord.errors import DeadlineExceeded
from scoord.v1.locks_pb2 import AcquireRequest, LockRef, ReleaseRequest
from scoord.v1.sessions_pb2 import RegisterRequest, Session
from scoord_agent.client_options import ClientOptions
from scoord_agent.connection import Connection
from scoord_agent.coordinator import CoordinatorClient, new_request_id, seconds
from scoord_server.options import ServerOptions
from scoord_server.rpc.server import RpcServer
from support.coordination import PROJECT, Bench, bench
from support.processes import CoordinatorProcess, coordinator

ANSWER_S = 1.0
STANDS_STILL_S = 1.5 * ANSWER_S
PATIENCE_S = 10.0
SETTLED_S = 0.3
"""Longer than what goes on after a standstill needs to be done."""


def _client(address: str, answer_s: float = ANSWER_S) -> CoordinatorClient:
    options = ClientOptions(addresses=(address,), rpc_timeout_s=answer_s)
    return CoordinatorClient(options, Connection(belief_s=20.0), SystemClock())


def _release(token: int) -> ReleaseRequest:
    return ReleaseRequest(
        request_id=new_request_id(),
        project=PROJECT,
        session_id="a",
        locks=[LockRef(path="auth.py", token=token)],
    )


# -- in the midst of a command -------------------------------------------------------------


@asynccontextmanager
async def served(b: Bench) -> AsyncIterator[CoordinatorClient]:
    """A client of the coordinator on ``b``, by real gRPC."""
    server = RpcServer(b.coordinator, b.view, SystemClock())
    options = ServerOptions("127.0.0.1:0", insecure=False, tls=None, compaction_s=0)
    client = _client(f"127.0.0.1:{await server.start(options)}")
    try:
        yield client
    finally:
        await client.close()
        await server.drain(0)


def _stands_still_in(b: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it has begun a command, and before it changes anything, all of the process stops."""
    journal = b.coordinator.ground.journal

    async def late_journal(project: str) -> Any:
        monkeypatch.setattr(b.coordinator.ground, "journal", journal)
        time.sleep(STANDS_STILL_S)  # noqa: ASYNC251 (that is the point)
        return await journal(project)

    monkeypatch.setattr(b.coordinator.ground, "journal", late_journal)


async def test_a_release_whose_time_is_over_in_the_midst_of_it_frees_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench() as b, served(b) as client:
        await b.session("a")
        release = _release(await b.token("a", "auth.py"))
        _stands_still_in(b, monkeypatch)

        with pytest.raises(DeadlineExceeded):
            await client.release(release)
        await asyncio.sleep(SETTLED_S)
        assert "a" == await b.holder("auth.py")

        await client.release(release, PATIENCE_S)
        assert "" == await b.holder("auth.py")


# -- before it is begun --------------------------------------------------------------------

SENDER = """
import asyncio, sys
from scoord.v1.locks_pb2 import ReleaseRequest
from scoord.clock import SystemClock
from scoord_agent.connection import Connection
from scoord_agent.client_options import ClientOptions
from scoord_agent.coordinator import CoordinatorClient

async def main():
    options = ClientOptions(addresses=(sys.argv[1],), rpc_timeout_s=float(sys.argv[3]))
    client = CoordinatorClient(options, Connection(belief_s=20.0), SystemClock())
    await client.list_locks("-")
    print("connected", flush=True)
    sys.stdin.readline()
    await client.release(ReleaseRequest.FromString(bytes.fromhex(sys.argv[2])))

asyncio.run(main())
"""
"""A process that gives something back when it is told to."""


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[CoordinatorProcess]:
    """A coordinator that a test lets stand still."""
    with coordinator(tmp_path, "--embedded", "--data", str(tmp_path / "store")) as running:
        yield running


async def _token(client: CoordinatorClient) -> int:
    """A session, and a lock that it holds."""
    who = Session(session_id="a", project=PROJECT, machine_id="m1")
    lease = await client.register(
        RegisterRequest(request_id=new_request_id(), session=who, lease_ttl=seconds(60))
    )
    asked = AcquireRequest(
        request_id=new_request_id(),
        project=PROJECT,
        session_id="a",
        lease_id=lease.lease_id,
        paths=["auth.py"],
    )
    return (await client.acquire(asked)).granted.locks[0].token


async def _held(client: CoordinatorClient) -> list[int]:
    return [lock.token for lock in (await client.list_locks(PROJECT)).locks]


@contextmanager
def _sender(address: str, token: int, answer_s: float) -> Iterator["subprocess.Popen[str]"]:
    request = _release(token).SerializeToString().hex()
    command = (sys.executable, "-c", SENDER, address, request, str(answer_s))
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as sender:
        assert sender.stdout
        assert "connected\n" == sender.stdout.readline()
        try:
            yield sender
        finally:
            sender.kill()


@pytest.mark.parametrize("answer_s", [ANSWER_S, 30.0], ids=["gave up", "was killed"])
async def test_what_lies_before_a_coordinator_that_stands_still_is_not_begun(
    frozen: CoordinatorProcess, answer_s: float
) -> None:
    client = _client(frozen.address, 10.0)
    token = await _token(client)
    with _sender(frozen.address, token, answer_s) as sender:
        frozen.freeze()
        _begin(sender)
        time.sleep(STANDS_STILL_S)  # noqa: ASYNC251 (as the coordinator)
        sender.kill()
        sender.wait()
        frozen.thaw()

    assert [token] == await _held(client)
    await asyncio.sleep(SETTLED_S)
    assert [token] == await _held(client)
    await client.close()


def _begin(sender: "subprocess.Popen[str]") -> None:
    assert sender.stdin
    sender.stdin.write("go\n")
    sender.stdin.flush()
