"""The API's own rules, as far as they are patterns of a text, tried before the API server is."""

import re
from collections.abc import Iterable
from typing import Any, Final

from ferryman.api import resources, rules
from ferryman.api.crd import Rule
from ferryman.core.importing.outcome import NotImportableError

#: A term of a rule such as ``!self.startsWith('oci://') || self.matches('^oci://…$')``.
_TERM: Final = re.compile(r"(!?)self\.(matches|startsWith)\('(.*)'\)")
_STRING: Final = re.compile(r"string\(self\)\.matches\('([^']*)'\)")
_QUANTITY: Final = re.compile("".join(_STRING.findall(rules.QUANTITY[0].expression)))
_NAME: Final = re.compile(resources.MODEL_NAME)
_NO_NAME: Final = re.compile(r"[^a-z0-9]+")
_SCHEME: Final = re.compile(r"[a-z0-9]+://")
#: What an hf:// of KServe's has behind the repository.
_KSERVE_REVISION: Final = re.compile(r"(hf://[^/:@]+/[^/:@]+):([^/:@]+)")


def broken(text: str, alternatives: Iterable[Rule]) -> str | None:
    """Return the message of the first rule that a text breaks, or None.

    The rules must be alternatives of patterns and beginnings, as those of ``storageUri`` are.
    """
    for rule in alternatives:
        if not any(_holds(text, term) for term in rule.expression.split(" || ")):
            return rule.message
    return None


def _holds(text: str, term: str) -> bool:
    found = _TERM.fullmatch(term)
    if found is None:
        raise AssertionError(f"{term} is no pattern of a text")
    negated, kind, literal = found.groups()
    # In RE2 a $ is the end; in Python a line feed may follow it.
    pattern = re.sub(r"\$$", r"\\Z", literal)
    holds = text.startswith(literal) if kind == "startsWith" else re.search(pattern, text)
    return bool(holds) != bool(negated)


def is_quantity(value: Any) -> bool:  # noqa: ANN401  whatever a file states
    """Say whether a value is a quantity that is not negative."""
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return 0 <= value < 2**63
    return isinstance(value, str) and _QUANTITY.fullmatch(value) is not None


def object_name(text: str, most: int = resources.MODEL_NAME_MAX) -> str:
    """Return the name nearest to a text that an object may have: lower-case letters, digits, '-'.

    Raises NotImportableError where there is none.
    """
    plain = _NO_NAME.sub("-", text.lower()).strip("-")
    plain = plain if plain[:1].isalpha() or not plain else f"model-{plain}"
    name = plain[:most].rstrip("-")
    if not _NAME.fullmatch(name):
        raise NotImportableError("its name has no letter that an object's may have: rename it")
    return name


def storage_uri(text: str) -> str:
    """Return a storageUri as the API has it. Raises NotImportableError, with the API's words."""
    uri = _KSERVE_REVISION.sub(r"\1@\2", text, count=1)
    said = broken(uri, rules.STORAGE_URI)
    if said is None and not _fits(uri):
        said = "it is longer than any storageUri"
    if said is not None:
        raise NotImportableError(said)
    return uri


def _fits(uri: str) -> bool:
    return len(uri) <= 1024 and _SCHEME.match(uri) is not None  # noqa: PLR2004  as the API has it


def folder_uri(prefix: str, folder: str) -> str:
    """Return where a folder below a prefix is. Raises NotImportableError."""
    if prefix.startswith("https://"):
        raise NotImportableError("https:// names one file, and a model is a folder: name another")
    try:
        return storage_uri(f"{prefix.rstrip('/')}/{folder}")
    except NotImportableError as error:
        raise NotImportableError(f"{prefix.rstrip('/')}/{folder}: {error}") from error
