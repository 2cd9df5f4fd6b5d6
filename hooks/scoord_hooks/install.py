"""Installing and removing our hooks in Claude Code's settings.

Brings together the settings file, the entries that belong into it, the shim that
they call, and what the Claude Code of this machine can do. Says nothing to people:
it returns what was done, and notes.
"""

import contextlib
import os
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from scoord.config import load
from scoord.local import agent_port, config_dir, keep_agent_port, token, write_hook_env
from scoord_hooks import claude_settings, claude_version, git_exclude, made, precheck, settings_file
from scoord_hooks.claude_version import Version
from scoord_hooks.claude_wiring import Transport, Wiring
from scoord_hooks.order import Order
from scoord_hooks.places import (
    Scope,
    bash_path,
    copy_shim,
    other_settings_paths,
    settings_path,
    shim_path,
)
from scoord_hooks.settings_file import Change, Snapshot, named_documents_at, readable_documents


@dataclass(frozen=True, slots=True)
class Done:
    """What became of the settings file."""

    settings: Path
    changed: bool
    backup: Path | None = None
    notes: tuple[str, ...] = ()


def install(order: Order) -> Done:
    """Put our entries into the settings, and the shim where they expect it.

    Raises InvalidConfig for settings that cannot be read, NotAllowed for what
    ``force`` would override, or if a file cannot be written.
    """
    settings = settings_path(order.scope)
    version = claude_version.installed()
    leaks = precheck.leaks(order, settings)
    # A user's own settings may be kept in a repository on purpose, which need not be public.
    refused = leaks if order.scope is Scope.PROJECT else ()
    precheck.refuse(order, (*precheck.lacks(order, version), *refused))
    wiring = _wiring(order, version)
    others = named_documents_at(other_settings_paths(order.scope))

    def change(before: Snapshot) -> Change:
        document = before.document()
        reasons = claude_settings.objections((settings, document), others, wiring)
        everywhere = (document, *(each for _, each in others))
        precheck.refuse(order, (*reasons, *precheck.detours(order, everywhere)))
        return _with_entries(before, wiring)

    write_hook_files()
    ignored = _keep_out_of_git(order, settings)
    mode, is_there = _mode(settings), settings.parent.exists()
    edit = settings_file.edit(settings, change)
    if not is_there:
        made.note(settings.parent)
    kept = _kept_private(order, settings, mode)
    notes = (*precheck.limits(order, version), *leaks, *kept, *ignored)
    return Done(settings, edit.changed, edit.backup, notes)


def uninstall(order: Order) -> Done:
    """Take our entries out again; bring back the file as it was if nobody else changed it."""
    settings = settings_path(order.scope)
    shim = str(shim_path())
    edit = settings_file.edit(settings, lambda now: _without_entries(now, shim))
    if not edit.changed:
        return Done(settings, changed=False)
    made.open_again(settings)
    kept = _drop_backups(settings, shim)
    notes = [f"{backup} stays: the settings have changed since" for backup in kept]
    if not settings.exists():
        made.take_back(settings.parent)
    if order.scope is Scope.PROJECT and not kept:
        notes += _leave_checkout(settings)
    return Done(settings, changed=True, notes=tuple(notes))


def write_hook_files() -> None:
    """Write what the hooks read and call. Raises NotAllowed, and InvalidConfig for settings."""
    keep_agent_port()
    settings = load(None, config_dir(), os.environ)
    write_hook_env(settings.session_coordination.unreachable_action)
    copy_shim()


def _with_entries(before: Snapshot, wiring: Wiring) -> Change:
    document = before.document()
    backups = readable_documents(settings_file.read_backups(before.path))
    after = claude_settings.install(document, wiring, backups, before.path)
    if after == document:
        return Change(before.raw, keep_old=False)
    # With entries of ours in it, it is a file that we have written: a backup would be ours.
    keep_old = not claude_settings.find(document, wiring.shim) and document not in backups
    private = wiring.transport is Transport.HTTP
    return Change(before.with_document(after), keep_old, private)


def _without_entries(before: Snapshot, shim: str) -> Change:
    if before.raw is None:
        return Change(None, keep_old=False)
    backups = settings_file.read_backups(before.path)
    document = before.document()
    after = claude_settings.uninstall(document, shim, readable_documents(backups))
    made_by_us = after != document and not backups and not after.steps(())
    raw = None if made_by_us else settings_file.raw_of(after, before, backups)
    return Change(raw, keep_old=False)


def _drop_backups(settings: Path, shim: str) -> list[Path]:
    """Remove the backups that hold nothing but what is in the settings; return the others."""
    now = settings_file.read(settings)
    kept = []
    for backup in settings_file.read_backups(settings):
        documents = readable_documents([backup])
        without = [claude_settings.uninstall(document, shim, ()) for document in documents]
        if backup.raw == now.raw or now.document() in without:
            backup.path.unlink(missing_ok=True)
        else:
            kept.append(backup.path)
    return kept


def _leave_checkout(settings: Path) -> tuple[str, ...]:
    """Undo what else was done to a checkout: git's rule, and an empty folder."""
    with contextlib.suppress(OSError):  # it is not empty
        if not settings.exists():
            settings.parent.rmdir()
    notes = (git_exclude.let_in(place, "*") for place in _places(settings))
    return tuple(chain.from_iterable(notes))


def _mode(settings: Path) -> int:
    return settings.stat().st_mode & 0o777 if settings.exists() else 0


def _kept_private(order: Order, settings: Path, before: int) -> tuple[str, ...]:
    """See that nobody else can read the token; return a note if somebody could."""
    if order.transport is Transport.COMMAND:
        made.open_again(settings)
        return ()
    now = settings_file.make_private(settings)
    if not (before | now) & 0o077:
        return ()
    made.note_closed(settings, before)
    return (f"{settings} holds the agent's token: only you may read it now (it was {before:o})",)


def _wiring(order: Order, version: Version | None) -> Wiring:
    return Wiring(
        transport=order.transport,
        port=agent_port(),
        token=token(),
        shim=str(shim_path()),
        bash=bash_path(),
        exec_form=claude_version.EXEC_FORM.is_in(version),
        unreachable=order.unreachable,
        tells_failures=claude_version.STOP_FAILURE.is_in(version),
    )


def _keep_out_of_git(order: Order, settings: Path) -> tuple[str, ...]:
    if order.scope is Scope.USER:
        return ()
    notes = (git_exclude.keep_out(place, "*", ("", ".backup")) for place in _places(settings))
    return tuple(chain.from_iterable(notes))


def _places(settings: Path) -> tuple[Path, ...]:
    """Where settings and their backups are, and where what is written is, if they are a link."""
    return tuple(dict.fromkeys((settings, Path(os.path.realpath(settings)))))
