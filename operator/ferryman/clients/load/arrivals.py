"""When an open-loop load generator sends: decided before the run, whatever the server does."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Arrivals = Literal["poisson", "constant"]
MAX_REQUESTS = 20_000_000


def send_times_s(
    rate_per_s: float, duration_s: float, arrivals: Arrivals, seed: int
) -> NDArray[np.float64]:
    """Return the intended send times in seconds from the start, ascending.

    Constant: one request every ``1 / rate_per_s``. Poisson: given their number, the arrivals
    of a Poisson process are independent and uniform in time, so both are drawn directly.
    Raises ValueError when the rate or duration is not positive or asks for too many requests.
    """
    if not (rate_per_s > 0 and duration_s > 0):
        raise ValueError("rate and duration must be greater than 0")
    if rate_per_s * duration_s > MAX_REQUESTS:
        raise ValueError(f"more than {MAX_REQUESTS} requests: lower the rate or the duration")
    if arrivals == "constant":
        return np.arange(round(rate_per_s * duration_s)) / rate_per_s
    random = np.random.default_rng(seed)
    return np.sort(random.uniform(0.0, duration_s, random.poisson(rate_per_s * duration_s)))
