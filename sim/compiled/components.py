"""Interfaces of components that contribute kernels to the compiled step."""

from typing import Protocol, runtime_checkable

from sim.compiled.arrays import StepArrays
from sim.numerics.bound_kernels import BoundKernel


@runtime_checkable
class CompiledPopulation(Protocol):
    """Population whose members decide in compiled code."""

    def bind_decision(self, step: StepArrays, members: slice) -> BoundKernel | None:
        """Return the kernel that appends the orders of one step, or None where there is none.

        It sends the same orders in the same sequence as ``decide``.

        Args:
            step: arrays of the market.
            members: owners of the population.
        """
        ...


@runtime_checkable
class BoundedOrders(Protocol):
    """Population that knows the most orders of its members."""

    def count_orders(self) -> int:
        """Return the most orders that all members together send in one step."""
        ...


@runtime_checkable
class CompiledCashFlows(Protocol):
    """Population whose members request payments in compiled code."""

    def bind_cash_flows(self, step: StepArrays, members: slice) -> BoundKernel | None:
        """Return the kernel that appends the payments of one step, or None where there is none.

        It sends the same payments as ``request_cash_flows``, those from outside, from wallets into
        margin accounts and back to outside each in the same sequence; none from a margin account
        to a wallet.

        Args:
            step: arrays of the market, with owners' equity and free margin as they see them.
            members: owners of the population.
        """
        ...


def requests_by_kernel(population: object) -> bool:
    """Return True unless a subclass requests other payments than its base's kernel sends."""
    for cls in type(population).__mro__:
        if "bind_cash_flows" in vars(cls):
            return True
        if "request_cash_flows" in vars(cls):
            return False
    return False
