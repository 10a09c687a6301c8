"""``kit prove``: proves to somebody without the kit that one document is in a signed kit, or that it is not.

Making a proof requires no trusted key; it only refuses an unsigned kit. The person who checks a proof decides with
their own keys what it is worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from kit.documents.identity import identity_key
from kit.encryption.approval import DocumentName
from kit.engine.leaves import LeafStore
from kit.engine.pipeline import Pipeline
from kit.engine.progress import Stage
from kit.engine.reading import Survey, read_once
from kit.errors import (
    ContentError,
    DigestError,
    KitError,
    NotFoundError,
    UnsignedError,
    UntrustedError,
    UsageError,
)
from kit.manifest import Manifest, locate
from kit.output.scratch import scratch_folder
from kit.signing import Claim as SignatureClaim, manifests
from kit.transforms.coverage import is_observations
from kit.trust import narrow
from kit.values import CollectionMember, CollectionName, Limits, MemberPath, Sha256
from kit.verbs.find import (
    ADVISORY,
    NEAR,
    Match,
    Query,
    distinct,
    find_again,
    first_names,
    near_hint,
    require_text,
)
from kit.verbs.prove.leaf_search import MemberLeaves, is_stored, search
from kit.verbs.prove.proof import Claim, Proof, key_of, rooted_members
from kit.verbs.verify import signers
from kit.verbs.verify.judgement import Expectation
from kit.verbs.verify.kits import Environment, OpenKit, is_kept, open_with_workers

_ELSEWHERE = "kit find KIT NAME searches upstream ids, aliases and purls"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProveRequest:
    """What to prove of which kit."""

    kit: Path
    document: DocumentName | None = None
    advisory: str | None = None
    """Instead of a document: the upstream id or an alias of the only document that has it."""
    collection: CollectionName | None = None
    """None for the kit's only collection of observations."""
    tenant: str | None = None
    absent: bool = False
    """Whether to prove that no document has this ``_id``, instead of that one has it; not of an advisory."""
    environment: Environment = field(default_factory=Environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofReport:
    """A proof, made or checked.

    Attributes:
        proof: The proof.
        manifest: The manifest in it, parsed.
        claims: Who signed the manifest, as the signature claims; proves nothing.
        signers: Key ids of trusted keys that signed the manifest in the role it needs; None if nothing was checked.
        document: The digest of the document that was compared with the proof; None if none was.
        near: Where an absence was proven, documents that the ``_id`` may have been meant for: they are in the kit.
    """

    proof: Proof
    manifest: Manifest
    claims: tuple[SignatureClaim, ...]
    signers: tuple[str, ...] | None = None
    document: Sha256 | None = None
    near: tuple[Match, ...] = ()


def prove(request: ProveRequest) -> ProofReport:
    """Return a proof that the document is in the kit or, if that is asked for, that none with its ``_id`` is.

    An absence is proven only if it is asked for: a mistyped ``_id`` is absent from every kit.

    Raises:
        NotFoundError: No document has the ``_id``, and presence is asked for; or none is about the advisory. The hint
            has near matches.
        UnsignedError: The kit has no signature, so nothing can be proven.
        ContentError: The manifest has no Merkle root of the collection; or a document has the ``_id``, and absence is
            asked for.
        DigestError: The documents are not those that the root is over.
        UsageError: No collection is named, and the kit has none or several of observations; or several documents are
            about the advisory; or no document has the text as its ``_id``, but one has the same spelling as another
            type.
        KitError: The kit is malformed or not readable.
    """
    _require_answerable(request)
    with (
        open_with_workers(request.kit, request.environment) as kit,
        scratch_folder(None) as scratch,
    ):
        with kit.pipeline(Stage.SURVEY):
            found = read_once(kit.reader, keep=is_kept)
        location = locate(found.members)
        data, signature = found.kept[location.manifest], found.kept.get(location.signature)
        if signature is None:
            raise UnsignedError("the manifest has no signature, so nothing can be proven", where=str(request.kit))
        manifest = Manifest.parse(data, limits=kit.reader.limits, where=str(location.manifest))
        if all(one.merkle_root is None for one in manifest.collections):
            raise ContentError(
                "the manifest has no Merkle roots, so nothing can be proven",
                where=str(request.kit),
                hint="kit patch --merkle gives the next generation roots",
            )
        collection = request.collection or _only_observations(manifest)
        document = request.document or _document_about(request, kit, found, manifest, collection)
        claim = Claim(document=document, collection=collection, tenant=request.tenant, present=True)
        store = LeafStore(scratch)
        shown = _search_members(kit, found, claim, manifest, store)
        near: tuple[Match, ...] = ()
        if not any(one.present for one in shown.values()):
            _require_one_meaning(document, shown, store)
            near = _near(kit, found, claim, manifest)
            if not request.absent:
                raise _not_found(claim, near)
            claim = replace(claim, present=False)
        elif request.absent:
            raise ContentError(f"a document has the _id {claim.spelled}, so its absence cannot be proven")
    kept = {path: one.leaves for path, one in shown.items() if one.present or not claim.present}
    proof = Proof(claim=claim, manifest=data, signature=signature, members=kept)
    proof.check(manifest)  # a proof that is returned can only be refused for its signature
    return ProofReport(proof=proof, manifest=manifest, claims=manifests.claims(signature), near=near)


def check(
    proof: Proof, expectation: Expectation, *, document: bytes | None = None, absent: bool = False
) -> ProofReport:
    """Check a proof, and that it is about ``document`` if one is given.

    Args:
        proof: The proof.
        expectation: Who may have signed it.
        document: The document that it must be about.
        absent: Whether the proof must be of an absence; otherwise it must be of a document that is in the kit.

    Raises:
        UntrustedError: No key is trusted, or too few of those that signed.
        SignatureError: The signature is invalid.
        ContentError: The proof does not prove its claim, or is not of the claim that is expected.
        DigestError: A leaf does not lead to the root, or the document is another one.
        UsageError: A document is given, and the proof is of an absence.
        KitError: A signer's key is revoked, expired or not valid yet.
    """
    _require_expected(proof.claim, absent=absent)
    anchor = expectation.anchor
    if not anchor.policy.keys:
        raise UntrustedError("no key is trusted, so nothing can be proven", hint="name one with --trusted-key")
    manifest = Manifest.parse(proof.manifest, limits=Limits(), where="the manifest in the proof")
    where = "the signature in the proof"
    signing = signers.inside(where, signers.sign_off(anchor, manifest, proof.manifest, proof.signature, where).require)
    # A proof does not show what the step to this generation changed, so limits of keys apply to what it proves.
    subject = replace(signing.subject, members=tuple(proof.claim.members(manifest)), only_collections=True)
    signers.inside(where, partial(narrow, anchor, signing, subject))
    proof.check(manifest)
    digest = _compare_document(proof, document) if document is not None else None
    return ProofReport(
        proof=proof,
        manifest=manifest,
        claims=manifests.claims(proof.signature),
        signers=signing.key_ids,
        document=digest,
    )


def _search_members(
    kit: OpenKit, survey: Survey, claim: Claim, manifest: Manifest, store: LeafStore
) -> Mapping[MemberPath, MemberLeaves]:
    due = claim.members(manifest)
    members = {path: member for path in due if (member := manifest.table.member(path)) is not None}
    pipeline = Pipeline(kit.executor, budget=kit.budget)
    shown = search(kit.reader, survey, pipeline, members, key=claim.key, store=store)
    for path, summary in due.items():
        found = shown.get(path)
        if found is None:
            raise ContentError(
                "the manifest calls it a collection, but its name is not one of a collection", where=str(path)
            )
        if (found.size, found.root) != (summary.documents, summary.merkle_root):
            raise DigestError(
                f"its {found.size:,} documents have Merkle root {found.root}, the manifest states "
                f"{summary.documents:,} and {summary.merkle_root}",
                where=str(path),
                hint="find the fault: kit verify KIT --deep",
            )
    return shown


def _require_answerable(request: ProveRequest) -> None:
    if request.tenant == "":
        raise UsageError("the tenant has no name; omit it to prove the claim of all tenants")
    if (request.document is None) == (request.advisory is None):
        raise UsageError("name what to prove: either an _id or an advisory")
    if request.advisory is not None:
        require_text(request.advisory)
        if request.absent:
            raise UsageError(
                "the absence of an advisory cannot be proven: a proof is about an _id, and it may be there under any",
                hint="--id and --absent prove the absence of an _id; kit find KIT NAME shows what is there",
            )


def _document_about(
    request: ProveRequest, kit: OpenKit, found: Survey, manifest: Manifest, collection: CollectionName
) -> DocumentName:
    """Return the ``_id`` of the only document about an advisory.

    Raises:
        NotFoundError: There is none.
        UsageError: There are several, or its ``_id`` is of a type that no proof can name.
    """
    advisory = request.advisory or ""
    members = _named_members(manifest, collection, request.tenant)
    finds = find_again(kit, found, members, Query(text=advisory, by=ADVISORY))
    matches = [one for one in distinct(finds) if request.tenant in {None, one.tenant}]
    if not matches:
        near = distinct(find_again(kit, found, members, Query(text=advisory, by=NEAR)))
        of_tenant = f" and tenant {request.tenant!r}" if request.tenant is not None else ""
        raise NotFoundError(
            f"no document of {collection}{of_tenant} is about {advisory!r}",
            hint=near_hint(near) if near else _ELSEWHERE,
        )
    if len(matches) > 1:
        raise UsageError(
            f"{len(matches):,} documents are about {advisory!r}, and a proof is about one: {first_names(matches)}",
            hint="choose one with --id, or its tenant with --tenant",
        )
    (match,) = matches
    if match.name is None:
        raise UsageError(f"the _id {match.document} is of a type that no proof can name")
    return match.name


def _named_members(
    manifest: Manifest, collection: CollectionName, tenant: str | None
) -> dict[MemberPath, CollectionMember]:
    due = rooted_members(manifest, collection, tenant)
    return {path: member for path in due if (member := manifest.table.member(path)) is not None}


def _require_expected(claim: Claim, *, absent: bool) -> None:
    if absent and claim.present:
        raise ContentError(
            f"proves that a document with the _id {claim.spelled} is in the kit, and not that it is absent",
            where="the proof",
            hint="check it without --absent",
        )
    if not absent and not claim.present:
        raise ContentError(
            f"proves that no document has the _id {claim.spelled}, and not that one is in the kit",
            where="the proof",
            hint="check it with --absent if that is what you want to know; it is about the _id, not about an advisory",
        )


def _near(kit: OpenKit, found: Survey, claim: Claim, manifest: Manifest) -> tuple[Match, ...]:
    """Return the documents, among those that the claim is about, that its ``_id`` may have been meant for."""
    members = _named_members(manifest, claim.collection, claim.tenant)
    return distinct(find_again(kit, found, members, Query(text=claim.document.text, by=NEAR)))


def _not_found(claim: Claim, near: tuple[Match, ...]) -> NotFoundError:
    of_tenant = f" and tenant {claim.tenant!r}" if claim.tenant is not None else ""
    return NotFoundError(
        f"no document of {claim.collection}{of_tenant} has the _id {claim.spelled}",
        hint=near_hint(near) if near else f"{_ELSEWHERE}; kit prove --absent proves that none has this _id",
    )


def _only_observations(manifest: Manifest) -> CollectionName:
    names = {CollectionName(database=one.database, collection=one.collection) for one in manifest.collections}
    found = sorted(name for name in names if is_observations(name))
    if len(found) != 1:
        listed = ", ".join(map(str, found)) or "none"
        raise UsageError(
            f"which collection? the kit has these of observations: {listed}", hint="name it with --collection"
        )
    return found[0]


def _require_one_meaning(name: DocumentName, shown: Mapping[MemberPath, MemberLeaves], store: LeafStore) -> None:
    """Check that a text that is absent as ``_id`` is not there as a number or an ObjectId of the same spelling.

    Raises:
        UsageError: It is; names its type.
    """
    text = name.to_json()
    if not isinstance(text, str):
        return
    for spelled in ({"$oid": text}, {"$numberInt": text}, {"$numberLong": text}):
        try:
            other = DocumentName.parse(spelled)
        except KitError:
            continue
        if any(is_stored(store, path, key_of(other)) for path in shown):
            ((kind, _),) = spelled.items()
            raise UsageError(
                f"no document has the text {text!r} for its _id, but one has it as {kind}",
                hint=f'name its type: --id \'{{"{kind}": "{text}"}}\'',
            )


def _compare_document(proof: Proof, document: bytes) -> Sha256:
    if not proof.claim.present:
        raise UsageError("the proof is of an absence, so there is no document to compare")
    digest = Sha256.of(document)
    if identity_key(document) != proof.claim.key:
        raise ContentError("has another _id than the proof", where="the document")
    if all(leaf.document != digest for leaves in proof.members.values() for leaf in leaves):
        raise DigestError(f"has digest {digest}, which the proof is not about", where="the document")
    return digest
