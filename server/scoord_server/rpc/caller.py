"""Who calls. Every RPC has a caller, from the first day.

Names are not checked: the caller is who its agent says it is.
"""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """The machine and the person behind one RPC; empty where they are not said."""

    machine: str = ""
    person: str = ""


_NOBODY = Caller()

current: ContextVar[Caller] = ContextVar("caller", default=_NOBODY)
