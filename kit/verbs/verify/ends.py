"""How one obligation ends: checked, failed, overridden, or not applicable with the reason.

A check returns what it found, or raises: a :class:`~kit.errors.KitError` is a failure, the errors of this module are
the other ends. No check ends without one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from kit.engine.reading import Survey
from kit.errors import KitError, OutputError, StoppedError, UnreadableError
from kit.ops import claims
from kit.ops.judgement import Evidence, Judgement, Obligation, Status
from kit.values import Sha256

_NAMES = {
    1: ("container reads strictly", "parser differential, endless data"),
    2: ("exactly one manifest", "mix-and-match"),
    3: ("manifest signed by a trusted key", "arbitrary software, wrong role"),
    4: (claims.IN_TIME, "rollback, indefinite freeze, key compromise"),
    5: ("closed world and every digest", "arbitrary software, mix-and-match"),
    6: ("lineage to the first generation", "history rewritten, provenance of another kit"),
    7: (claims.DOCUMENTS, "a patcher that changes more than it says"),
    8: ("rawLinkset on every observation", "premature switch"),
}
MOST_EVIDENCE = 100
"""Pieces of evidence that one obligation shows."""


def refused(error: KitError) -> Judgement:
    """Return the judgement of a kit that could not be read to its end."""
    first = _failed(1, error, (Evidence(place=error.where, expected="", met=error.what),))
    why = "cannot be checked: the container does not read"
    others = [_ended(number, Status.NOT_APPLICABLE, why) for number in _NAMES if number != 1]
    return Judgement(obligations=[first, *others])


@dataclass(frozen=True, slots=True, kw_only=True)
class PartlyChecked:
    """How an obligation ended of which only a part was compared, under the name of that part."""

    name: str
    detail: str


class NotApplicableError(Exception):
    """An obligation that this kit or this request does not have."""


class OverriddenError(Exception):
    """An obligation that failed, and the user insisted."""


class EvidentError(Exception):
    """A failure with more to show than its one line."""

    def __init__(self, error: KitError, evidence: tuple[Evidence, ...]) -> None:
        super().__init__(str(error))
        self.error = error
        self.evidence = evidence


def attempt(number: int, check: Callable[[], str | PartlyChecked]) -> Obligation:
    """Return how obligation ``number`` ends, of which ``check`` returns what it found.

    Raises:
        UnreadableError: The medium failed in a second reading, so nothing was found out about the kit.
        StoppedError: A worker died in it.
        OutputError: There was no room for temporary files.
    """
    try:
        found = check()
        if isinstance(found, PartlyChecked):
            return replace(_ended(number, Status.CHECKED, found.detail), name=found.name)
        return _ended(number, Status.CHECKED, found)
    except NotApplicableError as reason:
        return _ended(number, Status.NOT_APPLICABLE, str(reason))
    except OverriddenError as reason:
        return _ended(number, Status.OVERRIDDEN, str(reason))
    except EvidentError as failure:
        return _failed(number, failure.error, failure.evidence)
    except (UnreadableError, StoppedError, OutputError):
        raise
    except KitError as error:
        return _failed(number, error, (Evidence(place=error.where, expected="", met=error.what),))


def _ended(number: int, status: Status, detail: str) -> Obligation:
    name, attack = _NAMES[number]
    return Obligation(number=number, name=name, attack=attack, status=status, detail=detail)


def _failed(number: int, error: KitError, evidence: tuple[Evidence, ...]) -> Obligation:
    name, attack = _NAMES[number]
    status, detail = Status.FAILED, str(error)
    return Obligation(
        number=number, name=name, attack=attack, status=status, detail=detail, evidence=evidence, error=error
    )


def with_digests(obligation: Obligation, survey: Survey) -> Obligation:
    """Return a failure with the digests of the signed files that it is about, so that others can compare the bytes."""
    found = tuple(
        Evidence(place=str(path), expected="", met=f"sha256:{Sha256.of(data)}")
        for path, data in sorted(survey.kept.items())
        if obligation.error is not None and obligation.error.where.startswith(f"{path}")
    )
    return replace(obligation, evidence=(*obligation.evidence, *found)) if found else obligation
