"""The names of the public API, and where each lives; :mod:`kit` gives them out, each imported on first use.

A program that verifies kits does not load what patches them: most of the time of a short program is imports.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kit.documents import append as append_element, index as index_elements
    from kit.encryption import (
        AgeRecord,
        Credentials,
        FieldMap,
        Keyring,
        KeyringFile,
        KeySet,
        PassphraseRecord,
        Profile,
        RandomIv,
        RsaRecord,
        Scope,
        SyntheticIv,
        UnlockedKeyring,
        create as create_keyring,
        load as load_keyring,
        new_keyring,
        rewrap as rewrap_keyring,
        shipped,
        unlock as unlock_keyring,
    )
    from kit.encryption.approval import DocumentName
    from kit.engine.progress import Advanced, BatchDone, PassDone, PassStarted, Progress, Stage
    from kit.errors import KitError
    from kit.migrations import Decision, Kind, Migration, Rollback, StopRules, Validation, built_in, parse_migration
    from kit.reports.verify_page import Occasion, verdict_page
    from kit.signing import (
        Algorithm,
        PrivateKey,
        PublicKey,
        generate,
        load_private,
        load_public,
        load_public_keys,
        write_private,
        write_public,
    )
    from kit.transforms.coverage import is_observations, tenant_named
    from kit.transforms.encrypt_fields import EncryptFields
    from kit.transforms.protocol import Change, Finding, Lookup, Selection as TransformSelection, Transform
    from kit.transforms.raw_linkset import CacheMap, RawLinkset, parse_cache_map
    from kit.transforms.raw_linkset.extractor import Extractor
    from kit.transforms.raw_linkset.projection import Extraction, Projection, Reference, Relationship
    from kit.values import CollectionName, Limit, Limits, Timestamp
    from kit.verbs.census import CensusReport, CensusRequest, take_census
    from kit.verbs.create import CreateReport, CreateRequest, SignRequest, create_kit, sign_kit
    from kit.verbs.delta.apply import DeltaApplyReport, DeltaApplyRequest, apply_delta, resume_delta
    from kit.verbs.delta.build import DeltaBuildReport, DeltaBuildRequest, DeltaSquashRequest, build_delta
    from kit.verbs.delta.squash import squash_deltas
    from kit.verbs.delta.verify import (
        DeltaInspectReport,
        DeltaVerifyReport,
        DeltaVerifyRequest,
        inspect_delta,
        verify_delta,
    )
    from kit.verbs.diff.diff import DiffReport, DiffRequest, diff
    from kit.verbs.extract.documents import Form, KeptProjections, Selection
    from kit.verbs.extract.extract import Destination, ExtractedFile, ExtractReport, ExtractRequest, extract
    from kit.verbs.find import FindReport, FindRequest, find
    from kit.verbs.inspect import InspectReport, inspect
    from kit.verbs.members import CatReport, CatRequest, KitMember, MemberKind, MembersReport, cat, list_members
    from kit.verbs.online.export import ExportReport, ExportRequest, export_changes
    from kit.verbs.online.records import DatabaseTool
    from kit.verbs.patch.patch import Output, PatchReport, PatchRequest, patch, plan
    from kit.verbs.patch.plan import Aim
    from kit.verbs.patch.request import Keying
    from kit.verbs.prove.proof import Proof
    from kit.verbs.prove.prove import ProofReport, ProveRequest, check as check_proof, prove
    from kit.verbs.recover import RecoverReport, RecoverRequest, recover
    from kit.verbs.rollback import RollbackReport, RollbackRequest, rollback
    from kit.verbs.selftest import SelftestReport, selftest
    from kit.verbs.verify.field_proof import Comparison, FieldExpectation, MemberFields
    from kit.verbs.verify.judgement import Gap
    from kit.verbs.verify.kits import Environment
    from kit.verbs.verify.obligations import Expectation
    from kit.verbs.verify.verify import VerifyReport, verify

__all__ = [
    "Advanced",
    "AgeRecord",
    "Aim",
    "Algorithm",
    "BatchDone",
    "CacheMap",
    "CatReport",
    "CatRequest",
    "CensusReport",
    "CensusRequest",
    "Change",
    "CollectionName",
    "Comparison",
    "CreateReport",
    "CreateRequest",
    "Credentials",
    "DatabaseTool",
    "Decision",
    "DeltaApplyReport",
    "DeltaApplyRequest",
    "DeltaBuildReport",
    "DeltaBuildRequest",
    "DeltaInspectReport",
    "DeltaSquashRequest",
    "DeltaVerifyReport",
    "DeltaVerifyRequest",
    "Destination",
    "DiffReport",
    "DiffRequest",
    "DocumentName",
    "EncryptFields",
    "Environment",
    "Expectation",
    "ExportReport",
    "ExportRequest",
    "ExtractReport",
    "ExtractRequest",
    "ExtractedFile",
    "Extraction",
    "Extractor",
    "FieldExpectation",
    "FieldMap",
    "FindReport",
    "FindRequest",
    "Finding",
    "Form",
    "Gap",
    "InspectReport",
    "KeptProjections",
    "KeySet",
    "Keying",
    "Keyring",
    "KeyringFile",
    "Kind",
    "KitError",
    "KitMember",
    "Limit",
    "Limits",
    "Lookup",
    "MemberFields",
    "MemberKind",
    "MembersReport",
    "Migration",
    "Occasion",
    "Output",
    "PassDone",
    "PassStarted",
    "PassphraseRecord",
    "PatchReport",
    "PatchRequest",
    "PrivateKey",
    "Profile",
    "Progress",
    "Projection",
    "Proof",
    "ProofReport",
    "ProveRequest",
    "PublicKey",
    "RandomIv",
    "RawLinkset",
    "RecoverReport",
    "RecoverRequest",
    "Reference",
    "Relationship",
    "Rollback",
    "RollbackReport",
    "RollbackRequest",
    "RsaRecord",
    "Scope",
    "Selection",
    "SelftestReport",
    "SignRequest",
    "Stage",
    "StopRules",
    "SyntheticIv",
    "Timestamp",
    "Transform",
    "TransformSelection",
    "UnlockedKeyring",
    "Validation",
    "VerifyReport",
    "append_element",
    "apply_delta",
    "build_delta",
    "built_in",
    "cat",
    "check_proof",
    "create_keyring",
    "create_kit",
    "diff",
    "export_changes",
    "extract",
    "find",
    "generate",
    "index_elements",
    "inspect",
    "inspect_delta",
    "is_observations",
    "list_members",
    "load_keyring",
    "load_private",
    "load_public",
    "load_public_keys",
    "new_keyring",
    "parse_cache_map",
    "parse_migration",
    "patch",
    "plan",
    "prove",
    "recover",
    "resume_delta",
    "rewrap_keyring",
    "rollback",
    "selftest",
    "shipped",
    "sign_kit",
    "squash_deltas",
    "take_census",
    "tenant_named",
    "unlock_keyring",
    "verdict_page",
    "verify",
    "verify_delta",
    "write_private",
    "write_public",
]

_HOMES: Final = {
    "kit.documents": ("append append_element", "index index_elements"),
    "kit.encryption": (
        *("AgeRecord", "Credentials", "FieldMap", "Keyring", "KeyringFile", "KeySet", "PassphraseRecord", "Profile"),
        *("RandomIv", "RsaRecord", "Scope", "SyntheticIv", "UnlockedKeyring", "create create_keyring"),
        *("load load_keyring", "new_keyring", "rewrap rewrap_keyring", "shipped", "unlock unlock_keyring"),
    ),
    "kit.encryption.approval": ("DocumentName",),
    "kit.engine.progress": ("Advanced", "BatchDone", "PassDone", "PassStarted", "Progress", "Stage"),
    "kit.errors": ("KitError",),
    "kit.migrations": (
        *("Decision", "Kind", "Migration", "Rollback", "StopRules", "Validation", "built_in", "parse_migration"),
    ),
    "kit.reports.verify_page": ("Occasion", "verdict_page"),
    "kit.signing": (
        *("Algorithm", "PrivateKey", "PublicKey", "generate", "load_private", "load_public", "load_public_keys"),
        *("write_private", "write_public"),
    ),
    "kit.transforms.coverage": ("is_observations", "tenant_named"),
    "kit.transforms.encrypt_fields": ("EncryptFields",),
    "kit.transforms.protocol": ("Change", "Finding", "Lookup", "Selection TransformSelection", "Transform"),
    "kit.transforms.raw_linkset": ("CacheMap", "RawLinkset", "parse_cache_map"),
    "kit.transforms.raw_linkset.extractor": ("Extractor",),
    "kit.transforms.raw_linkset.projection": ("Extraction", "Projection", "Reference", "Relationship"),
    "kit.values": ("CollectionName", "Limit", "Limits", "Timestamp"),
    "kit.verbs.create": ("CreateReport", "CreateRequest", "SignRequest", "create_kit", "sign_kit"),
    "kit.verbs.delta.apply": ("DeltaApplyReport", "DeltaApplyRequest", "apply_delta", "resume_delta"),
    "kit.verbs.delta.build": ("DeltaBuildReport", "DeltaBuildRequest", "DeltaSquashRequest", "build_delta"),
    "kit.verbs.delta.squash": ("squash_deltas",),
    "kit.verbs.delta.verify": (
        *("DeltaInspectReport", "DeltaVerifyReport", "DeltaVerifyRequest", "inspect_delta", "verify_delta"),
    ),
    "kit.verbs.diff.diff": ("DiffReport", "DiffRequest", "diff"),
    "kit.verbs.extract.documents": ("Form", "KeptProjections", "Selection"),
    "kit.verbs.extract.extract": ("Destination", "ExtractedFile", "ExtractReport", "ExtractRequest", "extract"),
    "kit.verbs.census": ("CensusReport", "CensusRequest", "take_census"),
    "kit.verbs.find": ("FindReport", "FindRequest", "find"),
    "kit.verbs.members": (
        *("CatReport", "CatRequest", "KitMember", "MemberKind", "MembersReport", "cat", "list_members"),
    ),
    "kit.verbs.inspect": ("InspectReport", "inspect"),
    "kit.verbs.online.export": ("ExportReport", "ExportRequest", "export_changes"),
    "kit.verbs.online.records": ("DatabaseTool",),
    "kit.verbs.patch.patch": ("Output", "PatchReport", "PatchRequest", "patch", "plan"),
    "kit.verbs.patch.plan": ("Aim",),
    "kit.verbs.patch.request": ("Keying",),
    "kit.verbs.prove.proof": ("Proof",),
    "kit.verbs.prove.prove": ("ProofReport", "ProveRequest", "check check_proof", "prove"),
    "kit.verbs.recover": ("RecoverReport", "RecoverRequest", "recover"),
    "kit.verbs.rollback": ("RollbackReport", "RollbackRequest", "rollback"),
    "kit.verbs.selftest": ("SelftestReport", "selftest"),
    "kit.verbs.verify.field_proof": ("Comparison", "FieldExpectation", "MemberFields"),
    "kit.verbs.verify.judgement": ("Gap",),
    "kit.verbs.verify.kits": ("Environment",),
    "kit.verbs.verify.obligations": ("Expectation",),
    "kit.verbs.verify.verify": ("VerifyReport", "verify"),
}
"""By module: its names, each with the public one where that is another. A test compares them with the imports above."""
_PLACES: Final = {
    words[-1]: (module, words[0]) for module, names in _HOMES.items() for words in (name.split() for name in names)
}
"""By public name: module and name there."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, own = _PLACES[name]
    value = globals()[name] = getattr(import_module(module), own)
    return value
