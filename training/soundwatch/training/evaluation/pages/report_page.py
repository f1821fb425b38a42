"""Report page with sentences and tables, as Markdown or for a terminal.

Conventions: a cell is text; a missing figure is an empty cell.
Does not: compute any figure.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table as RichTable


@dataclass(frozen=True, slots=True)
class Table:
    """Table of text cells.

    Attributes:
        title: Title.
        headings: Column headings.
        rows: Rows of cells.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Report page.

    Attributes:
        title: Title.
        sentences: Paragraphs before the tables.
        warning: Reason if the figures are not valid; else empty.
        tables: Tables in order.
    """

    title: str
    sentences: tuple[str, ...]
    warning: str
    tables: tuple[Table, ...]


def to_markdown(page: Page) -> str:
    """Format the page as Markdown."""
    lines = [f"# {page.title}", *page.sentences]
    if page.warning:
        lines.append(f"**{page.warning}**")
    for table in page.tables:
        rows = [table.headings, ("---",) * len(table.headings), *table.rows]
        lines += [f"## {table.title}", "\n".join(f"| {' | '.join(row)} |" for row in rows)]
    return "\n\n".join(lines) + "\n"


def show(page: Page, console: Console) -> None:
    """Print the page on a terminal."""
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
    """Format a share from 0 to 1 in percent with one decimal; empty for None."""
    return "" if share is None else f"{100 * share:.1f} %"


def memory_warning(folds: tuple[int, ...]) -> str:
    """Return a warning if the model was trained on these folds, else an empty string."""
    names = ", ".join(str(fold) for fold in folds)
    return f"This model was trained on fold {names}: these figures measure memory, not recognition." if folds else ""
