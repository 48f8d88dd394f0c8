from __future__ import annotations

import struct
from base64 import b64decode
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.demo.embeddings import vector
from tests.demo.support import Demo

_MODEL = "text-embedding-3-small"


def _embed(value: Any, **more: Any) -> Any:
    return Demo().post("/v1/embeddings", model=_MODEL, input=value, **more)


def _likeness(one: str, other: str) -> float:
    return sum(a * b for a, b in zip(vector(one, 512), vector(other, 512), strict=True))


class EmbeddingTests(SynchronousTestCase):
    def test_each_input_has_its_vector(self) -> None:
        answer = _embed(["an owl", "a cat"])
        self.assertEqual([item["index"] for item in answer["data"]], [0, 1])
        self.assertEqual([len(item["embedding"]) for item in answer["data"]], [1536, 1536])
        self.assertNotEqual(answer["data"][0]["embedding"], answer["data"][1]["embedding"])
        self.assertEqual(answer["usage"], {"prompt_tokens": 4, "total_tokens": 4})

    def test_both_encodings_hold_the_same_numbers(self) -> None:
        floats = _embed("an owl", dimensions=8)["data"][0]["embedding"]
        packed = _embed("an owl", dimensions=8, encoding_format="base64")["data"][0]["embedding"]
        self.assertEqual(list(struct.unpack("<8f", b64decode(packed))), floats)

    def test_a_vector_has_length_one_and_is_always_the_same(self) -> None:
        self.assertAlmostEqual(sum(value * value for value in vector("an owl", 512)), 1.0, places=5)
        self.assertEqual(vector("an owl", 512), vector("an owl", 512))
        self.assertEqual(vector("", 3), [1.0, 0.0, 0.0])

    def test_texts_that_share_words_are_alike(self) -> None:
        self.assertGreater(_likeness("the owl hunts mice", "an Owl hunts"), 0.4)
        self.assertLess(abs(_likeness("the owl hunts mice", "stock market prices")), 0.2)

    def test_token_numbers_are_taken(self) -> None:
        self.assertEqual(len(_embed([1, 2, 3])["data"]), 1)
        self.assertEqual(len(_embed([[1], [2, 3]])["data"]), 2)

    def test_what_is_refused(self) -> None:
        for wrong, param in (
            ({"input": ""}, "input"),
            ({"input": []}, "input"),
            ({"input": ["a", ""]}, "input[1]"),
            ({"input": ["a", 1]}, "input"),
            ({"input": [[]]}, "input[0]"),
            ({"input": {}}, "input"),
            ({"input": ["a"] * 2049}, "input"),
            ({"dimensions": 1537}, "dimensions"),
            ({"dimensions": 0}, "dimensions"),
            ({"encoding_format": "hex"}, "encoding_format"),
            ({"foo": 1}, "foo"),
        ):
            error = Demo().error("/v1/embeddings", **{"model": _MODEL, "input": "x", **wrong})
            self.assertEqual((error["status"], error["param"]), (400, param))

    def test_an_error_asked_for(self) -> None:
        self.assertEqual(Demo().error("/v1/embeddings", model=_MODEL, input="demo:error=429")["status"], 429)
