"""Kits that a verifier must refuse for their container or their JSON: what lenient readers let through."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

import zstandard

from conformance.build.case import Attack, Case, refused
from conformance.build.kits import (
    MANIFEST,
    OBSERVATIONS,
    Members,
    compressed,
    entries,
    files,
    manifest,
    published,
    tar,
    to_json,
)
from conformance.build.signing import signature
from conformance.build.tar_bytes import END, GNU, header, long_name, member, padded, pax, record, with_checksum
from fixtures.build.archives import gzip_member

A = Attack
P = Attack.PARSER_DIFFERENTIAL
LONG = b"d/" + b"n" * 120


def cases() -> Iterator[Case]:
    """Give them all."""
    yield from _names()
    yield from _kinds()
    yield from _records()
    yield from _links()
    yield from _cut()
    yield from _compressed()
    yield from _folders()
    yield from _json()


def _case(
    name: str, says: str, archive: bytes, attack: Attack = P, *, code: int = 9, obligation: int = 1, **more: Any
) -> Case:
    """Refuse a tar archive; what ``verify.sh`` makes of it is not its business unless ``script`` says so."""
    data = compressed(archive, ".tar.gz")
    return refused(name, says, attack, code, obligation, data, **({"script": None} | more))


def _with(entry: bytes, members: Members | None = None) -> bytes:
    """Give a good kit with one more entry at its end."""
    return entries(published() if members is None else members) + entry + END


def _names() -> Iterator[Case]:
    yield _case(
        "name-twice", "two members of one name, the second changed", _with(member(b"README.txt", b"evil\n")), script=9
    )
    yield _case("name-twice-equal", "two equal members of one name", _with(member(b"README.txt", b"a kit\n")), script=9)
    yield _case(
        "name-case",
        "names that differ in case only",
        _with(member(b"readme.TXT", b"x"), published(files() | {"readme.TXT": b"x"})),
    )
    yield _case("name-folder-case", "folders that differ in case only", _with(member(b"Images/x", b"x")))
    yield _case(
        "name-climbs",
        "a name that climbs out of the folder",
        _with(member(b"../evil", b"x")),
        A.ARBITRARY_SOFTWARE,
        script=9,
    )
    yield _case(
        "name-climbs-inside",
        "a name that climbs in its middle",
        _with(member(b"images/../../evil", b"x")),
        A.ARBITRARY_SOFTWARE,
        script=9,
    )
    yield _case("name-absolute", "an absolute name", _with(member(b"/etc/evil", b"x")), A.ARBITRARY_SOFTWARE, script=9)
    yield _case("name-backslash", "a backslash in a name", _with(member(rb"..\evil", b"x")), script=9)
    yield _case("name-drive", "a drive letter", _with(member(b"C:/evil", b"x")))
    yield _case("name-control", "a line feed in a name", _with(member(b"a\nb", b"x")), script=9)
    yield _case("name-not-utf8", "a name that is not UTF-8", _with(member(b"\xff\xfe", b"x")))
    yield _case("name-decomposed", "a name that is not in normal form C", _with(member("e\u0301".encode(), b"x")))
    yield _case("name-hidden-end", "a name behind the end of the name", _with(member(b"a\0evil", b"x")))
    yield _case("name-below-a-file", "a file below a file", _with(member(b"README.txt/x", b"x")))
    yield _case("name-empty", "an empty name", _with(member(b"", b"x")))
    for name, says, path in (
        ("drive-over-another", "a drive letter in front of another file's name", "x:README.txt"),
        ("colon", "a colon, which Windows takes for a stream", "images/layer.bin:x"),
        ("dot-at-the-end", "a dot at the end, which Windows cuts off", "README.txt."),
        ("device", "a device of Windows", "images/NUL.txt"),
        ("long", "a name of 256 bytes", "n" * 256),
        ("blank-at-the-end", "names that differ in a blank at their end", "README.txt "),
    ):
        listed = files() | {path: b"x"}
        added = pax(record("path", path.encode())) + member(path.encode()[:100], b"x")
        kept = {other: data for other, data in published(listed).items() if other != path}
        yield _case(f"name-{name}", says, _with(added, kept))


def _kinds() -> Iterator[Case]:
    for name, flag, link in (
        ("symlink", b"2", b"images/layer.bin"),
        ("symlink-out", b"2", b"/etc/passwd"),
        ("hardlink", b"1", b"README.txt"),
    ):
        yield _case(
            f"kind-{name}",
            f"a {name.partition('-')[0]} in the kit",
            _with(member(b"link", flag=flag, link=link)),
            A.ARBITRARY_SOFTWARE,
            script=9,
        )
    for name, flag in (("character-device", b"3"), ("block-device", b"4"), ("fifo", b"6"), ("contiguous", b"7")):
        yield _case(
            f"kind-{name}", f"a {name.replace('-', ' ')}", _with(member(b"odd", flag=flag)), A.ARBITRARY_SOFTWARE
        )
    yield _case("kind-sparse", "a sparse file", _with(member(b"odd", flag=b"S", magic=GNU)), A.ENDLESS_DATA)
    sparse = pax(record("GNU.sparse.major", b"1"), record("GNU.sparse.name", b"odd"))
    yield _case("kind-sparse-pax", "a sparse file of PAX", _with(sparse + member(b"odd")), A.ENDLESS_DATA)
    yield _case("kind-unknown", "a kind nobody knows", _with(member(b"odd", flag=b"Z")))
    yield _case(
        "kind-setuid", "a file that runs as its owner", _with(member(b"odd", mode=b"0004755\0")), A.ARBITRARY_SOFTWARE
    )
    yield _case("folder-with-body", "a folder with a body", _with(header(b"odd/", size=1, flag=b"5") + padded(b"x")))


def _records() -> Iterator[Case]:
    yield _case("pax-path", "a PAX path over a name that fits", _with(pax(record("path", b"evil")) + member(b"good")))
    yield _case(
        "pax-size", "a PAX size over another size", _with(pax(record("size", b"512")) + member(b"odd", b"x" * 1024))
    )
    yield _case(
        "pax-size-over-zero",
        "a PAX size over no size",
        _with(pax(record("size", b"512")) + header(b"odd") + bytes(512)),
    )
    yield _case(
        "pax-twice",
        "one PAX record twice",
        _with(pax(record("path", LONG), record("path", LONG + b"2")) + member(LONG[:100])),
    )
    yield _case(
        "pax-global-path", "a global PAX path", _with(pax(record("path", b"evil"), flag=b"g") + member(b"good"))
    )
    yield _case("pax-charset", "a PAX character set", _with(pax(record("hdrcharset", b"BINARY")) + member(b"odd")))
    for name, says, key, value in (
        ("holes", "a map of holes that some readers leave zeros in", "SUN.holesdata", b" 0 8 16 64"),
        ("sparse-without-a-dot", "a key that some readers drop members for", "GNU.sparse", b"1"),
        ("capability", "a capability", "SCHILY.xattr.security.capability", b"\1\0\0\2" + bytes(16)),
        ("access-list", "an access list", "SCHILY.acl.access", b"user::rwx,group::r-x,other::r-x,user:x:rwx:0"),
        ("unknown", "a key of a vendor nobody knows", "VENDOR.keyword", b"1"),
        ("without-vendor", "a key that POSIX may yet define", "mode", b"1"),
        ("empty", "a record that takes back what was said before", "mtime", b""),
        ("hidden", "a character set inside of another record", "comment", b"a\n21 hdrcharset=BINARY\n"),
    ):
        yield _case(f"pax-{name}", says, _with(pax(record(key, value)) + member(b"odd", bytes(64))))
        if name in {"holes", "unknown"}:
            told = pax(record(key, value), flag=b"g")
            yield _case(f"pax-global-{name}", f"{says}, for all members", _with(told + member(b"odd", bytes(64))))
    yield _case(
        "pax-global-between",
        "a global header between a record and its member",
        _with(pax(record("path", LONG)) + pax(record("comment", b"c"), flag=b"g") + member(LONG[:100])),
    )
    yield _case("pax-malformed", "a PAX record longer than its header", _with(pax(b"99 path=a\n") + member(b"odd")))
    yield _case(
        "pax-endless",
        "PAX records of many gigabytes, only declared",
        _with(header(b"PaxHeaders/a", size=1 << 32, flag=b"x")),
        A.ENDLESS_DATA,
    )
    yield _case(
        "pax-and-gnu",
        "a GNU and a PAX name",
        _with(long_name(LONG + b"\0") + pax(record("path", LONG)) + member(LONG[:100])),
    )
    yield _case(
        "gnu-name-hidden",
        "a GNU name with two ends",
        _with(long_name(LONG + b"\0evil\0") + member(LONG[:100], magic=GNU)),
    )
    yield _case("size-negative", "a negative size", _with(header(b"odd", size=b"\xff" * 12)))
    yield _case(
        "size-endless",
        "a size of exabytes",
        _with(header(b"odd", size=b"\x80\0\0\0" + b"\x7f" + b"\xff" * 7)),
        A.ENDLESS_DATA,
    )
    yield _case("size-sign", "a size with a sign", _with(header(b"odd", size=b"+0000000001\0") + padded(b"x")))
    yield _case("checksum-wrong", "a header whose checksum is wrong", _with(b"b" + member(b"odd")[1:]))
    yield _case(
        "checksum-signed", "a checksum over signed bytes", _with(with_checksum(header("é".encode()), signed=True))
    )
    yield _case("padding-hides", "data hidden in padding", _with(header(b"odd", size=1) + b"x" + b"y" * 511))
    yield _case(
        "name-deep",
        "a name of more folders than any kit has",
        _with(long_name(b"d/" * 70 + b"x\0") + member(b"d/" * 50, magic=GNU)),
        A.ENDLESS_DATA,
    )


def _links() -> Iterator[Case]:
    """Give kits whose links are another matter than the closed world: read with links allowed."""
    listed = [{"path": "docs/layer", "target": "../images/layer.bin", "kind": "symbolic"}]
    layer = member(b"docs/layer", flag=b"2", link=b"../images/layer.bin")
    for name, says, links, entry, code in (
        ("unlisted", "a link, and a manifest that lists none", ..., layer, 9),
        ("unlisted-hard", "a second collection by a hard link", ..., _HARD, 9),
        ("added", "a link beside those that are listed", listed, layer + _HARD, 2),
        ("dropped", "a listed link that is not there", listed, b"", 2),
        ("other-target", "a link to another place", listed, layer.replace(b"layer.bin", b"other.bin"), 2),
        (
            "other-kind",
            "a hard link for a symbolic one",
            listed,
            _HARD.replace(_COPY, b"docs/layer".ljust(30, b"\0")),
            2,
        ),
    ):
        archive = _with(_summed(entry), published(links=links))
        yield _case(f"link-{name}", says, archive, A.ARBITRARY_SOFTWARE, code=code, obligation=5, needs={"links": True})
    for name, says, entry in (
        ("out", "a link that leads out", member(b"link", flag=b"2", link=b"../x")),
        (
            "out-through-another",
            "a link that leads out through another",
            member(b"images/up", flag=b"2", link=b"..") + member(b"link", flag=b"2", link=b"images/up/.."),
        ),
        ("circle", "links in a circle", member(b"a", flag=b"2", link=b"b") + member(b"b", flag=b"2", link=b"a")),
        ("below", "a member below a link", member(b"link", flag=b"2", link=b"images") + member(b"link/x")),
        (
            "hard-to-nothing",
            "a hard link to what comes later",
            member(b"link", flag=b"1", link=b"zzz") + member(b"zzz"),
        ),
    ):
        yield _case(f"link-{name}", says, _with(entry), A.ARBITRARY_SOFTWARE, needs={"links": True})


_COPY = b"dump/concelier/copies.bson".ljust(30, b"\0")
_HARD = member(_COPY, flag=b"1", link=OBSERVATIONS.encode())


def _summed(headers: bytes) -> bytes:
    """Give header blocks whose fields were replaced their checksums."""
    return b"".join(with_checksum(headers[at : at + 512]) for at in range(0, len(headers), 512))


def _cut() -> Iterator[Case]:
    whole = tar(published())
    body = whole.index(b"a kit\n")
    for name, says, data in (
        ("cut-header", "cut inside a header", whole[:300]),
        ("cut-later-header", "cut inside the last header", whole[: len(whole) - 1024 - 512 - 300]),
        ("cut-body", "cut inside a body", whole[: body + 3]),
        ("cut-padding", "cut inside padding", whole[: body + 100]),
        ("cut-before-end", "cut before the end blocks", whole[:-1024]),
        ("cut-between-end", "cut between the end blocks", whole[:-512]),
        ("cut-empty", "nothing at all in a gzip member", b""),
    ):
        yield _case(name, says, data, A.MIX_AND_MATCH)
    yield _case("end-data", "data behind the end of the archive", whole + b"hidden")
    yield _case("end-second-archive", "a second archive behind the first", whole + tar(published()))
    yield _case("end-single", "one zero block, then more members", whole[:-1024] + bytes(512) + member(b"evil") + END)
    yield _case("end-not-a-block", "an end that is no whole block", whole + bytes(100))


def _compressed() -> Iterator[Case]:
    plain = tar(published())
    packed = gzip_member(plain)
    frame = zstandard.ZstdCompressor(level=3, write_checksum=True).compress(plain)

    def of(name: str, says: str, data: bytes, attack: Attack = P, **more: Any) -> Case:
        return refused(name, says, attack, 9, 1, data, **({"script": 9} | more))

    yield of("gzip-cut", "a gzip member cut short", packed[:-40], A.MIX_AND_MATCH)
    yield of("gzip-cut-trailer", "a gzip member without its trailer", packed[:-8], A.MIX_AND_MATCH)
    yield of("gzip-checksum", "a gzip member with another checksum", packed[:-8] + b"\0\0\0\0" + packed[-4:])
    yield of("gzip-size", "a gzip member with another length", packed[:-4] + b"\1\0\0\0")
    yield of("gzip-data-after", "bytes behind the last gzip member", packed + b"hidden", script=None)
    yield of("gzip-zeros-after", "zero bytes behind the last gzip member", packed + bytes(64), script=None)
    yield of("zstd-cut", "a zstd frame cut short", frame[:-40], A.MIX_AND_MATCH, suffix=".tar.zst")
    yield of("zstd-cut-checksum", "a zstd frame without its checksum", frame[:-4], A.MIX_AND_MATCH, suffix=".tar.zst")
    yield of("zstd-checksum", "a zstd frame with another checksum", frame[:-4] + b"\0\0\0\0", suffix=".tar.zst")
    yield of("zstd-data-after", "bytes behind the last frame", frame + b"hidden", suffix=".tar.zst")
    skippable = frame + struct.pack("<II", 0x184D2A50, 100) + b"cut"
    yield of("zstd-skippable-cut", "a skippable frame cut short", skippable, suffix=".tar.zst")
    bomb = zstandard.ZstdCompressor(level=19).compress(entries(published()) + member(b"bomb", bytes(64 << 20)) + END)
    yield of("bomb", "64 MiB of zeros in a few KB", bomb, A.ENDLESS_DATA, suffix=".tar.zst", script=None)
    window = b"\x28\xb5\x2f\xfd\x00\xff" + b"\x01\x00\x00"
    yield of("zstd-window", "a frame that asks for a window of terabytes", window, A.ENDLESS_DATA, suffix=".tar.zst")
    yield of(
        "no-container", "neither tar nor compressed", b"this is no kit\n" * 100, A.ARBITRARY_SOFTWARE, suffix=".tar"
    )


def _folders() -> Iterator[Case]:
    good = published()
    for name, says, more in (
        ("folder-symlink", "a symbolic link in a folder", {"symlink": "link"}),
        ("folder-fifo", "a FIFO in a folder", {"fifo": "pipe"}),
        ("folder-symlinked-file", "a listed file that is a link to its like", {"replace": "README.txt"}),
    ):
        yield refused(name, says, A.ARBITRARY_SOFTWARE, 9, 1, good, unpack=more)


def _json() -> Iterator[Case]:
    text = to_json(manifest(files())).decode()

    def of(name: str, says: str, data: str | bytes, attack: Attack = P, code: int = 11, **more: Any) -> Case:
        raw = data if isinstance(data, bytes) else data.encode()
        kit = files() | {MANIFEST: raw, f"{MANIFEST}.jws": signature(raw, "publisher")}
        return refused(name, says, attack, code, 2, kit, **({"script": None} | more))

    yield of(
        "json-key-twice", "a key twice in the manifest", text.replace('"channel"', '"generation": 9,\n  "channel"', 1)
    )
    yield of(
        "json-entry-key-twice",
        "a digest twice in an entry",
        text.replace('"sha256"', f'"sha256": "{"0" * 64}",\n      "sha256"', 1),
    )
    yield of("json-nan", "NaN in the manifest", text.replace('"generation": 3', '"generation": 3,\n  "x": NaN'))
    yield of("json-bom", "a byte order mark", b"\xef\xbb\xbf" + text.encode())
    yield of("json-utf16", "UTF-16", text.encode("utf-16"), script=11)
    yield of(
        "json-huge-integer", "an integer beyond 64 bits", text.replace('"generation": 3', f'"generation": {10**30}')
    )
    yield of("json-float", "a generation that is a fraction", text.replace('"generation": 3', '"generation": 3.5'))
    yield of("json-boolean", "a generation that is a boolean", text.replace('"generation": 3', '"generation": true'))
    yield of("json-surrogate", "half of a surrogate pair", text.replace('"stable"', '"\\ud800"'))
    yield of("json-comment", "a comment", "// kit\n" + text)
    yield of("json-trailing", "a second value behind the first", text + "{}")
    yield of("json-cut", "cut short", text[:-20])
    yield of(
        "json-deep",
        "nested deeper than any manifest",
        text.replace('"stable"', "[" * 200 + "]" * 200),
        A.ENDLESS_DATA,
        code=9,
    )
    listed = manifest(files())
    listed["files"].append(dict(listed["files"][0]))
    yield of("json-listed-twice", "a file listed twice", to_json(listed), script=11)
    for name, says, path in (
        ("climbs", "a listed name that climbs", "../README.txt"),
        ("absolute", "an absolute listed name", "/README.txt"),
        ("reserved", "history listed as a file", "manifest/history/1/x"),
    ):
        document = manifest(files())
        document["files"][0]["path"] = path
        yield of(
            f"json-path-{name}",
            says,
            to_json(document),
            A.ARBITRARY_SOFTWARE,
            script=11 if name != "reserved" else None,
        )
    short = manifest(files())
    short["files"][0]["sha256"] = "00"
    yield of("json-digest-short", "a digest that is too short", to_json(short), script=11)
    yield of(
        "json-no-shape", "a manifest of no known shape", json.dumps({"items": []}), A.ARBITRARY_SOFTWARE, script=11
    )
    both = manifest(files()) | {"artifacts": [{"name": "x", "digest": "0" * 64}]}
    yield of(
        "json-two-lists",
        "two lists of files",
        to_json({n: v for n, v in both.items() if n != "schemaVersion"}),
        script=11,
    )
    version = to_json(manifest(files(), schemaVersion="2"))
    yield of("json-version", "a version nobody knows", version)
