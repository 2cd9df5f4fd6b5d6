"""One session that edits, on real parts of an agent and a coordinator that loses answers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from scoord.config import SettingsCache, load
from scoord.ids import AgentId, MachineId, ProjectId, SessionId
from scoord.paths import RECHECK_S, Locator
from scoord.v1.events_pb2 import Progress, WatchResponse
from scoord.v1.locks_pb2 import Holder, Lock
from scoord_agent.background import Background
from scoord_agent.edits import Edits
from scoord_agent.held import HeldLocks
from scoord_agent.held_lock import HeldLock
from scoord_agent.hold_times import HoldTimes
from scoord_agent.judging import Judging
from scoord_agent.knowledge.knowing import Knowing, Learn
from scoord_agent.local_session import LocalSession
from scoord_agent.neighbours import Neighbourhood, Neighbours
from scoord_agent.owed import Owed
from scoord_agent.protection import Protection
from scoord_agent.reclaiming import Reclaiming
from scoord_agent.registration import Machine, Registration
from scoord_agent.reporting import Reporting
from scoord_agent.request import Request
from scoord_agent.sessions import Sessions
from scoord_agent.settings import SettingsFor
from scoord_agent.suggest import Instead
from scoord_agent.taking import Taking
from scoord_agent.turns import Turns
from scoord_agent.unreported import UnlockedEdit, Unreported
from scoord_agent.waits import Waits
from scoord_agent.writing_down import WritingDown
from scoord_hooks.neutral import Decision, EventKind, HookEvent
from support.clock import FakeClock
from support.repositories import repository
from support.scripted_coordinator import ScriptedCoordinator

SHOP = ProjectId("example.com/shop")
A = SessionId("Session_a")
BELIEF_S = 20.0
DECIDE_S = 0.2
"""How long an edit waits here."""


class OneStream:
    """Of every project; it tells that it lives, and nothing else."""

    def __init__(self, clock: FakeClock) -> None:
        self._known = Neighbourhood()
        self._clock = clock
        self.live()

    def live(self) -> None:
        self.revision(1)

    def revision(self, revision: int) -> None:
        """Nothing has changed up to ``revision``."""
        self.tell(WatchResponse(revision=revision, progress=Progress()))

    def hold(self, path: str, holder: Holder, token: int) -> None:
        """Another is granted ``path``."""
        lock = Lock(path=path, token=token, holder=holder)
        self.tell(WatchResponse(revision=token, lock=lock))

    def tell(self, response: WatchResponse) -> None:
        """A step of the stream."""
        self._known.apply(response, self._clock.now())

    def of(self, _project: ProjectId) -> Neighbourhood:
        return self._known

    def is_over(self, lock: HeldLock) -> bool:
        """Whether a grant is known to have ended."""
        return self._known.is_over(lock.key, lock.token, is_pattern=lock.is_pattern)


@dataclass
class House:
    """One session of this machine, and a coordinator whose answers can be lost."""

    root: Path
    clock: FakeClock
    coordinator: ScriptedCoordinator
    held: HeldLocks
    turns: Turns
    stream: OneStream
    registration: Registration
    owed: Owed
    sessions: Sessions
    settings: SettingsFor
    reclaiming: Reclaiming
    taking: Taking
    unreported: Unreported
    reporting: Reporting
    writing_down: WritingDown
    protection: Protection
    edits: Edits
    session: LocalSession
    locator: Locator
    knowing: Knowing
    instead: Instead

    async def edit(self, *files: str, agent: str = "") -> Decision:
        """An edit is about to happen."""
        event = self._event(EventKind.BEFORE_EDIT, files, agent)
        until = asyncio.get_running_loop().time() + DECIDE_S
        return await self.edits.guard(self.session, event, until=until)

    async def edit_unasked(self, *files: str) -> Decision:
        """The same, with no time left to ask anybody."""
        event = self._event(EventKind.BEFORE_EDIT, files, "")
        return await self.edits.judge_late(self.session, event, "late")

    def request(self, file: str) -> Request:
        """What an edit of ``file`` asks for."""
        found = self.locator.locate(file, str(self.root))
        settings = self.settings.of(found.worktree)
        return Request(self.session, AgentId(""), SHOP, (found,), settings, "", "block")

    async def edited(self, *files: str, agent: str = "") -> list[UnlockedEdit]:
        """An edit has happened; what is to be reported now."""
        await self.edits.note_use(self.session, self._event(EventKind.AFTER_EDIT, files, agent))
        return list(self.unreported)

    def hear(self, response: WatchResponse) -> None:
        """A step of the stream, and what it means for edits that have happened."""
        self.stream.tell(response)
        self.protection.heard(SHOP, response)

    def _event(self, kind: EventKind, files: tuple[str, ...], agent: str) -> HookEvent:
        return HookEvent(
            client="claude-code",
            kind=kind,
            name=kind.value,
            client_session_id="c1",
            cwd=str(self.root),
            agent_id=AgentId(agent),
            paths=files or ("a.py",),
        )

    def block(self) -> None:
        """Unknown is refused from now on."""
        self.set("unreachable_action: block")

    def set(self, setting: str) -> None:
        """Its repository has this setting from now on, and no other."""
        text = f"session_coordination: {{{setting}}}"
        (self.root / "coordination.yaml").write_text(text)
        self.clock.advance(RECHECK_S)

    def holds(self, file: str = "a.py") -> HeldLock | None:
        """What this machine believes to hold."""
        return next(iter(self.held.at(SHOP, file)), None)

    def agrees(self, file: str = "a.py") -> bool:
        """Whether the coordinator and this machine say the same of a file."""
        lock, held = self.coordinator.locks.get(file), self.holds(file)
        return (lock.token if lock else None) == (held.token if held else None)


async def nothing() -> None:
    """There is nothing to wait for."""


@asynccontextmanager
async def editing_house(
    directory: Path, clock: FakeClock, learn: Learn | None = None
) -> AsyncIterator[House]:
    """A house with its work tree in ``directory``; all it started has ended afterwards."""
    cache = SettingsCache(directory / "user", {}, clock=clock)
    settings = SettingsFor(cache, load(None, directory / "user", {}))
    coordinator, held, background = ScriptedCoordinator(clock), HeldLocks(BELIEF_S), Background()
    stream = OneStream(clock)
    coordinator.connection.answered(clock.now())
    turns = Turns(clock)
    registration = Registration(
        client=coordinator.client,
        held=held,
        turns=turns,
        clock=clock,
        machine=Machine(MachineId("m1"), "mbp", "alice"),
        ttl_s=30.0,
        changed=lambda: None,
        is_over=stream.is_over,
        describe=lambda _message, _session: None,
        last_of=lambda _session: [],
        written=nothing,
    )
    owed = Owed(coordinator.client, registration.lapse)
    neighbours = cast("Neighbours", stream)
    reclaiming = Reclaiming(
        client=coordinator.client,
        registration=registration,
        held=held,
        neighbours=neighbours,
        owed=owed,
        settings=settings,
        clock=clock,
        background=background,
    )
    taking = Taking(
        client=coordinator.client,
        registration=registration,
        held=held,
        neighbours=neighbours,
        turns=turns,
        reclaiming=reclaiming,
        owed=owed,
        clock=clock,
        background=background,
        waits=Waits(lambda _session: None),
    )
    locator = Locator(MachineId("m1"), clock)
    unreported, sessions = (
        Unreported(directory / "unreported.jsonl"),
        Sessions(directory / "sessions.jsonl"),
    )
    writing_down = WritingDown(sessions.file, background)
    reporting = Reporting(
        client=coordinator.client,
        sessions=sessions,
        unreported=unreported,
        held=held,
        clock=clock,
        background=background,
        told=writing_down.written,
        edits=WritingDown(unreported.file, background),
    )
    protection = Protection(
        held=held, neighbours=neighbours, sessions=sessions, reporting=reporting, clock=clock
    )
    hold_times = HoldTimes(
        client=coordinator.client, sessions=sessions, clock=clock, background=background
    )
    knowing = Knowing(
        learn=learn,
        locator=locator,
        settings=settings,
        background=background,
        clock=clock,
        learned=lambda _root: None,
    )
    instead = Instead(neighbours=neighbours, held=held, knowing=knowing, clock=clock)
    judging = Judging(
        registration=registration,
        held=held,
        neighbours=neighbours,
        hold_times=hold_times,
        instead=instead,
        locator=locator,
        settings=settings,
        clock=clock,
    )
    edits = Edits(
        taking=taking,
        registration=registration,
        held=held,
        neighbours=neighbours,
        protection=protection,
        reporting=reporting,
        judging=judging,
        locator=locator,
        settings=settings,
        clock=clock,
        editing=lambda _session, _file: None,
        edited=lambda _session, _file: None,
    )
    root = repository(directory / "shop", "https://example.com/shop")
    session = LocalSession(A, "claude-code", None, str(root))
    sessions.add(session)
    try:
        yield House(
            root=root,
            clock=clock,
            coordinator=coordinator,
            held=held,
            turns=turns,
            stream=stream,
            registration=registration,
            owed=owed,
            sessions=sessions,
            settings=settings,
            reclaiming=reclaiming,
            taking=taking,
            unreported=unreported,
            reporting=reporting,
            writing_down=writing_down,
            protection=protection,
            edits=edits,
            session=session,
            locator=locator,
            knowing=knowing,
            instead=instead,
        )
    finally:
        await background.close()


async def until(holds: Callable[[], object]) -> None:
    """Wait until ``holds()``, for a moment at most."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.005)


async def settle() -> None:
    """Let everything happen that is going to."""
    await asyncio.sleep(0.1)
