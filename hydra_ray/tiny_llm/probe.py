"""What a model does with examples: right answers on people it has never seen, by what the examples are."""

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

import torch
from rouge_score.rouge_scorer import RougeScorer

from hydra_ray.core.prompts import answer_prompt
from hydra_ray.core.tasks import Task, load_task
from hydra_ray.synth.draws import Draws
from hydra_ray.synth.world import SynthItem, make_user
from hydra_ray.tiny_llm.corpus import record
from hydra_ray.tiny_llm.sequence import BUDGET

NAMESPACE = "tiny-probe"
_HISTORY = 40


@dataclass(frozen=True, slots=True)
class Condition:
    """Which examples the prompt holds: `matching` ones with the question's decisive value, `others` without it."""

    name: str
    matching: tuple[int, int]
    total: int


CONDITIONS = (
    Condition("none", (0, 0), 0),
    Condition("one_other", (0, 0), 1),
    Condition("one_matching", (1, 1), 1),
    Condition("four_with_none", (0, 0), 4),
    Condition("four_with_one", (1, 1), 4),
    Condition("four_with_two_or_three", (2, 3), 4),
    Condition("four_matching", (4, 4), 4),
)


@dataclass(frozen=True, slots=True)
class ProbePrompt:
    """A prompt (the chat message's content) and the answer without noise."""

    prompt: str
    clean: str


def probes(task: str, condition: Condition, count: int, seed: int = 0) -> list[ProbePrompt]:
    """`count` prompts of as many people of the namespace "tiny-probe"; their examples are as noisy as any."""
    definition = load_task(f"synthetic_{task}")
    made = []
    for index in range(count):
        user = make_user(task, seed, index, (_HISTORY, _HISTORY), 1, NAMESPACE)
        draws = Draws("probe", task, condition.name, seed, index)
        query = user.questions[0]
        fitting = [item for item in user.items if item.key == query.key]
        other = [item for item in user.items if item.key != query.key]
        wanted = min(draws.between(*condition.matching), len(fitting))
        chosen: list[SynthItem] = draws.sample(fitting, wanted) + draws.sample(other, condition.total - wanted)
        shown = [record(item) for item in draws.sample(chosen, len(chosen))]
        prompt = answer_prompt(definition, query.text, shown, BUDGET)
        made.append(ProbePrompt(prompt.messages[0]["content"], query.clean))
    return made


@torch.no_grad()
def generate(
    llama: Any, tokenizer: Any, prompts: Seq[str], task: Task, temperature: float = 0.0, seed: int = 0, rows: int = 64
) -> list[str]:
    """The model's answers, greedy or sampled, prompts in the chat template."""
    torch.manual_seed(seed)
    texts = [
        tokenizer.apply_chat_template([{"role": "user", "content": p}], tokenize=False, add_generation_prompt=True)
        for p in prompts
    ]
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    answers = [""] * len(texts)
    for start in range(0, len(order), rows):
        chosen = order[start : start + rows]
        inputs = tokenizer(
            [texts[i] for i in chosen],
            add_special_tokens=False,
            padding=True,
            padding_side="left",
            return_tensors="pt",
            return_token_type_ids=False,
        )
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
        out = llama.generate(
            **inputs, max_new_tokens=task.max_answer_tokens, pad_token_id=tokenizer.pad_token_id, **sampling
        )
        for i, row in zip(chosen, out[:, inputs["input_ids"].shape[1] :], strict=True):
            answers[i] = tokenizer.decode(row, skip_special_tokens=True).strip()
    return answers


def score(task: Task, answers: Seq[str], golds: Seq[str]) -> dict[str, float]:
    """Share of exactly right answers; for ratings the mean absolute error too (no number: 4), for texts ROUGE-1."""
    figures = {"right": sum(a == g for a, g in zip(answers, golds, strict=True)) / max(1, len(golds))}
    if task.kind == "rating":
        errors = [abs(int(g) - int(a)) if a in task.labels else 4 for a, g in zip(answers, golds, strict=True)]
        figures["mae"] = sum(errors) / max(1, len(errors))
    if not task.closed:
        scorer = RougeScorer(["rouge1"], use_stemmer=False)
        rouge = [scorer.score(g, a)["rouge1"].fmeasure for a, g in zip(answers, golds, strict=True)]
        figures["rouge1"] = sum(rouge) / max(1, len(rouge))
    return {name: round(value, 4) for name, value in figures.items()}


def behaviour(
    llama: Any, tokenizer: Any, tasks: Seq[str], count: int, conditions: Seq[Condition] = CONDITIONS
) -> dict[str, dict[str, dict[str, float]]]:
    """task -> condition -> figures, greedy, `count` prompts each."""
    was_training = llama.training
    llama.eval()
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for task in tasks:
        definition = load_task(f"synthetic_{task}")
        figures[task] = {}
        for condition in conditions:
            cases = probes(task, condition, count)
            answers = generate(llama, tokenizer, [p.prompt for p in cases], definition)
            figures[task][condition.name] = score(definition, answers, [p.clean for p in cases])
    llama.train(was_training)
    return figures


def variety(llama: Any, tokenizer: Any, task: str, count: int = 32, samples: int = 8) -> float:
    """Mean number of different answers among `samples` at temperature 1, after four examples of which one matches."""
    definition = load_task(f"synthetic_{task}")
    condition = next(c for c in CONDITIONS if c.name == "four_with_one")
    prompts = [p.prompt for p in probes(task, condition, count)]
    drawn = [generate(llama, tokenizer, prompts, definition, temperature=1.0, seed=s) for s in range(samples)]
    return sum(len(set(answers)) for answers in zip(*drawn, strict=True)) / max(1, count)
