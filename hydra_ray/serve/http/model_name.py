"""Names of models: `NAME` (personalised), `NAME:plain` (the LLM as it is), and either with `@USER` behind it."""

from dataclasses import dataclass

from hydra_ray.serve.http.errors import ApiError
from hydra_ray.serve.http.ids import checked_id

SUFFIX = ":plain"
AT = "@"


@dataclass(frozen=True, slots=True)
class ModelName:
    """user: named with the model, by clients that cannot send one otherwise."""

    plain: bool
    user: str | None = None


def is_plain(model: str) -> bool:
    """Whether a name is the plain model's."""
    return model.partition(AT)[0].endswith(SUFFIX)


def parse_model(model: str, run: str) -> ModelName:
    """What a model's name asks for. Raises ApiError: 404 if it is none of the run's, 400 if the user is none."""
    for name, plain in ((run, False), (f"{run}{SUFFIX}", True)):
        if model == name:
            return ModelName(plain)
        if model.startswith(f"{name}{AT}"):
            try:
                return ModelName(plain, checked_id(model.removeprefix(f"{name}{AT}")))
            except ValueError as error:
                raise ApiError(400, f"model: the user after @ {error}", param="model", code="invalid_value") from None
    raise ApiError(
        404,
        f"no model {model!r} here; use {run!r}, {f'{run}@USER'!r}, or {run + SUFFIX!r} for the LLM as it is",
        param="model",
        code="model_not_found",
    )
