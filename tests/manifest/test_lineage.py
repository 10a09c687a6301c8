from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from kit.errors import DigestError, KitError, ManifestError
from kit.manifest import Manifest, history_paths, lineage, parse_statement
from kit.values import MemberPath, Sha256, Timestamp
from kit.values.strict_json import canonical
from tests.manifest.samples import LIMITS, Chain, digest, foreign, own, parsed, statement_of

Make = Callable[[], dict[str, Any]]


@pytest.mark.parametrize("make", [own, foreign])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_an_unbroken_chain_is_accepted_step_by_step(make: Make, steps: int) -> None:
    chain = Chain(make(), steps)
    found = lineage.check(chain.current, chain.history, limits=LIMITS)
    first = parsed(make()).generation
    assert [step.manifest.generation for step in found] == list(range(first, first + steps))
    for step in found:
        assert Sha256.of(step.manifest_bytes) == step.entry.manifest_sha256
        assert step.signature == b"signature"
        step.check_statement(parse_statement(step.statement))
    assert [step.successor for step in found[-1:]] == [chain.current for _ in found[-1:]]


def test_an_unsigned_generation_has_no_signature_to_keep() -> None:
    first = parsed(own())
    chain = Chain(own(), 1)
    paths = history_paths(3)
    entry = replace(chain.current.lineage[0], signature=None, signature_sha256=None)
    data = first.next_generation(changed={}, added={}, collections=None, lineage_entry=entry, created_at=entry.at)
    current = Manifest.parse(data, limits=LIMITS, where="m")
    with pytest.raises(DigestError, match="is not named by lineage"):
        lineage.check(current, chain.history, limits=LIMITS)
    del chain.history[paths.signatures[0]]
    assert lineage.check(current, chain.history, limits=LIMITS)[0].signature is None


@pytest.mark.parametrize("name", ["manifest", "signature", "statement"])
def test_a_history_file_that_was_removed_is_missed(name: str) -> None:
    chain = Chain(own(), 3)
    paths = history_paths(4)
    del chain.history[
        {"manifest": paths.manifest, "signature": paths.signatures[0], "statement": paths.statement}[name]
    ]
    with pytest.raises(DigestError, match="is named by lineage, but absent"):
        lineage.check(chain.current, chain.history, limits=LIMITS)


@pytest.mark.parametrize("steps", [0, 2])
def test_a_file_smuggled_into_history_is_found(steps: int) -> None:
    chain = Chain(own(), steps)
    chain.history[MemberPath("manifest/history/3/payload.sh")] = b""
    with pytest.raises(DigestError, match=r"payload.sh is not named by lineage"):
        lineage.check(chain.current, chain.history, limits=LIMITS)


@pytest.mark.parametrize("make", [own, foreign])
def test_a_kept_manifest_that_was_changed_is_found(make: Make) -> None:
    chain = Chain(make(), 2)
    path = history_paths(parsed(make()).generation).manifest
    chain.history[path] += b" "
    with pytest.raises(DigestError, match="where lineage has"):
        lineage.check(chain.current, chain.history, limits=LIMITS)


def _rewritten(chain: Chain, change: Callable[[dict[str, Any]], None], *, place: int = 0) -> Manifest:
    """Let an attacker who holds the current key rewrite a kept manifest and the lineage that names it."""
    path = MemberPath(chain.current.lineage[place].path)
    kept = json.loads(chain.history[path])
    change(kept)
    chain.history[path] = canonical(kept)
    current = json.loads(chain.data)
    current["lineage"][place]["manifestSha256"] = str(Sha256.of(chain.history[path]))
    return Manifest.parse(canonical(current), limits=LIMITS, where="m")


def _set(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document.update(fields)


def _to_foreign(document: dict[str, Any]) -> None:
    document["artifacts"] = document.pop("files")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        pytest.param(_set(generation=2), "generation 2 kept as generation 3", id="another generation"),
        pytest.param(_set(bundleId="other"), "bundle id 'other' became 'kit-1'", id="another bundle"),
        pytest.param(_set(lineage=[{}]), "missing", id="a lineage that is none"),
        pytest.param(_set(files=[]), "lists no files", id="an empty manifest"),
        pytest.param(_to_foreign, "of foreign shape became own", id="another shape"),
    ],
)
def test_a_rewritten_first_generation_is_refused(change: Callable[[dict[str, Any]], None], fault: str) -> None:
    chain = Chain(own(), 1)
    with pytest.raises(ManifestError, match=fault):
        lineage.check(_rewritten(chain, change), chain.history, limits=LIMITS)


def test_history_is_appended_to_never_rewritten() -> None:
    chain = Chain(own(), 2)
    current = _rewritten(chain, _set(lineage=[]), place=1)
    with pytest.raises(ManifestError, match="history was rewritten"):
        lineage.check(current, chain.history, limits=LIMITS)


def test_a_first_generation_that_claims_a_past_of_its_own_is_refused() -> None:
    other = Chain(own(generation=2), 1)
    chain = Chain(json.loads(other.data), 1)
    # The older step is cut off, in lineage and in history.
    current = json.loads(chain.data)
    current["lineage"] = current["lineage"][1:]
    with pytest.raises(ManifestError, match="history was rewritten"):
        lineage.check(Manifest.parse(canonical(current), limits=LIMITS, where="m"), chain.history, limits=LIMITS)


@pytest.mark.parametrize("make", [own, foreign])
def test_a_skipped_generation_is_refused(make: Make) -> None:
    chain = Chain(make(), 1)
    current = json.loads(chain.data) | {"generation": chain.current.generation + 1}
    with pytest.raises(ManifestError, match="the chain is broken"):
        lineage.check(Manifest.parse(canonical(current), limits=LIMITS, where="m"), chain.history, limits=LIMITS)


def test_a_generation_of_another_time_than_lineage_says_is_refused() -> None:
    chain = Chain(own(), 1)
    current = json.loads(chain.data) | {"createdAt": "2030-01-01T00:00:00Z"}
    with pytest.raises(ManifestError, match="lineage has 2026"):
        lineage.check(Manifest.parse(canonical(current), limits=LIMITS, where="m"), chain.history, limits=LIMITS)


@pytest.mark.parametrize(
    ("changes", "error", "fault"),
    [
        pytest.param({"bundle_id": "x"}, ManifestError, "bundleId is x", id="another bundle"),
        pytest.param({"base_generation": 1, "generation": 2}, ManifestError, "baseGeneration is 1", id="another step"),
        pytest.param({"generation": 9}, ManifestError, "generation is 9", id="another result"),
        pytest.param({"created_at": Timestamp(0)}, ManifestError, "createdAt is 1970", id="another time"),
        pytest.param({"changed": ()}, DigestError, "subjects differ from", id="a change kept quiet"),
        pytest.param({"materials": ()}, DigestError, "materials differ from", id="an old digest kept quiet"),
    ],
)
def test_the_statement_of_another_step_does_not_stand_in(
    changes: Mapping[str, Any], error: type[KitError], fault: str
) -> None:
    chain = Chain(own(), 2)
    step = lineage.check(chain.current, chain.history, limits=LIMITS)[0]
    statement = parse_statement(step.statement)
    step.check_statement(statement)
    with pytest.raises(error, match=fault):
        step.check_statement(replace(statement, **changes))


@pytest.mark.parametrize("name", ["manifest", "base_manifest"])
def test_a_statement_about_other_manifests_is_refused(name: str) -> None:
    chain = Chain(own(), 1)
    step = lineage.check(chain.current, chain.history, limits=LIMITS)[0]
    statement = parse_statement(step.statement)
    other = replace(getattr(statement, name), sha256=digest("other"))
    with pytest.raises(DigestError, match="is manifest"):
        step.check_statement(replace(statement, **{name: other}))


def test_a_statement_that_names_what_did_not_change_is_refused() -> None:
    chain = Chain(own(), 1)
    step = lineage.check(chain.current, chain.history, limits=LIMITS)[0]
    statement = statement_of(step.manifest, chain.current)
    extra = replace(statement.changed[0], path=MemberPath("a.txt"), sha256=digest("a"))
    with pytest.raises(DigestError, match=r"a\.txt"):
        step.check_statement(replace(statement, changed=(extra, *statement.changed)))
