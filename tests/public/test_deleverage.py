"""The one importable name: runs, sweeps, results, registries, calculator; agents by name."""

import json
import re
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import deleverage
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from agents.single import IndividualPopulation, MemberAccount, MemberMarket, MemberOrder
from experiments.cli import app
from experiments.generated import api_reference
from sim.types import IOC, LIMIT, MARKET, REDUCE_ONLY, Orders

TINY = Path(__file__).parents[1] / "studies" / "tiny.yaml"
ACCOUNTS = pd.DataFrame(
    {
        "account": ["hedger", "hedger", "long"],
        "instrument": ["BTC-PERP", "ETH-PERP", "BTC-PERP"],
        "quantity": [1.5, -25.0, 0.5],
        "entry": [59_000.0, 3_100.0, None],
    }
)


def test_all_names_are_found_and_nothing_is_imported_before() -> None:
    code = (
        "import sys, deleverage; "
        "early = [m for m in sys.modules if m.split('.')[0] in ('sim', 'agents', 'pandas')]; "
        "assert early == [], early; "
        "[getattr(deleverage, name) for name in deleverage.__all__]; "
        "assert set(deleverage.__all__) <= set(dir(deleverage)); "
        "print(deleverage.__version__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        deleverage.nothing  # noqa: B018


@pytest.mark.parametrize(
    "call",
    [
        lambda: deleverage.run("small_crash", ["sed=3"]),
        lambda: deleverage.market("small_crush"),
        lambda: deleverage.load_run("small_crash", ["seed=x"]),
        lambda: deleverage.sweep("leverage_cap", ["seed="]),
        lambda: deleverage.margins("portfolios/single_prep"),
        lambda: deleverage.open_result("no_such_folder"),
    ],
)
def test_an_error_is_raised_alone(call: Callable[[], object]) -> None:
    with pytest.raises(deleverage.DeleverageError) as caught:
        call()
    text = "".join(traceback.format_exception(caught.value))
    assert text.count("Traceback") == 1
    assert text.splitlines()[-1].endswith(str(caught.value).splitlines()[-1])
    assert len(text.splitlines()) < 20 + len(str(caught.value).splitlines())


def test_margins_are_those_of_the_command() -> None:
    done = CliRunner().invoke(app.app, ["margin", "portfolios/two_coins", "--json"])
    expected = json.loads(done.stdout)["engines"]
    found = deleverage.margins(
        "portfolios/two_coins", ACCOUNTS, engines=list(expected), cash=20_000.0
    )
    assert list(found.loc["hedger"].index) == list(expected)
    for engine, row in found.loc["hedger"].iterrows():
        for column in ("equity", "initial", "maintenance", "ratio", "status"):
            assert row[column] == expected[engine][column], (engine, column)
    assert found.loc[("long", "cross"), "initial"] == 30_000 * 0.025  # the first tier's 40 times


def test_an_engine_that_refuses_an_account_is_a_row_with_a_note() -> None:
    market = {
        "underlyings": [{"name": "BTC", "price": 60_000.0}],
        "instruments": [
            {
                "name": "BTC-C",
                "underlying": "BTC",
                "kind": "option",
                "option": "call",
                "strike": 60_000.0,
                "expiry": 2_592_000.0,
                "tick": 1.0,
                "lot": 0.01,
                "max_price": 1_000_000.0,
            }
        ],
        "positions": [{"instrument": "BTC-C", "quantity": -1.0}],
        "volatilities": {"BTC-C": 0.5},
        "cash": 50_000.0,
    }
    found = deleverage.margins(market, engines=["span", "binance"])
    assert np.isfinite(found.loc[("account", "span"), "initial"])
    refused = found[found["note"] != ""]
    assert refused["status"].eq("refused").all()
    with pytest.raises(deleverage.ConfigError, match="accounts: no column 'quantity', add it"):
        deleverage.margins(market, ACCOUNTS.drop(columns="quantity"))


def test_a_run_in_memory_is_the_one_on_disk(tmp_path: Path) -> None:
    short = ["duration=1800", "populations.0.count=30"]
    memory = deleverage.run("small_crash", short, engine="span", seed=3)
    disk = deleverage.run("small_crash", short, engine="span", seed=3, out=tmp_path / "r")
    for name, frame in memory.frames.items():
        pd.testing.assert_frame_equal(frame, disk.frames[name], check_dtype=False)
    assert memory.config.seed == 3
    assert memory.summary["steps"] == 30
    opened = deleverage.open_result(tmp_path / "r")
    assert opened.config == memory.config
    market = deleverage.market("small_crash", short, engine="span", seed=3)
    market.step()
    assert market.tick == 1


def test_a_sweep_is_opened(tmp_path: Path) -> None:
    result = deleverage.sweep(TINY, seeds=1, out=tmp_path / "t", jobs=1)
    assert isinstance(result, deleverage.StudyResult)
    assert len(result.scores)


def test_components_are_registered_or_refused() -> None:
    class Nameless(IndividualPopulation):
        def decide_member(self, market: Any, account: Any, draws: Any) -> list[MemberOrder]:
            return []

    with pytest.raises(deleverage.DeleverageError, match="Nameless has no kind"):
        deleverage.register("population", Nameless)
    with pytest.raises(deleverage.DeleverageError, match="'populations' is not one of"):
        deleverage.register("populations", Nameless)

    class Late(Nameless):
        kind: Literal["late"] = "late"

    with pytest.raises(deleverage.DeleverageError, match="'late' comes too late"):
        deleverage.register("population", Late)

    class Taken(Nameless):
        kind: Literal["makers"] = "makers"

    with pytest.raises(deleverage.DeleverageError, match="the kind 'makers' is that of"):
        deleverage.register("population", Taken)


class Probe(IndividualPopulation):
    """Notes what a member sees by name, and sends one order of each form."""

    kind: str = "probe"
    seen: ClassVar[dict[str, Any]] = {}

    def decide_member(
        self, market: MemberMarket, account: MemberAccount, draws: Any
    ) -> list[MemberOrder]:
        self.seen["prices"] = {
            name: (market.mark(name), market.oracle(name), market.max_leverage(name))
            for name in market.instruments
        }
        self.seen["lots"] = account.lots_of("ETH-PERP")
        return [
            market.buy("BTC-PERP", 2, limit=60_000.7, kind=IOC),
            market.sell("BTC-PERP", 1, limit=60_000.3, slot=1),
            market.buy("ETH-PERP", 3),
            market.close("ETH-PERP", account),
        ]


def test_an_agent_needs_names_only(monkeypatch: pytest.MonkeyPatch) -> None:
    market = deleverage.market("two_coins", ["duration=600"])
    state, spec_venue = market.state, market.venues[0].config.name
    probe = Probe(name="probe", count=1, venue=spec_venue)
    contracts = market.contracts

    class Spec:
        venues = tuple(venue.config.name for venue in market.venues)
        minor_units = market.minor_units

    Spec.contracts = contracts  # type: ignore[attr-defined]
    probe.start(Spec, np.empty((1, 0)))  # type: ignore[arg-type]
    accounts = state.account_view(slice(0, 1))
    orders = probe.decide(state.build_observation(), accounts, np.empty((1, 0)))
    assert isinstance(orders, Orders)
    btc, eth = contracts.names.index("BTC-PERP"), contracts.names.index("ETH-PERP")
    tick = contracts.tick[btc]
    assert orders.instrument.tolist() == [btc, btc, eth, eth]
    assert orders.quantity.tolist() == [2, -1, 3, -int(accounts.position[0, eth])]
    assert orders.limit[0] == np.floor(60_000.7 / tick)
    assert orders.limit[1] == np.ceil(60_000.3 / tick)
    assert orders.kind.tolist() == [IOC, LIMIT, MARKET, MARKET | REDUCE_ONLY]
    for name, (mark, oracle, leverage) in probe.seen["prices"].items():
        k = contracts.names.index(name)
        assert mark == market.mark_of(name)
        assert oracle == market.venues[0].view.oracle[contracts.underlying[k]]
        assert leverage == state.build_observation().max_leverage[k]
    view = MemberMarket(state.build_observation(), probe._scope, probe._numbers)
    with pytest.raises(deleverage.DeleverageError, match="'DOGE' is not one of"):
        view.mark("DOGE")
    with pytest.raises(deleverage.DeleverageError, match="lots: 0, must be at least 1"):
        view.buy("BTC-PERP", 0)


BLOCKS = re.findall(r"```python\n(.*?)```", api_reference.PAGE.read_text(encoding="utf-8"), re.S)


@pytest.mark.parametrize("block", BLOCKS)
def test_examples_of_the_page_run(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(block, {})
    assert capsys.readouterr().out


def test_the_reference_is_that_of_the_code() -> None:
    page = api_reference.PAGE.read_text(encoding="utf-8")
    assert page == api_reference.build_page(), "run: python -m experiments.generated.api_reference"
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert [row for row in rows if row.endswith("|  |")] == [], "a name without a line"


def test_the_page_names_all_registries() -> None:
    page = api_reference.PAGE.read_text(encoding="utf-8").split(api_reference.BEGIN)[0]
    assert [name for name in deleverage.REGISTRIES if f"`{name}`" not in page] == []
