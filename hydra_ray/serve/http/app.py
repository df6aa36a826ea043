"""The application: layers and routes put together."""

from collections.abc import Callable

from fastapi import APIRouter, Depends, FastAPI
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline

from hydra_ray.serve.http import errors
from hydra_ray.serve.http.errors import CHAT_PATH
from hydra_ray.serve.http.key_file import KeyRing
from hydra_ray.serve.http.key_limits import KeyLimits
from hydra_ray.serve.http.keys import KeySource
from hydra_ray.serve.http.middleware.admission import AdmissionMiddleware
from hydra_ray.serve.http.middleware.api_key import ApiKeyMiddleware
from hydra_ray.serve.http.middleware.foreign_pages import ForeignPageMiddleware
from hydra_ray.serve.http.middleware.raw_path import RawPathMiddleware
from hydra_ray.serve.http.middleware.request_log import HttpMeters, RequestLogMiddleware
from hydra_ray.serve.http.middleware.request_size import BodySizeMiddleware, HeaderSizeMiddleware
from hydra_ray.serve.http.middleware.trace import TraceMiddleware
from hydra_ray.serve.http.route_context import HttpSettings, RouteContext
from hydra_ray.serve.http.routes import chat, health, histories, personalize, unsupported, usage, users
from hydra_ray.serve.http.routes.personalize import PERSONALIZE_PATH
from hydra_ray.serve.http.stored_keys import StoredKeyRing
from hydra_ray.serve.service_api import Service
from hydra_ray.version import __version__

__all__ = ["HttpMeters", "HttpSettings", "make_app"]


def make_app(
    get_service: Callable[[], Service],
    settings: HttpSettings,
    page: APIRouter | None = None,
    meters: HttpMeters | None = None,
) -> FastAPI:
    """The HTTP front on the service that `get_service` gives, called for every request. page: the routes of `/`.

    Nothing is held by modules: a process may make several, each with its own limits.
    """
    app = FastAPIOffline(  # `/docs` from this service alone
        title="hydra_ray",
        version=__version__,
        description="Personalised answers. The chat endpoint takes OpenAI's clients as they are.",
        redirect_slashes=False,  # a redirect would quote the Host header
        redoc_url=None,
    )
    front = RouteContext(get_service, settings)
    if meters is not None:
        meters.watch_queue(lambda: front.slots.taken)
    # Only the OpenAPI document reads this; `ApiKeyMiddleware` guards every route.
    documented_key = [] if settings.keys.open_tenant else [Depends(HTTPBearer(auto_error=False))]
    for routes in (chat, personalize, users, histories):
        app.include_router(routes.router(front), dependencies=documented_key)
    limits = KeyLimits(settings.usage)
    app.include_router(usage.router(limits), dependencies=documented_key)
    app.include_router(health.router(front))
    if page is not None:
        app.include_router(page)
    app.include_router(unsupported.router())
    errors.install(app)
    app.add_middleware(BodySizeMiddleware, limit=settings.body_bytes)
    app.add_middleware(AdmissionMiddleware, slots=front.slots, paths=(CHAT_PATH, PERSONALIZE_PATH))
    app.add_middleware(ApiKeyMiddleware, ring=_ring(settings), limits=limits)
    if settings.keys.open_tenant:
        app.add_middleware(ForeignPageMiddleware, hosts=settings.allowed_hosts)
    app.add_middleware(RawPathMiddleware)
    app.add_middleware(HeaderSizeMiddleware)
    app.add_middleware(RequestLogMiddleware, echo_id=settings.echo_id, meters=meters)
    if settings.traces:
        app.add_middleware(TraceMiddleware)  # added last: outermost
    return app


def _ring(settings: HttpSettings) -> KeySource:
    if settings.read_keys is None:
        return KeyRing(settings.keys, settings.key_file)
    ring = StoredKeyRing(settings.read_keys)
    ring.start()
    return ring
