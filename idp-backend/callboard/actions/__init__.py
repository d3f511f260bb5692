"""Day-2 actions. Add one by adding one file here.

The API route, the OpenAPI schema, the form, the CLI command and the reference page are all made
from what the file declares. Modules whose name begins with `_` are not actions.
"""

import sys
from collections.abc import Iterator
from importlib import import_module, invalidate_caches
from inspect import isabstract
from pkgutil import iter_modules
from types import ModuleType

from callboard.actions._describe import describe
from callboard.actions.action import Action

__all__ = ["Action", "describe", "registry"]


def registry() -> dict[str, type[Action]]:
    """Every action by its slug. Reads the folder, so a new file is enough and a removed one goes.

    Takes about a tenth of a millisecond: call it when starting, not for each request.
    """
    kinds = sorted(_kinds(), key=lambda kind: kind.slug())
    found = {kind.slug(): kind for kind in kinds}
    if len(found) < len(kinds):
        raise RuntimeError(f"two actions of one name among {[kind.slug() for kind in kinds]}")
    return found


def _kinds() -> Iterator[type[Action]]:
    for info in iter_modules(__path__):
        if info.name.startswith("_"):
            continue
        module = _module(f"{__name__}.{info.name}")
        for each in vars(module).values():
            # Only classes written there: a file may import another's.
            if (
                isinstance(each, type)
                and issubclass(each, Action)
                and each.__module__ == module.__name__
                and not isabstract(each)
            ):
                yield each


def _module(name: str) -> ModuleType:
    if name not in sys.modules:
        # A file that was put there a moment ago may be missing from the finder's listing.
        invalidate_caches()
    return import_module(name)
