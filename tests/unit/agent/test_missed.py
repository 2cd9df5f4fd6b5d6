"""What was missed in a worktree since somebody last worked there."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from google.protobuf.duration_pb2 import Duration

from scoord.ids import ProjectId, SessionId
from scoord.v1.history_pb2 import HistoryEvent, ReadHistoryRequest, ReadHistoryResponse
from scoord.v1.locks_pb2 import Holder
from scoord_agent.coordinator import CoordinatorClient
from scoord_agent.greeting import Greeting
from scoord_agent.last_seen import LastSeen
from scoord_agent.local_session import LocalSession
from scoord_agent.missed import meanwhile, missed
from support.clock import FakeClock

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


def test_a_page_that_is_not_the_last_is_not_all() -> None:
    events = [_event("b", "granted", 1, "a.py")]

    assert meanwhile(ReadHistoryResponse(events=events), ()).is_all
    partly = meanwhile(ReadHistoryResponse(events=events, before="e1"), ())
    assert (1, False) == (len(partly.sessions), partly.is_all)


def test_ones_own_work_and_what_touched_no_file_was_not_missed() -> None:
    events = [
        _event("a", "granted", 1, "a.py"),
        _event("b", "ended", 2),
        _event("c", "new", 3, "x"),
    ]

    assert [] == missed(events, {"a"})


def test_how_far_others_are_and_what_they_were_offered_is_not_what_was_missed() -> None:
    states = ("status", "progress", "areas", "depends", "branch", "offered", "withdrawn")

    assert [] == missed([_event("b", kind, 1, "a.py") for kind in states], ())


class _Pages:
    """A coordinator whose first pages are full of lines that are not wanted."""

    def __init__(self, *pages: ReadHistoryResponse, hangs: bool = False) -> None:
        self._pages, self._hangs = iter(pages), hangs
        self.asked: list[tuple[str, int]] = []

    async def ask(
        self, _pick: Callable[[Any], Any], request: ReadHistoryRequest
    ) -> ReadHistoryResponse:
        self.asked.append((request.before, request.limit))
        if self._hangs and request.before:
            await asyncio.Event().wait()
        return next(self._pages)


def _greeting(pages: _Pages) -> Greeting:
    nothing = cast("Any", None)
    return Greeting(client=cast("CoordinatorClient", pages), held=nothing, last_seen=nothing)


async def test_what_was_missed_is_read_on_over_pages_of_lines_that_are_not_wanted() -> None:
    pages = _Pages(
        ReadHistoryResponse(before="e9"),
        ReadHistoryResponse(events=[_event("b", "granted", 1, "b.py")], before="e5"),
        ReadHistoryResponse(events=[_event("c", "granted", 2, "c.py")]),
    )

    found = await _greeting(pages)._missed(SHOP, 3600.0, ())

    assert (["b", "c"], True) == ([each.holder.alias for each in found.sessions], found.is_all)
    assert [("", 300), ("e9", 300), ("e5", 299)] == pages.asked


async def test_what_was_read_in_time_of_what_was_missed_is_told() -> None:
    first = ReadHistoryResponse(events=[_event("b", "granted", 1, "b.py")], before="e5")

    found = await _greeting(_Pages(first, hangs=True))._missed(SHOP, 3600.0, ())

    assert (["b"], False) == ([each.holder.alias for each in found.sessions], found.is_all)


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
    lines = f'{{"project": 3}}\n[]\nnonsense\n{good}\n'
    file.write_bytes(
        good.replace("/w", "/v").encode().replace(b"p", b"\xff") + b"\n" + lines.encode()
    )
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
