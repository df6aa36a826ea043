"""Many users at once against the running service, and everything that an answer may not be.

Every answer is compared with what the parts say when they are asked alone, in this process, with the records, the head
and the prompt that the user had: what leaks from another user through a batch, a cache or an eviction shows.
"""

import asyncio
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp

from hydra_ray.inference.history_index import HistoryIndex
from hydra_ray.inference.pipeline import InferencePipeline
from hydra_ray.inference.prompt_builder import PromptBuilder
from hydra_ray.inference.trace import PersonalizedAnswer
from hydra_ray.inference.types import (
    LLMResponse,
    PersonalizeRequest,
    RetrievalResult,
    ScoreRequest,
    ScoreResult,
    UserKey,
    UserState,
)
from hydra_ray.llm.types import Request
from hydra_ray.serve.batch_scorer import BatchScorer
from hydra_ray.serve.bundle import RunArtifacts, load_run_artifacts
from hydra_ray.serve.config import ScorerConfig
from hydra_ray.serve.state.service_state import ServiceState
from tests.serve.run_folder import USERS, WITH_HEADS, WORDS, answers_of, history_of, item_of
from tests.serve.scripted_llm import samples_of

TENANT = "default"
FIT_S = 300.0
"""How long a fit may take among all the others, on a slow machine."""


@dataclass
class Answer:
    """What came of one question. least, most: revisions of the user's history that it may have seen."""

    user: str
    query: str
    began: float
    least: int
    most: int = 0
    fitted: str = "no"
    ended: float = 0.0
    status: int = 0
    text: str = ""

    @property
    def made(self) -> PersonalizedAnswer:
        return PersonalizedAnswer.model_validate_json(self.text)


@dataclass
class Load:
    """Questions, appended records and fits of all users, by a number of clients at once.

    Begins with what is known of the users then. answers: to every question. appended: user -> records acknowledged
    besides the run's; sent: those sent. seen: the newest revision that an answer has shown. failed: (when sent, what,
    status, answer) of whatever was not answered 2xx. fitted: user -> `asked`, then `done`.
    """

    url: str
    auth: dict[str, str]
    answers: list[Answer] = field(default_factory=list)
    appended: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[float, str, int, str]] = field(default_factory=list)
    fitted: dict[str, str] = field(default_factory=dict)
    locks: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    stopping: bool = False

    async def run(self, plan: Sequence[tuple[str, str]], clients: int) -> None:
        """The plan's (kind, user), in its order, `clients` at a time."""
        todo = iter(plan)
        users = {user for _, user in plan}
        timeout = aiohttp.ClientTimeout(total=60)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(self.url, headers=self.auth, timeout=timeout, connector=connector) as http:
            await asyncio.gather(*(self._begin(http, user) for user in users))

            async def client(number: int) -> None:
                draw = random.Random(number)
                for kind, user in todo:
                    if self.stopping:
                        return
                    await getattr(self, f"_{kind}")(http, user, draw)

            await asyncio.gather(*(client(number) for number in range(clients)))

    async def _begin(self, http: aiohttp.ClientSession, user: str) -> None:
        status, text = await self._send(http, "GET", f"/v1/users/{user}", None)
        assert status == 200, text
        info = json.loads(text)
        self.appended[user] = self.sent[user] = info["items"] - 20
        if info["fit"] == "done":
            self.fitted[user] = "done"

    async def _ask(self, http: aiohttp.ClientSession, user: str, draw: random.Random) -> Answer:
        answer = Answer(user, " ".join(draw.choices(WORDS, k=4)), time.time(), max(1, 1 + self.appended[user]))
        answer.least = max(answer.least, self.seen[user])
        answer.fitted = self.fitted.get(user, "no")
        body = {"user_id": user, "query": answer.query}
        answer.status, answer.text = await self._send(http, "POST", "/v1/personalize", body)
        answer.ended, answer.most = time.time(), 1 + self.sent[user]
        if answer.fitted != self.fitted.get(user, "no"):
            answer.fitted = "meanwhile"
        self.answers.append(answer)
        if answer.status == 200:
            self.seen[user] = max(self.seen[user], answer.made.trace.versions.history)
        return answer

    async def _append(self, http: aiohttp.ClientSession, user: str, draw: random.Random) -> None:
        """One record more; the same again after a failure."""
        async with self.locks[user]:
            number = self.appended[user]
            self.sent[user] = number + 1
            item = item_of(user, 20 + number)
            body = {"items": [{"item_id": item.item_id, "text": item.text, "answer": item.answer, "date": item.date}]}
            status, text = await self._send(http, "PUT", f"/v1/users/{user}/history", body)
            if status == 200:
                assert json.loads(text)["items"] == 21 + number
                self.appended[user] = number + 1
        if status == 200 and draw.random() < 0.5:
            await self._ask(http, user, draw)

    async def _fit(self, http: aiohttp.ClientSession, user: str, draw: random.Random) -> None:
        """Asks for a fit; a second request for the same user waits until it is done."""
        if self.fitted.get(user):
            since = time.monotonic()
            while self.fitted[user] != "done" and not self.stopping:
                _, text = await self._send(http, "GET", f"/v1/users/{user}", None)
                assert json.loads(text)["fit"] != "failed", text
                assert time.monotonic() - since < FIT_S, f"{user} has waited {FIT_S:g} s for a fit: {text}"
                if json.loads(text)["fit"] == "done":
                    self.fitted[user] = "done"
                await asyncio.sleep(0.2)
            return
        self.fitted[user] = "asked"
        await self._send(http, "POST", f"/v1/users/{user}/fit", None)

    async def _send(self, http: aiohttp.ClientSession, method: str, path: str, body: Any) -> tuple[int, str]:
        began = time.time()
        try:
            async with http.request(method, path, json=body) as answer:
                status, text = answer.status, await answer.text()
                if status == 503:
                    assert int(answer.headers["Retry-After"]) > 0
        except (aiohttp.ClientError, TimeoutError) as error:
            status, text = 0, repr(error)
        if not 200 <= status < 300:
            self.failed.append((began, f"{method} {path}", status, text[:200]))
        return status, text


class Alone:
    """The service's logic in this process, one question at a time: what every answer is compared with.

    compared: how many answers were in full, and how many but for an order (see `same`).
    """

    def __init__(self, run: Path, state: Path) -> None:
        self.bundle: RunArtifacts = load_run_artifacts(run)
        self._scorer = BatchScorer(self.bundle, ServiceState(state), ScorerConfig())
        self._known: dict[tuple[Any, ...], PersonalizedAnswer] = {}
        self.compared: Counter[bool] = Counter()

    def check(self, answer: Answer) -> None:
        """Raises AssertionError unless the answer is the user's own and right."""
        made = answer.made
        trace, user = made.trace, answer.user
        revision = trace.versions.history
        assert trace.user_id == user
        assert answer.least <= revision <= answer.most, (answer.least, revision, answer.most)
        assert trace.items == 19 + revision
        allowed: list[list[str]] = [[]] if user not in WITH_HEADS and answer.fitted == "no" else []
        allowed += [["reranker", "adapter"]] if user in WITH_HEADS or answer.fitted != "no" else []
        if answer.fitted in ("asked", "meanwhile") and user not in WITH_HEADS:
            allowed += [[], ["reranker"], ["adapter"]]
        assert trace.versions.own_heads in allowed, (user, answer.fitted, trace.versions)
        assert not trace.degraded
        expected = self._expected(user, answer.query, revision, tuple(trace.versions.own_heads))
        self.compared[same(made, expected)] += 1

    def check_own(self, answer: Answer) -> list[str]:
        """Of an answer that may lack something: that nothing in it is another user's. Returns what it lacks."""
        made = answer.made
        assert made.trace.user_id == answer.user
        assert all(item.item_id.startswith(f"{answer.user}-") for item in made.trace.retrieved)
        lacks = [lack.reason for lack in made.trace.degraded]
        own = {*answers_of(answer.user), *(["nobody"] if "history_unreadable" in lacks else [])}
        assert {candidate.text for candidate in made.trace.candidates} <= own
        assert made.answer in own
        return lacks

    def _expected(self, user: str, query: str, revision: int, own_heads: tuple[str, ...]) -> PersonalizedAnswer:
        key = (user, query, revision, own_heads)
        if key not in self._known:
            parts = _Parts(self.bundle, self._scorer, revision, own_heads)
            builder = PromptBuilder(self.bundle.config, self.bundle.seed)
            alone = InferencePipeline(builder, parts, parts, parts, self._scorer.feature_widths, run=self.bundle.name)
            self._known[key] = asyncio.run(alone.personalize(UserKey(TENANT, user), PersonalizeRequest(query), "alone"))
        return self._known[key]


@dataclass
class _Parts:
    """Retriever, scorer and black box as they are without the service around them."""

    bundle: RunArtifacts
    scorer: BatchScorer
    revision: int
    own_heads: tuple[str, ...]

    async def retrieve(self, user: UserKey, query: str, n: int, deadline: float) -> RetrievalResult:
        items = [*history_of(user.user_id), *(item_of(user.user_id, 20 + i) for i in range(self.revision - 1))]
        index = HistoryIndex(items, self.bundle.task, self.bundle.config.retrieval)
        return index.retrieve(query, n, state=UserState(len(items), self.revision))

    async def score(self, scoring: ScoreRequest, deadline: float) -> ScoreResult:
        user = scoring.user if scoring.component in self.own_heads else None
        return self.scorer.score(
            [ScoreRequest(scoring.component, user, 0, scoring.query, scoring.texts, scoring.features)]
        )[0]

    async def sample(self, request: Request, **how: Any) -> LLMResponse:
        return LLMResponse(tuple(samples_of(request.messages[-1]["content"], request.n)))


def same(made: PersonalizedAnswer, expected: PersonalizedAnswer) -> bool:
    """Raises AssertionError unless the two answers agree in everything but versions and times.

    Where two scores are so close that a batch's last digits decide on the order, what hangs on it is not compared:
    returns whether all was.
    """
    got, want = ({i.item_id: i for i in p.trace.retrieved} for p in (made, expected))
    assert got.keys() == want.keys()
    for item_id, item in got.items():
        assert close(item.bm25, want[item_id].bm25)
        assert close(item.reranker, want[item_id].reranker), (item, want[item_id])
    if level([i.reranker for i in want.values()]):
        return False
    assert [c.text for c in sorted(made.trace.candidates, key=lambda c: c.text)] == sorted(
        c.text for c in expected.trace.candidates
    )
    by_text = {c.text: c for c in expected.trace.candidates}
    for candidate in made.trace.candidates:
        assert close(candidate.adapter, by_text[candidate.text].adapter), (candidate, by_text[candidate.text])
    if level([c.adapter for c in by_text.values()]) or level([c.weight for c in by_text.values()]):
        return False
    for name, of in (
        ("retrieved", lambda p: [(i.item_id, i.text, i.answer, i.bm25_rank, i.in_prompt) for i in p.trace.retrieved]),
        ("candidates", lambda p: [(c.text, c.votes, c.own) for c in p.trace.candidates]),
        ("answers", lambda p: p.answers),
    ):
        assert of(made) == of(expected), f"{name}: {of(made)} where alone it is {of(expected)}"
    return True


LAST_DIGITS, LEVEL = 1e-4, 1e-5
"""By which sums in batches of other sizes may differ (1e-6 is usual); what may change places."""


def close(one: float | None, other: float | None) -> bool:
    """Whether two scores are the same but for the last digits."""
    return one is not None and other is not None and abs(one - other) < LAST_DIGITS


def level(scores: Sequence[float | None]) -> bool:
    """Whether the order of any two scores may be another in another batch."""
    known = sorted(score for score in scores if score is not None)
    return any(second - first < LEVEL for first, second in pairwise(known))


def plan_of(count: int, users: Sequence[str] = USERS, fits: Sequence[str] = (), seed: int = 0) -> list[tuple[str, str]]:
    """(kind, user), interleaved: each of `fits` once asked for and once waited for, one in eight an appended record."""
    draw = random.Random(seed)
    plan = [("append" if draw.random() < 0.125 else "ask", draw.choice(users)) for _ in range(count - 2 * len(fits))]
    for i, user in enumerate(fits):
        plan.insert(count // 10 + i, ("fit", user))
    for i, user in enumerate(fits):
        plan.insert(count // 2 + 3 * i, ("fit", user))
    return plan
