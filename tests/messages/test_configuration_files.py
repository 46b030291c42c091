"""Messages of wrong configuration files and idle settings, each raised, heeded, and then gone."""

from pathlib import Path

import pytest
import yaml
from breakage import BASE, parts, problems

from experiments.cautions import find_idle_settings
from experiments.config import RunConfig, load_run
from experiments.file_kinds import load_kind
from experiments.words import word_overrides
from sim.errors import ConfigError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(BASE)
    return tmp_path


CAUTIONS: list[tuple[str, str, str]] = [
    (
        "populations=[{kind: liquidators, count: 2, venue: exchange}]",
        "populations.0: 'liquidators' bid for lots that an auction has on offer",
        "populations=[{kind: liquidators, count: 2, venue: exchange}] ; "
        "venues.0.liquidation.kind=auction",
    ),
    (
        "venues.0.engine.valuation={kind: delta_adjusted} ; venues.0.instruments.0.kind=spot",
        "all spot is cut as not hedged: list spot and a perpetual of one underlying in "
        "venues.0.instruments, or choose another valuation",
        "venues.0.engine.valuation={kind: delta_adjusted} ; venues.0.instruments.0.kind=spot ; "
        "venues.0.instruments.1.underlying=btc",
    ),
    (
        "venues.0.engine.valuation={kind: delta_adjusted} ; venues.0.instruments.0.kind=spot ; "
        "venues.0.instruments.1.underlying=btc ; venues.0.engine.netting.kind=isolated",
        "all spot is cut as not hedged: set venues.0.engine.netting.kind to cross",
        "venues.0.engine.valuation={kind: delta_adjusted} ; venues.0.instruments.0.kind=spot ; "
        "venues.0.instruments.1.underlying=btc ; venues.0.engine.netting.kind=cross",
    ),
]


@pytest.mark.parametrize(("idle", "expected", "mended"), CAUTIONS)
def test_a_warning_goes_once_it_is_heeded(idle: str, expected: str, mended: str) -> None:
    (line,) = find_idle_settings(load_run("mine.yaml", parts(idle)))
    assert expected in line
    assert find_idle_settings(load_run("mine.yaml", parts(mended))) == []


def test_what_only_quick_sets_is_told_of_quick() -> None:
    assert problems(["quick={duraton: 60}"], quick=True) == [
        "quick.duraton: unknown key (did you mean 'duration'?)"
    ]
    assert problems(["quick={duration: 60}"], quick=True) == []
    assert problems(["quick={duration: 60}", "dt=0"], quick=True)[0].startswith(
        "dt: 0, must be greater than 0"
    )


def test_another_kind_of_an_instrument_keeps_its_other_keys() -> None:
    config = load_run("mine.yaml", ["venues.0.instruments.0.kind=spot"])
    assert (config.venues[0].instruments[0].kind, config.venues[0].instruments[0].lot) == (
        "spot",
        0.02,
    )


def test_a_resolved_run_with_recorded_rates_is_read_again() -> None:
    config = load_run(
        "mine.yaml", ["venues.0.funding={kind: recorded, rates: [[60, 0.001], [120, -0.001]]}"]
    )
    Path("again.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert load_run("again.yaml") == config


FILES: list[tuple[str | bytes, str, str]] = [
    ("3", "mine.yaml: '3', must be a mapping of keys, write 'key: value' lines", BASE),
    ("words", "mine.yaml: 'words', must be a mapping of keys", BASE),
    ("[1]", "mine.yaml: a list of 1, must be a mapping of keys", BASE),
    (
        BASE + "dt: a: b",
        "mine.yaml:29:6: not YAML, mapping values are not allowed",
        BASE + "dt: 30",
    ),
    (BASE + "venues: []", "not YAML, found duplicate key venues, correct this line", BASE),
    (
        BASE + "dt: *x",
        "not YAML, found undefined alias, correct this line",
        BASE + "seed: &x 3\ndt: *x",
    ),
    (BASE + "dt: !foo 3", "the tag '!foo', tags have no meaning here, remove it", BASE + "dt: 3"),
    (
        BASE + "seed: &x [*x]",
        "*x stands inside the value it refers to, remove it",
        BASE + "seed: 3",
    ),
    (
        BASE + "dt: ${duration",
        "a reference must read ${a.b}, a path counted from the top",
        BASE + "dt: ${duration}",
    ),
    (
        BASE + "dt: '3",
        "not YAML, found unexpected end of stream, correct this line",
        BASE + "dt: 3",
    ),
    (
        BASE + "dt: '3'",
        "dt: '3', must be a number (length of a step (s)), write 3 without quotes",
        BASE + "dt: 3",
    ),
    (
        BASE + "include: none.yaml",
        "mine.yaml: include: none.yaml: no such file",
        BASE + "include: baseline",
    ),
    (BASE + "include: mine.yaml", "mine.yaml: includes itself (mine.yaml -> mine.yaml)", BASE),
    (
        BASE + "include:",
        "mine.yaml: include: nothing, must be a file or a list",
        BASE + "include: [baseline]",
    ),
    (BASE + "x: \0", "mine.yaml: cannot be read, unacceptable character U+0000", BASE),
    (
        BASE.encode() + b"name: \xff",
        "is not UTF-8 text, save the file as UTF-8",
        BASE + "description: \u00ff",
    ),
    (BASE.replace("venues:", "venus:"), "venus: unknown key (did you mean 'venues'?)", BASE),
    (
        BASE + f"dt: {'9' * 1001}",
        "a number of 1,001 digits, at most 1,000 are read, shorten it",
        BASE + "dt: 9",
    ),
    (
        BASE + "description: " + "a" * 1_000_001,
        "characters, at most 1,000,000 are read, shorten it",
        BASE,
    ),
    (
        BASE + "quick: " + "[" * 32 + "]" * 32,
        "more than 32 levels inside one another, write fewer",
        BASE,
    ),
]


@pytest.mark.parametrize(("wrong", "expected", "mended"), FILES, ids=[row[1][:40] for row in FILES])
def test_a_file_is_accepted_once_its_message_is_heeded(
    wrong: str | bytes, expected: str, mended: str
) -> None:
    Path("mine.yaml").write_bytes(wrong if isinstance(wrong, bytes) else wrong.encode())
    lines = problems([])
    assert any(expected in line for line in lines), lines
    Path("mine.yaml").write_text(mended)
    assert problems([]) == []


def test_a_file_of_another_kind_is_no_engine() -> None:
    with pytest.raises(
        ConfigError,
        match="--engine: portfolios/single_perp: holds an account, use deleverage margin",
    ):
        word_overrides({"engine": "portfolios/single_perp"})
    (swap,) = word_overrides({"engine": "span"})
    assert problems([swap]) == []


def test_what_is_no_file_is_told_as_such(folder: Path) -> None:
    (folder / "d.yaml").mkdir()
    assert problems([], "d.yaml") == ["d.yaml: is a folder, a pipe or a device, name a file"]
    (line,) = problems([], "baselin")
    assert line == "baselin: no such file or packaged configuration (did you mean 'baseline'?)"


@pytest.mark.parametrize(
    ("kind", "first"), [("study", "studies/anatomy"), ("portfolio", "portfolios/hedged_basis")]
)
def test_a_missing_file_of_a_kind_lists_packaged_ones_of_that_kind(kind: str, first: str) -> None:
    with pytest.raises(ConfigError, match=f"packaged are: {first}, "):
        load_kind(kind, "nowhere", (), RunConfig)
