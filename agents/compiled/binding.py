"""Which populations may be bound to kernels."""

from inspect import isfunction

from agents.base import Population


def has_own_rules(population: Population, *binders: str) -> bool:
    """Return whether a class adds rules in Python to those that its kernels express.

    A class that inherits kernels and overrides other methods would be bound to the rules of its
    base, so that it has to decide in Python.

    Args:
        population: population to be bound.
        binders: names of the methods that bind its kernels.
    """
    for each in type(population).__mro__:
        own = vars(each)
        if any(name in own for name in binders):
            return False
        if any(isfunction(value) or isinstance(value, property) for value in own.values()):
            return True
    return True
