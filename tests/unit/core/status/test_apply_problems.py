"""What keeps a decision from being applied: both wait for a person."""

from ferryman.core.status import apply_problems


def test_a_name_that_is_taken_says_what_to_do():
    problem = apply_problems.name_taken("Service", "resnet50-triton")
    assert (problem.reason, problem.stalled) == ("NameTaken", True)
    assert problem.message == (
        "Service resnet50-triton exists and is not Ferryman's: rename the model, or remove that "
        "object"
    )


def test_what_is_refused_is_told_in_the_api_servers_words():
    problem = apply_problems.apply_refused("quota exceeded")
    assert (problem.reason, problem.stalled) == ("ApplyRefused", True)
    assert problem.message.endswith("that is to serve the model: quota exceeded")
