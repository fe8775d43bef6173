"""``ferryman load``: open-loop load on a model, with latency from the intended send time."""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table

from ferryman.clients import load_inputs
from ferryman.clients.inference import Request
from ferryman.clients.load import generator as load
from ferryman.clients.load import report as load_report
from ferryman.clients.load import target as load_target
from ferryman.clients.load.generator import LoadResult, LoadSettings, TargetUnavailable
from ferryman.clients.load.report import Figures, Interval
from ferryman.clients.load.target import TargetRefused
from ferryman.clients.load_inputs import InputInvalid

if TYPE_CHECKING:
    # argparse has no public name for what add_subparsers returns.
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001

Measure = Callable[[Callable[[Interval], None]], Awaitable[LoadResult]]

SHOWN_INTERVALS = 15
EXIT_UNAVAILABLE = 1
EXIT_USAGE = 2

DESCRIPTION = """\
Send requests at a fixed rate, however slow the answers are, and measure them.

Latency counts from the time a request was due. A request that is not answered correctly before
its deadline, or could not be sent, is a failed request; nothing is sent twice. On a terminal a
table is shown; otherwise one JSON line a second is printed, and a summary at the end.
"""


def add_parser(commands: "Subparsers") -> None:
    """Add this subcommand."""
    parser = commands.add_parser(
        "load",
        help="send open-loop load to a model and measure the answers",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--url", required=True, help="http://127.0.0.1:8000, for example, or grpc://127.0.0.1:8001")
    add("--model", required=True, help="the model's name")
    add("--rate", type=_positive, required=True, metavar="N", help="requests per second")
    add("--duration", type=_positive, required=True, metavar="S", help="seconds of sending")
    add("--input", type=Path, metavar="FILE", help=".npz with an array per input, and `labels`")
    add("--arrivals", choices=("poisson", "constant"), default="poisson", help="default: poisson")
    add("--seed", type=int, default=0, help="of arrivals and random inputs (default: 0)")
    add("--batch-size", type=int, default=1, metavar="N", help="rows in a request (default: 1)")
    add("--deadline-ms", type=_positive, default=5_000.0, metavar="MS", help="default: 5000")
    add("--clients", type=int, default=1, metavar="N", help="that take turns (default: 1)")
    add("--max-in-flight", type=int, default=1_024, metavar="N", help="default: 1024")
    add("--new-connections", action="store_true", help="one for each request")
    add("--json", action="store_true", help="print JSON lines on a terminal too")
    add("--output", type=Path, metavar="FILE", help="write each request to a .csv or .jsonl file")


def run(args: argparse.Namespace) -> int:
    """Run the load test; return 0 when it ran, whatever the answers were like."""
    try:
        result = asyncio.run(_load(args))
        if args.output:
            load_report.write(args.output, result.records)
    except TargetUnavailable as error:
        print(f"ferryman load: {error}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    except (TargetRefused, InputInvalid, OSError, ValueError) as error:
        print(f"ferryman load: {error}", file=sys.stderr)
        return EXIT_USAGE
    return 0


async def _load(args: argparse.Namespace) -> LoadResult:
    url = load_target.check(args.url)
    requests = await _requests(url, args)
    settings = LoadSettings(
        rate_per_s=args.rate,
        duration_s=args.duration,
        arrivals=args.arrivals,
        seed=args.seed,
        deadline_s=args.deadline_ms / 1e3,
        max_in_flight=args.max_in_flight,
        clients=max(1, args.clients),
        new_connections=args.new_connections,
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)

    async def measure(on_interval: Callable[[Interval], None]) -> LoadResult:
        return await load.run(
            url, args.model, requests, settings, on_interval=on_interval, stop=stop
        )

    if args.json or not sys.stdout.isatty():
        result = await measure(lambda interval: _print_json(interval.as_dict()))
        _print_json(result.summary.as_dict())
        return result
    return await _show(args, measure)


async def _requests(url: str, args: argparse.Namespace) -> Sequence[Request]:
    signature = await load.signature_of(url, args.model)
    if args.input:
        return load_inputs.from_file(args.input, signature, args.batch_size)
    return load_inputs.random_requests(signature, args.batch_size, args.seed)


async def _show(args: argparse.Namespace, measure: Measure) -> LoadResult:
    """Show the last seconds as a table that fills while the load runs."""
    console = Console()
    intervals: list[Interval] = []
    with Live(_table(args, intervals), console=console, auto_refresh=False) as live:

        def on_interval(interval: Interval) -> None:
            intervals.append(interval)
            live.update(_table(args, intervals), refresh=True)

        result = await measure(on_interval)
    console.print(_in_words(result), markup=False, highlight=False, soft_wrap=True)
    return result


def _table(args: argparse.Namespace, intervals: Sequence[Interval]) -> Table:
    done_s = intervals[-1].t if intervals else 0.0
    table = Table(title=f"{args.model}: {args.rate:g}/s, {done_s:.0f} of {args.duration:g} s")
    for column in ("s", "due", "ok", "failed", "p50 ms", "p99 ms", "accuracy"):
        table.add_column(column, justify="right")
    for interval in intervals[-SHOWN_INTERVALS:]:
        figures = interval.figures
        counts = (f"{interval.t:.0f}", interval.sent, figures.ok, figures.failed)
        table.add_row(*map(str, counts), *_measured(figures))
    return table


def _measured(figures: Figures) -> tuple[str, str, str]:
    accuracy = "-" if figures.accuracy is None else f"{figures.accuracy:.1%}"
    return _ms(figures.p50_ms), _ms(figures.p99_ms), accuracy


def _in_words(result: LoadResult) -> str:
    summary, figures = result.summary, result.summary.figures
    p50, p99, accuracy = _measured(figures)
    answered = f"{figures.ok} answered ({summary.answers_per_s:g}/s), {figures.failed} failed"
    lines = [
        f"{summary.sent} requests: {answered}",
        f"latency p50 {p50} ms, p99 {p99} ms, mean {_ms(figures.mean_ms)} ms; accuracy {accuracy}",
    ]
    for outcome, count in summary.failures.items():
        lines.append(f"{count} x {outcome}: {summary.examples[outcome]}")
    return "\n".join(lines)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _print_json(value: object) -> None:
    print(json.dumps(value), flush=True)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not greater than 0")
    return value
