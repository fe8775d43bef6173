"""What is fuzzed: everything that reads what others wrote.

A target takes any bytes at all. What its reader documents as refused is an answer; any other
exception is a fault, and so is an answer that is not what the target says must hold.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from tests.fuzz import files, looking, objects, packages, pages, repeats, screens
from tests.fuzz.limits import TooSlowError, bounded, interrupted


@dataclass(frozen=True)
class Target:
    """A reader, and what to begin with."""

    run: Callable[[bytes], None]
    seeds: Callable[[], tuple[bytes, ...]]
    words: tuple[str, ...] = ()
    """Names of fields that the format knows."""
    most_bytes: int = 4096
    seconds: float = 1.0
    """Of CPU time, for each execution."""

    def execute(self, data: bytes) -> None:
        """Read an input within the bounds. Raises whatever is wrong."""
        with bounded(self.seconds):
            self.run(data)

    def execute_alone(self, data: bytes) -> None:
        """Likewise, where no engine ends what does not end.

        The collector looks through what other tests made, so that an input counts as too slow
        where it is so three times.
        """
        for _ in range(2):
            with suppress(TooSlowError):
                return self._execute_to_the_end(data)
        return self._execute_to_the_end(data)

    def _execute_to_the_end(self, data: bytes) -> None:
        repeats.forget()
        with interrupted(60):
            self.execute(data)


TARGETS = {
    "annotations": Target(objects.annotations, objects.annotation_seeds, objects.STATUS_WORDS),
    "archives": Target(packages.archive, packages.archive_seeds),
    "benchmark-results": Target(pages.benchmark_result, pages.result_seeds, pages.RESULT_WORDS),
    "commands": Target(screens.commands, screens.command_seeds, files.SNAPSHOT_WORDS, seconds=5.0),
    "documents": Target(files.document, files.document_seeds, most_bytes=256),
    "fetch-reports": Target(packages.fetch_report, packages.report_seeds, packages.REPORT_WORDS),
    "fleets": Target(files.fleet, files.fleet_seeds, files.FLEET_WORDS),
    "imports": Target(screens.imports, screens.import_seeds, screens.IMPORT_WORDS, seconds=5.0),
    "looking": Target(looking.statuses, looking.seeds, looking.WORDS),
    "metrics": Target(pages.metrics, pages.metrics_seeds, seconds=0.1),
    "overlays": Target(objects.overlay, objects.overlay_seeds, objects.OVERLAY_WORDS),
    "pbtxt": Target(pages.pbtxt_text, pages.pbtxt_seeds),
    "pipelines": Target(objects.pipeline, objects.pipeline_seeds, objects.PIPELINE_WORDS),
    "profiles": Target(objects.profile, objects.profile_seeds, objects.PROFILE_WORDS),
    "scenarios": Target(files.scenario, files.scenario_seeds, files.SCENARIO_WORDS),
    "snapshots": Target(files.snapshot, files.snapshot_seeds, files.SNAPSHOT_WORDS),
    "statistics": Target(pages.statistics, pages.statistics_seeds),
    "terminal": Target(screens.terminal_text, screens.text_seeds, most_bytes=256),
    "watches": Target(objects.watch, objects.watch_seeds, seconds=0.5),
}
