"""A command that is refused in part, or fails in the midst, changes nothing of what was had."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

from scoord.config import load
from scoord.errors import CoordinatorUnreachable, InvalidRequest, ScoordError
from scoord.ids import AgentId, FencingToken, ProjectId, SessionId
from scoord.paths import FileIdentity
from scoord.v1.locks_pb2 import Conflict, Granted, LockRef
from scoord_agent.all_or_none import AllOrNone, Refusal
from scoord_agent.background import Background
from scoord_agent.held import HeldLocks
from scoord_agent.held_lock import HeldLock
from scoord_agent.local_session import LocalSession
from scoord_agent.request import Request
from scoord_agent.taking import Taking
from scoord_agent.turns import Place, Turns
from support.clock import FakeClock
from support.house import until

SHOP, OTHER = ProjectId("shop"), ProjectId("other")
A, MAIN = SessionId("Session_a"), AgentId("")


@dataclass
class Scripted:
    """Grants what is not in ``refuses``; what is in ``fails`` raises."""

    held: HeldLocks
    refuses: set[str] = field(default_factory=set)
    fails: dict[str, ScoordError] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    owes: bool = False
    hangs: set[str] = field(default_factory=set)
    is_slow: bool = False
    is_releasing: bool = False

    async def enter(self, _request: Request) -> None:
        """Its session is known everywhere."""

    async def acquire(self, request: Request) -> Granted | list[Conflict]:
        self.asked.append(" ".join(request.shown))
        if self.hangs & set(request.shown):
            await asyncio.Event().wait()
        for path in request.shown:
            if path in self.fails:
                raise self.fails[path]
            if path in self.refuses:
                return [Conflict(path=path)]
        for path in request.shown:
            self.held.put(lock(path, 9, project=request.project))
        return Granted(locks=(LockRef(path=path, token=9) for path in request.shown))

    async def release(self, _session: LocalSession, locks: Sequence[HeldLock]) -> None:
        self.is_releasing = True
        await asyncio.sleep(0.05 if self.is_slow else 0)
        for one in locks:
            self.held.drop(one)
            self.released.append(one.shown)
        if self.owes and locks:
            raise CoordinatorUnreachable("away")


def lock(path: str, token: int = 1, **more: object) -> HeldLock:
    made = HeldLock(SHOP, path, path, A, MAIN, FencingToken(token), is_pattern="*" in path)
    return replace(made, **more)  # type: ignore[arg-type]  # its own fields


@pytest.fixture
def held() -> HeldLocks:
    return HeldLocks(20.0)


@pytest.fixture
def taking(held: HeldLocks) -> Scripted:
    return Scripted(held)


@pytest.fixture
def turns() -> Turns:
    return Turns(FakeClock())


@pytest.fixture
def session() -> LocalSession:
    return LocalSession(A, "claude-code", None, "/")


Ask = Callable[..., Request]


@pytest.fixture
def ask(session: LocalSession, tmp_path: Path) -> Ask:
    settings = load(None, tmp_path, {})

    def request(*paths: str, project: ProjectId = SHOP, shared: bool = False) -> Request:
        files = tuple(FileIdentity(project, path, path, None) for path in paths)
        is_pattern = "*" in paths[0]
        made = Request(session, MAIN, project, files, settings, "", "block")
        return replace(made, is_pattern=is_pattern, shared=shared)

    return request


@pytest.fixture
def background() -> Background:
    return Background()


@pytest.fixture
def both(taking: Scripted, held: HeldLocks, turns: Turns, background: Background) -> AllOrNone:
    return AllOrNone(cast("Taking", taking), held, turns, background)


async def test_patterns_are_asked_for_first_and_what_is_had_last(
    both: AllOrNone, taking: Scripted, held: HeldLocks, session: LocalSession, ask: Ask
) -> None:
    held.put(lock("b.py"))
    held.put(lock("lib/**"))

    taken = await both.take(session, [ask("a.py", "b.py"), ask("lib/**"), ask("src/**")])

    assert not isinstance(taken, Refusal)
    assert ["src/**", "a.py", "b.py", "lib/**"] == taking.asked
    assert {"a.py", "b.py", "lib/**", "src/**"} == {path for _, path, *_ in taken}


async def test_what_it_waits_for_is_asked_for_before_a_pattern(
    both: AllOrNone, taking: Scripted, turns: Turns, session: LocalSession, ask: Ask
) -> None:
    turns.queued(Place(SHOP, "a.py", A, MAIN), "a.py", 5)
    taking.refuses = {"a.py"}

    assert isinstance(await both.take(session, [ask("a.py"), ask("src/**")]), Refusal)

    assert ["a.py"] == taking.asked
    assert [] == taking.released


async def test_what_was_refused_last_is_asked_for_before_the_rest(
    both: AllOrNone, taking: Scripted, session: LocalSession, ask: Ask
) -> None:
    taking.refuses = {"src/**"}
    wanted = [ask("a.py"), ask("lib/**"), ask("src/**")]

    await both.take(session, wanted, {(SHOP, "src/**")})
    assert ["src/**"] == taking.asked
    assert [] == taking.released
    await both.take(session, wanted, {(OTHER, "src/**")})
    assert ["src/**", "lib/**", "src/**"] == taking.asked


async def test_a_refusal_leaves_what_was_had_and_gives_back_what_is_new(
    both: AllOrNone, taking: Scripted, held: HeldLocks, session: LocalSession, ask: Ask
) -> None:
    held.put(lock("had.py"))
    taking.refuses = {"b.py"}
    wanted = [ask("had.py", "a.py"), ask("b.py", project=OTHER), ask("src/**")]

    refusal = await both.take(session, wanted)

    assert isinstance(refusal, Refusal)
    assert (OTHER, ["b.py"]) == (refusal.request.project, [c.path for c in refusal.conflicts])
    assert ["src/**", "a.py", "b.py"] == taking.asked
    assert {"src/**", "a.py"} == set(taking.released)
    assert [lock("had.py")] == list(held)


async def test_more_of_what_is_had_is_asked_for_after_all_that_is_new(
    both: AllOrNone, taking: Scripted, held: HeldLocks, session: LocalSession, ask: Ask
) -> None:
    held.put(lock("a.py", shared=True))
    held.put(lock("had.py"))
    taking.refuses = {"b.py"}
    wanted = [ask("a.py", "had.py"), ask("b.py", project=OTHER), ask("src/**")]

    await both.take(session, wanted)

    assert ["src/**", "b.py"] == taking.asked
    assert {lock("a.py", shared=True), lock("had.py")} == set(held), "no more than before"
    assert [] == session.take_notices()


async def test_what_has_become_more_by_a_command_that_failed_is_told(
    both: AllOrNone, taking: Scripted, held: HeldLocks, session: LocalSession, ask: Ask
) -> None:
    held.put(lock("a.py", shared=True))
    held.put(lock("b.py", shared=True, project=OTHER))
    taking.refuses = {"b.py"}

    await both.take(session, [ask("a.py"), ask("b.py", project=OTHER), ask("c.py", project=OTHER)])

    assert ["c.py", "a.py", "b.py"] == taking.asked
    assert ["c.py"] == taking.released, "what is more stays: nobody can make it a share again"
    (told,) = session.take_notices()
    assert "Your lock on a.py holds further than before by a command that failed" in told


async def test_more_of_what_is_had_is_asked_for_first_while_its_turn_has_not_come(
    both: AllOrNone,
    taking: Scripted,
    held: HeldLocks,
    turns: Turns,
    session: LocalSession,
    ask: Ask,
) -> None:
    held.put(lock("a.py", shared=True))
    place = Place(SHOP, "a.py", A, MAIN)
    turns.queued(place, "a.py", 5)
    taking.refuses = {"a.py"}

    await both.take(session, [ask("a.py"), ask("src/**")])
    assert ["a.py"] == taking.asked, "nothing is taken and given back in vain"
    turns.come(place)
    await both.take(session, [ask("a.py"), ask("src/**")])
    assert ["a.py", "src/**", "a.py"] == taking.asked


@pytest.mark.parametrize("owes", [False, True])
async def test_a_failure_in_the_midst_leaves_nothing_new(
    both: AllOrNone,
    taking: Scripted,
    held: HeldLocks,
    session: LocalSession,
    ask: Ask,
    *,
    owes: bool,
) -> None:
    taking.fails, taking.owes = {"b.py": InvalidRequest("too many")}, owes

    with pytest.raises(InvalidRequest):
        await both.take(session, [ask("a.py"), ask("b.py", project=OTHER)])

    assert ["a.py"] == taking.released
    assert [] == list(held)


async def test_a_command_that_is_interrupted_leaves_nothing_new(
    both: AllOrNone, taking: Scripted, held: HeldLocks, session: LocalSession, ask: Ask
) -> None:
    held.put(lock("had.py"))
    taking.hangs = {"b.py"}
    wanted = [ask("a.py", "had.py"), ask("b.py", project=OTHER)]

    command = asyncio.create_task(both.take(session, wanted))
    await until(lambda: "b.py" in taking.asked)
    command.cancel()
    await asyncio.gather(command, return_exceptions=True)
    await until(lambda: bool(taking.released))

    assert command.cancelled()
    assert ["a.py"] == taking.released
    assert [lock("had.py")] == list(held)


async def test_what_is_new_is_given_back_also_where_the_command_is_interrupted_meanwhile(
    both: AllOrNone, taking: Scripted, held: HeldLocks, session: LocalSession, ask: Ask
) -> None:
    taking.refuses, taking.is_slow = {"b.py"}, True

    command = asyncio.create_task(both.take(session, [ask("a.py"), ask("b.py", project=OTHER)]))
    await until(lambda: taking.is_releasing)
    command.cancel()
    await asyncio.gather(command, return_exceptions=True)
    await until(lambda: bool(taking.released))

    assert [] == list(held)


async def test_what_was_lost_and_is_had_again_is_not_new(
    both: AllOrNone, taking: Scripted, held: HeldLocks, session: LocalSession, ask: Ask
) -> None:
    held.put(lock("a.py"))
    held.lapse(A)
    taking.refuses = {"b.py"}

    await both.take(session, [ask("a.py"), ask("b.py", project=OTHER)])

    assert [] == taking.released
