"""The verdict as a page: everything an auditor needs is on it, nothing on it runs or fetches, and a browser agrees."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from docs.build.make_screenshots import browser, headless
from kit.reports.text import printable
from tests import kits
from tests.commands import Outcome, kit
from tests.end_to_end.desk import Desk, key
from tests.kits import OBSERVATIONS, observation
from tests.reports.pages import Page

AT = "2026-02-01T00:00:00Z"
HOSTILE = "<script>alert('x')</script>\u202egnp.\"&amp;\u200b"


def verified(desk: Desk, path: Path, *options: object, code: int = 0, trusting: tuple[str, ...] = ()) -> Page:
    """Verify, and give the page, which is always well-formed and asks for nothing."""
    return Page(written(desk, path, *options, code=code, trusting=trusting))


def written(desk: Desk, path: Path, *options: object, code: int = 0, trusting: tuple[str, ...] = ()) -> bytes:
    place = Path("report.html")
    place.unlink(missing_ok=True)
    outcome = desk.verify(path, *trusting, options=("--html", place, "--at", AT, *options))
    assert outcome.code == code, outcome
    data = place.read_bytes()
    assert Page(data).faults == []
    return data


def test_of_a_valid_kit(desk: Desk) -> None:
    page = verified(desk, desk.kit(name="kit.tar.gz"))
    verdict = page.sections["verdict"]
    assert verdict.startswith("Valid 4 of 8 obligations were checked and hold.")
    assert "Not checked: 7, every document, and only appended. Why: not asked for ( --deep )." in verdict
    assert f"Judged as of {AT}" in page.text
    assert kits.sha256(Path("kit.tar.gz").read_bytes()) in page.sections["kit"]
    assert page.sections["obligations"].count("Guards against:") == 8
    assert "One generation" in str(page.elements)


def test_of_a_patched_kit_has_who_signed_each_generation_and_each_step(desk: Desk) -> None:
    page = verified(desk, desk.patched(desk.kit(), "--operator", "Ada", "--environment", "quay"), "--deep")
    lineage = page.sections["lineage"]
    vendor, site = (key(who).public.key_id for who in ("vendor", "site"))
    assert "2 generations, 2 of them proven." in lineage
    assert f"Generation 3 Made by published At 2025-10-20T00:00:00Z Signed by {vendor[:16]}… Manifest" in lineage
    assert "Operator Ada Environment quay" in lineage
    assert f"Signed by {site[:16]}… Step signed by {site[:16]}… Manifest" in lineage
    assert vendor in page.sections["signers"]
    assert f"by {site[:16]}…" in page.sections["obligations"]
    assert site not in lineage + page.sections["obligations"]
    assert "Every document was read in this run." in page.sections["collections"]
    # In the picture and in the list.
    assert lineage.count("raw-linkset") == 2


def test_of_a_refused_kit_has_reason_attack_evidence_and_remedy(desk: Desk) -> None:
    members = kits.read(desk.patched())
    path = desk.write(members | {"README.txt": b"other\n", "more.txt": b""}, "spoiled.tar")
    page = verified(desk, path, code=2)
    verdict, obligations = page.sections["verdict"], page.sections["obligations"]
    assert verdict.startswith("Refused Closed world and every digest (obligation 5). README.txt: digest differs")
    assert "It guards against: arbitrary software, mix-and-match." in verdict
    assert "exit code 2" in page.sections["kit"]
    assert f"README.txt {kits.sha256(b'a kit' + bytes([10]))} {kits.sha256(b'other' + bytes([10]))}" in obligations
    assert "more.txt" in obligations
    assert "To do: fetch the kit again" in obligations


def test_what_an_unproven_manifest_says_is_marked_as_unproven(desk: Desk) -> None:
    page = verified(desk, desk.patched(), trusting=("vendor",), code=4)
    assert "nothing in the manifest is proven: obligation 3 failed" in page.sections["kit"]
    assert "2 generations, 0 of them proven." in page.sections["lineage"]
    assert "signature not proven" in page.sections["lineage"]
    # Of a key that is not trusted the page has nothing but its id.
    assert f"by {key('site').public.key_id}" in page.sections["obligations"]
    assert [facts["class"] for _, facts in page.elements if str(facts.get("class"))[:3] == "box"] == [
        "box doubt",
        "box now doubt",
    ]


def kinds(page: Page) -> list[str]:
    """Return the classes that a page has its verdict and obligations in."""
    named = [str(facts.get("class")) for tag, facts in page.elements if tag == "div"]
    return [name for name in named if name.startswith(("verdict", "obligation "))]


def test_valid_and_refused_are_of_different_kinds(desk: Desk) -> None:
    path = desk.patched()
    assert kinds(verified(desk, path))[:3] == ["verdict good", "obligation holds", "obligation holds"]
    assert kinds(verified(desk, path, trusting=("vendor",), code=4))[:4] == [
        *("verdict bad", "obligation holds", "obligation holds", "obligation failed"),
    ]
    assert kinds(Page(_untrusting(desk))) == ["verdict bad"]


def test_a_key_with_a_name_is_called_by_it_and_its_id_is_in_the_table(desk: Desk) -> None:
    path = desk.kit()
    assert kit("trust", "init", "named.json", "--key", desk.public("site"), "patcher").code == 0
    words = ("trust", "add", "named.json", desk.public("vendor"), "--role", "publisher", "--name", "The mint")
    assert kit(*words).code == 0
    assert kit("verify", path, "--trust", "named.json", "--at", AT, "--html", "named.html", "--workers", 1).code == 0
    page = Page(Path("named.html").read_bytes())
    name = key("vendor").public.key_id
    assert "Holds by The mint" in page.sections["obligations"]
    assert "Signed by The mint" in page.sections["lineage"]
    assert f"The mint {name}" in page.sections["signers"]
    assert name not in page.sections["obligations"] + page.sections["lineage"]
    assert "(The mint)" not in page.text
    assert "Judged by policy named.json , version 2" in page.sections["kit"]


def test_an_untrusted_key_is_called_by_its_id_whatever_its_kit_calls_it(desk: Desk) -> None:
    path = desk.patched(desk.kit(), "--operator", "The mint")
    assert kit("trust", "init", "p.json", "--key", desk.public("vendor"), "publisher").code == 0
    assert kit("trust", "add", "p.json", desk.public("stranger"), "--role", "patcher", "--name", "The mint").code == 0
    assert kit("verify", path, "--trust", "p.json", "--at", AT, "--html", "p.html", "--workers", 1).code == 4
    page = Page(Path("p.html").read_bytes())
    signer = key("site").public.key_id
    assert f"signed by {signer}" in page.sections["verdict"]
    assert f"{signer} (" not in page.text
    # What was expected has the name that the policy gave, and not the id that it belongs to.
    assert "The mint" in page.sections["obligations"]
    assert key("stranger").public.key_id not in page.sections["obligations"]


def test_keys_that_were_named_for_the_run_are_told_by_their_files(desk: Desk) -> None:
    page = verified(desk, desk.kit(), trusting=("vendor",))
    assert f"1 key named for this run, without roles, time or memory: {desk.public('vendor')}" in page.sections["kit"]


def test_of_what_is_cut_is_no_kit_or_is_not_there(desk: Desk) -> None:
    Path("cut.tar.zst").write_bytes(desk.kit().read_bytes()[:700])
    page = verified(desk, Path("cut.tar.zst"), code=9)
    assert page.sections["verdict"].startswith("Refused Container reads strictly (obligation 1). cut.tar.zst: ")
    assert "2, exactly one manifest; 3, " in page.sections["verdict"]
    Path("noise.tar").write_bytes(b"noise" * 200)
    assert "Refused" in verified(desk, Path("noise.tar"), code=9).sections["verdict"]
    gone = verified(desk, Path("gone.tar"), code=1).sections["verdict"]
    assert gone.startswith("No verdict gone.tar: cannot be read")
    assert "must not be treated as valid" in gone
    assert "No verdict no key is trusted" in Page(_untrusting(desk)).sections["verdict"]


def _untrusting(desk: Desk) -> bytes:
    assert kit("verify", desk.kit(), "--html", "untrusting.html", "--at", AT).code == 4
    return Path("untrusting.html").read_bytes()


def test_of_a_forced_kit_says_so_first(desk: Desk) -> None:
    def verify(path: Path, *options: object) -> Outcome:
        return kit("verify", path, "--trust", "policy.json", "--at", AT, "--workers", 1, *options)

    assert kit("trust", "init", "policy.json", "--key", desk.public("vendor"), "publisher").code == 0
    members = kits.content()
    assert verify(desk.kit(members, name="new.tar", manifest=kits.manifest_of(members, generation=4))).code == 0
    old = desk.kit(name="old.tar")
    verify(old, "--force", "--reason", "<the new one> is broken", "--html", "f.html")
    page = Page(Path("f.html").read_bytes())
    assert page.sections["verdict"].startswith("Valid by force ")
    assert "verdict forced" in kinds(page)
    assert "obligation forced" in kinds(page)
    assert "<the new one> is broken" in page.sections["verdict"]
    assert "policy policy.json , version 1" in page.sections["kit"]


def test_coverage_is_drawn_as_counted_or_as_declared(desk: Desk) -> None:
    documents = [observation(1), observation(2, "globex"), observation(3, raw=False)]
    path = desk.patched(desk.kit(kits.content(*documents)))
    counted = verified(desk, path, "--require-raw-linkset", code=11).sections["coverage"]
    assert "counted in this run" in counted
    assert "acme 2 1 1 50.0 % globex 1 1 0 100 %" in counted
    declared = verified(desk, path).sections
    assert "as the manifest declares. They were neither counted" in declared["coverage"]
    assert "All tenants 3 2 1 66.6 %" in declared["coverage"]
    assert f"concelier.advisory_observations {OBSERVATIONS} 3" in declared["collections"]


@pytest.mark.parametrize("deep", [(), ("--deep", "--require-raw-linkset")], ids=["shallow", "deep"])
def test_hostile_names_are_shown_and_never_obeyed(deep: tuple[str, ...], desk: Desk) -> None:
    tenant = f"t{HOSTILE}"
    members = kits.content(observation(1, tenant), observation(2)) | {"<img src=x onerror=alert(1)>'\".txt": b"x"}
    manifest = kits.manifest_of(members, bundleId=HOSTILE, version=HOSTILE, channel=HOSTILE, producer=HOSTILE)
    base = desk.kit(members, name="<b onclick=x>'\".tar", manifest=manifest)
    words = ("--operator", HOSTILE, "--environment", HOSTILE, "--rollback-note", HOSTILE)
    path = desk.patched(base, *words, name="<img src=x>.tar")
    usual = verified(desk, desk.patched(desk.kit()), *deep, code=11 if deep else 0)
    for page, code in ((verified(desk, path, *deep), 0), (verified(desk, path, trusting=("vendor",), code=4), 4)):
        assert printable(HOSTILE) in page.text, code
        assert "<img src=x>.tar" in page.text
        assert "\u202e" not in page.text
        assert {tag for tag, _ in page.elements} <= {tag for tag, _ in usual.elements} | {"strong"}


def test_hostile_names_in_evidence(desk: Desk) -> None:
    members = kits.signed(kits.content(), key("vendor"))
    page = verified(desk, desk.write(members | {f"a/{HOSTILE[:28]}": b""}, "extra.tar"), code=9)
    assert "Refused" in page.sections["verdict"]
    extra = "<script>alert('x')<_script>&quot;\".txt"
    page = verified(desk, desk.write(members | {extra: b""}, "extra.tar"), code=2)
    assert page.sections["obligations"].count(extra) >= 2


def test_equal_verdicts_give_equal_bytes(desk: Desk) -> None:
    path = desk.patched()
    assert written(desk, path, "--deep") == written(desk, path, "--deep", "--workers", 2)


@pytest.mark.slow
def test_a_long_lineage_is_drawn_without_its_middle(desk: Desk) -> None:
    path = desk.kit(kits.content(*(observation(n) for n in range(14))))
    for number in range(14):
        path = desk.patched(path, "--limit", 1, name=f"{number}.tar", trusting=("vendor", "site"))
    lineage = verified(desk, path).sections["lineage"]
    assert "15 generations, 15 of them proven." in lineage
    assert "… 3 generations between …" in lineage
    assert lineage.count("Signed by") == 15


class TestTheFile:
    def test_nothing_is_overwritten_and_the_kit_is_not_read_before_that_is_known(self, desk: Desk) -> None:
        path, place = desk.kit(), Path("there.html")
        place.write_bytes(b"mine")
        desk.verify(path, options=("--html", place)).refused(74, "there.html")
        assert place.read_bytes() == b"mine"
        place.unlink()
        place.symlink_to("nowhere")
        desk.verify(path, options=("--html", place)).refused(74)

    def test_it_is_not_put_into_the_kit_nor_where_another_output_goes(self, desk: Desk) -> None:
        folder = desk.kit(name="unpacked")
        desk.verify(folder, options=("--html", folder / "r.html")).refused(64, "would be inside the kit")
        words = ("--html", "one", "--write-script", Path.cwd() / "one")
        desk.verify(folder, options=words).refused(64, "--write-script and --html are one place")

    def test_where_it_cannot_be_written_nothing_is_called_valid(self, desk: Desk) -> None:
        desk.verify(desk.kit(), options=("--html", "no/such/folder.html")).refused(74)


CHROMIUM = pytest.mark.skipif(browser() is None, reason="needs Chromium")


@CHROMIUM
def test_a_browser_shows_what_was_written_and_prints_it(desk: Desk, tmp_path: Path) -> None:
    program = browser()
    assert program is not None
    members = kits.content(observation(1, HOSTILE))
    path = desk.patched(desk.kit(members, manifest=kits.manifest_of(members, producer=HOSTILE)))
    data = written(desk, path, trusting=("vendor",), code=4)
    address = Path("report.html").absolute().as_uri()
    dump = headless(program, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", address)
    # The browser's own serialisation reads as the page does: it repaired nothing and ran nothing.
    shown = Page(dump.replace(b"<!DOCTYPE html>", b"<!DOCTYPE html>\n", 1))
    assert shown.text == Page(data).text
    assert [tag for tag, _ in shown.elements] == [tag for tag, _ in Page(data).elements]
    pdf = tmp_path / "report.pdf"
    headless(program, f"--user-data-dir={tmp_path / 'profile'}", f"--print-to-pdf={pdf}", address)
    assert pdf.read_bytes().startswith(b"%PDF-")


def test_the_page_of_a_report_says_what_its_json_says(desk: Desk) -> None:
    path = desk.patched()
    report: dict[str, Any] = desk.verify(path, "vendor", options=("--json",)).json
    page = verified(desk, path, trusting=("vendor",), code=4)
    told: Callable[[str], bool] = page.text.__contains__
    for obligation in report["obligations"]:
        assert told(obligation["attack"]), obligation
        assert all(told(evidence["place"]) for evidence in obligation["evidence"]), obligation
    assert all(told(link["manifestSha256"]) for link in report["lineage"])
    assert told(report["error"]["what"]), json.dumps(report["error"])
