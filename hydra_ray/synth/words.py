"""Word lists, written as readable lines."""


def words(*lines: str) -> tuple[str, ...]:
    """The whitespace-separated words of the lines, in order."""
    return tuple(word for line in lines for word in line.split())
