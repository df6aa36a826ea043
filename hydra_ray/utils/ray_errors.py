"""What another process says of its failure, on one line."""


def root_cause_line(message: str, width: int = 400) -> str:
    """What a traceback says is wrong: its last named error with the line that explains it, or the message's end.

    At most `width` characters.
    """
    lines = [line for line in message.splitlines() if line.strip()]
    named = [i for i, text in enumerate(lines) if ": " in text and text.split(":")[0].endswith(("Error", "Exception"))]
    if not named:
        return lines[-1].strip()[:width] if lines else ""
    first = named[-1]
    told = lines[first : first + 2] if lines[first + 1 : first + 2] and lines[first + 1][0] == " " else [lines[first]]
    return " ".join(text.strip() for text in told)[:width]
