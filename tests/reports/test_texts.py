"""The text of every report, as a user reads it: one small kit, looked at, planned, patched, verified."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest

from kit.migrations import built_in
from kit.reports.text import table
from kit.reports.verify import share
from kit.transforms.coverage import TenantCoverage
from tests import kits
from tests.commands import Outcome, kit
from tests.end_to_end.desk import Desk, key
from tests.kits import observation

KIT = Path("kit.tar")


def shown(outcome: Outcome) -> str:
    """Give the text with key ids replaced by names, and the sizes that depend on signatures left out."""
    text = outcome.out
    for name in ("vendor", "site"):
        text = text.replace(key(name).public.key_id, f"<{name}>")
    return "\n" + re.sub(r"in [\d,]+ bytes of temp", "in N bytes of temp", text)


def text(golden: str) -> str:
    return dedent(golden)


@pytest.fixture(autouse=True)
def small(desk: Desk) -> None:
    """Write a kit with an observation of every outcome."""
    divergent = {"aliases": ["cve-1"], "purls": [], "cpes": [], "references": []}
    desk.kit(
        kits.content(
            observation(1),
            observation(2, "globex"),
            observation(3, raw=False),
            observation(4, rawLinkset=None),
            observation(5, None, linkset=divergent),
        ),
        name="kit.tar",
    )


def test_inspect() -> None:
    assert shown(kit("inspect", KIT, "--workers", 1)) == text("""
        kit.tar: tar, 20,480 bytes; 5 files, 6,181 bytes
        manifest: own shape, small 2025.10 stable, generation 3
        claims to be signed by <vendor> (ES256); not verified (kit verify)

          collection                                 documents  bytes
          dump/concelier/advisory_observations.bson          5  3,172

        dump/concelier/advisory_observations.bson
          tenant       observations  both projections  missing  null  coverage
          (no tenant)             1                 0        1     0     0.0 %
          acme                    3                 0        2     1     0.0 %
          globex                  1                 0        1     0     0.0 %
          all tenants             5                 0        4     1     0.0 %
    """)


def test_inspect_of_an_unsigned_kit_without_collections(desk: Desk) -> None:
    desk.kit({"README.txt": b"x"}, name="bare.tar", signer=None, manifest={"chunks": [{"name": "a", "hash": "0" * 64}]})
    assert shown(kit("inspect", "bare.tar", "--workers", 1)) == text("""
        bare.tar: tar, 10,240 bytes; 2 files, 135 bytes
        manifest: foreign shape, unnamed, generation 0
        problem: manifest/offline-manifest.json.jws: the manifest is not signed
    """)


def test_inspect_of_what_has_no_manifest(desk: Desk) -> None:
    desk.write({"README.txt": b"x"}, "bare.tar")
    assert shown(kit("inspect", "bare.tar", "--workers", 1)) == text("""
        bare.tar: tar, 10,240 bytes; 1 files, 1 bytes
        problem: no manifest: neither manifest/offline-manifest.json nor offline-manifest.json is there
    """)


CHANGES = """
      raw-linkset  content  null  unresolvable
      (no tenant)        1     0             0
      acme               1     1             1
      globex             1     0             0
      all tenants        3     1             1

    unresolvable: 1 x no raw document: acme:osv:GO-2025-0003:1
    no-projection: 1 x rawLinkset is null: acme:osv:GO-2025-0004:1
    divergent: 1 x rawLinkset and linkset disagree: None:osv:GO-2025-0005:1

    rawLinkset or linkset that will not count, by tenant:
      tenant  observations  both projections  missing  unresolvable  null  coverage
      acme               3                 1        1             1     1    33.3 %

    dump/concelier/advisory_observations.bson: 3 of 5 documents, +1,062 bytes
"""


def test_plan(desk: Desk) -> None:
    digest = built_in("20251031_raw_linkset", random=bytes).sha256.hex
    assert shown(kit("plan", KIT, *desk.trust("vendor"), "--workers", 1)) == text(f"""{CHANGES}
    migration 20251031_raw_linkset, sha256 {digest}
    would write about 6,288 bytes, in N bytes of temporary space
    nothing was written; kit patch would change 3 documents
    """)


def test_patch(desk: Desk) -> None:
    assert shown(desk.patch(KIT, "--output", "out.tar")) == text(f"""{CHANGES}
    generation 4, signed by <site>
    wrote out.tar (19,456 bytes), read back and verified
    """)


def test_patch_in_place(desk: Desk) -> None:
    assert shown(desk.patch(KIT, "--in-place")) == text(f"""{CHANGES}
    generation 4, signed by <site>
    wrote kit.tar (19,456 bytes), read back and verified
    the old kit is kept as kit.tar.bak.3
    """)


def test_patch_of_a_folder_has_no_size_of_its_own_container(desk: Desk) -> None:
    desk.kit(name="unpacked")
    assert "\nwrote out (" in shown(desk.patch(Path("unpacked"), "--output", "out"))


@pytest.mark.parametrize(
    ("options", "last"),
    [
        (("--output", "again.tar"), "wrote again.tar, a byte-for-byte copy of out.tar\n"),
        (("--in-place",), ""),
    ],
    ids=["to an output", "in place"],
)
def test_patch_again(options: tuple[object, ...], last: str, desk: Desk) -> None:
    desk.patched(KIT, name="out.tar")
    assert (
        shown(desk.patch(Path("out.tar"), *options, trusting=("vendor", "site")))
        == text("""
          raw-linkset  present  null  unresolvable
          (no tenant)        1     0             0
          acme               1     1             1
          globex             1     0             0
          all tenants        3     1             1

        unresolvable: 1 x no raw document: acme:osv:GO-2025-0003:1
        no-projection: 1 x rawLinkset is null: acme:osv:GO-2025-0004:1

        rawLinkset or linkset that will not count, by tenant:
          tenant  observations  both projections  missing  unresolvable  null  coverage
          acme               3                 1        1             1     1    33.3 %

        nothing to change: every document that could be patched already is
    """)
        + last
    )


def test_many_findings_are_counted_and_five_are_named(desk: Desk) -> None:
    desk.kit(kits.content(*(observation(number, raw=False) for number in range(7))), name="many.tar")
    output = shown(kit("plan", "many.tar", *desk.trust("vendor"), "--workers", 1))
    named = ", ".join(f"acme:osv:GO-2025-000{number}:1" for number in range(5))
    assert f"unresolvable: 7 x no raw document: {named}, …\n" in output


def test_what_was_not_read_of_upstream_documents_is_counted(desk: Desk) -> None:
    raw = {"id": "GO-1", "modified": "2026", "aliases": [5, 6]}
    linkset = {"aliases": ["go-1"], "purls": [], "cpes": [], "references": []}
    content = {"format": "OSV", "raw": raw}
    documents = [observation(number, content=content, linkset=linkset) for number in range(2)]
    desk.kit(kits.content(*documents, observation(3, raw=False)), name="kit.tar")
    output = shown(kit("plan", KIT, *desk.trust("vendor"), "--workers", 1))
    assert "\n\nunresolvable: 1 x" in output
    assert "\nskipped-values: 4 (raw-linkset; --json counts them by tenant)\n\ndump/" in output


@pytest.mark.slow
def test_more_findings_than_a_report_can_hold_are_still_counted(desk: Desk) -> None:
    documents = [{"_id": number, "tenant": "acme"} for number in range(10_003)]
    desk.kit({kits.OBSERVATIONS: kits.collection(documents)}, name="many.tar")
    words = ("plan", "many.tar", *desk.trust("vendor"), "--workers", 1)
    assert "\nand 3 more findings that are counted but not named\n" in shown(kit(*words))
    report = kit(*words, "--json").json
    assert (len(report["findings"]), report["omittedFindings"]) == (10_000, 3)
    assert report["outcomes"]["raw-linkset"]["acme"] == {"unresolvable": 10_003}


def test_verify(desk: Desk) -> None:
    desk.patched(KIT, name="out.tar")
    assert shown(desk.verify(Path("out.tar"))) == text("""
          1  ok      container reads strictly: 8 files
          2  ok      exactly one manifest: manifest/offline-manifest.json, generation 4, 3 files listed
          3  ok      manifest signed by a trusted key: by <site>; .sig file by <site>
          4  -       in its time, and not rolled back: keys without a policy have no time and no memory (--trust)
          5  ok      closed world and every digest: 3 files, 6,288 bytes; .sha256 file matches
          6  ok      lineage to the first generation: 1 earlier generation, from 3
          7  -       every document, and only appended: not asked for (--deep)
          8  -       rawLinkset on every observation: not asked for (--require-raw-linkset)

          generation 3, published at 2025-10-20T00:00:00Z: signed by <vendor>
              rests on its signature, over the digest of every file
          generation 4, patch (raw-linkset) at 2026-01-02T03:04:05Z: signed by <site>; its step by <site>
              rests on the signed statement: 1 member changed and no other, by the digests of both manifests; \
what changed inside is its signer's claim; --deep looks at the documents

        valid: out.tar
    """)


def test_verify_of_a_kit_that_fails(desk: Desk) -> None:
    desk.patched(KIT, name="out.tar")
    assert shown(desk.verify(Path("out.tar"), "vendor", options=("--require-raw-linkset",))) == text("""
          1  ok      container reads strictly: 8 files
          2  ok      exactly one manifest: manifest/offline-manifest.json, generation 4, 3 files listed
          3  FAILED  manifest signed by a trusted key: manifest/offline-manifest.json.jws: signed by <site>, \
which is not among the 1 trusted keys
                     guards against: arbitrary software, wrong role
                     to do: see who claims to have signed it: kit inspect KIT; if you trust them: \
--trusted-key PEM
          4  -       in its time, and not rolled back: keys without a policy have no time and no memory (--trust)
          5  ok      closed world and every digest: 3 files, 6,288 bytes; .sha256 file matches
          6  -       lineage to the first generation: nobody who may has signed the manifest, so its history is not read
          7  -       every document, and only appended: not asked for (--deep)
          8  FAILED  rawLinkset on every observation: not every observation has linkset and rawLinkset (v1): \
acme 1 of 3 (1 null)
                     guards against: premature switch
                     to do: a patch completes none of them: 1 unresolvable: their sources are not in this kit: \
send the reasons to its publisher, and patch the next kit that has them; and 1 with a rawLinkset \
that a patch does not overwrite, or without linkset: send their _id and reason (gaps in --json) to the publisher

          generation 3, published: signed by (not proven)
          generation 4, patch at 2026-01-02T03:04:05Z: signed by (not proven); its step by (not proven)

          tenant       observations  both projections  missing  unresolvable  null  coverage
          (no tenant)             1                 1        0             0     0     100 %
          acme                    3                 1        1             1     1    33.3 %
          globex                  1                 1        0             0     0     100 %
          all tenants             5                 3        1             1     1    60.0 %

        why observations do not count:
          acme: 1 x rawLinkset is null: acme:osv:GO-2025-0004:1
          acme: 1 x unresolvable, no raw document: acme:osv:GO-2025-0003:1

        refused: out.tar: obligation 3, manifest signed by a trusted key
    """)


def test_verify_of_what_is_no_kit(desk: Desk) -> None:
    (desk.kits / "noise.tar").write_bytes(b"noise" * 200)
    first, attacks, remedy, *others, empty, last = desk.verify(Path("noise.tar")).out.splitlines()
    assert first.startswith("  1  FAILED  container reads strictly: noise.tar: is no kit: ")
    assert attacks == "             guards against: parser differential, endless data"
    assert remedy.startswith("             to do: a kit is a .tar, ")
    assert [line.split()[:2] for line in others] == [[str(number), "-"] for number in range(2, 9)]
    assert (empty, last[:20]) == ("", "refused: noise.tar: ")


class TestJson:
    """Both forms are of one report, so only the names are looked at here; the schemas say the rest."""

    def test_inspect(self) -> None:
        report = kit("inspect", KIT, "--workers", 1, "--json").json
        assert set(report) == {
            *("schemaVersion", "kit", "container", "storedBytes", "files", "fileBytes", "manifest"),
            *("claimedSigners", "problems", "collections", "emptyFolders", "links", "permitted", "undeclared", "dumps"),
        }
        (collection,) = report["collections"]
        assert collection["tenants"]["acme"] == {
            "documents": 3, "present": 1, "both": 0, "null": 1, "otherType": 0, "otherShape": 0, "noLinkset": 0,
            "missing": 2, "unresolvable": 0,
        }  # fmt: skip

    def test_a_collection_of_another_kind_has_documents_only(self, desk: Desk) -> None:
        other = {"a/things.bson": kits.collection([{"_id": 1, "tenant": "t", "rawLinkset": 1}])}
        desk.kit(other, name="other.tar")
        assert kit("inspect", "other.tar", "--workers", 1).out.endswith("  a/things.bson          1     44\n")
        (collection,) = kit("inspect", "other.tar", "--workers", 1, "--json").json["collections"]
        assert collection["tenants"] == {"t": {"documents": 1}}

    @pytest.mark.parametrize("live", [False, True], ids=["plan", "patch"])
    def test_plan_and_patch(self, live: bool, desk: Desk) -> None:  # noqa: FBT001
        planned = kit("plan", KIT, *desk.trust("vendor"), "--workers", 1, "--json")
        report = desk.patch(KIT, "--in-place", "--json").json if live else planned.json
        assert set(report) == {
            *("schemaVersion", "tool", "kit", "live", "container", "storedBytes", "createdAt", "base", "migration"),
            "warnings",
            *(
                "transforms",
                "stops",
                "refusal",
                "preflight",
                "obstacles",
                "changed",
                "collections",
                "outcomes",
                "counts",
                "fields",
                "findings",
                "omittedFindings",
                "unchecked",
                "snapshots",
                "unimportable",
                "generation",
            ),
            *("manifestSha256", "signedBy", "output", "outputBytes", "outputSha256", "backup", "tempBytes"),
        }
        assert report["outcomes"]["raw-linkset"]["acme"] == {"content": 1, "null": 1, "unresolvable": 1}
        facts = [report[name] for name in ("generation", "output", "backup", "signedBy")]
        assert facts == (
            [4, "kit.tar", "kit.tar.bak.3", [key("site").public.key_id]] if live else [None, None, None, []]
        )
        if live:
            assert report["outputSha256"] == kits.sha256(KIT.read_bytes())
            assert report["outputBytes"] == KIT.stat().st_size

    def test_verify(self, desk: Desk) -> None:
        report = desk.verify(KIT, "vendor", options=("--json",)).json
        assert set(report) == {
            *("schemaVersion", "kit", "container", "verdict", "exitCode", "error", "bundleId", "generation"),
            *("manifestSha256", "signers", "obligations", "lineage", "coverage", "gaps", "proofs", "fields"),
            *("levels", "appendOnly", "extraFolders", "permitted"),
        }
        assert (report["verdict"], report["exitCode"], report["error"]) == ("valid", 0, None)
        assert report["signers"] == [key("vendor").public.key_id]


class TestShare:
    @pytest.mark.parametrize(
        ("part", "whole", "said"),
        [
            (0, 0, "100 %"),
            (0, 3, "0.0 %"),
            (1, 3, "33.3 %"),
            (2, 3, "66.6 %"),
            (3, 3, "100 %"),
            (999, 1000, "99.9 %"),
            (9_999_999, 10_000_000, "99.9 %"),
            (10**18 - 1, 10**18, "99.9 %"),
        ],
    )
    def test_it_is_rounded_down(self, part: int, whole: int, said: str) -> None:
        assert share(part, whole) == said

    def test_it_never_says_100_percent_of_what_is_incomplete(self) -> None:
        assert [whole for whole in range(1, 3000) if share(whole - 1, whole).startswith("100")] == []


def test_a_table_is_as_wide_as_its_widest_cell() -> None:
    assert list(table(("a", "b"), [("long", "1"), ("x", "1,000")])) == [
        "  a         b",
        "  long      1",
        "  x     1,000",
    ]


def test_coverage_of_several_members_is_added_up() -> None:
    total = TenantCoverage(documents=1, present=1, null=1)
    total.add(TenantCoverage(documents=2, missing=2, unresolvable=1))
    assert total == TenantCoverage(documents=3, present=1, null=1, missing=2, unresolvable=1)
