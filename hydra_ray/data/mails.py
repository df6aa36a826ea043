"""A mail as text: its subject and its body, whatever encodings it mixes."""

import re
from dataclasses import dataclass
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import Header, decode_header
from email.message import Message

BOUNDARY = "\n--- mail_boundary ---\n"
"""Between the text parts of a mail, as LaMP joins them."""


@dataclass(frozen=True, slots=True)
class Mail:
    """What LaMP 6 reads of a mail.

    Attributes:
        subject: Decoded and on one line; "" for none. Blanks around it stay.
        body: All text/plain parts, then text/html, then other text. Parts with a file name are attachments,
            and not in it.
    """

    subject: str
    body: str


def parse_mail(content: bytes) -> Mail:
    """The mail in a file's bytes. Anything is read as a mail; what has no headers has an empty subject."""
    message = message_from_bytes(content)
    texts: dict[str, list[str]] = {"plain": [], "html": [], "": []}
    for part in message.walk():
        if part.get_content_maintype() == "text" and not part.is_multipart() and not _is_file(part):
            kind = part.get_content_subtype()
            texts[kind if kind in texts else ""].append(_text_of(part))
    return Mail(_subject_of(message), BOUNDARY.join(part for parts in texts.values() for part in parts).strip())


def _subject_of(message: Message) -> str:
    raw = message.get("subject", "")
    folded = raw if isinstance(raw, Header) else re.sub(r"[\r\n]+", "", str(raw))
    try:
        parts = decode_header(folded)
    except (HeaderParseError, ValueError):  # an encoded word that is broken
        return str(folded)
    # Python gives text where nothing is encoded, and for 8-bit headers a charset that is none.
    return "".join(part if isinstance(part, str) else _decoded(part, charset) for part, charset in parts)


def _is_file(part: Message) -> bool:
    try:
        return bool(part.get_filename())
    except (LookupError, ValueError):  # it has a name, in a charset that cannot be read
        return True


def _text_of(part: Message) -> str:
    payload = part.get_payload(decode=True)
    try:
        charset = part.get_content_charset()
    except (LookupError, ValueError):
        charset = None
    return _decoded(payload, charset) if isinstance(payload, bytes) else ""


def _decoded(raw: bytes, charset: str | None) -> str:
    """Bytes as text, in the charset they claim, else in UTF-8, else in Windows' Western one, which nearly all fit."""
    for name in (charset, "utf-8"):
        try:
            text = raw.decode(name or "ascii")
            text.encode()  # some charsets leave halves of characters
            return text
        except (LookupError, ValueError):  # no such charset, or not in it
            continue
    return raw.decode("cp1252", errors="replace")
