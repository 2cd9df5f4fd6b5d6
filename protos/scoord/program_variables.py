"""The ``SCOORD_*`` variables that are no settings: they belong to the programs.

Apart from ``variables.py``, which needs every setting: who only looks whether there
is a setting in the environment must not pay for that.
"""

from typing import Final

OF_PROGRAMS: Final = (
    "SCOORD_AGENT_PORT",
    "SCOORD_COMPACTION_INTERVAL",
    "SCOORD_DEBUG",
    "SCOORD_ETCD_ENDPOINTS",
    "SCOORD_ETCD_NAMESPACE",
    "SCOORD_ETCD_PASSWORD",
    "SCOORD_ETCD_USER",
    "SCOORD_HISTORY_LINES",
    "SCOORD_INTENT",
    "SCOORD_LISTEN",
    "SCOORD_PORT",
    "SCOORD_PYTHON",
    "SCOORD_STATE_DIR",
    "SCOORD_TOKEN",
)
