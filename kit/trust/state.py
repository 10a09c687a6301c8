"""What a site has accepted so far: the memory that makes a rollback visible. Schema: schemas/trust-state.md.

Values only; the file is read and replaced by :mod:`kit.ops.trust_files`. Laws: ``State.parse(s.to_bytes(), where) ==
s``; ``accepting`` never lowers what was accepted; overrides are only ever added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from kit.errors import ContentError, ManifestError
from kit.manifest.fields import Fields
from kit.values import Limits, Sha256, Timestamp
from kit.values.strict_json import canonical, parse as parse_json

SCHEMA_VERSION = "1"
_LIMITS = Limits(json_bytes=16 * 1024 * 1024, json_depth=8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The newest kit accepted of one bundle.

    Two kits are compared by the publisher's generation first: what a site makes of generation 7 is 8, and so is the
    publisher's next one, which must not be taken for a rollback (docs/design/trust-policy.md).
    """

    published: int
    """The generation that the publisher signed, the first of the chain."""
    generation: int
    """The kit's own."""
    manifest: Sha256
    earlier: frozenset[Sha256] = frozenset()
    """Manifests of its history that were accepted before it, and only count since: see schemas/trust-state.md."""

    @property
    def rank(self) -> tuple[int, int]:
        """What is compared."""
        return self.published, self.generation

    def __str__(self) -> str:
        if self.published == self.generation:
            return f"generation {self.generation}"
        return f"generation {self.generation} made of the publisher's {self.published}"

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        """Read it.

        Raises:
            ContentError: It is not exactly of this format, or the generation is below the publisher's.
        """
        fields.exactly(("published", "generation", "manifestSha256"), ("earlier",))
        accepted = cls(
            published=fields.integer("published"),
            generation=fields.integer("generation"),
            manifest=fields.digest("manifestSha256"),
            earlier=_earlier(fields),
        )
        if accepted.generation < accepted.published:
            raise ContentError(f"{fields.place}: generation is below the publisher's")
        return accepted

    def to_json(self) -> dict[str, Any]:
        """Print for ``strict_json.canonical``."""
        printed = {"published": self.published, "generation": self.generation, "manifestSha256": str(self.manifest)}
        return printed | ({"earlier": sorted(map(str, self.earlier))} if self.earlier else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideRecord:
    """That somebody accepted a kit which obligation 4 refused."""

    at: Timestamp
    bundle_id: str
    manifest: Sha256
    refusal: str
    reason: str

    @classmethod
    def parse(cls, value: object, place: str) -> Self:
        """Read it.

        Raises:
            ContentError: It is not exactly of this format.
        """
        fields = Fields.of(value, place)
        fields.exactly(("at", "bundleId", "manifestSha256", "refusal", "reason"))
        return cls(
            at=fields.timestamp("at"),
            bundle_id=fields.text("bundleId"),
            manifest=fields.digest("manifestSha256"),
            refusal=fields.text("refusal"),
            reason=fields.text("reason"),
        )

    def to_json(self) -> dict[str, Any]:
        """Print for ``strict_json.canonical``."""
        return {
            "at": str(self.at),
            "bundleId": self.bundle_id,
            "manifestSha256": str(self.manifest),
            "refusal": self.refusal,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What was accepted under one policy file.

    Attributes:
        policy_version: Of the policy in force.
        policy_sha256: Of its exact bytes, so that a policy changed by other means than ``kit trust`` is noticed.
        bundles: The newest kit accepted, by bundle id.
        overrides: Oldest first.
    """

    policy_version: int
    policy_sha256: Sha256
    bundles: Mapping[str, Accepted] = field(default_factory=dict)
    overrides: tuple[OverrideRecord, ...] = ()

    @classmethod
    def parse(cls, data: bytes, *, where: str) -> Self:
        """Read a state.

        Raises:
            ContentError: Not strict JSON, or not exactly of this format: a memory that cannot be read is not empty.
            LimitError: Larger than any state.
        """
        try:
            fields = Fields.of(parse_json(data, limits=_LIMITS, where=where), "state")
            fields.exactly(("schemaVersion", "policy", "bundles", "overrides"))
            if fields.text("schemaVersion") != SCHEMA_VERSION:
                raise ContentError(f"state.schemaVersion: this program reads {SCHEMA_VERSION!r}", where=where)
            policy, bundles = fields.object("policy"), fields.object("bundles")
            policy.exactly(("version", "sha256"))
            return cls(
                policy_version=policy.integer("version"),
                policy_sha256=policy.digest("sha256"),
                bundles={name: Accepted.parse(bundles.object(name)) for name in bundles.members},
                overrides=tuple(
                    OverrideRecord.parse(value, f"state.overrides[{n}]")
                    for n, value in enumerate(fields.items("overrides"))
                ),
            )
        except ManifestError as error:
            raise ContentError(error.what, where=where) from error

    def to_bytes(self) -> bytes:
        """Print the state."""
        return canonical(
            {
                "schemaVersion": SCHEMA_VERSION,
                "policy": {"version": self.policy_version, "sha256": str(self.policy_sha256)},
                "bundles": {name: accepted.to_json() for name, accepted in self.bundles.items()},
                "overrides": [record.to_json() for record in self.overrides],
            }
        )

    def has_accepted(self, bundle_id: str, manifest: Sha256) -> bool:
        """Whether exactly this manifest is the newest accepted of its bundle, or one that counts since then."""
        known = self.bundles.get(bundle_id)
        return known is not None and (manifest == known.manifest or manifest in known.earlier)

    def accepting(self, bundle_id: str, met: Accepted) -> Self:
        """Remember a kit, if it is newer than what is remembered of its bundle."""
        known = self.bundles.get(bundle_id)
        if known is not None and met.rank <= known.rank:
            return self
        return replace(self, bundles={**self.bundles, bundle_id: met})

    def overriding(self, record: OverrideRecord) -> Self:
        """Remember an override; what was accepted stays the newest, so the next time needs another."""
        return replace(self, overrides=(*self.overrides, record))

    def under(self, version: int, sha256: Sha256) -> Self:
        """Give the same memory under a policy that took the place of the old."""
        return replace(self, policy_version=version, policy_sha256=sha256)


def _earlier(fields: Fields) -> frozenset[Sha256]:
    if "earlier" not in fields.members:
        return frozenset()
    texts = fields.items("earlier")
    digests = frozenset(
        Fields.of({"digest": text}, f"{fields.place}.earlier[{number}]").digest("digest")
        for number, text in enumerate(texts)
    )
    if not digests or [str(digest) for digest in sorted(digests, key=str)] != texts:
        raise ContentError(f"{fields.place}.earlier: digests are expected, sorted, each once, one at least")
    return digests
