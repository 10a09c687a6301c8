"""Decides how one obligation ends, and what a verdict claims.

An obligation ends as checked, failed, overridden, or not applicable with the reason. A check returns what it found, or
raises: a :class:`~kit.errors.KitError` is a failure, the errors of this module are the other ends.

Claims are the name of each line that is "ok" and the levels of a receipt. They are decided only here
(schemas/verify-report.md, "What each line means"; schemas/receipt.md): text, JSON, page and receipt use this module.
Laws: a claim names only what was compared; a level is claimed only of a valid kit; nothing overridden is claimed.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from kit.engine.reading import Survey
from kit.errors import KitError, OutputError, StoppedError, UnreadableError
from kit.manifest import PatchStatement
from kit.values import Sha256
from kit.verbs.verify.judgement import Appended, Evidence, InTime, Judgement, Obligation, Reshaped, Status

IN_TIME = "in its time, and not rolled back"
DOCUMENTS = "every document, and only appended"
RESHAPED = "every document, and the last step as recorded"
FIELDS = "mapped fields are encrypted"
COPIES = "copies of sealed values in the clear"
REDERIVED = "every rawLinkset follows from its source"
REDERIVED_IN_PART = "every rawLinkset with a source follows from it"
_OF_TENANTS = "_OF_TENANTS"
"""Suffix of the levels that were only required for the tenants that the receipt names."""


class Level(enum.StrEnum):
    """What a receipt can state of a kit."""

    CONTAINER = "OFFLINE_KIT_CONTAINER"
    MANIFEST = "OFFLINE_KIT_MANIFEST"
    SIGNED = "OFFLINE_KIT_SIGNED"
    SIGNERS_IN_TIME = "OFFLINE_KIT_SIGNERS_IN_TIME"
    FRESH = "OFFLINE_KIT_FRESH"
    NOT_ROLLED_BACK = "OFFLINE_KIT_NOT_ROLLED_BACK"
    CLOSED_WORLD = "OFFLINE_KIT_CLOSED_WORLD"
    LINEAGE = "OFFLINE_KIT_LINEAGE"
    DOCUMENTS = "OFFLINE_KIT_DOCUMENTS"
    APPEND_ONLY = "OFFLINE_KIT_APPEND_ONLY"
    APPEND_ONLY_LAST_STEPS = "OFFLINE_KIT_APPEND_ONLY_LAST_STEPS"
    FIELDS_ENCRYPTED = "OFFLINE_KIT_FIELDS_ENCRYPTED"
    SEALED_ONLY = "OFFLINE_KIT_SEALED_ONLY"
    RAW_LINKSET = "OFFLINE_KIT_RAW_LINKSET"
    RAW_LINKSET_REDERIVED = "OFFLINE_KIT_RAW_LINKSET_REDERIVED"
    RAW_LINKSET_REDERIVED_IN_PART = "OFFLINE_KIT_RAW_LINKSET_REDERIVED_IN_PART"


_BY_NUMBER = {
    1: Level.CONTAINER,
    2: Level.MANIFEST,
    3: Level.SIGNED,
    5: Level.CLOSED_WORLD,
    6: Level.LINEAGE,
    7: Level.DOCUMENTS,
    8: Level.RAW_LINKSET,
}
"""The levels that are one obligation. The fourth has three parts."""
_BY_NAME: dict[str, Level | None] = {
    FIELDS: Level.FIELDS_ENCRYPTED,
    COPIES: None,
    REDERIVED: Level.RAW_LINKSET_REDERIVED,
    REDERIVED_IN_PART: Level.RAW_LINKSET_REDERIVED_IN_PART,
}
"""The levels of a second obligation of the same number, if they have any."""


def levels(judgement: Judgement, *, of_tenants: bool) -> tuple[str, ...]:
    """Return the levels of a verdict, in the order of :class:`Level`; none if the kit is not valid.

    Args:
        judgement: The judgement, with every obligation.
        of_tenants: Whether coverage and mapped fields were required for some tenants only.
    """
    if not judgement.valid:
        return ()
    checked = [obligation for obligation in judgement.obligations if obligation.status is Status.CHECKED]
    named = {_BY_NAME.get(one.name, _BY_NUMBER.get(one.number)) for one in checked}
    found = {level for level in named if level is not None}
    in_time, appended = judgement.in_time, judgement.appended
    parts = {
        Level.SIGNERS_IN_TIME: in_time.signers,
        Level.FRESH: in_time.age,
        Level.NOT_ROLLED_BACK: in_time.memory,
        Level.APPEND_ONLY: Level.DOCUMENTS in found and appended is not None and is_append_only(appended),
        Level.APPEND_ONLY_LAST_STEPS: Level.DOCUMENTS in found
        and appended is not None
        and appended.since is not None
        and not appended.is_whole,
        Level.SEALED_ONLY: Level.FIELDS_ENCRYPTED in found and judgement.sealed_only,
    }
    found |= {level for level, holds in parts.items() if holds}
    rederived = {Level.RAW_LINKSET_REDERIVED, Level.RAW_LINKSET_REDERIVED_IN_PART}
    narrowed = {Level.FIELDS_ENCRYPTED, Level.RAW_LINKSET, *rederived} if of_tenants else set()
    return tuple(level.value + (_OF_TENANTS if level in narrowed else "") for level in Level if level in found)


def is_append_only(appended: Appended) -> bool:
    """Return whether, over all generations, nothing but ``rawLinkset`` was added to what the publisher signed."""
    return appended.since is not None and appended.is_whole


def name_in_time(in_time: InTime) -> str | None:
    """Return the name of the fourth obligation by what was compared; None if nothing was."""
    if in_time.age and in_time.memory:
        return IN_TIME
    if in_time.age:
        return "in its time"
    return "not rolled back" if in_time.memory else None


def name_documents(appended: Appended | None, reshaped: Reshaped | None = None) -> str:
    """Return the name of the seventh obligation by what the documents show."""
    if reshaped is not None and reshaped.is_proven:
        return RESHAPED
    if appended is None or appended.since is None:
        return "every document"
    return DOCUMENTS if appended.is_whole else f"{DOCUMENTS} since generation {appended.since}"


def describe_appended(appended: Appended | None, reshaped: Reshaped | None = None) -> str:
    """Return what the documents show of the last steps, in words; ``appended`` is None if there are no steps."""
    if reshaped is not None and reshaped.is_proven:
        return f"the last step changed {reshaped.documents:,} as its record states, and no other byte"
    if reshaped is not None:
        return f"that the last step only did what its record states is not proven: {reshaped.why}"
    if appended is None:
        return "no step to prove"
    if appended.since is None:
        return f"that the last step only appended is not proven: {appended.why}"
    count = appended.until - appended.since
    which = "the last step" if count == 1 else f"the last {count} steps, since generation {appended.since},"
    text = f"{which} appended rawLinkset to {appended.documents:,} and changed no other byte"
    return f"{text}; no more is proven of what came before: {appended.why}" if appended.why else text


def describe_admitted(statements: Iterable[PatchStatement]) -> str:
    """Return what the statements of steps admit that their signers let pass, in words; "" if that is nothing."""
    found = ""
    for statement in statements:
        which = f"; generation {statement.generation}, by its own statement,"
        if statement.snapshots is not None:
            verified = "that were verified" if statement.snapshots.is_verified else "that nobody verified"
            found += f"{which} took snapshots from elsewhere {verified}"
        if statement.unimportable:
            counts = ", ".join(f"{count:,} by {rule}" for rule, count in sorted(statement.unimportable.items()))
            found += f"{which} has documents that a server refuses: {counts}"
    return found


_NAMES = {
    1: ("container reads strictly", "parser differential, endless data"),
    2: ("exactly one manifest", "mix-and-match"),
    3: ("manifest signed by a trusted key", "arbitrary software, wrong role"),
    4: (IN_TIME, "rollback, indefinite freeze, key compromise"),
    5: ("closed world and every digest", "arbitrary software, mix-and-match"),
    6: ("lineage to the first generation", "history rewritten, provenance of another kit"),
    7: (DOCUMENTS, "a patcher that changes more than it says"),
    8: ("rawLinkset on every observation", "premature switch"),
}
MAX_EVIDENCE = 100
"""The most pieces of evidence that one obligation shows."""


def refused_judgement(error: KitError) -> Judgement:
    """Return the judgement of a kit that could not be read to its end, with the error as its first obligation."""
    first = _fail(1, error, (Evidence(place=error.where, expected="", found=error.what),))
    why = "cannot be checked: the container does not read"
    others = [_end(number, Status.NOT_APPLICABLE, why) for number in _NAMES if number != 1]
    return Judgement(obligations=[first, *others])


@dataclass(frozen=True, slots=True, kw_only=True)
class PartlyChecked:
    """The end of an obligation of which only a part was compared; it has the name of that part."""

    name: str
    detail: str


class NotApplicableError(Exception):
    """The obligation does not apply to this kit or request."""


class OverriddenError(Exception):
    """The obligation failed, and the user overrides it."""


class EvidentError(Exception):
    """A failure with evidence besides its message."""

    def __init__(self, error: KitError, evidence: tuple[Evidence, ...]) -> None:
        super().__init__(str(error))
        self.error = error
        self.evidence = evidence


def attempt(number: int, check: Callable[[], str | PartlyChecked]) -> Obligation:
    """Run the check of obligation ``number``, and return how the obligation ends.

    Raises:
        UnreadableError: The medium failed in a second reading, so there is no verdict on the kit.
        StoppedError: A worker died in a second reading.
        OutputError: There was no room for temporary files.
    """
    try:
        found = check()
        if isinstance(found, PartlyChecked):
            return replace(_end(number, Status.CHECKED, found.detail), name=found.name)
        return _end(number, Status.CHECKED, found)
    except NotApplicableError as reason:
        return _end(number, Status.NOT_APPLICABLE, str(reason))
    except OverriddenError as reason:
        return _end(number, Status.OVERRIDDEN, str(reason))
    except EvidentError as failure:
        return _fail(number, failure.error, failure.evidence)
    except (UnreadableError, StoppedError, OutputError):
        raise
    except KitError as error:
        return _fail(number, error, (Evidence(place=error.where, expected="", found=error.what),))


def _end(number: int, status: Status, detail: str) -> Obligation:
    name, attack = _NAMES[number]
    return Obligation(number=number, name=name, attack=attack, status=status, detail=detail)


def _fail(number: int, error: KitError, evidence: tuple[Evidence, ...]) -> Obligation:
    name, attack = _NAMES[number]
    status, detail = Status.FAILED, str(error)
    return Obligation(
        number=number, name=name, attack=attack, status=status, detail=detail, evidence=evidence, error=error
    )


def with_digests(obligation: Obligation, survey: Survey) -> Obligation:
    """Return a failure with the digests of the signed files that it concerns, so that others can compare the bytes."""
    found = tuple(
        Evidence(place=str(path), expected="", found=f"sha256:{Sha256.of(data)}")
        for path, data in sorted(survey.kept.items())
        if obligation.error is not None and obligation.error.where.startswith(f"{path}")
    )
    return replace(obligation, evidence=(*obligation.evidence, *found)) if found else obligation
