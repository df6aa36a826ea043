"""Users' LoRA trained as a job's workers do it, each in a process of one thread: a side of `hydra-ray bench lora`."""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hydra_ray.config.lora import LoraConfig
from hydra_ray.models.lora.decoder import Decoder, load_decoder
from hydra_ray.models.lora.shape import LoraWeights
from hydra_ray.tiny_llm.export import embedded_path
from hydra_ray.training.user_lora.rows import UserRows
from hydra_ray.training.user_lora.train import train_users

START_S = 300
"""For all processes to have loaded the LLM."""

Arrays = dict[str, dict[str, NDArray[Any]]]
"""User -> name -> weights: between processes each tensor would be a shared file of its own."""


class LoraWorkers:
    """Processes that have the packaged LLM loaded, for as long as this is entered."""

    def __init__(self, count: int, config: LoraConfig, seed: int) -> None:
        """count: of processes."""
        self._count = count
        context = multiprocessing.get_context("spawn")
        given = (config, seed, context.Barrier(count))
        self._pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=given)

    def __enter__(self) -> "LoraWorkers":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def warm_up(self, rows: UserRows) -> None:
        """Starts the processes; each trains one user. Raises BrokenProcessPool if one cannot start, or dies."""
        list(self._pool.map(_warm_up, [rows] * self._count))

    def train(self, users: Sequence[UserRows]) -> dict[str, LoraWeights]:
        """User -> weights; every process trains its share of the users at once. Raises BrokenProcessPool."""
        shares = [list(users[first :: self._count]) for first in range(self._count)]
        return {
            user: {name: torch.from_numpy(value) for name, value in weights.items()}
            for share in self._pool.map(_train, shares)
            for user, weights in share.items()
        }


class _State:
    """Of one process."""

    base: Decoder
    config: LoraConfig
    seed: int
    all_begun: Barrier


def _begin(config: LoraConfig, seed: int, all_begun: Barrier) -> None:
    torch.set_num_threads(1)
    _State.base, _State.config, _State.seed, _State.all_begun = load_decoder(embedded_path()), config, seed, all_begun


def _warm_up(user: UserRows) -> None:
    _State.all_begun.wait(START_S)  # or one process would take the others' users, too
    _train([user])


def _train(users: Sequence[UserRows]) -> Arrays:
    found = train_users(_State.base, users, _State.config, _State.seed)
    return {one.user_id: {name: np.asarray(value) for name, value in one.weights.items()}
            for one in found if one.weights}  # fmt: skip
