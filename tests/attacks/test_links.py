"""Links are part of the closed world, listed and compared; and none leads out of the kit, nor through another.

Before they were, whoever could touch an archive added hard links to it, which are whole further members, and the kit
was valid under ``--allow-links``.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests import kits
from tests.archive.building import END, member, names, pax, record
from tests.attacks.readers import disagreement, ours
from tests.commands import kit
from tests.end_to_end.desk import Desk, key
from tests.kits import MANIFEST, MTIME, OBSERVATIONS

ALLOW = ("--allow-links",)
Links = dict[str, tuple[str, str]]
"""By path, target and kind."""
LINKS: Links = {
    "docs/current": ("../images", "symbolic"),
    "docs/layer": ("../images/layer.bin", "symbolic"),
    "docs/self/": ("./", "symbolic"),
    "images/copy.bin": ("images/layer.bin", "hard"),
}


def listed(links: Links) -> list[dict[str, str]]:
    return [{"path": path.rstrip("/"), "target": target, "kind": how} for path, (target, how) in sorted(links.items())]


def info(path: str, target: str, how: str) -> tarfile.TarInfo:
    made = tarfile.TarInfo(path.rstrip("/"))
    made.type = tarfile.SYMTYPE if how == "symbolic" else tarfile.LNKTYPE
    made.linkname, made.mtime, made.mode = target, MTIME, 0o777
    return made


def write(desk: Desk, links: Links, name: str = "kit.tar.zst", says: Any = None) -> Path:
    """Write a kit with these links; its manifest lists them, or says otherwise (``says``; ``...``: nothing)."""
    content = kits.content()
    manifest = kits.manifest_of(content, links=listed(links) if says is None else says)
    members = kits.signed(content, key("vendor"), manifest)
    return desk.write({**members, **{path: info(path, *link) for path, link in links.items()}}, name)


def refused(desk: Desk, path: Path, code: int, *words: str) -> None:
    outcome = desk.verify(path, options=ALLOW)
    assert outcome.code == code, outcome
    assert "\nvalid: " not in outcome.out
    for word in words:
        assert word in outcome.err, outcome


def test_links_that_are_listed_are_accepted_with_the_switch_alone(desk: Desk) -> None:
    path = write(desk, LINKS)
    outcome = desk.verify(path, options=ALLOW)
    assert outcome.code == 0, outcome
    assert "; 4 links" in outcome.out
    desk.refused(path, 9, "is a symlink", "--allow-links")
    found = kit("inspect", path, *ALLOW, "--json", "--workers", 1).json
    assert found["links"] == listed(LINKS)


DIFFERENT: dict[str, Links] = {
    "a link added": LINKS | {"docs/zzz": ("current", "symbolic")},
    "a hard link added": LINKS | {"dump/concelier/users.bson": (OBSERVATIONS, "hard")},
    "a link dropped": {path: link for path, link in LINKS.items() if path != "docs/layer"},
    "a hard link dropped": {path: link for path, link in LINKS.items() if path != "images/copy.bin"},
    "all links dropped": {},
    "a link to another place": LINKS | {"docs/layer": ("../README.txt", "symbolic")},
    "a link to the same place in other words": LINKS | {"docs/layer": (".././images/layer.bin", "symbolic")},
    "a link with a slash at its end": LINKS | {"docs/current": ("../images/", "symbolic")},
    "a hard link to another file": LINKS | {"images/copy.bin": ("README.txt", "hard")},
    "a hard link made a symbolic one": LINKS | {"images/copy.bin": ("layer.bin", "symbolic")},
    "a symbolic link made a hard one": LINKS | {"docs/layer": ("images/layer.bin", "hard")},
    "a link of another name": {"docs/other" if path == "docs/layer" else path: link for path, link in LINKS.items()},
}


@pytest.mark.parametrize("links", DIFFERENT.values(), ids=DIFFERENT)
def test_links_that_are_not_those_listed_are_refused(links: Links, desk: Desk) -> None:
    refused(desk, write(desk, links, says=listed(LINKS)), 2)


def test_listed_links_that_are_not_there_are_missed_without_the_switch_too(desk: Desk) -> None:
    desk.refused(write(desk, {}, says=listed(LINKS)), 2, "docs/current: listed in the manifest, but absent")


UNLISTED: dict[str, Links] = {
    "a collection that nobody signed": {"dump/concelier/users.bson": (OBSERVATIONS, "hard")},
    "observations a second time": {f"site-b/{OBSERVATIONS}": (OBSERVATIONS, "hard")},
    "a history that lineage does not name": {"manifest/history/2/offline-manifest.json": (MANIFEST, "hard")},
    "a plug-in": {"plugins/enabled.so": (f"../{OBSERVATIONS}", "symbolic")},
    "a second manifest": {"offline-manifest.json": (MANIFEST, "symbolic")},
}


@pytest.mark.parametrize("links", UNLISTED.values(), ids=UNLISTED)
def test_links_in_a_kit_whose_manifest_lists_none_are_malformed(links: Links, desk: Desk) -> None:
    refused(desk, write(desk, links, says=...), 9, "the manifest lists no links")
    refused(desk, write(desk, links, says=[]), 9, "the manifest lists no links")


def test_a_foreign_manifest_without_links_refuses_them_and_one_with_links_compares_them(desk: Desk) -> None:
    content = kits.content()
    archive = {path: info(path, *link) for path, link in LINKS.items()}
    foreign = kits.foreign_manifest_of(content)

    def of(manifest: dict[str, Any], links: dict[str, tarfile.TarInfo] = archive) -> Path:
        return desk.write({**kits.signed(content, key("vendor"), manifest), **links})

    refused(desk, of(foreign), 9, "the manifest lists no links")
    refused(desk, of(foreign | {"links": {"self": "https://example.org"}}), 9, "the manifest lists no links")
    refused(desk, of(foreign | {"links": [{"rel": "self"}]}), 9, "the manifest lists no links")
    assert desk.verify(of(foreign | {"links": [{"rel": "self"}]}, {})).code == 0
    assert desk.verify(of(foreign | {"links": listed(LINKS)}), options=ALLOW).code == 0
    refused(desk, of(foreign | {"links": listed(LINKS)}, {}), 2)
    refused(desk, of(foreign | {"links": [*listed(LINKS), {"path": "x"}]}), 11)


ONE = {"path": "docs/layer", "target": "../images/layer.bin", "kind": "symbolic"}
MALFORMED: dict[str, Any] = {
    "no list": {"docs/layer": "../images/layer.bin"},
    "a number": 1,
    "an item that is text": ["docs/layer"],
    "no target": [{"path": "docs/layer", "kind": "symbolic"}],
    "an empty target": [ONE | {"target": ""}],
    "another member": [ONE | {"mode": "0777"}],
    "another kind": [ONE | {"kind": "junction"}],
    "a kind in capitals": [ONE | {"kind": "Symbolic"}],
    "a path twice": [ONE, ONE],
    "a path twice in another case": [ONE, ONE | {"path": "DOCS/layer"}],
    "the path of a file": [ONE | {"path": "README.txt"}],
    "the path of a file in another case": [ONE | {"path": "readme.TXT"}],
    "a path that climbs": [ONE | {"path": "../layer"}],
    "the place of the manifest": [ONE | {"path": MANIFEST}],
    "the other place of the manifest": [ONE | {"path": "offline-manifest.json"}],
    "a place in history": [ONE | {"path": "manifest/history/2/offline-manifest.json"}],
    "the place of history": [ONE | {"path": "manifest/history"}],
    "a hard link to what is not listed": [ONE | {"kind": "hard", "target": MANIFEST}],
    "a hard link to a folder": [ONE | {"kind": "hard", "target": "images"}],
}


@pytest.mark.parametrize("links", MALFORMED.values(), ids=MALFORMED)
def test_a_list_of_links_that_is_none_is_refused(links: Any, desk: Desk) -> None:
    desk.refused(write(desk, {}, says=links), 11, "links")


def symbolic(path: bytes, target: bytes) -> bytes:
    return member(path, flag=b"2", link=target)


INSIDE = {
    "a file beside": (b"d/a", b"./x"),
    "a folder": (b"d/a", b"e/"),
    "its own folder": (b"d/a", b"."),
    "the root": (b"d/a", b".."),
    "the root with a slash": (b"d/a", b"../"),
    "a way around": (b"d/a", b"e/../../d/./x"),
    "nothing that is there": (b"d/a", b"../gone/x"),
    "a link": (b"d/a", b"../l"),
    "a place behind a link": (b"d/a", b"../l/x/.."),
    "a name that begins with two dots": (b"d/a", b"..x"),
}


@pytest.mark.parametrize(("path", "target"), INSIDE.values(), ids=INSIDE)
def test_a_link_that_stays_inside_is_accepted_as_written(path: bytes, target: bytes, tmp_path: Path) -> None:
    data = member(b"d/x", b"x") + member(b"d/e/", flag=b"5") + symbolic(b"l", b"d/e") + symbolic(path, target) + END
    assert names(data, allow_links=True) == ["d/x", "d/e", "l", "d/a"]
    found = ours(data)
    assert found is not None
    assert found[-1].target == target.decode()
    if shutil.which("tar") and shutil.which("bsdtar"):
        assert disagreement(tmp_path, data) == ""


OUTSIDE = {
    "a link to what is above": symbolic(b"b", b".."),
    "two links, each harmless by itself": symbolic(b"d/b", b"..") + symbolic(b"a", b"d/b/.."),
    "two links, in the other order": symbolic(b"a", b"d/b/..") + symbolic(b"d/b", b".."),
    "a link of another case": symbolic(b"d/B", b"..") + symbolic(b"a", b"d/b/.."),
    "a link with a blank at its end": symbolic(b"d/b ", b"..") + symbolic(b"a", b"d/b/.."),
    "three links": symbolic(b"d/e/b", b"../..") + symbolic(b"d/c", b"e/b") + symbolic(b"a", b"d/c/.."),
    "a link below a link's target": symbolic(b"d/e/up", b"..") + symbolic(b"s", b"d/e") + symbolic(b"a", b"s/up/../.."),
    "a link to itself": symbolic(b"a", b"a"),
    "a link below itself": symbolic(b"a", b"a/b"),
    "a circle": symbolic(b"a", b"b") + symbolic(b"b", b"c") + symbolic(b"c", b"a"),
    "a chain of 41": b"".join(symbolic(b"%d" % n, b"%d" % (n + 1)) for n in range(41)),
    "a tree of 64": b"".join(symbolic(b"%d" % n, b"%d/../%d" % (n + 1, n + 1)) for n in range(6)),
    "a path that is absolute": symbolic(b"a", b"/d"),
    "two slashes in the middle": symbolic(b"a", b"d//e"),
    "two slashes at the end": symbolic(b"a", b"d//"),
    "slashes alone": symbolic(b"a", b"//"),
    "a drive": symbolic(b"a", b"C:/d"),
    "a backslash": symbolic(b"a", rb"d\e"),
    "a control character": symbolic(b"a", b"d\x1b"),
    "a decomposed name": symbolic(b"a", "e\u0301".encode()),
    "a device of Windows": symbolic(b"a", b"d/nul"),
    "a stream of Windows": symbolic(b"a", b"d/x:y"),
    "more folders than a name may have": pax(record("linkpath", b"d/" * 70)) + symbolic(b"a", (b"d/" * 50)),
    "a place longer than a name may be": b"".join(
        pax(record("linkpath", b"%d/" % (n + 1) + b"n" * 240)) + symbolic(b"%d" % n, b"n" * 100) for n in range(20)
    ),
    "a member below a link": symbolic(b"l", b"d") + member(b"l/x"),
    "a link over a folder": member(b"l/x") + symbolic(b"l", b"d"),
    "a hard link below a link": member(b"x") + symbolic(b"l", b"d") + member(b"l/y", flag=b"1", link=b"x"),
    "a hard link through a link": member(b"d/x") + symbolic(b"l", b"d") + member(b"y", flag=b"1", link=b"l/x"),
    "a hard link to a hard link": member(b"x")
    + member(b"y", flag=b"1", link=b"x")
    + member(b"z", flag=b"1", link=b"y"),
    "a hard link to itself": member(b"x", flag=b"1", link=b"x"),
    "a hard link that climbs": member(b"x") + member(b"d/y", flag=b"1", link=b"../x"),
}


@pytest.mark.parametrize("data", OUTSIDE.values(), ids=OUTSIDE)
def test_a_link_that_leaves_the_kit_or_goes_in_a_circle_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "kit.tar"
    path.write_bytes(data + END)
    kit("inspect", path, *ALLOW).refused(9)


def carried(path: Path) -> tuple[dict[str, tuple[str, str]], Any]:
    """Give the links of an archive as Python has them, and those that its manifest lists."""
    with tarfile.open(fileobj=io.BytesIO(kits.plain_tar(path))) as archive:
        found = {
            one.name: (one.linkname, "symbolic" if one.issym() else "hard")
            for one in archive
            if one.issym() or one.islnk()
        }
    return found, json.loads(kits.read(path)[MANIFEST])["links"]


def plain(links: Links) -> dict[str, tuple[str, str]]:
    return {path.rstrip("/"): link for path, link in links.items()}


HARD_TO_CHANGED: Links = LINKS | {"dump/copy/advisory_observations.bson": (OBSERVATIONS, "hard")}


def test_a_patch_and_its_rollback_carry_links_verbatim(desk: Desk) -> None:
    path = write(desk, HARD_TO_CHANGED)
    before = path.read_bytes()
    desk.patch(path, "--in-place").refused(9, "is a symlink")
    assert desk.patch(path, "--in-place", *ALLOW).code == 0
    assert carried(path) == (plain(HARD_TO_CHANGED), listed(HARD_TO_CHANGED))
    outcome = desk.verify(path, options=(*ALLOW, "--deep"))
    assert outcome.code == 0, outcome
    rolled = kit("rollback", path, *desk.trust("vendor", "site"), *ALLOW, "--workers", 1)
    assert rolled.code == 0, rolled
    assert path.read_bytes() == before


def test_a_patch_of_a_foreign_manifest_keeps_its_links(desk: Desk) -> None:
    content = kits.content()
    manifest = kits.foreign_manifest_of(content) | {"links": listed(LINKS)}
    path = desk.write(
        {**kits.signed(content, key("vendor"), manifest), **{path: info(path, *link) for path, link in LINKS.items()}}
    )
    patched = desk.patched(path, *ALLOW)
    assert carried(patched) == (plain(LINKS), listed(LINKS))
    assert desk.verify(patched, options=ALLOW).code == 0


def test_a_delta_between_kits_with_links_makes_them(desk: Desk) -> None:
    base, target = write(desk, LINKS), desk.kits / "target.tar.zst"
    desk.patched(base, *ALLOW, name=target.name)
    delta, out = desk.kits / "delta.tar", desk.kits / "out.tar.zst"
    signing = ("--signing-key", desk.keys / "vendor", "--created-at", kits.AT, "--workers", 1)
    trust = desk.trust("vendor", "site")
    kit("delta", "build", base, target, "-o", delta, *trust, *signing).refused(9, "is a symlink")
    built = kit("delta", "build", base, target, "-o", delta, *trust, *signing, *ALLOW)
    assert built.code == 0, built
    kit("delta", "apply", base, delta, "--output", out, *trust, "--workers", 1).refused(9, "is a symlink")
    applied = kit("delta", "apply", base, delta, "--output", out, *trust, "--workers", 1, *ALLOW)
    assert applied.code == 0, applied
    assert out.read_bytes() == target.read_bytes()


def folder_of(desk: Desk, links: Links, name: str = "folder", **says: Any) -> Path:
    """Write a kit and unpack it, as an operator would."""
    place = desk.kits / name
    place.mkdir()
    with tarfile.open(fileobj=io.BytesIO(kits.plain_tar(write(desk, links, **says)))) as archive:
        archive.extractall(place, filter="tar")
    return place


def symbolic_in(folder: Path) -> dict[str, str]:
    links = (path for path in folder.rglob("*") if path.is_symlink())
    return {str(path.relative_to(folder)): os.readlink(path) for path in links}  # noqa: PTH115  pathlib respells it


def test_a_folder_with_links_is_what_the_archive_is(desk: Desk) -> None:
    folder = folder_of(desk, LINKS)
    assert symbolic_in(folder)["docs/self"] == "./"
    outcome = desk.verify(folder, options=ALLOW)
    assert outcome.code == 0, outcome
    desk.refused(folder, 9, "is a symlink")
    patched = desk.kits / "patched"
    outcome = desk.patch(folder, "--output", patched, *ALLOW)
    assert outcome.code == 0, outcome
    due = {path.rstrip("/"): target for path, (target, how) in LINKS.items() if how == "symbolic"}
    assert symbolic_in(patched) == due
    assert (patched / "images/copy.bin").read_bytes() == (folder / "images/layer.bin").read_bytes()
    assert desk.verify(patched, options=ALLOW).code == 0


def test_a_file_of_a_folder_that_a_hard_link_names_is_not_changed_behind_the_link(desk: Desk) -> None:
    folder = folder_of(desk, HARD_TO_CHANGED)
    before = kits.folder_state(folder)
    outcome = desk.verify(folder, options=(*ALLOW, "--json", "--require-raw-linkset"))
    archive = desk.verify(desk.kits / "kit.tar.zst", options=(*ALLOW, "--json", "--require-raw-linkset"))
    assert outcome.json["coverage"] == archive.json["coverage"]
    refusal = desk.patch(folder, "--in-place", *ALLOW)
    refusal.refused(64, "dump/copy/advisory_observations.bson", "patch the archive")
    assert kits.folder_state(folder) == before


def test_hard_links_of_a_folder_are_listed_files_with_their_targets_bytes(desk: Desk) -> None:
    folder = folder_of(desk, {"images/copy.bin": ("images/layer.bin", "hard")})
    desk.refused(folder, 9, "images/copy.bin: is listed as a hard link", "--allow-links")
    assert desk.verify(folder, options=ALLOW).code == 0
    (folder / "images/copy.bin").unlink()
    refused(desk, folder, 2, "images/copy.bin: listed in the manifest, but absent")
    (folder / "images/copy.bin").write_bytes(b"other")
    refused(desk, folder, 2, "images/copy.bin")
    (folder / "images/copy.bin").unlink()
    (folder / "images/copy.bin").symlink_to("layer.bin")
    refused(desk, folder, 2, "images/copy.bin: link differs")


def test_an_archive_that_holds_a_file_for_a_listed_hard_link_is_refused(desk: Desk) -> None:
    content = kits.content()
    manifest = kits.manifest_of(content, links=listed({"images/copy.bin": ("images/layer.bin", "hard")}))
    path = desk.write(kits.signed(content, key("vendor"), manifest) | {"images/copy.bin": content["images/layer.bin"]})
    refused(desk, path, 2, "images/copy.bin")


def test_folders_that_hold_nothing_listed_are_named(desk: Desk) -> None:
    folder = desk.kit(name="folder")
    for name in ("plugins/enabled", "images/empty", "manifest/history/1"):
        (folder / name).mkdir(parents=True)
    outcome = desk.verify(folder, options=("--json",))
    assert outcome.code == 0, outcome
    extra = ["images/empty", "manifest/history", "manifest/history/1", "plugins", "plugins/enabled"]
    assert outcome.json["extraFolders"] == extra
    assert "5 folders that hold nothing listed: images/empty/, " in desk.verify(folder).out
    assert kit("inspect", folder, "--json", "--workers", 1).json["emptyFolders"] == extra
    assert "empty folder: plugins/enabled/" in kit("inspect", folder, "--workers", 1).out
    assert desk.verify(desk.kit(), options=("--json",)).json["extraFolders"] == []


def test_a_delta_between_kits_with_links_makes_them_whichever_of_the_kits_are_unpacked(desk: Desk) -> None:
    folder, base = folder_of(desk, LINKS), desk.kits / "kit.tar.zst"
    target = desk.patched(base, *ALLOW, name="target.tar.zst")
    new = desk.kits / "patched"
    new.mkdir()
    with tarfile.open(fileobj=io.BytesIO(kits.plain_tar(target))) as archive:
        archive.extractall(new, filter="tar")
    trust = (*desk.trust("vendor", "site"), "--workers", 1, *ALLOW)
    for number, two in enumerate([(base, target), (folder, new)]):
        delta = desk.kits / f"{number}.delta"
        built = kit("delta", "build", *two, "-o", delta, "--signing-key", desk.keys / "vendor", *trust)
        assert built.code == 0, built
        for other in (base, folder):
            out = desk.kits / f"out-{number}-{other.name}"
            applied = kit("delta", "apply", other, delta, "-o", out, *trust)
            assert applied.code == 0, applied
            assert desk.verify(out, options=ALLOW).code == 0
            if out.is_dir():
                assert symbolic_in(out) == symbolic_in(new)
                assert (out / "images/copy.bin").samefile(out / "images/layer.bin")
            else:
                assert carried(out) == carried(target)
