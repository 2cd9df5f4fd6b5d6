"""Which versions of etcd may be trusted with the truth.

3.5.0 to 3.5.2 may skip an entry when they are killed under load, with any number of
members; with one nobody can find out. 3.5.0 to 3.5.4, and those before 3.4.21, answer
before their disk has it where there is one member: a power cut takes back locks
that were granted. Several members agree on the disks of most, and are sound.

To a user without the role root, 3.4.42 and later of 3.4, 3.5.28 to 3.5.31, and 3.6.0 to
3.6.11 do not tell their version (``Maintenance.Status``), nor do some of these tell their
members. So one that does not tell it is none of those that lose data.

See etcd's ``Documentation/postmortems/v3.5-data-inconsistency.md``, its issue
14370, and its changelogs.
"""

import logging
import re
from dataclasses import dataclass

from scoord.errors import InvalidConfig

_log = logging.getLogger(__name__)

SAFE = "3.5.28 or later, or 3.6.9 or later"
UNTOLD = (
    "etcd's version is not known: this one tells it only to users with the role root;"
    " 3.5.32, 3.6.12 and later tell it to all"
)

_Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with a version; both empty when nothing is."""

    refusal: str = ""
    warning: str = ""


class Versions:
    """What versions the members tell, "" of those that do not: each is judged once.

    At the start, or where a member is met later, then: that one is used all the same, since
    what it loses is lost by the cluster, whoever is asked.
    """

    def __init__(self, *, allow_unsafe: bool) -> None:
        self._allow_unsafe = allow_unsafe
        self._told: set[str] = set()
        self._size: int | None = None
        """Of the cluster; None until it was asked for."""

    def hear(self, version: str) -> None:
        """Take in what a member tells."""
        is_new = version not in self._told
        self._told.add(version)
        if is_new and self._size is not None:
            _warn(judge(version, self._size))

    def check(self, size: int) -> None:
        """See that a cluster of ``size`` members may run what was told. Raises InvalidConfig."""
        self._size = size
        for version in sorted(self._told):
            verdict = judge(version, size)
            if verdict.refusal and not self._allow_unsafe:
                raise InvalidConfig(verdict.refusal)
            _warn(verdict)


def judge(version: str, members: int) -> Verdict:
    """Say whether a cluster of ``members`` members may run ``version``; 0 counts as several."""
    parsed = _parse(version)
    if parsed is None:
        strange = f"etcd's version {version!r} is not understood; use {SAFE}"
        return Verdict(warning=strange if version else UNTOLD)
    if (3, 5, 0) <= parsed <= (3, 5, 2):
        return Verdict(f"etcd {version} can skip committed changes after a crash; use {SAFE}")
    if members == 1 and (parsed <= (3, 4, 20) or (3, 5, 3) <= parsed <= (3, 5, 4)):
        return Verdict(f"etcd {version} with one member answers before data is on disk; use {SAFE}")
    if ends_live_leases(version):
        return Verdict(
            warning=f"etcd {version} may end the locks of living sessions when a leader that"
            f" stood still goes on, and has other known faults; use {SAFE}"
        )
    if parsed < (3, 5, 28) or (3, 6, 0) <= parsed <= (3, 6, 8):
        return Verdict(warning=f"etcd {version} has known faults; use {SAFE}")
    return Verdict()


def ends_live_leases(version: str) -> bool:
    """Whether a leader that was replaced may still end leases (etcd's issue 15247)."""
    parsed = _parse(version)
    return parsed is not None and (parsed < (3, 4, 31) or (3, 5, 0) <= parsed < (3, 5, 13))


def _warn(verdict: Verdict) -> None:
    if words := verdict.refusal or verdict.warning:
        _log.warning("%s", words)


def _parse(version: str) -> _Version | None:
    match = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if match is None:
        return None
    major, minor, patch = match.groups()
    return int(major), int(minor), int(patch)
