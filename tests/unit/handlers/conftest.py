import pytest

from tests.fakes import run_virtually
from tests.unit.handlers.cluster import Cluster


@pytest.fixture
def cluster():
    return Cluster()


@pytest.fixture
def play(cluster):
    """Run a script in a session on virtual time; the session is ended after it."""

    def run(script):
        async def main():
            await cluster.begin()
            try:
                return await script(cluster)
            finally:
                await cluster.end()

        return run_virtually(main())

    return run
