"""Run the demo: ``python -m hack.demo`` (or ``make demo``).

Everything comes from nothing: the cluster, the images, the models. It takes some minutes; the
first time, without a registry, considerably longer. Three acts follow each other, each with a
table and a picture of what was recorded in it. The exit status is 0 unless something is broken:
requests failed, answers became wrong, or the operator changed nothing. How much came of it on a
busy machine is told, and fails nothing.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from rich.console import Console

from hack import installation
from hack.cluster import Cluster, ensure_up
from hack.cluster.shell import ClusterError
from hack.demo import acts, report, scenario, watching
from hack.demo.report import Outcome
from hack.demo.stage import Stage

REDIRECTED_WIDTH = 140


def main() -> int:
    """Run the demo and return its exit status."""
    arguments = _parser().parse_args()
    console = _console()
    chosen = [arguments.act] if arguments.act else range(1, len(acts.ACTS) + 1)
    try:
        return run(console, arguments.context or os.environ.get("CONTEXT"), list(chosen))
    except (ClusterError, TimeoutError, RuntimeError, watching.NotSeen) as fault:
        console.print(f"[red]The demo stopped:[/red] {fault}", highlight=False)
        return 1


def run(console: Console, context: str | None, chosen: Sequence[int]) -> int:
    """Bring everything up, play the acts, and report."""
    cluster = ensure_up(context)
    with watching.opened(cluster, scenario.NAMESPACE) as api:
        at = Stage(console, cluster, api)
        prepare(at)
        outcomes = [play(at, number) for number in chosen]
    print_next_steps(console, cluster, chosen, outcomes)
    return 1 if any(outcome.faults for outcome in outcomes) else 0


def prepare(at: Stage) -> None:
    """Install Ferryman, have the nodes measured, and make room."""
    at.tell("building and loading the images")
    installation.load_images(at.cluster, "cluster", "demo")
    at.tell("installing Ferryman with Helm")
    installation.install(at.cluster)
    at.tell("waiting for each node type's ResNet50 benchmark")
    for node, peak in sorted(installation.wait_for_benchmarks(at.cluster).items()):
        at.console.print(f"  {node}: {peak:.1f} images/s")
    where = f"--namespace={scenario.NAMESPACE}"
    namespace = ("delete", "namespace", scenario.NAMESPACE, "--ignore-not-found")
    at.cluster.kubectl(*namespace, "--wait=false")
    at.cluster.kubectl("delete", "pods", "--all", where, "--grace-period=0", "--force")
    at.cluster.kubectl(*namespace, timeout_s=180)
    installation.apply(
        at.cluster,
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": scenario.NAMESPACE}},
    )


def play(at: Stage, number: int) -> Outcome:
    """Play one act, and show what came of it."""
    at.console.rule(f"act {number}")
    outcome = acts.ACTS[number - 1](at)
    at.console.print(report.table(outcome))
    for word in outcome.reached:
        at.console.print(f"[yellow]this time:[/yellow] {word}", highlight=False)
    for fault in outcome.faults:
        at.console.print(f"[red]broken:[/red] {fault}", highlight=False)
    at.console.print(f"picture: {outcome.picture}", highlight=False, soft_wrap=True)
    return outcome


def print_next_steps(
    console: Console, cluster: Cluster, chosen: Sequence[int], outcomes: Sequence[Outcome]
) -> None:
    """Say where the pictures are, how to look further, and how to tear down."""
    left, where = [acts.LEFT[number - 1] for number in chosen], f"--namespace {scenario.NAMESPACE}"
    looks = [f"  kubectl describe {described} {where}" for described, _ in left]
    looks += [f"  .venv/bin/ferryman explain {explained} {where}" for _, explained in left]
    further = "\n".join(looks)
    drawn = "\n".join(f"  {outcome.picture}  {outcome.title}" for outcome in outcomes)
    console.print(
        f"""
What happened, act by act:
{drawn}

Look further:
  export KUBECONFIG={cluster.kubeconfig}
  kubectl get imodel,ipipe -o wide {where}
{further}
Tear down:
  make cluster-down""",
        highlight=False,
        soft_wrap=True,
    )


def _console() -> Console:
    """Return a console that is wide enough for the tables where output is no terminal."""
    width = None if sys.stdout.isatty() else REDIRECTED_WIDTH
    return Console(width=width)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--context", help="a kubeconfig context to use instead of kind")
    numbers = range(1, len(acts.ACTS) + 1)
    parser.add_argument("--act", type=int, choices=numbers, help="one act alone (default: all)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
