"""Figures as a page: the same sentences and tables as Markdown, and in colour for a terminal.

Conventions: a cell is text; what was not there to be measured is an empty cell.
Does not: compute any figure.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table as RichTable


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings.

    Attributes:
        title: What the rows are.
        headings: One a column.
        rows: A cell a column.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A report.

    Attributes:
        title: Its first line.
        sentences: Paragraphs before the tables.
        warning: What makes the figures worthless; empty if nothing does.
        tables: In order.
    """

    title: str
    sentences: tuple[str, ...]
    warning: str
    tables: tuple[Table, ...]


def to_markdown(page: Page) -> str:
    """The page as Markdown."""
    lines = [f"# {page.title}", *page.sentences]
    if page.warning:
        lines.append(f"**{page.warning}**")
    for table in page.tables:
        rows = [table.headings, ("---",) * len(table.headings), *table.rows]
        lines += [f"## {table.title}", "\n".join(f"| {' | '.join(row)} |" for row in rows)]
    return "\n\n".join(lines) + "\n"


def show(page: Page, console: Console) -> None:
    """The page on a terminal."""
    console.print(page.title, style="bold")
    for sentence in page.sentences:
        console.print(sentence, markup=False)
    if page.warning:
        console.print(page.warning, style="yellow", markup=False)
    for table in page.tables:
        drawn = RichTable(*table.headings, title=table.title)
        for row in table.rows:
            drawn.add_row(*row)
        console.print(drawn)


def percent(share: float | None) -> str:
    """A share of 0 to 1 with one digit after the point; nothing for None."""
    return "" if share is None else f"{100 * share:.1f} %"


def memory_warning(folds: tuple[int, ...]) -> str:
    """What folds that were trained on make of a report's figures."""
    names = ", ".join(str(fold) for fold in folds)
    return f"This model was trained on fold {names}: these figures measure memory, not hearing." if folds else ""
