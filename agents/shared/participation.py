"""Entries and exits of traders respond to the capital that a position ties up (AGT-1)."""

from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np

from agents.compiled import participation as kernels
from agents.shared.book_binding import BookBinding
from agents.shared.leveraged_binding import EntryState, ExitRule, LeveragedBinding
from agents.shared.leveraged_settings import LeveragedSettings
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.rounding import to_exact_int
from sim.types import B1, F8, I8, MISSING, Observation


class Participation(NamedTuple):
    """Response of a population's hazards to initial margin m, as admitted for a small position.

    The hazard of an entry is that of the settings times (m_ref / m) ** ``entry``, and the hazard
    of an exit by time is that times (m / m_ref) ** ``exit``. m is one over the highest leverage,
    and m_ref one over the reference leverage, at which desired leverage applies as well. First
    entries in the warm-up respond once, to the mean margin before the first step. Entries into a
    book respond to the mean over its instruments, and exits to the leg with the highest margin.
    """

    reference: float  # leverage
    entry: float  # elasticity
    exit: float  # elasticity
    instruments: I8  # (m,) global numbers
    first_draws: F8  # (n,) uniform draw of each member's first entry
    share: float  # of members who enter during the warm-up at the reference
    steps: float  # length of the warm-up
    is_planned: B1  # (1,) whether first entries have responded

    @classmethod
    def begin(cls, settings: LeveragedSettings, dt: float, instruments: I8, draws: F8) -> Self:
        """Return the response of a population, from the draws (n,) of its first entries."""
        return cls(
            float(settings.reference_leverage),
            float(settings.entry_elasticity),
            float(settings.exit_elasticity),
            instruments,
            draws.copy(),
            float(settings.initial_entry_share),
            max(settings.warm_up / dt, 1.0),
            np.zeros(1, dtype=np.bool_),
        )

    def start_entries(self) -> EntryState:
        """Return the state of entries at the reference."""
        draws = self.first_draws
        # 1 for all members without an entry in the warm-up
        entered = np.minimum(draws / max(self.share, 1e-9), 1.0)
        first = np.ceil(entered * self.steps)
        is_waiting: B1 = draws < self.share
        first_entry = to_exact_int(np.where(is_waiting, np.maximum(first, 1), MISSING))
        has_tried = np.zeros(draws.size, dtype=np.bool_)
        return EntryState(first_entry, is_waiting, np.ones(draws.size), has_tried)

    def plan(self, state: EntryState, observation: Observation) -> None:
        """Let first entries respond, once, before the first decision."""
        if self.entry:
            rule = (observation.max_leverage, *self._entry_rule, *self._plan_rule)
            kernels.plan_first_entries(observation.tick, *rule, *state[:2])

    def respond(self, hazards: F8, observation: Observation) -> F8:
        """Return the probabilities of an entry in a step, from those at the reference."""
        if not self.entry:
            return hazards
        scaled = np.empty_like(hazards)
        rule = (observation.max_leverage, *self._entry_rule)
        kernels.scale_hazards(observation.tick, *rule, hazards, scaled)
        return scaled

    def respond_for_books(self, hazards: F8, observation: Observation) -> F8:
        """Return the probabilities of entering books in a step, from those at the reference."""
        if not self.entry:
            return hazards
        scaled = np.empty_like(hazards)
        rule = (observation.max_leverage, *self._entry_rule)
        kernels.scale_book_hazards(observation.tick, *rule, hazards, scaled)
        return scaled

    def limit_exits(self, probability: float, held: I8, observation: Observation) -> F8 | float:
        """Return the probability of an exit by time, one for all or (n,); ``held`` is (n, m)."""
        if not self.exit:
            return probability
        listed: F8 = kernels.list_exit_probabilities(
            observation.max_leverage, self.instruments, self.reference, self.exit, probability
        )
        highest = np.where(held != 0, listed, -1.0).max(axis=1)
        return np.where(highest < 0, listed.max(), highest)

    @property
    def _entry_rule(self) -> tuple[I8, float, float]:
        return self.instruments, self.reference, self.entry

    @property
    def _plan_rule(self) -> tuple[F8, float, float, B1]:
        return self.first_draws, self.share, self.steps, self.is_planned

    def bind_draws(
        self, binding: LeveragedBinding, name: str, state: EntryState, exits: ExitRule
    ) -> list[BoundKernel]:
        """Return the kernels that draw entries and exits by time, for a population by name."""
        step, arrays, kept = binding.step, binding.arrays, list[BoundKernel]()
        if self.entry:
            scaled = np.zeros_like(arrays.hazard)
            kept = self._bind_hazards(kernels.scale_hazards, binding, state, scaled)
            binding = binding._replace(arrays=arrays._replace(hazard=scaled))
        if not self.exit:
            return [*kept, binding.draw_entries(name, state, exits)]
        leave = bind_kernel(
            kernels.draw_exits,
            step.market.streams.stream_key(f"decide/{name}"),
            *self._list_exit_terms(binding, exits),
            arrays.leaves,
        )
        return [*kept, binding.draw_entries(name, state, exits._replace(probability=0.0)), leave]

    def bind_book_draws(
        self, binding: BookBinding, name: str, state: EntryState, exits: ExitRule
    ) -> list[BoundKernel]:
        """Return the kernels that draw entries into books and exits by time."""
        common, kept = binding.common, list[BoundKernel]()
        if self.entry:
            scaled = np.zeros_like(common.arrays.hazard)
            kept = self._bind_hazards(kernels.scale_book_hazards, common, state, scaled)
            arrays = common.arrays._replace(hazard=scaled)
            binding = binding._replace(common=common._replace(arrays=arrays))
        if not self.exit:
            return [*kept, *binding.draw_members(name, state, exits)]
        drawn = binding.draw_members(name, state, exits._replace(probability=0.0))
        terms = self._list_exit_terms(common, exits)
        leave = bind_kernel(kernels.draw_book_exits, *terms, binding.draws, common.arrays.leaves)
        return [*kept, *drawn, leave]

    def _bind_hazards(
        self,
        scale: Callable[..., int],
        binding: LeveragedBinding,
        state: EntryState,
        scaled: F8,
    ) -> list[BoundKernel]:
        """Return the kernels that plan first entries and scale hazards."""
        rule = (binding.step.max_leverage_long, *self._entry_rule)
        plan = bind_kernel(kernels.plan_first_entries, *rule, *self._plan_rule, *state[:2])
        return [plan, bind_kernel(scale, *rule, binding.arrays.hazard, scaled)]

    def _list_exit_terms(self, binding: LeveragedBinding, exits: ExitRule) -> tuple[Any, ...]:
        """Return the arguments of kernels that draw exits, from the first owner on."""
        step = binding.step
        held = (binding.first_owner, step.ledger.position, self.instruments)
        return (*held, step.max_leverage_long, self.reference, self.exit, exits.probability)
