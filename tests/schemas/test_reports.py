"""Every object that a command prints is what its schema says; made in-process, by the functions the commands call."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from fixtures.build.keys import publisher_key, site_key
from fixtures.build.kits import PATCHED_AT
from fixtures.build.make_fixtures import FIXTURES, ROOT
from kit.cli import kit as command_line, run
from kit.cli.commands import TABLE, exit_code
from kit.errors import ContentError, KitError
from kit.reports.inspect import inspect_json
from kit.reports.patch import patch_json
from kit.reports.verify import verify_json
from kit.signing import PublicKey
from kit.transforms.raw_linkset import RawLinkset, parse_cache_map
from kit.transforms.raw_linkset.outcomes import OUTCOMES
from kit.values import Timestamp
from kit.verbs.inspect import inspect
from kit.verbs.patch.patch import Output, PatchReport, PatchRequest, patch, plan
from kit.verbs.verify.kits import Environment
from kit.verbs.verify.obligations import Expectation
from kit.verbs.verify.verify import VerifyReport, verify

SCHEMAS = ROOT / "schemas"
HERE = Environment(workers=1)
BOTH = {key.public.key_id: key.public for key in (publisher_key(), site_key())}
KITS = ("harbor.tar.zst", "foreign.tar.gz", "parts.tar")


def schema(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    return loaded


def validate(name: str, document: object) -> None:
    Draft202012Validator(schema(name)).validate(json.loads(json.dumps(document)))


def request_for(kit: Path, **changes: Any) -> PatchRequest:
    facts: dict[str, Any] = {
        "kit": kit,
        "transforms": (RawLinkset(),),
        "trusted": BOTH,
        "created_at": Timestamp.parse(PATCHED_AT),
        "environment": HERE,
    }
    return PatchRequest(**(facts | changes))


def verified(kit: Path, trusted: Mapping[str, PublicKey], *, require: bool = False) -> VerifyReport:
    return verify(kit, Expectation(trusted=trusted, require_raw_linkset=require), HERE)


def verdict(report: VerifyReport) -> dict[str, Any]:
    return verify_json(report, exit_code(report.failure) if report.failure else 0)


@pytest.fixture(params=KITS)
def kit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copy(FIXTURES / "kits" / request.param, tmp_path))


@pytest.fixture
def folder_kit(tmp_path: Path) -> Path:
    with tarfile.open(FIXTURES / "kits" / "parts.tar") as archive:
        archive.extractall(tmp_path / "unpacked")  # noqa: S202  our own
    return tmp_path / "unpacked"


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    path = tmp_path / "cut.tar"
    path.write_bytes((FIXTURES / "kits" / "parts.tar").read_bytes()[:5000])
    return path


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.schema.json")), ids=lambda path: path.name)
def test_a_schema_keeps_to_its_metaschema_and_has_its_page(path: Path) -> None:
    loaded = json.loads(path.read_text())
    Draft202012Validator.check_schema(loaded)
    assert loaded["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    page = path.with_name(path.name.replace(".schema.json", ".md"))
    assert path.name in page.read_text()
    assert page.name in (SCHEMAS / "README.md").read_text()


def test_what_several_schemas_define_is_the_same_in_all_of_them() -> None:
    met: dict[str, Any] = {}
    for name in (
        "cache-map",
        "diff-report",
        "error-report",
        "inspect-report",
        "key-report",
        "patch-report",
        "verify-report",
    ):
        for part, definition in schema(name).get("$defs", {}).items():
            assert met.setdefault(part, definition) == definition, f"{name}: {part}"


def test_an_inspection_is_valid(kit: Path) -> None:
    validate("inspect-report", inspect_json(inspect(kit, HERE)))


def test_an_inspection_of_a_folder_and_of_a_patched_kit_is_valid(folder_kit: Path) -> None:
    patch(request_for(folder_kit), Output(path=None, key=site_key()))
    document = inspect_json(inspect(folder_kit, HERE))
    validate("inspect-report", document)
    assert document["manifest"]["lineage"]


def test_an_inspection_of_a_kit_without_manifest_is_valid(tmp_path: Path) -> None:
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "README.txt").write_text("no manifest")
    document = inspect_json(inspect(tmp_path / "kit", HERE))
    validate("inspect-report", document)
    assert document["manifest"] is None


def reports(kit: Path, case: str) -> PatchReport:
    beside = Output(path=kit.parent / "out", key=site_key())
    match case:
        case "plan":
            return plan(request_for(kit))
        case "patch beside":
            return patch(request_for(kit), beside)
        case "patch in place":
            return patch(request_for(kit), Output(path=None, key=site_key()))
        case "patch of an unverified base":
            return patch(request_for(kit, trusted=None), beside)
        case "patch that changes nothing":
            return patch(request_for(kit, limit=0), beside)
        case _:
            return patch(request_for(kit, limit=0), Output(path=None, key=site_key()))


@pytest.mark.parametrize(
    "case",
    [
        "plan",
        "patch beside",
        "patch in place",
        "patch of an unverified base",
        "patch that changes nothing",
        "patch in place that changes nothing",
    ],
)
def test_a_patch_report_is_valid_and_adds_up(kit: Path, case: str) -> None:
    document = patch_json(reports(kit, case))
    validate("patch-report", document)
    outcomes = document["outcomes"]["raw-linkset"]
    coverages = [covered for member in document["collections"] for covered in member["tenants"].values()]
    assert {name for found in outcomes.values() for name in found} <= set(OUTCOMES)
    assert sum(sum(found.values()) for found in outcomes.values()) == sum(
        m["documents"] for m in document["collections"]
    )
    assert document["changed"] == sum(member["changed"] for member in document["collections"])
    for covered in coverages:
        assert covered["documents"] == covered["present"] + covered["missing"]
        assert covered["unresolvable"] <= covered["missing"]
        assert covered["null"] <= covered["present"]


@pytest.mark.parametrize("require", [False, True], ids=["coverage not asked for", "coverage required"])
def test_a_verdict_is_valid(kit: Path, *, require: bool) -> None:
    patch(request_for(kit), Output(path=None, key=site_key()))
    validate("verify-report", verdict(verified(kit, BOTH, require=require)))


def test_a_verdict_of_refusal_is_valid(kit: Path, cut: Path) -> None:
    stranger = {site_key().public.key_id: site_key().public}
    for report in (verified(kit, stranger), verified(cut, BOTH)):
        document = verdict(report)
        validate("verify-report", document)
        assert document["verdict"] == "refused"


def lie(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda document: document | changes


@pytest.mark.parametrize(
    "change",
    [
        lie(exitCode=4),
        lie(error={"kind": "DigestError", "where": "", "what": "x", "hint": ""}),
        lie(signers=[]),
        lie(verdict="refused"),
        lie(surprise=1),
        lie(obligations=[{"number": 3, "name": "n", "status": "failed", "detail": "d"}]),
    ],
    ids=["exit code", "error", "no signer", "verdict", "unknown member", "failed obligation"],
)
def test_a_verdict_that_contradicts_itself_is_invalid(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    document = verdict(verified(FIXTURES / "kits" / "parts.tar", BOTH))
    validate("verify-report", document)
    assert not Draft202012Validator(schema("verify-report")).is_valid(change(document))


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", "no-such-kit", "--json"],
        ["verify", "no-such-kit", "--json"],
        ["verify", "--json"],
        ["patch", "--json", "--no-such-option"],
        ["plan", str(FIXTURES / "kits" / "parts.tar"), "--json", "--trusted-key", "no-such-key"],
    ],
    ids=["not found", "no key", "no argument", "no option", "no key file"],
)
def test_an_error_as_json_is_valid(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = run(arguments)
    document = json.loads(capsys.readouterr().out)
    validate("error-report", document)
    assert document["exitCode"] == code != 0


def test_the_schemas_know_every_exit_code() -> None:
    codes = [code for code, _ in TABLE]
    assert schema("verify-report")["properties"]["exitCode"]["enum"] == codes
    assert schema("error-report")["properties"]["exitCode"]["enum"] == codes[1:]


def test_keys_as_json_are_valid(tmp_path: Path) -> None:
    runner = CliRunner()
    for algorithm in ("es256", "ed25519"):
        path = tmp_path / f"{algorithm}.pem"
        made = runner.invoke(command_line, ["keys", "generate", str(path), "--algorithm", algorithm, "--json"])
        shown = runner.invoke(command_line, ["keys", "show", str(path.with_suffix(".pub.pem")), "--json"])
        validate("key-report", json.loads(made.stdout))
        validate("key-report", json.loads(shown.stdout))


def accepted(document: object) -> bool:
    try:
        parse_cache_map(json.dumps(document).encode(), where="map")
    except ContentError:
        return False
    except KitError:
        raise
    return True


@pytest.mark.parametrize(
    ("document", "good"),
    [
        ({"schemaVersion": "1"}, True),
        ({"schemaVersion": "1", "collection": "cached", "fields": {}}, True),
        ({"schemaVersion": "1", "fields": {"payload": "body.raw", "vendor": ["source.vendor", "vendor"]}}, True),
        (
            {"schemaVersion": "1", "fields": dict.fromkeys(("tenant", "upstreamId", "contentHash", "format"), "x")},
            True,
        ),
        ({}, False),
        ({"schemaVersion": 1}, False),
        ({"schemaVersion": "2"}, False),
        ({"schemaVersion": "1", "collection": ""}, False),
        ({"schemaVersion": "1", "collection": None}, False),
        ({"schemaVersion": "1", "fields": []}, False),
        ({"schemaVersion": "1", "fields": {"raw": "payload"}}, False),
        ({"schemaVersion": "1", "fields": {"payload": ""}}, False),
        ({"schemaVersion": "1", "fields": {"payload": "a..b"}}, False),
        ({"schemaVersion": "1", "fields": {"payload": []}}, False),
        ({"schemaVersion": "1", "fields": {"payload": [1]}}, False),
        ({"schemaVersion": "1", "more": 1}, False),
        ([], False),
    ],
)
def test_the_schema_of_a_cache_map_takes_what_the_program_takes(document: object, *, good: bool) -> None:
    assert accepted(document) is good
    assert Draft202012Validator(schema("cache-map")).is_valid(document) is good
