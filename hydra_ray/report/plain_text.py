"""Tables in plain text, for the terminal."""

from collections.abc import Sequence


def aligned_line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """One row: the first cell to the left, the others to the right. widths: of the columns, in characters."""
    first, *rest = [
        cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join([first, *rest]).rstrip()


def aligned(header: Sequence[str], groups: Sequence[tuple[str, Sequence[Sequence[str]]]]) -> list[str]:
    """A whole table, line by line. groups: (title, rows); a title of "" takes no line."""
    rows = [header, *(row for _, body in groups for row in body)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    rule = "  ".join("-" * width for width in widths)
    lines = [aligned_line(header, widths)]
    for title, body in groups:
        lines += [rule, *([title] if title else []), *(aligned_line(row, widths) for row in body)]
    return lines
