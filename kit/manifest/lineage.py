"""Does the kept history prove the lineage? Pure comparison of bytes (schemas/offline-manifest.md "Generations").

Obligations, tagged where they are enforced:

1. ``manifest/history`` holds exactly the files that lineage names.
2. Each kept manifest has the digest its lineage entry names.
3. Each kept manifest is the generation named, each step goes up by one, at the time its successor says, and the last
   leads to the current manifest. No generation is older than the one below it.
4. Each kept manifest's own lineage is the beginning of the current one: history is appended to, never rewritten.
5. Bundle id and shape are the same throughout.
6. Each provenance statement is about its own step (:meth:`Step.check_statement`, once its signature has been checked).
7. Each kept signature, and each statement but the last, is the very one that lineage has the digest of, where it has
   one: entries of earlier versions do not (:meth:`Step.check_recorded`, once both are known to hold).

Of an earlier manifest nothing is held but its bytes: it is parsed where it is compared, and no more than two of them
are at hand at a time, however many generations there are.

Stops at signatures: they are handed back as bytes, step by step, for :mod:`kit.signing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kit.errors import DigestError, ManifestError
from kit.manifest.lineage_entry import LineageEntry
from kit.manifest.model import Manifest
from kit.manifest.provenance import PatchStatement
from kit.values import Limits, MemberPath, Sha256

_HELD = 2
_READING = 5
"""Bytes held, while a statement is read, for each of its own: its text, what is encoded in it, and the text of that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One replaced generation with its proof, and what replaced it.

    Attributes:
        entry: As the current manifest's lineage has it.
        manifest_bytes: The kept manifest, which ``signature`` is over.
        signature: The kept detached JWS; None when that generation was not signed.
        statement: The DSSE envelope of the step.
        statement_sha256: Of the statement, as the next entry has it; None for the last, or where that does not say.
    """

    entry: LineageEntry
    manifest_bytes: bytes
    signature: bytes | None
    statement: bytes
    _history: _History
    _number: int
    statement_sha256: Sha256 | None = None

    @property
    def manifest(self) -> Manifest:
        """The kept manifest, parsed where it is asked for."""
        return self._history.manifest(self._number)

    @property
    def successor(self) -> Manifest:
        """The manifest that replaced it: the next kept one, or the current one."""
        return self._history.manifest(self._number + 1)

    def check_recorded(self) -> None:
        """Check that signature and statement are those that lineage has the digests of (obligation 7).

        A twin verifies as well: the other form of an ECDSA signature, another salt, another spelling, or what its
        signer signed another time. What does not verify at all is reported as that, so this comes last.

        Raises:
            DigestError: One is another.
        """
        for path, document, due in (
            (self.entry.signature, self.signature, self.entry.signature_sha256),
            (self.entry.statement, self.statement, self.statement_sha256),
        ):
            if path is not None and document is not None and due is not None and Sha256.of(document) != due:
                raise DigestError(
                    f"verifies, but has digest {Sha256.of(document)} where lineage says {due}: another took its place",
                    where=path,
                )

    def check_statement(self, statement: PatchStatement) -> None:
        """Check that a statement, its signature already verified, is about this step (obligation 6).

        Without this, the genuine statement of one step could stand in for another's.

        Raises:
            DigestError: It names another manifest, or another digest of a changed member, before or after the step;
                or a member differs between the two manifests and is not named.
            ManifestError: It names other generations, another bundle or another time.
        """
        place = self.entry.statement
        met = (statement.base_generation, statement.generation, statement.bundle_id, statement.created_at)
        due = (self.manifest.generation, self.successor.generation, self.manifest.bundle_id, self.entry.at)
        for name, is_met, is_due in zip(
            ("baseGeneration", "generation", "bundleId", "createdAt"), met, due, strict=True
        ):
            if is_met != is_due:
                raise ManifestError(f"{name} is {is_met}, where lineage says {is_due}", where=place)
        for name, digest, manifest in (
            ("material", statement.base_manifest.sha256, self.manifest),
            ("subject", statement.manifest.sha256, self.successor),
        ):
            if digest != manifest.sha256:
                raise DigestError(f"the {name} is manifest {digest}, not {manifest.sha256}", where=place)
        self._check_members(statement)

    def _check_members(self, statement: PatchStatement) -> None:
        before = {entry.path: entry.sha256 for entry in self.manifest.entries}
        after = {entry.path: entry.sha256 for entry in self.successor.entries}
        differing = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
        due_before = {path: before[path] for path in differing if path in before}
        due_after = {path: after[path] for path in differing if path in after}
        for name, stated, due in (
            ("materials", statement.materials, due_before),
            ("subjects", statement.changed, due_after),
        ):
            met = {artifact.path: artifact.sha256 for artifact in stated}
            wrong = sorted(path for path in met.keys() | due.keys() if met.get(path) != due.get(path))
            if wrong:
                raise DigestError(
                    f"its {name} do not say what changed between the manifests: {wrong[0]}", where=self.entry.statement
                )


class _History:
    """Generations by number, from the oldest kept one to the current one; the two used last are held, parsed."""

    def __init__(self, current: Manifest, kept: Mapping[MemberPath, bytes], limits: Limits) -> None:
        self._current = current
        self._kept = kept
        self._limits = limits
        self._parsed: dict[int, tuple[Manifest, int]] = {}

    def manifest(self, number: int) -> Manifest:
        """Give one generation's manifest.

        Raises:
            DigestError: It has another digest than lineage names.
            ManifestError: It is none.
            LimitError: More would be held of the kit than may be.
        """
        if number == len(self._current.lineage):
            return self._current
        found = self._parsed.pop(number, None) or self._parse(self._current.lineage[number])
        self._parsed[number] = found
        return found[0]

    def _parse(self, entry: LineageEntry) -> tuple[Manifest, int]:
        if len(self._parsed) == _HELD:
            _, size = self._parsed.pop(next(iter(self._parsed)))
            self._limits.hold(-size)
        before = self._limits.held
        return _kept(entry, self._kept[MemberPath(entry.path)], self._limits), self._limits.held - before


def check(current: Manifest, history: Mapping[MemberPath, bytes], *, limits: Limits) -> tuple[Step, ...]:
    """Check obligations 1 to 5.

    Args:
        current: The kit's manifest.
        history: Every member under ``manifest/history/``, whole.
        limits: For the kept manifests.

    Returns:
        The steps, oldest first; empty for a kit that was never patched.

    Raises:
        DigestError: History is not exactly what lineage names, or a kept manifest has another digest.
        ManifestError: A kept manifest is not one, or does not fit its place in the chain.
    """
    _check_files(current.lineage, history)
    generations = _History(current, history, limits)
    steps = tuple(
        Step(
            entry=entry,
            manifest_bytes=history[MemberPath(entry.path)],
            signature=history[MemberPath(entry.signature)] if entry.signature else None,
            statement=history[MemberPath(entry.statement)],
            _history=generations,
            _number=number,
            statement_sha256=_prior_statement(current.lineage, number + 1),
        )
        for number, entry in enumerate(current.lineage)
    )
    for number, step in enumerate(steps):
        with limits.release_at_exit():
            limits.hold(_READING * len(step.statement), where=step.entry.statement)
        _check_link(current, number, step.entry, step.manifest, step.successor)
    return steps


def _prior_statement(lineage: tuple[LineageEntry, ...], number: int) -> Sha256 | None:
    return lineage[number].prior_statement_sha256 if number < len(lineage) else None


def _check_files(lineage: tuple[LineageEntry, ...], history: Mapping[MemberPath, bytes]) -> None:
    named = {
        MemberPath(path)
        for entry in lineage
        for path in (entry.path, entry.signature, entry.statement)
        if path is not None
    }
    absent = sorted(named - set(history))
    if absent:  # obligation 1
        raise DigestError(f"{absent[0]} is named by lineage, but absent")
    surplus = sorted(set(history) - named)
    if surplus:  # obligation 1: what nothing binds would be an unsigned place in a signed kit
        raise DigestError(f"{surplus[0]} is not named by lineage")


def _kept(entry: LineageEntry, data: bytes, limits: Limits) -> Manifest:
    met = Sha256.of(data)
    if met != entry.manifest_sha256:  # obligation 2, before anything in it is believed
        raise DigestError(f"digest {met} where lineage says {entry.manifest_sha256}", where=entry.path)
    return Manifest.parse(data, limits=limits, where=entry.path)


def _check_link(current: Manifest, number: int, entry: LineageEntry, manifest: Manifest, successor: Manifest) -> None:
    where = entry.path
    if manifest.generation != entry.generation:  # obligation 3
        raise ManifestError(f"generation {manifest.generation} kept as generation {entry.generation}", where=where)
    if successor.generation != manifest.generation + 1:  # obligation 3
        raise ManifestError(
            f"the chain is broken: {successor.generation} follows generation {manifest.generation}", where=where
        )
    if manifest.lineage != current.lineage[:number]:  # obligation 4
        raise ManifestError("its lineage is not the beginning of the current one: history was rewritten", where=where)
    _check_order(entry, manifest, successor)  # obligation 3
    if manifest.bundle_id != current.bundle_id:  # obligation 5
        raise ManifestError(f"bundle id {manifest.bundle_id!r} became {current.bundle_id!r}", where=where)
    if manifest.shape is not current.shape:  # obligation 5
        raise ManifestError(f"a manifest of {manifest.shape.value} shape became {current.shape.value}", where=where)


def _check_order(entry: LineageEntry, manifest: Manifest, successor: Manifest) -> None:
    """Check that the step is no older than what it replaced; what says no time is not compared.

    Every manifest has shown when it was parsed that its entries are in order and end in its own time.
    """
    if manifest.made_at is not None and entry.at < manifest.made_at:
        raise ManifestError(
            f"made at {manifest.made_at}, and replaced at {entry.at}: no generation is older than the one below",
            where=entry.path,
        )
    before, after = manifest.created_at, successor.created_at
    if before is not None and after is not None and after < before:  # a foreign manifest keeps its times
        raise ManifestError(
            f"made at {before}, but its successor says {after}: no generation is older than the one below",
            where=entry.path,
        )
