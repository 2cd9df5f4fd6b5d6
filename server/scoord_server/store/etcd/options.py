"""How to reach etcd."""

from dataclasses import dataclass, field
from pathlib import Path

from scoord import addresses
from scoord.errors import InvalidConfig

_SCHEMES = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class EtcdOptions:
    """Where etcd is, who we are, and how long to wait.

    An endpoint is ``host:port``, with ``http://`` or ``https://`` before it if you
    like; hosts may be names or addresses. TLS is used when a file is given or an
    endpoint says ``https://``. Without ``ca``, gRPC's own list of authorities counts.
    """

    endpoints: tuple[str, ...]
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    user: str = ""
    password: str = field(default="", repr=False)
    deadline_s: float = 1.5
    """How long any one call may take."""
    namespace: bytes = b""
    """Put before every key, and taken off again, so that several may share one etcd."""
    allow_unsafe_version: bool = False
    """Accept versions of etcd that are known to lose data. For throw-away data only."""
    progress_interval_s: float = 1.5
    """How long a watch may be quiet before it is asked whether it still lives."""
    watch_patience_s: float = 30.0
    """How long a broken watch is tried again before it fails."""

    def __post_init__(self) -> None:
        """Refuse what cannot work. Raises InvalidConfig."""
        if not self.endpoints:
            raise InvalidConfig("no etcd endpoint is given; name at least one, as host:port")
        if bool(self.cert) != bool(self.key):
            given, missing = ("cert", "key") if self.cert else ("key", "cert")
            raise InvalidConfig(f"--etcd-{given} needs --etcd-{missing} beside it")
        self._check_schemes()
        self._check_ports()

    def _check_ports(self) -> None:
        for endpoint, address in zip(self.endpoints, self.addresses, strict=True):
            if not addresses.is_whole(address):
                raise InvalidConfig(f"--etcd {endpoint}: want HOST:PORT, as in etcd1:2379")

    def _check_schemes(self) -> None:
        secure = [end for end in self.endpoints if end.startswith("https://")]
        others = [end for end in self.endpoints if end not in secure]
        if secure and others:
            raise InvalidConfig(
                f"--etcd: {', '.join(secure)} and {', '.join(others)} cannot be used together:"
                " say https:// for all endpoints, or for none"
            )
        plain = [end for end in others if end.startswith("http://")]
        if self.uses_tls and plain:
            files = {"--etcd-ca": self.ca, "--etcd-cert": self.cert, "--etcd-key": self.key}
            given = ", ".join(option for option, file in files.items() if file)
            raise InvalidConfig(
                f"--etcd: {', '.join(plain)} is without TLS, which {given} is for: say https://"
            )

    @property
    def uses_tls(self) -> bool:
        """Whether connections are encrypted."""
        return bool(self.ca or self.cert or self.endpoints[0].startswith("https://"))

    @property
    def addresses(self) -> tuple[str, ...]:
        """The endpoints as host:port."""
        return tuple(_without_scheme(endpoint) for endpoint in self.endpoints)


def _without_scheme(endpoint: str) -> str:
    for scheme in _SCHEMES:
        endpoint = endpoint.removeprefix(scheme)
    return endpoint.rstrip("/")
