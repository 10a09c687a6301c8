"""Whom a site trusts, for what, and until when: policy, state, and the rules that decide with them.

Pure: takes values, bytes and the time, and reads no file, clock or kit. The rules are numbered as in
schemas/trust-policy.md and tagged where they are enforced:

===== =============================================== ================================ =====================
rule  what must hold                                  attack (in the terms of TUF)     where
===== =============================================== ================================ =====================
P1    a policy names keys, each once                  arbitrary software               :mod:`policy`
P2    a policy can reach its own thresholds           (a mistake, not an attack)       :mod:`policy`
P3    a policy with root keys is signed by them       arbitrary software               :mod:`rotation`
P4    a policy follows its own predecessor            rollback, key compromise         :mod:`rotation`
A1    a signer has the role the generation needs      arbitrary software               :mod:`authority`
A2    its key may sign that bundle and collections    wrong software, mix-and-match    :mod:`authority`
A3    its algorithm is allowed                        key compromise                   :mod:`authority`
A4    enough people sign, each counted once           key compromise                   :mod:`authority`
F1    a revoked key counts by others' evidence only   key compromise                   :mod:`freshness`
F2    a key counts only within its validity           key compromise                   :mod:`freshness`
F3    a kit is younger than its window                indefinite freeze                :mod:`freshness`
F4    a kit is not from the future                    fast-forward                     :mod:`freshness`
R1    a kit is not below the policy's floor           rollback                         :mod:`rollback`
R2    a kit is not older than one accepted before     rollback                         :mod:`rollback`
R3    one generation has one manifest                 rollback (equivocation)          :mod:`rollback`
===== =============================================== ================================ =====================
"""

from kit.trust.authority import (
    Detached,
    Occasion,
    OpenedEnvelope,
    OverArchive,
    OverManifest,
    Signing,
    SigningKeys,
    Subject,
    authorise,
    authorise_any,
    authorise_recipient,
    keys_in_force,
    narrow,
    open_envelope,
    weigh,
)
from kit.trust.policy import Policy
from kit.trust.state import Accepted, Anchor, Override, State
from kit.trust.trusted_key import Revocation, RevocationReason, Role, TrustedKey

__all__ = [
    "Accepted",
    "Anchor",
    "Detached",
    "Occasion",
    "OpenedEnvelope",
    "OverArchive",
    "OverManifest",
    "Override",
    "Policy",
    "Revocation",
    "RevocationReason",
    "Role",
    "Signing",
    "SigningKeys",
    "State",
    "Subject",
    "TrustedKey",
    "authorise",
    "authorise_any",
    "authorise_recipient",
    "keys_in_force",
    "narrow",
    "open_envelope",
    "weigh",
]
