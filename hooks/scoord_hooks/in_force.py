"""What carries our hooks in the current directory: settings, plugin, or by mistake several."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from scoord_hooks import plugin_folder
from scoord_hooks.claude_settings import Found, Named, find
from scoord_hooks.places import all_settings_paths, plugin_path, scope_option, scopes, shim_path
from scoord_hooks.plugin_wiring import FOLDER_ID, ID
from scoord_hooks.settings_file import named_documents_at


@dataclass(frozen=True, slots=True)
class InForce:
    """What carries our hooks here, as far as files tell."""

    settings: tuple[Path, ...]
    """Settings files with entries of ours."""
    differ: bool
    """Whether these send one event in several ways, as by http and by command."""
    folders: tuple[Path, ...]
    """Where the plugin lies as a folder."""
    enabled: tuple[Path, ...]
    """Settings files that enable the plugin from our marketplace."""

    @property
    def ways(self) -> tuple[str, ...]:
        """What is wired, one phrase each; more than one is once too often."""
        together = [self.settings] if self.settings else []
        apart = [(file,) for file in self.settings] if self.differ else together
        return (
            *(f"settings ({_listed(files)})" for files in apart),
            *(f"plugin ({folder})" for folder in self.folders),
            *([f"plugin {ID} (enabled in {_listed(self.enabled)})"] if self.enabled else []),
        )

    @property
    def doubled(self) -> str:
        """What is wrong with being wired more than once; empty if it is not."""
        if len(self.ways) < 2:
            return ""
        return f"events are sent twice: by {' and by '.join(self.ways)}; keep one of them"

    @property
    def remedy(self) -> str:
        """What leaves one of several ways; empty if there are not several.

        Of two in one scope an install leaves the one that it is asked for.
        """
        ours = dict.fromkeys(map(scope_option, (*self.settings, *self.folders)))
        if not self.doubled:
            return ""
        if self.enabled:
            either = "".join(f", or: scoord hooks uninstall{scope}" for scope in ours)
            return f"run: claude plugin uninstall {ID}{either}"
        if len(ours) > 1 or not self.folders:
            return "run: " + ", or: ".join(f"scoord hooks uninstall{scope}" for scope in ours)
        return f"run: scoord hooks install{next(iter(ours))}, or the same --as plugin"


def in_force() -> InForce:
    """Look at every place that Claude Code reads in the current directory."""
    shim, documents = str(shim_path()), named_documents_at(all_settings_paths())
    found = {file: ours for file, document in documents if (ours := find(document, shim))}
    return InForce(
        settings=tuple(found),
        differ=_differ(chain.from_iterable(found.values())),
        folders=tuple(filter(plugin_folder.is_ours, dict.fromkeys(map(plugin_path, scopes())))),
        enabled=_saying(documents, ID, is_on=True),
    )


def _differ(found: Iterable[Found]) -> bool:
    """Whether one event has several calls; the same in several files counts once."""
    calls = {(one.event, one.call) for one in found}
    return len(calls) > len({event for event, _ in calls})


def disabled_in() -> tuple[Path, ...]:
    """Return the settings files that turn the plugin's folder off."""
    return _saying(named_documents_at(all_settings_paths()), FOLDER_ID, is_on=False)


def _saying(documents: Sequence[Named], plugin: str, *, is_on: bool) -> tuple[Path, ...]:
    """Return the files that switch a plugin on, or off."""
    return tuple(
        file for file, document in documents if document.value(("enabledPlugins", plugin)) is is_on
    )


def _listed(files: Sequence[Path]) -> str:
    return ", ".join(map(str, files))
