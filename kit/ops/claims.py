"""What a verdict claims: each line that is "ok", and each level of a receipt, by what was compared and nothing else.

The one place where that is decided (schemas/verify-report.md, "What each line means"; schemas/receipt.md): text, JSON,
page and receipt ask here and have no opinion of their own. Laws: what had nothing to be compared with is not claimed; a
level is claimed only of a valid kit; what was overridden is not claimed.
"""

from __future__ import annotations

import enum

from kit.ops.judgement import Appended, InTime, Judgement, Status

IN_TIME = "in its time, and not rolled back"
DOCUMENTS = "every document, and only appended"
FIELDS = "mapped fields are encrypted"
_OF_TENANTS = "_OF_TENANTS"
"""Ends the levels of what was only asked of the tenants that the receipt names."""


class Level(enum.StrEnum):
    """What a receipt can say of a kit."""

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


_BY_NUMBER = {
    1: Level.CONTAINER,
    2: Level.MANIFEST,
    3: Level.SIGNED,
    5: Level.CLOSED_WORLD,
    6: Level.LINEAGE,
    7: Level.DOCUMENTS,
    8: Level.RAW_LINKSET,
}
"""Where the obligation is the level. The fourth is of three parts, and that on mapped fields is a second seventh."""


def levels(judgement: Judgement, *, of_tenants: bool) -> tuple[str, ...]:
    """Return the levels of a verdict, in the order of :class:`Level`; none of a kit that is not valid.

    Args:
        judgement: Of every obligation.
        of_tenants: Whether coverage and mapped fields were asked for of some tenants only.
    """
    if not judgement.valid:
        return ()
    found = {
        Level.FIELDS_ENCRYPTED if obligation.name == FIELDS else _BY_NUMBER[obligation.number]
        for obligation in judgement.obligations
        if obligation.status is Status.CHECKED and obligation.number in _BY_NUMBER
    }
    met, appended = judgement.in_time, judgement.appended
    parts = {
        Level.SIGNERS_IN_TIME: met.signers,
        Level.FRESH: met.age,
        Level.NOT_ROLLED_BACK: met.memory,
        Level.APPEND_ONLY: Level.DOCUMENTS in found and appended is not None and is_append_only(appended),
        Level.APPEND_ONLY_LAST_STEPS: Level.DOCUMENTS in found
        and appended is not None
        and appended.since is not None
        and not appended.is_whole,
        Level.SEALED_ONLY: Level.FIELDS_ENCRYPTED in found and judgement.sealed_only,
    }
    found |= {level for level, holds in parts.items() if holds}
    narrowed = {Level.FIELDS_ENCRYPTED, Level.RAW_LINKSET} if of_tenants else set()
    return tuple(level.value + (_OF_TENANTS if level in narrowed else "") for level in Level if level in found)


def is_append_only(appended: Appended) -> bool:
    """Whether nothing but ``rawLinkset`` came to what the publisher signed, as far back as there are generations."""
    return appended.since is not None and appended.is_whole


def name_in_time(met: InTime) -> str | None:
    """Name the fourth obligation by what was compared; None where nothing was."""
    if met.age and met.memory:
        return IN_TIME
    if met.age:
        return "in its time"
    return "not rolled back" if met.memory else None


def name_documents(appended: Appended | None) -> str:
    """Name the seventh obligation by what the documents show."""
    if appended is None or appended.since is None:
        return "every document"
    return DOCUMENTS if appended.is_whole else f"{DOCUMENTS} since generation {appended.since}"


def tell_appended(appended: Appended | None) -> str:
    """Return what the documents show of the last steps, in words; None is for a chain without steps."""
    if appended is None:
        return "no step to prove"
    if appended.since is None:
        return f"that the last step only appended is not proven: {appended.why}"
    count = appended.until - appended.since
    which = "the last step" if count == 1 else f"the last {count} steps, since generation {appended.since},"
    told = f"{which} appended rawLinkset to {appended.documents:,} and changed no other byte"
    return f"{told}; no more is proven of what came before: {appended.why}" if appended.why else told
