"""Who calls. Every RPC has a caller, from the first day.

On a plaintext port, which is on loopback or was asked for with ``--insecure``,
there is nothing to check a name against: the caller is the local user, an
admin, and the machine is what its agent says it is.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a caller may do."""

    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """The machine and the person behind one RPC, and what they may do."""

    machine: str
    person: str
    role: Role


LOCAL_ADMIN = Caller(machine="", person="", role=Role.ADMIN)

current: ContextVar[Caller] = ContextVar("caller", default=LOCAL_ADMIN)
