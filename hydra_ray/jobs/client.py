"""Ray's job client, patient: a head that is away for a while is waited for, and what went wrong is one line."""

import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, retry_if_exception_message, wait_fixed

from hydra_ray.env import RAY_DASHBOARD_ADDRESS, read
from hydra_ray.errors import UserError
from hydra_ray.utils import ray_token

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
POLL_S = 2.0
LOST_S = 600.0
"""How long a head may be away: a new one is up after minutes, with its state where it was kept outside."""
AGENT_S = 180.0
"""The job agent of a new cluster was seen to need more than 90 seconds where other work kept the machine busy."""

Result = TypeVar("Result")


class Job(NamedTuple):
    """A job as Ray knows it. exit_code: of its driver; None while it runs, and where the driver was lost."""

    job_id: str
    status: str
    message: str
    exit_code: int | None
    began: float | None
    metadata: dict[str, str]

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.status in ("SUCCEEDED", "FAILED", "STOPPED")

    @property
    def lost(self) -> bool:
        """Whether it ended with its node and not by itself."""
        return self.status == "FAILED" and self.exit_code is None


class UnknownJobError(UserError):
    """The cluster knows no job of an id: a wrong one, or its head is a new one that has kept nothing."""


class JobClient:
    """The jobs of a cluster.

    Attributes:
        address: Of its dashboard.
        token: Whether a token is sent, in words.
    """

    def __init__(
        self,
        address: str | None,
        client: Any = None,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Connects.

        Args:
            address: The cluster's dashboard; None: what the environment names, or this machine's.
            client: In place of Ray's.
            clock: Seconds that only rise.
            pause: Waits so many seconds.

        Raises:
            UserError: No cluster is at the address, or it asks for another token.
        """
        self.address = address or read(RAY_DASHBOARD_ADDRESS) or DEFAULT_ADDRESS
        self._clock, self._pause = clock, pause
        self.token = "" if client is not None else ray_token.send()
        self._client = client if client is not None else self._connected()

    def _connected(self) -> Any:
        from ray.exceptions import AuthenticationError
        from ray.job_submission import JobSubmissionClient

        try:
            return JobSubmissionClient(self.address)
        except AuthenticationError as error:
            first = str(error).strip().splitlines()[0].rstrip(".")
            raise UserError(f"--address {self.address}: {first}; {ray_token.ADVICE}") from None
        except (ConnectionError, RuntimeError) as error:
            raise UserError(
                f"--address {self.address}: no Ray cluster answers there ({str(error).splitlines()[0]})"
            ) from None

    def submit(self, entrypoint: str, variables: dict[str, str], metadata: dict[str, str]) -> str:
        """Submits a job; returns its id. Raises UserError if the cluster refuses it."""
        # A cluster that has just started answers before its job agent is there.
        patient = self._retrying(retry_if_exception_message(match=".*No available agent.*"), AGENT_S)
        environment = {"env_vars": variables}
        try:
            return str(
                patient(self._client.submit_job, entrypoint=entrypoint, runtime_env=environment, metadata=metadata)
            )
        except RuntimeError as error:
            first = str(error).splitlines()[0]
            raise UserError(f"--address {self.address}: the cluster refused the job: {first}") from None
        except OSError as error:
            # Not asked twice: the job may have been taken.
            raise UserError(
                f"--address {self.address}: the connection was lost while the job was submitted ({_reason(error)}); "
                "see whether it runs: hydra-ray jobs list"
            ) from None

    def job(self, job_id: str) -> Job:
        """What Ray knows of a job. Raises UserError if it knows none of that id, or is away for longer than LOST_S."""
        return _job(self._patiently(job_id, lambda: self._client.get_job_info(job_id)))

    def jobs(self) -> list[Job]:
        """The cluster's submitted jobs, oldest first."""
        found = [_job(info) for info in self._patiently("", self._client.list_jobs) if info.submission_id]
        return sorted(found, key=lambda job: (job.began or 0.0, job.job_id))

    def logs(self, job_id: str) -> str:
        """What a job has printed up to now."""
        return str(self._patiently(job_id, lambda: self._client.get_job_logs(job_id)))

    def stop(self, job_id: str) -> bool:
        """Asks a job to stop; whether it was running."""
        return bool(self._patiently(job_id, lambda: self._client.stop_job(job_id)))

    def _patiently(self, job_id: str, call: Callable[[], Result]) -> Result:
        def note(state: RetryCallState) -> None:
            if state.attempt_number == 1 and state.outcome is not None:
                reason = _reason(state.outcome.exception())
                print(f"hydra-ray: {self.address} does not answer ({reason}); trying again", flush=True)

        try:
            return self._retrying(retry_if_exception(_is_away), LOST_S, note)(call)
        except (OSError, RuntimeError) as error:
            if _status(error) == 404:
                raise UnknownJobError(f"{self.address} knows no job {job_id}; see: hydra-ray jobs list") from None
            if not _is_away(error):
                raise UserError(f"--address {self.address}: {_reason(error)}; {ray_token.ADVICE}") from None
            raise UserError(
                f"{self.address} has not answered for {LOST_S / 60:g} minutes ({_reason(error)}); when it does,"
                + (f" go on with: hydra-ray jobs logs --follow {job_id}" if job_id else " try again")
            ) from None

    def _retrying(self, when: Any, seconds: float, note: Callable[[RetryCallState], None] | None = None) -> Retrying:
        """Tries again every POLL_S for so many seconds. note: is called before each pause."""
        began = self._clock()
        return Retrying(
            retry=when,
            stop=lambda _: self._clock() - began > seconds,
            wait=wait_fixed(POLL_S),
            sleep=self._pause,
            before_sleep=note,
            reraise=True,
        )


def _is_away(error: BaseException) -> bool:
    """Whether a head did not answer, rather than refuse."""
    return isinstance(error, (OSError, RuntimeError)) and not 400 <= _status(error) < 500


def _job(info: Any) -> Job:
    began = info.start_time / 1000 if info.start_time else None
    message = " ".join((info.message or "").split())
    status = str(getattr(info.status, "value", info.status))
    return Job(info.submission_id or info.job_id, status, message, info.driver_exit_code, began, info.metadata or {})


def _status(error: BaseException) -> int:
    """The HTTP status that Ray's client puts into words; 0 where there was no answer."""
    found = re.search(r"status code (\d{3})", str(error))
    return int(found.group(1)) if found else 0


def _reason(error: BaseException | None) -> str:
    inner: Any = error
    while getattr(inner, "args", None) and isinstance(inner.args[0], Exception):
        inner = inner.args[0]
    inner = getattr(inner, "reason", None) or inner
    lines = str(inner).strip().splitlines()
    # urllib3 begins with the connection object's address.
    return re.sub(r"^<[^>]*>: ", "", lines[0])[:200] if lines else type(error).__name__
