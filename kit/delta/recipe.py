"""The recipe of a delta: which transforms compute members of the target from the base, and with which keys.

Everything that determines the result is here or in the base: names, versions and parameters of the transforms, and for
an encryption a digest that fixes its data keys. It is read strictly (:class:`Fields`), since an unknown member might
change what is made. Law: a recipe holds no key, nothing derived from one but that digest, and no value of a document
(schemas/kit-delta.md, "recipe").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from kit.errors import ArchiveError, ContentError
from kit.values import Sha256, fields
from kit.values.extractor_release import ExtractorRelease, list_extractors
from kit.values.strict_json import canonical

MANIFEST_NAME = "delta-manifest.json"


def exact_digest(text: str) -> Sha256:
    """Return the digest of its one spelling.

    Raises:
        ContentError: It is spelled differently.
    """
    digest = Sha256.parse(text)
    if digest.hex != text:
        raise ContentError(f"{text!r} is not 64 lower-case hex digits")
    return digest


class Fields(fields.Fields):
    """One JSON object of the manifest."""

    __slots__ = ()
    error = ArchiveError
    where = MANIFEST_NAME


MAX_NAMES = 8
"""Data keys listed by name; for more, only number and digest are stored, so that a recipe stays small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeStep:
    """One transform of the chain."""

    name: str
    version: str
    parameters: Mapping[str, Any]
    """JSON, from the transform."""
    extractors: tuple[ExtractorRelease, ...] = ()
    """Those of other distributions that took part, by name."""

    @property
    def parameters_sha256(self) -> Sha256:
        """The digest that the target's provenance has, too (schemas/patch-provenance.md)."""
        return Sha256.of(canonical(dict(self.parameters)))

    @classmethod
    def parse(cls, value: object, place: str) -> Self:
        """Read one.

        Raises:
            ArchiveError: It is not of this form, or its digest is not that of its parameters.
        """
        fields = Fields.of(value, place)
        fields.exactly(("name", "version", "parameters", "parametersSha256"), ("extractors",))
        parameters = fields.object("parameters").members
        step = cls(
            name=fields.text("name"),
            version=fields.text("version"),
            parameters=parameters,
            extractors=ExtractorRelease.parse_all(fields),
        )
        if fields.parse_text("parametersSha256", exact_digest) != step.parameters_sha256:
            raise fields.refusal(f"has parameters with the digest {step.parameters_sha256}, but states another")
        return step

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        return {
            "name": self.name,
            "version": self.version,
            "parameters": dict(self.parameters),
            "parametersSha256": str(self.parameters_sha256),
            **list_extractors(self.extractors),
        }

    def __str__(self) -> str:
        return f"{self.name} version {self.version} (parameters {self.parameters_sha256})"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeKeys:
    """The data keys that an encryption seals with."""

    count: int
    sha256: Sha256
    """Over one line per key: name, master key version and commitment (schemas/kit-delta.md)."""
    names: tuple[str, ...] | None
    """``dekId`` of each, sorted; None if there are more than :data:`MAX_NAMES`."""

    @classmethod
    def parse(cls, value: object) -> Self:
        """Return the keys that a recipe names.

        Raises:
            ArchiveError: It is not of this form, or does not list as many names as it counts, sorted.
        """
        fields = Fields.of(value, "recipe.keys")
        fields.exactly(("count", "sha256"), ("dekIds",))
        count = fields.integer("count")
        names: tuple[str, ...] | None = None
        if "dekIds" in fields.members:
            listed = fields.items("dekIds")
            names = tuple(name for name in listed if isinstance(name, str) and name)
            if list(names) != listed or sorted(set(names)) != listed:
                raise fields.refusal("has dekIds that are not a sorted list of different names")
        if (names is None) != (count > MAX_NAMES) or (names is not None and len(names) != count):
            raise fields.refusal(f"counts {count:,} data keys, but does not list as many")
        return cls(count=count, sha256=fields.parse_text("sha256", exact_digest), names=names)

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        whole: dict[str, Any] = {"count": self.count, "sha256": str(self.sha256)}
        return whole if self.names is None else whole | {"dekIds": list(self.names)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Transforms, in the order applied; not empty. Law: ``Recipe.parse(r.to_json()) == r``."""

    steps: tuple[RecipeStep, ...]
    keys: RecipeKeys | None = None
    """None if nothing is encrypted."""

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read one.

        Raises:
            ArchiveError: It is not of this form.
        """
        fields = Fields.of(value, "recipe")
        fields.exactly(("transforms",), ("keys",))
        items = enumerate(fields.items("transforms"))
        steps = tuple(RecipeStep.parse(item, f"recipe.transforms[{number}]") for number, item in items)
        if not steps:
            raise fields.refusal("has no transform")
        return cls(steps=steps, keys=RecipeKeys.parse(fields.members["keys"]) if "keys" in fields.members else None)

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        whole: dict[str, Any] = {"transforms": [step.to_json() for step in self.steps]}
        return whole if self.keys is None else whole | {"keys": self.keys.to_json()}
