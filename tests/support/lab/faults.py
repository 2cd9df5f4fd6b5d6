"""All that may go wrong under load."""

from support.lab.hook_faults import HOOK_FAULTS
from support.lab.network_faults import NETWORK_FAULTS
from support.lab.process_faults import PROCESS_FAULTS
from support.lab.store_faults import STORE_FAULTS

FAULTS = (*PROCESS_FAULTS, *HOOK_FAULTS, *NETWORK_FAULTS, *STORE_FAULTS)
