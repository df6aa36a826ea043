"""Whose history and heads a request is answered with: a trusted header, the model's name, `user`, or
`safety_identifier`."""

from starlette.requests import Request

from hydra_ray.serve.http.errors import ApiError
from hydra_ray.serve.http.ids import checked_id


def user_of(
    request: Request,
    trusted_header: str | None,
    user: str | None,
    *,
    model_user: str | None = None,
    safety_identifier: str | None = None,
    param: str = "user",
) -> str | None:
    """The user whom a request names.

    Args:
        request: may carry the header.
        trusted_header: that a proxy in front sets (`gateway.user_header`), None: none is trusted.
        user: of the body.
        model_user: behind the model's name.
        safety_identifier: counts where nothing else names a user, and can be one's id.
        param: what `user` is called in the body.

    Returns:
        None: no user.

    Raises:
        ApiError: 400, two of them name different users, or the header's value cannot be a user id.
    """
    named = {f"header {trusted_header}": _header(request, trusted_header), "the model's name": model_user, param: user}
    given = {where: found for where, found in named.items() if found is not None}
    if len(set(given.values())) > 1:
        (first, one), (second, other) = list(given.items())[:2] if len(given) == 2 else _different(given)
        raise ApiError(
            400, f"{second} says {other!r}, {first} says {one!r}: name one user", param=param, code="invalid_value"
        )
    if given:
        return next(iter(given.values()))
    try:
        return None if safety_identifier is None else checked_id(safety_identifier)
    except ValueError:
        return None


def _header(request: Request, name: str | None) -> str | None:
    value = request.headers.get(name, "").strip() if name else ""
    if not value:
        return None
    try:
        return checked_id(value.encode("latin-1").decode())
    except ValueError as error:  # no UTF-8, or no id
        raise ApiError(400, f"header {name}: {error}", param=name, code="invalid_value") from None


def _different(given: dict[str, str]) -> tuple[tuple[str, str], tuple[str, str]]:
    (first, one), *others = given.items()
    return (first, one), next((where, found) for where, found in others if found != one)
