"""Whether a server will take what a patch writes: the check of each run, and of keys over all of them.

What is checked is the result: every document, changed or not, of the collections that the transforms handle
(:mod:`kit.importing`, schemas/importing.md). A document that broke the same rule before the patch is distinguished. Not
checked are members in which nothing is left to do, since they are not read again; they are listed as such.

Laws: plan and patch find the same, since both pass here; memory does not grow with the number of documents; without
validators and unique indexes a document costs one walk of its topmost level.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from kit.archive.read.reader import KitReader
from kit.documents import Run, core, document_name
from kit.engine.checks import Refusal, Refusals
from kit.engine.passing import entries
from kit.engine.reading import MAX_FINDINGS, Survey, member_runs
from kit.errors import ContentError, KitError
from kit.importing.metadata import Demands, Rule, metadata_of, name_faults, parse_metadata
from kit.importing.scanning import ImportCheck, base_fault, check_run, index_keys, place_of, repeats, select
from kit.output.scratch import ScratchFile
from kit.transforms.coverage import NO_TENANT, tenant_named
from kit.transforms.protocol import Finding, Transform
from kit.values import CollectionMember, CollectionName, Limits, MemberPath

if TYPE_CHECKING:
    from kit.engine.changes import Rewrite

UNIMPORTABLE = "unimportable"
"""The kind of the finding."""
_HINT = "change the documents or the rule; --allow-unimportable signs them as they are, and the provenance counts them"
_PART_BYTES = 24 * 1024 * 1024 if core.import_repeats is not None else 3 * 1024 * 1024
"""Records that are compared at a time. The reference holds ten times their size."""
_READ_BYTES = 24 * 43_690


@dataclass(slots=True, kw_only=True)
class Unimportable:
    """What a server would refuse of a run, or of a kit."""

    refusals: Refusals = field(default_factory=Refusals)
    counts: Counter[str] = field(default_factory=Counter)
    """Rule → documents."""
    findings: list[Finding] = field(default_factory=list)
    keys: bytes = b""
    """Of a run: records of unique indexes (:mod:`kit.importing.scanning`)."""
    unchecked: list[tuple[MemberPath, str]] = field(default_factory=list)
    """Of a kit: what a server will demand of a member and is not evaluated."""

    def name(self, rule: Rule, what: str, ordinal: int, document: str, tenant: str, *, known: bool, where: str) -> None:
        """Add one thing that is refused.

        Args:
            rule: By which it is.
            what: Why, as a sentence without a subject of its own.
            ordinal: Of the document in its member.
            document: Its ``_id`` as text.
            tenant: Its tenant.
            known: Whether the base broke the same rule there.
            where: The place, for the error.
        """
        reason = f"a server refuses it by the rule {rule.value}: {what}{'; already in the base' if known else ''}"
        error = ContentError(reason, where=where, hint=_HINT)
        refusal = Refusal(ordinal=ordinal, document=document, error=error)
        self.refusals.add(refusal)
        self.counts[rule.value] += 1
        self.findings.append(Finding(kind=UNIMPORTABLE, reason=reason, document=document, tenant=tenant))


def check_import(check: ImportCheck, run: Run, after: Run, touched: Sequence[bool]) -> Unimportable:
    """Return what a server would refuse of a run; a size that the patch itself would exceed is an error elsewhere.

    Args:
        check: What applies to the member.
        run: The documents, as they were.
        after: The documents, as they are.
        touched: Whether each changed.
    """
    found = Unimportable()
    checked = check_run(check, after.data, after.ends, run.first)
    found.keys = checked.records
    for fault in checked.faults:
        number, rule = fault.number, fault.rule
        if rule is Rule.SIZE and touched[number]:
            continue  # kit.engine.checks refuses it, and nothing permits it
        document = after.document(number)
        known = not touched[number] or base_fault(check, run.document(number), rule)
        name = document_name(document)
        where = f'document {run.first + number:,} (_id "{name}")'
        tenant = tenant_named(document)
        found.name(rule, fault.what, run.first + number, name, tenant, known=known, where=where)
    return found


def expected_check(collection: CollectionMember, slot: int) -> ImportCheck:
    """Return the check of a collection for which a server demands nothing of its own."""
    name = replace(collection.name, collection=unquote(collection.name.collection))
    return ImportCheck(name=name, path=collection.path, slot=slot)


class KeyStore:
    """The keys of unique indexes on disk; the caller removes the folder."""

    def __init__(self, path: Path) -> None:
        """Keep them in ``path``, which is made with the first."""
        self._path = path
        self._file: ScratchFile | None = None

    def put(self, records: bytes) -> None:
        """Store records.

        Raises:
            OutputError: The disk is full or failed.
        """
        if records:
            if self._file is None:
                self._file = ScratchFile(self._path)
            self._file.append(records)

    def repeated(self, most: int) -> tuple[int, list[tuple[int, int, bytes]]]:
        """Return how many documents repeat a key of an earlier one, and the first ``most``; then drop all.

        Raises:
            OutputError: The disk failed.
        """
        file, self._file = self._file, None
        if file is None:
            return 0, []
        try:
            file.flush()
            parts = -(-file.size // _PART_BYTES)
            total, found = 0, list[tuple[int, int, bytes]]()
            for part in range(parts):
                pieces = (file.read(at, _READ_BYTES) for at in range(0, file.size, _READ_BYTES))
                count, some = repeats(b"".join(select(piece, part, parts) for piece in pieces), most)
                total += count
                found = sorted({one[0]: one for one in (*some, *found)}.values())[:most]
            return total, found
        finally:
            file.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Importing:
    """What the result of a patch is checked by."""

    checks: Mapping[MemberPath, ImportCheck]
    faults: tuple[tuple[MemberPath, Rule, str], ...]
    """What is wrong with a collection, whatever its documents are."""
    unchecked: tuple[tuple[MemberPath, str], ...]
    keys: KeyStore

    @classmethod
    def of(cls, survey: Survey, transforms: Sequence[Transform], limits: Limits, scratch: Path) -> Importing:
        """Return what applies to the collections that ``transforms`` handle, by the metadata that was read."""
        checks: dict[MemberPath, ImportCheck] = {}
        faults: list[tuple[MemberPath, Rule, str]] = []
        unchecked: list[tuple[MemberPath, str]] = []
        handled = (one for one in survey.collections.values() if any(t.handles(one.name) for t in transforms))
        for slot, collection in enumerate(sorted(handled, key=lambda one: one.path)):
            path = collection.path
            demands = _demands(collection, survey, limits, faults)
            name = CollectionName(
                database=collection.name.database,
                collection=demands.collection or unquote(collection.name.collection),
            )
            faults += ((path, Rule.NAME, fault) for fault in name_faults(name))
            unchecked += ((path, what) for what in demands.unchecked)
            checks[path] = ImportCheck(name=name, path=path, slot=slot, demands=demands)
        members = Counter(check.name for check in checks.values())
        unchecked += ((path, _SHARED) for path, check in checks.items() if members[check.name] > 1)
        return cls(
            checks=checks, faults=tuple(faults), unchecked=tuple(unchecked), keys=KeyStore(scratch / "import-keys")
        )

    @classmethod
    def ahead(cls, checks: Mapping[MemberPath, ImportCheck], scratch: Path) -> Importing:
        """Return what collections are checked by that come before their metadata; ``checks`` may still grow."""
        return cls(checks=checks, faults=(), unchecked=(), keys=KeyStore(scratch / "import-keys"))

    def confirmed(self, due: Importing) -> Importing | None:
        """Return ``due`` with the keys that were found here; None where other checks than those were due."""
        if {path: check.essence for path, check in due.checks.items()} != {
            path: check.essence for path, check in self.checks.items()
        }:
            return None
        return replace(due, keys=self.keys)


def _demands(
    collection: CollectionMember, survey: Survey, limits: Limits, faults: list[tuple[MemberPath, Rule, str]]
) -> Demands:
    there = [path for path, _ in metadata_of(collection) if path in survey.metadata]
    if not there:
        return Demands()
    data = survey.metadata[there[0]]
    try:
        if isinstance(data, KitError):
            raise data
        demands = parse_metadata(data, limits=replace(limits, meter=None), where=str(there[0]))
    except KitError as error:
        faults.append((collection.path, Rule.METADATA, f"{there[0]}: {error.what}"))
        return Demands()
    several = ("rules in more than one metadata file",) if len(there) > 1 else ()
    return replace(demands, unchecked=(*demands.unchecked, *several))


def finish_import(reader: KitReader, survey: Survey, importing: Importing, done: Rewrite, transform: str) -> None:
    """Add to ``done`` what is only known once all documents are: keys that are there twice; and faults of collections.

    Args:
        reader: The kit.
        survey: What the first reading found of it.
        importing: What the result is checked by.
        done: What was found of the runs.
        transform: Under which findings are listed.

    Raises:
        KitError: The kit cannot be read again, or the disk failed.
    """
    found = Unimportable()
    for path, rule, what in importing.faults:
        if path in done.members:
            name = str(importing.checks[path].name)
            found.name(rule, what, 0, name, NO_TENANT, known=True, where="")
            done.take_unimportable(path, transform, found)
            found = Unimportable()
    total, repeated = importing.keys.repeated(MAX_FINDINGS)
    if total:
        named = _read_places(reader, survey, importing, {place for one in repeated for place in one[:2]})
        paths = {check.slot: path for path, check in importing.checks.items()}
        for place, first, key in repeated:
            path = paths[place_of(place)[0]]
            found = _refuse_repeat(importing.checks[path], place, named[place], named[first], key)
            done.take_unimportable(path, transform, found)
        done.unimportable.refusals.total += total - len(repeated)
        done.unimportable.counts[Rule.INDEX.value] += total - len(repeated)
        done.omitted_findings += total - len(repeated)
    done.unimportable.unchecked += (one for one in importing.unchecked if one[0] in done.members)
    done.unimportable.unchecked += ((path, _SETTLED) for path in sorted(survey.settled))


_SHARED = "keys that it shares with other members of the same collection"
_SETTLED = "any of its documents, since none is to be changed"


@dataclass(frozen=True, slots=True)
class _Named:
    """A document of the base."""

    document: str
    tenant: str
    keys: frozenset[bytes]
    """In the index in question."""


def _refuse_repeat(check: ImportCheck, place: int, one: _Named, earlier: _Named, key: bytes) -> Unimportable:
    """Return what a server refuses of ``one``, at ``place``, which has the same key in an index as ``earlier``."""
    _, index, ordinal = place_of(place)
    title = check.demands.indexes[index - 1].name if index else "_id_"
    found = Unimportable()
    found.name(
        Rule.INDEX,
        f'the unique index {title!r} has the same key for "{earlier.document}"',
        ordinal,
        one.document,
        one.tenant,
        known=key in one.keys and key in earlier.keys,
        where=f'document {ordinal:,} (_id "{one.document}")',
    )
    return found


def _read_places(reader: KitReader, survey: Survey, importing: Importing, places: set[int]) -> dict[int, _Named]:
    """Read the kit again for the documents at ``places``."""
    wanted: dict[int, list[tuple[int, int, int]]] = {}
    for place in places:
        slot, index, ordinal = place_of(place)
        wanted.setdefault(slot, []).append((ordinal, index, place))
    found: dict[int, _Named] = {}
    for member, body in entries(reader, survey):
        collection = survey.collections.get(member.path) if member.path is not None else None
        check = importing.checks.get(collection.path) if collection is not None else None
        if collection is None or check is None or check.slot not in wanted:
            continue
        due = sorted(wanted[check.slot], reverse=True)
        for run in member_runs(collection, body, reader):
            while due and due[-1][0] < run.first + len(run):
                ordinal, index, place = due.pop()
                document = run.document(ordinal - run.first)
                keys = frozenset(index_keys(check, document, index))
                found[place] = _Named(document_name(document), tenant_named(document), keys)
    return found
