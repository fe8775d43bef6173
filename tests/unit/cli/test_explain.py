import json
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.conditions import Condition, Reason
from ferryman.api.inference_model import PlacementSpec
from ferryman.api.inference_model_status import (
    BatchingChange,
    BatchingStatus,
    InferenceModelStatus,
    ObservedStatus,
    PlacementStatus,
    WarmStartStatus,
)
from ferryman.api.scaling import ScalingSpec, ScalingStatus
from ferryman.cli import main
from ferryman.cli.explaining import explain_view
from ferryman.cli.explaining.explain import explain
from tests.factories import NOW, at, model, node, objectives, processor, snapshot

EXAMPLE = Path("tests/data/snapshot.yaml")


def small(name="small-1", utilisation=0.1, **fields):
    return node(name, "small", processors=[processor("cpu", utilisation)], **fields)


def seen(explanation):
    """Return what is printed."""
    console = Console(width=240, no_color=True)
    with console.capture() as capture:
        explain_view.show(explanation, console)
    return capture.get()


def line(text, *words):
    """Return the only line that has all the words."""
    [found] = [each for each in text.splitlines() if all(word in each for word in words)]
    return " ".join(found.replace("│", " ").replace("┃", " ").split())


def test_the_example_of_the_documentation_is_decided_as_it_says(capsys):
    assert main.main(["explain", "--snapshot", str(EXAMPLE)]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert line(shown.out, "Placed on") == "Placed on gpu-a (gpu, Example GPU)"
    assert line(shown.out, "→", "gpu-a").startswith(
        "→ gpu-a gpu gpu-1 0.05 0.55 0.60 1.20 LeastWorkload the least of 2, next is cpu-8c"
    )
    assert line(shown.out, "MoreWorkload").startswith("cpu-8c cpu cpu-1 1.00 0.20 0.10 1.30")
    assert line(shown.out, "TaintNotTolerated").startswith(
        "gpu-b gpu gpu-2 - - - - TaintNotTolerated gpu-2 is tainted dedicated=training:NoSchedule"
    )
    assert "no agent has reported from edge-1" in line(shown.out, "NoNodeProfile")
    assert line(shown.out, "Objectives") == "Objectives p99 at most 50 ms"


def test_every_node_type_of_a_model_that_is_spread_is_named():
    apart = PlacementSpec(spread="NodeTypes")
    nodes = [small(), node("other-1", "other", processors=[processor("cpu", 0.5)])]
    shown = seen(explain(snapshot(model=model(placement=apart), nodes=nodes), NOW))
    assert line(shown, "Placed on").startswith("Placed on small (cpu")
    assert line(shown, "Placed on").endswith("), and other")


def test_a_term_that_nobody_could_read_is_shown_as_unknown(tmp_path, capsys):
    text = EXAMPLE.read_text(encoding="utf-8").replace("memoryUtilisation: 0.55", "driver: x")
    assert "driver: x" in text
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    assert main.main(["explain", "--snapshot", str(tmp_path / "s.yaml")]) == 0
    shown = capsys.readouterr().out
    assert line(shown, "→", "gpu-a").startswith("→ gpu-a gpu gpu-1 0.05 unknown 0.60 0.65")
    assert "without memory, unknown for a whole class" in line(shown, "Why")
    assert line(shown, "TaintNotTolerated").startswith("gpu-b gpu gpu-2 - - - - ")


def test_a_busier_gpu_loses_as_the_documentation_says(tmp_path, capsys):
    text = EXAMPLE.read_text(encoding="utf-8").replace("utilisation: 0.60", "utilisation: 0.75")
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    args = ["explain", "--snapshot", str(tmp_path / "s.yaml"), "--output", "json"]
    assert main.main(args) == 0
    assert json.loads(capsys.readouterr().out)["placement"]["nodeType"] == "cpu-8c"


def test_json_has_the_decision_and_every_candidate(capsys):
    assert main.main(["explain", "--snapshot", str(EXAMPLE), "-o", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["namespace"], answer["name"]) == ("vision", "resnet50")
    assert answer["placement"]["nodeType"] == "gpu-a"
    assert answer["placement"]["since"] == "2026-11-21T13:00:00Z"
    assert [(c["nodeType"], c.get("workload")) for c in answer["candidates"]] == [
        ("gpu-a", 1.2),
        ("cpu-8c", 1.3),
        ("gpu-b", None),
        ("unknown", None),
    ]
    assert answer["objectives"] == {"latency": {"percentile": 99, "targetMilliseconds": 50}}
    assert (answer["observed"], answer["conditions"]) == (None, [])


def test_a_snapshot_that_is_saved_again_is_the_same(tmp_path, capsys):
    copies = [tmp_path / "one.yaml", tmp_path / "two.yaml"]
    for source, copy in zip([EXAMPLE, copies[0]], copies, strict=True):
        args = ["explain", "--snapshot", str(source), "--save-snapshot", str(copy)]
        assert main.main(args) == 0
    assert yaml.safe_load(copies[0].read_text()) == yaml.safe_load(copies[1].read_text())
    assert yaml.safe_load(copies[0].read_text())["takenAt"] == "2026-11-21T13:00:00Z"
    assert "gpu-a" in capsys.readouterr().out


def test_a_malformed_file_is_an_error_on_stderr(tmp_path, capsys):
    path = tmp_path / "s.yaml"
    path.write_text("model: 5\n", encoding="utf-8")
    assert main.main(["explain", "--snapshot", str(path)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"ferryman explain: {path}: model: must be fields with values")


def test_a_misspelt_field_is_a_warning(tmp_path, capsys):
    path = tmp_path / "s.yaml"
    path.write_text(EXAMPLE.read_text(encoding="utf-8") + "wether: fine\n", encoding="utf-8")
    assert main.main(["explain", "--snapshot", str(path)]) == 0
    assert capsys.readouterr().err == f"ferryman explain: {path}: wether is unknown\n"


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="neither a model nor a file"),
        pytest.param(["resnet50", "--snapshot", "f.yaml"], id="both"),
    ],
)
def test_a_model_or_a_file_must_be_named(arguments, capsys):
    assert main.main(["explain", *arguments]) == 2
    assert "name either a MODEL or a --snapshot FILE" in capsys.readouterr().err


def test_without_a_cluster_the_error_says_what_to_do(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none")
    )
    assert main.main(["explain", "resnet50"]) == 1
    assert "or decide offline with --snapshot" in capsys.readouterr().err


def placed(node_type="small"):
    placement = PlacementStatus(
        node_type=node_type,
        processor="cpu",
        since=at(-60),
        reason=Reason.LEAST_WORKLOAD,
        message="then",
    )
    return model(status=InferenceModelStatus(placement=placement))


def test_a_kept_placement_shows_what_a_fresh_decision_would_choose():
    nodes = [small(utilisation=0.9), node("n", "idle", processors=[processor("cpu", 0.0)])]
    shown = seen(explain(snapshot(model=placed(), nodes=nodes), NOW))
    assert line(shown, "Why", "then") == "Why LeastWorkload: then"
    assert line(shown, "Since") == f"Since {at(-60)}; a placement is kept"
    assert line(shown, "Today") == "Today a fresh decision would choose idle (cpu)"
    decided, today = shown.split("Candidates as of now")
    assert line(decided, "→").startswith("→ small cpu small-1")
    assert "the placement on small is kept" in line(decided, "Feasible")
    assert line(today, "LeastWorkload").startswith("idle cpu n")
    assert line(today, "→", "MoreWorkload").startswith("→ small cpu small-1")


def test_no_fresh_choice_is_shown_where_the_model_is_best_placed():
    assert "Today" not in seen(explain(snapshot(model=placed(), nodes=[small()]), NOW))


def test_a_model_without_a_place_is_placed_on_nothing():
    shown = seen(explain(snapshot(nodes=[small(ready=False)]), NOW))
    assert line(shown, "Placed on") == "Placed on nothing"
    assert "NoCandidate: no node type can serve the model" in shown
    assert "Today" not in shown


def test_without_nodes_there_is_no_table():
    assert "Candidates" not in seen(explain(snapshot(nodes=[]), NOW))


def test_a_model_without_its_runtime_says_so():
    shown = seen(explain(snapshot(has_runtime=False), NOW))
    assert "there is no InferenceRuntime triton: create it" in shown


def batching(size):
    return Batching(max_batch_size=size, max_queue_delay_microseconds=500, instances=2)


def change(size, **fields):
    values = {
        "time": at(-60),
        "before": batching(size),
        "after": batching(size + 2),
        "actuator": "Reload",
        "reason": Reason.TREND_INCREASE,
        "message": f"from {size}",
        "outcome": "Applied",
        **fields,
    }
    return BatchingChange(**values)


def test_batching_objectives_and_conditions_are_shown():
    status = InferenceModelStatus(
        batching=BatchingStatus(
            applied=batching(16),
            recommended=batching(18),
            reason=Reason.RECOMMENDED,
            message="try it",
            changes=tuple(change(size) for size in (14, 12, 10, 8)),
        ),
        observed=ObservedStatus(
            latency_milliseconds=41.5,
            latency_estimated=True,
            inferences_per_second=210.0,
            mean_batch_size=7.5,
            failed_requests=3,
            rejected_requests=0,
        ),
        conditions=(
            Condition(
                type="Ready",
                status="True",
                reason="Serving",
                message="1 of 1 replicas [serve]",
                last_transition_time=at(-60),
            ),
        ),
    )
    asked = model(status=status, objectives=objectives(50, 200))
    shown = seen(explain(snapshot(model=asked), NOW))
    assert line(shown, "Objectives") == "Objectives p99 at most 50 ms; at least 200 inferences/s"
    assert line(shown, "Observed") == (
        "Observed latency 41.5 ms (estimated), 210 inferences/s, mean batch 7.5, 3 failed requests"
    )
    assert line(shown, "Batching") == "Batching max_batch_size 16, queue delay 500 µs, instances 2"
    assert line(shown, "Recommended", "max_batch_size").startswith("Recommended max_batch_size 18")
    assert line(shown, "try it") == "Why Recommended: try it"
    assert line(shown, "from 14") == (
        f"{at(-60)} 14 / 500 µs / 2 16 / 500 µs / 2 Reload Applied TrendIncrease from 14"
    )
    assert "from 10" in shown
    assert "from 8" not in shown
    assert line(shown, "Serving") == "Ready True Serving 1 of 1 replicas [serve]"


def test_a_model_that_was_never_observed_has_nothing_to_show():
    shown = seen(explain(snapshot(), NOW))
    assert line(shown, "Observed") == "Observed nothing yet"
    assert line(shown, "Batching") == "Batching not decided yet"
    assert "Last changes" not in shown
    assert "Conditions" not in shown


def test_an_idle_model_has_no_latency():
    asked = model(status=InferenceModelStatus(observed=ObservedStatus(rejected_requests=0)))
    shown = seen(explain(snapshot(model=asked), NOW))
    assert line(shown, "Observed").startswith("Observed latency -, 0 inferences/s, mean batch -")


def test_failures_that_may_be_rejections_are_called_so():
    asked = model(status=InferenceModelStatus(observed=ObservedStatus(failed_requests=3)))
    shown = seen(explain(snapshot(model=asked), NOW))
    assert line(shown, "Observed").endswith("3 failed requests, or rejected ones")


def test_what_is_seldom_set_is_shown_where_it_is():
    late = Batching(max_batch_size=8, default_timeout_microseconds=9, max_queue_size=5)
    turned = change(8).with_(after=late)
    status = InferenceModelStatus(
        batching=BatchingStatus(applied=late, changes=(turned,)),
        observed=ObservedStatus(rejected_requests=7),
    )
    shown = seen(explain(snapshot(model=model(status=status)), NOW))
    assert line(shown, "Batching").endswith("instances 1, rejected after 9 µs, queue of 5")
    assert line(shown, "Observed").endswith("0 failed requests, 7 rejected")
    assert "8 / 0 µs / 1, rejected after 9 µs, queue of 5 Reload" in line(shown, str(turned.time))


def test_why_there_are_not_more_replicas_and_not_fewer_is_shown():
    scaling = ScalingStatus(replicas=3, reason="AsNeeded", message="fewer would be too few")
    spec = ScalingSpec(min_replicas=2, max_replicas=6)
    explained = explain_view.Explanation(model(scaling=spec), None, (), scaling)
    shown = seen(explained)
    assert line(shown, "Replicas") == "Replicas 3, of 2 to 6"
    assert "AsNeeded: fewer would be too few" in shown
    assert explain_view.as_json(explained)["scaling"]["replicas"] == 3


def test_what_came_of_measuring_before_traffic_is_told():
    found = WarmStartStatus(
        subject="s", outcome="NotMeasured", time=at(), reason=Reason.CLIENTS_ASK, message="they do"
    )
    status = InferenceModelStatus(batching=BatchingStatus(warm_start=found))
    asked = BatchingSpec(warm_start="Benchmark")
    explanation = explain(
        snapshot(model=model(status=status, batching=asked), nodes=(small(),)), NOW
    )
    assert line(seen(explanation), "Warm start") == (
        f"Warm start NotMeasured (ClientsAsk) at {at()}: they do"
    )
