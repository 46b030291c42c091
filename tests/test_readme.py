"""README and the files around it say what is true."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    return re.findall(r"```sh\n(.*?)\n```", README, flags=re.DOTALL)


def test_readme_has_two_commands_of_one_line_each() -> None:
    assert len(commands()) == 2
    assert not any("\n" in command for command in commands())


def test_ci_runs_the_second_command_word_for_word() -> None:
    assert commands()[1] in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", re.findall(r"deleverage run (\w+)", README))
def test_the_configurations_it_names_are_packaged(name: str) -> None:
    assert name == "CONFIG" or (ROOT / "configs" / f"{name}.yaml").is_file()


@pytest.mark.parametrize("folder", re.findall(r"^\| `(\w+)/`", README, flags=re.MULTILINE))
def test_the_folders_it_names_exist(folder: str) -> None:
    assert (ROOT / folder).is_dir()


def test_pins_name_no_host_and_cover_what_is_declared() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = text.splitlines()
    assert not any("://" in line or "@" in line or line.startswith(("-", "#")) for line in lines)
    pinned = {re.split("==", line)[0] for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    assert {re.split(r"[^\w-]", name)[0].lower() for name in declared} <= pinned


def test_citation_agrees_with_the_project() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
