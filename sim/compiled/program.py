"""Compiled step as a list of bound kernels, and the run that calls them one after another.

A kernel that returns JUMP continues the step at another instruction. One that returns any other
number but zero needs the plain counterpart of its phase, for example because funding is due. The
market is then handed over to the plain phase, which continues the same step, and taken back after
it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sim.compiled.arrays import StepArrays
from sim.compiled.handover import load_state, store_state
from sim.compiled.kernels.prices import CALL_PYTHON
from sim.numerics.bound_kernels import (
    BoundKernel,
    call_bound,
    compile_entries,
    postpone_compilation,
)
from sim.numerics.jit import kernel
from sim.types import I8

PlainPhase = Callable[[], None]

JUMP = 2
"""Result of a kernel after which the step continues at the label of its instruction."""


@dataclass
class Instruction:
    """One kernel of a step, its plain counterpart, or both."""

    bound: BoundKernel | None
    plain: PlainPhase | None = None
    resume: str = ""  # label of the instruction after the plain counterpart; empty = the next
    jump: str = ""  # label of the instruction after a kernel that returns JUMP; empty = the next


@dataclass
class Program:
    """Instructions of one step in order, with labels of places in it."""

    instructions: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    inner: list[BoundKernel] = field(default_factory=list)  # called by kernels of instructions

    def add(
        self,
        bound: BoundKernel | None,
        plain: PlainPhase | None = None,
        resume: str = "",
        *,
        jump: str = "",
    ) -> None:
        """Append a kernel, or a plain phase where none can be compiled."""
        self.instructions.append(Instruction(bound, plain, resume, jump))

    def mark(self, label: str) -> None:
        """Name the place of the next instruction."""
        self.labels[label] = len(self.instructions)

    def list_inner(self, kernels: Sequence[BoundKernel]) -> tuple[I8, I8]:
        """Return addresses of entries and of blocks of kernels that another kernel calls."""
        self.inner.extend(kernels)
        return (
            np.array([each.address for each in kernels], dtype=np.int64),
            np.array([each.block.ctypes.data for each in kernels], dtype=np.int64),
        )

    def table(self) -> I8:
        """Return addresses of entries and blocks, and places of jumps, (3, n).

        Addresses are zero for a plain phase.
        """
        rows = [
            (0, 0, 0)
            if each.bound is None
            else (each.bound.address, each.bound.block.ctypes.data, self._place(each.jump, place))
            for place, each in enumerate(self.instructions)
        ]
        return np.array(rows, dtype=np.int64).T.copy()

    def place_after(self, place: int) -> int:
        """Return the place after the plain counterpart of an instruction."""
        return self._place(self.instructions[place].resume, place)

    def _place(self, label: str, place: int) -> int:
        """Return the place of a label, or the next place if there is none."""
        return self.labels[label] if label else place + 1


@kernel
def run_steps(table: I8, first: int, tick: int, last_tick: int) -> tuple[int, int]:
    """Make steps until one needs Python, or the last is made.

    Args:
        table: (3, n) addresses of entries and blocks, and places of jumps.
        first: place at which the step under way continues.
        tick: the step under way.
        last_tick: last step to make.

    Returns:
        The step and the place of the instruction that needs Python; n after the last step.
    """
    count, place = table.shape[1], first
    while True:
        while place < count:
            address = table[0, place]
            result = call_bound(address, tick, table[1, place]) if address else CALL_PYTHON
            if result == 0:
                place += 1
            elif result == JUMP:
                place = table[2, place]
            else:
                return tick, place
        if tick == last_tick:
            return tick, count
        tick, place = tick + 1, 0


class CompiledRun:
    """Steps of one market made by compiled code.

    Args:
        step: arrays of the step.
        assemble: function that returns the program for the arrays as they are now.
        list_movable: function that returns the arrays that move when they grow.
    """

    def __init__(
        self,
        step: StepArrays,
        assemble: Callable[[], Program],
        list_movable: Callable[[], tuple[np.ndarray[Any, Any], ...]],
    ) -> None:
        self.step = step
        self._assemble, self._list_movable = assemble, list_movable
        self._bound_arrays = list_movable()
        self._program = self._bind()
        self._table = self._program.table()
        self.n_plain_phases = 0

    def advance(self, last_tick: int) -> None:
        """Make all steps up to one, and hand the market back as after a plain step."""
        market = self.step.market
        if market.tick >= last_tick:
            return
        load_state(self.step)
        self._refresh()
        tick, place = market.tick + 1, 0
        while True:
            tick, place = run_steps(self._table, place, tick, last_tick)
            store_state(self.step, tick)
            if place == self._table.shape[1]:
                return
            instruction = self._program.instructions[place]
            assert instruction.plain is not None
            instruction.plain()
            self.n_plain_phases += 1
            place = self._program.place_after(place)
            load_state(self.step)
            self._refresh()

    def _bind(self) -> Program:
        """Return the program, after all of its entries have been compiled or loaded."""
        with postpone_compilation() as missing:
            program = self._assemble()
        if missing:
            compile_entries(missing)
            program = self._assemble()
        return program

    def _refresh(self) -> None:
        """Bind the kernels anew if an array has moved."""
        now = self._list_movable()
        if all(old is new for old, new in zip(self._bound_arrays, now, strict=True)):
            return
        self._bound_arrays = now
        self.step.books = self.step.market.order_books.reserve_capacity(0)
        self._program = self._bind()
        self._table = self._program.table()
