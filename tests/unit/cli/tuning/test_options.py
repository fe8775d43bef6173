import argparse

import pytest

from ferryman.api.batching import Batching, BatchingSpec
from ferryman.cli.tuning import options as tune_options
from ferryman.cli.tuning.options import KEY_ENV, OptionsError

FOUND = Batching(max_batch_size=8, max_queue_delay_microseconds=100, instances=3)


def parse(*arguments):
    parser = argparse.ArgumentParser(exit_on_error=False)
    tune_options.add_arguments(parser)
    return parser.parse_args(["--url=localhost", "--model=m", *arguments])


def spec(*arguments, found=FOUND):
    return tune_options.spec(parse("--p99=50ms", *arguments), found)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        pytest.param("gpu-7:9001", "gpu-7:9001", id="host and port"),
        pytest.param("gpu-7", "gpu-7:8001", id="Triton's own port unless one is given"),
        pytest.param("[::1]:8001", "[::1]:8001", id="an IPv6 address in brackets"),
    ],
)
def test_the_address_is_that_of_grpc(text, address):
    assert tune_options.target(parse(f"--url={text}")).address == address


@pytest.mark.parametrize("text", ["http://gpu-7:8000", "a b", "gpu-7:port", ""])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(argparse.ArgumentError):
        parse(f"--url={text}")


def test_the_metrics_page_is_on_the_same_host_unless_another_is_given():
    assert tune_options.target(parse("--url=[::1]:1")).metrics_url == "http://[::1]:8002/metrics"
    given = tune_options.target(parse("--metrics-url=https://p/m"))
    assert given.metrics_url == "https://p/m"


def test_the_key_comes_from_a_file_or_else_from_the_environment(tmp_path, monkeypatch):
    (tmp_path / "key").write_text("secret\n")
    monkeypatch.setenv(KEY_ENV, "other")

    from_file = parse(f"--control-key-file={tmp_path / 'key'}", "--control-key-name=admin")
    target = tune_options.target(from_file)
    assert (target.control_key, target.key_name) == ("secret", "admin")
    assert tune_options.target(parse()).control_key == "other"
    with pytest.raises(OptionsError, match="none cannot be read: No such file"):
        tune_options.target(parse(f"--control-key-file={tmp_path / 'none'}"))


@pytest.mark.parametrize(
    ("arguments", "latency", "throughput"),
    [
        pytest.param(["--p99=50ms"], (99, 50), None, id="a percentile"),
        pytest.param(["--p50=1.5s"], (50, 1500), None, id="in seconds"),
        pytest.param(["--min-throughput=9"], None, 9, id="throughput alone"),
        pytest.param(["--p95=1m", "--min-throughput=9"], (95, 60_000), 9, id="both"),
    ],
)
def test_objectives_are_read(arguments, latency, throughput):
    found = tune_options.objectives(parse(*arguments))

    said = found.latency and (found.latency.percentile, found.latency.target_milliseconds)
    assert (said, found.throughput and found.throughput.min_per_second) == (latency, throughput)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param([], "state an objective", id="none"),
        pytest.param(["--p99=0.5ms"], "0.5 ms is no whole number of ms", id="part of a ms"),
        pytest.param(["--p99=0ms"], "must be 1 or more", id="no time at all"),
    ],
)
def test_objectives_that_make_no_sense_are_refused(arguments, words):
    with pytest.raises(OptionsError, match=words):
        tune_options.objectives(parse(*arguments))


def test_two_percentiles_are_one_too_many():
    with pytest.raises(argparse.ArgumentError, match="not allowed with"):
        parse("--p99=50ms", "--p95=40ms")


@pytest.mark.parametrize(
    "text", ["50", "50 ms", "ms", "-1ms", "1e3ms", "\u0663ms", f"{'9' * 400}s"]
)
def test_a_duration_needs_a_number_and_a_unit(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no duration"):
        tune_options.duration_s(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("200us", 2e-4), ("200µs", 2e-4), ("50ms", 0.05), ("1.5s", 1.5), ("10m", 600), ("1h", 3600)],
)
def test_durations_are_read(text, seconds):
    assert tune_options.duration_s(text) == pytest.approx(seconds)


def test_unless_stated_the_limits_leave_room_for_what_is_in_force_and_instances_stay():
    limits = spec(found=Batching(max_batch_size=128, instances=3)).limits

    assert (limits.max_batch_size.min, limits.max_batch_size.max) == (1, 128)
    assert (limits.instances.min, limits.instances.max) == (3, 3)
    assert limits.max_queue_delay_microseconds.max == 20_000
    assert spec().limits.max_batch_size == BatchingSpec().limits.max_batch_size


def test_limits_can_be_stated_as_a_most_or_as_a_range():
    limits = spec("--max-batch=4..32", "--max-delay=5ms", "--instances=2").limits

    assert (limits.max_batch_size.min, limits.max_batch_size.max) == (4, 32)
    delay = limits.max_queue_delay_microseconds
    assert (delay.min, delay.max) == (0, 5_000)
    assert (limits.instances.min, limits.instances.max) == (1, 2)


@pytest.mark.parametrize("text", ["8..4", "a", "1..b", ".."])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(argparse.ArgumentError, match="--max-batch"):
        parse(f"--max-batch={text}")


def test_the_pace_can_be_stated():
    found = spec(
        "--window=2s..4s",
        "--window-requests=50",
        "--reload-interval=2m",
        "--max-reloads-per-hour=9",
    )

    window, guardrails = found.window, found.guardrails
    assert (window.min_seconds, window.max_seconds, window.max_requests) == (2, 4, 50)
    assert (guardrails.min_seconds_between_reloads, guardrails.max_reloads_per_hour) == (120, 9)


def test_a_short_window_shortens_its_least_length_too():
    window = spec("--window=3s").window

    assert (window.min_seconds, window.max_seconds) == (3, 3)


def test_unless_stated_the_pace_is_the_operators():
    assert (spec().window, spec().guardrails) == (BatchingSpec().window, BatchingSpec().guardrails)


def test_the_rest_is_passed_on():
    found = spec("--recommend", "--algorithm=Trend", "--on-overload=Reject")

    assert (found.mode, found.algorithm, found.on_overload) == ("Recommend", "Trend", "Reject")
    assert spec().algorithm == BatchingSpec().algorithm


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(
            ["--max-batch=70000"], r"limits.*max_batch_size.*65536", id="too large a batch"
        ),
        pytest.param(["--window=1500ms"], "1.5 s is no whole number of s", id="half a second"),
    ],
)
def test_figures_beyond_the_api_are_refused_by_name(arguments, words):
    with pytest.raises(OptionsError, match=words):
        spec(*arguments)


# What the owner stated

STATED = {
    "model_warmup": [{"batch_size": 8}],
    "dynamic_batching": {"preferred_batch_size": [4, 12]},
}


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        pytest.param("--max-batch=4", "warmed up with batches of 8", id="below the warm-up"),
        pytest.param("--max-batch=2..7", "allow at least 8", id="as a range"),
        pytest.param("--max-batch=10", "preferred_batch_size 12", id="below a preferred size"),
    ],
)
def test_a_bound_under_which_the_owners_words_cannot_stay_is_refused(argument, words):
    with pytest.raises(OptionsError, match=words):
        tune_options.spec(parse("--p99=50ms", argument), FOUND, STATED)


@pytest.mark.parametrize(
    ("arguments", "least"),
    [
        pytest.param([], 8, id="nothing is said of the bound"),
        pytest.param(["--max-batch=16"], 8, id="the most is"),
        pytest.param(["--max-batch=2..16"], 8, id="the least is below it"),
        pytest.param(["--max-batch=12..16"], 12, id="the least is above it"),
    ],
)
def test_the_warm_up_is_the_least_bound(arguments, least):
    found = tune_options.spec(parse("--p99=50ms", *arguments), FOUND, STATED)

    assert found.limits.max_batch_size.min == least


def test_tuning_begins_with_the_service_times_that_are_given(tmp_path):
    (tmp_path / "profile.yaml").write_text(
        "curves: [{points: [{batchSize: 4, milliseconds: 5}]}]\n"
    )
    option = f"--profile={tmp_path / 'profile.yaml'}"
    assert tune_options.known(parse(option)).learned.service.sizes == {4}
    assert tune_options.known(parse()).learned.service.sizes == set()
    with pytest.raises(OptionsError, match="Trend knows no service times"):
        tune_options.known(parse(option, "--algorithm=Trend"))


def test_or_with_those_of_model_analyzer(tmp_path):
    (tmp_path / "m.csv").write_text(
        "Model,Batch,Concurrency,Instance Group,Max Batch Size,Throughput (infer/sec)\n"
        "m,1,16,1/GPU,8,800\n"
    )
    option = f"--import-model-analyzer={tmp_path / 'm.csv'}"
    assert tune_options.known(parse(option)).learned.service.sizes == {8}
