"""What tests of every kind share: a real etcd, started once."""

import itertools
import os
from collections.abc import Iterator

import pytest

from support.etcd import Etcd, NoEtcdError, find_etcd
from support.missing import cannot_run

_namespaces = itertools.count()


def pytest_configure() -> None:
    """Let programs see no width of a terminal: what runs tests side by side claims one."""
    os.environ.pop("COLUMNS", None)


@pytest.fixture(scope="session")
def etcd_binary() -> None:
    """Skips without an etcd binary; in CI that is a failure."""
    try:
        find_etcd()
    except NoEtcdError as missing:
        cannot_run(str(missing))


@pytest.fixture(scope="session")
def etcd(etcd_binary: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """One running etcd for all tests; keep apart by ``namespace``."""
    server = Etcd(tmp_path_factory.mktemp("etcd"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def namespace() -> bytes:
    """A key prefix of this test's own, for ``EtcdOptions.namespace``."""
    return f"/t{os.getpid()}.{next(_namespaces)}/".encode()
