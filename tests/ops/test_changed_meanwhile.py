"""A kit is read more than once: what was there the first time and is gone the next is never passed over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kit.engine.progress import Event, PassDone
from kit.errors import DigestError
from kit.signing import Algorithm, generate
from kit.verbs.extract.extract import Destination, ExtractRequest, extract
from kit.verbs.verify.kits import Environment
from kit.verbs.verify.obligations import Expectation
from kit.verbs.verify.verify import verify
from tests.kits import OBSERVATIONS, signed, small_files, write_kit

KEY = generate(Algorithm.ES256)
TRUSTED = {KEY.public.key_id: KEY.public}


class Thief:
    """Takes a file away when the first reading is over."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def tell(self, event: Event) -> None:
        if isinstance(event, PassDone):
            self._file.unlink(missing_ok=True)


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    return write_kit(tmp_path / "kit", signed(small_files(), KEY))


def environment(kit: Path) -> Environment:
    return Environment(workers=1, progress=Thief(kit / OBSERVATIONS))


def test_documents_that_nobody_looked_into_are_not_proven(kit: Path) -> None:
    deep = replace(Expectation(trusted=TRUSTED), deep=True)
    assert isinstance(verify(kit, deep, environment(kit)).failure, DigestError)


def test_documents_that_are_gone_are_not_left_out_of_what_is_extracted(kit: Path, tmp_path: Path) -> None:
    request = ExtractRequest(
        kit=kit,
        trusted=TRUSTED,
        destination=Destination(path=tmp_path / "dump"),
        environment=environment(kit),
    )
    with pytest.raises(DigestError, match="changed while it was being read"):
        extract(request)
    assert not (tmp_path / "dump").exists()
