"""Says the members of a target kit by those of a base: the two passes of ``kit delta build``.

The first pass stores what of the base will be needed, on disk; the second goes through the target in the order of its
container and chooses for each member the method that is smallest. Laws: what is stored or said has the digest that the
survey found; a member that can be said as documents but is no smaller for it is given in full.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from kit.archive import Container, KitReader, Member, decoded
from kit.archive.reproduction import Framing, framing_of
from kit.archive.scratch import ScratchFile
from kit.archive.tar_writer import END, entry_header, padding
from kit.delta import prefix
from kit.delta.layout import Header, print_lengths
from kit.delta.model import Method
from kit.delta.pieces import END as NO_MORE, piece
from kit.documents import runs
from kit.engine.differing import LARGEST_DOCUMENT, differences, segment
from kit.engine.document_store import DocumentStore
from kit.engine.matching import matched
from kit.engine.pipeline import Pipeline
from kit.engine.survey import Survey, hashing
from kit.errors import ArchiveError, ContentError, DigestError
from kit.values import Codec, CollectionMember, Limits, MemberPath, Sha256

_CHUNK = 1024 * 1024
_THOROUGH_BYTES = 16 * 1024 * 1024
_THOROUGH, _FAST = 17, 6
_WORTH_A_LOOK = 4
"""Documents whose delta is larger than one part in so many of the member are compared with the member in full."""
_AGAIN = "nothing was written; start again"


class BaseStores:
    """What of a base can be read at any place: documents of collections, bytes of other members."""

    def __init__(self, folder: Path) -> None:
        """Keep files in ``folder``."""
        self._folder = folder
        self.documents: dict[MemberPath, DocumentStore] = {}
        self.bytes: dict[MemberPath, ScratchFile] = {}
        self.made: dict[MemberPath, ScratchFile] = {}
        """Members of the target that a recipe made."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for store in self.documents.values():
            store.close()
        for file in (*self.bytes.values(), *self.made.values()):
            file.close()

    def fill(
        self, reader: KitReader, base: Survey, target: Survey, *, besides: frozenset[MemberPath] = frozenset()
    ) -> list[bytes]:
        """Store the members that something else is made from, ``besides`` what is made anyway; gives all headers.

        Raises:
            KitError: A member is malformed or changed since it was surveyed.
        """
        wanted = sources(base, target, besides)
        headers = []
        for member, body in reader.members():
            headers.append(header_of(member))
            if member.path is not None and member.path in wanted:
                checked = surveyed(member, body, base)
                self.put(member.path, base.collections.get(member.path), checked, reader.limits)
        require_same(reader, base)
        return headers

    def put(self, path: MemberPath, collection: CollectionMember | None, body: Iterator[bytes], limits: Limits) -> None:
        """Store one member: the documents of a collection, the bytes of any other.

        Raises:
            KitError: It is malformed.
        """
        if collection is not None:
            store = self.documents[path] = DocumentStore(self._folder, f"base-{len(self.documents)}")
            store.put(runs(decoded(body, collection.codec, limits, where=str(path)), limits=limits))
            return
        self.bytes[path] = store_bytes(self._folder / f"bytes-{len(self.bytes)}", body)


def store_bytes(path: Path, body: Iterator[bytes]) -> ScratchFile:
    """Store bytes in a file."""
    file = ScratchFile(path)
    for chunk in body:
        file.append(chunk)
    file.flush()
    return file


def sources(base: Survey, target: Survey, besides: frozenset[MemberPath]) -> frozenset[MemberPath]:
    """Name the members of the base that something is made from, other than by copying them."""
    known = {digest for digest, _ in base.members.values()}
    changed = [path for path, (digest, _) in target.members.items() if digest not in known and path not in besides]
    return frozenset(found for path in changed if (found := source_of(path, base, target)) is not None)


def source_of(path: MemberPath, base: Survey, target: Survey) -> MemberPath | None:
    """Choose what of the base a member of the target is made from: the same name, or the same collection once there."""
    if path in base.members:
        same_kind = (path in base.collections) == (path in target.collections)
        return path if same_kind else None
    collection = target.collections.get(path)
    if collection is None:
        return None
    parts = [other for other, met in base.collections.items() if met.name == collection.name]
    return parts[0] if len(parts) == 1 else None


def header_of(member: Member) -> bytes:
    """Give the header blocks of an entry: its own, or for what comes from a folder those it would get."""
    return member.header or entry_header(member)


def met_again(member: Member, body: Iterator[bytes], survey: Survey) -> Iterator[bytes]:
    """Pass a body on; at its end it must have been the one that was surveyed."""
    digest = hashlib.sha256()
    yield from hashing(body, digest)
    expected = survey.members.get(member.path) if member.path is not None else None
    if expected is None or expected[0].hex != digest.hexdigest():
        raise DigestError("the kit changed while it was being read", where=str(member.path), hint=_AGAIN)


def surveyed(member: Member, body: Iterator[bytes], survey: Survey) -> Iterator[bytes]:
    """Pass a body on; of a folder, at its end it must have been the one that was surveyed.

    The bodies in an archive are if its stored bytes are, which are far fewer: :func:`require_same` asks that once,
    after the pass, before anything is made of what was met.
    """
    return body if survey.stored is not None else met_again(member, body, survey)


def require_same(reader: KitReader, survey: Survey) -> None:
    """See, after a pass, that it met the archive that was surveyed.

    Raises:
        DigestError: It changed.
    """
    if reader.pass_digest() != survey.stored:
        raise DigestError("the kit changed while it was being read", where=str(reader.path), hint=_AGAIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """How a member is made, and its payload where it has one."""

    method: Method
    source: MemberPath | None = None
    chunks: Iterator[bytes] | None = None


class Work(Protocol):
    """An open kit and its workers."""

    @property
    def reader(self) -> KitReader:
        """The kit."""
        ...

    @property
    def executor(self) -> Executor:
        """Who does the work."""
        ...

    @property
    def budget(self) -> int:
        """Bytes of input in flight."""
        ...


class Saying:
    """The second pass."""

    def __init__(
        self,
        kit: Work,
        base: Survey,
        target: Survey,
        stores: BaseStores,
        folder: Path,
        *,
        verbatim: frozenset[MemberPath],
        recipe: frozenset[MemberPath] = frozenset(),
    ) -> None:
        """Say the target ``kit``, whose survey is ``target``, by what is in ``stores``.

        ``verbatim`` goes in full, and ``recipe`` is computed at the site.
        """
        self._recipe = recipe
        self._kit = kit
        self._verbatim = verbatim
        self._base = base
        self._target = target
        self._stores = stores
        self._folder = folder
        self._limits = kit.reader.limits
        self._headers: list[Header] = []
        self._framing: tuple[int, ...] | None = None
        self._content = ""
        """Digest of what the container holds, if it is cut so."""
        self._by_digest: dict[Sha256, MemberPath] = {}
        for path, (digest, _) in base.members.items():
            self._by_digest.setdefault(digest, path)

    @property
    def headers(self) -> tuple[Header, ...]:
        """Of the members gone through."""
        return tuple(self._headers)

    def members(self) -> Iterator[tuple[MemberPath, Sha256, int, Said]]:
        """Give each file of the target in the order of its container, and how it is made; payloads are taken in turn.

        Raises:
            KitError: The kit changed since it was surveyed, or the disk is full.
        """
        made = self._begin_framing()
        for member, body in self._kit.reader.members():
            header = header_of(member)
            self._headers.append(Header(data=header, has_body=member.is_file))
            if made is not None:
                made.update(header)
            if member.path is None or not member.is_file:
                continue
            digest, size = self._target.members[member.path]
            checked = surveyed(member, body, self._target)
            if made is not None:
                checked = hashing(checked, made)
            yield member.path, digest, size, self._said(member.path, digest, checked)
            for _ in checked:
                pass
            if made is not None:
                made.update(padding(size))
        require_same(self._kit.reader, self._target)
        if made is not None:
            made.update(END)
            if made.hexdigest() != self._content:
                self._framing = None

    def framing(self) -> tuple[int, ...] | None:
        """Tell how the container is cut into frames, once all members were given; None where it cannot come back."""
        return self._framing

    def _begin_framing(self) -> hashlib._Hash | None:
        """See how the container is cut, if this program cut it; gives what to feed with all that members make of it."""
        reader = self._kit.reader
        if reader.container is Container.FOLDER:
            return None
        if reader.container is Container.TAR:
            self._framing, self._content = (), reader.stored_digest().hex
            return hashlib.sha256()
        codec = Codec.ZSTD if reader.container is Container.TAR_ZSTD else Codec.GZIP
        met = hashlib.sha256()
        framing = framing_of(reader.stored_chunks(), codec, self._limits, table=True, content=met)
        # The end stands in a frame of its own; that nothing but headers, bodies, padding and the end is there, the
        # digest will tell.
        if framing is None or framing.lengths[-1] != len(END):
            return None
        self._framing, self._content = framing.lengths, met.hexdigest()
        return hashlib.sha256()

    def _said(self, path: MemberPath, digest: Sha256, body: Iterator[bytes]) -> Said:
        source = self._by_digest.get(digest)
        if path in self._verbatim:
            stored = store_bytes(self._folder / "member", body)
            return Said(method=Method.FULL, chunks=self._binary(stored, None))
        if source is not None:
            return Said(method=Method.COPY, source=source)
        if path in self._recipe:
            return Said(method=Method.RECIPE, source=path)
        source = source_of(path, self._base, self._target)
        collection = self._target.collections.get(path)
        if collection is not None and source is not None and source in self._stores.documents:
            return self._collection(collection, source, body)
        stored = store_bytes(self._folder / "member", body)
        like = self._stores.bytes.get(source) if source is not None else None
        method = Method.FULL if like is None else Method.BINARY
        return Said(method=method, source=source if like is not None else None, chunks=self._binary(stored, like))

    def _collection(self, collection: CollectionMember, source: MemberPath, body: Iterator[bytes]) -> Said:
        """Say a collection by its documents; in full where its bytes would not come back, or nothing is gained."""
        target = DocumentStore(self._folder, "target")
        framing: Framing | None = Framing(lengths=())
        if collection.codec is Codec.NONE:
            stored = target.data
            sound = self._cut(collection, target, target.keeping(body), kept=True)
        else:
            stored = store_bytes(self._folder / "member", body)
            framing = framing_of(whole(stored), collection.codec, self._limits, table=False)
            chunks = decoded(whole(stored), collection.codec, self._limits, where=str(collection.path))
            sound = framing is not None and self._cut(collection, target, chunks, kept=False)
        payload = None
        if sound and framing is not None and target.largest <= LARGEST_DOCUMENT:
            payload = self._segments(self._stores.documents[source], target, framing)
        if payload is not None and payload.size * _WORTH_A_LOOK <= stored.size:
            chosen = payload
        else:
            chosen = store_bytes(self._folder / "full", self._binary(stored, None))
            if payload is not None and payload.size <= chosen.size:
                chosen = payload
        for file in (stored, target):
            file.close()
        if chosen is payload:
            return Said(method=Method.DOCUMENTS, source=source, chunks=_closing(chosen))
        return Said(method=Method.FULL, chunks=_closing(chosen))

    def _cut(self, collection: CollectionMember, target: DocumentStore, chunks: Iterator[bytes], *, kept: bool) -> bool:
        """Cut a stream into documents and store them; tells whether it can be cut.

        Raises:
            KitError: The stream ends before its member does; or the disk is full.
        """
        try:
            target.put(runs(chunks, limits=self._limits), kept=kept)
        except (ContentError, ArchiveError):
            # It goes in full then; the rest of its bytes is wanted, and an error of the container is none of its own.
            for _ in chunks:
                pass
            target.flush()
            if kept and target.size != self._target.members[collection.path][1]:
                raise
            return False
        return True

    def _segments(self, base: DocumentStore, target: DocumentStore, framing: Framing) -> ScratchFile:
        payload = ScratchFile(self._folder / "payload")
        payload.append(piece(print_lengths(framing.lengths)))
        with Pipeline(self._kit.executor, budget=self._kit.budget) as pipeline:
            for plan in differences(base, target, matched(base, target)):
                pipeline.submit(segment, plan, cost=plan.size, then=lambda made: payload.append(piece(made)))
        payload.append(NO_MORE)
        payload.flush()
        return payload

    def _binary(self, stored: ScratchFile, base: ScratchFile | None) -> Iterator[bytes]:
        """Give pieces packed against a base, or against nothing."""
        level = _THOROUGH if stored.size <= _THOROUGH_BYTES else _FAST
        for at in range(0, stored.size, prefix.PIECE_BYTES):
            data = stored.read(at, prefix.PIECE_BYTES)
            stretch = prefix.Stretch(start=0, size=0)
            if base is not None:
                stretch = prefix.stretch_of(at, base_size=base.size, target_size=stored.size)
            like = base.read(stretch.start, stretch.size) if base is not None else b""
            yield piece(prefix.packed(data, stretch, like, level))
        yield NO_MORE


def whole(file: ScratchFile) -> Iterator[bytes]:
    """Read all of a file, in chunks."""
    for at in range(0, file.size, _CHUNK):
        yield file.read(at, _CHUNK)


def _closing(file: ScratchFile) -> Iterator[bytes]:
    yield from whole(file)
    file.close()
