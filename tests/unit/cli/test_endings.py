"""How every command ends where something goes wrong around it: in one sentence, by one table.

The columns are what goes wrong, the rows are commands: a closed pipe, a full disk, Ctrl-C, no
cluster, a server that is down, a wrong file. How they look on a narrow terminal is in
``test_widths.py``.
"""

import io
import os
import re
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import pytest

from ferryman.cli import errors, main
from ferryman.cli.main import COMMANDS
from tests.unit.cli import commands
from tests.unit.cli.commands import FLEET, NOWHERE, SCENARIO, SNAPSHOT, interrupt, spawn

PRINTING = tuple(commands.printing(""))
#: Words of the libraries that read files: none of them reaches a person.
LIBRARY_WORDS = re.compile(
    r"Input should|Field required|Extra inputs|pydantic|valid dictionary|instance of|Errno|"
    r"Traceback|Error:|Exception|<class|object at 0x"
)


@pytest.fixture(scope="module")
def served():
    with commands.triton() as url:
        yield url


@pytest.fixture(autouse=True)
def _signals():
    """Take Ctrl-C back from the system, to which a command that it ended leaves the next."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def ferryman(served, monkeypatch):
    """Return a function that runs a command that prints, or other arguments, in this process."""
    commands.stand_in(monkeypatch)

    def run(*arguments):
        name = arguments[0] if len(arguments) == 1 else ""
        given = commands.printing(served).get(name, [str(each) for each in arguments])
        return main.main(given)

    return run


@pytest.fixture
def said(capsys):
    """Return a function that gives the one sentence that was said."""

    def sentence():
        shown = capsys.readouterr().err
        lines = [line for line in shown.splitlines() if "about 0 s left" not in line]
        assert lines, "something is said"
        assert all(re.match(r"ferryman [a-z]+: \S", line) for line in lines), shown
        assert not LIBRARY_WORDS.search(shown), shown
        return "\n".join(lines)

    return sentence


def replace_stdout(monkeypatch, stream):
    monkeypatch.setattr(sys, "stdout", stream)


# A full disk and a closed pipe


@pytest.mark.parametrize("command", PRINTING)
def test_every_command_says_that_the_disk_is_full(monkeypatch, command, served, said):
    commands.stand_in(monkeypatch)
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123  a device
        replace_stdout(monkeypatch, full)
        assert main.main(commands.printing(served)[command]) == errors.NOT_WRITTEN
    assert said().endswith("standard output cannot be written: No space left on device")


@pytest.mark.parametrize("command", PRINTING)
def test_every_command_ends_without_a_word_when_nobody_reads(monkeypatch, command, served, capsys):
    commands.stand_in(monkeypatch)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as pipe:
        replace_stdout(monkeypatch, pipe)
        assert main.main(commands.printing(served)[command]) == errors.READER_GONE
    assert "standard output" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("redirection", "status", "words"),
    [
        pytest.param(">/dev/full", 5, "No space left on device", id="a full disk"),
        pytest.param(">&-", 5, "Bad file descriptor", id="a closed output"),
        pytest.param("| true", 141, "", id="a pipe that nobody reads"),
        pytest.param(">/dev/full 2>&1", 5, "", id="nowhere to say it"),
        pytest.param("2>&-", 0, "", id="closed messages do not matter"),
    ],
)
@pytest.mark.parametrize("arguments", ["--help", f"nodes --snapshot {SNAPSHOT} -o json"])
def test_a_process_ends_the_same_to_its_last_flush(arguments, redirection, status, words):
    line = f"{sys.executable} -m ferryman.cli.main {arguments} {redirection}"
    ended = _bash(f"set -o pipefail; {line}")
    if redirection != "| true":
        assert ended.returncode == status
    else:
        # The reader may be slow to go, and what is printed fit into the pipe.
        assert ended.returncode in {status, 0}
    assert words in ended.stderr
    assert not LIBRARY_WORDS.search(ended.stderr), ended.stderr


def _bash(line):
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False
    )


# Ctrl-C


@pytest.mark.parametrize("command", ["explain", "nodes", "benchmark", "load", "tune", "agent"])
def test_ctrl_c_while_a_server_is_silent_is_one_sentence(command, tmp_path):
    with commands.silence() as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        arguments = {
            "explain": ["explain", "m"],
            "nodes": ["nodes"],
            "benchmark": ["benchmark", "n"],
            "load": [*("load", "--url", f"http://{address}", "--model", "m"),
                     *("--rate", 1, "--duration", 1)],
            "tune": ["tune", "--url", address, "--model", "m", "--p99", "50ms"],
            "agent": [*("agent", "benchmark", "--url", address, "--model", "m"),
                      *("--result", tmp_path / "result")],
        }  # fmt: skip
        config = commands.kubeconfig(tmp_path / "config", address)
        process = spawn(*arguments[command], KUBECONFIG=str(config))
        connection, _ = listening.accept()
        with connection:
            status, told = interrupt(process)
    assert (status, told.count("\n")) == (errors.INTERRUPTED, 1), told
    assert told.startswith(f"ferryman {command}: interrupted")


@pytest.mark.parametrize(
    "arguments",
    [
        ["explain", "--snapshot"],
        ["nodes", "--snapshot"],
        ["place", "--snapshot"],
        ["simulate", "--scenario"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_ctrl_c_while_a_file_is_read_is_one_sentence(arguments, tmp_path):
    os.mkfifo(tmp_path / "file")
    process = spawn(*arguments, tmp_path / "file")
    # Opening waits for the command to open it, too.
    with (tmp_path / "file").open("w"):
        # From here it is a moment until it waits for what the file says.
        time.sleep(0.3)
        status, told = interrupt(process)
    assert (status, told) == (errors.INTERRUPTED, f"ferryman {arguments[0]}: interrupted\n")


def test_ctrl_c_in_the_middle_of_a_simulation_is_one_sentence(tmp_path):
    long = SCENARIO.read_text(encoding="utf-8").replace("windows: 15", "windows: 150")
    (tmp_path / "s.yaml").write_text(long)
    process = spawn("simulate", "--scenario", tmp_path / "s.yaml", "--oracle", "all")
    assert "static configurations" in process.stderr.readline()
    status, told = interrupt(process)
    assert (status, told.splitlines()[-1]) == (
        errors.INTERRUPTED,
        "ferryman simulate: interrupted",
    )


def test_ctrl_c_ends_a_load_and_shows_what_was_measured(served):
    load = ["--url", served, "--model", "m", "--rate", "20", "--duration", "600"]
    process = spawn("load", *load)
    assert '"sent":' in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    shown, told = process.communicate(timeout=60)
    assert process.returncode == errors.INTERRUPTED
    assert '"summary": true' in shown
    assert told == "ferryman load: interrupted: the figures are of what was sent until then\n"


def test_ctrl_c_while_a_measurement_is_followed_says_that_it_goes_on(ferryman, monkeypatch, said):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("ferryman.cli.benchmarking.benchmark.follow", interrupted)
    assert ferryman("benchmark") == errors.INTERRUPTED
    assert "the measurement goes on" in said()


def test_ctrl_c_ends_a_look_at_this_machine(ferryman, monkeypatch, said):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("ferryman.agent.run.discover", interrupted)
    assert ferryman("agent discover") == errors.INTERRUPTED
    assert said() == "ferryman agent: interrupted"


@pytest.mark.parametrize("arguments", [["operator", "--port", 0], ["agent", "run", "--node", "n"]])
def test_what_runs_until_told_goes_on_without_a_server_and_ends_well(arguments, tmp_path):
    config = commands.kubeconfig(tmp_path / "config", NOWHERE)
    process = spawn(*arguments, "--kubeconfig", config)
    while "server" not in (line := process.stderr.readline()):
        assert line, "it runs until it is told to end"
    status, told = interrupt(process)
    assert status == 0
    assert "Traceback" not in told


# No cluster, and no server

ONLINE = [["explain", "m"], ["nodes"], ["benchmark", "n"]]


@pytest.mark.parametrize("arguments", ONLINE, ids=lambda arguments: arguments[0])
def test_without_a_cluster_it_is_said_what_to_set(arguments, monkeypatch, tmp_path, said):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    where = "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"
    monkeypatch.setattr(where, str(tmp_path / "none"))
    assert main.main(arguments) == errors.FAILED
    assert "set KUBECONFIG or --context" in said()


@pytest.mark.parametrize("arguments", ONLINE, ids=lambda arguments: arguments[0])
def test_an_api_server_that_is_down_is_said(arguments, monkeypatch, tmp_path, capsys):
    config = commands.kubeconfig(tmp_path / "config", NOWHERE)
    where = "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"
    monkeypatch.setattr(where, str(config))
    assert main.main(arguments) == errors.FAILED
    [line] = capsys.readouterr().err.splitlines()
    assert "the API server does not answer" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(
            ["load", "--url", f"http://{NOWHERE}", "--rate", "1", "--duration", "1"],
            "does not answer",
            id="load",
        ),
        pytest.param(["tune", "--url", NOWHERE, "--p99", "5ms"], "no Triton answers", id="tune"),
    ],
)
def test_a_triton_that_is_down_is_said(arguments, words, capsys):
    assert main.main([*arguments, "--model", "m"]) == errors.FAILED
    [line] = capsys.readouterr().err.splitlines()
    assert words in line


@pytest.mark.parametrize("arguments", [["operator"], ["agent", "run", "--node", "n"]])
def test_what_runs_in_a_pod_ends_without_credentials(arguments):
    process = spawn(*arguments)
    _, told = process.communicate(timeout=60)
    assert process.returncode == errors.FAILED
    assert "no credentials" in told
    assert "Traceback" not in told


# A wrong file

READING = {
    "explain --snapshot": ["explain", "--snapshot"],
    "nodes --snapshot": ["nodes", "--snapshot"],
    "place --snapshot": ["place", "--snapshot"],
    "simulate --scenario": ["simulate", "--scenario"],
    "load --input": [],
    "tune --config": [],
    "split MODEL": ["split", "--parts", "2"],
    "compress MODEL": ["compress", "--float16", "--check", "rows.npz", "--metric", "cosine"],
    "compress --check": [],
}
#: Read in pieces: these are no files of text.
NO_TEXT = ("load --input", "split MODEL", "compress MODEL", "compress --check")
#: Triton completes a configuration that says nothing.
RIGHT = {("tune --config", "empty")}
WRONG = {
    "missing": (None, "cannot be read: No such file or directory"),
    "a directory": ("directory", "cannot be read: Is a directory"),
    "empty": (b"", ""),
    "binary": (b"\x89PNG\r\n\x1a\n\x00\xff", ""),
    "a list": (b"- a\n- b\n", ""),
}


@pytest.fixture
def reading(served):
    """Return the arguments of a command that reads a file."""
    return {
        **READING,
        "load --input": [*commands.printing(served)["load"], "--input"],
        "tune --config": [*commands.printing(served)["tune"], "--config"],
        "compress --check": [*commands.printing(served)["compress"], "--check"],
    }


@pytest.mark.parametrize(
    ("command", "content"), [pair for pair in product(READING, WRONG) if pair not in RIGHT]
)
def test_a_wrong_file_is_one_sentence_that_names_it(
    reading, command, content, monkeypatch, tmp_path, said
):
    commands.stand_in(monkeypatch)
    path, (given, words) = tmp_path / "file", WRONG[content]
    if given == "directory":
        path.mkdir()
    elif given is not None:
        path.write_bytes(given)
    assert main.main([*reading[command], str(path)]) == errors.WRONG
    told = said()
    assert str(path) in told
    assert words in told


@pytest.mark.parametrize("command", [name for name in READING if name not in NO_TEXT])
def test_standard_input_is_a_file_like_any_other(reading, command, monkeypatch, said):
    commands.stand_in(monkeypatch)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"- a\n")))
    assert main.main([*reading[command], "-"]) == errors.WRONG
    assert "standard input" in said()


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (READING["explain --snapshot"], SNAPSHOT),
        (READING["nodes --snapshot"], SNAPSHOT),
        (READING["place --snapshot"], FLEET),
        ([*READING["simulate --scenario"], "-", "--no-oracle", "--scenario"], SCENARIO),
    ],
    ids=["explain", "nodes", "place", "simulate"],
)
def test_what_comes_from_standard_input_is_what_the_file_gives(
    arguments, file, monkeypatch, capsys
):
    from_file = main.main([*arguments, str(file)]), capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    assert (main.main([*arguments, "-"]), capsys.readouterr().out) == from_file


@pytest.mark.parametrize("command", NO_TEXT)
def test_what_is_read_in_pieces_is_not_read_from_standard_input(reading, command, said):
    assert main.main([*reading[command], "-"]) == errors.WRONG
    assert "name a file instead of `-`" in said()


def test_a_file_without_an_end_is_refused(monkeypatch, said):
    monkeypatch.setattr("ferryman.cli.files.content.MAX_BYTES", 2**20)
    assert main.main(["place", "--snapshot", "/dev/zero"]) == errors.WRONG
    assert "more than 1 MiB" in said()


# A file that cannot be written

WRITING = {
    "explain --save-snapshot": ("explain", "--save-snapshot", "s.yaml"),
    "nodes --plot": ("nodes", "--plot", "p.svg"),
    "load --output": ("load", "--output", "r.csv"),
    "tune --journal": ("tune", "--journal", "j.jsonl"),
    "agent benchmark --result": ("agent benchmark", "--result", "result"),
}


@pytest.mark.parametrize("option", WRITING)
@pytest.mark.parametrize("where", ["a folder that is missing", "a directory", "a full disk"])
def test_a_file_that_cannot_be_written_is_said(
    option, where, served, monkeypatch, tmp_path, capsys
):
    commands.stand_in(monkeypatch)
    command, name, file = WRITING[option]
    path = tmp_path / file
    if where == "a folder that is missing":
        path = tmp_path / "none" / file
    elif where == "a directory":
        path.mkdir()
    else:
        path.symlink_to("/dev/full")
    given = [*commands.printing(served)[command], name, str(path)]
    assert main.main(given) == errors.NOT_WRITTEN
    told = capsys.readouterr().err
    assert f"{path} cannot be written: " in told
    assert not LIBRARY_WORDS.search(told), told


@pytest.mark.parametrize("option", WRITING)
def test_to_write_a_file_it_must_have_a_name(option, served, monkeypatch, capsys):
    commands.stand_in(monkeypatch)
    command, name, _ = WRITING[option]
    assert main.main([*commands.printing(served)[command], name, "-"]) == errors.WRONG
    assert "`-` is standard input" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["out.png", "out", "out.pdf"])
def test_a_plot_in_another_format_is_refused_with_what_makes_one(name, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main.main(["nodes", "--snapshot", str(SNAPSHOT), "--plot", str(tmp_path / name)])
    assert ended.value.code == errors.WRONG
    assert "SVG only" in capsys.readouterr().err
    assert not (tmp_path / name).exists()


# What is the same for all


def test_every_status_is_in_the_help_of_every_command_and_in_the_documentation(capsys):
    documented = Path("docs/command-line.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            main.main([command, "--help"])
        shown = capsys.readouterr().out
        for status in errors.EXIT_STATUSES:
            assert re.search(rf"^  {status} ", shown, re.MULTILINE), (command, status)
            assert f"| {status} |" in documented


def test_a_fault_of_our_own_says_where_and_what_to_do(monkeypatch, capsys):
    def broken(_):
        raise LookupError("two\nlines")

    monkeypatch.setattr("ferryman.cli.place.run", broken)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert main.main(["place", "--snapshot", "f"]) == errors.BROKEN
    [line] = capsys.readouterr().err.splitlines()
    assert re.search(r"at test_endings\.py:\d+: .*two lines; please report it", line)


def test_a_fault_of_our_own_can_be_shown_with_the_way_there(monkeypatch, capsys):
    def broken(_):
        raise RuntimeError("broken")

    monkeypatch.setattr("ferryman.cli.place.run", broken)
    monkeypatch.setenv("FERRYMAN_TRACEBACK", "1")
    assert main.main(["place", "--snapshot", "f"]) == errors.BROKEN
    assert "Traceback" in capsys.readouterr().err


def test_a_port_that_is_taken_is_one_sentence(monkeypatch, said):
    def taken(_):
        raise OSError(98, "Address already in use")

    monkeypatch.setattr("ferryman.cli.operator.run", taken)
    assert main.main(["operator"]) == errors.FAILED
    assert said() == "ferryman operator: Address already in use"
