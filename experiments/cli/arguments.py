"""Check of command line arguments that the system or a file format cannot represent."""

from collections.abc import Iterable

from sim.errors import shorten_name

MAX_NAME_BYTES = 255
"""Largest length of one name on common file systems, bytes."""

MAX_PATH_BYTES = 4095
"""Largest length of a path, bytes."""


def find_unusable_arguments(arguments: Iterable[str]) -> list[str]:
    """Return one line for each argument that cannot be a name, a number or an override."""
    return [line for argument in arguments if (line := _describe_fault(argument))]


def _describe_fault(argument: str) -> str:
    place = f"{shorten_name(argument)}: "
    if "\0" in argument:
        return f"{place}holds a NUL byte, which no name or value can, remove it"
    try:
        argument.encode()
    except UnicodeEncodeError:
        return (
            f"{place}is not UTF-8, which names and values must be, "
            "rename the file or write it again"
        )
    _, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    if "=" in value and not equals:
        return ""  # an override, whose value may have any length
    n_bytes = len(value.encode())
    if n_bytes > MAX_PATH_BYTES:
        return f"{place}has {n_bytes:,} bytes, a path has at most {MAX_PATH_BYTES:,}, shorten it"
    longest = max((len(part.encode()) for part in value.replace(",", "/").split("/")), default=0)
    if longest > MAX_NAME_BYTES:
        return (
            f"{place}holds a name of {longest:,} bytes, "
            f"at most {MAX_NAME_BYTES} are possible, shorten it"
        )
    return ""
