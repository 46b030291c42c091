"""Reading YAML and JSON of any origin: length, depth and size are checked before anything is built of a document.

Parsers recurse for each level of nesting, and every use of an alias is walked through again. A short file can therefore
end the interpreter or fill its memory. The checks read the events of the parser, which neither recurse nor copy.
"""

import io
import json
import stat
from pathlib import Path
from typing import Any, NoReturn

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sim.errors import ConfigError
from sim.references import REFERENCE

LEVELS = 32
"""Most lists and mappings inside one another."""

YAML_CHARACTERS, JSON_BYTES = 1_000_000, 256 * 2**20
"""The longest documents that are read: YAML is written by hand, JSON by this program."""

EXPANDED, VALUE = 1_500_000, 10
"""Most characters of a YAML document whose aliases are written out, and how many each value and container adds."""

DIGITS = 1000
"""Longest whole number."""

REFERENCES = 1000
"""Most references ``${a.b}`` in a document."""

TAGS = (None, "!", "tag:yaml.org,2002:str")
"""Tags of values that say no more than their spelling does."""

EVENTS: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""What reads the events: libyaml where PyYAML was built with it."""


class UnreadableError(ValueError):
    """A document that is not read; the message names the rule and the remedy."""


def read_yaml(path: Path) -> Any:
    """The content of a YAML file: dictionaries, lists and plain values, interpolations untouched.

    Raises:
        ConfigError: one line with the file, what is wrong, and what to do.
    """
    try:
        return parse_yaml(read_text(path))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise ConfigError([f"{where}: not YAML, {error.problem}, correct this line"]) from error
    except UnreadableError as error:
        raise ConfigError([f"{path}: {error}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            [f"{path}: cannot be read, byte {error.start} is not UTF-8 text, save the file as UTF-8"]
        ) from error
    except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError([f"{path}: cannot be read, {reason(error)}, correct the file"]) from error


def reason(error: Exception) -> str:
    """What a parser says of a document in one line, without the name that it gives the text."""
    if isinstance(error, yaml.reader.ReaderError):
        place = error.character if isinstance(error.character, int) else ord(str(error.character)[0])
        return f"unacceptable character U+{place:04X}, number {error.position + 1} of the text"
    said = error.problem if isinstance(error, yaml.MarkedYAMLError) and error.problem else str(error)
    return " ".join(said.split())


def read_text(path: Path) -> str:
    """The text of a file that is written by hand.

    Raises:
        OSError: it is not there, or is a folder.
        UnreadableError: it is too long.
        UnicodeDecodeError: it is not UTF-8.
    """
    _check_regular(path)
    if path.stat().st_size > 4 * YAML_CHARACTERS:  # UTF-8 has up to four bytes for a character
        _too_long(path.stat().st_size)
    return path.read_text(encoding="utf-8")


def _check_regular(path: Path) -> None:
    """Refuse devices, and pipes but those of the command line (``<(...)``): reading them may never end.

    Raises:
        OSError: it is not there.
        UnreadableError: it is one.
    """
    mode = path.stat().st_mode
    is_pipe = stat.S_ISFIFO(mode) and path.parts[:2] not in (("/", "dev"), ("/", "proc"))
    if is_pipe or stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise UnreadableError("is a pipe or a device, name a file")


def parse_yaml(text: str) -> Any:
    """The content of YAML text, as ``read_yaml`` gives it.

    Raises:
        UnreadableError: too long, too deep, too large once aliases are written out, or with a tag.
        yaml.YAMLError, OmegaConfBaseException, ValueError: not YAML.
    """
    check_yaml(text)
    word = _one_word(text)
    if word is not None:
        return word
    return OmegaConf.to_container(OmegaConf.load(io.StringIO(text)), resolve=False)


def check_yaml(text: str) -> None:
    """Check the bounds of YAML text without building anything of it.

    Raises:
        UnreadableError: too long, too deep, too large once aliases are written out, or with a tag.
        yaml.YAMLError: not YAML.
    """
    if len(text) > YAML_CHARACTERS:
        _too_long(len(text))
    if text.count("${") > REFERENCES:
        raise UnreadableError(f"{text.count('${'):,} references, at most {REFERENCES:,} are followed, write values")
    anchors: dict[str, int] = {}
    begun: list[tuple[str | None, int]] = []  # anchor of each open container, and the size when it began
    size = 0
    for event in yaml.parse(text, Loader=EVENTS):
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = begun.pop()
            if anchor is not None:
                anchors[anchor] = size - before
            continue
        if isinstance(event, yaml.AliasEvent):
            size += _aliased(event, anchors, begun)
        elif isinstance(event, yaml.CollectionStartEvent):
            _check_tag(event)
            begun.append((event.anchor, size))
            size += VALUE
        elif isinstance(event, yaml.ScalarEvent):
            _check_tag(event)
            _check_scalar(event)
            size += VALUE + len(event.value)
            if event.anchor is not None:
                anchors[event.anchor] = VALUE + len(event.value)
        if len(begun) > LEVELS:
            line = event.start_mark.line + 1
            raise UnreadableError(f"line {line}: more than {LEVELS} levels inside one another, write fewer")
        if size > EXPANDED:
            raise UnreadableError(f"more than {EXPANDED:,} characters once aliases are written out, use fewer aliases")


def _aliased(event: Any, anchors: dict[str, int], begun: list[tuple[str | None, int]]) -> int:
    """What an alias stands for; one without an anchor is left to the parser, which names it."""
    if event.anchor in (anchor for anchor, _ in begun):
        line = event.start_mark.line + 1
        raise UnreadableError(f"line {line}: *{event.anchor} stands inside what it refers to, remove it")
    return anchors.get(event.anchor, 0)


def _check_tag(event: Any) -> None:
    if event.tag not in TAGS and not event.tag.endswith((":map", ":seq")):
        line = event.start_mark.line + 1
        raise UnreadableError(f"line {line}: the tag {event.tag!r}, tags have no meaning here, remove it")


def _check_scalar(event: Any) -> None:
    """Refuse references inside references, for each of which OmegaConf's grammar recurses, and endless numbers."""
    line = event.start_mark.line + 1
    if len(event.value) > DIGITS and not event.value.strip("+-0123456789_:"):
        raise UnreadableError(
            f"line {line}: a number of {len(event.value):,} digits, at most {DIGITS:,} are read, shorten it"
        )
    if not _is_referring(event.value):
        raise UnreadableError(f"line {line}: a reference must read ${{a.b}}, a path counted from the top, correct it")


def _is_referring(text: str) -> bool:
    """Whether what stands for references in a text can be read as such; what they lead to is checked later."""
    left = REFERENCE.sub("", text).count("${")
    if left != 1:
        return left == 0
    try:
        OmegaConf.create([text])
    except OmegaConfBaseException:
        return False
    return True


def _too_long(size: int) -> NoReturn:
    raise UnreadableError(f"{size:,} characters, at most {YAML_CHARACTERS:,} are read, shorten it")


def _one_word(text: str) -> str | None:
    """A document that is one value, as text; OmegaConf takes words for a key, and refuses numbers."""
    for event in yaml.parse(text, Loader=EVENTS):
        if isinstance(event, yaml.ScalarEvent):
            return str(event.value) or None
        if isinstance(event, yaml.CollectionStartEvent):
            break
    return None


def read_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file, a mapping.

    Raises:
        OSError: it is not there, or is a folder.
        ValueError: not JSON, no mapping, too long, too deep, or with text that cannot be written again.
    """
    _check_regular(path)
    if path.stat().st_size > JSON_BYTES:
        raise UnreadableError(f"{path.stat().st_size:,} bytes, at most {JSON_BYTES:,} are read")
    return mapping_of(path.read_text(encoding="utf-8"))


def mapping_of(text: str) -> dict[str, Any]:
    """The content of JSON text, a mapping.

    Raises:
        ValueError: see ``read_json``.
    """
    try:
        found = json.loads(text)
    except RecursionError:
        raise UnreadableError(f"more than {LEVELS} levels inside one another") from None
    if not isinstance(found, dict):
        raise UnreadableError("is no mapping")
    check_depth(found)
    if "\\ud" in text.lower():
        json.dumps(found, ensure_ascii=False).encode()  # a surrogate without its other half is an error of encoding
    return found


def check_depth(data: Any) -> None:
    """Refuse data of too many levels, without recursion.

    Raises:
        UnreadableError: too deep.
    """
    level, nodes = 0, [data]
    while nodes:
        if level > LEVELS:
            raise UnreadableError(f"more than {LEVELS} levels inside one another, write fewer")
        nodes = [item for node in nodes for item in _children(node)]
        level += 1


def _children(node: Any) -> list[Any]:
    items = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [item for item in items if isinstance(item, dict | list)]
