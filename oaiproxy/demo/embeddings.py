"""The embeddings API of the demo: vectors that follow from the words, so that like texts have like vectors."""

from __future__ import annotations

import hashlib
import math
import struct
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from oaiproxy.api.errors import BadRequest
from oaiproxy.api.request import decode_object
from oaiproxy.demo import directives, tokens
from oaiproxy.demo.answers import Usage
from oaiproxy.demo.checks import array, fields, integer, nullable, one_of, string, wrong_type
from oaiproxy.demo.reply import Reply, whole
from oaiproxy.demo.world import World

#: Model -> the length of its vectors.
_DIMENSIONS: Mapping[str, int] = {"text-embedding-3-large": 3072}
_DEFAULT_DIMENSIONS = 1536

#: How many places of the vector a word has a say in.
_PLACES = 8

_MOST_INPUTS = 2048


def _input(value: Any, path: str) -> None:
    """Takes a text, token numbers, or an array of either; nothing in it may be empty."""
    if isinstance(value, str):
        string(least=1)(value, path)
    elif not isinstance(value, list):
        raise wrong_type(path, "one of a string or array", value)
    else:
        array(_one_input, least=1, most=_MOST_INPUTS)(value, path)
        if len({type(item) for item in value}) > 1:
            raise BadRequest(f"Invalid '{path}': all of its items must be of one type.", param=path)


def _one_input(value: Any, path: str) -> None:
    if isinstance(value, str):
        string(least=1)(value, path)
    elif isinstance(value, list):
        array(integer(least=0), least=1)(value, path)
    else:
        integer(least=0)(value, path)


_check = fields(
    {
        "dimensions": nullable(integer(least=1)),
        "encoding_format": nullable(one_of("float", "base64")),
        "input": _input,
        "model": string(least=1),
        "user": nullable(string()),
    },
    "model",
    "input",
)


def create(body: bytes, world: World) -> Reply:
    """Answer ``POST /v1/embeddings`` (schema ``CreateEmbeddingResponse``).

    @raise ApiError: the API does not take the request, or its text asks for an error.
    """
    request = decode_object(body)
    _check(request, "")
    most = _DIMENSIONS.get(request["model"], _DEFAULT_DIMENSIONS)
    dimensions = request.get("dimensions") or most
    if dimensions > most:
        raise BadRequest(
            f"Invalid value for 'dimensions' = {dimensions}. Must be less than or equal to {most}.", param="dimensions"
        )
    inputs = _inputs(request["input"])
    asked = directives.parse(inputs[-1], "input")
    if asked.error is not None:
        raise directives.error(asked.error)
    packed = request.get("encoding_format") == "base64"
    vectors = [vector(text, dimensions) for text in inputs]
    usage = Usage(tokens.count(inputs), 0)
    return whole(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": _packed(values) if packed else values}
                for index, values in enumerate(vectors)
            ],
            "model": request["model"],
            "usage": {"prompt_tokens": usage.input, "total_tokens": usage.input},
        },
        asked,
    )


def _inputs(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value[0], int):
        return [_numbers(value)]
    return [item if isinstance(item, str) else _numbers(item) for item in value]


def _numbers(value: Sequence[int]) -> str:
    return " ".join(map(str, value))


def vector(text: str, dimensions: int) -> list[float]:
    """The embedding of a text: of length 1, and nearer to another's the more words they share.

    @return: numbers of single precision, so that both encodings hold the same ones.
    """
    values = [0.0] * dimensions
    for token in tokens.split(text):
        digest = hashlib.sha256(token.strip().lower().encode()).digest()
        for place in struct.unpack(f">{_PLACES}I", digest[: 4 * _PLACES]):
            values[(place >> 1) % dimensions] += 1.0 if place & 1 else -1.0
    length = math.sqrt(sum(value * value for value in values))
    if not length:
        # the words cancelled each other out
        values[0] = length = 1.0
    return list(struct.unpack(f"<{dimensions}f", struct.pack(f"<{dimensions}f", *(v / length for v in values))))


def _packed(values: Sequence[float]) -> str:
    """Numbers as the API packs them: little-endian 32-bit floats in base64."""
    return b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
