"""Which cluster is ours.

Endpoints of two clusters, used as one, would grant a file once in each. So a member is asked
nothing but which cluster it is of, until it has said on this connection that it is of ours.
A call that goes out as the connection breaks may open the next one, and ask a stranger all
the same: what that answers is not believed.
"""

import logging
from collections.abc import Sequence

from scoord.errors import InvalidConfig
from scoord_server.store.etcd.failures import NotHere
from scoord_server.store.etcd.member import Member

_log = logging.getLogger(__name__)


class OtherCluster(NotHere):
    """A member is of another cluster than those before it."""


class OneCluster:
    """That of the first answer, until most endpoints are of another, as after a restore.

    One member alone that was wiped is a cluster of its own, and comes back before the others
    where all were without power. So fewer than most decide nothing, whichever of them speaks;
    and of a cluster of fewer members than there are endpoints, most have to be heard first.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members
        self._id = 0

    def has(self, member: Member) -> bool:
        """Whether ``member`` may be asked more than which cluster it is of."""
        return member.is_met and member.cluster_id in (0, self._id)

    def shuns(self, member: Member) -> bool:
        """Whether ``member`` is of another cluster."""
        return member.is_met and not self.has(member)

    def left_out(self) -> str:
        """Who is left out now, to say with what went wrong elsewhere; empty where nobody is."""
        shunned = ", ".join(one.address for one in self._members if self.shuns(one))
        return f"of another cluster, and left out: {shunned}" if shunned else ""

    def hear(self, member: Member, cluster: int) -> None:
        """Take in of which cluster an answer of ``member`` is. Raises OtherCluster."""
        member.said(cluster)
        if not cluster:
            return  # etcd's own proxies leave it out of some
        if not self._id:
            self._id = cluster
        elif cluster != self._id and self._is_of_most(cluster):
            _log.warning("most endpoints of etcd are of another cluster now: %x", cluster)
            self._id = cluster
        if cluster != self._id:
            raise OtherCluster(self._line(member))

    def check_strangers(self) -> None:
        """See that who is of another cluster may be left out. Raises InvalidConfig."""
        for stranger in filter(self.shuns, self._members):
            if not self._is_of_most(self._id):
                raise InvalidConfig(self._line(stranger))
            self.log_left_out(stranger)

    def log_left_out(self, member: Member) -> None:
        """Say why nothing more is asked of ``member``."""
        _log.error("%s; it is left out until most of them are of that one", self._line(member))

    def check_size(self, size: int) -> None:
        """See that a cluster of ``size`` is no small part of the endpoints. Raises InvalidConfig.

        One of as many members as there are endpoints grants nothing without most of them.
        A size of 0 is one that is not told.
        """
        if 0 < size < len(self._members) and not self._is_of_most(self._id):
            raise InvalidConfig(
                f"etcd at {self._ours()} is a cluster of {size}, and {len(self._members)} endpoints"
                " are named: it may be one that lost its disk; start the others, or name only"
                " the members of this one, each once"
            )

    def _is_of_most(self, cluster: int) -> bool:
        told = [member.cluster_id for member in self._members]
        return 2 * told.count(cluster) > len(told)

    def _ours(self) -> str:
        return ", ".join(one.address for one in self._members if one.cluster_id == self._id)

    def _line(self, member: Member) -> str:
        return (
            f"etcd at {member.address} is of another cluster ({member.cluster_id:x}) than"
            f" {self._ours() or 'the one before it'} ({self._id:x}):"
            " name endpoints of one cluster only"
        )
