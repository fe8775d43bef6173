"""Ending a load once what was to be done under it is done, however long that took."""

from typing import Any

from hack.load_job import LoadJob

#: ``ferryman load`` is the container's first process, and ends well when it is interrupted.
_INTERRUPT = "import os, signal; os.kill(1, signal.SIGINT)"


def end(job: LoadJob) -> dict[str, Any]:
    """Have a load end now, and return its summary; fail if it had ended before."""
    assert not job.finished, "the load ended before what was done under it"
    where = f"--namespace={job.spec.namespace}"
    job.cluster.kubectl("exec", f"job/{job.name}", where, "--", "python", "-c", _INTERRUPT)
    return job.wait()
