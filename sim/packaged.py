"""Where configurations lie: files named by their path, and those that ship with the package, by their name."""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sim.documents import read_yaml
from sim.errors import ConfigError, brief, did_you_mean, not_one_of, shown

PACKAGED = Path(__file__).resolve().parent.parent / "configs"
"""Configurations that ship with the package; beside ``sim``, so that no other ``configs`` can shadow them."""


class Wanted(NamedTuple):
    """What a schema expects where a file may be named."""

    is_list: bool  # components in a list, not one component
    kinds: Sequence[str]  # that a component may be of; empty where it has no kind

    @property
    def holding(self) -> str:
        """What a file must hold."""
        return "a list" if self.is_list else "a mapping"


def packaged() -> list[str]:
    """Names of the packaged configurations, folders included, without ``.yaml``."""
    return sorted(path.relative_to(PACKAGED).with_suffix("").as_posix() for path in PACKAGED.rglob("*.yaml"))


def find(name: str | Path, folder: str = "") -> Path:
    """The file that a name on the command line means: an existing path, else the name of a packaged configuration.

    Args:
        name: as the user wrote it.
        folder: the packaged folder, such as ``studies/``, whose files a message lists.

    Raises:
        ConfigError: there is none.
    """
    path = Path(name)
    return path if is_file(path) else shipped(name, folder)


def is_file(path: str | Path) -> bool:
    """Whether there is a file of that name; a name that no file can have (a NUL byte, too long) is one of none."""
    return os.path.isfile(path)


def folder_of(key: str) -> str:
    """The packaged folder of a field, ``engines/`` for ``venues.0.engine``; it need not exist."""
    field = next((part for part in reversed(key.split(".")) if part != "*" and not part.isdecimal()), "")
    return f"{field.strip('-').rstrip('s')}s/"


def preset(key: str, name: str, wanted: Wanted) -> Path:
    """The file that a name means where a component is expected.

    Packaged ones stand in the folder of the field's name, in the plural: ``span`` is ``engines/span`` for an
    ``engine``. A name with a folder or with ``.yaml`` is that of a file, or of a packaged configuration.

    Args:
        key: dotted path of the component.
        name: as the user wrote it.
        wanted: what stands there.

    Raises:
        ConfigError: there is none; the message has the nearest.
    """
    if is_file(name):
        return Path(name)
    folder = folder_of(key)
    names = [each.removeprefix(folder) for each in packaged() if each.startswith(folder)]
    plain = name.removesuffix(".yaml")
    if plain in names:
        return shipped(folder + plain)
    if "/" in name or name.endswith(".yaml"):
        try:
            return shipped(name, folder)
        except ConfigError as error:
            raise ConfigError([f"{key}: {line}" for line in error.problems]) from error
    names = [each for each in names if isinstance(read_yaml(shipped(folder + each)), list) == wanted.is_list]
    if not names:
        raise ConfigError([f"{key}: {shown(name)}, {_written(name, wanted)} or the path of a .yaml file"])
    raise ConfigError([f"{key}: {not_one_of(name, names)}, or a file of your own"])


def _written(name: str, wanted: Wanted) -> str:
    """The rule for what is no file's name, and how to write a component, of the kind that the name comes closest to."""
    rule = f"must be {wanted.holding} or a file that holds one"
    if not wanted.kinds:
        return f"{rule}, write {'[{key: value}]' if wanted.is_list else '{key: value}'}"
    kind = next(iter(difflib.get_close_matches(name, wanted.kinds, n=1)), wanted.kinds[0])
    component = f"[{{kind: {kind}}}]" if wanted.is_list else f"{{kind: {kind}}}"
    return f"{rule}, write {component} (kinds are {', '.join(wanted.kinds)})"


def shipped(name: str | Path, folder: str = "") -> Path:
    """The packaged file of that name.

    Args:
        name: as the user wrote it.
        folder: the packaged folder whose files a message lists where all would be too many.

    Raises:
        ConfigError: there is none; the message has the nearest.
    """
    path = Path(name)
    for candidate in _candidates(path):
        if is_file(candidate):
            return candidate
    if os.path.exists(path) and path.name:
        raise ConfigError([f"{brief(str(name))}: is a folder, a pipe or a device, name a file"])
    names = packaged()
    whole, last = (text.removesuffix(".yaml") for text in (path.as_posix(), path.name))
    same = next((f" (did you mean {each!r}?)" for each in names if each.rpartition("/")[2] == last), "")
    near = did_you_mean(whole, names) or same or did_you_mean(last, names)
    listed, more = names, ""
    if len(names) > 30:
        listed = [each for each in names if each.rpartition("/")[0] == folder.rstrip("/")]
        more = ", and others (`deleverage configs`)"
    told = f"packaged are: {', '.join(listed)}{more}" if listed else "name a file"
    choose = ", choose one" if listed and not near else ""
    raise ConfigError([f"{brief(str(name))}: no such file or packaged configuration{near}, {told}{choose}"])


def _candidates(path: Path) -> list[Path]:
    """``crash_2008``, ``crash_2008.yaml`` and ``configs/crash_2008.yaml`` all mean the same packaged file."""
    if path.is_absolute() or "\0" in str(path):
        return []
    parts = path.parts[1:] if path.parts[:1] == ("configs",) else path.parts
    inner = PACKAGED.joinpath(*parts)
    files = [inner] if inner.suffix == ".yaml" else [inner, inner.with_name(inner.name + ".yaml")]
    return [file for file in files if file.resolve().is_relative_to(PACKAGED)]
