"""A list for people that fits where it is shown: a table, or blocks where that has no room.

What it shows has been made safe before; nothing here is read as markup.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate, takewhile
from textwrap import TextWrapper
from typing import Final

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

Cell = str | Text

PIPE_COLUMNS: Final = 1_000_000
"""A pipe has no width: lines stay whole there, for grep and the eye alike. More than any has."""

_ALIGNED: Final = 240
"""Characters of a line in which columns are below each other, also where it may be longer."""
_BETWEEN: Final = 2
"""Characters between two columns."""
_MOST_LINES: Final = 3
"""Of a cell that is cut."""
_INDENT: Final = 4
"""Of what goes on in the next line of a block."""


class Kind(Enum):
    """What becomes of a column where there is not room for all."""

    WHOLE = "whole"
    """An age, a count: it is always shown whole, on one line."""
    NAME = "name"
    """Who it is: it is cut in the middle, as its end tells names apart."""
    PATH = "path"
    """A file: it gets the room there is, and goes on in the next line, after a slash."""
    WORDS = "words"
    """It goes on in the next line, after a word, to its end."""
    FACTS = "facts"
    """As ``WORDS``, of several lines."""
    TEXT = "text"
    """What somebody wrote: as ``WORDS``, but cut after some lines."""


_LEAST: Final = {Kind.NAME: 11, Kind.PATH: 18, Kind.WORDS: 12, Kind.FACTS: 36, Kind.TEXT: 12}
"""Characters that a column of a kind needs to be of use."""
_STEPS: Final = (
    ({Kind.PATH, Kind.FACTS}, 100),
    ({Kind.NAME}, _ALIGNED),
    ({Kind.PATH, Kind.FACTS}, _ALIGNED),
    ({Kind.TEXT}, 20),
    ({Kind.TEXT, Kind.WORDS}, _ALIGNED),
)
"""Which kinds get more than that one after the other, and up to how much."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column, under its name."""

    name: str
    kind: Kind = Kind.TEXT


def columns_of(names: Sequence[str], kinds: Mapping[str, Kind]) -> list[Column]:
    """Columns by their names; one of no known kind is somebody's text."""
    return [Column(name, kinds.get(name, Kind.TEXT)) for name in names]


def widths(natural: Sequence[int], kinds: Sequence[Kind], room: int) -> list[int] | None:
    """How wide each column is to be, where each would like to be ``natural``.

    Paths and facts get what there is before names, and names before the rest. None where
    there is too little for a table.
    """
    wide = [
        each if kind is Kind.WHOLE else min(each, _LEAST[kind])
        for each, kind in zip(natural, kinds, strict=True)
    ]
    left = room - sum(wide) - _BETWEEN * (len(wide) - 1)
    if left < 0:
        return None
    for wanted, most in _STEPS:
        these = [number for number, kind in enumerate(kinds) if kind in wanted]
        left = _widen(wide, [min(each, most) for each in natural], these, left)
    return wide


def _widen(wide: list[int], natural: Sequence[int], these: Sequence[int], left: int) -> int:
    """Give ``left`` to these columns, the narrowest first; what is over."""
    while left and (short := [n for n in these if wide[n] < natural[n]]):
        wide[min(short, key=lambda n: wide[n])] += 1
        left -= 1
    return left


def cut(text: str, width: int) -> str:
    """A name in so many cells of a terminal, one at least; without its middle, if it is longer."""
    width = max(width, 1)
    if cell_len(text) <= width:
        return text
    end = (width - 1) // 2
    tail = text[len(text) - end :]
    while cell_len(tail) > end:
        tail = tail[1:]
    return f"{set_cell_size(text, width - 1 - end).rstrip(' ')}…{tail}"


def broken(text: str, width: int, label: int = 0) -> list[str]:
    """Words and paths in lines of so many cells of a terminal, one at least.

    The first is shorter by a ``label``, and empty where that leaves no room.
    """
    width = max(width, 1)
    lines, room = (list[str](), width - label) if label < width else ([""], width)
    for line in text.split("\n"):
        rest = line
        while (most := _characters(rest, room)) < len(rest):
            end = _end_of_line(rest, most)
            lines.append(rest[:end].rstrip(" "))
            rest, room = rest[end:], width
        lines.append(rest)
        room = width
    return lines


def _characters(text: str, width: int) -> int:
    """How many of its characters have room in so many cells; one at least."""
    cells = accumulate(map(cell_len, text))
    return max(sum(1 for _ in takewhile(lambda end: end <= width, cells)), 1)


def _end_of_line(text: str, width: int) -> int:
    """Where a line ends: at a blank or a slash, else within a name, else where it is full."""
    ends = (
        max(text.rfind(" ", 1, width + 1), text.rfind("/", 1, width)),
        max(text.rfind(sign, width // 4, width) for sign in "_-@"),
        text.rfind(".", width // 4, width),
        width - 1,
    )
    return next(end for end in ends if end >= 0) + 1


class Listing:
    """Rows under columns."""

    def __init__(self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
        self._columns = columns
        self._rows = rows

    def __rich_measure__(self, _console: Console, options: ConsoleOptions) -> Measurement:
        """It takes what there is."""
        return Measurement(1, options.max_width)

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        """As a table; as blocks, one for each row, where a table would have to be cut up."""
        natural = [self._natural(number) for number in range(len(self._columns))]
        kinds = [column.kind for column in self._columns]
        if options.max_width >= PIPE_COLUMNS:
            yield from self._lines(widths(natural, kinds, _ALIGNED) or natural)
            return
        wide = widths(natural, kinds, options.max_width)
        if wide is not None:
            yield self._table(wide)
            return
        for row in self._rows:
            yield from self._block(row, options.max_width)

    def _natural(self, number: int) -> int:
        lines = (line for row in self._rows for line in _plain(row[number]).split("\n"))
        return max(cell_len(self._columns[number].name), *map(cell_len, lines), 1)

    def _lines(self, wide: Sequence[int]) -> Iterator[Text]:
        """Every row whole; a cell that is wider than its column moves the rest of its line."""
        yield _whole([Text(column.name, "bold") for column in self._columns], wide)
        yield Text("─" * (sum(wide) + _BETWEEN * (len(wide) - 1)))
        for row in self._rows:
            yield _whole(row, wide)

    def _table(self, wide: Sequence[int]) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
        for column, width in zip(self._columns, wide, strict=True):
            table.add_column(column.name, width=width)
        for row in self._rows:
            cells = zip(row, self._columns, wide, strict=True)
            table.add_row(*(_fitted(c, column.kind, w) for c, column, w in cells))
        return table

    def _block(self, row: Sequence[Cell], width: int) -> Iterator[RenderableType]:
        """What it is about, then the other cells, each under its name."""
        about = next((n for n, c in enumerate(self._columns) if c.kind is not Kind.WHOLE), 0) + 1
        heading = "  ".join(filter(None, map(_plain, row[:about])))
        yield Text("\n".join(broken(heading, width)), "bold", overflow="fold")
        for column, cell in list(zip(self._columns, row, strict=True))[about:]:
            if _plain(cell):
                yield _labelled(column.name, cell, width)


def _labelled(name: str, cell: Cell, width: int) -> Text:
    """``  why: all of it``; what goes on in further lines is indented."""
    label = f"  {name}: "
    line = Text(overflow="fold").append(label, "dim")
    if isinstance(cell, Text):
        return line.append(cell)
    told = broken(cell, width - _INDENT, len(label) - _INDENT)
    return line.append(f"\n{' ' * _INDENT}".join(told))


def _whole(row: Sequence[Cell], wide: Sequence[int]) -> Text:
    """One line, or several of facts, which begin below each other where they are the last cell."""
    line, begins = Text(no_wrap=True, overflow="ignore"), 0
    for cell, width in zip(row, wide, strict=True):
        line.append(" " * max(begins - line.cell_len, _BETWEEN if begins else 0))
        line.append(cell if isinstance(cell, Text) else cell.replace("\n", f"\n{' ' * begins}"))
        begins += width + _BETWEEN
    line.rstrip()
    return line


def _fitted(cell: Cell, kind: Kind, width: int) -> Text:
    if isinstance(cell, Text):
        return cell
    match kind:
        case Kind.NAME:
            return Text(cut(cell, width), no_wrap=True, overflow="ellipsis")
        case Kind.PATH | Kind.WORDS | Kind.FACTS:
            return Text("\n".join(broken(cell, width)), overflow="fold")
        case Kind.TEXT:
            wrapper = TextWrapper(width, max_lines=_MOST_LINES, placeholder="…")
            return Text("\n".join(wrapper.wrap(cell)), overflow="ellipsis")
        case Kind.WHOLE:
            return Text(cell, no_wrap=True, overflow="ellipsis")


def _plain(cell: Cell) -> str:
    return cell.plain if isinstance(cell, Text) else cell
