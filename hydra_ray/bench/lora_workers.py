"""Users' LoRA trained as a job's workers do it, each in a process of one thread: a side of `hydra-ray bench lora`."""

import multiprocessing
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier

import torch

from hydra_ray.config.lora import LoraConfig
from hydra_ray.models.lora.decoder import Decoder, load_decoder
from hydra_ray.models.lora.shape import LoraWeights
from hydra_ray.tiny_llm.export import embedded_path
from hydra_ray.training.user_lora.rows import UserRows
from hydra_ray.training.user_lora.train import train_users


class LoraWorkers:
    """Processes that have the packaged LLM loaded, for as long as this is entered."""

    def __init__(self, count: int, config: LoraConfig, seed: int) -> None:
        """count: of processes."""
        self._count = count
        context = multiprocessing.get_context("spawn")
        self._pool = context.Pool(count, _begin, (config, seed, context.Barrier(count)))

    def __enter__(self) -> "LoraWorkers":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.terminate()
        self._pool.join()

    def warm_up(self, rows: UserRows) -> None:
        """Every process trains one user."""
        self._pool.map(_warm_up, [rows] * self._count, chunksize=1)

    def train(self, users: Sequence[UserRows]) -> dict[str, LoraWeights]:
        """User -> weights; every process trains its share of the users at once."""
        shares = [list(users[first :: self._count]) for first in range(self._count)]
        return {
            user: weights for share in self._pool.map(_train, shares, chunksize=1) for user, weights in share.items()
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
    _State.all_begun.wait()  # or one process would take the others' users, too
    _train([user])


def _train(users: Sequence[UserRows]) -> dict[str, LoraWeights]:
    found = train_users(_State.base, users, _State.config, _State.seed)
    return {one.user_id: one.weights for one in found if one.weights}
