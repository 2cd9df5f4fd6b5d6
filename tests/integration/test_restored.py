"""A real etcd that is wiped, or restored from a backup, under a running coordinator."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from scoord.clock import SystemClock
from scoord.errors import ScoordError
from scoord.ids import AgentId, LeaseId, ProjectId, RequestId, SessionId
from scoord.v1.sessions_pb2 import Session
from scoord_server.coordinator import Coordinator
from scoord_server.model.answers import Granted, Held
from scoord_server.model.commands import Acquire, Asker, Reserve, Terms
from scoord_server.model.facts import LockName
from scoord_server.seen import Turn
from scoord_server.store.etcd import EtcdStore
from scoord_server.view import Snapshot, Step, View
from support.etcd import Etcd, started

pytestmark = [pytest.mark.etcd, pytest.mark.usefixtures("etcd_binary")]

SHOP = ProjectId("shop")
BACK_WITHIN_S = 20.0

Answer = TypeVar("Answer")


@pytest.fixture
def own_etcd(tmp_path: Path) -> Iterator[Etcd]:
    with started(Etcd(tmp_path / "etcd")) as server:
        yield server


@dataclass
class Replica:
    """One coordinator, and what is asked of it."""

    view: View
    coordinator: Coordinator
    requests: int = 0

    def request(self) -> RequestId:
        self.requests += 1
        return RequestId(f"r{self.requests}")

    async def registers(self, name: str) -> LeaseId:
        session = Session(session_id=name, project=SHOP, machine_id="m")
        made = await self.coordinator.register(self.request(), session, 60, LeaseId(0), 0)
        return made.lease

    def asker(self, name: str, lease: LeaseId) -> Asker:
        return Asker(self.request(), SHOP, SessionId(name), lease, AgentId(""))

    async def acquires(
        self, name: str, lease: LeaseId, path: str, *, enqueue: bool = False
    ) -> Granted | Held:
        command = Acquire(
            self.asker(name, lease), (LockName.of(path),), Terms(), enqueue, claim_ms=20_000
        )
        return await self.coordinator.locks.acquire(command)

    async def settled(self) -> None:
        """Wait until the view has all that was done here."""
        async with asyncio.timeout(BACK_WITHIN_S):
            await self.coordinator.look()
            while self.view.age_s() > 1.0:  # noqa: ASYNC110 (the view tells nobody)
                await asyncio.sleep(0.01)


@pytest.fixture
async def replica(own_etcd: Etcd) -> AsyncIterator[Replica]:
    store, clock = await EtcdStore.connect(own_etcd.options()), SystemClock()
    view = View(store, clock)
    running = asyncio.create_task(view.run())
    made = Replica(view, Coordinator(store, view, clock))
    await made.settled()
    yield made
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await store.close()


async def once_back(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """What is answered by the first that gets through."""
    async with asyncio.timeout(BACK_WITHIN_S):
        while True:
            try:
                return await ask()
            except ScoordError:
                await asyncio.sleep(0.05)


async def test_in_a_store_that_was_wiped_locks_exclude_each_other(
    own_etcd: Etcd, replica: Replica
) -> None:
    await wiped(own_etcd, replica)

    # At once, before the view can have read it anew.
    alice = await once_back(lambda: replica.registers("alice"))
    bob = await replica.registers("bob")
    pattern = Reserve(replica.asker("alice", alice), "src/**", Terms())
    assert isinstance(await replica.coordinator.locks.reserve(pattern), Granted)
    assert isinstance(await replica.acquires("bob", bob, "src/a.py"), Held)


async def test_in_a_store_that_was_wiped_who_waits_is_told(
    own_etcd: Etcd, replica: Replica
) -> None:
    await wiped(own_etcd, replica)
    alice = await once_back(lambda: replica.registers("alice"))
    bob = await replica.registers("bob")
    held = await replica.acquires("alice", alice, "a.py")
    assert isinstance(held, Granted)
    await replica.acquires("bob", bob, "a.py", enqueue=True)
    await replica.settled()

    steps = replica.view.subscribe()
    seen = await anext(steps)
    assert isinstance(seen, Snapshot)
    assert {"alice", "bob"} == {one.fact.session_id for one in seen.sessions}
    ref = (LockName.of("a.py"), held.tokens[0], False)
    await replica.coordinator.locks.release(replica.asker("alice", alice), [ref])
    async with asyncio.timeout(BACK_WITHIN_S):
        async for step in steps:
            if isinstance(step, Step) and any(isinstance(it, Turn) for it in step.changes):
                break
    await steps.aclose()


async def test_of_a_store_that_was_restored_what_came_after_the_backup_is_seen_no_more(
    own_etcd: Etcd, replica: Replica, tmp_path: Path
) -> None:
    alice = await replica.registers("alice")
    await replica.acquires("alice", alice, "kept.py")
    await at_rest(own_etcd, lambda data: shutil.copytree(data, tmp_path / "backup"))
    await once_back(lambda: replica.acquires("alice", alice, "lost.py"))
    for number in range(20):
        granted = await replica.acquires("alice", alice, f"{number}.py")
    assert isinstance(granted, Granted)
    before = granted.tokens[0]

    def restore(data: Path) -> None:
        shutil.rmtree(data)
        shutil.copytree(tmp_path / "backup", data)

    await at_rest(own_etcd, restore)
    bob = await once_back(lambda: replica.registers("bob"))
    await replica.settled()

    locks = {lock.fact.record.path for lock in replica.view.snapshot().locks}
    assert {"kept.py"} == locks
    assert replica.view.revision < before
    assert isinstance(await replica.acquires("bob", bob, "lost.py"), Granted)
    assert isinstance(await replica.acquires("bob", bob, "kept.py"), Held)


async def wiped(etcd: Etcd, replica: Replica) -> None:
    """Much was done there before: the new store does not soon come that far."""
    lease = await replica.registers("before")
    for number in range(50):
        await replica.acquires("before", lease, f"{number}.py")
    await at_rest(etcd, shutil.rmtree)


async def at_rest(etcd: Etcd, change: Callable[[Path], object]) -> None:
    """Change its data while it does not run."""
    etcd.stop()
    change(etcd.member.folder / "data")
    await asyncio.to_thread(etcd.start)
