"""Searches for copies of the sealed values in the clear, anywhere in the kit (schemas/verify-report.md).

With keys, every sealed value is its own canary: its texts are noted as digests, and a second pass looks for them in
every document and in the bytes of every other member. Nothing of them is in the report: only where, and how often.
Whether a copy is a fault depends on the product, since some is derived from what is sealed. So copies are reported, and
refuse a kit only where the user demands that there are no more than so many.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from kit.encryption import KeySource
from kit.encryption.copies import LONG, Secret, filter_bytes
from kit.engine.copies import (
    MOST_EXAMPLES,
    NotedTexts,
    Place,
    Places,
    Stretches,
    add_stretch,
    close_index,
    note_run,
    overlapping,
    search_bytes,
    search_run,
)
from kit.engine.passing import entries
from kit.engine.progress import Stage
from kit.engine.reading import member_runs
from kit.errors import ContentError, KitError, OutputError, StoppedError, UnreadableError
from kit.manifest import Manifest
from kit.output.scratch import scratch_folder
from kit.values import CollectionMember, CollectionName, MemberPath
from kit.verbs.verify import ends
from kit.verbs.verify.field_proof import FieldExpectation, check_listed
from kit.verbs.verify.judgement import Judgement, Obligation, Status
from kit.verbs.verify.kits import OpenKit

NUMBER = 7
ATTACK = "plaintext left where no field map looks"
_BLOCK_BYTES = 1 << 20
_MOST_PATHS = 1000
"""Paths of a member that are listed; what is on further ones is counted under :data:`_MORE`."""
_MORE = "(other paths)"


@dataclass(slots=True, kw_only=True)
class MemberCopies:
    """What was found in one member; ``name`` is None for one that is no collection, whose only path is ""."""

    path: MemberPath
    name: CollectionName | None
    places: Places = field(default_factory=Places)

    def add(self, found: Places) -> None:
        """Add what was found in a run."""
        for path, place in found.items():
            known = path if path in self.places or len(self.places) < _MOST_PATHS else _MORE
            self.places.setdefault(known, Place()).add(place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """What the search found."""

    values: int
    """Sealed values that were opened and looked for."""
    unopened: int
    """Sealed values that were not, as they do not open."""
    members: tuple[MemberCopies, ...]
    """The members with anything in them, in the kit's order."""

    @property
    def copies(self) -> int:
        """Places with :data:`LONG` bytes or more of a sealed text."""
        return sum(place.copies for member in self.members for place in member.places.values())

    @property
    def equal(self) -> int:
        """Texts that equal a short sealed one."""
        return sum(place.equal for member in self.members for place in member.places.values())

    @property
    def detail(self) -> str:
        """The result in one line."""
        searched = f"{self.values:,} sealed values were looked for"
        if self.unopened:
            searched += f" ({self.unopened:,} were not: they do not open)"
        short = f"{self.equal:,} texts equal one of fewer than {LONG} bytes"
        return f"{searched}: {self.copies:,} copies of {LONG} bytes or more in the clear{self._worst()}; {short}"

    def _worst(self) -> str:
        places = [(place.copies, member, path) for member in self.members for path, place in member.places.items()]
        count, member, path = max(places, key=lambda one: one[0], default=(0, None, ""))
        if member is None or not count:
            return ""
        where = f"{member.name} {path}" if member.name is not None else str(member.path)
        return f", most in {where} ({count:,})"


def search_copies(kit: OpenKit, judgement: Judgement, expectation: FieldExpectation) -> Copies | None:
    """Search the kit, add the obligation to ``judgement``, and return what was found; None without keys.

    Raises:
        UnreadableError: The kit can no longer be read.
        StoppedError: A worker died.
        OutputError: There is no room for what is kept meanwhile.
    """
    if expectation.keys is None or judgement.manifest is None:
        return None
    try:
        found = _search(kit, judgement.manifest, expectation, expectation.keys)
    except (UnreadableError, StoppedError, OutputError):
        raise  # there is no verdict on copies
    except KitError as failure:
        _insert(judgement, Status.FAILED, str(failure), failure)
        return None
    most, error = expectation.most_copies, None
    if most is not None and found.copies > most:
        error = ContentError(
            f"{found.detail}; at most {most:,} may be",
            hint="seal these fields, too (--field-map), or remove what is in them",
        )
    elif most is not None and found.unopened:
        error = ContentError(f"{found.detail}; of what does not open, no copy can be found")
    if error is not None:
        _insert(judgement, Status.FAILED, str(error), error)
    else:
        _insert(judgement, Status.CHECKED, found.detail)
    return found


def _insert(judgement: Judgement, status: Status, detail: str, error: KitError | None = None) -> None:
    obligation = Obligation(number=NUMBER, name=ends.COPIES, attack=ATTACK, status=status, detail=detail, error=error)
    judgement.obligations.insert(sum(one.number <= NUMBER for one in judgement.obligations), obligation)


def _search(kit: OpenKit, manifest: Manifest, expectation: FieldExpectation, keys: KeySource) -> Copies:
    secret = Secret.of(keys.key_set())
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder(None))
        mapped = sum(entry.size or 0 for entry in manifest.entries if _is_mapped(manifest, entry.path, expectation))
        noted = NotedTexts(folder, filter_bytes(mapped))
        handed = kit.executor.hand_out(keys.key_set())
        with kit.pipeline(Stage.FIELDS) as pipeline:
            for collection, body in _bodies(kit, manifest):
                entry = expectation.mapped(collection) if isinstance(collection, CollectionMember) else None
                if entry is None or not isinstance(collection, CollectionMember):
                    continue
                for run in member_runs(collection, body, kit.reader):
                    pipeline.submit(
                        note_run,
                        *(entry, run, secret, handed),
                        cost=len(run.data),
                        weight=run.weight,
                        then=noted.add,
                        where=str(collection.path),
                    )
        stack.callback(close_index, folder)
        noted.finish()
        members = list(_search_members(kit, manifest, secret, folder))
    return Copies(values=noted.values, unopened=noted.unopened, members=tuple(one for one in members if one.places))


def _is_mapped(manifest: Manifest, path: MemberPath, expectation: FieldExpectation) -> bool:
    collection = manifest.table.member(path)
    return collection is not None and expectation.mapped(collection) is not None


def _bodies(kit: OpenKit, manifest: Manifest) -> Iterator[tuple[CollectionMember | MemberPath, Iterator[bytes]]]:
    """Yield each file with its body, which is checked to be the signed one once it was read to its end."""
    listed = {entry.path: entry.sha256 for entry in manifest.entries}
    for member, body in entries(kit.reader):
        if member.path is None or not member.is_file:
            continue
        signed = check_listed(body, member.path, listed) if member.path in listed else body
        yield manifest.table.member(member.path) or member.path, signed
        for _ in signed:
            pass


def _search_members(kit: OpenKit, manifest: Manifest, secret: Secret, folder: Path) -> Iterator[MemberCopies]:
    with kit.pipeline(Stage.FIELDS) as pipeline:
        for one, body in _bodies(kit, manifest):
            found = MemberCopies(
                path=one.path if isinstance(one, CollectionMember) else one,
                name=one.name if isinstance(one, CollectionMember) else None,
            )
            yield found
            if isinstance(one, CollectionMember):
                for run in member_runs(one, body, kit.reader):
                    pipeline.submit(
                        search_run,
                        *(run, secret, folder),
                        cost=len(run.data),
                        weight=run.weight,
                        then=found.add,
                        where=str(found.path),
                    )
                continue
            stretches: list[tuple[int, int]] = []
            for offset, block in overlapping(body, _BLOCK_BYTES):
                then = partial(_add_stretches, stretches)
                where = str(found.path)
                pipeline.submit(search_bytes, *(block, offset, secret, folder), cost=len(block), then=then, where=where)
            pipeline.mark(partial(_note_stretches, found, stretches))


def _add_stretches(stretches: list[tuple[int, int]], found: Stretches) -> None:
    for one in found.found:
        add_stretch(stretches, one)


def _note_stretches(found: MemberCopies, stretches: list[tuple[int, int]]) -> None:
    if stretches:
        examples = [f"byte {start:,}" for start, _ in stretches[:MOST_EXAMPLES]]
        found.places[""] = Place(copies=len(stretches), examples=examples)
