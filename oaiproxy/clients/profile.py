"""What a client profile says: the ways in which clients differ in what they take."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from oaiproxy.api.chat import ReasoningField


class KeepaliveForm(str, Enum):
    """How a stream is kept alive in silence."""

    CHUNK = "chunk"  # a chat chunk with an empty delta
    COMMENT = "comment"  # a server-sent comment (WHATWG HTML, section 9.2.6)
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ClientProfile:
    """How to speak to one kind of client.

    @ivar name: the name, as ``--profile`` takes it.
    @ivar reasoning_field: where reasoning summaries go.
    @ivar keepalive: how its streams are kept alive.
    """

    name: str = "default"
    reasoning_field: ReasoningField = ReasoningField.REASONING_CONTENT
    keepalive: KeepaliveForm = KeepaliveForm.CHUNK


#: For a client of which nothing is known.
DEFAULT = ClientProfile()
