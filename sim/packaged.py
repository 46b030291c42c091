"""Where configurations lie: files named by their path, and those that ship with the package, by their name."""

import os
from pathlib import Path

from sim.errors import ConfigError, brief, did_you_mean, not_one_of, shown

PACKAGED = Path(__file__).resolve().parent.parent / "configs"
"""Configurations that ship with the package; beside ``sim``, so that no other ``configs`` can shadow them."""


def packaged() -> list[str]:
    """Names of the packaged configurations, folders included, without ``.yaml``."""
    return sorted(path.relative_to(PACKAGED).with_suffix("").as_posix() for path in PACKAGED.rglob("*.yaml"))


def find(name: str | Path) -> Path:
    """The file that a name on the command line means: an existing path, else the name of a packaged configuration.

    Raises:
        ConfigError: there is none.
    """
    path = Path(name)
    return path if is_file(path) else shipped(name)


def is_file(path: str | Path) -> bool:
    """Whether there is a file of that name; a name that no file can have (a NUL byte, too long) is one of none."""
    return os.path.isfile(path)


def preset(key: str, name: str) -> Path:
    """The file that a name means where a component is expected.

    Packaged ones stand in the folder of the field's name, in the plural: ``span`` is ``engines/span`` for an
    ``engine``. A name with a folder or with ``.yaml`` is that of a file, or of a packaged configuration.

    Args:
        key: dotted path of the component.
        name: as the user wrote it.

    Raises:
        ConfigError: there is none; the message has the nearest.
    """
    if is_file(name):
        return Path(name)
    field = next((part for part in reversed(key.split(".")) if part != "*" and not part.isdecimal()), "")
    folder = f"{field.strip('-').rstrip('s')}s/"
    names = [each.removeprefix(folder) for each in packaged() if each.startswith(folder)]
    plain = name.removesuffix(".yaml")
    if plain in names:
        return shipped(folder + plain)
    if "/" in name or name.endswith(".yaml"):
        try:
            return shipped(name)
        except ConfigError as error:
            near = did_you_mean(Path(plain).name, names) or ", choose one"
            listed = (
                [f"{brief(name)}: no such file, packaged are: {', '.join(names)}{near}"] if names else error.problems
            )
            raise ConfigError([f"{key}: {line}" for line in listed]) from error
    if not names:
        told = f"{key}: {shown(name)}, must be a mapping or a file that holds one"
        raise ConfigError([f"{told}, write {{key: value}} or the path of a .yaml file"])
    raise ConfigError([f"{key}: {not_one_of(name, names)}, or a file of your own"])


def shipped(name: str | Path) -> Path:
    """The packaged file of that name.

    Raises:
        ConfigError: there is none; the message has the nearest.
    """
    path = Path(name)
    for candidate in _candidates(path):
        if is_file(candidate):
            return candidate
    names = packaged()
    whole, last = (text.removesuffix(".yaml") for text in (path.as_posix(), path.name))
    near = did_you_mean(whole, names) or did_you_mean(last, names)
    listed, more = names, ""
    if len(names) > 30:
        listed = [each for each in names if "/" not in each]
        more = ", and more in folders (`deleverage configs`)"
    told = f"{near}, packaged are: {', '.join(listed)}{more}{'' if near else ', choose one'}"
    raise ConfigError([f"{brief(str(name))}: no such file or packaged configuration{told}"])


def _candidates(path: Path) -> list[Path]:
    """``crash_2008``, ``crash_2008.yaml`` and ``configs/crash_2008.yaml`` all mean the same packaged file."""
    if path.is_absolute() or "\0" in str(path):
        return []
    parts = path.parts[1:] if path.parts[:1] == ("configs",) else path.parts
    inner = PACKAGED.joinpath(*parts)
    files = [inner] if inner.suffix == ".yaml" else [inner, inner.with_name(inner.name + ".yaml")]
    return [file for file in files if file.resolve().is_relative_to(PACKAGED)]
