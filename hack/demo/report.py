"""What the demo ends with: a table, a picture, a verdict, and where to look further."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from hack.cluster import Cluster
from hack.demo.recorder import Recording, typical_p99_ms
from hack.demo.scenario import NAMESPACE

MIN_ACCURACY = 0.95
COLUMNS: Final = (
    "model",
    "placed on",
    "max_batch_size, delay",
    "p50 / p99",
    "p99 at start → end",
    "throughput",
    "target",
    "sent / failed",
)


@dataclass(frozen=True)
class Verdict:
    """Everything that did not come out as the demo promises."""

    faults: tuple[str, ...]


def judge(recordings: list[Recording], peaks: dict[str, float]) -> Verdict:
    """Hold what was seen against what the demo promises."""
    fastest = max(peaks, key=lambda node: peaks[node])
    faults = []
    for seen in recordings:
        summary = seen.job.summary or {}
        if summary.get("failed", 1):
            faults.append(f"{seen.act.name}: {summary.get('failed')} requests failed")
        if (node := _node(seen)) != fastest:
            faults.append(f"{seen.act.name}: placed on {node}, but {fastest} is the faster node")
    digits = next(seen for seen in recordings if seen.act.name == "digits")
    if not digits.change_times:
        faults.append("digits: its batching was never changed")
    for phase, share in digits.accuracies().items():
        if not share >= MIN_ACCURACY:
            faults.append(f"digits: accuracy {share:.3f} {phase} the change, below {MIN_ACCURACY}")
    return Verdict(tuple(faults))


def print_table(console: Console, recordings: list[Recording]) -> None:
    """Print where each model went, its batching, and what the load saw; then why."""
    table = Table(title="Ferryman: placed, served, tuned")
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for seen in recordings:
        table.add_row(*_row(seen))
    console.print(table)
    for seen in recordings:
        _print_why(console, seen)


def _row(seen: Recording) -> tuple[str, ...]:
    summary = seen.job.summary or {}
    start, end = typical_p99_ms(seen.job.seconds[:5]), typical_p99_ms(seen.settled())
    return (
        seen.act.name,
        _node(seen),
        f"{brief(seen.act.spec['batching']['initial'])} → {brief(seen.applied)}",
        f"{summary['p50_ms']:.0f} / {summary['p99_ms']:.0f} ms",
        f"{start:.0f} → {end:.0f} ms",
        f"{summary['answers_per_s']:.1f}/s",
        f"{seen.status['target']}: {seen.verdict}",
        f"{summary['sent']} / {summary['failed']}",
    )


def brief(batching: dict[str, Any]) -> str:
    """Return a batching's bound and queue delay."""
    delay_ms = batching.get("maxQueueDelayMicroseconds", 0) / 1000
    return f"{batching.get('maxBatchSize')}, {delay_ms:g} ms"


def _print_why(console: Console, seen: Recording) -> None:
    console.print(f"[bold]{seen.act.name}[/bold]: the candidates when it was placed")
    for candidate in seen.status["placement"]["candidates"]:
        mark = "→" if candidate["chosen"] else " "
        where = f"{candidate['nodeType']} ({candidate['processor']})"
        console.print(f"  {mark} {where}: {candidate['message']}", soft_wrap=True, highlight=False)
    phases = {phase: share for phase, share in seen.accuracies().items() if not math.isnan(share)}
    if phases:
        shares = ", ".join(f"{share:.3f} {phase}" for phase, share in phases.items())
        console.print(f"    accuracy relative to the live changes: {shares}", highlight=False)


def _node(seen: Recording) -> str:
    return str(seen.status.get("placement", {}).get("preferredNode"))


def draw(recordings: list[Recording], path: Path) -> Path:
    """Draw batch size and latency over time, one row a model; return the picture's path."""
    import matplotlib as mpl  # noqa: PLC0415  slow to import, and only needed at the end

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(
        len(recordings), 1, figsize=(9, 3.2 * len(recordings)), squeeze=False
    )
    for axis, seen in zip(axes[:, 0], recordings, strict=True):
        _draw_one(axis, seen)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _draw_one(axis: Any, seen: Recording) -> None:  # noqa: ANN401  matplotlib ships no types
    start = seen.batches[0][0]
    times = [second["time"] - start for second in seen.job.seconds]
    for key, style in (("p50_ms", "-"), ("p99_ms", "--")):
        axis.plot(times, [second[key] for second in seen.job.seconds], style, label=key[:3])
    target = seen.act.spec["objectives"]["latency"]["targetMilliseconds"]
    axis.axhline(target, color="grey", linewidth=0.8, label="target")
    axis.set(title=seen.act.name, xlabel="seconds", ylabel="latency, ms", yscale="log")
    axis.legend(loc="upper right")
    bound = axis.twinx()
    bound.step(
        [t - start for t, _ in seen.batches], [b for _, b in seen.batches], "C3", where="post"
    )
    bound.set(ylabel="batch size bound", ylim=(0, None))
    bound.yaxis.get_major_locator().set_params(integer=True)
    bound.yaxis.label.set_color("C3")


def print_next_steps(console: Console, cluster: Cluster, picture: Path) -> None:
    """Say how to look further and how to tear down."""
    console.print(
        f"""
Batch size and latency over time: {picture}

Look further:
  export KUBECONFIG={cluster.kubeconfig}
  kubectl get imodel -o wide --namespace {NAMESPACE}
  kubectl describe imodel digits --namespace {NAMESPACE}
  kubectl get nodeprofiles
  .venv/bin/ferryman explain resnet50 --namespace {NAMESPACE}
Tear down:
  make cluster-down""",
        highlight=False,
        soft_wrap=True,
    )
