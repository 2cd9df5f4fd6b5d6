"""Sessions are written down behind what changes them, and acknowledged only then."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from scoord.ids import AgentId, SessionId
from scoord.local import atomic_write
from scoord_agent.background import Background
from scoord_agent.local_session import MAX_SUBAGENTS, LocalSession
from scoord_agent.sessions import Sessions
from scoord_agent.writing_down import WritingDown, follow_locks
from support.held import LOCK


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    return Sessions(tmp_path / "sessions.jsonl")


def losses(sessions: Sessions, file: Path) -> list[str]:
    """What the agent after us would tell."""
    after = Sessions(file)
    after.load(0.0)
    return [told for session in after for told in session.take_notices()]


async def test_what_is_told_is_kept_without_being_waited_for(
    sessions: Sessions, tmp_path: Path
) -> None:
    writing = WritingDown(sessions.file, Background())
    sessions.changed = writing.soon
    session = LocalSession(SessionId("Session_a"), "claude-code", None, "/")
    sessions.add(session)

    for number in range(3):
        session.tell(f"{number}")
    assert [] == losses(sessions, tmp_path / "sessions.jsonl"), "no hook has waited for it"
    await writing.written()

    assert ["0", "1", "2"] == losses(sessions, tmp_path / "sessions.jsonl")


async def test_what_changes_during_a_write_is_in_the_next(
    sessions: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = WritingDown(sessions.file, Background())
    sessions.changed = writing.soon
    session = LocalSession(SessionId("Session_a"), "claude-code", None, "/")
    sessions.add(session)
    writes, loop = [], asyncio.get_running_loop()

    def tell_meanwhile(file: Path, data: bytes) -> None:
        writes.append(data)
        if len(writes) == 1:
            done = asyncio.run_coroutine_threadsafe(_tell(session), loop)
            done.result(5)
        atomic_write(file, data)

    monkeypatch.setattr("scoord_agent.kept_file.atomic_write", tell_meanwhile)
    session.tell("first")
    await writing.written()
    await writing.written()

    assert ["first", "second"] == losses(sessions, tmp_path / "sessions.jsonl")
    assert 2 == len(writes)


async def test_a_lock_is_written_down_anew_when_it_is_used_at_another_commit_or_in_several(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scoord_agent.writing_down.KEEP_S", 0.01)
    lock, heard = replace(LOCK, commit="c1", worktree="/shop"), asyncio.Event()
    sessions.held = lambda _session: [lock]
    sessions.add(LocalSession(LOCK.session, "claude-code", None, "/"))
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        following = group.create_task(follow_locks(sessions, heard.set))
        await heard.wait()

        for change in ({"commit": "c2"}, {"in_several": True}):
            heard.clear()
            lock = replace(lock, **change)
            await heard.wait()
        following.cancel()


async def _tell(session: LocalSession) -> None:
    session.tell("second")


async def test_what_a_subagent_is_yet_to_be_told_is_kept_for_it(
    sessions: Sessions, tmp_path: Path
) -> None:
    session, agent = LocalSession(SessionId("Session_a"), "claude-code", None, "/"), AgentId("ag1")
    sessions.add(session)
    session.hear(agent)
    session.tell_loss("of its lock", agent)
    session.tell_editor("of its edit", agent)
    await asyncio.to_thread(sessions.save)

    after = Sessions(tmp_path / "sessions.jsonl")
    after.load(0.0)
    (again,) = after
    assert [] == again.take_notices()
    assert ["of its lock"] == again.take_losses(1, agent)
    again.subagent_over(agent)
    assert ["of its edit"] == again.take_notices()
    again.tell_loss("late", agent)
    assert ["late"] == again.take_notices(), "it is over"


def test_a_subagent_is_told_of_what_it_has_lost_before_all_else() -> None:
    session, agent = LocalSession(SessionId("Session_a"), "claude-code", None, "/"), AgentId("ag1")
    session.hear(agent)
    for number in range(5):
        session.tell_editor(f"of edit {number}", agent)
    session.tell_editor("of edit 0", agent)
    session.tell_loss("of its lock", agent)

    assert ["of its lock", "of edit 0"] == session.take_losses(2, agent)
    assert [f"of edit {number}" for number in range(1, 5)] == session.take_losses(9, agent)


def test_of_more_subagents_than_are_known_the_one_silent_longest_is_over() -> None:
    session = LocalSession(SessionId("Session_a"), "claude-code", None, "/")
    for number in (*range(MAX_SUBAGENTS), 0):
        session.hear(AgentId(f"ag{number}"))
    session.tell_loss("of the second", AgentId("ag1"))
    session.tell_loss("of the first", AgentId("ag0"))

    session.hear(AgentId("one more"))

    assert ["of the second"] == session.take_notices()
