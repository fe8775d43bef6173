"""Ending a load once what was to be done under it is done, however long that took."""

from typing import Any

from hack.load_job import LoadJob


def end(job: LoadJob) -> dict[str, Any]:
    """Have a load end now, and return its summary; fail if it had ended before."""
    assert not job.finished, "the load ended before what was done under it"
    return job.end()
