"""One fault under load: health, the fault, healing, and the promises checked."""

import os
import secrets
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from support.lab.checks import check
from support.lab.fault import LabFault
from support.lab.figures import Figures
from support.lab.lab import MACHINES, Lab
from support.lab.load import FILES, History, Hook, Load, Verdict
from support.machines import FAST_LEASES
from support.missing import cannot_run
from support.processes import wait_until

TTL_S = float(FAST_LEASES["SCOORD_LEASES_TTL"])
_BEFORE_S = 0.6
_AFTER_S = 0.6
_WORK_WITHIN_S = 5.0
_TRIES = 3
_DECIDED = frozenset({Verdict.ALLOWED, Verdict.HELD})
_SPARED = 10
"""A machine that the fault does not touch has so many hooks decided meanwhile, at least."""


@dataclass(frozen=True, slots=True)
class Met:
    """What of the load met the fault."""

    fired: bool
    during: list[Hook]
    """What was answered, or given up, while it lasted."""
    since: list[Hook]
    """The same from its beginning to the end of the load."""


def seed() -> int:
    """What decides all that is random; ``SCOORD_FAULT_SEED`` repeats a run."""
    named = os.environ.get("SCOORD_FAULT_SEED")
    return int(named) if named else secrets.randbits(32)


class InvalidRunError(AssertionError):
    """A run tested nothing."""


def run(lab: Lab, fault: LabFault, figures: Figures) -> History:
    """Let ``fault`` happen once; what the load saw. Fails where a promise is broken.

    A run that tested nothing counts for nothing: there is another, but not without end.
    """
    if reason := fault.available():
        cannot_run(reason)
    for _ in range(_TRIES - 1):
        try:
            return _run(lab, fault, figures)
        except InvalidRunError as nothing:
            print(nothing)
    return _run(lab, fault, figures)


def _run(lab: Lab, fault: LabFault, figures: Figures) -> History:
    lab.check_health()
    losing = fault.loses(lab)
    load = Load(lab, chosen := seed())
    print(f"{fault.name}: SCOORD_FAULT_SEED={chosen}")
    with load.running() as history:
        time.sleep(_BEFORE_S)
        load.wait_until_kept()
        fired, begun, ended = _happen(lab, fault)
        healed_s = lab.heal_s()
        time.sleep(_AFTER_S)
        _wait_for_work(fault, history, begun)
    met = Met(fired, history.between(begun, ended), history.between(begun, inf))
    lab.log.check_present(lab.stores[lab.leader()])
    check(history, lab.log, losing, unheard=fault.unheard)
    check_valid(fault, met)
    freed_s = _freed_s(lab)
    lab.check_health()
    figures.fault(fault.name, history.longest_s(), healed_s, freed_s, len(met.during))
    assert healed_s <= fault.heals_within_s, f"edits succeeded {healed_s:.1f} s after healing"
    return history


def _happen(lab: Lab, fault: LabFault) -> tuple[bool, float, float]:
    """Whether the fault was there, when it began, and when its healing did."""
    with fault.inject(lab) as proof:
        begun = time.monotonic()
        time.sleep(fault.lasts_s / 2)
        fired = proof()
        time.sleep(fault.lasts_s / 2)
        return fired, begun, time.monotonic()


def _freed_s(lab: Lab) -> float:
    """The seconds until all that the load's sessions had is free; they have ended."""

    def free() -> bool:
        return not any(h.path in FILES and h.ended_seen == inf for h in lab.log.holdings())

    return wait_until("what ended sessions held is free", free, TTL_S + 2)


def _told(during: Iterable[Hook]) -> str:
    """What became of the edits that were asked about, by machine."""
    counted = Counter((h.machine, str(h.verdict)) for h in during if h.event == "PreToolUse")
    return f"edits meanwhile: {sorted(counted.items())}"


def check_valid(fault: LabFault, met: Met) -> None:
    """Raise InvalidRunError where the fault or the load was not there."""
    print(_told(met.during))
    if not met.fired:
        raise InvalidRunError(f"INVALID: the fault did not happen: {fault.name}")
    for name in MACHINES:
        wanted, least = (fault.counts, fault.thin) if name in fault.feels else (_DECIDED, _SPARED)
        if (number := _number(met.during, name, wanted)) < least:
            raise InvalidRunError(f"INVALID: only {number} edits were asked on {name} that count")
    if lacking := _lacking(fault, met.since):
        raise InvalidRunError(f"INVALID: {lacking} since the fault began")


def _wait_for_work(fault: LabFault, history: History, begun: float) -> None:
    """Let the load go on until the machines that felt the fault have met each other again."""
    until = time.monotonic() + _WORK_WITHIN_S
    while _lacking(fault, history.between(begun, inf)) and time.monotonic() < until:
        time.sleep(0.1)


def _lacking(fault: LabFault, since: list[Hook]) -> str:
    """What nobody did on a machine that felt the fault; empty when all was done."""
    for name in fault.feels:
        for verdict, what in ((Verdict.HELD, "met another's lock"), (Verdict.ALLOWED, "edited")):
            if not _number(since, name, {verdict}):
                return f"nobody on {name} {what}"
    return ""


def _number(hooks: Iterable[Hook], machine: str, verdicts: Iterable[Verdict]) -> int:
    """How many edits that a machine asked about ended in one of the verdicts."""
    asked = (hook for hook in hooks if hook.machine == machine and hook.event == "PreToolUse")
    return sum(hook.verdict in verdicts for hook in asked)
