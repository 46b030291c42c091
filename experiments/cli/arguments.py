"""What no argument of any command may hold: it would fail deep inside, in the system or in a file format."""

from collections.abc import Iterable

from sim.errors import shorten_name

MAX_NAME_BYTES = 255
"""Most bytes of one name on common file systems."""

MAX_PATH_BYTES = 4095
"""Most bytes of a path."""


def find_unusable_arguments(arguments: Iterable[str]) -> list[str]:
    """One line for each argument that cannot be a name, a number or an override; none if all can."""
    return [line for argument in arguments if (line := _describe_fault(argument))]


def _describe_fault(argument: str) -> str:
    told = f"{shorten_name(argument)}: "
    if "\0" in argument:
        return f"{told}holds a NUL byte, which no name or value can, remove it"
    try:
        argument.encode()
    except UnicodeEncodeError:
        return (
            f"{told}is not UTF-8, which names and values must be, rename the file or write it again"
        )
    _, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    if "=" in value and not equals:
        return ""  # an override, whose value may be of any length
    if len(value.encode()) > MAX_PATH_BYTES:
        return f"{told}has {len(value.encode()):,} bytes, a path has at most {MAX_PATH_BYTES:,}, shorten it"
    longest = max((len(part.encode()) for part in value.replace(",", "/").split("/")), default=0)
    if longest > MAX_NAME_BYTES:
        return f"{told}holds a name of {longest:,} bytes, at most {MAX_NAME_BYTES} are possible, shorten it"
    return ""
