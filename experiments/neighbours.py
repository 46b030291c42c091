"""Check that ``sim`` and ``agents`` are the packages beside this one and not others."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def find_shadowed_packages() -> list[str]:
    """Return one line for each of the two packages that another module replaces."""
    return [line for name in ("sim", "agents") if (line := _describe_shadowing(name))]


def _describe_shadowing(name: str) -> str:
    own = ROOT / name / "__init__.py"
    loaded = sys.modules.get(name)
    if loaded is not None:
        found = loaded.__file__
    else:
        spec = importlib.util.find_spec(name)
        found = spec.origin if spec is not None else None
    if found is not None and Path(found).resolve() == own:
        return ""
    where = Path(found).resolve() if found is not None else "a folder without __init__.py"
    return f"{name}: imported from {where}, must be {own.parent}, rename or move the former"


def is_command() -> bool:
    """Return True for the command line, which reports such modules itself, without a traceback."""
    return sys.argv[:1] == ["-m"] or Path((sys.argv or [""])[0]).stem in ("deleverage", "__main__")
