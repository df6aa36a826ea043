"""A personalised answer and how it came about, as the Python API and `/v1/personalize` give it."""

from typing import Literal

from pydantic import BaseModel, Field

Stage = Literal["retrieve", "rerank", "llm", "select"]

Reason = Literal[
    "no_user",
    "user_unknown",
    "history_unreadable",
    "reranker_down",
    "head_unreadable",
    "adapter_down",
    "no_candidate",
    "plain_failed",
    "prompt_shortened",
    "question_cut",
    "fewer_answers",
]
"""no_user: the request names none. user_unknown: there is no such user: shared head, plain prompt. history_unreadable:
plain prompt. reranker_down: BM25 order. head_unreadable: shared head. adapter_down: first sample.
no_candidate: no sample holds an answer of the task (no label, or nothing but a thought), so the answer is empty.
plain_failed: no plain answer along with the personalised one. prompt_shortened: the LLM found the prompt too long and
answered a shorter one, with fewer examples or less of what came before the question. question_cut: the question was
longer than the LLM reads. fewer_answers: fewer different answers than were asked for."""


class Degraded(BaseModel):
    """Something that was not done as it should have been. detail: more of it; the service's log has the rest."""

    reason: Reason
    detail: str = ""


class TraceItem(BaseModel):
    """A retrieved item. bm25: retrieval score; bm25_rank: from 0. reranker: log-odds, null if it did not run;
    rank: from 0, after the reranker. in_prompt: whether it was shown to the LLM."""

    item_id: str
    text: str
    answer: str
    date: str = ""
    bm25: float
    bm25_rank: int
    reranker: float | None = None
    rank: int
    in_prompt: bool = False


class TraceCandidate(BaseModel):
    """A candidate answer, best first. votes: samples that gave it. own: one of the user's own past answers.
    adapter: log-odds, null if it did not run. weight: what the choice was made by."""

    text: str
    votes: int
    own: bool
    adapter: float | None = None
    weight: float | None = None


class PromptMessage(BaseModel):
    """A message as the LLM was sent it."""

    role: str
    content: str


class TracePrompt(BaseModel):
    """What the LLM was shown. tokens: as the server counted, 0 if it did not say."""

    words: int
    tokens: int
    messages: list[PromptMessage] = Field(default_factory=list)
    examples: int
    dropped_examples: int = 0
    question_cut: bool = False


class TraceVersions(BaseModel):
    """Which run, which heads. history: the user's revision (0: none). own_heads: components that used the user's."""

    run: str
    hydra_ray: str
    history: int = 0
    reranker_heads: int = 0
    adapter_heads: int = 0
    own_heads: list[Literal["reranker", "adapter"]] = Field(default_factory=list)


class Trace(BaseModel):
    """How an answer came about. ms: per stage, and `total`."""

    request_id: str
    user_id: str | None
    task: str
    items: int = 0
    retrieved: list[TraceItem] = Field(default_factory=list)
    prompt: TracePrompt
    candidates: list[TraceCandidate]
    versions: TraceVersions
    ms: dict[str, float]
    llm_tokens: int = 0
    degraded: list[Degraded] = Field(default_factory=list)


class PersonalizedAnswer(BaseModel):
    """answer: the chosen one, normalised as the task says. answers: the n best, all different, fewer where the
    candidates are (see `fewer_answers`); the first is `answer`. cut: places in
    `answers` of those that `max_tokens` ended in every sample that gave them. plain: the LLM's answer without
    personalisation, where it was asked for and did not fail."""

    answer: str
    answers: list[str]
    cut: list[int] = Field(default_factory=list)
    plain: str | None = None
    trace: Trace
