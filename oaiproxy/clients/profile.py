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


class ModelListForm(str, Enum):
    """What ``GET /v1/models`` answers."""

    OPENAI = "openai"  # the API's list, with exactly the four fields of schema ``Model`` in each entry
    MODELS = "models"  # the same, and beside ``data`` an empty array ``models``


class ErrorForm(str, Enum):
    """How the client is told that a chat request failed before its answer began."""

    OBJECT = "object"  # the API's error object with its HTTP status
    MESSAGE = "message"  # a chat answer in which the assistant says what went wrong


class OddBody(str, Enum):
    """What a client may send although the API refuses it; what is merely unusual, every client may."""

    #: Messages of users, systems and developers without content (``[]``, null or none at all): they are left out.
    EMPTY_MESSAGES = "empty_messages"


@dataclass(frozen=True, slots=True)
class ClientProfile:
    """How to speak to one kind of client.

    @ivar name: the name, as ``--profile`` takes it.
    @ivar title: what people call the client.
    @ivar user_agents: regular expressions, one of which is found in the client's User-Agent without regard to case;
        none where the client does not say who it is and can only be chosen by name.
    @ivar sends: the User-Agent that it really sends, in words.
    @ivar reasoning_field: where reasoning summaries go.
    @ivar keepalive: how its streams are kept alive.
    @ivar model_list: what it gets for a list of models.
    @ivar errors: how it is told of errors.
    @ivar accepts: what it may send beyond what the API takes.
    @ivar notes: what else is known of it.
    @ivar evidence: the threads and documents that say so.
    """

    name: str = "default"
    title: str = "any other client"
    user_agents: tuple[str, ...] = ()
    sends: str = "anything"
    reasoning_field: ReasoningField = ReasoningField.REASONING_CONTENT
    keepalive: KeepaliveForm = KeepaliveForm.CHUNK
    model_list: ModelListForm = ModelListForm.OPENAI
    errors: ErrorForm = ErrorForm.OBJECT
    accepts: frozenset[OddBody] = frozenset()
    notes: str = ""
    evidence: tuple[str, ...] = ()


#: For a client of which nothing is known.
DEFAULT = ClientProfile()
