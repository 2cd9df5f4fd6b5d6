"""A store that changes nothing for a caller who does not wait any more.

A process that stood still goes on in the midst of commands whose callers gave up long
since: gRPC cancels each, but its next step may come first. A release among them, of an
agent that was killed meanwhile, would end what the agent after it believes in. So each
change is preceded by a look at the time: what is left for it to come late is the way from
here to the store, and the store itself.
"""

from collections.abc import Callable
from contextvars import ContextVar

from scoord.errors import DeadlineExceeded
from scoord.ids import LeaseId
from scoord_server.store.port import Txn, TxnResult
from scoord_server.store.wrapped import WrappedStore


def for_ever() -> float | None:
    """The time of whoever waits until it is done: what a coordinator does by itself."""
    return None


time_left: ContextVar[Callable[[], float | None]] = ContextVar("time_left", default=for_ever)
"""Says for how many more seconds the caller of this command waits; None is for ever."""


class TimelyStore(WrappedStore):
    """As the store beneath it, but that it changes nothing after the time of a command.

    What is passed on untimed changes nothing that anybody could miss.
    """

    async def txn(self, txn: Txn) -> TxnResult:
        """As the store. Raises DeadlineExceeded, and then nothing is done."""
        _check_time()
        return await self._store.txn(txn)

    async def revoke(self, lease: LeaseId) -> None:
        """As the store. Raises DeadlineExceeded, and then nothing is done."""
        _check_time()
        await self._store.revoke(lease)


def _check_time() -> None:
    left_s = time_left.get()()
    if left_s is not None and left_s <= 0:
        raise DeadlineExceeded("the time of this command is over; nothing was done")
