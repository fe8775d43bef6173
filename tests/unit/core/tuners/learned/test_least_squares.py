"""Least squares: as near as LAPACK's, and the same to the last bit whatever the processor."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.core.tuners.learned import least_squares, service_time
from ferryman.core.tuners.learned.service_time import ServiceTimePoint
from hack.manifests import ROOT

SIZES = st.lists(st.integers(1, 4096), min_size=1, max_size=20, unique=True).map(sorted)
#: Prints all bits of parabolas of random points.
FITS = """
import numpy as np
from ferryman.core.tuners.learned.service_time import ServiceTimePoint, fit
rng = np.random.default_rng(7)
for _ in range(300):
    sizes = sorted(rng.choice(np.arange(1, 200), rng.integers(3, 20), replace=False).tolist())
    found = fit({size: ServiceTimePoint(rng.uniform(1, 99), rng.uniform(1, 99)) for size in sizes})
    print(float(found.t0).hex(), float(found.a).hex(), float(found.g).hex())
"""


def terms_of(sizes, seed, count):
    rng = np.random.default_rng(seed)
    scales = rng.uniform(0.01, 10, len(sizes))
    numbers = np.array(sizes, dtype=np.float64)
    return [numbers**power * scales for power in range(count)], scales * rng.uniform(1, 9)


@given(SIZES, st.integers(0, 99), st.integers(1, 3))
def test_no_other_coefficients_are_nearer(sizes, seed, count):
    columns, wanted = terms_of(sizes, seed, count)
    found = least_squares.solve(columns, wanted)
    if len(sizes) < count:
        assert found is None
        return
    matrix = np.stack(columns, axis=1)
    best, *_ = np.linalg.lstsq(matrix, wanted, rcond=None)
    mine, least = (float(((matrix @ each - wanted) ** 2).sum()) for each in (found, best))
    assert mine <= least * (1 + 1e-6) + 1e-9 * float((wanted**2).sum())


def test_columns_that_are_sums_of_others_have_no_answer():
    ones = np.ones(4)
    assert least_squares.solve([ones, 3 * ones], ones) is None
    assert least_squares.solve([ones, 0 * ones], ones) is None


def test_curves_are_the_same_on_every_processor():
    """OpenBLAS is told to take the kernels of other processors, where it obeys."""
    printed = {
        subprocess.run(
            [sys.executable, "-c", FITS],
            env={**os.environ, "PYTHONPATH": str(ROOT / "operator"), "OPENBLAS_CORETYPE": core},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for core in ("Nehalem", "Haswell", "SkylakeX")
    }
    assert len(printed) == 1


def test_of_parabolas_that_meet_two_sizes_alike_the_simplest_is_taken():
    """Whichever last bit the executions leave: 100 ms a request, not 2 s and a square."""
    for executions in range(1, 40):
        points = {32: ServiceTimePoint(1, 3200.0), 64: ServiceTimePoint(executions, 6400.0)}
        assert service_time.fit(points).at(np.array([1.0]))[0] == pytest.approx(100.0)
