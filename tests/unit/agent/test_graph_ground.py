"""What an agent adds to the graph that the coordinator tells."""

from scoord.graph_limits import LOCK, TASK
from scoord.v1 import graph_pb2 as pb
from scoord.v1.events_pb2 import Offer, Snapshot, WatchResponse
from scoord.v1.locks_pb2 import Holder, Lock, LockRef
from scoord_agent import graph_ground
from scoord_agent.knowledge.areas import NOTHING
from scoord_agent.knowledge.backlog import FileTask
from scoord_agent.set_aside import SetAside

ALICE, BOB = Holder(session_id="a", alias="Session_1"), Holder(session_id="b", alias="Session_2")


def _facts(graph: pb.ReadGraphResponse, name: str) -> list[str]:
    return next(list(each.observations) for each in graph.entities if each.name == name)


def _graph(*entities: pb.Entity) -> pb.ReadGraphResponse:
    return pb.ReadGraphResponse(entities=entities)


def _lock(*grants: LockRef) -> pb.Entity:
    return pb.Entity(name="lock_a.py", entity_type=LOCK, derived=True, grants=grants)


def test_a_task_says_for_whom_it_is_kept_be_it_of_a_file_or_of_the_team() -> None:
    noted = pb.Entity(name="task_9", entity_type=TASK)
    graph = _graph(pb.Entity(name="task_1", entity_type=TASK, derived=True), noted)
    task = FileTask("TODO.md#0a", "round the price", "TODO.md")
    graph_ground.add(graph, NOTHING, [task])

    graph_ground.add_kept(graph, {"TODO.md#0a": "Session_2", "1": "Session_1", "9": "x"})

    assert "kept for: Session_2" == _facts(graph, "task_TODO.md#0a")[-1]
    assert ["kept for: Session_1"] == _facts(graph, "task_1")
    assert [] == _facts(graph, "task_9"), "what is noted stays as it was noted"


def test_a_lock_says_when_it_will_be_free_or_that_nobody_knows() -> None:
    graph = _graph(_lock(LockRef(path="a.py", token=7)))

    graph_ground.add_completions(graph, [(Lock(path="A.py", token=7, holder=ALICE), "9 min")])
    assert ["estimated completion: 9 min"] == _facts(graph, "lock_a.py")

    graph = _graph(_lock(LockRef(path="a.py", token=8)))
    graph_ground.add_completions(graph, [(Lock(path="a.py", token=7, holder=ALICE), "9 min")])
    assert ["estimated completion: not known"] == _facts(graph, "lock_a.py"), "it changed hands"


def test_of_a_lock_that_several_share_each_has_a_completion() -> None:
    graph = _graph(_lock(LockRef(path="a.py", token=7), LockRef(path="a.py", token=8)))
    locks = [Lock(path="a.py", token=7, holder=ALICE), Lock(path="a.py", token=8, holder=BOB)]

    graph_ground.add_completions(graph, zip(locks, ("9 min", "not known"), strict=True))

    assert [
        "estimated completion of Session_1: 9 min",
        "estimated completion of Session_2: not known",
    ] == _facts(graph, "lock_a.py")


def test_what_is_offered_is_kept_for_whom_the_stream_names() -> None:
    kept, of_bob = SetAside(), Offer(kind="task", name="TODO.md#0a", session=BOB)

    kept.apply(WatchResponse(snapshot=Snapshot(offers=[of_bob])), 0.0)
    assert "Session_2" == kept.offered_to("task", "TODO.md#0a")
    assert "" == kept.offered_to("file", "TODO.md#0a")
    assert kept.offered_to_other("task", "TODO.md#0a", "a")
    assert not kept.offered_to_other("task", "TODO.md#0a", "b")

    kept.apply(WatchResponse(offer_gone=of_bob), 1.0)
    assert "" == kept.offered_to("task", "TODO.md#0a")
