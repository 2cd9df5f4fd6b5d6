"""Edits that were made without a lock, written down until the coordinator knows of them.

They outlive the agent: one that is restarted while nobody can be asked still reports
them. A line says who edited which path and what was known of it then; nothing of
what was edited, and nothing that its user wrote.
"""

import logging
import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from scoord.clock import boot_id
from scoord.happenings import Kind
from scoord.ids import AgentId, ProjectId, RequestId, SessionId
from scoord_agent.kept_file import KeptFile

_log = logging.getLogger(__name__)

MOST_EDITS = 1_000
"""The oldest is forgotten for one more: an outage must not fill the disk."""

_Number = Annotated[int, Field(ge=0, lt=2**63)]

Unlocked = Literal[Kind.UNASKED, Kind.UNPROTECTED]
"""How it came to that: nobody could be asked, or its lock was lost before."""


@dataclass(frozen=True, slots=True)
class UnlockedEdit:
    """One edit that was made without a lock."""

    report_id: Annotated[RequestId, Field(min_length=1)]
    """The request id of its report: however often it is sent, it is told once."""
    kind: Unlocked
    session: SessionId
    agent: AgentId
    project: ProjectId
    path: str
    branch: str
    """The branch that a lock of it would have been confined to; empty for every branch."""
    heard_revision: _Number
    """Whoever was granted the path after it, was met."""
    at_unix_ms: _Number
    """Wall clock when it was made; for display."""
    made_at: Annotated[float, Field(ge=0)] = 0.0
    """The same on the agent's clock, which outlives the agent; 0 is not known."""
    relied: bool = False
    """Whether it relied on the grant that ``heard_revision`` names, whose end was not heard:
    it is met only where that was over by then."""
    boot: str = ""
    """The boot of the machine that ``made_at`` is of."""

    def is_like(self, other: "UnlockedEdit") -> bool:
        """Whether a report of one says all that there is to say of the other."""
        own = replace(other, report_id=self.report_id, at_unix_ms=self.at_unix_ms)
        return self == replace(own, made_at=self.made_at, boot=self.boot)

    def ago_s(self, now: float, wall_ms: int) -> float:
        """How long ago it was made. Since a reboot only the wall clock tells."""
        if 0 < self.made_at <= now:
            return now - self.made_at
        return max(0, wall_ms - self.at_unix_ms) / 1000


_LINE = TypeAdapter(UnlockedEdit)


def this_boot() -> str:
    """Which boot of this machine it is; where that is not told, one that nothing was kept in."""
    return boot_id() or uuid.uuid4().hex


class Unreported:
    """The edits that are still to be reported, oldest first."""

    def __init__(self, file: Path, boot: str = "") -> None:
        """``boot`` is which boot of the machine it is."""
        self.file = KeptFile(file, self._content)
        self._boot = boot
        self._edits: deque[UnlockedEdit] = deque(maxlen=MOST_EDITS)

    def __iter__(self) -> Iterator[UnlockedEdit]:
        return iter(tuple(self._edits))

    def add(self, edit: UnlockedEdit, *, instead_of: UnlockedEdit | None = None) -> None:
        """Have one written down, perhaps ``instead_of`` one that says less."""
        if instead_of is not None:
            self._edits.remove(instead_of)
        if len(self._edits) == MOST_EDITS:
            _log.warning("%s edits are not reported yet: the oldest is forgotten", MOST_EDITS)
        self._edits.append(replace(edit, boot=self._boot))
        self.file.changed()

    def remove(self, edit: UnlockedEdit) -> None:
        """It is reported."""
        if edit in self._edits:
            self._edits.remove(edit)
            self.file.changed()

    def load(self) -> None:
        """Read what the agent before us wrote down; what cannot be read is left out."""
        read = (edit for line in self.file.lines() if (edit := _read(line)))
        self._edits.extend(map(self._of_this_boot, read))

    def _of_this_boot(self, edit: UnlockedEdit) -> UnlockedEdit:
        """Since another boot the agent's clock has begun anew, and may have come further."""
        return edit if edit.boot == self._boot else replace(edit, made_at=0.0)

    def __len__(self) -> int:
        return len(self._edits)

    def _content(self) -> bytes:
        return b"".join(_LINE.dump_json(edit) + b"\n" for edit in self._edits)


def _read(line: bytes) -> UnlockedEdit | None:
    try:
        return _LINE.validate_json(line, strict=True)
    except ValidationError:
        return None
