"""The layout of keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoord_server.store import keys
from scoord_server.store.keys import ParsedKey

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def test_a_path_keeps_its_slashes_so_that_a_folder_is_a_prefix() -> None:
    key = keys.lock("github.com/org/app", "src/app/main.py")

    assert key == b"/scoord/v1/p/github.com%2Forg%2Fapp/locks/src/app/main.py"


def test_a_queue_is_no_prefix_of_another() -> None:
    assert not keys.queue_prefix("p", "a/b").startswith(keys.queue_prefix("p", "a"))


@given(NAMES, NAMES)
def test_every_key_parses_to_what_it_was_made_of(project: str, name: str) -> None:
    made = {
        keys.SESSIONS: keys.session,
        keys.ALIASES: keys.alias,
        keys.LOCKS: keys.lock,
        keys.TASKS: keys.task,
    }
    for kind, make in made.items():
        assert ParsedKey(project, kind, name) == keys.parse(make(project, name))


@given(NAMES, NAMES, NAMES, NAMES)
def test_a_waiter_parses_to_its_path_session_and_agent(
    project: str, path: str, session: str, agent: str
) -> None:
    expected = ParsedKey(project, keys.QUEUE, path, (session, agent))

    assert expected == keys.parse(keys.waiter(project, path, session, agent))


@given(NAMES, NAMES, NAMES, NAMES)
def test_every_longer_key_parses_to_what_it_was_made_of(
    project: str, name: str, one: str, two: str
) -> None:
    made = {
        keys.SHARES: keys.share,
        keys.RESERVATIONS: keys.reservation,
    }
    for kind, make in made.items():
        assert ParsedKey(project, kind, name, (one, two)) == keys.parse(
            make(project, name, one, two)
        )
    shorter = {
        keys.BRANCHES: keys.branch_lock,
        keys.TRACES: keys.trace,
        keys.INBOX: keys.notice,
        keys.OFFERS: keys.offer,
    }
    for kind, make_shorter in shorter.items():
        assert ParsedKey(project, kind, name, (one,)) == keys.parse(
            make_shorter(project, name, one)
        )


@given(NAMES, NAMES, NAMES, NAMES, NAMES.filter(bool))
def test_what_is_confined_to_a_branch_parses_to_that_as_well(
    project: str, name: str, session: str, agent: str, branch: str
) -> None:
    made = {
        keys.SHARES: keys.share,
        keys.QUEUE: keys.waiter,
        keys.RESERVATIONS: keys.reservation,
    }
    for kind, make in made.items():
        expected = ParsedKey(project, kind, name, (session, agent, branch))
        assert expected == keys.parse(make(project, name, session, agent, branch))


@given(NAMES, NAMES, NAMES)
def test_only_a_place_in_a_queue_is_one(path: str, one: str, two: str) -> None:
    for name in (path, keys.QUEUE, keys.BRANCHES, keys.SHARES):
        assert keys.waits(keys.waiter("p", name, one, two))
        assert not keys.waits(keys.branch_lock("p", name, one))
        assert not keys.waits(keys.share("p", name, one, two))


@given(NAMES, NAMES, NAMES, NAMES, NAMES)
def test_a_patterns_trace_parses_to_what_it_was_made_of(
    project: str, pattern: str, domain: str, session: str, agent: str
) -> None:
    key = keys.pattern_trace(project, pattern, domain, session, agent)

    assert ParsedKey(project, keys.PATTERN_TRACES, pattern, (domain, session, agent)) == (
        keys.parse(key)
    )
    assert key.startswith(keys.pattern_trace_prefix(project, pattern))
    assert key.startswith(keys.pattern_traces_prefix(project))


def test_history_is_not_under_the_present() -> None:
    assert not keys.event_prefix("p").startswith(keys.root_prefix())


@given(NAMES, NAMES)
def test_every_key_lies_under_its_prefixes(project: str, name: str) -> None:
    key = keys.lock(project, name)

    assert key.startswith(keys.lock_prefix(project))
    assert key.startswith(keys.project_prefix(project))
    assert key.startswith(keys.root_prefix())
    assert keys.waiter(project, name, "s", "").startswith(keys.queue_prefix(project, name))


@given(st.binary(max_size=40))
def test_no_key_makes_the_parser_raise(key: bytes) -> None:
    keys.parse(key)
    keys.parse(keys.root_prefix() + key)


@pytest.mark.parametrize(
    "key",
    [
        *(b"", b"/scoord/v1/p/p", b"/other/p/p/locks/a", b"/scoord/v1/p/\xff/locks/a"),
        *(
            b"/scoord/v1/p/p/rumours/a",
            b"/scoord/v1/p/p/paths/a/queue/b",
            b"/scoord/v1/p/p/paths/a/queue/b/c/d",
            b"/scoord/v1/p/p/paths/a",
            b"/scoord/v1/p/p/traces/a/b/c",
        ),
    ],
)
def test_what_no_version_of_the_layout_made_is_unknown(key: bytes) -> None:
    assert keys.parse(key).kind == keys.UNKNOWN
