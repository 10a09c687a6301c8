"""``kit ls`` and ``kit cat``: the members of a kit, and the bytes of one of them; nothing is verified.

Laws: members are listed in the order of the kit. No byte of a member is passed on before the kit was read to its end,
so a container that is malformed anywhere gives none; and what is passed on is what that reading found.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path

from kit.archive.read.tar import Member
from kit.engine.passing import read_again
from kit.engine.progress import Stage
from kit.engine.reading import Survey, read_once
from kit.errors import NotFoundError, UsageError
from kit.manifest import LinkKind, files as closed_world
from kit.output.publish import NewFile
from kit.values import Codec, MemberPath, Sha256
from kit.verbs.verify.kits import Environment, OpenKit, open_with_workers, require_outside

_NEAR = 3
"""Near matches that a hint shows."""


class MemberKind(enum.Enum):
    """What a member is."""

    FILE = "file"
    SYMBOLIC_LINK = "symbolic link"
    HARD_LINK = "hard link"
    FOLDER = "folder"
    """Without any file or link below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KitMember:
    """One member."""

    path: MemberPath
    kind: MemberKind
    bytes: int | None = None
    """Of a file, as stored in the kit."""
    sha256: Sha256 | None = None
    """Of a file."""
    target: str | None = None
    """Of a link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MembersReport:
    """The members of a kit."""

    kit: Path
    below: str
    """The path that they are at or below; empty for all."""
    members: tuple[KitMember, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CatRequest:
    """Which member of which kit to write, and where to."""

    kit: Path
    member: str
    output: Path | None = None
    """A new file; None for ``sink``."""
    sink: Callable[[bytes], object] | None = field(default=None, repr=False)
    decompress: bool = False
    """Whether to decompress a member whose name ends in .gz or .zst."""
    environment: Environment = field(default_factory=Environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class CatReport:
    """What was written."""

    kit: Path
    member: KitMember
    output: Path | None
    bytes: int
    sha256: Sha256
    codec: Codec
    """What was decompressed."""


def list_members(path: Path, *, below: str = "", environment: Environment | None = None) -> MembersReport:
    """Return the members of a kit, at or below a path if one is given.

    Raises:
        NotFoundError: There is no member at or below the path.
        KitError: The kit is malformed or not readable.
    """
    below = below.removeprefix("./").rstrip("/")
    with open_with_workers(path, environment or Environment()) as kit:
        everything = _members(_read(kit))
        members = tuple(one for one in everything if f"{one.path}/".startswith(f"{below}/") or not below)
        if below and not members:
            raise _not_found(below, everything)
        return MembersReport(kit=kit.reader.path, below=below, members=members)


def cat(request: CatRequest) -> CatReport:
    """Write the bytes of a member.

    Raises:
        NotFoundError: There is no such member.
        UsageError: It is a folder or a link, or is to be decompressed and its name has no codec.
        OutputError: The output cannot be written, or something is there.
        KitError: The kit is malformed or not readable, or changed between two readings.
    """
    if request.output is not None:
        require_outside(request.kit, request.output)
        NewFile(request.output).require_free()
    with open_with_workers(request.kit, request.environment) as kit:
        found = _read(kit)
        member = _file_named(request.member.removeprefix("./"), _members(found))
        if request.output is None:
            return _write(kit, found, member, request)
        with NewFile(request.output) as file:
            report = _write(kit, found, member, replace(request, sink=file.write))
            file.publish()
            return report


def _read(kit: OpenKit) -> Survey:
    with kit.pipeline(Stage.SURVEY):
        return read_once(kit.reader, keep=lambda _: False)


def _members(found: Survey) -> tuple[KitMember, ...]:
    files = (
        KitMember(path=path, kind=MemberKind.FILE, bytes=size, sha256=digest)
        for path, (digest, size) in found.members.items()
    )
    links = (
        KitMember(
            path=path,
            kind=MemberKind.HARD_LINK if link.kind is LinkKind.HARD else MemberKind.SYMBOLIC_LINK,
            target=link.target,
        )
        for path, link in found.links.items()
    )
    empty = closed_world.extra_folders(found.folders, found.members, found.links)
    return (*files, *links, *(KitMember(path=path, kind=MemberKind.FOLDER) for path in empty))


def _file_named(name: str, members: tuple[KitMember, ...]) -> KitMember:
    """Return the file of a name."""
    member = next((one for one in members if one.path.text == name), None)
    if member is None:
        if any(one.path.text.startswith(f"{name.rstrip('/')}/") for one in members):
            raise UsageError("is a folder", where=name, hint=f"kit ls KIT {name}")
        raise _not_found(name, members)
    if member.kind is not MemberKind.FILE:
        target = f" to {member.target}" if member.target is not None else ""
        raise UsageError(f"is a {member.kind.value}{target}, and not a file", where=name)
    return member


def _not_found(name: str, members: Iterable[KitMember]) -> NotFoundError:
    paths = [one.path.text for one in members]
    near = [path for path in paths if path.lower().endswith(f"/{name.lower()}")][:_NEAR]
    near = near or get_close_matches(name, paths, n=_NEAR)
    return NotFoundError(
        "no such member in this kit",
        where=name,
        hint=f"did you mean {' or '.join(near)}?" if near else "kit ls KIT shows all",
    )


def _codec_of(path: MemberPath) -> Codec:
    codec = next((one for one in Codec if one.value and path.text.endswith(one.value)), None)
    if codec is None:
        raise UsageError("is not compressed, by its name", where=str(path), hint="omit --decompress")
    return codec


def _write(kit: OpenKit, found: Survey, member: KitMember, request: CatRequest) -> CatReport:
    """Pass the bytes of a member on to the sink."""
    codec = _codec_of(member.path) if request.decompress else Codec.NONE
    digest, size = hashlib.sha256(), 0

    def visit(entry: Member, body: Iterator[bytes]) -> None:
        nonlocal size
        if entry.path != member.path or not entry.is_file:
            return
        for chunk in kit.reader.decode_member(body, codec, where=str(member.path)):
            digest.update(chunk)
            size += len(chunk)
            if request.sink is not None:
                request.sink(chunk)

    with kit.pipeline(Stage.EXTRACT):
        read_again(kit.reader, found, visit)
    return CatReport(
        kit=kit.reader.path,
        member=member,
        output=request.output,
        bytes=size,
        sha256=Sha256(digest.hexdigest()),
        codec=codec,
    )
