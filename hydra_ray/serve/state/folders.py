"""The state folder, which holds what a service changes: where it is, and what is in it.

STATE/users/            every user the run knows, with all their items (`hydra_ray.serve.state.sqlite.user_store`)
STATE/reranker.heads/   all users' heads, under their stored ids; none for kinds without user parameters
STATE/adapter.heads/
STATE/serving.json      of which run, base and tenant; written last: whatever is in the state is the users' own then
STATE/preparing.json    the same, while it is made (`hydra_ray.serve.state.init_state`)
STATE/vacuum.due        while old versions of the head stores are to be removed (`hydra_ray.serve.fitter.fit_queue`)
STATE/forgotten         touched after every deletion, of users and of items: caches drop what they hold of them
"""

from pathlib import Path

from hydra_ray.inference.types import Component

USERS, PREPARED, PREPARING = "users", "serving.json", "preparing.json"
VACUUM_DUE = "vacuum.due"

FORGET_WITHIN_S = 1.0
"""How often caches look whether a user was deleted."""


def heads_folder(state: Path, component: Component) -> Path:
    """Where a component's heads are; not there for kinds without user parameters."""
    return state / f"{component}.heads"
