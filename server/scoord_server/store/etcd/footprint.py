"""What a transaction touches, to tell which may be sent together."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from scoord_server.store.intervals import covers, overlap
from scoord_server.store.port import Get, Txn

_Range = tuple[bytes, bytes]


@dataclass(slots=True)
class Footprint:
    """Keys and ranges that are read, and that are written, in either branch."""

    reads: set[bytes] = field(default_factory=set)
    writes: set[bytes] = field(default_factory=set)
    read_ranges: list[_Range] = field(default_factory=list)
    write_ranges: list[_Range] = field(default_factory=list)

    @classmethod
    def of(cls, txn: Txn) -> "Footprint":
        """See what ``txn`` touches."""
        touched = cls()
        for compare in txn.compares:
            touched._add(compare.key, compare.end, is_write=False)
        for operation in (*txn.then, *txn.otherwise):
            end = getattr(operation, "end", b"")
            touched._add(operation.key, end, is_write=not isinstance(operation, Get))
        return touched

    def conflicts(self, other: "Footprint") -> bool:
        """Whether one writes what the other reads or writes."""
        return _spoils(self, other) or _spoils(other, self)

    def merge(self, other: "Footprint") -> None:
        """Add what ``other`` touches."""
        self.reads |= other.reads
        self.writes |= other.writes
        self.read_ranges += other.read_ranges
        self.write_ranges += other.write_ranges

    def _add(self, key: bytes, end: bytes, *, is_write: bool) -> None:
        if end:
            (self.write_ranges if is_write else self.read_ranges).append((key, end))
        else:
            (self.writes if is_write else self.reads).add(key)


def _spoils(one: Footprint, other: Footprint) -> bool:
    """Whether what the one writes is touched by the other."""
    if not (one.writes.isdisjoint(other.reads) and one.writes.isdisjoint(other.writes)):
        return True
    ranges = [*other.read_ranges, *other.write_ranges]
    return (
        _any_covered(one.writes, ranges)
        or _any_covered(other.reads | other.writes, one.write_ranges)
        or _any_overlap(one.write_ranges, ranges)
    )


def _any_covered(keys: Iterable[bytes], ranges: Iterable[_Range]) -> bool:
    return any(covers(start, end, key) for start, end in ranges for key in keys)


def _any_overlap(ranges: Iterable[_Range], others: Iterable[_Range]) -> bool:
    return any(overlap(*one, *other) for one in ranges for other in others)
