"""Reads an open kit once and judges it, for every verb.

A verb states what it expects of the kit, what else the reading is for, and which failures it accepts. Law: the verdict
is on the very bytes that were read, and later readings are compared with them (:mod:`kit.engine.passing`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self, TypeAlias

from kit.engine.pipeline import Pipeline
from kit.engine.progress import Stage
from kit.engine.reading import BodyTap, Survey, read_once
from kit.errors import OutputError, UntrustedError
from kit.manifest import Location, Manifest
from kit.signing import PublicKey
from kit.trust import Anchor
from kit.values import MemberPath, Sha256
from kit.verbs.verify.judgement import Expectation, Gap, Judgement, Sidecars
from kit.verbs.verify.kits import OpenKit, is_kept, read_sidecars
from kit.verbs.verify.obligations import judge

if TYPE_CHECKING:
    from kit.engine.proving import MemberReading, Wanted
    from kit.engine.undoing import Undoing, UndoneStep

SIGNATURES = frozenset({3, 6})
"""The obligations about signatures; a kit may fail them if the user does not require signatures."""

Read = Callable[[Pipeline], Survey]
"""Reads a kit once, with a pipeline for work on its documents."""
ReadAgain: TypeAlias = "Callable[[Survey, Mapping[MemberPath, Wanted]], Mapping[MemberPath, MemberReading]]"
"""Reads every document of a surveyed kit; see :func:`kit.engine.proving.prove`."""
UndoAgain: TypeAlias = "Callable[[Survey, Undoing], UndoneStep]"
"""Undoes the last step of a surveyed kit; see :func:`kit.engine.undoing.undo_step`."""
Explain = Callable[[Survey, frozenset[str]], tuple[Gap, ...]]
"""Finds out why observations of the given tenants lack ``rawLinkset``; see :func:`kit.verbs.verify.gaps.find_gaps`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedKit:
    """A kit that was read once, and the verdict on it."""

    kit: OpenKit
    survey: Survey
    sidecars: Sidecars
    judgement: Judgement

    @property
    def manifest(self) -> Manifest:
        """The manifest; only for a kit that has one, as every kit that :meth:`require` accepts."""
        return manifest_of(self.judgement)

    @property
    def location(self) -> Location:
        """Where the manifest and its signature are; available as :attr:`manifest` is."""
        if self.judgement.location is None:
            raise _without_manifest()
        return self.judgement.location

    @property
    def what(self) -> str:
        """Its generation, for messages."""
        return generation_name(self.manifest.bundle_id, self.manifest.generation, self.manifest.sha256)

    def require(self, *, but: frozenset[int] = frozenset(), where: str = "") -> Self:
        """Check that the kit fulfils its obligations.

        Args:
            but: The obligations that it may fail.
            where: The name of the kit for the message; "" for none.

        Raises:
            KitError: An obligation failed; the first one's error.
        """
        for obligation in self.judgement.obligations:
            if obligation.error is not None and obligation.number not in but:
                raise obligation.error.inside(where) if where else obligation.error
        if self.judgement.manifest is None or self.judgement.location is None:
            raise _without_manifest()
        return self


def judge_kit(
    kit: OpenKit,
    expectation: Expectation,
    *,
    stage: Stage = Stage.SURVEY,
    read: Read | None = None,
    tap: BodyTap | None = None,
    is_alone: bool = False,
    read_deep: ReadAgain | None = None,
    explain: Explain | None = None,
    undo: UndoAgain | None = None,
) -> JudgedKit:
    """Read an open kit once and judge it to the end, even if an obligation fails.

    Args:
        kit: The kit.
        expectation: What is required of it.
        stage: The stage that progress reports for this reading.
        read: Does the reading, if it has more to do than to judge.
        tap: Receives the members as they are read, before they are judged; not with ``read``.
        is_alone: Whether to ignore the sidecars.
        read_deep: Reads the kit again; needed for ``expectation.deep``.
        explain: Reads the kit again if observations lack ``rawLinkset``; None to give no reasons.
        undo: Reads the kit again and undoes its last step; needed for ``expectation.deep``.

    Raises:
        KitError: The container is malformed, or what is next to it cannot be read.
    """
    with kit.pipeline(stage) as pipeline:
        found = read(pipeline) if read is not None else read_once(kit.reader, keep=is_kept, tap=tap)
    sidecars = (
        Sidecars(archive=found.stored, checksum=None, signature=None)
        if is_alone
        else read_sidecars(kit.reader, found.stored)
    )
    judgement = judge(
        *(found, sidecars, expectation),
        limits=kit.reader.limits,
        read_deep=partial(read_deep, found) if read_deep is not None else None,
        explain=partial(explain, found) if explain is not None else None,
        undo=partial(undo, found) if undo is not None else None,
    )
    return JudgedKit(kit=kit, survey=found, sidecars=sidecars, judgement=judgement)


def manifest_of(judgement: Judgement) -> Manifest:
    """Return the manifest of a kit that was judged valid.

    Raises:
        OutputError: There is no manifest, so it was not.
    """
    if judgement.manifest is None:
        raise _without_manifest()
    return judgement.manifest


def generation_name(bundle_id: str | None, generation: int, manifest: Sha256) -> str:
    """Return the name of a generation of a bundle, for messages."""
    return f"generation {generation} of {bundle_id or '(no bundle id)'} (manifest {manifest})"


def require_trust(trusted: Mapping[str, PublicKey] | None, trust: Anchor | None) -> None:
    """Check that a key is trusted if signatures are required; without one no kit can be valid.

    Raises:
        UntrustedError: There is no policy, and no key is trusted.
    """
    if trust is None and trusted is not None and not trusted:
        raise UntrustedError("no key is trusted, so no kit can be valid", hint="name one with --trusted-key")


def _without_manifest() -> OutputError:
    return OutputError("a judged kit without a manifest")
