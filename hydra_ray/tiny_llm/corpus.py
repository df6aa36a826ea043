"""Training documents of the synthetic world: users of the namespace "tiny", whom no run ever meets."""

from collections.abc import Mapping

from hydra_ray.core.records import HistoryItem
from hydra_ray.core.tasks import load_task
from hydra_ray.synth.draws import Draws
from hydra_ray.synth.world import SynthItem, SynthUser, make_user
from hydra_ray.tiny_llm.config import StageConfig, TaskName, TinyLLMConfig
from hydra_ray.tiny_llm.sequence import Document, Hint, answer_document, favourites, summary_document

NAMESPACE = "tiny"
_PEOPLE = 2**40
_SUMMARY_ITEMS = (4, 24)
_TOKENS = 36


def record(item: SynthItem) -> HistoryItem:
    """The history item without the hidden part."""
    return HistoryItem(item.item_id, item.text, item.text, item.answer, item.date)


def _person(task: str, draws: Draws, config: TinyLLMConfig, items: int) -> SynthUser:
    return make_user(task, config.seed, draws.below(_PEOPLE), (items, items), 1, NAMESPACE)


def _answered(task: str, draws: Draws, config: TinyLLMConfig, count: int, matching: float) -> Document:
    """`count` examples and a question of one person; each example matches the question with probability `matching`,
    else it is any other."""
    user = _person(task, draws, config, 6 * count + 6 if matching and count else count)
    query = user.questions[0]
    rest = list(user.items)
    chosen = []
    for _ in range(count):
        fitting = [item for item in rest if item.key == query.key] if draws.uniform() < matching else []
        item = draws.pick(fitting or rest)
        rest.remove(item)
        chosen.append(item)
    history = [record(item) for item in rest]
    summary = ""
    if history and draws.uniform() < config.with_summary:
        summary = favourites(load_task(f"synthetic_{task}"), history)
    hints = tuple(Hint(item.values, user.taste.aspect, user.taste.slot) for item in [*chosen[::-1], query])
    return answer_document(
        load_task(f"synthetic_{task}"), record(query), [record(item) for item in chosen], summary=summary, hints=hints
    )


def task_of(draws: Draws, shares: Mapping[TaskName, float]) -> str:
    """A synthetic task, drawn by its share."""
    names = list(shares)
    at = draws.uniform() * sum(shares.values())
    for name in names:
        at -= shares[name]
        if at < 0:
            return name
    return names[-1]


def _asked(task: str, draws: Draws, config: TinyLLMConfig, count: int) -> Document:
    person = _person(task, draws, config, count)
    return summary_document(load_task(f"synthetic_{task}"), [record(item) for item in person.items])


def documents(config: TinyLLMConfig, stage: StageConfig, step: int, tokens: int) -> list[Document]:
    """The documents of a step, about `tokens` tokens, of all tasks and one length: a pure function of its arguments."""
    draws = Draws("tiny-llm", config.seed, step)
    shares = stage.tasks or config.tasks
    kind = draws.uniform()
    if kind < config.summaries:
        count = draws.between(*_SUMMARY_ITEMS)
        rows = max(1, tokens // (_TOKENS * count))
        return [_asked(task_of(draws, shares), draws, config, count) for _ in range(rows)]
    count = draws.between(*stage.examples) if kind < 1 - config.zero_examples else 0
    rows = max(1, tokens // (_TOKENS * (count + 1) + 20))
    return [_answered(task_of(draws, shares), draws, config, count, stage.matching) for _ in range(rows)]
