"""What a step of the stream means for the sessions of this machine."""

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from scoord.ids import AgentId, FencingToken, LeaseId, ProjectId, SessionId
from scoord.limits import MOST_NOTICES
from scoord.v1.events_pb2 import (
    LockGone,
    Notice,
    Progress,
    SessionGone,
    Snapshot,
    Waiting,
    WatchResponse,
)
from scoord.v1.locks_pb2 import Holder, Lock, LockMode, LockScope, Waiter
from scoord_agent.held import HeldLocks
from scoord_agent.held_lock import HeldLock
from scoord_agent.local_session import MAIN, LocalSession
from scoord_agent.reactions import Reactions
from scoord_agent.sessions import Sessions
from scoord_agent.turns import Place, Queued, Turns
from scoord_agent.waits import Waits
from support.clock import FakeClock

SHOP = ProjectId("shop")
A, B = SessionId("Session_a"), SessionId("Session_b")
OTHER = Holder(session_id="Session_far", alias="Session_9", person="bob", host="mini")


@dataclass
class House:
    """A holds auth.py with token 7; B holds nothing."""

    a: LocalSession
    b: LocalSession
    held: HeldLocks
    turns: Turns
    acknowledged: list[tuple[SessionId, list[str]]] = field(default_factory=list)
    suspected: list[SessionId] = field(default_factory=list)
    reactions: Reactions = field(init=False)

    def react(self, revision: int = 50, **event: object) -> None:
        self.reactions.react(SHOP, WatchResponse(revision=revision, **event))  # type: ignore[arg-type]  # one of the oneof

    def turns_of(self, session: SessionId, agent: str = "") -> list[str]:
        """The paths whose turn it is told of now."""
        return [turn.path for turn in self.turns.take(session, AgentId(agent), 9)]


@pytest.fixture
def house(tmp_path: Path) -> House:
    sessions, held, turns = (
        Sessions(tmp_path / "sessions.jsonl"),
        HeldLocks(20.0),
        Turns(FakeClock()),
    )
    a, b = (LocalSession(name, "claude-code", None, "/", lease=LeaseId(1)) for name in (A, B))
    sessions.add(a)
    sessions.add(b)
    held.put(HeldLock(SHOP, "auth.py", "auth.py", A, AgentId(""), FencingToken(7)))
    house = House(a, b, held, turns)
    house.reactions = Reactions(
        sessions=sessions,
        held=held,
        turns=turns,
        lapsed=house.suspected.append,
        acknowledge=lambda _project, session, ids: house.acknowledged.append((session, ids)),
        waits=Waits(lambda _session: None),
    )
    return house


def lock(token: int, holder: Holder | None = None, path: str = "auth.py") -> Lock:
    return Lock(project=SHOP, path=path, token=token, holder=holder or Holder(session_id=A))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("broken", 'Your lock on auth.py was broken by bob: "it is late".'),
        ("idle", "Your lock on auth.py was unused for too long and is given up."),
        ("lasted", "Your lock on auth.py has ended: the time it was taken for is over."),
        ("taken", "Your lock on auth.py was taken away. By whom and why is not known"),
    ],
)
def test_a_lock_that_is_taken_away_is_forgotten_and_told(house: House, how: str, said: str) -> None:
    house.react(lock_gone=LockGone(lock=lock(7), how=how, by="bob", reason="it is late"))

    assert [] == list(house.held)
    (told,) = house.a.take_notices()
    assert said in told


def test_a_lock_that_ended_with_its_lease_is_to_be_asked_for_again(house: House) -> None:
    house.react(lock_gone=LockGone(lock=lock(7), how="ended"))

    assert [] == list(house.held)
    assert [7] == [lost.token for lost in house.held.losses.of(A)]
    assert [] == house.a.take_notices(), "nobody knows yet what became of it"


def test_the_end_of_an_older_grant_changes_nothing(house: House) -> None:
    house.react(lock_gone=LockGone(lock=lock(6), how="broken"))

    assert [7] == [held.token for held in house.held]
    assert [] == house.a.take_notices()


@pytest.mark.parametrize(("how", "told"), [("broken", 1), ("ended", 0)])
def test_a_share_that_was_broken_before_its_holder_got_more_is_told(
    house: House, how: str, told: int
) -> None:
    share = HeldLock(SHOP, "b.py", "b.py", A, AgentId(""), FencingToken(8), shared=True)
    house.held.put(replace(share, ends_at=90.0))
    house.held.put(replace(share, token=FencingToken(10), shared=False))

    house.react(lock_gone=LockGone(lock=lock(8, path="b.py"), how=how, by="bob"))

    assert told == len(house.a.take_notices())
    held = [(held.token, held.ends_at) for held in house.held]
    assert [(7, 0.0), (10, 0.0 if told else 90.0)] == held, "it has more"
    assert [] == [*house.held.overtaken(), *house.held.losses.of(A)]


def test_of_a_grant_that_no_answer_told_of_its_end_is_told(house: House) -> None:
    late = lock(8, Holder(session_id=B), "late.py")

    house.react(lock_gone=LockGone(lock=late, how="broken", by="bob"))
    house.react(lock_gone=LockGone(lock=lock(9, OTHER, "far.py"), how="broken", by="bob"))

    (told,) = house.b.take_notices()
    assert "Your lock on late.py was broken by bob" in told
    assert [] == house.a.take_notices()


def test_a_grant_that_was_given_back_or_ran_out_before_its_answer_is_no_news(house: House) -> None:
    for how in ("released", "ended", "taken"):
        house.react(lock_gone=LockGone(lock=lock(8, path="late.py"), how=how))

    assert [] == house.a.take_notices()


def waiter(session: SessionId | str, path: str = "Far.py", agent: str = "") -> Waiter:
    holder = Holder(session_id=session, agent_id=agent)
    return Waiter(project=SHOP, path=path, holder=holder, place=1, has_turn=True)


def test_who_has_its_turn_is_told_and_nobody_else(house: House) -> None:
    house.react(turn=waiter(B))
    house.react(turn=waiter("Session_far", "other.py"))

    assert ["Far.py"] == house.turns_of(B)
    assert [] == house.turns_of(A)
    assert [] == house.a.take_notices()
    assert house.turns.has_come(Place(SHOP, "far.py", B, AgentId("")))


async def test_a_command_that_waits_is_woken_and_its_session_not_told(house: House) -> None:
    place = Place(SHOP, "far.py", B, AgentId(""))
    waiting = asyncio.create_task(house.turns.wait([place], 5))
    await asyncio.sleep(0)

    house.react(turn=waiter(B))

    assert await waiting
    assert [] == house.turns_of(B)


def test_a_subagents_turn_is_not_its_main_threads(house: House) -> None:
    house.react(turn=waiter(B, agent="agent-1"))

    assert [] == house.turns_of(B)
    assert ["Far.py"] == house.turns_of(B, "agent-1")


def test_a_turn_at_what_the_waiter_has_already_is_no_news(house: House) -> None:
    house.react(turn=waiter(A, "auth.py"))

    assert [] == house.turns_of(A)
    assert not house.turns.has_come(Place(SHOP, "auth.py", A, AgentId("")))


def on_branch(waiter: Waiter, branch: str) -> Waiter:
    waiter.scope, waiter.holder.branch = LockScope.LOCK_SCOPE_BRANCH, branch
    return waiter


def test_a_turn_on_one_branch_is_news_to_who_has_the_file_on_another(house: House) -> None:
    held = HeldLock(SHOP, "far.py", "Far.py", B, AgentId(""), FencingToken(8), branch="topic")
    house.held.put(held)

    house.react(turn=on_branch(waiter(B), "topic"))
    assert [] == house.turns_of(B)
    house.react(turn=on_branch(waiter(B), "main"))

    assert ["Far.py"] == house.turns_of(B)
    assert house.turns.has_come(Place(SHOP, "far.py", B, AgentId(""), "main"))
    assert not house.turns.has_come(Place(SHOP, "far.py", B, AgentId(""), "topic"))


def test_of_who_waits_on_two_branches_one_that_waits_no_more_is_not_told_of(house: House) -> None:
    for branch in ("main", "topic"):
        at = on_branch(far_waiter(), branch)
        house.react(
            waiting=Waiting(
                path=at.path,
                waiter=at.holder,
                reason=at.reason,
                holders=[Holder(session_id=A)],
                scope=at.scope,
            )
        )

    house.react(waiting_gone=on_branch(far_waiter(), "topic"))

    assert [Place(SHOP, "auth.py", SessionId("Session_far"), AgentId(""), "main")] == list(
        house.a.wanted[MAIN]
    )


def test_that_a_grant_nobody_heard_of_was_broken_is_told_beside_one_on_another_branch(
    house: House,
) -> None:
    house.held.put(
        HeldLock(SHOP, "far.py", "Far.py", B, AgentId(""), FencingToken(8), branch="topic")
    )
    gone = Lock(
        project=SHOP,
        path="Far.py",
        token=9,
        holder=Holder(session_id=B, branch="main"),
        scope=LockScope.LOCK_SCOPE_BRANCH,
    )

    house.react(lock_gone=LockGone(lock=gone, how="broken", by="carol"))

    (told,) = house.b.take_notices()
    assert "carol" in told


def test_a_turn_that_came_while_nobody_listened_is_in_the_snapshot(house: House) -> None:
    snapshot = Snapshot(locks=[lock(7)], waiters=[waiter(B), waiter("Session_far", "other.py")])

    for _ in range(2):
        house.react(snapshot=snapshot)

    assert 1 == len(house.turns_of(B))
    house.react(snapshot=snapshot)
    assert [] == house.turns_of(B), "it was told once"


def test_the_holder_is_told_who_waits_for_it(house: House) -> None:
    holders = [Holder(session_id=A), Holder(session_id=A, agent_id="agent-1")]
    house.react(waiting=Waiting(path="Auth.py", waiter=OTHER, reason="fix", holders=holders))

    assert ['Session_9 (bob@mini) waits for Auth.py, which you hold: "fix".'] == (
        house.a.take_notices()
    )
    assert [] == house.b.take_notices()


def far_waiter(path: str = "Auth.py", branch: str = "") -> Waiter:
    confined = LockScope.LOCK_SCOPE_BRANCH if branch else LockScope.LOCK_SCOPE_REPOSITORY
    holder = Holder(
        session_id="Session_far", alias="Session_9", person="bob", host="mini", branch=branch
    )
    return Waiter(project=SHOP, path=path, holder=holder, reason="fix", place=1, scope=confined)


def test_a_holder_is_told_who_began_to_wait_while_nobody_listened(house: House) -> None:
    snapshot = Snapshot(locks=[lock(7)], waiters=[far_waiter()])

    for _ in range(2):
        house.react(snapshot=snapshot)

    assert ['Session_9 (bob@mini) waits for Auth.py, which you hold: "fix".'] == (
        house.a.take_notices()
    )
    house.react(snapshot=snapshot)
    assert [] == house.a.take_notices(), "it was told of that place"


def test_of_a_place_that_was_told_when_it_was_taken_nothing_is_told_again(house: House) -> None:
    holders = [Holder(session_id=A)]
    house.react(waiting=Waiting(path="auth.py", waiter=OTHER, reason="fix", holders=holders))
    house.a.take_notices()

    house.react(snapshot=Snapshot(locks=[lock(7)], waiters=[far_waiter()]))
    assert [] == house.a.take_notices()

    house.react(waiting=Waiting(path="auth.py", waiter=OTHER, reason="fix", holders=holders))
    assert 1 == len(house.a.take_notices()), "it has left, and come again"


def test_a_holder_of_a_pattern_is_told_and_one_on_another_branch_is_not(house: House) -> None:
    own, confined_to = Holder(session_id=A, branch="main"), LockScope.LOCK_SCOPE_BRANCH
    pattern = Lock(project=SHOP, path="src/**", is_pattern=True, token=7, holder=own)
    of_branch = Lock(project=SHOP, path="b.py", token=8, holder=own, scope=confined_to)
    waiters = [far_waiter("src/a.py"), far_waiter("b.py", branch="feature")]

    house.react(snapshot=Snapshot(locks=[pattern, of_branch], waiters=waiters))

    (told,) = house.a.take_notices()
    assert "waits for src/a.py" in told


def test_a_holder_is_not_told_of_one_that_does_not_wait_any_more(house: House) -> None:
    other = Holder(session_id="Session_else", alias="Session_8", person="carol", host="air")

    def ask() -> None:
        for waits in (OTHER, other):
            holders = [Holder(session_id=A)]
            house.react(waiting=Waiting(path="Auth.py", waiter=waits, holders=holders))

    ask()
    house.react(waiting_gone=far_waiter())
    assert ["Session_8 (carol@air) waits for Auth.py, which you hold."] == house.a.take_notices()

    ask()
    house.react(session_gone=SessionGone(session_id="Session_else"))
    assert ["Session_9 (bob@mini) waits for Auth.py, which you hold."] == house.a.take_notices()

    ask()
    house.react(snapshot=Snapshot(locks=[lock(7)]))
    assert [] == house.a.take_notices(), "they gave up while nobody listened"


def test_nobody_is_told_that_he_waits_for_himself(house: House) -> None:
    own = Holder(session_id=A)
    house.react(waiting=Waiting(path="auth.py", waiter=own, holders=[own]))

    assert [] == house.a.take_notices()


def test_what_lies_in_an_inbox_is_told_once_and_acknowledged_until_it_is_gone(
    house: House,
) -> None:
    notice = Notice(
        notice_id="n1", session_id=A, kind="overlap", path="auth.py", sender=OTHER, text="fix"
    )
    for _ in range(2):
        house.react(notice=notice)
    house.react(snapshot=Snapshot(locks=[lock(7)], notices=[notice]))

    assert ['⚠️ Session_9 (bob@mini) edits auth.py too, which you hold: "fix".'] == (
        house.a.take_notices()
    )
    assert 3 * [(A, ["n1"])] == house.acknowledged, "one of them may have been lost"


def test_a_large_inbox_is_emptied_in_as_many_commands_as_it_takes(house: House) -> None:
    ids = [f"n{number}" for number in range(2 * MOST_NOTICES + 1)]
    notices = [Notice(notice_id=one, session_id=A, kind="message", text=one) for one in ids]
    house.react(snapshot=Snapshot(locks=[lock(7)], notices=notices))

    commands = [told for _, told in house.acknowledged]
    assert [MOST_NOTICES, MOST_NOTICES, 1] == [len(told) for told in commands]
    assert ids == [one for told in commands for one in told]


def test_of_many_messages_none_is_lost_and_who_waits_is_told_first(house: House) -> None:
    for number in range(25):
        text = f"message {number}"
        house.react(notice=Notice(notice_id=f"n{number}", session_id=A, kind="message", text=text))
    house.react(waiting=Waiting(path="auth.py", waiter=OTHER, holders=[Holder(session_id=A)]))

    told = [notice for _ in range(6) for notice in house.a.take_notices(5)]

    assert "Session_9 (bob@mini) waits for auth.py, which you hold." == told[0]
    assert [f'Someone says: "message {number}"' for number in range(25)] == told[1:]


def confined(token: int, branch: str, path: str = "far.py") -> Lock:
    holder = Holder(session_id="Session_far", alias="Session_9", branch=branch)
    scope = LockScope.LOCK_SCOPE_BRANCH
    return Lock(project=SHOP, path=path, token=token, holder=holder, scope=scope)


def test_a_lock_on_another_branch_is_told_once_for_each_pair_and_file(house: House) -> None:
    for name in ("far.py", "other.py"):
        mine = HeldLock(SHOP, name, name, B, AgentId(""), FencingToken(8), branch="main")
        house.held.put(mine)

    for token in (9, 10):
        house.react(lock=confined(token, "feature"))
    house.react(lock=confined(11, "main", "other.py"))

    (told,) = house.b.take_notices()
    assert "edits far.py too, on another branch than yours (main)" in told
    house.react(lock=confined(12, "feature", "other.py"))
    assert 1 == len(house.b.take_notices())


def test_after_an_outage_what_the_snapshot_does_not_know_is_lost(house: House) -> None:
    house.held.put(HeldLock(SHOP, "kept.py", "kept.py", A, AgentId(""), FencingToken(8)))
    house.held.put(HeldLock(SHOP, "newer.py", "newer.py", A, AgentId(""), FencingToken(51)))
    other = ProjectId("library")
    house.held.put(HeldLock(other, "auth.py", "auth.py", A, AgentId(""), FencingToken(9)))

    house.react(snapshot=Snapshot(locks=[lock(8, path="Kept.py"), lock(40, OTHER)]))

    found = {(held.project, held.key) for held in house.held}
    assert {(SHOP, "kept.py"), (SHOP, "newer.py"), (other, "auth.py")} == found
    assert [7] == [lost.token for lost in house.held.losses.of(A)]


def test_what_was_heard_of_and_is_not_in_an_earlier_snapshot_is_to_be_asked_for(
    house: House,
) -> None:
    granted = HeldLock(SHOP, "heard.py", "heard.py", A, AgentId(""), FencingToken(60))
    house.held.put(granted)
    house.held.put(replace(granted, key="newer.py", token=FencingToken(62)))
    house.held.put(replace(granted, key="shared.py", token=FencingToken(59), shared=True))
    house.react(61, progress=Progress())

    house.react(50, snapshot=Snapshot(locks=[lock(7)]))

    # A replica that lags behind shows it, too: of the others the store cannot be asked.
    assert ["heard.py"] == [lost.key for lost in house.held.losses.of(A)]
    assert {"auth.py", "newer.py", "shared.py"} == {held.key for held in house.held}


def test_the_stream_makes_a_session_suspect_and_not_dead(house: House) -> None:
    house.react(session_gone=SessionGone(session_id=A))
    house.react(session_gone=SessionGone(session_id="Session_far"))
    house.b.lapse()
    house.react(session_gone=SessionGone(session_id=B))

    assert [A] == house.suspected
    assert house.a.registered
    assert [7] == [held.token for held in house.held]


def test_a_lock_that_another_session_here_has_by_now_is_still_told_of(house: House) -> None:
    house.held.put(HeldLock(SHOP, "auth.py", "auth.py", B, AgentId(""), FencingToken(9)))

    house.react(lock_gone=LockGone(lock=lock(7), how="broken", by="bob"))

    (told,) = house.a.take_notices()
    assert "was broken by bob" in told
    assert [] == house.b.take_notices()
    assert [9] == [held.token for held in house.held]


def test_what_another_session_here_has_by_now_is_to_be_asked_for_again(
    house: House,
) -> None:
    house.held.put(HeldLock(SHOP, "auth.py", "auth.py", B, AgentId(""), FencingToken(9)))

    house.react(snapshot=Snapshot(locks=[lock(9, Holder(session_id=B))]))

    assert [7] == [lost.token for lost in house.held.losses.of(A)]
    assert [9] == [held.token for held in house.held]


def test_a_turn_to_share_is_known_as_one(house: House) -> None:
    waiter = Waiter(path="x.py", holder=Holder(session_id=B), mode=LockMode.LOCK_MODE_SHARED)

    house.react(turn=waiter)

    assert [True] == [turn.shared for turn in house.turns.take(B, AgentId(""), 9)]


def asks(house: House, *holders: Holder, waiter: Holder = OTHER, more: int = 0) -> None:
    again = Waiting(path="auth.py", waiter=waiter, holders=holders, more=more, again=True)
    house.react(waiting=again)


def test_who_gets_what_others_wait_for_is_told_once_with_how_many_there_are(house: House) -> None:
    asks(house, Holder(session_id=A))
    house.a.take_notices()

    for _ in range(2):
        asks(house, Holder(session_id=B))
        asks(house, Holder(session_id=B), waiter=Holder(session_id="Session_x"), more=8)

    told = "Session_9 (bob@mini) waits for auth.py, which you hold. 9 more wait for it."
    assert [told] == house.b.take_notices()
    asks(house, Holder(session_id=B), Holder(session_id=A))
    assert [] == [*house.a.take_notices(), *house.b.take_notices()]


def test_a_subagent_is_told_who_waits_for_what_it_holds(house: House) -> None:
    house.a.hear(AgentId("agent-1"))
    asks(house, Holder(session_id=A, agent_id="agent-1"))

    assert [] == house.a.take_notices()
    assert ["Session_9 (bob@mini) waits for auth.py, which you hold."] == (
        house.a.take_wanted(5, AgentId("agent-1"))
    )


def test_a_subagent_is_told_although_its_main_thread_was_for_an_ended_one_of_its_name(
    house: House,
) -> None:
    holder, told = Holder(session_id=A, agent_id="agent-1"), "waits for auth.py, which you hold."
    asks(house, holder)
    assert told in house.a.take_notices()[0]

    house.a.hear(AgentId("agent-1"))
    asks(house, holder)

    assert told in house.a.take_wanted(5, AgentId("agent-1"))[0]


@pytest.mark.parametrize(
    ("waits", "said"), [("", "The main thread"), ("agent-2", "Another subagent")]
)
def test_a_subagent_is_told_that_its_own_session_waits(house: House, waits: str, said: str) -> None:
    house.a.hear(AgentId("agent-1"))
    own = Holder(session_id=A, agent_id=waits)
    asks(house, Holder(session_id=A, agent_id="agent-1"), waiter=own)

    assert [f"{said} of this session waits for auth.py, which you hold."] == (
        house.a.take_wanted(5, AgentId("agent-1"))
    )
    assert [] == house.a.take_notices()


def test_a_place_that_the_agent_before_us_was_given_is_left_with_its_holder(house: House) -> None:
    own = Waiter(path="Far.py", holder=Holder(session_id=B, agent_id="a"), place=1, revision=44)
    had = Waiter(path="auth.py", holder=Holder(session_id=A), place=1, revision=45)

    house.react(snapshot=Snapshot(locks=[lock(7)], waiters=[own, had, far_waiter()]))

    place = Place(SHOP, "far.py", B, AgentId("a"))
    assert {place: Queued("Far.py", 44)} == house.turns.leave(lambda _: True)
