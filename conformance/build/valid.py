"""Kits to accept: every container, writer, manifest shape, kind of signature and staged generation."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import struct
import tarfile
from collections.abc import Iterator, Mapping

import zstandard

from conformance.build.case import Case, valid
from conformance.build.encrypted import ENCRYPTED, NOTES
from conformance.build.kits import (
    AFTER,
    BEFORE,
    MANIFEST,
    OBSERVATIONS,
    ROOT_MANIFEST,
    SIGNATURE,
    Document,
    Members,
    compact_json,
    compressed,
    encoded,
    entries,
    files,
    manifest,
    patched,
    published,
    sha256,
    step,
    summary,
    tar,
    to_json,
)
from conformance.build.signing import forged, header, header_signed, higher, key
from conformance.build.tar_bytes import END, V7, long_name, member, pax, record, with_checksum
from fixtures.build.archives import gzip_member
from kit.values import Sha256

LONG = "images/" + "layer-" * 20 + "x"
"""A name of more than 100 bytes that no ustar prefix can hold in two parts."""
SPLIT = "p" * 60 + "/" + "q" * 70
APPLE_DOUBLE = bytes.fromhex("00051607000200004d6163204f53205820202020202020200002000000090000003200000e00") + bytes(
    200
)
SKIPPABLE = struct.pack("<II", 0x184D2A50, 4) + b"skip"


def cases() -> Iterator[Case]:
    """Give them all."""
    yield from _containers()
    yield from _entries()
    yield from _writers()
    yield from _manifests()
    yield from _signatures()
    yield from _generations()
    yield from _contents()


def _containers() -> Iterator[Case]:
    plain = tar(published())
    for suffix in (".tar", ".tar.gz", ".tar.zst"):
        yield valid(f"container{suffix.replace('.', '-')}", f"a {suffix} archive", published(), suffix=suffix)
    yield valid("container-folder", "an unpacked folder", published(), unpack={})
    yield valid(
        "container-another-name", "gzip under a name that says tar", compressed(plain, ".tar.gz"), suffix=".tar"
    )
    yield valid(
        "gzip-members", "two gzip members, cut inside of a header", gzip_member(plain[:700]) + gzip_member(plain[700:])
    )
    yield valid("gzip-without-name", "a gzip member without a name", _stored_gzip(plain))
    frames = [zstandard.ZstdCompressor(level=3).compress(part) for part in (plain[:700], plain[700:])]
    yield valid("zstd-frames", "two zstd frames, a skippable one between", SKIPPABLE.join(frames), suffix=".tar.zst")
    table = b"".join(
        struct.pack("<II", len(frame), size) for frame, size in zip(frames, (700, len(plain) - 700), strict=True)
    )
    seekable = table + struct.pack("<IBI", len(frames), 0, 0x8F92EAB1)
    seek = struct.pack("<II", 0x184D2A5E, len(seekable)) + seekable
    yield valid("zstd-seek-table", "a seek table at the end", b"".join(frames) + seek, suffix=".tar.zst")
    yield valid(
        "tar-records", "zero blocks up to a record of 10,240 bytes", plain + bytes(-len(plain) % 10240), suffix=".tar"
    )
    checked = compressed(plain, ".tar.gz")
    digest = f"{sha256(checked)}  beside-checksum.tar.gz\n".encode()
    yield valid("beside-checksum", "a .sha256 file that fits", checked, beside={".sha256": digest})
    for form, text in {
        "tag": f"SHA256 (beside-checksum-tag.tar.gz) = {sha256(checked)}\n",
        "crlf": f"\ufeff{sha256(checked).upper()} *beside-checksum-crlf.tar.gz\r\n",
        "several": f"# of the release\n{'0' * 64}  other\n{sha256(checked)}  out/beside-checksum-several.tar.gz\n",
    }.items():
        beside = {".sha256": text.encode()}
        yield valid(f"beside-checksum-{form}", f"a .sha256 file that fits: {form}", checked, beside=beside)
    signed = base64.b64encode(key("site").sign_digest(Sha256.of(checked))) + b"\n"
    wrapped = {".sig": b"\r\n".join([signed[:64], signed[64:]])}
    yield valid("beside-signature-wrapped", "a .sig file of two lines, CRLF", checked, beside=wrapped, trust="both")
    yield valid("beside-signature", "a .sig file by a trusted key", checked, beside={".sig": signed}, trust="both")


def _stored_gzip(data: bytes) -> bytes:
    """Compress with stored blocks only, whose bytes are the same with every zlib."""
    made = gzip.compress(data, 0, mtime=0)
    return made[:8] + b"\0\xff" + made[10:]


def _entries() -> Iterator[Case]:
    """Give kits with entries of kinds that not every kit has; blanks and links are beyond some scripts."""
    blanks = files() | {"docs/notes ": b"n", " first": b"f"}
    yield valid("name-blanks", "names that begin or end in a blank", published(blanks), script=None)
    link = {"path": "docs/layer", "target": "./../images/layer.bin", "kind": "symbolic"}
    hard = {"path": "images/copy.bin", "target": "images/layer.bin", "kind": "hard"}
    linked = entries(published(links=[link, hard])) + member(b"docs/layer", flag=b"2", link=link["target"].encode())
    linked += member(b"images/copy.bin", flag=b"1", link=b"images/layer.bin") + END
    yield valid(
        "links-listed",
        "links that the manifest lists",
        compressed(linked, ".tar.gz"),
        needs={"links": True},
        script=None,
    )
    shared = member(b"images/", flag=b"5", mode=b"0002775\0") + member(b"empty/", flag=b"5", mode=b"0001777\0")
    yield valid(
        "folders-shared",
        "a setgid folder, and a sticky one that is empty",
        compressed(shared + entries(published()) + END, ".tar.gz"),
        script=None,
    )
    known = pax(record("LIBARCHIVE.creationtime", b"1.5"), record("SCHILY.ino", b"7"), record("uname", b"\xc3\xa9"))
    yield valid(
        "pax-harmless",
        "records that change nothing",
        compressed(pax(record("comment", b"c"), flag=b"g") + known + entries(published()) + END, ".tar.gz"),
        script=None,
    )


def _writers() -> Iterator[Case]:
    long = files() | {LONG: b"long"}
    split = files() | {SPLIT: b"split"}
    for name, layout, members in (
        ("gnu", tarfile.GNU_FORMAT, long),
        ("pax", tarfile.PAX_FORMAT, long),
        ("ustar", tarfile.USTAR_FORMAT, split),
    ):
        yield valid(
            f"writer-python-{name}", f"Python's tarfile, {name} format", _by_tarfile(published(members), layout)
        )
    dotted = b"".join(
        [
            member(b"./", flag=b"5"),
            *(member(f"./{name}".encode(), data) for name, data in published().items()),
        ]
    )
    yield valid(
        "writer-dotted-names", "names behind ./, as tar -C FOLDER . writes them", compressed(dotted + END, ".tar.gz")
    )
    bodies = published(long)
    go = [
        pax(record("path", name.encode())) + member(name.encode()[:100], data)
        if len(name) > 100
        else member(name.encode(), data)
        for name, data in bodies.items()
    ]
    yield valid(
        "writer-go", "a PAX path over the first 100 bytes of the name", compressed(b"".join(go) + END, ".tar.gz")
    )
    times = [
        pax(record("mtime", b"1767225600.123456789"), record("LIBARCHIVE.creationtime", b"1767225600"))
        + member(name.encode(), data)
        for name, data in published().items()
    ]
    yield valid("writer-bsdtar", "PAX records of times and of libarchive", compressed(b"".join(times) + END, ".tar.gz"))
    old = [member(name.encode(), data, magic=V7) for name, data in published().items()]
    yield valid("writer-v7", "headers without a magic", compressed(b"".join(old) + END, ".tar.gz"))
    comment = pax(record("comment", b"0" * 40), flag=b"g") + entries(published())
    yield valid("writer-git", "a global comment, as git archive writes it", compressed(comment + END, ".tar.gz"))
    gnu = [
        long_name(name.encode() + b"\0") + member(name.encode()[:100], data, magic=b"ustar  \0")
        if len(name) > 100
        else member(name.encode(), data, magic=b"ustar  \0")
        for name, data in bodies.items()
    ]
    rust = [_unset(member(name.encode(), data)) for name, data in published().items()]
    yield valid("writer-rust", "owners, times, devices of NULs", compressed(b"".join(rust) + END, ".tar.gz"))
    old_times = [_unset(member(name.encode(), data), b"\xff" * 11 + b"\x9c") for name, data in published().items()]
    yield valid("time-before-1970", "a negative time in base 256", compressed(b"".join(old_times) + END, ".tar.gz"))
    yield valid("writer-gnu", "GNU magic and long names", compressed(b"".join(gnu) + END, ".tar.gz"))


def _unset(entry: bytes, mtime: bytes = bytes(12)) -> bytes:
    """Return an entry whose owner and devices are not set."""
    head = entry[:108] + bytes(16) + entry[124:136] + mtime + entry[148:329] + bytes(16) + entry[345:512]
    return with_checksum(head) + entry[512:]


def _by_tarfile(members: Mapping[str, bytes], layout: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=layout) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.uname = len(data), 1_767_225_600, "builder"
            archive.addfile(info, io.BytesIO(data))
    return compressed(buffer.getvalue(), ".tar.gz")


def _manifests() -> Iterator[Case]:
    yield valid("place-root", "the manifest at the root", published(place=ROOT_MANIFEST))
    yield valid("manifest-unknown-members", "members nobody knows, kept", published(vendor={"note": ["x", None]}))
    whole = re.sub(rb'("size"|"generation"): (\d+)', rb"\1: \2.0", to_json(manifest(files())))
    yield valid("manifest-whole-numbers", "3.0 for 3, as JSON Schema has it", published(document=whole))
    strange = manifest(files())
    strange["files"] = [entry | {"kind": None, "mediaType": 7} for entry in strange["files"]]
    yield valid("manifest-kind-null", "a kind and a media type that are no text", published(document=to_json(strange)))
    yield valid("manifest-compact", "JSON without blanks", published(document=json.dumps(manifest(files())).encode()))
    names = files() | {"Grüße/日本.txt": b"1", 'quo"ted.txt': b"2", "empty": b""}
    escaped = json.dumps(manifest(names), ensure_ascii=True).encode()
    yield valid("manifest-escapes", "names spelled with JSON escapes", published(names, document=escaped))
    for name, document in _foreign(files()).items():
        yield valid(f"foreign-{name}", f"somebody else's manifest: {name}", published(document=document))
    base = published(document=_foreign(files())["artifacts"])
    after = step(base, {OBSERVATIONS: encoded(AFTER)})
    yield valid("foreign-patched", "somebody else's manifest without a generation, patched", after, trust="both")


def _foreign(members: Members) -> dict[str, Document]:
    upper = {path: sha256(data).upper() for path, data in members.items()}
    return {
        "files": {
            "release": "1",
            "files": [{"path": p, "sha256": sha256(d), "size": len(d)} for p, d in members.items()],
        },
        "artifacts": {
            "vendor": {},
            "artifacts": [{"name": p, "digest": f"sha256:{sha256(d)}"} for p, d in members.items()],
        },
        "entries": {"entries": [{"path": p, "hash": upper[p]} for p in members]},
        "chunks": {"chunks": [{"name": p, "hash": f"sha256:{upper[p]}", "size": len(d)} for p, d in members.items()]},
    }


def _signatures() -> Iterator[Case]:
    data = to_json(manifest(files()))

    def by(text: bytes) -> Members:
        return published(document=data) | {f"{MANIFEST}.jws": text}

    yield valid("signed-es256", "ES256", published(by=["site"]), trust="site")
    other = higher(published(by=["site"])[SIGNATURE])
    yield valid("signed-es256-higher", "ES256 in the form (r, n - s) that some signers make", by(other), trust="site")
    yield valid("signed-ps256", "PS256", published(by=["rsa"]), trust="rsa")
    yield valid("signed-ed25519-name", "alg Ed25519 (RFC 9864)", by(forged(data, "publisher", alg="Ed25519")))
    short = forged(data, "publisher", typ="vnd.offline-kit.manifest+jws")
    yield valid("signed-short-type", "typ without application/ (RFC 7515 4.1.9)", by(short))
    turned = json.dumps(dict(reversed(header("publisher").items()))).encode()
    yield valid(
        "signed-header-order",
        "the header's members in another order",
        by(header_signed(data, "publisher", turned)),
    )
    plain = published()[f"{MANIFEST}.jws"]
    yield valid("signed-newline", "a line feed behind the signature", by(plain + b"\n"))
    yield valid("signed-crlf", "carriage return and line feed behind the signature", by(plain + b"\r\n"))
    several = published(by=["publisher", "site"])
    yield valid("signers-two", "two signers, general serialisation", several, trust="both", script=None)
    yield valid("signers-one-unknown", "a signer who is not known beside a trusted one", several, script=None)
    yield valid(
        "threshold-met",
        "two of two publishers",
        published(by=["publisher", "site"]),
        trust="two-publishers",
        script=None,
    )
    compact = published()[f"{MANIFEST}.jws"].decode().split("..")
    general = compact_json({"signatures": [{"protected": compact[0], "signature": compact[1]}]}).encode()
    yield valid("signed-general-one", "one signer in the general serialisation", by(general), script=None)


def _generations() -> Iterator[Case]:
    yield valid("patched", "a site's step after the publisher's generation", patched(), trust="both")
    yield valid("patched-policy", "the same under a policy of roles", patched(), trust="policy", script=None)
    yield valid("patched-root-place", "patched, the manifest at the root", _at_root(), trust="both")
    second = step(patched(), {"README.txt": b"more\n"}, by="site-b", at="2026-01-03T00:00:00Z", kind="raw-linkset")
    recorded = step(
        patched(digests=True), {"README.txt": b"more\n"}, by="site-b", at="2026-01-03T00:00:00Z", digests=True
    )
    yield valid(
        "patched-recorded", "two steps; lineage has the digests of signatures and statements", recorded, trust="three"
    )
    yield valid("patched-twice", "two steps by two sites", second, trust="three")
    yield valid("patched-adds", "a step that adds a file", step(published(), {"new.txt": b"new\n"}), trust="both")
    yield valid(
        "policy-rotated", "a policy in its second version, signed by its root", patched(), trust="rotated", script=None
    )
    yield valid(
        "key-superseded-history",
        "the publisher's key was superseded since a site, which is to be believed, vouched for it",
        patched(),
        trust="superseded",
        script=None,
    )
    both = published(by=["publisher", "site-b"])
    yield valid(
        "key-superseded-both",
        "signed anew by the key that took its place, beside the old one",
        both,
        trust="rotated-publisher",
        script=None,
    )
    yield valid(
        "key-revoked-both",
        "signed by a publisher's key in force as well, beside the revoked one",
        both,
        trust="revoked",
        script=None,
    )
    yield valid(
        "key-superseded-below",
        "the new key's generation over history of the old one",
        step(patched(), {"README.txt": b"more\n"}, by="site-b", at="2026-01-06T00:00:00Z"),
        trust="rotated-site",
        script=None,
    )
    yield valid(
        "key-expired-history",
        "the publisher's key has expired since a site vouched for it",
        patched(),
        trust="expired",
        script=None,
    )
    yield valid(
        "fresh", "within its staleness window", published(stalenessWindowHours=500), trust="policy", script=None
    )
    yield valid(
        "newer-generation",
        "a newer generation than the one accepted before",
        published(generation=4),
        trust="policy",
        before=["patched-policy-base"],
        script=None,
    )
    yield valid(
        "patched-policy-base",
        "the publisher's generation under a policy of roles",
        published(),
        trust="policy",
        script=None,
    )


def _at_root() -> Members:
    return step(published(place=ROOT_MANIFEST), {OBSERVATIONS: encoded(AFTER)}, place=ROOT_MANIFEST)


def _contents() -> Iterator[Case]:
    declared = published(collections=[summary(BEFORE)])
    yield valid("declared", "collections declared as they are", declared, needs={"deep": True})
    proven = step(declared, {OBSERVATIONS: encoded(AFTER)}, manifest_changes={"collections": [summary(AFTER)]})
    yield valid(
        "proven", "a step that only appended, proven document by document", proven, trust="both", needs={"deep": True}
    )
    first = step(published(), {OBSERVATIONS: encoded([AFTER[0], *BEFORE[1:]])}, runs=(0, 1, 2))
    second = step(first, {OBSERVATIONS: encoded(AFTER)}, by="site-b", at="2026-01-03T00:00:00Z", runs=(1, 1, 1))
    yield valid("proven-twice", "two steps that only appended", second, trust="three", needs={"deep": True})
    honest = step(published(), {"new.txt": b"new\n"}, kind="by-hand", statement_changes={"counts": {}})
    yield valid(
        "adds-and-says-so", "a step that adds a file and says it does more", honest, trust="both", needs={"deep": True}
    )
    gz = files() | {f"{OBSERVATIONS}.gz": gzip_member(encoded(BEFORE))}
    del gz[OBSERVATIONS]
    yield valid("collection-gzip", "a collection as mongodump --gzip writes it", published(gz), needs={"deep": True})
    doubles = files() | {"dump/concelier/._advisory_observations.bson": APPLE_DOUBLE, "dump/.AppleDouble/a.bson": b"x"}
    yield valid("apple-double", "what macOS puts beside a collection", published(doubles), needs={"deep": True})
    every = (AFTER[0], AFTER[1])
    both = "both projections on every observation"
    yield valid("coverage-whole", both, published(files(every)), needs={"coverage": True})
    yield valid(
        "encrypted",
        "every mapped field an envelope",
        published(files() | {NOTES: ENCRYPTED}),
        needs={"fields": "notelett"},
    )
