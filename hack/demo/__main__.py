"""Run the demo: ``python -m hack.demo`` (or ``make demo``).

Everything comes from nothing: the cluster, the images, the models. It takes some minutes; the
first time, without a registry, considerably longer. The exit status is 0 only when both models
were served by the faster node, answered every request, and digits stayed accurate while its
batching was changed.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from hack import installation
from hack.cluster import Cluster, ensure_up
from hack.cluster.shell import ClusterError
from hack.demo import report, scenario
from hack.demo.recorder import Recording
from hack.load_job import LoadJob, LoadSpec
from hack.manifests import ROOT

LOAD_S = 75
READY_TIMEOUT_S = 240
REPORT_EVERY_S = 5
REDIRECTED_WIDTH = 140


def main() -> int:
    """Run the demo and return its exit status."""
    arguments = _parser().parse_args()
    console = _console()
    try:
        return run(console, arguments.context or os.environ.get("CONTEXT"), arguments.seconds)
    except (ClusterError, TimeoutError, RuntimeError) as fault:
        console.print(f"[red]The demo stopped:[/red] {fault}", highlight=False)
        return 1


def run(console: Console, context: str | None, load_s: int) -> int:
    """Bring everything up, serve and load both models, and report."""
    cluster = ensure_up(context)
    step(console, "building and loading the images")
    installation.load_images(cluster)
    step(console, "installing Ferryman with Helm")
    installation.install(cluster)
    peaks = measure_nodes(console, cluster)
    acts = [scenario.digits_act(), scenario.resnet50_act(max(peaks.values()))]
    serve(console, cluster, acts)
    recordings = drive(console, cluster, acts, load_s)
    picture = report.draw(recordings, ROOT / "build" / "demo.png")
    report.print_table(console, recordings)
    report.print_next_steps(console, cluster, picture)
    verdict = report.judge(recordings, peaks)
    for fault in verdict.faults:
        console.print(f"[red]not as promised:[/red] {fault}")
    return 1 if verdict.faults else 0


def measure_nodes(console: Console, cluster: Cluster) -> dict[str, float]:
    """Wait until every worker's benchmark is there; return images per second by node."""
    step(console, "waiting for each node type's ResNet50 benchmark")
    peaks = installation.wait_for_benchmarks(cluster)
    for node, peak in sorted(peaks.items()):
        console.print(f"  {node}: {peak:.1f} images/s")
    return peaks


def serve(console: Console, cluster: Cluster, acts: list[scenario.Act]) -> None:
    """Apply the models afresh and wait until both are Ready."""
    step(console, f"applying {' and '.join(act.name for act in acts)}")
    cluster.kubectl("delete", "namespace", scenario.NAMESPACE, "--ignore-not-found", timeout_s=180)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": scenario.NAMESPACE}}
    installation.apply(cluster, namespace)
    installation.apply(cluster, *(act.manifest() for act in acts))
    for act in acts:
        wait_ready(cluster, act.name)


def wait_ready(cluster: Cluster, name: str) -> None:
    """Wait until a model is Ready; the fault tells what its condition says."""

    def ready() -> bool:
        model = installation.get(cluster, "inferencemodel", name, scenario.NAMESPACE)
        return (installation.condition(model, "Ready") or {}).get("status") == "True"

    def story() -> str:
        return cluster.kubectl(
            "describe", "inferencemodel", name, f"--namespace={scenario.NAMESPACE}"
        )

    installation.wait_for(f"{name} to be Ready", ready, timeout_s=READY_TIMEOUT_S, explain=story)


def drive(
    console: Console, cluster: Cluster, acts: list[scenario.Act], load_s: int
) -> list[Recording]:
    """Send open-loop load to all models at once, and record what happens."""
    step(console, f"sending load for {load_s} s, open loop")
    with tempfile.TemporaryDirectory() as folder:
        recordings = [_start(cluster, act, Path(folder), load_s) for act in acts]
    while not all(seen.job.finished for seen in recordings):
        for seen in recordings:
            seen.look(cluster)
        console.print("  " + "   ".join(map(_line, recordings)), highlight=False)
        time.sleep(REPORT_EVERY_S)
    for seen in recordings:
        seen.job.wait()
        seen.look(cluster)
    return recordings


def _start(cluster: Cluster, act: scenario.Act, folder: Path, load_s: int) -> Recording:
    write = scenario.write_digits_input if act.name == "digits" else scenario.write_photo_input
    inputs = write(folder / f"{act.name}.npz")
    spec = LoadSpec(act.name, scenario.NAMESPACE, act.rate_per_s, load_s, inputs)
    job = LoadJob(cluster, spec, f"load-{act.name}")
    seen = Recording(act, job)
    seen.look(cluster)
    job.start()
    return seen


def _line(seen: Recording) -> str:
    latest = seen.job.seconds[-1] if seen.job.seconds else None
    if latest is None:
        return f"{seen.act.name}: starting"
    return (
        f"{seen.act.name}: batch ≤ {seen.batch}, p99 {latest['p99_ms'] or 0:.0f} ms, "
        f"{latest['ok']}/s answered, {sum(s['failed'] for s in seen.job.seconds)} failed"
    )


def _console() -> Console:
    """Return a console that is wide enough for the table where output is no terminal."""
    width = None if sys.stdout.isatty() else REDIRECTED_WIDTH
    return Console(width=width)


def step(console: Console, what: str) -> None:
    """Say what happens next."""
    console.print(f"[bold]==>[/bold] {what}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--context", help="a kubeconfig context to use instead of kind")
    parser.add_argument("--seconds", type=int, default=LOAD_S, help="how long to send load")
    return parser


if __name__ == "__main__":
    sys.exit(main())
