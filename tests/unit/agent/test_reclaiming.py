"""What becomes of locks that were lost with their lease."""

from dataclasses import replace

import pytest

from scoord.claimant import Claimant
from scoord.ids import AgentId, FencingToken
from scoord.v1.locks_pb2 import Holder, LockMode, LockScope, Lost, ReadTraceResponse
from scoord_agent import wording_losses
from scoord_agent.coordinator import seconds
from scoord_agent.held_lock import HeldLock
from scoord_hooks.neutral import Verdict
from support.house import SHOP, A, House, settle, until
from support.scripted_coordinator import Fate

BOB = Holder(session_id="Session_b", alias="Session_2", person="bob", host="mbp")
BROKEN = ReadTraceResponse(how="broken", by="bob", reason="urgent")


async def lapsed(house: House, *files: str) -> None:
    """The session held ``files``, and its lease ran out."""
    for file in files or ("a.py",):
        await house.edit(file)
    house.coordinator.expire(house.session.lease)
    house.registration.lapse(house.session)


async def missed(house: House) -> None:
    """The session held a file, and after an outage nobody confirms that it does."""
    await house.edit()
    (held,) = house.held.at(SHOP, "a.py")
    house.held.lose(held)


async def come_back(house: House) -> None:
    """The session is registered anew, and all it lost is asked for."""
    settings = house.settings.at(house.root)
    await house.registration.enter(house.session, SHOP, settings)
    house.reclaiming.begin(house.session)
    await until(lambda: not house.held.losses.of(A))
    await settle()


def b_py(
    *, shared: bool = False, branch: str = "", is_pattern: bool = False, ends_at: float = 0.0
) -> HeldLock:
    return HeldLock(
        project=SHOP,
        key="b.py",
        shown="B.py",
        session=A,
        agent=AgentId(""),
        token=FencingToken(5),
        shared=shared,
        branch=branch,
        is_pattern=is_pattern,
        ends_at=ends_at,
    )


async def test_what_nobody_else_was_granted_is_held_again_and_nothing_is_said(
    house: House,
) -> None:
    await lapsed(house, "a.py", "b.py")
    await come_back(house)

    assert house.agrees("a.py")
    assert house.agrees("b.py")
    assert ["a.py", "b.py"] == [request.lost.path for request in house.coordinator.reclaims]
    assert [] == house.session.take_notices()


async def test_it_is_asked_for_by_the_token_it_had(house: House) -> None:
    await house.edit()
    held = house.holds()
    assert held is not None
    house.coordinator.expire(house.session.lease)
    house.registration.lapse(house.session)
    assert house.holds() is None
    await come_back(house)

    (request,) = house.coordinator.reclaims
    assert (held.token, house.session.lease) == (request.lost.token, request.lease_id)


@pytest.mark.parametrize(("given", "told"), [("the login", "the login"), ("", "go on")])
async def test_it_is_asked_for_with_the_reason_that_was_given(
    house: House, given: str, told: str
) -> None:
    house.session.intent = "go on"
    await house.edit()
    held = house.holds()
    assert held is not None
    house.held.put(replace(held, reason=given))
    house.coordinator.expire(house.session.lease)
    house.registration.lapse(house.session)

    await come_back(house)

    (request,) = house.coordinator.reclaims
    assert told == request.reason


async def test_it_is_said_for_how_long_the_lease_was_not_renewed(house: House) -> None:
    await house.edit("a.py")
    house.clock.advance(3600.0)
    house.coordinator.expire(house.session.lease)
    house.registration.lapse(house.session)
    house.clock.advance(10.0)
    await come_back(house)

    (request,) = house.coordinator.reclaims
    assert 3610.0 == request.away.ToMilliseconds() / 1000


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (
            Lost(holder=BOB, how="granted", since=seconds(180)),
            "; Session_2 (bob@mbp) has had it for 3 min: read the file again before you edit it.",
        ),
        (
            Lost(holder=BOB, how="released", since=seconds(180)),
            "; Session_2 (bob@mbp) had it 3 min ago: read the file again before you edit it.",
        ),
        (
            Lost(holder=BOB, how="waiting", since=seconds(180)),
            "; it is kept for Session_2 (bob@mbp), who has waited for 3 min: read the file again",
        ),
        (Lost(), "; nobody knows who has had it since: read the file again before you edit it."),
        (
            Lost(holder=Holder(session_id=A, agent_id="x"), how="granted"),
            "; another thread of this session (subagent x) has had it for 0 s: read",
        ),
        (
            Lost(holder=Holder(session_id=A), how="broken", by="bob", reason="urgent"),
            'Your lock on a.py was broken by bob: "urgent". Read the file again',
        ),
        (Lost(holder=Holder(session_id=A), how="idle"), "was unused for too long"),
        (Lost(holder=Holder(session_id=A), how="lasted"), "Your lock on a.py has ended"),
    ],
)
async def test_what_another_was_granted_is_told(house: House, last: Lost, said: str) -> None:
    await lapsed(house)
    house.coordinator.last["a.py"] = last
    await come_back(house)

    (told,) = house.session.take_notices()
    assert said in told
    assert house.holds() is None


async def test_what_was_given_back_is_not_spoken_of(house: House) -> None:
    await lapsed(house)
    house.coordinator.last["a.py"] = Lost(holder=Holder(session_id=A), how="released")
    await come_back(house)

    assert [] == house.session.take_notices()
    assert house.holds() is None


async def test_a_later_grant_of_ours_does_not_tell_who_had_it_before_that(house: House) -> None:
    await lapsed(house)
    house.coordinator.last["a.py"] = Lost(holder=Holder(session_id=A), how="granted")
    await come_back(house)

    (told,) = house.session.take_notices()
    assert "a.py was lost for a while and is yours again" in told
    assert house.holds()
    assert house.agrees()


async def test_what_was_broken_before_a_later_grant_is_not_asked_for(house: House) -> None:
    await lapsed(house)
    house.coordinator.acquires.clear()
    house.coordinator.last["a.py"] = Lost(holder=Holder(session_id=A), how="granted")
    house.coordinator.ends["a.py"] = BROKEN
    await come_back(house)

    assert [] == house.coordinator.acquires
    assert ["was broken by bob" in told for told in house.session.take_notices()] == [True]


async def test_what_was_taken_away_and_had_again_by_a_later_grant_is_told(house: House) -> None:
    await house.edit()
    (held,) = house.held.at(SHOP, "a.py")
    later = replace(held, token=FencingToken(held.token + 7))
    house.held.put(later)
    house.held.lose(held)
    house.coordinator.last["a.py"] = Lost(holder=Holder(session_id=A), how="granted")
    await come_back(house)

    assert [wording_losses.had_again("a.py")] == house.session.take_notices()
    assert [later] == house.held.at(SHOP, "a.py")


@pytest.mark.parametrize(
    ("end", "told"),
    [(BROKEN, "was broken by bob"), (ReadTraceResponse(), "was taken away")],
)
async def test_what_was_taken_away_before_a_later_grant_of_ours_is_not_asked_for(
    house: House, end: ReadTraceResponse, told: str
) -> None:
    await missed(house)
    house.coordinator.acquires.clear()
    house.coordinator.last["a.py"] = Lost(holder=Holder(session_id=A), how="granted")
    house.coordinator.ends["a.py"] = end
    await come_back(house)

    assert [] == house.coordinator.acquires
    assert [told in notice for notice in house.session.take_notices()] == [True]


async def test_the_release_of_another_grant_does_not_tell_who_had_it_before_that(
    house: House,
) -> None:
    await lapsed(house)
    last = Lost(holder=Holder(session_id=A), how="released", token=1_000)
    house.coordinator.last["a.py"] = last
    await come_back(house)

    (told,) = house.session.take_notices()
    assert "others may have had it since" in told


async def test_a_reclaim_that_was_not_answered_is_sent_again_under_its_name(house: House) -> None:
    await lapsed(house)
    house.coordinator.fates.append(Fate.UNREACHABLE)
    settings = house.settings.at(house.root)
    await house.registration.enter(house.session, SHOP, settings)
    for _ in range(2):
        house.reclaiming.begin(house.session)
        await settle()

    first, second = house.coordinator.reclaims
    assert first.request_id == second.request_id


async def test_an_edit_finds_out_before_it_is_decided(house: House) -> None:
    await lapsed(house)
    house.coordinator.last["a.py"] = Lost(holder=BOB, how="released", since=seconds(180))

    assert (await house.edit()).verdict is not Verdict.DENY

    (told,) = house.session.take_notices()
    assert "Session_2 (bob@mbp) had it 3 min ago" in told
    assert house.agrees()


async def test_an_edit_does_not_ask_for_what_it_does_not_touch(house: House) -> None:
    await lapsed(house, "a.py", "b.py")
    await house.edit("a.py")

    assert ["a.py"] == [request.lost.path for request in house.coordinator.reclaims]
    assert ["b.py"] == [lost.key for lost in house.held.losses.of(A)]


async def test_an_edit_whose_reclaim_is_not_answered_is_not_decided_by_an_acquire(
    house: House,
) -> None:
    house.block()
    await lapsed(house)
    house.coordinator.fates.append(Fate.UNREACHABLE)
    asked = len(house.coordinator.acquires)

    assert (await house.edit()).verdict is Verdict.DENY

    assert asked == len(house.coordinator.acquires)
    assert ["a.py"] == [lost.key for lost in house.held.losses.of(A)]
    assert (await house.edit()).verdict is not Verdict.DENY
    assert house.agrees()


async def test_an_edit_waits_for_the_reclaim_that_is_under_way(house: House) -> None:
    await lapsed(house)
    settings = house.settings.at(house.root)
    await house.registration.enter(house.session, SHOP, settings)
    house.reclaiming.begin(house.session)
    await house.edit()

    assert 1 == len(house.coordinator.reclaims)
    assert house.agrees()


async def test_a_lease_that_ends_on_the_way_is_asked_for_on_the_next(house: House) -> None:
    await lapsed(house)
    await house.registration.enter(house.session, SHOP, house.settings.at(house.root))
    house.coordinator.expire(house.session.lease)

    assert (await house.edit()).verdict is not Verdict.DENY
    assert 2 == len(house.coordinator.reclaims)
    assert house.agrees()


async def test_a_grant_that_the_stream_saw_end_is_not_believed_in(house: House) -> None:
    await lapsed(house)
    house.stream.revision(1_000)
    settings = house.settings.at(house.root)
    await house.registration.enter(house.session, SHOP, settings)
    house.reclaiming.begin(house.session)
    await until(lambda: house.coordinator.reclaims)
    await settle()

    assert house.holds() is None
    (lost,) = house.held.losses.of(A)
    assert lost.token == house.coordinator.locks["a.py"].token


async def test_a_share_is_asked_for_anew_and_may_have_changed(house: House) -> None:
    await lapsed(house)
    house.held.losses.settle(*house.held.losses.of(A))
    house.held.put(b_py(shared=True, branch="main", ends_at=house.clock.now() + 90))
    house.held.lapse(A)
    house.clock.advance(30)
    await come_back(house)

    request = house.coordinator.acquires[-1]
    assert (["B.py"], LockMode.LOCK_MODE_SHARED) == (list(request.paths), request.mode)
    assert (LockScope.LOCK_SCOPE_BRANCH, "main") == (request.scope, request.branch)
    assert 60 == request.lasts.seconds, "what remains"
    assert [wording_losses.shared_again("B.py")] == house.session.take_notices()
    assert house.holds("b.py") is not None


async def test_what_was_lost_on_a_branch_is_asked_for_on_that_whatever_is_checked_out(
    house: House,
) -> None:
    house.session.branch = "topic"
    await lapsed(house)
    house.held.losses.settle(*house.held.losses.of(A))
    house.held.put(b_py(branch="main"))
    house.held.lapse(A)
    await come_back(house)

    (request,) = house.coordinator.reclaims
    assert (LockScope.LOCK_SCOPE_BRANCH, "main") == (request.scope, request.branch)
    assert "main" == house.held.at(SHOP, "b.py")[0].branch


async def test_a_share_that_its_holder_made_a_lock_of_is_not_held_again(house: House) -> None:
    await lapsed(house)
    house.held.losses.settle(*house.held.losses.of(A))
    house.held.put(b_py(shared=True))
    house.held.lapse(A)
    await house.registration.enter(house.session, SHOP, house.settings.at(house.root))
    # The stream told of its end before the answer came that gave more.
    house.held.put(replace(b_py(), token=FencingToken(1_000)))
    await come_back(house)

    held = house.holds("b.py")
    assert held is not None
    assert not held.shared
    assert [] == house.session.take_notices()


async def test_a_share_that_another_keeps_from_us_is_lost(house: House) -> None:
    await lapsed(house)
    house.held.losses.settle(*house.held.losses.of(A))
    house.held.put(b_py(shared=True))
    house.held.lapse(A)
    house.coordinator.hold("B.py", "Session_far")
    await come_back(house)

    (told,) = house.session.take_notices()
    assert "Your lock on B.py was lost" in told
    assert "Session_9 (bob@mini) has had it for" in told


async def test_a_pattern_is_asked_for_anew(house: House) -> None:
    await lapsed(house)
    house.held.losses.settle(*house.held.losses.of(A))
    house.held.put(b_py(is_pattern=True))
    house.held.lapse(A)
    await come_back(house)

    assert ["B.py"] == [request.pattern for request in house.coordinator.reservations]
    (told,) = house.session.take_notices()
    assert "may have been edited meanwhile" in told


async def test_a_session_that_ended_wants_nothing_again(house: House) -> None:
    await lapsed(house)
    await house.registration.end(house.session, "it ended")

    assert [] == house.held.losses.of(A)


async def test_a_lock_that_went_before_the_session_was_known_to_have_gone_is_found_out(
    house: House,
) -> None:
    await missed(house)
    house.coordinator.locks.clear()

    assert (await house.edit()).verdict is not Verdict.DENY
    assert 1 == len(house.coordinator.reclaims)
    assert house.held.use(SHOP, "a.py", Claimant(A, AgentId("")), house.clock.now())


async def test_what_was_broken_while_nothing_was_heard_is_found_out_by_the_live_session(
    house: House,
) -> None:
    await missed(house)
    house.coordinator.locks.clear()
    house.coordinator.last["a.py"] = Lost(holder=Holder(session_id=A), how="broken")
    house.reclaiming.begin(house.session)
    await until(lambda: house.session.losses)

    (told,) = house.session.take_notices()
    assert "was broken by someone" in told
    assert "Read the file again" in told
    assert [] == house.held.losses.of(A)


async def taken_away(house: House, lock: HeldLock, end: ReadTraceResponse | None = None) -> None:
    """It is missing from what is heard after an outage; the session's lease stood."""
    settings = house.settings.at(house.root)
    await house.registration.enter(house.session, SHOP, settings)
    house.held.put(lock)
    house.held.lose(lock)
    if end:
        house.coordinator.ends["b.py"] = end
    await come_back(house)


def asked_for(house: House) -> list[object]:
    """All that was asked for."""
    coordinator = house.coordinator
    return [*coordinator.acquires, *coordinator.reservations, *coordinator.reclaims]


@pytest.mark.parametrize("lock", [b_py(shared=True), b_py(is_pattern=True)])
async def test_what_was_taken_away_while_the_lease_stood_is_not_asked_for(
    house: House, lock: HeldLock
) -> None:
    await taken_away(house, lock, BROKEN)

    assert [] == asked_for(house)
    (told,) = house.session.take_notices()
    assert 'Your lock on B.py was broken by bob: "urgent".' in told
    assert ("Read the file again" in told) == lock.shared


@pytest.mark.parametrize("lock", [b_py(shared=True), b_py(is_pattern=True)])
async def test_nor_is_it_where_nobody_wrote_down_how(house: House, lock: HeldLock) -> None:
    await taken_away(house, lock)

    assert [] == asked_for(house)
    assert [wording_losses.taken("B.py")] == house.session.take_notices()


async def test_a_share_that_became_a_grant_which_was_given_back_was_not_taken_away(
    house: House,
) -> None:
    await house.edit("b.py")
    later = replace(b_py(), token=FencingToken(9))
    await house.taking.give_back_unasked(house.session, later)
    house.held.forget(A)
    house.held.renewed(A, house.clock.now())
    house.coordinator.acquires.clear()
    await taken_away(house, b_py(shared=True))

    assert [] == asked_for(house)
    assert [wording_losses.perhaps_lost("B.py")] == house.session.take_notices()


@pytest.mark.parametrize(("end", "told"), [(BROKEN, 1), (ReadTraceResponse(), 0)])
async def test_a_share_that_may_have_been_broken_before_its_holder_got_more_is_looked_up(
    house: House, end: ReadTraceResponse, told: int
) -> None:
    await house.registration.enter(house.session, SHOP, house.settings.at(house.root))
    share = b_py(shared=True, ends_at=900.0)
    house.held.put(share)
    house.held.put(replace(b_py(), token=FencingToken(9)))
    house.held.lose(share)
    house.coordinator.ends["b.py"] = end
    await come_back(house)

    assert told == len(house.session.take_notices())
    assert [] == asked_for(house)
    (now,) = house.held.at(SHOP, "b.py")
    assert (9, 0.0 if end.how else 900.0) == (now.token, now.ends_at)


@pytest.mark.parametrize("has_had_its_time", [False, True])
async def test_a_share_that_became_a_grant_whose_answer_is_on_its_way_is_no_loss(
    house: House, *, has_had_its_time: bool
) -> None:
    await house.registration.enter(house.session, SHOP, house.settings.at(house.root))
    share = replace(b_py(shared=True), ends_at=house.clock.now() if has_had_its_time else 0.0)
    house.held.put(share)
    house.held.lose(share)
    house.coordinator.ends["b.py"] = ReadTraceResponse(became_more=True)
    await come_back(house)

    assert [] == [*house.session.take_notices(), *asked_for(house), *house.held.losses]


@pytest.mark.parametrize("covered", [False, True])
async def test_what_others_had_before_its_holder_got_more_is_told_though_no_trace_tells_how(
    house: House, *, covered: bool
) -> None:
    await house.registration.enter(house.session, SHOP, house.settings.at(house.root))
    on_main = b_py(branch="main")
    house.held.put(on_main)
    house.held.put(replace(b_py(), token=FencingToken(9)))
    house.held.lose(on_main)
    house.coordinator.ends["b.py"] = ReadTraceResponse(covered=covered)
    await come_back(house)

    assert [wording_losses.had_again("B.py")] * covered == house.session.take_notices()
    assert [] == asked_for(house)


async def test_what_has_not_ended_at_all_is_held_on(house: House) -> None:
    await taken_away(house, b_py(shared=True), ReadTraceResponse(stands=True))

    assert [] == asked_for(house)
    assert [] == house.session.take_notices()
    held = house.holds("b.py")
    assert held is not None
    assert 5 == held.token


async def test_what_was_given_back_is_not_asked_for_either(house: House) -> None:
    await taken_away(house, b_py(shared=True), ReadTraceResponse(how="released"))

    assert [] == asked_for(house)
    assert [] == house.session.take_notices()


@pytest.mark.parametrize("lock", [b_py(shared=True), b_py(is_pattern=True)])
async def test_what_was_taken_away_before_the_lease_ran_out_is_not_asked_for(
    house: House, lock: HeldLock
) -> None:
    await lapsed(house)
    house.held.losses.settle(*house.held.losses.of(A))
    house.coordinator.acquires.clear()
    house.held.put(lock)
    house.held.lose(lock)
    house.held.lapse(A)
    house.coordinator.ends["b.py"] = BROKEN
    await come_back(house)

    assert [] == asked_for(house)
    assert "was broken by bob" in house.session.take_notices()[0]


@pytest.mark.parametrize("lock", [b_py(), b_py(shared=True), b_py(is_pattern=True)])
async def test_what_has_had_its_time_is_not_asked_for(house: House, lock: HeldLock) -> None:
    await lapsed(house)
    house.held.losses.settle(*house.held.losses.of(A))
    house.coordinator.acquires.clear()
    house.held.put(replace(lock, ends_at=house.clock.now() + 3))
    house.held.lapse(A)
    house.clock.advance(3)
    await come_back(house)

    assert [] == asked_for(house)
    assert [wording_losses.lasted("B.py")] == house.session.take_notices()


async def test_what_was_broken_before_it_had_its_time_is_told_as_that(house: House) -> None:
    lock = replace(b_py(), ends_at=house.clock.now())
    await taken_away(house, lock, BROKEN)

    assert "was broken by bob" in house.session.take_notices()[0]


async def test_a_lost_file_is_asked_for_as_long_as_remains(house: House) -> None:
    await lapsed(house)
    house.held.losses.settle(*house.held.losses.of(A))
    house.held.put(b_py(ends_at=house.clock.now() + 90))
    house.held.lapse(A)
    house.clock.advance(30)
    await come_back(house)

    (request,) = house.coordinator.reclaims
    assert 60 == request.lasts.seconds


async def test_a_pattern_that_the_stream_saw_end_is_not_believed_in(house: House) -> None:
    await lapsed(house)
    house.held.losses.settle(*house.held.losses.of(A))
    house.held.put(b_py(is_pattern=True))
    house.held.lapse(A)
    house.stream.revision(1_000)
    settings = house.settings.at(house.root)
    await house.registration.enter(house.session, SHOP, settings)
    house.reclaiming.begin(house.session)
    await until(lambda: house.coordinator.reservations)
    await settle()
    await come_back(house)

    assert wording_losses.taken("B.py") in house.session.take_notices()
    assert house.held.find(SHOP, "b.py", Claimant(A, AgentId("")), is_pattern=True) is None
    assert 1 == len(house.coordinator.reservations)
