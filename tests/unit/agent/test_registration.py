"""What the answer to a registration tells of locks, and what the stream has told before it."""

from dataclasses import replace

import pytest

from scoord.errors import SessionNotFound
from scoord.ids import AgentId, FencingToken, LeaseId, ProjectId
from scoord.v1.events_pb2 import LockGone, WatchResponse
from scoord.v1.locks_pb2 import Holder, Lock, Lost
from scoord_agent.held_lock import HeldLock
from scoord_hooks.neutral import Verdict
from support.house import SHOP, A, House, settle, until
from support.scripted_coordinator import Fate

ELSEWHERE = ProjectId("example.com/library")
OWN = Holder(session_id=A)


def held(house: House, path: str, token: int, *, is_pattern: bool = False) -> Lock:
    """The session holds ``path``, and the stream has told so."""
    lock = Lock(project=SHOP, path=path, token=token, holder=OWN, is_pattern=is_pattern)
    house.coordinator.locks[path] = lock
    house.stream.tell(WatchResponse(revision=token, lock=lock))
    return lock


def inherited(house: House, *written: HeldLock) -> None:
    """The session is of the agent before us, which had written down that it has this."""
    house.session.lease, house.session.had = LeaseId(7), written
    house.coordinator.leases.add(7)
    house.session.aliases = dict.fromkeys((SHOP, ELSEWHERE), "Session_1")
    house.session.inherited = set(house.session.aliases)


async def taken_up(house: House, *gone: LockGone) -> None:
    """The session is registered again, on its lease; on the way of the answer locks end."""

    def meanwhile() -> None:
        for one in gone:
            house.stream.tell(WatchResponse(revision=200, lock_gone=one))
            house.coordinator.locks.pop(one.lock.path)

    house.session.lease = LeaseId(7)
    house.session.inherited.add(SHOP)
    house.coordinator.meanwhile, house.coordinator.revision = meanwhile, 300
    await house.registration.enter(house.session, SHOP, house.settings.at(house.root))
    house.coordinator.meanwhile = None


def lost(house: House) -> list[tuple[str, int]]:
    return [(lock.key, lock.token) for lock in house.held.losses.of(A)]


@pytest.mark.parametrize("is_pattern", [False, True])
async def test_what_ends_on_the_way_of_the_answer_is_lost(house: House, is_pattern: bool) -> None:
    gone = held(house, "b.py", 150, is_pattern=is_pattern)
    held(house, "c.py", 151)

    await taken_up(house, LockGone(lock=gone, how="broken", by="bob"))

    assert house.held.grant(SHOP, "b.py", FencingToken(150), is_pattern=is_pattern) is None
    assert [("b.py", 150)] == lost(house)
    assert house.holds("c.py")


async def test_what_is_taken_up_is_where_the_agent_before_us_had_it(house: House) -> None:
    held(house, "b.py", 150)
    held(house, "c.py", 151)
    had = HeldLock(SHOP, "b.py", "b.py", A, AgentId(""), FencingToken(150), worktree="/linked")
    house.session.had = (had, replace(had, key="c.py", token=FencingToken(140)))

    await taken_up(house)

    assert {"b.py": "/linked", "c.py": ""} == {lock.key: lock.worktree for lock in house.held}


async def test_it_ends_with_what_was_committed_since_the_agent_before_us_saw_it_used(
    house: House,
) -> None:
    """The coordinator was told of that commit while the session was at rest."""
    held(house, "b.py", 150).holder.commit = "c2"
    had = HeldLock(SHOP, "b.py", "b.py", A, AgentId(""), FencingToken(150), commit="c1")
    used = had.used_in("/own", "c1").used_in("/linked", "c2")
    house.session.had = (used,)

    await taken_up(house)

    (lock,) = house.held
    assert ("/own", "c1", True) == (lock.worktree, lock.commit, lock.in_several)


async def test_the_reason_that_was_given_for_it_is_asked_for_again_with_it(house: House) -> None:
    held(house, "b.py", 150).reason = "the schema"
    had = HeldLock(SHOP, "b.py", "b.py", A, AgentId(""), FencingToken(150), reason="the schema")
    house.session.had, house.session.intent = (had,), "tidy up"
    await taken_up(house)

    house.registration.lapse(house.session)
    house.reclaiming.begin(house.session)
    await until(lambda: house.coordinator.reclaims)

    assert ["the schema"] == [asked.reason for asked in house.coordinator.reclaims]


@pytest.mark.parametrize(("branch", "where"), [("main", "/own"), ("topic", "")])
async def test_what_it_was_granted_last_is_where_its_branch_is_checked_out_if_anywhere(
    house: House, branch: str, where: str
) -> None:
    session = house.session
    session.home, session.worktree, session.branch = SHOP, "/own", "main"
    held(house, "b.py", 150).holder.branch = branch

    await taken_up(house)

    assert [where] == [lock.worktree for lock in house.held], "of another branch nobody knows"


@pytest.mark.parametrize("is_pattern", [False, True])
async def test_so_is_a_share_or_a_pattern_if_it_is_confirmed(
    house: House, is_pattern: bool
) -> None:
    held(house, "b.py", 150, is_pattern=is_pattern)
    had = HeldLock(SHOP, "b.py", "b.py", A, AgentId(""), FencingToken(150), worktree="/linked")
    gone = replace(had, key="c.py", shown="c.py", token=FencingToken(140))
    elsewhere = replace(had, project=ELSEWHERE)
    house.session.had_beside = (had, gone, elsewhere)

    await taken_up(house)

    assert {"b.py": "/linked"} == {lock.key: lock.worktree for lock in house.held}
    assert [] == lost(house), "it may have been given back since that was written down"
    assert [elsewhere] == list(house.session.had_beside)


async def test_where_it_was_is_nothing_to_keep_once_its_lease_is_over(house: House) -> None:
    had = HeldLock(SHOP, "b.py", "b.py", A, AgentId(""), FencingToken(150), worktree="/linked")
    house.session.lease, house.session.had_beside = LeaseId(7), (had,)

    house.registration.lapse(house.session)

    assert not house.session.had_beside


async def test_no_edit_goes_on_by_what_ended_on_the_way(house: House) -> None:
    gone = held(house, "a.py", 150)
    await taken_up(house, LockGone(lock=gone, how="broken", by="bob"))
    house.coordinator.last["a.py"] = Lost(holder=OWN, how="broken", by="bob")
    house.coordinator.hold("a.py", "Session_far")
    house.held.renewed(A, house.clock.now())

    assert (await house.edit()).verdict is Verdict.DENY
    (told,) = house.session.take_notices()
    assert "was broken by bob" in told


async def test_what_another_of_this_machine_was_granted_since_stays_its(house: House) -> None:
    gone = held(house, "a.py", 150)
    other = HeldLock(SHOP, "a.py", "a.py", A, AgentId("agent-1"), FencingToken(199))
    house.held.put(other)

    await taken_up(house, LockGone(lock=gone, how="broken", by="bob"))

    assert [other] == house.held.at(SHOP, "a.py")


async def test_what_the_agent_before_wrote_down_of_it_is_not_asked_for_twice(house: House) -> None:
    gone = held(house, "a.py", 150)
    written = HeldLock(SHOP, "a.py", "a.py", A, AgentId(""), FencingToken(150))
    house.session.had = [replace(written, worktree=str(house.root))]
    await taken_up(house, LockGone(lock=gone, how="broken", by="bob"))
    assert [("a.py", 150)] == lost(house)

    house.reclaiming.begin(house.session)
    await until(lambda: not house.held.losses.of(A))
    assert 1 == len(house.coordinator.reclaims)


async def test_what_the_agent_before_was_giving_back_is_not_believed_in(house: House) -> None:
    held(house, "a.py", 150)
    held(house, "b.py", 150)
    house.session.owed = [HeldLock(SHOP, "a.py", "a.py", A, AgentId(""), FencingToken(150))]
    house.owed.take_over(house.session)

    await taken_up(house)

    assert house.holds("b.py")
    assert not house.holds("a.py")
    assert [] == lost(house), "nobody took it away"


@pytest.mark.parametrize("is_written", [True, False])
async def test_what_the_agent_before_had_does_not_go_with_an_edit_that_is_refused(
    house: House, *, is_written: bool
) -> None:
    """Nor what it had not written down yet: a share, a pattern, what it was granted last."""
    held(house, "a.py", 50)
    had = HeldLock(SHOP, "a.py", "a.py", A, AgentId(""), FencingToken(50))
    inherited(house, *([had] if is_written else []))
    house.block()
    house.coordinator.fates.append(Fate.UNREACHABLE)

    assert (await house.edit("a.py", "b.py")).verdict is Verdict.DENY
    house.coordinator.connection.answered(house.clock.now())
    await until(lambda: house.coordinator.releases)
    await settle()

    assert ["a.py"] == list(house.coordinator.locks)
    assert house.agrees()
    assert [] == house.held.losses.of(A), "it is not asked for as if it were lost"


async def test_what_it_had_in_another_project_stays_to_be_asked_for(house: House) -> None:
    here, there = (
        HeldLock(project, "a.py", "a.py", A, AgentId(""), FencingToken(50))
        for project in (SHOP, ELSEWHERE)
    )
    inherited(house, here, there)

    await house.registration.enter(house.session, SHOP, house.settings.at(house.root))

    assert ([here], [there]) == (house.held.losses.of(A), house.session.had)
    assert {ELSEWHERE} == house.session.inherited


async def test_a_session_that_has_ended_is_not_registered_anew(house: House) -> None:
    """As by who brings all to life, and has waited for the answers to those before it."""
    settings, asked = house.settings.at(house.root), list[str]()
    await house.registration.end(house.session, "its process is gone")
    house.coordinator.meanwhile = lambda: asked.append("a registration")

    with pytest.raises(SessionNotFound):
        await house.registration.enter(house.session, SHOP, settings)
    assert [] == asked
    assert not house.registration._locks, "nothing is kept of it"
