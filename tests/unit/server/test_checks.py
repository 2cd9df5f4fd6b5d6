"""What every request is checked for before anything is done: nothing in it is without a bound."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, cast

import grpc
import pytest
from google.protobuf.message import Message

from scoord.errors import InvalidPath, InvalidRequest, ScoordError
from scoord.graph_limits import MOST_CHANGES, MOST_FACTS
from scoord.ids import NO_GRANT
from scoord.limits import MOST_BEATS, MOST_KINDS, MOST_USES
from scoord.v1 import events_pb2, graph_pb2, history_pb2, locks_pb2, sessions_pb2, tasks_pb2
from scoord.v1.locks_pb2 import LockRef
from scoord.v1.sessions_pb2 import HeartbeatRequest, LockHead, SessionBeat
from scoord_server.rpc import checks
from scoord_server.rpc.events import Events
from scoord_server.rpc.graph import Graph
from scoord_server.rpc.history import History
from scoord_server.rpc.locks import Locks
from scoord_server.rpc.sessions import Sessions
from scoord_server.rpc.tasks import Tasks
from support.coordination import PROJECT, Bench, bench

NO_CONTEXT = cast("grpc.aio.ServicerContext[Any, Any]", None)
FILES = (events_pb2, graph_pb2, history_pb2, locks_pb2, sessions_pb2, tasks_pb2)
METHODS = [
    (method.name, method.input_type._concrete_class)
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
TOO_LONG = "a" * 5_000
NEXT_IS_NONE = 2**63 - 1


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench() as made:
        await made.session("a")
        yield made


async def ask(b: Bench, method: str, request: Message) -> Any:
    """Ask; the answer, or the first one of a stream."""
    services: tuple[Any, ...] = (
        Locks(b.coordinator, b.view, b.clock),
        Sessions(b.coordinator, b.view, b.clock),
        History(b.coordinator.recalling, b.clock),
        Tasks(b.coordinator, b.clock),
        Graph(b.coordinator, b.clock),
        Events(b.coordinator, b.view, b.clock),
    )
    (service,) = (each for each in services if method in vars(type(each)))
    answer = getattr(service, method)(request, NO_CONTEXT)
    return await (answer if hasattr(answer, "__await__") else anext(answer))


async def refused(b: Bench, method: str, request: Message) -> str:
    with pytest.raises(InvalidRequest) as said:
        await ask(b, method, request)
    return said.value.message


def who(b: Bench, fields: Iterable[str]) -> dict[str, Any]:
    """Those of the fields that say who asks."""
    says: dict[str, Any] = {"request_id": b.request(), "project": PROJECT}
    says |= {"session_id": "a", "lease_id": b.leases["a"]}
    return {name: said for name, said in says.items() if name in fields}


@pytest.mark.parametrize(
    "name", ["a" * 9_000, "\u00e4" * 4_500, "P\n2026 ERROR forged", "P\x1b[31m"]
)
@pytest.mark.parametrize(("method", "of"), METHODS, ids=[name for name, _ in METHODS])
async def test_a_project_is_named_by_what_can_be_in_a_path_and_by_no_more(
    b: Bench, method: str, of: type[Message], name: str
) -> None:
    """Each was remembered for ever, and stood in the log as it was written."""
    fields = of.DESCRIPTOR.fields_by_name
    given: dict[str, Any] = who(b, fields)
    for field, value in (
        ("project", name),
        ("session", sessions_pb2.Session(project=name, session_id="c", machine_id="m1")),
        ("beats", [SessionBeat(project=name, session_id="a", lease_id=b.leases["a"])]),
        ("candidates", [tasks_pb2.Work(kind="file", name="a.py")]),
        ("tasks", [tasks_pb2.NewTask(title="x")]),
        ("notice_ids", ["n"]),
        ("text", "x"),
    ):
        message = field in fields and fields[field].message_type
        if field in fields and (field != "session" or message):
            given[field] = value

    assert "project" in await refused(b, method, of(**given))


@pytest.mark.parametrize("name", ["machine:m/" + "a" * 4_000, "host.org/team/\u6587\u4ef6", "a b"])
def test_the_name_of_every_project_that_there_can_be_is_taken(name: str) -> None:
    assert name == checks.project(name)
    assert "" == checks.any_project("")


def of_lock(number: int) -> LockRef:
    return LockRef(path="a.py", token=number)


_COUNTED_ON: Mapping[str, Callable[[int], dict[str, Any]]] = {
    "Reclaim": lambda number: {"lost": of_lock(number)},
    "Report": lambda number: {"path": "a.py", "kind": 1, "heard_revision": number},
    "Leave": lambda number: {"paths": ["a.py"], "place_revisions": [number]},
    "FollowHistory": lambda number: {"after_revision": number},
}

_COMPARED: Mapping[str, Callable[[int], dict[str, Any]]] = {
    "ReadTrace": lambda number: {"lock": of_lock(number)},
    "Release": lambda number: {"locks": [of_lock(number)]},
    "Break": lambda number: {"lock": of_lock(number)},
}


@pytest.mark.parametrize(
    ("method", "given", "number"),
    [
        *((*item, number) for item in _COUNTED_ON.items() for number in (-1, NEXT_IS_NONE)),
        *((*item, -1) for item in _COMPARED.items()),
    ],
)
async def test_a_revision_that_no_store_has_is_refused(
    b: Bench, method: str, given: Callable[[int], dict[str, Any]], number: int
) -> None:
    """etcd takes no number after it: the commands of others that went with it failed, too."""
    of = dict(METHODS)[method]
    request = of(**who(b, of.DESCRIPTOR.fields_by_name), **given(number))

    assert str(number) in await refused(b, method, request)


def beat(b: Bench, **more: Any) -> SessionBeat:
    return SessionBeat(project=PROJECT, session_id="a", lease_id=b.leases["a"], **more)


async def test_a_heartbeat_is_of_as_many_sessions_as_one_takes(b: Bench) -> None:
    """The renewals of others waited for all of a hundred thousand."""
    await ask(b, "Heartbeat", HeartbeatRequest(beats=[beat(b)] * MOST_BEATS))
    await ask(b, "Heartbeat", HeartbeatRequest())

    too_many = HeartbeatRequest(beats=[beat(b)] * (MOST_BEATS + 1))
    assert "2001 beats" in await refused(b, "Heartbeat", too_many)


@pytest.mark.parametrize("field", ["touched", "moved"])
async def test_a_heartbeat_tells_of_as_many_locks_as_one_takes(b: Bench, field: str) -> None:
    ref = LockRef(path="a.py", token=1)
    one = ref if field == "touched" else LockHead(lock=ref)
    for number in (MOST_USES, MOST_USES + 1):
        half: dict[str, Any] = {field: [one] * (number // 2)}
        rest: dict[str, Any] = {field: [one] * (number - number // 2)}
        request = HeartbeatRequest(beats=[beat(b, **half), beat(b, **rest)])
        if number == MOST_USES:
            await ask(b, "Heartbeat", request)
    assert "201 locks" in await refused(b, "Heartbeat", request)


async def test_who_breaks_may_look_with_a_token_that_no_grant_has(b: Bench) -> None:
    token = await b.token("a", "a.py")
    looks = locks_pb2.BreakRequest(request_id="r", project=PROJECT, lock=of_lock(NO_GRANT))

    answer = await ask(b, "Break", looks)

    assert token == answer.not_broken.current.token


@pytest.mark.parametrize("named", [{"path": TOO_LONG}, {"path": "a.py", "token": -1}])
async def test_a_heartbeat_names_locks_as_any_command_does(
    b: Bench, named: Mapping[str, Any]
) -> None:
    request = HeartbeatRequest(beats=[beat(b, touched=[LockRef(**named)])])
    with pytest.raises(ScoordError):
        await ask(b, "Heartbeat", request)


async def test_an_update_has_a_name_as_every_command(b: Bench) -> None:
    update = sessions_pb2.UpdateRequest(project=PROJECT, session_id="a", intent="x")
    assert "request_id" in await refused(b, "Update", update)


@pytest.mark.parametrize(
    "asked",
    [
        {"session": TOO_LONG},
        {"person": TOO_LONG},
        {"kinds": [TOO_LONG]},
        {"kinds": ["granted"] * (MOST_KINDS + 1)},
        {"without_kinds": ["granted"] * (MOST_KINDS + 1)},
    ],
)
async def test_what_each_line_of_history_is_compared_with_is_short(
    b: Bench, asked: Mapping[str, Any]
) -> None:
    (field,) = asked
    by_filter = history_pb2.HistoryFilter(**asked)
    read = history_pb2.ReadHistoryRequest(project=PROJECT, filter=by_filter)
    assert field in await refused(b, "ReadHistory", read)
    if field in ("session", "person"):
        logs = history_pb2.ListArchiveRequest(project=PROJECT, **asked)
        assert field in await refused(b, "ListArchive", logs)


async def test_a_notice_is_named_by_what_a_command_can_be_named_by(b: Bench) -> None:
    request = events_pb2.AcknowledgeRequest(**who(b, ("project", "session_id")))
    request.notice_ids.append(TOO_LONG)
    assert "notice_ids" in await refused(b, "Acknowledge", request)


@pytest.mark.parametrize("method", ["AddToGraph", "RemoveFromGraph"])
async def test_no_more_of_a_graph_is_looked_at_than_can_be_noted(b: Bench, method: str) -> None:
    of = dict(METHODS)[method]
    says = who(b, ("request_id", "project"))
    facts = graph_pb2.Observations(entity="e", contents=["x"] * (MOST_FACTS + 1))
    assert "201 observations" in await refused(b, method, of(**says, observations=[facts]))

    few = graph_pb2.Observations(entity="e", contents=["\x9d"])  # refused once it is looked at
    many = of(**says, observations=[few] * (MOST_CHANGES + 1))
    assert "101 changes" in await refused(b, method, many)


@pytest.mark.parametrize("pattern", ["a\tb/**", "a/**\n", "a\x1b[31m*"])
async def test_what_no_path_has_no_pattern_that_is_held_has(b: Bench, pattern: str) -> None:
    """A heartbeat that names the lock would be refused."""
    request = locks_pb2.ReserveRequest(**who(b, locks_pb2.ReserveRequest.DESCRIPTOR.fields_by_name))
    request.pattern = pattern
    with pytest.raises(InvalidPath, match="control character"):
        await ask(b, "Reserve", request)
