"""What Triton Model Analyzer measured as an InferenceModel that begins with the best of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ferryman.api.objectives import Objectives
from ferryman.core.importing import manifest as manifests
from ferryman.core.importing.outcome import Findings, Imported, Json, NotImportableError, Request
from ferryman.core.importing.triton import model
from ferryman.core.importing.triton.model import StoredModel

_MOST_INSTANCES: Final = 64


@dataclass(frozen=True, slots=True)
class Measured:
    """One row: a configuration under a load, and how it did."""

    model: str
    config: str
    """What Model Analyzer calls the configuration."""
    instances: int
    max_batch_size: int
    per_second: float
    """Inferences."""
    latency_ms: Mapping[int, float]
    """By percentile, as far as the table has it."""
    satisfies: bool = True
    """Whether it met the constraints that Model Analyzer was given."""


def imported(rows: Sequence[Measured], asked: Request) -> tuple[Imported, ...]:
    """Return a model for each that was measured and is meant.

    Raises NotImportableError where the model that is meant was not measured.
    """
    there = list(dict.fromkeys(row.model for row in rows))
    if asked.model is not None and asked.model not in there:
        raise NotImportableError(
            f"there is no row of {asked.model}, but of {', '.join(there[:10])}"
        )
    meant = [name for name in there if asked.model in {None, name}]
    return tuple(
        _imported(name, [row for row in rows if row.model == name], asked) for name in meant
    )


def best(rows: Sequence[Measured], objectives: Objectives) -> Measured:
    """Return the row with the highest throughput of those that meet the latency objective.

    Of equal ones the quickest. Raises NotImportableError where none meets it, or none tells.
    """
    if not any(row.max_batch_size for row in rows):
        raise NotImportableError(
            "its largest batch size is 0: it has no batch dimension, and nothing of it is tuned: "
            "import its config.pbtxt"
        )
    rows = [row for row in rows if row.satisfies and row.max_batch_size]
    if not rows:
        raise NotImportableError(
            "no row satisfies the constraints that Model Analyzer was given: give it others, or "
            "take the column Satisfies Constraints out"
        )
    latency = objectives.latency
    if latency is None:
        return max(rows, key=lambda row: row.per_second)
    percentile, target_ms = latency.percentile, latency.target_milliseconds
    known = [row for row in rows if percentile in row.latency_ms]
    if not known:
        raise NotImportableError(
            f"the table does not say the {percentile}th percentile: have Model Analyzer write "
            f"perf_latency_p{percentile}, or state --percentile"
        )
    met = [row for row in known if row.latency_ms[percentile] <= target_ms]
    if not met:
        least_ms = min(row.latency_ms[percentile] for row in known)
        raise NotImportableError(
            f"no configuration was measured with a p{percentile} of {target_ms} ms or less: the "
            f"least is {least_ms:g} ms"
        )
    return max(met, key=lambda row: (row.per_second, -row.latency_ms[percentile]))


def _imported(name: str, rows: Sequence[Measured], asked: Request) -> Imported:
    findings = Findings()
    try:
        return findings.of(name, _manifest(name, best(rows, asked.objectives), asked, findings))
    except NotImportableError as error:
        return findings.refused(name, error)


def _manifest(name: str, chosen: Measured, asked: Request, findings: Findings) -> Json:
    if chosen.instances > _MOST_INSTANCES:
        raise NotImportableError(f"{chosen.instances} instances are more than {_MOST_INSTANCES}")
    called = model.renamed(name, findings)
    initial = {"maxBatchSize": chosen.max_batch_size, "instances": chosen.instances}
    limits = manifests.limits_for(initial)
    stored = StoredModel(name)
    found = model.part(stored, asked, Findings())
    _hint(chosen, asked.objectives, findings)
    spec = {
        "model": found.source,
        "batching": {"initial": initial, **({"limits": limits} if limits else {})},
    }
    return manifests.model({"name": called}, asked, spec)


def _hint(chosen: Measured, objectives: Objectives, findings: Findings) -> None:
    at = "".join(f", p{p} {ms:g} ms" for p, ms in sorted(chosen.latency_ms.items()))
    findings.hints.append(
        f"begins with {chosen.config}: {chosen.per_second:g} inferences per second{at}"
    )
    throughput = objectives.throughput
    if throughput is not None and chosen.per_second < throughput.min_per_second:
        findings.hints.append(
            f"{throughput.min_per_second} per second are asked for: one such server does not reach "
            "that, so add spec.replicas"
        )
    findings.leave_out(
        "queue delay, tensors and parameters",
        f"the table does not say them: import {chosen.config}/config.pbtxt of Model Analyzer's "
        "output repository to have them",
    )
