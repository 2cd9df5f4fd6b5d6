"""``HOST:PORT`` as people and settings write it."""

import pytest

from scoord.addresses import is_loopback, is_whole, joined, split


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("127.0.0.1:7780", "127.0.0.1", "7780"),
        ("coordinator.example.org:7780", "coordinator.example.org", "7780"),
        ("[::1]:7780", "::1", "7780"),
        (":7780", "", "7780"),
        ("7780", "", "7780"),
    ],
)
def test_an_address_is_split_at_its_last_colon(address: str, host: str, port: str) -> None:
    assert (host, port) == split(address)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "etcd1:65535", "[::1]:7780"])
def test_a_whole_address_has_a_host_and_a_port(address: str) -> None:
    assert is_whole(address)


@pytest.mark.parametrize(
    "address", ["", "etcd1", ":2379", "etcd1:", "etcd1:0", "etcd1:65536", "etcd1:²"]
)
def test_what_lacks_one_is_not_whole(address: str) -> None:
    assert not is_whole(address)


def test_who_listens_may_leave_the_port_to_the_system() -> None:
    assert is_whole("127.0.0.1:0", least_port=0)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "LocalHost"])
def test_loopback_has_several_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "10.0.0.1", "127.example.org", "localhost.example.org", "[::1]"]
)
def test_what_may_be_another_machine_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("address", ["127.0.0.1:7780", "[::1]:7780", "one.example:1"])
def test_host_and_port_are_joined_as_they_were_written(address: str) -> None:
    host, port = split(address)

    assert joined(host, int(port)) == address
