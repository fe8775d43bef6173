"""All models of a repository: pipelines of its ensembles, and models of what is left."""

from collections import Counter
from collections.abc import Iterable, Sequence

from ferryman.core.importing.outcome import Findings, Imported, NotImportableError, Request
from ferryman.core.importing.triton import ensemble, model
from ferryman.core.importing.triton.model import StoredModel


def imported(stored: Sequence[StoredModel], asked: Request) -> tuple[Imported, ...]:
    """Return what becomes of each model that is meant: a step of a pipeline is no object itself.

    Raises NotImportableError where the model that is meant is not there.
    """
    by_name = {each.name: each for each in stored}
    if asked.model is not None and asked.model not in by_name:
        there = ", ".join(list(by_name)[:10]) or "no model"
        raise NotImportableError(f"there is no model {asked.model}, but {there}")
    meant = [each for each in stored if asked.model in {None, each.name}]
    pipelines = [_pipeline(each, by_name, asked) for each in meant if each.is_ensemble]
    served = [made.name for made in pipelines if made.manifest is not None]
    steps = {step for name in served for step in ensemble.members(by_name[name])}
    alone = [each for each in meant if not each.is_ensemble and each.name not in steps]
    return _told_apart((*pipelines, *(_model(each, asked) for each in alone)))


def _pipeline(stored: StoredModel, others: dict[str, StoredModel], asked: Request) -> Imported:
    findings = Findings()
    try:
        return findings.of(stored.name, ensemble.manifest(stored, others, asked, findings))
    except NotImportableError as error:
        return findings.refused(stored.name, error)


def _model(stored: StoredModel, asked: Request) -> Imported:
    findings = Findings()
    try:
        return findings.of(stored.name, model.manifest(stored, asked, findings))
    except NotImportableError as error:
        return findings.refused(stored.name, error)


def _told_apart(found: Iterable[Imported]) -> tuple[Imported, ...]:
    """Refuse all but the first of the objects that would have one name."""
    seen: Counter[str] = Counter()
    told = []
    for each in found:
        name = each.manifest["metadata"]["name"] if each.manifest is not None else ""
        seen[name] += bool(name)
        if seen[name] > 1:
            why = f"another object is called {name} already: rename one of the two"
            told.append(Imported(each.name, refusal=why))
        else:
            told.append(each)
    return tuple(told)
