"""``ferryman load``: open-loop load on a model, with latency from the intended send time."""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from rich.live import Live

from ferryman.cli import arguments
from ferryman.cli.errors import Fault, InputError, InterruptedFault
from ferryman.cli.files import content
from ferryman.cli.sending import requests as sent
from ferryman.cli.tables import Column, Listing
from ferryman.cli.terminal import console
from ferryman.clients.load import generator as load
from ferryman.clients.load import report as load_report
from ferryman.clients.load import target as load_target
from ferryman.clients.load.generator import LoadResult, LoadSettings, TargetUnavailable
from ferryman.clients.load.report import Figures, Interval
from ferryman.clients.load.target import TargetRefused
from ferryman.clients.load_inputs import InputInvalid

Measure = Callable[[Callable[[Interval], None]], Awaitable[LoadResult]]

SHOWN_INTERVALS = 15
COLUMNS = ("s", "due", "ok", "failed", "p50 ms", "p99 ms", "accuracy")

DESCRIPTION = """\
Send requests at a fixed rate, however slow the answers are, and measure them.

Latency counts from the time a request was due. A request that is not answered correctly before
its deadline, or could not be sent, is a failed request; nothing is sent twice. On a terminal a
table is shown; otherwise one JSON line a second is printed, and a summary at the end.
"""


EPILOG = """\
examples:
  ferryman load --url http://localhost:8000 --model m --rate 50 --duration 30
  ferryman load --url URL --model M --rate 5 --duration 60 --input FILE.npz
  ferryman load --url URL --model M --rate 5 --duration 60 --output FILE.csv
  ferryman load --url URL --pipeline P --rate 2 --duration 9 --shape x=96,64,3
  ferryman load --url URL --pipeline P --rate 2 --duration 9 --input x=FILE.npy

Ctrl-C ends the sending; what was measured until then is shown.
"""
STATUSES: Final = {
    0: "it ran to its end, and no more failed than --max-failed allows",
    1: "the server does not serve the model, or too many requests failed",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    positive, count = arguments.number(above=0), arguments.whole(1)
    add = parser.add_argument
    add("--url", required=True, help="http://127.0.0.1:8000, for example, or grpc://127.0.0.1:8001")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--model", metavar="NAME", help="the model's name")
    which.add_argument(
        "--pipeline", dest="model", metavar="NAME", help="an InferencePipeline's, likewise"
    )
    add("--rate", type=positive, required=True, metavar="N", help="requests per second")
    add("--duration", type=positive, required=True, metavar="S", help="seconds of sending")
    sent.add_arguments(parser)
    add(
        "--arrivals",
        **arguments.one_of(("poisson", "constant")),
        default="poisson",
        help="default: poisson",
    )
    add(
        "--seed",
        type=arguments.whole(0),
        default=0,
        metavar="N",
        help="of arrivals and random inputs (default: 0)",
    )
    add("--deadline-ms", type=positive, default=5_000.0, metavar="MS", help="default: 5000")
    add("--clients", type=count, default=1, metavar="N", help="that take turns (default: 1)")
    add("--max-in-flight", type=count, default=1_024, metavar="N", help="default: 1024")
    add("--new-connections", action="store_true", help="one for each request")
    add(
        "--keepalive",
        type=positive,
        metavar="S",
        help="over gRPC, ask whether a silent connection is alive after so many seconds, and give "
        "it up after half as many more (default: never)",
    )
    add(
        "--max-failed",
        type=arguments.whole(0),
        metavar="N",
        help="end with 1 where more requests failed (default: any number may)",
    )
    add("--json", action="store_true", help="print JSON lines on a terminal too")
    add("--output", type=Path, metavar="FILE", help="write each request to a .csv or .jsonl file")


def run(args: argparse.Namespace) -> int:
    """Run the load test; return 0 when it ran, and no more requests failed than may."""
    sent.check(args)
    if args.output:
        # The load takes its time: better to know before that its account has no place.
        content.expect_writable(args.output)
    stop = asyncio.Event()
    try:
        result = asyncio.run(_load(args, stop))
    except TargetUnavailable as error:
        raise Fault(str(error)) from error
    except (TargetRefused, InputInvalid, ValueError) as error:
        raise InputError(str(error)) from error
    if args.output:
        _write(args.output, result)
    if stop.is_set():
        raise InterruptedFault("interrupted: the figures are of what was sent until then")
    failed = result.summary.figures.failed
    if args.max_failed is not None and failed > args.max_failed:
        raise Fault(f"{failed} requests failed; --max-failed allows {args.max_failed}")
    return 0


def _write(path: Path, result: LoadResult) -> None:
    try:
        load_report.write(path, result.records)
    except OSError as error:
        raise content.unwritten(path, error) from error


async def _load(args: argparse.Namespace, stop: asyncio.Event) -> LoadResult:
    url = load_target.check(args.url)
    requests = sent.requests(await load.signature_of(url, args.model), args)
    settings = LoadSettings(
        rate_per_s=args.rate,
        duration_s=args.duration,
        arrivals=args.arrivals,
        seed=args.seed,
        deadline_s=args.deadline_ms / 1e3,
        max_in_flight=args.max_in_flight,
        clients=max(1, args.clients),
        new_connections=args.new_connections,
        keepalive_s=args.keepalive,
        compare=args.compare,
    )
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


async def _show(args: argparse.Namespace, measure: Measure) -> LoadResult:
    """Show the last seconds as a table that fills while the load runs."""
    screen = console()
    intervals: list[Interval] = []
    with Live(_table(args, intervals), console=screen, auto_refresh=False) as live:

        def on_interval(interval: Interval) -> None:
            intervals.append(interval)
            live.update(_table(args, intervals), refresh=True)

        result = await measure(on_interval)
    screen.print(_in_words(result), markup=False, soft_wrap=True)
    return result


def _table(args: argparse.Namespace, intervals: Sequence[Interval]) -> Listing:
    done_s = intervals[-1].t if intervals else 0.0
    title = f"{args.model}: {args.rate:g}/s, {done_s:.0f} of {args.duration:g} s"
    table = Listing((Column(name, right=True) for name in COLUMNS), title=title)
    for interval in intervals[-SHOWN_INTERVALS:]:
        figures = interval.figures
        counts = (f"{interval.t:.0f}", interval.sent, figures.ok, figures.failed)
        table.add(*map(str, counts), *_measured(figures))
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
