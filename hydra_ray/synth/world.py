"""Users of the synthetic world, made one at a time and independent of how many there are."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import product

from hydra_ray.core.types import HistoryItem, Question, Split, User
from hydra_ray.errors import UserError
from hydra_ray.synth.draws import Draws
from hydra_ray.synth.headline import HeadlineMaker
from hydra_ray.synth.headline_words import SLOTS, TEMPLATES
from hydra_ray.synth.rating import RatingMaker
from hydra_ray.synth.scene import NOISE, SceneMaker, Taste, Wording
from hydra_ray.synth.tagging import TaggingMaker

MAKERS: dict[str, Callable[[], SceneMaker]] = {
    "tagging": TaggingMaker,
    "rating": RatingMaker,
    "headline": HeadlineMaker,
}
NAMESPACE = "world"
_FIRST_DAY = date(2020, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class SynthItem:
    """A text of a user with its answer, and what only the oracle knows.

    answer: what the data say (NOISE of them are the user's mistakes). clean: the answer without noise, the best a
    system can give. key: the value of the user's decisive aspect; two texts of a user match if their keys are equal.
    values: the value of every aspect. date: ISO.
    """

    item_id: str
    text: str
    answer: str
    clean: str
    key: int
    values: tuple[int, ...]
    date: str


@dataclass(frozen=True, slots=True)
class SynthUser:
    """A user: history oldest first, questions (all later than the history), and the hidden taste."""

    user_id: str
    task: str
    taste: Taste
    items: tuple[SynthItem, ...]
    questions: tuple[SynthItem, ...]

    def matching(self, question: SynthItem) -> list[int]:
        """Indices of the items with the question's decisive value: the ones that are worth showing as examples."""
        return [index for index, item in enumerate(self.items) if item.key == question.key]

    def to_user(self, split: Split = "train") -> User:
        """The item without the hidden part. Every question sees the whole history."""
        everything = tuple(range(len(self.items)))
        return User(
            self.user_id,
            split,
            tuple(HistoryItem(item.item_id, item.text, item.text, item.answer, item.date) for item in self.items),
            tuple(Question(q.item_id, q.text, q.answer, everything, q.date) for q in self.questions),
        )


def maker_of(task: str) -> SceneMaker:
    """The maker of a synthetic task ("tagging", "rating", "headline"). Raises UserError for any other name."""
    try:
        return MAKERS[task]()
    except KeyError:
        raise UserError(f"synth.task: unknown task {task!r}: give one of {', '.join(MAKERS)}") from None


@lru_cache(maxsize=8192)
def _iso(ordinal: int) -> str:
    return date.fromordinal(ordinal).isoformat()


def user_id_of(index: int, namespace: str = NAMESPACE) -> str:
    """The id of user `index`; users of other namespaces than the world's have ids no run can meet."""
    return f"u{index:08d}" if namespace == NAMESPACE else f"{namespace}-{index:08d}"


def make_user(
    task: str,
    seed: int,
    index: int,
    items: tuple[int, int],
    questions: int,
    namespace: str = NAMESPACE,
) -> SynthUser:
    """User `index` of the world `seed`: a pure function of its arguments, whatever the number of users.

    items: (fewest, most) history items; the user's own number is drawn uniformly from that range.
    namespace: other users of the same world; "tiny" is the one the bundled LLM is trained on.
    Raises UserError for an unknown task or an impossible range.
    """
    if not 0 <= items[0] <= items[1]:
        raise UserError(f"synth.items: {items} is no range of history sizes: give (fewest, most)")
    maker = maker_of(task)
    draws = Draws(namespace, task, seed, index)
    user_id = user_id_of(index, namespace)
    taste = maker.taste(draws)
    wording = Wording(draws, maker.phrases, taste.aspect)
    day = _FIRST_DAY + draws.below(365)

    def one(item_id: str) -> SynthItem:
        nonlocal day
        day += 1 + draws.below(4)
        scene = maker.scene(draws, taste, wording)
        clean = maker.answer(taste, scene)
        answer = maker.noisy(draws, taste, scene) if draws.uniform() < NOISE else clean
        return SynthItem(item_id, scene.text, answer, clean, scene.values[taste.aspect], scene.values, _iso(day))

    history = tuple(one(f"{user_id}-{i}") for i in range(draws.between(*items)))
    question_items = tuple(one(f"{user_id}-q{i}") for i in range(questions))
    return SynthUser(user_id, task, taste, history, question_items)


def attainable(task: str) -> dict[str, float]:
    """metric -> its expected value for a system that knows every user's taste and answers without noise.

    tagging: a noisy answer is always another tag, so accuracy is 1 - NOISE. rating: a noisy score is one off, so MAE is
    NOISE. headline: a noisy headline has another template around the same phrase, so ROUGE-1 is 1 - NOISE + NOISE x the
    mean ROUGE-1 F between two templates (over one phrase per slot; every phrase of a slot has as many words).
    """
    if task == "tagging":
        return {"accuracy": 1 - NOISE}
    if task == "rating":
        return {"mae": NOISE}
    if task != "headline":
        raise UserError(f"synth.task: unknown task {task!r}: give one of tagging, rating, headline")
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rouge1"], use_stemmer=False)
    pairs = [(a, b) for a, b in product(TEMPLATES, TEMPLATES) if a != b]
    scores = [scorer.score(a.format(slot[0]), b.format(slot[0]))["rouge1"].fmeasure for a, b in pairs for slot in SLOTS]
    return {"rouge1": 1 - NOISE + NOISE * sum(scores) / len(scores)}
