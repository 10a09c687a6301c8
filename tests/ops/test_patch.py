"""What a patch writes, where, and what it refuses to do behind anybody's back."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import bson
import pytest

from kit.errors import DigestError, InterruptedRunError, KitError, OutputError, UntrustedError
from kit.signing import Algorithm, dsse
from kit.transforms.protocol import Change, Lookup, RewrittenRun
from kit.transforms.raw_linkset import RawLinkset
from kit.values import CollectionName, Timestamp
from kit.verbs.jobs import abandon
from kit.verbs.patch.patch import Output, PatchRequest, patch
from kit.verbs.verify.kits import Environment
from tests import kits
from tests.commands import kit
from tests.end_to_end.desk import Desk, key
from tests.kits import AT, MANIFEST, OBSERVATIONS, observation

ONE_WORKER = Environment(workers=1)


def raw_linksets(path: Path) -> dict[str, bool]:
    """Tell, by id, which observations have a rawLinkset."""
    documents = bson.decode_all(kits.read(path)[OBSERVATIONS])
    return {document["_id"]: "rawLinkset" in document for document in documents}


class TestInPlace:
    def test_the_old_kit_and_its_companions_become_the_backup(self, desk: Desk) -> None:
        path = desk.patched(None, "--tenant", "acme", name="kit2.tar.zst")
        old = {suffix: Path(f"{path}{suffix}").read_bytes() for suffix in ("", ".sha256", ".sig")}
        outcome = desk.patch(path, "--in-place", trusting=("vendor", "site"))
        assert outcome.code == 0
        assert f"the old kit is kept as {path}.bak.4" in outcome.out
        assert Path(f"{path}.bak.4").read_bytes() == old[""]
        assert Path(f"{path}.bak.4.sig").read_bytes() == old[".sig"]
        for name in (path.name, f"{path.name}.bak.4"):
            subprocess.run(["sha256sum", "--check", "--strict", f"{name}.sha256"], cwd=desk.kits, check=True)
        assert path.read_bytes() != old[""]
        assert Path(f"{path}.sig").read_bytes() != old[".sig"]
        assert desk.verify(path).code == desk.verify(Path(f"{path}.bak.4")).code == 0
        assert sorted(p.name for p in desk.kits.iterdir() if p.name.startswith("kit2")) == [
            f"kit2.tar.zst{suffix}" for suffix in ("", ".bak.4", ".bak.4.sha256", ".bak.4.sig", ".sha256", ".sig")
        ]

    def test_the_backup_goes_back_by_renaming_it(self, desk: Desk) -> None:
        path = desk.kit()
        old = path.read_bytes()
        assert desk.patch(path, "--in-place").code == 0
        for suffix in (".sha256", ".sig"):
            Path(f"{path}{suffix}").unlink()
        Path(f"{path}.bak.3").rename(path)
        assert (path.read_bytes(), desk.verify(path, "vendor").code) == (old, 0)

    def test_no_backup_leaves_only_the_new_kit(self, desk: Desk) -> None:
        path = desk.kit()
        Path(f"{path}.sha256").write_text(f"{kits.sha256(path.read_bytes())}  {path.name}\n")
        outcome = desk.patch(path, "--in-place", "--no-backup", "--json")
        assert (outcome.code, outcome.json["backup"]) == (0, None)
        assert sorted(p.name for p in desk.kits.iterdir()) == ["kit.tar.zst", "kit.tar.zst.sha256", "kit.tar.zst.sig"]
        assert desk.verify(path).code == 0

    def test_a_signer_of_no_archive_signature_leaves_no_stale_one(self, desk: Desk) -> None:
        desk.add_key("ed", Algorithm.ED25519)
        path = desk.patched(None, "--tenant", "acme")
        assert desk.patch(path, "--in-place", by="ed", trusting=("vendor", "site")).code == 0
        assert not Path(f"{path}.sig").exists()
        assert Path(f"{path}.bak.4.sig").exists()
        assert desk.verify(path, "vendor", "site", "ed").code == 0

    def test_an_unpacked_kit_without_a_backup(self, desk: Desk) -> None:
        path = desk.kit(name="unpacked")
        assert desk.patch(path, "--in-place", "--no-backup").code == 0
        assert desk.verify(path).code == 0
        assert [p.name for p in desk.kits.iterdir()] == ["unpacked"]


class TestSelection:
    def test_one_tenant(self, desk: Desk) -> None:
        output = desk.patched(None, "--tenant", "acme")
        assert raw_linksets(output) == {
            "acme:osv:GO-2025-0001:1": True,
            "globex:osv:GO-2025-0002:1": False,
            "acme:osv:GO-2025-0003:1": False,
        }
        (collection,) = json.loads(kits.read(output)[MANIFEST])["collections"]
        assert collection["tenants"] == {
            "acme": {"documents": 2, "rawLinkset": {"present": 1, "missing": 1, "unresolvable": 1}},
            "globex": {"documents": 1, "rawLinkset": {"present": 0, "missing": 1, "unresolvable": 0}},
        }

    @pytest.mark.parametrize("workers", [1, 2])
    def test_at_most_so_many_documents_the_first_ones(self, workers: int, desk: Desk) -> None:
        path = desk.kit(kits.content(*(observation(number) for number in range(9))))
        output = desk.patched(path, "--limit", 4, "--workers", workers)
        assert list(raw_linksets(output).values()) == [True] * 4 + [False] * 5

    @pytest.mark.parametrize("workers", [1, 2])
    @pytest.mark.parametrize(
        ("options", "due"),
        [
            (("--limit-per-tenant", 2), "11110001010"),
            (("--limit-per-tenant", 2, "--limit", 3), "11100000000"),
            (("--limit-per-tenant", 2, "--tenant", "b"), "01010000000"),
            (("--limit-per-tenant", 9), "11111111111"),
            (("--limit-per-tenant", 0), "00000000000"),
        ],
        ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
    )
    def test_at_most_so_many_documents_of_each_tenant(
        self, options: tuple[object, ...], due: str, workers: int, desk: Desk
    ) -> None:
        path = desk.kit(kits.content(*(observation(number, tenant) for number, tenant in enumerate("abababbcacb"))))
        words = (*options, "--workers", workers)
        planned = kit("plan", path, *desk.trust("vendor"), "--created-at", AT, *words, "--json").json
        output = desk.kits / "out.tar.zst"
        report = desk.patch(path, "--output", output, *words, "--json").json
        assert (report["changed"], report["outcomes"]) == (planned["changed"], planned["outcomes"])
        assert "".join(str(int(one)) for one in raw_linksets(output).values()) == due

    def test_selecting_nothing_is_not_called_complete(self, desk: Desk) -> None:
        path = desk.kit()
        outcome = desk.patch(path, "--output", desk.kits / "o.tar.zst", "--limit", 0)
        assert outcome.code == 0
        assert "nothing to change among the documents selected; others were left alone" in outcome.out
        assert (desk.kits / "o.tar.zst").read_bytes() == path.read_bytes()

    def test_documents_without_a_tenant_are_selected_by_the_empty_name(self, desk: Desk) -> None:
        path = desk.kit(kits.content(observation(1), observation(2, None)))
        output = desk.patched(path, "--tenant", "")
        assert list(raw_linksets(output).values()) == [False, True]

    def test_a_kit_without_observations_has_nothing_to_change(self, desk: Desk) -> None:
        outcome = desk.patch(desk.kit({"README.txt": b"x"}), "--output", desk.kits / "o")
        assert outcome.code == 0
        assert "raw-linkset: this kit has no collection for it" in outcome.out

    def test_the_cache_is_read_where_the_map_says(self, desk: Desk) -> None:
        path = desk.keys / "map.json"
        path.write_text(json.dumps({"schemaVersion": "1", "collection": "payloads", "fields": {"payload": "body"}}))
        cached: dict[str, object] = {
            "tenant": "acme",
            "sourceName": "osv",
            "upstreamId": "GO-2025-0003",
            "format": "OSV",
        }
        cached |= {"contentHash": "sha256:3", "body": kits.advisory(3)}
        members = {**kits.content(), "dump/concelier/payloads.bson": kits.collection([cached])}
        report = desk.patch(desk.kit(members), "--output", desk.kits / "o", "--cache-map", path, "--json").json
        assert report["outcomes"]["raw-linkset"]["acme"] == {"cache": 1, "content": 1}

    def test_a_cache_map_that_is_none_is_refused(self, desk: Desk) -> None:
        path = desk.keys / "map.json"
        path.write_text('{"schemaVersion": "2"}')
        out = ("--output", desk.kits / "o")
        desk.patch(desk.kit(), *out, "--cache-map", path).refused(11, f"{path}: cache map: is version")
        desk.patch(desk.kit(), *out, "--cache-map", desk.keys).refused(
            1, f"{desk.keys}: cannot be read: Is a directory"
        )


class TestTime:
    def created_at(self, path: Path) -> str:
        text = json.loads(kits.read(path)[MANIFEST])["createdAt"]
        assert isinstance(text, str)
        return text

    @pytest.mark.parametrize("text", ["1767323045", AT, "2026-01-02T03:04:05.9+00:00"])
    def test_it_is_an_input_in_each_of_its_spellings(self, text: str, desk: Desk) -> None:
        assert self.created_at(desk.patched(None, "--created-at", text)) == AT

    def test_it_is_taken_from_the_environment_unless_it_is_said(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1770000000")
        assert self.created_at(desk.patched()) == AT
        words = ("--signing-key", desk.keys / "site", "--output", desk.kits / "o.tar", "--workers", 1)
        assert kit("patch", desk.kit(), *desk.trust("vendor"), *words).code == 0
        assert self.created_at(desk.kits / "o.tar") == "2026-02-02T02:40:00Z"

    def test_an_empty_environment_says_nothing(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "")
        assert kit("plan", desk.kit(), *desk.trust("vendor"), "--workers", 1).code == 0

    def test_changed_and_new_members_have_it_and_others_keep_theirs(self, desk: Desk) -> None:
        listing = subprocess.run(
            ["tar", "--utc", "--full-time", "-tvf", desk.patched()], check=True, capture_output=True, text=True
        )
        times = {line.split()[-1]: (*line.split()[3:5], line.split()[0]) for line in listing.stdout.splitlines()}
        new = ("2026-01-02", "03:04:05")
        assert times[OBSERVATIONS] == times[MANIFEST] == (*new, "-rw-r-----")
        assert times["manifest/history/3/patch.intoto.json"] == (*new, "-rw-r--r--")
        assert times["README.txt"] == ("2025-10-20", "00:00:00", "-rw-r-----")

    def test_the_last_second_that_there_is(self, desk: Desk) -> None:
        last = "9999-12-31T23:59:59Z"
        output = desk.patched(None, "--created-at", last, "--at", last)
        assert desk.verify(output).code == 0


def test_operator_and_environment_are_in_the_signed_statement(desk: Desk) -> None:
    output = desk.patched(None, "--operator", "Åsa", "--environment", "site 7")
    envelope = kits.read(output)["manifest/history/3/patch.intoto.json"]
    payload = json.loads(dsse.verify(envelope, {key("site").public.key_id: key("site").public}).payload)
    assert (payload["predicate"]["operator"], payload["predicate"]["environment"]) == ("Åsa", "site 7")
    assert payload == json.loads(base64.b64decode(json.loads(envelope)["payload"]))


@pytest.mark.parametrize("foreign", [False, True], ids=["own manifest", "foreign manifest"])
def test_two_sites_add_two_generations_and_every_one_of_three_keys_is_needed(foreign: bool, desk: Desk) -> None:  # noqa: FBT001
    desk.add_key("second")
    members = kits.content()
    path = desk.kit(members, manifest=kits.foreign_manifest_of(members) if foreign else None)
    first = desk.patched(path, "--tenant", "acme", name="first.tar.zst")
    desk.patch(first, "--output", desk.kits / "o").refused(4, "not among the 1 trusted keys")
    second = desk.patched(first, name="second.tar.zst", by="second", trusting=("vendor", "site"))
    everyone = ("vendor", "site", "second")
    assert desk.verify(second, *everyone).code == 0
    for missing in everyone:
        desk.refused(second, 4, trusting=tuple(name for name in everyone if name != missing))
    base = 0 if foreign else 3
    manifest = json.loads(kits.read(second)[MANIFEST])
    assert [entry["generation"] for entry in manifest["lineage"]] == [base, base + 1]
    assert manifest.get("vendor") == ({"keep": [1, None]} if foreign else None)
    assert ("generation" in manifest, "createdAt" in manifest) == ((False, False) if foreign else (True, True))
    shown = kit("inspect", second, "--workers", 1).out
    assert f"generation {base} was replaced at {AT} by patch (offline-kit" in shown


def test_a_collection_in_which_nothing_changes_keeps_the_very_bytes_of_its_own_compression(desk: Desk) -> None:
    done = kits.collection([observation(1, rawLinkset={}), observation(2, rawLinkset=None)])
    name = "dump/archive/advisory_observations.bson.gz"
    # A compression that no writer of today would choose.
    stored = kits.packed(done[:10], name) + kits.packed(done[10:], name)
    output = desk.patched(desk.kit({**kits.content(), name: stored}), name="out.tar")
    assert kits.read(output)[name] == stored
    report = kit("inspect", output, "--json", "--workers", 1).json
    (tenants,) = [c["tenants"] for c in report["collections"] if c["path"] == name]
    assert tenants["acme"]["null"] == 1


@dataclass(frozen=True)
class Meddling(RawLinkset):
    """The real transform, with something that happens when it is at work."""

    meddle: Callable[[], object] = field(default=lambda: None)

    def apply(self, name: CollectionName, documents: Sequence[bytes], lookup: Lookup, first: int) -> Sequence[Change]:
        self.meddle()
        return super().apply(name, documents, lookup, first)

    def rewrite(self, *_: object) -> RewrittenRun | None:
        return None


class TestMeddling:
    """What happens to the kit's name or bytes between the survey and the switch."""

    def run(self, path: Path, meddle: Callable[[], object], output: Path | None = None) -> None:
        request = PatchRequest(
            kit=path,
            transforms=(Meddling(meddle=meddle),),
            trusted={key("vendor").public.key_id: key("vendor").public},
            created_at=Timestamp.parse(AT),
            environment=ONE_WORKER,
        )
        patch(request, Output(path=output, key=key("site")))

    def refused(self, desk: Desk, path: Path, meddle: Callable[[], object], kind: type[KitError], words: str) -> None:
        with pytest.raises(kind, match=words):
            self.run(path, meddle)
        assert not [p.name for p in desk.kits.iterdir() if p.name not in {path.name, "other.tar.zst"}]

    def test_an_archive_replaced_by_another_is_not_replaced_in_its_turn(self, desk: Desk) -> None:
        path, other = desk.kit(), desk.kit(kits.content(observation(9)), name="other.tar.zst")
        new = other.read_bytes()

        def replace() -> None:
            shutil.copy(other, desk.keys / "copy")
            (desk.keys / "copy").rename(path)

        self.refused(desk, path, replace, DigestError, "was replaced while it was being patched")
        assert path.read_bytes() == new

    def test_an_archive_moved_away_does_not_come_back(self, desk: Desk) -> None:
        path = desk.kit()
        self.refused(desk, path, path.unlink, DigestError, "was replaced while it was being patched")
        assert not path.exists()

    def test_a_folder_replaced_by_another_is_not_replaced_in_its_turn(self, desk: Desk, tmp_path: Path) -> None:
        path = desk.kit(name="unpacked")

        def swap() -> None:
            path.rename(tmp_path / "away")
            path.mkdir()

        self.refused(desk, path, swap, DigestError, "was replaced while it was being patched")
        assert list(path.iterdir()) == []

    def test_an_archive_replaced_while_it_is_read_is_read_on_as_it_was_opened(self, desk: Desk) -> None:
        path, output = desk.kit(), desk.kits / "out.tar.zst"
        self.run(path, path.unlink, output)
        assert desk.verify(output).code == 0

    @pytest.mark.parametrize("name", ["kit.tar", "unpacked"])
    def test_bytes_that_change_between_survey_and_rewrite_are_noticed(self, name: str, desk: Desk) -> None:
        # Longer than what is read ahead.
        path = desk.kit({**kits.content(), "images/layer.bin": bytes(range(256)) * 4096}, name=name)
        where = path if path.is_file() else path / "images/layer.bin"

        def overwrite() -> None:
            with where.open("r+b") as file:
                file.seek(where.read_bytes().rindex(bytes(range(256))))
                file.write(b"\xff")

        self.refused(desk, path, overwrite, DigestError, "changed while it was being read")

    def test_the_output_s_name_taken_meanwhile_is_left_to_who_took_it(self, desk: Desk) -> None:
        path, output = desk.kit(), desk.kits / "out.tar.zst"
        with pytest.raises(OutputError, match="already exists"):
            self.run(path, lambda: output.write_text("precious"), output)
        assert output.read_text() == "precious"
        assert sorted(p.name for p in desk.kits.iterdir()) == ["kit.tar.zst", "out.tar.zst"]

    def test_a_signal_in_the_middle_leaves_a_job_and_the_kit_as_it_was(self, desk: Desk) -> None:
        path = desk.kit()
        before = kits.folder_state(desk.kits)
        with pytest.raises(InterruptedRunError, match="the kit is as it was"):
            self.run(path, lambda: signal.raise_signal(signal.SIGINT))
        assert abandon(path).job is not None
        assert {name: facts for name, facts in kits.folder_state(desk.kits).items() if name != "."} == {
            name: facts for name, facts in before.items() if name != "."
        }

    def test_a_work_file_that_does_not_read_back_never_gets_the_name(self, desk: Desk) -> None:
        path = desk.kit(name="unpacked")

        def plant() -> None:
            # In the middle of the run, into the folder that is being written.
            (desk.kits / "unpacked.kit-job" / "kit" / "planted.txt").write_text("x")

        self.refused(desk, path, plant, OutputError, r"does not read back: planted\.txt: not listed in the manifest")
        assert desk.verify(path, "vendor").code == 0


def test_an_empty_trust_is_not_the_same_as_none_asked_for(desk: Desk) -> None:
    request = PatchRequest(
        kit=desk.kit(), transforms=(RawLinkset(),), trusted={}, created_at=Timestamp.parse(AT), environment=ONE_WORKER
    )
    with pytest.raises(UntrustedError, match="no key is trusted, so no base can be valid"):
        patch(request, Output(path=desk.kits / "o", key=key("site")))
