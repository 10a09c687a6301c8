"""May these keys? One function answers for every caller; each caller is attacked in every dimension of the answer."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from conformance.build.kits import (
    BEFORE,
    DATA,
    HISTORY,
    JUDGED_AT,
    MANIFEST,
    OBSERVATIONS,
    PATCHED_AT,
    SIGNATURE,
    patched,
    published,
    step,
    summary,
)
from conformance.build.signing import key
from kit.delta.model import DELTA_TYPE, DeltaManifest, End, Entry, Method, Payload, TargetArchive
from kit.encryption.approval import PAYLOAD_TYPE, Approval, DocumentName, RecoveryScope
from kit.errors import KitError, StaleError, UntrustedError, UsageError
from kit.manifest import Manifest, check_lineage, parse_statement
from kit.signing import Algorithm, PrivateKey, archive_signature, dsse, jws
from kit.trust import Accepted, Anchor, Policy, Revocation, RevocationReason, Role, State, TrustedKey, rotation
from kit.values import CollectionName, Limits, MemberPath, Sha256, Timestamp
from kit.verbs import approval as approve, receipt as receipts
from kit.verbs.create import SignRequest, sign_kit
from kit.verbs.delta import deltas
from kit.verbs.prove import prove
from kit.verbs.prove.proof import Claim, Proof
from kit.verbs.verify import receipt, signers
from kit.verbs.verify.judgement import Expectation, Judgement
from kit.verbs.verify.verify import VerifyReport
from tests.commands import ROOT
from tests.kits import write_kit

KEY, OTHER, THIRD = key("site"), key("site-b"), key("incident")
"""The key that is attacked, and two that are not."""
NOW, MADE, LATE = (Timestamp.parse(text) for text in (JUDGED_AT, PATCHED_AT, "2026-01-05T00:00:00Z"))
LIMITS = Limits()
ARCHIVE = Sha256.of(b"an archive")
BUNDLE = "conformance"


def anchor_of(*keys: TrustedKey, state: State | None = None, **more: Any) -> Anchor:
    policy = Policy(version=1, keys=keys, **more)
    return Anchor(policy=policy, policy_sha256=policy.sha256, at=NOW, state=state)


def trusted(private: PrivateKey, *roles: Role, **more: Any) -> TrustedKey:
    return TrustedKey(key=private.public, roles=frozenset(roles), **more)


def accepted(digest: Sha256) -> State:
    newest = Accepted(published=3, generation=4, manifest=digest)
    return State(policy_version=1, policy_sha256=ARCHIVE, bundles={BUNDLE: newest})


@dataclass(frozen=True, kw_only=True)
class Caller:
    """One place that asks: in which role, and how; what it raises beyond the question does not matter."""

    role: Role
    ask: Callable[[Anchor, Path], object]
    apart: tuple[str, ...] = ()
    """Dimensions that it cannot know of, or that its document does not have."""


def _manifest(members: dict[str, bytes]) -> Manifest:
    return Manifest.parse(members[MANIFEST], limits=LIMITS, where="m")


PUBLISHED = published(by=["site"])
PATCHED = step(published(by=["site-b"]), {OBSERVATIONS: b""}, by="site")
ROOTED = published(by=["site"], collections=[summary(BEFORE) | {"merkleRoot": "0" * 64}])


def _current(anchor: Anchor, _: Path) -> None:
    signers.sign_off(anchor, _manifest(PUBLISHED), PUBLISHED[MANIFEST], PUBLISHED[SIGNATURE], "s").require()


def _beside(anchor: Anchor, _: Path) -> None:
    signature = archive_signature.sign(ARCHIVE, KEY)
    assert signature is not None
    signers.sign_off_archive(anchor, _manifest(PUBLISHED), ARCHIVE, signature).require()


def _steps(members: dict[str, bytes]) -> Any:
    history = {MemberPath(name): data for name, data in members.items() if name.startswith("manifest/history/")}
    return check_lineage(_manifest(members), history, limits=LIMITS)


def _history(anchor: Anchor, _: Path) -> None:
    below = step(PUBLISHED, {OBSERVATIONS: b""}, by="site-b")
    signers.check_base(anchor, _steps(below)[0], covered=False, allow_unsigned=False)


def _statement(anchor: Anchor, _: Path) -> None:
    signers.check_statement(anchor, _steps(PATCHED)[0], last=True, covered=True)


def _changed(anchor: Anchor, _: Path) -> None:
    current = signers.sign_off(anchor, _manifest(PATCHED), PATCHED[MANIFEST], PATCHED[SIGNATURE], "s").require()
    payload = parse_statement(dsse.payload_of(PATCHED[f"{HISTORY}/patch.intoto.json"]))
    signers.check_changed(anchor, current, _manifest(PATCHED), payload)


def _proof(anchor: Anchor, _: Path) -> None:
    name = CollectionName(database="concelier", collection="advisory_observations")
    claim = Claim(document=DocumentName.parse("x"), collection=name, tenant=None, present=True)
    proof = Proof(claim=claim, manifest=ROOTED[MANIFEST], signature=ROOTED[SIGNATURE], members={})
    prove.check(proof, Expectation(trust=anchor))


def _delta(folder: Path) -> Path:
    payload = Payload(path=MemberPath("payload"), sha256=ARCHIVE, size=1)
    observations = MemberPath(OBSERVATIONS)
    manifest = DeltaManifest(
        bundle_id=BUNDLE,
        base=End(generation=2, manifest_sha256=ARCHIVE),
        target=End(generation=3, manifest_sha256=Sha256.of(DATA)),
        archive=TargetArchive(container="tar", sha256=None),
        layout=replace(payload, path=MemberPath("layout")),
        members=(Entry(path=observations, sha256=ARCHIVE, size=1, method=Method.FULL, payload=payload),),
        created_at=MADE,
        tool_name="hand",
        tool_version="1",
    ).to_bytes()
    signature = jws.sign(manifest, [KEY], typ=DELTA_TYPE)
    return write_kit(folder / "d.tar", {"delta-manifest.json": manifest, "delta-manifest.json.jws": signature})


def _of_delta(anchor: Anchor, folder: Path) -> None:
    with deltas.open_delta(_delta(folder), LIMITS) as delta:
        deltas.check_signature(delta, anchor)


def _target(anchor: Anchor, folder: Path) -> None:
    target = deltas.CarriedTarget(
        manifest=_manifest(PUBLISHED),
        data=PUBLISHED[MANIFEST],
        signature=PUBLISHED[SIGNATURE],
        path=MemberPath(SIGNATURE),
    )
    with deltas.open_delta(_delta(folder), LIMITS) as delta:
        deltas.check_target(delta, target, anchor)


def _approval(anchor: Anchor, folder: Path) -> None:
    name = CollectionName(database="concelier", collection="advisory_observations")
    approval = Approval(
        incident_id="I",
        reason="r",
        scope=RecoveryScope(manifest_sha256=ARCHIVE, collections=(name,)),
        not_before=MADE,
        expires=NOW,
    )
    path = folder / "approval"
    path.write_bytes(dsse.sign(approval.to_json(), [KEY, OTHER], payload_type=PAYLOAD_TYPE))
    approve.require_bundle(approve.verify_by_policy(path, anchor), anchor, BUNDLE)


def _receipt(anchor: Anchor, _: Path) -> None:
    judgement = Judgement(manifest=_manifest(PUBLISHED), archive=ARCHIVE)
    report = VerifyReport(kit=Path("k"), container=None, judgement=judgement, coverage={})
    receipt.make_receipt(report, Expectation(trust=anchor), KEY, NOW)


def _read_receipt(anchor: Anchor, folder: Path) -> None:
    made = receipt.Receipt(
        subjects={"k.tar": ARCHIVE},
        verifier=KEY.public.key_id,
        tool=("hand", "1"),
        at=MADE,
        bundle=BUNDLE,
        policy=ARCHIVE,
        inputs={},
        passed=True,
        levels=("OFFLINE_KIT_SIGNED",),
        obligations=((1, "container", "checked", ""),),
    )
    path = folder / "receipt"
    path.write_bytes(dsse.sign(made.to_bytes(), [KEY]))
    receipts.verify_receipt(receipts.ReceiptRequest(receipt=path, anchor=anchor))


def _co_signed(anchor: Anchor, folder: Path) -> None:
    path, output = write_kit(folder / "k.tar", PUBLISHED), folder / "signed.tar"
    sign_kit(SignRequest(kit=path, output=output, keys=(key("root"),), trusted=None, trust=anchor))


def _own_keys(anchor: Anchor, _: Path) -> None:
    signers.check_patchers(anchor, [KEY], MADE)


def _policy(anchor: Anchor, _: Path) -> None:
    policy = replace(anchor.policy, keys=(*anchor.policy.keys, trusted(key("root"), Role.ROOT)))
    data = policy.to_bytes()
    rotation.check_seal(policy, data, jws.sign(data, [KEY], typ=rotation.POLICY_TYPE), NOW)


def _script(anchor: Anchor, _: Path) -> None:
    try:
        script = receipt.make_script(Expectation(trust=anchor))
    except UsageError as error:
        raise UntrustedError("there is no script") from error
    if KEY.public.key_id.encode() not in script:
        raise UntrustedError("it is not in the script")


CALLERS = {
    "verify: the manifest": Caller(role=Role.PUBLISHER, ask=_current),
    "verify: the .sig file": Caller(role=Role.PUBLISHER, ask=_beside, apart=("early-signed",)),
    "verify: a generation of history": Caller(role=Role.PUBLISHER, ask=_history),
    "verify: the statement of a step": Caller(role=Role.PATCHER, ask=_statement),
    "verify: what a step changed": Caller(role=Role.PATCHER, ask=_changed),
    "prove --check": Caller(role=Role.PUBLISHER, ask=_proof),
    "delta verify, apply: the delta, by a publisher": Caller(role=Role.PUBLISHER, ask=_of_delta),
    "delta verify, apply: the delta, by a patcher": Caller(role=Role.PATCHER, ask=_of_delta),
    "delta verify, apply: its target": Caller(role=Role.PUBLISHER, ask=_target),
    "recover: the approval": Caller(role=Role.INCIDENT, ask=_approval, apart=("early-signed",)),
    "verify --receipt: the auditor": Caller(role=Role.AUDITOR, ask=_receipt, apart=("early-signed",)),
    "receipt verify": Caller(role=Role.AUDITOR, ask=_read_receipt),
    "sign: who signed before": Caller(role=Role.PUBLISHER, ask=_co_signed),
    # The bundle and what will change are known later: the result is judged as any kit is.
    "patch: its own keys": Caller(role=Role.PATCHER, ask=_own_keys, apart=("bundle", "collection")),
    # A policy is of no bundle and has no collections.
    "trust: the policy": Caller(role=Role.ROOT, ask=_policy, apart=("collection", "early-signed")),
    # Of limited keys no script is made at all.
    "verify --write-script": Caller(role=Role.PUBLISHER, ask=_script, apart=("bundle", "collection", "early-signed")),
}


def revoked(reason: RevocationReason) -> dict[str, Any]:
    return {"revocation": Revocation(at=LATE, reason=reason)}


DIMENSIONS: dict[str, tuple[dict[str, Any], type[KitError]]] = {
    "role": ({}, UntrustedError),
    "bundle": ({"bundle_ids": frozenset({"another"})}, UntrustedError),
    "collection": ({"collections": frozenset({"*.another"})}, UntrustedError),
    "algorithm": ({}, UntrustedError),
    "compromised": (revoked(RevocationReason.COMPROMISED), UntrustedError),
    "superseded": (revoked(RevocationReason.SUPERSEDED), UntrustedError),
    "ceased": (revoked(RevocationReason.CEASED), UntrustedError),
    "expired": ({"not_after": LATE}, StaleError),
    "early": ({"not_before": Timestamp(NOW.seconds + 1)}, StaleError),
    "early-signed": ({"not_before": LATE}, StaleError),
}
ATTACKS = [
    pytest.param(caller, name, id=f"{where}-{name}")
    for where, caller in CALLERS.items()
    for name in DIMENSIONS
    if name not in caller.apart
]


def others(caller: Caller) -> Iterator[TrustedKey]:
    """Give keys that are good for everything, for what the attacked key is not asked about."""
    everything = tuple(role for role in Role if role is not Role.ROOT)
    yield trusted(OTHER, *everything)
    if caller.role is not Role.ROOT:
        yield trusted(THIRD, *everything)


def asked(caller: Caller, private: TrustedKey, folder: Path, **more: Any) -> KitError | None:
    """Ask; give the refusal for the sake of keys, None where it was let in."""
    try:
        caller.ask(anchor_of(private, *others(caller), **more), folder)
    except (UntrustedError, StaleError) as error:
        return error
    except KitError:
        return None  # it got as far as the content
    return None


@pytest.mark.parametrize("caller", [pytest.param(caller, id=where) for where, caller in CALLERS.items()])
def test_a_key_that_every_rule_lets_count_is_let_in(caller: Caller, tmp_path: Path) -> None:
    assert asked(caller, trusted(KEY, caller.role), tmp_path) is None


@pytest.mark.parametrize(("caller", "dimension"), ATTACKS)
def test_a_key_that_one_rule_is_against_is_refused(caller: Caller, dimension: str, tmp_path: Path) -> None:
    limits, kind = DIMENSIONS[dimension]
    role = Role.AUDITOR if caller.role is not Role.AUDITOR else Role.INCIDENT
    private = trusted(KEY, role if dimension == "role" else caller.role, **limits)
    allowed = frozenset(Algorithm) - ({KEY.public.algorithm} if dimension == "algorithm" else set())
    refusal = asked(caller, private, tmp_path, algorithms=allowed)
    assert isinstance(refusal, UntrustedError if caller.ask is _script else kind), refusal


@pytest.mark.parametrize("reason", RevocationReason)
@pytest.mark.parametrize(
    ("where", "digest"),
    [
        ("verify: the manifest", PUBLISHED),
        ("verify: the .sig file", PUBLISHED),
        ("verify: a generation of history", PUBLISHED),
        ("verify: the statement of a step", PATCHED),
        ("prove --check", ROOTED),
        ("delta verify, apply: its target", PUBLISHED),
    ],
)
def test_exactly_what_was_accepted_counts_after_a_revocation(
    where: str, digest: dict[str, bytes], reason: RevocationReason, tmp_path: Path
) -> None:
    caller = CALLERS[where]
    private = trusted(KEY, caller.role, **revoked(reason))
    met = _manifest(digest).sha256
    assert asked(caller, private, tmp_path, state=accepted(met)) is None
    assert isinstance(asked(caller, private, tmp_path, state=accepted(ARCHIVE)), UntrustedError)
    of_another = replace(accepted(met), bundles={"another": accepted(met).bundles[BUNDLE]})
    assert isinstance(asked(caller, private, tmp_path, state=of_another), UntrustedError)
    expired = replace(private, not_after=LATE)
    assert isinstance(asked(caller, expired, tmp_path, state=accepted(met)), StaleError)


@pytest.mark.parametrize("where", ["delta verify, apply: the delta, by a publisher", "recover: the approval"])
def test_no_memory_speaks_for_what_is_no_manifest(where: str, tmp_path: Path) -> None:
    private = trusted(KEY, CALLERS[where].role, **revoked(RevocationReason.SUPERSEDED))
    for digest in (Sha256.of(DATA), ARCHIVE):
        assert isinstance(asked(CALLERS[where], private, tmp_path, state=accepted(digest)), UntrustedError)


SOURCES = sorted((ROOT / "kit").rglob("*.py"))
DOOR = "kit/trust/authority.py"
ROOM = "kit/trust/"
VERIFIERS = {"verify_der", "verify_digest"}
RULES = {
    *("is_revoked", "may_sign_bundle", "may_sign_collection", "revocation", "not_after", "bundle_ids"),
    *("roles", "algorithms", "thresholds", "TrustedKey"),
}
LOOKING = {
    "kit/verbs/verify/receipt.py": "refuses to write a script of limits that it cannot check",
    "kit/reports/inspect.py": "shows a policy",
    "kit/reports/verify_tables.py": "shows a policy",
    "kit/cli/trust.py": "makes a policy",
    "kit/signing/encodings.py": "names the algorithms of key files",
    "kit/verbs/trust.py": "makes a policy",
}
"""Who reads limits of keys without deciding by them."""
QUESTIONS = {"authorise", "authorise_any", "weigh", "narrow", "open_envelope", "keys_in_force", "authorise_recipient"}
ASKING = {
    "kit/verbs/create.py": {"authorise"},
    "kit/verbs/receipt.py": {"narrow", "open_envelope"},
    "kit/trust/rotation.py": {"authorise"},
    "kit/verbs/verify/signers.py": {"authorise", "weigh", "narrow", "open_envelope"},
    "kit/verbs/delta/deltas.py": {"authorise_any"},
    "kit/verbs/prove/prove.py": {"narrow"},
    "kit/verbs/key_export.py": {"authorise_recipient"},
    "kit/verbs/approval.py": {"narrow", "open_envelope"},
    "kit/verbs/verify/receipt.py": {"authorise", "keys_in_force"},
}
"""Who asks; each is in the table of callers above, and a new one belongs there as well."""


def _names(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Give every name that is used, with the name it is taken from, "" where it stands alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield (node.value.id if isinstance(node.value, ast.Name) else "?"), node.attr
        elif isinstance(node, ast.Name):
            yield "", node.id


@cache
def used() -> Mapping[str, set[tuple[str, str]]]:
    """Return the names that each module uses."""
    return {str(path.relative_to(ROOT)): set(_names(ast.parse(path.read_text()))) for path in SOURCES}


def test_only_the_door_verifies_signatures() -> None:
    modules = {"jws", "dsse", "archive_signature", "manifests"}
    found = {path for path, names in used().items() if any(at in modules and name == "verify" for at, name in names)}
    assert found == {DOOR, "kit/signing/manifests.py"}  # which reads either form of one signature, for the door
    below = {path for path, names in used().items() if VERIFIERS & {name for _, name in names}}
    assert all(path.startswith("kit/signing/") for path in below), below
    # Nobody takes the functions themselves under another name.
    for path in SOURCES:
        source = path.read_text()
        for node in ast.walk(ast.parse(source)) if "kit.signing." in source else ():
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kit.signing."):
                assert not {"verify", "judge"} & {alias.name for alias in node.names} or "kit/signing/" in str(path)


def test_only_the_room_of_trust_decides_by_limits_of_keys() -> None:
    found = {path for path, names in used().items() if RULES & {name for _, name in names}}
    assert {path for path in found if not path.startswith(ROOM)} == set(LOOKING)
    standing = {path for path, names in used().items() if {("freshness", "standing"), ("", "Moment")} & names}
    assert standing == {"kit/trust/freshness.py", DOOR}


def test_every_caller_of_the_door_is_known_and_attacked() -> None:
    asking = {
        path: QUESTIONS & {name for _, name in names} for path, names in used().items() if not path.endswith("__.py")
    }
    assert {path: names for path, names in asking.items() if names and path != DOOR} == ASKING


def test_what_is_weighed_is_required_by_whoever_weighs_it() -> None:
    """Who signed and whether that counts are reported apart by verify alone; everybody else requires both at once."""
    weighing = {
        path for path, names in used().items() if {"sign_off", "sign_off_archive"} & {name for _, name in names}
    }
    requiring = {"kit/verbs/delta/deltas.py", "kit/verbs/prove/prove.py", "kit/verbs/patch/judging.py"}
    assert weighing == requiring | {"kit/verbs/verify/obligations.py"}
    for path in sorted(requiring):
        assert "require" in {name for _, name in used()[path]}


def test_the_table_of_attacks_is_whole() -> None:
    assert len(ATTACKS) > 100
    assert patched()[MANIFEST] != PATCHED[MANIFEST]
