"""The check that the kept history proves the lineage, on bytes alone (schemas/offline-manifest.md "Generations").

Obligations, tagged where they are enforced:

1. ``manifest/history`` contains exactly the files that lineage names.
2. Each kept manifest has the digest its lineage entry names.
3. Each kept manifest is the generation named, each step goes up by one, at the time of its successor, and the last
   leads to the current manifest. No generation is older than the one below it.
4. Each kept manifest's own lineage is the beginning of the current one: history is appended to, never rewritten.
5. Bundle id and shape are the same throughout.
6. Each provenance statement is about its own step (:meth:`Step.check_statement`, after its signature was verified).
7. Each kept signature, and each statement but the last, has the digest in lineage. Entries of earlier versions have no
   such digest (:meth:`Step.check_recorded`, after both were verified).

Earlier manifests are held as bytes and parsed for a comparison; at most two are held parsed at a time, however many
generations there are.

Signatures are returned as bytes, step by step, for :mod:`kit.signing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kit.errors import DigestError, ManifestError
from kit.manifest.model import Manifest
from kit.manifest.parts import LineageEntry
from kit.manifest.provenance import PatchStatement
from kit.values import Limits, MemberPath, Sha256

_MAX_PARSED = 2
_BYTES_PER_BYTE = 5
"""Memory while a statement is read, for each of its bytes: its text, its payload, and the text of the payload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One replaced generation with its proof, and its successor.

    Attributes:
        entry: The entry in the current manifest's lineage.
        manifest_bytes: The kept manifest, which ``signature`` covers.
        signature: The kept signature; None if that generation was not signed.
        statement: The DSSE envelope of the step.
        statement_sha256: The statement's digest in the next entry; None for the last, or if the entry has none.
        record: The record of the step; None where it has none.
    """

    entry: LineageEntry
    manifest_bytes: bytes
    signature: bytes | None
    statement: bytes
    _history: _History
    _number: int
    statement_sha256: Sha256 | None = None
    record: bytes | None = None

    @property
    def manifest(self) -> Manifest:
        """The kept manifest, parsed on demand."""
        return self._history.manifest(self._number)

    @property
    def successor(self) -> Manifest:
        """The manifest that replaced it: the next kept one, or the current one."""
        return self._history.manifest(self._number + 1)

    def check_recorded(self) -> None:
        """Check that signature and statement have their digests in lineage (obligation 7).

        A substitute may verify as well: the other form of an ECDSA signature, another salt, another spelling, or a
        second signature by the same key. This check comes last, so that what does not verify is reported as such.

        Raises:
            DigestError: One has another digest.
        """
        for path, document, due in (
            (self.entry.signature, self.signature, self.entry.signature_sha256),
            (self.entry.statement, self.statement, self.statement_sha256),
        ):
            if path is not None and document is not None and due is not None and Sha256.of(document) != due:
                raise DigestError(
                    f"verifies, but has digest {Sha256.of(document)} where lineage has {due}: it was replaced",
                    where=path,
                )

    def check_statement(self, statement: PatchStatement) -> None:
        """Check that a statement, whose signature was verified, is about this step (obligation 6).

        Otherwise the genuine statement of another step could replace it.

        Raises:
            DigestError: It names another manifest, or another digest of a changed member, before or after the step;
                or a member differs between the two manifests and is not named.
            ManifestError: It names other generations, another bundle or another time.
        """
        place = self.entry.statement
        stated = (statement.base_generation, statement.generation, statement.bundle_id, statement.created_at)
        due = (self.manifest.generation, self.successor.generation, self.manifest.bundle_id, self.entry.at)
        for name, value, expected in zip(
            ("baseGeneration", "generation", "bundleId", "createdAt"), stated, due, strict=True
        ):
            if value != expected:
                raise ManifestError(f"{name} is {value}, where lineage has {expected}", where=place)
        for name, digest, manifest in (
            ("material", statement.base_manifest.sha256, self.manifest),
            ("subject", statement.manifest.sha256, self.successor),
        ):
            if digest != manifest.sha256:
                raise DigestError(f"the {name} is manifest {digest}, not {manifest.sha256}", where=place)
        stated_record = statement.record.sha256 if statement.record is not None else None
        if stated_record != self.entry.record_sha256:
            raise DigestError(
                f"names the record {stated_record}, where lineage has {self.entry.record_sha256}", where=place
            )
        self._check_members(statement)

    def _check_members(self, statement: PatchStatement) -> None:
        before = {entry.path: entry.sha256 for entry in self.manifest.entries}
        after = {entry.path: entry.sha256 for entry in self.successor.entries}
        differing = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
        due_before = {path: before[path] for path in differing if path in before}
        due_after = {path: after[path] for path in differing if path in after}
        for name, artifacts, due in (
            ("materials", statement.materials, due_before),
            ("subjects", statement.changed, due_after),
        ):
            stated = {artifact.path: artifact.sha256 for artifact in artifacts}
            wrong = sorted(path for path in stated.keys() | due.keys() if stated.get(path) != due.get(path))
            if wrong:
                raise DigestError(
                    f"its {name} differ from what changed between the manifests: {wrong[0]}", where=self.entry.statement
                )


class _History:
    """Generations by number, from the oldest kept one to the current one; the two used last are held parsed."""

    def __init__(self, current: Manifest, kept: Mapping[MemberPath, bytes], limits: Limits) -> None:
        self._current = current
        self._kept = kept
        self._limits = limits
        self._parsed: dict[int, tuple[Manifest, int]] = {}

    def manifest(self, number: int) -> Manifest:
        """Return one generation's manifest.

        Raises:
            DigestError: It has another digest than lineage names.
            ManifestError: It is no manifest.
            LimitError: The kit exceeds its budget of memory.
        """
        if number == len(self._current.lineage):
            return self._current
        found = self._parsed.pop(number, None) or self._parse(self._current.lineage[number])
        self._parsed[number] = found
        return found[0]

    def _parse(self, entry: LineageEntry) -> tuple[Manifest, int]:
        if len(self._parsed) == _MAX_PARSED:
            _, size = self._parsed.pop(next(iter(self._parsed)))
            self._limits.hold(-size)
        before = self._limits.held
        return _kept(entry, self._kept[MemberPath(entry.path)], self._limits), self._limits.held - before


def check(current: Manifest, history: Mapping[MemberPath, bytes], *, limits: Limits) -> tuple[Step, ...]:
    """Check obligations 1 to 5.

    Args:
        current: The kit's manifest.
        history: The content of every member under ``manifest/history/``.
        limits: Limits for the kept manifests.

    Returns:
        The steps, oldest first; empty for a kit that was never patched.

    Raises:
        DigestError: History is not exactly what lineage names, or a kept manifest has another digest.
        ManifestError: A kept manifest is malformed, or does not fit its place in the chain.
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
            record=_record(entry, history),
        )
        for number, entry in enumerate(current.lineage)
    )
    for number, step in enumerate(steps):
        with limits.release_at_exit():
            limits.hold(_BYTES_PER_BYTE * len(step.statement), where=step.entry.statement)
        _check_link(current, number, step.entry, step.manifest, step.successor)
    return steps


def _prior_statement(lineage: tuple[LineageEntry, ...], number: int) -> Sha256 | None:
    return lineage[number].prior_statement_sha256 if number < len(lineage) else None


def _record(entry: LineageEntry, history: Mapping[MemberPath, bytes]) -> bytes | None:
    """Return the record of a step, which has the digest in lineage (obligation 2)."""
    if entry.record is None:
        return None
    data = history[MemberPath(entry.record)]
    if (digest := Sha256.of(data)) != entry.record_sha256:
        raise DigestError(f"digest {digest} where lineage has {entry.record_sha256}", where=entry.record)
    return data


def _check_files(lineage: tuple[LineageEntry, ...], history: Mapping[MemberPath, bytes]) -> None:
    named = {
        MemberPath(path)
        for entry in lineage
        for path in (entry.path, entry.signature, entry.statement, entry.record)
        if path is not None
    }
    absent = sorted(named - set(history))
    if absent:  # obligation 1
        raise DigestError(f"{absent[0]} is named by lineage, but absent")
    surplus = sorted(set(history) - named)
    if surplus:  # obligation 1: a file that nothing binds would be unsigned content in a signed kit
        raise DigestError(f"{surplus[0]} is not named by lineage")


def _kept(entry: LineageEntry, data: bytes, limits: Limits) -> Manifest:
    digest = Sha256.of(data)
    if digest != entry.manifest_sha256:  # obligation 2, before its content is trusted
        raise DigestError(f"digest {digest} where lineage has {entry.manifest_sha256}", where=entry.path)
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
    """Check that the step is no older than the generation it replaced; a manifest without a time is not compared.

    The parser has checked that the entries of every manifest are in order and end in its own time.
    """
    if manifest.made_at is not None and entry.at < manifest.made_at:
        raise ManifestError(
            f"made at {manifest.made_at}, and replaced at {entry.at}: no generation is older than the one below",
            where=entry.path,
        )
    before, after = manifest.created_at, successor.created_at
    if before is not None and after is not None and after < before:  # a foreign manifest keeps its times
        raise ManifestError(
            f"made at {before}, but its successor at {after}: no generation is older than the one below",
            where=entry.path,
        )
