"""What a JSON text stands for: pymongo's Extended JSON is the oracle, and the verdicts of JSONTestSuite are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bson
import pytest
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.json_util import JSONOptions, loads
from hypothesis import assume, given, strategies as st

from kit.documents import Run, validate
from kit.documents.json_runs import json_array, json_lines
from kit.documents.json_view import view
from kit.errors import BsonError, KitError, LimitError
from kit.values import Limits
from kit.verbs.extract.documents import extended_json
from tests.documents.strategies import DOCUMENTS
from tests.documents.test_corpus import CORPUS

SUITE = Path(__file__).parents[2].parent / "shared/data/suites/json"
LIMITS = Limits()
OPTIONS = JSONOptions(document_class=dict, datetime_conversion=DatetimeConversion.DATETIME_MS)
CODEC: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
# By design, not against it: RFC 7493 refuses repeated names, and a BSON name ends at a NUL.
REFUSED_BY_DESIGN = {
    "y_object_duplicated_key",
    "y_object_duplicated_key_and_value",
    "y_object_escaped_null_in_key",
}
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5).filter(
    lambda name: not name.startswith("$") and name not in {"_id", "id"}
)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
JSON_DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=5)


def see(text: str | bytes, **limits: int) -> bytes:
    return view(text.encode() if isinstance(text, str) else text, limits=LIMITS.with_overrides(limits))


class TestView:
    @given(JSON_DOCUMENTS, st.booleans(), st.sampled_from([None, 1]))
    def test_plain_json_is_what_pymongo_encodes(self, document: Any, ascii_: bool, indent: int | None) -> None:  # noqa: FBT001
        text = json.dumps(document, ensure_ascii=ascii_, indent=indent)
        assert see(text) == bson.encode(document)
        validate(see(text), limits=LIMITS)

    @given(DOCUMENTS)
    def test_canonical_extended_json_gives_the_document_that_it_was_made_of(self, document: bytes) -> None:
        try:
            line = extended_json(document)
        except BsonError:
            assume(False)
        if b'"id"' in line:
            return
        assert see(line) == document

    def test_the_corpus_gives_the_documents_that_it_names(self) -> None:
        if not CORPUS.is_dir():
            pytest.skip("the corpus is kept outside the project")
        compared = 0
        for path in sorted(CORPUS.glob("*.json")):
            for case in json.loads(path.read_text(encoding="utf-8")).get("valid", []):
                if path.stem in {"top", "dbref"} or "degenerate_extjson" in case or case.get("lossy"):
                    continue
                assert see(case["canonical_extjson"].strip()) == bytes.fromhex(case["canonical_bson"]), case
                compared += 1
        assert compared > 350

    @pytest.mark.parametrize(
        "text",
        [
            '{"$date":"2020-02-29T23:59:59.999Z"}',
            '{"$date":"1969-12-31T23:59:59.5+02:00"}',
            '{"$date":{"$numberLong":"-1"}}',
            '{"$uuid":"73ffd264-44b3-4c69-90e8-e7d1dfc035d4"}',
            '{"$numberDouble":"-Infinity"}',
            '{"$numberDecimal":"1E+3"}',
            '{"$timestamp":{"t":4294967295,"i":1}}',
            '{"$regularExpression":{"pattern":"a","options":"xi"}}',
            '{"$code":"f","$scope":{"a":1}}',
            '{"$ref":"a","$id":1}',
            '{"$schema":"https://example.com"}',
        ],
    )
    def test_types_are_read_as_pymongo_reads_them(self, text: str) -> None:
        text = f'{{"a":{text}}}'
        assert see(text) == bson.encode(loads(text, json_options=OPTIONS), codec_options=CODEC)

    @pytest.mark.parametrize(
        "value",
        [
            '{"$oid":"a"}',
            '{"$oid":1}',
            '{"$oid":"0123456789abcdef01234567","a":1}',
            '{"$numberLong":"1.5"}',
            '{"$numberLong":"9223372036854775808"}',
            '{"$numberLong":{"$symbol":"1"}}',
            '{"$numberInt":"2147483648"}',
            '{"$numberInt":1}',
            '{"$numberDouble":"1e999"}',
            '{"$numberDouble":"nan"}',
            '{"$numberDecimal":"1_0"}',
            '{"$date":1}',
            '{"$date":12345678901}',
            '{"$date":"2020-02-30T00:00:00Z"}',
            '{"$date":"2020-01-01T24:00:00Z"}',
            '{"$date":"2020-01-01"}',
            '{"$binary":"AAAA"}',
            '{"$binary":{"base64":"A","subType":"00"}}',
            '{"$binary":{"base64":"AAAA","subType":"100"}}',
            '{"$timestamp":{"t":-1,"i":0}}',
            '{"$timestamp":{"t":4294967296,"i":0}}',
            '{"$timestamp":{"t":1}}',
            '{"$regularExpression":{"pattern":"\\u0000","options":""}}',
            '{"$scope":{}}',
            '{"$minKey":2}',
            '{"$undefined":false}',
            '{"$uuid":"73ffd26444b34c6990e8e7d1dfc035d4"}',
        ],
    )
    def test_another_shape_of_a_type_is_an_error(self, value: str) -> None:
        with pytest.raises(BsonError, match="as Extended JSON has it"):
            see(f'{{"a":{value}}}')

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ('{"a":1,"a":2}', "byte 7: a name is there twice"),
            ('{"a":{"b":1,"\\u0062":1}}', "twice"),
            ('{"a":[{"b":1,"b":1}]}', "twice"),
            ('{"a":{"$oid":"0123456789abcdef01234567","$oid":"0123456789abcdef01234567"}}', "twice"),
            ('{"a":"\\ud800"}', "lone surrogate"),
            ('{"a":"\\udc00\\ud800"}', "lone surrogate"),
            (b'{"a":"\xed\xa0\x80"}', "not UTF-8"),
            (b'{"a":"\xff"}', "not UTF-8"),
            (b'\xef\xbb\xbf{"a":1}', "byte 0: is no JSON object"),
            ('{"a":1e400}', "beyond a double"),
            ("1" * 400 and f'{{"a":{"1" * 400}}}', "beyond a double"),
            ('{"a":NaN}', "byte 5"),
            ('{"a":1,}', "byte 7"),
            ('{"a":[1,]}', "byte 8"),
            ('{"a":01}', "byte 6"),
            ('{"a":"\t"}', "byte 5"),
            ('{"a" 1}', "byte 5"),
            ('{"a":1}{"b":1}', "byte 7: something follows"),
            ('{"a":1', "ends inside"),
            ('{"a', "byte 1"),
            ("[]", "is no JSON object"),
            ("", "is no JSON object"),
            ('{"\\u0000":1}', "a name contains NUL"),
            ('{"_id":1,"id":1.0}', "has an _id and an id that differ"),
            ('{"$minKey":1}', "is no document"),
        ],
    )
    def test_what_is_not_strict_is_an_error(self, text: str | bytes, words: str) -> None:
        with pytest.raises(BsonError, match=words):
            see(text)

    def test_the_id_is_the_identity_where_there_is_no_other(self) -> None:
        assert bson.decode(see('{"a":1,"id":"x"}')) == {"_id": "x", "a": 1, "id": "x"}
        assert bson.decode(see('{"id":"x","_id":"\\u0078"}')) == {"id": "x", "_id": "x"}

    def test_names_of_other_languages_are_names(self) -> None:
        assert bson.decode(see('{"__proto__":{"constructor":1}}')) == {"__proto__": {"constructor": 1}}

    def test_bombs_are_over_a_limit(self) -> None:
        with pytest.raises(LimitError, match="document_depth"):
            see('{"a":' + "[" * 100_000)
        with pytest.raises(LimitError, match="document_elements"):
            see('{"a":[' + "0," * 100 + "0]}", document_elements=50)
        with pytest.raises(LimitError, match="document_bytes"):
            see('{"a":1}', document_bytes=6)

    @pytest.mark.skipif(not SUITE.is_dir(), reason="the suite is kept outside the project")
    def test_the_verdicts_of_the_suite_are_kept(self) -> None:
        seen = 0
        for path in sorted(SUITE.glob("*.json")):
            text = b'{"_id":' + path.read_bytes() + b"}"
            try:
                see(text)
                accepted = True
            except KitError:
                accepted = False
            due = {"y": path.stem not in REFUSED_BY_DESIGN, "n": False}.get(path.name[0], accepted)
            assert accepted == due, path.name
            seen += 1
        assert seen > 300


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    chunks, at = [], 0
    for size in sizes:
        chunks.append(data[at : at + size])
        at += size
    return [*chunks, data[at:]]


class TestRuns:
    @given(st.lists(JSON_DOCUMENTS, max_size=6), st.lists(st.integers(0, 40), max_size=8), st.integers(1, 200))
    def test_every_byte_is_in_one_run_however_it_came(self, documents: Any, sizes: list[int], target: int) -> None:
        texts = [json.dumps(one, ensure_ascii=False).encode() for one in documents]
        lines = b"".join(b" " * number + text + b"\r\n" for number, text in enumerate(texts))
        array = b"[ " + b" ,\n".join(texts) + b"]\n"
        for read, data in ((json_lines, lines), (json_array, array)):
            found: list[Run] = list(read(cut(data, sizes), limits=LIMITS, target=target))
            assert b"".join(run.stored for run in found) == data
            assert [text for run in found for text in run.originals] == texts
            assert [document for run in found for document in run] == [bson.encode(one) for one in documents]
            whole = list(read([data], limits=LIMITS, target=target))
            assert found == whole

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("\n", "document 0: byte 0: an empty line"),
            ("{}\n\n{}", "document 1: byte 3: an empty line"),
            ("{}{}\n", "document 0: byte 2: something follows"),
            ("{}\n[]\n", "document 1: byte 3: is no JSON object"),
            ('{}\n  {"a":x}', "document 1: byte 10: is no JSON here"),
            ("{}\n{", "document 1: byte 4: ends inside"),
            ("\ufeff{}\n", "document 0: byte 0: is no JSON object"),
            ("{}\0\n", "document 0: byte 2: something follows"),
        ],
    )
    def test_lines_are_strict(self, text: str, words: str) -> None:
        with pytest.raises(BsonError, match=words):
            list(json_lines([text.encode()], limits=LIMITS))

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "byte 0: the array does not end"),
            ("{}", "byte 0: is no \\[ of an array"),
            ("[{}", "the array does not end"),
            ("[{},]", "byte 4: is no JSON object"),
            ("[{}{}]", "document 1: byte 3: is no , of an array"),
            ("[{}],", "document 1: byte 4: something follows the array"),
            ("[1]", "byte 1: is no JSON object"),
            ("[,{}]", "byte 1: is no JSON object"),
            ("[[]]", "byte 1: is no JSON object"),
            ('[{"a":]}]', "document 0: byte 6"),
            ('[{"a":"]', "the array does not end"),
        ],
    )
    def test_arrays_are_strict(self, text: str, words: str) -> None:
        for chunks in ([text.encode()], [bytes([byte]) for byte in text.encode()]):
            with pytest.raises(BsonError, match=words):
                list(json_array(chunks, limits=LIMITS))

    @pytest.mark.parametrize("read", [json_lines, json_array])
    def test_a_document_without_end_is_refused_before_it_is_held(self, read: Any) -> None:
        taken = 0

        def chunks() -> Any:
            nonlocal taken
            yield b'[{"a":"' if read is json_array else b'{"a":"'
            while True:
                taken += 1
                yield b"x" * 65_536

        with pytest.raises(LimitError, match="document_bytes"):
            list(read(chunks(), limits=LIMITS.with_overrides({"document_bytes": 1 << 20})))
        assert taken < 100
