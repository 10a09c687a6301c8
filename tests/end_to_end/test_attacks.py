"""Attacks on verification: whatever is done to a signed kit, or to its history, it is never called valid again."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.cli.commands import exit_code
from kit.engine.executors import InlineExecutor
from kit.engine.pipeline import Pipeline
from kit.engine.reading import Survey
from kit.engine.survey import survey
from kit.signing import dsse, jws
from kit.values import Limits, MemberPath, Sha256
from kit.verbs.verify.kits import Environment, is_kept, open_with_workers
from kit.verbs.verify.obligations import Expectation, Sidecars, judge
from tests import kits
from tests.commands import kit
from tests.end_to_end.desk import Desk, key
from tests.kits import MANIFEST, OBSERVATIONS, SIGNATURE, Members, observation
from tests.tiers import slow

HISTORY = "manifest/history/3"
KEPT = f"{HISTORY}/offline-manifest.json"
KEPT_SIGNATURE = f"{KEPT}.jws"
STATEMENT = f"{HISTORY}/patch.intoto.json"


@pytest.fixture
def patched(desk: Desk) -> Members:
    """Give the members of a kit of two generations."""
    return kits.read(desk.patched())


def other_kit(desk: Desk) -> Members:
    """Give a kit of the same two people, patched from another base."""
    base = desk.kit(kits.content(observation(9)), name="other.tar", manifest=None)
    return kits.read(desk.patched(base, name="other-patched.tar"))


def resigned(members: Members, change: Callable[[dict[str, Any]], object], by: str = "site") -> Members:
    """Change the manifest and sign it anew, as somebody who holds a trusted key can."""
    document = json.loads(members[MANIFEST])
    change(document)
    data = kits.to_json(document)
    return {**members, MANIFEST: data, SIGNATURE: jws.sign(data, [key(by)])}


class TestTheManifest:
    def test_changed_after_signing(self, patched: Members, desk: Desk) -> None:
        data = patched[MANIFEST].replace(b'"stable"', b'"canary"')
        desk.refused(desk.write({**patched, MANIFEST: data}), 5, SIGNATURE)

    def test_its_signature_removed(self, patched: Members, desk: Desk) -> None:
        del patched[SIGNATURE]
        desk.refused(desk.write(patched), 3, f"{SIGNATURE}: the manifest has no signature")

    def test_the_signature_of_another_kit(self, patched: Members, desk: Desk) -> None:
        other = other_kit(desk)
        desk.refused(desk.write({**patched, SIGNATURE: other[SIGNATURE]}), 5, SIGNATURE)

    def test_the_signature_of_an_earlier_generation(self, patched: Members, desk: Desk) -> None:
        desk.refused(desk.write({**patched, SIGNATURE: patched[KEPT_SIGNATURE]}), 5, SIGNATURE)

    def test_listing_nothing(self, patched: Members, desk: Desk) -> None:
        members = {name: data for name, data in patched.items() if name.startswith("manifest/")}
        desk.refused(desk.write(resigned(members, lambda m: m.update(files=[]))), 11, "lists no files")

    def test_rolled_back_to_the_generation_before(self, patched: Members, desk: Desk) -> None:
        members = {**patched, MANIFEST: patched[KEPT], SIGNATURE: patched[KEPT_SIGNATURE]}
        desk.refused(desk.write(members), 2, f"{OBSERVATIONS}: digest differs")

    def test_signed_for_another_purpose(self, patched: Members, desk: Desk) -> None:
        signature = jws.sign(patched[MANIFEST], [key("site")], typ="application/vnd.offline-kit.receipt+jws")
        desk.refused(desk.write({**patched, SIGNATURE: signature}), 5, SIGNATURE)

    @pytest.mark.parametrize("generation", [3, 5, 2**53])
    def test_of_a_generation_that_its_history_does_not_lead_to(
        self, generation: int, patched: Members, desk: Desk
    ) -> None:
        path = desk.write(resigned(patched, lambda m: m.update(generation=generation)))
        desk.refused(path, 11)


class TestHistory:
    @pytest.mark.parametrize("name", [KEPT, KEPT_SIGNATURE, STATEMENT])
    def test_a_part_of_it_removed(self, name: str, patched: Members, desk: Desk) -> None:
        del patched[name]
        desk.refused(desk.write(patched), 2, f"{name} is named by lineage, but absent")

    def test_all_of_it_removed(self, patched: Members, desk: Desk) -> None:
        members = {name: data for name, data in patched.items() if "history" not in name}
        desk.refused(desk.write(members), 2, "is named by lineage, but absent")

    @pytest.mark.parametrize("name", [f"{HISTORY}/more.json", "manifest/history/2/offline-manifest.json"])
    def test_something_added_to_it(self, name: str, patched: Members, desk: Desk) -> None:
        desk.refused(desk.write({**patched, name: b"{}"}), 2, f"{name} is not named by lineage")

    @pytest.mark.parametrize("name", [KEPT, KEPT_SIGNATURE, STATEMENT])
    def test_a_part_of_it_from_another_kit_of_the_same_people(self, name: str, patched: Members, desk: Desk) -> None:
        code = {KEPT: 2, KEPT_SIGNATURE: 5, STATEMENT: 2}[name]
        desk.refused(desk.write({**patched, name: other_kit(desk)[name]}), code, name)

    def test_all_of_it_from_another_kit_of_the_same_people(self, patched: Members, desk: Desk) -> None:
        other = {name: data for name, data in other_kit(desk).items() if "history" in name}
        desk.refused(desk.write({**patched, **other}), 2, KEPT)

    def test_its_signature_replaced_by_one_of_a_stranger(self, patched: Members, desk: Desk) -> None:
        signature = jws.sign(patched[KEPT], [key("stranger")])
        desk.refused(desk.write({**patched, KEPT_SIGNATURE: signature}), 4, KEPT_SIGNATURE)

    def test_the_vendor_replaced_by_the_site_itself_is_seen_by_who_trusts_only_the_vendor(
        self, patched: Members, desk: Desk
    ) -> None:
        signature = jws.sign(patched[KEPT], [key("site")])
        path = desk.write({**patched, KEPT_SIGNATURE: signature})
        desk.refused(path, 4, trusting=("vendor",))

    def test_lineage_truncated(self, patched: Members, desk: Desk) -> None:
        desk.refused(desk.write(resigned(patched, lambda m: m.update(lineage=[]))), 2, "is not named by lineage")

    def test_a_base_that_was_never_signed_is_refused_for_ever(self, desk: Desk) -> None:
        base = desk.kit(signer=None)
        insecure = ("--insecure-unverified-base",)
        output = desk.kits / "out.tar.zst"
        outcome = desk.patch(base, "--output", output, *insecure, trusting=())
        assert (outcome.code, outcome.err) == (
            0,
            f"kit: warning: unverified base: {SIGNATURE}: the manifest has no signature\n",
        )
        words = "generation 3 was never signed\nkit: hint: it was made by kit patch --insecure-unverified-base"
        desk.refused(output, 3, words)
        # Neither a later patch nor a later signature makes it sound.
        more = kits.read(output)
        desk.patch(output, "--output", desk.kits / "again", trusting=("site",)).refused(3, "was never signed")
        desk.refused(desk.write({**more, KEPT_SIGNATURE: jws.sign(more[KEPT], [key("vendor")])}, "b.tar"), 2)

    @pytest.mark.parametrize("signer", ["stranger", "vendor"])
    def test_a_base_whose_signature_was_not_looked_at_is_judged_by_it_later(self, signer: str, desk: Desk) -> None:
        output = desk.kits / "out.tar.zst"
        base = desk.kit(signer=signer)
        assert desk.patch(base, "--output", output, "--insecure-unverified-base", trusting=()).code == 0
        assert desk.verify(output).code == (0 if signer == "vendor" else 4)

    def test_history_that_lies_in_wait_where_a_patch_will_put_its_own(self, desk: Desk) -> None:
        members = {**kits.signed(kits.content(), key("vendor")), KEPT: b"{}"}
        path = desk.write(members)
        before = kits.folder_state(desk.kits)
        outcome = desk.patch(path, "--output", desk.kits / "o", "--insecure-unverified-base", trusting=())
        outcome.refused(2, f"{KEPT}: is there already, though lineage does not name it")
        assert kits.folder_state(desk.kits) == before


class TestTheStatement:
    def payload(self, members: Members) -> dict[str, Any]:
        statement = json.loads(dsse.verify(members[STATEMENT], {key("site").public.key_id: key("site").public}).payload)
        assert isinstance(statement, dict)
        return statement

    def test_unsigned(self, patched: Members, desk: Desk) -> None:
        envelope = json.loads(patched[STATEMENT])
        envelope["signatures"] = []
        desk.refused(desk.write({**patched, STATEMENT: kits.to_json(envelope)}), 3, STATEMENT)

    def test_without_its_envelope(self, patched: Members, desk: Desk) -> None:
        desk.refused(desk.write({**patched, STATEMENT: kits.to_json(self.payload(patched))}), 5, STATEMENT)

    def test_signed_by_a_stranger(self, patched: Members, desk: Desk) -> None:
        envelope = dsse.sign(kits.to_json(self.payload(patched)), [key("stranger")])
        desk.refused(desk.write({**patched, STATEMENT: envelope}), 4, STATEMENT)

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            pytest.param(lambda s: s["predicate"].update(generation=5, baseGeneration=4), 11, id="of another step"),
            pytest.param(lambda s: s["predicate"].update(createdAt="2026-01-02T03:04:06Z"), 11, id="of another time"),
            pytest.param(lambda s: s["predicate"].update(bundleId="large"), 11, id="of another bundle"),
            pytest.param(lambda s: s["subject"][0]["digest"].update(sha256="0" * 64), 2, id="of another manifest"),
            pytest.param(lambda s: s["subject"][1]["digest"].update(sha256="0" * 64), 2, id="of another collection"),
            pytest.param(
                lambda s: s["predicate"]["materials"][1]["digest"].update(sha256="0" * 64), 2, id="of another material"
            ),
            pytest.param(lambda s: s.update(predicateType="urn:other"), 11, id="of another kind"),
            pytest.param(lambda s: s["predicate"].update(note="more"), 11, id="with more than is known"),
        ],
    )
    def test_altered_and_signed_anew(
        self, change: Callable[[dict[str, Any]], object], code: int, patched: Members, desk: Desk
    ) -> None:
        statement = self.payload(patched)
        change(statement)
        envelope = dsse.sign(kits.to_json(statement), [key("site")])
        desk.refused(desk.write({**patched, STATEMENT: envelope}), code, STATEMENT)

    def test_it_says_what_was_done_and_no_document_s_content(self, patched: Members) -> None:
        statement = self.payload(patched)
        predicate = statement["predicate"]
        assert predicate["counts"] == {"raw-linkset.content": 2, "raw-linkset.unresolvable": 1}
        assert predicate["keyIds"] == [key("site").public.key_id]
        assert [subject["name"] for subject in statement["subject"]] == [MANIFEST, OBSERVATIONS]
        assert "GO-2025" not in json.dumps(statement)


class TestMembers:
    @pytest.mark.parametrize(
        ("name", "code", "words"),
        [
            ("extra.txt", 2, "extra.txt: not listed in the manifest"),
            ("manifest/extra.txt", 2, "manifest/extra.txt: not listed"),
            ("offline-manifest.json", 11, "two manifests"),
            ("offline-manifest.json.jws", 2, "offline-manifest.json.jws: not listed"),
            ("Manifest/offline-manifest.json", 9, "manifest"),
            ("readme.TXT", 9, "readme.TXT"),
            ("manifest/historY/3/x", 9, "historY"),
            ("../extra.txt", 9, "'..' segment"),
        ],
    )
    def test_one_added(self, name: str, code: int, words: str, patched: Members, desk: Desk) -> None:
        desk.refused(desk.write({**patched, name: b"{}"}), code, words)

    @pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE], ids=["symbolic link", "hard link"])
    def test_a_link_added(self, kind: bytes, patched: Members, desk: Desk) -> None:
        link = tarfile.TarInfo("images/more.bin")
        link.type, link.linkname = kind, "README.txt" if kind == tarfile.LNKTYPE else "layer.bin"
        desk.refused(desk.write({**patched, "link": link}), 9, "images/more.bin")

    def test_a_listed_file_replaced_by_a_link_to_its_like(self, patched: Members, desk: Desk) -> None:
        link = tarfile.TarInfo("README.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "images/layer.bin"
        path = desk.write({**patched, "README.txt": link})
        outcome = desk.verify(path, options=("--allow-links",))
        assert (outcome.code, "README.txt: listed in the manifest, but absent" in outcome.err) == (2, True)

    def test_the_collection_rolled_back_under_the_new_manifest(self, patched: Members, desk: Desk) -> None:
        old = kits.content()[OBSERVATIONS]
        desk.refused(desk.write({**patched, OBSERVATIONS: old}), 2, f"{OBSERVATIONS}: digest differs")

    def test_two_members_that_swap_their_bodies(self, patched: Members, desk: Desk) -> None:
        swap = {"README.txt": patched["images/layer.bin"], "images/layer.bin": patched["README.txt"]}
        desk.refused(desk.write({**patched, **swap}), 2, "README.txt: digest differs")

    def test_every_disagreement_is_counted(self, patched: Members, desk: Desk) -> None:
        swap = {"README.txt": b"", "images/layer.bin": b""}
        # Digest and size of each.
        desk.refused(desk.write({**patched, **swap}), 2, "(and 3 more)")


def test_the_first_obligation_decides_and_the_others_are_shown_all_the_same(patched: Members, desk: Desk) -> None:
    del patched[SIGNATURE]
    report = desk.verify(desk.write({**patched, "README.txt": b"x"}), options=("--json",)).json
    assert report["exitCode"] == 3
    assert {o["number"]: o["status"] for o in report["obligations"]} == {
        1: "checked", 2: "checked", 3: "failed", 4: "not applicable",
        5: "failed", 6: "not applicable", 7: "not applicable", 8: "not applicable",
    }  # fmt: skip


class TestEverySingleByte:
    """No byte of what is signed, or of a signature, can change unnoticed."""

    def surveyed(self, path: Path) -> Survey:
        with open_with_workers(path, Environment(workers=1)) as opened_kit:
            pipeline = Pipeline(InlineExecutor(), budget=1 << 20)
            return survey(opened_kit.reader, pipeline, keep=is_kept, count=lambda _: False)

    @pytest.mark.parametrize("name", slow(MANIFEST, SIGNATURE, KEPT, KEPT_SIGNATURE, STATEMENT))
    def test_changed(self, name: str, desk: Desk) -> None:
        found = self.surveyed(desk.patched())
        sidecars = Sidecars(archive=None, checksum=None, signature=None)
        trusted = {key(who).public.key_id: key(who).public for who in ("vendor", "site")}
        expectation = Expectation(trusted=trusted)
        assert judge(found, sidecars, expectation, limits=Limits()).valid
        path = MemberPath(name)
        whole = found.kept[path]
        for place in range(0, len(whole), 1 if len(whole) < 1000 else 3):
            for flip in (0x01, 0x20):
                data = bytearray(whole)
                data[place] ^= flip
                found.kept[path] = bytes(data)
                found.members[path] = (Sha256.of(bytes(data)), len(data))
                judgement = judge(found, sidecars, expectation, limits=Limits())
                assert judgement.failure is not None, f"byte {place} of {name}"
                assert exit_code(judgement.failure) in {2, 3, 4, 5, 9, 11}


def test_nothing_is_valid_without_trust_however_it_is_asked(desk: Desk) -> None:
    path = desk.kit(signer=None)
    kit("verify", path).refused(4)
    kit("plan", path).refused(64)
    outcome = kit("plan", path, "--insecure-unverified-base", "--workers", 1)
    assert outcome.code == 0
    assert "valid" not in outcome.out
