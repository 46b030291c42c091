"""Laws of netting: partitions of a venue's instruments into margin pools (ISO-1)."""

from sim.checks.law import Law, Suite, describe_value, require, require_methods
from sim.checks.margin_worlds import MarginWorld, make_margin_world
from sim.margin.base import NettingComponent


def _check_methods(rule: NettingComponent, world: MarginWorld) -> None:
    require_methods(rule, {"build_pools": "contracts"}, type(rule).__name__)
    apart = rule.has_separate_wallets
    require(isinstance(apart, bool), f"has_separate_wallets is {apart!r}, must be True or False")


def _check_partition(rule: NettingComponent, world: MarginWorld) -> None:
    pools, names = rule.build_pools(world.contracts), world.contracts.names
    is_list = isinstance(pools, list) and all(isinstance(pool, list) for pool in pools)
    require(is_list, f"build_pools returns {describe_value(pools)}, must return a list of lists")
    columns = [column for pool in pools for column in pool]
    for column in columns:
        is_known = isinstance(column, int) and 0 <= column < len(names)
        require(is_known, f"a pool holds {column!r}, must hold columns from 0 to {len(names) - 1}")
    for column, name in enumerate(names):
        times = columns.count(column)
        require(times == 1, f"{name} (column {column}) is in {times} pools, must be in one")
    require(all(pools), "a pool is empty")
    require(pools == sorted(sorted(pool) for pool in pools), f"pools are not sorted: {pools}")


def _check_purity(rule: NettingComponent, world: MarginWorld) -> None:
    first, again = (rule.build_pools(world.contracts) for _ in range(2))
    require(first == again, f"build_pools returns {first}, and {again} at the second call")


LAWS = (
    Law("methods", "ISO-1", "It has the methods of a netting.", _check_methods),
    Law(
        "partition",
        "ISO-1",
        "Each instrument is in exactly one pool; pools are ordered by their first column.",
        _check_partition,
    ),
    Law("pure pools", "ISO-1", "The same call returns the same pools.", _check_purity),
)

SUITE = Suite("netting", LAWS, make_margin_world, lambda world: ())
