"""What every verb of deltas shares: opening a delta, checking who signed it and that it is whole.

A delta is judged by the same policy as kits: who may sign its target may sign it. Laws: nothing of a delta is used
before its manifest's signature is checked, except to show what it claims; every payload has the digest and size that
the manifest names before any of it is decoded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kit.archive.read.reader import Container, KitReader, open_kit
from kit.archive.read.tar import Member
from kit.delta import prefix
from kit.delta.layout import parse_headers
from kit.delta.model import DELTA_TYPE, MANIFEST, SIGNATURE, DeltaManifest, Entry, Method, Payload
from kit.delta.packing import read_pieces
from kit.engine.passing import hashing
from kit.engine.reading import read_whole
from kit.errors import (
    ArchiveError,
    DigestError,
    KitError,
    RollbackError,
    UnsignedError,
    WrongBaseError,
)
from kit.manifest import MANIFEST_PATHS, Manifest, files, is_history, locate, signature_of
from kit.trust import Anchor, Detached, Occasion, Role, Subject, authorise_any
from kit.values import Limits, MemberPath, Sha256
from kit.verbs.verify.judged import named
from kit.verbs.verify.signers import inside, sign_off

CONTAINERS = {container.value: container for container in Container}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDelta:
    """A delta being read; its manifest is parsed, and not yet believed."""

    reader: KitReader
    manifest: DeltaManifest
    manifest_bytes: bytes
    signature: bytes | None

    @property
    def where(self) -> str:
        """Its place, for messages."""
        return str(self.reader.path)


@contextmanager
def opened_delta(path: Path, limits: Limits) -> Iterator[OpenDelta]:
    """Open a delta and read its manifest.

    Raises:
        UnreadableError: It is not there, or not readable.
        ArchiveError: It is no archive, or no delta.
    """
    with open_kit(path, limits=limits) as reader:
        where, limits = str(path), reader.limits
        members = reader.members()
        data = _whole(next(members, None), MANIFEST, limits)
        if data is None:
            raise ArchiveError(
                f"is no delta: its first member is not {MANIFEST}", where=where, hint="kit inspect shows what a kit is"
            )
        signature = _whole(next(members, None), SIGNATURE, limits)
        try:
            manifest = DeltaManifest.parse(data, limits=limits)
        except KitError as error:
            raise error.inside(where) from error.__cause__
        yield OpenDelta(reader=reader, manifest=manifest, manifest_bytes=data, signature=signature)


def _whole(met: tuple[Member, Iterator[bytes]] | None, path: MemberPath, limits: Limits) -> bytes | None:
    if met is None or met[0].path != path:
        return None
    return read_whole(*met, limits)


def check_signature(delta: OpenDelta, anchor: Anchor) -> tuple[str, ...]:
    """Check who signed a delta; gives the ids of their keys.

    Raises:
        UnsignedError: It has no signature.
        UntrustedError: Nobody who may sign its target has signed it.
        SignatureError: A signature is malformed or does not verify.
        StaleError: The keys are out of their time.
    """
    manifest = delta.manifest
    if delta.signature is None:
        raise UnsignedError("the delta has no signature", where=f"{delta.where}: {SIGNATURE}")

    # A delta says how to make bytes that the target's own signature is then checked over, so it may be signed by
    # whoever signs either kind of generation.
    subjects = [
        Subject(
            what=f"the delta to generation {manifest.target.generation}",
            role=role,
            bundle_id=manifest.bundle_id,
            members=_made_anew(manifest),
            only_collections=role is Role.PATCHER,
        )
        for role in (Role.PUBLISHER, Role.PATCHER)
    ]
    signature = Detached(document=delta.signature, payload=delta.manifest_bytes, typ=DELTA_TYPE)
    check = partial(authorise_any, anchor, subjects, signature, Occasion(signed_at=manifest.created_at))
    return inside(f"{delta.where}: {SIGNATURE}", check).key_ids


def _made_anew(manifest: DeltaManifest) -> tuple[MemberPath, ...]:
    """Return the members that the delta does more with than copy them; a manifest and history are nobody's to limit."""
    outside = {*MANIFEST_PATHS, *(signature_of(path) for path in MANIFEST_PATHS)}
    return tuple(
        entry.path
        for entry in manifest.members
        if entry.path not in outside
        and not is_history(entry.path)
        and not (entry.method is Method.COPY and entry.source == entry.path)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedTarget:
    """The target's manifest and signature, as the delta carries them."""

    manifest: Manifest
    data: bytes
    signature: bytes | None
    path: MemberPath


def check_payloads(delta: OpenDelta) -> CarriedTarget:
    """Read every payload and compare it with what the manifest names: a closed world; gives what the target's is.

    Raises:
        ArchiveError: The archive is malformed, has a member that is not named, lacks one, or has them in another order;
            or the delta states something else of its target than that does, or of its base where it was made of that.
        DigestError: A payload is not what the manifest says, or a member is not to be what the target's manifest lists.
        ManifestError: The target's manifest is none.
    """
    manifest = delta.manifest
    entry = manifest.entry_of(manifest.target.manifest_sha256)
    if entry is None or entry.payload is None or entry.method is not Method.FULL:
        raise ArchiveError("does not carry the manifest of its target", where=delta.where)
    signature = next((other for other in manifest.members if other.path == signature_of(entry.path)), None)
    kept = {one.payload.path: b"" for one in (entry, signature) if one is not None and one.payload is not None}
    kept[manifest.layout.path] = b""
    _check_each(delta, kept)
    if not manifest.layout_of_base:
        _check_layout(delta, kept[manifest.layout.path])
    data = _carried(delta, entry, kept)
    target = Manifest.parse(data, limits=delta.reader.limits, where=f"{delta.where}: {entry.path}")
    _check_labels(delta, target)
    document = _carried(delta, signature, kept) if signature is not None else None
    return CarriedTarget(manifest=target, data=data, signature=document, path=entry.path)


def _check_labels(delta: OpenDelta, target: Manifest) -> None:
    """Compare all that a delta states of its target, and of what that was made of, with the target's own manifest."""
    manifest = delta.manifest
    if (target.bundle_id, target.generation) != (manifest.bundle_id, manifest.target.generation):
        told = named(target.bundle_id, target.generation, target.sha256)
        raise ArchiveError(f"carries {told}, and says another bundle or generation", where=delta.where)
    for step in target.lineage:
        if (step.manifest_sha256 == manifest.base.manifest_sha256) != (step.generation == manifest.base.generation):
            raise ArchiveError(
                f"says that its base is {manifest.base}; the target was made of generation {step.generation} (manifest"
                f" {step.manifest_sha256})",
                where=delta.where,
            )
    location = locate([entry.path for entry in manifest.members])
    made = {entry.path: (entry.sha256, entry.size) for entry in manifest.members if not location.is_outside(entry.path)}
    for fault in files.compare(target.entries, made):
        listed = fault.kind not in {files.FaultKind.ABSENT, files.FaultKind.UNLISTED}
        error = DigestError if listed else ArchiveError
        raise error(f"makes something else than its target lists: {fault}", where=delta.where)


def _check_layout(delta: OpenDelta, data: bytes) -> None:
    """Check that the layout can be read, and has a header for each member that the delta makes."""
    try:
        for _ in parse_headers(data, delta.manifest.members, most=delta.reader.limits.json_bytes):
            pass
    except ArchiveError as error:
        raise error.inside(delta.where) from error


def _check_each(delta: OpenDelta, kept: dict[MemberPath, bytes]) -> None:
    """Compare all payloads with the manifest; those that ``kept`` names are put there."""
    due = iter(delta.manifest.payloads)
    for member, body in delta.reader.members():
        if member.path in {MANIFEST, SIGNATURE} and member.ordinal < 2:
            continue
        payload = next(due, None)
        if payload is None or member.path != payload.path or not member.is_file:
            expected = f"{payload.path} is expected" if payload is not None else "nothing more is expected"
            raise ArchiveError(f"has {member.path}, where {expected}", where=delta.where)
        where = f"{delta.where}: {payload.path}"
        digest = hashlib.sha256()
        hashed = hashing(body, digest)
        if payload.path in kept:
            kept[payload.path] = read_whole(member, hashed, delta.reader.limits)
        for _ in hashed:
            pass
        if (member.size, digest.hexdigest()) != (payload.size, payload.sha256.hex):
            raise DigestError(
                f"is {member.size:,} bytes with digest {digest.hexdigest()}, where the delta's manifest says"
                f" {payload.size:,} and {payload.sha256}",
                where=where,
            )
    missing = next(due, None)
    if missing is not None:
        raise ArchiveError(f"lacks {missing.path}", where=delta.where)


def _carried(delta: OpenDelta, entry: Entry, kept: Mapping[MemberPath, bytes]) -> bytes:
    """Unpack a member that is carried in full."""
    if entry.payload is None or entry.method is not Method.FULL:
        raise ArchiveError(f"does not carry {entry.path} in full", where=delta.where)
    delta.reader.limits.check("json_bytes", entry.size, where=f"{delta.where}: {entry.path}")
    delta.reader.limits.hold(entry.size, where=f"{delta.where}: {entry.path}")
    parts: list[bytes] = []
    left = entry.size
    for piece in read_pieces([kept[entry.payload.path]]):
        parts.append(prefix.unpack_piece(prefix.parse_stretch(piece)[1], b""))
        left -= len(parts[-1])
        if left < 0:
            break  # a piece of a few bytes makes up to four MiB
    data = b"".join(parts)
    if (len(data), Sha256.of(data)) != (entry.size, entry.sha256):
        raise DigestError("is not what the delta's manifest says", where=f"{delta.where}: {entry.path}")
    return data


def check_target(delta: OpenDelta, target: CarriedTarget, anchor: Anchor) -> tuple[str, ...]:
    """Check who signed the target, as carried; gives the ids of their keys.

    What its step changed is in its own statement, which is judged with the whole target.

    Raises:
        UnsignedError: Nobody did.
        KitError: Nobody who may did, or a signature is invalid, or its keys are revoked or out of their time; the last
            is for the verdict on the target where the user insists.
    """
    where = f"{delta.where}: {signature_of(target.path)}"
    if target.signature is None:
        raise UnsignedError("the manifest of the target has no signature", where=where)
    signing = sign_off(anchor, target.manifest, target.data, target.signature, where)
    return inside(where, partial(signing.require, insisted=anchor.override is not None)).key_ids


class Payloads:
    """The payloads of a delta, taken in the order of its manifest."""

    def __init__(self, delta: OpenDelta) -> None:
        """Begin at the first."""
        self._where = delta.where
        self._members = delta.reader.members()

    def take(self, payload: Payload) -> Iterator[bytes]:
        """Return the chunks of the next payload, which is this one.

        Raises:
            ArchiveError: It is not there: the delta changed since it was checked.
        """
        for member, body in self._members:
            if member.path == payload.path:
                return body
        raise ArchiveError(f"lacks {payload.path}", where=self._where)


def check_base(manifest: DeltaManifest, base: Manifest, where: str) -> None:
    """Refuse another base than the delta was built for.

    Raises:
        RollbackError: The base is newer than what the delta makes.
        WrongBaseError: It is another; both name both.
        ArchiveError: It is this one, and the delta states another bundle or generation of it.
    """
    if base.sha256 == manifest.base.manifest_sha256:
        if (base.bundle_id, base.generation) != (manifest.bundle_id, manifest.base.generation):
            told = named(base.bundle_id, base.generation, base.sha256)
            raise ArchiveError(
                f"is {told}; the delta for this very manifest says another bundle or generation", where=where
            )
        return
    due = named(manifest.bundle_id, manifest.base.generation, manifest.base.manifest_sha256)
    met = named(base.bundle_id, base.generation, base.sha256)
    told = f"is {met}; the delta is for {due}"
    if base.bundle_id == manifest.bundle_id and base.generation > manifest.target.generation:
        raise RollbackError(
            f"{told}, and makes generation {manifest.target.generation}: older than what is there",
            where=where,
            hint="to go back, get one for this kit that was made by kit delta build --reverse",
        )
    raise WrongBaseError(
        told, where=where, hint="apply the deltas between them in order, or get one that was built for this kit"
    )
