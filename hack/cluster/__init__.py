"""The cluster of the end-to-end tests and the demo: a given context, or kind on this machine.

`ensure_up()` returns a running `Cluster`, `python -m hack.cluster` is the same for people.
The package knows nothing of Ferryman itself: it must not import from `operator/`.
"""

from __future__ import annotations

from hack.cluster.lifecycle import Cluster, ensure_up

__all__ = ["Cluster", "ensure_up"]
