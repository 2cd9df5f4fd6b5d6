"""One coding CLI's settings file on disk: read it, and replace it without a race.

Knows files, backups and encodings. Does not know what the settings mean.
"""

import codecs
import contextlib
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from os.path import realpath
from pathlib import Path
from typing import Final

from scoord.errors import Contended, InvalidConfig, NotAllowed
from scoord.local import alone, atomic_write
from scoord.regular import read_regular
from scoord_hooks.json_text import Document

_BACKUP_MARK: Final = ".before-scoord-"
_ATTEMPTS: Final = 20
_PRIVATE: Final = 0o700
_ANY: Final = 0o777
_EMPTY: Final = Document("{}\n")


class _ChangedMeanwhile(Exception):  # noqa: N818 (tried again, never shown)
    """Someone else wrote the file between our read and our write."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a settings file held at one moment; ``raw`` is None if there was none."""

    path: Path
    raw: bytes | None

    def document(self) -> Document:
        """Return it as JSON. Raises InvalidConfig with file, line and column."""
        try:
            text = (self.raw or b"").removeprefix(codecs.BOM_UTF8).decode()
        except UnicodeDecodeError as failure:
            raise InvalidConfig(
                f"{self.path}: not UTF-8 (byte {failure.start}); nothing was changed"
            ) from failure
        return Document.parse(text, str(self.path)) if text.strip() else _EMPTY

    def with_document(self, document: Document) -> bytes:
        """Return the file's bytes with another content, in the file's own encoding."""
        mark = codecs.BOM_UTF8 if (self.raw or b"").startswith(codecs.BOM_UTF8) else b""
        return mark + document.text.encode()


@dataclass(frozen=True, slots=True)
class Change:
    """What a file shall hold (None: no file), and whether its old content is kept aside."""

    raw: bytes | None
    keep_old: bool
    private: bool = False
    """Whether it holds a secret of ours, so that nobody else may read it."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What was done to a file."""

    changed: bool
    backup: Path | None = None


def read(path: Path) -> Snapshot:
    """Read the file as it is now. Raises NotAllowed if that is not possible."""
    try:
        raw = read_regular(path)
    except FileNotFoundError:
        return Snapshot(path, None)
    except OSError as failure:
        raise _unreadable(path, str(failure.strerror)) from failure
    if raw is None:
        raise _unreadable(path, "not a file")
    return Snapshot(path, raw)


def _unreadable(path: Path, why: str) -> NotAllowed:
    mend = "see that it is a file that you may read"
    return NotAllowed(f"{shown(path)}: cannot be read: {why}; {mend}")


def shown(path: Path) -> str:
    """Return a file's name, and where it really is if it is a link."""
    return f"{path} (a link to {realpath(path)})" if path.is_symlink() else str(path)


def readable_documents(snapshots: Iterable[Snapshot]) -> list[Document]:
    """Return what holds JSON; one that does not is for its own reader to complain about."""
    found = []
    for snapshot in snapshots:
        with contextlib.suppress(InvalidConfig):
            found.append(snapshot.document())
    return found


def documents_at(paths: Iterable[Path]) -> list[Document]:
    """Return the settings at those places; what this user cannot read, his CLI cannot either."""
    return [document for _, document in named_documents_at(paths)]


def named_documents_at(paths: Iterable[Path]) -> list[tuple[Path, Document]]:
    """Return the same, each with its file."""
    found = []
    for path in paths:
        with contextlib.suppress(InvalidConfig, NotAllowed):
            found.append((path, read(path).document()))
    return found


def read_backups(path: Path) -> list[Snapshot]:
    """Return the contents kept aside before our changes, newest first."""
    kept = sorted(path.parent.glob(f"{path.name}{_BACKUP_MARK}*"), reverse=True)
    return [read(backup) for backup in kept]


def raw_of(document: Document, now: Snapshot, backups: Sequence[Snapshot]) -> bytes:
    """Return a document's bytes: those of the backup that holds it, else in the file's encoding."""
    if document == now.document():
        return now.raw or b""
    held = (each.raw or b"" for each in backups if document in readable_documents([each]))
    return next(held, now.with_document(document))


def edit(path: Path, change: Callable[[Snapshot], Change]) -> Edit:
    """Apply a change to what the file holds; if it changes meanwhile, apply it again.

    Raises NotAllowed if it cannot be written, Contended if it never stands still.
    """
    # Other programs are met by compare-and-swap.
    with alone("settings"):
        for _ in range(_ATTEMPTS):
            before = read(path)
            after = change(before)
            if after.raw == before.raw:
                return Edit(changed=False)
            with contextlib.suppress(_ChangedMeanwhile):
                return _replace(before, after)
    raise Contended(f"{path} is written all the time by another program; nothing was changed")


def _replace(before: Snapshot, after: Change) -> Edit:
    try:
        if after.raw is None:
            Path(realpath(before.path)).unlink()
            return Edit(changed=True)
        before.path.parent.mkdir(parents=True, exist_ok=True)
        backup = _back_up(before) if after.keep_old and before.raw is not None else None
        try:
            most = _PRIVATE if after.private else _ANY
            atomic_write(before.path, after.raw, most=most, before_replace=lambda: _expect(before))
        except BaseException:
            if backup is not None:
                backup.unlink()
            raise
        return Edit(changed=True, backup=backup)
    except OSError as failure:
        raise NotAllowed(
            f"{shown(before.path)}: cannot be written: {failure.strerror}; nothing was changed"
        ) from failure


def _expect(before: Snapshot) -> None:
    if read(before.path).raw != before.raw:
        raise _ChangedMeanwhile


def _back_up(before: Snapshot) -> Path:
    backup = name_aside(before.path)
    # It may hold secrets, and nobody but its owner needs it.
    atomic_write(backup, before.raw or b"", most=_PRIVATE)
    return backup


def name_aside(path: Path) -> Path:
    """Return where the content of a file is kept aside, beside it."""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return path.with_name(f"{path.name}{_BACKUP_MARK}{now}")


def make_private(path: Path) -> int:
    """Keep everyone else from reading the file; return the mode it had. Raises NotAllowed."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & ~_PRIVATE:
        try:
            path.chmod(mode & _PRIVATE)
        except OSError as failure:
            raise NotAllowed(
                f"{shown(path)}: cannot be made private: {failure.strerror}; run chmod 600 on it"
            ) from failure
    return mode
