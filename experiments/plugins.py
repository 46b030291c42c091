"""A user's own modules, imported before any schema is made from the registries that they add to."""

import importlib
import os
import sys
from collections.abc import Iterable

from sim.errors import ConfigError


def plug_in(modules: Iterable[str] | None, path: str | None = None) -> None:
    """Import them.

    Args:
        modules: names.
        path: the last place looked in; none = the working folder.

    Raises:
        ConfigError: one that cannot be imported.
    """
    for name in modules or ():
        last = path or os.getcwd()
        if last not in sys.path:
            sys.path.append(last)
        try:
            importlib.import_module(name)
        except ImportError as error:
            rule = f"cannot be imported ({error}), name a module of this folder or environment"
            raise ConfigError([f"--plugin {name}: {rule}"]) from error
