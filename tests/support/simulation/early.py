"""In the calm: what is to be given back before its session ends is free a moment after."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from scoord.config import Settings
from scoord.names import path_key
from scoord_hooks.neutral import EventKind
from support.simulation.people import Person
from support.simulation.record import Record
from support.simulation.truth import Truth

FREE_WITHIN_S = 1.0
"""Longer than what a hook gives back beside its answer is on its way."""

LOOKED_AT_S = 2.0
"""Longer than what is checked out is not looked at again, by the slowest clock."""

Way = tuple[str, str, Callable[[Person, str], Awaitable[None]]]
"""What ends a lock, which subagent has it, and how that comes about for a path."""


@dataclass
class Early:
    """Each person takes a file that nobody else wants, and something ends that."""

    record: Record
    truth: Truth
    settings: Settings

    async def check(self, people: list[Person]) -> None:
        """C5: nobody waits longer for what its holder does not need any more."""
        for number, person in enumerate(people):
            for folder in ("src", "lib") if person.second_files else ("src",):
                path = f"{folder}/early{number}.py"
                person.go_to(path, "")
                for name, agent, end in self._ways(person):
                    await self._check(person, path, agent, name, end)

    async def _check(
        self,
        person: Person,
        path: str,
        agent: str,
        name: str,
        end: Callable[[Person, str], Awaitable[None]],
    ) -> None:
        if not await person.edit([path], agent):
            self.record.violate("C5", f"{person.name} does not get {path}, which is free")
        await end(person, path)
        await asyncio.sleep(FREE_WITHIN_S)
        if left := self.truth.at(path_key(path)):
            self.record.violate("C5", f"after {person.name}'s {name} there is {left}")
        await person.unlock(path)

    def _ways(self, person: Person) -> Iterator[Way]:
        """Those that the settings have, where it works."""
        coordination = self.settings.session_coordination
        yield "subagent's end", "a0", _end_subagent
        yield "end of its last subagents, unheard,", "a1", _be_alone
        if coordination.release_on == "stop":
            yield "turn's end", "", _end_turn
        if coordination.release_on == "commit":
            yield "commit", "", _commit
        if coordination.scope == "branch" and person.checkout.branch:
            yield "switch", "", _switch


async def _end_subagent(person: Person, path: str) -> None:
    await person.call(EventKind.SUBAGENT_END, agent="a0")


async def _be_alone(person: Person, path: str) -> None:
    """All its subagents are gone, as when their person stops them: nothing tells of each."""
    person.lose_subagents()
    await person.call(EventKind.TURN_END)


async def _end_turn(person: Person, path: str) -> None:
    await person.call(EventKind.TURN_END)


async def _commit(person: Person, path: str) -> None:
    person.checkout.commit([path])
    await asyncio.sleep(LOOKED_AT_S)
    await person.call(EventKind.PROMPT)


async def _switch(person: Person, path: str) -> None:
    person.switch()
    await asyncio.sleep(LOOKED_AT_S)
    await person.call(EventKind.PROMPT)
