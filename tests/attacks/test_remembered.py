"""A run is killed when the new kit has its name and nobody has remembered it; who finishes it remembers it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kit.cli.trust_options import StateRecorder
from kit.errors import InterruptedRunError, OutputError, RollbackError
from kit.signing import Algorithm, generate
from kit.transforms.raw_linkset import RawLinkset
from kit.trust import Override, Policy, Role, TrustedKey
from kit.values import Timestamp
from kit.verbs import trust as trust_files
from kit.verbs.delta.apply import apply_delta, resume_delta
from kit.verbs.patch.patch import Output, PatchRequest, patch, resume
from kit.verbs.rollback import RollbackRequest, rollback
from kit.verbs.verify.judgement import Judgement
from kit.verbs.verify.kits import Environment
from kit.verbs.verify.obligations import Expectation
from kit.verbs.verify.verify import verify
from tests.delta.kits import AT, KEY, Pair, pair

SITE = generate(Algorithm.ES256)
HERE = Environment(workers=1)
NOW = Timestamp(AT.seconds + 3600)


def killed(_: Judgement) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def two(tmp_path: Path) -> Pair:
    return pair(tmp_path)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.json"
    keys = [(KEY, Role.PUBLISHER), (SITE, Role.PATCHER)]
    trusted = tuple(TrustedKey(key=key.public, roles=frozenset({role})) for key, role in keys)
    trust_files.create(path, Policy(version=1, keys=trusted))
    return path


def trusting(policy: Path, reason: str | None = None) -> Expectation:
    return Expectation(trust=trust_files.read_anchor(policy, NOW, Override(reason=reason) if reason else None))


def remembering(policy: Path) -> StateRecorder:
    return StateRecorder(policy, trusting(policy).trust)


def remembered(policy: Path) -> int | None:
    state = trust_files.read(policy).state
    return state.bundles["small"].generation if state is not None and "small" in state.bundles else None


def request_for(two: Pair, policy: Path) -> PatchRequest:
    return PatchRequest(
        kit=two.base,
        transforms=(RawLinkset(),),
        trusted={},
        trust=trusting(policy).trust,
        created_at=AT,
        environment=HERE,
    )


def refused_as_older(path: Path, policy: Path) -> None:
    assert isinstance(verify(path, trusting(policy), HERE).failure, RollbackError)


def test_a_patch_that_was_killed_behind_the_switch_is_remembered_when_it_is_finished(two: Pair, policy: Path) -> None:
    old = shutil.copy(two.base, two.folder / "old.tar.zst")
    with pytest.raises(InterruptedRunError):
        patch(request_for(two, policy), Output(path=None, key=SITE, installed=killed))
    assert remembered(policy) is None
    resume(request_for(two, policy), Output(path=None, key=SITE, installed=remembering(policy)))
    assert remembered(policy) == 2
    refused_as_older(Path(old), policy)


def test_so_is_a_delta(two: Pair, policy: Path) -> None:
    two.build()
    old = shutil.copy(two.base, two.folder / "old.tar.zst")
    request = two.request(expectation=trusting(policy), installed=killed)
    with pytest.raises(InterruptedRunError):
        apply_delta(request)
    assert remembered(policy) is None
    resume_delta(two.request(expectation=trusting(policy), installed=remembering(policy)))
    assert remembered(policy) == 2
    refused_as_older(Path(old), policy)


def test_of_a_rollback_the_reason_is_recorded(two: Pair, policy: Path) -> None:
    patch(request_for(two, policy), Output(path=None, key=SITE, installed=remembering(policy)))
    assert remembered(policy) == 2
    trust = trusting(policy, "INC-9").trust

    def asked(remember: StateRecorder | None) -> RollbackRequest:
        installed = remember if remember is not None else killed
        return RollbackRequest(kit=two.base, trusted={}, trust=trust, environment=HERE, installed=installed)

    with pytest.raises(InterruptedRunError):
        rollback(asked(None))
    rollback(asked(StateRecorder(policy, trust)), again=True)
    state = trust_files.read(policy).state
    assert state is not None
    assert [record.reason for record in state.overrides] == ["INC-9"]
    assert remembered(policy) == 2


def test_a_state_that_cannot_be_written_is_told_when_the_kit_is_in_its_place(two: Pair, policy: Path) -> None:
    two.build()
    beside = policy.with_name(f".{policy.name}.state.lock")
    beside.unlink(missing_ok=True)
    beside.mkdir()
    remember = remembering(policy)
    two.apply(expectation=trusting(policy), installed=remember)
    assert not list(two.base.parent.glob("*.kit-job"))
    assert verify(two.base, Expectation(trusted={KEY.public.key_id: KEY.public}), HERE).failure is None
    with pytest.raises(OutputError, match="it is not in the state of the policy"):
        remember.check()


def test_what_is_written_beside_is_not_remembered_as_installed(two: Pair, policy: Path) -> None:
    """A rehearsal: the run in place makes another kit of the same generation, which must not be refused then."""
    out = two.folder / "out.tar.zst"
    patch(request_for(two, policy), Output(path=out, key=SITE, installed=remembering(policy)))
    assert remembered(policy) is None
