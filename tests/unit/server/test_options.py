"""What the coordinator is told at its start, and refuses."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from scoord.errors import InvalidConfig
from scoord.program_variables import OF_PROGRAMS
from scoord_server.main import server
from scoord_server.options import (
    ServerOptions,
    Tls,
    check_etcd_tls,
    check_tls,
    endpoints_of,
    tls_of,
)
from support.etcd import make_tls_files

CERT, KEY, CA = Path("cert.pem"), Path("key.pem"), Path("ca.pem")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ((CERT, None, None), "--tls-cert needs --tls-key beside it"),
        ((None, KEY, CA), "--tls-key needs --tls-cert beside it"),
        ((None, None, CA), "--tls-client-ca needs --tls-cert and --tls-key beside it"),
    ],
)
def test_what_is_missing_for_tls_is_named(
    files: tuple[Path | None, Path | None, Path | None], said: str
) -> None:
    with pytest.raises(InvalidConfig, match=f"^{said}$"):
        tls_of(*files)


def test_a_file_for_tls_that_cannot_be_read_is_named_with_its_option(tmp_path: Path) -> None:
    there = tmp_path / "cert.pem"
    there.touch()
    tls = Tls(there, tmp_path / "key.pem", tmp_path / "ca.pem")

    with pytest.raises(InvalidConfig) as refused:
        check_tls(ServerOptions("127.0.0.1:7780", insecure=False, tls=tls, compaction_s=0))

    first, second = refused.value.message.splitlines()
    assert first.startswith("--tls-key: cannot read ")
    assert second.startswith("--tls-client-ca: cannot read ")


def _check(tls: Tls) -> None:
    check_tls(ServerOptions("127.0.0.1:7780", insecure=False, tls=tls, compaction_s=0))


def test_a_file_for_tls_that_is_not_what_it_is_given_as_is_named(tmp_path: Path) -> None:
    files, empty = make_tls_files(tmp_path), tmp_path / "empty.pem"
    empty.write_text("no certificate\n")
    cert, key = files.server_cert, files.server_key
    _check(Tls(cert, key, None))
    _check(Tls(cert, key, files.ca))

    for option, tls in (
        ("--tls-cert", Tls(empty, key, files.ca)),
        ("--tls-client-ca", Tls(cert, key, empty)),
        ("--tls-key", Tls(cert, empty, files.ca)),
        ("--tls-key", Tls(cert, files.client_key, files.ca)),
    ):
        with pytest.raises(InvalidConfig, match=f"^{option}: "):
            _check(tls)


def test_blanks_between_endpoints_are_no_part_of_them() -> None:
    assert ("a:1", "https://b:2", "c:3") == endpoints_of("a:1, https://b:2 ,c:3, ")


def test_each_variable_of_the_coordinator_is_named_in_its_help() -> None:
    text = CliRunner().invoke(server, ["--help"]).output

    variables = {str(option.envvar) for option in server.params if option.envvar}
    assert all(variable in text for variable in variables)
    assert variables < set(OF_PROGRAMS)


def test_a_file_for_etcd_that_is_not_what_it_is_given_as_is_named(tmp_path: Path) -> None:
    files, empty = make_tls_files(tmp_path), tmp_path / "empty.pem"
    empty.write_text("no certificate\n")
    cert, key, ca = files.client_cert, files.client_key, files.ca
    check_etcd_tls(None, None, None)
    check_etcd_tls(None, None, ca)
    check_etcd_tls(cert, key, ca)

    for option, given in (
        ("--etcd-ca", (None, None, empty)),
        ("--etcd-cert", (empty, key, ca)),
        ("--etcd-key", (cert, files.server_key, None)),
        ("--etcd-key", (cert, tmp_path / "none.pem", None)),
    ):
        with pytest.raises(InvalidConfig, match=f"^{option}: "):
            check_etcd_tls(*given)
