"""Laws of loss layers (LOSS-2, LOSS-3)."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from sim.checks.law import (
    INTEGER,
    Law,
    Suite,
    require,
    require_array,
    require_columns,
    require_equal,
    require_methods,
)
from sim.checks.margin_worlds import UNIT, MarginWorld, make_accounts, make_contracts, make_market
from sim.losses import LayerContext, LayerResult, Shortfall
from sim.types import MISSING, PERPETUAL, Exposure, Fills, MarginAssessment
from sim.waterfall.allocation import allocate_largest_remainder


class LayerWorld(NamedTuple):
    """One bankrupt account among others."""

    margin: MarginWorld
    loss: Shortfall
    context: LayerContext

    @property
    def accounts(self) -> Exposure:
        """The accounts of the pool."""
        return self.context.accounts

    def describe(self) -> str:
        """Return the bankrupt account in words."""
        short = int(self.loss.deficit.sum())
        return f"{self.margin.describe_account(self.loss.account)}, which lacks {short}"


def make_layer_world(seed: int) -> LayerWorld:
    """Return accounts whose positions sum to zero; the first is bankrupt, others may be."""
    rng = np.random.default_rng(seed)
    count, instruments = int(rng.integers(2, 30)), int(rng.integers(1, 4))
    contracts = make_contracts(rng, instruments, 1)
    contracts = contracts._replace(kind=np.full(instruments, PERPETUAL))
    market = make_market(rng, contracts, 1)
    market = market._replace(mark=rng.integers(50, 2_000, instruments).astype(float))
    position = rng.integers(-20, 21, (count, instruments))
    position[0, 0] = position[0, 0] or 1
    position[-1] -= position.sum(axis=0)
    accounts = make_accounts(rng, market, count)._replace(position=position)
    accounts = accounts._replace(entry=_draw_entries(rng, accounts))
    equity = rng.integers(-50, int(rng.choice([60, 5_000, 200_000])), count)
    equity[0] = -int(rng.integers(1, 20_000))
    fund = int(rng.integers(1, count)) if seed % 2 else MISSING
    return build_layer_world(MarginWorld(seed, accounts), equity, fund)


def _draw_entries(rng: np.random.Generator, accounts: Exposure) -> Any:
    value = accounts.position_value()
    return np.rint(value * rng.uniform(0.7, 1.4, value.shape)).astype(np.int64)


def build_layer_world(world: MarginWorld, equity: Any, fund: int) -> LayerWorld:
    """Return some accounts with this equity, (A,) whole minor units; the first is bankrupt."""
    value = world.accounts.position_value().sum(axis=1)
    balance = np.zeros_like(world.accounts.balance)
    balance[:, 0] = np.rint(equity - value).astype(np.int64)
    accounts = world.accounts._replace(balance=balance)
    risk = assess_accounts(accounts)
    eligible = risk.equity > 0
    context = LayerContext(accounts, risk, eligible, fund, assess_accounts)
    return LayerWorld(world._replace(accounts=accounts), split_shortfall(accounts, 0), context)


def make_opening_layer_world(world: MarginWorld, market_unit: int = UNIT) -> LayerWorld:
    """Return the accounts of a market as it opens, the first of which has lost more than it had."""
    accounts = world.accounts.take(slice(1, len(world.accounts.position)))
    position = np.concatenate([accounts.position, -accounts.position.sum(axis=0, keepdims=True)])
    last = accounts.take(np.append(np.arange(len(accounts.position)), 0))
    lost = last._replace(position=position)
    gross = np.abs(lost.position_value()).sum(axis=1)
    equity = np.maximum(np.rint(0.5 * gross), market_unit)
    equity[0] = -max(1.0, np.rint(0.01 * gross[0]))
    return build_layer_world(world._replace(accounts=lost), equity, MISSING)


def assess_accounts(accounts: Exposure) -> MarginAssessment:
    """Return equity, and margins of a tenth and a twentieth of gross notional."""
    gross = np.abs(accounts.position_value()).sum(axis=1)
    return MarginAssessment(accounts.equity(), 0.1 * gross, 0.05 * gross)


def split_shortfall(accounts: Exposure, account: int) -> Shortfall:
    """Return an account's legs, its deficit spread over them by notional (LIQ-2)."""
    legs = np.flatnonzero(accounts.position[account])
    deficit = int(np.ceil(-accounts.equity()[account]))
    notional = np.abs(accounts.position_value()[account, legs]).astype(np.int64)
    parts = allocate_largest_remainder(deficit, notional)
    return Shortfall(account, legs, accounts.position[account, legs], parts)


def apply_result(accounts: Exposure, result: LayerResult, account: int) -> Exposure:
    """Return the accounts after the postings of a layer, written out plainly."""
    balance, position = accounts.balance.copy(), accounts.position.copy()
    contracts = accounts.market.contracts
    columns = (column.tolist() for column in result.fills[:5])
    for taker, maker, k, quantity, price in zip(*columns, strict=True):
        cash = quantity * price * int(contracts.multiplier[k])
        position[taker, k] += quantity
        position[maker, k] -= quantity
        balance[taker, contracts.settle[k]] -= cash
        balance[maker, contracts.settle[k]] += cash
    for payer, amount in zip(result.payers.tolist(), result.payments.tolist(), strict=True):
        balance[payer, 0] -= amount
        balance[account, 0] += amount
    if result.assuming_owner != MISSING:
        balance[result.assuming_owner] += balance[account]
        balance[account] = 0
    return accounts._replace(balance=balance, position=position)


def make_smaller_worlds(world: LayerWorld) -> Iterator[LayerWorld]:
    """Return worlds in which one of the other accounts is missing."""
    count = len(world.accounts.position)
    fund = world.context.fund_owner
    for row in range(1, count if count > 2 else 1):
        if row == fund:
            continue
        kept = np.delete(np.arange(count), row)
        moved = fund - (fund > row) if fund != MISSING else MISSING
        smaller = world.margin._replace(accounts=world.accounts.take(kept))
        yield build_layer_world(smaller, world.accounts.equity()[kept], moved)


def absorb(layer: Any, world: LayerWorld) -> LayerResult:
    """Return what a layer does, after a check of its form.

    Raises:
        BrokenLawError: it has another form, or names accounts and instruments that are not there.
    """
    found = layer.absorb(world.loss, world.context)
    name = "what absorb returns"
    require(
        isinstance(found, LayerResult), f"{name} is {type(found).__name__}, must be LayerResult"
    )
    result: LayerResult = found
    require_columns(result.fills, Fills, f"fills of {name}")
    for field, column in (("payers", result.payers), ("payments", result.payments)):
        length = np.shape(result.payers)
        require_array(column, f"{field} of {name}", length[:1], INTEGER)
    accounts, instruments = world.accounts.position.shape
    for field, column, most in (
        ("maker", result.fills.maker, accounts),
        ("payer", result.payers, accounts),
        ("instrument", result.fills.instrument, instruments),
    ):
        for wrong in column[(column < 0) | (column >= most)]:
            require(False, f"{name} has {field} {wrong}, must be from 0 to {most - 1}")
    return result


def _check_methods(layer: Any, world: LayerWorld) -> None:
    require_methods(layer, {"absorb": "loss, floor"}, type(layer).__name__)


def _check_form(layer: Any, world: LayerWorld) -> None:
    result, account = absorb(layer, world), world.loss.account
    fills = result.fills
    takers = fills.taker[fills.taker != account]
    require(not takers.size, f"a fill has taker {takers[:1]}, must be the account {account}")
    require(not (fills.maker == account).any(), f"account {account} trades with itself")
    mark = world.accounts.market.mark[fills.instrument]
    for row in np.flatnonzero(fills.price != mark):
        price = f"a fill at {fills.price[row]} ticks, and the mark is {mark[row]:g}"
        require(False, f"{world.describe()}, has {price}")


def _check_payments(layer: Any, world: LayerWorld) -> None:
    result, loss = absorb(layer, world), world.loss
    require(
        (result.payments > 0).all(), f"a payment is {result.payments.min(initial=0)}, not positive"
    )
    repeated = len(set(result.payers.tolist())) != len(result.payers)
    require(not repeated, "an account pays twice")
    paid, short = int(result.payments.sum()), int(loss.deficit.sum())
    require(paid <= short, f"{world.describe()}, receives {paid}")
    after = apply_result(world.accounts, result, loss.account).equity()
    if result.assuming_owner == MISSING:
        gained = after[loss.account] - world.accounts.equity()[loss.account]
        require(gained == paid, f"{world.describe()}, gains {gained:.10g} from payments of {paid}")
    before = world.accounts.equity()
    for row, payer in enumerate(result.payers.tolist()):
        rich = after[payer] >= 0
        money = f"{result.payments[row]} with an equity of {before[payer]:.10g}"
        require(rich, f"{world.margin.describe_account(payer)} pays {money}")


def _check_positions(layer: Any, world: LayerWorld) -> None:
    result = absorb(layer, world)
    before = world.accounts.position
    after = apply_result(world.accounts, result, world.loss.account).position
    wrong = (np.abs(after) > np.abs(before)) | (after * before < 0)
    if result.assuming_owner != MISSING:
        wrong[result.assuming_owner] = False
    for row, k in np.argwhere(wrong):
        name = world.margin.contracts.names[k]
        lots = f"{before[row, k]} lots of {name} before, and {after[row, k]} after"
        require(False, f"account {row} has {lots}")


def _check_assumption(layer: Any, world: LayerWorld) -> None:
    result, account = absorb(layer, world), world.loss.account
    owner = result.assuming_owner
    if owner == MISSING:
        return
    is_other = (
        isinstance(owner, int) and owner != account and owner in range(len(world.accounts[0]))
    )
    require(is_other, f"the owner that takes the account over is {owner!r}")
    require(
        not result.payers.size, f"account {owner} takes over, and {result.payers[:1]} pays, too"
    )
    others = result.fills.maker[result.fills.maker != owner]
    require(not others.size, f"account {owner} takes over, and {others[:1]} has fills, too")
    after = apply_result(world.accounts, result, account)
    left = f"account {owner} takes over, and account {account} keeps positions"
    require(not after.position[account].any(), left)


def _check_purity(layer: Any, world: LayerWorld) -> None:
    context = world.context
    given = (*context.accounts[:-1], *context.assessment, context.is_eligible, *world.loss[1:])
    kept = [column.copy() for column in given]
    first, again = (absorb(layer, world) for _ in range(2))
    for one, other in ((first.fills, again.fills), (first[1:3], again[1:3])):
        require_equal(one, other, "absorb returns another result at the second call")
    require_equal(given, kept, "absorb writes to what it is given")


LAWS = (
    Law("methods", "LOSS-1", "It has the methods of a loss layer.", _check_methods),
    Law(
        "form of results",
        "LOSS-2",
        "Fills are of the bankrupt account, at the mark, with others.",
        _check_form,
    ),
    Law(
        "balanced payments",
        "LOSS-3",
        "Payers pay once, in sum no more than the deficit, and none more than its equity.",
        _check_payments,
    ),
    Law(
        "positions only shrink",
        "LOSS-2",
        "Positions are neither enlarged nor turned, but for those of an owner that takes over.",
        _check_positions,
    ),
    Law(
        "whole take-overs",
        "LIQ-3",
        "An owner that takes an account over takes all of it, and no account pays.",
        _check_assumption,
    ),
    Law(
        "pure results",
        "LOSS-2",
        "The same call returns the same result, and what is given stays as it is.",
        _check_purity,
    ),
)

SUITE = Suite("loss layer", LAWS, make_layer_world, make_smaller_worlds)
