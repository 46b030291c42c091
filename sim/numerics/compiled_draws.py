"""Addressed random draws inside compiled code: the same numbers as :mod:`sim.numerics.rng`."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from sim.arrays import F8, U8
from sim.numerics.jit import kernel

FIRST_MULTIPLIER, SECOND_MULTIPLIER = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
FIRST_KEY_STEP, SECOND_KEY_STEP = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
"""Constants of Philox 4x64 (Salmon, Moraes, Dror and Shaw 2011, section 4)."""

ROUNDS = 10
UNUSED_BITS = np.uint64(11)
"""A double has 53 bits, so 11 of a word's 64 are dropped."""

UNIT = 2.0**-53

LANES = 64
"""Blocks that are drawn at once."""

HALF, LOWER = np.uint64(32), np.uint64(0xFFFFFFFF)


@intrinsic  # type: ignore[untyped-decorator]
def _multiply_high(typingctx: Any, left: Any, right: Any) -> Any:
    """Return the upper half of the product of two words."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


@kernel
def draw_four(block: int, tick: int, key: U8) -> tuple[float, float, float, float]:
    """Return the four uniforms of one block of a stream: numbers 4 x block to 4 x block + 3."""
    c0, c1, c2, c3 = np.uint64(block + 1), np.uint64(0), np.uint64(0), np.uint64(tick)
    k0, k1 = key[0], key[1]
    for _ in range(ROUNDS):
        high0, low0 = _multiply_high(FIRST_MULTIPLIER, c0), FIRST_MULTIPLIER * c0
        high1, low1 = _multiply_high(SECOND_MULTIPLIER, c2), SECOND_MULTIPLIER * c2
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0 += FIRST_KEY_STEP
        k1 += SECOND_KEY_STEP
    return (
        (c0 >> UNUSED_BITS) * UNIT,
        (c1 >> UNUSED_BITS) * UNIT,
        (c2 >> UNUSED_BITS) * UNIT,
        (c3 >> UNUSED_BITS) * UNIT,
    )


@kernel
def _multiply_halves(
    low: np.uint64, high: np.uint64, word: np.uint64
) -> tuple[np.uint64, np.uint64]:
    """Return upper and lower half of a product, by 32-bit halves, for which vectors have products.

    ``low`` and ``high`` are the halves of one factor.
    """
    right, left = word & LOWER, word >> HALF
    least = low * right
    middle = low * left + (least >> HALF)
    other = high * right + (middle & LOWER)
    upper = high * left + (middle >> HALF) + (other >> HALF)
    return upper, (other << HALF) | (least & LOWER)


@kernel
def draw_blocks(first: int, count: int, tick: int, key: U8, draws: F8) -> None:
    """Draw the four uniforms of several blocks, the numbers of :func:`draw_four`.

    Each loop over the blocks compiles to vector instructions, which takes a third of the time.

    Args:
        first: number of the first block.
        count: number of blocks; a few more may be drawn.
        tick: number of the step.
        key: of the stream.
        draws: (4, n) out, the numbers of a block are in one column; n is a multiple of LANES.
    """
    words = np.empty((4, LANES), dtype=np.uint64)
    for start in range(0, count, LANES):
        lanes = min((count - start + 7) & -8, LANES)
        mix_blocks(first + start, lanes, tick, key, words)
        for row in range(4):
            here = draws[row, start : start + lanes]
            for lane in range(lanes):
                here[lane] = (words[row, lane] >> UNUSED_BITS) * UNIT


@kernel
def mix_blocks(first: int, lanes: int, tick: int, key: U8, words: U8) -> None:
    """Write the words of up to LANES blocks, (4, LANES)."""
    first_low, first_high = FIRST_MULTIPLIER & LOWER, FIRST_MULTIPLIER >> HALF
    second_low, second_high = SECOND_MULTIPLIER & LOWER, SECOND_MULTIPLIER >> HALF
    c0, c1, c2, c3 = words[0], words[1], words[2], words[3]
    for lane in range(lanes):
        c0[lane], c3[lane] = np.uint64(first + lane + 1), np.uint64(tick)
        c1[lane] = c2[lane] = 0
    k0, k1 = key[0], key[1]
    for _ in range(ROUNDS):
        for lane in range(lanes):
            high0, low0 = _multiply_halves(first_low, first_high, c0[lane])
            high1, low1 = _multiply_halves(second_low, second_high, c2[lane])
            c0[lane], c2[lane] = high1 ^ c1[lane] ^ k0, high0 ^ c3[lane] ^ k1
            c1[lane], c3[lane] = low1, low0
        k0 += FIRST_KEY_STEP
        k1 += SECOND_KEY_STEP


@kernel
def draw_one(number: int, tick: int, key: U8) -> float:
    """Return one uniform of a stream: row x width + column of the table it stands for."""
    first, second, third, fourth = draw_four(number >> 2, tick, key)
    lane = number & 3
    if lane == 0:
        return first
    if lane == 1:
        return second
    return third if lane == 2 else fourth


@kernel
def fill_draws(draws: F8, tick: int, key: U8) -> None:
    """Fill a table with the uniforms of a stream, in the order of C."""
    flat = draws.reshape(-1)
    for block in range((flat.size + 3) >> 2):
        drawn = draw_four(block, tick, key)
        for lane in range(min(4, flat.size - 4 * block)):
            flat[4 * block + lane] = drawn[lane]
