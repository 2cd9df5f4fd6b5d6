"""Writes down refusals without a place in a queue, and edits beside a lock: each once.

A place in a queue has a line of its own. What has none, a command in a terminal, a pattern
or an edit that goes on, may be asked for every second; so what was written of it is
remembered, by what was in the way. After a restart, or at another replica, it may be
written once more.
"""

import logging
from collections.abc import Sequence
from functools import partial

from scoord.bounded import BoundedDict
from scoord.errors import ScoordError
from scoord.happenings import Kind
from scoord.ids import AgentId, SessionId
from scoord.v1.locks_pb2 import Holder
from scoord_server.ground import Ground
from scoord_server.model.answers import Conflict
from scoord_server.model.commands import Asker
from scoord_server.model.facts import LockFact
from scoord_server.model.locks import plan_beside

_log = logging.getLogger(__name__)

_MOST_KNOWN = 10_000
_MOST_NAMED = 30
"""Of what is in the way of a pattern; files are asked for that many at once."""

_Refused = tuple[Kind, SessionId, AgentId, str, bytes]
"""Who was refused what, or edits it all the same, and where in the store that lies which was
in the way."""


class Refusing:
    """Knows what was refused, and writes down what is new of it."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._known = BoundedDict[_Refused, int](_MOST_KNOWN)
        """The create revision of what was in the way."""

    async def note(
        self,
        asker: Asker,
        holder: Holder,
        found: Sequence[Conflict],
        pattern: str = "",
        kind: Kind = Kind.REFUSED,
    ) -> None:
        """Write down that ``found`` is in the way of its paths, or of a ``pattern``.

        The answer is the same where it cannot be written down.
        """
        found = found[:_MOST_NAMED]
        key = partial(_key, kind, asker, pattern)
        new = [one for one in found if self._known.get(key(one)) != _since(one)]
        if not new or (pattern and len(new) < len(found)):
            return  # of a pattern some of the same is in the way, whatever came to it
        paths = [pattern] if pattern else [one.name.shown for one in new]
        plan_of = partial(
            plan_beside, kind, asker, holder, new, paths=paths, is_pattern=bool(pattern)
        )
        try:
            await self._ground.note(asker.project, plan_of)
        except ScoordError as error:
            _log.warning("%s of %s is not in history: %s", kind, asker.session, error)
            return
        for one in new:
            self._known[key(one)] = _since(one)


def _key(kind: Kind, asker: Asker, pattern: str, one: Conflict) -> _Refused:
    return kind, asker.session, asker.agent, pattern or one.name.key, one.by.key


def _since(one: Conflict) -> int:
    return one.by.token if isinstance(one.by, LockFact) else one.by.create_revision
