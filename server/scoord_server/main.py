"""Wires one coordinator together and runs it until it is told to stop."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from scoord import addresses, heap, local, logs
from scoord.clock import Clock, SystemClock
from scoord.duration_limits import HEALTHY_AGE_S
from scoord.errors import NotAllowed, StoreUnavailable
from scoord.running import run_until, stop_by_signal
from scoord_server.compactor import INTERVAL_S, Compactor
from scoord_server.coordinator import Coordinator
from scoord_server.options import (
    ServerOptions,
    check_compaction,
    check_etcd_tls,
    check_history,
    check_listen,
    check_tls,
    endpoints_of,
    tls_of,
)
from scoord_server.reaper import Reaper
from scoord_server.rpc.server import RpcServer
from scoord_server.store.embedded import EmbeddedStore
from scoord_server.store.etcd import EtcdOptions, EtcdStore
from scoord_server.store.port import Store
from scoord_server.trimming import MOST_LINES
from scoord_server.view import View

_log = logging.getLogger(__name__)

DRAIN_S = 10.0
HEALTH_INTERVAL_S = 0.5
LOOK_S = 5.0
"""How often is looked for the store's file, and how long is gone on without it: an agent whose
state directory was removed has then written down again which coordinator is its own, and starts
another."""

DATABASE = "scoord.db"


_path = click.Path(path_type=Path)


@click.command(short_help="Run the coordinator, in the foreground.")
@click.option(
    "--listen",
    default="127.0.0.1:7780",
    show_default=True,
    envvar="SCOORD_LISTEN",
    show_envvar=True,
    help="Address to serve gRPC on, HOST:PORT.",
)
@click.option("--embedded", is_flag=True, help="Keep the truth here, for one machine; no etcd.")
@click.option("--data", type=_path, default=None, help="Directory of the embedded store.")
@click.option(
    "--etcd",
    "etcd_endpoints",
    default="",
    envvar="SCOORD_ETCD_ENDPOINTS",
    show_envvar=True,
    help="etcd's endpoints, HOST:PORT, separated by commas.",
)
@click.option("--etcd-ca", type=_path, help="CA that etcd's certificate must come from.")
@click.option("--etcd-cert", type=_path, help="Our certificate for etcd.")
@click.option("--etcd-key", type=_path, help="Its key.")
@click.option(
    "--etcd-user",
    default="",
    envvar="SCOORD_ETCD_USER",
    show_envvar=True,
    help="Our user in etcd.",
)
@click.option(
    "--etcd-password",
    default="",
    envvar="SCOORD_ETCD_PASSWORD",
    show_envvar=True,
    help="Its password; better given as SCOORD_ETCD_PASSWORD.",
)
@click.option(
    "--etcd-namespace",
    default="",
    envvar="SCOORD_ETCD_NAMESPACE",
    show_envvar=True,
    help="Prefix of all our keys, where several teams share one etcd.",
)
@click.option(
    "--compaction-interval",
    "compaction_s",
    type=float,
    default=INTERVAL_S,
    show_default=True,
    envvar="SCOORD_COMPACTION_INTERVAL",
    show_envvar=True,
    help="Seconds between compactions of the store's history; 0 leaves it to others.",
)
@click.option(
    "--history-lines",
    type=int,
    default=MOST_LINES,
    show_default=True,
    envvar="SCOORD_HISTORY_LINES",
    show_envvar=True,
    help="Lines of history that each project keeps at most, about 0.3 kB each.",
)
@click.option("--tls-cert", type=_path, help="Certificate to serve with.")
@click.option("--tls-key", type=_path, help="Its key.")
@click.option("--tls-client-ca", type=_path, help="CA that agents' certificates must come from.")
@click.option("--insecure", is_flag=True, help="Allow plaintext where others can reach it.")
@click.option("--verbose", is_flag=True, help="Log more.")
@click.option("--quiet", is_flag=True, help="Log to the state directory alone, not to stderr.")
@click.pass_context
def server(context: click.Context, /, **given: Any) -> None:
    """Run the coordinator: the team's service on etcd, or one machine's on its own store."""
    if given["embedded"] and _is_exported(context, "etcd_endpoints"):
        given["etcd_endpoints"] = ""
    if given["embedded"] == bool(given["etcd_endpoints"]):
        raise click.UsageError("choose the store: --embedded, or --etcd HOST:PORT[,HOST:PORT…]")
    _start_logging(given)
    tls = tls_of(given["tls_cert"], given["tls_key"], given["tls_client_ca"])
    options = ServerOptions(
        given["listen"], given["insecure"], tls, given["compaction_s"], given["history_lines"]
    )
    for check in (check_listen, check_tls, check_compaction, check_history):
        check(options)
    check_etcd_tls(given["etcd_cert"], given["etcd_key"], given["etcd_ca"])
    heap.keep_few_arenas()
    clock = SystemClock()
    file = _file(given["data"]) if given["embedded"] else None
    opened = _embedded(file, clock) if file else _etcd(given)
    asyncio.run(_serve(options, opened, clock, file))


def _is_exported(context: click.Context, option: str) -> bool:
    """Whether only a variable says it, which is meant for another coordinator than this one."""
    return context.get_parameter_source(option) is ParameterSource.ENVIRONMENT


def _start_logging(given: Mapping[str, Any]) -> None:
    """Log to the state directory, and to stderr unless told to be quiet."""
    level = logging.DEBUG if given["verbose"] else logging.INFO
    if not given["quiet"]:
        shown = logging.StreamHandler()
        shown.setFormatter(logs.Plain("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logging.basicConfig(level=level, handlers=[shown])
    try:
        logs.start(logs.SERVER, verbose=given["verbose"], secrets=(given["etcd_password"],))
    except NotAllowed as error:
        # A team's coordinator may have no home at all, and serves without.
        _log.warning("nothing is logged to files: %s", error)


OpenStore = AbstractAsyncContextManager[Store]


def _file(data: Path | None) -> Path:
    """Where the embedded store is; its directory is made if need be."""
    directory = data or local.state_dir() / "store"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"cannot make {directory}: {error.strerror}") from error
    return directory / DATABASE


@asynccontextmanager
async def _embedded(file: Path, clock: Clock) -> AsyncIterator[Store]:
    """The store in this process; its file is made if need be."""
    store = EmbeddedStore.open(file, clock)
    expiry = asyncio.create_task(store.run())
    try:
        _log.info("the store is embedded, in %s", file.parent)
        yield store
    finally:
        expiry.cancel()
        await store.close()


@asynccontextmanager
async def _etcd(given: Mapping[str, Any]) -> AsyncIterator[Store]:
    """A team's store."""
    options = EtcdOptions(
        endpoints=endpoints_of(given["etcd_endpoints"]),
        ca=given["etcd_ca"],
        cert=given["etcd_cert"],
        key=given["etcd_key"],
        user=given["etcd_user"],
        password=given["etcd_password"],
        namespace=given["etcd_namespace"].encode(),
    )
    store = await EtcdStore.connect(options)
    try:
        _log.info("the store is etcd at %s", ", ".join(options.endpoints))
        yield store
    finally:
        await store.close()


async def _serve(
    options: ServerOptions, opened: OpenStore, clock: Clock, file: Path | None
) -> None:
    stop = stop_by_signal()
    async with opened as store:
        view = View(store, clock)
        coordinator = Coordinator(store, view, clock, most_lines=options.history_lines)
        rpc = RpcServer(coordinator, view, clock)
        port = await rpc.start(options)
        host, _ = addresses.split(options.listen)
        _log.info("coordinator serves on %s", addresses.joined(host, port))
        try:
            await run_until(
                stop,
                view.run(),
                Reaper(coordinator).run(),
                _compact(options, store, clock),
                _say_health(rpc, view),
                _look_for(file),
            )
        finally:
            _log.info("draining")
            await rpc.drain(DRAIN_S)
    _log.info("stopped")


async def _compact(options: ServerOptions, store: Store, clock: Clock) -> None:
    """Compact the store, or leave it to others."""
    if options.compaction_s:
        await Compactor(store, clock, options.compaction_s).run()
    await asyncio.Event().wait()


async def _look_for(file: Path | None) -> None:
    """End, by StoreUnavailable, once the store's file is not the one that its name leads to.

    Nobody would find again what is written there. One on etcd has none.
    """
    held: tuple[int, int] | None = None
    is_lost = False
    while file:
        with suppress(OSError):  # a disk that cannot be looked at has not lost it
            found = _which(file)
            held = held or found
            is_lost = found is None or found != held
        if is_lost:
            lost = f"{file} was removed or replaced while it was in use"
            _log.error("%s: this coordinator ends", lost)
            await asyncio.sleep(LOOK_S)
            raise StoreUnavailable(f"{lost}; start the coordinator again")
        await asyncio.sleep(LOOK_S)
    await asyncio.Event().wait()


def _which(file: Path) -> tuple[int, int] | None:
    """Which file a name leads to; None if there is none. Raises OSError."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


async def _say_health(rpc: RpcServer, view: View) -> None:
    """Serving means: the store was heard of late."""
    while True:
        await rpc.say_health(serving=view.age_s() < HEALTHY_AGE_S)
        await asyncio.sleep(HEALTH_INTERVAL_S)
