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
