"""User ids: what may be one, in a body and in a path."""

import unicodedata
from typing import Annotated, Any

from fastapi import Path
from pydantic import AfterValidator, BeforeValidator, Field

from hydra_ray.serve.http.middleware.raw_path import unescape

LONGEST_ID = 256
_SCHEMA: dict[str, Any] = {"pattern": r"^[^\u0000-\u001f\u007f-\u009f]+$", "not": {"enum": [".", ".."]}}


def checked_id(user_id: str) -> str:
    """The id as it came. Raises ValueError if it is empty, too long, holds control characters, or cannot stand in a
    URL (`.`, `..`)."""
    if not 0 < len(user_id) <= LONGEST_ID:
        raise ValueError(f"must have 1 to {LONGEST_ID} characters, not {len(user_id)}")
    checked_text(user_id)
    if user_id in {".", ".."}:
        raise ValueError("'.' and '..' cannot be user ids: URLs drop them")
    return user_id


def checked_text(text: str) -> str:
    """The text as it came. Raises ValueError if it holds control characters (Unicode's category Cc)."""
    if any(unicodedata.category(char) == "Cc" for char in text):
        raise ValueError("must not hold control characters")
    return text


def _of_path(segment: str) -> str:
    return checked_id(unescape(segment))


UserId = Annotated[
    str, Field(min_length=1, max_length=LONGEST_ID, json_schema_extra=_SCHEMA), AfterValidator(checked_id)
]
"""In a body."""

UserIdInPath = Annotated[
    str,
    BeforeValidator(_of_path),
    Path(min_length=1, max_length=LONGEST_ID, json_schema_extra=_SCHEMA, description="percent-encoded UTF-8"),
]
"""As a segment of the path."""
