"""What an event edits, a project at a time, and what becomes of asking for it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from scoord.claimant import Claimant
from scoord.config import Settings
from scoord.ids import ProjectId
from scoord.names import path_key
from scoord.paths import FileIdentity, UnnamedFile
from scoord.v1.locks_pb2 import Conflict, Granted
from scoord_agent.request import Request
from scoord_hooks.neutral import Decision, Verdict


@dataclass(frozen=True, slots=True)
class Unasked:
    """Nobody could be asked, or what was answered is over already."""

    why: str
    contended: bool = False
    """Whether it was answered: others take the file, or take it away, all the while."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One file of an event, and who it is that edits it."""

    file: FileIdentity
    settings: Settings
    who: Claimant | None
    """None where its file is not locked at all."""

    @property
    def name(self) -> tuple[ProjectId, str]:
        """Its project, and its path as it is compared."""
        return self.file.project, self.file.key


Outcome = Granted | list[Conflict] | Unasked


def by_project(edits: Iterable[Edit]) -> list[list[tuple[Edit, Claimant]]]:
    """What is locked, a project and branch at a time."""
    wanted: dict[tuple[ProjectId, str], list[tuple[Edit, Claimant]]] = {}
    for edit in edits:
        if edit.who is not None:
            at = edit.file.project, edit.who.branch
            wanted.setdefault(at, []).append((edit, edit.who))
    return list(wanted.values())


def decided(request: Request, outcome: Outcome) -> set[tuple[ProjectId, str]]:
    """Of which files it is known that they are not had, or that nobody can say."""
    if isinstance(outcome, Granted):
        return set()
    if isinstance(outcome, Unasked):
        return {(request.project, key) for key in request.keys}
    return {(request.project, path_key(conflict.path)) for conflict in outcome}


def is_locked(file: FileIdentity | UnnamedFile, settings: Settings) -> bool:
    """Whether its project's settings have it locked."""
    return (
        file.coordinated
        and settings.session_coordination.enable_file_locks
        and settings.patterns.locks(file.shown)
    )


def worst(several: Iterable[Decision]) -> Decision:
    """One decision for an event that touches several files: a deny denies all of it."""
    decisions = tuple(several)
    denied = next((d for d in decisions if d.verdict is Verdict.DENY), None)
    contexts = dict.fromkeys(d.context for d in decisions if d.context)
    notices = dict.fromkeys(d.notice for d in decisions if d.notice)
    return denied or Decision(context="\n".join(contexts), notice="\n".join(notices))
