"""`hydra-ray bench lora`: LoRA of many users at once, against one user after the other with peft.

The packaged LLM, users of the synthetic world with ITEMS history items each; a row is an item asked as a question, with
the user's own answer. All sides have the same rows, batches, initial weights, optimizer, schedule and clip, and no
dropout, so that they compute the same; that is checked. Tokenising is timed on no side, peft wraps the base once.
`cpu_ratio` is the ratio of the process's CPU time: where it differs from `ratio`, something else kept the machine busy.
`workers_ratio` is that of processes of one thread, as many as the other sides have threads: so does a job train users.
"""

import time
from argparse import Namespace
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from hydra_ray.bench.lora_peft import PeftTrainer
from hydra_ray.bench.lora_workers import LoraWorkers
from hydra_ray.bench.timing import machine
from hydra_ray.config.lora import LoraConfig
from hydra_ray.core.prompts import answer_prompt
from hydra_ray.core.tasks import load_task
from hydra_ray.models.lora.decoder import Decoder, load_decoder
from hydra_ray.models.lora.shape import LoraWeights
from hydra_ray.synth.world import make_user
from hydra_ray.tiny_llm.corpus import record
from hydra_ray.tiny_llm.export import embedded_path
from hydra_ray.tiny_llm.sequence import BUDGET
from hydra_ray.training.user_lora.rows import LoraRow, RowTokenizer, UserRows, tokenise_rows
from hydra_ray.training.user_lora.train import train_users

USERS, ITEMS = 64, 16
REPEATS = 3
TOLERANCE = 1e-4
"""The largest difference allowed between two sides' weights."""
TASK = "tagging"
CONFIG = LoraConfig(dropout=0.0)
"""The defaults, two epochs of one batch of 16 rows, without dropout."""

Result = dict[str, LoraWeights]
"""User -> trained weights."""


def run(args: Namespace) -> dict[str, Any]:
    """Measures and returns the figures; `ratio` is that of users per second, ours over peft's.

    args: `users` (default USERS), `items` (of a user, default ITEMS), `repeats` (default REPEATS), `threads` (default:
    PyTorch's). difference: the largest between peft's and the other sides' weights. Raises UserError where peft is not
    installed, and RuntimeError if the sides disagree.
    """
    if threads := getattr(args, "threads", None):
        torch.set_num_threads(int(threads))
    users, items = int(getattr(args, "users", USERS)), int(getattr(args, "items", ITEMS))
    base = load_decoder(embedded_path())
    rows = rows_of_users(base, users, items)
    with PeftTrainer(base, CONFIG, 0):
        pass  # says so before anything is measured where peft is missing
    with LoraWorkers(torch.get_num_threads(), CONFIG, 0) as workers:
        sides: dict[str, Callable[[], Result]] = {
            "ours": lambda: ours(base, rows),
            "workers": lambda: workers.train(rows),
            "peft": lambda: one_by_one(base, rows),
        }
        wall: dict[str, list[float]] = {name: [] for name in sides}
        cpu: dict[str, list[float]] = {name: [] for name in sides}
        workers.warm_up(rows[0])
        found = {"ours": ours(base, rows[:2]), "peft": one_by_one(base, rows[:2])}  # warms up, too
        for _ in range(int(getattr(args, "repeats", REPEATS))):
            for name, side in sides.items():
                began, worked = time.perf_counter(), time.process_time()
                found[name] = side()
                wall[name].append(time.perf_counter() - began)
                cpu[name].append(time.process_time() - worked)
    del cpu["workers"]  # which is not this process's
    difference = max(apart(found[name], found["peft"]) for name in ("ours", "workers"))
    seconds, work = ({name: median(values) for name, values in side.items()} for side in (wall, cpu))
    return {
        "ratio": round(seconds["peft"] / seconds["ours"], 2),
        "workers_ratio": round(seconds["peft"] / seconds["workers"], 2),
        "cpu_ratio": round(work["peft"] / work["ours"], 2),
        "users_per_s": {name: round(users / value, 2) for name, value in seconds.items()},
        "seconds": {name: [round(value, 3) for value in values] for name, values in wall.items()},
        "cpu_seconds": {name: [round(value, 3) for value in values] for name, values in cpu.items()},
        "difference": difference,
        "users": users,
        "rows_per_user": items,
        "tokens_per_row": round(sum(len(row.ids) for user in rows for row in user.rows) / (users * items), 1),
        "steps_per_user": CONFIG.epochs * -(-items // CONFIG.batch_rows),
        "numbers_per_user": sum(value.numel() for value in next(iter(found["ours"].values())).values()),
        **machine(),
    }


def rows_of_users(base: Decoder, users: int, items: int) -> list[UserRows]:
    """Users' rows, tokenised."""
    definition, tokenize = load_task(f"synthetic_{TASK}"), RowTokenizer(base.tokenizer, CONFIG.max_tokens)
    found = []
    for index in range(users):
        user = make_user(TASK, 0, index, (items, items), 0, "bench")
        rows = []
        for item in map(record, user.items):
            prompt = answer_prompt(definition, item.text, [], BUDGET).messages[0]["content"]
            rows.append(LoraRow(user.user_id, prompt, item.answer))
        found += tokenise_rows(rows, [user.user_id], tokenize)
    return found


def ours(base: Decoder, rows: list[UserRows]) -> Result:
    """All users at once."""
    return {found.user_id: found.weights for found in train_users(base, rows, CONFIG, 0) if found.weights}


def one_by_one(base: Decoder, rows: list[UserRows]) -> Result:
    """The same with peft."""
    with PeftTrainer(base, CONFIG, 0) as peft:
        return {user.user_id: peft.train(user)[0] for user in rows}


def apart(one: Result, other: Result) -> float:
    """The largest difference between two sides' weights. Raises RuntimeError above TOLERANCE, or for other users."""
    if one.keys() != other.keys():
        raise RuntimeError(f"the sides must train the same users: {len(one)} and {len(other)}")
    worst = max(float((one[user][name] - other[user][name]).abs().max()) for user in one for name in one[user])
    if not worst < TOLERANCE:
        raise RuntimeError(f"the sides must compute the same weights, but they differ by {worst:g}")
    return worst
