"""Bad input of a user: one line a problem, with path, value, rule and remedy.

The exit code is 2, and no file is left behind.
"""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from experiments import run
from experiments.cli import app

BASE = """
duration: 600
underlyings:
- {name: btc, start: 50000, process: {kind: gbm, volatility: 0.6}}
- {name: eth, start: 3000, process: {kind: gbm, volatility: 0.8}}
correlation: [[1, 0.8], [0.8, 1]]
stresses: [{kind: move, at: 300, size: -0.10}]
venues:
- name: exchange
  instruments:
  - {name: BTC-PERP, underlying: btc, tick: 0.5, lot: 0.02, max_price: 200000, max_lots: 2_000_000}
  - {name: ETH-PERP, underlying: eth, tick: 0.1, lot: 0.1, max_price: 20000, max_lots: 2_000_000}
- name: outside
  instruments:
  - {name: BTC-SPOT, underlying: btc, kind: spot, tick: 0.5, lot: 0.02, max_price: 200000,
     max_lots: 2_000_000}
  engine:
    netting: {kind: cross}
    requirement: {kind: tiered, tiers: [{floor: 0, max_leverage: 5}]}
populations:
- {kind: traders, count: 30, venue: exchange}
- {kind: makers, count: 4, venue: exchange}
- {kind: arbitrageurs, count: 3, venue: exchange, spot_venue: outside, instruments: [BTC-PERP]}
- {kind: insurance_fund, venue: exchange}
""".replace(
    "- name: outside",
    "  engine: {netting: {kind: cross}, requirement: {kind: tiered}}\n- name: outside",
)

UNPRICED = [
    "venues.0.instruments: 'BTC-PERP' sees its index go from",
    "venues.1.instruments: 'BTC-SPOT' sees its index go from",
]
GROUPS = "venues.0.engine.netting={kind: groups, groups: [[BTC-PERP], [%s]]}"

CONFIGURATIONS: list[tuple[str, list[str]]] = [
    # renamed in 0.3
    ("venues.0.engine.kappa=0.3", ["venues.0.engine.kappa: was renamed, write compression"]),
    ("venues.0.engine.scale=2", ["venues.0.engine.scale: was renamed, write margin_multiplier"]),
    ("populations.0.hold=60", ["populations.0.hold: was renamed, write holding_time"]),
    ("venues.0.instruments.0=0.1", ["venues.0.instruments.0: 0.1, must be a mapping, write"]),
    # misspelt
    ("sede=3", ["sede: unknown key (did you mean 'seed'?)"]),
    (
        "venues.0.engine.requirement.tires=[]",
        ["venues.0.engine.requirement.tires: unknown key (did you mean 'tiers'?)"],
    ),
    (
        "venues.0.engine.netting.kind=crosss",
        [
            "venues.0.engine.netting.kind: 'crosss' is not one of cross, isolated, "
            "by_underlying, groups "
            "(did you mean 'cross'?)"
        ],
    ),
    (
        "venues.0.engine.requirement={kind: compressed, compression: 0.3, inner: {}}",
        ["venues.0.engine.requirement.inner.kind: missing, must be one of tiered, "],
    ),
    # kinds that have no market yet, and terms that do not fit
    (
        "venues.0.instruments.0={name: C, underlying: btc, kind: option, tick: 0.5, lot: 0.02, "
        "max_price: 200000, "
        "expiry: 86400, strike: 50000, option: call}",
        [
            "venues.0.instruments.0.kind: 'option', 'C' can be valued and margined but not "
            "traded yet: list perpetual or"
        ],
    ),
    (
        "venues.0.instruments.0.expiry=60",
        [
            "venues.0.instruments.0.expiry: 60.0, 'BTC-PERP' is of kind 'perpetual' and has "
            "none: remove it"
        ],
    ),
    # wrong types and values
    ("dt=abc", ["dt: 'abc', must be a number (length of a step (s)), write one without quotes"]),
    ("populations.0.count=1.5", ["populations.0.count: 1.5, must be a whole number"]),
    ("populations.0.wealth=-5", ["populations.0.wealth: -5, must be greater than 0"]),
    ("populations.0.wealth=1e16", ["populations.0.wealth: 1e+16 gives a member"]),
    ("populations.1.wealth_sigma=1e3", ["populations.1.wealth: 1e+06 gives a member"]),
    ("dt=.nan", ["dt: nan, must be a finite number"]),
    ("duration=.inf", ["duration: inf, must be a finite number"]),
    ("duration=1e15", ["duration: 1e+15 s in steps of 60 s, must be less than 1e+08 steps"]),
    (
        "underlyings.0.process={kind: replay, source: x.csv, start: 15.9.2008}",
        ["underlyings.0.process.start: '15.9.2008', must be a date such as 2008-09-15 (first day"],
    ),
    (
        "venues.0.engine.requirement={kind: compressed, compression: 1, inner: {kind: tiered}}",
        [
            "venues.0.engine.requirement.compression: 1, must be less than 1 (share by which "
            "margins are cut"
        ],
    ),
    (
        "venues.1.engine.requirement.tiers=[{floor: 0, max_leverage: 0.5}]",
        [
            "venues.1.engine.requirement.tiers: max_leverage 0.5 at floor 0 requires more than "
            "the position is worth"
        ],
    ),
    # money that is not whole
    (
        "venues.0.instruments.0.tick=0.003",
        [
            "venues.0.instruments.0.lot: tick x lot = 0.003 x 0.02 is 0.006",
            "venues.0.instruments.0.max_price: 200000 is not a multiple of the tick 0.003, round "
            "it",
            "venues.0.instruments.0.max_price: 200000 is 6.67e+7 ticks; books keep room for each "
            "price, 1.12e+07 for",
        ],
    ),
    (
        "venues.0.instruments.0.max_lots=1000000000000000",
        ["venues.0.instruments.0.max_lots: the largest position"],
    ),
    ("underlyings.0.start=0.1", UNPRICED),
    ("underlyings.0.process.volatility=1e6", UNPRICED),
    # correlations
    (
        "correlation=[[1, 2], [2, 1]]",
        ["correlation: not positive semi-definite (smallest eigenvalue -1)"],
    ),
    (
        "correlation=[[1]]",
        ["correlation: rows of [1] numbers, must be 2 rows of 2, one per underlying"],
    ),
    ("correlation=[[1, .nan], [0, 1]]", ["correlation.0.1: nan, must be a finite number"]),
    # names
    ("venues.1.name=exchange", ["venues: exchange listed twice; names must be unique"]),
    ("populations.1.name=traders", ["populations: name 'traders' is used twice"]),
    ("stresses.0.underlyings=[dog]", ["stresses.0.underlyings: 'dog' is not one of btc, eth"]),
    (
        GROUPS % "ETH-PREP",
        [
            "venues.0.engine.netting.groups: 'ETH-PREP' is not an instrument of this venue",
            "venues.0.engine.netting.groups: 'ETH-PERP' stands in 0 groups",
        ],
    ),
    (
        GROUPS % "BTC-PERP, ETH-PERP",
        ["venues.0.engine.netting.groups: 'BTC-PERP' stands in 2 groups"],
    ),
    (
        "venues.1.engine.requirement.instruments={DOG: [{floor: 0, max_leverage: 4}]}",
        [
            "venues.1.engine.requirement: 'DOG' is not an instrument of this venue, use one of "
            "BTC-SPOT"
        ],
    ),
    (
        "populations.0.venue=binance",
        ["populations.0.venue: 'binance' is not one of exchange, outside"],
    ),
    (
        "populations.0.instruments=[DOG]",
        ["populations.0.instruments: 'DOG' is not one of BTC-PERP, ETH-PERP"],
    ),
    (
        "populations.2.spot_venue=binance",
        ["populations.2.spot_venue: 'binance' is not one of exchange, outside"],
    ),
    (
        "populations.2.spot_venue=exchange",
        ["populations.2.spot_venue: exchange lists no spot for BTC-PERP"],
    ),
    (
        "populations.2.venue=binance populations.3.venue=bin",
        [
            "populations.2.venue: 'binance' is not one of",
            "populations.3.venue: 'bin' is not one of",
        ],
    ),
]

FILES = [
    (None, "no such file"),
    ("", "is empty, a header and rows are needed"),
    ("date,close\n", "0 rows, at least one day is needed"),
    ("day,close\n2020-01-02,1\n", "no column of times among day, close"),
    (
        "date,close\n2020-01-03,1\n2020-01-02,1\n",
        "row 1: 2020-01-02 stands after 2020-01-03; days must increase",
    ),
    ("date,close\n2020-01-02,1\n2020-01-02,1\n", "row 1: 2020-01-02 repeats the row before"),
    ("date,close\n2020-01-02,\n", "row 0 (2020-01-02): close nan must be a price above 0"),
    ("date,close\n2020-01-02,-inf\n", "row 0 (2020-01-02): close -inf must be a price above 0"),
    ("date,close\n2020-01-02,1\n2020-01-03,dear\n", "row 1: close 'dear' is not a number"),
    ("date,close\n01/13/2020,1\n", "row 0: '01/13/2020' is not a date such as 2008-09-15"),
    ("date,close\n2020-01-02T00Z,1\n2020-01-03T00+01:00,1\n", "time zones of several places"),
]


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(BASE)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app.app, ["run", "mine.yaml", *arguments])


def refused(done: Result, starts: list[str], left: tuple[str, ...] = ("mine.yaml",)) -> None:
    """Exactly these lines on stderr, nothing on stdout, nothing on disk."""
    lines = done.stderr.splitlines()
    assert len(lines) == len(starts), done.stderr
    for line, start in zip(lines, starts, strict=True):
        assert line.startswith(start)
    assert (done.exit_code, done.stdout) == (2, "")
    assert sorted(path.name for path in Path().iterdir()) == sorted(
        {*left, *(["results"] if _empty() else [])}
    )


def _empty() -> bool:
    return Path("results").is_dir() and not any(Path("results").iterdir())


@pytest.mark.parametrize(
    ("overrides", "starts"), CONFIGURATIONS, ids=[case[0] for case in CONFIGURATIONS]
)
def test_configurations_that_cannot_be(overrides: str, starts: list[str]) -> None:
    parts = overrides.split(" populations.")
    refused(call(parts[0], *(f"populations.{part}" for part in parts[1:])), starts)


def test_a_contract_that_settles_in_a_coin_is_refused() -> None:
    expected = (
        "venues.0.instruments.0.settle: 'btc' is an underlying, so 'BTC-PERP' is coin-margined "
        "(inverse); only"
    )
    refused(
        call("assets=[{name: USD}, {name: btc}]", "venues.0.instruments.0.settle=btc"), [expected]
    )
    expected = (
        "venues.0.instruments.1.settle: 'XETH' is worth 3000, so 'ETH-PERP' is coin-margined "
        "(inverse); only"
    )
    refused(
        call(
            "assets=[{name: USD}, {name: XETH, price: 3000}]", "venues.0.instruments.1.settle=XETH"
        ),
        [expected],
    )


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ("run", "portfolios/single_perp"),
            "portfolios/single_perp: holds an account, use deleverage margin "
            "portfolios/single_perp",
        ),
        (
            ("run", "studies/anatomy"),
            "studies/anatomy: is a study of many runs, use deleverage sweep studies/anatomy",
        ),
        (
            ("run", "engines/span"),
            "engines/span: is a margin engine, use deleverage run MARKET --engine engines/span",
        ),
        (("sweep", "small_crash"), "small_crash: is a market, use deleverage run small_crash"),
        (("sweep", "mine.yaml"), "mine.yaml: is a market, use deleverage run mine.yaml"),
        (("margin", "mine.yaml"), "mine.yaml: is a market, use deleverage run mine.yaml"),
        (
            ("margin", "portfolios/shocks"),
            "portfolios/shocks: holds shocks of an account, use deleverage margin PORTFOLIO "
            "--stress portfolios/shocks",
        ),
    ],
    ids=str,
)
def test_a_file_of_another_kind_is_named_with_its_command(
    words: tuple[str, ...], line: str
) -> None:
    refused(CliRunner().invoke(app.app, list(words)), [line])


@pytest.mark.parametrize(("text", "number"), [("-.2", "-0.2"), ('"60"', "60"), ("'1e3'", "1000")])
def test_a_number_that_is_read_as_text_is_written_out(text: str, number: str) -> None:
    """YAML reads -.2 as a word, though nothing is in quotes."""
    Path("mine.yaml").write_text(BASE.replace("duration: 600", f"duration: {text}"))
    expected = (
        f"must be a number (length of the run; none = the replay's (s)), write {number} without "
        "quotes"
    )
    done = call()
    refused(done, ["duration: "])
    assert done.stderr.rstrip().endswith(expected)


def test_problems_of_all_parts_are_told_at_once() -> None:
    ladder = "engine.requirement.instruments={DOG: [{floor: 0, max_leverage: 4}]}"
    expected = "engine.requirement: 'DOG' is not an instrument of this venue"
    refused(
        call(f"venues.0.{ladder}", f"venues.1.{ladder}"),
        [f"venues.0.{expected}", f"venues.1.{expected}"],
    )
    wrong = (
        "venues.0.instruments.0.underlying=dog",
        "correlation=[[1]]",
        "assets=[{name: USD, price: 2}]",
    )
    lines = [
        "assets.0.price: 2",
        "venues.0.instruments.0.underlying: 'dog' is not",
        "correlation: rows of [1] numbers",
    ]
    refused(call(*wrong), lines)


@pytest.mark.parametrize(("text", "expected"), FILES, ids=[case[1] for case in FILES])
def test_replays_that_cannot_be_read(text: str | None, expected: str) -> None:
    if text is not None:
        Path("days.csv").write_text(text)
    done = call("underlyings.0={name: btc, process: {kind: replay, source: days.csv}}")
    refused(
        done,
        [f"days.csv: {expected}"],
        ("mine.yaml",) if text is None else ("mine.yaml", "days.csv"),
    )


@pytest.mark.parametrize(
    "out", ["/", ".", "", "..", "mine.yaml", "mine.yaml/x", "/proc/nowhere/x", "dangling", "kept"]
)
def test_places_that_hold_no_result(out: str) -> None:
    Path("dangling").symlink_to("nowhere/at/all")
    Path("kept").mkdir()
    Path("kept/thesis.txt").write_text("mine")
    done = call("--out", out)
    refused(done, [str(Path(out))], ("mine.yaml", "dangling", "kept"))
    assert Path("kept/thesis.txt").read_text() == "mine"


def test_what_fails_while_building_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def crowded(*_: Any, **__: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(run, "Market", crowded)
    done = call("--out", "x")
    assert (done.exit_code, done.stdout) == (1, "")
    assert (
        done.stderr
        == "run failed: run: building: MemoryError: no room; traceback in x/failed/seed-1.txt\n"
    )
