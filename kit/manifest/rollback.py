"""How a site goes back, and which steps of the plan were taken: parts of migrations, statements and release records.

Both are for people. What the tool did itself is ``done``; what only a person can know is ``stated``, with a name and a
time; nothing is taken for done that neither of the two has. Law: ``T.parse(t.to_json(), …) == t``.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields
from typing import Any, Self

from kit.errors import ManifestError
from kit.values.fields import ManifestFields, Timestamp

_TEXTS = {"previousImage": "previous_image", "restorePoint": "restore_point"}
_LISTS = {"containers": "containers", "validationQueries": "validation_queries", "featureFlags": "feature_flags"}
DETAILS = (*_TEXTS, *_LISTS)
"""The members, as JSON names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackDetails:
    """What the plan of a rollback names besides its decision and its note."""

    previous_image: str = ""
    """The image of the application to go back to."""
    containers: tuple[str, ...] = ()
    """The containers that are affected."""
    restore_point: str = ""
    validation_queries: tuple[str, ...] = ()
    """By which a site finds out that it went back."""
    feature_flags: tuple[str, ...] = ()
    """To be off while it does."""

    @classmethod
    def parse(cls, given: ManifestFields) -> Self:
        """Return the members of :data:`DETAILS` of an object.

        Raises:
            ManifestError: One is of another type, or empty.
        """
        found: dict[str, Any] = {
            attribute: given.text(name) for name, attribute in _TEXTS.items() if name in given.members
        }
        for name, attribute in _LISTS.items():
            if name in given.members:
                texts = given.items(name)
                if not texts or not all(isinstance(one, str) and one for one in texts):
                    raise ManifestError(f"{given.place}.{name}: texts are expected, at least one")
                found[attribute] = tuple(texts)
        return cls(**found)

    def to_json(self) -> dict[str, Any]:
        """Return the members that there are."""
        texts = {name: getattr(self, attribute) for name, attribute in _TEXTS.items()}
        lists = {name: list(getattr(self, attribute)) for name, attribute in _LISTS.items()}
        return {name: value for name, value in (texts | lists).items() if value}

    @property
    def is_empty(self) -> bool:
        """Whether nothing is named."""
        return not any(getattr(self, one.name) for one in fields(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedRollback:
    """The decision, with its details, as a statement has it; the note is a member of its own there."""

    decision: str
    details: RollbackDetails

    @classmethod
    def parse(cls, given: ManifestFields) -> Self:
        """Return the part of a parsed value.

        Raises:
            ManifestError: It has no decision, or an unknown member.
        """
        given.exactly(("decision",), DETAILS)
        return cls(decision=given.text("decision"), details=RollbackDetails.parse(given))

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        return {"decision": self.decision, **self.details.to_json()}

    def __str__(self) -> str:
        parts = [f"{name} {', '.join([one] if isinstance(one, str) else one)}" for name, one in self.to_json().items()]
        return "; ".join(parts)


class PlanStep(enum.StrEnum):
    """A step of the plan of a migration."""

    KEYS = "keys"
    DRY_RUN = "dry-run"
    RESTORE_POINT = "restore-point"
    WRITES_PAUSED = "writes-paused"
    ONE_CONTAINER = "one-container"
    STOP_RULES = "stop-rules"
    SAMPLED = "sampled"
    RECORDED = "recorded"
    READERS_DEPLOYED = "readers-deployed"
    OWNERS_TESTED = "owners-tested"


class TickStatus(enum.StrEnum):
    """What is known of a step."""

    DONE = "done"
    """The tool did it, or found it done."""
    STATED = "stated"
    """A person states that it was done."""
    NOT_APPLICABLE = "not-applicable"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """One line of a checklist."""

    step: PlanStep
    status: TickStatus
    text: str = ""
    """What the tool did, or why the step does not apply."""
    by: str = ""
    """Who states it."""
    at: Timestamp | None = None
    """When it was done, as they state."""

    @classmethod
    def parse(cls, value: object, place: str) -> Self:
        """Return the line of a parsed value.

        Raises:
            ManifestError: It is not exactly one of the four forms.
        """
        given = ManifestFields.of(value, place)
        steps, statuses = [one.value for one in PlanStep], [one.value for one in TickStatus]
        if given.text("step") not in steps or given.text("status") not in statuses:
            known = f"a step of {', '.join(steps)} and a status of {', '.join(statuses)}"
            raise ManifestError(f"{place}: {known} are expected")
        status = TickStatus(given.text("status"))
        more = {TickStatus.STATED: ("by", "at"), TickStatus.OPEN: ()}.get(status, ("text",))
        given.exactly(("step", "status", *more))
        return cls(
            step=PlanStep(given.text("step")),
            status=status,
            text=given.text("text") if "text" in more else "",
            by=given.text("by") if "by" in more else "",
            at=given.timestamp("at") if "at" in more else None,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        given = {"text": self.text, "by": self.by, "at": str(self.at) if self.at is not None else ""}
        return {"step": self.step.value, "status": self.status.value} | {
            name: text for name, text in given.items() if text
        }

    def __str__(self) -> str:
        known = f"by {self.by} at {self.at}" if self.status is TickStatus.STATED else self.text
        return f"{self.step}: {self.status}{f' ({known})' if known else ''}"
