"""Text that can be encoded."""


def without_surrogates(text: str) -> str:
    """The text with each half of a character (a lone surrogate, which no encoding takes) as U+FFFD.

    Two halves that belong together become their character.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
