"""Nothing under `/v1/` without an API key: checked before a body is read, for every route there is or will be."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from hydra_ray.serve.http.errors import ProblemError
from hydra_ray.serve.http.keys import Keys
from hydra_ray.serve.http.paths import is_api


class Access:
    """ASGI middleware: puts the key's tenant into `request.state.tenant`, or answers 401."""

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self._app, self._keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and is_api(scope):
            tenant = self._keys.tenant_of(Headers(scope=scope).get("authorization"))
            if tenant is None:
                await _refusal().response()(scope, receive, send)
                return
            scope["state"]["tenant"] = tenant
        await self._app(scope, receive, send)


def _refusal() -> ProblemError:
    return ProblemError(
        401,
        "no valid API key: send one as `Authorization: Bearer KEY`",
        code="invalid_api_key",
        headers={"WWW-Authenticate": "Bearer"},
    )
