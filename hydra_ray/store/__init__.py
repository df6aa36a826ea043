"""The head store: every user's head of a run in one versioned Lance dataset, local or on an object store.

`heads.head_store` is the public face, `heads.spec` says what a store holds, and `docs/design/head-store.md` why it is
Lance. Knows `core` only.
"""

import warnings

from hydra_ray import env

# Ray and `subprocess` start programs of their own after a fork; no forked child here goes on with Lance.
warnings.filterwarnings("ignore", message="lance is not fork-safe")
env.set_store_defaults()  # before any module here imports lance
