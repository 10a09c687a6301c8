"""One case of the conformance table: a kit, whom the verifier is told to trust, and what it must say."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from conformance.build.kits import JUDGED_AT, compressed, tar


class Attack(enum.StrEnum):
    """What an attacker would gain: the terms of The Update Framework where it has one, below them ours."""

    ARBITRARY_SOFTWARE = "arbitrary software installation"
    ENDLESS_DATA = "endless data"
    EXTRANEOUS = "extraneous dependencies"
    FAST_FORWARD = "fast-forward"
    FREEZE = "indefinite freeze"
    KEY_COMPROMISE = "vulnerability to key compromises"
    MIX_AND_MATCH = "mix-and-match"
    ROLLBACK = "rollback"
    WRONG_SOFTWARE = "wrong software installation"
    PARSER_DIFFERENTIAL = "parser differential"
    PREMATURE_SWITCH = "premature switch"
    DISCLOSURE = "disclosure of plaintext"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A case.

    Attributes:
        name: Of the case and of its file.
        says: What it is, for people.
        data: The kit's bytes.
        suffix: Of its file; readers must go by content.
        trust: Name of whom to trust.
        at: The time to judge at.
        code: What kit exits with; 0 for valid.
        obligation: Of schemas/verify-report.md, the first that must fail; None for valid and for a refused policy.
        attack: None for valid.
        needs: Options beyond trust and time, by their names in the runner's command line.
        before: Cases that are verified first, under the same policy and its state.
        unpack: Hand over a folder; what is put into it beside the kit's files: a link, a FIFO.
        beside: Files beside the kit, by suffix.
        script: What ``verify.sh`` exits with; None where the case is beyond what it checks.
    """

    name: str
    says: str
    data: bytes
    suffix: str = ".tar.gz"
    trust: str = "publisher"
    at: str = JUDGED_AT
    code: int = 0
    obligation: int | None = None
    attack: Attack | None = None
    needs: Mapping[str, Any] = field(default_factory=dict)
    before: Sequence[str] = ()
    unpack: Mapping[str, str] | None = None
    beside: Mapping[str, bytes] = field(default_factory=dict)
    script: int | None = None

    @property
    def file(self) -> str:
        """The kit's file name."""
        return f"{self.name}{self.suffix}"


Kit = Mapping[str, bytes] | bytes
"""Members, to be packed; or the very bytes of the file."""


def valid(name: str, says: str, kit: Kit, **more: Any) -> Case:
    """Make a case that must be accepted, by ``verify.sh`` too unless ``script`` says otherwise."""
    return Case(name=name, says=says, data=_packed(kit, more), **({"script": 0} | more))


def refused(name: str, says: str, attack: Attack, code: int, obligation: int | None, kit: Kit, **more: Any) -> Case:
    """Make a case that must be refused; by ``verify.sh`` with the same exit code unless ``script`` says otherwise."""
    whole: dict[str, Any] = {"script": code, "attack": attack, "code": code, "obligation": obligation} | more
    return Case(name=name, says=says, data=_packed(kit, more), **whole)


def _packed(kit: Kit, more: Mapping[str, Any]) -> bytes:
    return kit if isinstance(kit, bytes) else compressed(tar(kit), more.get("suffix", ".tar.gz"))
