"""``ferryman tune``: the operator's tuner on any running Triton, without Kubernetes."""

import argparse
import asyncio
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from ferryman.actuation.events import Decided, Entry, Observed
from ferryman.actuation.session import (
    LostError,
    Report,
    SessionSettings,
    TuningSession,
)
from ferryman.api.batching import Batching
from ferryman.cli.errors import INTERRUPTED, Fault, InputError, InterruptedFault
from ferryman.cli.files import content
from ferryman.cli.tuning import lines as tune_lines
from ferryman.cli.tuning import options as tune_options
from ferryman.cli.tuning import output as tune_output
from ferryman.cli.tuning.options import OptionsError, Target
from ferryman.cli.tuning.stated import notes, stated
from ferryman.clients import triton
from ferryman.clients.config_fragment import fragment, mismatch
from ferryman.clients.pbtxt import ConfigInvalid
from ferryman.clients.triton import ConfigRefused, Ports, TritonUnavailable
from ferryman.clients.triton_survey import KeyNeeded, Survey, survey
from ferryman.core.batching import limits
from ferryman.core.tuners.select import tune

EXIT_UNAVAILABLE: Final = 1
EXIT_NOT_MET: Final = 3
EXIT_REFUSED: Final = 4
#: So many windows in a row must meet the objectives.
MET_IN_A_ROW: Final = 3
_KEY_ADVICE: Final = "give it with --control-key-file, its name with --control-key-name"

DESCRIPTION = """\
Tune the batching of a model on any running Triton, with the operator's own code: observe windows
of its own traffic, decide after each, change by the cheapest means, look what came of it.

Triton must allow changes (--model-control-mode=explicit), or use --recommend, which changes
nothing. A change is loaded beside what serves, so that no request fails; how often is bounded. It
lives in the server's memory: at the end the lines of config.pbtxt that keep it are printed.
"""

EPILOG = """\
examples:
  ferryman tune --url localhost:8001 --model resnet50 --p99 50ms
  ferryman tune --url gpu-7 --model bert --p95 80ms --min-throughput 300
  ferryman tune --url localhost --model resnet50 --p99 50ms --recommend
  ferryman tune --url localhost --model m --p99 50ms --until-met --journal FILE
  ferryman tune --url localhost --model m --p99 50ms --profile FILE
"""
STATUSES: Final = {
    EXIT_UNAVAILABLE: "Triton does not answer, does not serve the model, or was lost",
    EXIT_NOT_MET: "--until-met, and the end came before that",
    EXIT_REFUSED: "this model or this server cannot be tuned live",
    INTERRUPTED: "Ctrl-C before it began; later it is an end like any other: 0",
}


class RefusedFault(Fault):
    """This model or this server cannot be tuned live."""

    status = EXIT_REFUSED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    tune_options.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Tune until told to end; the exit statuses are those of the help."""
    try:
        return asyncio.run(_tune(args))
    except ConfigInvalid as error:
        raise InputError(str(error)) from error
    except KeyboardInterrupt as error:
        raise InterruptedFault("interrupted before it began; nothing was changed") from error
    except KeyNeeded as error:
        raise Fault(f"{error}: {_KEY_ADVICE}") from error
    except (TritonUnavailable, LostError) as error:
        raise Fault(str(error)) from error
    except ConfigRefused as error:
        raise RefusedFault(str(error)) from error


@dataclass
class _Goal:
    """When to end by ourselves."""

    stop: asyncio.Event
    until_met: bool
    recommended: Batching | None = None
    """The last recommendation."""
    reached: bool = False
    _met: int = 0

    def see(self, entry: Entry) -> None:
        """Set ``stop`` when what was waited for is there."""
        event = entry.event
        if isinstance(event, Observed):
            self._met = self._met + 1 if event.verdict.met else 0
        if isinstance(event, Decided) and event.step.verb == "Recommend":
            self.recommended = event.step.batching
        held = self._met >= MET_IN_A_ROW
        if self.until_met and isinstance(event, Decided):
            done = self.recommended is not None or (held and event.step.verb != "Change")
            if done:
                self.reached = True
                self.stop.set()


async def _tune(args: argparse.Namespace) -> int:
    objectives, target = tune_options.objectives(args), tune_options.target(args)
    known = tune_options.known(args)
    found = await _surveyed(target, recommend=args.recommend)
    config_pbtxt = _config(args.config, found)
    server = triton.connect(
        target.host,
        target.model,
        target.control_key,
        clock=time.monotonic,
        ports=Ports(grpc=target.grpc_port),
        metrics_url=target.metrics_url,
        key_name=target.key_name,
    )
    try:
        before = (await server.model()).batching
        if before is None:
            raise TritonUnavailable(f"the model {target.model} is not ready any more")
        kept = stated(args, found.config_pbtxt, config_pbtxt)
        spec = tune_options.spec(args, before, kept)
        settings = SessionSettings(
            objectives,
            spec,
            start=limits.clamp(before, spec),
            overlay=kept,
            config_pbtxt=config_pbtxt,
            patience_s=args.patience,
        )
        goal = _Goal(asyncio.Event(), args.until_met)
        with ExitStack() as closing:
            scene = tune_output.Scene(target, settings, found, notes(kept))
            listeners = tune_output.open_all(scene, args.output, args.journal, closing)

            def tell(entry: Entry) -> None:
                """Pass an event on to everybody."""
                for listener in (goal.see, *listeners):
                    listener(entry)

            session = TuningSession(server, tune, settings, state=known, tell=tell)
            session.algorithm = partial(tune, in_effect=session.in_effect)
            report = await _until_told(session, goal.stop, args.duration)
    finally:
        await server.close()
    return _end(args, report, goal, found)


def _config(file: Path | None, found: Survey) -> str | None:
    """Return the file that Triton loaded; raises OptionsError when it cannot be that one."""
    if file is None:
        return None
    text = content.text(file)
    try:
        differs = mismatch(text, found.config_pbtxt)
    except ConfigInvalid as error:
        raise OptionsError(f"--config: {content.name(file)}: {error}") from error
    if differs:
        raise OptionsError(f"--config: {content.name(file)} is not what Triton loaded: {differs}")
    return text


async def _surveyed(target: Target, *, recommend: bool) -> Survey:
    """Return what the server allows; raises ConfigRefused when that is not enough."""
    found = await survey(
        target.address,
        target.model,
        metadata=triton.control_metadata(target.control_key, target.key_name),
        metrics_url=target.metrics_url,
    )
    if found.not_tunable:
        raise ConfigRefused(f"the batching of {target.model} is not tuned: {found.not_tunable}")
    if found.no_control and not recommend:
        raise ConfigRefused(
            f"nothing can be changed: {found.no_control}; or use --recommend, which changes nothing"
        )
    return found


async def _until_told(
    session: TuningSession, stop: asyncio.Event, duration_s: float | None
) -> Report:
    """Run the session until a signal, the end of the time, or ``stop``.

    A first signal lets a change that is under way finish; a second one does not.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(session.run(stop), name="session")

    def signalled() -> None:
        if stop.is_set():
            task.cancel()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, signalled)
    timer = loop.call_later(duration_s, stop.set) if duration_s else None
    try:
        return await task
    except asyncio.CancelledError as error:
        raise LostError("ended in the middle of a change: look what Triton has in force") from error
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        if timer is not None:
            timer.cancel()


def _end(args: argparse.Namespace, report: Report, goal: _Goal, found: Survey) -> int:
    """Say what is in force and how to keep it; return the exit status."""
    recommended = (goal.recommended or report.applied) if args.recommend else None
    text = fragment(found.config_pbtxt, recommended or report.applied)
    if args.output == "json":
        tune_output.print_json(_conclusion(report, recommended, text))
    else:
        if args.recommend and goal.recommended is None:
            print("There was no decision yet: more windows with traffic are needed.")
        print(tune_lines.closing(report.first, report.applied, recommended, text))
    return EXIT_NOT_MET if args.until_met and not goal.reached else 0


def _conclusion(report: Report, recommended: Batching | None, text: str) -> dict[str, Any]:
    return {
        "event": "conclusion",
        "first": report.first.as_dict(),
        "applied": report.applied.as_dict(),
        "recommended": None if recommended is None else recommended.as_dict(),
        "windows": report.windows,
        "configPbtxt": text,
    }
