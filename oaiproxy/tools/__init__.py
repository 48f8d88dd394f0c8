"""Tools that the proxy runs itself: which there are, whose calls are whose, and how rounds become one answer.

Plain code: bytes and values, no reactor.  What runs the calls is in `oaiproxy.web`.
"""

from oaiproxy.tools.answer import RoundsAnswer
from oaiproxy.tools.errors import ToolBoxError, ToolError
from oaiproxy.tools.follow import follow_up, tool_message
from oaiproxy.tools.offer import marked, offered, own_tools
from oaiproxy.tools.registry import FoundTools, ToolBox, discover_tools, tool_listing
from oaiproxy.tools.results import arguments_of, failure_text, result_text
from oaiproxy.tools.told import Told
from oaiproxy.tools.turn import ToolCall, Turn

__all__ = [
    "FoundTools",
    "RoundsAnswer",
    "Told",
    "ToolBox",
    "ToolBoxError",
    "ToolCall",
    "ToolError",
    "Turn",
    "arguments_of",
    "discover_tools",
    "failure_text",
    "follow_up",
    "marked",
    "offered",
    "own_tools",
    "result_text",
    "tool_listing",
    "tool_message",
]
