"""The mutants of `make test-hostile-mutants` are of this code; the short ones run here."""

import pytest

from tests.hostile.mutants import MUTANTS
from tests.hostile.mutation import Mutant, apply, copied, failure
from tests.integration.operator_process import ROOT

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1260)]

FUTURE = "a report may be of the future"


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_each_mutant_is_of_this_code(mutant):
    text = (ROOT / mutant.file).read_text()
    assert mutant.replaced
    assert [text.count(right) for right, _ in mutant.replaced] == [1] * len(mutant.replaced)
    file, _, name = mutant.test.partition("::")
    assert f"def {name.partition('[')[0]}(" in (ROOT / file).read_text()


@pytest.mark.parametrize("fault", [FUTURE, "redirects of metrics pages are followed"])
def test_a_short_one_is_noticed(fault, tmp_path):
    copy = copied(tmp_path)
    apply(MUTANTS[fault], copy)
    assert failure(MUTANTS[fault], copy)


@pytest.mark.long
def test_with_its_defence_the_same_test_passes(tmp_path):
    whole = Mutant(MUTANTS[FUTURE].file, (), MUTANTS[FUTURE].test)
    assert failure(whole, copied(tmp_path)) == ""
