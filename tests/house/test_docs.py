"""Pages of the model describe the code: rule numbers, modules, frames, kinds, links."""

import importlib
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agents import populate
from agents.makers import MarketMakers
from agents.traders import NoiseTraders
from experiments.generated import parameters
from sim.attribution import CAUSE_KINDS
from sim.config import MarketConfig
from sim.market import Market
from sim.prices.bars import validate_bars
from sim.reading.packaged import list_packaged
from sim.recording.units import UNITS

ROOT = Path(__file__).parents[2]
FOLDERS = ("sim", "agents", "experiments", "configs")
PAGES = [
    *sorted(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md")),
    ROOT / "README.md",
]
MODEL = (ROOT / "sim" / "README.md").read_text(encoding="utf-8")
FRAMES = (ROOT / "sim" / "recording" / "README.md").read_text(encoding="utf-8")
CAUSES = (ROOT / "sim" / "liquidation" / "README.md").read_text(encoding="utf-8")

RULE = re.compile(
    r"\b(?:TIME|RNG|ACC|IDX|STRESS|MARK|BOOK|FEE|FUND|LED|ISO|MAR|LIQ|LOSS|AGT)-\d+[a-z]?\b"
)
HEADING = re.compile(r"^\*\*([A-Z]+-\d+[a-z]?) [^*]+\*\* (.+)$", flags=re.MULTILINE)
HEADINGS_BY_PAGE = {page: HEADING.findall(page.read_text(encoding="utf-8")) for page in PAGES}
HEADINGS = [heading for headings in HEADINGS_BY_PAGE.values() for heading in headings]
"""Rules of the model and the modules that implement them, on the pages of their folders."""


def rows(title: str, page: str) -> list[list[str]]:
    """Cells of the first table of a page below a heading that begins so."""
    below = page.split(f"\n{title}", 1)[1]
    table = below[below.index("|") :].split("\n\n")[0]
    return [
        [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        for line in table.splitlines()[2:]
    ]


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def quoted(folders: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """File and rule, for every rule number that stands in it."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".md", ".yaml"):
                for rule in RULE.findall(path.read_text(encoding="utf-8")):
                    yield path.relative_to(ROOT).as_posix(), rule


ELEMENTS = [
    *(
        "Purpose and patterns",
        "Entities, state variables, scales",
        "Process overview and scheduling",
        "Design concepts",
    ),
    *("Initialisation", "Input data", "Submodels"),
]
CONCEPTS = [
    *(
        "Basic principles",
        "Emergence",
        "Adaptation",
        "Objectives",
        "Learning",
        "Prediction",
        "Sensing",
        "Interaction",
    ),
    *("Stochasticity", "Collectives", "Observation"),
]
"""Of the ODD protocol, Grimm et al. (2020), in its order."""


def test_the_description_has_the_elements_of_odd() -> None:
    assert re.findall(r"^## [1-7] (.+)$", MODEL, flags=re.MULTILINE) == ELEMENTS
    section = MODEL.split("## 4 Design concepts")[1].split("\n## ")[0]
    assert re.findall(r"^- \*\*([^*.]+)\.\*\*", section, flags=re.MULTILINE) == CONCEPTS


def test_a_step_has_the_phases_of_the_description_in_its_order() -> None:
    """Every line of ``Market.step`` that is numbered has a row, and every row has such a line."""
    section = MODEL.split("## 3 Process overview")[1].split("\n## ")[0]
    described = list(map(int, re.findall(r"^(\d+)\. \*\*", section, flags=re.MULTILINE)))
    made = list(map(int, re.findall(r"# (\d+)$", inspect.getsource(Market.step), re.MULTILINE)))
    assert described == list(range(1, 11))
    assert made == sorted(made)
    assert sorted(set(made)) == described


def test_every_rule_that_is_quoted_is_described() -> None:
    known = {rule for rule, _ in HEADINGS}
    assert len(known) > 30
    assert [
        f"{path}: {rule}" for path, rule in quoted((*FOLDERS, "tests")) if rule not in known
    ] == []


def test_rules_stand_once_and_name_modules_that_exist() -> None:
    twice = [rule for rule, times in Counter(rule for rule, _ in HEADINGS).items() if times > 1]
    assert twice == []
    assert [rule for rule, modules in HEADINGS if not named(modules)] == []
    modules = [(rule, module) for rule, cell in HEADINGS for module in named(cell)]
    assert [f"{rule}: {module}" for rule, module in modules if not (ROOT / module).is_file()] == []


def test_the_description_lists_every_rule_beside_its_page() -> None:
    """The index of rules in the model's description has each rule once, with the page it is on."""
    listed = [
        (rule, (ROOT / "sim" / link).resolve())
        for _, rules, cell in rows("### Rules", MODEL)
        for rule in RULE.findall(rules)
        for link in re.findall(r"\]\(([^)]+)\)", cell)
    ]
    described = [
        (rule, page) for page, headings in HEADINGS_BY_PAGE.items() for rule, _ in headings
    ]
    assert sorted(listed) == sorted(described)


@pytest.fixture(scope="module")
def frames() -> dict[str, pd.DataFrame]:
    """Frames of a market of seven members that replays two short days."""
    instrument = {"name": "X-PERP", "underlying": "X", "tick": 0.1, "lot": 0.1, "max_price": 1000}
    process = {"kind": "replay", "source": "x.csv", "day": 600}
    config = MarketConfig.model_validate(
        {
            "underlyings": [{"name": "X", "process": process}],
            "venues": [{"name": "V", "instruments": [instrument], "engine": {}}],
        }
    )
    days = np.array(["2024-01-02", "2024-01-03"], dtype="datetime64[D]")
    bars = {
        "X": validate_bars("x.csv", days, np.array([[100.0, 101, 99, 100], [99.0, 102, 98, 99]]))
    }
    people = [
        MarketMakers(venue="V", count=2),
        NoiseTraders(venue="V", count=5, initial_entry_share=1.0, warm_up=60.0),
    ]
    market = Market(config, populate(people), seed=1, bars=bars)
    while market.tick < market.steps_planned:
        market.step()
    market.recorder.record_accounts("end")
    market.ledger.check_conservation()
    assert market.recorder.summary()["trades"] > 0
    return market.recorder.frames()


def test_frames_are_described(frames: dict[str, pd.DataFrame]) -> None:
    section = FRAMES.split("## Frames")[1].split("\n## ")[0]
    assert re.findall(r"^### `(\w+)`", section, flags=re.MULTILINE) == list(frames)


@pytest.mark.parametrize(
    "name",
    [
        "steps",
        "venues",
        "market",
        "closeouts",
        "causes",
        "losses",
        "accounts",
        "profile",
        "populations",
    ],
)
def test_columns_are_described(frames: dict[str, pd.DataFrame], name: str) -> None:
    """All of them, in no particular order, each with its unit or one unit for all."""
    described = rows(f"### `{name}`", FRAMES)
    columns = [column for row in described for column in named(row[0])]
    assert sorted(columns) == sorted(frames[name].columns)
    assert [
        row[0] for row in described if len(row[1].split(", ")) not in (1, len(named(row[0])))
    ] == []


def test_units_are_those_of_attrs() -> None:
    for name, units in UNITS.items():
        described = {}
        for cell, unit, *_ in rows(f"### `{name}`", FRAMES):
            each = unit.split(", ")
            described |= dict(
                zip(named(cell), each if len(each) > 1 else each * len(named(cell)), strict=True)
            )
        assert described == {
            column: unit for unit, columns in units.items() for column in columns.split()
        }, name


def test_kinds_are_those_of_the_registries() -> None:
    for registry, kinds, _ in rows("### Kinds", MODEL):
        module, _, name = named(registry)[0].rpartition(".")
        assert named(kinds) == list(getattr(importlib.import_module(module), name)), registry


def test_kinds_of_causes_are_in_order() -> None:
    assert [named(cell)[0] for cell, _ in rows("**LIQ-6", CAUSES)] == list(CAUSE_KINDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)\)", text) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []
    paths = re.findall(r"`((?:[\w.]+/)*[\w.]+(?:\.py|\.md|\.yaml|/))`", text)
    places = (ROOT, page.parent)
    assert [path for path in paths if not any((place / path).exists() for place in places)] == []


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_to_sections_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", page.read_text(encoding="utf-8"))
    lost = [
        f"{path}#{anchor}"
        for path, anchor in links
        if "://" not in path and anchor not in anchors(page.parent / path if path else page)
    ]
    assert lost == []


@pytest.mark.parametrize("page", parameters.build_pages(), ids=lambda page: page.parent.name)
def test_tables_of_parameters_are_those_of_the_code(page: Path) -> None:
    assert page.read_text(encoding="utf-8") == parameters.build_pages()[page], (
        "run: python -m experiments.generated.parameters"
    )


def test_packaged_configurations_are_listed() -> None:
    text = (ROOT / "configs" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([\w/]+)` \|", text, flags=re.MULTILINE) == list_packaged()


def test_the_run_from_python_runs() -> None:
    text = (ROOT / "experiments" / "README.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)[
        0
    ]  # the others: tests/studies/test_own_study.py
    names: dict[str, pd.DataFrame] = {}
    exec(code, names)
    assert names["steps"]["step"].max() == 60
