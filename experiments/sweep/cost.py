"""What studies cost, before they are run."""

from experiments.sweep.axes import replications, settings
from experiments.sweep.config import StudyConfig, load_study, names


def size(study: StudyConfig) -> tuple[int, int]:
    """How many jobs (settings times replications), and runs with all roles, before its module asks for more."""
    jobs = sum(replications(study, setting) for setting in settings(study))
    return jobs, jobs * (1 + len(study.roles))


def words(study: StudyConfig, processes: int) -> str:
    """Such as ``480 runs, 20 min``."""
    jobs, runs = size(study)
    if not study.seconds:
        return f"{runs:,} runs"
    minutes = jobs * study.seconds / processes / 60
    return f"{runs:,} runs, {f'{minutes / 60:.1f} h' if minutes >= 100 else f'{max(1, round(minutes))} min'}"


def listed(processes: int) -> str:
    """Two lines for each packaged study."""
    lines = []
    for name in names():
        whole, quick = load_study(name), load_study(name, quick=True)
        lines.append(f"{name:<20} {whole.description}")
        lines.append(
            f"{'':<20} {words(whole, processes)}; --quick {words(quick, processes)} (on {processes} processors)"
        )
    return "\n".join(lines)
