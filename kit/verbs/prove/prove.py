"""``kit prove``: shows one document of a signed kit to somebody who does not have the kit, or that it is not there.

Making a proof trusts nobody and convinces nobody: it is refused where the kit is not signed, and what it is worth is
decided where it is checked, by the keys of the one who checks.
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
from kit.errors import ContentError, DigestError, KitError, UnsignedError, UntrustedError, UsageError
from kit.manifest import Manifest, locate
from kit.output.scratch import scratch_folder
from kit.signing import Claim as SignatureClaim, jws
from kit.transforms.coverage import is_observations
from kit.trust import narrow
from kit.values import CollectionName, Limits, MemberPath, Sha256, collection_member
from kit.verbs.prove.leaf_search import MemberLeaves, holds, search
from kit.verbs.prove.proof import Claim, Proof, key_of
from kit.verbs.verify import signers
from kit.verbs.verify.judgement import Expectation
from kit.verbs.verify.kits import Environment, OpenKit, is_kept, open_with_workers


@dataclass(frozen=True, slots=True, kw_only=True)
class ProveRequest:
    """What to prove of which kit."""

    kit: Path
    document: DocumentName
    collection: CollectionName | None = None
    """None for the kit's observations."""
    tenant: str | None = None
    environment: Environment = field(default_factory=Environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofReport:
    """A proof, made or checked.

    Attributes:
        proof: It.
        manifest: The one it carries, parsed.
        claims: Who made it, as the signature claims; proves nothing.
        signers: Key ids of trusted keys that signed the manifest in the role it needs; None where nothing was checked.
        document: Digest of the document that was compared with the proof, if one was.
    """

    proof: Proof
    manifest: Manifest
    claims: tuple[SignatureClaim, ...]
    signers: tuple[str, ...] | None = None
    document: Sha256 | None = None


def prove(request: ProveRequest) -> ProofReport:
    """Make a proof that the document is in the kit or, where it is not, that it is not.

    Raises:
        UnsignedError: The kit has no signature that could carry a proof.
        ContentError: The manifest has no Merkle root of the collection.
        DigestError: The documents are not those that the root is over.
        UsageError: The kit has several collections of observations and none is named; or nothing has the text for its
            ``_id``, but something has what it spells as another type.
        KitError: The kit is malformed or not readable.
    """
    if request.tenant == "":
        raise UsageError("the tenant has no name; leave it away to prove it of all")
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
        claim = Claim(
            document=request.document,
            collection=request.collection or _observations(manifest),
            tenant=request.tenant,
            present=True,
        )
        store = LeafStore(scratch)
        shown = _search(kit, found, claim, manifest, store)
        if not any(one.present for one in shown.values()):
            _require_one_meaning(request.document, shown, store)
            claim = replace(claim, present=False)
    kept = {path: one.leaves for path, one in shown.items() if one.present or not claim.present}
    proof = Proof(claim=claim, manifest=data, signature=signature, members=kept)
    proof.check(manifest)  # nothing is handed out that would be refused for another reason than its signature
    return ProofReport(proof=proof, manifest=manifest, claims=jws.claims(signature))


def check(proof: Proof, expectation: Expectation, *, document: bytes | None = None) -> ProofReport:
    """Check a proof, and that ``document`` is the one it is about.

    Raises:
        UntrustedError: No key is trusted at all, or too few of those who signed.
        SignatureError: The signature is invalid.
        ContentError: The proof does not prove its claim.
        DigestError: A leaf does not lead to the root, or the document is another one.
        UsageError: A document is given, and the proof is of an absence.
        KitError: The signers are revoked or out of their time.
    """
    anchor = expectation.anchor
    if not anchor.policy.keys:
        raise UntrustedError("no key is trusted, so nothing can be proven", hint="name one with --trusted-key")
    manifest = Manifest.parse(proof.manifest, limits=Limits(), where="the manifest in the proof")
    where = "the signature in the proof"
    signing = signers.inside(where, signers.sign_off(anchor, manifest, proof.manifest, proof.signature, where).require)
    # What the step to this generation changed, a proof does not show; so who is limited is asked about what it proves.
    subject = replace(signing.subject, members=tuple(proof.claim.members(manifest)), only_collections=True)
    signers.inside(where, partial(narrow, anchor, signing, subject))
    proof.check(manifest)
    digest = _compared(proof, document) if document is not None else None
    return ProofReport(
        proof=proof,
        manifest=manifest,
        claims=jws.claims(proof.signature),
        signers=signing.key_ids,
        document=digest,
    )


def _search(
    kit: OpenKit, found: Survey, claim: Claim, manifest: Manifest, store: LeafStore
) -> Mapping[MemberPath, MemberLeaves]:
    due = claim.members(manifest)
    members = {path: member for path in due if (member := collection_member(path)) is not None}
    pipeline = Pipeline(kit.executor, budget=kit.budget)
    shown = search(kit.reader, found, pipeline, members, key=claim.key, store=store)
    for path, summary in due.items():
        met = shown.get(path)
        if met is None:
            raise ContentError("the manifest calls it a collection, by its name it is none", where=str(path))
        if (met.size, met.root) != (summary.documents, summary.merkle_root):
            raise DigestError(
                f"its {met.size:,} documents have Merkle root {met.root}, the manifest says {summary.documents:,} and "
                f"{summary.merkle_root}",
                where=str(path),
                hint="kit verify --deep says what is wrong with this kit",
            )
    return shown


def _observations(manifest: Manifest) -> CollectionName:
    names = {CollectionName(database=one.database, collection=one.collection) for one in manifest.collections}
    found = sorted(name for name in names if is_observations(name))
    if len(found) != 1:
        told = ", ".join(map(str, found)) or "none"
        raise UsageError(f"which collection? the kit has these of observations: {told}", hint="say --collection")
    return found[0]


def _require_one_meaning(name: DocumentName, shown: Mapping[MemberPath, MemberLeaves], store: LeafStore) -> None:
    """Refuse to call absent as a text what is there as a number or an ObjectId of the same spelling."""
    text = name.to_json()
    if not isinstance(text, str):
        return
    for spelled in ({"$oid": text}, {"$numberInt": text}, {"$numberLong": text}):
        try:
            other = DocumentName.parse(spelled)
        except KitError:
            continue
        if any(holds(store, path, key_of(other)) for path in shown):
            ((kind, _),) = spelled.items()
            raise UsageError(
                f"no document has the text {text!r} for its _id, but one has it as {kind}",
                hint=f'say --id \'{{"{kind}": "{text}"}}\'',
            )


def _compared(proof: Proof, document: bytes) -> Sha256:
    if not proof.claim.present:
        raise UsageError("the proof is of an absence; there is no document to compare")
    digest = Sha256.of(document)
    if identity_key(document) != proof.claim.key:
        raise ContentError("has another _id than the proof", where="the document")
    if all(leaf.document != digest for leaves in proof.members.values() for leaf in leaves):
        raise DigestError(f"has digest {digest}, which the proof is not about", where="the document")
    return digest
