"""The files API of the demo: uploads in, and binary content back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from oaiproxy.api.errors import ApiError, NotFound
from oaiproxy.demo.checks import missing
from oaiproxy.demo.multipart import Part
from oaiproxy.demo.reply import Reply, whole
from oaiproxy.demo.world import StoredFile, World

#: ``file-demo-SIZE``: a file that nobody uploaded, of so many bytes.
_MADE_UP = re.compile(r"file-demo-(\d{1,11})")

#: How many bytes of a large file are sent at a time.
_PIECE = 16 * 1024

#: The bytes of a made-up file: all values there are, over and over, in pieces that no text decoder takes.
_PATTERN = bytes(range(256)) * (_PIECE // 256)


def field(parts: Sequence[Part], name: str) -> Part:
    """The part of a form with that name.

    @raise BadRequest: there is none.
    """
    for part in parts:
        if part.name == name:
            return part
    raise missing(name)


def create(parts: Sequence[Part], world: World) -> Reply:
    """Answer ``POST /v1/files``: a file object, with the checksum of what came beside it.

    @raise BadRequest: a field is missing.
    """
    upload = field(parts, "file")
    purpose = field(parts, "purpose").text
    file = {
        "id": world.new_id("file-"),
        "object": "file",
        "bytes": upload.size,
        "created_at": world.now(),
        "filename": upload.filename or "upload",
        "purpose": purpose,
        "status": "processed",
        "sha256": upload.sha256,
    }
    world.files.put(str(file["id"]), StoredFile(file, upload.content), len(upload.kept) + 1000)
    return whole(file)


def list_all(world: World) -> Reply:
    """Answer ``GET /v1/files``: the newest first."""
    data = [stored.file for stored in reversed(world.files.values())]
    return whole({"object": "list", "data": data, "has_more": False})


def retrieve(file_id: str, world: World) -> Reply:
    """Answer ``GET /v1/files/{id}``.

    @raise NotFound: there is no such file.
    """
    return whole(_find(file_id, world).file)


def delete(file_id: str, world: World) -> Reply:
    """Answer ``DELETE /v1/files/{id}``.

    @raise NotFound: there is no such file.
    """
    if not world.files.drop(file_id):
        raise _no_file(file_id)
    return whole({"id": file_id, "object": "file", "deleted": True})


def content(file_id: str, world: World) -> Reply:
    """Answer ``GET /v1/files/{id}/content``: the bytes that were uploaded, or those of ``file-demo-SIZE``.

    @raise NotFound: there is no such file, or it was too large to keep its content.
    """
    made_up = _MADE_UP.fullmatch(file_id)
    if made_up:
        size = int(made_up[1])
        return Reply(_pattern(size), content_type="application/octet-stream", length=size)
    stored = _find(file_id, world)
    if stored.content is None:
        raise NotFound(
            f"The content of {file_id} was too large for oaiproxy's demo upstream to keep; its checksum is in the "
            "file object.",
            param="id",
        )
    name = re.sub(r"[^ !#-\[\]-~]", "_", str(stored.file["filename"]))
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    body = stored.content
    return Reply([body], content_type="application/octet-stream", headers=headers, length=len(body))


def _pattern(size: int) -> Iterator[bytes]:
    for start in range(0, size, _PIECE):
        yield _PATTERN[: min(_PIECE, size - start)]


def _find(file_id: str, world: World) -> StoredFile:
    made_up = _MADE_UP.fullmatch(file_id)
    if made_up:
        return StoredFile(_made_up(file_id, int(made_up[1])), None)
    stored = world.files.get(file_id)
    if stored is None:
        raise _no_file(file_id)
    return stored


def _made_up(file_id: str, size: int) -> Mapping[str, Any]:
    return {
        "id": file_id,
        "object": "file",
        "bytes": size,
        "created_at": 0,
        "filename": f"{size}.bin",
        "purpose": "user_data",
        "status": "processed",
    }


def _no_file(file_id: str) -> ApiError:
    return NotFound(f"No such File object: {file_id}", param="id")
