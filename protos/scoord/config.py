"""The settings of ``coordination.yaml`` and ``file-patterns.yaml``, typed and checked.

Each layer overrides the ones before it: defaults, the repository's files, the
user's files, ``SCOORD_*`` variables. A repository may say how its sessions work
together; what a machine connects to and trusts is its user's to say, since a
repository that was only cloned must not redirect the agent.

Every failure is an InvalidConfig of one line for each fault: where, which key, what is
wrong, and what is allowed. This module does not know what the settings are used for.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from scoord.bounded import BoundedDict
from scoord.clock import Clock, SystemClock
from scoord.errors import InvalidConfig
from scoord.faults import gathered, refuse
from scoord.filestamp import FileStamp, stamp
from scoord.layers import Layer, from_environment, from_file, merged
from scoord.limits import MOST_AREA
from scoord.patterns import Patterns
from scoord.sections import (
    SECTIONS,
    AreaSettings,
    Backlog,
    Coordinators,
    FilePatterns,
    Leases,
    Section,
    SessionCoordination,
)
from scoord.yamlfile import Value, read_yaml

CONFIG_FILE = "coordination.yaml"
"""At the top of a worktree, and in the user's directory of settings."""

PATTERNS_FILE = "file-patterns.yaml"
"""Beside ``CONFIG_FILE``."""

RECHECK_S = 1.0
"""How old cached settings may be before their files are looked at again."""

_MOST_PROJECT = 200  # characters
_MOST_WORKTREES = 512
_RESERVED = ("machine:", "root:")
_FOR_THE_USER = ("leases", "coordinator")
_MOST_AREAS = 100
_PATTERN_SECTION: Mapping[str, type[Section]] = {"": FilePatterns}
_BACKLOG_SECTION: Mapping[str, type[Section]] = {"": Backlog}


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings that hold for one worktree."""

    project: str | None
    """The project's name, if the repository gives one."""
    session_coordination: SessionCoordination
    leases: Leases
    coordinator: Coordinators
    patterns: Patterns
    areas: Mapping[str, AreaSettings] = field(default_factory=dict)
    """The parts of the repository, by name, if it names some."""
    tasks: tuple[str, ...] = ()
    """The repository's files with work that is to be done."""


def load(repository: Path | None, config_dir: Path, environ: Mapping[str, str]) -> Settings:
    """Return the settings for the worktree at ``repository`` (None: outside any).

    Raises InvalidConfig.
    """
    folders = _folders(repository, config_dir)
    sources = _Sources(repository, config_dir, environ)
    *lists, given = gathered(
        [*(partial(_pattern_layer, folder) for folder in folders), partial(_given, sources)]
    )
    settings = _settings(given, lists, read_yaml(repository / CONFIG_FILE) if repository else {})
    refuse(_unworkable(settings, given))
    return settings


def _settings(given: Layer, lists: Iterable[Layer], said: Mapping[str, Value]) -> Settings:
    """Return settings by what was given; ``said`` is what the repository's own file says."""
    session = SessionCoordination.model_validate(_values("session_coordination", given))
    return Settings(
        project=_project(said),
        session_coordination=session,
        leases=Leases.model_validate(_values("leases", given)),
        coordinator=Coordinators.model_validate(_values("coordinator", given)),
        patterns=_patterns(session.critical_files, lists),
        areas=_areas(said),
        tasks=_tasks(said),
    )


def project_name(file: Path) -> str | None:
    """Return ``project:`` of a repository's ``coordination.yaml``; None without one.

    Looks at nothing else in it. Raises InvalidConfig if the file is not YAML, or
    the name is not one.
    """
    return _project(read_yaml(file))


def _project(said: Mapping[str, Value]) -> str | None:
    value = said.get("project")
    return None if value is None else _checked_name(value)


def _checked_name(value: Value) -> str:
    name = value.data
    if not isinstance(name, str) or not 0 < len(name) <= _MOST_PROJECT or not name.isprintable():
        allowed = f"text of 1 to {_MOST_PROJECT} printable characters"
        raise InvalidConfig(f"{value.where}: project: not a name (allowed: {allowed})")
    if name.startswith(_RESERVED):
        raise InvalidConfig(
            f"{value.where}: project: {_RESERVED[0]} and {_RESERVED[1]} are reserved"
        )
    return name


class SettingsCache:
    """Settings by worktree, read again when a file has changed.

    A call costs a look at the clock; once in ``RECHECK_S``, a few stats. While a
    file is wrong, every call raises.
    """

    def __init__(
        self, config_dir: Path, environ: Mapping[str, str], clock: Clock | None = None
    ) -> None:
        self._config_dir = config_dir
        self._environ = dict(environ)
        self._clock = clock or SystemClock()
        self._kept = BoundedDict[Path | None, _Kept](_MOST_WORKTREES)

    def get(self, root: Path | None, recheck_s: float = RECHECK_S) -> Settings:
        """Return the settings of the worktree at ``root``, no older than ``recheck_s``.

        Raises InvalidConfig.
        """
        kept = self._kept.get(root)
        if kept is None or self._clock.now() - kept.seen >= recheck_s:
            kept = self._kept[root] = self._looked_at(root, kept)
        if isinstance(kept.settings, str):
            raise InvalidConfig(kept.settings)
        return kept.settings

    def _looked_at(self, root: Path | None, kept: "_Kept | None") -> "_Kept":
        folders = _folders(root, self._config_dir)
        names = (CONFIG_FILE, PATTERNS_FILE)
        stamps = tuple(stamp(folder / name) for folder in folders for name in names)
        now = self._clock.now()
        if kept and kept.stamps == stamps:
            return _Kept(now, stamps, kept.settings)
        return _Kept(now, stamps, self._load(root))

    def _load(self, root: Path | None) -> Settings | str:
        try:
            return load(root, self._config_dir, self._environ)
        except InvalidConfig as error:
            return error.message


@dataclass(frozen=True, slots=True)
class _Kept:
    seen: float
    stamps: tuple[FileStamp | None, ...]
    settings: Settings | str
    """Settings, or what is wrong with them."""


def _folders(repository: Path | None, config_dir: Path) -> list[Path]:
    return [repository, config_dir] if repository else [config_dir]


@dataclass(frozen=True, slots=True)
class _Sources:
    """Where settings are given, apart from the lists of patterns."""

    repository: Path | None
    config_dir: Path
    environ: Mapping[str, str]


def _given(sources: _Sources) -> Layer:
    """Return what all sources give. Raises InvalidConfig about all that is wrong with it."""
    try:
        return _layered(sources)
    except InvalidConfig as fault:
        refuse([fault, *(each for section in SECTIONS for each in _unfit(sources, section))])
        raise


def _unfit(sources: _Sources, section: str) -> list[InvalidConfig]:
    """Return what cannot work together in one section, when something in them is wrong."""
    try:
        given = _layered(sources, section)
    except InvalidConfig:
        return []  # with values that are no values nothing can be worked out
    return list(_unworkable(_settings(given, (), {}), given))


def _layered(sources: _Sources, only: str = "") -> Layer:
    """Return what all sources give, or what they give to ``only`` one section."""
    sections = {only: SECTIONS[only]} if only else SECTIONS
    return merged(
        gathered(
            [
                partial(_repository_layer, sources, only),
                partial(_user_layer, sources, only),
                partial(from_environment, sections, sources.environ),
            ]
        )
    )


def _fields(file: Path, only: str) -> dict[str, Value]:
    return {name: value for name, value in read_yaml(file).items() if only in ("", name)}


def _repository_layer(sources: _Sources, only: str) -> Layer:
    if sources.repository is None:
        return {}
    sections = {"session_coordination": SessionCoordination}
    home = sources.config_dir / CONFIG_FILE

    def part(name: str, value: Value) -> Layer:
        if name in _FOR_THE_USER:
            raise InvalidConfig(
                f"{value.where}: {name}: not for a repository to say; it belongs in {home}"
            )
        if name in _FOR_THE_REPOSITORY:
            _FOR_THE_REPOSITORY[name]({name: value})
            return {}
        return from_file(sections, {name: value}, beside=_FOR_THE_REPOSITORY)

    fields = _fields(sources.repository / CONFIG_FILE, only)
    return merged(gathered(partial(part, name, value) for name, value in fields.items()))


def _user_layer(sources: _Sources, only: str) -> Layer:
    def part(name: str, value: Value) -> Layer:
        if name in _FOR_THE_REPOSITORY:
            told = f"only a repository's own {CONFIG_FILE} can say it"
            raise InvalidConfig(f"{value.where}: {name}: {told}")
        return from_file(SECTIONS, {name: value})

    fields = _fields(sources.config_dir / CONFIG_FILE, only)
    return merged(gathered(partial(part, name, value) for name, value in fields.items()))


def _pattern_layer(folder: Path) -> Layer:
    file = folder / PATTERNS_FILE
    return from_file(_PATTERN_SECTION, {"": Value(None, str(file), fields=read_yaml(file))})


def _patterns(critical: tuple[str, ...], lists: Iterable[Layer]) -> Patterns:
    lock: list[str] = list(critical)
    ignore: list[str] = []
    for layer in lists:
        found = FilePatterns.model_validate(_values("", layer))
        lock.extend(found.lock)
        ignore.extend(found.ignore)
    return Patterns(tuple(lock), tuple(ignore))


def _areas(said: Mapping[str, Value]) -> dict[str, AreaSettings]:
    """The areas that a repository names. Raises InvalidConfig."""
    given = said.get("areas")
    if given is None or given.data is None:
        return {}
    if given.fields is None:
        raise InvalidConfig(f"{given.where}: areas: want names of areas below it (name: ...)")
    for name, value in given.fields.items():
        if not 0 < len(name) <= MOST_AREA or not name.isprintable():
            raise InvalidConfig(
                f"{value.where}: areas: not a name (1 to {MOST_AREA} printable characters)"
            )
    if len(given.fields) > _MOST_AREAS:
        raise InvalidConfig(f"{given.where}: areas: over {_MOST_AREAS} of them")
    named = {f"areas.{name}": value for name, value in given.fields.items()}
    layer = from_file(dict.fromkeys(named, AreaSettings), named)
    return {
        name: _area(name, value, _values(f"areas.{name}", layer))
        for name, value in given.fields.items()
    }


def _area(name: str, value: Value, given: dict[str, object]) -> AreaSettings:
    if "patterns" not in given:
        told = "patterns are missing: which files are in it"
        raise InvalidConfig(f"{value.where}: areas.{name}: {told}")
    return AreaSettings.model_validate(given)


def _tasks(said: Mapping[str, Value]) -> tuple[str, ...]:
    """The files with work that a repository names. Raises InvalidConfig."""
    given = said.get("tasks")
    if given is None or given.data is None:
        return ()
    whole = {"": Value(None, given.where, fields={"tasks": given})}
    return Backlog.model_validate(_values("", from_file(_BACKLOG_SECTION, whole))).tasks


_FOR_THE_REPOSITORY: Mapping[str, Callable[[Mapping[str, Value]], object]] = {
    "project": _project,
    "areas": _areas,
    "tasks": _tasks,
}
"""What only a repository says, and what reads it."""


def _values(section: str, layer: Layer) -> dict[str, object]:
    return {key: given.value for (name, key), given in layer.items() if name == section}


@dataclass(frozen=True, slots=True)
class _Rule:
    """Settings that depend on each other: what comes of them must be at least ``least``."""

    fields: tuple[tuple[str, str], ...]
    actual: float
    least: float
    text: str


def _is_broken(rule: _Rule) -> bool:
    return rule.actual < rule.least - 1e-9  # 0.3 / 0.2 is a little under 1.5


def _unworkable(settings: Settings, given: Layer) -> Iterator[InvalidConfig]:
    """Yield what cannot work together, naming all the settings that it depends on."""
    activity = filter(_is_broken, _activity_rules(settings.session_coordination))
    # The rules of leases are about the same few values: the first is to be mended first.
    leases = islice(filter(_is_broken, _lease_rules(settings.leases)), 1)
    for rule in (*activity, *leases):
        *some, last = (_said(settings, given, *field) for field in rule.fields)
        yield InvalidConfig(f"{', '.join(some)} and {last}: {rule.text}")
    if (settings.coordinator.cert is None) != (settings.coordinator.key is None):
        said, missing = ("cert", "key") if settings.coordinator.cert else ("key", "cert")
        told = f"coordinator.{said}: coordinator.{missing} is missing beside it"
        yield InvalidConfig(f"{given['coordinator', said].where}: {told}")


def _activity_rules(session: SessionCoordination) -> Iterable[_Rule]:
    """Work that is published every so often must not look idle in between."""
    for name in ("session_timeout", "lock_timeout"):
        yield _Rule(
            (("session_coordination", name), ("session_coordination", "heartbeat_interval")),
            getattr(session, name),
            session.heartbeat_interval,
            f"{name} must be at least heartbeat_interval, or what is in use looks idle",
        )


def _lease_rules(leases: Leases) -> Iterable[_Rule]:
    """What makes a failed holder notice before anyone else is let in."""
    ttl, belief = ("leases", "ttl"), ("leases", "belief")
    heartbeat, rpc = ("leases", "heartbeat"), ("leases", "rpc_timeout")
    text = "ttl must be at least 1.5 times belief"
    yield _Rule((ttl, belief), leases.ttl, 1.5 * leases.belief, text)
    least = 3 * leases.heartbeat + leases.rpc_timeout
    text = f"belief must be at least 3 times heartbeat plus rpc_timeout, {least:g} s"
    yield _Rule((belief, heartbeat, rpc), leases.belief, least, text)
    most = leases.ttl / 3 - leases.rpc_timeout
    text = f"heartbeat may be at most a third of ttl minus rpc_timeout, {most:g} s"
    yield _Rule((heartbeat, ttl, rpc), most, leases.heartbeat, text)


def _said(settings: Settings, given: Layer, section: str, key: str) -> str:
    value = getattr(getattr(settings, section), key)
    source = given.get((section, key))
    where = source.where if source else "by default"
    return f"{section}.{key} is {value:g} s ({where})"
