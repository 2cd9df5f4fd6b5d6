r"""Key intervals as etcd writes them.

An empty ``end`` means the one key; ``b"\0"`` means every key from ``key`` on;
anything else means ``[key, end)``.
"""

TO_THE_LAST = b"\0"


def covers(key: bytes, end: bytes, other: bytes) -> bool:
    """Whether ``other`` lies in the interval."""
    if not end:
        return other == key
    return key <= other and (end == TO_THE_LAST or other < end)


def overlap(key: bytes, end: bytes, other_key: bytes, other_end: bytes) -> bool:
    """Whether two intervals share a key."""
    return _begins_before(key, other_key, other_end) and _begins_before(other_key, key, end)


def _begins_before(key: bytes, other_key: bytes, other_end: bytes) -> bool:
    """Whether ``key`` is not behind the other interval."""
    if not other_end:
        return key <= other_key
    return other_end == TO_THE_LAST or key < other_end
