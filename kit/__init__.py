"""Patches, verifies and inspects signed Offline Kits without a database or a network: the public API.

Each verb takes frozen values, returns a frozen report, prints nothing, and raises :class:`KitError` or a subclass::

    from pathlib import Path
    from kit import Expectation, Output, PatchRequest, RawLinkset, Timestamp, load_private, load_public, patch, verify

    publisher, site = load_public("publisher.pub.pem"), load_private("site.pem")
    report = patch(
        PatchRequest(
            kit=Path("kit.tar.zst"),
            transforms=(RawLinkset(),),
            trusted={publisher.key_id: publisher},
            created_at=Timestamp.parse("2026-01-01T00:00:00Z"),
        ),
        Output(path=Path("patched.tar.zst"), key=site),
    )
    keys = {publisher.key_id: publisher, site.public.key_id: site.public}
    assert verify(Path("patched.tar.zst"), Expectation(trusted=keys)).valid

Field encryption has one more step, a keyring (``docs/library.md``)::

    create_keyring(path, new_keyring(PassphraseRecord.make(passphrase, random=os.urandom), now=now))
    sealing = EncryptFields(field_map=shipped("notelett-2"), profile=Profile.COMPAT)
    PatchRequest(…, transforms=(sealing,), keying=Keying(…))
    verify(…, mapped=FieldExpectation(field_map=…, keys=unlock_keyring(…).key_set()))

Whatever is not named here may change without notice; what is written to disk is fixed by the documents in ``schemas/``.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kit.api import *  # noqa: F403  one list of names, in kit.api


def __getattr__(name: str) -> Any:
    # A command, or a program that needs one verb, must not pay for importing all of the package (PEP 562). A submodule
    # is asked for here before it is imported, and is no name of the API.
    if name == "__all__" or not (name.startswith("_") or find_spec(f"{__name__}.{name}")):
        api = import_module("kit.api")
        if name == "__all__" or name in api.__all__:
            return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *import_module("kit.api").__all__})
