"""Leases: what every adapter of the store port does alike."""

import asyncio

import pytest

from scoord.ids import LeaseId
from scoord_server.store.port import (
    Delete,
    LeaseExists,
    LeaseNotFound,
    Put,
    Txn,
)
from support.stores import Subject, absent, told

NOBODY = LeaseId(4_611_686_018_427_387_903)


async def test_a_lease_is_granted_for_at_least_what_was_asked(subject: Subject) -> None:
    assert await subject.store.grant(LeaseId(await subject.grant() ^ 1), 30) == 30
    assert await subject.store.grant(LeaseId(await subject.grant() ^ 1), 1) >= 1


async def test_a_lease_id_is_given_once(subject: Subject) -> None:
    lease = await subject.grant()

    with pytest.raises(LeaseExists):
        await subject.store.grant(lease, 60)


async def test_renewing_answers_what_is_left_and_zero_for_unknown(subject: Subject) -> None:
    short, long = await subject.grant(30), await subject.grant(60)

    assert {short: 30, long: 60, NOBODY: 0} == await subject.store.keep_alive(
        [short, long, NOBODY, short]
    )


async def test_renewing_nothing_answers_nothing(subject: Subject) -> None:
    assert await subject.store.keep_alive([]) == {}


async def test_many_leases_are_renewed_at_once(subject: Subject) -> None:
    leases = await asyncio.gather(*(subject.grant(30) for _ in range(200)))

    renewals = await asyncio.gather(*(subject.store.keep_alive(leases) for _ in range(3)))

    assert [dict.fromkeys(leases, 30)] * 3 == renewals


async def test_revoking_deletes_the_keys_in_one_revision(subject: Subject) -> None:
    lease = await subject.grant()
    await subject.do(Put(b"b", b"", lease), Put(b"a", b"", lease), Put(b"free", b""))
    before = await subject.revision()

    await subject.store.revoke(lease)

    assert before + 1 == await subject.revision()
    assert [kv.key for kv in (await subject.store.range(b"a", b"z")).kvs] == [b"free"]
    assert {lease: 0} == await subject.store.keep_alive([lease])


async def test_revoking_a_lease_without_keys_takes_no_revision(subject: Subject) -> None:
    before = await subject.put(b"k")

    await subject.store.revoke(await subject.grant())

    assert before == await subject.revision()


async def test_revoking_what_is_gone_says_so(subject: Subject) -> None:
    lease = await subject.grant()
    await subject.store.revoke(lease)

    with pytest.raises(LeaseNotFound):
        await subject.store.revoke(lease)


async def test_a_revoked_id_may_be_granted_again(subject: Subject) -> None:
    lease = await subject.grant()
    await subject.put(b"k", b"", lease)
    await subject.store.revoke(lease)

    await subject.store.grant(lease, 30)

    assert {lease: 30} == await subject.store.keep_alive([lease])
    assert await subject.get(b"k") is None


async def test_a_put_on_a_lease_that_is_gone_changes_nothing(subject: Subject) -> None:
    before = await subject.put(b"a")

    with pytest.raises(LeaseNotFound):
        await subject.do(Put(b"b", b""), Put(b"c", b"", NOBODY))

    assert before == await subject.revision()


async def test_a_dead_lease_in_the_branch_not_taken_does_not_matter(subject: Subject) -> None:
    txn = Txn((absent(b"k"),), (Put(b"k", b""),), (Put(b"k", b"", NOBODY),))

    assert (await subject.store.txn(txn)).succeeded


async def test_a_key_put_on_another_lease_leaves_the_first(subject: Subject) -> None:
    first, second = await subject.grant(), await subject.grant()
    await subject.put(b"k", b"", first)
    await subject.put(b"k", b"", second)

    await subject.store.revoke(first)
    kept = await subject.get(b"k")
    await subject.store.revoke(second)

    assert kept is not None
    assert second == kept.lease
    assert await subject.get(b"k") is None


async def test_a_key_put_without_a_lease_is_bound_no_more(subject: Subject) -> None:
    lease = await subject.grant()
    await subject.put(b"k", b"", lease)
    await subject.put(b"k")

    await subject.store.revoke(lease)

    kept = await subject.get(b"k")
    assert kept is not None
    assert kept.lease == 0


async def test_a_key_deleted_and_made_again_is_not_bound(subject: Subject) -> None:
    lease = await subject.grant()
    await subject.put(b"k", b"", lease)
    await subject.do(Delete(b"k"))
    await subject.put(b"k")

    await subject.store.revoke(lease)

    assert await subject.get(b"k") is not None


async def test_a_lease_expires_with_its_keys_unless_renewed(subject: Subject) -> None:
    dying, living = await subject.grant(3), await subject.grant(3)
    before = await subject.put(b"dies/2", b"", dying)
    await subject.do(Put(b"dies/1", b"", dying), Put(b"lives", b"", living))

    for _ in range(2):
        await subject.let_pass(0.8)
        assert {living: 3} == await subject.store.keep_alive([living])

    gone = await subject.events(b"dies/", before + 2, 2)
    assert [told(e) for e in gone] == [("delete", b"dies/1", b""), ("delete", b"dies/2", b"")]
    assert len({event.kv.mod_revision for event in gone}) == 1
    assert {dying: 0, living: 3} == await subject.store.keep_alive([dying, living])
    assert await subject.get(b"lives") is not None
