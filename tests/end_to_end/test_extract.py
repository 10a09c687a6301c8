"""``kit extract``: what comes out is what is in the kit, byte for byte, in files that other programs read."""

from __future__ import annotations

import gzip
import json
import stat
from collections.abc import Callable
from pathlib import Path

import bson
import pytest
import zstandard
from jsonschema import Draft202012Validator

from tests import kits
from tests.commands import ROOT, Outcome, kit, subprocess_kit
from tests.end_to_end.desk import Desk, key
from tests.end_to_end.test_oracles import NODE_MODULES, run, tool
from tests.end_to_end.vault import Vault, note
from tests.kits import OBSERVATIONS, SNAPSHOTS, Members, observation

SCHEMA = json.loads((ROOT / "schemas/extract-report.schema.json").read_text())
METADATA = b'{"options":{},"indexes":[],"collectionName":"advisory_observations"}'
NAME = "concelier.advisory_observations"
FILE = "concelier/advisory_observations.bson"

Take = Callable[..., Outcome]


def extract(path: Path, *options: object, trust: tuple[object, ...] | None = None) -> Outcome:
    return kit("extract", path, *(trust if trust is not None else ()), "--workers", 1, *options)


def content(**more: bytes) -> Members:
    return kits.content() | {f"{OBSERVATIONS[:-5]}.metadata.json": METADATA} | more


@pytest.fixture
def take(desk: Desk) -> Take:
    """Extract from a kit that the vendor signed, and the site perhaps."""
    return lambda path, *options: extract(path, *options, trust=tuple(desk.trust("vendor", "site")))


def all_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


class TestFolder:
    @pytest.mark.parametrize("name", ["kit.tar", "kit.tar.gz", "kit.tar.zst", "kit"])
    def test_the_layout_and_the_bytes_are_those_of_the_dump(
        self, name: str, desk: Desk, take: Take, tmp_path: Path
    ) -> None:
        members = content() | {SNAPSHOTS: kits.collection([{"_id": 1}]), "dump/concelier/empty.bson": b""}
        assert take(desk.kit(members, name=name), "--output", tmp_path / "out").code == 0
        assert all_files(tmp_path / "out") == {
            "concelier/advisory_observations.bson": members[OBSERVATIONS],
            "concelier/advisory_observations.metadata.json": METADATA,
            "concelier/advisory_raw.bson": members[SNAPSHOTS],
            "concelier/empty.bson": b"",
        }

    def test_gzip_is_read_by_stock_gzip_and_holds_the_same(self, desk: Desk, take: Take, tmp_path: Path) -> None:
        members = content() | {"dump/concelier/empty.bson": b""}
        assert take(desk.kit(members), "--gzip", "--output", tmp_path / "out").code == 0
        for name, body in ((FILE, members[OBSERVATIONS]), ("concelier/empty.bson", b"")):
            assert run(tool("gzip"), "-dc", tmp_path / "out" / f"{name}.gz") == body
        assert gzip.decompress((tmp_path / "out" / f"{FILE[:-5]}.metadata.json.gz").read_bytes()) == METADATA

    def test_parts_of_a_collection_follow_each_other_whatever_their_codec(
        self, desk: Desk, take: Take, tmp_path: Path
    ) -> None:
        first, second, third = (kits.collection([observation(n)]) for n in range(3))
        members = {
            "b/concelier/advisory_observations.bson.gz": gzip.compress(first),
            "b/concelier/advisory_observations.metadata.json.gz": gzip.compress(METADATA),
            "a/concelier/advisory_observations.bson.zst": zstandard.compress(second),
            "a/concelier/advisory_observations.metadata.json.zst": zstandard.compress(METADATA),
            "c/concelier/advisory_observations.bson": third,
        }
        outcome = take(desk.kit(members), "--output", tmp_path / "out", "--json")
        assert all_files(tmp_path / "out") == {FILE: first + second + third, f"{FILE[:-5]}.metadata.json": METADATA}
        assert outcome.json["files"][0]["members"] == [name for name in members if ".bson" in name]

    def test_parts_with_different_metadata_are_refused(self, desk: Desk, take: Take, tmp_path: Path) -> None:
        members = content() | {
            "b/concelier/advisory_observations.bson": b"",
            "b/concelier/advisory_observations.metadata.json": b"{}",
        }
        path = desk.kit(members)
        take(path, "--output", tmp_path / "out").refused(11, "different metadata", "hint")
        assert not (tmp_path / "out").exists()
        assert take(path, "--output", tmp_path / "one.bson").code == 0

    def test_only_the_owner_can_read_what_came_out(self, desk: Desk, take: Take, tmp_path: Path) -> None:
        take(desk.kit(content()), "--output", tmp_path / "out")
        assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").rglob("*") if path.is_file()} == {
            0o600
        }
        assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700


class TestSelection:
    def test_of_a_tenant_only_its_documents_in_their_order(self, desk: Desk, take: Take, tmp_path: Path) -> None:
        documents = [observation(n, "acme" if n % 3 else "globex") for n in range(40)]
        path = desk.kit(content(**{OBSERVATIONS: kits.collection(documents), SNAPSHOTS: kits.collection([{"_id": 1}])}))
        assert take(path, "--tenant", "globex", "--output", tmp_path / "out").code == 0
        assert (tmp_path / "out" / FILE).read_bytes() == kits.collection(documents[::3])
        assert not (tmp_path / "out/concelier/advisory_raw.bson").exists()

    @pytest.mark.parametrize(
        ("spelled", "identity"),
        [
            ("7", "7"),
            ('{"$numberInt": "7"}', 7),
            ('{"$numberLong": "7"}', bson.int64.Int64(7)),
            ('{"$oid": "0123456789abcdef01234567"}', bson.ObjectId("0123456789abcdef01234567")),
            ("é:1", "é:1"),
        ],
    )
    def test_a_document_is_named_exactly(
        self, spelled: str, identity: object, desk: Desk, take: Take, tmp_path: Path
    ) -> None:
        every = ["7", 7, bson.int64.Int64(7), bson.ObjectId("0123456789abcdef01234567"), "é:1", None]
        documents = [observation(n, _id=identity) for n, identity in enumerate(every)]
        path = desk.kit(content(**{OBSERVATIONS: kits.collection(documents)}))
        assert take(path, "--id", spelled, "--output", tmp_path / "one.bson").code == 0
        (found,) = bson.decode_all((tmp_path / "one.bson").read_bytes())
        assert (found["_id"], type(found["_id"])) == (identity, type(identity))

    @pytest.mark.parametrize(
        ("options", "word"),
        [
            (["--tenant", "acme", "--tenant", "acmee"], "'acmee'"),
            (["--id", "acme:osv:GO-2025-0001:1", "--id", "none"], "1 of 2 documents"),
            (["--tenant", "globex", "--id", "acme:osv:GO-2025-0001:1"], "1 of 1 documents"),
            (["--collection", "concelier.nothing"], "concelier.nothing"),
        ],
        ids=["tenant", "document", "document of another tenant", "collection"],
    )
    def test_what_is_asked_for_and_not_there_refuses_everything(
        self, options: list[str], word: str, desk: Desk, take: Take, tmp_path: Path
    ) -> None:
        path = desk.kit(content())
        (tmp_path / "place").mkdir()
        for output in ("out", "out.bson"):
            take(path, *options, "--output", tmp_path / "place" / output).refused(11, word)
        assert list((tmp_path / "place").iterdir()) == []


class TestProjection:
    def test_without_raw_linkset_a_patched_observation_has_the_bytes_it_had(
        self, desk: Desk, take: Take, tmp_path: Path
    ) -> None:
        before = desk.kit()
        after = desk.patched(before)
        report = take(after, "--projection", "canonical", "--output", tmp_path / "stripped", "--json").json
        assert (report["files"][0]["taken"], report["files"][0]["withoutRawLinkset"]) == (3, 2)
        assert take(before, "--output", tmp_path / "before").code == 0
        assert all_files(tmp_path / "stripped") == all_files(tmp_path / "before")

    def test_with_it_what_comes_out_is_what_the_patch_wrote(self, desk: Desk, take: Take, tmp_path: Path) -> None:
        after = desk.patched()
        take(after, "--output", tmp_path / "all")
        assert (tmp_path / "all" / FILE).read_bytes() == kits.read(after)[OBSERVATIONS]


class TestJson:
    @pytest.mark.skipif(
        not (NODE_MODULES / "node_modules/bson").is_dir(), reason="the npm package bson is not installed"
    )
    def test_the_npm_package_bson_says_the_same(self, desk: Desk, take: Take, tmp_path: Path) -> None:
        path = desk.kit(
            content(**{OBSERVATIONS: kits.collection(observation(n, x=n / 3, y=2**40 + n) for n in range(9))})
        )
        take(path, "--output", tmp_path / "one.json")
        take(path, "--output", tmp_path / "one.bson")
        script = Path(__file__).with_name("read_bson.mjs")
        theirs = run(tool("node"), script, NODE_MODULES, tmp_path / "one.bson").splitlines()
        ours = (tmp_path / "one.json").read_bytes().splitlines()
        assert list(map(json.loads, ours)) == list(map(json.loads, theirs))
        assert len(ours) == 9

    @pytest.mark.parametrize(
        "odd",
        [
            pytest.param(b"\x10a\0\1\0\0\0\x10a\0\2\0\0\0", id="a name twice"),
            pytest.param(b"\2a\0\3\0\0\0\xff\xff\0", id="a text that is no UTF-8"),
            pytest.param(b"\1a\0\1\0\0\0\0\0\xf8\x7f", id="the bits of a NaN"),
            pytest.param(b"\x55a\0", id="an unknown type"),
        ],
    )
    def test_a_document_that_json_cannot_say_is_named_and_left_out_and_can_be_had_as_bson(
        self, odd: bytes, desk: Desk, take: Take, tmp_path: Path
    ) -> None:
        inside = b"\x10_id\0\7\0\0\0" + odd
        document = (len(inside) + 5).to_bytes(4, "little") + inside + b"\0"
        path = desk.kit({"dump/concelier/other.bson": kits.collection([{"_id": 1}]) + document})
        outcome = take(path, "--output", tmp_path / "one.json", "--json")
        assert outcome.code == 0
        assert outcome.json["unresolvable"]["total"] == 1
        (one,) = outcome.json["unresolvable"]["items"]
        assert (one["member"], one["document"]) == ("dump/concelier/other.bson", "7")
        assert 'document 1 (_id "7"): ' in outcome.err
        assert (tmp_path / "one.json").read_bytes().count(b"\n") == 1
        by_name = ("--id", '{"$numberInt": "7"}')
        refused = take(path, *by_name, "--output", tmp_path / "two.json")
        refused.refused(11, 'document 1 (_id "7"): ', "--format bson")
        assert take(path, *by_name, "--output", tmp_path / "two.bson").code == 0
        assert (tmp_path / "two.bson").read_bytes() == document
        assert take(path, "--output", tmp_path / "one.bson").code == 0
        assert (tmp_path / "one.bson").read_bytes().endswith(document)

    def test_a_single_document_is_printed(self, desk: Desk) -> None:
        path = desk.kit(content(**{SNAPSHOTS: b""}))
        chosen = ("--collection", NAME, "--id", "acme:osv:GO-2025-0001:1")
        done = subprocess_kit("extract", path, *desk.trust("vendor"), *chosen, "--output", "-")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["upstream"]["upstreamId"] == "GO-2025-0001"
        assert done.stderr == b""


class TestTrust:
    def test_an_unverified_kit_is_refused_unless_that_is_said_and_then_the_report_says_it(
        self, desk: Desk, tmp_path: Path
    ) -> None:
        path = desk.kit(signer="stranger")
        extract(path, "--output", tmp_path / "o", trust=tuple(desk.trust("vendor"))).refused(4, "not among")
        extract(path, "--output", tmp_path / "o").refused(64, "--trusted-key")
        outcome = extract(path, "--insecure-unverified-base", "--output", tmp_path / "o", "--json")
        assert (outcome.code, outcome.json["verified"]) == (0, False)
        assert outcome.err.startswith("kit: warning: unverified kit: ")
        Draft202012Validator(SCHEMA).validate(outcome.json)

    def test_digests_are_checked_even_then(self, desk: Desk, tmp_path: Path) -> None:
        members = kits.signed(kits.content(), key("vendor"))
        path = desk.write(members | {OBSERVATIONS: members[OBSERVATIONS] + kits.collection([{"_id": 9}])})
        extract(path, "--insecure-unverified-base", "--output", tmp_path / "o").refused(2, OBSERVATIONS)
        assert not (tmp_path / "o").exists()

    def test_a_policy_judges_too(self, desk: Desk, tmp_path: Path) -> None:
        policy = tmp_path / "policy.json"
        kit("trust", "init", policy, "--key", desk.public("stranger"), "publisher")
        extract(desk.kit(), "--output", tmp_path / "o", trust=("--trust", policy)).refused(4)


class TestManners:
    def test_a_report_is_what_its_schema_says(self, desk: Desk, take: Take, tmp_path: Path) -> None:
        path = desk.kit(content())
        chosen = ("--tenant", "acme", "--id", "acme:osv:GO-2025-0001:1")
        ways = ((), ("--format", "json"), ("--gzip",), ("--projection", "canonical", *chosen))
        for number, options in enumerate(ways):
            document = take(path, *options, "--output", tmp_path / f"out{number}", "--json").json
            Draft202012Validator(SCHEMA).validate(document)
            assert not Draft202012Validator(SCHEMA).is_valid(document | {"signers": []})
            for file in document["files"]:
                assert kits.sha256(Path(file["path"]).read_bytes()) == file["sha256"]

    def test_encrypted_values_stay_envelopes(self, tmp_path: Path) -> None:
        vault = Vault(tmp_path)
        sealed = vault.encrypted(vault.notes(note(1)))
        trust = tuple(vault.trust("vendor", "site"))
        assert extract(sealed, "--output", tmp_path / "one.bson", trust=trust).code == 0
        (found,) = bson.decode_all((tmp_path / "one.bson").read_bytes())
        assert found["body"]["__encrypted"] is True

    @pytest.mark.parametrize("output", ["out", "out.bson"])
    def test_nothing_is_overwritten(self, output: str, desk: Desk, take: Take, tmp_path: Path) -> None:
        (tmp_path / output).symlink_to(tmp_path / "nowhere")
        take(desk.kit(), "--output", tmp_path / output).refused(74, "already there")

    def test_an_unpacked_kit_is_not_written_into(self, desk: Desk, take: Take) -> None:
        path = desk.kit(name="kit")
        before = kits.folder_state(path)
        take(path, "--output", path / "out").refused(64, "inside the kit")
        assert kits.folder_state(path) == before

    @pytest.mark.parametrize(
        ("options", "word"),
        [
            (["--output", "x.bson", "--format", "json"], "its name contradicts"),
            (["--output", "x.json", "--gzip"], "its name contradicts"),
            (["--output", "x", "--collection", "nothing"], "DB.COLLECTION"),
            (["--output", "x", "--id", '{"$date": "1"}'], "--id"),
            (["--output", "x.bson"], "one file holds one collection"),
        ],
    )
    def test_options_that_do_not_go_together(self, options: list[str], word: str, desk: Desk, take: Take) -> None:
        take(desk.kit(content(**{SNAPSHOTS: b""})), *options).refused(64, word)

    def test_a_report_and_documents_do_not_share_standard_output(self, desk: Desk, take: Take) -> None:
        outcome = take(desk.kit(), "--output", "-", "--json")
        assert (outcome.code, outcome.json["error"]["kind"]) == (64, "UsageError")

    @pytest.mark.slow
    def test_the_number_of_workers_changes_nothing(self, desk: Desk, tmp_path: Path) -> None:
        documents = [observation(n, "acme" if n % 2 else "globex", pad="x" * 9000) for n in range(2000)]
        path = desk.kit(content(**{OBSERVATIONS: kits.collection(documents)}))
        for workers in (1, 2):
            trust = desk.trust("vendor")
            outcome = kit(
                "extract", path, *trust, "--tenant", "acme", "-o", tmp_path / f"{workers}.bson.gz", "--workers", workers
            )
            assert outcome.code == 0
        assert (tmp_path / "1.bson.gz").read_bytes() == (tmp_path / "2.bson.gz").read_bytes()
        assert gzip.decompress((tmp_path / "1.bson.gz").read_bytes()) == kits.collection(documents[1::2])


def test_an_id_that_is_not_there_is_an_error_with_near_matches(desk: Desk, tmp_path: Path) -> None:
    first = observation(1)
    name = first["upstream"]["upstreamId"]
    path = desk.kit(kits.content(first, observation(2)))
    for text, code in ((first["_id"], 0), (name, 11), (f"other:osv:{name}:7", 11)):
        outcome = kit("extract", path, "--trusted-key", desk.public("vendor"), "--id", text, "-o", tmp_path / text)
        assert (outcome.code, "did you mean" in outcome.err) == (code, code != 0), outcome
        assert (f"did you mean {first['_id']} (same upstream id)?" in outcome.err) == (code != 0)


def test_an_advisory_is_taken_by_its_upstream_id_or_an_alias_next_to_what_is_named_by_id(
    desk: Desk, tmp_path: Path
) -> None:
    documents = [observation(1), observation(2), observation(1, "globex"), observation(3), observation(4)]
    documents[4]["upstream"]["upstreamId"] = "GHSA-x"
    documents[4]["linkset"]["aliases"] = [kits.identifier(1).lower()]
    ids = [one["_id"] for one in documents]
    path = desk.kit(kits.content(*documents) | {SNAPSHOTS: kits.collection([{"_id": "s"}])})

    def taken(*options: object, code: int = 0) -> list[str]:
        output = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
        only = ("--collection", "concelier.advisory_observations", "--output", output)
        outcome = kit("extract", path, "--trusted-key", desk.public("vendor"), *only, *options, "--json")
        assert outcome.code == code, outcome
        if code:
            return [outcome.json["error"]["what"], outcome.json["error"]["hint"]]
        schema = json.loads((ROOT / "schemas/extract-report.schema.json").read_text())
        Draft202012Validator(schema).validate(outcome.json)
        return [json.loads(line)["_id"] for line in output.read_text().splitlines()]

    name = kits.identifier(1)
    assert taken("--advisory", name) == taken("--advisory", name.lower()) == [ids[0], ids[2], ids[4]]
    assert taken("--advisory", "cve-2025-0003") == [ids[3]]
    assert taken("--advisory", name, "--tenant", "globex") == [ids[2]]
    assert taken("--advisory", "ghsa-X", "--id", ids[1]) == [ids[1], ids[4]]
    what, hint = taken("--advisory", name, "--advisory", "GO-1999-1", code=11)
    assert "no document is about 'GO-1999-1'" in what
    assert "kit find KIT NAME" in hint
    assert ids[1] in taken("--advisory", ids[1], code=11)[1]
    assert "empty" in taken("--advisory", "", code=64)[0]


def test_a_document_that_may_be_about_the_advisory_and_cannot_be_read_is_reported(desk: Desk, tmp_path: Path) -> None:
    twice = bson.encode(observation(1, "twice"))[4:-1] + bson.encode({"x": 1, "source": {}})[4:]
    other = bson.encode(observation(2))[4:-1] + bson.encode({"x": 1, "source": {}})[4:]
    broken = b"".join((len(one) + 4).to_bytes(4, "little") + one for one in (twice, other))
    path = desk.kit({OBSERVATIONS: broken + bson.encode(observation(1))})
    words = ("--trusted-key", desk.public("vendor"), "--advisory", kits.identifier(1), "-o", tmp_path / "a.bson")
    outcome = kit("extract", path, *words, "--json")
    assert (outcome.code, outcome.json["unresolvable"]["total"]) == (0, 1)
    assert outcome.json["unresolvable"]["items"][0]["document"] == observation(1, "twice")["_id"]
    assert (tmp_path / "a.bson").read_bytes() == bson.encode(observation(1))
