"""Records as a table: for a terminal, for a notebook, for pandas."""

from __future__ import annotations


from html import escape
from typing import Any, Dict, Iterable, List


class Table(List[Dict[str, Any]]):
    """A list of records (dicts with the same keys) that shows itself as a table. ``pandas.DataFrame(table)`` takes it as it is."""

    def __init__(self, records: Iterable[dict[str, Any]] = (), title: str = "", notes: Iterable[str] = ()) -> None:
        super().__init__(records)
        self.title = title
        self.notes = list(notes)

    @property
    def columns(self) -> list[str]:
        """The keys, in the order in which records first have them."""
        return list(dict.fromkeys(key for record in self for key in record))

    def column(self, name: str) -> list[Any]:
        """The values of one key; None where a record lacks it."""
        return [record.get(name) for record in self]

    def _cells(self) -> list[list[str]]:
        return [[_text(record.get(name)) for name in self.columns] for record in self]

    def __repr__(self) -> str:
        rows = [self.columns, *self._cells()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
        head = [self.title] if self.title else []
        return "\n".join([*head, *lines, *(f"note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self._cells()
        )
        caption = f"<caption>{escape(self.title)}</caption>" if self.title else ""
        notes = "".join(f"<p>note: {escape(note)}</p>" for note in self.notes)
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, bool):
        return "yes" if value else ""
    return str(value)
