"""One endpoint of etcd: its channel, and what is known of the member behind it."""

import asyncio

import grpc

from scoord_server.store.etcd.stubs import rpc

_AVOID_S = 5.0
_AVOID_LONGEST_S = 60.0
"""Of a member that lets each call wait that it is tried with. Pings end its connection only
while a call lasts, and that does not last long enough."""


class Member:
    """Etcd's services at one address, whether they are to be used, and of which cluster."""

    def __init__(self, address: str, channel: grpc.aio.Channel) -> None:
        self.address = address
        self.channel = channel
        self.cluster_id = 0
        """Of the cluster that it last said it is of; 0 while it never did."""
        self.is_met = False
        """Whether it has said so on this connection: the next one may lead to another."""
        self._avoid_until = 0.0
        self._avoid_s = _AVOID_S
        self.kv = rpc.KVStub(channel)
        self.lease = rpc.LeaseStub(channel)
        self.watch = rpc.WatchStub(channel)
        self.auth = rpc.AuthStub(channel)
        self.cluster = rpc.ClusterStub(channel)
        self.maintenance = rpc.MaintenanceStub(channel)

    def is_connected(self) -> bool:
        """Whether calls can go out at once; begins to connect if not."""
        state = self.channel.get_state(try_to_connect=True)
        is_ready = state is grpc.ChannelConnectivity.READY
        # A connection that broke stays idle until this asks for the next, or a call that was
        # under way to it: of that one the answer tells, or ``link`` asks when it is refused.
        self.is_met = self.is_met and is_ready
        return is_ready

    def has_failed(self) -> bool:
        """Whether it could not be connected to when that was tried last."""
        return self.channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE

    def said(self, cluster: int) -> None:
        """Keep of which cluster it is, 0 where an answer leaves that out."""
        self.cluster_id = cluster or self.cluster_id
        self.is_met = self.is_connected()

    def avoid(self) -> None:
        """Let others have its turns for a while."""
        self._avoid_until = now() + self._avoid_s

    def is_avoided(self) -> bool:
        """Whether others have its turns."""
        return self._avoid_until > now()

    def tried(self, ends_at: float) -> None:
        """Have one call find out by then whether it answers again, which no other waits for.

        If it does not, it is avoided for longer than before.
        """
        if self._avoid_until and not self.is_avoided():
            self._avoid_until = ends_at
            self._avoid_s = min(2 * self._avoid_s, _AVOID_LONGEST_S)

    def answered(self) -> None:
        """Give it its turns again."""
        self._avoid_until, self._avoid_s = 0.0, _AVOID_S


def now() -> float:
    """Loop time."""
    return asyncio.get_running_loop().time()
