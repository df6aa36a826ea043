"""Rankings for other programs: all items of each question's history in a retriever's order, as LaMP's files hold them.

Reads a LaMP questions file or an ingested data set, one question at a time; embeddings are cached as a run's are.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from hydra_ray.config import Config
from hydra_ray.core.dates import normalise_date
from hydra_ray.core.lamp_score import check_task, check_unique, some
from hydra_ray.core.retrieval import TextEncode
from hydra_ray.core.tasks import Task, load_task
from hydra_ray.core.types import HistoryItem, Split
from hydra_ray.data.formats.fields import id_of, joined
from hydra_ray.data.formats.json_stream import is_object, stream_list, stream_under
from hydra_ray.data.predictions import read_outputs
from hydra_ray.data.reader import read_users
from hydra_ray.data.sources.questions import question_text
from hydra_ray.errors import UserError
from hydra_ray.inference.history_index import HistoryIndex
from hydra_ray.pipeline.step import make_root
from hydra_ray.utils.json_file import JsonFile, json_file
from hydra_ray.utils.output_files import check_outputs

LAYOUT = "a LaMP questions file"


class RankedQuestion(NamedTuple):
    """A question with all items of its history.

    Attributes:
        question_id: Its id.
        item_ids: Best first, each once.
        raw: The record of a questions file; None from a data set.
    """

    question_id: str
    item_ids: Sequence[str]
    raw: Mapping[str, Any] | None = None


class Written(NamedTuple):
    """What `write_rankings` has done.

    Attributes:
        questions, items: How many were ranked.
        notes: One line for each kind of oddity in the questions.
    """

    questions: int
    items: int
    notes: tuple[str, ...] = ()


@dataclass
class Oddities:
    """What is odd about a questions file but does not stop its ranking.

    Attributes:
        unmarked: Questions whose input lacks what shows where the text begins that is searched for.
        misdated: Items with a date that cannot be read.
    """

    unmarked: list[str] = field(default_factory=list)
    misdated: list[str] = field(default_factory=list)

    def notes(self) -> tuple[str, ...]:
        """One line for each kind."""
        lines = []
        if self.unmarked:
            unmarked = some("questions without the task's marker", self.unmarked)
            lines.append(f"{unmarked}; all of their input was searched for")
        if self.misdated:
            lines.append(f"{some('items with a date that cannot be read', self.misdated)}; they count as the oldest")
        return tuple(lines)


def write_rankings(
    config: Config,
    *,
    questions: Path | None = None,
    ingested: Path | None = None,
    split: Split | None = None,
    out: Path | None = None,
    merged: Path | None = None,
    golds: Path | None = None,
    config_file: Path | None = None,
) -> Written:
    """Ranks by `retrieval.method` and writes LaMP's files.

    Args:
        config: The sections data (its task), retrieval and model (its encoder) are read.
        questions: A LaMP questions file.
        ingested: Or the folder of an ingested data set.
        split: Of the data set's users; None: all.
        out: The ranking: question id -> item ids, best first.
        merged: The questions with their profiles in that order; only from a questions file.
        golds: Whose outputs the merged questions carry; None: they carry none.
        config_file: Where the config was read.

    Raises:
        UserError: For anything that is wrong with the files.
    """
    if out is None and merged is None:
        raise UserError("rank: nothing to write; give --out FILE, --merged FILE, or both")
    if golds is not None and merged is None:
        raise UserError("--golds: goes with --merged")
    if questions is None and merged is not None:
        raise UserError("--merged: holds the questions file's own records; give --questions FILE")
    if questions is not None and split is not None:
        raise UserError("--split: goes with --ingested; a questions file holds one split")
    ranking_file = Path(config.retrieval.ranking) if config.retrieval.ranking else None
    read = [questions, golds, ranking_file, config_file, Path(config.data.task)]
    check_outputs({"--out": out, "--merged": merged}, read)
    outputs, odd = _outputs_of(golds, load_task(config.data.task)), Oddities()
    found = _of_file(config, questions, odd) if questions else _of_data_set(config, ingested or Path(), split)
    try:
        with ExitStack() as files:
            ranking = json_file(files, out, "{}") if out else None
            records = json_file(files, merged, "[]") if merged else None
            return _write(found, ranking, records, outputs, golds)._replace(notes=odd.notes())
    except OSError as error:
        raise UserError(f"{error.filename or out or merged}: {error.strerror}; give files that can be read and "
                        "written") from None  # fmt: skip


def _write(
    found: Iterator[RankedQuestion],
    ranking: JsonFile | None,
    records: JsonFile | None,
    outputs: Mapping[str, str] | None,
    golds: Path | None,
) -> Written:
    asked: Counter[str] = Counter()
    items = 0
    unanswered: list[str] = []
    for question in found:
        key = question.question_id
        asked[key] += 1
        if asked[key] > 1:
            raise UserError(f"question {key} is there twice; a ranking has one line a question: leave one of them out, "
                            "or rank one --split of an --ingested data set at a time")  # fmt: skip
        items += len(question.item_ids)
        if ranking:
            ranking.add(f"{json.dumps(key)}: {json.dumps(list(question.item_ids))}")
        if records:
            assert question.raw is not None
            if outputs is not None and not outputs.get(key, "").strip():
                unanswered.append(key)
            records.add(json.dumps(merged_record(question, outputs)))
    if unanswered:
        raise UserError(f"{golds}: {some('questions without a gold output', unanswered)}; give the outputs file of "
                        "these questions")  # fmt: skip
    return Written(asked.total(), items)


def merged_record(question: RankedQuestion, outputs: Mapping[str, str] | None) -> dict[str, Any]:
    """A record of LaMP's merged files: id, input, profile best first, output and, where there is one, user_id."""
    raw = question.raw or {}
    profile: dict[str, Any] = {}
    for item in raw["profile"]:
        profile.setdefault(id_of(item["id"]), item)
    made: dict[str, Any] = {"id": raw["id"], "input": raw["input"]}
    made["profile"] = [profile[item_id] for item_id in question.item_ids]
    if outputs is not None:
        made["output"] = outputs.get(question.question_id, "")
    if "user_id" in raw:
        made["user_id"] = raw["user_id"]
    return made


def _outputs_of(golds: Path | None, task: Task) -> dict[str, str] | None:
    if golds is None:
        return None
    files = read_outputs(golds)
    if len(files) > 1:
        raise UserError(f"{golds}: holds outputs of {len(files)} tasks; give the file of one")
    check_task(files[0], task)
    check_unique(files[0], "gold output")
    return dict(files[0].outputs)


def encoder_of(config: Config) -> TextEncode | None:
    """What retrieval embeds texts with, cached under the run's root; None where it needs nothing of the kind."""
    if not config.retrieval.encodes:
        return None
    from hydra_ray.models.text_embeddings import text_embeddings

    root = Path(config.root).expanduser()
    make_root(root)
    return text_embeddings(config.text_encoder, root / "cache" / "embeddings")


def _of_data_set(config: Config, folder: Path, split: Split | None) -> Iterator[RankedQuestion]:
    task, encode, seed = load_task(config.data.task), encoder_of(config), config.protocol.seeds[0]
    for user in read_users(folder, split):
        for question in user.questions:
            index = HistoryIndex(user.history_of(question), task, config.retrieval, seed, encode)
            yield _ranked(index, question.text, question.question_id)


def _of_file(config: Config, path: Path, odd: Oddities) -> Iterator[RankedQuestion]:
    task, encode, seed = load_task(config.data.task), encoder_of(config), config.protocol.seeds[0]
    records = stream_under(path, "golds", LAYOUT) if is_object(path) else stream_list(path, LAYOUT)
    position = -1
    for position, raw in enumerate(records):
        where = f"{path}: record {position} (counted from 0)"
        _check(raw, where)
        items = history_of(raw["profile"], task, where, odd)
        text, marked = question_text(raw["input"], task.question_marker)
        if not marked or not task.finds_search_text(text):
            if position == 0:
                lacks = task.search_pattern if marked else task.question_marker
                raise UserError(f"{where}: its input holds no {lacks!r}, so it is no question of "
                                f"data.task={task.name}; set data.task")  # fmt: skip
            odd.unmarked.append(id_of(raw["id"]))
        ranked = _ranked(HistoryIndex(items, task, config.retrieval, seed, encode), text, id_of(raw["id"]))
        yield ranked._replace(raw=raw)
    if position < 0:
        raise UserError(f"{path}: holds no questions: a list of them, or an object with such a list under `golds`, is "
                        "read; write or download the file again")  # fmt: skip


def _ranked(index: HistoryIndex, text: str, question_id: str) -> RankedQuestion:
    found = index.search(text, len(index.items), question_id=question_id)
    return RankedQuestion(question_id, [item.item_id for item in found.items])


def _check(raw: Any, where: str) -> None:
    """Raises UserError for a record that is no question with its profile."""
    lacks = "id, input and profile"
    if isinstance(raw, dict):
        lacks = "" if id_of(raw.get("id")) else "id"
        lacks = lacks or ("" if isinstance(raw.get("input"), str) else "input text")
        lacks = lacks or ("" if isinstance(raw.get("profile"), list) else "profile list")
    if lacks:
        raise UserError(f"{where}: not {LAYOUT}: it has no {lacks}")


def history_of(profile: Sequence[Any], task: Task, where: str, odd: Oddities) -> list[HistoryItem]:
    """A profile's items, oldest first, undated ones before all others; the first of an id counts. odd: gets the items
    whose dates cannot be read.

    Unlike `hydra-ray ingest`, it keeps items that hold no usable answer or no text: a ranking names all.

    Raises:
        UserError: An item has no id, or none of the task's fields.
    """
    items: dict[str, HistoryItem] = {}
    for raw in profile:
        item_id = id_of(raw.get("id")) if isinstance(raw, dict) else ""
        if not item_id:
            raise UserError(f"{where}: an item of its profile has no id")
        if not set(task.corpus) & set(raw):
            has, wants = ", ".join(sorted(raw)), ", ".join(task.corpus)
            raise UserError(f"{where}: its items have {has}, but data.task={task.name} searches {wants}; set data.task")
        try:
            text, corpus = joined(raw, task.text_fields), joined(raw, task.corpus)
        except TypeError as error:
            raise UserError(f"{where}: item {item_id}: {error}") from None
        date = normalise_date(raw.get("date"))
        if date is None:
            odd.misdated.append(item_id)
        items.setdefault(item_id, HistoryItem(item_id, text, corpus, "", date or ""))
    return sorted(items.values(), key=lambda item: item.date)
