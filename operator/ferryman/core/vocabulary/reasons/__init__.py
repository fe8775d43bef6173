"""Every reason that a status, an event or a decision carries: the one table of what it means.

A message says what is the case of this very object; the table says what the word means of any.
"""

from collections.abc import Mapping
from itertools import chain
from typing import Final

from ferryman.core.vocabulary.reasons import (
    batching,
    measuring,
    pipelines,
    placement,
    scaling,
    serving,
)
from ferryman.core.vocabulary.reasons.explanation import Explanation

#: Title -> reason -> what it means, as the reference lists them.
SECTIONS: Final[Mapping[str, Mapping[str, Explanation]]] = {
    "Placement": placement.REASONS,
    "Specification and serving": serving.REASONS,
    "Objectives": batching.OBJECTIVES,
    "Changes of batching": batching.CHANGES,
    "The live cap": batching.LIVE_CAP,
    "Measuring before traffic": measuring.REASONS,
    "Scaling": scaling.REASONS,
    "Balancing of a pipeline's steps": pipelines.BALANCING,
    "The graph of a pipeline": pipelines.GRAPH,
    "How steps are put on servers": pipelines.SERVERS,
    "Variants of a step's model": pipelines.VARIANTS,
    "Pods that end": serving.ENDING,
}
EXPLANATIONS: Final[Mapping[str, Explanation]] = dict(
    chain.from_iterable(section.items() for section in SECTIONS.values())
)
