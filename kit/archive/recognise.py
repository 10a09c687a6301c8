"""What a file is, by its content: a kit, a delta, a key, a proof; for the message to a user who named the wrong one.

It decides nothing else, so it believes the first bytes. Laws: it never raises; only a regular file or a folder is
opened, so that nothing is taken from a pipe; what it does not recognise is for the reader of the expected kind.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import stat
import zlib
from pathlib import Path
from typing import Any

from kit.values.file_kind import FileKind

MAX_JSON_BYTES = 16 * 1024 * 1024
_HEAD_BYTES = 128 * 1024
_BLOCK_BYTES = 512
_NAME_BYTES = 100
_MAGIC = slice(257, 262)
_DELTA_MANIFEST = "delta-manifest.json"
_MANIFEST = "offline-manifest.json"
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_PRIVATE_PEM = re.compile(rb"^-----BEGIN (?:[A-Z0-9 ]+ )?PRIVATE KEY-----", re.MULTILINE)
_PUBLIC_PEM = re.compile(rb"^-----BEGIN (?:RSA )?PUBLIC KEY-----", re.MULTILINE)
_PAGE_START, _PAGE_MARK = b"<!DOCTYPE html>\n", b'\n<meta name="generator" content="offline-kit">\n'
_SCRIPT_START = b"#!/bin/sh\n# Checks an Offline Kit with stock tools"
_PUBLIC_SSH = re.compile(rb"\A(?:ssh|ecdsa)-[!-~]+ [A-Za-z0-9+/=]+")


COMMANDS = {
    FileKind.KIT: "kit inspect {}",
    FileKind.DELTA: "kit delta verify {}, or kit delta inspect {}",
    FileKind.PUBLIC_KEY: "kit keys show {}",
    FileKind.PRIVATE_KEY: "kit keys show {}",
    FileKind.PROOF: "kit prove --check {}",
    FileKind.RECEIPT: "kit receipt show {}",
    FileKind.COMPARISON: "kit receipt show {}",
    FileKind.APPROVAL: "kit approval show {}",
    FileKind.POLICY: "kit trust show {}",
    FileKind.STATE: "it belongs to a policy: kit trust show POLICY",
    FileKind.KEYRING: "kit keyring show {}",
    FileKind.FIELD_MAP: "kit patch --field-map {}",
    FileKind.MIGRATION: "kit patch --migration {}",
    FileKind.MANIFEST: "name the kit that it is in, as an archive or a folder",
    FileKind.AUDIT_LOG: "kit audit verify {}",
    FileKind.PAGE: "open it in a browser",
    FileKind.SCRIPT: "sh {} KIT",
}
"""The command for a file of that kind, where there is one."""

# Members of JSON documents that no other kind has together.
_MEMBERS = (
    (FileKind.PROOF, {"claim", "manifest", "signature", "members"}),
    (FileKind.POLICY, {"version", "keys", "thresholds", "algorithms"}),
    (FileKind.STATE, {"policy", "bundles", "overrides"}),
    (FileKind.KEYRING, {"meks", "deks"}),
    (FileKind.MIGRATION, {"id", "kind", "transforms", "rollback"}),
    (FileKind.RECORD, {"migration", "dryRun", "live", "attempts"}),
    (FileKind.MANIFEST, {"bundleId", "generation", "files"}),
    (FileKind.FIELD_MAP, {"product", "collections"}),
    (FileKind.AUDIT_LOG, {"sequence", "previous"}),
)
_PAYLOADS = {"application/vnd.offline-kit.recovery-approval+json": FileKind.APPROVAL}
_PREDICATES = {
    "https://slsa.dev/verification_summary/v1": FileKind.RECEIPT,
    "urn:offline-kit:comparison:v1": FileKind.COMPARISON,
    "urn:offline-kit:patch:v1": FileKind.STATEMENT,
}


def recognise(path: Path) -> FileKind | None:
    """Return the kind of the file or folder at ``path``; None for what is not there or not known."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except (OSError, ValueError):
        return None
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            with os.scandir(descriptor) as entries:
                return _folder_kind({entry.name for entry in entries})
        if not stat.S_ISREG(mode):
            return None
        head = os.pread(descriptor, _HEAD_BYTES, 0)
        if head.lstrip()[:1] == b"{":
            return _json_kind(os.pread(descriptor, MAX_JSON_BYTES, 0))
        return _text_kind(head) or _key_kind(head) or _archive_kind(head)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _folder_kind(names: set[str]) -> FileKind | None:
    if _DELTA_MANIFEST in names:
        return FileKind.DELTA
    return FileKind.KIT if _MANIFEST in names or "manifest" in names else None


def _text_kind(head: bytes) -> FileKind | None:
    if head.startswith(_PAGE_START) and _PAGE_MARK in head[:_BLOCK_BYTES]:
        return FileKind.PAGE
    return FileKind.SCRIPT if head.startswith(_SCRIPT_START) else None


def _key_kind(head: bytes) -> FileKind | None:
    if _PRIVATE_PEM.search(head):
        return FileKind.PRIVATE_KEY
    return FileKind.PUBLIC_KEY if _PUBLIC_PEM.search(head) or _PUBLIC_SSH.match(head) else None


def _archive_kind(head: bytes) -> FileKind | None:
    """Return what an archive is by the name of its first member, since a delta begins with its manifest."""
    block = _first_block(head)
    if block[_MAGIC] != b"ustar":
        return None
    name = block[:_NAME_BYTES].partition(b"\0")[0]
    return FileKind.DELTA if name == _DELTA_MANIFEST.encode() else FileKind.KIT


def _first_block(head: bytes) -> bytes:
    if head.startswith(_GZIP):
        try:
            return zlib.decompressobj(wbits=31).decompress(head, _BLOCK_BYTES)
        except zlib.error:
            return b""
    return _first_of_zstd(head) if head.startswith(_ZSTD) else head[:_BLOCK_BYTES]


def _first_of_zstd(head: bytes) -> bytes:
    from kit.archive.read.codecs import decode  # noqa: PLC0415  the library of a codec that few files need
    from kit.archive.source import ChunkReader  # noqa: PLC0415
    from kit.errors import KitError  # noqa: PLC0415
    from kit.values import Codec, Limits  # noqa: PLC0415

    data = b""
    try:
        for piece in decode(Codec.ZSTD, ChunkReader(iter([head]), where=""), Limits(), where=""):
            data += piece
            if len(data) >= _BLOCK_BYTES:
                break
    except KitError:
        pass  # cut, since it is only the head of the file
    return data[:_BLOCK_BYTES]


def _json_kind(data: bytes) -> FileKind | None:
    found = _parse(data) or _parse(data.partition(b"\n")[0])  # an audit log has a document a line
    if found.keys() >= {"payload", "payloadType", "signatures"}:
        return _envelope_kind(found)
    if found.get("format") == "kit-delta":
        return FileKind.DELTA
    if isinstance(found.get("kty"), str):
        return FileKind.PRIVATE_KEY if "d" in found else FileKind.PUBLIC_KEY
    return next((kind for kind, members in _MEMBERS if members <= found.keys()), None)


def _envelope_kind(envelope: dict[str, Any]) -> FileKind | None:
    """Return the kind of a DSSE envelope by its payload."""
    payload, kind = envelope["payload"], _PAYLOADS.get(str(envelope["payloadType"]))
    if kind is not None or not isinstance(payload, str):
        return kind
    try:
        predicate = _parse(base64.b64decode(payload, validate=True)).get("predicateType")
    except (binascii.Error, ValueError):
        return None
    return _PREDICATES.get(str(predicate))


def _parse(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
