"""Programs that are killed or stand still, one after another, under load."""

import functools
import time

import pytest

from scoord_server.store.etcd.versions import ends_live_leases
from support.lab.fault import LabFault
from support.lab.figures import Figures
from support.lab.hook_faults import HOOK_FAULTS
from support.lab.lab import MACHINES, Lab
from support.lab.process_faults import PROCESS_FAULTS
from support.lab.run import TTL_S, run
from support.lab.team import LabSession, stopped
from support.machines import refusal
from support.processes import wait_until

pytestmark = pytest.mark.etcd


@pytest.mark.parametrize(
    "fault", [*PROCESS_FAULTS, *HOOK_FAULTS], ids=lambda fault: str(fault.name)
)
def test_no_file_has_two_holders_when(team: Lab, fault: LabFault, figures: Figures) -> None:
    run(team, fault, figures)


@pytest.mark.parametrize("leads", [True, False], ids=["the leader", "a follower"])
def test_nobody_loses_a_lock_while_a_member_of_etcd_stands_still(team: Lab, leads: bool) -> None:
    """A member of etcd: it looks connected until its pings fail, also to renewals."""
    team.check_health()
    member = team.leader() if leads else team.followers()[0]
    sessions = [team.session(name, f"{name}-{member}-{leads}", shim=False) for name in MACHINES]
    try:
        for session in sessions:
            session.start()
            _edit(session)
        with stopped(team.stores[member].pid):
            until = time.monotonic() + TTL_S + 1
            while time.monotonic() < until:
                for session in sessions:
                    _edit(session)
                time.sleep(0.1)
            goes_on = time.monotonic()
        team.check_health()
        grants = [h for h in team.log.holdings() if f"-{member}-{leads}.py" in h.path]
        assert goes_on <= min(grant.ended_seen for grant in grants), "none ended meanwhile"
        if leads and ends_live_leases(team.stores[member].version()):
            for session in sessions:
                wait_until(f"{session.session_id} edits again", functools.partial(_edits, session))
        else:
            assert len(MACHINES) == len(grants), "each was granted once"
    finally:
        for session in sessions:
            session.end()
            session.kill()


def _edit(session: LabSession) -> None:
    assert "" == refusal(session.edit(f"{session.session_id}.py"))


def _edits(session: LabSession) -> bool:
    return "" == refusal(session.edit(f"{session.session_id}.py"))
