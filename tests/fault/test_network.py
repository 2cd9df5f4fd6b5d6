"""Networks that lose what is sent, one way or both, under load."""

import pytest

from support.lab.faults import DISK_FAULTS, NETWORK_FAULTS, Fault
from support.lab.figures import Figures
from support.lab.lab import Lab
from support.lab.run import run

pytestmark = pytest.mark.etcd


@pytest.mark.parametrize("fault", NETWORK_FAULTS, ids=lambda fault: str(fault.name))
def test_no_file_has_two_holders_when(team: Lab, fault: Fault, figures: Figures) -> None:
    run(team, fault, figures)


@pytest.mark.parametrize("fault", DISK_FAULTS, ids=lambda fault: str(fault.name))
def test_no_file_has_two_holders_when_a_disk_fails(
    team: Lab, fault: Fault, figures: Figures
) -> None:
    run(team, fault, figures)
