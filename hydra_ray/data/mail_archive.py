"""Mails of an archive of zips, by the name of their file, kept on disk while they are looked up."""

from collections.abc import Set
from pathlib import Path, PurePosixPath

from hydra_ray.data.mails import Mail, parse_mail
from hydra_ray.data.scratch_database import ScratchDatabase
from hydra_ray.data.zips import reading
from hydra_ray.errors import UserError

MOST_BYTES = 256 << 20
"""Of one mail, unpacked."""
DEPTH = 2
"""Names in a mail's path within its zip: a folder and the file."""


class MailArchive(ScratchDatabase):
    """File name -> mail. A context manager: leaving it removes what it keeps."""

    def __init__(self, folder: Path) -> None:
        """folder: where it keeps the mails that are looked up. Raises OSError."""
        super().__init__("mail (name TEXT PRIMARY KEY, subject TEXT, body TEXT)", ".mails-", folder)

    def load(self, zips: Path, wanted: Set[str]) -> None:
        """Reads the wanted mails of a folder's zips, each once; of equal names that in the first zip by name counts.

        Args:
            zips: A folder with `*.zip` in it. In a zip, files that lie one folder deep are mails.
            wanted: Names of files, without a folder.

        Raises:
            UserError: There is no such folder, no zip in it, or one that cannot be read (see `zips.reading`).
        """
        files = sorted(zips.glob("*.zip"))
        if not files:
            why = "holds no .zip" if zips.is_dir() else "no such folder"
            raise UserError(f"{zips}: {why}; give Avocado's data/text, with a zip for each custodian")
        for file in files:
            try:
                self._load_zip(file, wanted)
            except OSError as error:
                raise UserError(f"{file}: {error.strerror or error}; give zips that can be read") from None

    def _load_zip(self, file: Path, wanted: Set[str]) -> None:
        with reading(file, "mails") as (archive, members):
            for member in members:
                parts = PurePosixPath(member.filename).parts
                if len(parts) != DEPTH or parts[-1] not in wanted or self.find(parts[-1]):
                    continue
                if member.file_size > MOST_BYTES:
                    raise UserError(f"{file}: {member.filename} has more than {MOST_BYTES >> 20} MiB, more than "
                                    "a mail; make or download the zip again")  # fmt: skip
                mail = parse_mail(archive.read(member))
                self._db.execute("INSERT INTO mail VALUES (?, ?, ?)", (parts[-1], mail.subject, mail.body))

    def find(self, name: str) -> Mail | None:
        """The mail in the file of a name, None where no zip holds it."""
        row = self._db.execute("SELECT subject, body FROM mail WHERE name = ?", (name,)).fetchone()
        return Mail(*row) if row else None
