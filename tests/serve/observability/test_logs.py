"""The service's log, line by line."""

import json
import logging
import re

from hydra_ray.serve.observability import logs
from tests.serve.conftest import Lines

FITS = logging.getLogger("hydra_ray.serve.fitter.fit_queue")


def fail() -> None:
    raise ValueError("the text")


def test_every_modules_lines_are_json(lines: Lines) -> None:
    FITS.error("%s: %d\nof 2", "a disk", 1)
    (line,) = lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line.pop("time"))
    assert line == {"level": "ERROR", "message": "a disk: 1\nof 2"}


def test_an_error_is_logged_by_type_and_place_and_whole_only_at_debug(lines: Lines) -> None:
    for level in (logging.INFO, logging.DEBUG):
        logs.LOGGER.setLevel(level)
        try:
            fail()
        except ValueError:
            FITS.exception("a fit failed")
    usual, whole = lines()
    assert (usual["message"], usual["error"]) == ("a fit failed", "ValueError")
    assert usual["at"].startswith("observability/test_logs.py:")
    assert set(usual) == {"time", "level", "message", "error", "at"}
    assert "the text" not in json.dumps(usual)
    assert "ValueError: the text" in whole["traceback"]


def test_times_are_of_greenwich() -> None:
    record = FITS.makeRecord(FITS.name, logging.INFO, "f", 1, "one", (), None)
    record.created = 86_400.5
    assert json.loads(logs.ServiceFormatter().format(record))["time"] == "1970-01-02T00:00:00Z"


def test_a_line_may_bring_fields_of_its_own(lines: Lines) -> None:
    before = logs.REQUEST.set("req-1")
    FITS.info("one", extra={"status": 200, "degraded": ["no head"], "tenant": None})
    FITS.info("two", extra={"request_id": "req-2"})
    logs.REQUEST.reset(before)
    one, two = lines()
    assert {key: one[key] for key in one if key != "time"} == {
        "level": "INFO", "message": "one", "status": 200, "degraded": ["no head"], "tenant": None,
        "request_id": "req-1",
    }  # fmt: skip
    assert two["request_id"] == "req-2"


def test_a_request_is_named_while_it_lasts(lines: Lines) -> None:
    before = logs.REQUEST.set("req-1")
    FITS.info("one")
    logs.REQUEST.reset(before)
    FITS.info("two")
    assert [line.get("request_id") for line in lines()] == ["req-1", None]


def test_lines_of_the_request_path_are_the_services(lines: Lines) -> None:
    logging.getLogger("hydra_ray.inference.request_state").warning("a head")
    assert [line["message"] for line in lines()] == ["a head"]
