"""A receipt is checked by who did not make it: the signature, the kit, the page; with this program and without it."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from kit.signing import dsse
from tests import kits
from tests.commands import ROOT, Outcome, kit
from tests.end_to_end.desk import Desk, key

REPORT = json.loads((ROOT / "schemas" / "receipt-report.schema.json").read_text())
STATEMENT = json.loads((ROOT / "schemas" / "receipt.schema.json").read_text())


def receipt_of(desk: Desk, path: Path, *options: object, by: str = "site", trusting: str = "vendor") -> Path:
    """Write the receipt of a verdict, and its page."""
    receipt, page = desk.kits / "receipt", desk.kits / "page.html"
    for old in (receipt, page):
        old.unlink(missing_ok=True)
    words = ("--receipt", receipt, "--html", page, "--signing-key", desk.keys / by)
    desk.verify(path, trusting, options=(*words, *options))
    assert receipt.exists()
    return receipt


def check(receipt: Path, *options: object) -> Outcome:
    return kit("receipt", "verify", receipt, *options)


def forged(receipt: Path, desk: Desk, *, by: str = "site", **changes: object) -> Path:
    """Sign the statement of a receipt again, with members of its predicate changed."""
    statement = json.loads(dsse.payload_of(receipt.read_bytes()))
    statement["predicate"] |= changes
    made = desk.kits / "forged"
    made.write_bytes(dsse.sign(kits.to_json(statement), [key(by)]))
    return made


class TestGenuine:
    def test_signature_kit_and_page_are_compared(self, desk: Desk) -> None:
        path = desk.kit()
        done = check(receipt_of(desk, path), *desk.trust("site"), "--kit", path, "--page", desk.kits / "page.html")
        assert (done.code, done.err) == (0, "")
        assert f"signed by:  {key('site').public.key_id} (verified)" in done.out
        assert "the archive has the same bytes" in done.out
        assert "(compared)" in done.out
        assert done.out.splitlines()[-1] == "genuine: the kit was found valid"

    def test_a_kit_that_is_packed_otherwise_is_the_same_kit(self, desk: Desk, tmp_path: Path) -> None:
        path = desk.kit(name="kit.tar")
        receipt = receipt_of(desk, path)
        with tarfile.open(path) as archive:
            archive.extractall(tmp_path / "unpacked")  # noqa: S202  our own
        for other in (tmp_path / "unpacked", kits.write_kit(desk.kits / "other.tar.gz", kits.read(path))):
            done = check(receipt, *desk.trust("site"), "--kit", other, "--json")
            assert (done.code, done.json["kit"]) == (0, "manifest"), done

    def test_a_policy_asks_for_the_role_and_names_another_policy(self, desk: Desk, tmp_path: Path) -> None:
        policy, other = tmp_path / "policy.json", tmp_path / "other.json"
        vendor = ("--key", desk.public("vendor"), "publisher")
        assert kit("trust", "init", policy, *vendor, "--key", desk.public("site"), "auditor").code == 0
        assert kit("trust", "init", other, *vendor, "--key", desk.public("site"), "patcher").code == 0
        receipt = receipt_of(desk, desk.kit())
        done = check(receipt, "--trust", policy, "--json")
        assert (done.code, done.json["samePolicy"]) == (0, False), done
        assert check(receipt, "--trust", other).code == 4

    def test_the_reports_are_valid(self, desk: Desk) -> None:
        path = desk.kit()
        receipt = receipt_of(desk, path)
        shown = kit("receipt", "show", receipt, "--json").json
        verified = check(receipt, *desk.trust("site"), "--kit", path, "--json").json
        for report in (shown, verified):
            Draft202012Validator(REPORT).validate(report)
            Draft202012Validator(STATEMENT).validate(report["statement"])
        assert (shown["verified"], shown["signers"], verified["verified"]) == (False, [], True)

    def test_what_is_only_shown_is_a_claim(self, desk: Desk) -> None:
        shown = kit("receipt", "show", receipt_of(desk, desk.kit()))
        assert shown.code == 0
        assert "(claimed)" in shown.out
        assert "genuine" not in shown.out
        assert shown.out.splitlines()[-1].startswith("not verified: it claims")

    def test_a_receipt_of_a_refused_kit_is_no_verdict_that_it_is_valid(self, desk: Desk) -> None:
        path = desk.kit(signer=None)
        done = check(receipt_of(desk, path), *desk.trust("site"), "--kit", path)
        assert done.code == 4
        assert "genuine: the kit was found refused" in done.out
        assert "the kit of the receipt was refused: " in done.err

    def test_a_receipt_without_a_page_has_none(self, desk: Desk) -> None:
        path, receipt = desk.kit(), desk.kits / "receipt"
        assert desk.verify(path, options=("--receipt", receipt, "--signing-key", desk.keys / "site")).code == 0
        assert "urn:offline-kit:page:v1" not in dsse.payload_of(receipt.read_bytes()).decode()
        assert check(receipt, *desk.trust("site")).code == 0
        check(receipt, *desk.trust("site"), "--page", receipt).refused(2, "is a receipt, not a report page")


class TestRefused:
    def test_another_kit(self, desk: Desk) -> None:
        receipt = receipt_of(desk, desk.kit())
        other = desk.kit(kits.small_files(), name="other.tar")
        check(receipt, *desk.trust("site"), "--kit", other).refused(2, "is not the kit of the receipt")

    def test_the_same_manifest_over_a_changed_file(self, desk: Desk) -> None:
        path = desk.kit()
        receipt = receipt_of(desk, path)
        other = desk.write(kits.read(path) | {"README.txt": b"another\n"}, "other.tar")
        check(receipt, *desk.trust("site"), "--kit", other).refused(2, "README.txt")

    def test_the_same_manifest_with_another_signature(self, desk: Desk) -> None:
        path = desk.kit()
        receipt = receipt_of(desk, path)
        signed = kits.signed(kits.content(), key("stranger"), None)
        other = desk.write(kits.read(path) | {kits.SIGNATURE: signed[kits.SIGNATURE]}, "other.tar")
        check(receipt, *desk.trust("site"), "--kit", other).refused(2, "other signatures")

    def test_another_page(self, desk: Desk) -> None:
        receipt, page = receipt_of(desk, desk.kit()), desk.kits / "page.html"
        page.write_bytes(page.read_bytes().replace(b"</html>", b" </html>"))
        check(receipt, *desk.trust("site"), "--page", page).refused(2, "is not the page of the receipt")

    def test_another_auditor(self, desk: Desk) -> None:
        check(receipt_of(desk, desk.kit()), *desk.trust("vendor")).refused(4, "not among the 1 trusted keys")

    def test_a_changed_byte(self, desk: Desk) -> None:
        receipt = receipt_of(desk, desk.kit())
        envelope = json.loads(receipt.read_bytes())
        other = json.loads(forged(receipt, desk, timeVerified="2026-01-01T00:00:00Z").read_bytes())
        receipt.write_bytes(kits.to_json(envelope | {"payload": other["payload"]}))
        assert check(receipt, *desk.trust("site")).code == 5

    def test_a_verifier_who_did_not_sign(self, desk: Desk) -> None:
        receipt = receipt_of(desk, desk.kit())
        made = forged(receipt, desk, by="vendor")
        check(made, *desk.trust("vendor")).refused(11, "who is not among its signers")

    def test_a_failed_verdict_with_levels(self, desk: Desk) -> None:
        made = forged(receipt_of(desk, desk.kit()), desk, verificationResult="FAILED")
        check(made, *desk.trust("site")).refused(11, "contradict each other")

    def test_a_statement_of_a_patch_is_no_receipt(self, desk: Desk) -> None:
        statement = desk.kits / "statement"
        members = kits.read(desk.patched())
        statement.write_bytes(next(data for name, data in members.items() if name.endswith("patch.intoto.json")))
        check(statement, *desk.trust("site")).refused(5, "is a provenance statement, not a receipt")

    def test_a_signer_limited_to_collections_needs_the_kit(self, desk: Desk, tmp_path: Path) -> None:
        policy, path = tmp_path / "policy.json", desk.kit()
        assert kit("trust", "init", policy, "--key", desk.public("vendor"), "publisher").code == 0
        for name in ("site", "stranger"):
            collection = "concelier.advisory_observations" if name == "site" else "concelier.another"
            added = kit("trust", "add", policy, desk.public(name), "--role", "auditor", "--collection", collection)
            assert added.code == 0, added
        receipt = receipt_of(desk, path)
        check(receipt, "--trust", policy).refused(4, "limited to collections", "--kit")
        assert check(receipt, "--trust", policy, "--kit", path).code == 0
        by_stranger = receipt_of(desk, path, by="stranger")
        assert check(by_stranger, "--trust", policy, "--kit", path).code == 4

    @pytest.mark.parametrize("words", [(), ("--trust", "p", "--trusted-key", "k")])
    def test_no_word_about_trust(self, words: tuple[str, ...], desk: Desk) -> None:
        check(desk.kits / "r", *words).refused(64, "--trusted-key")


RECIPE = (ROOT / "docs" / "auditor.md").read_text().partition("## 5. ")[2]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
class TestStockTools:
    """The recipe of docs/auditor.md, by itself, on receipts that are genuine and on others."""

    def run(self, desk: Desk, path: Path, receipt: Path, *, by: str = "site") -> subprocess.CompletedProcess[str]:
        (script,) = [block for block in RECIPE.split("```sh\n")[1:] if "openssl dgst" in block]
        folder = desk.kits.parent / "desk"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for source, name in (
            (path, "kit.tar.zst"),
            (receipt, "kit.receipt"),
            (desk.kits / "page.html", "kit.html"),
            (desk.public(by), "auditor.pub.pem"),
        ):
            shutil.copy(source, folder / name)
        words = ["sh", "-euc", script.partition("```")[0]]
        return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)

    def test_a_genuine_one_is_confirmed(self, desk: Desk) -> None:
        path = desk.kit()
        done = self.run(desk, path, receipt_of(desk, path))
        assert done.returncode == 0, done
        assert "Verified OK" in done.stdout
        assert '"verificationResult": "PASSED"' in done.stdout

    def test_another_kit_page_key_or_statement_is_not(self, desk: Desk) -> None:
        path = desk.kit()
        receipt = receipt_of(desk, path)
        other = desk.kit(kits.small_files(), name="other.tar.zst")
        assert self.run(desk, other, receipt).returncode != 0
        assert self.run(desk, path, receipt, by="vendor").returncode != 0
        envelope = json.loads(receipt.read_bytes())
        changed = json.loads(forged(receipt, desk, timeVerified="2026-01-01T00:00:00Z").read_bytes())
        torn = desk.kits / "torn"
        torn.write_bytes(kits.to_json(envelope | {"payload": changed["payload"]}))
        assert self.run(desk, path, torn).returncode != 0
        (desk.kits / "page.html").write_text("another")
        assert self.run(desk, path, receipt).returncode != 0

    def test_a_receipt_of_a_refused_kit_is_not(self, desk: Desk) -> None:
        path = desk.kit(signer=None)
        assert self.run(desk, path, receipt_of(desk, path)).returncode != 0
