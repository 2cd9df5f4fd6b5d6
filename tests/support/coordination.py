"""A coordinator on the embedded store in memory, with a clock that tests move."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from scoord.errors import StoreFull
from scoord.happenings import Kind
from scoord.ids import AgentId, FencingToken, LeaseId, ProjectId, RequestId, SessionId
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import EventRecord
from scoord.v1.sessions_pb2 import Session
from scoord_server.coordinator import Coordinator
from scoord_server.model.answers import Ended, GivenBack, Granted, Held, Registered, Standing
from scoord_server.model.commands import (
    Acquire,
    Asker,
    Ending,
    Grant,
    Keep,
    PlaceRef,
    Reserve,
    Terms,
)
from scoord_server.model.facts import LockFact, LockName
from scoord_server.model.recall import Wanted
from scoord_server.store import keys
from scoord_server.store.embedded import EmbeddedStore
from scoord_server.store.port import Put, RangeResult, Txn, TxnResult, prefix_end
from scoord_server.view import View
from support.clock import FakeClock

PROJECT = ProjectId("example.org/team/shop")
TTL_S = 100
CLAIM_MS = 20_000


class Courteous(EmbeddedStore):
    """Lets others have their turn before each step, as a store on another machine does.

    So commands that are given at once all read before the first of them writes.
    """

    full = False
    """Whether it has no space, as an etcd over its quota: it reads, deletes and renews."""

    async def txn(self, txn: Txn) -> TxnResult:
        """Run ``txn``, after others. Raises StoreFull."""
        await asyncio.sleep(0)
        if self.full and any(isinstance(op, Put) for op in (*txn.then, *txn.otherwise)):
            raise StoreFull("database space exceeded")
        return await super().txn(txn)

    async def grant(self, lease: LeaseId, ttl_s: int) -> int:
        """Begin a lease. Raises StoreFull."""
        if self.full:
            raise StoreFull("database space exceeded")
        return await super().grant(lease, ttl_s)

    async def range(
        self,
        key: bytes,
        end: bytes = b"",
        *,
        limit: int = 0,
        descending: bool = False,
        within_s: float = 0.0,
    ) -> RangeResult:
        """Read, after others."""
        await asyncio.sleep(0)
        return await super().range(key, end, limit=limit, descending=descending, within_s=within_s)


@dataclass
class Bench:
    """One coordinator, and short ways to say what tests say often."""

    store: Courteous
    clock: FakeClock
    view: View
    coordinator: Coordinator
    leases: dict[str, LeaseId] = field(default_factory=dict)
    _requests: "count[int]" = field(default_factory=count)

    def request(self) -> RequestId:
        """A new request id."""
        return RequestId(f"r{next(self._requests)}")

    async def session(
        self,
        name: str,
        *,
        timeout_ms: int = 0,
        project: ProjectId = PROJECT,
        keep: Keep | None = None,
        lease: LeaseId = LeaseId(0),
        **what: Any,
    ) -> Registered:
        """Register the session ``name``, with ``what`` else is known of it."""
        session = Session(
            session_id=name, project=project, machine_id="m1", person=name, host="host", **what
        )
        outcome = await self.coordinator.register(
            self.request(), session, TTL_S, lease, timeout_ms, keep=keep or Keep()
        )
        self.leases[name] = outcome.lease
        await self.settle()
        return outcome

    def asker(self, session: str, agent: str = "", request: str = "") -> Asker:
        """``session``, about to give a command."""
        return Asker(
            request_id=RequestId(request) if request else self.request(),
            project=PROJECT,
            session=SessionId(session),
            lease=self.leases[session],
            agent=AgentId(agent),
        )

    async def acquire(
        self,
        session: str,
        *paths: str,
        agent: str = "",
        enqueue: bool = False,
        overlaps: bool = False,
        yields: bool = False,
        takes_nothing: bool = False,
        request: str = "",
        **terms: Any,
    ) -> Granted | Held:
        """Ask for ``paths`` as ``session``."""
        outcome = await self.coordinator.locks.acquire(
            Acquire(
                self.asker(session, agent, request),
                names=tuple(LockName.of(path) for path in paths),
                terms=Terms(**{"reason": f"{session} works"} | terms),
                enqueue=enqueue,
                overlaps=overlaps,
                yields=yields,
                claim_ms=CLAIM_MS,
                takes_nothing=takes_nothing,
            )
        )
        await self.settle()
        return outcome

    async def reserve(
        self,
        session: str,
        pattern: str,
        *,
        agent: str = "",
        takes_nothing: bool = False,
        **terms: Any,
    ) -> Granted | Held:
        """Ask for a pattern as ``session``."""
        asker = self.asker(session, agent)
        command = Reserve(asker, pattern, Terms(**terms), takes_nothing=takes_nothing)
        outcome = await self.coordinator.locks.reserve(command)
        await self.settle()
        return outcome

    async def release(
        self, session: str, path: str, token: FencingToken, request: str = ""
    ) -> bool:
        """Give one grant back; whether it was ``session``'s until now."""
        is_pattern = "*" in path
        asker = self.asker(session, request=request)
        ref = (LockName.of(path), token, is_pattern)
        (given_back,) = await self.coordinator.locks.release(asker, [ref])
        await self.settle()
        return given_back is GivenBack.RELEASED

    async def leaves(self, session: str, *paths: str, revision: int = 0, branch: str = "") -> None:
        """Give up waiting for ``paths``, as last asked for at ``revision``."""
        places = [PlaceRef(LockName.of(path), revision, branch) for path in paths]
        await self.coordinator.locks.leave(self.asker(session), places)
        await self.settle()

    async def breaks(
        self,
        path: str,
        token: FencingToken,
        by: str = "carol",
        *,
        request: str = "",
        on: str = "",
        through: str = "",
    ) -> Ended | Standing:
        """Break one grant, where the branch ``on`` is checked out, or ``through`` a session."""
        grant = Grant(PROJECT, LockName.of(path), token, is_pattern="*" in path)
        own = RequestId(request) if request else self.request()
        session = Holder(session_id=through, alias=through) if through else None
        end = Ending(Kind.BROKEN, own, by, "needed", through=session, branch=on)
        outcome = await self.coordinator.locks.end(grant, end)
        await self.settle()
        return outcome

    async def ends(self, session: str, lease: int | None = None) -> None:
        """End a session."""
        own = self.leases[session] if lease is None else LeaseId(lease)
        await self.coordinator.end(self.request(), PROJECT, SessionId(session), own, "done")
        await self.settle()

    async def dies(self, session: str) -> None:
        """Let a session's lease run out."""
        await self.store.revoke(self.leases[session])
        await self.settle()

    async def history(self) -> list[EventRecord]:
        """The lines of history, in order."""
        prefix = keys.event_prefix(PROJECT)
        kvs = (await self.store.range(prefix, prefix_end(prefix))).kvs
        in_order = sorted(kvs, key=lambda kv: kv.create_revision)
        return [EventRecord.FromString(kv.value) for kv in in_order]

    async def token(self, session: str, path: str, **options: Any) -> FencingToken:
        """The token of a grant that must succeed."""
        return granted(await self.acquire(session, path, **options)).tokens[0]

    async def holder(self, path: str) -> str:
        """Who holds ``path`` by the store itself; empty when nobody does."""
        (*found,) = (await self.store.range(keys.lock(PROJECT, LockName.of(path).key))).kvs
        return LockFact.of(found[0]).record.holder.session_id if found else ""

    async def settle(self) -> None:
        """Let the view catch up."""
        revision = (await self.store.range(keys.root_prefix())).revision
        while (  # noqa: ASYNC110 (the view tells nobody; it only moves on)
            self.view.age_s() == float("inf") or self.view.revision < revision
        ):
            await asyncio.sleep(0.001)


@asynccontextmanager
async def bench(progress_interval_s: float = 0.02) -> AsyncIterator[Bench]:
    """A fresh bench, its view running."""
    clock = FakeClock()
    store = Courteous.open(None, clock, progress_interval_s=progress_interval_s)
    view = View(store, clock)
    running = asyncio.create_task(view.run())
    made = Bench(store, clock, view, Coordinator(store, view, clock))
    await made.settle()
    try:
        yield made
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await store.close()


async def frozen(b: Bench) -> Coordinator:
    """Another coordinator, which sees nothing any more from now on."""
    view = View(b.store, b.clock)
    await view._load()
    return Coordinator(b.store, view, b.clock)


async def kinds(b: Bench, **wanted: object) -> list[str]:
    """What happened, oldest first."""
    page = await b.coordinator.recalling.read(PROJECT, Wanted(**wanted), 1000)  # type: ignore[arg-type]  # its own fields
    return [line.record.kind for line in reversed(page.lines)]


async def last(b: Bench, project: ProjectId = PROJECT) -> EventRecord:
    """What happened last."""
    page = await b.coordinator.recalling.read(project, Wanted(), 1000)
    return page.lines[0].record


def granted(outcome: Granted | Held) -> Granted:
    """What was granted, as it must have been."""
    assert isinstance(outcome, Granted)
    return outcome
