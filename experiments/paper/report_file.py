"""File ``report.md`` of a study: a heading, the command and the units, then the module's report."""

import json
import shlex
from collections.abc import Iterable

from experiments.config import RunConfig
from experiments.paper.tables import TableLabels
from experiments.sweep.config import StudyConfig, list_study_names
from experiments.sweep.designs import StudyAxis
from sim.reading.loading import resolve_config
from sim.reading.overrides import apply_override, expand_wildcards, normalise_values
from sim.reading.packaged import list_packaged
from sim.reading.schema_types import find_field, find_type, is_model

UNITS = (
    "Each table has the measures of the study at its settings. A measure is in the unit that its "
    "label or column name gives, or else as `score` returns it."
)
DEFAULT_TABLE = (
    "`mean (95% interval)` is the mean over the replications of a setting, with its 95% confidence "
    "interval in parentheses."
)


def format_report_file(
    study: StudyConfig, report: str, labels: TableLabels, plugins: Iterable[str]
) -> str:
    """Return the content of ``report.md``.

    Args:
        study: study of the results.
        report: report of the study's module, Markdown.
        labels: labels of the module, with the notice about several codes.
        plugins: modules that register the kinds of the study.
    """
    first, last = study.seed, study.seed + study.seeds - 1
    seeds = f"seed {first}" if first == last else f"seeds {first} to {last}"
    count = "1 replication" if first == last else f"up to {study.seeds:,} replications"
    blocks = [
        f"# {study.name.replace('_', ' ').capitalize()}",
        study.description,
        f"Command: `{describe_command(study, plugins)}`, with the settings in "
        "`study.resolved.yaml`, which include overrides.",
        f"{UNITS} A setting has {count} ({seeds}).",
        "\n".join(_describe_axis(study, axis) for axis in study.axes),
        DEFAULT_TABLE if "mean (95% interval)" in report else "",
        labels.add_mixed_notice(report),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def describe_command(study: StudyConfig, plugins: Iterable[str] = ()) -> str:
    """Return the command of a sweep, without overrides, folders and numbers of processes."""
    name = study.name if study.name in list_study_names() else f"{study.name}.yaml"
    words = ["deleverage", "sweep", name, *study.also]
    is_quick = _is_quick(study)
    if is_quick:
        words.append("--quick")
    if not is_quick or study.quick.get("seeds", study.seeds) != study.seeds:
        words += ["--seeds", str(study.seeds)]
    for plugin in sorted(plugins):
        words += ["--plugin", plugin]
    return shlex.join(words)


def _is_quick(study: StudyConfig) -> bool:
    """Return True if the changes of ``--quick`` are in force, apart from the number of seeds."""
    changes = {path: value for path, value in study.quick.items() if path != "seeds"}
    if not study.quick:
        return False
    if not changes:
        return study.quick["seeds"] == study.seeds
    data = study.model_dump(mode="json")
    for path, value in changes.items():
        if apply_override(data, path, normalise_values(value), StudyConfig):
            return False
    applied = StudyConfig.model_validate_json(json.dumps(data), strict=True)
    return applied.model_dump() == study.model_dump()


def _describe_axis(study: StudyConfig, axis: StudyAxis) -> str:
    """Return an item of a list: what an axis sets, and its meaning and unit where known."""
    if not axis.paths:
        return f"- `{axis.name}`: labels of changes, see `study.resolved.yaml`"
    paths = [
        f"`{path}`" + ("" if factor == 1 else f" to {factor:g} times its value")
        for path, factor in axis.paths.items()
    ]
    meaning = _find_meaning(study, next(iter(axis.paths)))
    return f"- `{axis.name}` sets {' and '.join(paths)}" + (f": {meaning}" if meaning else "")


def _find_meaning(study: StudyConfig, path: str) -> str:
    """Return the description of a field with its unit; empty if only the user's file has it."""
    if study.base not in list_packaged():
        return ""
    data = resolve_config(study.base)
    found = next(iter(expand_wildcards(data, path, RunConfig)), "").split(".")
    model = find_type(RunConfig, data, found[:-1])
    field = find_field(model, found[-1]) if is_model(model) else None
    return "" if field is None else field.description or ""
