"""A compiled step as a list of bound kernels, and the run that calls them (item by item).

A kernel that returns other than zero asks for the plain counterpart of its phase: funding that is
due, orders that margin refuses, accounts below maintenance. The market is then handed over to the
plain phases, which continue the same step, and taken back after them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from sim.compiled.arrays import StepArrays
from sim.compiled.handover import load_state, store_state
from sim.numerics.bound_kernels import BoundKernel, call_bound
from sim.numerics.jit import kernel
from sim.types import I8

PlainPhase = Callable[[], None]


@dataclass
class Instruction:
    """One kernel of a step, its plain counterpart, or both."""

    bound: BoundKernel | None
    plain: PlainPhase | None = None
    resume: str = ""  # label of the instruction after the plain counterpart; empty = the next


@dataclass
class Program:
    """Instructions of one step in order, with labels of places in it."""

    instructions: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    inner: list[BoundKernel] = field(default_factory=list)  # called by kernels of instructions

    def add(
        self, bound: BoundKernel | None, plain: PlainPhase | None = None, resume: str = ""
    ) -> None:
        """Append a kernel, or a plain phase where none can be compiled."""
        self.instructions.append(Instruction(bound, plain, resume))

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
        """Return addresses of entries and blocks, (2, n); zero for a plain phase."""
        rows = [
            (0, 0) if each.bound is None else (each.bound.address, each.bound.block.ctypes.data)
            for each in self.instructions
        ]
        return np.array(rows, dtype=np.int64).T.copy()

    def place_after(self, place: int) -> int:
        """Return the place after the plain counterpart of an instruction."""
        label = self.instructions[place].resume
        return self.labels[label] if label else place + 1


@kernel
def run_steps(table: I8, first: int, tick: int, last_tick: int) -> tuple[int, int]:
    """Make steps until one needs Python, or the last is made.

    Args:
        table: (2, n) addresses of entries and blocks.
        first: place at which the step under way continues.
        tick: the step under way.
        last_tick: last step to make.

    Returns:
        The step and the place of the instruction that needs Python; n after the last step.
    """
    count = table.shape[1]
    while True:
        for place in range(first, count):
            address = table[0, place]
            if address == 0 or call_bound(address, tick, table[1, place]):
                return tick, place
        if tick == last_tick:
            return tick, count
        tick, first = tick + 1, 0


class CompiledRun:
    """Steps of one market made by compiled code.

    Args:
        step: arrays of the step.
        assemble: function that returns the program for the arrays as they are now.
    """

    def __init__(self, step: StepArrays, assemble: Callable[[], Program]) -> None:
        self.step = step
        self._assemble = assemble
        self._program, self._orders = assemble(), step.orders
        self.n_plain_phases = 0

    def advance(self, last_tick: int) -> None:
        """Make all steps up to one, and hand the market back as after a plain step."""
        market = self.step.market
        load_state(self.step)
        self._refresh()
        tick, place, table = market.tick + 1, 0, self._program.table()
        while True:
            tick, place = run_steps(table, place, tick, last_tick)
            store_state(self.step, tick)
            if place == table.shape[1]:
                return
            instruction = self._program.instructions[place]
            assert instruction.plain is not None
            journal = market.ledger.journal
            listed = len(journal)
            instruction.plain()
            self.step.plain_postings += journal[listed:]  # none if the phase has cleared it
            self.n_plain_phases += 1
            place = self._program.place_after(place)
            load_state(self.step)
            if self._refresh():
                table = self._program.table()

    def _refresh(self) -> bool:
        """Bind the kernels anew if books or tables of orders have moved; return whether so."""
        books, sent = self.step.market.order_books.reserve_capacity(0), self.step.orders
        has_moved = any(old is not new for old, new in zip(self.step.books, books, strict=True))
        if not has_moved and sent is self._orders:
            return False
        self.step.books = books
        self._program, self._orders = self._assemble(), sent
        return True
