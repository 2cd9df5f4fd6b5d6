"""What may go wrong, as a value: it says what it needs, does it, proves it, and heals it."""

import contextlib
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from support.lab.lab import MACHINES, Lab
from support.lab.load import Verdict
from support.missing import cannot_run


class Healthy(Protocol):
    """Where something can go wrong."""

    def check_health(self) -> None:
        """Fail unless everything works."""


Place = TypeVar("Place")
HealthyPlace = TypeVar("HealthyPlace", bound=Healthy)

Proof = Callable[[], bool]
"""Whether the fault is really there."""

Injection = Callable[[Place], AbstractContextManager[Proof]]

ANSWERED = frozenset({Verdict.ALLOWED, Verdict.HELD, Verdict.UNKNOWN})
ASKED = frozenset(Verdict)
"""Of a fault that takes the answers away, the questions are the load."""


Losers = Callable[[Lab], Collection[str]]
"""The machines whose leases may run out; sessions of the others lose nothing before their end."""


def _nothing() -> str:
    return ""


def losing(*machines: str) -> Losers:
    """Of a fault that cuts these off from their leases for longer than T."""
    return lambda _: machines


_NOBODY = losing()


@dataclass(frozen=True, slots=True)
class Fault(Generic[Place]):
    """One thing that goes wrong for a while."""

    name: str
    injection: Injection[Place]
    missing: Callable[[], str] = _nothing

    def available(self) -> str | None:
        """Why it cannot be done here; None when it can."""
        return self.missing() or None

    def inject(self, place: Place) -> AbstractContextManager[Proof]:
        """Do it, and heal it at the end."""
        return self.injection(place)


@dataclass(frozen=True, slots=True)
class LabFault(Fault[Lab]):
    """One that goes wrong under load, and what of the load must meet it."""

    lasts_s: float = 2.5
    heals_within_s: float = 5.0
    feels: tuple[str, ...] = MACHINES
    """The machines whose hooks it may touch; those of the others must go on as ever."""
    counts: frozenset[Verdict] = ANSWERED
    """With which answers an edit that is asked about counts as load while it lasts."""
    thin: int = 5
    """Fewer of these on any of the machines prove nothing."""
    loses: Losers = _NOBODY
    unheard: bool = False
    """It takes answers away, but not from agents: what they let a hook do unheard is kept, too."""


@contextlib.contextmanager
def happening(fault: Fault[HealthyPlace], place: HealthyPlace) -> Iterator[None]:
    """The fault is there meanwhile, and the place is healthy before and afterwards."""
    if reason := fault.available():
        cannot_run(reason)
    place.check_health()
    with fault.inject(place) as is_there:
        yield
        assert is_there(), f"INVALID: the fault did not happen: {fault.name}"
    place.check_health()
