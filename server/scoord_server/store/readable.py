"""What a program of a newer version wrote, and this one cannot read: left out, and said once."""

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from google.protobuf.message import DecodeError

from scoord.bounded import MOST_SAID, Once
from scoord_server.store.port import KeyValue

T = TypeVar("T")

_log = logging.getLogger(__name__)

_unreadable = Once[tuple[bytes, int]](MOST_SAID)
"""Which values were said: what looks every second finds them every time."""


def readable(read: Callable[[KeyValue], T], kvs: Iterable[KeyValue]) -> Iterator[T]:
    """What ``read`` makes of each of ``kvs`` that it can read.

    Not for what a grant or a new key is decided by: what cannot be read may be in its way.
    """
    for kv in kvs:
        try:
            found = read(kv)
        except DecodeError:
            say_unreadable(kv)
        else:
            yield found


def say_unreadable(kv: KeyValue) -> None:
    """Say, once, that the value of a key is left out."""
    if _unreadable.is_new((kv.key, kv.mod_revision)):
        _log.warning("the value of %r cannot be read and is left out", kv.key)
