"""What a method needs besides the LLM's answers: the groups of a comparison."""

from typing import Literal, get_args

from hydra_ray.methods.method import Group

Need = Literal["nothing", "training", "weights of the LLM"]
NEEDS: tuple[Need, ...] = get_args(Need)
_OF_GROUP: dict[Group, Need] = {
    "trains nothing": "nothing",
    "others that train": "training",
    "trains the LLM": "weights of the LLM",
    "ours": "training",
}


def need_of(group: Group) -> Need:
    """What the methods of a group of the result table need."""
    return _OF_GROUP[group]
