"""What is done to a delta on its way: each is refused with its own exit code, and the kit is as it was."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import zstandard

from kit.cli.commands import exit_code
from kit.delta.model import DELTA_TYPE
from kit.delta.packing import END, frame_piece, pack, unsigned
from kit.errors import KitError, UntrustedError
from kit.signing import Algorithm, archive_signature, generate, jws
from kit.trust import Anchor
from kit.values import Sha256
from kit.verbs.delta.verify import DeltaVerifyRequest, verify_delta
from tests import kits
from tests.delta.kits import KEY, OTHER, Pair, pair, patched, trusting
from tests.kits import OBSERVATIONS, contents, packed, signed, tar, unpacked, write_kit

MANIFEST = "delta-manifest.json"
SIGNATURE = f"{MANIFEST}.jws"
STRANGER = generate(Algorithm.ES256)
# One step: copy 1,000 documents; and copy six, from where the base begins, again and again.
STEPS_BEYOND = unsigned(1) + pack(unsigned(1000 << 3), level=1) + b"\0" + pack(b"\0", level=1) + unsigned(0)
ALL_OF_IT = unsigned(1) + pack(unsigned(6 << 3 | 1), level=1) + b"\0" + pack(b"\1\0", level=1) + unsigned(0)

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    two = pair(tmp_path_factory.mktemp("attacked"))
    two.build()
    return two


@pytest.fixture
def before(built: Pair) -> Iterator[bytes]:
    """Give the base; whatever the attack, it and all around it is as it was."""
    base = built.base.read_bytes()
    around = sorted(built.base.parent.iterdir())
    yield base
    assert built.base.read_bytes() == base
    assert sorted(built.base.parent.iterdir()) == around


def files_of(delta: bytes) -> Files:
    with tarfile.open(fileobj=io.BytesIO(unpacked(delta))) as archive:
        return {info.name: body.read() for info in archive if (body := archive.extractfile(info)) is not None}


def refused(built: Pair, data: bytes, folder: Path, code: int) -> str:
    """Apply and verify an altered delta; gives the message."""
    path = folder / "altered"
    path.write_bytes(data)
    with pytest.raises(KitError) as caught:
        built.apply(delta=path)
    assert exit_code(caught.value) == code, caught.value
    return str(caught.value)


def resigned(files: Files, change: Callable[[dict[str, Any]], None] = lambda _: None, *, sizes: bool = True) -> Files:
    """Change a delta as its own signer could: manifest and signature fit the payloads again."""
    document = json.loads(files[MANIFEST])
    if sizes:
        holders = [document["layout"], *(entry["payload"] for entry in document["members"] if "payload" in entry)]
        for payload in holders:
            data = files[payload["path"]]
            payload |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    change(document)
    data = json.dumps(document, sort_keys=True, indent=2).encode() + b"\n"
    return {**files, MANIFEST: data, SIGNATURE: jws.sign(data, [KEY], typ=DELTA_TYPE)}


def archive(files: Mapping[str, bytes]) -> bytes:
    return packed(tar(files), "delta.zst")


def payload_of(files: Files, path: str) -> str:
    members = json.loads(files[MANIFEST])["members"]
    found: str = next(entry["payload"]["path"] for entry in members if entry["path"] == path)
    return found


def without(files: Files, *names: str) -> Files:
    return {name: data for name, data in files.items() if name not in names}


def altered(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


ON_THE_WAY: dict[str, tuple[int, Callable[[Files], Files]]] = {
    "its signature stripped": (3, lambda files: without(files, SIGNATURE)),
    "its signature emptied": (3, lambda files: {**files, SIGNATURE: b""}),
    "its manifest altered": (5, lambda files: {**files, MANIFEST: files[MANIFEST].replace(b"small", b"kit-2")}),
    "its signature altered": (5, lambda files: {**files, SIGNATURE: altered(files[SIGNATURE], -10)}),
    "the kit's signature in place of its own": (
        5,
        lambda files: {**files, SIGNATURE: jws.sign(files[MANIFEST], [KEY])},
    ),
    "signed by somebody else": (
        4,
        lambda files: {**files, SIGNATURE: jws.sign(files[MANIFEST], [STRANGER], typ=DELTA_TYPE)},
    ),
    "a payload altered": (2, lambda files: {**files, "layout": altered(files["layout"], 3)}),
    "a payload cut": (2, lambda files: {**files, "layout": files["layout"][:-1]}),
    "a payload missing": (9, lambda files: without(files, "layout")),
    "a member more": (9, lambda files: {**files, "more": b""}),
    "its payloads in another order": (9, lambda files: {**without(files, "layout"), "layout": files["layout"]}),
    "no manifest": (9, lambda files: without(files, MANIFEST)),
    "a manifest that is no JSON": (9, lambda files: {**files, MANIFEST: b"{"}),
}


@pytest.mark.parametrize("attack", ON_THE_WAY)
@pytest.mark.usefixtures("before")
def test_a_delta_altered_on_its_way_is_refused(attack: str, built: Pair, tmp_path: Path) -> None:
    code, change = ON_THE_WAY[attack]
    refused(built, archive(change(files_of(built.delta.read_bytes()))), tmp_path, code)


@pytest.mark.usefixtures("before")
def test_a_delta_that_is_cut_anywhere_is_refused(built: Pair, tmp_path: Path) -> None:
    data = built.delta.read_bytes()
    for size in range(0, len(data), max(1, len(data) // 12)):
        refused(built, data[:size], tmp_path, 9)


@pytest.mark.usefixtures("before")
def test_a_kit_is_no_delta(built: Pair, tmp_path: Path) -> None:
    assert "no delta" in refused(built, built.target.read_bytes(), tmp_path, 9)


def lying(change: Callable[[dict[str, Any]], None]) -> Callable[[Files], Files]:
    return lambda files: resigned(files, change)


def said(path: str, payload: Callable[[bytes], bytes]) -> Callable[[Files], Files]:
    """Replace the payload of a member, signed."""

    def change(files: Files) -> Files:
        name = payload_of(files, path)
        return resigned({**files, name: payload(files[name])})

    return change


def entry(name: str, **changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        next(entry for entry in document["members"] if entry["path"] == name).update(changes)

    return change


BOMB = zstandard.ZstdCompressor(level=19, write_content_size=False).compress(bytes(64 * 1024 * 1024))
BLOB, NEW = "images/blob.bin", "docs/new.txt"


def bomb(size: int) -> bytes:
    stream = unsigned(size) + b"\1" + unsigned(len(BOMB)) + BOMB
    return frame_piece(unsigned(0) + unsigned(0) + stream) + END


BY_ITS_SIGNER: dict[str, tuple[int, Callable[[Files], Files]]] = {
    "another bundle": (9, lying(lambda document: document.update(bundleId="other"))),
    "another base": (10, lying(lambda document: document["base"].update(manifestSha256="0" * 64))),
    "another generation than its base has": (9, lying(lambda document: document["base"].update(generation=7))),
    "another generation than its target has": (9, lying(lambda document: document["target"].update(generation=9))),
    "no manifest of its target": (9, lying(lambda document: document["target"].update(manifestSha256="0" * 64))),
    "a member of another size": (2, lying(entry(NEW, size=5))),
    "a member of another digest": (2, lying(entry(NEW, sha256="0" * 64))),
    "a copy of what is not there": (2, lying(entry("images/empty", source="images/none"))),
    "a copy of something else": (2, lying(entry("images/empty", source=OBSERVATIONS))),
    "a member that is not in its layout": (
        9,
        lying(lambda document: document["members"].append({**document["members"][-1], "path": "z"})),
    ),
    "a member missing": (9, lying(lambda document: document["members"].remove(document["members"][4]))),
    "documents of what is no collection": (9, lying(entry(BLOB, method="documents"))),
    "a bomb that says its size": (9, said(NEW, lambda _: bomb(64 * 1024 * 1024))),
    "a bomb that says another": (9, said(NEW, lambda _: bomb(4))),
    "a piece of another form": (9, said(NEW, lambda _: frame_piece(b"\0\0\4\7\4abcd") + END)),
    "a piece cut": (9, said(NEW, lambda data: data[:-3] + END)),
    "no end": (9, said(NEW, lambda data: data[:-1])),
    "something after the end": (9, said(NEW, lambda data: data + b"x")),
    "a piece larger than any": (9, said(NEW, lambda _: unsigned(1 << 34) + b"x")),
    "a segment that asks for documents beyond the base": (
        9,
        said(OBSERVATIONS, lambda _: frame_piece(pack(b"\0", level=1)) + frame_piece(STEPS_BEYOND) + END),
    ),
    "a segment of documents that are copied for ever": (
        9,
        said(OBSERVATIONS, lambda _: frame_piece(pack(b"\0", level=1)) + 100 * frame_piece(ALL_OF_IT) + END),
    ),
}


@pytest.mark.parametrize("attack", BY_ITS_SIGNER)
@pytest.mark.usefixtures("before")
def test_a_delta_whose_signer_lies_is_refused(attack: str, built: Pair, tmp_path: Path) -> None:
    code, change = BY_ITS_SIGNER[attack]
    refused(built, archive(change(files_of(built.delta.read_bytes()))), tmp_path, code)


LABELS: dict[str, tuple[int, Callable[[dict[str, Any]], None]]] = {
    "its bundle": (9, lambda document: document.update(bundleId="other")),
    "no bundle": (9, lambda document: document.update(bundleId=None)),
    "the generation it makes": (9, lambda document: document["target"].update(generation=9)),
    "the generation it is for": (9, lambda document: document["base"].update(generation=0)),
    "the base that its target was made of": (9, lambda document: document["base"].update(manifestSha256="0" * 64)),
    "the size of a member": (2, entry("images/empty", size=5)),
    "the digest of a member": (2, entry("images/empty", sha256="0" * 64)),
    "the name of a member": (9, entry("images/empty", path="images/full")),
    "a member less": (9, lambda document: document["members"].pop(-1)),
}


@pytest.fixture(scope="module")
def patch_delta(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Build the delta to what a patch made of a kit, whose lineage names the base."""
    two = patched(tmp_path_factory.mktemp("labels"))
    two.build(recipe=False)
    return two


@pytest.mark.parametrize("label", LABELS)
def test_a_label_that_lies_is_refused_with_no_kit_at_hand(label: str, patch_delta: Pair, tmp_path: Path) -> None:
    code, change = LABELS[label]
    lying_delta = tmp_path / "altered"
    lying_delta.write_bytes(archive(resigned(files_of(patch_delta.delta.read_bytes()), change)))
    with pytest.raises(KitError) as caught:
        verify_delta(DeltaVerifyRequest(delta=lying_delta, anchor=trusting(KEY).anchor))
    assert exit_code(caught.value) == code


@pytest.mark.usefixtures("before")
def test_what_the_attacks_start_from_is_accepted(built: Pair, tmp_path: Path) -> None:
    (tmp_path / "same").write_bytes(archive(resigned(files_of(built.delta.read_bytes()))))
    built.apply(delta=tmp_path / "same", output=tmp_path / "out")


@pytest.mark.usefixtures("before")
def test_a_target_that_is_signed_by_nobody_who_may_is_refused_before_anything_is_made(
    built: Pair, tmp_path: Path
) -> None:
    own = tmp_path / "delta"
    built.build(own, key=OTHER)
    with pytest.raises(UntrustedError):
        built.apply(delta=own, expectation=trusting(OTHER))
    with pytest.raises(UntrustedError):
        verify_delta(DeltaVerifyRequest(delta=own, anchor=trusting(OTHER).anchor))


def test_without_a_key_nothing_is_valid(built: Pair) -> None:
    anchor = Anchor.of_keys({})
    with pytest.raises(UntrustedError):
        verify_delta(DeltaVerifyRequest(delta=built.delta, anchor=anchor))


@pytest.mark.usefixtures("before")
def test_a_base_that_was_altered_is_refused(built: Pair, tmp_path: Path) -> None:
    base = tmp_path / "kit.tar"
    base.write_bytes(unpacked(built.base.read_bytes()).replace(b"GO-2025-0001", b"GO-2025-0007"))
    with pytest.raises(KitError) as caught:
        built.apply(base=base)
    assert exit_code(caught.value) == 2


def around(place: Path) -> dict[str, bytes | None]:
    """Give everything that is in a folder, and below."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(place.rglob("*"))}


def test_a_delta_of_another_bundle_is_refused_naming_both(built: Pair, tmp_path: Path) -> None:
    files = signed({"a": b"1"}, None, generation=1)
    other = json.loads(files[kits.MANIFEST]) | {"bundleId": "other"}
    manifest = (json.dumps(other, sort_keys=True, indent=2) + "\n").encode()
    of_other = {kits.MANIFEST: manifest, kits.SIGNATURE: jws.sign(manifest, [KEY]), "a": b"1"}
    base = write_kit(tmp_path / "other.tar", of_other)
    before = around(tmp_path)
    with pytest.raises(KitError) as caught:
        built.apply(base=base)
    assert exit_code(caught.value) == 10
    for due in ("generation 1 of other", "generation 1 of small", hashlib.sha256(manifest).hexdigest()):
        assert due in str(caught.value)
    assert around(tmp_path) == before


@pytest.mark.parametrize(
    ("generation", "code"), [(0, 10), (1, 10), (2, 10), (3, 8)], ids=["older", "the same", "of the target", "newer"]
)
def test_a_delta_for_another_generation_is_refused_and_replayed_on_a_newer_one_it_is_a_rollback(
    generation: int, code: int, built: Pair, tmp_path: Path
) -> None:
    base = write_kit(tmp_path / "kit.tar", signed({"a": b"1"}, KEY, generation=generation))
    before = around(tmp_path)
    for where in (None, tmp_path / "out"):
        with pytest.raises(KitError) as caught:
            built.apply(base=base, output=where)
        assert exit_code(caught.value) == code
        assert f"generation {generation} of small" in str(caught.value)
        assert "generation 1 of small" in str(caught.value)
        for path in (base, built.base):
            assert hashlib.sha256(contents(path.read_bytes())[kits.MANIFEST]).hexdigest() in str(caught.value)
        assert around(tmp_path) == before


def test_an_application_in_part_is_impossible_whichever_member_fails(built: Pair, tmp_path: Path) -> None:
    files = files_of(built.delta.read_bytes())
    before = around(built.folder)
    made = {entry["path"]: entry.get("source", "") for entry in json.loads(files[MANIFEST])["members"]}
    assert len(made) > 5
    # The target's own manifest and signature are carried, and checked against the delta's before anything else.
    for path in sorted(made.keys() - {kits.MANIFEST, kits.SIGNATURE}):
        altered = tmp_path / "altered"
        altered.write_bytes(archive(resigned(files, entry(path, sha256="0" * 64))))
        for where in (None, tmp_path / "out"):
            with pytest.raises(KitError) as caught:
                built.apply(delta=altered, output=where)
            assert exit_code(caught.value) == 2, path
            assert path in str(caught.value) or made[path] in str(caught.value)
            assert around(built.folder) == before
            assert [item.name for item in tmp_path.iterdir()] == ["altered"]


@pytest.mark.parametrize("name", ["of another archive", "no signature", "by a stranger"])
def test_a_signature_that_does_not_hold_for_the_archive_is_not_put_beside_it(name: str, tmp_path: Path) -> None:
    two = patched(tmp_path)
    two.build()
    digest = Sha256.of(two.target.read_bytes())
    cases: dict[str, tuple[bytes | None, int]] = {
        "of another archive": (archive_signature.sign(Sha256.of(b"another"), KEY), 5),
        "no signature": (b"none", 5),
        "by a stranger": (archive_signature.sign(digest, STRANGER), 5),
    }
    sig, code = cases[name]
    assert sig is not None
    files = files_of(two.delta.read_bytes()) | {"target.sig": sig}

    def change(document: dict[str, Any]) -> None:
        carried = document["target"]["archive"]["signature"]
        carried |= {"size": len(sig), "sha256": hashlib.sha256(sig).hexdigest()}

    before = sorted(path.name for path in two.base.parent.iterdir())
    assert "target.sig" in refused(two, archive(resigned(files, change)), tmp_path, code)
    assert sorted(path.name for path in two.base.parent.iterdir()) == before
