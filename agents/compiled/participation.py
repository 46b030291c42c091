"""Kernels of entries and exits that respond to the capital that a position ties up (AGT-1)."""

import numpy as np

from agents.compiled.leveraged import LEAVE, respond_to_leverage
from sim.arrays import U8
from sim.numerics.account_sums import BLOCK
from sim.numerics.compiled_draws import draw_blocks
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, MISSING


@kernel
def scale_probability(probability: float, factor: float) -> float:
    """Return the probability of an event in a step once its hazard is a factor of what it was.

    It is exactly the same at a factor of one.
    """
    if factor == 1.0 or probability <= 0:
        return probability
    if factor <= 0:
        return 0.0
    scaled: float = -np.expm1(factor * np.log1p(-probability))
    return scaled


@kernel
def find_mean_response(
    max_leverage: F8, instruments: I8, reference: float, elasticity: float
) -> float:
    """Return the mean response of hazards to the leverage admitted for some instruments."""
    total = 0.0
    for k in instruments:
        total += respond_to_leverage(max_leverage[k], reference, elasticity)
    return total / instruments.size


@kernel
def scale_hazards(
    tick: int,
    max_leverage: F8,
    instruments: I8,
    reference: float,
    elasticity: float,
    hazard: F8,
    scaled: F8,
) -> int:
    """Scale probabilities of entries by the capital that positions tie up.

    Args:
        tick: present tick.
        max_leverage: (K,) highest leverage that engines admit, one over initial margin.
        instruments: (m,) instruments of the population.
        reference: leverage at which hazards are those of the settings.
        elasticity: exponent of the response.
        hazard: (m,) probabilities of an entry in a step, of each instrument.
        scaled: (m,) out.
    """
    for m in range(instruments.size):
        factor = respond_to_leverage(max_leverage[instruments[m]], reference, elasticity)
        scaled[m] = scale_probability(hazard[m], factor)
    return 0


@kernel
def scale_book_hazards(
    tick: int,
    max_leverage: F8,
    instruments: I8,
    reference: float,
    elasticity: float,
    hazard: F8,
    scaled: F8,
) -> int:
    """Scale probabilities of entering books by the mean response of their instruments.

    Args:
        tick: present tick.
        max_leverage, instruments, reference, elasticity: see :func:`scale_hazards`.
        hazard: (b,) probabilities of entering each book in a step.
        scaled: (b,) out.
    """
    factor = find_mean_response(max_leverage, instruments, reference, elasticity)
    for book in range(hazard.size):
        scaled[book] = scale_probability(hazard[book], factor)
    return 0


@kernel
def plan_first_entries(
    tick: int,
    max_leverage: F8,
    instruments: I8,
    reference: float,
    elasticity: float,
    draws: F8,
    share: float,
    steps: float,
    is_planned: B1,
    first_entry: I8,
    is_waiting: B1,
) -> int:
    """Plan the first entries once, before the first decision, from the margin at that time.

    Args:
        tick: present tick.
        max_leverage, instruments, reference, elasticity: see :func:`scale_hazards`.
        draws: (n,) uniform draw of each member.
        share: share of members who enter during the warm-up at the reference.
        steps: length of the warm-up.
        is_planned: (1,) True once the entries are planned.
        first_entry, is_waiting: (n,) out, see ``EntryState``.
    """
    if is_planned[0]:
        return 0
    is_planned[0] = True
    factor = find_mean_response(max_leverage, instruments, reference, elasticity)
    share = scale_probability(share, factor)
    for i in range(draws.size):
        is_waiting[i] = draws[i] < share
        first_entry[i] = MISSING
        if is_waiting[i]:
            first_entry[i] = max(int(np.ceil(draws[i] / share * steps)), 1)
    return 0


@kernel
def list_exit_probabilities(
    max_leverage: F8, instruments: I8, reference: float, elasticity: float, probability: float
) -> F8:
    """Return the probability (m,) that a member leaves a position in a step.

    Its hazard grows with the capital that the position ties up.
    """
    listed = np.empty(instruments.size)
    for m in range(instruments.size):
        response = respond_to_leverage(max_leverage[instruments[m]], reference, elasticity)
        listed[m] = scale_probability(probability, 1 / response if response > 0 else np.inf)
    return listed


@kernel
def draw_exits(
    tick: int,
    key: U8,
    owner: int,
    position: I8,
    instruments: I8,
    max_leverage: F8,
    reference: float,
    elasticity: float,
    probability: float,
    leaves: B1,
) -> int:
    """Draw the members who leave in this step, by the instrument they hold.

    With several, the one that ties up the most capital decides. Draws are those of
    ``agents.compiled.leveraged.draw_entries``.

    Args:
        tick: present tick.
        key: key of the stream of draws.
        owner: owner of the first member.
        position: (K, N) lots.
        instruments, max_leverage, reference, elasticity, probability: see
            :func:`list_exit_probabilities`.
        leaves: (n,) out.
    """
    listed = list_exit_probabilities(max_leverage, instruments, reference, elasticity, probability)
    highest, draws = listed.max(), np.empty((4, BLOCK))
    for start in range(0, leaves.size, BLOCK):
        members = min(BLOCK, leaves.size - start)
        draw_blocks(start, members, tick, key, draws)
        for at in range(members):
            i, limit = start + at, -1.0
            if draws[LEAVE, at] < highest:
                for m in range(instruments.size):
                    if position[instruments[m], owner + i] != 0:
                        limit = max(limit, listed[m])
                limit = highest if limit < 0 else limit
            leaves[i] = draws[LEAVE, at] < limit
    return 0


@kernel
def draw_book_exits(
    tick: int,
    owner: int,
    position: I8,
    instruments: I8,
    max_leverage: F8,
    reference: float,
    elasticity: float,
    probability: float,
    draws: F8,
    leaves: B1,
) -> int:
    """Draw the members who leave their book in this step, as :func:`draw_exits` does.

    Args:
        tick: present tick.
        owner, position, instruments, max_leverage, reference, elasticity, probability: see
            :func:`draw_exits`.
        draws: (n, w) uniform draws of the step.
        leaves: (n,) out.
    """
    listed = list_exit_probabilities(max_leverage, instruments, reference, elasticity, probability)
    highest = listed.max()
    for i in range(leaves.size):
        limit = -1.0
        if draws[i, LEAVE] < highest:
            for m in range(instruments.size):
                if position[instruments[m], owner + i] != 0:
                    limit = max(limit, listed[m])
            limit = highest if limit < 0 else limit
        leaves[i] = draws[i, LEAVE] < limit
    return 0
