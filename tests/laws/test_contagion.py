"""Contagion on chains that are known by construction, and its laws in any market (LIQ-6)."""

import itertools
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markets import build, config, move, script, venue, worlds

from sim.errors import DataError
from sim.market import Market
from sim.metrics.cascades import Frames
from sim.metrics.contagion import ROOT_KINDS, ContagionLinks, build_contagion, divide_by_lots
from sim.metrics.generations import (
    assign_cascades,
    compute_depths,
    compute_masses,
    compute_reach,
    compute_root_share,
    estimate_branching,
    estimate_ratio,
    tabulate_cascades,
    tabulate_generations,
    tabulate_origins,
)
from sim.metrics.graphs import build_graph
from sim.types import LIMIT

A, E, B, C, D = range(5)
"""Owners, in the order in which they are closed out."""


def chain() -> Frames:
    return play(chain_market())


def chain_market(**rules: Any) -> Market:
    """Run a chain: the index closes A and E; their sales, of 2 ticks and 1, B and C; theirs D.

    All are long at 1000 and liquidatable at a wealth per lot below 1000 - 0.975 x mark, the mid.
    """
    lots, each = [200, 100, 100, 100, 100], [52.5, 53.5, 55.0, 55.1, 58.0]
    entries = [(owner, 0, size, 1000, LIMIT, 0) for owner, size in enumerate(lots)]
    short, maker = len(lots), len(lots) + 1
    calm = [(maker, 0, 200, 999, LIMIT, 0), (maker, 0, -9000, 1001, LIMIT, 9)]
    bids = {969: 200, 965: 100, 963: 100, 961: 100, 959: 9000}
    then = [(maker, 0, size, price, LIMIT, slot) for slot, (price, size) in enumerate(bids.items())]
    orders = {
        1: [*entries, (short, 0, -sum(lots), 1000, LIMIT, 0), *calm],
        2: [*then, (maker, 0, -9000, 971, LIMIT, 9)],
    }
    wealths = [size * wealth / 100 for size, wealth in zip(lots, each, strict=True)]
    whole = config(venue(mark={"kind": "book"}), steps=3, stresses=[move(2, -0.03)], **rules)
    return build(whole, [script([*wealths, 50_000.0, 5_000_000.0], orders)])


def play(market: Market) -> Frames:
    for _ in range(market.steps_planned):
        market.step()
    market.ledger.check_conservation()
    return market.recorder.frames()


@pytest.fixture(scope="module")
def known() -> ContagionLinks:
    return build_contagion(chain())


def test_the_chain_that_was_built_is_found(known: ContagionLinks) -> None:
    assert known.actions["owner"].tolist() == [A, E, B, C, D]
    assert (
        known.moves[["round", "move"]].to_numpy().tolist()
        == [[0, -3.0], [1, -2.0], [2, 0.0]][: len(known.moves)]
    )
    assert known.harm_by_root[:, ROOT_KINDS.index("index")].tolist() == [1, 1, 0, 0, 0]
    assert known.harm_by_root.sum() == 2
    assert known.move_by_action.toarray()[:2] == pytest.approx(
        np.array([[2 / 3, 1 / 3, 0, 0, 0], [0, 0, 0.5, 0.5, 0]])
    )
    assert known.harm_by_move.toarray()[:, :2].tolist() == [[0, 0], [0, 0], [1, 0], [1, 0], [0, 1]]


def test_who_took_bids_before_the_mark_moved_bears_his_lots(known: ContagionLinks) -> None:
    """The mark moved at the second of two sales only; an order cancelled did a fifth of it."""
    frames = chain()
    closeouts, first = frames["closeouts"].copy(), frames["closeouts"]["round"] == 0
    closeouts.loc[first, "mark_after"] = closeouts.loc[first, "mark_before"] - [0.0, 3.0]
    frames["closeouts"] = closeouts
    links = build_contagion(frames)
    assert links.move_by_action.toarray()[0, :2].tolist() == [0, 1]
    lots = divide_by_lots(links, closeouts)
    assert lots.move_by_action.toarray()[0, :2] == pytest.approx([2 / 3, 1 / 3])
    less = divide_by_lots(links._replace(move_by_action=0.8 * links.move_by_action), closeouts)
    assert less.move_by_action.toarray() == pytest.approx(0.8 * lots.move_by_action.toarray())
    assert divide_by_lots(known, chain()["closeouts"]).move_by_action.toarray() == pytest.approx(
        known.move_by_action.toarray()
    )
    assert np.array_equal(lots.harm_by_root, links.harm_by_root)


def test_what_each_brought_about_is_what_followed_by_its_share(known: ContagionLinks) -> None:
    notional = known.actions["notional"].to_numpy()
    after = notional[[B, C, D]].sum()
    assert compute_reach(known) == pytest.approx(
        [2 / 3 * after, after / 3, notional[D] / 2, notional[D] / 2, 0]
    )


def test_the_cascade_is_one_of_five_in_three_generations(known: ContagionLinks) -> None:
    assert tabulate_generations(known)[["actions", "ratio"]].to_numpy() == pytest.approx(
        np.array([[2, 1], [2, 0.5], [1, 0]])
    )
    assert compute_depths(known).tolist() == [0, 0, 1, 1, 2]
    assert estimate_branching(known).value == pytest.approx(3 / 5)
    (row,) = tabulate_cascades(known).to_dict("records")
    assert (row["actions"], row["accounts"], row["rounds"], row["depth"], row["origin"]) == (
        5,
        5,
        3,
        2,
        "index",
    )
    assert row["notional"] == known.actions["notional"].sum()
    assert row["endogenous"] == pytest.approx(known.actions["notional"][2:].sum() / row["notional"])
    assert tabulate_origins(known).set_index("kind")["share"][
        ["index", "close_out"]
    ].tolist() == pytest.approx([0.4, 0.6])
    assert [compute_root_share(known, kind) for kind in ("index", "requirement")] == pytest.approx(
        [0.4, 0.0]
    )


def test_the_graph_leads_from_the_index_to_the_last(known: ContagionLinks, tmp_path) -> None:
    found = build_graph(known)
    assert nx.is_directed_acyclic_graph(found)
    assert found.nodes["index"]["node"] == "root"
    name = {row["owner"]: f"action {row['action']}" for row in known.actions.to_dict("records")}
    path = nx.shortest_path(found, "index", name[D])
    assert [found.nodes[each]["node"] for each in path] == [
        "root",
        "action",
        "move",
        "action",
        "move",
        "action",
    ]
    assert found.edges[name[A], "move 2.0 BTC-PERP"]["share"] == pytest.approx(2 / 3)
    nx.write_graphml(found, tmp_path / "chain.graphml")
    again = nx.read_graphml(tmp_path / "chain.graphml")
    assert set(again.edges) == set(found.edges)
    assert again.nodes[name[B]] == found.nodes[name[B]]
    assert set(build_graph(known, 1).nodes) == set(found.nodes)
    with pytest.raises(DataError, match="cascade: 2, there are 1"):
        build_graph(known, 2)


@given(worlds())
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
def test_shares_are_shares_whatever_happens(world) -> None:
    """Harm is divided in full among its causes, and generations count each action once."""
    links = build_contagion(play(build(*world)))
    count = len(links.actions)
    assert links.harm_by_root.sum(axis=1) + links.weigh_parents(np.ones(count)) == pytest.approx(
        np.ones(count)
    )
    made = links.move_by_action.sum(axis=1)
    assert ((made > -1e-12) & (made < 1 + 1e-12)).all()
    assert all(
        (part.data > 0).all()
        for part in (links.harm_by_move, links.move_by_action, links.harm_by_own)
    )
    if not count:
        assert len(tabulate_cascades(links)) == 0
        return
    assert compute_masses(links).sum(axis=0) == pytest.approx(np.ones(count))
    found, table = estimate_branching(links), tabulate_cascades(links)
    assert 0 <= found.value < 1
    assert table["notional"].sum() == links.actions["notional"].sum()
    assert table["notional"].is_monotonic_decreasing
    for share in ("branching", "endogenous", "requirement"):
        assert table[share].between(0, 1 + 1e-12).all()
    assert (table["depth"] < table["rounds"]).all(), "a chain takes a round for each link"
    assert compute_reach(links).max() <= links.actions["notional"].sum()
    assert nx.is_directed_acyclic_graph(build_graph(links))


# --- frames drawn without a market ---


@st.composite
def records(draw) -> Frames:
    """Draw close-outs of a few rounds in two instruments, caused by earlier rounds and outside."""
    closeouts, causes, number = [], [], itertools.count()
    moved: list[tuple[int, int, str]] = []
    for step, turn in itertools.product((1, 2), range(3)):
        earlier = list(dict.fromkeys(moved))
        for owner in range(draw(st.integers(0, 4))):
            action = next(number)
            name, change = draw(st.sampled_from("PQ")), draw(st.integers(-3, 1))
            row = {
                "id": action,
                "action": action,
                "step": step,
                "round": turn,
                "instrument": name,
                "venue": "V",
            }
            row |= {
                "pool": 0,
                "owner": 100 * step + 10 * turn + owner,
                "population": "t",
                "filled": 1,
            }
            row |= {
                "notional": draw(st.integers(1, 50)),
                "mark_before": 100.0,
                "mark_after": 100.0 + change,
            }
            closeouts.append(row | {"equity": 1.0, "maintenance": 2.0})
            outside = draw(st.sampled_from(["index", "requirement", "voluntary"]))
            reported = [(outside, step, -1, "", -draw(st.integers(1, 9)))]
            if earlier:
                reported += [
                    ("close_out", *draw(st.sampled_from(earlier)), draw(st.integers(-9, 2)))
                    for _ in range(2)
                ]
            causes += [
                {"action": action, **dict(zip(CAUSE, each, strict=True))} for each in reported
            ]
            if change:
                moved.append((step, turn, name))
    return {"closeouts": _frame(closeouts, ROW), "causes": _frame(causes, ["action", *CAUSE])}


CAUSE = ["kind", "step", "round", "instrument", "amount"]
ROW = [
    "id",
    "action",
    "step",
    "round",
    "instrument",
    "venue",
    "pool",
    "owner",
    "population",
    "filled",
    "notional",
]
ROW += ["mark_before", "mark_after", "equity", "maintenance"]


FEW = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
TEXT = {"instrument", "venue", "population", "kind"}


def _frame(rows: list[dict], columns: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=columns, dtype=object)
    return frame.astype({name: object if name in TEXT else float for name in columns})


@given(records(), st.randoms(use_true_random=False))
@FEW
def test_names_and_order_of_rows_do_not_matter(frames: Frames, chance) -> None:
    """Owners, populations and instruments renamed, rows shuffled: the same cascades."""
    owners = sorted(set(frames["closeouts"]["owner"]))
    other = dict(zip(owners, chance.sample(range(1000), len(owners)), strict=True))
    names = {"P": "Z", "Q": "A", "": ""}
    shuffled = {
        name: frame.sample(frac=1, random_state=chance.randrange(2**31))
        for name, frame in frames.items()
    }
    moved = {
        name: frame.assign(instrument=frame["instrument"].map(names))
        for name, frame in shuffled.items()
    }
    moved["closeouts"] = moved["closeouts"].assign(
        owner=moved["closeouts"]["owner"].map(other), population="u"
    )
    one, two = build_contagion(frames), build_contagion(moved)
    assert one.harm_by_root == pytest.approx(two.harm_by_root)
    assert compute_reach(one) == pytest.approx(compute_reach(two))
    pd.testing.assert_frame_equal(tabulate_cascades(one), tabulate_cascades(two))
    assert estimate_branching(one)[0] == pytest.approx(estimate_branching(two)[0], nan_ok=True)


@given(records(), st.floats(1.1, 10.0))
@FEW
def test_more_harm_by_close_outs_is_more_contagion(frames: Frames, factor: float) -> None:
    """If only their part grows, no action and no total has a smaller share of contagion."""
    causes = frames["causes"]
    grown = (
        np.where((causes["kind"] == "close_out") & (causes["amount"] < 0), factor, 1.0)
        * causes["amount"]
    )
    one, two = (
        build_contagion(frames),
        build_contagion(frames | {"causes": causes.assign(amount=grown)}),
    )
    outside = [links.harm_by_root[:, : len(ROOT_KINDS) - 2].sum(axis=1) for links in (one, two)]
    assert (outside[1] <= outside[0] + 1e-12).all()


@given(records(), st.floats(0.0, 0.5), st.floats(0.0, 0.5))
@FEW
def test_fainter_links_join_more(frames: Frames, one: float, two: float) -> None:
    links = build_contagion(frames)
    low, high = sorted((one, two))
    many, few = (assign_cascades(links, least).max(initial=0) for least in (high, low))
    assert many >= few
    assert (compute_depths(links, high) <= compute_depths(links, low)).all()


def test_a_ratio_has_the_interval_of_its_cascades() -> None:
    """For 1 - 1/size of a branching process the interval holds the truth in about 95 of 100."""
    rng, hit = np.random.default_rng(0), 0
    for _ in range(300):
        sizes = _borel(rng, 0.6, 400)
        hit += (found := estimate_ratio(sizes - 1, sizes)).low <= 0.6 <= found.high
    assert 0.90 <= hit / 300 <= 0.98
    assert np.isnan(estimate_ratio(np.ones(1), np.ones(1)).low)
    assert np.isnan(estimate_ratio(np.empty(0), np.empty(0)).value)


def _borel(rng: np.random.Generator, mean: float, count: int) -> np.ndarray:
    total, now = np.ones(count), np.ones(count)
    while now.any():
        now = rng.poisson(mean * now).astype(float)
        total += now
    return total


def test_frames_of_an_older_version_are_named() -> None:
    frames = chain()
    with pytest.raises(DataError, match=r"causes: no such frame, contagion needs it.*run again"):
        build_contagion({"closeouts": frames["closeouts"]})
    with pytest.raises(
        DataError, match=r"closeouts: no column 'mark_before', 'mark_after', contagion needs it"
    ):
        build_contagion(
            frames | {"closeouts": frames["closeouts"].drop(columns=["mark_before", "mark_after"])}
        )
    with pytest.raises(DataError, match="causes: action 99 closed out nothing"):
        build_contagion(frames | {"causes": frames["causes"].assign(action=99)})
    with pytest.raises(DataError, match="causes: kind 'ghost' is not one of requirement"):
        build_contagion(frames | {"causes": frames["causes"].assign(kind="ghost")})


@pytest.mark.parametrize(
    ("amount", "message"),
    [
        ("much", r"no numbers in 'amount' \(.*\), contagion needs them"),
        (np.nan, "nan or infinite in 'amount'"),
    ],
)
def test_causes_are_of_numbers(amount: Any, message: str) -> None:
    frames = chain()
    with pytest.raises(DataError, match=f"causes: {message}.*make the run again"):
        build_contagion(frames | {"causes": frames["causes"].assign(amount=amount)})


def test_nothing_closed_out_is_no_cascade() -> None:
    frames = {name: frame.iloc[:0] for name, frame in chain().items()}
    links = build_contagion(frames)
    assert len(tabulate_cascades(links)) == 0
    assert np.isnan(estimate_branching(links).value)
    assert not len(build_graph(links))
    with pytest.raises(DataError, match="cascade: 1, nothing was closed out"):
        build_graph(links, 1)
