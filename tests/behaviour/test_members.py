"""Members as seen by a Mesa user: removed, stepped, read in documented units."""

import gc
import json
from collections.abc import Callable
from pathlib import Path

import mesa
import numpy as np
import pyarrow.parquet
import pytest
from markets import BTC, ETH, build, config, move, venue

from agents import Trader
from experiments.results.store import write_frame
from sim.errors import DeleverageError
from sim.market import Market
from sim.recording.units import UNITS
from sim.step import orders

CROWD = {
    "kind": "traders",
    "count": 60,
    "venue": "x",
    "wealth": 1000.0,
    "initial_entry_share": 0.5,
    "warm_up": 600.0,
}
CROWD |= {"entries_per_day": 200.0, "holding_time": 1200.0, "leverage": 5.0}
PEOPLE = [
    CROWD,
    {
        "kind": "zero_intelligence",
        "count": 10,
        "venue": "x",
        "wealth": 1000.0,
        "ticks": 400,
        "lots": 1,
    },
    {"kind": "makers", "count": 2, "venue": "x", "wealth": 20_000.0},
    {"kind": "insurance_fund", "venue": "x", "wealth": 1000.0},
]


def market(steps: int = 60) -> Market:
    gbm = {"kind": "gbm", "volatility": 0.8}
    return build(
        config(venue(instruments=[BTC, ETH]), steps=steps, process=gbm, stresses=[move(40, -0.05)]),
        PEOPLE,
    )


def advanced(model: Market, steps: int) -> Market:
    for _ in range(steps):
        model.step()
    return model


def removed(model: Market) -> list[int]:
    """Remove every flat trader and flat member of the crowd."""
    gone = [agent for agent in model.agents if agent.population in ("traders", "zero_intelligence")]
    gone = [agent for agent in gone if not agent.position.any()]
    for agent in gone:
        agent.remove()
    return sorted(agent.owner for agent in gone)


def test_members_are_created_when_they_are_first_used() -> None:
    """A market of 10^6 owners has no objects of its members until somebody reads them."""
    before = count_members()
    model = advanced(market(), 3)
    assert count_members() == before
    by_type = model.agents_by_type
    assert count_members() == before + 73
    assert [agent.owner for agent in model.agents] == list(range(73))
    assert [agent.unique_id for agent in model.agents] == list(range(1, 74))
    assert sorted(len(members) for members in by_type.values()) == [1, 2, 10, 60]
    assert set(model.agent_types) == set(by_type)
    assert count_members() == before + 73, "they are created once"


@pytest.mark.parametrize(
    "use",
    [
        lambda model: model.agent_types,
        lambda model: mesa.Agent(model),
        lambda model: mesa.DataCollector(agent_reporters={"owner": "owner"}).collect(model),
    ],
)
def test_every_use_of_agents_creates_them(
    use: Callable[[Market], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    created: list[int] = []
    original = Trader.__init__

    def record(self: Trader, model: mesa.Model, owner: int, population: str) -> None:
        created.append(owner)
        original(self, model, owner, population)

    monkeypatch.setattr(Trader, "__init__", record)
    model = market()
    assert created == []
    use(model)
    assert created == list(range(73))


def count_members() -> int:
    gc.collect()
    return sum(issubclass(type(each), Trader) for each in gc.get_objects())


def test_who_is_removed_trades_no_more_and_has_no_order_left() -> None:
    model, twin = advanced(market(), 12), advanced(market(), 12)
    resting = [
        agent.owner
        for agent in model.agents
        if model.order_books.resting_totals[:2, :, agent.owner].any()
    ]
    gone = removed(model)
    assert len(gone) > 15
    assert set(gone) & set(resting), "some had orders in the book"
    assert not model.order_books.resting_totals[:, :, gone].any()
    assert {agent.owner for agent in model.agents} == set(range(73)) - set(gone)
    cash = model.ledger.balance[:, :, gone].copy()
    advanced(model, 40)
    advanced(twin, 40)
    assert not model.ledger.position[:, gone].any()
    assert (model.ledger.balance[:, :, gone] == cash).all(), "what they had stays, untouched"
    assert twin.ledger.position[:, gone].any(), "they would have traded"
    model.ledger.check_conservation()


def test_others_decide_on_the_same_draws() -> None:
    """RNG-1: the orders of the next step are those of the twin, but for theirs who are gone."""
    model, twin = advanced(market(), 12), advanced(market(), 12)
    gone = removed(model)
    for each in (model, twin):
        each.state.tick += 1
    (ours, _), (theirs, _) = orders.collect_orders(model.state), orders.collect_orders(twin.state)
    assert np.isin(theirs[:, 0], gone).any()
    assert np.array_equal(ours, theirs[~np.isin(theirs[:, 0], gone)])


def test_who_holds_something_or_is_the_fund_stays() -> None:
    model = advanced(market(), 20)
    holder = next(
        agent for agent in model.agents if agent.population == "traders" and agent.position.any()
    )
    lots = int(holder.position[np.flatnonzero(holder.position)[0]])
    with pytest.raises(
        DeleverageError, match=rf"owner {holder.owner} of 'traders' holds .*{lots} lots of \w+-PERP"
    ):
        holder.remove()
    with pytest.raises(DeleverageError, match="is a venue's insurance fund, keep it"):
        next(agent for agent in model.agents if agent.population == "insurance_fund").remove()
    assert holder in model.agents
    advanced(model, 5)


def test_a_member_is_not_stepped_by_itself() -> None:
    model = market()
    with pytest.raises(DeleverageError, match="owner 0 of 'traders' acts in the market's step"):
        model.agents.do("step")


def test_marks_are_read_in_quote_currency_and_money_in_units() -> None:
    model = advanced(market(), 30)
    frames = model.recorder.frames()
    last = frames["steps"].query("step == 30").set_index("instrument")["mark"]
    assert model.mark_of("ETH-PERP") == last["ETH-PERP"] == model.venues[0].view.mark[1] * 0.1
    assert model.mark_of("BTC-PERP") == last["BTC-PERP"]
    with pytest.raises(DeleverageError, match=r"'ETH' is not one of .*ETH-PERP"):
        model.mark_of("ETH")
    fund = next(agent for agent in model.agents if agent.population == "insurance_fund")
    assert fund.equity / model.minor_units == 1000.0


def test_every_column_has_its_unit(tmp_path: Path) -> None:
    frames = advanced(market(), 12).recorder.frames()
    assert list(UNITS) == list(frames)
    for name, frame in frames.items():
        assert set(frame.attrs["units"]) == set(frame.columns), name
        assert (frame.attrs["numeraire"], frame.attrs["minor_units"]) == ("USD", 100)
    assert frames["steps"].attrs["units"]["mark"] == "quote currency"
    assert frames["venues"].attrs["units"]["fund"] == "0.01 USD"
    write_frame(frames["steps"], tmp_path / "steps.parquet", {})
    reported = pyarrow.parquet.read_schema(tmp_path / "steps.parquet").metadata[b"units"]
    assert json.loads(reported) == frames["steps"].attrs["units"]
