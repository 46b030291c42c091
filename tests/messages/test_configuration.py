"""Messages of wrong configurations: each is raised, its remedy applied, and the result accepted.

A row holds overrides of ``BASE`` that are refused, the beginning or a part of the line about
them, and the overrides after its remedy. A remedy that leads to another refusal is a fault of the
message.
"""

from pathlib import Path

import pytest
from breakage import BASE, parts, problems

Row = tuple[str, str, str]
"""Overrides that are refused, part of the message, overrides after the remedy (`` ; `` between)."""

OVERRIDES: list[Row] = [
    ("seed", "seed: not an override, must read path=value, write for example seed=3", "seed=3"),
    (
        "venues.*.*.*.x=3",
        "venues.*.*.*.x: more than two *, write the number of an item",
        "venues.*.instruments.0.lot=0.2",
    ),
    (
        "underlyings.*=3",
        "add the part to set, such as underlyings.*.name",
        "underlyings.0.name=btc",
    ),
    (
        "correlation.*=3",
        "set one item such as correlation.0, or correlation as a whole",
        "correlation=[[1, 0], [0, 1]]",
    ),
    ("seed.*=3", "write the path of one value, such as seed or venues.0.name", "seed=3"),
    ("venues.*.bnd=1", "venues.*.bnd: no item there has a part 'bnd'", "venues.*.band=1"),
    (
        "venues.7.band=1",
        "venues.7.band: no item '7', the list has 2 items counted from 0",
        "venues.1.band=1",
    ),
    (
        "stresses.1.at=3",
        "stresses.1.at: no item '1', the list has 1 item, number 0",
        "stresses.0.at=3",
    ),
    (
        "venues.0.waterfall.0.kind=fund",
        "no item '0', the list is empty, set it as a whole: venues.0.waterfall=[...]",
        "venues.0.waterfall=[{kind: fund}]",
    ),
    (
        "populations.4={kind: metaorder, venue: exchange}",
        "no item '4', the list has 4 items counted from 0, choose one of them, or append one with "
        "populations+=...",
        "populations+={kind: makers, name: more, count: 2, venue: exchange}",
    ),
    (
        "venues.0.name+=x",
        "venues.0.name+: 'exchange' is no list, only a list takes items with +=, set the value",
        "venues.1.name=x ; populations.2.spot_venue=x",
    ),
    ("+=x", "+=x: not an override, must read path=value", "seed=3"),
    ("seed.x=3", "seed.x: seed is one value without parts, shorten the path", "seed=3"),
    (
        "venues.0.name.x=a",
        "venues.0.name.x: 'exchange' has no part 'x'",
        "venues.1.name=a ; populations.2.spot_venue=a",
    ),
    (
        "description={a: b",
        "description: '{a: b', not a YAML value (did not find",
        "description='{a: b'",
    ),
    (
        "description=*a",
        "description: '*a', not a YAML value (found undefined alias), quote it",
        "description='*a'",
    ),
    (
        "seed=!!int 3",
        "seed: '!!int 3', the tag 'tag:yaml.org,2002:int', tags have no meaning here, remove it",
        "seed=3",
    ),
    ("name=x${seed", "name: 'x${seed', a reference must read ${a.b}", "name=x${seed} ; seed=3"),
    ("seed=${a${b}}", "seed: '${a${b}}', a reference must read ${a.b}", "seed=${duration}"),
    (
        "seed=${oc.env:HOME}",
        "seed: '${oc.env:HOME}', a reference must read ${a.b}",
        "seed=${duration}",
    ),
    (
        "seed=${max_round}",
        "there is no max_round, a reference must lead to a value",
        "seed=${max_rounds} ; max_rounds=9",
    ),
    ("seed=${seed}", "references may not go in circles, write the value", "seed=3"),
    (
        "name=x${venues}",
        "venues is a list of 2, only a value can stand inside a text",
        "name=x${venues.0.name}",
    ),
]

FILES_AND_KINDS: list[Row] = [
    (
        "venues.0.engine=spann",
        "venues.0.engine: 'spann' is not one of binance",
        "venues.0.engine=span",
    ),
    (
        "venues.0.engine=a/span",
        "venues.0.engine: a/span: no such file",
        "venues.0.engine=engines/span",
    ),
    (
        "venues.0.engine=a/b",
        "packaged are: binance, bybit",
        "venues.0.engine=engines/binance",
    ),
    (
        "venues.0.engine=populations/bitmex_like",
        "holds a list of 7, must hold a mapping",
        "venues.0.engine=vega",
    ),
    (
        "venues.0.engine.include=3",
        "must be a file or a list of files",
        "venues.0.engine.include=[engines/span]",
    ),
    ("venues.0.engine.include=spn", "spn: no such file", "venues.0.engine.include=engines/span"),
    (
        "populations={include: populations/bitmex_like} ; populations.*.instruments=[BTC-PERP]",
        "only an item of a list can include a list, as its one file, write [{include: "
        "populations/bitmex_like}]",
        "populations=[{include: populations/bitmex_like}] ; populations.*.instruments=[BTC-PERP]",
    ),
    (
        "venues.0.engine.netting=crss",
        "write {kind: cross} (kinds are cross,",
        "venues.0.engine.netting={kind: cross}",
    ),
    (
        "venues.0.waterfall=fnd",
        "'fnd' is not one of binance, bitmex, ",
        "venues.0.waterfall=fund",
    ),
    (
        "underlyings.0.process=gbmm",
        "write {kind: gbm} (kinds are gbm",
        "underlyings.0.process={kind: gbm, volatility: 1}",
    ),
    (
        "populations.1=maker",
        "write {kind: makers}",
        "populations.1={kind: makers, count: 2, venue: exchange}",
    ),
    (
        "populations=bitmex",
        "populations: 'bitmex' is not one of bitmex_like",
        "populations=[{kind: traders, count: 2, venue: exchange}]",
    ),
    (
        "stresses=[{at: 3, size: 0.1}]",
        "stresses.0.kind: missing, must be one of move",
        "stresses=[{kind: move, at: 3, size: 0.1}]",
    ),
    (
        "stresses=[{kind: null, at: 3, size: 0.1}]",
        "stresses.0.kind: nothing is not one of move",
        "stresses=[{kind: move, at: 3, size: 0.1}]",
    ),
    (
        "venues.0.instruments.0.kind=perp",
        "kind: 'perp' is not one of perpetual",
        "venues.0.instruments.0.kind=perpetual",
    ),
    (
        "venues.0.funding={kind: recorded, since: 1970, rates: [[1, 0.1]]}",
        "venues.0.funding.since: 1970, must be text, write '1970' in quotes",
        "venues.0.funding={kind: recorded, since: '1970', rates: [[1, 0.1]]}",
    ),
    ("sede=3", "sede: unknown key (did you mean 'seed'?)", "seed=3"),
    ("venues.0.fees.x=3", "unknown key, known are maker, taker, liquidation, remove it", ""),
    ("rescues=[{}]", "rescues.0.owners: none, and no populations", "rescues=[{owners: [0]}]"),
]

MONEY: list[Row] = [
    (
        "assets.0.price=2",
        "assets.0.price: 2, the numeraire 'USD' is worth 1: remove it",
        "",
    ),
    (
        "assets=[{name: USD}, {name: USD}]",
        "assets: USD listed twice; names must be unique",
        "assets=[{name: USD}, {name: B}]",
    ),
    ("venues.1.name=exchange", "venues: exchange listed twice", "venues.1.name=outside"),
    (
        "venues.0.instruments.1.name=BTC-PERP",
        "venues.*.instruments: BTC-PERP listed twice",
        "venues.0.instruments.1.name=E",
    ),
    (
        "venues.0.instruments.0.underlying=bt",
        "'bt' is not one of btc, eth",
        "venues.0.instruments.0.underlying=btc",
    ),
    (
        "venues.0.instruments.0.settle=EUR",
        "'EUR' is not one of USD, use one of them, or declare it under assets",
        "venues.0.instruments.0.settle=EUR ; assets=[{name: USD}, {name: EUR}]",
    ),
    (
        "venues.0.instruments.0.settle=btc ; assets=[{name: USD}, {name: btc}]",
        "is coin-margined (inverse); only contracts that settle in the currency of their price",
        "venues.0.instruments.0.settle=USD ; assets=[{name: USD}, {name: btc}]",
    ),
    (
        "venues.0.instruments.0.lot=0.03",
        "lot: tick x lot = 0.5 x 0.03",
        "venues.0.instruments.0.lot=0.03 ; assets.0.decimals=3",
    ),
    (
        "venues.0.instruments.0.lot=0.03",
        "or set venues.0.instruments.0.lot to 0.06",
        "venues.0.instruments.0.lot=0.06",
    ),
    (
        "venues.0.instruments.0.max_price=100000.3",
        "max_price: 100000.3 is not a multiple of the tick 0.5, round it: set it to 100000",
        "venues.0.instruments.0.max_price=100000",
    ),
    (
        "venues.0.instruments.0.max_price=1e9",
        "for each of 3: lower it to at most 5592405 or raise the tick",
        "venues.0.instruments.0.max_price=5592405 ; venues.0.instruments.0.max_lots=1000",
    ),
    (
        "venues.0.instruments.0.max_lots=1e15",
        "it must stay below 2^53: lower max_lots to at most 938249922 or max_price",
        "venues.0.instruments.0.max_lots=938249922",
    ),
    (
        "venues.0.instruments.*.max_lots=2e10",
        "together; they must stay below 2^53: divide every max_lots by 2, rounded down",
        "venues.0.instruments.*.max_lots=1e10",
    ),
    (
        "populations.1.count=1000 ; venues.*.instruments.*.max_lots=1e10",
        "must stay below 2^62: divide every max_lots by 2, rounded down, or lower counts",
        "populations.1.count=1000 ; venues.*.instruments.*.max_lots=5e9",
    ),
    (
        "duration=null",
        "duration: missing; only a replay sets its own length: give seconds",
        "duration=60",
    ),
    ("duration=1e15", "must be less than 1e+08 steps: shorten it or raise dt", "duration=600"),
    (
        "underlyings.0.start=null",
        "underlyings.0.start: missing; every process but replay",
        "underlyings.0.start=50000",
    ),
    (
        "underlyings.0.start=0.1",
        "set its tick to at most 0.09, or change the process or the start",
        "underlyings.0.start=50000",
    ),
    (
        "underlyings.0.start=250000",
        "set its max_price to at least ",
        "underlyings.0.start=250000 ; venues.*.instruments.0.max_price=300000",
    ),
    (
        "venues.0.instruments.0={name: C, underlying: btc, kind: option, tick: 0.5, lot: 0.02, "
        "max_price: 200000}",
        "venues.0.instruments.0.kind: 'option', 'C' can be valued and margined but not traded "
        "yet: list perpetual",
        "venues.0.instruments.0={name: BTC-PERP, underlying: btc, kind: spot, tick: 0.5, lot: "
        "0.02, max_price: 200000}",
    ),
    ("venues.0.instruments.0.expiry=60", "is of kind 'perpetual' and has none: remove it", ""),
    (
        "correlation=[[1]]",
        "must be 2 rows of 2, one per underlying",
        "correlation=[[1, 0], [0, 1]]",
    ),
    (
        "correlation=[[1, 0.8], [0.7, 1]]",
        "0.8 is not 0.7, the entry at 1.0",
        "correlation=[[1, 0.8], [0.8, 1]]",
    ),
    (
        "correlation=[[2, 0], [0, 1]]",
        "correlation.0.0: 2, must be 1",
        "correlation=[[1, 0], [0, 1]]",
    ),
    (
        "correlation=[[1, 2], [2, 1]]",
        "not positive semi-definite",
        "correlation=[[1, 0.9], [0.9, 1]]",
    ),
    ("stresses.0.underlyings=[b]", "'b' is not one of btc, eth", "stresses.0.underlyings=[btc]"),
    (
        "stresses=[{kind: depeg, asset: UST, at: 0, duration: 1, floor: 0.9}]",
        "stresses.0.asset: 'UST' is no asset of this market: declare it under assets",
        "stresses=[{kind: depeg, asset: UST, at: 0, duration: 1, floor: 0.9}] ; assets=[{name: "
        "USD}, {name: UST}]",
    ),
    (
        "stresses=[{kind: depeg, asset: USD, at: 0, duration: 1, floor: 0.9}] ; assets=[{name: "
        "USD}, {name: UST}]",
        "stresses.0.asset: 'USD' is the numeraire, whose price is 1: use UST",
        "stresses=[{kind: depeg, asset: UST, at: 0, duration: 1, floor: 0.9}] ; assets=[{name: "
        "USD}, {name: UST}]",
    ),
    (
        "rescues=[{owners: [99]}]",
        "rescues.0.owners: 99, must be from 0 to 9",
        "rescues=[{owners: [9]}]",
    ),
    (
        "rescues=[{populations: [trader]}]",
        "'trader' is not one of traders",
        "rescues=[{populations: [traders]}]",
    ),
    (
        "rescues=[{owners: [1], since: 5, until: 3}]",
        "until: 3, must not lie before since = 5",
        "rescues=[{owners: [1], since: 3, until: 5}]",
    ),
]

GARCH, JUMPS = (
    "underlyings.0.process={kind: garch_t, volatility: 1, %s}",
    "underlyings.0.process={kind: merton_jump, volatility: 1, %s}",
)
ONE_VENUE = (
    "venues=[{name: exchange, instruments: [{name: P, underlying: btc, tick: 0.5, lot: 0.02, "
    "max_price: 9000}], "
    "engine: {netting: {kind: cross}, requirement: {kind: tiered}}}] ; "
    "populations=[{kind: traders, count: 2, venue: exchange}] ; stresses=[]"
)
SP500 = (
    "underlyings.0={name: btc, process: {kind: replay, source: arch:sp500, %s}} ; dt=%s ; "
    + ONE_VENUE
)
DAYS = "start: 2008-09-02, end: 2008-09-05"
TWO = (
    f"underlyings=[{{name: btc, process: {{kind: replay, source: arch:sp500, {DAYS}}}}}, "
    f"{{name: eth, process: {{kind: replay, source: arch:nasdaq, {DAYS}, day: %s}}}}] ; {ONE_VENUE}"
)

PROCESSES: list[Row] = [
    (
        GARCH % "alpha: 0.5, beta: 0.6",
        "alpha + beta is 1.1, must be below 1: lower one of them",
        GARCH % "alpha: 0.3, beta: 0.6",
    ),
    (
        GARCH % "day: 10",
        "underlyings.0.process.day: 10 s is shorter than the step of 60 s: raise it",
        GARCH % "day: 60",
    ),
    (
        JUMPS % "intensity: 1e6, day: 1",
        "underlyings.0.process.intensity: 1e+06 a day are 6e+07 jumps",
        JUMPS % "intensity: 1, day: 86400",
    ),
    (
        SP500 % ("start: 2008-09-05, end: 2008-09-02", 60),
        "underlyings.0.process.start: 2008-09-05 is after end 2008-09-02: swap them",
        SP500 % (DAYS, 60),
    ),
    (
        SP500 % (DAYS, 7),
        "underlyings.0.process.day: 23400 s is not a whole number, at least 4, of steps of 7 s: "
        "set dt to 6",
        SP500 % (DAYS, 6),
    ),
    (
        SP500.replace("process:", "start: 3, process:") % (DAYS, 60),
        "underlyings.0.start: 3, a replay starts at its data's first price: remove it",
        SP500 % (DAYS, 60),
    ),
    (
        TWO % 46800,
        "underlyings: steps a day differ (btc 390, eth 780), must be equal: set the same "
        "process.day",
        TWO % 23400,
    ),
]

FUNDING = "venues.0.funding={kind: recorded%s}"

VENUES_AND_PEOPLE: list[Row] = [
    (
        FUNDING % "",
        "venues.0.funding.rates: none, a recorded funding needs them: give rates",
        FUNDING % ", rates: [[60, 0.1]]",
    ),
    (
        FUNDING % ", rates: [[2, 0.1], [1, 0.1]]",
        "rates.1: 1 s is earlier than the time before, sort them",
        FUNDING % ", rates: [[1, 0.1], [2, 0.1]]",
    ),
    (
        FUNDING % ", rates: [[60, 5]]",
        "rates.0: 5, a rate is a share of notional below 1",
        FUNDING % ", rates: [[60, 0.05]]",
    ),
    (
        FUNDING % ", rates: [[1e9, 0.1]]",
        "none in the run's 0 s to 600 s: give rates",
        FUNDING % ", rates: [[60, 0.1]]",
    ),
    (
        FUNDING % ", rates: [[60]]",
        "venues.0.funding.rates.0.1: missing, must be given",
        FUNDING % ", rates: [[60, 0.1]]",
    ),
    (
        "venues.0.funding={kind: interest_gap, rate_lower: 1, rate_upper: 0}",
        "venues.0.funding.rate_lower: 1 exceeds rate_upper 0, swap them",
        "venues.0.funding={kind: interest_gap, rate_lower: 0, rate_upper: 1}",
    ),
    (
        "venues.0.funding={kind: margin_bounded, initial: 0.01, maintenance: 0.02}",
        "venues.0.funding.maintenance: 0.02, must be at most initial = 0.01",
        "venues.0.funding={kind: margin_bounded, initial: 0.02, maintenance: 0.02}",
    ),
    (
        "populations.0.venue=exchang",
        "'exchang' is not one of exchange, outside",
        "populations.0.venue=exchange",
    ),
    (
        "populations.0.venue=outside",
        "outside lists no perpetual, name what to trade: BTC-SPOT",
        "populations.0.venue=outside ; populations.0.instruments=[BTC-SPOT]",
    ),
    (
        "populations.0.instruments=[BTC]",
        "'BTC' is not one of BTC-PERP, ETH-PERP",
        "populations.0.instruments=[BTC-PERP]",
    ),
    (
        "populations.2.instruments=[]",
        "populations.2.spot_venue: outside lists no spot for ETH-PERP, list it there, or trade "
        "others",
        "populations.2.instruments=[] ; venues.1.instruments=[{name: B, underlying: btc, kind: "
        "spot, tick: 0.5, "
        "lot: 0.02, max_price: 200000}, {name: E, underlying: eth, kind: spot, tick: 0.1, lot: "
        "0.1, max_price: 20000}]",
    ),
    (
        "populations.1.name=traders",
        "populations: name 'traders' is used twice",
        "populations.1.name=others",
    ),
    (
        "populations.0={kind: insurance_fund, name: b, venue: exchange}",
        "populations: 2 insurance funds for venue 'exchange'; keep one of them",
        "populations.0={kind: traders, count: 1, venue: exchange}",
    ),
    (
        "populations.3.wealth=1e20",
        "1e+22 minor units, must stay below 2^53, lower it",
        "populations.3.wealth=1e6",
    ),
    (
        "populations.1.wealth_sigma=1e3 ; populations.1.count=9",
        "must stay below 2^53, lower it or wealth_sigma",
        "populations.1.wealth_sigma=1",
    ),
    (
        "populations.2.exit_threshold=20",
        "exit_threshold: 20 must be below entry_threshold * (1 - heterogeneity) = 10.5",
        "populations.2.exit_threshold=10",
    ),
    (
        "populations.2.heterogeneity=0.99",
        "= 0.15, lower it or heterogeneity, or raise entry_threshold",
        "populations.2.heterogeneity=0.1",
    ),
    (
        "populations.0.capital={trim_probability: 1, top_up_probability: 1}",
        "sum to more than 1",
        "populations.0.capital={trim_probability: 0, top_up_probability: 1}",
    ),
    (
        "populations.0={kind: trend, count: 2, venue: exchange, fast_half_life: 1e9}",
        "fast_half_life: 1000000000 must be below slow_half_life = 43200",
        "populations.0={kind: trend, count: 2, venue: exchange, fast_half_life: 4e4}",
    ),
    (
        "populations.0={kind: carry, count: 2, venue: exchange, spot_venue: outside, "
        "exit_threshold: 1, instruments: [BTC-PERP]}",
        "populations.0.exit_threshold: 1 must be below entry_threshold = 0.1",
        "populations.0={kind: carry, count: 2, venue: exchange, spot_venue: outside, "
        "exit_threshold: 0, instruments: [BTC-PERP]}",
    ),
]

ROWS = [*OVERRIDES, *FILES_AND_KINDS, *MONEY, *PROCESSES, *VENUES_AND_PEOPLE]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(BASE)
    return tmp_path


@pytest.mark.parametrize(
    ("wrong", "expected", "mended"), ROWS, ids=[f"{row[0][:50]}-{row[1][:20]}" for row in ROWS]
)
def test_a_configuration_is_accepted_once_its_message_is_heeded(
    wrong: str, expected: str, mended: str
) -> None:
    lines = problems(parts(wrong))
    assert any(expected in line for line in lines), lines
    assert problems(parts(mended)) == []
