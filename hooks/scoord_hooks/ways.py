"""The two ways to wire Claude Code, settings and plugin, and that only one is in force."""

import contextlib
from dataclasses import replace
from pathlib import Path

from scoord.errors import ScoordError
from scoord_hooks import claude_version, git_exclude, plugin_folder, precheck
from scoord_hooks import install as in_settings
from scoord_hooks.claude_settings import switched_off
from scoord_hooks.in_force import disabled_in, in_force
from scoord_hooks.install import Done, write_hook_files
from scoord_hooks.order import Order, Way
from scoord_hooks.places import (
    Scope,
    all_settings_paths,
    plugin_path,
    scope_option,
    settings_path,
)
from scoord_hooks.plugin_folder import Became
from scoord_hooks.plugin_wiring import FOLDER_ID, ID
from scoord_hooks.settings_file import named_documents_at

_RELOAD = "sessions that run already use the plugin once they are started again"


def install(order: Order) -> Done:
    """Install one way and take the other out in the same scope.

    Raises NotAllowed, with nothing changed, if the other way stays in force
    elsewhere, and as both ways do. By force it is installed, and a note says so.
    """
    precheck.refuse(order, precheck.nowhere(order))
    _refuse_beside(order)
    done = _install_plugin(order) if order.way is Way.PLUGIN else _install_settings(order)
    now = in_force()
    beside = (f"{now.doubled}; {now.remedy}",) if now.doubled else ()
    return replace(done, notes=(*done.notes, *beside))


def _install_settings(order: Order) -> Done:
    done = in_settings.install(order)
    folder = plugin_path(order.scope)
    taken = _take_out(order.scope, folder)
    if not taken.changed:
        return done
    note = f"{folder} is taken out: hooks are wired by the settings now"
    return replace(done, changed=True, notes=(*done.notes, note, *taken.notes))


def uninstall(order: Order) -> Done:
    """Take out whichever way is wired in this scope."""
    folder = plugin_path(order.scope)
    taken = _take_out(order.scope, folder)
    done = in_settings.uninstall(order)
    if not taken.changed:
        return done
    notes = (*taken.notes, *done.notes)
    if not done.changed:
        return Done(folder, changed=True, notes=notes)
    return replace(done, notes=(f"{folder} is taken out", *notes))


def _install_plugin(order: Order) -> Done:
    precheck.refuse(order, (*precheck.lacks(order, claude_version.installed()), *_switched_off()))
    folder = plugin_path(order.scope)
    write_hook_files()
    put = plugin_folder.put(folder)
    try:
        ignored = _keep_out_of_git(order.scope, folder)
        before = in_settings.uninstall(order)
    except ScoordError:
        # Neither both ways nor, since the settings still stand, none.
        if put.changed:
            plugin_folder.take(folder)
        raise
    notes = [*put.notes, *ignored, *before.notes]
    if before.changed:
        notes.append(f"{before.settings}: our hooks are taken out; {_RELOAD}")
    return Done(folder, put.changed or before.changed, notes=tuple(notes))


def _switched_off() -> tuple[str, ...]:
    """Return why the plugin would not be loaded, one line each."""
    off = switched_off(named_documents_at(all_settings_paths()))
    off += [
        f'{file}: "enabledPlugins" turns {FOLDER_ID} off; remove that' for file in disabled_in()
    ]
    return tuple(off)


def _refuse_beside(order: Order) -> None:
    """Refuse what would make every event be sent twice."""
    now = in_force()
    beside = [
        f"{file} enables the plugin {ID}; run: claude plugin uninstall {ID}" for file in now.enabled
    ]
    if order.way is Way.PLUGIN:
        here = settings_path(order.scope)
        beside += [
            f"{file} has our hooks; run: scoord hooks uninstall{scope_option(file)}"
            for file in now.settings
            if file != here
        ]
    folder = plugin_path(order.scope)
    beside += [
        f"{other} is the plugin; run: scoord hooks uninstall{scope_option(other)}"
        for other in now.folders
        if other != folder
    ]
    precheck.refuse(order, beside)


def _keep_out_of_git(scope: Scope, folder: Path) -> tuple[str, ...]:
    if scope is Scope.USER:
        return ()
    return git_exclude.keep_out(folder, "/", ("/README.md",))


def _take_out(scope: Scope, folder: Path) -> Became:
    """Take the plugin out of its place, and undo what keeping it out of git did to a checkout."""
    if scope is Scope.USER or not plugin_folder.is_ours(folder):
        return plugin_folder.take(folder)
    # Git's rule goes first: whoever runs this again after a failure finds it by the folder.
    seen = git_exclude.let_in(folder, "/")
    taken = plugin_folder.take(folder)
    with contextlib.suppress(OSError):  # it is not empty, or gone
        folder.parent.parent.rmdir()
    return replace(taken, notes=(*taken.notes, *seen))
