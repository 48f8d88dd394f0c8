"""Content parts: what a message holds, in the form that Responses takes.

What comes in is the ``content`` of a chat message: a string, or an array of parts in Chat's form (``text``,
``image_url``, ``file``), in Responses' own form (``input_text`` and so on), or bare strings.  What comes out are the
parts of schema ``InputContent``, which knows text, images and files, and no audio.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any

from oaiproxy.api.errors import BadRequest
from oaiproxy.bridge.checks import as_object, as_string, missing, unsupported, wrong_type
from oaiproxy.bridge.forms import form_names

#: A part, as JSON.
Part = dict[str, Any]

#: The parts a chat message may have, as an error names them.
KNOWN_PARTS = form_names("messages[].content[].type", taken=True)

#: Parts of other dialects that carry a model's thoughts; upstream cannot use them.
THOUGHTS = frozenset({"thinking", "reasoning", "redacted_thinking"})

#: Part types that are text under another name.
TEXTS = frozenset({"text", "input_text", "output_text", "summary_text"})

_UNHEARD = "Responses takes text, images and files; send a transcript instead."
_UNSEEN = "Responses takes text, images and files; send single images instead."
_NO_FORM: Mapping[str, str] = {"input_audio": _UNHEARD, "audio": _UNHEARD, "video_url": _UNSEEN, "input_video": _UNSEEN}

_UPLOADED = re.compile(r"file[-_][A-Za-z0-9_-]+", re.ASCII)
_BASE64 = re.compile(r"[A-Za-z0-9+/]{8,}={0,2}", re.ASCII)

# first bytes -> media type; WebP is told apart by what follows the length
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
)

# a table of our own: the standard library's reads the machine's, and the same request has to give the same bytes
_BY_SUFFIX = {
    "csv": "text/csv",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "html": "text/html",
    "json": "application/json",
    "md": "text/markdown",
    "pdf": "application/pdf",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "txt": "text/plain",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "xml": "text/xml",
}


def media_type(data: str) -> str | None:
    """The media type of base64 `data` by its first bytes, or None where it is no base64 or nothing known."""
    start = "".join(data[:64].split())[:16]
    if not _BASE64.fullmatch(start):
        return None
    try:
        raw = binascii.a2b_base64(start)
    except binascii.Error:
        return None
    for magic, found in _MAGIC:
        if raw.startswith(magic):
            return found if magic != b"RIFF" or raw[8:12] == b"WEBP" else None
    return None


def _data_url(kind: str, data: str) -> str:
    return f"data:{kind};base64,{''.join(data.split())}"


def text_part(text: str) -> Part:
    """A text for the model to read."""
    return {"type": "input_text", "text": text}


def _text(part: Part, param: str) -> Part:
    if "text" not in part:
        raise missing(f"{param}.text")
    return text_part(as_string(part["text"], f"{param}.text"))


def _image(part: Part, param: str) -> Part:
    """An ``image_url`` or ``input_image`` part: the URL, a data URL, bare base64 or an uploaded file's id."""
    given = part.get("image_url")
    if given is None and part.get("file_id") is None:
        raise missing(f"{param}.image_url")
    source: Mapping[str, Any] = given if isinstance(given, dict) else {"url": given}
    where = f"{param}.image_url.url" if isinstance(given, dict) else f"{param}.image_url"
    file_id = source.get("file_id") or part.get("file_id")
    out: Part = {"type": "input_image"}
    if file_id is not None:
        out["file_id"] = as_string(file_id, f"{param}.file_id")
    else:
        url = as_string(source.get("url"), where).strip()
        if not url:
            raise missing(where)
        kind = media_type(url)
        if _UPLOADED.fullmatch(url):
            out["file_id"] = url
        elif kind and kind.startswith("image/"):
            out["image_url"] = _data_url(kind, url)
        else:
            out["image_url"] = url
    detail = source.get("detail") if source.get("detail") is not None else part.get("detail")
    # the schema of Responses requires it; auto is Chat's default
    out["detail"] = "auto" if detail is None else as_string(detail, f"{param}.image_url.detail")
    return out


def _file_data(data: str, filename: str | None) -> str:
    """File data as upstream wants it: a data URL, where its type can be told."""
    if data.startswith("data:"):
        return data
    kind = media_type(data)
    suffix = (filename or "").rpartition(".")[2].lower()
    if kind is None or kind == "application/zip":
        # an office document is a zip archive; only its name tells which
        kind = _BY_SUFFIX.get(suffix, kind)
    return _data_url(kind, data) if kind else data


def _file_name(data: str) -> str:
    """A name for file data that came without one; upstream tells the type by its suffix."""
    kind = data[5:].partition(";")[0] if data.startswith("data:") else ""
    return next((f"file.{suffix}" for suffix, known in _BY_SUFFIX.items() if known == kind), "file")


def _file(part: Part, param: str) -> Part:
    """A ``file`` or ``input_file`` part: data, an uploaded file's id, or a URL."""
    nested = part.get("file")
    source = part if nested is None else as_object(nested, f"{param}.file")
    where = param if nested is None else f"{param}.file"
    found = {
        key: as_string(source[key], f"{where}.{key}")
        for key in ("file_id", "file_data", "file_url", "url", "filename", "detail")
        if source.get(key)
    }
    url = found.pop("url", None)
    if url is not None:
        found.setdefault("file_url", url)
    if not found.keys() & {"file_id", "file_data", "file_url"}:
        raise BadRequest(
            f"'{where}' names no file. Send file_data (a data URL) with a filename, or the file_id of an upload.",
            param=where,
            code="missing_required_parameter",
        )
    if "file_data" in found:
        found["file_data"] = _file_data(found["file_data"], found.get("filename"))
        found.setdefault("filename", _file_name(found["file_data"]))
    else:
        # an upload and a URL have a name of their own
        found.pop("filename", None)
    return {"type": "input_file", **{key: found[key] for key in sorted(found)}}


_FORMS: Mapping[str, Callable[[Part, str], Part]] = {
    **dict.fromkeys(sorted(TEXTS), _text),
    "image_url": _image,
    "input_image": _image,
    "file": _file,
    "input_file": _file,
}


def part_type(part: Part, param: str) -> str:
    """What a part says it is; a part that says nothing and holds text or an image is taken for that.

    @raise BadRequest: it is not to be told.
    """
    kind = part.get("type")
    if kind is None:
        for key in ("text", "image_url", "file"):
            if key in part:
                return key
        raise missing(f"{param}.type")
    return as_string(kind, f"{param}.type")


def input_part(value: Any, param: str) -> Part:
    """One part of a user's, system's or tool's content.

    @param value: the part as the client sent it.
    @param param: its name in the client's words: ``messages[0].content[1]``.
    @return: a part of schema ``InputContent``.
    @raise BadRequest: it is no part, or Responses has no form for it.
    """
    if isinstance(value, str):
        return text_part(value)
    part = as_object(value, param)
    kind = part_type(part, param)
    form = _FORMS.get(kind)
    if form is not None:
        out = form(part, param)
    elif kind == "refusal":
        out = text_part(as_string(part.get("refusal"), f"{param}.refusal"))
    elif isinstance(part.get("text"), str) and kind not in _NO_FORM:
        out = text_part(part["text"])
    else:
        raise unsupported(kind, f"{param}.type", KNOWN_PARTS, _NO_FORM.get(kind, ""))
    # both APIs have it, in the same place
    mark = part.get("prompt_cache_breakpoint")
    if mark is not None:
        out["prompt_cache_breakpoint"] = as_object(mark, f"{param}.prompt_cache_breakpoint")
    return out


def input_content(content: Any, param: str) -> str | list[Part]:
    """The content of a user, system or developer message.

    @return: a string as it is, or a list of parts of schema ``InputContent``.
    @raise BadRequest: `content` is neither, or empty, or one of its parts is wrong.
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise wrong_type(content, param, "a string or an array of parts")
    if not content:
        raise BadRequest(f"'{param}' is empty. Send a string or at least one part.", param=param, code="empty_array")
    return [input_part(part, f"{param}[{i}]") for i, part in enumerate(content)]


def tool_output(content: Any, param: str) -> str | list[Part]:
    """The content of a tool's result: a string unless it holds more than text.

    @return: what ``function_call_output`` takes as its ``output``.
    @raise BadRequest: `content` is no content, or one of its parts is wrong.
    """
    if content is None or content == []:
        return ""
    parts = input_content(content, param)
    if isinstance(parts, str):
        return parts
    if all(part.keys() == {"type", "text"} for part in parts):
        # some servers take only strings here, and the model reads the same either way
        return "\n".join(part["text"] for part in parts)
    return parts


class AssistantContent:
    """The content of an assistant message, sorted: Responses has places for its text, a refusal, and no more.

    @ivar texts: the texts, in order.
    @ivar refusals: the refusals, in order.
    @ivar media: images and files, as parts of a user's message; upstream takes none in an assistant's.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.refusals: list[str] = []
        self.media: list[Part] = []

    def read(self, content: Any, param: str) -> None:
        """Take the ``content`` of the message: null, a string or an array of parts.

        @raise BadRequest: it is neither, or one of its parts is wrong.
        """
        if content is None:
            return
        if isinstance(content, str):
            self.texts.append(content)
            return
        if not isinstance(content, list):
            raise wrong_type(content, param, "a string or an array of parts")
        for i, part in enumerate(content):
            self._read_part(part, f"{param}[{i}]")

    def _read_part(self, value: Any, param: str) -> None:
        if isinstance(value, dict):
            kind = part_type(value, param)
            if kind in THOUGHTS or kind == "summary_text":
                return
            if kind == "refusal":
                self.refusals.append(as_string(value.get("refusal"), f"{param}.refusal"))
                return
        elif not isinstance(value, str):
            raise wrong_type(value, param, "a string or an object")
        part = input_part(value, param)
        if part["type"] == "input_text":
            self.texts.append(part["text"])
        else:
            self.media.append(part)
