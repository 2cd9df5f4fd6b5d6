"""Networks that lose what is sent, one way or both, under load."""

import pytest

from support.lab.fault import LabFault
from support.lab.figures import Figures
from support.lab.lab import Lab
from support.lab.network_faults import NETWORK_FAULTS
from support.lab.run import run
from support.lab.store_faults import STORE_FAULTS

pytestmark = pytest.mark.etcd


@pytest.mark.parametrize("fault", NETWORK_FAULTS, ids=lambda fault: str(fault.name))
def test_no_file_has_two_holders_when(team: Lab, fault: LabFault, figures: Figures) -> None:
    run(team, fault, figures)


@pytest.mark.parametrize("fault", STORE_FAULTS, ids=lambda fault: str(fault.name))
def test_no_file_has_two_holders_when_of_etcd(team: Lab, fault: LabFault, figures: Figures) -> None:
    run(team, fault, figures)
