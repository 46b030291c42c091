"""Configuration loading, against a small schema of its own."""

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field, model_validator

from sim.component import Component, build_union
from sim.config import MarketConfig
from sim.errors import ConfigError
from sim.margin.engine import EngineConfig
from sim.reading.includes import merge_nodes
from sim.reading.loading import ConfigTemplate, load_config, resolve_config
from sim.reading.packaged import list_packaged


class Tiered(Component):
    kind: Literal["tiered"] = "tiered"
    rates: tuple[float, ...] = Field((0.05,), description="maintenance rates (1)", min_length=1)


class Compressed(Component):
    kind: Literal["compressed"] = "compressed"
    compression: float = Field(gt=0, lt=1, description="share by which margins are cut (1)")


class Fees(Component):
    maker: float = Field(0.0, description="maker fee (1)")
    taker: float = Field(0.0, ge=0, description="taker fee (1)")


REQUIREMENTS: dict[str, type[Component]] = {"tiered": Tiered, "compressed": Compressed}


class Venue(Component):
    name: str = Field(description="name")
    requirement: build_union(REQUIREMENTS) = Field(description="what must be covered")  # type: ignore[valid-type]
    fees: Fees = Field(Fees(maker=0.01, taker=0.02), description="fees")


class Ordered(Component):
    low: float = Field(0.0, description="low (1)")
    high: float = Field(1.0, description="high (1)")

    @model_validator(mode="after")
    def _order(self) -> "Ordered":
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} exceeds high {self.high:g}, exchange them")
        return self


class Crowd(Component):
    kind: Literal["crowd"] = "crowd"
    count: int = Field(gt=0, description="members (1)")


class Market(Component):
    name: str = Field("m", description="name")
    steps: int = Field(gt=0, description="steps (1)")
    calm: bool = Field(True, description="calm or not")
    side: Literal["long", "short"] = Field("long", description="side")
    rest: float | None = Field(None, gt=0, description="pause (s)")
    band: Ordered = Field(Ordered(), description="band")
    venues: list[Venue] = Field(description="venues", min_length=1)
    populations: list[build_union({"crowd": Crowd})] = Field([], description="crowds")  # type: ignore[valid-type,misc]


BASE = """
steps: 10
venues:
- name: a
  requirement: {kind: tiered, rates: [0.1, 0.2]}
populations:
- {kind: crowd, count: 3}
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write(tmp_path / "base.yaml", BASE)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def problems(path: Path | str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides, Market)
    assert all("\n" not in line for line in caught.value.problems)
    return caught.value.problems


def test_a_file_becomes_the_schema(base: Path) -> None:
    market = load_config(base, [], Market)
    assert market.venues[0].requirement == Tiered(rates=(0.1, 0.2))
    assert market.populations[0].count == 3


def test_scientific_notation_makes_floats_and_whole_numbers(base: Path) -> None:
    market = load_config(base, ["steps=1e5", "rest=1e-3"], Market)
    assert (market.steps, market.rest) == (100_000, 0.001)


def test_overrides_reach_into_lists_and_defaults(base: Path) -> None:
    market = load_config(
        base,
        ["venues.0.fees.taker=0.001", "populations.0.count=7", "venues.0.requirement.rates=[0.3]"],
        Market,
    )
    # the maker fee stays the one of the default that the override reached into, not the class's
    assert market.venues[0].fees == Fees(maker=0.01, taker=0.001)
    assert market.populations[0].count == 7
    assert market.venues[0].requirement == Tiered(rates=(0.3,))


@pytest.mark.parametrize("order", [1, -1])
def test_overriding_a_kind_replaces_the_node_in_whatever_order(base: Path, order: int) -> None:
    overrides = ["venues.0.requirement.kind=compressed", "venues.0.requirement.compression=0.5"][
        ::order
    ]
    assert load_config(base, overrides, Market).venues[0].requirement == Compressed(compression=0.5)


def test_merging_another_kind_replaces_the_node() -> None:
    assert merge_nodes({"a": {"kind": "x", "old": 1}}, {"a": {"kind": "y"}}) == {"a": {"kind": "y"}}
    assert merge_nodes({"a": {"kind": "x", "old": 1}}, {"a": {"kind": "x", "new": 2}}) == {
        "a": {"kind": "x", "old": 1, "new": 2}
    }
    assert merge_nodes({"a": {"kind": "x", "old": 1}}, {"a": {"old": 2}}) == {
        "a": {"kind": "x", "old": 2}
    }
    assert merge_nodes({"a": [1, 2]}, {"a": [3]}) == {"a": [3]}


def test_includes_are_relative_to_the_file_and_the_file_wins(tmp_path: Path, base: Path) -> None:
    write(tmp_path / "parts" / "more.yaml", "include: [deep.yaml]\nside: short\nrest: 3")
    write(tmp_path / "parts" / "deep.yaml", "rest: 5\ncalm: false")
    top = write(tmp_path / "top.yaml", "include: [base.yaml, parts/more.yaml]\nsteps: 99")
    market = load_config(top, [], Market)
    assert (market.steps, market.side, market.rest, market.calm) == (99, "short", 3, False)


def test_include_cycles_are_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "include: [b.yaml]")
    write(tmp_path / "b.yaml", "include: [a.yaml]")
    assert "a.yaml -> b.yaml -> a.yaml" in problems(tmp_path / "a.yaml")[0]


def test_a_mapping_includes_files_in_order_below_its_own_keys(tmp_path: Path) -> None:
    write(
        tmp_path / "parts" / "venue.yaml",
        "name: v\nfees: {maker: 1}\nrequirement: {include: tight.yaml, compression: 0.3}",
    )
    write(
        tmp_path / "parts" / "tight.yaml", "kind: compressed\ncompression: 0.5"
    )  # relative to venue.yaml
    write(tmp_path / "parts" / "dear.yaml", "fees: {maker: 2, taker: 3}")
    text = """
steps: 1
band: {include: [parts/wide.yaml], low: -1}
venues:
- {include: parts/venue.yaml, name: a}
- {include: [parts/venue.yaml, parts/dear.yaml], fees: {taker: 4}}
- {include: parts/venue.yaml, requirement: {kind: tiered}}
- {name: d, requirement: {include: parts/tight.yaml}}
"""
    write(tmp_path / "parts" / "wide.yaml", "low: 0\nhigh: 9")
    market = load_config(write(tmp_path / "top.yaml", text), [], Market)
    assert market.band == Ordered(low=-1, high=9)
    assert market.venues == [
        Venue(name="a", requirement=Compressed(compression=0.3), fees=Fees(maker=1)),
        Venue(name="v", requirement=Compressed(compression=0.3), fees=Fees(maker=2, taker=4)),
        Venue(
            name="v", requirement=Tiered(), fees=Fees(maker=1)
        ),  # another kind: nothing of the included is left
        Venue(name="d", requirement=Compressed(compression=0.5)),
    ]


def test_an_include_counts_as_the_files_own_content(tmp_path: Path, base: Path) -> None:
    write(tmp_path / "tight.yaml", "kind: compressed\ncompression: 0.5")
    write(tmp_path / "one.yaml", "include: [base.yaml]\nband: {low: 0.5}")
    write(tmp_path / "wide.yaml", "high: 9")
    top = write(tmp_path / "top.yaml", "include: [one.yaml]\nband: {include: wide.yaml}")
    assert load_config(top, [], Market).band == Ordered(low=0.5, high=9)
    venues = "venues: [{name: z, requirement: {include: tight.yaml}}]"
    top = write(tmp_path / "top.yaml", f"include: [base.yaml]\n{venues}")
    assert load_config(top, ["steps=3"], Market).venues == [
        Venue(name="z", requirement=Compressed(compression=0.5))
    ]


def test_overrides_and_references_reach_included_content(tmp_path: Path) -> None:
    write(tmp_path / "tight.yaml", "kind: compressed\ncompression: ${band.low}")
    text = "steps: 1\nband: {low: 0.25}\nvenues: [{name: a, requirement: {include: tight.yaml}}]"
    top = write(tmp_path / "top.yaml", text)
    assert load_config(top, [], Market).venues[0].requirement == Compressed(compression=0.25)
    assert load_config(top, ["venues.0.requirement.compression=0.75"], Market).venues[
        0
    ].requirement == Compressed(compression=0.75)
    assert (
        load_config(top, ["venues.0.requirement.kind=tiered"], Market).venues[0].requirement
        == Tiered()
    )


def test_items_are_appended_to_lists(tmp_path: Path, base: Path) -> None:
    def counts(*overrides: str) -> list[int]:
        return [each.count for each in load_config(base, overrides, Market).populations]

    crowd = "populations+={kind: crowd, count: 4}"
    assert counts(crowd) == [3, 4]
    assert counts(crowd, crowd, "populations.2.count=6", "populations.*.kind=crowd") == [3, 4, 6]
    assert counts("populations=[]", crowd) == [4]
    assert counts(crowd, "populations=[{kind: crowd, count: 1}]") == [1]
    write(tmp_path / "more.yaml", "[{kind: crowd, count: 7}, {kind: crowd, count: 8}]")
    assert counts(f"populations+={{include: {tmp_path / 'more.yaml'}}}") == [3, 7, 8]
    assert counts(f"populations+={{include: {tmp_path / 'more.yaml'}, count: 9}}") == [3, 9, 9]
    bare = write(
        tmp_path / "bare.yaml", "steps: 1\nvenues: [{name: a, requirement: {kind: tiered}}]"
    )
    market = load_config(bare, [crowd, "venues.0.requirement.rates+=0.4"], Market)
    assert market.populations == [Crowd(count=4)]
    assert market.venues[0].requirement == Tiered(rates=(0.05, 0.4))
    assert problems(base, "populations+={kind: crowd}") == [
        "populations.1.count: missing, must be given (members (1)), add it"
    ]


def test_a_study_appends_items_too(base: Path) -> None:
    template = ConfigTemplate(base, ["populations+={kind: crowd, count: 4}"], Market)
    for count in (5, 6):
        config = template.build_config([("populations+", {"kind": "crowd", "count": count})])
        assert [each.count for each in config.populations] == [3, 4, count]


def test_problems_of_included_content_are_told_where_it_stands(tmp_path: Path) -> None:
    write(tmp_path / "tight.yaml", "kind: compressed\ncompression: 2\ncompresion: 1")
    text = "steps: 1\nvenues: [{name: a, requirement: {include: tight.yaml}}]"
    assert problems(write(tmp_path / "top.yaml", text)) == [
        "venues.0.requirement.compression: 2, must be less than 1 (share by which margins are "
        "cut (1)), lower it",
        "venues.0.requirement.compresion: unknown key (did you mean 'compression'?)",
    ]


def test_cycles_through_a_mapping_are_refused_by_name(tmp_path: Path) -> None:
    a = write(tmp_path / "a.yaml", "steps: 1\nvenues: [{include: [b.yaml]}]")
    write(tmp_path / "b.yaml", "fees: {include: a.yaml}")
    (line,) = problems(a)
    assert line == f"{a}: includes itself (a.yaml -> b.yaml -> a.yaml), " + (
        "includes may not go in circles, remove one of them"
    )


def test_all_that_cannot_be_included_is_told_at_once(shipped: Path, tmp_path: Path) -> None:
    broken = write(tmp_path / "broken.yaml", "a: [1\nb: 2")
    text = (
        "include: [crash_208, broken.yaml]\nvenues: [{include: engines/tin.yaml}, {requirement: "
        "{include: qqq}}]"
    )
    top = write(tmp_path / "top.yaml", text)
    assert problems(top, "steps=nonsense") == [
        f"{top}: include: crash_208: no such file or packaged configuration (did you mean "
        "'crash_2008'?), "
        "packaged are: crash_2008, engines/tiny",
        f"{broken}:2:2: not YAML, did not find expected ',' or ']', correct this line",
        f"{top}: venues.0.include: engines/tin.yaml: no such file or packaged configuration "
        "(did you mean 'engines/tiny'?), packaged are: crash_2008, engines/tiny",
        f"{top}: venues.1.requirement.include: qqq: no such file or packaged configuration, "
        "packaged are: crash_2008, engines/tiny, choose one",
    ]


def test_includes_do_not_depend_on_the_working_folder(
    shipped: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    write(tmp_path / "elsewhere" / "engines" / "tiny.yaml", "high: 7")
    write(shipped / "engines" / "tiny.yaml", "high: 8")
    write(tmp_path / "mine" / "base.yaml", BASE)
    mine = write(
        tmp_path / "mine" / "mine.yaml", "include: base.yaml\nband: {include: engines/tiny.yaml}"
    )
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_config(mine, [], Market).band.high == 8


def test_a_diamond_of_includes_is_no_cycle(tmp_path: Path, base: Path) -> None:
    write(tmp_path / "b.yaml", "include: [base.yaml]")
    write(tmp_path / "c.yaml", "include: [base.yaml]")
    assert (
        load_config(write(tmp_path / "d.yaml", "include: [b.yaml, c.yaml]"), [], Market).steps == 10
    )


def test_interpolation_works_but_not_into_the_environment(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "42")
    assert load_config(base, ["populations.0.count=${steps}"], Market).populations[0].count == 10
    (line,) = problems(base, "steps=${oc.env:SECRET}")
    assert line.startswith("steps: ")
    assert "42" not in line


def test_broken_references_are_all_told(base: Path) -> None:
    lines = problems(base, "steps=${nowhere}", "rest=${rest}", "side=flat")
    assert [line.split(":")[0] for line in lines] == ["steps", "rest", "side"]


def test_every_problem_at_once_one_line_each(base: Path, tmp_path: Path) -> None:
    text = """
steps: -1
calm: 1
side: lon
rest: .nan
nmae: x
venues:
- name: 7
  requirement: {kind: tierd}
- requirement: {kind: compressed, compression: 1.5}
- {name: c, requirement: {kind: compressed, compression: 0.5, rates: [1]}}
- {name: d, requirement: {rates: [1]}}
- {name: e, requirement: {kind: tiered, rates: [a, .inf]}}
- {name: f, requirement: {kind: tiered, rates: []}, fees: 3}
populations:
- {kind: crowd, cuont: 3}
- {kind: crowed, count: "3"}
"""
    assert problems(write(tmp_path / "bad.yaml", text)) == [
        "steps: -1, must be greater than 0 (steps (1)), raise it",
        "calm: 1, must be true or false (calm or not), write one of them without quotes",
        "side: 'lon' is not one of long, short (did you mean 'long'?)",
        "rest: nan, must be a finite number (pause (s)), write a number",
        "venues.0.name: 7, must be text (name), put it in quotes",
        "venues.0.requirement.kind: 'tierd' is not one of tiered, compressed (did you mean "
        "'tiered'?)",
        "venues.1.name: missing, must be given (name), add it",
        "venues.1.requirement.compression: 1.5, must be less than 1 (share by which margins are "
        "cut (1)), lower it",
        "venues.2.requirement.rates: unknown key, known are kind, compression, remove it",
        "venues.3.requirement.kind: missing, must be one of tiered, compressed, add it",
        "venues.4.requirement.rates.0: 'a', must be a number, write one without quotes",
        "venues.4.requirement.rates.1: inf, must be a finite number, write a number",
        "venues.5.requirement.rates: a list of 0, must be a list of at least 1 (maintenance "
        "rates (1)), add items",
        "venues.5.fees: 3, must be a mapping (fees), write 'key: value' lines below it",
        "populations.0.count: missing, must be given (members (1)), add it",
        "populations.0.cuont: unknown key (did you mean 'count'?)",
        "populations.1.kind: 'crowed' is not one of crowd (did you mean 'crowd'?)",
        "populations.1.count: '3', must be a whole number (members (1)), write 3 without quotes",
        "nmae: unknown key (did you mean 'name'?)",
    ]


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("stpes=3", "stpes: unknown key (did you mean 'steps'?)"),
        ("venues.0.fees.takr=3", "venues.0.fees.takr: unknown key (did you mean 'taker'?)"),
        ("nowhere.at.all=3", "nowhere: unknown key, known are"),
        (
            "venues.3.name=x",
            "venues.3.name: no item '3', the list has 1 item, number 0, choose one of them",
        ),
        ("venues.-1.name=x", "venues.-1.name: no item '-1'"),
        (
            "steps.x=3",
            "steps.x: 10 has no part 'x', only mappings and lists have parts, shorten the path",
        ),
        ("steps", "steps: not an override, must read path=value"),
        ("a..b=3", "a..b=3: not an override"),
        ("steps=[1", "steps: '[1', not a YAML value"),
        (
            "steps=2.5",
            "steps: 2.5, must be a whole number (steps (1)), write one without quotes or fraction",
        ),
        ("band={low: 3, high: 2}", "band: low 3 exceeds high 2, exchange them"),
        ("steps=true", "steps: true, must be a whole number"),
        ("steps=", "steps: nothing, must be a whole number"),
    ],
)
def test_bad_overrides(base: Path, override: str, line: str) -> None:
    (told,) = problems(base, override)
    assert told.startswith(line)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "a: 1\nb: [1\nc: 2",
            ":3:2: not YAML, did not find expected ',' or ']', correct this line",
        ),
        ("steps: 1\nsteps: 2", ":2:1: not YAML, found duplicate key steps, correct this line"),
        ("- 1", ": a list of 1, must be a mapping of keys, write 'key: value' lines"),
        (
            "a: ${b",
            ": line 1: a reference must read ${a.b}, a path counted from the top, correct it",
        ),
        ("a: \0", ": cannot be read, unacceptable character"),
        ("include: 3", ": include: 3, must be a file or a list of files, write include: [a.yaml]"),
        (
            "a: [{include: [b, 3]}]",
            ": a.0.include: ['b', 3], must be a file or a list of files, write include: [a.yaml]",
        ),
    ],
)
def test_bad_files_are_told_by_file_and_line(tmp_path: Path, text: str, line: str) -> None:
    path = write(tmp_path / "bad.yaml", text)
    (told,) = problems(path)
    assert told.startswith(f"{path}{line}")


def test_unreadable_text_and_empty_files(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"name: \xff\xfe")
    assert "cannot be read" in problems(path)[0]
    assert [line.split(":")[0] for line in problems(write(tmp_path / "empty.yaml", ""))] == [
        "steps",
        "venues",
    ]


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shipped"
    write(folder / "crash_2008.yaml", BASE)
    write(folder / "engines" / "tiny.yaml", "side: short")
    monkeypatch.setattr("sim.reading.packaged.PACKAGED", folder)
    return folder


@pytest.mark.parametrize(
    "name", ["crash_2008", "crash_2008.yaml", "configs/crash_2008.yaml", "configs/crash_2008"]
)
def test_packaged_names(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config(name, [], Market).steps == 10


def test_an_existing_path_comes_before_a_packaged_name(
    shipped: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "crash_2008", BASE.replace("10", "11"))
    assert load_config("crash_2008", [], Market).steps == 11


def test_packaged_includes(shipped: Path, tmp_path: Path) -> None:
    mine = write(tmp_path / "mine.yaml", "include: [crash_2008, engines/tiny.yaml]")
    assert load_config(mine, [], Market).side == "short"


def test_a_missing_file_lists_what_there_is(shipped: Path) -> None:
    assert list_packaged() == ["crash_2008", "engines/tiny"]
    (line,) = problems("crash_208.yaml")
    assert line == (
        "crash_208.yaml: no such file or packaged configuration (did you mean 'crash_2008'?), "
        "packaged are: crash_2008, engines/tiny"
    )
    assert "no such file" in problems("../base")[0]


@pytest.mark.parametrize("name", [name for name in list_packaged() if name.startswith("engines/")])
def test_every_packaged_engine_is_one_in_a_market(tmp_path: Path, name: str) -> None:
    text = f"""
duration: 60
underlyings: [{{name: x, start: 100, process: {{kind: gbm, volatility: 0.5}}}}]
venues:
- name: v
  instruments: [{{name: X-PERP, underlying: x, tick: 0.1, lot: 0.1, max_price: 1000}}]
  engine: {{include: {name}.yaml}}
"""
    (venue,) = load_config(write(tmp_path / "mine.yaml", text), [], MarketConfig).venues
    assert venue.engine == EngineConfig.model_validate(resolve_config(name))


def test_resolve_gives_plain_data(base: Path) -> None:
    assert resolve_config(base, ["rest=${steps}"])["rest"] == 10
    with pytest.raises(ConfigError):
        resolve_config(base, ["rest=${nowhere}"])
