"""Which files no edit asks for: a lock of one would keep nobody from it.

An edit asks by the settings; a command that takes such a lock all the same would
promise what nothing keeps.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from scoord.errors import InvalidRequest
from scoord.paths import FileIdentity
from scoord_agent.request import Request

_IGNORED: Final = "`ignore` in file-patterns.yaml names"
_NOT_CRITICAL: Final = "neither `critical_files` nor `lock` in file-patterns.yaml names"
_SWITCHED_OFF: Final = "`enable_file_locks` is false, so edits do not ask for"


def check(requests: Iterable[Request]) -> None:
    """Refuse locks that would keep nobody from an edit. Raises InvalidRequest."""
    if told := [line for request in requests for line in _unguarded(request)]:
        raise InvalidRequest(f"not coordinated here: {'; '.join(told)}; nothing was locked")


def _unguarded(request: Request) -> Iterator[str]:
    """Yield a reason for each file, or pattern, for which there is one."""
    for file in request.files:
        if why := _why(request, file):
            yield f"{why} {file.shown}"


def _why(request: Request, file: FileIdentity) -> str:
    patterns = request.settings.patterns
    if not request.settings.session_coordination.enable_file_locks:
        return _SWITCHED_OFF
    if patterns.ignores(file.shown):
        return _IGNORED
    # Which files a pattern will hold, nobody knows: it is refused where none can be guarded.
    guards = patterns.may_lock if request.is_pattern else patterns.locks
    is_guarded = guards(file.shown)
    return "" if is_guarded else _NOT_CRITICAL
