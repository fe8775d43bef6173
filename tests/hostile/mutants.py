"""Every hostile test fails once its defence is taken out: `make test-hostile-mutants`.

Each mutant is a copy of the repository without one defence, in which the test of it is run. What
comes of it is added to build/hostile-mutants.md. That the tests pass with their defences, they show
themselves; what the admission policies keep out, RBAC alone lets pass
(test_policy_admission.py::test_without_the_policies_rbac_would_let_it).
"""

from datetime import UTC, datetime

import pytest

from tests.hostile.mutation import TIMEOUT_S, Mutant, apply, copied, failure
from tests.integration.operator_process import ROOT

pytestmark = [pytest.mark.integration, pytest.mark.timeout(TIMEOUT_S + 60)]

FOUND = ROOT / "build" / "hostile-mutants.md"
HERE = "tests/hostile"
BOUNDED = "operator/ferryman/clients/bounded/objects.py"
POLICIES = "manifests/base/ferryman.yaml"

MUTANTS = {
    "what watches send is parsed as it comes": Mutant(
        "operator/ferryman/handlers/running/connection.py",
        (("        response_class=response_class(guard),\n", ""),),
        f"{HERE}/test_objects.py::test_an_object_that_is_too_deep_is_skipped_and_named"
        "[while it runs-1200 levels]",
    ),
    "objects are read whatever their size": Mutant(
        BOUNDED,
        (
            (
                "size_bytes=128 * 1024, depth=64, values=8_192",
                "size_bytes=2**24, depth=64, values=2**24",
            ),
            ("NAMESPACE_BYTES: Final = 16 * 2**20", "NAMESPACE_BYTES: Final = 2**40"),
            ("ALL_BYTES: Final = 96 * 2**20", "ALL_BYTES: Final = 2**40"),
        ),
        f"{HERE}/test_objects.py::test_fifty_objects_of_1_4_mb_stay_below_the_memory_limit",
    ),
    "a namespace may fill the memory with what is just small enough": Mutant(
        BOUNDED,
        (
            ("NAMESPACE_BYTES: Final = 16 * 2**20", "NAMESPACE_BYTES: Final = 2**40"),
            ("ALL_BYTES: Final = 96 * 2**20", "ALL_BYTES: Final = 2**40"),
        ),
        f"{HERE}/test_objects.py::"
        "test_hundreds_of_objects_just_within_the_bounds_stay_below_the_memory_limit",
    ),
    "a worker waits for a load as long as it takes": Mutant(
        "operator/ferryman/handlers/session.py",
        (
            ("work_queue import WorkQueue\n", "work_queue import WorkQueue, nobody_waits\n"),
            ("            aside=queue.aside,\n", "            aside=nobody_waits,\n"),
            ("            share=WORKERS // 2,\n", ""),
        ),
        f"{HERE}/test_pods.py::test_loads_that_never_return_keep_nobody_waiting",
    ),
    "pods are asked in the order in which they came": Mutant(
        "operator/ferryman/handlers/servers.py",
        (
            (
                "FairLimit(MAX_QUESTIONS, NAMESPACE_QUESTIONS)",
                "FairLimit(MAX_QUESTIONS, MAX_QUESTIONS)",
            ),
            ("self._questions.place(connection.key.namespace)", 'self._questions.place("all")'),
        ),
        f"{HERE}/test_pods.py::test_hundreds_of_silent_pods_do_not_delay_another_tenants_look",
    ),
    "a pod is whose label it has": Mutant(
        "operator/ferryman/handlers/tenants/owners.py",
        (
            (
                '        return found == deployment["metadata"].get("uid") and bool(found)\n',
                "        return True\n",
            ),
        ),
        f"{HERE}/test_pods.py::test_a_pod_that_only_has_our_label_is_not_asked_for_anything",
    ),
    "what was placed is reserved until pods show it": Mutant(
        "operator/ferryman/handlers/reservations.py",
        (
            (
                "exist is not None and not exist.fails and now_s - placed.grew_at_s < GRACE_S:",
                "exist is not None:",
            ),
        ),
        f"{HERE}/test_reservations.py::test_a_quota_of_no_pods_reserves_nothing",
    ),
    "a Secret is written whoever's it is": Mutant(
        "operator/ferryman/clients/kubernetes.py",
        (
            (
                '                for field in ("apiVersion", "kind", "name")\n',
                "                for field in ()\n",
            ),
            (
                '{"op": "replace", "path": there, "value": owners}',
                '{"op": "add", "path": there, "value": owners}',
            ),
        ),
        f"{HERE}/test_policy_foreign_objects.py::"
        "test_a_foreign_secret_is_neither_overwritten_nor_owned[with entries of its own]",
    ),
    "HTTP takes the key that gRPC takes": Mutant(
        "operator/ferryman/core/render/pod.py",
        (('"--http-restricted-api=$lock=$nobodys"', '"--http-restricted-api=$lock=$key"'),),
        f"{HERE}/test_policy_control_key.py::test_over_http_the_key_opens_nothing[the repository]",
    ),
    "a volume's folders are linked as they are": Mutant(
        "operator/ferryman/core/render/no_code.py",
        (('  if [ -L "$1" ]; then\n', "  if false; then\n"),),
        f"{HERE}/test_policy_code.py::test_a_library_that_comes_after_the_layout_is_not_loaded",
    ),
    "a volume is not searched for programs": Mutant(
        "operator/ferryman/core/render/no_code.py",
        (('      {" | ".join(code.PROGRAMS)})\n', "      nothing)\n"),),
        f"{HERE}/test_policy_code.py::test_a_library_in_the_volume_is_refused",
    ),
    "an agent's token is not asked for its node": Mutant(
        POLICIES,
        (("variables.nodes.exists(n, n == object.metadata.name)", "'true'"),),
        f"{HERE}/test_policy_admission.py::test_an_agents_token_does_not_reach"
        "[another node's profile]",
    ),
    "the operator's token is not asked for the owner": Mutant(
        POLICIES,
        (
            (
                "request.operation == ''CREATE'' : size(variables.owners) > 0",
                "true : true",
            ),
        ),
        f"{HERE}/test_policy_admission.py::test_the_operators_token_does_not_reach"
        "[a Deployment under another name]",
    ),
    "an operator for some namespaces has rights in all": Mutant(
        "charts/ferryman/templates/rbac.yaml",
        (("  {{- if not .Values.namespaces }}\n", "  {{- if true }}\n"),),
        f"{HERE}/test_policy_namespaces.py::"
        "test_there_are_rights_in_the_named_namespaces_alone[pods]",
    ),
    "a report may be of the future": Mutant(
        "operator/ferryman/core/placement/filters.py",
        (("return -AHEAD_AT_MOST <= now - ", "return now - "),),
        "tests/unit/core/placement/test_filters.py::test_is_fresh"
        "[further ahead than clocks differ]",
    ),
    "redirects of metrics pages are followed": Mutant(
        "operator/ferryman/clients/triton_metrics.py",
        (("allow_redirects=False", "allow_redirects=True"),),
        "tests/unit/clients/test_triton_metrics.py::test_a_redirect_is_not_followed",
    ),
    "a runtime with published vulnerabilities is on": Mutant(
        "charts/ferryman/values.yaml",
        (("  triton-cpu:\n    enabled: false\n", "  triton-cpu:\n    enabled: true\n"),),
        f"{HERE}/test_runtimes.py::test_no_runtime_with_published_vulnerabilities_is_on_by_default",
    ),
    "a session that failed is not followed by another": Mutant(
        "operator/ferryman/handlers/app.py",
        (
            (
                "                await self._wait(pause_s)\n\n    async def _hold",
                "                await self.stop.wait()\n\n    async def _hold",
            ),
        ),
        f"{HERE}/test_sessions.py::test_after_a_session_that_failed_the_next_one_works",
    ),
}


@pytest.mark.parametrize("fault", MUTANTS)
def test_a_defence_that_is_missing_is_noticed(fault, tmp_path):
    mutant, copy = MUTANTS[fault], copied(tmp_path)
    apply(mutant, copy)
    why = failure(mutant, copy)
    FOUND.parent.mkdir(exist_ok=True)
    with FOUND.open("a") as found:
        moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
        test = mutant.test.rpartition("/")[2]
        found.write(f"| {moment} | {fault} | `{test}` | {why or '**passes**'} |\n")
    assert why, "the test does not notice it"
