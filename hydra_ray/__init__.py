"""hydra_ray: personalise an LLM that can only be reached as text in, text out, for very many users, on Ray.

The names below are the public Python API. Each is imported when it is first used: importing this package takes
milliseconds and loads neither Ray nor torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hydra_ray.version import __version__

if TYPE_CHECKING:
    from hydra_ray.api.launch import build_app, run
    from hydra_ray.api.pipeline import HydraPipeline, UserHead
    from hydra_ray.api.results import Run, load_run
    from hydra_ray.errors import UserError
    from hydra_ray.inference.trace import PersonalizedAnswer

__all__ = [
    "HydraPipeline",
    "PersonalizedAnswer",
    "Run",
    "UserError",
    "UserHead",
    "__version__",
    "build_app",
    "load_run",
    "run",
]

_HOME = {
    "HydraPipeline": "hydra_ray.api.pipeline",
    "PersonalizedAnswer": "hydra_ray.inference.trace",
    "Run": "hydra_ray.api.results",
    "UserError": "hydra_ray.errors",
    "UserHead": "hydra_ray.api.pipeline",
    "build_app": "hydra_ray.api.launch",
    "load_run": "hydra_ray.api.results",
    "run": "hydra_ray.api.launch",
}
"""Public name -> the module that defines it."""


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
