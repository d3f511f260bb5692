"""What can be said of the routes from outside: path templates for metrics, methods for Allow."""

from collections.abc import Iterator

from fastapi import FastAPI
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.types import Scope


class Templates:
    """The routes of an app, with the prefixes that they were included under.

    Read on the first request: routes are not added to an app that serves.
    """

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._all: tuple[RouteContext, ...] | None = None
        self._of_route: dict[int, str] = {}

    def of(self, scope: Scope) -> str | None:
        """The matched route's path with its parameters' names; None when nothing matched."""
        if (route := scope.get("route")) is None:
            return None
        if known := self._of_route.get(id(route)):
            return known
        same = [each for each in self._matching(scope["path"]) if each.original_route is route]
        template = same[0].path_format if same else getattr(route, "path_format", None)
        if template and sum(each.original_route is route for each in self._all or ()) == 1:
            self._of_route[id(route)] = template
        return template

    def allowed(self, path: str) -> list[str]:
        """Every method that some route takes at the path, sorted."""
        return sorted({method for each in self._matching(path) for method in each.methods or ()})

    def _matching(self, path: str) -> Iterator[RouteContext]:
        if self._all is None:
            self._all = tuple(
                each
                for each in iter_route_contexts(self._app.routes)
                if getattr(each, "path_regex", None) is not None
            )
        return (each for each in self._all if each.path_regex.match(path))
