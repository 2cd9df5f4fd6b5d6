"""What may be set, and to what: the sections of the settings files as models.

Pure: values are checked one by one, without knowing who gave them or what they
are used for. ``scoord.config`` checks those that depend on each other.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from scoord.duration_limits import DEFAULT_CLAIM_S, MOST_CLAIM_S, MOST_S
from scoord.errors import InvalidConfig, InvalidPath
from scoord.names import check_shown
from scoord.patterns import check_pattern

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):([0-9]{1,5})")


def _pattern(text: str) -> str:
    try:
        return check_pattern(text)
    except InvalidConfig as error:
        raise ValueError(error.message) from error


def _address(text: str) -> str:
    found = _ADDRESS.fullmatch(text)
    if not found or not 0 < int(found[2]) < 65536:
        raise ValueError(f"{text!r} is not host:port")
    return text


def _path(text: str) -> str:
    # Relative would mean another file in every folder an agent is started from.
    path = Path(text).expanduser() if text.startswith("~/") else Path(text)
    if not path.is_absolute():
        raise ValueError(f"{text!r} is not an absolute path")
    return str(path)


def _inside(text: str) -> str:
    try:
        return check_shown(text)
    except InvalidPath as error:
        raise ValueError(error.message) from error


Flag = Annotated[bool, Field(description="true or false")]
Action = Literal["block", "warn", "proceed"]
Choice = Annotated[Action, Field(description="block, warn, proceed")]
Scope = Annotated[Literal["repository", "branch"], Field(description="repository, branch")]
Location = Annotated[Literal["project", "global"], Field(description="project, global")]
ReleaseOn = Annotated[
    Literal["session_end", "stop", "commit"], Field(description="session_end, stop, commit")
]
Seconds = Annotated[
    float,
    Field(
        gt=0,
        le=MOST_S,
        allow_inf_nan=False,
        description="a number of seconds above 0, a hundred years at most",
    ),
]
ClaimSeconds = Annotated[
    float, Field(ge=0.001, le=MOST_CLAIM_S, description="a number of seconds from 0.001 to 3600")
]
Name = Annotated[
    str, Field(min_length=1, max_length=200, description="a name of 1 to 200 characters")
]
Days = Annotated[int, Field(ge=1, le=36_500, description="a whole number of days from 1 to 36,500")]
Pattern = Annotated[str, Field(strict=True), AfterValidator(_pattern)]
PatternList = Annotated[
    tuple[Pattern, ...], Field(strict=False, description="a list of gitignore-style patterns")
]
Patterned = Annotated[
    tuple[Pattern, ...],
    Field(strict=False, min_length=1, description="a list of gitignore-style patterns"),
]
Line = Annotated[str, Field(max_length=200, description="a line of text of at most 200 characters")]
InsideFile = Annotated[str, Field(strict=True), AfterValidator(_inside)]
Files = Annotated[
    tuple[InsideFile, ...],
    Field(
        strict=False, max_length=20, description="a list of files, relative to this one, at most 20"
    ),
]
Address = Annotated[str, Field(strict=True), AfterValidator(_address)]
AddressList = Annotated[
    tuple[Address, ...],
    Field(strict=False, min_length=1, description="a list of host:port, at least one"),
]
FilePath = Annotated[str, AfterValidator(_path)]
OptionalFile = Annotated[FilePath | None, Field(description="a path that begins with / or ~/")]


class Section(BaseModel):
    """One group of settings. A field's description says what is allowed."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class SessionCoordination(Section):
    """How sessions of a project work together. Durations are in seconds."""

    auto_register: Flag = True
    """Whether a session is registered as soon as it is seen."""
    session_timeout: Seconds = 7200.0
    """A session that has done nothing for that long is stale, and is ended."""
    heartbeat_interval: Seconds = 300.0
    """Progress is published at least that often."""
    enable_file_locks: Flag = True
    """Whether files are locked before edits at all."""
    lock_timeout: Seconds = 3600.0
    """A lock that has not been used for that long is stale, and may be taken over."""
    critical_files: PatternList = ("*",)
    """Which files are locked."""
    conflict_action: Choice = "block"
    """What happens to an edit of a file that another session holds."""
    show_notifications: Flag = True
    """Whether the person in front of a session is told of what concerns it."""
    kg_context: Name = "session_coordination"
    """The knowledge graph's name for this project's records."""
    kg_location: Location = "project"
    """Where the knowledge graph keeps them."""
    auto_cleanup_stale: Flag = True
    """Whether stale sessions are ended without being asked."""
    archive_completed: Flag = True
    """Whether the log of a finished session is kept."""
    retention_days: Days = 7
    """How long history, and the logs of finished sessions, are kept."""
    unreachable_action: Choice = "warn"
    """What happens to an edit when nobody can be asked."""
    scope: Scope = "repository"
    """Whether a lock holds on every branch, or on its holder's only."""
    release_on: ReleaseOn = "session_end"
    """When a session gives its locks back: as it ends, after each turn, or as it commits."""
    claim_timeout: ClaimSeconds = float(DEFAULT_CLAIM_S)
    """How long a freed file is kept for the first who waited for it."""
    share_prompts: Flag = True
    """Whether the first line of a prompt is shown to others as a session's intent."""


class AreaSettings(Section):
    """A part of the repository that one session can work on apart from the others."""

    patterns: Patterned = ()
    """Which files are in it."""
    description: Line = ""
    """What it is, in a few words."""


class Backlog(Section):
    """Where the project's work is written down, beside what `scoord task add` was told."""

    tasks: Files = ()
    """Markdown with check boxes, or JSON with titles."""


class Leases(Section):
    """How fast a failure is noticed. In seconds; the letters are those of the rules."""

    ttl: Seconds = 30.0
    """T: the store drops a session that has not been renewed for that long."""
    belief: Seconds = 20.0
    """D: how long a holder believes in its locks after sending the last renewal."""
    heartbeat: Seconds = 5.0
    """H: time between renewals."""
    rpc_timeout: Seconds = 2.0
    """r: how long one call may take."""


class Coordinators(Section):
    """Whom the agent asks, and how it proves who it is."""

    addresses: AddressList = ("127.0.0.1:7780",)
    """Tried in turn; replicas of one coordinator."""
    ca: OptionalFile = None
    """Certificates that a coordinator's is checked against."""
    cert: OptionalFile = None
    """This machine's certificate."""
    key: OptionalFile = None
    """Its private key."""
    insecure: Flag = False
    """Whether plaintext is allowed to an address that is not loopback."""


class FilePatterns(Section):
    """``file-patterns.yaml``."""

    lock: PatternList = ()
    """Files to lock, beside ``critical_files``."""
    ignore: PatternList = ()
    """Files never to lock, whatever else says so."""


SECTIONS: Mapping[str, type[Section]] = {
    "session_coordination": SessionCoordination,
    "leases": Leases,
    "coordinator": Coordinators,
}
