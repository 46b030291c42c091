"""Kernels that go through the positions of a population's members."""

from sim.numerics.jit import kernel
from sim.types import B1, I8


@kernel
def find_flat(owner: int, position: I8, instruments: I8, flat: B1) -> None:
    """Find the members, (A,) from an owner on, without a position in any of some instruments.

    Args:
        owner: owner of the first.
        position: (K, N) lots.
        instruments: (m,) instruments that count.
        flat: (A,) out.
    """
    flat[:] = True
    for k in instruments:
        held = position[k, owner : owner + flat.size]
        for at in range(flat.size):
            flat[at] &= held[at] == 0
