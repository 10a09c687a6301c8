"""What hardening/fuzz attacks: a function of bytes each, and seeds for it.

A target calls what a kit's bytes reach first, with limits small enough that the memory a refusal costs stays small, and
states its laws by assertions, which are no ``KitError`` and so end the run.
"""

# ruff: noqa: S101  the laws

from __future__ import annotations

import gzip
import importlib
import json
from collections.abc import Callable, Iterable
from dataclasses import replace as with_changes
from pathlib import Path
from typing import Any

import bson
import zstandard

from conformance.build.signing import key
from kit.archive.read.codecs import decode, detect
from kit.archive.read.tar import read_tar
from kit.archive.source import ChunkReader
from kit.archive.write.tar import file_header
from kit.delta.dictionary import Dictionary, parse_places
from kit.delta.layout import Header, Layout, encode_layout, parse_layout, parse_layout_of_base
from kit.delta.model import DeltaManifest, Payload
from kit.delta.packing import END, Reader, frame_piece, read_pieces, unpack, unsigned
from kit.delta.segment import (
    Head,
    SegmentInput,
    Source,
    Step,
    decode as decode_segment,
    encode as encode_segment,
    parse_head,
)
from kit.documents import elements, find, index, runs, validate
from kit.documents.splice import append, element, remove, replace
from kit.encryption import FieldMap
from kit.encryption.approval import Approval, DocumentName, RecoveryScope
from kit.encryption.envelope import Envelope
from kit.errors import BsonError, KitError
from kit.manifest import Manifest
from kit.output.journal import BEGIN, FRAME, Position, checksum, encode_record, scan
from kit.signing import dsse, jws, load_public
from kit.trust import Role, TrustedKey
from kit.trust.policy import Policy
from kit.trust.state import Accepted, OverrideRecord, State
from kit.trust.trusted_key import Revocation, RevocationReason
from kit.values import Allowed, Codec, CollectionName, Limits, MemberPath, Sha256, Timestamp, strict_json

__all__ = ["NAMES", "KitError", "delta_manifest", "policies", "target_of"]

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "fixtures"
LIMITS = Limits(
    ratio_floor_bytes=1 << 20, window_bytes=1 << 23, total_bytes=1 << 24, expanded_bytes=1 << 24, json_bytes=1 << 20
)
_TEXT = element("z", 2, b"\x02\0\0\0x\0")


def tar(data: bytes) -> None:
    """Law: what is accepted is accounted for byte by byte, and is the same in small pieces."""
    whole = _members([data])
    assert _members([data[at : at + 97] for at in range(0, len(data), 97)]) == whole
    assert b"".join(head + body + bytes(-len(body) % 512) for _, head, body in whole) == data.rstrip(b"\0").ljust(
        sum(len(head) + len(body) + -len(body) % 512 for _, head, body in whole), b"\0"
    )


def _members(chunks: Iterable[bytes]) -> list[tuple[str, bytes, bytes]]:
    found = read_tar(ChunkReader(chunks, where="k"), LIMITS, where="k", allowed=Allowed(links=True))
    return [(str(member.path), member.header, b"".join(body)) for member, body in found]


def frames(data: bytes) -> None:
    """Law: the stock libraries give the same bytes for what is accepted."""
    codec = detect(data[:4])
    plain = b"".join(decode(codec, ChunkReader([data], where="k"), LIMITS, where="k"))
    if codec is Codec.GZIP:
        assert gzip.decompress(data) == plain
    elif codec is Codec.ZSTD:
        stream = zstandard.ZstdDecompressor(max_window_size=1 << 31).stream_reader(data, read_across_frames=True)
        assert stream.read() == plain


def walk(data: bytes) -> None:
    """Laws: ``index`` and ``elements`` agree, ``append`` and ``remove`` are inverse, what is changed is valid again."""
    validate(data, limits=LIMITS)
    names = [one.name for one in elements(data)]
    try:
        assert list(index(data)) == names
    except BsonError:
        assert len(set(names)) != len(names)
        return
    longer = append(data, _TEXT)
    validate(longer, limits=LIMITS)
    if b"z" not in names:
        assert remove(longer, ["z"]) == data
    for name in names[:3]:
        path = [name.decode()]
        assert find(data, path) is not None
        validate(replace(data, path, 10, b""), limits=LIMITS)


def framing(data: bytes) -> None:
    """Law: runs are the stream, cut between documents, however it arrives."""
    whole = list(runs([data], limits=LIMITS, target=64))
    assert b"".join(run.data for run in whole) == data
    assert list(runs([data[:7], data[7:]], limits=LIMITS, target=64)) == whole


def parse_json(data: bytes) -> None:
    """Law: what is read is printed and read back."""
    value = strict_json.parse(data, limits=LIMITS, where="k")
    assert json.loads(data) == value
    assert strict_json.parse(strict_json.canonical(value), limits=LIMITS, where="k") == value


def manifest(data: bytes) -> None:
    """Law: what is read says whose bytes it is."""
    assert Manifest.parse(data, limits=LIMITS, where="k").entries


def signature(data: bytes) -> None:
    """Law: nothing is signed by nobody."""
    for read in (jws.claims, dsse.claims):
        try:
            assert read(data)
        except KitError:
            continue


def envelope(data: bytes) -> None:
    """Law: an envelope prints as it was read."""
    assert Envelope.parse(Envelope.parse(data).to_bson()) == Envelope.parse(data)


def field_map(data: bytes) -> None:
    """Law: a map prints as it was read."""
    found = FieldMap.parse(data)
    assert FieldMap.parse(json.dumps(found.to_json()).encode()) == found


def policy(data: bytes) -> None:
    """Law: a policy, a state and an approval print as they were read; no input is two of them."""
    read: list[tuple[Callable[[bytes], Any], Callable[[Any], bytes]]] = [
        (lambda text: Policy.parse(text, where="k"), Policy.to_bytes),
        (lambda text: State.parse(text, where="k"), State.to_bytes),
        (Approval.parse, Approval.to_json),
    ]
    refusals: list[KitError] = []
    for parse, printed in read:
        try:
            found = parse(data)
        except KitError as error:
            refusals.append(error)
        else:
            assert parse(printed(found)) == found
    assert len(refusals) >= len(read) - 1
    if len(refusals) == len(read):
        raise refusals[0]


def journal(data: bytes) -> None:
    """Law: whatever follows a record, it is read or ends the journal; nothing else comes of it."""
    first, after = encode_record(BEGIN, {"options": {}}, Position())
    second, _ = encode_record(FRAME, {}, after)
    for damaged in (
        data,
        first + data,
        first + second[: len(data)] + data,
        _sealed(data),
        first + _sealed(data, after),
    ):
        records = list(scan(damaged.splitlines(keepends=True)))
        assert len(records) <= damaged.count(b"\n") + 1


def _sealed(text: bytes, at: Position | None = None) -> bytes:
    """Give a line whose checksum fits, whatever it says."""
    return b"%08x %s\n" % (checksum(text, (at or Position()).crc32), text)


def segment(data: bytes) -> None:
    """Law: what a segment makes is within its bound, and can be said again.

    Its script and columns come as they are, not packed, which would keep what is mutated from ever being read: the
    form, the length of the first, both.
    """
    split = int.from_bytes(data[1:3], "little")
    streams = (data[3 : 3 + split], data[3 + split :])
    rest = data[:1] + b"".join(unsigned(len(one)) + b"\0" + unsigned(len(one)) + one for one in streams)
    made = tuple(decode_segment(Head(steps=_STEPS, ranges=(), rest=rest), _OLDS, (), most=_MOST))
    assert sum(map(len, made)) <= _MOST
    again = encode_segment(SegmentInput(steps=_STEPS, expected=0, documents=made, olds=_OLDS))
    assert tuple(decode_segment(parse_head(again, 0), _OLDS, (), most=_MOST)) == made


_STEPS = (Step(Source.CHANGE, 0, 2), Step(Source.INSERT, 0, 1))
_OLDS = (
    bson.encode({"_id": "a", "n": 1, "title": "an advisory", "refs": [{"url": "https://a.example/1"}, "b"], "x": None}),
    bson.encode(
        {"_id": "b", "n": 2.5, "title": "another", "refs": [{"url": "https://b.example/2"}], "deep": {"a": {}}}
    ),
)
_MOST = 1 << 16
_FILE = MemberPath("a/file")
_FILES = (Payload(path=_FILE, sha256=Sha256.of(b""), size=7),)
_HEADER = Header(data=file_header(_FILE, size=7, mode=0o644, mtime=Timestamp(7)), has_body=True)
_LAYOUT = Layout(headers=(_HEADER,), frames=(1, 2))


def payload(data: bytes) -> None:
    """Law: pieces, heads, layouts and manifests end in a value; pieces are the same however they arrive."""
    kind, data = data[:1], data[1:]
    if kind == b"p":
        found = list(read_pieces([data[:5], data[5:]]))
        assert found == list(read_pieces([data[at : at + 1] for at in range(len(data))]))
        assert sum(map(len, found)) < len(data)
    elif kind == b"h":
        parse_head(data, 7)
    elif kind == b"l":
        parse_layout_of_base(data, [b"header"], [1, 2], most=1 << 16)
    elif kind == b"f":
        layout = parse_layout(data, _FILES, [1, 2], most=1 << 16)
        assert sum(header.has_body for header in layout.headers) == len(_FILES)
    else:
        manifest = DeltaManifest.parse(data, limits=LIMITS)
        assert DeltaManifest.parse(manifest.to_bytes(), limits=LIMITS) == manifest


def _segments() -> list[bytes]:
    olds = [bson.decode(old) for old in _OLDS]
    edits: list[dict[str, object]] = [{"n": 3}, {"title": "an advisory, again", "new": [1, {"k": b"v"}]}, {"refs": []}]
    found = []
    for edit in edits:
        documents = tuple(bson.encode(one) for one in ({**olds[0], **edit}, {**edit, **olds[1]}, {"_id": "c", **edit}))
        for picking in (False, True):
            material = SegmentInput(steps=_STEPS, expected=0, documents=documents, olds=_OLDS, picking=picking)
            reader = Reader(parse_head(encode_segment(material), 0).rest, "a seed")
            form = reader.take(1)
            dictionary = Dictionary((), _OLDS, picking=picking)
            script = unpack(reader, dictionary.script, most=_MOST)
            meta = Reader(script, "a seed")
            meta.take(meta.unsigned())
            columns = unpack(reader, dictionary.columns(parse_places(meta) if picking else ()), most=_MOST)
            found.append(form + len(script).to_bytes(2, "little") + script + columns)
    return found


def delta_manifest() -> dict[str, Any]:
    """Return the manifest of a delta, every kind of value in it."""
    digest = {"sha256": "0" * 64, "size": 1}
    return {
        "format": "kit-delta",
        "schemaVersion": "1",
        "bundleId": "b",
        "base": {"generation": 0, "manifestSha256": "0" * 64},
        "target": {
            "generation": 1,
            "manifestSha256": "1" * 64,
            "archive": {"container": "tar.zst", "sha256": None, "signature": {"path": "s", **digest}},
        },
        "layout": {"path": "layout", **digest},
        "members": [
            {"path": "a", **digest, "method": "full", "payload": {"path": "payload/0", **digest}},
            {"path": "b", **digest, "method": "copy", "source": "c"},
        ],
        "createdAt": "2025-10-20T00:00:00Z",
        "tool": {"name": "kit", "version": "1"},
    }


def _payloads() -> list[bytes]:
    head = encode_segment(SegmentInput(steps=_STEPS[1:], expected=7, documents=(_OLDS[0],), olds=()))
    return [
        b"p" + frame_piece(b"abc") + frame_piece(b"x" * 200) + END,
        b"h" + head,
        b"l" + b"\2\0\2" + b"\1\0" + b"\0" + b"\1\0\1\0",
        b"f" + encode_layout(_LAYOUT, _FILES, [1, 2]),
        b"m" + json.dumps(delta_manifest()).encode(),
    ]


def _documents() -> list[bytes]:
    nested = {"a": {"b": [1, "x", None, True, 1.5, b"bytes"]}, "é": "ü"}
    return [bson.encode({}), bson.encode(nested), bson.encode({"_id": 1, "tenant": "a", "rawLinkset": nested})]


def _tars() -> list[bytes]:
    plain = (FIXTURES / "kits/parts.tar").read_bytes()
    heads = [plain[at : at + 1024] + bytes(1024) for at in range(0, min(len(plain), 8192), 512)]
    return [*heads, plain[:512] + bytes(1024), bytes(1024)]


def _packed() -> list[bytes]:
    checked = zstandard.ZstdCompressor(write_checksum=True).compress(b"x")
    kit = (FIXTURES / "kits/foreign.tar.gz").read_bytes()[:9000]
    skippable = b"\x50\x2a\x4d\x18\0\0\0\0"
    return [gzip.compress(b"text" * 9), gzip.compress(b""), zstandard.compress(b"text" * 9), checked, skippable, kit]


def _texts() -> list[bytes]:
    return [b"{}", b'{"a":[1,2.5,"x",null,true]}', b'"\\ud83d\\ude00"', *(path.read_bytes() for path in _goldens())]


def _goldens() -> list[Path]:
    return sorted((ROOT / "kit/encryption/maps").glob("*.json"))


def _manifests() -> list[bytes]:
    files = [{"path": "a", "sha256": "0" * 64, "size": 1, "mediaType": "x/y", "kind": "data"}]
    own = {"schemaVersion": "1", "bundleId": "b", "version": "1", "channel": "c", "generation": 0, "files": files,
           "createdAt": "2025-10-20T00:00:00Z", "producer": "p", "collections": [], "lineage": []}  # fmt: skip
    return [json.dumps(own).encode(), b'{"artifacts":[{"name":"a","digest":"sha256:' + b"0" * 64 + b'"}]}']


def _signatures() -> list[bytes]:
    return [
        b"eyJhbGciOiJFUzI1NiJ9..AAAA",
        b'{"signatures":[{"protected":"eyJhbGciOiJFUzI1NiJ9","signature":"AAAA"}]}',
        b'{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"keyid":"a","sig":"AAAA"}]}',
    ]


def _envelopes() -> list[bytes]:
    vectors = json.loads((FIXTURES / "envelope-vectors.json").read_text())
    texts = [text for text in _strings(vectors) if len(text) > 60 and len(text) % 2 == 0]
    found = []
    for text in texts:
        try:
            found.append(bytes.fromhex(text))
        except ValueError:
            continue
    return [*found[:30], *_documents()]


def _strings(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def policies() -> list[bytes]:
    """Return two policies, a state and an approval."""
    public = load_public(FIXTURES / "keys/publisher-TEST-ONLY.pub.pem")
    moment = Timestamp.parse("2026-01-02T03:04:05Z")
    revoked = Revocation(at=moment, reason=RevocationReason.SUPERSEDED)
    limited = TrustedKey(key=public, roles=frozenset({Role.PATCHER}), revocation=revoked, not_after=moment)
    whole = Policy.of_keys([key("site").public]).with_key(limited)
    override = OverrideRecord(at=moment, bundle_id="b", manifest=Sha256("0" * 64), refusal="stale", reason="r")
    accepted = {"b": Accepted(published=3, generation=4, manifest=Sha256("1" * 64))}
    names = [DocumentName.parse(one) for one in ("a", {"$numberLong": "7"})]
    scope = RecoveryScope(
        manifest_sha256=Sha256("2" * 64),
        collections=(CollectionName(database="db", collection="c.d"),),
        owners=frozenset({"o"}),
        documents=frozenset(names),
    )
    approval = Approval(incident_id="1", reason="r", scope=scope, not_before=Timestamp(0), expires=moment)
    return [
        Policy.of_keys([public]).to_bytes(),
        with_changes(whole, thresholds={Role.PUBLISHER: 1}, minimum_generations={"b": 2}, expires_at=moment).to_bytes(),
        State(policy_version=1, policy_sha256=Sha256("3" * 64), bundles=accepted, overrides=(override,)).to_bytes(),
        approval.to_json(),
    ]


def _records() -> list[bytes]:
    line, _ = encode_record(FRAME, {"stored": 1}, Position())
    return [line, line * 2, line[:-1]]


_TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], list[bytes]]]] = {
    "tar": (tar, _tars),
    "frames": (frames, _packed),
    "bson": (walk, _documents),
    "framing": (framing, _documents),
    "json": (parse_json, _texts),
    "manifest": (manifest, _manifests),
    "signature": (signature, _signatures),
    "envelope": (envelope, _envelopes),
    "field-map": (field_map, _texts),
    "policy": (policy, policies),
    "journal": (journal, _records),
    "segment": (segment, _segments),
    "delta": (payload, _payloads),
}
_COMMANDS = {
    "verify-sh": ("fuzz_scripts", "verify_sh", "seeds"),
    "core": ("fuzz_core", "core", "seeds"),
    "sealing": ("fuzz_sealing", "sealing", "seeds"),
    "core-reading": ("fuzz_core", "reading", "seeds"),
    "json-collections": ("fuzz_json", "texts", "seeds"),
    "delta-core": ("fuzz_delta", "delta_core", "seeds"),
    "dump": ("fuzz_dumps", "dump", "seeds"),
    "pax": ("fuzz_archives", "pax", "pax_seeds"),
    "proof": ("fuzz_proofs", "proof", "seeds"),
    "resume": ("fuzz_archives", "journal", "journal_seeds"),
    "whole-delta": ("fuzz_archives", "delta", "delta_seeds"),
}
"""Module, target and seeds of what runs whole commands: to instrument those takes longer than to fuzz a parser."""
NAMES = tuple(sorted({*_TARGETS, *_COMMANDS}))


def target_of(name: str) -> tuple[Callable[[bytes], None], Callable[[], list[bytes]]]:
    """Return a target and what makes its seeds, imported only now where it runs whole commands."""
    if name in _TARGETS:
        return _TARGETS[name]
    module, *names = _COMMANDS[name]
    loaded = importlib.import_module(f"hardening.{module}")
    target, seeds = (getattr(loaded, one) for one in names)
    return target, seeds
