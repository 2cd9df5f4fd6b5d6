"""Places in queues that went while nobody here heard of it: their sessions hear so, once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scoord.errors import CoordinatorUnreachable
from scoord.ids import AgentId, LeaseId, ProjectId
from scoord.v1.events_pb2 import Snapshot, WatchResponse
from scoord.v1.locks_pb2 import Holder, LockScope, Waiter
from scoord_agent.background import Background
from scoord_agent.delivery import Delivery
from scoord_agent.local_session import MAIN
from scoord_agent.reactions import Reactions
from scoord_agent.sessions import Sessions
from scoord_agent.turns import Place
from scoord_agent.waits import Waits
from scoord_hooks.neutral import EventKind, Verdict
from support.clock import FakeClock
from support.hooks import Hooks
from support.house import SHOP, A, House, editing_house, until
from support.scripted_coordinator import Fate

GONE = "You do not wait for a.py any more: your place in its queue is gone. Edit it to ask again."
HELPER = AgentId("agent-1")


class Home:
    """One session that was refused a.py, its hooks, and its stream."""

    def __init__(self, house: House, background: Background) -> None:
        self.house = house
        self.hooks = Hooks(house, background)
        self.reactions = Reactions(
            sessions=house.sessions,
            held=house.held,
            turns=house.turns,
            lapsed=lambda _session: None,
            acknowledge=lambda *_: None,
            waits=Waits(lambda _session: None),
        )

    async def refused(self, agent: AgentId = MAIN, branch: str = "") -> int:
        """It is refused a.py, and has a place; since when."""
        self.house.session.hear(agent)
        self.house.coordinator.hold("a.py", "Session_far")
        assert Verdict.DENY is (await self.house.edit("a.py", agent=agent)).verdict
        return self.house.turns.revision(place(agent, branch))

    def sees(self, revision: int, *waiters: Waiter) -> None:
        """The stream begins anew: these wait."""
        snapshot = Snapshot(waiters=waiters)
        self.reactions.react(SHOP, WatchResponse(revision=revision, snapshot=snapshot))

    async def told(self, agent: AgentId = MAIN) -> str:
        """What a thread hears at its next hook."""
        kind = EventKind.AFTER_EDIT if agent else EventKind.PROMPT
        return (await self.hooks.send(kind, agent)).context


def place(agent: AgentId = MAIN, branch: str = "") -> Place:
    return Place(SHOP, "a.py", A, agent, branch)


def waiter(revision: int, *, has_turn: bool = False) -> Waiter:
    holder = Holder(session_id=A)
    return Waiter(path="a.py", holder=holder, place=1, revision=revision, has_turn=has_turn)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    background = Background()
    async with editing_house(tmp_path, FakeClock()) as house:
        yield Home(house, background)
    await background.close()


async def test_who_was_promised_its_turn_hears_once_that_its_place_is_gone(home: Home) -> None:
    asked = await home.refused()
    home.sees(asked, waiter(asked))
    assert "" == await home.told()

    home.sees(asked + 1)

    assert {} == home.house.session.work.waits
    assert GONE == await home.told()
    home.sees(asked, waiter(asked))
    assert "" == await home.told(), "that coordinator was behind"


async def test_a_store_that_was_wiped_takes_no_place_from_who_is_refused_after_that(
    home: Home,
) -> None:
    home.sees(100_000)
    home.sees(3)
    await home.refused()

    assert "" == await home.told()


async def test_a_turn_that_was_told_and_not_used_is_no_news_when_its_lease_is_over(
    home: Home,
) -> None:
    asked = await home.refused()
    home.reactions.react(SHOP, WatchResponse(revision=asked + 1, turn=waiter(asked)))
    assert "a.py is free now" in await home.told()

    home.reactions.react(SHOP, WatchResponse(revision=asked + 2, waiting_gone=waiter(asked)))
    home.house.registration.lapse(home.house.session)

    assert "" == await home.told()


async def test_what_was_left_does_not_come_back_by_an_old_snapshot(home: Home) -> None:
    asked = await home.refused()
    home.house.turns.leave(lambda _place: True)

    home.sees(asked, waiter(asked))
    home.sees(asked + 2)

    assert "" == await home.told()


async def test_what_was_given_up_is_no_news_where_the_stream_tells_of_it_before_the_answer(
    home: Home,
) -> None:
    asked, coordinator = await home.refused(), home.house.coordinator
    coordinator.gate = asyncio.Event()
    coordinator.fates.append(Fate.LATE_ANSWER)
    request = home.house.request("a.py")
    leaving = asyncio.create_task(home.house.taking.leaving.leave(request))
    await until(lambda: coordinator.left)

    home.reactions.react(SHOP, WatchResponse(revision=asked + 1, waiting_gone=waiter(asked)))

    assert "" == await home.told()
    coordinator.gate.set()
    await leaving
    assert "" == await home.told()


async def test_others_see_nobody_wait_whose_place_is_gone(home: Home) -> None:
    asked, coordinator = await home.refused(), home.house.coordinator
    helpers = await home.refused(HELPER)
    coordinator.fates.append(Fate.UNREACHABLE)
    with pytest.raises(CoordinatorUnreachable):
        await home.house.taking.leaving.leave(home.house.request("a.py"))

    home.reactions.react(SHOP, WatchResponse(revision=helpers + 1, waiting_gone=waiter(asked)))
    assert home.house.session.work.waits, "its subagent goes on"
    left = waiter(helpers)
    left.holder.agent_id = HELPER
    home.reactions.react(SHOP, WatchResponse(revision=helpers + 2, waiting_gone=left))

    assert {} == home.house.session.work.waits


async def test_a_place_is_not_missed_by_a_coordinator_that_is_behind(home: Home) -> None:
    asked = await home.refused()

    home.sees(asked - 1)

    assert "" == await home.told()
    home.sees(asked + 1)
    home.sees(asked - 1)
    assert GONE == await home.told(), "what was seen stays so"


async def test_who_was_told_of_its_turn_is_not_told_that_it_waits_no_more(home: Home) -> None:
    asked = await home.refused()
    home.sees(asked, waiter(asked, has_turn=True))
    assert "a.py is free now" in await home.told()

    home.sees(asked + 1)

    assert "" == await home.told()
    assert {} == home.house.turns.leave(lambda _: True)


async def test_of_a_turn_that_was_seen_it_hears_that_it_is_over(home: Home) -> None:
    asked = await home.refused()
    home.sees(asked, waiter(asked, has_turn=True))

    home.sees(asked + 1)

    assert "a.py was free" in await home.told()
    assert "" == await home.told()


async def test_who_was_refused_again_or_granted_it_since_waits_or_has_it(home: Home) -> None:
    asked = await home.refused()
    home.sees(asked + 1)
    again = await home.refused()
    assert again > asked + 1
    assert "" == await home.told()

    home.sees(again + 1)
    home.house.coordinator.locks.clear()
    assert Verdict.ALLOW is (await home.house.edit("a.py")).verdict
    assert "" == await home.told()


@pytest.mark.parametrize("granted", [True, False])
async def test_nothing_is_told_while_the_answer_to_another_question_is_on_its_way(
    home: Home, granted: bool
) -> None:
    asked, coordinator = await home.refused(), home.house.coordinator
    coordinator.revision += 9
    coordinator.gate = asyncio.Event()
    coordinator.fates.append(Fate.LATE_ANSWER)
    if granted:
        coordinator.locks.clear()
    asking = asyncio.create_task(home.house.edit("a.py"))
    await until(lambda: len(coordinator.acquires) == 2)

    home.sees(asked + 1)

    assert "" == await home.told()
    coordinator.gate.set()
    await asking
    assert "" == await home.told()


async def test_an_answer_that_comes_after_its_place_went_is_no_new_place(home: Home) -> None:
    asked, coordinator = await home.refused(), home.house.coordinator
    coordinator.gate = asyncio.Event()
    coordinator.fates.append(Fate.LATE_ANSWER)
    asking = asyncio.create_task(home.house.edit("a.py"))
    await until(lambda: len(coordinator.acquires) == 2)

    home.sees(asked + 9)
    coordinator.gate.set()
    await asking

    assert GONE == await home.told()


async def test_whose_question_was_cut_off_hears_it_once_that_is_settled(home: Home) -> None:
    asked, coordinator = await home.refused(), home.house.coordinator
    coordinator.fates.append(Fate.UNREACHABLE)
    coordinator.connection.failed("gone", home.house.clock.now())
    await home.house.edit("a.py")

    home.sees(asked + 9)
    assert "" == await home.told()
    coordinator.places.clear()
    coordinator.connection.answered(home.house.clock.now())

    await until(lambda: not home.house.taking.is_open(place()))
    assert GONE == await home.told()


async def test_a_place_that_goes_with_what_is_given_back_is_missed_too(home: Home) -> None:
    await home.refused()
    coordinator = home.house.coordinator
    coordinator.locks.clear()
    coordinator.fates.append(Fate.LOST_ANSWER)
    home.house.block()
    assert Verdict.DENY is (await home.house.edit("a.py")).verdict

    await until(lambda: coordinator.releases)

    assert GONE == await home.told()


async def test_what_a_hook_that_is_gone_was_to_tell_is_old_once_it_is_refused_again(
    home: Home,
) -> None:
    asked, delivery = await home.refused(), Delivery()
    home.sees(asked + 1)
    assert GONE == (await home.hooks.send(EventKind.PROMPT, delivery=delivery)).context

    home.house.coordinator.revision += 9
    await home.refused()
    delivery.failed()

    assert "" == await home.told()


async def test_a_subagent_hears_of_its_own_place_unless_it_has_ended(home: Home) -> None:
    asked = await home.refused(HELPER)
    home.sees(asked + 1)
    assert "" == await home.told()
    assert GONE == await home.told(HELPER)

    asked = await home.refused(HELPER)
    await home.hooks.send(EventKind.SUBAGENT_END, HELPER)
    await asyncio.sleep(0)
    home.sees(asked + 1)
    assert "" == await home.told() + await home.told(HELPER)


async def test_of_two_branches_the_one_whose_place_is_gone_is_told(home: Home) -> None:
    turns = home.house.turns
    for branch in ("main", "topic"):
        turns.queued(place(branch=branch), "a.py", 7)
    stands = waiter(7)
    stands.scope, stands.holder.branch = LockScope.LOCK_SCOPE_BRANCH, "main"

    home.sees(8, stands)

    assert GONE.replace("a.py", "a.py on topic") == await home.told()
    turns.leave(lambda at: at.branch == "main")
    home.sees(9)
    assert "" == await home.told(), "it has left that branch"


async def test_a_command_that_waits_asks_again_and_its_session_is_not_told_to(home: Home) -> None:
    asked = await home.refused()
    waits = asyncio.create_task(home.house.turns.wait([place()], 1.0))
    await asyncio.sleep(0)

    home.sees(asked + 1)

    assert "" == await home.told()
    waits.cancel()


# over a restart


def begin_anew(home: Home, file: Path) -> None:
    """Another agent takes up what this one has written down."""
    after = Sessions(file)
    after.load(home.house.clock.now())
    (session,) = after
    home.house.turns.keep_only(())
    home.house.turns.take_up(session.waited)


@pytest.fixture
def file(home: Home, tmp_path: Path) -> Path:
    home.house.sessions.unheard = home.house.turns.unheard
    home.house.turns.changed = home.house.sessions.file.save
    return tmp_path / "sessions.jsonl"


async def test_who_is_promised_its_turn_hears_from_the_next_agent_that_its_place_is_gone(
    home: Home, file: Path
) -> None:
    asked = await home.refused()
    begin_anew(home, file)
    assert "" == await home.told()

    home.house.session.inherited.add(SHOP)
    home.sees(asked + 1)
    assert "" == await home.told(), "it may have been granted to it"
    home.house.session.inherited = {ProjectId("example.com/library")}

    assert GONE == await home.told()
    begin_anew(home, file)
    home.sees(asked + 2)
    assert "" == await home.told(), "that is written down, too"


async def test_whose_edit_is_refused_where_a_command_waits_hears_so_from_the_next_agent(
    home: Home, file: Path
) -> None:
    waits = asyncio.create_task(home.house.turns.wait([place()], 1.0))
    await asyncio.sleep(0)
    asked = await home.refused()
    waits.cancel()  # it ends with its agent, and may not ask the next one
    await asyncio.gather(waits, return_exceptions=True)
    begin_anew(home, file)

    home.sees(asked + 1)

    assert GONE == await home.told()


async def test_whose_edit_is_refused_before_a_command_waits_hears_so_too_unless_that_asks_again(
    home: Home, file: Path
) -> None:
    asked = await home.refused()
    waits = asyncio.create_task(home.house.turns.wait([place()], 1.0))
    await asyncio.sleep(0)
    home.house.sessions.file.save()
    waits.cancel()
    await asyncio.gather(waits, return_exceptions=True)
    begin_anew(home, file)
    assert {place()} == home.house.turns.unheard(A).keys()

    home.sees(asked + 1)
    home.house.turns.over(place())
    home.house.turns.queued(place(), "a.py", asked + 2)

    assert "" == await home.told()


async def test_whose_lease_ran_out_while_its_agent_was_away_hears_so(
    home: Home, file: Path
) -> None:
    await home.refused()
    begin_anew(home, file)

    home.house.registration.lapse(home.house.session)

    told = await home.told()
    assert "You do not wait for a.py any more: the lease of this session ran out" in told


async def test_what_was_not_told_yet_is_told_by_the_next_agent(home: Home, file: Path) -> None:
    await home.refused()
    home.house.registration.lapse(home.house.session)
    begin_anew(home, file)

    home.sees(1)

    assert GONE == await home.told()


async def test_what_it_was_told_or_has_is_not_told_by_the_next_agent(
    home: Home, file: Path
) -> None:
    asked = await home.refused()
    home.sees(asked, waiter(asked, has_turn=True))
    await home.told()
    home.house.coordinator.locks.clear()
    home.house.session.lease = home.house.session.lease or LeaseId(7)
    begin_anew(home, file)

    home.sees(asked + 1)

    assert "" == await home.told()
