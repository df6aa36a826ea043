"""An archive of made-up mails and files of ids, laid out as Avocado and LaMP's ids for it."""

import json
import zipfile
from pathlib import Path
from typing import Any

PLAIN = "Date: Mon, 2 Apr 2001 10:00:00 +0000\nFrom: a@example.org\nSubject: {}\n\n{}\n"

ENCODED = b"""Subject: =?utf-8?B?R3LDvMOfZQ==?= from
 the garden
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

The gate is gr=FCn.
"""

MULTIPART = b"""Subject: Plans
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=outer

--outer
Content-Type: multipart/alternative; boundary=inner

--inner
Content-Type: text/html; charset=utf-8

<p>Tea at four.</p>
--inner
Content-Type: text/plain; charset=utf-8

Tea at four.
--inner--
--outer
Content-Type: text/calendar; charset=utf-8

BEGIN:VCALENDAR
--outer
Content-Type: text/plain; name=notes.txt
Content-Disposition: attachment; filename=notes.txt

An attachment.
--outer
Content-Type: image/png

not text
--outer--
"""


def plain(subject: str, body: str) -> bytes:
    return PLAIN.format(subject, body).encode()


MAILS = {
    "001-000001-EM.txt": plain("Lunch", "Shall we eat at noon?"),
    "001-000002-EM.txt": plain("Re: Lunch", "Yes."),
    "001-000003-EM.txt": ENCODED,
    "002-000001-EM.txt": MULTIPART,
    "002-000002-EM.txt": b"Subject: Caf\xe9\nContent-Type: text/html\n\n<b>Ouvert</b>",
}


def write_zips(folder: Path, mails: dict[str, bytes] = MAILS) -> Path:
    """A zip for each custodian, the first number of a mail's name, with the mails in a folder of that number."""
    folder.mkdir(parents=True, exist_ok=True)
    for custodian in sorted({name.split("-")[0] for name in mails}):
        with zipfile.ZipFile(folder / f"{custodian}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in mails.items():
                if name.startswith(custodian):
                    archive.writestr(f"{custodian}/{name}", content)
    return folder


def record(question: str, mail: str, *profile: str, **more: Any) -> dict[str, Any]:
    items = [{"id": f"{question}-{place}", "text": name, "date": "2001-04-02"} for place, name in enumerate(profile)]
    return {"id": question, "input": mail, "profile": items, **more}


ONE, TWO, THREE, FOUR, FIVE = MAILS
IDS = {
    "train": [record("600", ONE, THREE, FOUR, user_id="u1"), record("601", TWO, FIVE, user_id="u2")],
    "dev": [record("610", THREE, ONE)],
    "test": [record("620", FOUR, TWO, ONE)],
}


def write_ids(folder: Path, ids: dict[str, Any] = IDS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split, records in ids.items():
        (folder / f"{split}_questions.json").write_text(json.dumps(records))
    return folder
