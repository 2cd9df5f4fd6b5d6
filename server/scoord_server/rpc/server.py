"""The gRPC server: services, health, reflection, and how it ends."""

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from scoord.clock import Clock
from scoord.errors import InvalidConfig
from scoord.message_limits import MOST_ANSWER_BYTES, MOST_REQUEST_BYTES
from scoord.v1 import events_pb2, graph_pb2, history_pb2, locks_pb2, sessions_pb2, tasks_pb2
from scoord.v1.events_pb2_grpc import add_EventServiceServicer_to_server
from scoord.v1.graph_pb2_grpc import add_GraphServiceServicer_to_server
from scoord.v1.history_pb2_grpc import add_HistoryServiceServicer_to_server
from scoord.v1.locks_pb2_grpc import add_LockServiceServicer_to_server
from scoord.v1.sessions_pb2_grpc import add_SessionServiceServicer_to_server
from scoord.v1.tasks_pb2_grpc import add_TaskServiceServicer_to_server
from scoord_server.coordinator import Coordinator
from scoord_server.options import ServerOptions, Tls
from scoord_server.rpc.events import Events
from scoord_server.rpc.graph import Graph
from scoord_server.rpc.history import History
from scoord_server.rpc.interceptors import Boundary
from scoord_server.rpc.locks import Locks
from scoord_server.rpc.sessions import Sessions
from scoord_server.rpc.tasks import Tasks
from scoord_server.view import View

CHANNEL_OPTIONS = (
    # A second server on the same port must fail, not share it silently.
    ("grpc.so_reuseport", 0),
    # Agents ping idle streams to notice a dead peer; the default server would
    # answer that with GOAWAY. The key's documented name differs and is ignored.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.max_receive_message_length", MOST_REQUEST_BYTES),
    ("grpc.max_send_message_length", MOST_ANSWER_BYTES),
)

SERVICES = tuple(
    service.full_name
    for file in (sessions_pb2, locks_pb2, events_pb2, history_pb2, tasks_pb2, graph_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
)


class RpcServer:
    """Serves one coordinator on one address."""

    def __init__(self, coordinator: Coordinator, view: View, clock: Clock) -> None:
        self._server = grpc.aio.server(interceptors=(Boundary(),), options=CHANNEL_OPTIONS)
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]  # not in stubs
        self._view = view
        self._recalling = coordinator.recalling
        add_services(self._server, coordinator, view, clock)
        health_pb2_grpc.add_HealthServicer_to_server(  # type: ignore[no-untyped-call]  # generated
            self._health, self._server
        )
        names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)

    async def start(self, options: ServerOptions) -> int:
        """Begin to serve; the port. Raises InvalidConfig when the address is taken."""
        try:
            port = self._add_port(options)
        except RuntimeError as error:
            raise InvalidConfig(
                f"cannot listen on {options.listen}: it is taken or not of this machine;"
                " choose another with --listen HOST:PORT"
            ) from error
        await self._server.start()
        return port

    async def say_health(self, *, serving: bool) -> None:
        """Tell health checkers whether to send work here."""
        status = health_pb2.HealthCheckResponse
        value = status.SERVING if serving else status.NOT_SERVING
        for name in ("", *SERVICES):
            await self._health.set(name, value)

    async def drain(self, grace_s: float) -> None:
        """Take no new work, finish what is begun within ``grace_s`` seconds, stop."""
        await self._health.enter_graceful_shutdown()
        self._view.hang_up()
        self._recalling.hang_up()
        await self._server.stop(grace_s)

    def _add_port(self, options: ServerOptions) -> int:
        if options.tls is None:
            return self._server.add_insecure_port(options.listen)
        return self._server.add_secure_port(options.listen, _credentials(options.tls))


def add_services(
    server: grpc.aio.Server, coordinator: Coordinator, view: View, clock: Clock
) -> None:
    """Add everything of ours that a coordinator serves."""
    add_SessionServiceServicer_to_server(Sessions(coordinator, view, clock), server)
    add_LockServiceServicer_to_server(Locks(coordinator, view, clock), server)
    add_EventServiceServicer_to_server(Events(coordinator, view, clock), server)
    add_HistoryServiceServicer_to_server(History(coordinator.recalling, clock), server)
    add_TaskServiceServicer_to_server(Tasks(coordinator, clock), server)
    add_GraphServiceServicer_to_server(Graph(coordinator, clock), server)


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    try:
        key, cert = tls.key.read_bytes(), tls.cert.read_bytes()
        ca = tls.client_ca.read_bytes() if tls.client_ca else None
    except OSError as error:
        raise InvalidConfig(f"cannot read {error.filename}: {error.strerror}") from error
    return grpc.ssl_server_credentials([(key, cert)], ca, require_client_auth=ca is not None)
