"""All contenders, in the order in which tables show them. The oracle is the runner's affair."""

from typing import Final

from benchmarks.contenders.ablations import ABLATIONS
from benchmarks.contenders.aimd import BATCH, END_TO_END
from benchmarks.contenders.base import Contender
from benchmarks.contenders.hill_climb import HILL_CLIMB
from benchmarks.contenders.least_squares import LEAST_SQUARES
from benchmarks.contenders.literal_trend import LITERAL_TREND
from benchmarks.contenders.ours import GUARDED, TREND
from benchmarks.contenders.static import BOUND_128, LARGEST_BOUND, TRITON_DEFAULT

CONTENDERS: Final[tuple[Contender, ...]] = (
    TRITON_DEFAULT,
    BOUND_128,
    HILL_CLIMB,
    BATCH,
    END_TO_END,
    LEAST_SQUARES,
    LITERAL_TREND,
    TREND,
    GUARDED,
)
BY_NAME: Final = {
    contender.name: contender for contender in (*CONTENDERS, LARGEST_BOUND, *ABLATIONS)
}
