"""Every RPC, called by hand: by reflection, with nothing of ours at the other end."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pool

from scoord_server.rpc.server import SERVICES
from support.processes import coordinator

SESSION = {
    "project": "shop",
    "session_id": "Session_mbp_1_x",
    "machine_id": "m1",
    "person": "alice",
    "host": "mbp",
}
PATIENCE_S = 30


@dataclass(frozen=True)
class Grpcurl:
    """The tool, and the coordinator that it is pointed at."""

    program: str
    address: str

    def run(self, *words: str, options: tuple[str, ...] = ()) -> str:
        command = [self.program, "-plaintext", *options, self.address, *words]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert 0 == done.returncode, done.stderr
        return done.stdout

    def call(self, method: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
        options = ("-emit-defaults", "-d", json.dumps(request or {}))
        return dict(json.loads(self.run(f"scoord.v1.{method}", options=options)))

    def fail(self, method: str, request: dict[str, Any]) -> str:
        command = [self.program, "-plaintext", "-d", json.dumps(request), self.address]
        done = subprocess.run(
            [*command, f"scoord.v1.{method}"],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode != 0
        return done.stderr

    @contextmanager
    def stream(self, method: str, request: dict[str, Any]) -> Iterator[Iterator[str]]:
        """The lines that come until the stream is left."""
        command = [self.program, "-plaintext", "-d", json.dumps(request), self.address]
        with subprocess.Popen(
            [*command, f"scoord.v1.{method}"], stdout=subprocess.PIPE, text=True
        ) as streaming:
            assert streaming.stdout is not None
            try:
                yield streaming.stdout
            finally:
                streaming.kill()


@pytest.fixture(scope="module")
def program() -> str:
    beside = Path(sys.executable).with_name("grpcurl")
    found = str(beside) if beside.exists() else shutil.which("grpcurl")
    if found is None:
        pytest.skip("grpcurl is not here; its wheel is for Linux on x86-64")
    return found


@pytest.fixture(scope="module")
def grpcurl(program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grpcurl]:
    directory = tmp_path_factory.mktemp("grpcurl")
    with coordinator(directory, "--embedded", "--data", str(directory / "store")) as running:
        yield Grpcurl(program, running.address)


def test_all_services_are_listed(grpcurl: Grpcurl) -> None:
    assert [
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "scoord.v1.EventService",
        "scoord.v1.GraphService",
        "scoord.v1.HistoryService",
        "scoord.v1.LockService",
        "scoord.v1.SessionService",
        "scoord.v1.TaskService",
    ] == sorted(grpcurl.run("list").split())


@pytest.mark.parametrize(
    ("service", "methods"),
    [
        ("EventService", {"Watch", "Acknowledge"}),
        ("GraphService", {"ReadGraph", "AddToGraph", "RemoveFromGraph"}),
        (
            "LockService",
            {"Acquire", "Reserve", "Release", "Break", "ListLocks"}
            | {"Reclaim", "ReadTrace", "Leave", "Report"},
        ),
        ("TaskService", {"AddTasks", "ListTasks", "FinishTask", "RemoveTask", "Offer"}),
        ("HistoryService", {"ReadHistory", "FollowHistory", "ListArchive", "ListHoldTimes"}),
        (
            "SessionService",
            {"Register", "Heartbeat", "Update", "Tell", "End", "Sweep", "ListSessions"},
        ),
    ],
)
def test_a_service_tells_its_methods(grpcurl: Grpcurl, service: str, methods: set[str]) -> None:
    listed = grpcurl.run("list", f"scoord.v1.{service}").split()

    assert {f"scoord.v1.{service}.{method}" for method in methods} == set(listed)


def test_a_message_describes_its_fields(grpcurl: Grpcurl) -> None:
    described = grpcurl.run("describe", "scoord.v1.AcquireRequest")

    assert "repeated string paths = 6;" in described
    assert ".google.protobuf.Duration lock_timeout = 10;" in described


@pytest.mark.parametrize(
    "service", ["", *(f"scoord.v1.{name}Service" for name in ("Lock", "Event", "History"))]
)
def test_health_is_told_for_the_whole_and_for_each_service(grpcurl: Grpcurl, service: str) -> None:
    options = ("-d", json.dumps({"service": service}))

    answer = json.loads(grpcurl.run("grpc.health.v1.Health/Check", options=options))

    assert {"status": "SERVING"} == answer


def test_a_session_lives_by_hand(grpcurl: Grpcurl) -> None:
    registered = grpcurl.call(
        "SessionService/Register",
        {"request_id": "r1", "session": SESSION, "lease_ttl": "60s", "session_timeout": "600s"},
    )
    lease = registered["lease_id"]
    assert ("Session_1", "60s", False) == (
        registered["alias"],
        registered["lease_ttl"],
        registered["resumed"],
    )
    beat = {"project": "shop", "session_id": SESSION["session_id"], "lease_id": lease}

    (pulse,) = grpcurl.call("SessionService/Heartbeat", {"machine_id": "m1", "beats": [beat]})[
        "pulses"
    ]
    assert pulse["live"]

    told = {k: beat[k] for k in ("project", "session_id")} | {"request_id": "r2", "text": "hi"}
    assert {} == grpcurl.call("SessionService/Tell", told)

    update = {k: beat[k] for k in ("project", "session_id")} | {"intent": "by\nhand"}
    assert {} == grpcurl.call("SessionService/Update", {"request_id": "r2", **update})
    (listed,) = grpcurl.call("SessionService/ListSessions", {"project": "shop"})["sessions"]
    assert "by hand" == listed["intent"]

    lock = take(grpcurl, beat, "auth.py", "r3")
    assert lock == take(grpcurl, beat, "auth.py", "r3"), "repeating a command changes nothing"
    (found,) = grpcurl.call("LockService/ListLocks", {"project": "shop"})["locks"]
    assert all(found[k] == lock[k] for k in ("path", "token", "is_pattern"))

    where = {"project": "shop", "session_id": SESSION["session_id"]}
    freed = grpcurl.call("LockService/Release", {"request_id": "r4", **where, "locks": [lock]})
    assert ["RELEASE_OUTCOME_RELEASED"] == freed["outcomes"]

    lock = take(grpcurl, beat, "auth.py", "r5")
    by = {"project": "shop", "lock": lock, "by": "bob", "reason": "late"}
    broken = grpcurl.call("LockService/Break", {"request_id": "r6", **by})
    assert {"broken": {"unrecorded": False}} == broken
    assert {"not_broken"} == set(grpcurl.call("LockService/Break", {"request_id": "r7", **by}))

    end = grpcurl.call("LockService/ReadTrace", {**beat, "lock": lock})
    assert ("broken", "bob", "late") == (end["how"], end["by"], end["reason"])

    pattern = {"request_id": "r9", **beat, "pattern": "docs/**"}
    reserved = grpcurl.call("LockService/Reserve", pattern)["reserved"]
    assert ("docs/**", True) == (reserved["path"], reserved["is_pattern"])
    lost = {"request_id": "r10", **beat, "lost": {"path": "b.py", "token": 3}}
    assert {"lost", "edits"} == set(grpcurl.call("LockService/Reclaim", lost))
    edit = {"request_id": "r11", **where, "path": "b.py", "kind": "REPORT_KIND_UNASKED"}
    assert [] == grpcurl.call("LockService/Report", edit)["overlaps"]
    waits = {"request_id": "r12", **where, "paths": ["b.py"]}
    assert {} == grpcurl.call("LockService/Leave", waits)
    told = {k: where[k] for k in ("project", "session_id")} | {"notice_ids": ["none"]}
    assert {} == grpcurl.call("EventService/Acknowledge", told)

    new = {"request_id": "r13", "project": "shop", "tasks": [{"title": "tidy\nup"}], "source": "me"}
    (task,) = grpcurl.call("TaskService/AddTasks", new)["tasks"]
    assert ("1", "tidy up", False) == (task["task_id"], task["title"], task["done"])
    work = {"kind": "task", "name": "1", "title": "tidy up"}
    wish = {"request_id": "r14", **where, "candidates": [work], "lasts": "5s"}
    assert [work] == grpcurl.call("TaskService/Offer", wish)["offered"]
    (task,) = grpcurl.call("TaskService/ListTasks", {"project": "shop"})["tasks"]
    assert SESSION["session_id"] == task["offered_to"]["session_id"]
    done = {"request_id": "r15", "project": "shop", "task_id": "1", "by": "bob"}
    assert "bob" == grpcurl.call("TaskService/FinishTask", done)["task"]["done_by"]
    assert (
        "1"
        == grpcurl.call("TaskService/RemoveTask", done | {"request_id": "r16"})["task"]["task_id"]
    )

    assert {} == grpcurl.call("SessionService/End", {"request_id": "r8", **beat, "why": "done"})
    assert [] == grpcurl.call("SessionService/ListSessions", {"project": "shop"})["sessions"]


def take(grpcurl: Grpcurl, beat: dict[str, Any], path: str, request: str) -> dict[str, Any]:
    answer = grpcurl.call("LockService/Acquire", {"request_id": request, **beat, "paths": [path]})
    (lock,) = answer["granted"]["locks"]
    return dict(lock)


def test_a_watch_begins_with_a_snapshot_and_goes_on(grpcurl: Grpcurl) -> None:
    session = SESSION | {"project": "watched", "session_id": "Session_mbp_2_x"}
    request = {"request_id": "w1", "session": session, "lease_ttl": "60s"}
    with grpcurl.stream("EventService/Watch", {"project": "watched"}) as lines:
        assert "snapshot" in next_message(lines)
        grpcurl.call("SessionService/Register", request)

        assert "Session_mbp_2_x" == next_message(lines)["session"]["session_id"]


def test_the_past_is_read_and_followed_by_hand(grpcurl: Grpcurl) -> None:
    past = {"project": "past"}
    session = SESSION | past | {"session_id": "Session_mbp_3_x"}
    registered = grpcurl.call(
        "SessionService/Register",
        {"request_id": "p1", "session": session, "lease_ttl": "60s", "archive": True},
    )
    who = past | {"session_id": session["session_id"]}
    beat = who | {"lease_id": registered["lease_id"]}
    page = grpcurl.call("HistoryService/ReadHistory", past)
    assert ["registered"] == [event["kind"] for event in page["events"]]

    lock = take(grpcurl, beat, "auth.py", "p2")
    asked = past | {"after_revision": page["revision"]}
    with grpcurl.stream("HistoryService/FollowHistory", asked) as lines:
        event = next_message(lines)["event"]
        assert ("granted", ["auth.py"]) == (event["kind"], event["paths"])
    grpcurl.call("LockService/Release", {"request_id": "p3", **who, "locks": [lock]})
    (hold,) = grpcurl.call("HistoryService/ListHoldTimes", past)["holds"]
    assert "auth.py" == hold["path"]

    swept = grpcurl.call("SessionService/Sweep", past)
    assert (1, 0, []) == (swept["sessions"], swept["held"], swept["idle"])
    grpcurl.call("SessionService/End", {"request_id": "p4", **beat, "why": "done"})
    (log,) = grpcurl.call("HistoryService/ListArchive", past)["logs"]
    assert ("ended", "done", "auth.py") == (log["how"], log["why"], log["holds"][0]["path"])


def test_no_rpc_is_left_out_here() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    called = set(re.findall(r'grpcurl\.(?:call|stream)\(\s*"(\w+/\w+)"', source))
    pool = descriptor_pool.Default()
    methods = (method for name in SERVICES for method in pool.FindServiceByName(name).methods)

    assert {f"{m.containing_service.name}/{m.name}" for m in methods} == called


def next_message(lines: Iterator[str]) -> dict[str, Any]:
    """The next pretty-printed JSON object that says more than that nothing was missed."""
    text = ""
    for line in lines:
        text += line
        if line.rstrip() == "}":
            message = dict(json.loads(text))
            if "progress" not in message:
                return message
            text = ""
    raise AssertionError(f"the stream ended: {text!r}")


@pytest.mark.parametrize(
    ("method", "request_", "status", "said"),
    [
        ("SessionService/Register", {}, "InvalidArgument", "session.project is empty"),
        ("LockService/Acquire", {"project": "shop"}, "InvalidArgument", "request_id is empty"),
        (
            "LockService/Release",
            {"request_id": "x", "project": "shop", "locks": [{"path": "a.py", "token": 7}]},
            "InvalidArgument",
            "session_id is empty",
        ),
        (
            "LockService/Break",
            {"request_id": "x", "lock": {"path": "a.py", "token": 7}},
            "InvalidArgument",
            "project is empty",
        ),
        (
            "EventService/Acknowledge",
            {"project": "shop", "session_id": "a/b", "notice_ids": ["n"]},
            "InvalidArgument",
            "session_id has a character that is not allowed",
        ),
        (
            "TaskService/AddTasks",
            {"request_id": "x", "project": "shop"},
            "InvalidArgument",
            "0 tasks in one command; 1 to 100 are allowed",
        ),
        (
            "LockService/Acquire",
            {"request_id": "x", "project": "shop", "session_id": "nobody", "lease_id": 7}
            | {"paths": ["../up.py"]},
            "InvalidArgument",
            "'..' at position 0",
        ),
        (
            "LockService/Acquire",
            {"request_id": "x", "project": "shop", "session_id": "nobody", "lease_id": 7}
            | {"paths": ["a.py"], "lasts": "-5s"},
            "InvalidArgument",
            "lasts is -5 s",
        ),
        (
            "LockService/Acquire",
            {"request_id": "x", "project": "shop", "session_id": "nobody", "lease_id": 7}
            | {"paths": ["a.py"], "lock_timeout": "9000000000s"},
            "InvalidArgument",
            "lock_timeout is 9e+09 s",
        ),
        (
            "LockService/Acquire",
            {"request_id": "x", "project": "shop", "session_id": "nobody", "paths": ["a.py"]},
            "InvalidArgument",
            "lease_id is missing",
        ),
        (
            "LockService/Acquire",
            {"request_id": "x", "project": "shop", "session_id": "nobody", "lease_id": 7}
            | {"paths": ["a.py"]},
            "FailedPrecondition",
            "register it anew",
        ),
        (
            "SessionService/Update",
            {"request_id": "x", "project": "shop", "session_id": "nobody", "intent": "?"},
            "NotFound",
            "nobody is not live in shop",
        ),
        (
            "TaskService/FinishTask",
            {"request_id": "x", "project": "shop", "task_id": "99"},
            "NotFound",
            "shop has no task 99",
        ),
        (
            "TaskService/Offer",
            {"request_id": "x", "project": "shop", "session_id": "s"}
            | {"candidates": [{"kind": "job", "name": "a"}]},
            "InvalidArgument",
            "want task, area, file",
        ),
    ],
)
def test_what_cannot_be_done_is_a_status_and_one_line(
    grpcurl: Grpcurl, method: str, request_: dict[str, Any], status: str, said: str
) -> None:
    told = grpcurl.fail(method, request_)

    assert f"Code: {status}" in told
    assert said in told


def test_the_graph_is_read_and_written_by_hand(grpcurl: Grpcurl) -> None:
    alice = {"name": "Alice", "entity_type": "person", "observations": ["works\nhere"]}
    leads = {"source": "Alice", "relation_type": "leads", "target": "Search"}
    where = {"project": "graph-shop", "by": "bob"}

    added = grpcurl.call(
        "GraphService/AddToGraph",
        {"request_id": "g1", **where, "entities": [alice], "relations": [leads]},
    )

    assert ["works here"] == added["entities"][0]["observations"]
    read = grpcurl.call("GraphService/ReadGraph", {"project": "graph-shop"})
    assert ["Alice"] == [entity["name"] for entity in read["entities"]]
    assert leads == {key: read["relations"][0][key] for key in leads}

    removed = grpcurl.call(
        "GraphService/RemoveFromGraph", {"request_id": "g2", **where, "entities": ["Alice"]}
    )
    assert ["Alice"] == removed["entities"]
    empty = grpcurl.call("GraphService/ReadGraph", {"project": "graph-shop"})
    assert ([], []) == (empty["entities"], empty["relations"])


def test_a_graph_command_without_a_name_is_refused(grpcurl: Grpcurl) -> None:
    told = grpcurl.fail("GraphService/AddToGraph", {"project": "graph-shop"})

    assert "request_id is empty" in told
