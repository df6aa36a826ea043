"""Users who can be fitted, and users who cannot."""

import numpy as np

from hydra_ray.training.user_fit.padded_users import PaddedUsers, pad_users


def draw(count: int, queries: int = 12, noise: bool = False) -> PaddedUsers:
    """Users with opposite tastes, or (noise) with labels that nothing predicts; numbers of rows differ."""
    rng = np.random.default_rng(5)
    z, y, q = [], [], []
    for u in range(count):
        query = np.repeat(np.arange(queries), 4 + u % 2)
        z.append(rng.normal(size=(len(query), 6)).astype(np.float32))
        taste = z[-1][:, 0] * (1 if u % 2 else -1) > 0
        y.append((rng.random(len(query)) < 0.5 if noise else taste).astype(np.float32))
        q.append(query)
    return pad_users(z, y, q)
