import asyncio
from typing import Any

import pytest

from scoord import graph_limits
from scoord.errors import InvalidRequest, NotAllowed
from scoord.v1 import graph_pb2 as pb
from scoord.v1.locks_pb2 import Lock
from scoord.v1.records_pb2 import ArchiveRecord, TaskRecord
from scoord.v1.sessions_pb2 import Dependency, Estimate, Session, WorkProgress
from scoord_server.model import graph as graph_rules
from scoord_server.model import graph_changes
from scoord_server.model.graph import Kept, Named, Present, derived_names, graph, lock_name
from scoord_server.rpc import messages
from scoord_server.rpc.graph import Graph
from scoord_server.rpc.messages import duration
from scoord_server.store.port import Put, Txn
from support.coordination import PROJECT, Bench, bench
from support.hostile import TEXTS, harm_in

LEADS = pb.Relation(source="Alice", relation_type="leads", target="Search")


class Writer:
    """Somebody who writes into the graph of a bench, by the service."""

    def __init__(self, made: Bench) -> None:
        self.bench = made
        self._service = Graph(made.coordinator, made.clock)

    async def read(self) -> pb.ReadGraphResponse:
        return await self._service.ReadGraph(pb.ReadGraphRequest(project=PROJECT), None)  # type: ignore[arg-type]

    async def add(self, request: str = "", **what: Any) -> pb.AddToGraphResponse:
        command = pb.AddToGraphRequest(
            request_id=request or self.bench.request(), project=PROJECT, by="bob@host", **what
        )
        return await self._service.AddToGraph(command, None)  # type: ignore[arg-type]

    async def remove(self, **what: Any) -> pb.RemoveFromGraphResponse:
        command = pb.RemoveFromGraphRequest(
            request_id=self.bench.request(), project=PROJECT, by="bob@host", **what
        )
        return await self._service.RemoveFromGraph(command, None)  # type: ignore[arg-type]

    async def names(self) -> list[str]:
        return [entity.name for entity in (await self.read()).entities]


def person(name: str = "Alice", *facts: str) -> pb.Entity:
    return pb.Entity(name=name, entity_type="person", observations=facts)


def facts(entity: str, *contents: str) -> pb.Observations:
    return pb.Observations(entity=entity, contents=contents)


def the(read: pb.ReadGraphResponse, name: str) -> pb.Entity:
    (found,) = [entity for entity in read.entities if entity.name == name]
    return found


def triples(read: pb.ReadGraphResponse) -> list[tuple[str, str, str]]:
    return [(r.source, r.relation_type, r.target) for r in read.relations]


async def test_sessions_and_locks_are_entities_and_who_holds_what_is_a_relation() -> None:
    async with bench() as b:
        await b.session("ann")
        await b.session("ben")
        token = await b.token("ann", "src/auth.py")
        await b.acquire("ben", "src/auth.py", enqueue=True)

        read = await Writer(b).read()

        assert ["active_session_Session_1", "active_session_Session_2", "lock_src/auth.py"] == [
            entity.name for entity in read.entities
        ]
        lock = the(read, "lock_src/auth.py")
        assert ("file_lock", True) == (lock.entity_type, lock.derived)
        assert {
            "path: src/auth.py",
            "held by: Session_1 (ann@host)",
            "reason: ann works",
            "waiting: 1",
            f"token: {token}",
        } <= set(lock.observations)
        assert [(token, "src/auth.py")] == [(g.token, g.path) for g in lock.grants]
        assert {"person: ann", "host: host"} <= set(
            the(read, "active_session_Session_1").observations
        )
        assert [
            ("active_session_Session_1", "holds_lock", "lock_src/auth.py"),
            ("active_session_Session_2", "waits_for", "lock_src/auth.py"),
        ] == triples(read)


async def test_a_shared_path_is_one_entity_with_a_grant_for_each_who_shares_it() -> None:
    async with bench() as b:
        for name in ("ann", "ben"):
            await b.session(name)
            await b.acquire(name, "api.md", mode=2)

        lock = the(await Writer(b).read(), "lock_api.md")

        assert 2 == len({grant.token for grant in lock.grants})
        assert {"held by: Session_1 (ann@host)", "held by: Session_2 (ben@host)"} <= set(
            lock.observations
        )


async def test_a_session_shows_its_work_its_areas_and_whom_it_depends_on() -> None:
    ann = Session(session_id="a", alias="Session_1", person="ann", host="mbp", areas=["api"])
    ann.progress.CopyFrom(WorkProgress(done=3, total=5, percent=60, step="write tests"))
    ann.estimate.CopyFrom(
        Estimate(
            left=duration(540_000),
            low=duration(300_000),
            high=duration(720_000),
            basis="progress",
            samples=5,
        )
    )
    ben = Session(session_id="b", alias="Session_2", depends_on=[Dependency(session_id="a")])

    read = graph(Present((ann, ben)), Kept(), 0)

    assert {
        "progress: 60 % (3 of 5), at: write tests",
        "estimated completion: 9 min (5 min to 12 min, from progress, 5 samples)",
    } <= set(the(read, "active_session_Session_1").observations)
    no_basis = the(read, "active_session_Session_2").observations
    assert "estimated completion: not known" in no_basis
    ann.progress.percent = 100
    ann.ClearField("estimate")
    assert "estimated completion: any moment (it says that all is done)" in (
        the(graph(Present((ann,)), Kept(), 0), "active_session_Session_1").observations
    )
    assert ["worked on by: Session_1 (ann@mbp)"] == list(the(read, "area_api").observations)
    assert [
        ("active_session_Session_1", "working_on", "area_api"),
        ("active_session_Session_2", "depends_on", "active_session_Session_1"),
    ] == triples(read)


def test_a_session_stays_in_the_graph_for_five_minutes_after_its_end() -> None:
    gone = Session(session_id="Session_mbp_1", alias="Session_1", person="ann")
    record = ArchiveRecord(session=gone, how="ended", why="session end", ended_unix_ms=1_000_000)
    kept = Kept(finished=(record,))

    (shown,) = graph(Present(), kept, 1_000_000 + 240_000).entities
    later = graph(Present(), kept, 1_000_000 + 301_000)

    assert "active_session_Session_1" == shown.name
    assert "status: finished 4 min ago (ended)" in shown.observations
    assert 60 == shown.leaves_in.seconds
    assert [] == list(later.entities)


def test_a_short_name_that_was_given_again_is_the_living_sessions() -> None:
    gone = Session(session_id="Session_mbp_1", alias="Session_1")
    now = Session(session_id="Session_mbp_2", alias="Session_1")
    kept = Kept(finished=(ArchiveRecord(session=gone, ended_unix_ms=1),))

    read = graph(Present((now,)), kept, 2)

    assert "session: Session_mbp_2" in the(read, "active_session_Session_1").observations
    assert "session: Session_mbp_1" in the(read, "active_session_Session_mbp_1").observations


def test_tasks_are_entities() -> None:
    task = TaskRecord(title="Rate limit", area="api", source="bob", added_unix_ms=0)

    (shown,) = graph(Present(), Kept(tasks=(("t1", task),)), 60_000).entities

    assert ("task_t1", "task") == (shown.name, shown.entity_type)
    assert ["title: Rate limit", "area: api", "from: bob", "status: open", "added: 1 min ago"] == (
        list(shown.observations)
    )


def test_a_relation_to_what_is_not_there_is_left_out() -> None:
    waits = Session(session_id="b", alias="b", depends_on=[Dependency(session_id="gone")])

    assert [] == triples(graph(Present((waits,)), Kept(), 0))


def test_a_huge_project_has_a_graph_that_still_fits_into_one_message() -> None:
    sessions = tuple(
        Session(session_id=f"s{n}", alias=f"s{n}", intent="x" * 500, worktree="/" + "y" * 500)
        for n in range(6000)
    )

    read = graph(Present(sessions), Kept(), 0)

    assert 6000 == len(read.entities) + read.left_out
    assert 0 < read.left_out < 6000
    assert read.ByteSize() < 2 * 1024 * 1024


@pytest.mark.parametrize("hostile", TEXTS, ids=lambda text: ascii(text[:30]))
def test_a_hostile_text_is_one_bounded_line_of_a_fact(hostile: str) -> None:
    session = Session(session_id="s", alias="s", intent=hostile, branch=hostile, areas=[hostile])

    read = graph(Present((session,)), Kept(), 0)

    for text in (f for e in read.entities for f in (e.name, *e.observations)):
        assert "" == harm_in(text, longest=320)


async def test_what_is_added_is_kept_and_what_is_there_already_stays() -> None:
    async with bench() as b:
        writer = Writer(b)
        await writer.add(entities=[person("Alice", "works here")])

        again = await writer.add(
            entities=[person("Alice", "is new"), person("Bob")], relations=[LEADS]
        )

        assert ["Bob"] == [entity.name for entity in again.entities]
        read = await writer.read()
        assert ["works here"] == list(the(read, "Alice").observations)
        assert not the(read, "Alice").derived
        assert [("Alice", "leads", "Search")] == triples(read)
        assert [] == list((await writer.add(relations=[LEADS])).relations)


async def test_facts_are_added_once_to_an_entity_that_is_there() -> None:
    async with bench() as b:
        writer = Writer(b)
        await writer.add(entities=[person("Alice", "one")])

        added = await writer.add(observations=[facts("Alice", "one", "two", "two")])

        assert [["two"]] == [list(each.contents) for each in added.observations]
        assert ["one", "two"] == list(the(await writer.read(), "Alice").observations)


async def test_facts_of_an_unknown_entity_are_refused_and_nothing_is_added() -> None:
    async with bench() as b:
        writer = Writer(b)

        with pytest.raises(InvalidRequest, match="Entity with name Nobody not found"):
            await writer.add(entities=[person("Alice")], observations=[facts("Nobody", "x")])

        assert [] == await writer.names()


async def test_a_repeated_command_gets_its_first_answer() -> None:
    async with bench() as b:
        writer = Writer(b)
        await writer.add(entities=[person("Bob", "old")])
        what: dict[str, Any] = {
            "entities": [person("Alice", "one")],
            "observations": [facts("Bob", "new")],
            "relations": [LEADS],
        }

        first = await writer.add("same", **what)
        second = await writer.add("same", **what)

        assert first == second
        assert ["old", "new"] == list(the(await writer.read(), "Bob").observations)
        assert 2 == [event.kind for event in await b.history()].count("noted")


async def test_every_change_is_a_line_of_history_with_its_author() -> None:
    async with bench() as b:
        writer = Writer(b)
        await writer.add(entities=[person("Alice")], relations=[LEADS])
        await writer.remove(entities=["Alice"])

        lines = [(e.kind, e.by, e.reason) for e in await b.history()]

        assert [
            ("noted", "bob@host", "Alice, Alice leads Search"),
            ("forgotten", "bob@host", "Alice leads Search, Alice"),
        ] == lines


async def test_a_line_of_what_is_noted_says_what_was_added() -> None:
    async with bench() as b:
        writer = Writer(b)
        await writer.add(entities=[person("Alice", "works here", "likes tests"), person("Bob")])
        await writer.add(observations=[facts("Bob", "is new"), facts("Alice", "works here")])
        await writer.add(entities=[person("Carol", "x" * 900)])

        first, second, third = [event.reason for event in await b.history()]

        assert "Alice: works here; likes tests, Bob" == first
        assert "Bob: is new" == second
        assert third.startswith("Carol: xxx")
        assert third.endswith("…")
        assert len(third) <= 100


async def test_that_something_was_noted_is_logged_without_what_it_says(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with bench() as b:
        writer = Writer(b)
        with caplog.at_level("INFO", "scoord_server.graphing"):
            await writer.add("r", entities=[person("Alice", "works here")], relations=[LEADS])
            await writer.add("r", entities=[person("Alice", "works here")], relations=[LEADS])

        assert [f"noted 1 entity and 1 relation in {PROJECT}"] == caplog.messages


async def test_an_entity_goes_with_all_its_relations_however_many() -> None:
    async with bench() as b:
        writer = Writer(b)
        for batch in range(3):
            links = [
                pb.Relation(source=f"n{batch}-{n}", relation_type="knows", target="Alice")
                for n in range(90)
            ]
            await writer.add(relations=links)
        await writer.add(entities=[person("Alice"), person("Bob")], relations=[LEADS])

        removed = await writer.remove(entities=["Alice", "Nobody"])

        assert ["Alice"] == list(removed.entities)
        read = await writer.read()
        assert (["Bob"], []) == ([e.name for e in read.entities], triples(read))


async def test_facts_and_relations_are_removed_alone() -> None:
    async with bench() as b:
        writer = Writer(b)
        await writer.add(entities=[person("Alice", "one", "two")], relations=[LEADS])

        await writer.remove(observations=[facts("Alice", "one", "never")], relations=[LEADS])

        read = await writer.read()
        assert (["two"], []) == (list(the(read, "Alice").observations), triples(read))


async def test_what_follows_from_the_state_can_neither_be_added_nor_removed() -> None:
    async with bench() as b:
        await b.session("ann")
        await b.token("ann", "auth.py")
        writer = Writer(b)

        removed = await writer.remove(entities=["lock_auth.py", "active_session_Session_1"])
        with pytest.raises(NotAllowed, match="a lock is taken, with `scoord lock`"):
            await writer.add(entities=[pb.Entity(name="lock_b.py", entity_type="file_lock")])
        with pytest.raises(NotAllowed, match="takes no notes"):
            await writer.add(observations=[facts("lock_auth.py", "mine")])

        assert ["lock_auth.py", "active_session_Session_1"] == list(removed.derived)
        assert "ann" == await b.holder("auth.py")


def test_the_names_of_what_follows_from_the_state_are_those_of_its_entities() -> None:
    living = Session(session_id="s1", alias="Session_1", areas=["api"])
    gone = ArchiveRecord(session=Session(session_id="s2", alias="Session_2"), ended_unix_ms=1)
    kept = Kept(finished=(gone,), tasks=(("t1", TaskRecord(title="Rate limit")),))
    locks = (Lock(path="src/a.py"), Lock(path="docs/**", is_pattern=True))

    read = graph(Present((living,), locks), kept, 2)
    names = derived_names(Named((living,), tuple(lock.path for lock in locks)), kept, 2)

    assert {entity.name for entity in read.entities} == names
    assert 6 == len(names)


async def test_a_note_is_taken_without_making_a_graph_of_all_locks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench() as b:
        await b.session("ann")
        await b.token("ann", "auth.py")
        for made in (messages, "lock"), (messages, "session"), (graph_rules, "graph"):
            monkeypatch.setattr(*made, None)

        added = await Writer(b).add(entities=[person(), person("lock_auth.py")])

        assert ["Alice"] == [entity.name for entity in added.entities]


@pytest.mark.parametrize(
    ("name", "entity_type"),
    [
        ("Session_9", "ACTIVE_session"),
        ("b.py", "File_Lock"),
        ("lock_b.py", "note"),
        ("Lock_b.py", "note"),
        ("ACTIVE_SESSION_Session_9", "note"),
        ("task_7", "note"),
        ("Number 7", "Task"),
        ("area_src", "note"),
        ("src", "area"),
    ],
)
async def test_nothing_that_looks_like_the_state_is_written_down(
    name: str, entity_type: str
) -> None:
    async with bench() as b:
        writer = Writer(b)

        instead = r"sessions register themselves|a lock is taken|areas are found|a task is added"
        with pytest.raises(NotAllowed, match=instead):
            await writer.add(entities=[pb.Entity(name=name, entity_type=entity_type)])

        assert [] == await writer.names()


@pytest.mark.parametrize(
    ("source", "relation_type", "target", "instead"),
    [
        ("active_session_Session_2", "holds_lock", "lock_auth.py", "the tool `claim`"),
        ("Alice", " HOLDS_LOCK", "lock_auth.py", "the tool `claim`"),
        ("active_session_Session_1", "depends_on", "active_session_Session_2", "scoord depends"),
        ("active_session_Session_1", "depends_on", "Search", "scoord depends"),
        ("Active_Session_Session_1", "working_on", "area_src", "follows from what it edits"),
        ("active_session_Session_1", "waits_for", "lock_auth.py", "scoord wait"),
    ],
)
async def test_no_relation_that_poses_as_state_is_written_down(
    source: str, relation_type: str, target: str, instead: str
) -> None:
    async with bench() as b:
        writer = Writer(b)
        poses = pb.Relation(source=source, relation_type=relation_type, target=target)

        with pytest.raises(NotAllowed, match=instead):
            await writer.add(entities=[person("Alice")], relations=[LEADS, poses])

        assert ([], []) == (await writer.names(), triples(await writer.read()))


async def test_people_note_what_relations_they_like_between_their_own_entities() -> None:
    own = pb.Relation(source="Billing", relation_type="depends_on", target="Search")
    about = pb.Relation(source="Alice", relation_type="reviews", target="lock_auth.py")
    async with bench() as b:
        writer = Writer(b)

        await writer.add(relations=[own, about])

        assert {"depends_on", "reviews"} == {
            each.relation_type for each in (await writer.read()).relations
        }


async def test_an_area_that_only_the_repository_has_takes_no_notes() -> None:
    async with bench() as b:
        with pytest.raises(NotAllowed, match=r"area_src .* takes no notes"):
            await Writer(b).add(observations=[facts("area_src", "is old")])


async def test_the_graph_of_a_project_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench() as b:
        writer = Writer(b)
        monkeypatch.setattr(graph_limits, "MOST_ENTITIES", 3)
        await writer.add(entities=[person(f"p{n}") for n in range(3)])

        with pytest.raises(NotAllowed, match="would have 4 entities, and 3 are allowed"):
            await writer.add(entities=[person("p3")])
        with pytest.raises(InvalidRequest, match="101 changes in one command"):
            await writer.add(relations=[LEADS] * 101)
        await writer.add(observations=[facts("p0", *(f"fact {n}" for n in range(200)))])
        with pytest.raises(NotAllowed, match="201 facts of p0"):
            await writer.add(observations=[facts("p0", "fact 200")])

        assert 3 == len(await writer.names())


async def test_the_bytes_of_a_graph_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench() as b:
        monkeypatch.setattr(graph_limits, "MOST_BYTES", 10_000)
        writer = Writer(b)
        await writer.add(entities=[person("Alice", *(f"{n}" * 1900 for n in range(4)))])

        with pytest.raises(NotAllowed, match="bytes, and 10000 are allowed"):
            await writer.add(observations=[facts("Alice", "x" * 1999, "y" * 1999)])


async def test_facts_of_large_notes_are_removed_together() -> None:
    async with bench() as b:
        writer, names = Writer(b), ["n0", "n1", "n2"]
        for name in names:
            await add_large(writer, name)

        await writer.remove(observations=[facts(name, large(0)) for name in names])

        read = await writer.read()
        assert [197] * 3 == [len(the(read, name).observations) for name in names]


async def test_of_more_than_is_written_at_once_is_said_what_to_do() -> None:
    async with bench() as b:
        writer, names = Writer(b), ["n0", "n1", "n2"]
        for name in names:
            await add_large(writer, name)

        with pytest.raises(NotAllowed, match=r"n0 with \d+ bytes. Change fewer notes at once"):
            await writer.add(observations=[facts(name, "new") for name in names])
        for name in names:
            await writer.add(observations=[facts(name, "new")])


def large(number: int) -> str:
    return f"{number:03d} " + "x" * 1990


async def add_large(writer: Writer, name: str) -> None:
    """Note what has nearly 0.4 MB: more than two of its kind fit into one transaction."""
    await writer.add(entities=[person(name, *map(large, range(100)))])
    await writer.add(observations=[facts(name, *map(large, range(100, 198)))])


@pytest.mark.parametrize("name", ["", "\n\u200b", "x" * 201])
async def test_a_name_that_cannot_be_shown_is_refused(name: str) -> None:
    async with bench() as b:
        with pytest.raises(InvalidRequest, match=r"entity name .*: 1 to 200 characters"):
            await Writer(b).add(entities=[person(name)])


async def test_many_who_write_at_once_lose_nothing() -> None:
    async with bench() as b:
        writer = Writer(b)
        await writer.add(entities=[person("Alice")])

        await asyncio.gather(
            *(writer.add(observations=[facts("Alice", f"fact {n}")]) for n in range(8))
        )

        written = set(the(await writer.read(), "Alice").observations)
        assert {f"fact {n}" for n in range(8)} == written


def test_a_plan_puts_nothing_without_a_guard() -> None:
    change = graph_changes.Change(
        request_id="r",  # type: ignore[arg-type]
        project=PROJECT,
        by="bob",
        entities=(person(),),
    )
    stored = graph_changes.Stored()
    planned = graph_changes.plan_add(change, stored, frozenset())

    plan = graph_changes.txn_add(change, stored, planned, _journal())

    assert isinstance(plan, Txn)
    assert 1 == len(plan.compares)
    assert [True, True] == [isinstance(operation, Put) for operation in plan.then]


def test_the_name_of_a_lock_is_what_its_users_search_for() -> None:
    assert "lock_auth.py" == lock_name("auth.py")


def _journal() -> Any:
    from scoord_server.model.history import Journal

    return Journal(1, 2, 3)  # type: ignore[arg-type]
