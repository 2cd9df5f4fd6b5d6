"""The lease that outlives sessions, for what is kept of them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from scoord.ids import LeaseId
from scoord_server.rolling import RollingLease
from scoord_server.store.embedded import EmbeddedStore
from support.clock import FakeClock

KEPT_S = 80.0


class _SlowStore(EmbeddedStore):
    """Answers a renewal only when it may."""

    may: asyncio.Event

    async def keep_alive(self, leases: Sequence[LeaseId]) -> dict[LeaseId, int]:
        """As the store, later."""
        await self.may.wait()
        return await super().keep_alive(leases)


async def test_a_lease_that_is_begun_anew_while_the_old_one_is_asked_for_stays(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    store = _SlowStore.open(tmp_path / "store.db", clock)
    assert isinstance(store, _SlowStore)
    store.may = asyncio.Event()
    rolling = RollingLease(store, clock, KEPT_S)
    first = await rolling.lease()
    await store.revoke(first)

    asked = asyncio.create_task(rolling.is_gone({first}))
    await asyncio.sleep(0)
    clock.advance(KEPT_S)
    second = await rolling.lease()
    store.may.set()

    assert await asked, "what was bound to the first is to be bound anew"
    assert second == await rolling.lease() != first
    await store.close()


async def test_a_plan_is_of_a_lease_that_was_lost_though_another_began_it_anew(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    store = EmbeddedStore.open(tmp_path / "store.db", clock)
    rolling = RollingLease(store, clock, KEPT_S)
    first = await rolling.lease()
    await store.revoke(first)
    assert await rolling.is_gone({first})
    second = await rolling.lease()

    assert await rolling.is_gone({first}), "who planned with it is not to take its own for lost"
    assert not await rolling.is_gone({second, LeaseId(5)})
    assert second == await rolling.lease()
    await store.close()
