"""The coding sessions of a history: what they do, what they are told, what they want."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from scoord.ids import AgentId
from scoord_agent.wishes import Breaking, Wish
from scoord_hooks.neutral import EventKind, HookEvent, Verdict
from support.simulation.checkouts import Checkout, whose
from support.simulation.edges import ProcessTable
from support.simulation.machine import (
    Agent,
    Hook,
    Machine,
    asked_for,
    hands_back,
    wish_keys,
)
from support.simulation.projects import PATTERNS, PROJECT, SECOND, of_project, project_of, spans
from support.simulation.record import Record

CLIENT = "claude-code"

_GIVES_UP = 0.5
"""The chance that one whose wait was for nothing leaves the queue."""

_COMMITTED = 0.7
"""The chance that a changed file is in a commit."""

_BESIDE = 0.2
"""The chance that something is done while something else is."""

_IN_TERMINAL = 0.3
"""The chance that this is a command; else a subagent works."""

SUBAGENTS = ("a0", "a1", "a2")
"""The last one works beside other threads of its session, the others while these wait."""

_ELSEWHERE = 0.2
"""The chance that one works in the second project's worktree for a while."""

_OF_SECOND, _OF_BOTH = 0.25, 0.4
"""The chance that an edit is of the second project's files alone; and of those, or of both's."""


@dataclass(frozen=True, slots=True)
class Told:
    """A text that a session was given, and when."""

    at_s: float
    text: str
    agent: str = ""
    """The subagent that was told; empty for the main thread."""


@dataclass
class Person:
    """Someone who works in one terminal: one coding CLI after the other."""

    name: str
    machine: Machine
    table: ProcessTable
    record: Record
    rng: random.Random
    files: Sequence[str]
    second_files: Sequence[str] = ()
    """Those of the second project, if there is one."""
    pid: int = 0
    wants: set[str] = field(default_factory=set)
    """Files that were refused since it last had them."""
    told: list[Told] = field(default_factory=list)
    """What this session, not the one before, was told."""
    agent_ends: dict[str, float] = field(default_factory=dict)
    """When each subagent last ended: what it has lost then, it does not want any more."""
    agent_begins: dict[str, float] = field(default_factory=dict)
    """When each that works did something first: another of its name may have ended before."""
    agent_heard: dict[str, float] = field(default_factory=dict)
    """When its agent had first heard of each that works: it may have stood still before."""
    ended_unheard: set[str] = field(default_factory=set)
    """Those whose end nobody has taken note of, and who did nothing since."""
    subagents: dict[str, None] = field(default_factory=dict)
    """Those that work."""
    at: int = 0
    """In which of the machine's worktrees it works."""
    _conversations: int = 0
    _lives: int = 0
    """How many of its conversations are over."""

    @property
    def checkout(self) -> Checkout:
        """Where it works."""
        return self.machine.checkouts[self.at]

    @property
    def cwd(self) -> str:
        """The same, as its events say."""
        return str(self.checkout.root)

    def go_to(self, path: str, branch: str) -> bool:
        """Work where that branch is checked out; False where it is not. Empty is any."""
        checkouts, project = self.machine.checkouts, project_of(path)
        there = [at for at, one in enumerate(checkouts) if one.project == project]
        on = [at for at in there if checkouts[at].branch == branch]
        self.at = on[0] if on else there[0]
        return not branch or bool(on)

    def _go_on(self) -> None:
        """Work somewhere, drawn."""
        own = sum(checkout.project == PROJECT for checkout in self.machine.checkouts)
        if self.second_files and self.rng.random() < _ELSEWHERE:
            self.at = own
        elif own > 1:
            self.at = int(self.rng.random() * own)
        elif self.second_files:
            self.at = 0

    # -- one hook each --------------------------------------------------------------

    async def call(
        self, kind: EventKind, paths: Sequence[str] = (), agent: str = "", reason: str = ""
    ) -> Hook:
        """One hook call, written down."""
        event = HookEvent(
            client=CLIENT,
            kind=kind,
            name=kind,
            client_session_id=f"{self.name}-{self._conversations}",
            cwd=self.cwd,
            agent_id=AgentId(agent),
            paths=tuple(paths),
            prompt=f"{self.name} works" if kind is EventKind.PROMPT else "",
            reason=reason,
            is_alone=kind is EventKind.TURN_END and not self.subagents,
        )
        self.record.counts["hooks"] += 1
        if kind is EventKind.SUBAGENT_END:
            self.agent_ends[agent] = self.record.loop.true_s
            self.subagents.pop(agent, None)
            self.agent_begins.pop(agent, None)
            self.agent_heard.pop(agent, None)
        elif agent:
            self.subagents[agent] = None
            self.agent_begins.setdefault(agent, self.record.loop.true_s)
        elif event.is_alone:
            self.lose_subagents()
        hook = await self.machine.hook(event, self.pid)
        self._note(hook)
        if event.is_alone and hook.decision is not None:
            self.ended_unheard.clear()
        if kind is EventKind.SUBAGENT_END and hook.decision is None:
            self.ended_unheard.add(agent)
        elif hook.decision is not None:
            self.ended_unheard.discard(agent)
            if agent in self.agent_begins:
                self.agent_heard.setdefault(agent, self.record.loop.true_s)
        return hook

    def lose_subagents(self) -> None:
        """All of them are over, also those whose end was not heard."""
        over = dict.fromkeys((*self.subagents, *sorted(self.ended_unheard)))
        self.agent_ends |= dict.fromkeys(over, self.record.loop.true_s)
        self.ended_unheard |= set(over)
        self.subagents.clear()
        self.agent_begins.clear()
        self.agent_heard.clear()

    def hear(self, hook: Hook) -> None:
        """An answer is given; one for which its hook has stopped waiting tells nothing."""
        if hook.decision is None or hook.pid != self.pid or hook.given_up:
            return
        text = "\n".join(filter(None, (hook.decision.reason, hook.decision.context)))
        if text:
            self.told.append(Told(self.record.loop.true_s, text, hook.event.agent_id))
            self.record.say(self.name, "is told", repr(text))

    def _note(self, hook: Hook) -> None:
        event, decision = hook.event, hook.decision
        verdict = "unheard" if decision is None else decision.verdict
        self.record.say(self.name, event.kind, event.agent_id, *event.paths, verdict, *hook.asked)

    async def _command(
        self, kind: str, work: Callable[[Agent], Coroutine[Any, Any, Any]], longer_s: float = 0.0
    ) -> Any:  # what a desk answers, or None
        """One command, counted by its kind where it is carried out."""
        self.record.counts["commands"] += 1
        outcome = await self.machine.command(work, longer_s)
        self.record.counts[f"command: {kind}"] += outcome is not None
        return outcome

    # -- what it does ---------------------------------------------------------------

    async def begin(self) -> None:
        """Start a coding CLI."""
        self.pid = self.table.spawn()
        self._conversations += 1
        self.told, self.wants, self.agent_ends, self.subagents = [], set(), {}, {}
        self.agent_begins, self.agent_heard, self.ended_unheard = {}, {}, set()
        self.record.say(self.name, "begins", self.pid)
        await self.call(EventKind.SESSION_START, reason="startup")

    async def edit(self, paths: Sequence[str], agent: str = "", work_s: float = 0.0) -> bool:
        """Edit files; whether that was allowed."""
        lives = self._lives
        hook = await self.call(EventKind.BEFORE_EDIT, paths, agent)
        if hook.decision is None or hook.decision.verdict is Verdict.DENY:
            self.wants |= set(paths) if not agent else set()
            return False
        self.wants -= set(paths) if not agent else set()
        for path in paths:
            self._where(path).edit(path)
        self.record.count_in_trouble("second project: edits", len(of_project(SECOND, paths)))
        self.record.count_in_trouble("second project: edits of both", spans(paths))
        await asyncio.sleep(work_s)
        if self._lives == lives:
            await self.call(EventKind.AFTER_EDIT, paths, agent)
        return True

    async def unlock(self, *more: str) -> None:
        """Give back everything its main thread and subagents hold, wherever that is."""
        for checkout in self.machine.checkouts:
            await self._unlock(checkout, more)

    async def _unlock(self, checkout: Checkout, more: Sequence[str] = ()) -> None:
        """Give back what it holds in one worktree, by the command line."""
        pid, files = self.pid, [*self.files, *self.second_files, *PATTERNS[checkout.project], *more]

        async def release(agent: Agent) -> object:
            hands_back.set(True)
            return await agent.desk.release(str(checkout.root), files, pid)

        outcome = await self._command("unlock", release)
        self.record.say(self.name, "unlocks", outcome)

    async def hold(self, name: str, *, shared: bool = False, lasts_s: float = 0.0) -> None:
        """Take a file or a pattern by the command line."""
        cwd = str(self._where(name).root)
        wish = Wish(cwd, (name,), self.pid, shared=shared, lasts_s=lasts_s)

        async def acquire(agent: Agent) -> object:
            asked_for.set(wish_keys([name]))
            return await agent.desk.acquire(wish)

        outcome = await self._command("lock", acquire)
        self.record.say(self.name, "locks", name, "shared" if shared else "", _told_by(outcome))

    async def wait(self, name: str, within_s: float) -> None:
        """Wait for a file by the command line; sometimes for nothing, and then no more."""
        wish = Wish(self.cwd, (name,), self.pid)
        self.record.say(self.name, "waits for", name)

        async def wait(agent: Agent) -> object:
            asked_for.set(wish_keys([name]))
            return await agent.desk.wait(wish, within_s)

        outcome = await self._command("wait", wait, within_s)
        self.record.say(self.name, "waited for", name, _told_by(outcome))
        if "granted" not in (outcome or {}) and self.rng.random() < _GIVES_UP:
            await self._command("leave", lambda agent: agent.desk.leave(wish))

    def commit(self) -> None:
        """Commit some of what is changed where it works, whoever changed it."""
        checkout = self.checkout
        files = [path for path in checkout.changed if self.rng.random() < _COMMITTED]
        checkout.commit(files)
        self.record.say(self.name, "commits", *files)

    def switch(self) -> None:
        """Check another branch out in its machine's own worktree, for all who work there."""
        checkout = whose(self.machine.checkouts, self.checkout.project, "")
        checkout.switch(self.record.loop.true_s)
        self.record.say(self.name, "switches to", checkout.branch)

    async def break_one(self, *, newest: bool = False) -> None:
        """Take away someone's lock, as seen in the list."""

        async def take(agent: Agent) -> object:
            locks = (await agent.status_desk.status(self.cwd, everything=True))["locks"]
            if not locks:
                return None
            newer = sorted(locks, key=lambda lock: int(lock["token"]))
            lock = newer[-1] if newest else locks[int(self.rng.random() * len(locks))]
            self.record.counts["breaks"] += 1
            by = f"{self.name}-{self.record.counts['breaks']}"
            self.record.say(self.name, "breaks", lock["path"], lock["token"])
            path, token = lock["path"], lock["token"]
            cwd = str(self._where(path).root)
            return await agent.break_desk.break_lock(
                Breaking(cwd, self.pid, path, token, by, "in a hurry")
            )

        self.record.say(self.name, "broke", await self._command("break", take))

    async def end(self, reason: str = "other") -> None:
        """Say that the session ends; then its process does."""
        self._lives += 1
        await self.call(EventKind.SESSION_END, reason=reason)
        self.die()

    async def clear(self) -> None:
        """``/clear``: another conversation in the same process."""
        self._lives += 1
        await self.call(EventKind.SESSION_END, reason="clear")
        self._conversations += 1
        await self.call(EventKind.SESSION_START, reason="clear")

    def die(self) -> None:
        """Its process is gone, without a word."""
        self.record.say(self.name, "is gone", self.pid)
        self._lives += 1
        self.table.end(self.pid)

    async def live(self, until_s: float) -> None:
        """Work until then."""
        await asyncio.sleep(self.rng.random() * 3)
        if self.second_files:
            self._go_on()
        await self.begin()
        while self.record.loop.true_s < until_s:
            self._go_on()
            if self.rng.random() < _BESIDE:
                beside = self._type if self.rng.random() < _IN_TERMINAL else self._delegate
                await asyncio.gather(self._act(), beside())
            else:
                await self._act()
            await asyncio.sleep(self.rng.random() * 2.5)

    async def _act(self) -> None:
        """One thing, drawn."""
        rng, choice = self.rng, self.rng.random()
        if choice < 0.45:
            await self.edit(self._some_files(), work_s=rng.random() * 2)
        elif choice < 0.55:
            await self._act_by_command()
        elif choice < 0.66:
            agent = f"a{int(rng.random() * 2)}"
            await self.edit(self._some_files(), agent, rng.random())
            if rng.random() < 0.5:
                await self.call(EventKind.SUBAGENT_END, agent=agent)
        elif choice < 0.80:
            await self._leave_off(choice)
        elif choice < 0.86:
            await self.call(EventKind.PROMPT)
        elif choice < 0.90:
            await self.call(EventKind.TURN_END)
        else:
            await self._act_seldom()

    async def _type(self) -> None:
        """Give a command in the terminal meanwhile."""
        await asyncio.sleep(self.rng.random() * 0.5)
        if self.rng.random() < 0.5:
            await self._act_by_command()
        else:
            await self._unlock(self.checkout)

    async def _delegate(self) -> None:
        """A subagent edits meanwhile, as long as its session goes on."""
        rng, agent, lives = self.rng, SUBAGENTS[-1], self._lives
        self.subagents[agent] = None
        for _ in range(1 + int(rng.random() * 3)):
            await asyncio.sleep(rng.random())
            if self._lives != lives:
                return
            await self.edit(self._some_files(), agent, rng.random())
        if self._lives == lives and rng.random() < 0.7:
            await self.call(EventKind.SUBAGENT_END, agent=agent)

    async def _leave_off(self, choice: float) -> None:
        if choice < 0.76:
            await self._unlock(self.checkout)
        elif choice < 0.785:
            self.commit()
        else:
            self.switch()

    async def _act_by_command(self) -> None:
        rng, choice = self.rng, self.rng.random()
        files = self._files_of_one()
        (file,) = rng.sample(list(files), 1)
        lasts_s = 2.0 + rng.random() * 15
        if choice < 0.4:
            await self.hold(file, shared=True, lasts_s=lasts_s if choice < 0.2 else 0.0)
        elif choice < 0.65:
            patterns = PATTERNS[project_of(file)]
            pattern = patterns[int(rng.random() * len(patterns))]
            await self.hold(pattern, shared=rng.random() < 0.3, lasts_s=lasts_s)
        else:
            await self.wait(file, rng.random() * 10)

    async def _act_seldom(self) -> None:
        rng, choice = self.rng, self.rng.random()
        if choice < 0.30:
            await self.break_one()
        elif choice < 0.45:
            await self.end()
            await self.begin()
        elif choice < 0.60:
            self.die()
            await asyncio.sleep(rng.random() * 4)
            await self.begin()
        elif choice < 0.75:
            await self.clear()
        else:
            await asyncio.sleep(rng.random() * 40)

    def _some_files(self) -> list[str]:
        choice = self.rng.random() if self.second_files else 1.0
        if _OF_SECOND <= choice < _OF_BOTH:
            return self._one_of_each()
        count = 2 if self.rng.random() < 0.2 else 1
        files = self.second_files if choice < _OF_SECOND else self.files
        return self.rng.sample(list(files), count)

    def _one_of_each(self) -> list[str]:
        """One file of each project, in either order."""
        both = [self.rng.choice(files) for files in (self.files, self.second_files)]
        self.rng.shuffle(both)
        return both

    def _files_of_one(self) -> Sequence[str]:
        """The files of one project, drawn."""
        is_second = self.second_files and self.rng.random() < _OF_SECOND
        return self.second_files if is_second else self.files

    def _where(self, name: str) -> Checkout:
        """The worktree that a file or pattern is in."""
        return self.machine.checkout_of(name, self.cwd)


def _told_by(outcome: Any) -> object:  # what a desk answers, or None
    return next(iter(outcome), "") if outcome else None
