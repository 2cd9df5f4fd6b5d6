"""What etcd meets on its own machine: disks, its quota, and its operators."""

import contextlib
from collections.abc import Iterator

from support.lab.fault import LabFault, Proof
from support.lab.lab import Lab
from support.lab.trouble import failing_disk, filled_up, no_strace, slowed_disk
from support.processes import wait_until


@contextlib.contextmanager
def _disk_slow(lab: Lab) -> Iterator[Proof]:
    with slowed_disk(lab.stores[lab.leader()].pid, delay_ms=100) as proof:
        yield proof


@contextlib.contextmanager
def _disk_fails(lab: Lab) -> Iterator[Proof]:
    """Its flushes fail, so that it gives up; it is started again when the disk is good."""
    store = lab.stores[lab.leader()]
    with failing_disk(store.pid):
        wait_until("etcd gives up", lambda: not store.is_up)
    yield lambda: not store.is_up
    store.member.kill()
    store.spawn()


@contextlib.contextmanager
def _no_space(lab: Lab) -> Iterator[Proof]:
    with filled_up(list(lab.stores.values())) as proof:
        yield proof


@contextlib.contextmanager
def _tended(lab: Lab) -> Iterator[Proof]:
    """Its operator moves the leader and defragments each member."""
    before, after = lab.leader(), lab.followers()[0]
    lab.stores[before].hand_over(lab.stores[after])
    for store in lab.stores.values():
        store.post("/v3/maintenance/defragment")
    yield lambda: lab.leader() == after


STORE_FAULTS = (
    LabFault("the disk of etcd's leader is slow", _disk_slow, lasts_s=4, thin=2, missing=no_strace),
    LabFault("the disk of etcd's leader fails", _disk_fails, lasts_s=3, missing=no_strace),
    LabFault("etcd has no space", _no_space, lasts_s=2, thin=4),
    LabFault("the leader of etcd is moved, and all are defragmented", _tended),
)
