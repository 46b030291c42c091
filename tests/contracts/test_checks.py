"""Components of one's own with a mistake: refused at load in one line, found by the suite."""

import re
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pytest

from agents import POPULATIONS, populate
from agents.traders import NoiseTraders
from experiments.calculator.calculator import margin_portfolio
from experiments.calculator.portfolio import PortfolioConfig
from experiments.config import RunConfig, load_run
from experiments.contract_check import ALL_SUITES, Registered, build_component
from sim.cash_flows import CashFlows
from sim.checks.law import Suite, run_suite
from sim.checks.margin_worlds import MarginWorld, make_margin_world, make_smaller_worlds
from sim.checks.opening import find_market_faults
from sim.component import Component
from sim.errors import ConfigError
from sim.exchange import FUNDINGS, MARKS
from sim.exchange.funding import PremiumFunding
from sim.exchange.mark import MedianMark
from sim.liquidation import LIQUIDATIONS
from sim.liquidation.full import FullCloseOut
from sim.losses import LayerResult
from sim.margin import MODELS, NETTINGS, REQUIREMENTS, VALUATIONS
from sim.margin.engine import EngineConfig
from sim.margin.netting import CrossNetting
from sim.margin.tail.models.ewma import EwmaForecaster, EwmaModel
from sim.margin.tail.tail import TailRisk
from sim.margin.tiers.tiered import TieredMargin, TieredRequirement
from sim.margin.valuations.cash import CashValuation
from sim.margin.wrappers.compressed import Compression
from sim.market import Market
from sim.prices import PROCESSES, STRESSES
from sim.prices.gbm import Gbm
from sim.prices.stress import Stress
from sim.pricing.smiles import SMILES, QuadraticSmile
from sim.reading.loading import load_config
from sim.types import Margins
from sim.waterfall import LAYERS
from sim.waterfall.layer_results import NO_LAYER_RESULT
from sim.waterfall.socialised import SocialisedLoss

DIAL = next(name for name in Compression.model_fields if name not in ("kind", "inner"))
SETTINGS: dict[str, dict[str, Any]] = {
    "compressed": {DIAL: 0.3},
    "merton_jump": {"intensity": 2.0, "jump_mean": -0.01, "jump_sd": 0.02},
    "groups": {"groups": [["i0", "i1"]]},
    "per_contract": {"initial": 12_000, "maintenance": 10_900},
    "metaorder": {"count": 1},
    "depeg": {"asset": "ALT", "floor": 0.9},
    "replay": {"source": "generated.csv", "day": 86_400},
}
"""Of packaged kinds that have fields without a default and without a stand-in."""

PACKAGED = [
    pytest.param(suite, kind, cls, id=f"{suite.kind} {kind}")
    for suite, registry in ALL_SUITES
    for kind, cls in registry.items()
    if cls.__module__.partition(".")[0] in ("sim", "agents")
]


@pytest.mark.parametrize(("suite", "kind", "cls"), PACKAGED)
def test_every_packaged_kind_passes(suite: Suite, kind: str, cls: type[Component]) -> None:
    settings = [f"{name}={value}" for name, value in SETTINGS.get(kind, {}).items()]
    component = build_component(Registered(suite, kind, cls), settings)
    findings = list(run_suite(suite, component, worlds=12))
    assert [(each.law.name, each.fault) for each in findings if each.fault] == []
    assert all(each.n_worlds for each in findings)


class Bound(TieredMargin):
    """Tiers whose methods a rule below replaces."""

    def __init__(self, inner: Any, **methods: Any) -> None:
        super().__init__(inner.table)
        for name, method in methods.items():
            setattr(self, name, method)


def requirement(name: str, **changes: Any) -> type[Component]:
    """A margin requirement whose results are changed by functions of them."""

    class Mine(TieredRequirement):
        kind: Literal["mine"] = "mine"  # type: ignore[assignment]

        def bind(self, contracts: Any, unit: int) -> Any:
            inner = super().bind(contracts, unit)
            methods: dict[str, Any] = {}
            for method, change in changes.items():
                plain = getattr(inner, method)
                methods[method] = lambda book, plain=plain, change=change: change(plain(book), book)
            return Bound(inner, **methods)

    return named(Mine, name)


def component(base: type[Component], name: str, **methods: Any) -> type[Component]:
    """A class with methods of its own."""
    body = {"__annotations__": {"kind": Literal["mine"]}, "kind": "mine", "__module__": __name__}
    return type(base)(name, (base,), body | methods)


def named(cls: type[Component], name: str) -> type[Component]:
    cls.__name__ = name
    return cls


def plan_against(self: Any, risk: Any, distress: Any, book: Any, weights: Any) -> Any:
    plan = FullCloseOut.plan_close_outs(self, risk, distress, book, weights)
    return plan._replace(quantity=-plan.quantity)


def plan_twice_as_much(self: Any, risk: Any, distress: Any, book: Any, weights: Any) -> Any:
    plan = FullCloseOut.plan_close_outs(self, risk, distress, book, weights)
    return plan._replace(quantity=2 * plan.quantity)


def plan_in_floats(self: Any, risk: Any, distress: Any, book: Any, weights: Any) -> Any:
    plan = FullCloseOut.plan_close_outs(self, risk, distress, book, weights)
    return plan._replace(limit=plan.limit.astype(float))


def pay_too_much(self: Any, loss: Any, floor: Any) -> LayerResult:
    payer = np.flatnonzero(floor.is_eligible)[:1]
    return NO_LAYER_RESULT._replace(payers=payer, payments=np.full(payer.size, 10**15))


def pay_without_payers(self: Any, loss: Any, floor: Any) -> LayerResult:
    return NO_LAYER_RESULT._replace(payments=loss.deficit[:1] * 0 + 1)


def decide_with(**columns: Any) -> Any:
    def decide(self: Any, outlook: Any, accounts: Any, draws: Any) -> Any:
        orders = NoiseTraders.decide(self, outlook, accounts, draws)
        one = np.ones(1, dtype=np.int64)
        orders = type(orders)(0 * one, 0 * one, one, one, 0 * one, 0 * one, 0 * one)
        return orders._replace(**{name: change(one) for name, change in columns.items()})

    return decide


def raise_error(self: Any, *arguments: Any) -> Any:
    raise ZeroDivisionError("a mistake of mine")


class Forgetful(EwmaForecaster):
    def forecast(self) -> None:
        return None


ROWS: list[tuple[str, dict[str, Any], str, type[Component], str]] = [
    (
        "initial below maintenance",
        REQUIREMENTS,
        "requirement",
        requirement(
            "Low", compute_margins=lambda found, book: found._replace(initial=0.4 * found[1])
        ),
        r"breaks MAR-1 \(initial margin is at least .*\): account \d+ \(.*\) has initial \S+ and m",
    ),
    (
        "negative margins",
        REQUIREMENTS,
        "requirement",
        requirement("Negative", compute_margins=lambda found, book: Margins(*(-c for c in found))),
        r"breaks MAR-1 .* has initial -\S+ and maintenance -",
    ),
    (
        "a wrong shape",
        REQUIREMENTS,
        "requirement",
        requirement(
            "Shape", compute_margins=lambda found, book: Margins(*(c[:, None] for c in found))
        ),
        r"initial of compute_margins is an array of shape \(\d+, 1\) .*, must be .* shape \(\d+,\)",
    ),
    (
        "one array for two",
        REQUIREMENTS,
        "requirement",
        requirement("Single", compute_margins=lambda found, book: found.initial),
        r"compute_margins returns ndarray, must return Margins",
    ),
    (
        "margins that are no number",
        REQUIREMENTS,
        "requirement",
        requirement(
            "Nan", compute_margins=lambda found, book: Margins(found[0] * np.nan, found[1])
        ),
        r"initial of compute_margins is nan at \[0\], must be finite",
    ),
    (
        "shares that do not sum to one",
        REQUIREMENTS,
        "requirement",
        requirement("Shares", compute_leg_shares=lambda found, book: 2 * found),
        r"breaks LIQ-2 .* has shares that sum to 2, not to 1",
    ),
    (
        "margins that depend on the other accounts",
        REQUIREMENTS,
        "requirement",
        requirement(
            "Mean",
            compute_margins=lambda found, book: Margins(
                *(np.where(c > 0, c + c.mean(), 0.0) for c in found)
            ),
        ),
        r"has initial \S+, and \S+ by itself",
    ),
    (
        "an error",
        REQUIREMENTS,
        "requirement",
        requirement("Broken", compute_margins=lambda found, book: 1 / 0),
        r"it raises ZeroDivisionError: division by zero, \S+test_checks.py:\d+",
    ),
    (
        "no method",
        REQUIREMENTS,
        "requirement",
        component(TieredRequirement, "Empty", bind=lambda self, contracts, unit: object()),
        r"what bind returns, object, has no method observe\(market\)",
    ),
    (
        "other arguments",
        REQUIREMENTS,
        "requirement",
        component(TieredRequirement, "Narrow", bind=lambda self, contracts: None),
        r"Narrow.bind takes other arguments than \(contracts, unit\)",
    ),
    (
        "negative haircuts",
        VALUATIONS,
        "valuation",
        component(
            CashValuation,
            "Gift",
            compute_haircuts=lambda self, book: Margins(*(-np.ones((2, len(book.position))))),
        ),
        r"breaks MAR-1 .* has initial -1 and maintenance -1",
    ),
    (
        "an instrument in no pool",
        NETTINGS,
        "netting",
        component(CrossNetting, "Half", build_pools=lambda self, contracts: [[0]][1:]),
        r"breaks ISO-1 .* is in 0 pools, must be in one",
    ),
    (
        "no forecast",
        MODELS,
        "model",
        component(EwmaModel, "Silent", bind=lambda self, columns, every: Forgetful(self)),
        r"there is no forecast after \d+ returns",
    ),
    (
        "a policy that enlarges",
        LIQUIDATIONS,
        "liquidation",
        component(FullCloseOut, "Enlarging", plan_close_outs=plan_against),
        r"breaks LIQ-1 .* is to trade .*, which does not reduce its position",
    ),
    (
        "a policy that closes more than is held",
        LIQUIDATIONS,
        "liquidation",
        component(FullCloseOut, "Twice", plan_close_outs=plan_twice_as_much),
        r"is to trade .*, which is more than it holds",
    ),
    (
        "a policy with limits that are not whole",
        LIQUIDATIONS,
        "liquidation",
        component(FullCloseOut, "Floats", plan_close_outs=plan_in_floats),
        r"what plan_close_outs returns: limit is .* type float64, must be .* type int64",
    ),
    (
        "a layer that pays more than it has",
        LAYERS,
        "waterfall",
        component(SocialisedLoss, "Rich", absorb=pay_too_much),
        r"breaks LOSS-3 .*, receives 1000000000000000",
    ),
    (
        "a layer that pays without balance",
        LAYERS,
        "waterfall",
        component(SocialisedLoss, "Minting", absorb=pay_without_payers),
        r"payments of what absorb returns is an array of shape \(1,\) .*, must be .* shape \(0,\)",
    ),
    (
        "a process without numbers",
        PROCESSES,
        "process",
        component(Gbm, "Nan", compute_log_returns=lambda self, z, tape: z * np.nan),
        r"what compute_log_returns returns is nan at \[0\], must be finite",
    ),
    (
        "a process of another length",
        PROCESSES,
        "process",
        component(Gbm, "Short", compute_log_returns=lambda self, z, tape: z[:-1]),
        r"is an array of shape \(\d+,\) .*, must be an array of shape \(\d+,\)",
    ),
    (
        "a process that looks ahead",
        PROCESSES,
        "process",
        component(Gbm, "Ahead", compute_log_returns=lambda self, z, tape: z - z.mean()),
        r"breaks RNG-1 \(a longer path begins with the shorter one\): return 0 is ",
    ),
    (
        "a stress with a negative depth",
        STRESSES,
        "stresses",
        component(Stress, "Deep", depth_share=lambda self, seconds: -np.ones_like(seconds)),
        r"depth_share is -1, must be from 0 to 1",
    ),
    (
        "a mark between ticks",
        MARKS,
        "mark",
        component(MedianMark, "Between", compute_mark=lambda self, quotes: quotes.oracle + 0.5),
        r"breaks MARK-1 .*: a mark is \S+ ticks",
    ),
    (
        "a rate for all instruments",
        FUNDINGS,
        "funding",
        component(PremiumFunding, "One", compute_rate=lambda self, seen: seen.mean()),
        r"the rate that close_interval returns is .*, must be an array of shape",
    ),
    (
        "orders in floats",
        POPULATIONS,
        "populations",
        component(NoiseTraders, "Floats", decide=decide_with(quantity=lambda one: one * 1.0)),
        r"what decide returns: quantity is .* type float64, must be .* type int64",
    ),
    (
        "an owner out of range",
        POPULATIONS,
        "populations",
        component(NoiseTraders, "Strangers", decide=decide_with(owner=lambda one: one * 10**6)),
        r"breaks BOOK-2 .*: what decide returns has owner 1000000, must be from 0 to \d+",
    ),
    (
        "an order at no price",
        POPULATIONS,
        "populations",
        component(NoiseTraders, "Free", decide=decide_with(limit=lambda one: one * 0)),
        r"has limit 0, must be from 1 to \d+ ticks",
    ),
    (
        "negative wealth",
        POPULATIONS,
        "populations",
        component(
            NoiseTraders,
            "Poor",
            start=lambda self, setting, draws: np.full((self.count, len(setting.venues)), -5),
        ),
        r"a member starts with -5 minor units",
    ),
    (
        "an error in a decision",
        POPULATIONS,
        "populations",
        component(NoiseTraders, "Failing", decide=raise_error),
        r"it raises ZeroDivisionError: a mistake of mine, \S+test_checks.py:\d+",
    ),
    (
        "payments that are no cash flows",
        POPULATIONS,
        "populations",
        component(NoiseTraders, "Generous", request_cash_flows=lambda self, *given: given),
        r"what request_cash_flows returns is a value of type tuple, must be CashFlows",
    ),
]
MISTAKES = [pytest.param(*row[1:], id=row[0]) for row in ROWS]
RIGHT: list[Any] = [
    (REQUIREMENTS, "requirement", requirement("Right")),
    (VALUATIONS, "valuation", component(CashValuation, "Right")),
    (NETTINGS, "netting", component(CrossNetting, "Right")),
    (MODELS, "model", component(EwmaModel, "Right")),
    (LIQUIDATIONS, "liquidation", component(FullCloseOut, "Right")),
    (LAYERS, "waterfall", component(SocialisedLoss, "Right")),
    (PROCESSES, "process", component(Gbm, "Right")),
    (STRESSES, "stresses", component(Stress, "Right")),
    (MARKS, "mark", component(MedianMark, "Right")),
    (FUNDINGS, "funding", component(PremiumFunding, "Right")),
    (POPULATIONS, "populations", component(NoiseTraders, "Right")),
]


@pytest.fixture
def plain() -> RunConfig:
    crowd = "populations=[{kind: traders, venue: exchange, count: 5}]"
    return load_run("small_crash", [crowd, "duration=120", "quick={}"])


def build(cls: type[Component]) -> Component:
    """A component of a class with its defaults."""
    given = {"volatility": 0.6} if issubclass(cls, Gbm) else {}
    given |= {"venue": "exchange", "count": 5} if issubclass(cls, NoiseTraders) else {}
    return cls.model_validate(given)


def place(config: RunConfig, where: str, mine: Component) -> tuple[RunConfig, str]:
    """The configuration with a component in its place, and the path of the place."""
    venue = config.venues[0]
    engine = venue.engine
    if where in ("requirement", "valuation", "netting", "model"):
        part = TailRisk(model=EwmaModel()).model_copy(update={"model": mine})
        field, value = ("requirement", part) if where == "model" else (where, mine)
        changed = venue.model_copy(update={"engine": engine.model_copy(update={field: value})})
        path = f"venues.0.engine.{field}{'.model' if where == 'model' else ''}"
    elif where == "process":
        first = config.underlyings[0].model_copy(update={"process": mine})
        return config.model_copy(
            update={"underlyings": (first, *config.underlyings[1:])}
        ), "underlyings.0.process"
    elif where in ("stresses", "populations"):
        return config.model_copy(update={where: (mine,)}), f"{where}.0"
    else:
        part = (mine,) if where == "waterfall" else mine
        changed = venue.model_copy(update={where: part})
        path = f"venues.0.{where}{'.0' if where == 'waterfall' else ''}"
    return config.model_copy(update={"venues": (changed, *config.venues[1:])}), path


@pytest.mark.parametrize(("registry", "where", "cls", "message"), MISTAKES)
def test_a_mistake_is_refused_before_the_first_step(
    registry: dict[str, Any],
    where: str,
    cls: type[Component],
    message: str,
    plain: RunConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(registry, "mine", cls)
    config, path = place(plain, where, build(cls))
    with pytest.raises(ConfigError, match=message) as caught:
        Market(config, populate(config.populations), seed=1)
    (line,) = caught.value.problems
    assert line.startswith(f"{path}: 'mine' breaks "), line
    command = f"deleverage check --plugin {cls.__module__}"
    assert line.endswith(f", correct it, or run {command} for more")


@pytest.mark.parametrize(("registry", "where", "cls", "message"), MISTAKES)
def test_a_mistake_is_found_by_the_suite(
    registry: dict[str, Any], where: str, cls: type[Component], message: str
) -> None:
    suite = next(suite for suite, known in ALL_SUITES if known is registry)
    findings = run_suite(suite, build_component(Registered(suite, "mine", cls), ()), worlds=20)
    assert any(each.fault for each in findings)


@pytest.mark.parametrize(
    ("registry", "where", "cls"), [pytest.param(*row, id=row[1]) for row in RIGHT]
)
def test_a_right_component_runs_and_passes(
    registry: dict[str, Any],
    where: str,
    cls: type[Component],
    plain: RunConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(registry, "mine", cls)
    config, _ = place(plain, where, build(cls))
    market = Market(config, populate(config.populations), seed=1)
    market.step()
    suite = next(suite for suite, known in ALL_SUITES if known is registry)
    findings = run_suite(suite, build_component(Registered(suite, "mine", cls), ()), worlds=10)
    assert [(each.law.name, each.fault) for each in findings if each.fault] == []


def test_a_part_of_a_packaged_wrapper_is_found(
    plain: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = requirement("Inner", compute_leg_shares=lambda found, book: 0 * found)
    monkeypatch.setitem(REQUIREMENTS, "mine", cls)
    wrapped = Compression.model_validate({"inner": build(cls), DIAL: 0.5})
    config, _ = place(plain, "requirement", wrapped)
    (line,) = find_market_faults(config)
    assert line.startswith("venues.0.engine.requirement.inner: 'mine' breaks LIQ-2 ")


def test_problems_of_several_components_are_reported_at_once(
    plain: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = component(FullCloseOut, "Twice", plan_close_outs=plan_twice_as_much)
    layer = component(SocialisedLoss, "Rich", absorb=pay_too_much)
    monkeypatch.setitem(LIQUIDATIONS, "mine", policy)
    monkeypatch.setitem(LAYERS, "mine", layer)
    config, _ = place(plain, "liquidation", build(policy))
    config, _ = place(config, "waterfall", build(layer))
    lines = find_market_faults(config)
    assert [line.partition(":")[0] for line in lines] == [
        "venues.0.liquidation",
        "venues.0.waterfall.0",
    ]


def test_the_classes_of_a_script_are_left_alone(plain: RunConfig) -> None:
    """Classes outside the registries are no plug-ins, so tests and notebooks are not checked."""
    cls = requirement(
        "Low", compute_margins=lambda found, book: found._replace(initial=0.4 * found[1])
    )
    config, _ = place(plain, "requirement", build(cls))
    assert find_market_faults(config) == []


def test_a_market_on_replayed_prices_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first price is not in the configuration."""
    cls = requirement("Shares", compute_leg_shares=lambda found, book: 0.5 * found)
    monkeypatch.setitem(REQUIREMENTS, "mine", cls)
    config, path = place(load_run("crash_2008"), "requirement", build(cls))
    (line,) = find_market_faults(config)
    assert line.startswith(f"{path}: 'mine' breaks LIQ-2 ")


def test_a_smile_is_checked_with_its_portfolio(monkeypatch: pytest.MonkeyPatch) -> None:
    def compute_vol(self: Any, k: Any, years: float) -> Any:
        return -np.ones_like(k)

    cls = component(QuadraticSmile, "Frown", compute_vol=compute_vol)
    monkeypatch.setitem(SMILES, "mine", cls)
    smile = cls.model_validate({"underlying": "btc", "expiry": 86_400.0, "level": 0.5})
    account = load_config("portfolios/single_perp", (), PortfolioConfig)
    account = account.model_copy(update={"smiles": (smile,)})
    with pytest.raises(ConfigError) as caught:
        margin_portfolio(account, "cross", load_config("engines/cross", (), EngineConfig))
    (line,) = caught.value.problems
    assert re.match(r"smiles\.0: 'mine' breaks MAR-7 .*: the volatility at .* is -1, correct", line)


def sizes(worlds: Iterator[MarginWorld]) -> list[tuple[int, int]]:
    return [
        (len(each.accounts.position), int(np.abs(each.accounts.position).sum())) for each in worlds
    ]


def test_smaller_worlds_are_smaller() -> None:
    world = make_margin_world(1)
    accounts, lots = sizes(iter([world]))[0]
    assert accounts > 1
    assert all(count == 1 for count, _ in sizes(make_smaller_worlds(world)))
    alone = next(make_smaller_worlds(world))
    for _, fewer in sizes(make_smaller_worlds(alone)):
        assert fewer < lots


def test_the_smallest_counterexample_is_told() -> None:
    cls = requirement(
        "Low", compute_margins=lambda found, book: found._replace(initial=0.4 * found[1])
    )
    suite = next(suite for suite, known in ALL_SUITES if known is REQUIREMENTS)
    findings = run_suite(suite, build(cls), worlds=5)
    (fault,) = [each.fault for each in findings if each.law.name == "initial covers maintenance"]
    assert fault.startswith("account 0 (")
    assert fault.split("(")[1].split()[0] in ("1", "-1"), fault


def test_a_component_that_pays_in_the_name_of_others_is_found() -> None:
    """Owners of cash flows are members."""
    one = np.ones(1, dtype=np.int64)
    flows = CashFlows(10**6 * one, 0 * one, 0 * one, one, 0 * one)
    cls = component(NoiseTraders, "Others", request_cash_flows=lambda self, *given: flows)
    suite = next(suite for suite, known in ALL_SUITES if known is POPULATIONS)
    findings = run_suite(suite, build(cls).model_copy(update={"venue": "alpha"}), worlds=2)
    (fault,) = [each.fault for each in findings if each.law.name == "cash flows"]
    assert fault == "what request_cash_flows returns has owner 1000000, must be from 0 to 4"
