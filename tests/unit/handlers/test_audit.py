import asyncio

from ferryman.clients.kubernetes_errors import TemporaryError
from ferryman.handlers.audit import CONFIRM_AFTER_S, PERIOD_S, wait_for_ghosts
from tests import factories
from tests.fakes import FakeKubernetes, node_object, run_virtually, seconds, wire


def compare(script, for_s=PERIOD_S * 3):
    """Compare while a script changes the cluster; return (second, ghosts), or None for none."""

    async def main():
        api = FakeKubernetes()
        api.put("nodes", node_object())
        api.put("models", wire(factories.model()))
        script(api)
        try:
            async with asyncio.timeout(for_s):
                return await wait_for_ghosts(api, api.indices), seconds()
        except TimeoutError:
            return None

    return run_virtually(main())


def vanish(api):
    """Delete the Node without telling the watches."""
    del api.objects["nodes", "", "node-1"]


def test_a_deletion_that_no_watch_told_of_is_found():
    assert compare(vanish) == ({("nodes", "uid-node-1")}, PERIOD_S + CONFIRM_AFTER_S)


def test_where_indices_and_cluster_agree_there_are_no_ghosts():
    assert compare(lambda _api: None) is None


def test_a_deletion_that_is_on_its_way_is_no_ghost():
    def script(api):
        asyncio.get_running_loop().call_later(PERIOD_S - 1, vanish, api)
        asyncio.get_running_loop().call_later(PERIOD_S + 1, api.indices["nodes"].clear)

    assert compare(script) is None


def test_while_the_api_server_is_gone_nothing_is_concluded():
    def script(api):
        vanish(api)
        api.fail_next = [TemporaryError("down")]

    assert compare(script)[1] == 2 * PERIOD_S + CONFIRM_AFTER_S
