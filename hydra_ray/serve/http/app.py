"""The application: layers and routes put together."""

from collections.abc import Callable

from fastapi import APIRouter, Depends, FastAPI
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline

import hydra_ray
from hydra_ray.serve.http import chat, elsewhere, errors, health, histories, personalize, usage, users
from hydra_ray.serve.http.access import Access
from hydra_ray.serve.http.bodies import BodyLimit
from hydra_ray.serve.http.errors import CHAT_PATH
from hydra_ray.serve.http.foreign import ForeignPages
from hydra_ray.serve.http.front import Front, HttpSettings
from hydra_ray.serve.http.headers import HeaderLimit
from hydra_ray.serve.http.key_file import KeyRing
from hydra_ray.serve.http.limits import Limits
from hydra_ray.serve.http.outer import HttpMeters, Outer
from hydra_ray.serve.http.paths import SegmentPaths
from hydra_ray.serve.http.personalize import PERSONALIZE_PATH
from hydra_ray.serve.http.room import Room
from hydra_ray.serve.service import Service
from hydra_ray.serve.usage import UsageFile

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
        version=hydra_ray.__version__,
        description="Personalised answers. The chat endpoint takes OpenAI's clients as they are.",
        redirect_slashes=False,  # a redirect would quote the Host header
        redoc_url=None,
    )
    front = Front(get_service, settings)
    if meters is not None:
        meters.watch_queue(lambda: front.slots.taken)
    # Only the OpenAPI document reads this; `Access` lets nobody past without a key, on any route.
    documented_key = [] if settings.keys.open_tenant else [Depends(HTTPBearer(auto_error=False))]
    for routes in (chat, personalize, users, histories):
        app.include_router(routes.router(front), dependencies=documented_key)
    limits = Limits(UsageFile(settings.usage) if settings.usage else None)
    app.include_router(usage.router(limits), dependencies=documented_key)
    app.include_router(health.router(front))
    if page is not None:
        app.include_router(page)
    app.include_router(elsewhere.router())
    errors.install(app)
    app.add_middleware(BodyLimit, limit=settings.body_bytes)
    app.add_middleware(Room, slots=front.slots, paths=(CHAT_PATH, PERSONALIZE_PATH))
    app.add_middleware(Access, ring=KeyRing(settings.keys, settings.key_file), limits=limits)
    if settings.keys.open_tenant:
        app.add_middleware(ForeignPages, hosts=settings.allowed_hosts)
    app.add_middleware(SegmentPaths)
    app.add_middleware(HeaderLimit)
    app.add_middleware(Outer, echo_id=settings.echo_id, meters=meters)  # added last: outermost
    return app
