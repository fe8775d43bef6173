"""Keep a contender's results after a change of the code that changes none of its figures.

Hours of results must not be lost to a change that bears on none of them. A few scenarios run
again; where all come out as they did, to the last bit, the others count for the present code. That
is a check of what whoever made the change knows, and no proof: a change that helps one scenario in
fifty passes it.
"""

import json
import sys
from collections.abc import Sequence
from itertools import islice
from typing import Final

from benchmarks.contenders.registry import BY_NAME
from benchmarks.family import generator, job, plan, store
from ferryman.core.simulator.scenario import Scenario

LEAST: Final = 5


def confirm(half: str, seeds: Sequence[int], contenders: Sequence[str], count: int) -> None:
    """Run up to ``count`` scenarios of a half again, and keep what comes out as it did.

    Results of fewer than five scenarios are not confirmed: so few are run anew sooner.
    """
    for name in (plan.ORACLE, *contenders):
        inputs = plan.inputs(name)
        outdated = store.read_outdated(half, name, inputs)
        drawn = (generator.draw(seed).scenario for seed in seeds)
        again = [*islice((each for each in drawn if store.key(each) in outdated), count)]
        if len(again) < min(LEAST, count):
            continue
        same = all(_again(name, each) == outdated[store.key(each)] for each in again)
        if same:
            store.renew(half, name, inputs)
        told = f"kept, {len(again)} came out as they did" if same else "to run again"
        print(f"{half}: {len(outdated)} results of {name}: {told}", file=sys.stderr, flush=True)


def _again(name: str, scenario: Scenario) -> object:
    found = (
        job.best(scenario) if name == plan.ORACLE else job.contend(scenario, [BY_NAME[name]])[name]
    )
    return json.loads(json.dumps(found))
