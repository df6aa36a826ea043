"""From the label step's answers to a trained mixture of facets, in the run's own process."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from hydra_ray.config import FacetsConfig, ModelConfig
from hydra_ray.core.retrieval import TextEncode
from hydra_ray.core.rewards import RewardedList
from hydra_ray.core.tasks import Task
from hydra_ray.core.types import User
from hydra_ray.models.facets import FacetModel, FacetShape
from hydra_ray.training.artifacts.trained_facets import save_facets
from hydra_ray.training.facets.fit import FacetQuery, fit_facets
from hydra_ray.training.retriever.lists import split_lists
from hydra_ray.training.user_fit.profiles import PROFILE_ITEMS, item_text

NAME = "mof"


def train_facets(
    task: Task,
    users: Sequence[User],
    lists: Sequence[RewardedList],
    config: FacetsConfig,
    encoder: ModelConfig,
    encode: TextEncode,
    seed: int,
    folder: Path,
    log: Callable[[str], None],
) -> None:
    """Trains a mixture of facets and writes it.

    Args:
        task: What the users answered.
        users: The training users.
        lists: Their queries with what each retrieved item is worth.
        config: How.
        encoder: The frozen encoder.
        encode: The same, at work.
        seed: Of all draws.
        folder: Takes what is learned.
        log: Shows a line.

    Raises:
        NothingToLearnError: The answers teach nothing.
    """
    split = split_lists(NAME, lists, config.holdout, seed, False)
    histories = {user.user_id: history_texts(user) for user in users}
    places: dict[str, int] = {}
    learned, held_out = (
        [_placed(one, histories[one.user_id], places) for one in part] for part in (split.training, split.held_out)
    )
    embedded_TD = torch.from_numpy(encode(list(places)))
    torch.manual_seed(seed)
    sparse = config.sparse_factor * config.hidden
    model = FacetModel(FacetShape(embedded_TD.shape[-1], config.hidden, config.facets, config.top, sparse))
    found = fit_facets(model, embedded_TD, learned, held_out, config, seed)
    save_facets(folder, encoder, model, {"seed": seed, "queries": [len(learned), len(held_out)], **asdict(found)})
    log(f"{NAME}: {len(learned)} queries learned from, epoch {found.epoch} of {config.epochs} kept; NDCG of held-out "
        f"users {found.ndcg[found.epoch]:.3f}, in the order of retrieval {found.ndcg[0]:.3f}")  # fmt: skip


def history_texts(user: User) -> list[tuple[str, str]]:
    """The id of an item and what the router reads of it, of the items that every question of the user sees, newest
    last."""
    return [(item.item_id, item_text(item)) for item in user.safe_history()]


def _placed(one: RewardedList, history: Sequence[tuple[str, str]], places: dict[str, int]) -> FacetQuery:
    """A list by its texts' places, which new texts get at the end of `places`."""

    def place(text: str) -> int:
        return places.setdefault(text, len(places))

    # A history item that is asked as a question must not show the router its answer.
    read = [text for item, text in history if item != one.asked][-PROFILE_ITEMS:]
    return FacetQuery(place(one.query), tuple(map(place, one.items)), one.rewards, tuple(map(place, read)))
