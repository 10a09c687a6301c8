"""``kit receipt``: show a receipt, or verify who signed it, and that it is about a kit and a page. schemas/receipt.md.

Reads what :mod:`kit.verbs.verify.receipt` writes. Laws: ``parse_receipt(r.to_bytes(), where=…) == r``; nothing of a
receipt counts before a key that may sign receipts has signed it; the signer is the verifier that the receipt names. A
kit is the one of a receipt if its archive has the same bytes, or if it has the same manifest, signatures and
statements, and every file of the manifest. A receipt of a comparison names no signatures and statements.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from kit.archive.source import read_small
from kit.errors import ContentError, DigestError, KitError, UnreadableError, UntrustedError
from kit.manifest import MANIFEST_PATHS, Manifest
from kit.signing import dsse
from kit.trust import Anchor, Occasion, Role, Subject, narrow, open_envelope
from kit.values import Limits, Sha256
from kit.values.fields import Fields
from kit.values.strict_json import parse
from kit.verbs.compare.receipt import PREDICATE_TYPE as COMPARISON_TYPE
from kit.verbs.comparison_receipt import ComparisonReceipt, comparison_of
from kit.verbs.statement_fields import behind, digest_of, objects, policy, require, resources, texts, tool
from kit.verbs.verify.judged import judge_kit
from kit.verbs.verify.judgement import Expectation, Status
from kit.verbs.verify.kits import Environment, open_with_workers
from kit.verbs.verify.receipt import (
    APPENDED,
    BUNDLE_URI,
    COVERAGE,
    COVERAGE_COUNTS,
    OBLIGATIONS,
    PAGE,
    PREDICATE_TYPE,
    STATEMENT_TYPE,
    STEPS,
    TENANTS,
    VERIFIER_URI,
    Page,
    Receipt,
    Step,
)
from kit.verbs.verify.verify import MAX_DIFFERENCES

T = TypeVar("T")

_MAX_BYTES = 16 * 1024 * 1024
_GROUNDS = frozenset({"documents", "statement"})
_ABOUT_SIGNERS = frozenset({3, 4, 6, 7, 8})
"""Obligations that the signer of the receipt vouches for; the others are checked here."""


class KitMatch(enum.StrEnum):
    """How a kit was recognised as that of a receipt."""

    ARCHIVE = "archive"
    """The archive has the same bytes."""
    MANIFEST = "manifest"
    """Packed otherwise; the manifest has the same bytes, and every file its digest. So have signatures and statements,
    of which a receipt of a comparison has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptReport:
    """A receipt, and what is known of it.

    Attributes:
        path: The file.
        receipt: Its content.
        statement: The same as parsed JSON.
        signers: Key ids of those who signed it and may sign receipts; empty if it was not verified.
        claimed: Key ids that the envelope names.
        kit: How the kit was recognised; None if none was given.
        page: Whether the page was compared.
        same_policy: Whether the kit was judged under the policy that the receipt was verified with; None without one.
    """

    path: Path
    receipt: Receipt | ComparisonReceipt
    statement: Mapping[str, Any]
    signers: tuple[str, ...]
    claimed: tuple[str, ...]
    kit: KitMatch | None = None
    page: bool = False
    same_policy: bool | None = None

    @property
    def failure(self) -> KitError | None:
        """The error of a receipt of a refused kit, or of other documents: nobody should take it for the opposite."""
        if self.receipt.passed:
            return None
        if isinstance(self.receipt, ComparisonReceipt):
            failure = self.receipt.failure
            return failure.inside(str(self.path)) if failure is not None else None
        failed = [f"{name}: {detail}" for _, name, status, detail in self.receipt.obligations if status == "failed"]
        return UntrustedError(
            f"the kit of the receipt was refused: {failed[0] if failed else ''}", where=str(self.path)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptRequest:
    """What to verify.

    Attributes:
        receipt: The receipt.
        anchor: Who may sign receipts.
        kit: The kit that it must be about, if any.
        page: The page that it must name, if any.
        environment: How to read the kit.
    """

    receipt: Path
    anchor: Anchor
    kit: Path | None = None
    page: Path | None = None
    environment: Environment = field(default_factory=Environment)


def show_receipt(path: Path) -> ReceiptReport:
    """Read a receipt without verifying it: everything in it is a claim.

    Raises:
        UnreadableError: It cannot be read.
        SignatureError: It is no envelope of a statement.
        ContentError: The statement is no receipt.
    """
    data, where = _read(path), str(path)
    payload = _inside(where, dsse.payload_of, data)
    return _report(path, data, payload, signers=())


def verify_receipt(request: ReceiptRequest) -> ReceiptReport:
    """Verify who signed a receipt, and that it is about a kit and a page.

    A receipt of a refused kit is verified like any other: see :attr:`ReceiptReport.failure`.

    Raises:
        UnreadableError: A file cannot be read.
        SignatureError: It is no envelope of a statement, or a signature by a key of the policy does not verify.
        UntrustedError: Nobody signed it who may sign receipts, of such a bundle and such collections.
        StaleError: The signer's key is out of its time.
        ContentError: The statement is no receipt, or names another verifier than its signer.
        DigestError: It is about another kit or page, or a file of the kit is not what its manifest lists.
    """
    data, where = _read(request.receipt), str(request.receipt)

    def read(payload: bytes) -> tuple[bytes, Subject, Occasion]:
        receipt = parse_receipt(payload, where=where)
        return payload, _subject(receipt), Occasion(signed_at=receipt.at)

    envelope = _inside(where, open_envelope, request.anchor, data, read)
    report = _report(request.receipt, data, envelope.content, signers=envelope.signing.key_ids)
    receipt, signing = report.receipt, envelope.signing
    kit = None
    if request.kit is not None:
        kit, manifest = _match(request.kit, receipt, request.environment)
        signing = _inside(where, narrow, request.anchor, signing, _subject(receipt, manifest))
    elif any(key.collections is not None for key in signing.keys):
        raise UntrustedError("its signer is limited to collections", where=where, hint="name the kit with --kit")
    if receipt.verifier not in signing.key_ids:
        raise ContentError(f"names the verifier {receipt.verifier}, who is not among its signers", where=where)
    return replace(
        report,
        signers=signing.key_ids,
        kit=kit,
        page=request.page is not None and _check_page(request.page, receipt),
        same_policy=receipt.policy == request.anchor.policy_sha256 if request.anchor.at is not None else None,
    )


def _subject(receipt: Receipt | ComparisonReceipt, manifest: Manifest | None = None) -> Subject:
    found = Subject(what="the receipt", role=Role.AUDITOR, bundle_id=receipt.bundle)
    if manifest is None:
        return found
    return replace(found, members=tuple(entry.path for entry in manifest.entries), collections=manifest.table)


def _report(path: Path, data: bytes, payload: bytes, *, signers: tuple[str, ...]) -> ReceiptReport:
    return ReceiptReport(
        path=path,
        receipt=parse_receipt(payload, where=str(path)),
        statement=_parsed(payload, str(path)),
        signers=signers,
        claimed=tuple(claim.key_id for claim in dsse.claims(data)),
    )


def _match(
    kit: Path, receipt: Receipt | ComparisonReceipt, environment: Environment
) -> tuple[KitMatch, Manifest | None]:
    """Recognise a kit; return its manifest, too, where it can be read.

    Raises:
        DigestError: It is another, or something in it is not what was verified.
        KitError: It is malformed, and not known by its bytes.
    """
    manifests = {str(path) for path in MANIFEST_PATHS}
    archives = {digest for name, digest in receipt.subjects.items() if name not in manifests}
    due = {digest for name, digest in receipt.subjects.items() if name in manifests}
    with open_with_workers(kit, environment) as source:
        is_archive = kit.is_file() and source.reader.stored_digest() in archives
        if is_archive and not due:
            return KitMatch.ARCHIVE, None  # so badly damaged that no manifest was found, as the receipt states
        judged = judge_kit(source, Expectation(trusted={}), is_alone=True)
        if judged.judgement.manifest is None or judged.manifest.sha256 not in due:
            raise DigestError("is not the kit of the receipt, which is about another manifest", where=str(kit))
        if is_archive:
            return KitMatch.ARCHIVE, judged.manifest
        judged.require(but=_ABOUT_SIGNERS, where=str(kit))
        found = {str(path): digest for path, digest in judged.judgement.attestations.items()}
        if isinstance(receipt, Receipt) and found != dict(receipt.inputs):
            raise DigestError("has other signatures or statements than those that were verified", where=str(kit))
    return KitMatch.MANIFEST, judged.manifest


def _check_page(page: Path, receipt: Receipt | ComparisonReceipt) -> bool:
    """Return True for the page that a receipt names.

    Raises:
        DigestError: It is another, or the receipt names none.
        UnreadableError: It cannot be read.
    """
    if isinstance(receipt, ComparisonReceipt) or receipt.page is None:
        raise DigestError("the receipt names no page", where=str(page), hint="kit verify --html F --receipt F")
    if Sha256.of(_read(page)) != receipt.page.sha256:
        raise DigestError("is not the page of the receipt", where=str(page))
    return True


def _read(path: Path) -> bytes:
    data = read_small(path, at_most=_MAX_BYTES)
    if data is None:
        raise UnreadableError("cannot be read: there is no such file", where=str(path))
    return data


def _inside(where: str, work: Callable[..., T], *arguments: Any) -> T:
    try:
        return work(*arguments)
    except KitError as error:
        raise (error if error.where.startswith(where) else error.inside(where)) from error.__cause__


def _parsed(payload: bytes, where: str) -> dict[str, Any]:
    value = parse(payload, limits=Limits(json_bytes=_MAX_BYTES), where=where)
    if not isinstance(value, dict):
        raise ContentError("is no receipt: an object is expected", where=where)
    return value


def parse_receipt(payload: bytes, *, where: str) -> Receipt | ComparisonReceipt:
    """Return the receipt of the exact bytes that are signed: of a verification, or of a comparison.

    Raises:
        ContentError: They are not of the schema, or a verdict and its levels contradict each other.
    """
    try:
        whole = Fields.of(_parsed(payload, where), "receipt")
        return comparison_of(whole) if whole.members.get("predicateType") == COMPARISON_TYPE else _receipt(whole)
    except ContentError as error:
        raise (error if error.where else error.inside(where)) from error.__cause__


def _receipt(whole: Fields) -> Receipt:
    whole.exactly(("_type", "subject", "predicateType", "predicate"))
    require(whole, "_type", STATEMENT_TYPE)
    require(whole, "predicateType", PREDICATE_TYPE)
    predicate = whole.object("predicate")
    predicate.exactly(
        (
            *("verifier", "timeVerified", "resourceUri", "policy", "inputAttestations", "verificationResult"),
            *("verifiedLevels", OBLIGATIONS),
        ),
        (STEPS, APPENDED, COVERAGE, TENANTS, PAGE),
    )
    verifier = predicate.object("verifier")
    verifier.exactly(("id", "version"))
    result = predicate.text("verificationResult")
    levels = tuple(texts(predicate, "verifiedLevels"))
    passed = result == "PASSED"
    if result not in {"PASSED", "FAILED"}:
        raise predicate.refusal(f"verificationResult {result[:80]!r} is neither PASSED nor FAILED")
    if not levels or not all(level == "FAILED" or _is_level(level) for level in levels):
        raise predicate.refusal("verifiedLevels: names of levels are expected, or FAILED")
    if passed == ("FAILED" in levels) or (not passed and levels != ("FAILED",)):
        raise predicate.refusal("result and levels contradict each other")
    return Receipt(
        subjects=dict(resources(whole, "subject", "name")),
        verifier=behind(verifier, "id", VERIFIER_URI),
        tool=tool(verifier.object("version")),
        at=predicate.timestamp("timeVerified"),
        bundle=behind(predicate, "resourceUri", BUNDLE_URI) or None,
        policy=policy(predicate.object("policy")),
        inputs=dict(resources(predicate, "inputAttestations", "uri")),
        passed=passed,
        levels=levels if passed else (),
        obligations=tuple(map(_obligation, objects(predicate, OBLIGATIONS))),
        steps=tuple(map(_step, objects(predicate, STEPS))) if STEPS in predicate.members else (),
        appended=_appended(predicate.object(APPENDED)) if APPENDED in predicate.members else None,
        tenants=_tenants(predicate) if TENANTS in predicate.members else None,
        coverage=_coverage(predicate.object(COVERAGE)) if COVERAGE in predicate.members else None,
        page=_page(predicate.object(PAGE)) if PAGE in predicate.members else None,
    )


def _is_level(text: str) -> bool:
    rest = text.removeprefix("OFFLINE_KIT_")
    return rest not in {text, ""} and all("A" <= char <= "Z" or char == "_" for char in rest)


def _tenants(fields: Fields) -> tuple[str, ...]:
    tenants = tuple(texts(fields, TENANTS))
    if not tenants:
        raise fields.refusal(f"{TENANTS}: is empty")
    return tenants


def _page(page: Fields) -> Page:
    page.exactly(("name", "digest"))
    return Page(name=page.text("name"), sha256=digest_of(page))


def _obligation(item: Fields) -> tuple[int, str, str, str]:
    item.exactly(("number", "name", "status", "detail"))
    number, status, detail = item.integer("number"), item.text("status"), item.members["detail"]
    if number < 1 or status not in set(Status) or not isinstance(detail, str):
        raise item.refusal("number, status or detail is not of the schema")
    return number, item.text("name"), status, detail


def _step(item: Fields) -> Step:
    item.exactly(("generation", "ground", "differences", "omittedDifferences"))
    ground, differences = item.members["ground"], tuple(texts(item, "differences"))
    if ground is not None and (not isinstance(ground, str) or ground not in _GROUNDS):
        raise item.refusal("ground: documents, statement or null is expected")
    if len(differences) > MAX_DIFFERENCES or not all(differences):
        raise item.refusal(f"differences: at most {MAX_DIFFERENCES} texts are expected, none empty")
    return Step(
        generation=item.integer("generation"),
        ground=ground,
        differences=differences,
        omitted=item.integer("omittedDifferences"),
    )


def _appended(item: Fields) -> tuple[int, int]:
    item.exactly(("since", "until"))
    since, until = item.integer("since"), item.integer("until")
    if until < 1:
        raise item.refusal("until: a generation after the first is expected")
    return since, until


def _coverage(item: Fields) -> dict[str, int]:
    item.exactly(COVERAGE_COUNTS)
    return {name: item.integer(name) for name in COVERAGE_COUNTS}
