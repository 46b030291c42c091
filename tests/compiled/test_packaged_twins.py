"""Every packaged run, made by compiled and by plain steps: the same bytes."""

import pytest
from twins import assert_same, run_twins

from experiments.config import load_run
from sim.reading.packaged import list_packaged

RUNS = [name for name in list_packaged() if "/" not in name]
STEPS = 60


@pytest.mark.parametrize("name", RUNS)
def test_compiled_steps_equal_plain_steps(name: str) -> None:
    config = load_run(name, quick=True)
    assert_same(*run_twins(config, config.seed, steps=STEPS))


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_whole_compiled_run_equals_a_plain_one(name: str) -> None:
    config = load_run(name, quick=True)
    assert_same(*run_twins(config, config.seed + 1))


@pytest.mark.parametrize("batches", [(1,), (7, 2)], ids=str)
def test_batches_change_nothing(batches: tuple[int, ...]) -> None:
    """The market is handed over between compiled and plain code after every batch."""
    config = load_run("small_crash", quick=True)
    assert_same(*run_twins(config, config.seed, batches=batches))


def test_plain_and_compiled_steps_can_alternate() -> None:
    config = load_run("small_crash", quick=True)
    plain, compiled = run_twins(config, config.seed, steps=0)
    while compiled.tick < compiled.steps_planned:
        plain.step()
        if compiled.tick % 3:
            compiled.advance(1)
        else:
            compiled.step()
    assert_same(plain, compiled)


def test_a_crash_hands_over_to_the_plain_phases() -> None:
    """Otherwise the twins above would compare quiet markets alone."""
    config = load_run("small_crash", quick=True)
    plain, _ = run_twins(config, config.seed)
    assert len(plain.recorder.frames()["closeouts"]) > 10
