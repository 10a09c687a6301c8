"""The one place that decides whether keys may sign something; it applies every rule about keys.

A signature comes in as found, unverified. It is verified with every key of the policy. Its signers are checked for
role, bundle, collections and algorithm (rules A1 to A4), then for revocation and validity (F1, F2). Nothing else in the
program verifies a signature or looks up a key: a test enumerates the callers (tests/attacks/test_authority.py).

Laws: a key counts only if it satisfies every rule; a key with the role and another within its validity do not add up to
one. A threshold counts people. The payload of an envelope is not read before a key of the policy is known to have
signed it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

from kit.errors import KitError, StaleError, UntrustedError
from kit.signing import PublicKey, archive_signature, dsse, jws, manifests
from kit.trust.freshness import Moment, is_revoked, key_fault
from kit.trust.policy import Policy
from kit.trust.state import Anchor
from kit.trust.trusted_key import Role, TrustedKey, count_people
from kit.values import NAMED, CollectionName, Collections, MemberPath, Sha256, Timestamp

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What was signed, as far as the limits of keys are concerned.

    Attributes:
        what: Its name in messages: ``generation 3``.
        role: The role its signers need.
        bundle_id: The kit's bundle id; None if its manifest has none.
        members: The members that the signature covers: all of a first generation, the changed ones of a later one.
        collections: Which of the members are collections, by name and as the signed manifest declares.
        only_collections: Whether keys that are limited to collections may sign collections only. True for a patch; a
            publisher's kit always has other files.
        any_bundle: Whether the bundle is not known yet; the check is repeated when it is.
        at_least: A minimum of people, even if the policy's threshold is lower.
        single: Whether it can have one signature only, which is then enough, whatever the threshold.
    """

    what: str
    role: Role
    bundle_id: str | None
    members: tuple[MemberPath, ...] = ()
    collections: Collections = NAMED
    only_collections: bool = False
    any_bundle: bool = False
    at_least: int = 1
    single: bool = False

    def threshold(self, policy: Policy) -> int:
        """Return the number of people who must sign it."""
        return 1 if self.single else max(policy.threshold(self.role), self.at_least)


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """When a signature was made, and the evidence for it.

    Attributes:
        signed_at: The time in the signed document; None if it has none, which counts as the time of the verdict.
        manifest: The signed generation; it is evidence if the state has accepted exactly that manifest.
        kept: Whether it is history: another generation replaced it.
        covered: Whether that generation, or a later one, is signed by keys in force or was accepted:
            :attr:`Signing.covers`.
    """

    signed_at: Timestamp | None = None
    manifest: Sha256 | None = None
    kept: bool = False
    covered: bool = False


class Signature(Protocol):
    """A signature that was not verified yet."""

    def key_ids(self, keys: Mapping[str, PublicKey]) -> tuple[str, ...]:
        """Return the ids of the ``keys`` that signed it.

        Raises:
            KitError: None of them did, a signature by one of them does not verify, or it is malformed.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Detached:
    """A detached JWS over ``payload``, made for the purpose ``typ``."""

    document: bytes = field(repr=False)
    payload: bytes = field(repr=False)
    typ: str

    def key_ids(self, keys: Mapping[str, PublicKey]) -> tuple[str, ...]:
        """Implement :class:`Signature`."""
        return jws.verify(self.document, self.payload, keys, typ=self.typ).valid_key_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class OverManifest:
    """The signature of a manifest, in the form that ``name`` states (:func:`kit.signing.manifests.check_name`)."""

    document: bytes = field(repr=False)
    manifest: bytes = field(repr=False)
    name: str

    def key_ids(self, keys: Mapping[str, PublicKey]) -> tuple[str, ...]:
        """Implement :class:`Signature`."""
        manifests.check_name(self.document, self.name)
        return manifests.verify(self.document, self.manifest, keys).valid_key_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class OverArchive:
    """The ``.sig`` file of an archive."""

    document: bytes = field(repr=False)
    archive: Sha256

    def key_ids(self, keys: Mapping[str, PublicKey]) -> tuple[str, ...]:
        """Implement :class:`Signature`; the file does not name its key, so the result is at most one."""
        return (archive_signature.verify(self.document, self.archive, keys).key_id,)


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKeys:
    """Keys that are about to sign; if they are refused, their signature would be."""

    keys: Sequence[PublicKey]

    def key_ids(self, keys: Mapping[str, PublicKey]) -> tuple[str, ...]:  # noqa: ARG002 (nothing is to be verified)
        """Implement :class:`Signature`."""
        return tuple(key.key_id for key in self.keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verified:
    """A signature that was verified before."""

    ids: tuple[str, ...]

    def key_ids(self, keys: Mapping[str, PublicKey]) -> tuple[str, ...]:  # noqa: ARG002
        return self.ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """The signers of a subject who may sign it by A1 to A4, at least the threshold, and the result of F1 and F2.

    Attributes:
        subject: What was signed.
        able: The keys that signed and may.
        threshold: The number of people required.
        faults: Why some of ``able`` do not count, by key id.
        covers: Whether it is evidence for the history it covers: enough of its signers are not revoked, or exactly this
            manifest was accepted before.
        by_memory: Whether it only counts because the state has accepted exactly this manifest.
    """

    subject: Subject
    able: tuple[TrustedKey, ...]
    threshold: int
    faults: Mapping[str, KitError]
    covers: bool
    by_memory: bool

    @property
    def keys(self) -> tuple[TrustedKey, ...]:
        """The keys that count."""
        return tuple(key for key in self.able if key.key_id not in self.faults)

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of the keys that count."""
        return tuple(key.key_id for key in self.keys)

    @property
    def fault(self) -> KitError | None:
        """Why too few keys count; None if enough do. A ``StaleError`` only if time is the only reason."""
        if count_people(self.keys) >= self.threshold:
            return None
        lenient = count_people(self._regardless_of_time()) >= self.threshold
        found = (fault for fault in self.faults.values() if isinstance(fault, StaleError) is lenient)
        return next(found, next(iter(self.faults.values())))

    def require(self, *, insisted: bool = False) -> Signing:
        """Return the signing if enough of its keys count.

        Args:
            insisted: Count keys that are only outside their validity: an override, which is recorded.

        Raises:
            KitError: :attr:`fault`.
        """
        fault = self.fault
        if fault is None:
            return self
        if insisted and isinstance(fault, StaleError):
            known = {key.key_id for key in self._regardless_of_time()}
            return replace(self, faults={name: each for name, each in self.faults.items() if name not in known})
        raise fault.inside(self.subject.what)

    def _regardless_of_time(self) -> tuple[TrustedKey, ...]:
        """Return the keys that count, or do not only because of the time."""
        return tuple(key for key in self.able if isinstance(self.faults.get(key.key_id), StaleError | None))


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedEnvelope(Generic[T]):
    """The content of an envelope, and its signers."""

    content: T
    signing: Signing


def authorise(anchor: Anchor, subject: Subject, signature: Signature, occasion: Occasion | None = None) -> Signing:
    """Return the signing, if enough keys count by every rule.

    Args:
        anchor: Policy, state and time.
        subject: What was signed.
        signature: The signature as found.
        occasion: The time and evidence of the signature; by default it is made now.

    Raises:
        UnsignedError: There is no signature.
        SignatureError: It is malformed, or one by a key of the policy does not verify.
        UntrustedError: Too few signers may sign it, or too many of them are revoked.
        StaleError: Too many of them are outside their validity.
    """
    return weigh(anchor, subject, signature, occasion).require()


def authorise_any(
    anchor: Anchor, subjects: Sequence[Subject], signature: Signature, occasion: Occasion | None = None
) -> Signing:
    """Return the signing as one of several subjects, for documents that may be signed in more than one role.

    Raises:
        KitError: As :func:`authorise`; if some keys have the role, the fault of those.
    """
    beyond: list[UntrustedError] = []
    faults: list[KitError] = []
    for subject in subjects:
        try:
            signing = weigh(anchor, subject, signature, occasion)
        except UntrustedError as error:
            beyond.append(error)
            continue
        if signing.fault is None:
            return signing
        faults.append(signing.fault.inside(subject.what))
    if faults:
        raise faults[0]
    raise UntrustedError(
        "; ".join(dict.fromkeys(each.what for each in beyond)), where=beyond[0].where, hint=beyond[0].hint
    )


def weigh(anchor: Anchor, subject: Subject, signature: Signature, occasion: Occasion | None = None) -> Signing:
    """Return the signers who may sign, with their faults by F1 and F2, for callers that report these separately.

    The signing does not count before :meth:`Signing.require`.

    Raises:
        KitError: As :func:`authorise`, except for F1 and F2.
    """
    key_ids = signature.key_ids({key.key_id: key.key for key in anchor.policy.keys})
    able = _able(anchor.policy, subject, key_ids, subject.threshold(anchor.policy))
    return _judge(anchor, subject, able, occasion or Occasion())


def open_envelope(
    anchor: Anchor,
    document: bytes,
    read: Callable[[bytes], tuple[T, Subject, Occasion]],
    *,
    payload_type: str = dsse.IN_TOTO_TYPE,
) -> OpenedEnvelope[T]:
    """Return the content of a DSSE envelope that authorised keys have signed.

    Args:
        anchor: Policy, state and time.
        document: The envelope.
        read: Called with the payload after a key of the policy was found to have signed it; returns its content,
            subject and occasion.
        payload_type: The ``payloadType`` demanded.

    Raises:
        KitError: As :func:`authorise`, or as ``read``.
    """
    signed = dsse.verify(document, {key.key_id: key.key for key in anchor.policy.keys}, payload_type=payload_type)
    content, subject, occasion = read(signed.payload)
    signing = authorise(anchor, subject, _Verified(ids=signed.check.valid_key_ids), occasion)
    return OpenedEnvelope(content=content, signing=signing)


def narrow(anchor: Anchor, signing: Signing, subject: Subject) -> Signing:
    """Return a signing with only the keys that may sign ``subject``, about which more is known now.

    Only keys that count already are considered, so that two keys do not add up to one.

    Raises:
        UntrustedError: They are too few.
    """
    able = _able(anchor.policy, subject, signing.key_ids, signing.threshold)
    return replace(signing, subject=subject, able=able)


def authorise_recipient(anchor: Anchor, key: PublicKey) -> TrustedKey:
    """Return the entry of a key for which data keys may be wrapped.

    Raises:
        UntrustedError: The policy does not name it as a recipient, or it is revoked.
        StaleError: It is outside its validity.
    """
    found = next((one for one in anchor.policy.keys if one.key_id == key.key_id), None)
    if found is None or Role.RECIPIENT not in found.roles:
        raise UntrustedError(
            f"the policy does not name {found.label if found else key.key_id} as a recipient of data keys",
            hint="kit trust add POLICY KEY --role recipient, by the owner of the policy",
        )
    moment = Moment(signed_at=None, now=anchor.at) if anchor.at is not None else None
    if moment is not None and (fault := key_fault(found, moment)) is not None:
        raise fault
    return found


def keys_in_force(anchor: Anchor, role: Role) -> tuple[TrustedKey, ...]:
    """Return the keys whose signatures of now would count in a role, whatever the bundle and the collections."""
    moment = Moment(signed_at=None, now=anchor.at) if anchor.at is not None else None
    return tuple(
        key
        for key in anchor.policy.keys
        if role in key.roles
        and key.key.algorithm in anchor.policy.algorithms
        and (moment is None or key_fault(key, moment) is None)
    )


def _able(policy: Policy, subject: Subject, key_ids: Iterable[str], threshold: int) -> tuple[TrustedKey, ...]:
    able: dict[str, TrustedKey] = {}
    others: list[str] = []
    keys = {key.key_id: key for key in policy.keys}
    for key_id in key_ids:
        key = keys.get(key_id)
        why = "the policy does not name it" if key is None else _limit(policy, key, subject)
        if key is not None and why is None:
            able[key_id] = key
        else:
            others.append(f"{key.label if key else key_id}: {why}")
    found = count_people(able.values())
    if found < threshold:  # A4
        if found < len(able):
            others.append("keys of one name are one person's")
        why_others = "; ".join(others) or "nobody else signed"
        raise UntrustedError(
            f"signed by {found} of the {threshold} {subject.role} keys needed ({why_others})",
            where=subject.what,
            hint=f"to trust that signer: kit trust add POLICY KEY --role {subject.role}",
        )
    return tuple(able.values())


def _judge(anchor: Anchor, subject: Subject, able: tuple[TrustedKey, ...], occasion: Occasion) -> Signing:
    threshold = subject.threshold(anchor.policy)
    if anchor.at is None:  # keys without a policy are valid at any time, and have no state
        return Signing(subject=subject, able=able, threshold=threshold, faults={}, covers=True, by_memory=False)
    accepted = occasion.manifest is not None and anchor.has_accepted(subject.bundle_id, occasion.manifest)
    moment = Moment(signed_at=occasion.signed_at, now=anchor.at, kept=occasion.kept, covered=occasion.covered)
    alone = _faults(able, moment)
    faults = _faults(able, replace(moment, accepted=True)) if accepted else alone
    unrevoked = [key for key in able if not is_revoked(key, anchor.at)]
    return Signing(
        subject=subject,
        able=able,
        threshold=threshold,
        faults=faults,
        covers=accepted or count_people(unrevoked) >= threshold,
        by_memory=accepted and count_people(key for key in able if key.key_id not in alone) < threshold,
    )


def _faults(keys: tuple[TrustedKey, ...], moment: Moment) -> dict[str, KitError]:
    found = ((key.key_id, key_fault(key, moment)) for key in keys)
    return {key_id: fault for key_id, fault in found if fault is not None}


def _limit(policy: Policy, key: TrustedKey, subject: Subject) -> str | None:
    if subject.role not in key.roles:  # A1
        return f"it has the role {', '.join(sorted(key.roles))}"
    if key.key.algorithm not in policy.algorithms:  # A3
        return f"{key.key.algorithm} is not allowed"
    if not subject.any_bundle and not key.may_sign_bundle(subject.bundle_id):  # A2
        return f"it may not sign bundle {subject.bundle_id!r}"
    beyond = next((path for path in subject.members if not _may_sign(key, path, subject)), None)
    return f"it may not sign {beyond}" if beyond is not None else None


def _may_sign(key: TrustedKey, path: MemberPath, subject: Subject) -> bool:
    member = subject.collections.member(path)
    if member is None:
        return key.collections is None or not subject.only_collections
    name: CollectionName = member.name
    return key.may_sign_collection(name)
