"""What the gateway makes of a request before and after it asks the other parts."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hydra_ray.config import Config
from hydra_ray.core.types import HistoryItem
from hydra_ray.inference.types import UserState
from hydra_ray.serve.bundle import RunArtifacts
from hydra_ray.serve.remote_service import RemoteService
from hydra_ray.serve.schemas import Imported, NewItem
from hydra_ray.serve.types import InvalidError, InvalidRowsError
from tests.inference.stages import ANN


class HistoryServer:
    """Notes what is appended."""

    def __init__(self) -> None:
        self.rows: list[HistoryItem] = []

    async def insist(self, method: str, *args: Any, affine: str = "") -> UserState:
        assert method == "append"
        self.rows += args[1]
        return UserState(len(self.rows), 1)


def append(task: str, *answers: str, server: HistoryServer | None = None) -> list[HistoryItem]:
    """The records that reach the history server."""
    bundle = RunArtifacts("a-run", Config.model_validate({"data": {"task": task}}), 0, {}, {}, {}, Path("users"))
    server = server or HistoryServer()
    service = RemoteService(bundle, None, server, None, None, None, None, None)  # type: ignore[arg-type]
    items = [NewItem(item_id=f"i{i}", text="t", answer=answer) for i, answer in enumerate(answers)]
    asyncio.run(service.append(ANN, items))
    return server.rows


def test_answers_are_kept_in_the_tasks_spelling() -> None:
    assert [row.answer for row in append("synthetic_rating", "5.0", " 4 ", "")] == ["5", "4", ""]
    assert [row.answer for row in append("synthetic_tagging", "MAPLE ", " ", "dune")] == ["maple", "", "dune"]
    assert [row.answer for row in append("synthetic_headline", " A  Title ", "", " ")] == [" A  Title ", "", " "]


@pytest.mark.parametrize(
    ("task", "answer", "allowed"),
    [("synthetic_rating", "great", "1, 2, 3, 4, 5"), ("synthetic_rating", "4.5", "1, 2"), ("lamp_2m", "x", "sci-fi")],
)
def test_an_answer_that_is_no_label_is_named_and_nothing_is_appended(task: str, answer: str, allowed: str) -> None:
    server, good = HistoryServer(), {"lamp_2m": "comedy"}.get(task, "3")
    with pytest.raises(InvalidError) as raised:
        append(task, good, answer, server=server)
    assert raised.value.param == "items[1].answer"
    assert str(raised.value).startswith(f"items[1].answer: {answer!r} of item 'i1' is no answer of this task; ")
    assert allowed in str(raised.value)
    assert server.rows == []


def test_a_long_answer_comes_back_short() -> None:
    with pytest.raises(InvalidError) as raised:
        append("lamp_2m", "x" * 20_000)
    assert len(str(raised.value)) < 500


def service_of(server: HistoryServer, **data: Any) -> RemoteService:
    config = Config.model_validate({"data": {"task": "synthetic_rating", **data}})
    bundle = RunArtifacts("a-run", config, 0, {}, {}, {}, Path("users"))
    return RemoteService(bundle, None, server, None, None, None, None, None)  # type: ignore[arg-type]


def dated(*dates: str) -> list[NewItem]:
    return [NewItem(item_id=f"i{i}", text="t", date=date) for i, date in enumerate(dates)]


def test_dates_are_kept_as_ingest_keeps_them() -> None:
    server = HistoryServer()
    dates = ("2024-01-13", "2024-01-13T10:11:12+01:00", "Sat, 13 Jan 2024 10:11:12 +0000 (UTC)", "1705140672", "", " ")
    asyncio.run(service_of(server).append(ANN, dated(*dates)))
    assert [row.date for row in server.rows] == [
        "2024-01-13", "2024-01-13T09:11:12", "2024-01-13T10:11:12", "2024-01-13T10:11:12", "", "",
    ]  # fmt: skip


def test_a_declared_form_is_read_where_no_other_is() -> None:
    server = HistoryServer()
    own = {"source": "tabular", "root": "rows", "tabular": {"date_format": "%d/%m/%Y"}}
    asyncio.run(service_of(server, **own).append(ANN, dated("13/01/2024", "2024-02-01")))
    assert [row.date for row in server.rows] == ["2024-01-13", "2024-02-01"]


@pytest.mark.parametrize("date", ["13/01/2024", "yesterday", "2024-13-01", "12"])
def test_a_date_that_is_none_is_named_with_the_forms_and_nothing_is_appended(date: str) -> None:
    server = HistoryServer()
    with pytest.raises(InvalidError) as raised:
        asyncio.run(service_of(server).append(ANN, dated("2024", date)))
    assert raised.value.param == "items[1].date"
    assert str(raised.value).startswith(f"items[1].date: {date!r} of item 'i1' is no date that is read; give none, ")
    assert "ISO 8601" in str(raised.value)
    rows = {"ann": list(enumerate(dated("2024", date), 1))}
    with pytest.raises(InvalidRowsError) as all_raised:
        asyncio.run(service_of(server).import_rows("default", rows))
    assert [(row, field) for row, field, _ in all_raised.value.problems] == [(2, "date")]
    assert server.rows == []


class Kept:
    """A history server and a fitter of one user. items: that the run has brought along."""

    def __init__(self, *items: HistoryItem) -> None:
        self.items = items

    async def insist(self, method: str, *args: Any, affine: str = "") -> Any:
        return {} if method == "heads" else (UserState(len(self.items), 1), self.items)


def test_a_runs_own_items_are_shown_whatever_their_length() -> None:
    item = HistoryItem("i" * 257, "t" * 100_001, "t" * 100_001, "a" * 20_001, "2024")
    bundle = RunArtifacts("a-run", Config(), 0, {}, {}, {}, Path("users"))
    kept = Kept(item)
    service = RemoteService(bundle, None, kept, None, kept, None, None, None)  # type: ignore[arg-type]
    page, export = asyncio.run(service.history(ANN, 0, 10)), asyncio.run(service.export(ANN))
    assert page is not None
    assert export is not None
    for (one,) in (page.data, export.items):
        assert HistoryItem(one.item_id, one.text, one.corpus or "", one.answer, one.date) == item


class Users:
    """History server and fitter of one user. The fitter deletes; if it dies after that, it is asked again."""

    def __init__(self, there: bool, dies: bool) -> None:
        self.there, self.dies = there, dies

    async def insist(self, method: str, *args: Any, affine: str = "") -> Any:
        if method == "state":
            return UserState(1, 1) if self.there else None
        found, self.there = self.there, False
        return await self._again(method, *args) if self.dies else found

    async def _again(self, method: str, *args: Any) -> Any:
        self.dies = False
        return await self.insist(method, *args)


@pytest.mark.parametrize(("there", "dies"), [(True, False), (True, True), (False, False), (False, True)])
def test_a_deletion_is_reported_even_if_the_fitter_died_after_it(there: bool, dies: bool) -> None:
    users = Users(there, dies)
    bundle = RunArtifacts("a-run", Config(), 0, {}, {}, {}, Path("users"))
    service = RemoteService(bundle, None, users, None, users, None, None, None)  # type: ignore[arg-type]
    assert asyncio.run(service.delete(ANN)) is there


def test_an_import_names_every_answer_that_is_none_and_appends_nothing() -> None:
    bundle = RunArtifacts(
        "a-run", Config.model_validate({"data": {"task": "synthetic_rating"}}), 0, {}, {}, {}, Path("u")
    )
    server = HistoryServer()
    service = RemoteService(bundle, None, server, *[None] * (RemoteService.__init__.__code__.co_argcount - 4))  # type: ignore[arg-type]
    rows = {
        user: [(number, NewItem(item_id=f"i{number}", text="t", answer=answer)) for number, answer in answers]
        for user, answers in {"ann": [(1, "3"), (4, "x")], "bob": [(2, "y"), (3, "")]}.items()
    }
    with pytest.raises(InvalidRowsError) as raised:
        asyncio.run(service.import_rows("default", rows))
    assert [(row, field) for row, field, _ in raised.value.problems] == [(2, "answer"), (4, "answer")]
    assert server.rows == []
    del rows["ann"][1], rows["bob"][0]
    assert asyncio.run(service.import_rows("default", rows)) == Imported(users=2, items=2)
    assert [row.answer for row in server.rows] == ["3", ""]
