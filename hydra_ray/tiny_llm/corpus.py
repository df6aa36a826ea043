"""Training documents of the synthetic world: users of the namespace "tiny", whom no run ever meets."""

from hydra_ray.core.tasks import load_task
from hydra_ray.core.types import HistoryItem
from hydra_ray.synth.draws import Draws
from hydra_ray.synth.world import SynthItem, SynthUser, make_user
from hydra_ray.tiny_llm.config import StageConfig, TinyLLMConfig
from hydra_ray.tiny_llm.sequence import Document, Hint, answer_document, favourites, summary_document

NAMESPACE = "tiny"
_PEOPLE = 2**40
_SUMMARY_ITEMS = (4, 24)


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


def task_of(draws: Draws, config: TinyLLMConfig) -> str:
    """A synthetic task, drawn by the configured shares."""
    names = list(config.tasks)
    at = draws.uniform() * sum(config.tasks.values())
    for name in names:
        at -= config.tasks[name]
        if at < 0:
            return name
    return names[-1]


def documents(config: TinyLLMConfig, stage: StageConfig, step: int, tokens: int) -> list[Document]:
    """The documents of a step, about `tokens` tokens of one task and one length: a pure function of its arguments."""
    draws = Draws("tiny-llm", config.seed, step)
    task = task_of(draws, config)
    kind = draws.uniform()
    if kind < config.summaries:
        count = draws.between(*_SUMMARY_ITEMS)
        definition = load_task(f"synthetic_{task}")
        people = [_person(task, draws, config, count) for _ in range(max(1, tokens // (35 * count)))]
        return [summary_document(definition, [record(item) for item in person.items]) for person in people]
    count = draws.between(*stage.examples) if kind < 1 - config.zero_examples else 0
    rows = max(1, tokens // (35 * (count + 1) + 20))
    return [_answered(task, draws, config, count, stage.matching) for _ in range(rows)]
