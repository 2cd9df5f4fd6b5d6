"""What only a real etcd can do to its adapter: die, freeze, forget tokens, change leaders."""

import asyncio
import contextlib
import logging
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scoord.errors import (
    DeadlineExceeded,
    InvalidConfig,
    InvalidRequest,
    StoreUnavailable,
    Unknown,
)
from scoord.ids import LeaseId
from scoord_server.store.etcd import EtcdOptions, EtcdStore
from scoord_server.store.etcd.link import Link
from scoord_server.store.port import (
    Delete,
    Event,
    Put,
    Store,
    Txn,
    TxnResult,
    prefix_end,
)
from support.etcd import Etcd, Member, started
from support.stores import absent

pytestmark = [pytest.mark.etcd, pytest.mark.usefixtures("etcd_binary")]

DEADLINE_S = 1.5


@pytest.fixture
def own_etcd(tmp_path: Path) -> Iterator[Etcd]:
    """A single member of this test's own, to be mistreated."""
    with started(Etcd(tmp_path / "etcd")) as etcd:
        yield etcd


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Etcd]:
    with started(Etcd(tmp_path / "etcd", size=3)) as etcd:
        yield etcd


@pytest.fixture
def tls_etcd(tmp_path: Path) -> Iterator[Etcd]:
    with started(Etcd(tmp_path / "etcd", tls=True)) as etcd:
        yield etcd


@contextlib.asynccontextmanager
async def connected(options: EtcdOptions) -> AsyncIterator[EtcdStore]:
    store = await EtcdStore.connect(options)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(etcd: Etcd, namespace: bytes) -> AsyncIterator[EtcdStore]:
    async with connected(etcd.options(namespace=namespace)) as store:
        yield store


async def put(store: Store, key: bytes, value: bytes = b"", lease: int = 0) -> TxnResult:
    return await store.txn(Txn((), (Put(key, value, LeaseId(lease)),)))


async def put_until_done(store: Store, key: bytes, within_s: float = 15.0) -> None:
    """Put while the store comes back; putting the same again does no harm here."""
    async with asyncio.timeout(within_s):
        while True:
            with contextlib.suppress(Unknown):
                await put(store, key)
                return
            await asyncio.sleep(0.05)


class Watching:
    """A watch in the background, and what it saw."""

    def __init__(self, store: Store, prefix: bytes, from_revision: int) -> None:
        self.events: list[Event] = []
        self._more = asyncio.Condition()
        self.task = asyncio.create_task(self._run(store, prefix, from_revision))

    async def _run(self, store: Store, prefix: bytes, from_revision: int) -> None:
        async with contextlib.aclosing(store.watch(prefix, from_revision)) as batches:
            async for batch in batches:
                async with self._more:
                    self.events += batch.events
                    self._more.notify_all()

    async def sees(self, key: bytes) -> None:
        await self._sees(lambda event: event.kv.key == key)

    async def sees_revision(self, revision: int) -> None:
        await self._sees(lambda event: event.kv.mod_revision == revision)

    async def _sees(self, is_it: Callable[[Event], bool]) -> None:
        try:
            async with asyncio.timeout(15), self._more:
                await self._more.wait_for(lambda: any(map(is_it, self.events)))
        except TimeoutError:
            if self.task.done():
                await self.task  # why it sees nothing any more
            raise

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


# -- a server that dies or freezes -----------------------------------------------


async def test_a_watch_goes_on_after_kill_9_and_loses_and_repeats_nothing(own_etcd: Etcd) -> None:
    async with connected(own_etcd.options()) as store:
        first = (await put(store, b"w/0")).revision
        watching = Watching(store, b"w/", first)
        for number in range(2):
            for _ in range(5):
                seen = (await put(store, b"w/%d" % number)).revision
            await watching.sees_revision(seen)
            own_etcd.member.kill()
            await asyncio.to_thread(own_etcd.start)
            await put_until_done(store, b"w/after %d" % number)
        await watching.sees(b"w/after 1")
        last = (await store.range(b"w/0")).revision
        await watching.stop()

    assert list(range(first, last + 1)) == [event.kv.mod_revision for event in watching.events]


async def test_events_that_happen_while_nobody_listens_come_later(own_etcd: Etcd) -> None:
    async with connected(own_etcd.options()) as deaf, connected(own_etcd.options()) as writer:
        first = (await put(writer, b"w/0")).revision
        watching = Watching(deaf, b"w/", first)
        await watching.sees(b"w/0")
        own_etcd.member.send(signal.SIGSTOP)
        with pytest.raises(DeadlineExceeded):
            await put(writer, b"w/1")
        own_etcd.member.send(signal.SIGCONT)
        await put_until_done(writer, b"w/2")
        await watching.sees(b"w/2")
        await watching.stop()

    assert [e.kv.key for e in watching.events if e.kv.key != b"w/1"] == [b"w/0", b"w/2"]


async def test_every_call_to_a_frozen_server_ends_within_its_deadline(own_etcd: Etcd) -> None:
    async with connected(own_etcd.options()) as store:
        await store.grant(LeaseId(7), 60)
        await store.keep_alive([LeaseId(7)])
        own_etcd.member.send(signal.SIGSTOP)
        started = time.monotonic()

        answers = await asyncio.gather(
            put(store, b"k"),
            store.range(b"k"),
            store.grant(LeaseId(8), 60),
            store.keep_alive([LeaseId(7)]),
            store.revoke(LeaseId(7)),
            store.compact(1),
            return_exceptions=True,
        )
        took_s = time.monotonic() - started
        own_etcd.member.send(signal.SIGCONT)

    assert [DeadlineExceeded] * 6 == [type(answer) for answer in answers]
    assert own_etcd.member.endpoint in str(answers[0])
    assert took_s < DEADLINE_S + 0.5


async def test_a_dead_server_is_known_at_once_and_a_new_one_is_used_at_once(
    own_etcd: Etcd,
) -> None:
    async with connected(own_etcd.options()) as store:
        await put(store, b"k")
        own_etcd.member.kill()
        await asyncio.sleep(0.1)
        started = time.monotonic()
        with pytest.raises(StoreUnavailable, match=own_etcd.member.endpoint):
            await put(store, b"k")
        assert time.monotonic() - started < 0.5

        await asyncio.to_thread(own_etcd.start)
        await put_until_done(store, b"k", within_s=3.0)


async def test_leases_are_renewed_on_a_new_stream_after_a_restart(own_etcd: Etcd) -> None:
    async with connected(own_etcd.options()) as store:
        await store.grant(LeaseId(7), 60)
        assert {LeaseId(7): 60} == await store.keep_alive([LeaseId(7)])
        own_etcd.member.kill()
        with pytest.raises(Unknown):
            await store.keep_alive([LeaseId(7)])
        await asyncio.to_thread(own_etcd.start)
        await put_until_done(store, b"k")

        assert {LeaseId(7): 60} == await store.keep_alive([LeaseId(7)])


async def test_a_watch_that_stays_broken_fails_in_the_end(own_etcd: Etcd) -> None:
    async with connected(own_etcd.options(watch_patience_s=0.5)) as store:
        watching = Watching(store, b"w/", 1)
        await put(store, b"w/1")
        await watching.sees(b"w/1")
        own_etcd.member.kill()

        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(watching.task, 10)


# -- several members -------------------------------------------------------------


async def test_losing_the_leader_costs_little_and_loses_nothing(cluster: Etcd) -> None:
    async with connected(cluster.options()) as store:
        first = (await put(store, b"w/0")).revision
        watching = Watching(store, b"w/", first)
        for victim in cluster.members:
            victim.kill()  # the leader is among them, whichever it is
            await put_until_done(store, b"w/without %s" % victim.name.encode())
            await asyncio.to_thread(cluster.start)
        await put_until_done(store, b"w/end")
        await watching.sees(b"w/end")
        listing = await store.range(b"w/", prefix_end(b"w/"))
        await watching.stop()

    revisions = [event.kv.mod_revision for event in watching.events]
    assert list(range(first, listing.revision + 1)) == revisions
    assert {kv.key for kv in listing.kvs} == {event.kv.key for event in watching.events}


async def test_a_dead_endpoint_is_named_and_does_not_matter_when_another_lives(
    cluster: Etcd, caplog: pytest.LogCaptureFixture
) -> None:
    dead = ("127.0.0.1:1", "no.such.host.invalid:2379")
    endpoints = (dead[0], cluster.member.endpoint, dead[1])
    async with connected(cluster.options(endpoints=endpoints)) as store:
        assert f"etcd at {', '.join(dead)} is not connected; check that it runs" in caplog.text
        for number in range(10):
            await put(store, b"k%d" % number)
        assert len((await store.range(b"k", b"l")).kvs) == 10


async def test_a_frozen_member_is_avoided_after_one_deadline(cluster: Etcd) -> None:
    async with connected(cluster.options()) as store:
        for number in range(6):
            await put(store, b"k%d" % number)
        await asyncio.sleep(1.0)  # or a ping that is under way ends the connection before
        frozen = follower_of(cluster)
        frozen.send(signal.SIGSTOP)
        failed, began = 0, time.monotonic()
        for number in range(30):
            try:
                await put(store, b"k%d" % number)
            except Unknown:
                failed += 1
        took_s = time.monotonic() - began
        frozen.send(signal.SIGCONT)

    assert failed == 1
    assert took_s < DEADLINE_S + 1.0


def follower_of(cluster: Etcd) -> Member:
    """A member that does not lead, so that the others need not elect without it."""
    for member in cluster.members:
        status = member.post("/v3/maintenance/status", {})
        if status["leader"] != status["header"]["member_id"]:
            return member
    raise AssertionError("all lead")


async def test_names_work_as_well_as_addresses(etcd: Etcd, namespace: bytes) -> None:
    endpoint = f"http://localhost:{etcd.member.client_port}/"
    async with connected(etcd.options(endpoints=(endpoint,), namespace=namespace)) as store:
        await put(store, b"k")


# -- who we are ------------------------------------------------------------------


async def test_tls_with_a_client_certificate(tls_etcd: Etcd) -> None:
    async with connected(tls_etcd.options()) as store:
        revision = (await put(store, b"k")).revision
        watching = Watching(store, b"k", revision)
        await watching.sees(b"k")
        await watching.stop()


@pytest.mark.parametrize("missing", [{"cert": None, "key": None}, {"ca": None}])
async def test_tls_without_a_certificate_or_with_another_authority_is_refused(
    tls_etcd: Etcd, missing: dict[str, None]
) -> None:
    said = rf"etcd at {tls_etcd.member.endpoint} .*; check .* the certificates of both$"
    with pytest.raises(StoreUnavailable, match=said):
        await EtcdStore.connect(tls_etcd.options(**missing))


async def test_a_certificate_file_that_is_not_there_is_named(etcd: Etcd, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"no-such-ca\.pem cannot be read"):
        await EtcdStore.connect(etcd.options(ca=tmp_path / "no-such-ca.pem"))


@pytest.fixture
async def guarded(own_etcd: Etcd) -> Etcd:
    """An etcd that asks for a user and a password; ``alice`` may only use ``alice/``."""
    from scoord_server.store.etcd.stubs import rpc

    async with connected(own_etcd.options()) as admin:

        async def call(name: str, request: Any) -> None:
            await admin._link.call(lambda member: getattr(member.auth, name), request)

        await call("UserAdd", rpc.AuthUserAddRequest(name="root", password="secret"))
        await call("RoleAdd", rpc.AuthRoleAddRequest(name="root"))
        await call("UserGrantRole", rpc.AuthUserGrantRoleRequest(user="root", role="root"))
        await call("UserAdd", rpc.AuthUserAddRequest(name="alice", password="pw"))
        await call("RoleAdd", rpc.AuthRoleAddRequest(name="alice"))
        await call("UserGrantRole", rpc.AuthUserGrantRoleRequest(user="alice", role="alice"))
        permission = rpc.auth__pb2.Permission(permType=2, key=b"alice/", range_end=b"alice0")
        grant = rpc.AuthRoleGrantPermissionRequest(name="alice", perm=permission)
        await call("RoleGrantPermission", grant)
        await call("AuthEnable", rpc.AuthEnableRequest())
    return own_etcd


def as_root(etcd: Etcd, **changes: object) -> EtcdOptions:
    return etcd.options(user="root", password="secret", **changes)


async def test_a_user_goes_on_after_the_server_forgot_its_token(guarded: Etcd) -> None:
    async with connected(as_root(guarded)) as store:
        first = (await put(store, b"w/0")).revision
        await store.grant(LeaseId(7), 60)
        watching = Watching(store, b"w/", first)
        await watching.sees(b"w/0")
        guarded.member.kill()
        await asyncio.to_thread(guarded.start)

        await put_until_done(store, b"w/1")
        assert {LeaseId(7): 60} == await store.keep_alive([LeaseId(7)])
        await watching.sees(b"w/1")
        await watching.stop()

    assert [event.kv.key for event in watching.events] == [b"w/0", b"w/1"]


async def test_a_watch_renews_its_token_itself_where_nobody_else_calls(guarded: Etcd) -> None:
    async with connected(as_root(guarded)) as store:
        first = (await put(store, b"w/0")).revision
        store._link._token = "dead.1"
        watching = Watching(store, b"w/", first)
        await watching.sees(b"w/0")
        await watching.stop()


async def test_many_calls_with_a_dead_token_ask_for_one_new_token(guarded: Etcd) -> None:
    async with connected(as_root(guarded)) as store:
        await put(store, b"k")
        store._link._token = "dead.1"
        await asyncio.gather(*(store.range(b"k") for _ in range(50)))


async def test_a_wrong_password_is_one_clear_line(guarded: Etcd) -> None:
    with pytest.raises(StoreUnavailable, match=r"authentication failed.*check user 'root'"):
        await EtcdStore.connect(guarded.options(user="root", password="wrong"))


async def test_no_password_is_one_clear_line(guarded: Etcd) -> None:
    async with connected(guarded.options()) as store:
        with pytest.raises(StoreUnavailable, match="user name is empty"):
            await put(store, b"k")


async def test_a_watch_without_permission_is_refused(guarded: Etcd) -> None:
    async with connected(guarded.options(user="alice", password="pw")) as store:
        await put(store, b"alice/k")
        with pytest.raises(StoreUnavailable, match="check the role"):
            await asyncio.wait_for(anext(store.watch(b"bob/", 1)), 5)


async def test_a_password_is_never_shown() -> None:
    assert "secret" not in repr(EtcdOptions(("a:1",), user="root", password="secret"))


# -- what etcd itself refuses ----------------------------------------------------


@pytest.mark.parametrize(
    "txn",
    [
        Txn((), tuple(Put(b"%d" % i, b"") for i in range(129))),
        Txn(tuple(absent(b"%d" % i) for i in range(129))),
        Txn((), (Put(b"k", b""), Put(b"k", b""))),
        Txn((), (Put(b"k", b""), Delete(b"a", b"z"))),
        Txn((), (Put(b"k", b"x" * (2 << 20)),)),
    ],
    ids=["129 operations", "129 compares", "put twice", "put and delete", "too big"],
)
async def test_our_limits_are_etcds(
    store: EtcdStore, monkeypatch: pytest.MonkeyPatch, txn: Txn
) -> None:
    monkeypatch.setattr("scoord_server.store.etcd.store.check_txn", lambda txn: None)

    with pytest.raises(InvalidRequest):
        await store.txn(txn)


async def test_namespaces_do_not_see_each_other(etcd: Etcd, namespace: bytes) -> None:
    async with (
        connected(etcd.options(namespace=namespace + b"1")) as one,
        connected(etcd.options(namespace=namespace + b"2")) as other,
    ):
        revision = (await put(one, b"\xff")).revision
        await put(other, b"k")
        watch = one.watch(b"", revision)

        assert [kv.key for kv in (await one.range(b"\0", b"\0")).kvs] == [b"\xff"]
        assert [event.kv.key for event in (await anext(watch)).events] == [b"\xff"]
        await watch.aclose()


# -- connecting ------------------------------------------------------------------


async def test_nobody_there_is_one_clear_line() -> None:
    started = time.monotonic()
    with pytest.raises(StoreUnavailable, match=r"etcd at 127\.0\.0\.1:1 cannot be used"):
        await EtcdStore.connect(EtcdOptions(("127.0.0.1:1",)))
    assert time.monotonic() - started < 2 * DEADLINE_S + 0.5


@pytest.fixture
def other_etcd(tmp_path: Path) -> Iterator[Etcd]:
    """A second cluster of one member."""
    with started(Etcd(tmp_path / "other")) as etcd:
        yield etcd


async def test_endpoints_of_two_clusters_are_one_clear_line(
    own_etcd: Etcd, other_etcd: Etcd, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = own_etcd.member.endpoint, other_etcd.member.endpoint

    with pytest.raises(
        InvalidConfig, match=rf"{other} is of another cluster \(\w+\) than {one} \(\w+\)"
    ):
        await EtcdStore.connect(own_etcd.options(endpoints=(one, other)))
    # gRPC may have something to say of the loop of a test before this one.
    assert not [record for record in caplog.records if record.name.startswith("scoord")]


async def test_what_another_cluster_knows_nothing_of_is_not_gone(
    own_etcd: Etcd, other_etcd: Etcd
) -> None:
    link = Link(own_etcd.options(endpoints=(*own_etcd.endpoints, *other_etcd.endpoints)))
    store, lease = EtcdStore(link), LeaseId(7)
    await store.grant(lease, 60)
    renewed = []
    for _ in range(6):
        with contextlib.suppress(StoreUnavailable):
            renewed.append((await store.keep_alive([lease]))[lease])
        await store._keepalive._hang_up()
    await store.close()

    assert {60} == set(renewed)


async def test_a_member_that_was_wiped_is_not_gone_over_to_while_the_others_are_away(
    cluster: Etcd,
) -> None:
    wiped, lease = cluster.members[2], LeaseId(7)
    async with connected(cluster.options()) as store:
        await store.grant(lease, 60)
        wiped.kill()
        shutil.rmtree(wiped.folder / "data")
        wiped.spawn(f"{wiped.name}={wiped.peer_url}")
        await asyncio.to_thread(wiped.wait_until_healthy)
        await put_until_done(store, b"w/1")
        for _ in range(6):
            await put(store, b"w/1", lease=lease)

        for member in cluster.members[:2]:
            member.kill()
        await asyncio.sleep(0.5)
        for _ in range(6):
            with pytest.raises(Unknown):
                await put(store, b"w/2")
        await asyncio.to_thread(cluster.start)
        await put_until_done(store, b"w/3")
        await put(store, b"w/4", lease=lease)

    async with connected(EtcdOptions((wiped.endpoint,), allow_unsafe_version=True)) as other:
        assert not (await other.range(b"\0", b"\0")).kvs


async def test_an_old_version_is_warned_about(etcd: Etcd, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with connected(etcd.options()):
            pass

    warned = [record.getMessage() for record in caplog.records]
    assert any("known faults; use" in line for line in warned) == _is_old(etcd)


def _is_old(etcd: Etcd) -> bool:
    import subprocess

    from scoord_server.store.etcd.versions import judge
    from support.etcd import find_etcd

    shown = subprocess.run([find_etcd(), "--version"], capture_output=True, text=True, check=True)
    return bool(judge(shown.stdout.split()[2], 1).warning)


async def test_an_unsafe_version_is_refused_unless_allowed(
    etcd: Etcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scoord_server.store.etcd import versions

    refuse: Callable[..., versions.Verdict] = lambda *_: versions.Verdict("etcd 3.5.1 forgets")  # noqa: E731 (a stand-in)
    monkeypatch.setattr("scoord_server.store.etcd.versions.judge", refuse)

    with pytest.raises(InvalidConfig, match="forgets"):
        await EtcdStore.connect(etcd.options(allow_unsafe_version=False))
    async with connected(etcd.options(allow_unsafe_version=True)):
        pass
