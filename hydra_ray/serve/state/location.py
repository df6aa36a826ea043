"""Where a service's state is."""

from pathlib import Path

from hydra_ray.pipeline.run_archive import SERVING
from hydra_ray.serve.bundle import find_run
from hydra_ray.serve.config import ServeConfig
from hydra_ray.serve.state.service_state import ServiceState


def state_of(config: ServeConfig) -> ServiceState:
    """As the configuration says. Raises UserError if it is to be in the run's folder and there is no such run."""
    own = Path(config.state).expanduser().resolve() if config.state else None
    return ServiceState(own or find_run(Path(config.root), config.run) / SERVING, config.database)
