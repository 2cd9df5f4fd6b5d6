"""The pure rules of the etcd adapter: versions, options, what may be grouped."""

import re
from pathlib import Path

import pytest

from scoord.errors import InvalidConfig
from scoord_server.store.etcd.footprint import Footprint
from scoord_server.store.etcd.options import EtcdOptions
from scoord_server.store.etcd.versions import SAFE, Verdict, ends_live_leases, judge
from scoord_server.store.port import Delete, Get, Put, Txn
from support.stores import absent

ROOT = Path(__file__).resolve().parents[3]

# -- versions --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "members"),
    [
        ("3.5.0", 3),
        ("3.5.1", 1),
        ("3.5.2", 5),
        ("3.5.3", 1),
        ("3.5.4", 1),
        ("3.5.0-rc.1", 1),
        ("3.4.20", 1),
        ("3.3.27", 1),
    ],
)
def test_versions_that_lose_data_are_refused(version: str, members: int) -> None:
    assert version in judge(version, members).refusal


@pytest.mark.parametrize(
    ("version", "members"),
    [
        ("3.5.3", 3),
        ("3.5.4", 3),
        ("3.4.20", 3),
        ("3.4.21", 1),
        ("3.5.5", 1),
        ("3.5.27", 1),
        ("3.4.23", 1),
        ("3.6.0", 3),
        ("3.6.8", 1),
        ("x", 1),
    ],
)
def test_versions_with_known_faults_are_warned_about(version: str, members: int) -> None:
    verdict = judge(version, members)

    assert verdict.refusal == ""
    assert version in verdict.warning


@pytest.mark.parametrize("version", ["3.3.27", "3.4.30", "3.5.5", "3.5.12"])
def test_versions_that_end_live_leases_say_so(version: str) -> None:
    assert ends_live_leases(version)
    assert "locks of living sessions" in judge(version, 3).warning


@pytest.mark.parametrize("version", ["3.4.31", "3.5.13", "3.6.0", "x"])
def test_later_versions_do_not(version: str) -> None:
    assert not ends_live_leases(version)
    assert "living" not in judge(version, 3).warning


@pytest.mark.parametrize("version", ["3.5.28", "3.5.33", "3.6.9", "3.6.14", "3.7.1", "4.0.0"])
def test_sound_versions_pass_without_a_word(version: str) -> None:
    verdict = judge(version, 1)

    assert (verdict.refusal, verdict.warning) == ("", "")


def test_what_is_shipped_runs_an_etcd_that_nobody_is_warned_of() -> None:
    compose = (ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8")
    (version,) = re.findall(r"image: \S+/etcd:v(\S+)", compose)

    assert Verdict() == judge(version, 1)


@pytest.mark.parametrize("page", ["README.md", "deploy/README.md"])
def test_the_first_version_of_etcd_that_a_page_names_is_one_without_known_faults(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    first = re.findall(r"\b3\.\d+\.\d+\b", text)[0]

    assert SAFE.startswith(first)


# -- options ---------------------------------------------------------------------


def test_endpoints_may_have_a_scheme() -> None:
    options = EtcdOptions(("https://a.example:2379/", "https://b.example:2379"))

    assert options.addresses == ("a.example:2379", "b.example:2379")
    assert options.uses_tls
    assert not EtcdOptions(("a:1", "http://b:1")).uses_tls


@pytest.mark.parametrize(
    ("endpoints", "files", "word"),
    [
        ((), {}, "at least one"),
        (("https://a:1", "b:1"), {}, "https://a:1 and b:1 cannot be used together"),
        (("a:1",), {"cert": "c"}, "--etcd-cert needs --etcd-key"),
        (("a:1",), {"key": "k"}, "--etcd-key needs --etcd-cert"),
        (("a:1", "b"), {}, "^--etcd b: want HOST:PORT, as in etcd1:2379$"),
        (("https://a.example/",), {}, "^--etcd https://a.example/: want HOST:PORT"),
        (("http://a:1",), {"ca": "ca"}, "http://a:1 is without TLS, which --etcd-ca is for"),
    ],
)
def test_options_that_cannot_work_are_refused(
    endpoints: tuple[str, ...], files: dict[str, str], word: str
) -> None:
    with pytest.raises(InvalidConfig, match=word):
        EtcdOptions(endpoints, **files)  # type: ignore[arg-type]  # paths as text will do


# -- grouping --------------------------------------------------------------------

READS = Txn((absent(b"k"),), (), (Get(b"k"),))
READS_RANGE = Txn((), (Get(b"a", b"z"),))
WRITES = Txn((), (Put(b"k", b""),))
DELETES = Txn((), (), (Delete(b"k"),))
DELETES_RANGE = Txn((), (Delete(b"a", b"z"),))
ELSEWHERE = Txn((absent(b"zz"),), (Put(b"zzz", b""),), (Get(b"z", b"zz"),))
WRITERS = [WRITES, DELETES, DELETES_RANGE]


@pytest.mark.parametrize("one", WRITERS)
@pytest.mark.parametrize("other", [READS, READS_RANGE, *WRITERS])
def test_a_writer_goes_with_nobody_who_touches_its_keys(one: Txn, other: Txn) -> None:
    assert Footprint.of(one).conflicts(Footprint.of(other))
    assert Footprint.of(other).conflicts(Footprint.of(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [(READS, READS), (READS, READS_RANGE), (READS_RANGE, READS_RANGE)]
    + [(ELSEWHERE, txn) for txn in (READS, READS_RANGE, *WRITERS)],
)
def test_readers_and_strangers_go_together(one: Txn, other: Txn) -> None:
    assert not Footprint.of(one).conflicts(Footprint.of(other))
    assert not Footprint.of(other).conflicts(Footprint.of(one))


def test_a_merged_footprint_conflicts_with_what_its_parts_do() -> None:
    merged = Footprint.of(ELSEWHERE)
    merged.merge(Footprint.of(WRITES))

    assert merged.conflicts(Footprint.of(READS_RANGE))
