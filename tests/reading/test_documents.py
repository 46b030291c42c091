"""Documents that would end or fill a parser are refused in a line by every command."""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from experiments.cli import app
from experiments.config import load_run
from sim.errors import ConfigError
from sim.margin.engine import EngineConfig
from sim.margin.netting import IsolatedNetting
from sim.reading.documents import (
    MAX_DIGITS,
    MAX_LEVELS,
    UnreadableError,
    check_depth,
    parse_json_mapping,
    parse_yaml,
    read_json,
    read_yaml,
)
from sim.reading.loading import resolve_config

ROOT = Path(__file__).parents[2]


def nested(levels: int, opening: str = "[", closing: str = "]") -> str:
    return opening * levels + closing * levels


def laughs(levels: int, width: int = 9) -> str:
    lines = ["a0: &a0 [lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines)


def merged(levels: int) -> str:
    """Merge keys, each of which holds the one before thrice."""
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: *a{n - 1}, y: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, levels)]
    return "\n".join(lines)


def doubled(levels: int) -> str:
    """References each twice as long as the one before."""
    return "\n".join(["b0: lol", *(f"b{n}: ${{b{n - 1}}}${{b{n - 1}}}" for n in range(1, levels))])


HOSTILE = {
    "40 KB of brackets": ("[" * 40_000, "levels"),
    "braces": ("{a: " * 3000, "levels"),
    "closed": (f"a: {nested(900)}", "levels"),
    "blocks": ("".join(" " * n + "a:\n" for n in range(900)), "levels"),
    "dashes": ("- " * 3000 + "1", "levels"),
    "billion laughs": (laughs(12), "aliases"),
    "quadratic": (f"a: &a {'x' * 5000}\nb: [{', '.join(['*a'] * 2000)}]", "aliases"),
    "merged": (merged(40), "aliases"),
    "itself": ("a: &a [*a]", "stands inside the value it refers to"),
    "long": ("a: " + "x" * 5_000_000, "characters"),
    "many": (f"a: [{'1,' * 400_000}]", "characters"),
    "number": (f"a: {'9' * 6000}", "digits"),
    "tag": ("a: !!int abc", "tag"),
    "object": ("a: !!python/object/apply:os.system ['true']", "tag"),
    "binary": ("a: !!binary aGk=", "tag"),
    "references inside": ("a: " + "${" * 400, "${a.b}"),
    "references doubled": (doubled(40), "references make"),
    "references in circles": ("a: ${b}\nb: ${a}", "circles"),
    "references into itself": ("a: {b: '${a}'}", "circles"),
    "null byte": ("a: \0", "unacceptable"),
}
"""What it is called -> the text, and a word of the answer."""


@pytest.mark.parametrize(("text", "word"), HOSTILE.values(), ids=list(HOSTILE))
def test_hostile_yaml_is_refused_in_a_line_and_at_once(
    tmp_path: Path, text: str, word: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    began = time.perf_counter()
    with pytest.raises(ConfigError) as caught:
        resolve_config(path)
    assert time.perf_counter() - began < 20
    assert all("\n" not in line and len(line) < 600 for line in caught.value.problems)
    assert word in caught.value.problems[0]


@pytest.mark.parametrize("command", ["run", "sweep", "margin"])
@pytest.mark.parametrize("name", ["40 KB of brackets", "closed", "billion laughs"])
def test_commands_refuse_hostile_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(HOSTILE[name][0])
    done = CliRunner().invoke(app.app, [command, "mine.yaml"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert HOSTILE[name][1] in done.stderr


def test_the_interpreter_survives_an_override_of_brackets(tmp_path: Path) -> None:
    code = "from experiments.cli.app import main; main()"
    command = [sys.executable, "-c", code, "run", "baseline", f"seed={'[' * 40_000}"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("seed: ")
    assert "levels" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "key", [".".join("a" * 500), "a" * 5000, f"venues.{'9' * 5000}.name", "venues.*.*.*.*.name"]
)
def test_paths_of_any_length_are_refused(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_run("baseline", [f"{key}=1"])
    assert all(len(line) < 900 for line in caught.value.problems)


def test_what_is_within_the_bounds_is_read(tmp_path: Path) -> None:
    deep: Any = 1
    for _ in range(MAX_LEVELS - 1):
        deep = [deep]
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"a": deep, "b": "9" * MAX_DIGITS}))
    assert read_yaml(path) == {"a": deep, "b": "9" * MAX_DIGITS}
    assert parse_yaml("a: &a [1, 2]\nb: {c: *a}\nd: {<<: {e: 1}}") == {
        "a": [1, 2],
        "b": {"c": [1, 2]},
        "d": {"e": 1},
    }


def test_references_become_values_text_and_whole_parts(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "a: {b: [1, 2.5], c: x}\nd: ${a.b.1}\ne: ${a}\nf: 'no ${a.c} ${a.b.0}'\ng: ${f}"
    )
    found = resolve_config(path)
    assert (found["d"], found["e"], found["f"], found["g"]) == (
        2.5,
        {"b": [1, 2.5], "c": "x"},
        "no x 1",
        "no x 1",
    )


def test_includes_cannot_multiply_without_end(tmp_path: Path) -> None:
    """Each file ten times the next: few files, and a hundred thousand readings."""
    for n in range(6):
        items = ", ".join([f"{{include: {n + 1}.yaml}}"] * 10)
        (tmp_path / f"{n}.yaml").write_text(f"[{items}]" if n else f"a: [{items}]")
    (tmp_path / "6.yaml").write_text("[1]")
    with pytest.raises(ConfigError, match="files are included"):
        resolve_config(tmp_path / "0.yaml")


def test_levels_of_included_files_add_up(tmp_path: Path) -> None:
    for n in range(3):
        (tmp_path / f"{n}.yaml").write_text("a: {b: " * 9 + f"{{include: {n + 1}.yaml}}" + "}" * 9)
    (tmp_path / "3.yaml").write_text("a: 1")
    with pytest.raises(ConfigError, match="levels"):
        resolve_config(tmp_path / "0.yaml")


JSON = [
    nested(100_000),
    f'{{"a": {nested(900)}}}',
    f'{{"a": {"9" * 5000}}}',
    '{"a": "\\ud800"}',
    "{",
    "",
]
JSON += ["null", "[]", "3", '"x"']


@pytest.mark.parametrize("text", JSON, ids=range(len(JSON)))
def test_json_that_is_no_mapping_of_bounded_depth_is_a_value_error(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "summary.json"
    path.write_text(text)
    with pytest.raises(ValueError):  # noqa: PT011 - of whichever reader
        read_json(path)
    path.write_text(json.dumps({"a": [{"b": 1}], "c": "\U0001f600"}))
    assert read_json(path) == {"a": [{"b": 1}], "c": "\U0001f600"}
    assert parse_json_mapping("{}") == {}


def test_depth_is_measured_without_recursion() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(UnreadableError):
        check_depth(deep)
    while deep:  # or its release recurses
        deep = deep.pop()


def test_reading_takes_no_more_memory_than_the_bounds_say(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(HOSTILE["billion laughs"][0])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ConfigError):
        read_yaml(path)
    assert (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
    )  # kilobytes on Linux


SPAN = EngineConfig.model_validate(resolve_config("engines/span"))
SWAPS = {
    "venues.0.engine=span": (True, False),
    "venues.0.engine=span.yaml": (True, False),
    "venues.0.engine=engines/span": (True, False),
    "venues.0.engine=engines/span.yaml": (True, False),
    "venues.0.engine={include: engines/span.yaml}": (True, False),
    "venues.0.engine.include=engines/span.yaml": (True, False),
    "venues.1.engine=span": (False, True),
    "venues.*.engine=span": (True, True),
    "venues.*.engine.include=engines/span.yaml": (True, True),
    "venues.*.engine=mine.yaml": (True, True),
    "venues.0.engine=folder/own.yaml": (True, False),
}


@pytest.mark.parametrize(("override", "where"), SWAPS.items())
def test_the_engine_is_swapped_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, override: str, where: tuple[bool, bool]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    for name in ("mine.yaml", "folder/own.yaml"):
        Path(name).write_text("include: engines/span")
    config = load_run("small_crash", [override])
    assert tuple(venue.engine == SPAN for venue in config.venues) == where


def test_changes_of_a_swapped_engine_hold_in_whatever_order() -> None:
    overrides = [
        "venues.0.engine=span",
        "venues.0.engine.compression=0.5",
        "venues.0.engine.netting.kind=isolated",
    ]
    for order in (1, -1):
        engine = load_run("small_crash", overrides[::order]).venues[0].engine
        assert (engine.requirement, engine.compression, engine.netting) == (
            SPAN.requirement,
            0.5,
            IsolatedNetting(),
        )


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("venues.0.engine=spam", "venues.0.engine: 'spam' is not one of "),
        ("venues.0.engine=spam", "(did you mean 'span'?)"),
        ("venues.*.engine=iso", "'iso' is not one of "),
        (
            "venues.0.engine={include: engines/spam.yaml}",
            "venues.0.engine.include: engines/spam.yaml: no such file",
        ),
        (
            "venues.0.engine.include=3",
            "venues.0.engine.include: 3, must be a file or a list of files",
        ),
        ("venues.0.engine=nowhere/span.yaml", "venues.0.engine: nowhere/span.yaml: no such file"),
        ("venues.9.engine=span", "venues.9.engine: no item '9'"),
        ("venues.*=span", "venues.*: ends in *"),
        ("venues.0.engine=", "venues.0.engine: nothing, must be a mapping"),
    ],
)
def test_wrong_engines_are_refused_with_near_names(override: str, expected: str) -> None:
    done = CliRunner().invoke(app.app, ["run", "small_crash", override])
    assert (done.exit_code, done.stdout) == (2, "")
    assert expected in done.stderr


def test_texts_that_are_no_components_stay_texts() -> None:
    config = load_run(
        "small_crash", ["name=span", "venues.0.name=span", "populations.*.venue=span"]
    )
    assert (config.name, config.venues[0].name) == ("span", "span")


@pytest.mark.skipif(sys.platform == "win32", reason="has no such pipes")
def test_a_pipe_or_a_device_is_refused_before_it_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ConfigError, match="is a pipe or a device, name a file"):
            read_yaml(path)
        with pytest.raises(UnreadableError, match="is a pipe or a device"):
            read_json(path)
