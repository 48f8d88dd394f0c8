"""The tables of what a response holds: its output items, and the annotations of its texts (bridge.md 3.1 and 3.3).

Every type of the schema's ``OutputItem`` and ``Annotation`` is in them, with its place in a chat answer.  The code
reads them, the documentation shows them.  A type that is in neither is left out: the schema lags behind the servers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Place(str, Enum):
    """Where a chat client finds something."""

    CONTENT = "`content`, `refusal`"
    REASONING = "`reasoning_content`"
    CALL = "`tool_calls`"
    LOCAL_CALL = "`tool_calls`, if asked for"
    IMAGES = "`images`"
    NOTICE = "`reasoning_content`, as a notice"
    ANNOTATIONS = "`annotations`"
    FILES = "`file_annotations`"
    NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True)
class Shown:
    """What becomes of an item or an annotation.

    @ivar place: where it goes.
    @ivar note: one line that explains it.
    """

    place: Place
    note: str


_RESULT = Shown(Place.NOWHERE, "The result of a call, told to the model; its calls and the answer say what counts.")
_UPSTREAM = "Runs upstream"

#: Item type -> its place.
ITEMS: Mapping[str, Shown] = {
    "message": Shown(Place.CONTENT, "All its parts one after the other; a blank line between two messages."),
    "reasoning": Shown(Place.REASONING, "Its summary, or the model's own text where it has no summary."),
    "function_call": Shown(Place.CALL, "With its `call_id` as `id`; as `function_call` for a client of `functions`."),
    "custom_tool_call": Shown(Place.CALL, "In Chat's form for custom tools if the client declared it so."),
    "web_search_call": Shown(Place.NOWHERE, f"{_UPSTREAM}; what it found is cited in the text."),
    "file_search_call": Shown(Place.NOWHERE, f"{_UPSTREAM}; what it found is cited in the text."),
    "code_interpreter_call": Shown(
        Place.IMAGES, f"{_UPSTREAM}; pictures among its outputs, which come if `include` asks for them."
    ),
    "image_generation_call": Shown(Place.IMAGES, "The finished picture, as a data URL."),
    "mcp_call": Shown(Place.NOWHERE, f"{_UPSTREAM}; the model tells what came of it."),
    "mcp_list_tools": Shown(Place.NOWHERE, "What a server offers, told to the model."),
    "mcp_approval_request": Shown(Place.NOTICE, "Chat has no means to approve; the notice says what to ask for."),
    "mcp_approval_response": Shown(Place.NOWHERE, "The client's own words."),
    "computer_call": Shown(Place.LOCAL_CALL, "As the function `computer`: actions and pending safety checks."),
    "local_shell_call": Shown(Place.LOCAL_CALL, "As the function `local_shell` with its `action`."),
    "shell_call": Shown(Place.LOCAL_CALL, "As the function `shell` with its `action`, unless a container runs it."),
    "apply_patch_call": Shown(Place.LOCAL_CALL, "As the function `apply_patch` with its `operation`."),
    "tool_search_call": Shown(Place.LOCAL_CALL, "As the function `tool_search`, if it is the client that searches."),
    "computer_call_output": _RESULT,
    "function_call_output": _RESULT,
    "custom_tool_call_output": _RESULT,
    "local_shell_call_output": _RESULT,
    "shell_call_output": _RESULT,
    "apply_patch_call_output": _RESULT,
    "program_output": _RESULT,
    "tool_search_output": _RESULT,
    "program": Shown(Place.NOWHERE, f"{_UPSTREAM}; the calls that it makes of the client are items of their own."),
    "additional_tools": Shown(Place.NOWHERE, "Tools that upstream lends to the model."),
    "compaction": Shown(Place.NOWHERE, "The history in a form that only upstream can read."),
}

_FILE = "Chat has no form for it: it keeps Responses' own, its places counted in the whole `content`."

#: Annotation type -> its place.
ANNOTATIONS: Mapping[str, Shown] = {
    "url_citation": Shown(Place.ANNOTATIONS, "Nested as in Chat, its places counted in the whole `content`."),
    "file_citation": Shown(Place.FILES, _FILE),
    "container_file_citation": Shown(Place.FILES, _FILE),
    "file_path": Shown(Place.FILES, _FILE),
}

_UNKNOWN = Shown(Place.NOWHERE, "")


def place_of(item: Mapping[str, Any]) -> Place:
    """The place of an output item."""
    kind = item.get("type")
    return (ITEMS.get(kind, _UNKNOWN) if isinstance(kind, str) else _UNKNOWN).place
