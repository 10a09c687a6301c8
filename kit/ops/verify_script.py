"""Makes ``verify.sh``: a check of signatures and digests that needs none of this program.

Why it is as it is: docs/design/verify-script.md. The script is one POSIX shell text with the trusted keys in it; what
it checks, and what not, is said at the top of ``verify.sh`` beside this module and in its last lines of output.
"""

from __future__ import annotations

from importlib import resources

from kit.errors import UsageError
from kit.ops.judgement import Expectation
from kit.signing import Algorithm
from kit.trust import Anchor, Role, TrustedKey, keys_in_force

_PLACE = "# @KEYS@\n"
_KINDS = {Algorithm.ED25519: "ed25519", Algorithm.ES256: "es256", Algorithm.PS256: "ps256"}


def write_script(expectation: Expectation) -> bytes:
    """Return the script for the keys that this expectation trusts.

    Raises:
        UsageError: The policy demands what the script cannot check: more than one signature, or limits of a key.
    """
    anchor = expectation.anchor
    _require_simple(anchor)
    # The script has no clock: who is out of their time when it is written is left out of it.
    keys = list(dict.fromkeys((*keys_in_force(anchor, Role.PUBLISHER), *keys_in_force(anchor, Role.PATCHER))))
    if not keys:
        raise UsageError("no key of the policy may sign kits, so a script would refuse every kit")
    template = resources.files("kit.ops").joinpath("verify.sh").read_text(encoding="utf-8")
    return template.replace(_PLACE, "".join(_case(key) for key in keys)).encode()


def _require_simple(anchor: Anchor) -> None:
    policy = anchor.policy
    for role in (Role.PUBLISHER, Role.PATCHER):
        if policy.threshold(role) > 1:
            raise UsageError(f"the policy needs {policy.threshold(role)} {role} signatures; the script checks one")
    limited = next((key for key in policy.keys if key.bundle_ids is not None or key.collections is not None), None)
    if limited is not None:
        raise UsageError(f"key {limited.label} is limited to bundles or collections, which the script does not check")


def _case(key: TrustedKey) -> str:
    roles = " ".join(sorted(key.roles & {Role.PUBLISHER, Role.PATCHER}))
    pem = key.key.pem.decode("ascii").rstrip("\n")
    return f"""\
    {key.key_id})
        kind={_KINDS[key.key.algorithm]} roles=' {roles} '
        cat > "$tmp/key.pem" << 'PEM' || broken "no room in $tmp"
{pem}
PEM
        ;;
"""
