"""What each stage asks the black box, user by user. Classes: Ray Data's actors load a model once and keep it.

Models are imported where they are used: most makers need none, and torch is slow to import in every worker.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra_ray.config import Config
from hydra_ray.core.draws import stable_seed
from hydra_ray.core.evidence import Supporter, answer_profile, own_answers, weight_of
from hydra_ray.core.feedback import OWN_ROW, Row, agreement_rows, own_answer_rows
from hydra_ray.core.lamp_prompts import lamp_head, lamp_prompt
from hydra_ray.core.prompts import Prompt, answer_prompt, summary_prompt
from hydra_ray.core.queries import Query, training_queries
from hydra_ray.core.records import HistoryItem, User
from hydra_ray.core.retrieval import Retriever, TextEncode, cosines, make_retriever, recencies, shares
from hydra_ray.core.stand_ins import shown_items, task_of
from hydra_ray.core.tasks import Task, load_task
from hydra_ray.core.topics import TopicModels
from hydra_ray.llm.tokens import prompt_budget
from hydra_ray.llm.types import Request
from hydra_ray.pipeline.rows import CUTS, Asked

SUMMARY_ITEMS = 10
SUMMARY_TOKENS = 32
PLAIN_KS = (1, 2, 4)

Found = tuple[HistoryItem, tuple[float, float]]
"""A retrieved item, and what speaks for it: its score as a share of the best one's, and its recency."""

Ranked = tuple[HistoryItem, float]
"""A retrieved item and its log-odds of being a good example."""

Rerank = Callable[[User, Sequence[Query], Sequence[Sequence[Found]]], list[list[Ranked]]]
"""Orders each query's items, best first (`hydra_ray.pipeline.rerank`)."""


class Maker:
    """What all makers share: task, prompt budget, retrieval."""

    def __init__(
        self, config: dict[str, Any], seed: int, vectors: Path | None, encode: TextEncode | None = None
    ) -> None:
        """vectors: where the encodings of dense retrieval are cached. encode: its encoder, if there is one already."""
        self.config = Config.model_validate(config)
        self.task = load_task(self.config.data.task)
        self.seed = seed
        self.budget = prompt_budget(self.config.llm, self.task)
        # Generation compares every supporting record with every candidate word by word: N are dear enough.
        n = self.config.retrieval.top_n
        self.support = n if self.task.kind == "generation" else self.config.adapter.records(n)
        self._encode, self._vectors = encode, vectors
        self.likeness = self.config.adapter.history_similarity and self.task.kind != "generation"
        self.topics: TopicModels | None = None

    @property
    def encode(self) -> TextEncode:
        """The encoder of single texts; it is loaded when the first text is not in the cache."""
        if self._encode is None:
            from hydra_ray.models.vector_cache import CachedEncoder

            self._encode = CachedEncoder(self.config.text_encoder, self._vectors)
        return self._encode

    def retriever(self, items: Sequence[HistoryItem]) -> Retriever:
        retrieval = self.config.retrieval
        encode = self.encode if retrieval.method == "dense" else None
        return make_retriever(retrieval.method, items, self.seed, encode, retrieval.bm25_kind)

    def queries(self, user: User) -> list[Query]:
        protocol = self.config.protocol
        return training_queries(user, protocol.pseudo_queries, protocol.train_questions, self.seed, self.task)

    def task_of(self, query: Query) -> Task:
        """The task of a query: the stand-in's for items that carry no answer."""
        return task_of(self.task, query.query_id) if query.pseudo else self.task

    def prompt(self, query: Query, items: Sequence[HistoryItem], summary: str = "") -> Prompt:
        """The prompt that asks the query with `items` (best first) as examples, in the layout of `llm.prompt`."""
        task = self.task_of(query)
        shown = list(items) if task is self.task else shown_items(self.task, list(items))
        if self.config.llm.prompt == "lamp":
            head = query.head or (lamp_head(task) if task is self.task else f"{task.instruction} ")
            return lamp_prompt(task, head, query.text, shown, self.budget, summary)
        return answer_prompt(task, query.text, shown, self.budget, summary)

    def request(self, prompt: Prompt, task: Task) -> Request:
        """One answer at temperature 0."""
        return Request(prompt.messages, 0.0, 1, task.max_answer_tokens, fallbacks=prompt.fallbacks)

    def samples(self, prompt: Prompt, user: User, query: Query) -> Request:
        """`adapter.num_samples` samples, one seed a query in all methods: the same draws from equal prompts."""
        adapter = self.config.adapter
        seed = stable_seed(self.seed, user.user_id, query.query_id)
        tokens = self.task_of(query).max_answer_tokens
        return Request(prompt.messages, adapter.temperature, adapter.num_samples, tokens, seed, prompt.fallbacks)

    def candidates(self, queries: Sequence[Query], n: int | None = None) -> list[list[Found]]:
        """The n (default: N) retrieved items of every query, best first; one index per distinct history."""
        indexes: dict[int, Retriever] = {}
        found = []
        for query in queries:
            if id(query.history) not in indexes:
                indexes[id(query.history)] = self.retriever(query.history)
            top = indexes[id(query.history)].top(
                self.task.search_text(query.text), n or self.config.retrieval.top_n, query.exclude
            )
            items = [item for item, _ in top]
            beside = zip(shares(top), recencies(items, query.history, query.exclude), strict=True)
            found.append(list(zip(items, beside, strict=True)))
        return found

    def own(self, user: User, query: Query) -> dict[str, Any]:
        """What the user's history and the query's text say of each answer (`hydra_ray.core.evidence`)."""
        others = [item for item in query.history if item.item_id != query.exclude]
        answers = own_answers(self.task_of(query), [item.answer for item in others])
        alike: Sequence[float] = ()
        if self.likeness and answers:
            alike = cosines(self.encode, query.text, [item.text for item in others])
        topics: dict[str, float] = {}
        if self.topics:
            topics = self.topics.of(user.user_id, user.split == "train").log_ratios(self.encode([query.text])[0])
        return {"own": answer_profile(answers, alike), "topics": topics}

    def examples(
        self, found: Sequence[tuple[HistoryItem, Any]], ranked: Sequence[tuple[HistoryItem, Any]]
    ) -> list[HistoryItem]:
        """The k records for the prompt: of the N first `found`, those that come first in `ranked` (all of `found`)."""
        first = {item.item_id for item, _ in found[: self.config.retrieval.top_n]}
        return [item for item, _ in ranked if item.item_id in first][: self.config.reranker.top_k]


def cuts(prompts: Iterable[Prompt]) -> dict[str, int]:
    """What was cut from prompts to fit the LLM's window -> how often (the columns of `CUTS`)."""
    kinds = [(p.dropped_examples, p.clipped_texts, int(p.question_cut)) for p in prompts]
    return dict(zip(CUTS, (sum(column) for column in zip(*kinds, strict=True)), strict=False))


class LabelMaker(Maker):
    """Reranker feedback: every retrieved item alone as the one example, temperature 0."""

    def __call__(self, users: Sequence[User]) -> Iterator[tuple[User, Asked]]:
        for user in users:
            queries = self.queries(user)
            for query, found in zip(queries, self.candidates(queries), strict=True):
                prompts = [self.prompt(query, [item]) for item, _ in found]
                row = Row(user.user_id, query.query_id, query.text, query.gold, tuple(item.text for item, _ in found))
                requests = [self.request(p, self.task_of(query)) for p in prompts]
                yield user, (row, requests, cuts(prompts), beside([numbers for _, numbers in found]))
            free = agreement_rows(
                self.task, user, self.config.reranker.num_history_queries, self.config.retrieval.top_n, self.seed
            )
            history = tuple(user.safe_history())
            queries = [own_query(row, history) for row in free]
            for row, found in zip(free, self.candidates(queries, len(history)), strict=True):
                of_text = {item.text: numbers for item, numbers in found}
                yield user, (row, [], {}, beside([of_text.get(text, (0.0, 0.0)) for text in row.right]))


def beside(numbers: Sequence[tuple[float, float]]) -> dict[str, list[float]]:
    """What speaks for a row's items, as a row of `label` keeps it."""
    return {"shares": [share for share, _ in numbers], "recencies": [recency for _, recency in numbers]}


class CandidateMaker(Maker):
    """Adapter candidates: the prompt with the reranker's top k, n samples."""

    def of_user(self, user: User, rerank: Rerank) -> Iterator[Asked]:
        """One user's rows, by the user's own reranker."""
        queries = self.queries(user)
        for query, found, items in zip(queries, *self._ranked(user, queries, rerank), strict=True):
            shown = self.examples(found, found if self.config.adapter.examples == "retrieval" else items)
            prompt = self.prompt(query, shown)
            row = Row(user.user_id, query.query_id, query.text, query.gold, ())
            requests = [self.samples(prompt, user, query)]
            if self.config.adapter.zero_shot_candidate:
                requests.append(self.request(self.prompt(query, []), self.task_of(query)))
            yield row, requests, cuts([prompt]), self.known(user, query, items)
        free = own_answer_rows(self.task, user, self.config.adapter.num_history_queries, self.seed)
        history = tuple(user.safe_history())
        queries = [own_query(row, history) for row in free]
        for row, query, items in zip(free, queries, self._ranked(user, queries, rerank)[1], strict=True):
            yield row, [], {}, self.known(user, query, items)

    def _ranked(
        self, user: User, queries: Sequence[Query], rerank: Rerank
    ) -> tuple[list[list[Found]], list[list[Ranked]]]:
        """Each query's records as they were retrieved, and the same as the reranker orders them."""
        found = self.candidates(queries, self.support)
        return found, rerank(user, queries, found)

    def known(self, user: User, query: Query, ranked: Sequence[Ranked]) -> dict[str, Any]:
        """What evidence is made of once there are candidates."""
        return {**self.own(user, query), "supporters": supporters(ranked)}


class GenerateMaker(CandidateMaker):
    """CandidateMaker for many users, whose heads come from stores."""

    def __init__(
        self,
        config: dict[str, Any],
        seed: int,
        vectors: Path | None,
        base: Path,
        heads: dict[str, Path],
        topics: Path | None,
    ) -> None:
        """heads: split -> folder of its users' heads. topics: folder of the topic models, if they are read."""
        from hydra_ray.pipeline.rerank import Reranker

        super().__init__(config, seed, vectors)
        self.topics = TopicModels.load(topics) if topics else None
        self._rerank = {split: Reranker.load(base, folder, vectors) for split, folder in heads.items()}

    def __call__(self, users: Sequence[User]) -> Iterator[tuple[User, Asked]]:
        for user in users:
            for asked in self.of_user(user, self._rerank[user.split]):
                yield user, asked


class SummaryMaker(Maker):
    """The profile summaries (PAG) of the evaluated questions: one call per question's history."""

    def __call__(self, users: Sequence[User]) -> Iterator[tuple[User, Asked]]:
        for user in users:
            for question in evaluated(user, self.config.protocol.questions):
                newest = user.history_of(question)[-SUMMARY_ITEMS:]
                prompt = summary_prompt(self.task, newest, self.budget)
                request = Request(prompt.messages, 0.0, 1, SUMMARY_TOKENS, fallbacks=prompt.fallbacks)
                row = Row(user.user_id, question.question_id, question.text, question.gold or "", ())
                yield user, (row, [request] if newest else [], cuts([prompt]), {})


class OracleMaker(Maker):
    """Every evaluated question after each of its N retrieved records alone: what a perfect reranker chooses from."""

    def __call__(self, users: Sequence[User]) -> Iterator[tuple[User, Asked]]:
        for user in users:
            for question in evaluated(user, self.config.protocol.questions):
                if question.gold is None:
                    continue
                history = tuple(user.history_of(question))
                query = Query(question.question_id, question.text, question.gold, history, None, False, question.head)
                (found,) = self.candidates([query])
                prompts = [self.prompt(query, [item]) for item, _ in found]
                row = Row(user.user_id, query.query_id, query.text, query.gold, ())
                yield user, (row, [self.request(prompt, self.task) for prompt in prompts], cuts(prompts), {})


class EvaluateMaker(Maker):
    """Every method's prompt for every evaluated question. `extra["methods"][i]` names the request's method."""

    def __init__(
        self,
        config: dict[str, Any],
        seed: int,
        vectors: Path | None,
        rerankers: dict[str, tuple[Path, Path | None]],
        summaries: dict[tuple[str, str], str],
        topics: Path | None,
    ) -> None:
        """rerankers: method -> (base, heads); summaries: (user, question) -> profile summary; topics: as above."""
        from hydra_ray.pipeline.rerank import Reranker

        super().__init__(config, seed, vectors)
        self.topics = TopicModels.load(topics) if topics else None
        self._rerankers = {name: Reranker.load(base, heads, vectors) for name, (base, heads) in rerankers.items()}
        self._summaries = summaries

    def __call__(self, users: Sequence[User]) -> Iterator[tuple[User, Asked]]:
        for user in users:
            for question in evaluated(user, self.config.protocol.questions):
                history = tuple(user.history_of(question))
                gold, head = question.gold or "", question.head
                query = Query(question.question_id, question.text, gold, history, None, False, head)
                summary = self._summaries.get((user.user_id, question.question_id), "")
                searched = self.task.search_text(query.text)
                index = make_retriever("bm25", history, bm25=self.config.retrieval.bm25_kind)
                bm25 = [i for i, _ in index.top(searched, max(PLAIN_KS))]
                drawn = [i for i, _ in make_retriever("random", history, self.seed).top(searched, max(PLAIN_KS))]
                found = self.candidates([query], self.support)
                ranked = {n: rerank(user, [query], found)[0] for n, rerank in self._rerankers.items()}
                best = {name: self.examples(found[0], items) for name, items in ranked.items()}
                greedy: dict[str, Prompt] = {"zero_shot": self.prompt(query, [])}
                greedy |= {f"random_k{n}": self.prompt(query, drawn[:n]) for n in PLAIN_KS}
                greedy |= {f"bm25_k{n}": self.prompt(query, bm25[:n]) for n in PLAIN_KS}
                greedy |= {f"pag_k{n}": self.prompt(query, bm25[:n], summary) for n in (0, 1)}
                greedy["hydra_reranker"] = self.prompt(query, best["hydra"])
                sampled = {"bm25": self.prompt(query, bm25)}
                sampled |= {name: self.prompt(query, items) for name, items in best.items()}
                methods = [f"greedy:{name}" for name in greedy] + [f"samples:{name}" for name in sampled]
                requests = [self.request(p, self.task) for p in greedy.values()]
                requests += [self.samples(p, user, query) for p in sampled.values()]
                prompts = [*greedy.values(), *sampled.values()]
                row = Row(user.user_id, query.query_id, query.text, query.gold, ())
                extra = {
                    "methods": methods,
                    "scored": question.gold is not None,
                    "history": [item.answer for item in history],
                    **self.own(user, query),
                    # Without a reranker, the N retrieved records weigh the same.
                    "supporters": {
                        "bm25": supporters([(item, 0.0) for item, _ in found[0][: self.config.retrieval.top_n]])
                    }
                    | {name: supporters(items) for name, items in ranked.items()},
                }
                yield user, (row, requests, cuts(prompts), extra)


def supporters(ranked: Sequence[Ranked]) -> list[Supporter]:
    """The retrieved records as evidence: answer and weight."""
    return [(item.answer, weight_of(log_odds)) for item, log_odds in ranked]


def own_query(row: Row, history: tuple[HistoryItem, ...]) -> Query:
    """The query of a row that costs no call: an item of the user's `history`, asked of all the others."""
    return Query(row.query_id, row.text, row.gold, history, row.query_id.removeprefix(OWN_ROW), True)


def evaluated(user: User, limit: int | None) -> list[Any]:
    """The user's questions, the newest `limit` of them; those without a gold answer are answered, but not scored."""
    return list(user.questions if limit is None else user.questions[-limit:])
