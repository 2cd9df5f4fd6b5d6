"""Names for the things that programs pass to each other."""

from typing import Final, NewType

SessionId = NewType("SessionId", str)
"""``Session_{hostname}_{pid}_{UTC timestamp}``; made by the agent, unique for ever."""

AgentId = NewType("AgentId", str)
"""A subagent within a session; empty for the session's main thread."""

MachineId = NewType("MachineId", str)
"""One user on one machine; random, made at the agent's first start."""

ProjectId = NewType("ProjectId", str)
"""``host/org/name`` of a repository, or ``machine:<id>`` outside any."""

FencingToken = NewType("FencingToken", int)
"""Create revision of a lock's key: rises with every grant. 0 matches no grant."""

NO_GRANT: Final = FencingToken(2**63 - 1)
"""Nor does this: a break that names it breaks nothing, and tells who holds."""

LeaseId = NewType("LeaseId", int)
"""A lease in the store, positive and below 2**63. 0 means none."""

RequestId = NewType("RequestId", str)
"""Names one command, so that repeating it returns the first answer."""
