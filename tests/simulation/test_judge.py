"""What the simulation judges by is right itself, where it once was not."""

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from scoord.claimant import Claimant
from scoord.ids import AgentId, SessionId
from scoord.v1.locks_pb2 import (
    AcquireRequest,
    AcquireResponse,
    Conflict,
    Held,
    LockMode,
)
from scoord_hooks.neutral import Decision, EventKind, HookEvent, Verdict
from scoord_server.store.keyspace import Change
from support.clock import FakeClock
from support.simulation import outcomes
from support.simulation.alarms import Alarms
from support.simulation.beliefs import Loss, _met_others
from support.simulation.calm import _has_gone
from support.simulation.history import History
from support.simulation.loop import HostClock, Process
from support.simulation.machine import Agent, Hook
from support.simulation.minds import Known
from support.simulation.network import Exchange
from support.simulation.people import Told
from support.simulation.projects import PROJECT
from support.simulation.reliance import Overtaken
from support.simulation.slips import Denied, Reported, Slip, _may_be_earlier
from support.simulation.truth import Grant

MAIN, SUBAGENT = AgentId(""), AgentId("a1")
ANN, BOB = SessionId("Session_ann"), SessionId("Session_bob")


def grant(history: History, token: int, who: Claimant, how: str = "") -> Grant:
    new = Grant(b"", "src/file.py", token, who, 1, is_pattern=False, request="", since_s=1.0)
    new.how = how
    history.truth.grants[token] = [new]
    return new


def test_a_share_that_comes_back_is_not_what_was_taken_from_a_subagent_beside_it() -> None:
    history = History(0)
    taken = grant(history, 7, Claimant(ANN, SUBAGENT), "idle")
    grant(history, 9, Claimant(ANN, MAIN, shared=True))

    assert not history._calm()._came_back(taken)


def test_what_was_taken_away_and_is_its_holders_again_unasked_came_back() -> None:
    history = History(0)
    taken = grant(history, 7, Claimant(ANN, SUBAGENT), "idle")
    grant(history, 9, Claimant(ANN, SUBAGENT))

    assert history._calm()._came_back(taken)


def test_what_was_taken_away_and_asked_for_again_did_not_come_back_though_it_passed_on() -> None:
    history = History(0)
    taken = grant(history, 7, Claimant(ANN, MAIN), "broken")
    asked = grant(history, 9, Claimant(ANN, MAIN))
    asked.request = "asked"
    history.beliefs.wishes.wanted.add("asked")
    asked.who = Claimant(ANN, SUBAGENT)
    grant(history, 11, Claimant(ANN, MAIN))

    assert not history._calm()._came_back(taken)


def test_what_passed_on_to_a_subagent_it_asked_for_itself() -> None:
    history = History(0)
    taken = grant(history, 7, Claimant(ANN, SUBAGENT), "broken")
    back = grant(history, 9, Claimant(ANN, MAIN))
    back.who = taken.who

    assert not history._calm()._came_back(taken)


@dataclass(frozen=True)
class Lost:
    """A history in which a grant that was asked for by an edit is broken."""

    history: History
    grant: Grant
    who: Claimant
    """Who has it, as its agent knows."""

    def is_no_news(self) -> bool:
        calm, person = self.history._calm(), self.history.people[0]
        return calm._is_no_news(person, self.loss)

    @property
    def loss(self) -> Loss:
        """The end of the grant, as its agent knew it."""
        return Loss(self.grant, self.history.loop.world, self.who)

    def hear(self, text: str, thread: AgentId = MAIN) -> None:
        self.history.people[0].told.append(Told(2.0, text, thread))

    def is_heard(self) -> bool:
        """Whether its loss was told to a thread whose it was."""
        calm, person = self.history._calm(), self.history.people[0]
        person.subagents[SUBAGENT] = None
        return calm._is_heard(person, self.loss)

    def edit(self, thread: AgentId) -> None:
        """An edit of a thread was allowed by it."""
        self.history.beliefs.wishes.rely(self.grant.path, self.grant.token, thread)


def lost(verdict: Verdict) -> Lost:
    history = History(0)
    broken = asked(history, 7, Claimant(ANN, MAIN), verdict)
    broken.how = "broken"
    return Lost(history, broken, broken.who)


def asked(history: History, token: int, who: Claimant, verdict: Verdict) -> Grant:
    new = grant(history, token, who)
    new.request = f"edit {token}"
    event = HookEvent("claude-code", EventKind.BEFORE_EDIT, "", "", "", paths=(new.path,))
    history.beliefs.wishes.edits[new.request] = Hook(event, 1, 0.0, Decision(verdict))
    return new


def test_who_was_refused_need_not_hear_of_the_end_of_what_it_was_granted_unheard() -> None:
    assert lost(Verdict.DENY).is_no_news()


def test_who_was_let_through_is_to_hear_of_it() -> None:
    assert not lost(Verdict.ALLOW).is_no_news()


def test_who_was_outrun_twice_and_let_through_without_it_need_not() -> None:
    outrun = lost(Verdict.ALLOW)
    hook = outrun.history.beliefs.wishes.edits[outrun.grant.request]
    hook.times_granted[outrun.grant.path] = 2

    assert outrun.is_no_news()


def test_who_asked_by_a_command_is_to_hear_of_it() -> None:
    refused = lost(Verdict.DENY)
    refused.history.beliefs.wishes.edits.clear()

    assert not refused.is_no_news()


def test_so_is_who_was_refused_and_edited_by_it_later() -> None:
    refused = lost(Verdict.DENY)
    refused.edit(MAIN)

    assert not refused.is_no_news()


@pytest.mark.parametrize(
    "text",
    ["Your lock on src/file.py was lost and is yours again.", "edits src/file.py, which you hold"],
)
def test_so_is_who_was_told_that_it_has_it(text: str) -> None:
    refused = lost(Verdict.DENY)
    refused.hear(text)

    assert not refused.is_no_news()


def test_a_loss_is_mended_by_what_its_own_holder_knows_of() -> None:
    let_through = lost(Verdict.ALLOW)
    asked(let_through.history, 9, Claimant(ANN, MAIN), Verdict.ALLOW)

    assert let_through.is_no_news()


def test_a_loss_is_mended_for_whom_its_agent_knew_though_it_passed_on_unheard() -> None:
    let_through = lost(Verdict.ALLOW)
    let_through.grant.who = Claimant(ANN, SUBAGENT)
    asked(let_through.history, 9, Claimant(ANN, MAIN), Verdict.ALLOW)

    assert let_through.is_no_news()


@pytest.mark.parametrize("who", [Claimant(ANN, SUBAGENT), Claimant(SessionId("bob"), MAIN)])
def test_a_loss_is_not_mended_by_what_another_thread_or_session_had_before(who: Claimant) -> None:
    let_through = lost(Verdict.ALLOW)
    asked(let_through.history, 9, who, Verdict.ALLOW)
    asked(let_through.history, 11, Claimant(ANN, MAIN), Verdict.ALLOW)

    assert not let_through.is_no_news()


def test_a_loss_is_not_mended_by_what_its_holder_never_heard_of() -> None:
    let_through = lost(Verdict.ALLOW)
    asked(let_through.history, 9, Claimant(ANN, MAIN), Verdict.DENY)

    assert not let_through.is_no_news()


def passed_on(known_of: AgentId) -> Lost:
    """A main thread's lock passed to a subagent, whose agent knew the one or the other."""
    broken = lost(Verdict.ALLOW)
    broken.grant.who, broken.grant.until_s = Claimant(ANN, SUBAGENT), 1.5
    return replace(broken, who=Claimant(ANN, known_of))


TOLD = "Your lock on src/file.py was broken"


def test_who_was_refused_what_passed_to_it_need_not_hear_of_it_if_the_main_thread_does() -> None:
    refused = passed_on(SUBAGENT)
    refused.hear(TOLD)
    assert refused.is_heard()

    refused.edit(SUBAGENT)
    assert not refused.is_heard()


def test_who_edited_by_what_passed_to_it_hears_of_it_in_place_of_the_main_thread() -> None:
    late = passed_on(MAIN)
    late.hear(TOLD, SUBAGENT)
    assert not late.is_heard()

    late.edit(SUBAGENT)
    assert late.is_heard()


@pytest.mark.parametrize(
    ("text", "tells"),
    [
        ("Another thread of this session edits src/file.py too, which you hold.", True),
        (
            (
                "You edited src/file.py without the protection of a lock; another thread of this"
                " session (subagent a1) has held it for 0 s: compare before you go on."
            ),
            True,
        ),
        (
            (
                "You edited src/file.py without the protection of a lock; Session_2 held it.\n"
                "Another thread of this session waits for src/other.py."
            ),
            False,
        ),
    ],
)
def test_who_knows_that_another_thread_edits_it_need_not_hear_what_became_of_it_then(
    text: str, *, tells: bool
) -> None:
    known = passed_on(MAIN)
    known.edit(MAIN)
    known.hear(TOLD, SUBAGENT)
    assert not known.is_heard()

    known.hear(text)
    assert tells == known.is_heard()


def test_a_session_that_came_back_after_it_was_idle_is_idle_no_more() -> None:
    history = History(0)
    history.truth.idle[1] = PROJECT
    before, after = (grant(history, token, Claimant(ANN, MAIN)) for token in (7, 9))
    after.lease = 2
    change = Change(10)

    assert ["idle session", "expired"] == [history.truth._how(g, change) for g in (before, after)]


def test_what_a_subagent_had_lost_before_it_ended_is_news() -> None:
    over = passed_on(SUBAGENT)
    person = over.history.people[0]
    person.agent_ends[SUBAGENT] = over.grant.until_s + 0.5
    assert not over.is_no_news()

    person.agent_ends[SUBAGENT] = over.grant.until_s - 0.1
    assert over.is_no_news()


def test_what_an_agent_knew_long_before_it_died_is_to_be_told_by_the_next_one() -> None:
    history = History(0)
    person, clock = history.people[0], HostClock(history.loop)
    before, after = (Process(history.loop, name, clock) for name in ("before", "after"))
    person.machine.agent = Agent(after, *[cast("Any", None)] * 4)
    who = Claimant(SessionId(f"Session_ann_{person.pid}_now"), MAIN)
    loss = Loss(grant(history, 7, who), before, who)
    calm = history._calm()
    assert calm._person_of(loss) is None

    before.died_s = loss.grant.since_s + 6.0
    assert calm._person_of(loss) is person


def test_another_subagent_of_the_name_is_not_the_one_that_lost_it() -> None:
    history = History(0)
    person, lost = history.people[0], grant(history, 7, Claimant(ANN, SUBAGENT), "broken")
    lost.until_s = 5.0
    assert _has_gone(person, SUBAGENT, lost)

    person.subagents[SUBAGENT] = None
    assert not _has_gone(person, SUBAGENT, lost)

    person.agent_ends[SUBAGENT] = 6.0
    assert _has_gone(person, SUBAGENT, lost)


@pytest.mark.parametrize(("until_s", "may_be"), [(16.0, True), (17.0, False)])
def test_by_clocks_that_differ_a_lock_may_have_been_over_when_an_edit_was_made(
    until_s: float, may_be: bool
) -> None:
    """Ten seconds by the slowest clock are under seven by the fastest."""
    history = History(0)
    met = grant(history, 7, Claimant(ANN, MAIN))
    met.until_s = until_s
    slip = Slip(met.path, Claimant(BOB, MAIN), 11.0, (met,))
    report = Reported(met.path, slip.who, "unasked", 21.0, (), ())

    assert may_be == _may_be_earlier(met, slip, report)


@pytest.mark.parametrize(("at_s", "may_be"), [(12.0, False), (40.0, True)])
def test_by_clocks_that_differ_an_edit_may_have_been_before_the_end_of_its_lock(
    at_s: float, may_be: bool
) -> None:
    history = History(0)
    lost = grant(history, 7, Claimant(ANN, MAIN), "broken")
    lost.until_s = 6.0
    edit = Overtaken(lost.path, ANN, 10.0, 10.0, lost, history.loop.world)

    assert may_be == Denied(ANN, lost.path, at_s).may_be_wrong(edit)
    assert not Denied(BOB, lost.path, at_s).may_be_wrong(edit)


def test_a_hook_is_of_the_session_that_its_agent_took_it_for() -> None:
    """That has ended by the time of the answer, and another event has begun a new one."""
    history = History(0)
    event = HookEvent("claude-code", EventKind.BEFORE_EDIT, "", "a", "/", AgentId(""), ())
    hook = Hook(event, 1, 0.0, session=ANN)
    machine = history.people[0].machine
    machine.agent = Agent(history.loop.world, *[cast("Any", None)] * 4)

    assert ANN == history.beliefs.session_of(machine, hook)


def test_only_another_session_hides_that_somebody_had_the_file() -> None:
    history = History(0)
    met = grant(history, 7, Claimant(ANN, MAIN))
    report = Reported(met.path, Claimant(BOB, MAIN), "unasked", 9.0, (), ())
    grant(history, 9, Claimant(ANN, SUBAGENT))
    assert not history.slips._is_followed(met, report)

    grant(history, 11, Claimant(BOB, MAIN))
    assert history.slips._is_followed(met, report)


def test_a_break_takes_what_it_names() -> None:
    history = History(0)
    taken = grant(history, 7, Claimant(ANN, MAIN), "broken")
    taken.by = "bob-1"
    history.decrees.breaks["bob-1"] = (taken.path, 7)
    history.decrees.ended(taken)
    assert [] == history.record.violations

    history.decrees.breaks["bob-1"] = (taken.path, 5)
    history.decrees.ended(taken)
    assert ["C3"] == [found.check for found in history.record.violations]


@pytest.mark.parametrize(
    ("how", "idle_s", "lasts_s"), [("idle", 3600.0, 0.0), ("idle", 0.0, 0.0), ("lasted", 0.0, 10.0)]
)
def test_nothing_ends_before_its_time(how: str, idle_s: float, lasts_s: float) -> None:
    history = History(0)
    early = grant(history, 7, Claimant(ANN, MAIN), how)
    early.idle_s, early.lasts_s = idle_s, lasts_s
    history.decrees.ended(early)

    assert ["C3"] == [found.check for found in history.record.violations]


def test_who_ended_and_was_heard_is_to_be_told_of_what_is_granted_to_it_after_that() -> None:
    over = passed_on(SUBAGENT)
    person = over.history.people[0]
    person.agent_ends[SUBAGENT] = over.grant.since_s - 0.5
    person.agent_begins[SUBAGENT] = over.grant.since_s - 0.2
    assert not over.is_no_news()

    person.ended_unheard.add(SUBAGENT)
    assert over.is_no_news()


def test_what_comes_for_a_subagent_that_has_ended_is_for_nobody() -> None:
    history, who = History(0), Claimant(ANN, SUBAGENT)
    over = Lost(history, grant(history, 7, who, "expired"), who)
    history.people[0].agent_ends[SUBAGENT] = over.grant.since_s - 0.5
    assert over.is_no_news()

    over.edit(SUBAGENT)
    assert not over.is_no_news()


def test_an_edit_beside_others_is_excused_for_the_files_that_these_have() -> None:
    edit = Hook(HookEvent("claude-code", EventKind.BEFORE_EDIT, "", "", ""), 1, 0.0)
    edit.asked.append("held")
    edit.contested.add("theirs.py")

    assert _met_others(edit, "theirs.py")
    assert not _met_others(edit, "free.py")


@pytest.mark.parametrize(
    ("mode", "agent", "is_its"),
    [
        (LockMode.LOCK_MODE_EXCLUSIVE, SUBAGENT, True),
        (LockMode.LOCK_MODE_EXCLUSIVE, MAIN, False),
        (LockMode.LOCK_MODE_SHARED, SUBAGENT, False),
    ],
)
def test_a_file_is_anothers_by_the_answer_to_the_edit_and_not_by_that_to_a_lost_share(
    mode: LockMode.ValueType, agent: AgentId, *, is_its: bool
) -> None:
    event = HookEvent("claude-code", EventKind.BEFORE_EDIT, "", "", "", agent_id=SUBAGENT)
    request = AcquireRequest(mode=mode, agent_id=agent, paths=["file.py"])
    answer = AcquireResponse(held=Held(conflicts=[Conflict(path="file.py")]))
    process = cast("Process", SimpleNamespace(clock=FakeClock()))
    acquire = Exchange(process, "Acquire", request, 0.0, 0.0, answer)

    edit = Hook(event, 1, 0.0)

    outcomes.note(edit, acquire, belief_s=20.0)

    assert is_its == bool(edit.contested)


def test_what_is_answered_is_what_was_granted_and_as_far() -> None:
    share = grant(History(0), 7, Claimant(ANN, MAIN, shared=True, branch="main"))

    assert Known(share.path, 7, share.who).is_of(share)
    for other in (replace(share.who, shared=False), replace(share.who, branch="")):
        assert not Known(share.path, 7, other).is_of(share)


def test_what_was_replaced_became_the_last_of_what_its_session_has_in_place_of_it() -> None:
    history = History(0)
    share = grant(history, 7, Claimant(ANN, MAIN, shared=True), "replaced")
    on_main = grant(history, 9, Claimant(ANN, MAIN, branch="main"), "replaced")
    last = grant(history, 11, Claimant(ANN, SUBAGENT), "broken")
    share.until_revision, on_main.until_revision = 9, 11
    other = grant(history, 12, Claimant(SessionId("bob"), MAIN), "broken")

    assert [last, last, other] == [history.truth.became(g) for g in (share, last, other)]


@pytest.mark.parametrize(
    ("how", "until_s", "told", "is_right"),
    [
        ("broken", 5.0, "Your lock on src/File.py was broken by bob.", True),
        ("ended", 5.0, "Your locks on a.py, src/File.py are lost: the lease ran out.", True),
        ("released", 5.0, "Your lock on src/File.py was taken away.", False),
        ("broken", 7.0, "Your lock on src/File.py was broken by bob.", False),
        (
            "",
            float("inf"),
            "Your locks on src/File.py, b.py and 2 more are lost: it ran out.",
            False,
        ),
        ("released", 5.0, "Your lock on src/File.py may have been lost before that.", True),
    ],
)
def test_nobody_is_told_of_a_loss_that_was_none(
    how: str, until_s: float, told: str, *, is_right: bool
) -> None:
    history = History(0)
    person = history.people[0]
    session = SessionId(f"Session_ann_{person.pid}_now")
    grant(history, 7, Claimant(session, MAIN), how).until_s = until_s
    person.told.append(Told(6.0, told))

    Alarms(history.record, history.truth).check([person])

    about = [it for it in history.record.violations if "src/file.py" in it.what]
    assert is_right == (not about)


@pytest.mark.parametrize("agent", [MAIN, SUBAGENT])
def test_what_another_thread_of_its_session_has_in_place_of_it_is_a_loss(agent: AgentId) -> None:
    history = History(0)
    session = SessionId(f"Session_ann_{history.people[0].pid}_now")
    before = grant(history, 7, Claimant(session, MAIN), "replaced")
    before.until_revision = 9
    grant(history, 9, Claimant(session, agent))

    assert (agent == SUBAGENT) == Alarms(history.record, history.truth)._is_loss(before)
