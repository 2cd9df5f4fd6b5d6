"""One planted mistake: what is changed, where, and which tests must notice."""

from dataclasses import dataclass

SERVER = "server/scoord_server"
AGENT = "agent/scoord_agent"
HOOKS = "hooks/scoord_hooks"
SHARED = "protos/scoord"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mistake."""

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]
    """What is run against it, until the first failure."""
