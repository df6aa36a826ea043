"""Kill -9 of each part during load: no wrong answer, no other user's answer, nothing acknowledged is lost.

Counted as failed: whatever is not answered 2xx. Answers with something left out are answers, and say so.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.serve.load import Alone, Answer, Load, plan_of
from tests.serve.run_folder import USERS, item_of
from tests.serve.running import Running, body_of, start, until

pytestmark = pytest.mark.cluster

CLIENTS = 8
LOADED = USERS[:20]


class Killed:
    """What a load saw of a kill in its midst. at: `time.time()` of the kill; back: when all was well again."""

    def __init__(self, service: Running) -> None:
        self.service = service
        self.load = Load(service.url, service.auth)
        self.alone = Alone(service.run, service.state)
        self.at = self.back = 0.0

    def run(self, kill: Callable[[], None], well: Callable[[], bool]) -> None:
        """Load before, during and after the kill."""

        async def course() -> None:
            seed = time.time_ns()
            print(f"seed {seed}")
            asking = asyncio.ensure_future(self.load.run(plan_of(100_000, LOADED, seed=seed), CLIENTS))
            await asyncio.sleep(2)
            self.at = time.time()
            await asyncio.to_thread(kill)
            await asyncio.to_thread(until, well, 90)
            self.back = time.time()
            await asyncio.sleep(3)
            self.load.stopping = True
            await asking

        asyncio.run(course())
        assert any(answer.began > self.back for answer in self.load.answers)

    def in_flight(self) -> int:
        """Requests that were sent before the kill and not answered by then, at most: one a client."""
        return CLIENTS

    def answered(self) -> list[Answer]:
        return [answer for answer in self.load.answers if answer.status == 200]

    def check_answers(self, allowed: set[str]) -> Counter[str]:
        """All answers: right where nothing is left out, else no other user's; returns how often what was left out.

        allowed: what may be, between the kill and shortly after the recovery."""
        lacks: Counter[str] = Counter()
        for answer in self.answered():
            lacking = self.alone.check_own(answer)
            lacks.update(lacking)
            if not lacking:
                self.alone.check(answer)
            else:
                assert set(lacking) <= allowed
                assert self.at - 1 < answer.ended, "something was left out before the kill"
        assert not [a for a in self.answered() if a.began > self.back + 2.5 and self.alone.check_own(a)]
        return lacks

    def check_histories(self) -> None:
        """Whatever was acknowledged is there, in its order, and at most one record more: sent, but not acknowledged."""
        with self.service.client() as http:
            for user in LOADED:
                items = body_of(http.get(f"/v1/users/{user}/export"))["items"]
                assert [item["item_id"] for item in items] == [item_of(user, i).item_id for i in range(len(items))]
                assert 20 + self.load.appended[user] <= len(items) <= 20 + self.load.sent[user]


@pytest.fixture
def killed(service: Running) -> Iterator[Killed]:
    made = Killed(service)
    yield made
    until(service.ready, 60)


def replaced(service: Running, deployment: str) -> tuple[Callable[[], None], Callable[[], bool]]:
    """Kills a deployment's replica; and whether there is another, and all is well."""
    pids: list[int] = []

    def kill() -> None:
        pids.append(service.kill(deployment))

    def well() -> bool:
        return any(process.pid not in pids for process in service.replicas(deployment)) and service.ready()

    return kill, well


def report(name: str, killed: Killed, lacks: Counter[str]) -> None:
    longest = max(answer.ended - answer.began for answer in killed.load.answers)
    print(
        f"{name}: {len(killed.load.answers)} asked, {sum(killed.load.appended.values())} appended, "
        f"{len(killed.load.failed)} failed {Counter(f[2] for f in killed.load.failed)}, left out: {dict(lacks)}, "
        f"well again after {killed.back - killed.at:.1f} s, longest answer {longest:.1f} s"
    )


def test_the_scorer_dies(service: Running, killed: Killed) -> None:
    killed.run(*replaced(service, "Scorer"))
    lacks = killed.check_answers({"reranker_down", "adapter_down"})
    report("scorer", killed, lacks)
    assert killed.load.failed == []
    killed.check_histories()
    # Bounded: the first ones wait until the part counts as down, then none does.
    waited = [answer for answer in killed.answered() if answer.ended - answer.began > 3]
    assert len(waited) <= 4 * CLIENTS


def test_the_history_server_dies(service: Running, killed: Killed) -> None:
    killed.run(*replaced(service, "HistoryServer"))
    lacks = killed.check_answers({"history_unreadable"})
    report("history server", killed, lacks)
    assert killed.load.failed == []
    killed.check_histories()


def test_the_gateway_dies(service: Running, killed: Killed) -> None:
    killed.run(*replaced(service, "Gateway"))
    lacks = killed.check_answers(set())
    report("gateway", killed, lacks)
    assert len(killed.load.failed) <= killed.in_flight(), killed.load.failed
    assert all(killed.at - 30 < began <= killed.at + 1 for began, *_ in killed.load.failed)
    for _, _, status, text in killed.load.failed:  # in flight: told in the shape of every other error
        assert (status, json.loads(text)["error"]["code"]) == (503, "stage_down")
    killed.check_histories()


def test_the_black_box_dies(service: Running, killed: Killed) -> None:
    """Requests meanwhile get 503 with Retry-After (checked by the load), and soon."""

    def kill() -> None:
        service.llm.kill()
        time.sleep(4)
        service.llm.start()

    killed.run(kill, lambda: asked(service) == 200)
    lacks = killed.check_answers(set())
    report("black box", killed, lacks)
    assert {status for _, _, status, _ in killed.load.failed} == {503}
    assert all("PUT" not in what for _, what, *_ in killed.load.failed)
    assert all(killed.at - 2 < began < killed.back for began, *_ in killed.load.failed)
    late = [a for a in killed.load.answers if a.status == 503 and a.ended - a.began > 5]
    assert len(late) <= CLIENTS
    killed.check_histories()


def asked(service: Running) -> int:
    with service.client() as http:
        return http.post("/v1/personalize", json={"user_id": "u01", "query": "redship"}).status_code


def test_the_fitter_dies_while_it_fits(service: Running) -> None:
    user = USERS[-1]
    with service.client() as http:
        service.llm.pace(0.3)
        try:
            assert http.post(f"/v1/users/{user}/fit").status_code == 202
            until(lambda: http.get(f"/v1/users/{user}").json()["fit"] == "running", 10)
            service.kill("Fitter")
        finally:
            service.llm.pace(0.0)
        until(lambda: http.get(f"/v1/users/{user}").json()["fit"] == "done", 60)


def test_a_start_that_is_ended_leaves_nothing(service: Running, tmp_path: Path) -> None:
    keys = f"keys={service.run.parents[1] / 'keys'}"
    other = start(tmp_path, service.run, service.llm, keys)
    until(lambda: b"starting the service" in other.log.read_bytes(), 60)
    time.sleep(2)
    assert other.stop() == []
    assert "Traceback" not in other.log.read_text()
    assert service.ready()
