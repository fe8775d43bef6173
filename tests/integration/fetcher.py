"""Runs the fetching program once for each line that it reads: a process each, imported once.

A line is JSON with the environment and a file for what it prints; the answer is its exit status.
"""

import json
import os
import sys

from ferryman.fetch.run import main


def _run(order: dict) -> int:
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.clear()
    os.environ.update(order["environ"])
    return main(os.environ)


for line in sys.stdin:
    if not (child := os.fork()):
        status = 1
        try:
            status = _run(json.loads(line))
        finally:
            sys.stdout.flush()
            os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
