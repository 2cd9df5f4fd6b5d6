"""After the trouble: everything works again, and everything must come out right."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scoord.claimant import Claimant
from scoord.ids import ProjectId
from scoord.names import path_key
from scoord_agent.local_session import LocalSession
from scoord_agent.neighbours import Neighbours
from scoord_hooks.neutral import EventKind
from scoord_server.store import keys
from support.simulation.alarms import Alarms
from support.simulation.beliefs import Beliefs, Loss, was_written
from support.simulation.decrees import Decrees
from support.simulation.early import Early
from support.simulation.machine import Machine
from support.simulation.oracle import excludes
from support.simulation.people import SUBAGENTS, Person
from support.simulation.projects import project_of
from support.simulation.promised import Promised
from support.simulation.record import Record
from support.simulation.storage import ObservedStore
from support.simulation.truth import Grant, Truth, Waiter, is_kept
from support.simulation.turns import SLOWEST

SETTLE_S = 35.0
"""Longer than any message is late, and any broken stream is away."""

NEWS_S = 2.0
"""What happened later may not have been heard of."""

LEAST_CLAIM_S = 15.0
"""A claim of 20 s lasts that long at least, by a replica's clock that goes fast."""

CLAIM_S = 30.0
"""Longer than any turn is kept, by the slowest clock."""

BEAT_S = 14.0
"""Longer than two beats, by the slowest clock."""

RELEASE_S = 0.5
"""Longer than what a hook gives back beside its answer is on its way."""

TOLD_WITHIN_S = 0.5
"""How soon whoever is first in a queue is to hear that a file is free."""

WANTED_S = 20.0
"""Longer than it takes where each who waits asks every second; less than any TTL."""

SERVED_S = 10.0
"""Longer than it takes to serve those whose turn it is, apart from claims that are not used."""

TAKEN_AWAY = frozenset({"broken", "idle", "lasted"})
"""Ends after which a lock is its session's again only if that asks for it."""

_SAID = ("lost", "broken", "given up", "has ended", "taken away", "is locked by")
_HAS = ("is yours again", "you hold")


@dataclass
class Calm:
    """The liveness phase, and what it checks."""

    record: Record
    truth: Truth
    beliefs: Beliefs
    decrees: Decrees
    store: ObservedStore
    machines: list[Machine]
    people: list[Person]
    ttl_s: float
    """How long a lease outlives its last renewal, in true time."""
    early: Early
    promised: Promised

    async def check(self) -> None:
        """Let it settle, serve everyone, then let everyone go."""
        self.record.say("calm")
        self.record.is_calm = True
        calm_s = self.record.loop.true_s
        await asyncio.sleep(SETTLE_S)
        self.decrees.check(calm_s)
        self._check_reported()
        self._check_held()
        self._check_claims()
        await self._each()
        # One that was ended because it was idle comes back with the next beat.
        await asyncio.sleep(BEAT_S)
        await self._each()
        self._check_losses()
        self.promised.check()
        Alarms(self.record, self.truth).check(self.people)
        await asyncio.sleep(RELEASE_S)
        self._check_known()
        await self._free_all()
        await self._serve_queues()
        await self._serve_wants()
        for folder in self._folders:
            await self._check_told(f"{folder}/common.py")
        await self._free_all()
        await self.early.check(self.people)
        await asyncio.sleep(3.0)
        self._check_reported()
        self.beliefs.slips.check(self.people)
        self._check_pictures()
        await self._let_go()

    @property
    def _folders(self) -> Sequence[str]:
        """Where there are files: one folder of each project."""
        return ("src", "lib") if self.people[0].second_files else ("src",)

    async def _each(self) -> None:
        """Every thread hears what it is told: one of its session is not told for another."""
        for person in self.people:
            for agent in ("", *person.subagents):
                await person.call(_hook_of(agent), agent=agent)

    def _check_reported(self) -> None:
        """C9: what slipped past was reported when somebody could be told."""
        for machine in self.machines:
            if left := machine.unreported.lines:
                self.record.violate("C9", f"{machine.name} has not reported {left}")

    def _check_held(self) -> None:
        """C5: nobody holds what is over, and not only just now."""
        long_ago_s = self.record.loop.true_s - NEWS_S
        for machine in self.machines:
            for lock in machine.agent.parts.held if machine.agent else ():
                grants = self.truth.grants.get(lock.token, ())
                if not any(g.path == lock.key and g.until_s > long_ago_s for g in grants):
                    self.record.violate("C5", f"{machine.name} holds {lock}, which is over")

    def _check_known(self) -> None:
        """C5: what sessions have is known to their agents.

        Not right after a hook: what that gives back, after a switch or a commit, is not held
        from then on, and stands until its release has arrived. A stray that goes within the
        time that is left for that is not found; nobody was refused for it for long.
        """
        for machine in self.machines:
            parts = machine.agent.parts if machine.agent else None
            own = {s.session_id for s in parts.sessions} if parts else set()
            held = {(lock.key, lock.token) for lock in parts.held} if parts else set()
            for grant in self.truth.standing.values():
                if grant.session in own and (grant.path, grant.token) not in held:
                    self.record.violate("C5", f"{machine.name} does not know of {grant}")

    def _check_claims(self) -> None:
        """C5: whoever does not use its turn loses it."""
        for path in sorted({waiter.path for waiter in self.truth.waiters.values()}):
            first, moved_s = self.truth.queue(path)[0], self.truth.moved_s[path]
            is_free = not any(excludes(g.who, first.who) for g in self.truth.at(path))
            if is_free and self.record.loop.true_s - moved_s > CLAIM_S:
                self.record.violate("C5", f"{path} is kept since {moved_s} for {first}")

    def _check_losses(self) -> None:
        """C4: who lost a lock was told, unless it gave it back or has ended."""
        for loss in self.beliefs.losses:
            is_news = loss.grant.until_s > self.record.loop.true_s - NEWS_S
            person = None if is_news else self._person_of(loss)
            if person is None:
                continue
            grant, is_heard = loss.grant, self._is_heard(person, loss)
            if self._came_back(grant):
                self.record.violate("C4", f"{person.name} was given back {grant}")
            elif not (is_heard or self._is_no_news(person, loss)):
                self.record.violate("C4", f"{person.name} was never told of {grant}")

    def _is_heard(self, person: Person, loss: Loss) -> bool:
        """Whether it was told to the thread that had it by what its agent knew, or heard later.

        Of one that is over its main thread is, and of one that an agent that died knew of;
        and of what was its own, where the subagent that took it over was refused for all that.
        The subagent is, once the main thread knows that it edits the file, too.
        """
        grant, threads = loss.grant, {str(loss.who.agent)}
        is_over = loss.died or loss.process.dead or _has_gone(person, loss.who.agent, grant)
        if is_over or not (grant.first.agent or self._edited(grant, loss.who.agent)):
            threads.add("")
        if self._edited(grant, grant.who.agent) or _knows_of_another(person, loss):
            threads.add(grant.who.agent)
        return _was_told(person, loss, threads)

    def _edited(self, grant: Grant, agent: str) -> bool:
        """Whether an edit of this thread was allowed by a grant."""
        return agent in self.beliefs.wishes.relied.get((grant.path, grant.token), ())

    def _is_no_news(self, person: Person, loss: Loss) -> bool:
        """Whether it was never heard of, or not wanted any more, or had again before others."""
        lost, who = loss.grant, loss.who
        if self._is_unheard(person, lost):
            return True
        if _is_over(person, who.agent, lost) or self._is_for_nobody(person, lost):
            return True
        return self._was_given_back(person, loss) or self._is_mended(person, lost, who)

    def _is_unheard(self, person: Person, grant: Grant) -> bool:
        """Whether nobody was told that it was granted: its edit had been decided without it."""
        return self.beliefs.wishes.was_in_vain(grant) and not _hears_of_having(person, grant)

    def _is_for_nobody(self, person: Person, lost: Grant) -> bool:
        """Whether it came for a subagent that had ended, of which nothing was heard since."""
        began_s = person.agent_begins.get(lost.first.agent, float("inf"))
        had_ended = 0.0 < person.agent_ends.get(lost.first.agent, 0.0) <= lost.since_s < began_s
        return had_ended and (lost.path, lost.token) not in self.beliefs.wishes.relied

    def _is_mended(self, person: Person, lost: Grant, who: Claimant) -> bool:
        """Whether its holder had it again, and knew of it, before anybody else could edit it.

        That is whom its agent knew, or the subagent of its session to which it had passed on.
        """
        for later in self.truth.later(lost):
            holders = later.first, later.who
            if any(one.is_same(holder) for one in (who, lost.who) for holder in holders):
                if not self._is_unheard(person, later):
                    return True
            elif _wrote(later, lost):
                return False
        return False

    def _was_given_back(self, person: Person, loss: Loss) -> bool:
        """Whether its session gave it back, and got no answer while its lease and agent lived."""
        agent, lost = person.machine.agent, loss.grant
        session = agent.parts.sessions.get(lost.session) if agent else None
        is_owed = (lost.path, lost.token) in self.beliefs.given_back
        is_over = loss.process.dead or (session is not None and session.lease != lost.lease)
        return is_owed and session is not None and is_over

    def _came_back(self, lost: Grant) -> bool:
        """Whether what was taken away for good was had again, and its session asked for nothing."""
        after = self.truth.regained(lost)
        if after is None or after.first != lost.who:  # what passed on to it, it asked for
            return False
        is_unwanted = after.request not in self.beliefs.wishes.wanted
        return is_unwanted and lost.how in TAKEN_AWAY

    def _person_of(self, loss: Loss) -> Person | None:
        """Who lost it, if the session lives and its agent knows, or the one before did."""
        person = self._person(loss.grant.session)
        agent = person.machine.agent if person else None
        knows = agent and (loss.died or agent.process is loss.process or was_written(loss))
        return person if knows else None

    def _person(self, session: str) -> Person | None:
        return next((p for p in self.people if f"_{p.pid}_" in session), None)

    async def _free_all(self) -> None:
        for person in self.people:
            await self._free(person)

    async def _free(self, person: Person) -> None:
        for agent in SUBAGENTS:
            await person.call(EventKind.SUBAGENT_END, agent=agent)
        await person.unlock()
        await asyncio.sleep(0.5)

    async def _serve_queues(self) -> None:
        """C5: whoever waits is served, in order."""
        await self._each()
        for path in sorted({waiter.path for waiter in self.truth.waiters.values()}):
            within_s = sum(waiter.claim_s for waiter in self.truth.queue(path)) / SLOWEST
            until_s = self.record.loop.true_s + within_s + SERVED_S
            while (queue := self.truth.queue(path)) and self.record.loop.true_s < until_s:
                person = self._person(queue[0].who.session)
                if person is None:
                    break
                await self._check_turn(person, path, queue[0].who.agent)
                await self._free(person)
            if left := self.truth.queue(path):
                self.record.violate("C5", f"they wait for {path} for ever: {left}")

    async def _serve_wants(self) -> None:
        """C5: everyone gets what it still wants, one after the other."""
        until_s = self.record.loop.true_s + WANTED_S
        while waiting := [person for person in self.people if person.wants]:
            if self.record.loop.true_s > until_s:
                break
            for person in waiting:
                for path in sorted(person.wants):
                    if await person.edit([path]):
                        await person.unlock()
            await asyncio.sleep(1.0)
        for person in waiting:
            what = f"{person.name} waits for {sorted(person.wants)}: {self.truth.standing}"
            self.record.violate("C5", what)

    async def _check_told(self, path: str) -> None:
        """C5: whoever was refused is told when the file is free."""
        first, *others = self.people
        if not await first.edit([path]):
            self.record.violate("C5", f"{first.name} does not get a free file")
        refused = [p for p in others if not await p.edit([path])]
        # On other branches than the first they may have got it, too.
        for person in self.people:
            if person not in refused:
                await person.unlock(path)
        for person in refused:
            await asyncio.sleep(3.0)
            await self._check_turn(person, path, "")
            await person.unlock(path)

    async def _is_told(self, person: Person, place: Waiter, agent: str) -> bool:
        """Whether it has heard of its turn; of one that has just come it hears within a moment."""
        if not _has_heard(person, place):
            await asyncio.sleep(TOLD_WITHIN_S)
            await person.call(_hook_of(agent), agent=agent)
        return _has_heard(person, place)

    async def _check_turn(self, person: Person, path: str, agent: str) -> None:
        """C5: whoever is next in a queue is told, and gets the file."""
        mine = (p for p in self.truth.queue(path) if f"_{person.pid}_" in p.who.session)
        place = next((p for p in mine if p.who.agent == agent), None)
        is_there = person.go_to(path, place.who.branch if place else "")
        await person.call(_hook_of(agent), agent=agent)
        if place is None:
            # On another branch its turn may have come at once, and its claim have run out.
            if not _hears_of_turn(path, _since_refused(person, path)):
                self.record.violate("C5", f"{person.name} was refused {path}, and has no place")
            return
        if not is_there:
            return  # it has left that branch, and the word that it waits no more was lost
        # Who has ended meanwhile wants it no more; another of its name was not refused.
        has_ended = person.agent_ends.get(agent, 0.0) >= place.since_s
        if not has_ended and not await self._is_told(person, place, agent):
            self.record.violate("C5", f"{person.name} is not told of its turn at {path}")
        had_turn_s = self.truth.turn_for_s(path)
        if not await person.edit([path], agent) and had_turn_s < LEAST_CLAIM_S:
            self.record.violate("C5", f"{person.name} is next, and does not get {path}")

    def _check_pictures(self) -> None:
        """C5: what the agents hold and have heard is what the store has."""
        known = set[str]()
        for machine in self.machines:
            assert machine.agent is not None
            parts = machine.agent.parts
            for project in sorted({it for session in parts.sessions for it in session.aliases}):
                self._check_picture(machine.name, parts.neighbours, project)
            for session in parts.sessions:
                self._check_live(session)
            own = {session.session_id for session in parts.sessions}
            known |= own
            held = {(lock.key, lock.token, lock.agent) for lock in parts.held}
            grants = [g for g in self.truth.standing.values() if g.session in own]
            stored = {(g.path, g.token, g.who.agent) for g in grants}
            if held != stored:
                what = f"{machine.name} holds {held}, the store has {stored}"
                self.record.violate("C5", what)
        self._check_whose(known)

    def _check_picture(self, name: str, neighbours: Neighbours, project: ProjectId) -> None:
        standing = {
            (grant.path, grant.token)
            for grant in self.truth.standing.values()
            if project_of(grant.path) == project
        }
        seen = {(path_key(lock.path), lock.token) for lock in neighbours.of(project).locks}
        if seen != standing:
            self.record.violate("C5", f"{name} sees {seen}, the store has {standing}")

    def _check_live(self, session: LocalSession) -> None:
        """One that takes itself for live is so in each of its projects, on its one lease."""
        name, of = session.session_id, session.aliases if session.registered else ()
        if any(self.truth.sessions.get((it, name)) != session.lease for it in of):
            self.record.violate("C5", f"{name} takes itself for live")
        places = (project for project, one in self.truth.sessions if one == name)
        if stray := [project for project in places if project not in of]:
            self.record.violate("C6", f"{name} lives in {stray}, and its agent does not know")

    def _check_whose(self, known: set[str]) -> None:
        """C6: what somebody has, or waits for, is of a session that an agent knows."""
        have = [(grant.session, grant.path) for grant in self.truth.standing.values()]
        wait = [(waiter.who.session, waiter.path) for waiter in self.truth.waiters.values()]
        if lost := [(session, path) for session, path in (*have, *wait) if session not in known]:
            self.record.violate("C6", f"no agent knows whose these are: {lost}")

    async def _let_go(self) -> None:
        """C6: sessions that end take everything with them, at once or within the TTL."""
        for number, person in enumerate(self.people):
            await person.edit([f"{folder}/own{number}.py" for folder in self._folders])
            if number % 2:
                person.die()
            else:
                await person.end()
        await asyncio.sleep(4.0)
        self._check_ended("C6")
        await asyncio.sleep(2.0 + self.ttl_s)
        self._check_leases()
        self._check_farewells()

    def _check_ended(self, check: str) -> None:
        known = {s.session_id for m in self.machines if m.agent for s in m.agent.parts.sessions}
        left = list(self.truth.standing.values())
        if left or known:
            self.record.violate(check, f"after all have ended there are {left} and {sorted(known)}")

    def _check_leases(self) -> None:
        """Only traces and history are left, with a lease or without."""
        left = [key for key in self.store.all_keys() if keys.parse(key).kind not in keys.LEFT]
        if over := [key for key in left if not is_kept(key)]:
            self.record.violate("C6", f"left over: {over}")

    def _check_farewells(self) -> None:
        """C7: each end is written down, and once.

        A register that arrives again when its session is over makes it live again, and
        that life has an end of its own.
        """
        lines = [(record.kind, record.request_id) for record in self.store.history()]
        lives = Counter(request for kind, request in lines if kind == "registered")
        ends = Counter(
            request.removeprefix("expired-") for kind, request in lines if kind == "expired"
        )
        if twice := [request for request, times in ends.items() if times > lives[request]]:
            self.record.violate("C7", f"more than once in history: {twice}")
        for begun in self.store.begun():
            if (begun.session.project, begun.session.session_id) not in self.truth.sessions:
                self.record.violate("C7", f"nobody wrote down the end of {begun.session}")


def _is_over(person: Person, agent: str, lost: Grant) -> bool:
    """Whether a subagent ended while it had it; or before, and its agent did not hear of it.

    Of what it lost before it ended its main thread is told.
    """
    has_ended = lost.since_s <= person.agent_ends.get(agent, 0.0) <= lost.until_s
    return has_ended or agent in person.ended_unheard


def _has_gone(person: Person, agent: str, lost: Grant) -> bool:
    """Whether a subagent lives no more, or another of its name."""
    return agent not in person.subagents or person.agent_ends.get(agent, 0.0) > lost.until_s


def _knows_of_another(person: Person, loss: Loss) -> bool:
    """Whether who had it was told that another thread of its session edits the file, too.

    Or that its own edit had no lock, while another thread of its session had it.
    """
    path, since_s = loss.grant.path, loss.grant.since_s
    texts = (t.text for t in person.told if t.agent == loss.who.agent and t.at_s >= since_s)
    lines = (line for text in texts for line in path_key(text).splitlines())
    return any(_tells_of_another(line, path) for line in lines)


def _tells_of_another(line: str, path: str) -> bool:
    other = "another thread of this session"
    is_unprotected = f"edited {path} without the protection of a lock" in line and other in line
    return is_unprotected or f"{other} edits {path}" in line


def _hook_of(agent: str) -> EventKind:
    """At which hook it is told: a subagent at its own."""
    return EventKind.AFTER_EDIT if agent else EventKind.PROMPT


def _has_heard(person: Person, place: Waiter) -> bool:
    told = [told.text for told in person.told if told.at_s >= place.since_s]
    return _hears_of_turn(place.shown, told)


def _hears_of_turn(shown: str, texts: Iterable[str]) -> bool:
    """Whether it was told in time, or told that its turn has passed."""
    return any(f"{shown} is free now" in text or f"{shown} was free" in text for text in texts)


def _since_refused(person: Person, path: str) -> list[str]:
    """What it was told after it was last refused a path."""
    texts = [told.text for told in person.told]
    refused = [at for at, text in enumerate(texts) if f"⚠️ {path} " in text]
    return texts[refused[-1] + 1 :] if refused else texts


def _wrote(grant: Grant, lost: Grant) -> bool:
    """Whether another may have changed the file: who only shares it does not."""
    return excludes(grant.who, lost.who) and not grant.who.shared


def _hears_of_having(person: Person, grant: Grant) -> bool:
    """Whether any text since the grant says that it has the file."""
    texts = (path_key(told.text) for told in person.told if told.at_s >= grant.since_s)
    return any(grant.path in text and any(word in text for word in _HAS) for text in texts)


def _was_told(person: Person, loss: Loss, threads: Iterable[str]) -> bool:
    """Whether one of ``threads`` was told later what became of the lock, by the file's name."""
    return any(
        told.at_s >= loss.grant.until_s
        and told.agent in threads
        and loss.grant.path in path_key(told.text)
        and any(word in told.text for word in _SAID)
        for told in person.told
    )
