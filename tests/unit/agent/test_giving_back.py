"""What is given back although it is not held: not known yet, lost, or still on its way."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from scoord.errors import InvalidRequest
from scoord.ids import AgentId, FencingToken, LeaseId
from scoord.v1.events_pb2 import LockGone, WatchResponse
from scoord.v1.locks_pb2 import Holder, Lock, ReadTraceResponse
from scoord_agent import wording_losses
from scoord_agent.background import Background
from scoord_agent.delivery import Delivery
from scoord_agent.held_lock import HeldLock
from scoord_agent.kept_locks import KeptLock, from_kept, to_json
from scoord_agent.local_session import MAIN
from scoord_hooks.neutral import EventKind, Verdict
from support.clock import FakeClock
from support.hooks import Hooks
from support.house import SHOP, A, House, editing_house, settle, until
from support.scripted_coordinator import Fate

ONE, TWO = AgentId("agent-1"), AgentId("agent-2")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with editing_house(tmp_path, FakeClock()) as made:
        yield made


@pytest.fixture
async def hooks(house: House) -> AsyncIterator[Hooks]:
    background = Background()
    yield Hooks(house, background)
    await background.close()


async def edit(house: House, file: str, agent: AgentId) -> None:
    house.session.hear(agent)
    await house.edit(file, agent=agent)


def inherited(house: House, file: str, agent: AgentId) -> HeldLock:
    """The agent before us knew of this lock, which stands."""
    token = 150 + len(house.coordinator.locks)
    holder = Holder(session_id=A, agent_id=agent)
    house.coordinator.locks[file] = Lock(project=SHOP, path=file, token=token, holder=holder)
    lock = HeldLock(SHOP, file, file, A, agent, FencingToken(token))
    house.session.had = [*house.session.had, lock]
    return lock


async def taken_up(house: House) -> None:
    """The coordinator is back."""
    house.session.lease = house.session.lease or LeaseId(7)
    house.session.inherited.add(SHOP)
    await house.registration.enter(house.session, SHOP, house.settings.at(house.root))


def stands(house: House) -> set[str]:
    return set(house.coordinator.locks)


@pytest.mark.parametrize("is_alone", [True, False])
async def test_who_says_that_it_is_alone_has_no_subagents_any_more(
    house: House, hooks: Hooks, *, is_alone: bool
) -> None:
    await edit(house, "a.py", MAIN)
    await edit(house, "b.py", ONE)
    await edit(house, "c.py", TWO)

    await hooks.send(EventKind.TURN_END, is_alone=is_alone)
    await settle()

    assert ({"a.py"} if is_alone else {"a.py", "b.py", "c.py"}) == stands(house)


async def test_what_a_subagent_had_that_ends_before_it_is_taken_up_is_given_back(
    house: House, hooks: Hooks
) -> None:
    kept, _ = inherited(house, "a.py", MAIN), inherited(house, "b.py", ONE)
    house.coordinator.gate = asyncio.Event()

    await hooks.send(EventKind.SUBAGENT_END, ONE)
    await settle()
    await taken_up(house)

    assert house.holds("a.py")
    assert house.holds("b.py") is None
    assert [kept.token] == [lock.token for lock in house.held.known(A)], "nothing is missed"
    house.coordinator.gate.set()
    await until(lambda: {"a.py"} == stands(house))


async def test_nor_is_that_believed_in_of_which_the_agent_before_had_written_nothing_down(
    house: House, hooks: Hooks
) -> None:
    inherited(house, "b.py", ONE)
    house.session.had = ()

    await hooks.send(EventKind.SUBAGENT_END, ONE)
    await taken_up(house)
    assert house.holds("b.py") is None

    house.session.hear(ONE)
    await taken_up(house)
    assert house.holds("b.py"), "it works again"


@pytest.mark.parametrize("action", ["block", "warn", "proceed"])
async def test_what_is_granted_to_a_subagent_that_has_ended_meanwhile_is_given_back(
    house: House, hooks: Hooks, action: str
) -> None:
    house.set(f"conflict_action: {action}")
    await edit(house, "b.py", MAIN)
    house.coordinator.gate = asyncio.Event()
    house.coordinator.fates.append(Fate.LATE_ANSWER)
    house.session.hear(ONE)
    editing = asyncio.create_task(house.edit("a.py", agent=ONE))
    await until(lambda: "a.py" in house.coordinator.locks)

    await hooks.send(EventKind.SUBAGENT_END, ONE)
    house.coordinator.gate.set()

    with pytest.raises(InvalidRequest, match="has ended meanwhile"):
        await editing
    assert house.holds("a.py") is None
    await until(lambda: {"b.py"} == stands(house))


async def test_a_subagent_that_has_ended_before_it_could_ask_takes_nothing_over(
    house: House, hooks: Hooks
) -> None:
    await edit(house, "a.py", MAIN)
    await hooks.send(EventKind.SUBAGENT_END, ONE)

    with pytest.raises(InvalidRequest, match="has ended meanwhile"):
        await house.edit("a.py", agent=ONE)

    await settle()
    lock = house.holds()
    assert lock
    assert lock.agent == MAIN
    assert house.agrees()
    assert [] == house.session.take_losses(5, MAIN, Delivery())


async def test_nor_is_it_kept_when_its_edit_is_let_through_after_that(
    house: House, hooks: Hooks
) -> None:
    await edit(house, "b.py", MAIN)
    house.coordinator.fates.append(Fate.LOST_ANSWER)
    house.session.hear(ONE)
    editing = asyncio.create_task(house.edit("a.py", agent=ONE))
    await until(lambda: "a.py" in house.coordinator.locks)

    await hooks.send(EventKind.SUBAGENT_END, ONE)
    await editing

    await until(lambda: {"b.py"} == stands(house))
    assert house.holds("a.py") is None


@pytest.mark.parametrize("release_on", ["stop", "session_end"])
async def test_what_is_granted_late_after_the_turn_is_given_back_with_it(
    house: House, hooks: Hooks, release_on: str
) -> None:
    house.set(f"release_on: {release_on}")
    house.coordinator.fates.append(Fate.LOST_ANSWER)
    house.coordinator.connection.failed("gone", house.clock.now())
    assert "without a lock" in (await house.edit()).context

    await hooks.send(EventKind.TURN_END)
    house.coordinator.connection.answered(house.clock.now())
    await until(lambda: house.coordinator.releases or house.holds())
    await settle()

    assert (set() if release_on == "stop" else {"a.py"}) == stands(house)


async def test_what_is_released_before_it_is_taken_up_is_not(house: House) -> None:
    lock = inherited(house, "a.py", MAIN)
    house.coordinator.gate = asyncio.Event()
    releasing = asyncio.create_task(house.taking.release(house.session, [lock]))
    await settle()
    assert [lock] == house.session.owed

    await taken_up(house)

    assert [] == house.held.known(A)
    house.coordinator.gate.set()
    await releasing
    assert set() == stands(house)


async def test_what_went_with_its_lease_and_is_released_is_not_asked_for_again(
    house: House,
) -> None:
    await house.edit()
    house.coordinator.expire(house.session.lease)
    house.registration.lapse(house.session)
    (lost,) = house.held.losses.of(A)

    await house.taking.release(house.session, [lost])
    house.reclaiming.begin(house.session)
    await settle()

    assert [] == house.coordinator.reclaims
    assert [] == house.coordinator.releases, "nothing stands of it"
    (told,) = house.session.take_notices()
    assert "Your lock on a.py was lost before it was given back" in told


async def come_back(house: House) -> None:
    """The session has a lease again, and all that it lost is asked for."""
    house.session.lease = house.session.lease or LeaseId(7)
    house.coordinator.leases.add(house.session.lease)
    house.reclaiming.begin(house.session)
    await settle()


def told_to_main(house: House) -> list[str]:
    return house.session.take_losses(5, MAIN, Delivery())


async def test_what_a_subagent_lost_before_it_ended_is_told_to_the_main_thread(
    house: House, hooks: Hooks
) -> None:
    await edit(house, "a.py", ONE)
    house.coordinator.expire(house.session.lease)
    house.registration.lapse(house.session)

    await hooks.send(EventKind.SUBAGENT_END, ONE)
    await come_back(house)

    assert [] == house.coordinator.reclaims
    (told,) = told_to_main(house)
    assert "Your lock on a.py was lost before it was given back" in told


@pytest.mark.parametrize(
    ("end", "lapses", "said"),
    [
        (ReadTraceResponse(how="broken", by="bob"), False, "was broken by bob"),
        (ReadTraceResponse(how="broken", by="bob"), True, "was broken by bob"),
        (ReadTraceResponse(), True, "it went with the lease of this session"),
        (ReadTraceResponse(), False, "was taken away"),
    ],
)
async def test_so_is_what_it_lost_when_it_is_not_known_yet_how(
    house: House, hooks: Hooks, end: ReadTraceResponse, lapses: bool, said: str
) -> None:
    await edit(house, "a.py", ONE)
    house.coordinator.locks.clear()
    house.coordinator.ends["a.py"] = end
    house.held.lose(house.held.at(SHOP, "a.py")[0])

    await hooks.send(EventKind.SUBAGENT_END, ONE)
    await settle()
    if lapses:
        house.registration.lapse(house.session)
    await come_back(house)

    assert [] == house.coordinator.reclaims
    (told,) = told_to_main(house)
    assert said in told


async def test_what_it_has_after_all_is_given_back(house: House, hooks: Hooks) -> None:
    await edit(house, "a.py", ONE)
    house.coordinator.ends["a.py"] = ReadTraceResponse(stands=True)
    house.held.lose(house.held.at(SHOP, "a.py")[0])

    await hooks.send(EventKind.SUBAGENT_END, ONE)
    await come_back(house)

    assert (set(), []) == (stands(house), house.held.known(A))
    assert [] == told_to_main(house)


WENT = wording_losses.went_with_subagent(["a.py"])


async def test_a_main_thread_is_told_once_what_went_with_the_subagent_that_took_it_over(
    house: House, hooks: Hooks
) -> None:
    await edit(house, "a.py", MAIN)
    await edit(house, "b.py", MAIN)
    await edit(house, "a.py", ONE)
    await edit(house, "c.py", ONE)

    await hooks.send(EventKind.SUBAGENT_END, ONE)
    await settle()

    assert {"b.py"} == stands(house)
    assert [WENT] == told_to_main(house), "of c.py the subagent knew alone"
    await hooks.send(EventKind.SUBAGENT_END, ONE)
    await settle()
    assert [] == told_to_main(house)


async def test_what_its_main_thread_has_given_back_is_not_spoken_of(
    house: House, hooks: Hooks
) -> None:
    await edit(house, "a.py", MAIN)
    await edit(house, "a.py", ONE)
    await house.taking.release(house.session, house.held.of(A))

    await hooks.send(EventKind.SUBAGENT_END, ONE)

    assert [] == told_to_main(house)


@pytest.mark.parametrize("let_through", [True, False])
async def test_so_is_what_a_subagent_takes_over_that_has_ended_by_the_answer(
    house: House, hooks: Hooks, *, let_through: bool
) -> None:
    await edit(house, "a.py", MAIN)
    late = Fate.LOST_ANSWER if let_through else Fate.LATE_ANSWER
    house.coordinator.gate = None if let_through else asyncio.Event()
    house.coordinator.fates.append(late)
    house.session.hear(ONE)
    editing = asyncio.create_task(house.edit("a.py", agent=ONE))
    await until(lambda: house.coordinator.locks["a.py"].holder.agent_id == ONE)

    await hooks.send(EventKind.SUBAGENT_END, ONE)
    if house.coordinator.gate:
        house.coordinator.gate.set()
    await asyncio.gather(editing, return_exceptions=True)

    await until(lambda: not stands(house))
    assert [WENT] == told_to_main(house)


async def test_of_a_subagent_whose_edit_was_refused_it_is_not_said_that_it_has_ended(
    house: House,
) -> None:
    await edit(house, "a.py", MAIN)
    house.block()
    house.coordinator.fates.append(Fate.LOST_ANSWER)
    house.session.hear(ONE)

    assert (await house.edit("a.py", agent=ONE)).verdict is Verdict.DENY
    house.coordinator.connection.answered(house.clock.now())

    await until(lambda: not stands(house))
    assert [wording_losses.went_with_subagent(["a.py"], has_ended=False)] == told_to_main(house)


@pytest.mark.parametrize("had_by", [MAIN, ONE])
async def test_the_next_agent_knows_what_passed_on(
    house: House, hooks: Hooks, had_by: AgentId
) -> None:
    """The one before wrote it down before, or after a subagent had it."""
    lock = inherited(house, "a.py", ONE)
    written = replace(lock, agent=had_by, passed=had_by == ONE)
    house.session.had = from_kept(A, map(KeptLock.model_validate, to_json([written])))
    await taken_up(house)

    await hooks.send(EventKind.SUBAGENT_END, ONE)

    assert [WENT] == told_to_main(house)


async def passed_unheard(house: House, hooks: Hooks) -> HeldLock:
    """The agent before us asked for it for a subagent, which has ended when we hear so.

    What it had written down is that the main thread has it.
    """
    lock = inherited(house, "a.py", ONE)
    house.session.had = [replace(lock, agent=MAIN)]
    house.coordinator.ends["a.py"] = ReadTraceResponse(stands=True)
    await hooks.send(EventKind.SUBAGENT_END, ONE)
    return lock


async def test_what_passed_on_unheard_to_a_subagent_that_has_ended_is_nobodys(
    house: House, hooks: Hooks
) -> None:
    """Its main thread does not have it again because it stands: it is a stray."""
    lock = await passed_unheard(house, hooks)

    for _ in range(2):  # the first may fail in another project
        await taken_up(house)
        await come_back(house)

    assert [] == house.held.known(A)
    assert not house.taking.is_known(house.session, lock), "it is given back"
    assert [WENT] == told_to_main(house)


async def test_so_is_what_passes_on_after_it_was_taken_up(house: House, hooks: Hooks) -> None:
    """As it is once more, where that failed in another project."""
    lock, house.session.lease = await passed_unheard(house, hooks), LeaseId(7)
    house.coordinator.locks["a.py"].holder.agent_id = MAIN
    await house.registration.enter(house.session, SHOP, house.settings.at(house.root))
    assert house.holds("a.py")

    house.coordinator.locks["a.py"].holder.agent_id = ONE
    await taken_up(house)

    assert [] == house.held.known(A)
    assert not house.taking.is_known(house.session, lock)
    assert [WENT] == told_to_main(house)


async def test_of_what_was_broken_after_it_passed_on_unheard_it_is_told_by_whom(
    house: House, hooks: Hooks
) -> None:
    lock = await passed_unheard(house, hooks)
    house.coordinator.ends["a.py"] = ReadTraceResponse(how="broken", by="bob")
    gone = LockGone(lock=house.coordinator.locks[lock.shown], how="broken")
    house.coordinator.meanwhile = lambda: house.hear(WatchResponse(revision=200, lock_gone=gone))

    await taken_up(house)
    await come_back(house)

    (told,) = told_to_main(house)
    assert "was broken by bob" in told


async def test_what_went_with_its_lease_did_not_go_with_a_subagent(
    house: House, hooks: Hooks
) -> None:
    await edit(house, "a.py", MAIN)
    await edit(house, "a.py", ONE)
    house.coordinator.expire(house.session.lease)
    house.registration.lapse(house.session)

    await hooks.send(EventKind.SUBAGENT_END, ONE)
    await settle()

    assert [wording_losses.lost_before(["a.py"])] == told_to_main(house)


async def test_what_comes_back_when_it_was_released_meanwhile_is_given_back_at_once(
    house: House,
) -> None:
    await house.edit()
    house.coordinator.expire(house.session.lease)
    house.registration.lapse(house.session)
    (lost,) = house.held.losses.of(A)
    house.coordinator.fates.append(Fate.LATE_ANSWER)
    house.coordinator.gate = asyncio.Event()
    await come_back(house)

    await house.taking.release(house.session, [lost])
    house.coordinator.gate.set()
    await settle()

    assert (set(), []) == (stands(house), house.held.known(A))


async def test_an_edit_that_has_not_happened_by_the_next_prompt_holds_no_commit_up(
    house: House, hooks: Hooks
) -> None:
    await edit(house, "a.py", MAIN)
    (lock,) = house.held.of(A)
    file = house.locator.locate("a.py", str(house.root))
    house.protection.allow(house.session, file, lock.claimant, asked=True)
    assert house.session.remembered.awaits(lock, since=0.0)

    await hooks.send(EventKind.PROMPT)

    assert not house.session.remembered.awaits(lock, since=0.0)
