"""A cluster's head that gives scripted answers."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import requests

from hydra_ray.jobs.client import JobClient

AWAY = requests.exceptions.ConnectionError("Connection refused")


UNKNOWN = RuntimeError("Request failed with status code 404: Job j1 does not exist.")


def info(status: str, *, code: int | None = None, job: str = "j1", message: str = "", start: int = 0) -> Any:
    return SimpleNamespace(
        submission_id=job, job_id=None, status=SimpleNamespace(value=status), message=message, driver_exit_code=code,
        start_time=start, metadata={"run": "quickstart", "stage": "run"},
    )  # fmt: skip


class Head:
    """A head that gives the scripted answers in turn, the last one for ever; exceptions are raised."""

    def __init__(self, infos: list[Any], logs: Sequence[Any] = ("",)) -> None:
        self.scripts = {"info": infos, "logs": list(logs)}
        self.submitted: list[dict[str, Any]] = []
        self.refusals: list[Exception] = []

    def _next(self, name: str) -> Any:
        script = self.scripts[name]
        found = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(found, Exception):
            raise found
        return found

    def get_job_info(self, job_id: str) -> Any:
        return self._next("info")

    def get_job_logs(self, job_id: str) -> Any:
        return self._next("logs")

    def list_jobs(self) -> Any:
        return self._next("info")

    def stop_job(self, job_id: str) -> Any:
        return self._next("info")

    def submit_job(self, **about: Any) -> str:
        if self.refusals:
            raise self.refusals.pop(0)
        self.submitted.append(about)
        return f"j{len(self.submitted)}"


def client_of(head: Head) -> JobClient:
    """A client whose time passes by its pauses alone."""
    now = [0.0]

    def pause(seconds: float) -> None:
        now[0] += seconds

    return JobClient("http://head:8265", head, lambda: now[0], pause)


def no_pause(_: float) -> None:
    """At once."""
