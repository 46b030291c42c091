"""Estimate of the number of runs and the time of a study."""

from experiments.sweep.axes import count_replications, iterate_settings
from experiments.sweep.config import StudyConfig, list_study_names, load_study


def count_runs(study: StudyConfig) -> tuple[int, int]:
    """Return the number of jobs (settings times replications), and of runs with all roles.

    The refinement by the study's module may add more.
    """
    jobs = sum(count_replications(study, setting) for setting in iterate_settings(study))
    return jobs, jobs * (1 + len(study.roles))


def describe_cost(study: StudyConfig, processes: int) -> str:
    """Return runs and time, such as ``480 runs, 20 min``."""
    jobs, runs = count_runs(study)
    if not study.seconds:
        return f"{runs:,} runs"
    minutes = jobs * study.seconds / processes / 60
    time = f"{minutes / 60:.1f} h" if minutes >= 100 else f"{max(1, round(minutes))} min"
    return f"{runs:,} runs, {time}"


def describe_studies(processes: int) -> str:
    """Return two lines for each packaged study."""
    lines = []
    for name in list_study_names():
        whole, quick = load_study(name), load_study(name, quick=True)
        lines.append(f"{name:<20} {whole.description}")
        cost, quick_cost = describe_cost(whole, processes), describe_cost(quick, processes)
        lines.append(f"{'':<20} {cost}; --quick {quick_cost} (on {processes} processors)")
    return "\n".join(lines)
