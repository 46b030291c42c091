"""Interfaces of components that contribute kernels to the compiled step."""

from types import FunctionType
from typing import Protocol, runtime_checkable

from sim.compiled.arrays import StepArrays
from sim.component import Component
from sim.numerics.bound_kernels import BoundKernel

_COMMON_NAMES = frozenset(dir(Component))


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


def has_own_rules(component: object, binder: str) -> bool:
    """Return True if kernels that a component binds do not stand for its class.

    A kernel stands for the rules of the class that defines its binder. A subclass, such as a
    plug-in, which defines methods and no binder, may have changed those rules.

    Args:
        component: a population or another component.
        binder: name of the method that binds kernels.
    """
    for cls in type(component).__mro__:
        if binder in vars(cls):
            return False
        for name, value in vars(cls).items():
            if isinstance(value, FunctionType | property) and name not in _COMMON_NAMES:
                return True
    return True


@runtime_checkable
class BoundedOrders(Protocol):
    """Population that knows the most orders of its members."""

    def count_orders(self) -> int:
        """Return the most orders that all members together send in one step."""
        ...
