"""No reason that a user may see is without an explanation."""

import ast
from pathlib import Path

from ferryman.api.conditions import Reason
from ferryman.core.compression.variants import VariantReason
from ferryman.core.vocabulary.reasons import EXPLANATIONS, SECTIONS

ROOT = Path(__file__).parents[4]
SOURCES = ROOT / "operator" / "ferryman"
#: What a remedy must speak of, where a status says that it waits for a person.
ACTED_ON = {"NoCandidate", "InvalidSpec", "ModelLoadFailed", "NeedsCapacity", "PodFailing"}


def test_every_reason_is_explained_once():
    stated = [word for section in SECTIONS.values() for word in section]

    assert len(stated) == len(set(stated))
    assert set(map(str, stated)) == {*map(str, Reason), *map(str, VariantReason)}


def test_the_reference_has_every_reason():
    page = (ROOT / "docs" / "reference" / "reasons.md").read_text(encoding="utf-8")

    assert {word for word in EXPLANATIONS if f"| `{word}` |" not in page} == set()


def test_an_explanation_is_of_whole_sentences_without_the_word_itself():
    for word, each in EXPLANATIONS.items():
        assert each.meaning.endswith("."), word
        assert not each.remedy or each.remedy.endswith("."), word
        assert "|" not in each.meaning + each.remedy, word


def test_what_waits_for_a_person_has_a_remedy():
    assert {word for word in ACTED_ON if not EXPLANATIONS[word].remedy} == set()


def test_no_reason_is_a_word_of_its_own_beside_the_two_lists():
    """A literal given as ``reason=`` would escape the lists, and with them the reference."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.keyword)
        and node.arg == "reason"
        and isinstance(node.value, ast.Constant)
        and node.value.value
    ]

    assert found == []
