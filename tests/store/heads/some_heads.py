"""Head stores with something in them."""

import numpy as np

from hydra_ray.store.heads.rows import Arrays


def same(got: Arrays, want: Arrays) -> bool:
    return all(np.array_equal(got[name], want[name]) for name in want)
