"""Durations that come from anywhere, as every RPC takes them."""

from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from scoord.duration_limits import DEFAULT_CLAIM_S, MOST_CLAIM_S, MOST_S
from scoord.errors import InvalidRequest
from scoord.v1 import history_pb2, sessions_pb2, tasks_pb2
from scoord.v1 import locks_pb2 as pb
from scoord.v1.locks_pb2 import LockScope
from scoord_server.rpc.history import History
from scoord_server.rpc.locks import Locks
from scoord_server.rpc.messages import milliseconds
from scoord_server.rpc.sessions import Sessions
from scoord_server.rpc.tasks import Tasks
from support.coordination import PROJECT, Bench, bench

NO_CONTEXT = cast("grpc.aio.ServicerContext[Any, Any]", None)

HUGE = Duration(seconds=2**62)
TOO_LONG = Duration(seconds=MOST_S + 1)
NEGATIVE = Duration(seconds=-1)
A_LITTLE_NEGATIVE = Duration(nanos=-1)
IMPOSSIBLE = (HUGE, TOO_LONG, NEGATIVE, A_LITTLE_NEGATIVE)


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench() as made:
        await made.session("a")
        await made.session("b")
        yield made


def _asks(b: Bench, session: str, **more: Any) -> dict[str, Any]:
    """The fields that every command of ``session`` has, and ``more``."""
    who = {"project": PROJECT, "session_id": session, "lease_id": b.leases[session]}
    return {"request_id": b.request(), **who, **more}


def _request(b: Bench, method: str, given: dict[str, Any]) -> Any:
    """A request that is sound but for what is ``given``."""
    asks = _asks(b, "a")
    says = {name: asks[name] for name in ("request_id", "project", "session_id")}
    newcomer = sessions_pb2.Session(project=PROJECT, session_id="c", machine_id="m1")
    ttl = {"lease_ttl": Duration(seconds=60)}
    requests: dict[str, Callable[[], Any]] = {
        "Acquire": lambda: pb.AcquireRequest(**asks, paths=["a.py"], **given),
        "Reserve": lambda: pb.ReserveRequest(**asks, pattern="a/**", **given),
        "Reclaim": lambda: pb.ReclaimRequest(**asks, lost=pb.LockRef(path="a.py"), **given),
        "Report": lambda: pb.ReportRequest(
            **says, path="a.py", kind=pb.REPORT_KIND_UNASKED, **given
        ),
        "Register": lambda: sessions_pb2.RegisterRequest(
            request_id="r", session=newcomer, **(ttl | given)
        ),
        "Offer": lambda: tasks_pb2.OfferRequest(
            **says, candidates=[tasks_pb2.Work(kind="file", name="a.py")], **given
        ),
        "ReadHistory": lambda: history_pb2.ReadHistoryRequest(
            project=PROJECT, filter=history_pb2.HistoryFilter(**given)
        ),
        "ListArchive": lambda: history_pb2.ListArchiveRequest(project=PROJECT, **given),
    }
    return requests[method]()


async def _refused(b: Bench, field: str, value: Duration) -> str:
    """What is said of ``value`` in the field of a request."""
    method, _, name = field.partition(".")
    services: tuple[Any, ...] = (
        Locks(b.coordinator, b.view, b.clock),
        Sessions(b.coordinator, b.view, b.clock),
        History(b.coordinator.recalling, b.clock),
        Tasks(b.coordinator, b.clock),
    )
    (service,) = (each for each in services if hasattr(each, method))
    with pytest.raises(InvalidRequest) as refused:
        await getattr(service, method)(_request(b, method, {name: value}), NO_CONTEXT)
    return refused.value.message


@pytest.mark.parametrize("value", IMPOSSIBLE, ids=["huge", "too long", "negative", "a little"])
@pytest.mark.parametrize(
    "field",
    [
        *(f"Acquire.{name}" for name in ("lock_timeout", "lasts", "claim")),
        *(f"Reserve.{name}" for name in ("lock_timeout", "lasts")),
        *(f"Reclaim.{name}" for name in ("lock_timeout", "lasts")),
        "Report.ago",
        *(f"Register.{name}" for name in ("lease_ttl", "session_timeout", "retention")),
        "Offer.lasts",
        "ReadHistory.since",
        "ListArchive.since",
    ],
)
async def test_a_duration_that_cannot_be_is_refused_by_its_name(
    b: Bench, field: str, value: Duration
) -> None:
    assert field.partition(".")[2] in await _refused(b, field, value)
    assert not b.view.snapshot().locks


def test_what_is_there_is_never_read_as_nothing() -> None:
    assert 0 == milliseconds("lasts", Duration())
    assert 1 == milliseconds("lasts", Duration(nanos=1)), "0 would be for ever"
    assert 1500 == milliseconds("lasts", Duration(seconds=1, nanos=500_000_000))
    assert MOST_S * 1000 == milliseconds("lasts", Duration(seconds=MOST_S))


async def _queued(b: Bench, claim: Duration | None) -> int:
    """How long a file is kept for one who waits and said ``claim``; in ms."""
    await b.token("a", "auth.py")
    request = pb.AcquireRequest(**_asks(b, "b", paths=["auth.py"], enqueue=True, claim=claim))
    await Locks(b.coordinator, b.view, b.clock).Acquire(request, NO_CONTEXT)
    await b.settle()
    (waiter,) = b.view.snapshot().waiters
    return waiter.fact.record.claim_ms


@pytest.mark.parametrize("claim", [None, Duration()], ids=["absent", "zero"])
async def test_a_claim_that_is_not_said_ends_all_the_same(b: Bench, claim: Duration | None) -> None:
    assert DEFAULT_CLAIM_S * 1000 == await _queued(b, claim)


async def test_a_claim_lasts_as_long_as_is_said(b: Bench) -> None:
    assert 7000 == await _queued(b, Duration(seconds=7))


async def test_a_claim_for_longer_than_anybody_should_wait_is_refused(b: Bench) -> None:
    assert "claim" in await _refused(b, "Acquire.claim", Duration(seconds=MOST_CLAIM_S + 1))


async def test_a_leave_that_does_not_say_of_each_path_what_it_means_is_refused(b: Bench) -> None:
    who: dict[str, Any] = {"request_id": b.request(), "project": PROJECT, "session_id": "a"}
    for field, of_one in (("place_revisions", 7), ("place_branches", "main")):
        said: dict[str, Any] = {field: [of_one]}
        request = pb.LeaveRequest(**who, paths=["a.py", "b.py"], **said)
        with pytest.raises(InvalidRequest, match=field):
            await Locks(b.coordinator, b.view, b.clock).Leave(request, NO_CONTEXT)


async def test_a_leave_names_the_branch_that_a_place_is_on(b: Bench) -> None:
    on: dict[str, Any] = {"scope": LockScope.LOCK_SCOPE_BRANCH, "branch": "main"}
    await b.token("b", "a.py", **on)
    await b.acquire("a", "a.py", enqueue=True, **on)
    locks = Locks(b.coordinator, b.view, b.clock)

    for branches, waiting in (([], 1), (["topic"], 1), (["main"], 0)):
        who: dict[str, Any] = {"request_id": b.request(), "project": PROJECT, "session_id": "a"}
        request = pb.LeaveRequest(**who, paths=["a.py"], place_branches=branches)
        await locks.Leave(request, NO_CONTEXT)
        await b.settle()
        assert waiting == len(b.view.snapshot().waiters)


async def test_a_refusal_says_what_a_leave_names(b: Bench) -> None:
    await b.token("b", "a.py")
    locks = Locks(b.coordinator, b.view, b.clock)
    refused = await locks.Acquire(
        pb.AcquireRequest(**_asks(b, "a", paths=["a.py"], enqueue=True)), NO_CONTEXT
    )
    (conflict,) = refused.held.conflicts
    who: dict[str, Any] = {"request_id": b.request(), "project": PROJECT, "session_id": "a"}

    for revision, waiting in ((conflict.place_revision + 1, 1), (conflict.place_revision, 0)):
        request = pb.LeaveRequest(**who, paths=["a.py"], place_revisions=[revision])
        await locks.Leave(request, NO_CONTEXT)
        await b.settle()
        assert waiting == len(b.view.snapshot().waiters)


@pytest.mark.parametrize("takes_nothing", [False, True])
async def test_an_answer_says_as_what_the_asker_has_it(b: Bench, *, takes_nothing: bool) -> None:
    await b.token("a", "a.py")
    await b.reserve("a", "src/**")
    share: dict[str, Any] = {"mode": pb.LOCK_MODE_SHARED, "takes_nothing": takes_nothing}
    share |= {"scope": LockScope.LOCK_SCOPE_BRANCH, "branch": "main"}
    locks = Locks(b.coordinator, b.view, b.clock)

    of_file = pb.AcquireRequest(**_asks(b, "a", paths=["a.py"]), **share)
    of_pattern = pb.ReserveRequest(**_asks(b, "a", pattern="src/**"), **share)

    (file,) = (await locks.Acquire(of_file, NO_CONTEXT)).granted.locks
    pattern = (await locks.Reserve(of_pattern, NO_CONTEXT)).reserved
    for ref in (file, pattern):
        assert pb.LOCK_MODE_EXCLUSIVE == ref.mode
        assert LockScope.LOCK_SCOPE_REPOSITORY == ref.scope

    await b.token("a", "b.py", **{key: share[key] for key in ("mode", "scope", "branch")})
    of_share = pb.AcquireRequest(**_asks(b, "a", paths=["b.py"]), **share)
    (ref,) = (await locks.Acquire(of_share, NO_CONTEXT)).granted.locks
    assert (share["mode"], share["scope"]) == (ref.mode, ref.scope)
