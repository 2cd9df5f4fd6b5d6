"""A session has one lease in all its projects, and what stands on another ends."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from scoord.errors import NotAllowed
from scoord.ids import LeaseId, ProjectId, RequestId
from scoord.v1.sessions_pb2 import Session
from scoord_server.model.answers import Registered
from scoord_server.model.commands import Acquire, Asker, Terms
from scoord_server.model.facts import LockName
from scoord_server.store import keys
from scoord_server.store.port import Delete, Txn
from support.coordination import PROJECT, TTL_S, Bench, bench, granted

OTHER = ProjectId("example.org/team/other")
LIB = LockName.of("lib.py")


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench() as made:
        await made.session("alice")
        yield made


async def register(
    b: Bench,
    project: ProjectId,
    lease: int = 0,
    *,
    lapsed: int = 0,
    request: str = "again",
    machine: str = "m1",
) -> Registered:
    session = Session(session_id="alice", project=project, machine_id=machine)
    return await b.coordinator.register(
        RequestId(request), session, TTL_S, LeaseId(lease), 0, lapsed=LeaseId(lapsed)
    )


async def leases_of(b: Bench) -> list[int]:
    """Those on which Alice's names stand, in both projects."""
    names = (keys.session(project, "alice") for project in (PROJECT, OTHER))
    found = [await b.store.range(name) for name in names]
    return [kv.lease for result in found for kv in result.kvs]


async def holds_lib(b: Bench) -> bool:
    return bool((await b.store.range(keys.lock(OTHER, LIB.key))).kvs)


async def takes_lib(b: Bench) -> None:
    """Alice is granted a file of the other project."""
    asker = Asker(b.request(), OTHER, b.asker("alice").session, b.leases["alice"])
    command = Acquire(asker, names=(LIB,), terms=Terms(reason="it is wrong"))
    granted(await b.coordinator.locks.acquire(command))
    await b.settle()


async def loses_its_name(b: Bench) -> None:
    """Who ended it as unused came no further than to its name in one project."""
    await b.store.txn(Txn((), (Delete(keys.session(PROJECT, "alice")),)))
    await b.settle()


async def test_a_session_is_live_on_the_lease_that_it_names_in_all_its_projects(b: Bench) -> None:
    # The answer that told of its first lease is lost: it begins in another project.
    first = b.leases["alice"]
    own = (await register(b, OTHER)).lease

    assert own == (await register(b, PROJECT, own, request="here too")).lease
    assert [own, own] == await leases_of(b)
    assert 0 == (await b.store.keep_alive([first]))[first]


async def test_who_names_no_lease_goes_on_with_that_of_the_answer_that_was_lost(b: Bench) -> None:
    assert b.leases["alice"] == (await register(b, PROJECT)).lease


async def test_a_session_is_not_taken_up_on_the_lease_that_lapsed(b: Bench) -> None:
    lapsed = b.leases["alice"]
    await register(b, OTHER, lapsed)
    await takes_lib(b)
    await loses_its_name(b)

    anew = await register(b, OTHER, lapsed=lapsed, request="anew")

    assert [anew.lease] == await leases_of(b)
    assert not anew.resumed
    assert not await holds_lib(b)


async def test_two_that_register_a_session_at_once_name_the_same_lease(b: Bench) -> None:
    lapsed = b.leases["alice"]
    await loses_its_name(b)

    tries = (register(b, OTHER, lapsed=lapsed, request=f"try {n}") for n in range(4))
    outcomes = await asyncio.gather(*tries)

    assert 1 == len({outcome.lease for outcome in outcomes})


async def test_nothing_of_another_machine_ends_by_a_register(b: Bench) -> None:
    own = (await register(b, OTHER, machine="m2")).lease

    with pytest.raises(NotAllowed, match="another machine"):
        await register(b, PROJECT, own, machine="m2", request="taken over")

    assert b.leases["alice"] in await leases_of(b)


async def test_nobody_ends_the_lease_of_another_session(b: Bench) -> None:
    theirs = (await b.session("bob")).lease

    with pytest.raises(NotAllowed, match="another session"):
        await register(b, OTHER, lapsed=theirs)
    with pytest.raises(NotAllowed, match="another session"):
        await b.coordinator.end(b.request(), OTHER, b.asker("alice").session, theirs, "done")

    assert (await b.store.keep_alive([theirs]))[theirs]


async def test_the_end_of_a_session_frees_what_it_has_in_other_projects(b: Bench) -> None:
    await register(b, OTHER, b.leases["alice"])
    await takes_lib(b)
    await loses_its_name(b)

    await b.ends("alice")

    assert not await leases_of(b)
    assert not await holds_lib(b)
