"""What all verbs of deltas share: open a delta, check who signed it, and check that it is complete.

A delta is judged by the policy for kits: keys that may sign its target may sign it. Laws: until the signature of its
manifest is checked, a delta is only used to show what it claims; no payload is decoded before its digest and size are
compared with the manifest.
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
from kit.engine.declared import is_only_declared
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
from kit.manifest import MANIFEST_PATHS, Manifest, files, is_history, locate, signatures_of
from kit.trust import Anchor, Detached, Occasion, Role, Subject, authorise_any
from kit.values import NAMED, Collections, Limits, MemberPath, Sha256
from kit.verbs.verify.judged import generation_name
from kit.verbs.verify.signers import inside, sign_off

CONTAINERS = {container.value: container for container in Container}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDelta:
    """A delta being read; its manifest is parsed, and not yet trusted."""

    reader: KitReader
    manifest: DeltaManifest
    manifest_bytes: bytes
    signature: bytes | None

    @property
    def where(self) -> str:
        """Its path, for messages."""
        return str(self.reader.path)


@contextmanager
def open_delta(path: Path, limits: Limits) -> Iterator[OpenDelta]:
    """Open a delta and read its manifest.

    Raises:
        UnreadableError: It is not there, or not readable.
        ArchiveError: It is no archive, or no delta.
    """
    with open_kit(path, limits=limits) as reader:
        where, limits = str(path), reader.limits
        members = reader.members()
        data = _read_member(next(members, None), MANIFEST, limits)
        if data is None:
            raise ArchiveError(
                f"is no delta: its first member is not {MANIFEST}", where=where, hint="kit inspect shows what a kit is"
            )
        signature = _read_member(next(members, None), SIGNATURE, limits)
        try:
            manifest = DeltaManifest.parse(data, limits=limits)
        except KitError as error:
            raise error.inside(where) from error.__cause__
        yield OpenDelta(reader=reader, manifest=manifest, manifest_bytes=data, signature=signature)


def _read_member(member: tuple[Member, Iterator[bytes]] | None, path: MemberPath, limits: Limits) -> bytes | None:
    if member is None or member[0].path != path:
        return None
    return read_whole(*member, limits)


def check_signature(delta: OpenDelta, anchor: Anchor) -> tuple[str, ...]:
    """Check who signed a delta, and return the ids of their keys.

    Raises:
        UnsignedError: It has no signature.
        UntrustedError: No key that may sign its target has signed it.
        SignatureError: A signature is malformed or does not verify.
        StaleError: The keys are not valid at this time.
    """
    if delta.signature is None:
        raise UnsignedError("the delta has no signature", where=f"{delta.where}: {SIGNATURE}")
    # Which members are collections in JSON is in the target's manifest: check_target judges these.
    members = tuple(path for path in _find_remade_members(delta.manifest) if not is_only_declared(path))
    return _authorise(delta, delta.signature, anchor, members, NAMED)


def _authorise(
    delta: OpenDelta, signature: bytes, anchor: Anchor, members: tuple[MemberPath, ...], collections: Collections
) -> tuple[str, ...]:
    manifest = delta.manifest
    # The target's own signature is checked over the bytes that a delta makes. So a delta may be signed by any key that
    # may sign a generation of either kind.
    subjects = [
        Subject(
            what=f"the delta to generation {manifest.target.generation}",
            role=role,
            bundle_id=manifest.bundle_id,
            members=members,
            collections=collections,
            only_collections=role is Role.PATCHER,
        )
        for role in (Role.PUBLISHER, Role.PATCHER)
    ]
    detached = Detached(document=signature, payload=delta.manifest_bytes, typ=DELTA_TYPE)
    check = partial(authorise_any, anchor, subjects, detached, Occasion(signed_at=manifest.created_at))
    return inside(f"{delta.where}: {SIGNATURE}", check).key_ids


def _find_remade_members(manifest: DeltaManifest) -> tuple[MemberPath, ...]:
    """Return the members that the delta does not just copy, without manifest and history, which no policy limits."""
    outside = {*MANIFEST_PATHS, *(one for path in MANIFEST_PATHS for one in signatures_of(path))}
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
    """Of the signature, or where it would be."""


def check_payloads(delta: OpenDelta) -> CarriedTarget:
    """Read every payload, compare it with the manifest (a closed world), and return the target's manifest.

    Raises:
        ArchiveError: The archive is malformed, has a member that is not named, lacks one, or has them in another order;
            or what the delta states of its target, or of its base, contradicts the target's own manifest.
        DigestError: A payload is not what the manifest states, or a member would not be what the target lists.
        ManifestError: The target's manifest is malformed.
    """
    manifest = delta.manifest
    entry = manifest.entry_of(manifest.target.manifest_sha256)
    if entry is None or entry.payload is None or entry.method is not Method.FULL:
        raise ArchiveError("does not carry the manifest of its target", where=delta.where)
    signature = next((other for other in manifest.members if other.path in signatures_of(entry.path)), None)
    kept = {one.payload.path: b"" for one in (entry, signature) if one is not None and one.payload is not None}
    kept[manifest.layout.path] = b""
    _check_each(delta, kept)
    if not manifest.layout_of_base:
        _check_layout(delta, kept[manifest.layout.path])
    data = _unpack_carried(delta, entry, kept)
    target = Manifest.parse(data, limits=delta.reader.limits, where=f"{delta.where}: {entry.path}")
    _check_labels(delta, target)
    document = _unpack_carried(delta, signature, kept) if signature is not None else None
    path = signature.path if signature is not None else signatures_of(entry.path)[0]
    return CarriedTarget(manifest=target, data=data, signature=document, path=path)


def _check_labels(delta: OpenDelta, target: Manifest) -> None:
    """Compare all that a delta states of its target and of its base with the target's own manifest."""
    manifest = delta.manifest
    if (target.bundle_id, target.generation) != (manifest.bundle_id, manifest.target.generation):
        actual = generation_name(target.bundle_id, target.generation, target.sha256)
        raise ArchiveError(f"carries {actual}, but states another bundle or generation", where=delta.where)
    for step in target.lineage:
        if (step.manifest_sha256 == manifest.base.manifest_sha256) != (step.generation == manifest.base.generation):
            raise ArchiveError(
                f"states that its base is {manifest.base}, but the target was made from generation {step.generation}"
                f" (manifest {step.manifest_sha256})",
                where=delta.where,
            )
    location = locate([entry.path for entry in manifest.members])
    made = {entry.path: (entry.sha256, entry.size) for entry in manifest.members if not location.is_outside(entry.path)}
    for fault in files.compare(target.entries, made):
        listed = fault.kind not in {files.FaultKind.ABSENT, files.FaultKind.UNLISTED}
        error = DigestError if listed else ArchiveError
        raise error(f"does not make what its target lists: {fault}", where=delta.where)


def _check_layout(delta: OpenDelta, data: bytes) -> None:
    """Check that the layout can be read, and has a header for each member that the delta makes."""
    try:
        for _ in parse_headers(data, delta.manifest.members, most=delta.reader.limits.json_bytes):
            pass
    except ArchiveError as error:
        raise error.inside(delta.where) from error


def _check_each(delta: OpenDelta, kept: dict[MemberPath, bytes]) -> None:
    """Compare all payloads with the manifest, and store those that ``kept`` names in it."""
    due = iter(delta.manifest.payloads)
    for member, body in delta.reader.members():
        if member.path in {MANIFEST, SIGNATURE} and member.ordinal < 2:
            continue
        payload = next(due, None)
        if payload is None or member.path != payload.path or not member.is_file:
            expected = f"{payload.path} is expected" if payload is not None else "no further member is expected"
            raise ArchiveError(f"has {member.path}, but {expected}", where=delta.where)
        where = f"{delta.where}: {payload.path}"
        digest = hashlib.sha256()
        hashed = hashing(body, digest)
        if payload.path in kept:
            kept[payload.path] = read_whole(member, hashed, delta.reader.limits)
        for _ in hashed:
            pass
        if (member.size, digest.hexdigest()) != (payload.size, payload.sha256.hex):
            raise DigestError(
                f"has {member.size:,} bytes and digest {digest.hexdigest()}, but the delta's manifest states"
                f" {payload.size:,} and {payload.sha256}",
                where=where,
            )
    missing = next(due, None)
    if missing is not None:
        raise ArchiveError(f"lacks {missing.path}", where=delta.where)


def _unpack_carried(delta: OpenDelta, entry: Entry, kept: Mapping[MemberPath, bytes]) -> bytes:
    """Return the bytes of a member that is carried in full."""
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
        raise DigestError("is not what the delta's manifest states", where=f"{delta.where}: {entry.path}")
    return data


def check_target(delta: OpenDelta, target: CarriedTarget, anchor: Anchor) -> tuple[str, ...]:
    """Check who signed the target that is carried, and return the ids of their keys.

    Checks, too, that the delta's signer may make the members whose kind only the target's manifest shows. What its
    step changed is in its own statement, which is judged with the finished target.

    Raises:
        UnsignedError: It is not signed.
        KitError: No key that may sign it did, a signature is invalid, or its keys are revoked or not valid at this
            time. With an override, the last is left to the verdict on the target.
    """
    where = f"{delta.where}: {target.path}"
    if target.signature is None:
        raise UnsignedError("the manifest of the target has no signature", where=where)
    members = _find_remade_members(delta.manifest)
    if delta.signature is not None and any(map(is_only_declared, members)):
        _authorise(delta, delta.signature, anchor, members, target.manifest.table)
    signing = sign_off(anchor, target.manifest, target.data, target.signature, where)
    return inside(where, partial(signing.require, insisted=anchor.override is not None)).key_ids


class Payloads:
    """The payloads of a delta, read in the order of its manifest."""

    def __init__(self, delta: OpenDelta) -> None:
        """Start at the first."""
        self._where = delta.where
        self._members = delta.reader.members()

    def take(self, payload: Payload) -> Iterator[bytes]:
        """Return the chunks of ``payload``, which is the next one.

        Raises:
            ArchiveError: It is missing: the delta changed since it was checked.
        """
        for member, body in self._members:
            if member.path == payload.path:
                return body
        raise ArchiveError(f"lacks {payload.path}", where=self._where)


def check_base(manifest: DeltaManifest, base: Manifest, where: str) -> None:
    """Check that a kit is the base that the delta was built for.

    Raises:
        RollbackError: The kit is newer than what the delta makes; names both.
        WrongBaseError: It is another kit; names both.
        ArchiveError: It is the base, but the delta states another bundle or generation for it.
    """
    if base.sha256 == manifest.base.manifest_sha256:
        if (base.bundle_id, base.generation) != (manifest.bundle_id, manifest.base.generation):
            actual = generation_name(base.bundle_id, base.generation, base.sha256)
            raise ArchiveError(
                f"is {actual}, but the delta for this manifest states another bundle or generation", where=where
            )
        return
    due = generation_name(manifest.bundle_id, manifest.base.generation, manifest.base.manifest_sha256)
    mismatch = f"is {generation_name(base.bundle_id, base.generation, base.sha256)}; the delta is for {due}"
    if base.bundle_id == manifest.bundle_id and base.generation > manifest.target.generation:
        raise RollbackError(
            f"{mismatch}, and makes generation {manifest.target.generation}, which is older than this kit",
            where=where,
            hint="to go back, ask for a delta for this kit that was built with kit delta build --reverse",
        )
    raise WrongBaseError(
        mismatch, where=where, hint="apply the deltas between them in order, or ask for one that was built for this kit"
    )
