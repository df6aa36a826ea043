"""The first answers are judged before more is asked for."""

from collections.abc import Callable, Iterator

import pytest

from hydra_ray.config import LLMConfig
from hydra_ray.errors import UselessAnswersError
from hydra_ray.llm.batches import Batches
from hydra_ray.llm.client import LLMClient
from hydra_ray.llm.response_cache import ResponseCache
from hydra_ray.llm.types import Request
from hydra_ray.llm.usability import Wanted
from tests.llm.fake_server import FakeServer, completion, error
from tests.llm.test_usability import COLOURS

Make = Callable[..., Batches]


def asks(count: int, n: int = 1) -> list[Request]:
    return [Request(({"role": "user", "content": f"q{i}"},), n=n, temperature=1.0) for i in range(count)]


@pytest.fixture
def batches(tmp_path, threaded_server: FakeServer) -> Iterator[Make]:
    made: list[Batches] = []

    def make(wanted: Wanted | None = None, file: str = "cache.sqlite", **more) -> Batches:
        cfg = LLMConfig(base_url=threaded_server.url, model="m", retries=0, concurrency=4)
        made.append(Batches(LLMClient(cfg, ResponseCache(tmp_path / file, "r", **more)), wanted))
        return made[-1]

    yield make
    for one in made:
        one.close()


WANTED = Wanted("label", COLOURS, 8)


def test_useless_answers_stop_a_stage_after_the_first_fifty_and_are_kept(threaded_server, batches: Make):
    threaded_server.script = lambda number, body: completion(["red" if number % 4 else "I cannot say"])
    one = batches(WANTED)
    answers, failure = one.ask(asks(400))
    assert isinstance(failure, UselessAnswersError)
    assert "of 50 answers are of no use" in str(failure)
    assert '"I cannot say"' in str(failure)
    assert answers == [None] * 400
    assert len(threaded_server.bodies) == 50
    assert one.ask(asks(400)) == ([None] * 400, None)
    answers, failure = batches(None).ask(asks(50))
    assert failure is None
    assert None not in answers
    assert len(threaded_server.bodies) == 50


def test_samples_count_one_by_one_and_good_answers_go_on(threaded_server, batches: Make):
    threaded_server.script = lambda number, body: completion(["blue"] * body.get("n", 1))
    answers, failure = batches(WANTED).ask(asks(20, n=8))
    assert failure is None
    assert [answer.texts for answer in answers] == [("blue",) * 8] * 20


def test_what_turns_bad_later_stops_with_the_batch(threaded_server, batches: Make):
    threaded_server.script = lambda number, body: completion(["red" if number < 60 else ""])
    one = batches(WANTED)
    answers, failure = one.ask(asks(60))
    assert failure is None
    assert None not in answers
    answers, failure = one.ask(asks(80)[60:])
    assert "20 of 80 answers are of no use (20 empty)" in str(failure)
    assert answers == [None] * 20


def test_lost_answers_are_not_judged(threaded_server, batches: Make):
    threaded_server.script = lambda number, body: error(503) if number % 2 else completion(["red"])
    answers, failure = batches(WANTED).ask(asks(100))
    assert failure is None
    assert sum(answer.error is not None for answer in answers) == 50
