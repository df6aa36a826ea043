"""From what the columns look like to what they are: user, id, date, texts, answer, and the kind of task. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from hydra_ray.core.answers.rating import number_text
from hydra_ray.core.date_format import DateReader
from hydra_ray.core.dates import normalise_date
from hydra_ray.errors import UserError
from hydra_ray.init_task.columns import Column, number_of

Kind = Literal["classification", "rating", "generation"]

USER = ("userid", "user", "username", "uid", "author", "authorid", "authorname", "reviewerid", "reviewer", "customerid",
        "customer", "accountid", "account", "personid", "person", "employeeid", "employee", "agentid", "agent",
        "writer", "sender", "from", "byline", "owner", "client", "clientid", "member", "memberid",
        "playerid")  # fmt: skip
ITEM_ID = ("itemid", "id", "recordid", "rowid", "uuid", "key", "ticketid", "messageid", "reviewid", "postid", "docid",
           "articleid", "noteid", "commentid", "tweetid", "emailid")  # fmt: skip
DATE = ("date", "time", "timestamp", "datetime", "createdat", "created", "createdutc", "createddate", "updatedat",
        "publishedat", "published", "sentat", "sent", "postedat", "unixreviewtime", "reviewtime", "day", "when", "ts",
        "year")  # fmt: skip
TEXT = ("text", "body", "content", "message", "description", "review", "reviewtext", "abstract", "article", "question",
        "input", "prompt", "post", "comment", "note", "document", "query", "email", "tweet")  # fmt: skip
ANSWER = ("answer", "gold", "target", "output", "reply", "response", "completion")
RATING = ("rating", "score", "stars", "overall", "starrating", "points", "grade")
LABEL = ("label", "category", "tag", "class", "section", "topic", "intent", "sentiment", "queue", "genre", "department",
         "priority", "type", "folder", "status")  # fmt: skip
LINE = ("headline", "title", "subject", "summary", "caption", "name")

MOST_LABELS = 200
MOST_RATINGS = 21
LABEL_CHARS = 50.0
LABEL_REPEATS = 3.0
ONE_LINE_CHARS = 160.0
DATE_FORMATS = tuple(
    f"{day}{time}"
    for day in ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y",
                "%B %d, %Y", "%m %d, %Y")
    for time in ("", " %H:%M", " %H:%M:%S", ", %H:%M", " %I:%M %p")
)  # fmt: skip
READ_DATES = 0.99


@dataclass(frozen=True, slots=True)
class ColumnChoice:
    """What a column was taken for, or that there is none (""), and why."""

    column: str
    why: str


@dataclass(frozen=True, slots=True)
class Guess:
    """What a task and a config are made of.

    texts: the main one last. labels: of a classification, or a rating's scale; empty for free text. date_format: None
    where dates need none. single_line: whether free-text answers are one line each.
    """

    user: ColumnChoice
    item_id: ColumnChoice
    date: ColumnChoice
    texts: tuple[ColumnChoice, ...]
    answer: ColumnChoice
    kind: Kind
    kind_why: str
    labels: tuple[str, ...] = ()
    date_format: str | None = None
    single_line: bool = False


@dataclass(frozen=True, slots=True)
class Given:
    """Columns that the user names; None where they are to be guessed."""

    user: str | None = None
    item_id: str | None = None
    date: str | None = None
    texts: tuple[str, ...] = ()
    answer: str | None = None


NOTHING = Given()


def guess(rows: int, columns: Mapping[str, Column], given: Given = NOTHING) -> Guess:
    """What the columns of so many rows are. Raises UserError: a named column that is not there, or no guess."""
    for option, name in (("--user", given.user), ("--id", given.item_id), ("--date", given.date),
                         ("--answer", given.answer), *(("--text", name) for name in given.texts)):  # fmt: skip
        if name is not None and name not in columns:
            raise UserError(f"{option} {name}: no such column: the rows have {', '.join(columns)}")
    left = {name: column for name, column in columns.items() if column.usable}

    def take(choice: ColumnChoice) -> ColumnChoice:
        left.pop(choice.column, None)
        return choice

    for name in (given.user, given.item_id, given.date, given.answer, *given.texts):
        left.pop(name or "", None)
    user = take(ColumnChoice(given.user, "named with --user") if given.user else _user(left))
    date, form = _date(columns, left, given.date)
    take(date)
    item_id = take(ColumnChoice(given.item_id, "named with --id") if given.item_id else _item_id(rows, left))
    if given.answer:
        answer = ColumnChoice(given.answer, "named with --answer")
        found = _closed(columns[given.answer]) or ("generation", (), "its values are free text")
    else:
        answer, found = _answer(left, bool(given.texts))
    take(answer)
    texts = tuple(ColumnChoice(name, "named with --text") for name in given.texts)
    if not texts:
        main = take(_text(left, answer.column))
        titles = [c.name for c in left.values() if c.last_name in LINE and c.numbers < c.given]
        texts = (*(ColumnChoice(name, "its name: a line above the text") for name in titles), main)
    kind, labels, why = found
    answers = columns[answer.column]
    one_line = kind == "generation" and not any("\n" in str(value).strip() for value in answers.sample)
    return Guess(
        user=user,
        item_id=item_id,
        date=date,
        texts=texts,
        answer=answer,
        kind=kind,
        kind_why=why,
        labels=labels,
        date_format=form,
        single_line=one_line and answers.mean_chars <= ONE_LINE_CHARS,
    )


def _hinted(columns: Mapping[str, Column], hints: Sequence[str]) -> list[Column]:
    """The columns that are called so, in the order of the hints."""
    return [column for hint in hints for column in columns.values() if column.last_name == hint]


def _user(left: Mapping[str, Column]) -> ColumnChoice:
    for column in _hinted(left, USER):
        if 1 < len(column.distinct) < column.given:
            return ColumnChoice(column.name, f"its name, and {len(column.distinct):,} values in {column.given:,} rows")
    raise UserError(
        f"no column looks like the user's id (a name such as user_id or author, and values that recur): name it with "
        f"--user; the rows have {', '.join(left) or 'no column of texts or numbers'}"
    )


def _item_id(rows: int, left: Mapping[str, Column]) -> ColumnChoice:
    for column in _hinted(left, ITEM_ID):
        if len(column.distinct) == rows:
            return ColumnChoice(column.name, "its name, and every row has another value")
    return ColumnChoice(
        "", "no column of such a name has another value in every row; ids are made of the rows' content"
    )


def _date(
    columns: Mapping[str, Column], left: Mapping[str, Column], named: str | None
) -> tuple[ColumnChoice, str | None]:
    if named:
        form, why = _form(columns[named])
        return ColumnChoice(named, f"named with --date{why}"), form
    for column in _hinted(left, DATE):
        if _reads(column, None):
            return ColumnChoice(column.name, "its name, and its values are dates"), None
        form, why = _form(column)
        if form:
            return ColumnChoice(column.name, f"its name{why}"), form
    for column in left.values():
        # Numbers are dates only where the name says so: any count of nine digits would pass.
        if not column.numbers and (_reads(column, None) or _form(column)[0]):
            form, why = _form(column)
            return ColumnChoice(column.name, why.removeprefix(", and ") or "its values are dates"), form
    return ColumnChoice("", "no column holds dates; the rows' order in the file decides what is older"), None


def _reads(column: Column, form: str | None) -> bool:
    read = DateReader(form) if form else normalise_date
    return sum(read(value) is not None for value in column.sample) >= READ_DATES * max(1, len(column.sample))


def _form(column: Column) -> tuple[str | None, str]:
    """The declared format that reads the column, None where none is needed or known, and what to say of it."""
    if _reads(column, None):
        return None, ""
    fitting = [form for form in DATE_FORMATS if _reads(column, form)]
    if not fitting:
        return None, ", but its values are in no known form: give data.tabular.date_format"
    twin = {form.replace("%d", "\0").replace("%m", "%d").replace("\0", "%m") for form in fitting[:1]}
    doubt = "; day and month may be the other way round, see data.tabular.date_format" if twin & {*fitting[1:]} else ""
    return fitting[0], f", and its values have the form {fitting[0]}{doubt}"


class Found(NamedTuple):
    """What a column's answers are. why: what shows it."""

    kind: Kind
    labels: tuple[str, ...]
    why: str


FREE_TEXT = Found("generation", (), "its values are free text")


def _answer(left: Mapping[str, Column], text_is_known: bool) -> tuple[ColumnChoice, Found]:
    """Names first (those of answers, ratings, labels), then few distinct values, then names of lines such as titles."""
    for hints in (ANSWER, RATING, LABEL):
        for column in _hinted(left, hints):
            found = _closed(column) or (FREE_TEXT if hints is ANSWER else None)
            if found:
                return ColumnChoice(column.name, "its name"), found
    for column in left.values():
        found = _closed(column)
        if found and found.kind == "classification" and column.last_name not in (*TEXT, *USER, *ITEM_ID):
            return ColumnChoice(column.name, "few distinct values that recur"), found
    texts = [column for column in left.values() if column.numbers < column.given]
    if len(texts) > (0 if text_is_known else 1):
        for column in _hinted({c.name: c for c in texts}, LINE):
            return ColumnChoice(column.name, "its name"), FREE_TEXT
    raise UserError(
        "no column looks like the user's answer (labels, ratings, replies, titles): name it with --answer; what is "
        f"left of the rows is {', '.join(left) or 'nothing'}"
    )


def _closed(column: Column) -> Found | None:
    """Rating or classification with its labels; None where the values are too many, too long or do not recur."""
    if column.counts is None or not column.counts:
        return None
    counts = column.counts
    if column.numbers == column.given:
        values = sorted({number_of(text) or 0.0 for text in counts})
        if len(values) > MOST_RATINGS or len(values) < 2 or column.repeats < LABEL_REPEATS:
            return None
        whole = all(value.is_integer() for value in values)
        if whole and values[-1] - values[0] < MOST_RATINGS:
            values = [float(value) for value in range(int(values[0]), int(values[-1]) + 1)]
        labels = tuple(number_text(value) for value in values)
        return Found("rating", labels, f"its values are numbers from {labels[0]} to {labels[-1]}")
    if column.repeats < LABEL_REPEATS or column.mean_chars > LABEL_CHARS:
        return None
    spellings: dict[str, str] = {}
    for text in sorted(counts, key=lambda text: (-counts[text], text)):
        spellings.setdefault(text.casefold(), text)
    if not 2 <= len(spellings) <= MOST_LABELS:
        return None
    labels = tuple(sorted(spellings.values()))
    return Found("classification", labels, f"it has {len(spellings)} distinct values that recur")


def _text(left: Mapping[str, Column], answer: str) -> ColumnChoice:
    """The longest column, or one that is called so and not much shorter."""
    chars = {name: column.mean_chars for name, column in left.items() if column.numbers < column.given}
    if not chars:
        raise UserError(
            f"no column is left for the text that {answer!r} answers: name it with --text (may be repeated)"
        )
    longest = max(chars, key=lambda name: chars[name])
    for column in _hinted(left, TEXT):
        if chars.get(column.name, 0) >= 0.5 * chars[longest]:
            return ColumnChoice(column.name, f"its name, and {chars[column.name]:.0f} characters on average")
    return ColumnChoice(longest, f"the longest text, {chars[longest]:.0f} characters on average")
