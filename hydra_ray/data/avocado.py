"""LaMP 6 from the Avocado collection of mails (LDC2015T03), which only those who have a licence may read.

LaMP gives files of ids, in which the name of a mail's file stands for its text: `[{"id", "input": FILE, "profile":
[{"id", "text": FILE, ...}, ...], "user_id"?}, ...]`. What is made of them are LaMP's questions and outputs.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from hydra_ray.core.lamp_prompts import FORMS
from hydra_ray.data.formats.fields import id_of
from hydra_ray.data.formats.json_stream import is_object, stream_list, stream_under
from hydra_ray.data.mail_archive import MailArchive
from hydra_ray.errors import UserError
from hydra_ray.utils.atomic_io import write_text
from hydra_ray.utils.json_file import json_file
from hydra_ray.utils.output_files import check_overwrites

TASK = "LaMP_6"
LAYOUT = "a file of LaMP 6's ids"
SPLITS = ("train", "dev", "test")
MISSING_FILE = "missing_mails.txt"


class Built(NamedTuple):
    """What was written of a split.

    Attributes:
        questions: How many.
        left_out: Questions with a mail that no zip holds, the question's or one of its profile's.
    """

    questions: int
    left_out: int


class Avocado(NamedTuple):
    """What `build_avocado` wrote: by split, and the names of the mails that no zip holds, sorted."""

    splits: dict[str, Built]
    missing: list[str]


def id_files(folder: Path | None, given: Mapping[str, Path | None]) -> dict[str, Path]:
    """The file of each split's ids, those that there are.

    Args:
        folder: Holds `{split}_questions.json` of every split that is not in `given`; None: there are no others.
        given: Split -> its file.

    Raises:
        UserError: There is none at all, or one of the folder's is not there.
    """
    found = {split: given.get(split) or (folder and questions_file(folder, split)) for split in SPLITS}
    files = {split: file for split, file in found.items() if file}
    if not files:
        raise UserError("avocado: no ids; give --ids with the folder of LaMP 6's files, or --train, --dev, --test")
    for split, file in files.items():
        if not file.is_file():
            raise UserError(f"{file}: no such file; give LaMP 6's ids of {split} with --ids DIR or --{split} FILE")
    return files


def questions_file(folder: Path, split: str) -> Path:
    """LaMP's name for a split's questions."""
    return folder / f"{split}_questions.json"


def outputs_file(folder: Path, split: str) -> Path:
    """LaMP's name for a split's outputs."""
    return folder / f"{split}_outputs.json"


def build_avocado(zips: Path, ids: Mapping[str, Path], out: Path) -> Avocado:
    """Writes `{split}_questions.json` and, but for test, `{split}_outputs.json`. Equal input makes equal bytes.

    Args:
        zips: Avocado's `data/text`.
        ids: Split -> its file of ids, from `id_files`.
        out: The folder to write to; made where there is none. `missing_mails.txt` in it lists the mails that no zip
            holds; questions with one of them are left out.

    Raises:
        UserError: A file cannot be read or is of another layout; `out` would overwrite a file of ids; no question of
            a split has its mails.
    """
    outputs = [outputs_file(out, split) for split in ids if split != "test"]
    written = [*(questions_file(out, split) for split in ids), *outputs, out / MISSING_FILE]
    check_overwrites([("--out", file) for file in written], ids.values())
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: is a file; give a folder")
    try:
        wanted = {name for file in ids.values() for record in _records(file) for name in mails_of(record)}
        out.mkdir(parents=True, exist_ok=True)
        with MailArchive(out) as mails:
            mails.load(zips, wanted)
            missing = sorted(name for name in wanted if mails.find(name) is None)
            built = {split: _build(split, file, mails, out) for split, file in ids.items()}
        (out / MISSING_FILE).unlink(missing_ok=True)
        if missing:
            write_text(out / MISSING_FILE, "".join(f"{name}\n" for name in missing))
    except OSError as error:
        raise UserError(f"{error.filename or out}: {error.strerror}; give files that can be read and a folder that "
                        "can be written") from None  # fmt: skip
    return Avocado(built, missing)


def mails_of(record: Mapping[str, Any]) -> list[str]:
    """The names of a record's mails: the question's, then the profile's."""
    return [record["input"], *(item["text"] for item in record["profile"])]


def _build(split: str, file: Path, mails: MailArchive, out: Path) -> Built:
    golds: list[dict[str, Any]] = []
    questions = left_out = 0
    with ExitStack() as files:
        writer = json_file(files, questions_file(out, split), "[]")
        for record in _records(file):
            made = question_of(record, mails)
            if made is None:
                left_out += 1
                continue
            question, subject = made
            questions += 1
            golds.append({"id": question["id"], "output": subject})
            writer.add(json.dumps(question))
        if not questions:
            raise UserError(f"{file}: none of its {left_out} questions has all its mails, such as {record['input']}, "
                            "in the zips; give Avocado's data/text and LaMP 6's ids")  # fmt: skip
    if split != "test":
        write_text(outputs_file(out, split), json.dumps({"task": TASK, "golds": golds}, indent=1) + "\n")
    return Built(questions, left_out)


def question_of(record: Mapping[str, Any], mails: MailArchive) -> tuple[dict[str, Any], str] | None:
    """LaMP's question and its gold subject; None if one of its mails is missing. An item's other fields are kept."""
    found = [mail for name in mails_of(record) if (mail := mails.find(name)) is not None]
    if len(found) < len(record["profile"]) + 1:
        return None
    asked, *shown = found
    profile = [
        {**item, "text": mail.body, "title": mail.subject} for item, mail in zip(record["profile"], shown, strict=True)
    ]
    question = {"id": record["id"], "input": FORMS[TASK].head + asked.body, "profile": profile}
    if "user_id" in record:
        question["user_id"] = record["user_id"]
    return question, asked.subject


def _records(file: Path) -> Iterator[dict[str, Any]]:
    """The records of a file of ids, a list or the `golds` of an object. Raises UserError for any other layout, and for
    a question that is there twice."""
    records = stream_under(file, "golds", LAYOUT) if is_object(file) else stream_list(file, LAYOUT)
    position, known = -1, set[str]()
    for position, record in enumerate(records):
        lacks = _lacks(record)
        if lacks:
            raise UserError(f"{file}: record {position} (counted from 0): not {LAYOUT}: it has no {lacks}")
        key = id_of(record["id"])
        if key in known:
            raise UserError(f"{file}: question {key} is there twice; leave one of them in it")
        known.add(key)
        yield record
    if position < 0:
        raise UserError(f"{file}: holds no questions; write or download the file again")


def _lacks(record: Any) -> str:
    """What a record of ids lacks, "" if nothing."""
    if not isinstance(record, dict) or not id_of(record.get("id")):
        return "id"
    if not _is_name(record.get("input")):
        return "name of a mail as its input"
    profile = record.get("profile")
    if not isinstance(profile, list):
        return "profile list"
    named = all(isinstance(item, dict) and id_of(item.get("id")) and _is_name(item.get("text")) for item in profile)
    return "" if named else "id and name of a mail in one of its profile's items"


def _is_name(value: Any) -> bool:
    """Whether it may be a file's name, rather than a mail's text."""
    return isinstance(value, str) and bool(value) and value.isprintable()
