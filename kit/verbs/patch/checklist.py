"""Ticks off the steps of the plan of a migration: by what the run itself knows, and by what a person states.

Law: the tool ticks off a step only by what it did in this run or found on record; what a person states never makes a
step "done". A migration may demand steps: a live run with one of those open ends before anything is signed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kit.engine.rewrite import Rewrite
from kit.errors import UsageError
from kit.manifest.rollback import PlanStep, Tick, TickStatus
from kit.migrations import Migration
from kit.values import Timestamp

_NOTHING_SEALED = "nothing is sealed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What a command was given besides what to do."""

    ticks: tuple[Tick, ...] = ()
    """What a person states of steps, each at most once."""
    has_dry_run: bool = False
    """Whether the release record has a dry run of this migration on this kit."""
    has_record: bool = False
    """Whether the run is put on record."""

    def __post_init__(self) -> None:
        """Check that each step is stated once.

        Raises:
            UsageError: One is stated twice.
        """
        steps = [tick.step for tick in self.ticks]
        twice = next((step for step in steps if steps.count(step) > 1), None)
        if twice is not None:
            raise UsageError(f"the step {twice} is stated twice", hint="one --stated or --not-applicable for each step")


def parse_stated(text: str, now: Timestamp) -> Tick:
    """Return what ``--stated STEP=NAME`` or ``STEP=NAME@TIME`` states; without a time it is ``now``.

    Raises:
        UsageError: It has no such form, or no such step.
        ContentError: The time is none.
    """
    step, name = _parts(text, "--stated", "STEP=NAME")
    name, _, time = name.partition("@")
    if not name.strip():
        raise UsageError(f"--stated {text}: who states it is missing", hint=f"--stated {step}=NAME")
    return Tick(step=step, status=TickStatus.STATED, by=name.strip(), at=Timestamp.parse(time.strip()) if time else now)


def parse_not_applicable(text: str) -> Tick:
    """Return what ``--not-applicable STEP=REASON`` states.

    Raises:
        UsageError: It has no such form, or no such step.
    """
    step, reason = _parts(text, "--not-applicable", "STEP=REASON")
    return Tick(step=step, status=TickStatus.NOT_APPLICABLE, text=reason)


def _parts(text: str, option: str, form: str) -> tuple[PlanStep, str]:
    step, _, rest = text.partition("=")
    if step not in list(PlanStep):
        raise UsageError(f"{option} {text}: there is no step {step!r}", hint=f"there are {', '.join(PlanStep)}")
    if not rest.strip():
        raise UsageError(f"{option} {text}: the form is {form}")
    return PlanStep(step), rest.strip()


def tick_off(migration: Migration, stated: Stated, done: Rewrite, *, keeps_base: bool) -> tuple[Tick, ...]:
    """Return the checklist of a run, in the order of the plan; none where neither migration nor person has one.

    Args:
        migration: What is run; it may demand steps.
        stated: What a person states.
        done: What the run counted.
        keeps_base: Whether the kit as it was stays, at its place or as a backup.
    """
    if not migration.checklist and not stated.ticks:
        return ()
    known = _known(migration, stated, done, keeps_base=keeps_base)
    told = {tick.step: tick for tick in stated.ticks}
    return tuple(known.get(step) or told.get(step) or Tick(step=step, status=TickStatus.OPEN) for step in PlanStep)


def require_ticked(migration: Migration, ticks: Sequence[Tick]) -> None:
    """Check that no step is open which the migration demands.

    Raises:
        UsageError: One is.
    """
    open_steps = [one.step for one in ticks if one.status is TickStatus.OPEN and one.step in migration.checklist]
    if open_steps:
        raise UsageError(
            f"{migration.id} demands steps that nobody has ticked off: {', '.join(open_steps)}; nothing was written",
            hint=f"--stated {open_steps[0]}=NAME, or --not-applicable {open_steps[0]}=REASON",
        )


def _known(migration: Migration, stated: Stated, done: Rewrite, *, keeps_base: bool) -> dict[PlanStep, Tick]:
    """Return the steps that the run itself did, or found done."""
    is_sealing = any(transform.keyed is not None for transform in migration.transforms)
    changed = sum(1 for change in done.members.values() if change.changed)
    facts = {
        PlanStep.KEYS: is_sealing and "the keyring was opened, and each key sealed and opened a value",
        PlanStep.DRY_RUN: stated.has_dry_run and "the release record has a dry run",
        PlanStep.RESTORE_POINT: keeps_base and "the kit as it was is kept",
        PlanStep.ONE_CONTAINER: changed <= 1 and "documents of at most one collection member changed",
        PlanStep.STOP_RULES: "no stop rule was broken",
        PlanStep.RECORDED: stated.has_record and "the run is in the release record",
    }
    found = {step: Tick(step=step, status=TickStatus.DONE, text=text) for step, text in facts.items() if text}
    if not is_sealing:
        found[PlanStep.KEYS] = Tick(step=PlanStep.KEYS, status=TickStatus.NOT_APPLICABLE, text=_NOTHING_SEALED)
    return found
