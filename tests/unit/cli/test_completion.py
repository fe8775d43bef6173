"""What shells and kubectl are offered, and that their scripts are of the shells."""

import shutil
import subprocess
import sys

import pytest

from ferryman.cli import completion, main


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        pytest.param(["expl"], ["explain"], id="a command"),
        pytest.param(["agent", "dis"], ["discover"], id="a command of a command"),
        pytest.param(["explain", "--sn"], ["--snapshot"], id="an option"),
        pytest.param(["nodes", "-o", "j"], ["json"], id="a value of an option"),
        pytest.param(["nodes", "-o", ""], ["json", "table", "wide", "yaml"], id="all values"),
        pytest.param(["explain", "--snapshot", ""], [], id="a file, which the shell knows better"),
        pytest.param(["completion", "f"], ["fish"], id="an argument without a name"),
        pytest.param(["nonsense", "-"], ["--help", "--version", "-h"], id="after an unknown one"),
    ],
)
def test_the_last_word_is_completed(words, offered):
    assert completion.candidates(words) == offered


def test_without_a_word_all_commands_are_offered():
    assert set(completion.candidates([])) == main.COMMANDS.keys()


def test_the_scripts_ask_with_words_after_a_dash_of_two(capsys):
    assert main.main(["completion", "words", "--", "doctor", "--fau"]) == 0
    assert capsys.readouterr().out == "--faults\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["doc"], "doctor\n:4\n", id="nothing but what is listed"),
        pytest.param(["explain", "--snapshot", "x"], ":0\n", id="perhaps a file"),
    ],
)
def test_kubectl_is_told_what_there_is(words, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["kubectl_complete-ferryman", *words])

    assert completion.for_kubectl() == 0
    assert capsys.readouterr().out == said


@pytest.mark.parametrize("shell", completion.SCRIPTS)
def test_a_script_is_of_its_shell(shell, capsys):
    main.main(["completion", shell])
    script = capsys.readouterr().out
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not there")
    checked = subprocess.run(
        [shell, "-n"], input=script, text=True, capture_output=True, check=False
    )

    assert (checked.returncode, checked.stderr) == (0, "")


def test_bash_completes(tmp_path):
    ferryman = tmp_path / "ferryman"
    ferryman.write_text(f'#!/bin/sh\nexec {sys.executable} -m ferryman.cli.main "$@"\n')
    ferryman.chmod(0o755)
    pressed = "COMP_WORDS=(ferryman nodes -o y); COMP_CWORD=3; _ferryman; echo ${COMPREPLY[@]}"
    script = f"PATH={tmp_path}:$PATH\n{completion.SCRIPTS['bash']}\n{pressed}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "yaml\n"
