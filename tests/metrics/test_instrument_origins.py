"""Contagion between instruments on chains known by construction, and its laws (LIQ-10)."""

import itertools

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markets import BTC, ETH, build, config, move, script, tiers, venue, worlds

from sim.market import Market
from sim.metrics.cascades import Frames
from sim.metrics.contagion import ROOT_KINDS, build_contagion
from sim.metrics.graphs import build_graph
from sim.metrics.links.origins import (
    InstrumentOrigins,
    build_origins,
    compute_foreign_share,
    sum_foreign_notional,
    tabulate_instruments,
)
from sim.types import LIMIT

FEW = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))


def measure(frames: Frames) -> InstrumentOrigins:
    return build_origins(frames, build_contagion(frames))


def play(market: Market) -> Frames:
    for _ in range(market.steps_planned):
        market.step()
    return market.recorder.frames()


def fall_of_bitcoin(netting: str, size: float = -0.06) -> Frames:
    """Bitcoin falls, ether does not; A holds both, B only ether and little wealth.

    A's sale of ether lowers its mark, which closes B out in the next round.
    """
    entries = [
        (0, 0, 200, 1000, LIMIT, 0),
        (0, 1, 100, 1000, LIMIT, 0),
        (1, 1, 100, 1000, LIMIT, 0),
    ]
    others = [(2, 0, -200, 1000, LIMIT, 0), (2, 1, -200, 1000, LIMIT, 0)]
    calm = [(3, k, 900, 999, LIMIT, k) for k in (0, 1)]
    offers = [(3, k, -900, 1001, LIMIT, 2 + k) for k in (0, 1)]
    fallen = round(1000 * (1 + size))
    then = [
        (3, 0, 900, fallen - 1, LIMIT, 0),
        (3, 0, -900, fallen + 1, LIMIT, 2),
        (3, 1, 100, 999, LIMIT, 1),
        (3, 1, 900, 949, LIMIT, 4),
    ]
    people = [
        script([170.0, 51.0, 5000.0, 50_000.0], {1: [*entries, *others, *calm, *offers], 2: then})
    ]
    rules = config(
        venue(
            instruments=[BTC, ETH],
            mark={"kind": "book"},
            netting={"kind": netting},
            requirement=tiers(20.0, 0.9),
        ),
        steps=3,
        stresses=[move(2, size, underlyings=["btc"])],
    )
    return play(build(rules, people))


def test_ether_is_closed_out_because_bitcoin_fell() -> None:
    """Both close-outs of ether come from bitcoin; B itself lost in ether."""
    frames = fall_of_bitcoin("cross")
    assert frames["closeouts"][["owner", "instrument"]].to_numpy().tolist() == [
        [0, "BTC-PERP"],
        [0, "ETH-PERP"],
        [1, "ETH-PERP"],
    ]
    found = measure(frames)
    assert found.instruments == ("BTC-PERP", "ETH-PERP")
    assert found.lost == pytest.approx(np.array([[1, 0, 0], [0, 1, 0]]))
    assert found.origin == pytest.approx(np.array([[1, 0, 0], [1, 0, 0]]))
    total, foreign = sum_foreign_notional(found)["ETH-PERP"]
    assert (total, foreign) == (pytest.approx(2 * 99_500, rel=0.06), pytest.approx(total))
    assert sum_foreign_notional(found)["BTC-PERP"][1] == 0
    table = tabulate_instruments(found).set_index(["closed", "origin"])
    assert table.loc[("ETH-PERP", "ETH-PERP"), "lost"] == pytest.approx(found.closed[1, 1])
    graph = build_graph(build_contagion(frames), origins=found)
    first, second = (f"action {number}" for number in frames["closeouts"]["action"].unique())
    assert list(graph.predecessors(first)) == ["index BTC-PERP"]
    assert nx.shortest_path(graph, "index BTC-PERP", second)[1] == first
    assert graph.nodes[second]["foreign"] == pytest.approx(1)


def test_separate_accounts_pass_nothing_on() -> None:
    frames = fall_of_bitcoin("isolated", -0.03)
    assert frames["closeouts"][["instrument", "filled"]].to_numpy().tolist() == [["BTC-PERP", 200]]
    assert compute_foreign_share(measure(frames)) == 0


def quote_both(prices: tuple[float, float]) -> list[tuple[int, int, int, int, int, int]]:
    """Return quotes of the third member around the ticks of both instruments."""
    sides = itertools.product(enumerate(prices), (1, -1))
    return [(2, k, 900 * side, round(price) - side, LIMIT, side) for (k, price), side in sides]


def follow_book(ether: int, moves: dict[int, tuple[float, float]]) -> Frames:
    """A holds bitcoin for 2000 and ether for as much, with 240; moves of both indices by step."""
    sides = ((0, 1), (1, -1))
    entries = [
        (owner, k, sign * lots, 1000, LIMIT, 0)
        for owner, sign in sides
        for k, lots in enumerate((200, ether))
    ]
    orders, price = {1: [*entries, *quote_both((1000, 1000))]}, (1000.0, 1000.0)
    stresses = []
    for step, (bitcoin, other) in moves.items():
        price = price[0] * (1 + bitcoin), price[1] * (1 + other)
        orders[step] = quote_both(price)
        stresses += [move(step, bitcoin, underlyings=["btc"])] if bitcoin else []
        stresses += [move(step, other, underlyings=["eth"])] if other else []
    exchange = venue(instruments=[BTC, ETH], mark={"kind": "book"}, requirement=tiers(20.0, 0.5))
    rules = config(exchange, steps=4, stresses=stresses)
    return play(build(rules, [script([240.0, 1e5, 1e6], orders)]))


@pytest.mark.parametrize(
    ("ether", "moves", "from_bitcoin"),
    [
        pytest.param(-200, {2: (-0.1, 0.0)}, 1, id="hedge that does not help"),
        pytest.param(-200, {2: (-0.1, -0.02)}, 1, id="hedge that gains"),
        pytest.param(-200, {2: (0.0, 0.1)}, 0, id="hedge that loses"),
        pytest.param(200, {2: (-0.05, -0.05)}, 0.5, id="equal losses"),
        pytest.param(200, {2: (-0.065, 0.0), 3: (0.0, -0.012)}, 0, id="last step only"),
    ],
)
def test_origins_of_books_with_known_losses(
    ether: int, moves: dict[int, tuple[float, float]], from_bitcoin: float
) -> None:
    """Only what was lost since excess was last positive counts, not what used the margin up."""
    found = measure(follow_book(ether, moves))
    assert found.closed.shape == (1, 2)
    assert (found.closed > 0).all()
    assert found.origin[0] == pytest.approx([from_bitcoin, 1 - from_bitcoin, 0])


@given(worlds())
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_close_out_is_divided_in_full(world) -> None:
    """Shares of instruments sum to one, before and after links are followed."""
    frames = play(build(*world))
    check_shares(frames)
    found = measure(frames)
    if not len(found.closed):
        return
    total = frames["closeouts"].loc[frames["closeouts"]["filled"] > 0, "notional"].sum()
    assert found.closed.sum() == total
    table = tabulate_instruments(found)
    assert table["notional"].sum() == pytest.approx(total, abs=1 + 1e-6 * total)
    assert table["lost"].sum() == pytest.approx(total, abs=1 + 1e-6 * total)


def check_shares(frames: Frames) -> None:
    links = build_contagion(frames)
    found = build_origins(frames, links)
    count, width = len(links.actions), len(found.instruments) + 1
    assert found.lost.sum(axis=1) == pytest.approx(np.ones(count))
    assert found.origin.sum(axis=1) == pytest.approx(np.ones(count))
    assert found.lost.min(initial=0) >= 0
    assert found.origin.min(initial=0) >= 0
    by_kind = found.roots.toarray().reshape(count, len(ROOT_KINDS), width).sum(axis=2)
    assert by_kind == pytest.approx(links.harm_by_root, abs=1e-9)


@st.composite
def records(draw) -> Frames:
    """Draw close-outs in two instruments, harmed by indices and by earlier rounds."""
    closeouts, causes, moved, number = [], [], [], itertools.count()
    for turn in range(3):
        earlier = list(moved)
        for owner in range(draw(st.integers(0, 4))):
            action, name = next(number), draw(st.sampled_from("PQ"))
            change = draw(st.integers(-3, 0))
            row = {"id": action, "action": action, "step": 1, "round": turn, "instrument": name}
            row |= {"venue": "V", "pool": 0, "owner": 10 * turn + owner, "population": "t"}
            row |= {"filled": 1, "notional": draw(st.integers(1, 50)), "equity": 1.0}
            row |= {"maintenance": 2.0, "mark_before": 100.0, "mark_after": 100.0 + change}
            closeouts.append(row)
            for kind, place in (("index", "P"), ("index", "Q"), ("requirement", "")):
                amount = -draw(st.integers(-3, 9))
                causes.append((action, kind, 1, -1, place, amount))
            causes += [
                (action, "close_out", 1, when, place, -draw(st.integers(1, 9)))
                for when, place in earlier
            ]
            if change:
                moved.append((turn, name))
        moved = list(dict.fromkeys(moved))
    columns = ["action", "kind", "step", "round", "instrument", "amount"]
    names = ["id", "action", "step", "round", "instrument", "venue", "pool", "owner"]
    names += ["population", "filled", "notional", "equity", "maintenance"]
    names += ["mark_before", "mark_after"]
    texts = {"instrument": object, "venue": object, "population": object, "kind": object}
    return {
        "closeouts": pd.DataFrame(closeouts, columns=names).astype(
            {name: texts.get(name, float) for name in names}
        ),
        "causes": pd.DataFrame(causes, columns=columns).astype(
            {name: texts.get(name, float) for name in columns}
        ),
    }


@given(records())
@FEW
def test_gains_in_one_instrument_do_not_enlarge_the_harm(frames: Frames) -> None:
    check_shares(frames)


@given(records())
@FEW
def test_renamed_instruments_have_renamed_origins(frames: Frames) -> None:
    names = {"P": "Z", "Q": "A", "": ""}
    other = {
        name: frame.assign(instrument=frame["instrument"].map(names))
        for name, frame in frames.items()
    }
    one, two = (sum_foreign_notional(measure(each)) for each in (frames, other))
    assert {names[name] for name in one} == set(two)
    for name, amounts in one.items():
        assert two[names[name]] == pytest.approx(amounts)
