"""Settings that are refused, and what is said about them."""

import os
from collections.abc import Callable

import pytest

from scoord.faults import MOST
from scoord.sections import SECTIONS
from support.settings import Place

HEARTBEAT_TOO_SLOW = (
    "leases.heartbeat is 3 s (SCOORD_LEASES_HEARTBEAT), leases.ttl is 20 s (SCOORD_LEASES_TTL)"
    " and leases.rpc_timeout is 3.7 s (SCOORD_LEASES_RPC_TIMEOUT):"
    " heartbeat may be at most a third of ttl minus rpc_timeout, 2.96667 s"
)


# What is refused, with file, line, key, and what is allowed.


@pytest.mark.parametrize(
    ("body", "line", "said"),
    [
        (
            "conflict_action: blok",
            2,
            "conflict_action: 'blok' is not allowed (allowed: block, warn,",
        ),
        ("conflict_action: [block]", 2, "conflict_action: a list is not allowed"),
        (
            "unreachable_action: false",
            2,
            "unreachable_action: false is not allowed (allowed: block,",
        ),
        ("unreachable_action: no", 2, "unreachable_action: no is not allowed"),
        ("\n\n  session_timeout: 0", 4, "session_timeout: 0 is not allowed (allowed: a number of"),
        ("session_timeout: -1", 2, "session_timeout: -1 is not allowed"),
        ("session_timeout: .inf", 2, "session_timeout: inf is not allowed"),
        ("session_timeout: .nan", 2, "session_timeout: nan is not allowed"),
        ("session_timeout: 1.0e+12", 2, "(allowed: a number of seconds above 0, a hundred years"),
        ("claim_timeout: 3601", 2, "claim_timeout: 3601 is not allowed (allowed: a number of"),
        ("session_timeout: 2h", 2, "session_timeout: '2h' is not allowed"),
        ("session_timeout: '7200'", 2, "session_timeout: '7200' is not allowed"),
        ("session_timeout: true", 2, "session_timeout: true is not allowed"),
        ("session_timeout:", 2, "session_timeout: nothing is not allowed"),
        (
            "session_timeout: 0x" + "f" * 9000,
            2,
            "session_timeout: a number as large as that is not",
        ),
        ("auto_register: 1", 2, "auto_register: 1 is not allowed (allowed: true or false)"),
        ("auto_register: 'yes'", 2, "auto_register: 'yes' is not allowed (allowed: true or false)"),
        ("retention_days: 1.5", 2, "retention_days: 1.5 is not allowed (allowed: a whole number"),
        ("retention_days: 2020-02-02", 2, "retention_days: a date is not allowed"),
        ("kg_context: 7", 2, "kg_context: 7 is not allowed (allowed: a name of 1 to"),
        ("kg_location: elsewhere", 2, "'elsewhere' is not allowed (allowed: project, global)"),
        ("retention_days: 99999", 2, "(allowed: a whole number of days from 1 to 36,500)"),
        ("kg_context: " + "x" * 300, 2, "(allowed: a name of 1 to 200 characters)"),
        ("kg_context: ''", 2, "kg_context: '' is not allowed"),
        ("critical_files: '*.py'", 2, "critical_files: '*.py' is not allowed (allowed: a list of"),
        ("critical_files: {a: b}", 2, "critical_files: a mapping is not allowed"),
        ("critical_files:\n    - '*.py'\n    - 7", 4, "critical_files: 7 is not allowed"),
        ("critical_files: ['*.py',\n    '!']", 3, "critical_files: '!' is not a pattern"),
        ("critical_files: ['[A-_]*']", 2, "'[A-_]*' is not a pattern: bad character range a-_ (in"),
        (
            'critical_files: ["[z-\\n]"]',
            2,
            "is not a pattern: bad character range z- (in lower case",
        ),
        ("critical_files: ['# no']", 2, "critical_files: '# no' matches nothing"),
        ("critical_files: ['./src/**']", 2, "'./src/**' matches nothing: no name in a path is '.'"),
        ("critical_files: ['!./a']", 2, "critical_files: '!./a' matches nothing"),
        ("critical_files: ['../x']", 2, "critical_files: '../x' matches nothing"),
        ("critical_files: ['src//a/']", 2, "critical_files: 'src//a/' matches nothing"),
        ("critical_files: ['*a*b*c*']", 2, "critical_files: '*a*b*c*' has too many stars"),
        ("critical_files: ['**/a/**/b/**/c']", 2, "has too many stars (at most 3 in a name, and 2"),
        (
            "critical_files: ['src/*.{ts,tsx}']",
            2,
            "critical_files: 'src/*.{ts,tsx}' has braces, which no pattern knows; say each by",
        ),
        ("conflict_acton: block", 2, "conflict_acton: unknown key; did you mean conflict_action?"),
        ("frobnicate: 1", 2, "frobnicate: unknown key (allowed: auto_register, session_timeout,"),
        ("<<: {auto_register: no}", 2, "\u2039\u2039: unknown key"),
        (
            "lock_timeout: 60\n  lock_timeout: 90",
            3,
            "session_coordination.lock_timeout: given twice, first on line 2",
        ),
        ("[a]: 1", 2, "a key must be one word"),
        ("session_timeout: !!int x", 2, "the value does not fit its tag tag:yaml.org,2002:int"),
        ("session_timeout: 2020-99-99", 2, "the value does not fit its tag"),
    ],
)
def test_a_wrong_setting_is_refused_at_its_line(
    place: Place, body: str, line: int, said: str
) -> None:
    file = place.file(f"session_coordination:\n  {body}\n")

    refusal = place.refusal()

    assert refusal.startswith(f"{file}:{line}: ")
    assert said in refusal


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("sesion_coordination: {}", 1, "unknown key; did you mean session_coordination?"),
        ("a: 1\nb: 2", 1, "a: unknown key (allowed: session_coordination, project, areas, tasks)"),
        ("conflict_action: warn", 1, "unknown key; it belongs below session_coordination"),
        ("session_coordination: 7", 1, "want settings below it"),
        ("session_coordination: [a]", 1, "want settings below it"),
        ("project: a\nproject: b", 2, "project: given twice, first on line 1"),
        ("- a\n- b", 1, "want a mapping of settings"),
        ("areas: [a]", 1, "want names of areas below it"),
        ("areas:\n  api: {}", 2, "areas.api: patterns are missing"),
        (
            "areas:\n  a:\n    patterns: [b]\n    description: " + "x" * 201,
            4,
            "(allowed: a line of text of at most 200 characters)",
        ),
        ("areas:\n  api:\n    patterns: []", 3, "areas.api.patterns: an empty list is not allowed"),
        ("areas:\n  api:\n    pattern: [a]", 3, "areas.api.pattern: unknown key; did you mean"),
        ("areas:\n  a:\n    patterns: [b]\n  a: {}", 4, "areas.a: given twice, first on line 2"),
        ('areas:\n  ? "a\\u001b"\n  : {patterns: [b]}', 2, "areas: not a name"),
        ("tasks: TODO.md", 1, "tasks: 'TODO.md' is not allowed (allowed: a list of files"),
        (f"tasks: {['a.md'] * 21}", 1, "a list of files, relative to this one, at most 20)"),
        ("tasks: [../TODO.md]", 1, "'..'"),
        ("tasks: [/etc/passwd]", 1, "not an absolute one"),
        ("just text", 1, "want a mapping of settings"),
        ("a: b: c", "1:5", "not YAML: mapping values are not allowed here"),
        ("session_coordination:\n\tx: 1", "2:1", "not YAML: found character '\\t'"),
        ("a: [1, 2", "1:9", "not YAML: expected ',' or ']'"),
        ("a: *b", "1:4", "not YAML: found undefined alias"),
        ("a: 1\n---\nb: 2", "2:1", "not YAML: but found another document"),
        ("a: !!python/object:os.system x", "1:4", "not YAML: could not determine a constructor"),
        ("a: 1\nb: \x07", "2:4", "not YAML: a character that is not allowed"),
        (b"a: 1\nb: caf\xe9", "2:7", "not UTF-8"),
        ("a: 1".encode("utf-16"), "1:1", "not UTF-8"),
        ("[" * 30_000, 1, "nested too deeply"),
        ("a: " + "[" * 30_000, 1, "nested too deeply"),
        ("# " + "x" * 70_000, "", "over 64 KiB"),
    ],
)
def test_a_file_that_is_no_settings_is_refused_at_its_place(
    place: Place, text: str | bytes, line: int | str, said: str
) -> None:
    file = place.file(text)

    refusal = place.refusal()

    assert refusal.startswith(f"{file}:{line}: " if line else f"{file}: ")
    assert said in refusal


def test_all_faults_of_a_file_are_named_in_their_order(place: Place) -> None:
    file = place.file(
        "session_coordination:\n  retention_days: x\n  lock_timout: 1\n  auto_register: x\n"
        "  critical_files: ['!', '# no']\nleases: {}\nproject: [a]\n"
    )

    lines = place.refusal().splitlines()

    assert [f"{file}:{n}" for n in (2, 3, 4, 5, 5, 6, 7)] == [x.split(": ")[0] for x in lines]


def test_the_faults_of_all_sources_are_named(place: Place) -> None:
    own = place.file("session_coordination: {retention_days: x}")
    users = place.file("leases: {ttl: x}\nproject: a", user=True)
    lists = place.repository / "file-patterns.yaml"
    lists.write_text("lock: 7\n", encoding="utf-8")

    refusal = place.refusal({"SCOORD_LOCK_TIMEOUT": "x", "SCOORD_LEASES_BELIEF": "y"})

    where = [f"{lists}:1", f"{own}:1", f"{users}:1", f"{users}:2"]
    variables = ["SCOORD_LOCK_TIMEOUT", "SCOORD_LEASES_BELIEF"]
    assert [*where, *variables] == [line.split(": ")[0] for line in refusal.splitlines()]


def test_what_cannot_work_together_is_named_beside_what_is_wrong_elsewhere(place: Place) -> None:
    place.file("leases:\n  ttl: 25\ncoordinator:\n  addresses: [here]\n", user=True)
    refusal = place.refusal()

    assert "coordinator.addresses: 'here' is not host:port" in refusal
    assert "leases.ttl is 25 s" in refusal
    assert "ttl must be at least 1.5 times belief" in refusal


def test_a_wrong_value_makes_no_other_seem_wrong(place: Place) -> None:
    """Without the ttl of the file, which is long enough, belief would not fit the default."""
    place.file("leases:\n  ttl: 60\n  heartbeat: fast\n", user=True)

    (line,) = place.refusal({"SCOORD_LEASES_BELIEF": "25"}).splitlines()
    assert "leases.heartbeat: 'fast' is not allowed" in line


def test_all_that_only_a_repository_says_is_named_at_once(place: Place) -> None:
    place.file("project: 5\ntasks: [../x]\nareas: {api: {patterns: 5}}\n")

    assert ["project", "tasks", "areas.api.patterns"] == [
        line.split(": ")[1] for line in place.refusal().splitlines()
    ]


def test_of_very_many_faults_some_are_named(place: Place) -> None:
    keys = "".join(f"  key{n}: 1\n" for n in range(4000))
    place.file(f"session_coordination:\n{keys}")

    *named, last = place.refusal().splitlines()

    assert len(named) == MOST
    assert last == "more is wrong; correct these first"


def test_all_that_cannot_work_together_is_named(place: Place) -> None:
    place.file("session_coordination: {session_timeout: 200, lock_timeout: 100}")

    assert 2 == len(place.refusal().splitlines())


def test_a_small_file_that_unfolds_without_end_is_refused_at_once(place: Place) -> None:
    rows = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 30)]
    place.file("\n".join(["l0: &l0 [x]", *rows, "session_coordination: {kg_context: *l29}"]))

    assert "l0: unknown key" in place.refusal()


def test_a_list_that_holds_itself_is_refused(place: Place) -> None:
    place.file("session_coordination:\n  critical_files: &a [*a]")

    assert "critical_files: a list is not allowed" in place.refusal()


@pytest.mark.parametrize("name", ["coordination.yaml", "file-patterns.yaml"])
def test_a_file_that_cannot_be_read_is_refused(place: Place, name: str) -> None:
    file = place.repository / name
    makers: list[Callable[[], None]] = [
        file.mkdir,
        lambda: os.mkfifo(file),
        lambda: file.symlink_to("/dev/zero"),
    ]
    for make in makers:
        make()
        assert place.refusal().startswith(f"{file}: cannot be read: ")
        file.rename(place.repository / f"seen-{len(list(place.repository.iterdir()))}")


@pytest.mark.parametrize("section", ["leases", "coordinator"])
def test_a_repository_says_nothing_of_hosts_certificates_and_timings(
    place: Place, section: str
) -> None:
    file = place.file(f"project: a\n{section}: {{}}\n")

    assert place.refusal().startswith(f"{file}:2: {section}: not for a repository to say")


def test_a_wrong_value_is_refused_also_where_a_stronger_layer_overrides_it(place: Place) -> None:
    file = place.file("session_coordination: {conflict_action: blok}")

    refusal = place.refusal({"SCOORD_CONFLICT_ACTION": "warn"})

    assert refusal.startswith(f"{file}:1: ")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CONFLICT_ACTION", "blok", "conflict_action: 'blok' is not allowed"),
        ("LEASES_TTL", "soon", "leases.ttl: 'soon' is not allowed (allowed: a number of seconds"),
        ("LEASES_TTL", "nan", "leases.ttl: nan is not allowed"),
        ("SHARE_PROMPTS", "2", "share_prompts: '2' is not allowed (allowed: true or false)"),
        ("RETENTION_DAYS", "1.5", "retention_days: '1.5' is not allowed"),
        ("COORDINATOR_ADDRESSES", "host", "coordinator.addresses: 'host' is not host:port"),
        ("COORDINATOR_ADDRESSES", ",", "coordinator.addresses: an empty list is not allowed"),
        ("COORDINATOR_CA", "ca.pem", "coordinator.ca: 'ca.pem' is not an absolute path"),
    ],
)
def test_a_wrong_variable_is_named(place: Place, name: str, value: str, said: str) -> None:
    refusal = place.refusal({f"SCOORD_{name}": value})

    assert refusal.startswith(f"SCOORD_{name}: ")
    assert said in refusal


@pytest.mark.parametrize(
    "address",
    ["host", "host:0", "host:65536", "host:x", ":1", "::1:7780", "http://h:1", "h:1/x", ""],
)
def test_an_address_is_a_host_and_a_port(place: Place, address: str) -> None:
    file = place.file(f"coordinator:\n  addresses:\n    - ok:1\n    - '{address}'\n", user=True)

    assert place.refusal() == (
        f"{file}:4: coordinator.addresses: '{address}' is not host:port"
        " (allowed: a list of host:port, at least one)"
    )


def test_every_setting_says_what_is_allowed() -> None:
    assert all(
        field.description for model in SECTIONS.values() for field in model.model_fields.values()
    )


# What cannot work together.


def test_a_session_may_not_be_stale_before_it_is_heard_of(place: Place) -> None:
    file = place.file("session_coordination:\n  session_timeout: 200\n")

    assert place.refusal() == (
        f"session_coordination.session_timeout is 200 s ({file}:2)"
        " and session_coordination.heartbeat_interval is 300 s (by default):"
        " session_timeout must be at least heartbeat_interval, or what is in use looks idle"
    )


def test_a_lock_may_not_be_stale_before_its_use_is_heard_of(place: Place) -> None:
    refusal = place.refusal({"SCOORD_LOCK_TIMEOUT": "60", "SCOORD_HEARTBEAT_INTERVAL": "61"})

    assert "lock_timeout is 60 s (SCOORD_LOCK_TIMEOUT)" in refusal
    assert "heartbeat_interval is 61 s (SCOORD_HEARTBEAT_INTERVAL)" in refusal


@pytest.mark.parametrize(
    ("leases", "said"),
    [
        (
            {"ttl": 29.9},
            "leases.ttl is 29.9 s (SCOORD_LEASES_TTL) and leases.belief is 20 s (by default)",
        ),
        (
            {"belief": 16.9},
            "(SCOORD_LEASES_BELIEF), leases.heartbeat is 5 s (by default) and leases.rpc_timeout",
        ),
        ({"ttl": 33, "belief": 22, "heartbeat": 5, "rpc_timeout": 7.1}, "leases.belief is 22 s"),
        (
            {"ttl": 24, "belief": 16, "heartbeat": 5, "rpc_timeout": 1},
            None,
        ),
        ({"ttl": 20, "belief": 13, "heartbeat": 3, "rpc_timeout": 3.7}, HEARTBEAT_TOO_SLOW),
        ({"ttl": 0.3, "belief": 0.2, "heartbeat": 0.05, "rpc_timeout": 0.05}, None),
        ({"ttl": 60, "belief": 40, "heartbeat": 10, "rpc_timeout": 2}, None),
    ],
)
def test_timings_that_cannot_work_are_refused_with_all_their_values(
    place: Place, leases: dict[str, float], said: str | None
) -> None:
    variables = {f"SCOORD_LEASES_{key.upper()}": str(value) for key, value in leases.items()}

    if said is None:
        assert place.load(variables).leases.ttl == leases["ttl"]
    else:
        assert said in place.refusal(variables)


@pytest.mark.parametrize(("said", "missing"), [("cert", "key"), ("key", "cert")])
def test_a_certificate_and_its_key_need_each_other(place: Place, said: str, missing: str) -> None:
    file = place.file(f"coordinator:\n  {said}: /some.pem", user=True)

    told = f"{file}:2: coordinator.{said}: coordinator.{missing} is missing beside it"
    assert told == place.refusal()


def test_a_certificate_without_a_key_names_its_variable(place: Place) -> None:
    told = place.refusal({"SCOORD_COORDINATOR_CERT": "/some.pem"})

    assert told.startswith("SCOORD_COORDINATOR_CERT: coordinator.cert: coordinator.key is missing")


def test_a_wrong_item_of_a_list_is_told_once(place: Place) -> None:
    file = place.file('coordinator: {addresses: ["nonsense"]}', user=True)

    assert place.refusal() == (
        f"{file}:1: coordinator.addresses: 'nonsense' is not host:port"
        " (allowed: a list of host:port, at least one)"
    )
