"""The dates of items to be appended, read as the main job's ingest reads them."""

from hydra_ray.config import DataConfig
from hydra_ray.core.date_format import DateReader
from hydra_ray.core.dates import normalise_date
from hydra_ray.serve.schemas import NewItem

SHOWN = 60
"""Characters of a client's text in a message."""
FORMS = (
    "give none, or ISO 8601 (2024, 2024-01-13, 2024-01-13T10:11:12+01:00), RFC 2822, or seconds, milliseconds, "
    "microseconds or nanoseconds since 1970"
)


class NewDates:
    """Of one run's data. The form that the run declares for its own rows is read where no other is."""

    def __init__(self, data: DataConfig) -> None:
        self._declared = data.tabular.date_format if data.source == "tabular" else None
        self._as_declared = DateReader(self._declared)

    def read(self, item: NewItem) -> str:
        """The date in the canonical form (`hydra_ray.core.dates`), "" where there is none, or none that is
        read."""
        return self._read(item.date) or ""

    def problem(self, item: NewItem) -> str | None:
        """Why the date is none; None: it is one, or there is none."""
        if self._read(item.date) is not None:
            return None
        declared = f", or {self._declared} as the run's data" if self._declared else ""
        text = item.date if len(item.date) <= SHOWN else f"{item.date[:SHOWN]}..."
        return f"{text!r} of item {item.item_id[:SHOWN]!r} is no date that is read; {FORMS}{declared}"

    def _read(self, date: str) -> str | None:
        found = normalise_date(date)
        return self._as_declared(date) if found is None and self._declared else found
