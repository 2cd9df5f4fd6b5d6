"""Which cluster is ours.

Endpoints of two clusters, used as one, would grant a file once in each. So a member is asked
nothing but which cluster it is of, until it has said on this connection that it is of ours.
"""

from collections.abc import Sequence

from scoord_server.store.etcd.failures import NotHere
from scoord_server.store.etcd.member import Member


class OtherCluster(NotHere):
    """A member is of another cluster than those before it."""


class OneCluster:
    """That of the first answer, until most of its members are of another, as after a restore.

    One member alone that was wiped is a cluster of its own, and comes back before the others
    where all were without power. Where most have left, those that stay decide nothing.
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

    def hear(self, member: Member, cluster: int) -> None:
        """Take in of which cluster an answer of ``member`` is. Raises OtherCluster."""
        was_ours = member.cluster_id == self._id
        member.said(cluster)
        if not cluster:
            return  # etcd's own proxies leave it out of some
        if not self._id or (was_ours and self._is_gone_to(cluster)):
            self._id = cluster
        if cluster != self._id:
            raise OtherCluster(self._line(member))

    def _is_gone_to(self, cluster: int) -> bool:
        told = [member.cluster_id for member in self._members]
        return told.count(cluster) > told.count(self._id)

    def _line(self, member: Member) -> str:
        ours = ", ".join(one.address for one in self._members if one.cluster_id == self._id)
        return (
            f"etcd at {member.address} is of another cluster ({member.cluster_id:x}) than"
            f" {ours or 'the one before it'} ({self._id:x}): name endpoints of one cluster only"
        )
