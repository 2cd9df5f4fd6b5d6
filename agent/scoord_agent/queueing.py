"""The commands that wait for their turn: where they stand, and who gives a place up.

Commands of one session share its place in a queue, which goes with the last of them, unless
an edit was refused the file, too: that was promised to be told of its turn. Each follows what is
checked out: a place is for one branch, where locks are.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from scoord.clock import Clock
from scoord.ids import ProjectId
from scoord.names import path_key
from scoord.paths import RECHECK_S
from scoord_agent.all_or_none import Named
from scoord_agent.background import Background
from scoord_agent.request import Request
from scoord_agent.taking import Taking
from scoord_agent.turns import Place, Turns

WAIT_AT_MOST_S = 20.0
"""How long one call may wait. Who wants to wait longer calls again."""

PATTERN_AGAIN_S = 2.0
"""When a pattern is asked for again: there is no queue for one, so nobody tells."""

Answer = dict[str, Any]
Ask = Callable[[], Awaitable[Sequence[Request]]]
"""What is wanted, by what is checked out now."""
Take = Callable[[Sequence[Request], Collection[Named]], Awaitable[Answer]]
"""Takes that, or nothing; with what was refused last."""


class Queueing:
    """Waits for the commands of this machine's sessions."""

    def __init__(
        self, *, taking: Taking, turns: Turns, background: Background, clock: Clock
    ) -> None:
        self._taking = taking
        self._turns = turns
        self._background = background
        self._clock = clock
        self._commands = Counter[Place]()
        """How many wait at each place."""
        self._is_closing = False

    async def wait(
        self, ask: Ask, take: Take, within_s: float, refused: Collection[Named] = ()
    ) -> Answer:
        """Take what ``ask`` wants once its turn has come, or say after a time what is held.

        What was ``refused`` at the command's last call is asked for first, and then what is
        refused here: the rest would be taken and given back as often as that is refused.
        Who waits sees what holds on another branch, too, where that was checked out.
        """
        until = self._clock.now() + min(within_s, WAIT_AT_MOST_S)
        requests, has_moved = await ask(), False
        while True:
            with self._standing(requests):
                answer = await take(requests, refused)
                refused = _asked(answer.get("held", ()))
                left_s = until - self._clock.now()
                if has_moved or "granted" in answer or left_s <= 0:
                    return answer
                before, requests = requests, await self._news(ask, requests, answer, left_s)
            if has_moved := _places(requests) != _places(before):
                self._background.start(self.leave(before))

    async def leave(self, requests: Sequence[Request]) -> None:
        """Give up the places, but those that are kept. Raises as ``Leaving.leave``."""
        for request in requests:
            kept = {place.key for place in self.kept([request])}
            files = tuple(file for file in request.files if file.key not in kept)
            is_known = request.project in request.session.aliases
            if files and is_known and not request.is_pattern:
                await self._taking.leaving.leave(replace(request, files=files))
        for place in self.kept(requests):
            # Its turn may have woken the command that leaves, a moment before it was killed.
            self._turns.pass_on(place)

    def kept(self, requests: Iterable[Request]) -> list[Place]:
        """Where another command waits, or who was refused an edit: a command leaves these alone."""
        places = _places(requests)
        return [at for at in places if self._commands[at] or self._turns.is_promised(at)]

    def close(self) -> None:
        """The agent ends. Who waits asks the next one, and keeps its place."""
        self._is_closing = True

    @contextmanager
    def _standing(self, requests: Sequence[Request]) -> Iterator[None]:
        places = _places(requests)
        self._commands.update(places)
        try:
            yield
        except asyncio.CancelledError:
            # Its command was killed: nobody would use the turn.
            if not self._is_closing:
                self._background.start(self.leave(requests))
            raise
        finally:
            self._commands -= Counter(places)

    async def _news(
        self, ask: Ask, requests: Sequence[Request], answer: Answer, within_s: float
    ) -> Sequence[Request]:
        """Wait for a turn, or another branch; what is wanted then."""
        held, until = answer["held"], self._clock.now() + within_s
        if not any(row["place"] for row in held):
            until = min(until, self._clock.now() + PATTERN_AGAIN_S)
        while True:
            left_s = until - self._clock.now()
            # Nobody tells of a switch, where no hook runs meanwhile.
            step_s = min(left_s, RECHECK_S) if _are_confined(requests) else left_s
            has_come = await self._turns.wait(_refused(requests, held), step_s)
            now = await ask()
            if has_come or left_s <= step_s or _places(now) != _places(requests):
                return now


def _places(requests: Iterable[Request]) -> list[Place]:
    return [place for request in requests for place in request.places]


def _are_confined(requests: Iterable[Request]) -> bool:
    """Whether any is for one branch only, or would be if one were checked out."""
    return any(r.settings.session_coordination.scope == "branch" for r in requests)


def _asked(held: Iterable[Answer]) -> set[Named]:
    """What was asked for and not granted."""
    return {(row["project"], path_key(row["asked"])) for row in held}


def _refused(requests: Iterable[Request], held: Iterable[Answer]) -> list[Place]:
    """Where ``requests`` wait for what is ``held``."""
    refused = {(ProjectId(row["project"]), path_key(row["path"])) for row in held}
    return [place for place in _places(requests) if (place.project, place.key) in refused]
