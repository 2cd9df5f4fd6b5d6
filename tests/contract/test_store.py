"""What every adapter of the store port does alike."""

import operator
from collections.abc import Callable

import pytest

from scoord.errors import InvalidRequest
from scoord.ids import LeaseId
from scoord_server.store.port import (
    Compare,
    Delete,
    Get,
    KeyValue,
    Operation,
    Put,
    Relation,
    Target,
    Txn,
    prefix_end,
)
from support.stores import Subject, absent, compare, create

# -- revisions and versions ------------------------------------------------------


async def test_a_new_key_has_version_one_and_both_revisions_of_its_txn(subject: Subject) -> None:
    revision = await subject.put(b"k", b"v")

    assert KeyValue(b"k", b"v", revision, revision, 1, LeaseId(0)) == await subject.get(b"k")


async def test_putting_again_keeps_the_create_revision(subject: Subject) -> None:
    created = await subject.put(b"k", b"1")
    changed = await subject.put(b"k", b"2")

    assert KeyValue(b"k", b"2", created, changed, 2, LeaseId(0)) == await subject.get(b"k")


async def test_a_key_that_is_made_again_starts_over(subject: Subject) -> None:
    await subject.put(b"k")
    await subject.do(Delete(b"k"))
    again = await subject.put(b"k", b"v")

    assert KeyValue(b"k", b"v", again, again, 1, LeaseId(0)) == await subject.get(b"k")


async def test_each_txn_that_changes_something_is_one_revision(subject: Subject) -> None:
    first = await subject.put(b"a")
    second = (await subject.do(Put(b"b", b""), Put(b"c", b""), Delete(b"a"))).revision

    assert first + 1 == second == await subject.revision()


@pytest.mark.parametrize("operation", [Get(b"k"), Delete(b"k"), Delete(b"k", b"l")])
async def test_a_txn_that_changes_nothing_takes_no_revision(
    subject: Subject, operation: Operation
) -> None:
    before = await subject.put(b"other")

    assert before == (await subject.do(operation)).revision
    assert before == await subject.revision()


async def test_a_put_of_the_same_value_is_a_change(subject: Subject) -> None:
    first = await subject.put(b"k", b"v")

    assert first + 1 == await subject.put(b"k", b"v")


# -- compares --------------------------------------------------------------------

RELATIONS: dict[Relation, Callable[[int, int], bool]] = {
    Relation.EQUAL: operator.eq,
    Relation.LESS: operator.lt,
    Relation.GREATER: operator.gt,
}


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize("relation", Relation)
async def test_a_compare_is_key_relation_number(
    subject: Subject, target: Target, relation: Relation
) -> None:
    created, lease = await subject.put(b"k"), await subject.grant()
    changed = await subject.put(b"k", lease=lease)
    actual = {
        Target.VERSION: 2,
        Target.CREATE: created,
        Target.MOD: changed,
        Target.LEASE: lease,
    }[target]

    for number in (actual - 1, actual, actual + 1):
        expected = RELATIONS[relation](actual, number)
        assert expected == await subject.holds(compare(b"k", target, relation, number))


@pytest.mark.parametrize("target", Target)
async def test_an_absent_key_compares_as_zero(subject: Subject, target: Target) -> None:
    assert await subject.holds(compare(b"none", target, Relation.EQUAL, 0))
    assert not await subject.holds(compare(b"none", target, Relation.GREATER, 0))


async def test_all_compares_of_a_txn_must_hold(subject: Subject) -> None:
    await subject.put(b"there")

    assert await subject.holds(absent(b"x"), absent(b"y"))
    assert not await subject.holds(absent(b"x"), absent(b"there"))


async def test_a_compare_over_a_range_must_hold_for_every_key_in_it(subject: Subject) -> None:
    await subject.put(b"p/a")
    revision = await subject.put(b"p/b")
    unchanged_since = compare(b"p/", Target.MOD, Relation.LESS, revision + 1, prefix_end(b"p/"))
    assert await subject.holds(unchanged_since)

    await subject.put(b"p/a")

    assert not await subject.holds(unchanged_since)


async def test_a_compare_over_an_empty_range_compares_zero(subject: Subject) -> None:
    end = prefix_end(b"none/")

    assert await subject.holds(compare(b"none/", Target.MOD, Relation.LESS, 5, end))
    assert not await subject.holds(compare(b"none/", Target.VERSION, Relation.GREATER, 0, end))


# -- transactions ----------------------------------------------------------------


async def test_only_one_branch_runs(subject: Subject) -> None:
    txn = Txn((absent(b"k"),), (Put(b"k", b"then"),), (Put(b"k", b"otherwise"),))

    assert (await subject.store.txn(txn)).succeeded
    assert not (await subject.store.txn(txn)).succeeded
    value = await subject.get(b"k")
    assert value is not None
    assert value.value == b"otherwise"


async def test_a_create_that_loses_answers_with_the_winner(subject: Subject) -> None:
    won = await subject.store.txn(create(b"lock", b"mine"))
    lost = await subject.store.txn(create(b"lock", b"yours"))

    assert not lost.succeeded
    (holder,) = lost.results[0].kvs
    assert (b"mine", won.revision) == (holder.value, holder.create_revision)


async def test_a_read_leaves_out_what_was_put_before_the_revision_it_asks_from(
    subject: Subject,
) -> None:
    old = await subject.put(b"p/old")
    await subject.put(b"p/a")
    new = await subject.put(b"p/b")
    await subject.put(b"p/a")
    of_all, of_one, _, with_its_own = (
        await subject.do(
            Get(b"p/", b"p0", new),
            Get(b"p/old", since=old + 1),
            Put(b"p/c", b""),
            Get(b"p/", b"p0", new),
        )
    ).results

    assert [kv.key for kv in of_all.kvs] == [b"p/a", b"p/b"]
    assert of_one.kvs == ()
    assert [kv.key for kv in with_its_own.kvs] == [b"p/a", b"p/b", b"p/c"]


async def test_reads_in_a_txn_see_what_it_has_written_so_far(subject: Subject) -> None:
    await subject.put(b"a", b"old")
    get = Get(b"a", b"z")
    before, _, between, _, after = (
        await subject.do(get, Put(b"b", b"new"), get, Delete(b"a"), get)
    ).results

    assert [kv.key for kv in before.kvs] == [b"a"]
    assert [kv.key for kv in between.kvs] == [b"a", b"b"]
    assert [(b"b", 1, await subject.revision())] == [
        (kv.key, kv.version, kv.mod_revision) for kv in after.kvs
    ]


async def test_a_delete_counts_what_it_deleted(subject: Subject) -> None:
    await subject.do(Put(b"d/1", b""), Put(b"d/2", b""), Put(b"e", b""))

    one, rest, none = (
        await subject.do(Delete(b"d/1"), Delete(b"d/", prefix_end(b"d/")), Delete(b"d/1"))
    ).results

    assert (one.deleted, rest.deleted, none.deleted) == (1, 1, 0)
    assert await subject.get(b"e") is not None


async def test_compares_see_the_state_before_the_txn(subject: Subject) -> None:
    result = await subject.store.txn(Txn((absent(b"k"),), (Put(b"k", b""), Get(b"k"))))

    assert result.succeeded
    assert len(result.results[1].kvs) == 1


# -- what is refused -------------------------------------------------------------


def puts(number: int) -> tuple[Operation, ...]:
    return tuple(Put(b"n/%d" % i, b"") for i in range(number))


async def test_128_operations_are_taken(subject: Subject) -> None:
    assert len((await subject.do(*puts(128))).results) == 128


@pytest.mark.parametrize(
    "txn",
    [
        Txn((), puts(129)),
        Txn((), (), puts(129)),
        Txn(tuple(absent(b"n/%d" % i) for i in range(129))),
        Txn((), (Put(b"k", b"1"), Put(b"k", b"2"))),
        Txn((), (Put(b"k", b""), Delete(b"k"))),
        Txn((), (Delete(b"a", b"z"), Put(b"k", b""))),
        Txn((), (Put(b"", b""),)),
        Txn((), (), (Get(b""),)),
        Txn((absent(b""),)),
        Txn((), (Put(b"k", b"x" * (2 << 20)),)),
        Txn((Compare(b"k", Target.MOD, Relation.LESS, 1 << 63),)),
    ],
    ids=[
        *("129 then", "129 otherwise", "129 compares", "put twice", "put and delete"),
        *("put in a deleted range", "empty put key", "empty get key", "empty compare key"),
        *("too big", "compared with what no revision can be"),
    ],
)
async def test_a_wrong_txn_is_refused_and_changes_nothing(subject: Subject, txn: Txn) -> None:
    before = await subject.revision()

    with pytest.raises(InvalidRequest):
        await subject.store.txn(txn)

    assert before == await subject.revision()


@pytest.mark.parametrize(("lease", "ttl_s"), [(0, 5), (-1, 5), (1 << 63, 5), (7, 0), (7, 10**10)])
async def test_an_impossible_lease_is_refused(subject: Subject, lease: int, ttl_s: int) -> None:
    with pytest.raises(InvalidRequest):
        await subject.store.grant(LeaseId(lease), ttl_s)


async def test_deletes_may_overlap(subject: Subject) -> None:
    await subject.put(b"k")

    one, other = (await subject.do(Delete(b"k"), Delete(b"a", b"z"))).results

    assert (one.deleted, other.deleted) == (1, 0)


# -- ranges and bytes ------------------------------------------------------------


async def test_a_range_is_sorted_by_bytes_and_ends_before_its_end(subject: Subject) -> None:
    await subject.do(*(Put(key, b"") for key in (b"b", b"a\xff", b"a", b"a\x00", b"c")))

    found = await subject.store.range(b"a", b"c")

    assert [kv.key for kv in found.kvs] == [b"a", b"a\x00", b"a\xff", b"b"]


async def test_a_range_can_go_to_the_last_key(subject: Subject) -> None:
    await subject.do(Put(b"a", b""), Put(b"b", b""), Put(b"\xff\xff", b""))

    assert [kv.key for kv in (await subject.store.range(b"b", b"\0")).kvs] == [b"b", b"\xff\xff"]


async def test_a_range_whose_end_is_before_its_key_is_empty(subject: Subject) -> None:
    await subject.put(b"b")

    assert (await subject.store.range(b"c", b"a")).kvs == ()


async def test_prefixes_that_end_in_0xff_work(subject: Subject) -> None:
    await subject.do(*(Put(key, b"") for key in (b"a\xff\x01", b"a\xff", b"b")))

    found = await subject.store.range(b"a\xff", prefix_end(b"a\xff"))

    assert [kv.key for kv in found.kvs] == [b"a\xff", b"a\xff\x01"]


@pytest.mark.parametrize(
    ("limit", "descending", "expected"),
    [
        (2, False, [b"a", b"b"]),
        (2, True, [b"c", b"b"]),
        (0, True, [b"c", b"b", b"a"]),
        (9, False, [b"a", b"b", b"c"]),
    ],
)
async def test_a_range_can_be_cut_and_read_from_its_end(
    subject: Subject, limit: int, descending: bool, expected: list[bytes]
) -> None:
    await subject.do(*(Put(key, b"") for key in (b"a", b"b", b"c", b"d")))

    found = await subject.store.range(b"a", b"d", limit=limit, descending=descending)

    assert expected == [kv.key for kv in found.kvs]


async def test_keys_are_counted_without_being_read(subject: Subject) -> None:
    await subject.do(*(Put(key, b"") for key in (b"a", b"b", b"c")))

    counted = [await subject.store.count(*ends) for ends in ((b"a", b"c"), (b"b", b"\0"))]

    assert [2, 2, 0] == [*counted, await subject.store.count(b"c", b"a")]
    assert [1, 0] == [await subject.store.count(key, b"") for key in (b"a", b"0")]


async def test_values_and_keys_are_any_bytes(subject: Subject) -> None:
    everything = bytes(range(256))
    await subject.put(everything, everything)

    kv = await subject.get(everything)

    assert kv is not None
    assert (everything, everything) == (kv.key, kv.value)


async def test_big_values_are_kept(subject: Subject) -> None:
    big = b"x" * 1_000_000
    for key in (b"big/1", b"big/2", b"big/3", b"big/4", b"big/5"):
        await subject.put(key, big)

    # Together more than the 4 MiB that gRPC takes unless told otherwise.
    found = await subject.store.range(b"big/", prefix_end(b"big/"))

    assert [big] * 5 == [kv.value for kv in found.kvs]


# -- the end ---------------------------------------------------------------------


async def test_closing_twice_is_no_error(subject: Subject) -> None:
    await subject.store.close()
    await subject.store.close()
