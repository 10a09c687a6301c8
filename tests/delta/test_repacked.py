"""A delta applies to every kit with the manifest of its base, however packed, and claims no more than was compared."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, Phase, example, given, settings, strategies as st

from kit.delta.layout import parse_layout
from kit.delta.model import DeltaManifest
from kit.delta.packing import pack, unsigned
from kit.engine.progress import Event, PassDone, Stage
from kit.errors import DigestError, InterruptedRunError, RollbackError, WrongBaseError
from kit.reports.delta import applied_json, applied_lines, inspected_lines, verified_json, verified_lines
from kit.reports.site import completion_json, completion_lines
from kit.signing import jws
from kit.values import Limits
from kit.verbs.delta.apply import DeltaApplyReport, resume_delta
from kit.verbs.delta.build import DeltaSquashRequest
from kit.verbs.delta.squash import squash_deltas
from kit.verbs.delta.verify import DeltaVerifyRequest, inspect_delta, verify_delta
from kit.verbs.jobs import Completion
from kit.verbs.rollback import RollbackRequest, rollback
from kit.verbs.verify.judgement import Judgement
from kit.verbs.verify.verify import verify
from tests.delta.kits import AT, HERE, KEY, OTHER, Pair, keyring, keys_in, october, pair, patched, step, trusting
from tests.delta.test_attacks import archive, files_of as delta_files, resigned
from tests.kits import MANIFEST, OBSERVATIONS, collection, contents, observation, signed, unpacked, write_kit
from tests.laws.test_delta_kits import NOTES, SEALING
from tests.schemas.test_reports import validate

SIGNATURE = f"{MANIFEST}.jws"
ON_DISK = settings(
    max_examples=3, phases=(Phase.explicit, Phase.generate), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@dataclass(frozen=True, kw_only=True)
class Packing:
    """How somebody packs a kit again."""

    name: str
    seed: int = 0
    layout: int = tarfile.GNU_FORMAT
    mode: int = 0o644
    lead: str = ""
    folders: bool = False
    level: int = 1
    tail: int = 0

    def pack(self, files: Mapping[str, bytes], folder: Path) -> Path:
        chance = random.Random(self.seed)  # noqa: S311  nothing is secret here
        order = chance.sample(list(files), len(files))
        place = folder / self.name
        if not place.suffix:
            write_kit(place, {path: files[path] for path in order})
            for one in place.rglob("*"):
                one.chmod(0o700 if one.is_dir() else self.mode & 0o700)
                os.utime(one, (chance.randrange(2**31), chance.randrange(2**31)))
            return place
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=self.layout) as made:
            for folder_name in sorted({path.rpartition("/")[0] for path in files} - {""}) if self.folders else ():
                info = tarfile.TarInfo(f"{self.lead}{folder_name}/")
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                made.addfile(info)
            for path in order:
                info = tarfile.TarInfo(f"{self.lead}{path}")
                info.size, info.mode, info.mtime = len(files[path]), self.mode, chance.randrange(2**31)
                info.uid = chance.randrange(2**16)
                made.addfile(info, io.BytesIO(files[path]))
        data = buffer.getvalue() + bytes(512 * self.tail)
        if self.name.endswith(".gz"):
            data = gzip.compress(data, self.level, mtime=0)
        elif self.name.endswith(".zst"):
            half = len(data) // 2
            data = b"".join(zstandard.compress(part, self.level) for part in (data[:half], data[half:]))
        place.write_bytes(data)
        return place


PACKINGS = (
    Packing(name="k"),
    Packing(name="k", seed=5, mode=0o600),
    Packing(name="k.tar", seed=1, lead="./", folders=True),
    Packing(name="k.tar.gz", seed=2, layout=tarfile.USTAR_FORMAT, mode=0o600, level=9, tail=16),
    Packing(name="k.tar.zst", seed=3, layout=tarfile.PAX_FORMAT, folders=True, level=3),
)
FEW = (PACKINGS[1], PACKINGS[2])
BY_TOOL: dict[str, tuple[str, ...]] = {
    "gnu": ("tar", "-cf", "OUT", "-C", "IN", "."),
    "gnu, as posix": ("tar", "--format=posix", "--sort=name", "--mtime=@7", "-czf", "OUT", "-C", "IN", "."),
    "gnu, as ustar": ("tar", "--format=ustar", "--owner=root:0", "-cf", "OUT", "-C", "IN", "."),
    "bsdtar": ("bsdtar", "--no-xattrs", "--no-acls", "--no-fflags", "-cf", "OUT", "-C", "IN", "."),
    "bsdtar, as ustar": ("bsdtar", "--format=ustar", "-czf", "OUT", "-C", "IN", "."),
    "cp under another umask": ("sh", "-c", "umask 077 && cp -r IN OUT"),
}


def files_of(path: Path) -> dict[str, bytes]:
    if path.is_file():
        return {name.removeprefix("./"): data for name, data in contents(path.read_bytes()).items()}
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def around(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Give a delta to an archive that this program wrote, with a ``.sig``."""
    two = patched(tmp_path_factory.mktemp("own"))
    two.build()
    return two


@pytest.mark.parametrize("packing", PACKINGS, ids=str)
@pytest.mark.parametrize("way", ["beside", "in place"])
def test_a_base_packed_in_any_way_becomes_the_target_and_an_archive_the_published_one(
    packing: Packing, way: str, own: Pair, tmp_path: Path
) -> None:
    base = packing.pack(files_of(own.base), tmp_path)
    output = None if way == "in place" else tmp_path / "out"
    done = own.apply(base=base, output=output)
    made = output or base
    assert files_of(made) == files_of(own.target)
    told = list(applied_lines(done))
    assert "every member is byte for byte that of the target" in told
    sig = made.with_name(f"{made.name}.sig")
    if packing.name == "k":
        assert not done.same_archive
        assert (done.archive.container, done.archive.is_compared) == ("folder", False)
        assert any("it is a folder, not the tar.zst archive" in line for line in told)
        assert "the .sig of that archive signs its bytes, and was not written for this kit" in told
        assert not sig.exists()
        assert not made.with_name(f"{made.name}.sha256").exists()
    else:
        assert made.read_bytes() == own.target.read_bytes()
        assert applied_json(done)["archive"]["difference"] is None
        assert sig.read_bytes() == own.target.with_name(f"{own.target.name}.sig").read_bytes()
    assert verify(made, trusting(KEY), HERE).failure is None


@pytest.mark.parametrize("tool", BY_TOOL)
def test_a_base_that_stock_tools_packed_or_copied_becomes_the_target(tool: str, own: Pair, tmp_path: Path) -> None:
    words = [word.replace("IN", str(tmp_path / "in")).replace("OUT", str(tmp_path / "again")) for word in BY_TOOL[tool]]
    if not shutil.which(words[0]):
        pytest.skip(f"needs {words[0]}")
    (tmp_path / "in").mkdir()
    with tarfile.open(fileobj=io.BytesIO(unpacked(own.base.read_bytes()))) as opened:
        opened.extractall(tmp_path / "in", filter="data")
    subprocess.run(words, check=True)
    done = own.apply(base=tmp_path / "again", output=tmp_path / "out")
    assert files_of(tmp_path / "out") == files_of(own.target)
    assert done.same_archive == (tool != "cp under another umask")


@pytest.mark.parametrize("name", ["kit", "kit.tar.gz"])
def test_what_is_not_the_published_archive_says_so_and_has_no_signature_of_it(name: str, tmp_path: Path) -> None:
    two = pair(tmp_path, name)
    two.build()
    for packing in FEW:
        folder = tmp_path / f"again-{packing.name}"
        folder.mkdir()
        base = packing.pack(files_of(two.base), folder)
        done = two.apply(base=base)
        assert files_of(base) == files_of(two.target)
        assert not done.same_archive
        assert done.archive.is_compared == (base.is_file() and two.target.is_file())
        told = list(applied_lines(done))
        assert applied_json(done)["archive"]["difference"] in told
        assert ("the archive around them is packed by this program" in told) == base.is_file()
        assert base.is_dir() == (packing.name == "k"), "what is replaced stays a folder or an archive"
        assert not base.with_name(f"{base.name}.sig").exists()
        digest = base.with_name(f"{base.name}.sha256")
        if base.is_file():
            assert digest.read_text() == f"{hashlib.sha256(base.read_bytes()).hexdigest()}  {base.name}\n"
        else:
            assert not digest.exists()
        assert verify(base, trusting(KEY), HERE).failure is None


@pytest.mark.parametrize("packing", FEW, ids=str)
def test_a_delta_is_the_same_bytes_whatever_its_base_is_packed_in(packing: Packing, own: Pair, tmp_path: Path) -> None:
    own.build(tmp_path / "delta", base=packing.pack(files_of(own.base), tmp_path))
    assert (tmp_path / "delta").read_bytes() == own.delta.read_bytes()


def test_a_chain_is_squashed_to_the_same_delta_whatever_the_base_is_packed_in(own: Pair, tmp_path: Path) -> None:
    files = files_of(own.target)
    kept = {path: data for path, data in files.items() if path.split("/")[0] not in {"manifest", MANIFEST, SIGNATURE}}
    third = write_kit(tmp_path / "third.tar.zst", signed({**kept, "docs/new.txt": b"new\n"}, KEY, generation=3))
    replace(own, base=own.target, target=third).build(tmp_path / "two")
    made = []
    for number, base in enumerate((own.base, *(packing.pack(files_of(own.base), tmp_path) for packing in FEW))):
        squash_deltas(
            DeltaSquashRequest(
                base=base,
                deltas=(own.delta, tmp_path / "two"),
                output=tmp_path / f"squashed-{number}",
                key=KEY,
                expectation=trusting(KEY),
                created_at=AT,
                environment=HERE,
            )
        )
        made.append((tmp_path / f"squashed-{number}").read_bytes())
    assert made == made[:1] * 3


BODIES = st.dictionaries(
    st.sampled_from(["docs/a.txt", "docs/ä.txt", "images/b", f"long/{'n' * 99}/{'m' * 60}", "c", "d/e/f"]),
    st.sampled_from([b"", b"a", b"same" * 300, bytes(range(256)) * 5]),
    max_size=5,
)
DOCUMENTS = st.lists(st.integers(min_value=0, max_value=4), max_size=4).map(
    lambda numbers: collection(observation(number) for number in numbers)
)
PACKED = st.builds(
    Packing,
    name=st.sampled_from(["k", "k.tar", "k.tar.gz", "k.tar.zst"]),
    seed=st.integers(0, 99),
    layout=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    mode=st.sampled_from([0o600, 0o644, 0o755]),
    lead=st.sampled_from(["", "./"]),
    folders=st.booleans(),
    level=st.integers(1, 9),
    tail=st.integers(0, 20),
)


@ON_DISK
@given(st.tuples(BODIES, BODIES), st.tuples(DOCUMENTS, DOCUMENTS), st.tuples(PACKED, PACKED, PACKED))
@example(({}, {"c": b"a"}), (b"", b""), (PACKINGS[0], PACKINGS[2], PACKINGS[4]))
def test_for_any_kits_packed_in_any_way_the_delta_gives_the_members_of_the_target(
    bodies: tuple[dict[str, bytes], dict[str, bytes]], documents: tuple[bytes, bytes], packings: tuple[Packing, ...]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        places = [Path(name) / side for side in ("base", "target", "again")]
        for place in places:
            place.mkdir()
        kits = [
            signed({**files, OBSERVATIONS: data}, KEY, generation=number)
            for number, (files, data) in enumerate(zip(bodies, documents, strict=True))
        ]
        base, target, again = (
            packing.pack(kit, place) for packing, kit, place in zip(packings, (*kits, kits[0]), places, strict=True)
        )
        two = Pair(folder=Path(name), base=base, target=target)
        two.build()
        for one in (again, base):
            done = two.apply(base=one)
            assert files_of(one) == kits[1]
            both = one.is_file() and target.is_file()
            assert done.archive.is_same == (both and one.read_bytes() == target.read_bytes())
            assert verify(one, trusting(KEY), HERE).failure is None


@pytest.mark.parametrize("packing", FEW, ids=str)
def test_another_manifest_is_refused_naming_both_however_it_is_packed(
    packing: Packing, own: Pair, tmp_path: Path
) -> None:
    base = packing.pack(signed(october(), KEY, generation=1), tmp_path)
    with pytest.raises(WrongBaseError) as caught:
        own.apply(base=base, output=tmp_path / "out")
    for path in (base, own.base):
        assert hashlib.sha256(files_of(path)[MANIFEST]).hexdigest() in str(caught.value)
    assert around(tmp_path) == [packing.name]


@pytest.mark.parametrize("packing", FEW, ids=str)
def test_a_newer_kit_is_a_rollback_however_it_is_packed(packing: Packing, own: Pair, tmp_path: Path) -> None:
    base = packing.pack(signed(october(), KEY, generation=9), tmp_path)
    with pytest.raises(RollbackError):
        own.apply(base=base, output=tmp_path / "out")


@pytest.mark.parametrize("packing", FEW, ids=str)
@pytest.mark.parametrize(
    "change",
    [
        lambda files: files | {"docs/readme.txt": b"another"},
        lambda files: {path: data for path, data in files.items() if path != "images/layer.bin"},
        lambda files: files | {"docs/more.txt": b"more"},
    ],
    ids=["another", "missing", "more"],
)
def test_a_base_whose_manifest_fits_and_whose_members_differ_is_refused_before_anything_is_written(
    change: Callable[[dict[str, bytes]], dict[str, bytes]], packing: Packing, own: Pair, tmp_path: Path
) -> None:
    base = packing.pack(change(files_of(own.base)), tmp_path)
    with pytest.raises(DigestError):
        own.apply(base=base)
    assert around(tmp_path) == [packing.name]


@pytest.mark.parametrize("packing", FEW, ids=str)
def test_a_base_that_was_signed_again_is_a_base_and_the_target_keeps_the_signature_that_the_publisher_made(
    packing: Packing, own: Pair, tmp_path: Path
) -> None:
    files = files_of(own.base)
    again = jws.sign(files[MANIFEST], [OTHER, KEY])
    assert again != files[SIGNATURE]
    base = packing.pack(files | {SIGNATURE: again}, tmp_path)
    own.apply(base=base)
    assert files_of(base) == files_of(own.target)


def as_earlier_versions_built_it(two: Pair, data: bytes) -> bytes:
    """Print the layout of a delta as before: packed against the headers of the base's container."""
    files = delta_files(data)
    manifest = DeltaManifest.parse(files["delta-manifest.json"], limits=Limits())
    layout = parse_layout(files["layout"], manifest.members, most=1 << 20)
    body = unsigned(len(layout.headers)) + b"".join(
        unsigned(len(header.data) << 1 | header.has_body) + header.data for header in layout.headers
    )
    raw = unpacked(two.base.read_bytes())
    with tarfile.open(fileobj=io.BytesIO(raw)) as opened:
        headers = b"".join(raw[info.offset : info.offset_data] for info in opened)
    frames = b"".join(map(unsigned, (len(layout.frames), *layout.frames)))
    files["layout"] = pack(body, headers, level=19) + unsigned(0) + pack(frames, level=19)
    return archive(resigned(files, lambda document: document["layout"].pop("dictionary")))


@pytest.mark.parametrize("packing", FEW, ids=str)
def test_a_delta_of_an_earlier_version_applies_to_its_container_and_is_refused_in_words_by_others(
    packing: Packing, own: Pair, tmp_path: Path
) -> None:
    two = replace(own, folder=tmp_path)
    two.build(recipe=False)
    (tmp_path / "old").write_bytes(as_earlier_versions_built_it(two, two.delta.read_bytes()))
    assert two.apply(delta=tmp_path / "old", output=tmp_path / "out").same_archive
    folder = tmp_path / "again"
    folder.mkdir()
    base = packing.pack(files_of(two.base), folder)
    with pytest.raises(WrongBaseError, match="an earlier version built that"):
        two.apply(base=base, delta=tmp_path / "old")
    assert around(folder) == [packing.name]
    assert any("must be packed as it was" in line for line in inspected_lines(inspect_delta(tmp_path / "old")))


def test_a_recipe_that_seals_gives_the_published_archive_from_any_packing(tmp_path: Path) -> None:
    base = tmp_path / "base.tar.zst"
    notes = [{"_id": n, "workspaceId": "w", "userId": "ada", "body": "b" * n, "title": "t"} for n in range(4)]
    write_kit(base, signed({NOTES: collection(notes), OBSERVATIONS: collection(map(observation, range(3)))}, KEY))
    keying = keyring(tmp_path)
    assert keying.keyring is not None
    target = tmp_path / "target.tar.zst"
    step(base, target, SEALING, keying=keying)
    two = Pair(folder=tmp_path, base=base, target=target)
    keys = keys_in(keying.keyring)
    assert two.build(keys=keys).no_recipe is None
    for packing in FEW:
        folder = tmp_path / f"again-{packing.name}"
        folder.mkdir()
        again = packing.pack(files_of(base), folder)
        done = two.apply(base=again, keys=keys)
        assert files_of(again) == files_of(target)
        assert done.same_archive == (packing.name != "k")


def test_the_published_archive_of_somebody_else_is_not_told_to_be_another(tmp_path: Path) -> None:
    two = pair(tmp_path, "kit.tar.gz")
    two.build()
    done = two.apply(base=two.target)
    assert not done.applied
    told = list(applied_lines(done))
    published = hashlib.sha256(two.target.read_bytes()).hexdigest()
    assert told[-1] == f"the archive is byte for byte the one that the publisher had, SHA-256 {published}"
    assert not [line for line in told if "packed by this program" in line]


class Interrupting:
    """Interrupts a run at the end of a stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def tell(self, event: Event) -> None:
        if isinstance(event, PassDone) and event.stage is self._stage:
            raise KeyboardInterrupt


def resumed_on(two: Pair, base: Path, again: Path, output: Path | None) -> DeltaApplyReport | Completion:
    """Interrupt a run, put ``again`` in the place of its base, and resume it."""
    interrupted = replace(HERE, progress=Interrupting(Stage.MAKE), checkpoint_bytes=1)
    with pytest.raises(InterruptedRunError):
        two.apply(base=base, output=output, environment=interrupted)
    shutil.rmtree(base) if base.is_dir() else base.unlink()
    again.rename(base)
    return resume_delta(two.request(base=base, output=output))


@pytest.mark.parametrize("way", ["beside", "in place"])
def test_a_run_is_resumed_on_a_base_that_was_packed_again(way: str, own: Pair, tmp_path: Path) -> None:
    again = PACKINGS[3].pack(files_of(own.base), tmp_path)
    base = PACKINGS[2].pack(files_of(own.base), tmp_path)
    output = None if way == "in place" else tmp_path / "out"
    done = resumed_on(own, base, again, output)
    assert isinstance(done, DeltaApplyReport)
    assert done.same_archive
    assert (output or base).read_bytes() == own.target.read_bytes()


def test_a_run_is_not_resumed_on_a_base_with_another_manifest_or_as_a_folder_for_an_archive(
    own: Pair, tmp_path: Path
) -> None:
    for number, other in enumerate((PACKINGS[0], PACKINGS[3])):
        folder = tmp_path / str(number)
        folder.mkdir()
        files = files_of(own.base) if other.name == "k" else signed(october(), KEY, generation=1)
        again = other.pack(files, folder)
        with pytest.raises(DigestError, match="is not the kit that the interrupted run read"):
            resumed_on(own, PACKINGS[2].pack(files_of(own.base), folder), again, folder / "out")
        assert not (folder / "out").exists()


@pytest.mark.parametrize("packing", FEW, ids=str)
def test_a_finished_run_that_is_resumed_tells_what_was_compared(packing: Packing, own: Pair, tmp_path: Path) -> None:
    def interrupt(_: Judgement) -> None:
        raise KeyboardInterrupt

    base = packing.pack(files_of(own.base), tmp_path)
    with pytest.raises(InterruptedRunError):
        own.apply(base=base, installed=interrupt)
    done = resume_delta(own.request(base=base))
    assert isinstance(done, Completion)
    validate("job-report", completion_json(done))
    digest = hashlib.sha256(own.target.read_bytes()).hexdigest()
    told = f"the archive is byte for byte the one that the publisher had, SHA-256 {digest}"
    assert (told in list(completion_lines(done))) == base.is_file()
    assert any("it is a folder, not the tar.zst archive" in line for line in completion_lines(done)) == base.is_dir()
    assert files_of(base) == files_of(own.target)


def test_so_is_one_that_has_an_output_of_its_own(own: Pair, tmp_path: Path) -> None:
    def interrupt(_: Judgement) -> None:
        raise KeyboardInterrupt

    output = tmp_path / "out"
    with pytest.raises(InterruptedRunError):
        own.apply(output=output, installed=interrupt)
    done = resume_delta(own.request(output=output))
    assert isinstance(done, Completion)
    assert done.backup is None
    assert output.read_bytes() == own.target.read_bytes()


@pytest.mark.parametrize("packing", FEW, ids=str)
def test_a_kit_that_a_delta_replaced_comes_back_however_it_is_packed(packing: Packing, tmp_path: Path) -> None:
    two = pair(tmp_path)
    two.build()
    folder = tmp_path / "site"
    folder.mkdir()
    base = packing.pack(files_of(two.base), folder)
    before = files_of(base)
    two.apply(base=base)
    rollback(RollbackRequest(kit=base, trusted=trusting(KEY).trusted, delta=two.delta, environment=HERE))
    assert files_of(base) == before
    assert sorted(path.name for path in folder.iterdir() if not path.name.endswith((".sha256", ".sig"))) == [
        packing.name,
        f"{packing.name}.rolled-back.2",
    ]


def test_what_a_delta_was_built_from_and_applies_to_is_told_without_a_kit(own: Pair) -> None:
    digest = hashlib.sha256(own.target.read_bytes()).hexdigest()
    lines = list(inspected_lines(inspect_delta(own.delta)))
    report = verify_delta(DeltaVerifyRequest(delta=own.delta, anchor=trusting(KEY).anchor))
    for told in (lines, list(verified_lines(report))):
        assert f"built from a tar.zst archive with SHA-256 {digest}, with its .sig" in told
        assert "applies to a base with that manifest, unpacked or packed in any way" in told
    due = {"container": "tar.zst", "sha256": digest, "published": digest, "hasSignature": True}
    assert verified_json(report)["archive"] == due
