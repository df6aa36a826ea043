"""How much a run may ask at most: its own prompts, made without any model, counted as calls and tokens."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra_ray.config import Config
from hydra_ray.core.hashing import stable_hash
from hydra_ray.core.prompts import PromptBudget
from hydra_ray.core.queries import Query
from hydra_ray.core.retrieval import RetrieverKind
from hydra_ray.core.types import User
from hydra_ray.data.reader import read_users
from hydra_ray.inference.reranking import RankedItem, rank
from hydra_ray.inference.types import RetrievalResult
from hydra_ray.llm.token_budget import CHAT_FORMAT_TOKENS
from hydra_ray.llm.types import Request, call_key
from hydra_ray.methods.method import method_named
from hydra_ray.methods.question import Call
from hydra_ray.pipeline.eval_prompts import EvalPrompts, MethodPrompts, TrainingPrompts
from hydra_ray.pipeline.job import Pipeline, always_shown
from hydra_ray.pipeline.llm_rows import Asking
from hydra_ray.pipeline.stage_prompts import CandidatePrompts, LabelPrompts, OraclePrompts, StagePrompts
from hydra_ray.pipeline.stage_rows import CandidateRow, PromptedRow
from hydra_ray.pipeline.step_settings import asking, everyone, method_stage, trained_on, training_stage
from hydra_ray.pipeline.summary_prompts import SUMMARY_TOKENS, SummaryPrompts, UserSummaryPrompts

MOST_USERS = 500
"""Users of a stage whose prompts are made; the others are taken to be like them."""
STAGES = ("label", "generate", "summarise", "evaluate")


@dataclass(frozen=True, slots=True)
class CostBound:
    """calls: at most; with the tokens of their prompts and of their answers."""

    calls: float = 0
    prompt_tokens: float = 0
    completion_tokens: float = 0

    def __add__(self, other: "CostBound") -> "CostBound":
        return CostBound(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )

    def times(self, factor: float) -> "CostBound":
        """So many times as much."""
        return CostBound(self.calls * factor, self.prompt_tokens * factor, self.completion_tokens * factor)


def bound_of(request: Request, budget: PromptBudget, system_tokens: int, one_by_one: bool) -> CostBound:
    """What one request may take. one_by_one: each of its samples is a call of its own."""
    calls = request.n if one_by_one else 1
    prompt = sum(budget.count(message["content"]) for message in request.messages) + system_tokens + CHAT_FORMAT_TOKENS
    return CostBound(calls, calls * prompt, request.n * request.max_tokens)


class _Untrained(MethodPrompts):
    """Prompts without what methods have learned, none shorter than with it."""

    def stands_for(self, method: str | RetrieverKind) -> str | RetrieverKind:
        """Recency in place of what would load and run the encoder."""
        return "recency" if isinstance(method, RetrieverKind) or self.config.retrieval.encodes_for(method) else method

    def pick(self, calls: Sequence[Call], place: Callable[[Sequence[Call]], int]) -> Call:
        """See `QuestionContext`."""
        return max(calls, key=lambda call: len(call.prompt.messages[-1]["content"]))

    def adapter(self, lora: Callable[[], Path | None]) -> Path | None:
        """None: there are no adapters yet."""
        return None


class _Training(_Untrained, TrainingPrompts):
    """TrainingPrompts without what other methods have learned."""


class _Evaluate(_Untrained, EvalPrompts):
    """EvalPrompts without trained rerankers and summaries."""

    def __init__(self, config: dict[str, Any], seed: int, methods: Sequence[str]) -> None:
        StagePrompts.__init__(self, config, seed, None)
        self.methods = [method_named(name) for name in methods]
        self._rerankers = {"hydra": longest_first, "shared": longest_first}
        self._summaries = _Summaries()
        self.topics = None


class _Generate(CandidatePrompts):
    """CandidatePrompts without a trained reranker."""

    def __call__(self, users: Sequence[User]) -> Iterator[tuple[User, PromptedRow[CandidateRow]]]:
        for user in users:
            for prompted in self.of_user(user, longest_first):
                yield user, prompted


class _Summaries(dict[tuple[str, str], str]):
    """The longest summary for every question."""

    def get(self, key: object, default: Any = None) -> Any:
        return "answer " * SUMMARY_TOKENS


def longest_first(user_id: str, queries: Sequence[Query], found: Sequence[RetrievalResult]) -> list[list[RankedItem]]:
    """In place of a reranker: the longest of the retrieved items, so that no prompt comes out longer."""
    return [rank(one.items, [float(len(item.text) + len(item.answer)) for item in one.items]) for one in found]


@dataclass(frozen=True, slots=True)
class _StagePlan:
    """How a stage's requests are counted.

    Attributes:
        stage: Its name.
        make: Makes its rows.
        users: Whose rows.
        salt: Requests in the same words are one call only under the same salt.
        by_place: Each request is a call of its own: its prompt in the run will be another.
    """

    stage: str
    make: Callable[[Any], Iterator[tuple[User, PromptedRow[Any]]]]
    users: Asking
    salt: str = ""
    by_place: bool = False


def bounds(job: Pipeline, budget: PromptBudget, one_by_one: bool) -> tuple[dict[str, CostBound], bool]:
    """What each stage may ask at most, and whether all its users' prompts were looked at (else it is an estimate).

    What several folds or seeds ask in the same words is asked once.
    """
    config = _light(job.config)
    plain = config.model_dump(mode="json")
    system = budget.count(config.llm.system_prompt or "")
    asks = {training_stage(calls.name): name for name in job.further_methods if (calls := method_named(name).asks)}
    summarised = any(method.summary and method.train for method in map(method_named, job.further_methods))
    further = (*(("summarise-users",) if summarised else ()), *asks, *map(method_stage, job.further_methods))
    stages = (*STAGES, *further, *(("oracles",) if config.evaluate.oracles else ()))
    found = {stage: CostBound() for stage in stages}
    seen: set[str] = set()
    whole = True
    for trial in config.protocol.trials:
        chosen = job.chosen(trial)
        roles = asking(chosen)
        tested = {user_id: pair for user_id, pair in roles.items() if pair[1] == "test"}
        own = str(trial) if config.adapter.examples == "reranker" else ""
        work = [
            _StagePlan("label", LabelPrompts(plain, trial.seed, None), everyone(chosen)),
            _StagePlan("generate", _Generate(plain, trial.seed, None), roles, own),
            _StagePlan("summarise", SummaryPrompts(plain, trial.seed, None), tested),
            _StagePlan("evaluate", _Evaluate(plain, trial.seed, always_shown()), tested, str(trial), by_place=True),
            *(
                _StagePlan(stage, _Training(plain, trial.seed, None, name), trained_on(chosen), stage, by_place=True)
                for stage, name in asks.items()
            ),
            *(_further(name, _Evaluate(plain, trial.seed, (name,)), tested) for name in job.further_methods),
        ]
        if summarised:
            every = UserSummaryPrompts(plain, trial.seed, None)
            work.append(_StagePlan("summarise-users", every, everyone(chosen)))
        if config.evaluate.oracles:
            work.append(_StagePlan("oracles", OraclePrompts(plain, trial.seed, None), tested))
        for plan in work:
            looked_at = _some(plan.users)
            whole &= len(looked_at) == len(plan.users)
            total = CostBound()
            for user, one in plan.make(_read(job.ingest().path, looked_at)):
                for place, request in enumerate(one.requests):
                    where = f"{user.user_id}\0{one.row.query.query_id}\0{place}" if plan.by_place else ""
                    key = call_key(f"{plan.salt}\0{where}", request)
                    if key not in seen:
                        seen.add(key)
                        total += bound_of(request, budget, system, one_by_one)
            found[plan.stage] += total.times(len(plan.users) / max(1, len(looked_at)))
    return found, whole


def _further(name: str, make: _Evaluate, tested: Asking) -> _StagePlan:
    """The plan of one of `evaluate.methods`. What retrieves by embeddings or by what it has learned asks other prompts
    than those that stand for them here."""
    method, stage = method_named(name), method_stage(name)
    others = method.train is not None or any(map(make.config.retrieval.encodes_for, method.retrievers))
    return _StagePlan(stage, make, tested, stage if others else "", by_place=others)


def first_request(job: Pipeline) -> Request | None:
    """The first request of the run's first stage that has any; None if it asks for nothing."""
    config = _light(job.config)
    trial = config.protocol.trials[0]
    make = LabelPrompts(config.model_dump(mode="json"), trial.seed, None)
    for user in _read(job.ingest().path, _some(asking(job.chosen(trial)))):
        for _, prompted in make([user]):
            if prompted.requests:
                return prompted.requests[0]
    return None


def _light(config: Config) -> Config:
    """Without what would load and run the encoder: recency stands for retrieval by embeddings; the features of the
    adapter change no prompt."""
    adapter = config.adapter.model_copy(update={"history_similarity": False, "topic_classifier": False})
    config = config.model_copy(update={"adapter": adapter})
    if not config.retrieval.encodes:
        return config
    return config.model_copy(update={"retrieval": config.retrieval.model_copy(update={"method": "recency"})})


def _some(users: Asking) -> Asking:
    drawn = sorted(users, key=lambda user_id: stable_hash("dry run", user_id))[:MOST_USERS]
    return {user_id: users[user_id] for user_id in drawn}


def _read(folder: Path, users: Asking) -> Iterable[User]:
    for user in read_users(folder, None, set(users)):
        source, role = users[user.user_id]
        if user.split == source:
            yield replace(user, split=role)
