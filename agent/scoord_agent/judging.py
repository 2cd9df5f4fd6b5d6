"""Judges what was answered of an edit, or that nobody answered: it may go on, or not.

| situation          | block (default)      | warn                     | proceed         |
| ------------------ | -------------------- | ------------------------ | --------------- |
| free               | allow, lock taken    | same                     | same            |
| mine               | allow, no round trip | same                     | same            |
| held by another    | deny, queued         | allow, both sides told   | allow, recorded |
| changes too fast   | deny                 | allow, it is told        | allow, recorded |

The columns are ``conflict_action``. When nobody can be asked, what is held, by itself or
by a pattern, stays editable until its deadline, a conflict that is known stays denied,
and the rest follows ``unreachable_action``.
"""

import logging
from collections.abc import Iterable, Sequence

from scoord.clock import Clock
from scoord.config import Settings
from scoord.errors import ScoordError
from scoord.ids import ProjectId
from scoord.names import path_key
from scoord.paths import FileIdentity, Locator, UnnamedFile
from scoord.v1.locks_pb2 import Conflict, Granted, Lock
from scoord_agent import wording
from scoord_agent.edit_parts import Outcome, Unasked, is_locked
from scoord_agent.held import HeldLocks
from scoord_agent.hold_times import HoldTimes
from scoord_agent.neighbours import Neighbours
from scoord_agent.registration import Registration
from scoord_agent.request import Request
from scoord_agent.settings import SettingsFor
from scoord_agent.suggest import Instead
from scoord_agent.turned_away import asker_of
from scoord_agent.wording_times import completed
from scoord_hooks.neutral import ALLOW, Decision, Verdict

_log = logging.getLogger(__name__)


class Judging:
    """Says what becomes of an edit, by what came of asking for it, and asks nobody itself."""

    def __init__(
        self,
        *,
        registration: Registration,
        held: HeldLocks,
        neighbours: Neighbours,
        hold_times: HoldTimes,
        instead: Instead,
        locator: Locator,
        settings: SettingsFor,
        clock: Clock,
    ) -> None:
        self._registration = registration
        self._held = held
        self._neighbours = neighbours
        self._hold_times = hold_times
        self._instead = instead
        self._locator = locator
        self._settings = settings
        self._clock = clock

    def of(self, request: Request, outcome: Outcome) -> Decision:
        """What becomes of the edit, and what its session is told."""
        if isinstance(outcome, Granted):
            return ALLOW
        if isinstance(outcome, Unasked):
            why = "too many were faster at" if outcome.contended else "nobody could be asked about"
            _log.warning("%s %s: %s", why, request.shown, outcome.why)
            return self._without_answer(request, outcome)
        return self._held_by_others(request, outcome)

    def is_refused(self, request: Request, outcome: Outcome) -> bool:
        """Whether that denies the edit, as it would be judged now; not said, and not logged."""
        if isinstance(outcome, Granted):
            return False
        if isinstance(outcome, Unasked):
            return self._without_answer(request, outcome).verdict is Verdict.DENY
        return request.conflict_action == "block"

    def _without_answer(self, request: Request, outcome: Unasked) -> Decision:
        if outcome.contended:
            return self._contended(request)
        return self._unasked(request, outcome.why)

    def _held_by_others(self, request: Request, conflicts: list[Conflict]) -> Decision:
        asker, alias = asker_of(request), request.session.alias
        match request.conflict_action:
            case "warn":
                _log.info("%s is warned of the holder of %s", alias, request.shown)
                context = "\n".join(wording.overlap(c, asker) for c in conflicts)
                return Decision(context=context, notice=context)
            case "proceed":
                _log.info("%s edits %s beside its holder", alias, request.shown)
                return ALLOW
        _log.info("%s is refused %s", alias, request.shown)
        texts = (
            wording.refusal(
                c,
                asker,
                self._instead.of(request, c.path),
                self._completion(request.project, c.lock),
            )
            for c in conflicts
        )
        reason = "\n".join(texts)
        self._note_told(request, conflicts)
        return _denied(reason)

    def _note_told(self, request: Request, conflicts: Iterable[Conflict]) -> None:
        """A refusal says it all: that other edits touch the same work is no news after it."""
        sessions = self._neighbours.of(request.project).sessions
        for conflict in conflicts:
            holder = conflict.lock.holder.session_id
            other = sessions.get(holder)
            areas = other.areas if other else ()
            for thing in (conflict.path, conflict.lock.path):
                hold = request.project, holder, path_key(thing)
                request.session.work.note_told(hold, (conflict.lock.token,), areas)

    def _completion(self, project: ProjectId, lock: Lock) -> str:
        return completed(self._hold_times.completion(project, lock, self._neighbours))

    def _known_conflicts(self, request: Request) -> list[Conflict]:
        found = (self._in_the_way(request, file) for file in request.files)
        return [conflict for conflict in found if conflict is not None]

    def _in_the_way(self, request: Request, file: FileIdentity) -> Conflict | None:
        """A conflict that is known without asking: as last heard, or granted here since."""
        there = self._neighbours.of(request.project)
        if heard := there.in_the_way(request.claimant, file.key):
            return Conflict(path=file.shown, lock=there.lock_at(heard, self._clock.now()))
        here = self._held.at(request.project, file.key)
        held = next((lock for lock in here if lock.claimant.excludes(request.claimant)), None)
        lock = self._registration.lock(held) if held else None
        return Conflict(path=file.shown, lock=lock) if lock else None

    def _contended(self, request: Request) -> Decision:
        """It is a conflict, with whoever was faster each time; nobody could say with whom."""
        match request.conflict_action:
            case "block":
                return _denied(wording.contended_denied(request.shown))
            case "warn":
                told = wording.contended_allowed(request.shown)
                return Decision(context=told, notice=told)
        return ALLOW

    def _unasked(self, request: Request, error: str) -> Decision:
        known = self._known_conflicts(request)
        if known and request.conflict_action == "block":
            return _denied(wording.known_conflicts(known, asker_of(request), error))
        if not known and self._is_covered(request):
            return ALLOW
        return _as_set(request.settings, request.shown, error)

    def _is_covered(self, request: Request) -> bool:
        """Whether all its files are in patterns of its session, and a break would be known."""
        now, project = self._clock.now(), request.project
        heard = self._held.is_followed(self._neighbours.of(project).followed_at, now)
        who = request.claimant
        return heard and all(self._held.covers(project, f.key, who, now) for f in request.files)

    def by_setting(self, paths: Iterable[str], cwd: str, why: str) -> Iterable[Decision]:
        """What becomes of files whose project is not known: that needs its settings only."""
        for path in paths:
            file = self._unnamed(path, cwd)
            settings = self._settings.at(file.root)
            if not is_locked(file, settings):
                yield ALLOW
                continue
            _log.warning("nobody could be asked about %s: %s", file.shown, why)
            yield _as_set(settings, (file.shown,), why)

    def _unnamed(self, path: str, cwd: str) -> UnnamedFile:
        try:
            return self._locator.unnamed(path, cwd)
        except ScoordError:
            return UnnamedFile(None, path)


def _as_set(settings: Settings, paths: Sequence[str], error: str) -> Decision:
    """What ``unreachable_action`` makes of an edit that nobody could be asked about."""
    match settings.session_coordination.unreachable_action:
        case "block":
            return _denied(wording.unasked_denied(paths, error))
        case "warn":
            told = wording.unasked_allowed(paths, error)
            return Decision(context=told, notice=told)
    return ALLOW


def _denied(reason: str) -> Decision:
    """The model reads all of it, the person the first line."""
    return Decision(Verdict.DENY, reason=reason, notice=reason.partition("\n")[0])
