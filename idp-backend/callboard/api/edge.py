"""The edge of the HTTP service, in order.

request id → span, count and log line → bodies → headers for browsers → problems → floods of
header fields (431) → rate (429) → identity (401) → record of refusals → ambiguous paths (404)
→ routing (404, 405) → gates (403, 404) → size (413) → media type (415) → JSON and fields (422)
"""

from fastapi import FastAPI

from callboard.api import problems
from callboard.api.body import StrictRoute
from callboard.api.headers import SecurityHeaders
from callboard.api.identify import Identify
from callboard.api.limits import Bodies, Headers, Limits, Paths
from callboard.api.observe import Observe
from callboard.api.openapi import describe
from callboard.api.problems import Problems
from callboard.api.rate import Buckets, Rate
from callboard.api.refused import Refused
from callboard.api.requestid import RequestIds
from callboard.api.templates import Templates
from callboard.ports.identity import Identity
from callboard.settings import Settings
from callboard.telemetry import Telemetry
from callboard.usecases.refusals import Refusals


def install(
    app: FastAPI,
    *,
    settings: Settings,
    identity: Identity,
    refusals: Refusals,
    telemetry: Telemetry,
) -> None:
    """Put the edge around the app. Routers that take a JSON body need `route_class=StrictRoute`."""
    limits = Limits.of(settings)
    templates = Templates(app)
    app.router.redirect_slashes = False
    app.router.route_class = StrictRoute
    problems.install(app, templates)
    describe(app)
    # The last one added is the outermost.
    app.add_middleware(Paths)
    app.add_middleware(Refused, refusals=refusals, templates=templates)
    app.add_middleware(Identify, identity=identity, refusals=refusals)
    app.add_middleware(Rate, buckets=Buckets(settings.rate_per_minute), refusals=refusals)
    app.add_middleware(Headers, limits=limits)
    app.add_middleware(Problems)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Bodies, limits=limits)
    app.add_middleware(Observe, telemetry=telemetry, templates=templates)
    app.add_middleware(RequestIds)
