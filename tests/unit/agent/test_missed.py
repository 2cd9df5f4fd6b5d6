"""What was missed in a worktree since somebody last worked there."""

from pathlib import Path

from google.protobuf.duration_pb2 import Duration

from scoord.clock import FakeClock
from scoord.ids import ProjectId, SessionId
from scoord.v1.history_pb2 import HistoryEvent
from scoord.v1.locks_pb2 import Holder
from scoord_agent.last_seen import LastSeen
from scoord_agent.missed import missed
from scoord_agent.sessions import LocalSession

SHOP = ProjectId("example.org/shop")


def _event(session: str, kind: str, ago_s: int, *paths: str) -> HistoryEvent:
    holder = Holder(session_id=session, alias=session)
    return HistoryEvent(kind=kind, session=holder, paths=paths, ago=Duration(seconds=ago_s))


def test_what_one_session_did_is_one_entry_and_the_latest_comes_first() -> None:
    found = missed(
        [
            _event("b", "ended", 10),
            _event("c", "granted", 20, "c.py"),
            _event("b", "granted", 30, "a.py"),
            _event("b", "granted", 40, "b.py", "a.py"),
        ],
        (),
    )

    assert [("b", ("a.py", "b.py"), 10.0, True), ("c", ("c.py",), 20.0, False)] == [
        (each.holder.alias, each.paths, each.ago_s, each.ended) for each in found
    ]


def test_ones_own_work_and_what_touched_no_file_was_not_missed() -> None:
    events = [
        _event("a", "granted", 1, "a.py"),
        _event("b", "ended", 2),
        _event("c", "new", 3, "x"),
    ]

    assert [] == missed(events, {"a"})


def _session(name: str, worktree: str = "/shop") -> LocalSession:
    return LocalSession(SessionId(name), "claude-code", None, "/", home=SHOP, worktree=worktree)


def test_the_last_work_is_known_by_worktree_also_to_the_agent_that_comes_after(
    tmp_path: Path,
) -> None:
    clock, file = FakeClock(), tmp_path / "last-seen.jsonl"
    before = LastSeen(file, clock)
    before.note(_session("a"), save=True)
    clock.advance(100)
    before.note(_session("b"), save=True)
    clock.advance(50)
    after = LastSeen(file, clock)
    after.load()
    seen = after.of(SHOP, "/shop")

    assert seen is not None
    assert (50.0, ("b", "a")) == (after.away_s(seen), seen.sessions)
    assert after.of(SHOP, "/elsewhere") is None


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "last-seen.jsonl"
    good = '{"project": "p", "worktree": "/w", "at_ms": 5, "sessions": ["s"]}'
    file.write_text(f'{{"project": 3}}\n[]\nnonsense\n{good}\n')
    seen = LastSeen(file, FakeClock())
    seen.load()

    assert seen.of(ProjectId("p"), "/w") is not None
    file.write_bytes(b"\xff")
    LastSeen(file, FakeClock()).load()


def test_a_turn_is_written_down_at_most_once_in_a_minute(tmp_path: Path) -> None:
    clock, file = FakeClock(), tmp_path / "last-seen.jsonl"
    seen = LastSeen(file, clock)
    seen.note(_session("a"), save=True)
    first = file.read_text()
    clock.advance(30)
    seen.note(_session("a"))
    assert first == file.read_text()

    clock.advance(31)
    seen.note(_session("a"))
    assert first != file.read_text()
