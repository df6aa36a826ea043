"""LaMP's own prompt layout (`llm.prompt: lamp`), for runs that are compared with published ones.

The items come first, best first, each as a phrase of the task, joined by ", and "; the question's whole `input`, which
holds the instruction and the labels, follows. For LaMP 1 the items are put into the input, after its word "title".
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra_ray.core.prompts import Message, Prompt, PromptBudget
from hydra_ray.core.tasks import Task
from hydra_ray.core.token_estimate import TokenCounter, truncate_to_tokens
from hydra_ray.core.types import HistoryItem
from hydra_ray.errors import UserError

JOINER = ", and "
JOINER_TOKENS = 2
TITLE = "title"


@dataclass(frozen=True, slots=True)
class LampForm:
    """One task's wording.

    head: what stands before the text in an `input`; `{labels}` in it are the task's. item: one item as a phrase of its
    `{text}` and `{answer}`. after: what stands between the items and the input. inserted: whether the items stand
    inside the input, after its first word "title", instead of before it.
    """

    head: str
    item: str
    after: str = ". "
    inserted: bool = False

    def reserved(self, count: TokenCounter) -> int:
        """Tokens that are neither the items' nor the input's: one for the full stop, and those of a fixed phrase."""
        if self.inserted:
            return 0
        return 1 + (count(self.after) if self.after != ". " else 0)


_ONLY_NAME = "Just answer with the {} name without further explanation."
FORMS = {
    "LaMP_1": LampForm("", '"{text}"', inserted=True),
    "LaMP_2M": LampForm(
        f"Which tag does this movie relate to among the following tags? {_ONLY_NAME.format('tag')} "
        "tags: [{labels}] description: ",
        'the tag for the movie: "{text}" is "{answer}" ',
    ),
    "LaMP_2N": LampForm(
        f"Which category does this article relate to among the following categories? {_ONLY_NAME.format('category')} "
        "categories: [{labels}] article: ",
        'the category for the article: "{text}" is "{answer}" ',
    ),
    "LaMP_3": LampForm(
        "What is the score of the following review on a scale of 1 to 5? just answer with 1, 2, 3, 4, or 5 without "
        "further explanation. review: ",
        '{answer} is the score for "{text}" ',
    ),
    "LaMP_4": LampForm("Generate a headline for the following article: ", '"{answer}" is the title for "{text}" '),
    "LaMP_5": LampForm(
        "Generate a title for the following abstract of a paper: ",
        '"{answer}" is a title for "{text}" ',
        ". Following the given patterns ",
    ),
    "LaMP_6": LampForm("Generate a subject for the following email: ", '"{answer}" is the title for "{text}" '),
    "LaMP_7": LampForm(
        "Paraphrase the following tweet without any explanation before or after it: ",
        '"{text}" ',
        " are written by a person. Following the given patterns ",
    ),
}
"""By LaMP's id of the task. LaMP_2 alone names two tasks, so it is not among them."""


def lamp_form(task: Task) -> LampForm:
    """LaMP's wording of a task. Raises UserError if the task is none of LaMP's."""
    for lamp_id in task.lamp_ids:
        if lamp_id in FORMS:
            return FORMS[lamp_id]
    raise UserError(
        f"llm.prompt: lamp: task {task.name} has no LaMP layout: leave llm.prompt out, or give the task one of these "
        f"lamp_ids: {', '.join(FORMS)}"
    )


def lamp_head(task: Task) -> str:
    """What LaMP's `input` of the task says before the text: for questions that come without one. Raises UserError."""
    return lamp_form(task).head.replace("{labels}", ", ".join(task.labels))


def lamp_prompt(
    task: Task, head: str, text: str, items: Sequence[HistoryItem], budget: PromptBudget, summary: str = ""
) -> Prompt:
    """The prompt that asks LaMP's input, `head` and `text` as they stand there, with `items` (best first).

    The input is whole wherever it fits at all. Of the tokens that it leaves, every item gets an equal share, to which
    its text is cut; what an item does not need passes to the next. While an item's share is too small for any of its
    text, the worst item goes. (Where the input takes more than 60 % of the prompt, LaMP would cut the question's end
    and keep the items.) A profile summary stands before all, on a line of its own.

    Raises UserError if the task is none of LaMP's.
    """
    form, count = lamp_form(task), budget.count
    first = f"{summary}\n" if summary else ""
    left = budget.prompt_tokens - count(first + head + text)
    if first and left < 0:
        first, left = "", budget.prompt_tokens - count(head + text)
    phrases: list[tuple[str, bool]] = []
    for k in range(len(items), 0, -1):
        phrases = _phrases(form, items[:k], left, count)
        if phrases and count(first + _whole(form, head + text, phrases)) <= budget.prompt_tokens:
            break
        phrases = []
    question_cut = False
    shown_text = text
    if left < 0:
        shown_text, question_cut = truncate_to_tokens(text, max(1, count(text) + left), count)
    content = first + _whole(form, head + shown_text, phrases)
    return Prompt(
        messages=_message(content),
        examples=len(phrases),
        dropped_examples=len(items) - len(phrases),
        clipped_texts=sum(cut for _, cut in phrases),
        question_cut=question_cut,
        fallbacks=() if budget.exact else _fallbacks(form, content, head, shown_text, phrases, count),
    )


def _phrases(form: LampForm, items: Sequence[HistoryItem], left: int, count: TokenCounter) -> list[tuple[str, bool]]:
    """The items' phrases and whether a text was cut; none if `left` tokens are too few for one of them."""
    share = (left - form.reserved(count) - JOINER_TOKENS * (len(items) - 1)) // len(items)
    phrases, spare = [], 0
    for item in items:
        room = share + spare
        text, cut = truncate_to_tokens(item.text, room - count(form.item.format(text="", answer=item.answer)), count)
        phrase = form.item.format(text=text, answer=item.answer)
        if not text or count(phrase) > room:
            return []
        phrases.append((phrase, cut))
        spare = room - count(phrase)
    return phrases


def _whole(form: LampForm, question: str, phrases: Sequence[tuple[str, bool]]) -> str:
    if not phrases:
        return question
    joined = JOINER.join(phrase for phrase, _ in phrases)
    before, title, rest = question.partition(TITLE)
    if form.inserted and title:
        return f"{before}{title}{JOINER}{joined}{rest}"
    return f"{joined}{form.after}{question}"


def _fallbacks(
    form: LampForm, content: str, head: str, text: str, phrases: Sequence[tuple[str, bool]], count: TokenCounter
) -> tuple[tuple[Message, ...], ...]:
    """Half of the items, then none, then half and an eighth of the question."""
    shorter = [_whole(form, head + text, phrases[:k]) for k in (len(phrases) // 2, 0)]
    shorter += [head + truncate_to_tokens(text, max(1, count(text) // part), count)[0] for part in (2, 8)]
    return tuple(_message(version) for version in dict.fromkeys(shorter) if version != content)


def _message(content: str) -> tuple[Message, ...]:
    return ({"role": "user", "content": content},)
