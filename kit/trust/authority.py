"""May these keys? The one door: whoever asks it, asks here, and every rule about keys is applied.

A signature comes in as it was found, unverified. It is verified with every key of the policy; its signers are judged
by role, bundle, collections and algorithm (rules A1 to A4), and those that may are held to their revocation and time
(F1, F2). Nothing else in the program verifies a signature or looks a key up: a test enumerates who does
(tests/attacks/test_authority.py).

Laws: a key counts only if every rule lets it count: one that has the role and another that is in its time do not make
up for each other. A threshold counts people. Nothing of an envelope is read before a key of the policy is found to have
signed it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

from kit.errors import KitError, StaleError, UntrustedError
from kit.signing import PublicKey, archive_signature, dsse, jws
from kit.trust.anchor import Anchor
from kit.trust.freshness import Moment, is_revoked, standing
from kit.trust.policy import Policy
from kit.trust.roles import Role
from kit.trust.trusted_key import TrustedKey, people
from kit.values import CollectionName, MemberPath, Sha256, Timestamp, collection_member

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What was signed, as far as a key's limits go.

    Attributes:
        what: For messages: ``generation 3``.
        role: The role its signers need.
        bundle_id: Of the kit, if its manifest says.
        members: What the signature vouches for: all of a first generation; of a later one, what the step changed.
        only_collections: Members that are no collections are beyond keys that are limited to collections, too. So
            for a patch; a publisher's kit always has other files.
        any_bundle: Which bundle it is, is not known yet; it is asked again when it is.
        at_least: So many people must sign, also where the policy's threshold is lower.
        single: It can have one signature only, which is enough then, whatever the threshold.
    """

    what: str
    role: Role
    bundle_id: str | None
    members: tuple[MemberPath, ...] = ()
    only_collections: bool = False
    any_bundle: bool = False
    at_least: int = 1
    single: bool = False

    def threshold(self, policy: Policy) -> int:
        """Return how many people must sign it."""
        return 1 if self.single else max(policy.threshold(self.role), self.at_least)


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """When a signature was made, and what else speaks for it.

    Attributes:
        signed_at: As the signed document says; None where it does not, which is taken for the time of the verdict.
        manifest: The generation that is signed: if the state has accepted exactly that manifest, this is evidence.
        kept: It is history: another generation took its place.
        covered: That one, or a later one, is signed by keys in force or was accepted: :attr:`Signing.covers`.
    """

    signed_at: Timestamp | None = None
    manifest: Sha256 | None = None
    kept: bool = False
    covered: bool = False


class Signature(Protocol):
    """Something that keys have signed."""

    def key_ids(self, keys: Mapping[str, PublicKey]) -> tuple[str, ...]:
        """Return the ids of those of ``keys`` that signed it.

        Raises:
            KitError: None of them did, a signature by one of them does not verify, or it is malformed.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Detached:
    """A detached JWS over ``payload``."""

    document: bytes = field(repr=False)
    payload: bytes = field(repr=False)
    typ: str = jws.MANIFEST_TYPE

    def key_ids(self, keys: Mapping[str, PublicKey]) -> tuple[str, ...]:
        """Implement :class:`Signature`."""
        return jws.verify(self.document, self.payload, keys, typ=self.typ).valid_key_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class OverArchive:
    """The ``.sig`` file of an archive."""

    document: bytes = field(repr=False)
    archive: Sha256

    def key_ids(self, keys: Mapping[str, PublicKey]) -> tuple[str, ...]:
        """Implement :class:`Signature`; the file does not name its key, so one is found at most."""
        return (archive_signature.verify(self.document, self.archive, keys).key_id,)


@dataclass(frozen=True, slots=True, kw_only=True)
class AtHand:
    """Private keys that are about to sign: what they make would be refused where these are."""

    keys: Sequence[PublicKey]

    def key_ids(self, keys: Mapping[str, PublicKey]) -> tuple[str, ...]:  # noqa: ARG002 (nothing is to be verified)
        """Implement :class:`Signature`."""
        return tuple(key.key_id for key in self.keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verified:
    """What was verified before."""

    ids: tuple[str, ...]

    def key_ids(self, keys: Mapping[str, PublicKey]) -> tuple[str, ...]:  # noqa: ARG002
        return self.ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """Who signed a subject and may by A1 to A4, at least as many as the threshold; and what F1 and F2 make of them.

    Attributes:
        subject: What was signed.
        able: Who signed and may.
        threshold: How many people must have.
        faults: Why some of ``able`` do not count, by key id.
        covers: Whether what this signature is over holds for what it covers: enough of its signers are not revoked, or
            the very manifest was accepted before.
        by_memory: Whether it only counts because the state has accepted the very manifest.
    """

    subject: Subject
    able: tuple[TrustedKey, ...]
    threshold: int
    faults: Mapping[str, KitError]
    covers: bool
    by_memory: bool

    @property
    def keys(self) -> tuple[TrustedKey, ...]:
        """Those that count."""
        return tuple(key for key in self.able if key.key_id not in self.faults)

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of those that count."""
        return tuple(key.key_id for key in self.keys)

    @property
    def fault(self) -> KitError | None:
        """Why they are too few; None where they are enough. A matter of time only where time alone is in the way."""
        if people(self.keys) >= self.threshold:
            return None
        lenient = people(self._insisted()) >= self.threshold
        found = (fault for fault in self.faults.values() if isinstance(fault, StaleError) is lenient)
        return next(found, next(iter(self.faults.values())))

    def require(self, *, insisted: bool = False) -> Signing:
        """Return the signing if enough of its keys count.

        Args:
            insisted: Keys that are only out of their time count: the user said so, and it is recorded.

        Raises:
            KitError: :attr:`fault`.
        """
        fault = self.fault
        if fault is None:
            return self
        if insisted and isinstance(fault, StaleError):
            known = {key.key_id for key in self._insisted()}
            return replace(self, faults={name: each for name, each in self.faults.items() if name not in known})
        raise fault.inside(self.subject.what)

    def _insisted(self) -> tuple[TrustedKey, ...]:
        """Return those that count or are out of their time only."""
        return tuple(key for key in self.able if isinstance(self.faults.get(key.key_id), StaleError | None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(Generic[T]):
    """The content of an envelope, and who signed it."""

    content: T
    signing: Signing


def authorise(anchor: Anchor, subject: Subject, signature: Signature, occasion: Occasion | None = None) -> Signing:
    """Return those who signed and count, by every rule.

    Args:
        anchor: Whom to believe, what was accepted, and the time.
        subject: What was signed.
        signature: The signature as found.
        occasion: When, and what else speaks for it; a signature of now where it is not given.

    Raises:
        UnsignedError: There is no signature.
        SignatureError: It is malformed, or one by a key of the policy does not verify.
        UntrustedError: Too few of those who may have signed, or too many of them are revoked.
        StaleError: Too many of them are out of their time.
    """
    return weigh(anchor, subject, signature, occasion).require()


def authorise_any(
    anchor: Anchor, subjects: Sequence[Subject], signature: Signature, occasion: Occasion | None = None
) -> Signing:
    """Return those who signed and count as one of several subjects: what may be signed in more than one role.

    Raises:
        KitError: As :func:`authorise`; of keys that have the role, what else is against them.
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
    """Return those who signed and may, with what F1 and F2 have against them: for who reports the two apart.

    Nothing counts before :meth:`Signing.require`.

    Raises:
        KitError: As :func:`authorise`, but for F1 and F2.
    """
    key_ids = signature.key_ids({key.key_id: key.key for key in anchor.policy.keys})
    able = _able(anchor.policy, subject, key_ids, subject.threshold(anchor.policy))
    return _judged(anchor, subject, able, occasion or Occasion())


def open_envelope(
    anchor: Anchor,
    document: bytes,
    read: Callable[[bytes], tuple[T, Subject, Occasion]],
    *,
    payload_type: str = dsse.IN_TOTO_TYPE,
) -> Opened[T]:
    """Open a DSSE envelope that those who may have signed.

    Args:
        anchor: Whom to believe, what was accepted, and the time.
        document: The envelope.
        read: Is given the payload once a key of the policy is found to have signed it; returns its content and what the
            signature is about.
        payload_type: The ``payloadType`` demanded.

    Raises:
        KitError: As :func:`authorise`, or as ``read``.
    """
    signed = dsse.verify(document, {key.key_id: key.key for key in anchor.policy.keys}, payload_type=payload_type)
    content, subject, occasion = read(signed.payload)
    signing = authorise(anchor, subject, _Verified(ids=signed.check.valid_key_ids), occasion)
    return Opened(content=content, signing=signing)


def narrow(anchor: Anchor, signing: Signing, subject: Subject) -> Signing:
    """Return those of a signing that may also sign ``subject``: of whom more is known now.

    Only those that count already are asked, so that no two keys make up for each other.

    Raises:
        UntrustedError: They are too few.
    """
    able = _able(anchor.policy, subject, signing.key_ids, signing.threshold)
    return replace(signing, subject=subject, able=able)


def in_force(anchor: Anchor, role: Role) -> tuple[TrustedKey, ...]:
    """Return the keys whose signatures of now would count in a role, whatever the bundle and the collections."""
    moment = Moment(signed_at=None, now=anchor.at) if anchor.at is not None else None
    return tuple(
        key
        for key in anchor.policy.keys
        if role in key.roles
        and key.key.algorithm in anchor.policy.algorithms
        and (moment is None or standing(key, moment) is None)
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
    found = people(able.values())
    if found < threshold:  # A4
        if found < len(able):
            others.append("keys of one name are one person's")
        told = "; ".join(others) or "nobody else signed"
        raise UntrustedError(
            f"signed by {found} of the {threshold} {subject.role} keys needed ({told})",
            where=subject.what,
            hint=f"if that signer is to be believed: kit trust add POLICY KEY --role {subject.role}",
        )
    return tuple(able.values())


def _judged(anchor: Anchor, subject: Subject, able: tuple[TrustedKey, ...], occasion: Occasion) -> Signing:
    threshold = subject.threshold(anchor.policy)
    if anchor.at is None:  # keys without a policy are good at any time, and nothing is remembered of them
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
        covers=accepted or people(unrevoked) >= threshold,
        by_memory=accepted and people(key for key in able if key.key_id not in alone) < threshold,
    )


def _faults(keys: tuple[TrustedKey, ...], moment: Moment) -> dict[str, KitError]:
    found = ((key.key_id, standing(key, moment)) for key in keys)
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
    member = collection_member(path)
    if member is None:
        return key.collections is None or not subject.only_collections
    name: CollectionName = member.name
    return key.may_sign_collection(name)
