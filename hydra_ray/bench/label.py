"""`hydra-ray bench label`: how much faster the labelling client is than one request at a time, on the same server.

Served: the tiny LLM through Ray Serve LLM, on this machine. Asked: one-shot labelling prompts of the synthetic world
(one item of a user as the example, another as the question), as the reranker's training data are made. No cache.
"""

import asyncio
import json
import os
import tempfile
import time
import urllib.request
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray

from hydra_ray import env
from hydra_ray.cluster import LOCAL, init_ray, shutdown_ray
from hydra_ray.config import LLMConfig
from hydra_ray.core.prompts import PromptBudget, answer_prompt
from hydra_ray.core.tasks import load_task
from hydra_ray.llm.client import LLMClient
from hydra_ray.llm.response_cache import ResponseCache
from hydra_ray.llm.types import Completion, Request
from hydra_ray.llm.vllm_app import served_llm
from hydra_ray.synth.world import make_user
from hydra_ray.utils.network import DIRECT

CONCURRENCY = 64
REPEATS = 3


def labelling_requests(task_name: str, count: int, *, first_user: int = 0) -> list[Request]:
    """`count` different one-shot prompts, ten per user: item text and answer, then a question. T = 0, n = 1."""
    task = load_task(f"synthetic_{task_name}")
    requests: list[Request] = []
    index = first_user
    while len(requests) < count:
        user = make_user(task_name, 0, index, (10, 10), 1).to_user()
        question = user.questions[0].text
        for item in user.items:
            prompt = answer_prompt(task, question, [item], PromptBudget())
            requests.append(Request(prompt.messages, temperature=0.0, n=1, max_tokens=task.max_answer_tokens))
        index += 1
    return requests[:count]


def run(args: Namespace) -> dict[str, Any]:
    """Measures and returns the figures; calls/s are medians of REPEATS interleaved runs.

    args: `requests` (concurrent calls per run, default 640), `sequential` (calls one at a time per run, default 60),
    `tasks` (default tagging and headline), `source` (weights, default `bundled`), `port` (default: a free one).
    Raises UserError as `served_llm` does.
    """
    calls, alone = int(getattr(args, "requests", 640)), int(getattr(args, "sequential", 60))
    tasks: Sequence[str] = getattr(args, "tasks", None) or ("tagging", "headline")
    base = LLMConfig(concurrency=CONCURRENCY)
    serve = base.serve.model_copy(
        update={"source": getattr(args, "source", "bundled"), "port": getattr(args, "port", None)}
    )
    cfg = base.model_copy(update={"serve": serve})
    env.set_defaults()
    started_ray = not ray.is_initialized()
    if started_ray:
        init_ray(LOCAL, include_dashboard=False, logging_level="warning")
    began = time.monotonic()
    try:
        with served_llm(cfg) as url, tempfile.TemporaryDirectory() as folder:
            startup_s = time.monotonic() - began
            figures = {task: _measure(cfg, url, Path(folder), task, calls, alone) for task in tasks}
    finally:
        if started_ray:
            shutdown_ray()
    whole = _combine(list(figures.values()))
    return {**whole, "tasks": figures, "startup_s": round(startup_s, 1), "cpus": os.cpu_count()}


def _measure(cfg: LLMConfig, url: str, folder: Path, task: str, calls: int, alone: int) -> dict[str, float]:
    """Calls/s of one task, each way; the ways take turns so that a change of the machine's load meets all alike."""
    fast, slow, fresh, tokens = [], [], [], 0
    for repeat in range(REPEATS + 1):
        first = 10_000 * repeat
        many = labelling_requests(task, calls, first_user=first)
        few = labelling_requests(task, alone, first_user=first + 5_000)
        if repeat == 0:  # warms up tokenizer, kernels and connections
            asyncio.run(_client_run(cfg, url, folder, many[: 2 * CONCURRENCY], CONCURRENCY))
            continue
        seconds, answers = asyncio.run(_client_run(cfg, url, folder, many, CONCURRENCY))
        fast.append(len(many) / seconds)
        tokens = sum(answer.completion_tokens for answer in answers)
        seconds, _ = asyncio.run(_client_run(cfg, url, folder, few, 1))
        slow.append(len(few) / seconds)
        fresh.append(len(few) / _fresh_connections(cfg, url, few))
    concurrent, sequential = _median(fast), _median(slow)
    return {
        "ratio": round(concurrent / sequential, 2),
        "concurrent_calls_per_s": round(concurrent, 1),
        "sequential_calls_per_s": round(sequential, 1),
        "connection_per_call_calls_per_s": round(_median(fresh), 1),
        "completion_tokens_per_call": round(tokens / calls, 1),
    }


async def _client_run(
    cfg: LLMConfig, url: str, folder: Path, requests: Sequence[Request], concurrency: int
) -> tuple[float, list[Completion]]:
    """Seconds and answers of the real client, ledger and all, without its cache."""
    ledger = ResponseCache(folder / "responses.sqlite", "bench")
    async with LLMClient(
        cfg, ledger, base_url=url, identity="bench", concurrency=concurrency, use_cache=False
    ) as client:
        began = time.perf_counter()
        answers = await client.complete(requests)
        seconds = time.perf_counter() - began
    ledger.close()
    wrong = [answer.error for answer in answers if answer.error is not None]
    if wrong:
        raise RuntimeError(f"{len(wrong)} of {len(answers)} requests failed: {wrong[0]}")
    return seconds, answers


def _fresh_connections(cfg: LLMConfig, url: str, requests: Sequence[Request]) -> float:
    """Seconds of a plain loop that opens a connection per call."""
    headers = {"Content-Type": "application/json"}
    began = time.perf_counter()
    for request in requests:
        body = {"model": cfg.model, "messages": list(request.messages), "max_tokens": request.max_tokens}
        data = json.dumps({**body, "temperature": request.temperature}).encode()
        with DIRECT.open(urllib.request.Request(f"{url}/chat/completions", data, headers)) as reply:
            json.loads(reply.read())
    return time.perf_counter() - began


def _combine(figures: Sequence[dict[str, float]]) -> dict[str, float]:
    """One call of every task in turn: rates combine as harmonic means."""
    names = ("concurrent_calls_per_s", "sequential_calls_per_s", "connection_per_call_calls_per_s")
    rates = {name: len(figures) / sum(1 / figure[name] for figure in figures) for name in names}
    ratio = rates["concurrent_calls_per_s"] / rates["sequential_calls_per_s"]
    return {"ratio": round(ratio, 2), **{name: round(rate, 1) for name, rate in rates.items()}}


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
