"""A TCP proxy that delays, holds, swallows, cuts and half-closes what passes through it.

It runs in a thread of its own. Its delays come from a seed, so that a run can be
repeated. What it does to bytes it does to a connection as a whole: bytes that
were swallowed are never followed by later ones, as TCP would not allow that.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

_CHUNK = 64 * 1024
_CALL_S = 5.0

T = TypeVar("T")


class Place(Protocol):
    """Where sockets are made."""

    def entered(self) -> AbstractContextManager[None]:
        """This thread's sockets are of that place meanwhile."""


class _Here:
    """Where the program runs itself."""

    @staticmethod
    def entered() -> AbstractContextManager[None]:
        return contextlib.nullcontext()


_HERE = _Here()


@dataclass(frozen=True, slots=True)
class Delay:
    """How long each piece of either direction takes, in seconds."""

    least_s: float = 0.0
    most_s: float = 0.0


@dataclass(eq=False)
class _Pair:
    """One connection and its continuation."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    losing: bool = False
    """Whether its answers are swallowed."""
    dead: bool = False
    """Whether all is swallowed."""

    def cut(self) -> None:
        """End both, without a farewell."""
        for writer in (self.client, self.server):
            writer.transport.abort()

    def reset(self) -> None:
        """End both, and tell the client that its connection was reset."""
        plain: socket.socket = self.client.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.cut()


@dataclass
class Proxy:
    """Listens on loopback, and passes on to ``target`` (host, port)."""

    target: tuple[str, int]
    seed: int = 0
    here: Place = _HERE
    there: Place = _HERE
    delay: Delay = Delay()
    swallowed: int = 0
    """Bytes that nobody got."""
    held: int = 0
    """Pieces that had to wait until others were let through."""
    passed: int = 0
    """Pieces that got through."""
    port: int = 0
    _refusing: bool = False
    _losing: bool = False
    _burying: bool = False
    _resetting: bool = False
    _pairs: set[_Pair] = field(default_factory=set)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _asking: asyncio.Event = field(default_factory=asyncio.Event)
    _answering: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self._asking.set()
        self._answering.set()

    @property
    def address(self) -> str:
        """Where clients find it."""
        return f"127.0.0.1:{self.port}"

    def cut(self) -> None:
        """End every connection that stands."""
        self._do(self._cut)

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """End every connection, and every new one, at once."""
        self._refusing = True
        self.cut()
        try:
            yield
        finally:
            self._refusing = False

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Nothing gets through meanwhile, either way; then all of it does: a black hole."""
        with self.holding_answers():
            self._do(self._asking.clear)
            try:
                yield
            finally:
                self._do(self._asking.set)

    @contextlib.contextmanager
    def holding_answers(self) -> Iterator[None]:
        """Requests get through meanwhile, and answers only at the end."""
        self._do(self._answering.clear)
        try:
            yield
        finally:
            self._do(self._answering.set)

    @contextlib.contextmanager
    def black_holes(self) -> Iterator[int]:
        """What passes over connections that stand is lost, new ones are good; then they are cut.

        Yields how many stood.
        """
        stood = self._do(self._bury)
        try:
            yield len(stood)
        finally:
            self._do(lambda: _cut_all(stood))

    @contextlib.contextmanager
    def answers_lost(self) -> Iterator[None]:
        """Requests arrive, answers do not; at the end the connections are cut."""
        self._do(self._lose)
        try:
            yield
        finally:
            self._do(self._cut_losing)

    @contextlib.contextmanager
    def answers_always_lost(self) -> Iterator[None]:
        """The same, also over connections that are made meanwhile."""
        self._losing = True
        try:
            with self.answers_lost():
                yield
        finally:
            self._losing = False

    @contextlib.contextmanager
    def questions_lost(self) -> Iterator[None]:
        """Nothing arrives, over connections that stand or are made; at the end all are cut."""
        self._burying = True
        try:
            with self.black_holes():
                yield
        finally:
            self._burying = False
            self.cut()

    @contextlib.contextmanager
    def answers_reset(self) -> Iterator[None]:
        """Requests arrive, and instead of its answer each connection gets a reset."""
        self._resetting = True
        try:
            yield
        finally:
            self._resetting = False

    def half_close(self) -> None:
        """Tell each client that nothing more will come, and go on reading from it."""
        self._do(self._half_close)

    def connections(self) -> int:
        """How many stand now."""
        return self._do(lambda: len(self._pairs))

    # -- in the thread of the loop --------------------------------------------------------

    def _cut(self) -> None:
        _cut_all(self._pairs)

    def _half_close(self) -> None:
        for pair in self._pairs:
            pair.client.write_eof()

    def _lose(self) -> None:
        for pair in self._pairs:
            pair.losing = True

    def _bury(self) -> set[_Pair]:
        for pair in self._pairs:
            pair.dead = True
        return set(self._pairs)

    def _cut_losing(self) -> None:
        _cut_all(pair for pair in self._pairs if pair.losing)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await self._open()
        except (OSError, asyncio.CancelledError):  # cancelled: the proxy ends
            writer.transport.abort()
            return
        pair = _Pair(writer, far_writer, self._losing, self._burying)
        self._pairs.add(pair)
        try:
            await asyncio.gather(
                self._pump(reader, far_writer, pair, answers=False),
                self._pump(far_reader, writer, pair, answers=True),
            )
        finally:
            self._pairs.discard(pair)
            pair.cut()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        with self.there.entered():
            far = socket.socket(socket.AF_INET)
        far.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(far, self.target)
        except OSError:
            far.close()
            raise
        return await asyncio.open_connection(sock=far)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        pair: _Pair,
        *,
        answers: bool,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await asyncio.sleep(self._rng.uniform(self.delay.least_s, self.delay.most_s))
                gate = self._answering if answers else self._asking
                self.held += not gate.is_set()
                await gate.wait()
                if pair.dead or (answers and (pair.losing or self._resetting)):
                    self.swallowed += len(data)
                    if not self._resetting:
                        continue
                    pair.reset()
                    return
                self.passed += 1
                writer.write(data)
                await writer.drain()
        if not (answers and (pair.losing or pair.dead)):
            pair.cut()  # else the end is lost as well, and who asked waits until it gives up

    # -- the thread -------------------------------------------------------------------------

    def work(self) -> None:
        """Pass on, in the thread that calls this, until the loop is stopped."""
        with self.here.entered():
            self._loop.run_forever()

    def _do(self, what: Callable[[], T]) -> T:
        async def done() -> T:
            return what()

        return self._await(done())

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_S)

    async def _start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _end(self, server: asyncio.Server) -> None:
        server.close()
        self._asking.set()
        self._answering.set()
        self._cut()
        for _ in range(5):  # on a busy machine all of one wait may pass in one turn of the loop:
            await asyncio.sleep(0.01)  # who was accepted last is to begin, to be able to end
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.01)  # what was aborted is closed one turn later


def _cut_all(pairs: Iterable[_Pair]) -> None:
    for pair in pairs:
        pair.cut()


@contextlib.contextmanager
def proxy(
    target: str, seed: int = 0, *, port: int = 0, here: Place = _HERE, there: Place = _HERE
) -> Iterator[Proxy]:
    """A proxy on ``port`` ``here`` to ``target`` (host:port) ``there``, ended afterwards."""
    host, _, far_port = target.rpartition(":")
    made = Proxy((host, int(far_port)), seed, here, there, port=port)
    thread = threading.Thread(target=made.work, name="proxy")
    thread.start()
    try:
        server = made._await(made._start())
        yield made
        made._await(made._end(server))
    finally:
        made._loop.call_soon_threadsafe(made._loop.stop)
        thread.join()
        made._loop.close()
