"""Tables that fit the terminal: no figure is ever cut, and no column left out.

Where a table is too wide its explaining columns are folded, then its headings, and its lines are
left out; then what explains moves below its row, and at last each row becomes lines of its own.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ferryman.api.base import printable

#: Between the parts of a row that stands on lines of its own.
_GAP: Final = "   "
_INDENT: Final = 4

Cell = str | Text


@dataclass(frozen=True, slots=True)
class Column:
    """A column, and what may become of it where there is no room."""

    title: str
    right: bool = False
    fold: int = 0
    """It may be folded down to so many characters; 0: it may not."""
    below: bool = False
    """It may stand below its row."""


@dataclass(frozen=True, slots=True)
class _Layout:
    lines: bool
    folded_titles: bool

    @property
    def between(self) -> int:
        """How wide what stands between two columns is."""
        return 3 if self.lines else 2


_PLAIN: Final = _Layout(lines=False, folded_titles=False)


class Listing:
    """Rows under titles, as a table or, where that does not fit, each on lines of its own."""

    def __init__(self, columns: Iterable[Column], *, title: str = "", lines: bool = True) -> None:
        self._columns = tuple(columns)
        self._title = title
        self._rows: list[tuple[tuple[Text, ...], str]] = []
        self._layouts = [
            _Layout(lines=ruled, folded_titles=folded)
            for ruled in ((True, False) if lines else (False,))
            for folded in (False, True)
        ]

    def add(self, *cells: Cell, style: str = "") -> None:
        """Add a row."""
        texts = (
            Text(printable(cell.plain if isinstance(cell, Text) else cell), cell.style)
            if isinstance(cell, Text)
            else Text(printable(cell))
            for cell in cells
        )
        self._rows.append((tuple(texts), style))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Choose what fits."""
        for layout in self._layouts:
            widths = self._widths(layout, options.max_width)
            if widths is not None:
                yield self._table(layout, widths)
                return
        beside = [i for i, column in enumerate(self._columns) if not column.below]
        widths = self._widths(_PLAIN, options.max_width, beside)
        if widths is not None and len(beside) < len(self._columns):
            yield from self._lines_below(beside, widths, options.max_width)
            return
        yield from self._records(options.max_width)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Take what is given."""
        return Measurement(min(20, options.max_width), options.max_width)

    def _widths(
        self, layout: _Layout, room: int, among: Sequence[int] | None = None
    ) -> dict[int, int] | None:
        """Return the width of each column, or of some; None where they do not fit."""
        chosen = range(len(self._columns)) if among is None else among
        wanted = {i: self._wanted(i, layout) for i in chosen}
        edges = 4 if layout.lines else 0
        spare = room - edges - layout.between * (len(wanted) - 1) - sum(wanted.values())
        folding = (i for i in wanted if self._columns[i].fold)
        for i in sorted(folding, key=lambda i: wanted[i], reverse=True):
            if spare < 0:
                given = max(self._least(i), wanted[i] + spare)
                spare += wanted[i] - given
                wanted[i] = given
        return wanted if spare >= 0 else None

    def _least(self, index: int) -> int:
        """Return how narrow a column may be folded: no word is ever broken."""
        column = self._columns[index]
        words = (_longest_word(texts[index].plain) for texts, _ in self._rows)
        return max(
            [min(column.fold, self._wanted(index, _PLAIN)), _longest_word(column.title), *words]
        )

    def _wanted(self, index: int, layout: _Layout) -> int:
        column = self._columns[index]
        title = _longest_word(column.title) if layout.folded_titles else cell_len(column.title)
        cells = (
            cell_len(line) for texts, _ in self._rows for line in texts[index].plain.split("\n")
        )
        return max([title, *cells])

    def _table(self, layout: _Layout, widths: Mapping[int, int]) -> Table:
        table = Table(
            title=self._title or None,
            title_justify="left",
            box=box.HEAVY_HEAD if layout.lines else None,
            padding=(0, 1) if layout.lines else (0, 2, 0, 0),
            pad_edge=layout.lines,
        )
        for i, width in widths.items():
            column = self._columns[i]
            table.add_column(
                column.title,
                justify="right" if column.right else "left",
                width=width,
                overflow="fold",
            )
        for texts, style in self._rows:
            table.add_row(*texts, style=style or None)
        return table

    def _lines_below(
        self, beside: Sequence[int], widths: Mapping[int, int], room: int
    ) -> Iterator[RenderableType]:
        """Yield a table without lines, and below each row what explains it."""
        below = [i for i in range(len(self._columns)) if i not in beside]
        titles = [Text(column.title, style="bold") for column in self._columns]
        yield from self._headed(self._aligned(titles, widths))
        for texts, style in self._rows:
            yield _styled(self._aligned(texts, widths), style)
            for line in self._packed(texts, below, room):
                yield Padding(_styled(line, style), (0, 0, 0, _INDENT), expand=False)

    def _aligned(self, texts: Sequence[Text], widths: Mapping[int, int]) -> Text:
        cells = []
        for i, width in widths.items():
            cell = texts[i].copy()
            cell.align("right" if self._columns[i].right else "left", width)
            cells.append(cell)
        line = Text("  ").join(cells)
        line.rstrip()
        return line

    def _records(self, room: int) -> Iterator[RenderableType]:
        """Yield each row on lines of its own."""
        yield from self._headed()
        for texts, style in self._rows:
            lines = self._packed(texts, range(len(texts)), room)
            for number, line in enumerate(lines):
                indent = _INDENT if number else 0
                yield Padding(_styled(line, style), (0, 0, 0, indent), expand=False)

    def _headed(self, *lines: Text) -> Iterator[Text]:
        if self._title:
            yield Text(self._title, style="italic")
        yield from lines

    def _packed(self, texts: Sequence[Text], chosen: Iterable[int], room: int) -> Iterator[Text]:
        """Yield parts of a row under their titles, as many on a line as there is room for."""
        line = Text()
        for i in chosen:
            title = self._columns[i].title
            if not texts[i].plain:
                continue
            part = Text.assemble((f"{title} " if title else "", "dim"), texts[i])
            if line.plain and line.cell_len + len(_GAP) + part.cell_len > room - _INDENT:
                yield line
                line = Text()
            line = Text.assemble(line, _GAP if line.plain else "", part)
        if line.plain:
            yield line


def _styled(line: Text, style: str) -> Text:
    line.stylize_before(style)
    line.overflow = "fold"
    return line


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)
