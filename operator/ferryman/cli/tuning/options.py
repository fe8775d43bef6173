"""The arguments of ``ferryman tune``, and the specification that they state."""

import argparse
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import ValidationError

from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.model_source import TritonConfig
from ferryman.api.names import CONTROL_KEY_NAME, PORT_GRPC, PORT_METRICS
from ferryman.api.objectives import LatencyObjective, Objectives, Percentile
from ferryman.api.objectives import ThroughputObjective as Throughput
from ferryman.cli import arguments
from ferryman.cli.errors import InputError
from ferryman.cli.files import content, field_errors, profile_file
from ferryman.core.triton import config as triton_config
from ferryman.core.tuners.profile import tuner_state
from ferryman.core.tuners.select import TunerState

PERCENTILES: Final[tuple[int, ...]] = get_args(Percentile)
ALGORITHMS: Final[tuple[str, ...]] = get_args(BatchingSpec.model_fields["algorithm"].annotation)
KEY_ENV: Final = "FERRYMAN_TRITON_KEY"
_DEFAULTS: Final = BatchingSpec()
_SECONDS: Final = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class OptionsError(InputError):
    """The arguments do not make sense together; the text says what to write instead."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the model is served."""

    host: str
    grpc_port: int
    model: str
    metrics_url: str
    control_key: str
    key_name: str

    @property
    def address(self) -> str:
        """HOST:PORT of gRPC."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.grpc_port}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add all arguments, in the groups that the help shows."""
    _add_target(parser.add_argument_group("the model"))
    _add_objectives(parser.add_argument_group("objectives (at least one)"))
    _add_limits(parser.add_argument_group("limits (RANGE is MOST or LEAST..MOST)"))
    _add_pace(parser.add_argument_group("pace"))
    _add_run(parser.add_argument_group("the run"))


def _add_target(group: Any) -> None:  # noqa: ANN401  argparse names no public type
    add = group.add_argument
    add(
        "--url", required=True, type=_address, metavar="HOST[:PORT]", help="gRPC; default port 8001"
    )
    add("--model", required=True, help="the model's name")
    add(
        "--metrics-url",
        default="",
        metavar="URL",
        help=f"the metrics page (default: http://HOST:{PORT_METRICS}/metrics)",
    )
    add(
        "--control-key-file",
        type=Path,
        metavar="FILE",
        help=f"holds the key of restricted protocols (or set {KEY_ENV})",
    )
    add(
        "--control-key-name",
        default=CONTROL_KEY_NAME,
        metavar="NAME",
        help=f"what the server calls that key (default: {CONTROL_KEY_NAME})",
    )


def _add_objectives(group: Any) -> None:  # noqa: ANN401
    latency = group.add_mutually_exclusive_group()
    for percentile in reversed(PERCENTILES):
        latency.add_argument(
            f"--p{percentile}",
            type=duration_s,
            metavar="TIME",
            help=f"{percentile} %% of requests are answered within this, for example 50ms",
        )
    group.add_argument(
        "--min-throughput",
        type=arguments.whole(1),
        metavar="N",
        help="at least N inferences per second",
    )


def _add_limits(group: Any) -> None:  # noqa: ANN401
    add, limits = group.add_argument, _DEFAULTS.limits
    size, delay = limits.max_batch_size, limits.max_queue_delay_microseconds
    add(
        "--max-batch",
        type=_range(int),
        metavar="RANGE",
        help=f"max_batch_size (default: {size.min}..{size.max}, or what is in force if larger)",
    )
    add(
        "--max-delay",
        type=_range(duration_s),
        metavar="RANGE",
        help=f"queue delay (default: 0ms..{delay.max // 1000}ms)",
    )
    add(
        "--instances",
        type=_range(int),
        metavar="RANGE",
        help="instances of the model (default: as many as there are)",
    )
    add(
        "--on-overload",
        **arguments.one_of(("Queue", "Reject")),
        help="decide the queue policy (default: it stays as it is)",
    )


def _add_pace(group: Any) -> None:  # noqa: ANN401
    add, window, guard = group.add_argument, _DEFAULTS.window, _DEFAULTS.guardrails
    add(
        "--window",
        type=_range(duration_s),
        metavar="RANGE",
        help=f"length of a window (default: {window.min_seconds}s..{window.max_seconds}s)",
    )
    add(
        "--window-requests",
        type=arguments.whole(1),
        metavar="N",
        help=f"a window ends after so many requests (default: {window.max_requests})",
    )
    add(
        "--reload-interval",
        type=duration_s,
        metavar="TIME",
        help=f"least time between reloads (default: {guard.min_seconds_between_reloads}s)",
    )
    add(
        "--max-reloads-per-hour",
        type=arguments.whole(0),
        metavar="N",
        help=f"default: {guard.max_reloads_per_hour}",
    )


def _add_run(group: Any) -> None:  # noqa: ANN401
    add = group.add_argument
    add(
        "--algorithm",
        **arguments.one_of(ALGORITHMS),
        default=_DEFAULTS.algorithm,
        help="default: %(default)s",
    )
    add(
        "--prefer",
        **arguments.one_of(("Economy", "Latency")),
        default=_DEFAULTS.prefer,
        help="of what meets the objectives: less device time, or nothing that waits for a batch "
        "to fill (default: %(default)s)",
    )
    add("--recommend", action="store_true", help="change nothing; print what would be better")
    add("--duration", type=duration_s, metavar="TIME", help="end after this, for example 10m")
    add(
        "--until-met",
        action="store_true",
        help="end when the objectives are met in 3 windows in a row (with --recommend: or when "
        "there is a recommendation)",
    )
    add(
        "--patience",
        type=duration_s,
        default=300.0,
        metavar="TIME",
        help="give up when Triton has been silent for so long (default: 5m)",
    )
    add("--config", type=Path, metavar="FILE", help="the config.pbtxt that Triton loaded")
    known = group.add_mutually_exclusive_group()
    known.add_argument(
        "--profile",
        type=Path,
        metavar="FILE",
        help="begin with the service times in this file, YAML or JSON (docs/tune.md)",
    )
    known.add_argument(
        "--import-model-analyzer",
        type=Path,
        metavar="FILE.csv",
        help="or with what Model Analyzer's table of inference metrics says of the model",
    )
    add("--journal", type=Path, metavar="FILE", help="append everything to FILE as JSON lines")
    add(
        "-o",
        "--output",
        **arguments.one_of(("live", "lines", "json")),
        help="default: live on a terminal, otherwise lines",
    )


def target(args: argparse.Namespace) -> Target:
    """Return where the model is; raises OptionsError when the key's file cannot be read."""
    host, port = args.url
    page = f"[{host}]" if ":" in host else host
    file = args.control_key_file
    key = "" if file is None else content.text(file, OptionsError).strip()
    return Target(
        host=host,
        grpc_port=port,
        model=args.model,
        metrics_url=args.metrics_url or f"http://{page}:{PORT_METRICS}/metrics",
        control_key=key or os.environ.get(KEY_ENV, ""),
        key_name=args.control_key_name,
    )


def objectives(args: argparse.Namespace) -> Objectives:
    """Return what is to be met; raises OptionsError when nothing is."""
    stated = {p: getattr(args, f"p{p}") for p in PERCENTILES}
    latency = [(p, _whole("p" + str(p), s, 1e3, "ms")) for p, s in stated.items() if s is not None]
    if not latency and args.min_throughput is None:
        raise OptionsError("state an objective: --p99 50ms, --min-throughput 200, or both")
    with _Checked():
        return Objectives(
            latency=LatencyObjective(percentile=latency[0][0], target_milliseconds=latency[0][1])
            if latency
            else None,
            throughput=Throughput(min_per_second=args.min_throughput)
            if args.min_throughput is not None
            else None,
        )


def known(args: argparse.Namespace) -> TunerState:
    """Return what the tuner begins with; raises OptionsError and ProfileError."""
    if args.profile is None and args.import_model_analyzer is None:
        return TunerState()
    if args.algorithm != "Guarded":
        raise OptionsError(
            f"{args.algorithm} knows no service times: leave --profile and "
            "--import-model-analyzer out, or use Guarded"
        )
    if args.profile is not None:
        return tuner_state(profile_file.read(args.profile))
    return tuner_state(profile_file.read_model_analyzer(args.import_model_analyzer, args.model))


def spec(
    args: argparse.Namespace, found: Batching, stated: TritonConfig | None = None
) -> BatchingSpec:
    """Return how to tune a model that has ``found`` in force; raises OptionsError.

    Limits that are not stated leave room for what is in force; instances stay as they are.
    ``stated`` is what the model's owner stated that stays.
    """
    stated = stated or {}
    _check_bound(args, stated)
    with _Checked():
        asked = BatchingSpec.model_validate(
            {
                "mode": "Recommend" if args.recommend else "Auto",
                "algorithm": args.algorithm,
                "prefer": args.prefer,
                **_stated(on_overload=args.on_overload),
                "window": _window(args),
                "limits": _limits(args, found),
                "guardrails": _stated(
                    min_seconds_between_reloads=_seconds("reload-interval", args.reload_interval),
                    max_reloads_per_hour=args.max_reloads_per_hour,
                ),
            }
        )
    return triton_config.within(stated, asked)


def _check_bound(args: argparse.Namespace, stated: TritonConfig) -> None:
    """Refuse a largest bound under which something that was stated could not stay."""
    most = None if args.max_batch is None else args.max_batch[1]
    if most is None:
        return
    warm_up = triton_config.largest_warm_up(stated)
    if most < warm_up:
        raise OptionsError(
            f"--max-batch: the model is warmed up with batches of {warm_up}, which Triton does not "
            f"load under a max_batch_size of {most}: allow at least {warm_up}"
        )
    preferred = max(stated.get("dynamic_batching", {}).get("preferred_batch_size", ()), default=0)
    if most < preferred:
        raise OptionsError(
            f"--max-batch: the model's preferred_batch_size {preferred} would be lost under a "
            f"max_batch_size of {most}: allow at least {preferred}, or remove it first"
        )


def _limits(args: argparse.Namespace, found: Batching) -> dict[str, Any]:
    limits = _DEFAULTS.limits
    size, delay = limits.max_batch_size, limits.max_queue_delay_microseconds
    largest = max(size.max, found.max_batch_size)
    longest_s = max(delay.max, found.max_queue_delay_microseconds) / 1e6
    least, most = args.max_delay or (None, longest_s)
    return {
        "max_batch_size": _span(args.max_batch or (None, largest), size.min),
        "max_queue_delay_microseconds": _span(
            (
                None if least is None else _whole("max-delay", least, 1e6, "µs"),
                _whole("max-delay", most, 1e6, "µs"),
            ),
            delay.min,
        ),
        "instances": _span(args.instances or (found.instances, found.instances), 1),
    }


def _window(args: argparse.Namespace) -> dict[str, Any]:
    stated = _stated(max_requests=args.window_requests)
    if args.window is None:
        return stated
    least, most = args.window
    most_s = _seconds("window", most)
    least_s = min(_DEFAULTS.window.min_seconds, most_s or 0) if least is None else least
    return {**stated, "min_seconds": _seconds("window", least_s), "max_seconds": most_s}


def _span(pair: tuple[Any, Any], least: int) -> dict[str, Any]:
    return {"min": least if pair[0] is None else pair[0], "max": pair[1]}


def _stated(**values: object) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


def _seconds(option: str, seconds: float | None) -> int | None:
    return None if seconds is None else _whole(option, seconds, 1.0, "s")


def _whole(option: str, seconds: float, per_second: float, unit: str) -> int:
    value = round(seconds * per_second, 6)
    if value != int(value):
        raise OptionsError(f"--{option}: {value:g} {unit} is no whole number of {unit}")
    return int(value)


class _Checked:
    """Turns a malformed field of an API type into an OptionsError."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ValidationError):
            raise OptionsError(field_errors.in_words(error.errors()[0])) from error


def duration_s(text: str) -> float:
    """Return the seconds of a duration such as 50ms, 1.5s, 10m; raises ArgumentTypeError."""
    # As many digits as any time of ours needs: more would be infinite to a computer.
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)(us|µs|ms|s|m|h)", text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: write 50ms, 1.5s or 10m")
    return float(found[1]) * _SECONDS[found[2]]


def _range(read: Callable[[str], Any]) -> Callable[[str], tuple[Any, Any]]:
    def parse(text: str) -> tuple[Any, Any]:
        """Read MOST (the least is then None), or LEAST..MOST."""
        least, dots, most = text.rpartition("..")
        try:
            pair = (read(least) if dots else None, read(most))
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is no MOST or LEAST..MOST") from error
        if pair[0] is not None and pair[0] > pair[1]:
            raise argparse.ArgumentTypeError(f"{text!r}: the least is more than the most")
        return pair

    return parse


def _address(text: str) -> tuple[str, int]:
    """Read HOST or HOST:PORT, also with an IPv6 address in brackets."""
    if "://" in text:
        raise argparse.ArgumentTypeError(
            f"{text!r}: write HOST:PORT of Triton's gRPC (8001 unless it was changed), no scheme"
        )
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]/\s]+))(?::(\d{1,5}))?", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT")
    return found[1] or found[2], int(found[3] or PORT_GRPC)
