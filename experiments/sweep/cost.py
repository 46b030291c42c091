"""What studies cost, before they are run."""

from experiments.sweep.axes import count_replications, iterate_settings
from experiments.sweep.config import StudyConfig, list_study_names, load_study


def count_runs(study: StudyConfig) -> tuple[int, int]:
    """How many jobs (settings times replications), and runs with all roles, before its module asks for more."""
    jobs = sum(count_replications(study, setting) for setting in iterate_settings(study))
    return jobs, jobs * (1 + len(study.roles))


def describe_cost(study: StudyConfig, processes: int) -> str:
    """Such as ``480 runs, 20 min``."""
    jobs, runs = count_runs(study)
    if not study.seconds:
        return f"{runs:,} runs"
    minutes = jobs * study.seconds / processes / 60
    return f"{runs:,} runs, {f'{minutes / 60:.1f} h' if minutes >= 100 else f'{max(1, round(minutes))} min'}"


def describe_studies(processes: int) -> str:
    """Two lines for each packaged study."""
    lines = []
    for name in list_study_names():
        whole, quick = load_study(name), load_study(name, quick=True)
        lines.append(f"{name:<20} {whole.description}")
        lines.append(
            f"{'':<20} {describe_cost(whole, processes)}; --quick {describe_cost(quick, processes)} (on {processes} processors)"
        )
    return "\n".join(lines)
