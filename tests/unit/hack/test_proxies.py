"""What a kube-proxy's metrics and log say of its rules."""

import pytest

from hack.cluster import proxies

NAME = "kubeproxy_sync_proxy_rules_last"
ASKED_S = 1_700_000_100.0


def metrics(queued_s, done_s, label=""):
    return (
        "# TYPE kubeproxy_sync_proxy_rules_last_timestamp_seconds gauge\n"
        f"{NAME}_queued_timestamp_seconds{label} {queued_s!r}\n"
        f"{NAME}_timestamp_seconds{label} {done_s!r}\n"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(metrics(ASKED_S + 1, ASKED_S + 2), True, id="what was asked for is done"),
        pytest.param(metrics(ASKED_S + 1, ASKED_S + 1), True, id="done in the same moment"),
        pytest.param(metrics(ASKED_S + 1, ASKED_S - 50), False, id="asked for, and not done"),
        pytest.param(metrics(ASKED_S - 9, ASKED_S - 8), False, id="not yet told of it"),
        pytest.param(metrics(1.7000001e09 + 101, 1.70000021e09), True, id="exponents are read"),
        pytest.param("", False, id="no metrics: it does not run yet"),
        pytest.param(
            metrics(ASKED_S + 1, ASKED_S + 2, '{ip_family="IPv4"}')
            + metrics(ASKED_S - 90, ASKED_S - 89, '{ip_family="IPv6"}'),
            True,
            id="the other family was asked for nothing and is up to date",
        ),
        pytest.param(
            metrics(ASKED_S + 1, ASKED_S + 2, '{ip_family="IPv4"}')
            + metrics(ASKED_S + 1, ASKED_S - 89, '{ip_family="IPv6"}'),
            False,
            id="the other family fails",
        ),
    ],
)
def test_rules_are_up_to_date_when_all_that_was_asked_for_is_done(text, expected):
    assert proxies.synced(text, ASKED_S) is expected


FAILED = """\
I1129 20:21:50.1 1 proxier.go:772] "Syncing iptables rules"
E1129 20:21:51.2 1 proxier.go:1515] "Failed to execute iptables-restore" err=<
\texit status 2: Warning: Extension statistic revision 0 not supported
\tiptables-restore v1.8.9 (nf_tables): Couldn't load match `statistic':libm.so.6: no such file
 > ipFamily="IPv4"
I1129 20:21:52.3 1 proxier.go:800] "Sync failed" retryingTime="30s"
"""


@pytest.mark.parametrize(
    ("log", "words"),
    [
        pytest.param(FAILED, "statistic':libm.so.6", id="an error of several lines, on one"),
        pytest.param(FAILED * 2, '"Failed to execute iptables-restore" err=<', id="the last one"),
        pytest.param('I1129 20:21:50.1 1 a.go:1] "fine"\n', "tells no error", id="no error"),
        pytest.param("", "tells no error", id="an empty log"),
    ],
)
def test_a_fault_repeats_what_kube_proxy_said_last(log, words):
    found = proxies.last_error(log)

    assert words in found
    assert "\n" not in found
    assert len(found) <= proxies.WORDS_CHARACTERS
    assert "Sync failed" not in found, "what is no error is not repeated"
