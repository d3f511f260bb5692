"""Day-2 actions. Add one by adding one file here.

The API route, the OpenAPI schema, the form, the CLI command and the reference page are all made
from what the file declares.
"""

from importlib import import_module
from pkgutil import iter_modules

from callboard.actions.action import Action

__all__ = ["Action", "registry"]


def registry() -> dict[str, type[Action]]:
    """Every action by its slug; reads the folder, so a new file is enough."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return {kind.slug(): kind for kind in sorted(_kinds(Action), key=lambda kind: kind.slug())}


def _kinds(base: type[Action]) -> set[type[Action]]:
    below = set(base.__subclasses__())
    return below.union(*(_kinds(kind) for kind in below))
