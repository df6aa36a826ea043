"""A made-up but realistic run: each method is right with a fixed chance, users differ in how well they are known."""

import random
from typing import Any

from hydra_ray.core.tasks import Task, load_task
from hydra_ray.report import AnswerRow, Costs, build_report

QUALITY = {
    "user_majority": 0.30,
    "zero_shot": 0.24,
    "random_k1": 0.30,
    "random_k2": 0.33,
    "random_k4": 0.38,
    "bm25_k1": 0.42,
    "bm25_k2": 0.47,
    "bm25_k4": 0.52,
    "pag_k0": 0.28,
    "pag_k1": 0.44,
    "self_consistency": 0.55,
    "hydra_reranker": 0.58,
    "hydra_adapter": 0.60,
    "hydra_shared": 0.59,
    "hydra_paper": 0.57,
    "hydra_unguarded": 0.66,
    "hydra": 0.67,
}
NOUNS = "river market council storm festival bridge budget winter school harbour".split()  # noqa: SIM905
COSTS = Costs(
    llm={"calls": 21840, "cached": 1260, "prompt_tokens": 4_812_331, "completion_tokens": 131_040, "cost": 5.01},
    llm_by_stage={
        "reranker answers": {"calls": 11000, "cached": 0, "prompt_tokens": 1_650_000, "completion_tokens": 22_000},
        "adapter samples": {"calls": 8800, "cached": 840, "prompt_tokens": 2_640_000, "completion_tokens": 88_000},
        "test answers": {"calls": 2040, "cached": 420, "prompt_tokens": 522_331, "completion_tokens": 21_040},
    },
    seconds={
        "data": 2.1,
        "reranker answers": 184.0,
        "reranker training": 42.5,
        "adapter samples": 301.0,
        "adapter training": 55.2,
        "head fit": 3.4,
        "test answers": 77.7,
    },
    heads={"reranker": {"users": 50, "with_rows": 49, "kept_shared_head": 7, "guarded": 5, "reused": 0}},
    rejects={"missing_answer": 41, "malformed_date": 3, "question_without_gold": 1},
    truncated={"clipped_texts": 212, "dropped_examples": 17, "question_cut": 0},
)
CONFIG: dict[str, Any] = {
    "name": "made-up",
    "data": {"source": "synthetic", "task": "synthetic_tagging"},
    "seeds": [0, 1],
}


def _answer(task: Task, gold: str, right: bool, draw: random.Random) -> str | None:
    if draw.random() < 0.02:
        return draw.choice([None, "", "I cannot say"])
    if task.kind == "generation":
        return gold if right else " ".join([*gold.split()[:2], *draw.choices(NOUNS, k=3)])
    if task.kind == "rating":
        near = [label for label in task.labels if abs(float(label) - float(gold)) <= (0 if right else 2)]
        return draw.choice(near)
    return f"{task.answer_label}: {gold}" if right else draw.choice(task.labels)


def made_up_rows(task: Task, users: int = 50, each: int = 3, seeds: int = 3, seed: int = 0) -> list[AnswerRow]:
    """Rows of `seeds` x `users` x `each` questions."""
    draw = random.Random(seed)
    rows = []
    for sampling in range(seeds):
        for user in range(users):
            length, ease = draw.choice([0, *range(12, 41)]), draw.gauss(0, 0.12)
            for question in range(each):
                gold = draw.choice(task.labels) if task.labels else " ".join(draw.choices(NOUNS, k=6))
                answers = {}
                luck = draw.random()
                for name, quality in QUALITY.items():
                    chance = quality + ease + (0.004 * (length - 20) if name != "zero_shot" else 0)
                    hit = (0.6 * luck + 0.4 * draw.random()) < chance
                    answers[name] = _answer(task, gold, hit, draw)
                user_id = f"user-{sampling}-{user:02d}"
                oracles = dict.fromkeys(("oracle_example", "oracle_samples"), gold if luck < 0.9 else answers["hydra"])
                rows.append(AnswerRow(sampling, user_id, f"{user_id}/{question}", gold, length, answers, oracles))
    return rows


TAGGING = load_task("synthetic_tagging")


HOSTILE = "<script>alert('x')</script>&\"|`"


def report_of(rows: list[AnswerRow] | None = None, **options: Any) -> dict[str, Any]:
    options = {"train_users": 100, "config": CONFIG, "costs": COSTS, "resamples": 300, **options}
    return build_report(TAGGING, rows if rows is not None else made_up_rows(TAGGING, users=12), **options)


def report_on(task: Task = TAGGING, rows: list[AnswerRow] | None = None, **options: Any) -> dict[str, Any]:
    options = {"train_users": 100, "config": CONFIG, "costs": COSTS, "resamples": 500, **options}
    return build_report(task, rows if rows is not None else made_up_rows(task), **options)
