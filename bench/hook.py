"""How long a hook takes, beside the floors of its way measured in the same run.

    .venv/bin/python bench/hook.py [--rounds 400] [--json]

Real etcd, coordinator and agent; a client that posts Claude Code's events. Every
round takes one sample of everything, so that a busy moment hits all alike. What
counts are the ratios. Exit code 1 when one is missed.
"""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import grpc

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

from floors import ECHO, MESSAGE  # noqa: E402 (found only now)
from measure import Ratio, Samples, show  # noqa: E402
from scoord_server.store.etcd.stubs import rpc  # noqa: E402
from support.etcd import Etcd  # noqa: E402
from support.machines import CodingSession, Machine, refusal, repository  # noqa: E402
from support.ports import free_port  # noqa: E402
from support.processes import coordinator, etcd_store, wait_until  # noqa: E402

SETTLE_S = 0.02
"""Longer than a change takes to every agent that watches."""

SHIM_ROUNDS_SHARE = 4
"""Processes are slow: one round in so many samples them."""


class KeptConnection:
    """HTTP/1.1 on one kept connection, as a coding CLI has it, with next to no client cost."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._token = token
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def post(self, body: bytes) -> bytes:
        """Post one event; the answer's body."""
        head = (
            f"POST /v1/hooks/claude-code/PreToolUse HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n"
            f"Authorization: Bearer {self._token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._socket.sendall(head.encode() + body)
        return self._receive()

    def _receive(self) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._socket.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += self._socket.recv(65536)
        assert b" 200 " in head.split(b"\r\n")[0], head
        return body

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


@contextlib.contextmanager
def floor(kind: str) -> Iterator[int]:
    """A floor's server, as a process; its port."""
    port = free_port()
    process = subprocess.Popen([sys.executable, str(HERE / "floors.py"), kind, str(port)])
    try:
        wait_until(f"{kind} echo listens", lambda: _listens(port))
        yield port
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Hooks:
    """Events of two sessions on one machine: one holds, the other is refused."""

    def __init__(self, machine: Machine, root: Path) -> None:
        self.holder, self.other = machine.session(root), machine.session(root)
        self.holder.start()
        self.other.start()
        self._root = root
        self._fresh = 0
        assert not refusal(self.holder.edit(root / "own.py"))

    def own(self) -> bytes:
        """An edit of a file that the session holds."""
        return self._event(self.holder, "own.py")

    def free(self) -> bytes:
        """An edit of a file that nobody holds."""
        self._fresh += 1
        return self._event(self.holder, f"free{self._fresh}.py")

    def held(self) -> bytes:
        """An edit of a file that another holds."""
        return self._event(self.other, "own.py")

    def _event(self, session: CodingSession, name: str) -> bytes:
        fields = {
            "tool_name": "Edit",
            "tool_input": {
                "file_path": str(self._root / name),
                "old_string": "x",
                "new_string": "y",
            },
            "tool_use_id": "toolu_01",
        }
        return json.dumps(session.body("PreToolUse", **fields)).encode()


class Shim:
    """The command transport: one process for each event."""

    def __init__(self, machine: Machine, scratch: Path) -> None:
        self._command = ["bash", str(HERE.parent / "hooks/scoord_hooks/plugin/hooks/shim.sh")]
        self._env = machine.env
        self._body = scratch / "event.json"

    def prepare(self, body: bytes) -> None:
        """Put the event where the shim finds it on its standard input."""
        self._body.write_bytes(body)

    def run(self, pid: int) -> None:
        """One hook."""
        with self._body.open("rb") as event:
            subprocess.run(
                [*self._command, "claude-code", "PreToolUse"],
                env={**self._env, "CLAUDE_PID": str(pid)},
                stdin=event,
                stdout=subprocess.DEVNULL,
                check=True,
            )


def bash() -> None:
    """The floor of every process."""
    subprocess.run(["bash", "-c", ":"], stdin=subprocess.DEVNULL, check=True)


class Floors:
    """A bare gRPC echo and a bare etcd transaction."""

    def __init__(self, echo: grpc.aio.Channel, etcd: grpc.aio.Channel) -> None:
        self._echo = echo.unary_unary(ECHO, None, None)
        self._kv = rpc.KVStub(etcd)
        self._keys = 0

    async def grpc_echo(self) -> None:
        """One round trip over gRPC."""
        await self._echo(MESSAGE)

    async def etcd_txn(self) -> None:
        """Create one key if it is not there, else read it: the least an acquire needs."""
        self._keys += 1
        key = f"/bench/{self._keys}".encode()
        await self._kv.Txn(
            rpc.TxnRequest(
                compare=[
                    rpc.Compare(
                        result=rpc.Compare.EQUAL,
                        target=rpc.Compare.VERSION,
                        key=key,
                        version=0,
                    )
                ],
                success=[rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=MESSAGE))],
                failure=[rpc.RequestOp(request_range=rpc.RangeRequest(key=key))],
            )
        )


@contextlib.asynccontextmanager
async def floors(grpc_port: int, etcd_endpoint: str) -> AsyncIterator[Floors]:
    """Clients of the bare floors."""
    async with (
        grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}") as echo,
        grpc.aio.insecure_channel(etcd_endpoint) as etcd,
    ):
        yield Floors(echo, etcd)


class Bench:
    """Everything that is timed, and what it is timed with."""

    def __init__(
        self, hooks: Hooks, agent: KeptConnection, echo: KeptConnection, shim: Shim, bare: Floors
    ) -> None:
        self._agent = agent
        self._echo = echo
        self._shim = shim
        self._bare = bare
        self._own = hooks.own()
        self._events = {
            "own lock": (hooks.own, hooks.holder.pid),
            "free file": (hooks.free, hooks.holder.pid),
            "held file": (hooks.held, hooks.other.pid),
        }
        self.samples: dict[str, Samples] = {}

    async def measure(self, rounds: int) -> None:
        """One sample of everything a round; the first tenth is warm-up."""
        for number in range(rounds + rounds // 10):
            if number == rounds // 10:
                self.samples.clear()
            await self._by_http()
            if number % SHIM_ROUNDS_SHARE == 0:
                await self._by_shim()

    async def _by_http(self) -> None:
        (await self._next("HTTP echo")).time(lambda: self._echo.post(self._own))
        await (await self._next("gRPC echo")).time_async(self._bare.grpc_echo)
        await (await self._next("etcd transaction")).time_async(self._bare.etcd_txn)
        for name, (event, _) in self._events.items():
            post = partial(self._agent.post, event())
            (await self._next(f"http hook, {name}")).time(post)

    async def _by_shim(self) -> None:
        (await self._next("bash -c :")).time(bash)
        for name, (event, pid) in self._events.items():
            self._shim.prepare(event())
            (await self._next(f"shim hook, {name}")).time(partial(self._shim.run, pid))

    async def _next(self, name: str) -> Samples:
        """Let what the call before has caused elsewhere come to rest, then time ``name``."""
        await asyncio.sleep(SETTLE_S)
        return self.samples.setdefault(name, Samples(name))


def ratios(samples: list[Samples]) -> list[Ratio]:
    """What is promised."""
    p50 = {sample.name: sample.p50_ms for sample in samples}
    way = p50["HTTP echo"] + p50["gRPC echo"] + p50["etcd transaction"]
    return [
        Ratio("own lock by http / HTTP echo", p50["http hook, own lock"], p50["HTTP echo"], 2.0),
        Ratio("own lock by shim / bash -c :", p50["shim hook, own lock"], p50["bash -c :"], 3.0),
        Ratio("free file by http / its three floors", p50["http hook, free file"], way, 1.5),
    ]


async def run(rounds: int, scratch: Path) -> list[Samples]:
    """Start everything, measure, end everything."""
    etcd = Etcd(scratch / "etcd")
    etcd.start()
    try:
        with (
            coordinator(scratch, *etcd_store(etcd, b"/bench-hook/")) as running,
            floor("http") as http_port,
            floor("grpc") as grpc_port,
        ):
            machine = Machine(scratch / "home", "bench", running.address)
            machine.start_agent()
            try:
                root = repository(scratch / "shop", {"own.py": ""})
                hooks = Hooks(machine, root)
                token = (machine.state_dir / "token").read_text().strip()
                agent = KeptConnection(machine.port, token)
                echo = KeptConnection(http_port, token)
                async with floors(grpc_port, etcd.endpoints[0]) as bare:
                    bench = Bench(hooks, agent, echo, Shim(machine, scratch), bare)
                    await bench.measure(rounds)
                    return list(bench.samples.values())
            finally:
                machine.end()
    finally:
        etcd.stop()


def main() -> int:
    """Measure and print; 1 when a promise is missed."""
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scoord-bench-") as scratch:
        samples = asyncio.run(run(arguments.rounds, Path(scratch)))
    promises = ratios(samples)
    show(samples, promises, as_json=arguments.json)
    return 0 if all(promise.kept for promise in promises) else 1


if __name__ == "__main__":
    sys.exit(main())
