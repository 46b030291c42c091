"""Where configurations lie: files named by their path, and those that ship with the package, by their name."""

from pathlib import Path

from sim.errors import ConfigError, did_you_mean

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
    return path if path.is_file() else shipped(name)


def shipped(name: str | Path) -> Path:
    """The packaged file of that name.

    Raises:
        ConfigError: there is none; the message has the nearest.
    """
    path = Path(name)
    for candidate in _candidates(path):
        if candidate.is_file():
            return candidate
    names = packaged()
    whole, last = (text.removesuffix(".yaml") for text in (path.as_posix(), path.name))
    near = did_you_mean(whole, names) or did_you_mean(last, names)
    listed, more = names, ""
    if len(names) > 30:
        listed = [each for each in names if "/" not in each]
        more = ", and more in folders (`deleverage configs`)"
    told = f"{near}, packaged are: {', '.join(listed)}{more}{'' if near else ', choose one'}"
    raise ConfigError([f"{name}: no such file or packaged configuration{told}"])


def _candidates(path: Path) -> list[Path]:
    """``crash_2008``, ``crash_2008.yaml`` and ``configs/crash_2008.yaml`` all mean the same packaged file."""
    if path.is_absolute():
        return []
    parts = path.parts[1:] if path.parts[:1] == ("configs",) else path.parts
    inner = PACKAGED.joinpath(*parts)
    files = [inner] if inner.suffix == ".yaml" else [inner, inner.with_name(inner.name + ".yaml")]
    return [file for file in files if file.resolve().is_relative_to(PACKAGED)]
