"""What hardening/fuzz attacks of archives: records in front of a member, deltas as a whole, the journals of jobs.

An input is what an attacker writes, without the checksums, digests and signatures that somebody can make fit: those are
made here, so that what is mutated is read and not refused before.
"""

# ruff: noqa: S101  the laws

from __future__ import annotations

import functools
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from conformance.build.kits import LATER, published, sha256, tar
from conformance.build.signing import key
from conformance.build.tar_bytes import END, GNU, header, member, padded
from kit.archive.read.tar import read_tar
from kit.archive.source import ChunkReader
from kit.delta.model import DELTA_TYPE, DeltaManifest
from kit.engine.progress import Event, PassStarted, Stage
from kit.errors import InterruptedRunError, KitError
from kit.output.journal import Position, checksum
from kit.signing import jws
from kit.transforms.raw_linkset import RawLinkset
from kit.values import Allowed, Limits, Timestamp
from kit.verbs.delta.apply import DeltaApplyRequest, apply_delta
from kit.verbs.delta.build import DeltaBuildRequest, build_delta
from kit.verbs.delta.deltas import check_payloads, open_delta
from kit.verbs.patch.patch import Output, PatchRequest, patch, resume
from kit.verbs.verify.judgement import Expectation
from kit.verbs.verify.kits import Environment

LIMITS = Limits(
    ratio_floor_bytes=1 << 20, window_bytes=1 << 23, total_bytes=1 << 24, expanded_bytes=1 << 24, json_bytes=1 << 20
)
_BETWEEN = b"\x1e"
"""Between the parts of an input, which are text in most seeds."""


def pax(data: bytes) -> None:
    """Law: what is accepted is read alike by Python's ``tarfile``: the same names, kinds and bodies.

    A line is a record block: its type flag, then ``key=value`` records (``x``, ``g``), a long name (``L``, ``K``), a
    block's raw body (``X``, ``G``), or the name and link of a member.
    """
    archive = b"".join(map(_block, data.split(b"\n"))) + END
    found = [
        (str(one.path or "."), one.kind.value, b"".join(body))
        for one, body in read_tar(ChunkReader([archive], where="k"), LIMITS, where="k", allowed=Allowed(links=True))
    ]
    assert found == list(_of_tarfile(archive))


def _block(line: bytes) -> bytes:
    flag, rest = line[:1] or b"0", line[1:]
    parts = rest.split(_BETWEEN)
    if flag in b"xg":
        pairs = [part.partition(b"=") for part in parts]
        return member(b"PaxHeaders/a", b"".join(_record(name, value) for name, _, value in pairs), flag=flag)
    if flag in b"XG":
        return member(b"PaxHeaders/a", rest.replace(_BETWEEN, b"\n"), flag=flag.lower())
    if flag in b"LK":
        return member(b"././@LongLink", rest + b"\0", flag=flag, magic=GNU)
    link = parts[1][:100] if len(parts) > 1 else b""
    body = b"body" if flag in b"0\0" else b""
    return header(parts[0][:100], size=len(body), flag=flag, link=link) + padded(body)


def _record(name: bytes, value: bytes) -> bytes:
    """Return a record of which the length fits, whatever its bytes."""
    text = name + b"=" + value
    length = len(text) + 2
    while len(str(length)) + len(text) + 2 != length:
        length = len(str(length)) + len(text) + 2
    return b"%d %s\n" % (length, text)


def _of_tarfile(archive: bytes) -> Iterator[tuple[str, str, bytes]]:
    kinds = {tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "symlink", tarfile.LNKTYPE: "hardlink"}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as opened:
        for info in opened:
            kind = kinds.get(info.type, "file" if info.isreg() else f"type {info.type!r}")
            body = opened.extractfile(info) if info.isreg() else None
            name = "/".join(part for part in info.name.split("/") if part not in {"", "."}) or "."
            yield name, kind, body.read() if body is not None else b""


def pax_seeds() -> list[bytes]:
    """Return records of every kind, of the writers in the field."""
    return [
        b"xpath=a/b\n0a/b",
        b"xmtime=1.5\x1eatime=2.5\x1ectime=3\x1euid=1\x1egid=2\x1euname=u\x1egname=g\n0a",
        b"x" + b"path=" + b"d/" * 60 + b"f\n0" + (b"d/" * 60)[:100],
        b"xSCHILY.fflags=nodump\x1eLIBARCHIVE.creationtime=1\x1eSCHILY.xattr.user.a=b\n0a",
        b"xSCHILY.dev=1\x1eSCHILY.ino=2\x1eSCHILY.nlink=1\x1ecomment=c\x1ecbarset=x\n0a\n0b",
        b"xGNU.sparse.major=1\x1eGNU.sparse.minor=0\x1eGNU.sparse.name=b\n0a",
        b"xSUN.holesdata= 0 4\n0a",
        b"xhdrcharset=ISO-IR 10646 2000 UTF-8\x1epath=\xc3\xa9\n0a",
        b"gmtime=1\x1ecomment=git\n0a\n5d/\n0d/f",
        b"L" + b"n" * 120 + b"\n0" + b"n" * 100,
        b"K" + b"t" * 120 + b"\n2a\x1e" + b"t" * 100,
        b"0a\nxlinkpath=a\n2b\x1ea\n1c\x1ea",
        b"X12 uname=ab\x1e\n0a/b",
        b"0a",
        b"5a/\n0a/b",
    ]


def delta(data: bytes) -> None:
    """Law: a delta that a trusted key signed, whatever is in it, makes a kit that verifies, or is refused.

    The parts of an input are the manifest and the payloads. An input that begins with ``!`` is taken as it is; in every
    other one the digests and sizes of payloads are made to fit.
    """
    fits, parts = data[:1] != b"!", data[1:].split(_BETWEEN * 3)
    with _scratch() as folder:
        names = [payload.path.text for payload in DeltaManifest.parse(_delta_parts()[0], limits=LIMITS).payloads]
        payloads = dict(zip(names, parts[1:], strict=False))
        manifest = _fitting(parts[0], payloads) if fits else parts[0]
        signature = jws.sign(manifest, [key("site")], typ=DELTA_TYPE)
        path = folder / "a.delta"
        path.write_bytes(tar({"delta-manifest.json": manifest, "delta-manifest.json.jws": signature, **payloads}))
        try:
            with open_delta(path, LIMITS) as opened:
                check_payloads(opened)
        finally:
            assert sorted(item.name for item in folder.iterdir()) == ["a.delta"]
        base, target = folder / "base.tar", folder / "target.tar"
        base.write_bytes(tar(published()))
        before = base.read_bytes()
        try:
            report = apply_delta(DeltaApplyRequest(base=base, delta=path, output=target, **_alike()))
            assert report.judgement.failure is None
        finally:
            assert base.read_bytes() == before


def _fitting(text: bytes, payloads: dict[str, bytes]) -> bytes:
    with suppress(ValueError, RecursionError):
        document = json.loads(text)
        stack = [document]
        while stack:
            value = stack.pop()
            if isinstance(value, dict):
                name = value.get("path")
                if isinstance(name, str) and name in payloads and {"sha256", "size"} <= value.keys():
                    value |= {"sha256": sha256(payloads[name]), "size": len(payloads[name])}
                stack += value.values()
            elif isinstance(value, list):
                stack += value
        return json.dumps(document).encode()
    return text


def delta_seeds() -> list[bytes]:
    """Return a delta that applies, as it is and with digests to be made."""
    return [mark + (_BETWEEN * 3).join(_delta_parts()) for mark in (b"!", b".")]


@functools.cache
def _delta_parts() -> tuple[bytes, ...]:
    with _scratch() as folder:
        base, target, made = folder / "base.tar", folder / "target.tar", folder / "a.delta"
        base.write_bytes(tar(published()))
        patch(_patch_of(base), Output(path=target, key=key("site")))
        moment = Timestamp.parse(LATER)
        build_delta(
            DeltaBuildRequest(
                base=base, target=target, output=made, key=key("site"), created_at=moment, recipe=False, **_alike()
            )
        )
        with open_delta(made, LIMITS) as opened:
            bodies = {str(one.path): b"".join(body) for one, body in opened.reader.members()}
            manifest = opened.manifest_bytes
            return (manifest, *(bodies[str(payload.path)] for payload in opened.manifest.payloads))


def journal(data: bytes) -> None:
    """Law: whatever a journal's lines are, a run is resumed to the bytes it would have given, or refused.

    Each line gets the checksum that fits.
    """
    with _scratch() as folder:
        shutil.copytree(_struck(), folder, dirs_exist_ok=True)
        (place,) = folder.rglob("journal")
        place.write_bytes(_sealed(data.split(b"\n")))
        place.with_name("archive").write_bytes(_expected())  # where a journal says that the new kit is finished
        resume(_patch_of(folder / "kit.tar"), Output(path=None, key=key("site")))
        assert (folder / "kit.tar").read_bytes() == _expected()


def _sealed(lines: list[bytes]) -> bytes:
    at, found = Position(), []
    for line in lines:
        crc32 = checksum(line, at.crc32)
        found.append(b"%08x %s\n" % (crc32, line))
        at = Position(offset=at.offset + len(found[-1]), crc32=crc32)
    return b"".join(found)


def journal_seeds() -> list[bytes]:
    """Return the journal of a run that was interrupted, whole and cut."""
    (place,) = _struck().rglob("journal")
    lines = [line[9:] for line in place.read_bytes().splitlines()]
    base = sha256((_struck() / "kit.tar").read_bytes())
    switch = {"work": "archive", "inPlace": True, "backup": True, "sidecars": {}}
    switch |= {"new": f"sha256:{sha256(_expected())}", "old": f"sha256:{base}"}
    ready = json.dumps({"record": "ready", **switch}).encode()
    return [b"\n".join(lines), lines[0], b"\n".join([*lines, lines[-1]]), b"\n".join([*lines, ready])]


class _Interrupt:
    """Interrupts a run as a signal does, when it reads back what it wrote."""

    def tell(self, event: Event) -> None:
        if isinstance(event, PassStarted) and event.stage is Stage.REREAD:
            raise KeyboardInterrupt


@functools.cache
def _struck() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="kit-fuzz-struck-"))
    kit = folder / "kit.tar"
    kit.write_bytes(tar(published()))
    environment = Environment(workers=1, limits=LIMITS, progress=_Interrupt())
    with suppress(InterruptedRunError):
        patch(_patch_of(kit, environment=environment), Output(path=None, key=key("site")))
    return folder


@functools.cache
def _expected() -> bytes:
    with _scratch() as folder:
        kit = folder / "kit.tar"
        kit.write_bytes(tar(published()))
        patch(_patch_of(kit), Output(path=None, key=key("site")))
        return kit.read_bytes()


def _patch_of(kit: Path, **more: Any) -> PatchRequest:
    facts: dict[str, Any] = {"environment": Environment(workers=1, limits=LIMITS)} | more
    trusted, moment = _alike()["expectation"].trusted, Timestamp.parse(LATER)
    return PatchRequest(kit=kit, transforms=(RawLinkset(),), trusted=trusted, created_at=moment, **facts)


def _alike() -> dict[str, Any]:
    public = [key(name).public for name in ("publisher", "site")]
    return {
        "expectation": Expectation(trusted={one.key_id: one for one in public}),
        "environment": Environment(workers=1, limits=LIMITS),
    }


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kit-fuzz-") as folder:
        yield Path(folder)


__all__ = ["KitError", "delta", "delta_seeds", "journal", "journal_seeds", "pax", "pax_seeds"]
