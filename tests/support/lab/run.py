"""One fault under load: health, the fault, healing, and the promises checked."""

import os
import secrets
import time
from math import inf

from support.lab.checks import check
from support.lab.faults import Fault
from support.lab.figures import Figures
from support.lab.lab import Lab
from support.lab.load import FILES, History, Hook, Load, Verdict
from support.machines import FAST_LEASES
from support.missing import cannot_run
from support.processes import wait_until

TTL_S = float(FAST_LEASES["SCOORD_LEASES_TTL"])
_BEFORE_S = 0.6
_AFTER_S = 0.6


def seed() -> int:
    """What decides all that is random; ``SCOORD_FAULT_SEED`` repeats a run."""
    named = os.environ.get("SCOORD_FAULT_SEED")
    return int(named) if named else secrets.randbits(32)


def run(lab: Lab, fault: Fault, figures: Figures) -> History:
    """Let ``fault`` happen once; what the load saw. Fails where a promise is broken."""
    if reason := fault.available():
        cannot_run(reason)
    lab.check_health()
    load = Load(lab, chosen := seed())
    print(f"{fault.name}: SCOORD_FAULT_SEED={chosen}")
    with load.running() as history:
        time.sleep(_BEFORE_S)
        with fault.inject(lab) as proof:
            begun = time.monotonic()
            time.sleep(fault.lasts_s / 2)
            fired = proof()
            time.sleep(fault.lasts_s / 2)
            during = history.between(begun, time.monotonic())
        healed_s = lab.heal_s()
        time.sleep(_AFTER_S)
    _check_valid(fault, history, during, fired=fired)
    lab.log.caught_up(next(iter(lab.stores.values())))
    check(history, lab.log)
    freed_s = _freed_s(lab)
    lab.check_health()
    figures.fault(fault.name, history.longest_s(), healed_s, freed_s, len(during))
    assert healed_s <= fault.heals_within_s, f"edits succeeded {healed_s:.1f} s after healing"
    return history


def _freed_s(lab: Lab) -> float:
    """The seconds until all that the load's sessions had is free; they have ended."""

    def free() -> bool:
        return not any(h.path in FILES and h.ended_seen == inf for h in lab.log.holdings())

    return wait_until("what ended sessions held is free", free, TTL_S + 2)


def _check_valid(fault: Fault, history: History, during: list[Hook], *, fired: bool) -> None:
    """A run that tested nothing has not passed."""
    assert fired, f"INVALID: the fault did not happen: {fault.name}"
    assert len(during) >= fault.thin, f"INVALID: only {len(during)} hooks during the fault"
    contended = sum(hook.verdict is Verdict.HELD for hook in history.hooks)
    assert contended, "INVALID: nobody met another's lock"
    assert history.sections, "INVALID: nobody edited"
