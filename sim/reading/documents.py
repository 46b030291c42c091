"""Reading of YAML and JSON from any origin, with limits on length, depth and size.

All limits are checked before anything is built of a document. Parsers recurse for each level of
nesting, and process every use of an alias again. A short file can therefore stop the interpreter or
fill its memory. The checks read the events of the parser, which neither recurse nor copy.
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
from sim.reading.references import REFERENCE_PATTERN

MAX_LEVELS = 32
"""Largest nesting of lists and mappings."""

MAX_YAML_CHARACTERS, MAX_JSON_BYTES = 1_000_000, 256 * 2**20
"""Longest documents that are read. YAML is written by hand, JSON by this program."""

MAX_EXPANDED, VALUE_SIZE = 1_500_000, 10
"""Largest number of characters of a YAML document after aliases are expanded, and the number that
each value and container adds.
"""

MAX_DIGITS = 1000
"""Longest whole number."""

MAX_REFERENCES = 1000
"""Largest number of references ``${a.b}`` in a document."""

PLAIN_TAGS = (None, "!", "tag:yaml.org,2002:str")
"""Tags of values that add nothing to their spelling."""

EVENT_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Loader of events: libyaml if PyYAML was built with it."""


class UnreadableError(ValueError):
    """Error of a document that is not read; the message has the rule and the remedy."""


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file: dictionaries, lists and plain values.

    Interpolations are not resolved.

    Raises:
        ConfigError: one line with the file, the problem and the remedy.
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
        problem = f"{path}: cannot be read, byte {error.start} is not UTF-8 text"
        raise ConfigError([f"{problem}, save the file as UTF-8"]) from error
    except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError([f"{path}: cannot be read, {reason(error)}, correct the file"]) from error


def reason(error: Exception) -> str:
    """Return the message of a parser in one line, without the parser's name of the text."""
    if isinstance(error, yaml.reader.ReaderError):
        place = (
            error.character if isinstance(error.character, int) else ord(str(error.character)[0])
        )
        return f"unacceptable character U+{place:04X}, number {error.position + 1} of the text"
    message = (
        error.problem if isinstance(error, yaml.MarkedYAMLError) and error.problem else str(error)
    )
    return " ".join(message.split())


def read_text(path: Path) -> str:
    """Return the text of a file that is written by hand.

    Raises:
        OSError: the file does not exist, or is a folder.
        UnreadableError: it is too long.
        UnicodeDecodeError: it is not UTF-8.
    """
    _check_regular(path)
    if path.stat().st_size > 4 * MAX_YAML_CHARACTERS:  # UTF-8 has up to four bytes for a character
        _refuse_length(path.stat().st_size)
    return path.read_text(encoding="utf-8")


def _check_regular(path: Path) -> None:
    """Refuse devices and pipes, except those of the command line (``<(...)``).

    Reading them may never end.

    Raises:
        OSError: the file does not exist.
        UnreadableError: it is a device or a pipe.
    """
    mode = path.stat().st_mode
    is_pipe = stat.S_ISFIFO(mode) and path.parts[:2] not in (("/", "dev"), ("/", "proc"))
    if is_pipe or stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise UnreadableError("is a pipe or a device, name a file")


def parse_yaml(text: str) -> Any:
    """Return the content of YAML text, as ``read_yaml`` does.

    Raises:
        UnreadableError: too long, too deep, too large after aliases are expanded, or with a tag.
        yaml.YAMLError, OmegaConfBaseException, ValueError: not YAML.
    """
    check_yaml(text)
    bare_text = _read_bare_text(text)
    if bare_text is not None:
        return bare_text
    return OmegaConf.to_container(OmegaConf.load(io.StringIO(text)), resolve=False)


def check_yaml(text: str) -> None:
    """Check the limits of YAML text without building anything of it.

    Raises:
        UnreadableError: too long, too deep, too large after aliases are expanded, or with a tag.
        yaml.YAMLError: not YAML.
    """
    if len(text) > MAX_YAML_CHARACTERS:
        _refuse_length(len(text))
    n_references = text.count("${")
    if n_references > MAX_REFERENCES:
        raise UnreadableError(
            f"{n_references:,} references, at most {MAX_REFERENCES:,} are followed, write values"
        )
    size = _ExpandedSize()
    for event in yaml.parse(text, Loader=EVENT_LOADER):
        size.add_event(event)
        if len(size.open_containers) > MAX_LEVELS:
            line = event.start_mark.line + 1
            raise UnreadableError(
                f"line {line}: more than {MAX_LEVELS} levels inside one another, write fewer"
            )
        if size.total > MAX_EXPANDED:
            raise UnreadableError(
                f"more than {MAX_EXPANDED:,} characters once aliases are written out, "
                "use fewer aliases"
            )


class _ExpandedSize:
    """Size of a document after its aliases are expanded, summed from the events of the parser."""

    def __init__(self) -> None:
        self.total = 0
        # anchor of each open container, and the size at its start
        self.open_containers: list[tuple[str | None, int]] = []
        self._size_of_anchor: dict[str, int] = {}

    def add_event(self, event: Any) -> None:
        """Add one event, after checking its tag and value."""
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size_at_start = self.open_containers.pop()
            self._set_anchor(anchor, self.total - size_at_start)
        elif isinstance(event, yaml.AliasEvent):
            self.total += self._alias_size(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            _check_tag(event)
            self.open_containers.append((event.anchor, self.total))
            self.total += VALUE_SIZE
        elif isinstance(event, yaml.ScalarEvent):
            _check_tag(event)
            _check_scalar(event)
            size = VALUE_SIZE + len(event.value)
            self.total += size
            self._set_anchor(event.anchor, size)

    def _set_anchor(self, anchor: str | None, size: int) -> None:
        if anchor is not None:
            self._size_of_anchor[anchor] = size

    def _alias_size(self, event: Any) -> int:
        """Return the size of an alias; the parser reports one without an anchor."""
        if event.anchor in (anchor for anchor, _ in self.open_containers):
            line = event.start_mark.line + 1
            raise UnreadableError(
                f"line {line}: *{event.anchor} stands inside the value it refers to, remove it"
            )
        return self._size_of_anchor.get(event.anchor, 0)


def _check_tag(event: Any) -> None:
    if event.tag not in PLAIN_TAGS and not event.tag.endswith((":map", ":seq")):
        line = event.start_mark.line + 1
        raise UnreadableError(
            f"line {line}: the tag {event.tag!r}, tags have no meaning here, remove it"
        )


def _check_scalar(event: Any) -> None:
    """Refuse references inside references and endless numbers.

    OmegaConf's grammar recurses for each nested reference.
    """
    line = event.start_mark.line + 1
    if len(event.value) > MAX_DIGITS and not event.value.strip("+-0123456789_:"):
        raise UnreadableError(
            f"line {line}: a number of {len(event.value):,} digits, "
            f"at most {MAX_DIGITS:,} are read, shorten it"
        )
    if not _has_valid_references(event.value):
        raise UnreadableError(
            f"line {line}: a reference must read ${{a.b}}, a path counted from the top, correct it"
        )


def _has_valid_references(text: str) -> bool:
    """Return whether all references in a text have valid syntax.

    Their targets are checked later.
    """
    left = REFERENCE_PATTERN.sub("", text).count("${")
    if left != 1:
        return left == 0
    try:
        OmegaConf.create([text])
    except OmegaConfBaseException:
        return False
    return True


def _refuse_length(size: int) -> NoReturn:
    raise UnreadableError(
        f"{size:,} characters, at most {MAX_YAML_CHARACTERS:,} are read, shorten it"
    )


def _read_bare_text(text: str) -> str | None:
    """Return the text of a document that is one value, None for other documents.

    OmegaConf takes a word for a key, and refuses numbers.
    """
    for event in yaml.parse(text, Loader=EVENT_LOADER):
        if isinstance(event, yaml.ScalarEvent):
            return str(event.value) or None
        if isinstance(event, yaml.CollectionStartEvent):
            break
    return None


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file, a mapping.

    Raises:
        OSError: the file does not exist, or is a folder.
        ValueError: not JSON, no mapping, too long, too deep, or with text that cannot be written
            again.
    """
    _check_regular(path)
    if path.stat().st_size > MAX_JSON_BYTES:
        raise UnreadableError(f"{path.stat().st_size:,} bytes, at most {MAX_JSON_BYTES:,} are read")
    return parse_json_mapping(path.read_text(encoding="utf-8"))


def parse_json_mapping(text: str) -> dict[str, Any]:
    """Return the content of JSON text, a mapping.

    Raises:
        ValueError: see ``read_json``.
    """
    try:
        content = json.loads(text)
    except RecursionError:
        raise UnreadableError(f"more than {MAX_LEVELS} levels inside one another") from None
    if not isinstance(content, dict):
        raise UnreadableError("is no mapping")
    check_depth(content)
    if "\\ud" in text.lower():
        # a surrogate without its other half is an error of encoding
        json.dumps(content, ensure_ascii=False).encode()
    return content


def check_depth(data: Any) -> None:
    """Refuse data of too many levels, without recursion.

    Raises:
        UnreadableError: too deep.
    """
    level, nodes = 0, [data]
    while nodes:
        if level > MAX_LEVELS:
            raise UnreadableError(f"more than {MAX_LEVELS} levels inside one another, write fewer")
        nodes = [item for node in nodes for item in _child_containers(node)]
        level += 1


def _child_containers(node: Any) -> list[Any]:
    items = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [item for item in items if isinstance(item, dict | list)]
