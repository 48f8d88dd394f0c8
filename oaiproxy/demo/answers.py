"""What the demo says: a `Question` in, an `Answer` out.  Both APIs render the same answers."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import msgspec

from oaiproxy.demo import directives, tokens
from oaiproxy.demo.question import Mode, Question, Tool
from oaiproxy.demo.synth import synthesize

#: What every text begins with: nobody is to take the demo for a model.
NAME = "oaiproxy's demo upstream"

#: The page that the demo cites when it is asked to search.
PAGE = "https://example.com/oaiproxy-demo"
PAGE_TITLE = "A page of oaiproxy's demo upstream"

#: Effort -> the reasoning tokens it costs.
REASONING_TOKENS = {"minimal": 4, "low": 8, "medium": 16, "high": 32, "xhigh": 64, "max": 128}

#: How much of the user's text is said back, in characters.
_ECHO = 2000

_WANTS_CALL = re.compile(r"\b(call|tools?|functions?|parallel)\b", re.IGNORECASE)
_WANTS_PARALLEL = re.compile(r"\bparallel\b", re.IGNORECASE)
_WANTS_REFUSAL = re.compile(r"\brefuse\b", re.IGNORECASE)
_WANTS_SEARCH = re.compile(r"search", re.IGNORECASE)

#: How many calls "parallel" makes at most.
_MOST_CALLS = 3

_SUMMARY = (
    "**Reading the request**\n\nThis summary comes from oaiproxy's demo upstream, which does not think.",
    "**Putting the answer together**\n\nIt says back what came in, so that one can see what went through the proxy.",
)


@dataclass(frozen=True, slots=True)
class Thought:
    """Reasoning: the parts of its summary (none where no summary was asked for), and what it cost."""

    summary: tuple[str, ...]
    tokens: int
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Search:
    """A search of the web."""

    query: str


@dataclass(frozen=True, slots=True)
class Citation:
    """A link in a text; `start` and `end` are characters from its beginning, the end not included."""

    start: int
    end: int
    url: str
    title: str


@dataclass(frozen=True, slots=True)
class Text:
    """What the model says; not `whole` where the limit cut it, and a `preamble` where a tool call comes after it."""

    text: str
    citations: tuple[Citation, ...] = ()
    whole: bool = True
    preamble: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the model says instead of an answer."""

    text: str
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call; `arguments` are JSON, or free text for a custom tool."""

    name: str
    arguments: str
    custom: bool = False
    whole: bool = True


Part = Thought | Search | Text | Refusal | Call


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens; `output` includes `reasoning`."""

    input: int
    output: int
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the demo says, in order.

    @ivar complete: False where the limit on output tokens cut it.
    """

    parts: tuple[Part, ...]
    usage: Usage
    complete: bool = True


def answer(question: Question) -> Answer:
    """What the demo says to `question`; the same question always has the same answer.

    @raise ApiError: the text asked for an error.
    """
    if question.directives.error is not None:
        raise directives.error(question.directives.error)
    if question.directives.empty:
        return Answer((), Usage(question.input_tokens, 0))
    return _within_limit(question, _parts(question))


def _parts(question: Question) -> list[Part]:
    parts: list[Part] = []
    if question.effort is not None:
        summary = {None: (), "concise": _SUMMARY[:1]}.get(question.summary, _SUMMARY)
        parts.append(Thought(summary, REASONING_TOKENS.get(question.effort, REASONING_TOKENS["medium"])))
    wish = directives.without(question.text)
    calls = _calls(question, wish)
    if calls:
        if question.directives.preamble:
            parts.append(Text(f"This is {NAME}. It calls {calls[0].name} now.", preamble=True))
        return [*parts, *calls]
    if _WANTS_REFUSAL.search(wish) and not question.outputs:
        return [*parts, Refusal(f"This is {NAME}. It refuses, as it was asked to.")]
    if question.must_search or (question.search and _WANTS_SEARCH.search(wish) and not question.outputs):
        return [*parts, Search(wish.strip()[:_ECHO]), _stopped(_cited(question), question.stop)]
    return [*parts, _stopped(Text(_text(question)), question.stop)]


def _calls(question: Question, wish: str) -> list[Call]:
    """The tool calls that `question` asks for; none once a tool has answered, as the demo knows no second step."""
    if question.mode is Mode.NONE or not question.tools or question.outputs:
        return []
    named = [tool for tool in question.tools if re.search(rf"(?<!\w){re.escape(tool.name)}(?!\w)", wish)]
    if question.mode is Mode.AUTO and not named and not _WANTS_CALL.search(wish):
        return []
    tools = named or list(question.tools)
    if not question.parallel or not _WANTS_PARALLEL.search(wish):
        return [_call(tools[0], 1)]
    if len(tools) == 1:
        return [_call(tools[0], 1), _call(tools[0], 2)]
    return [_call(tool, 1) for tool in tools[:_MOST_CALLS]]


def _call(tool: Tool, ordinal: int) -> Call:
    if tool.schema is None:
        again = f" {ordinal}" if ordinal > 1 else ""
        return Call(tool.name, f"demo input{again} for {tool.name}", custom=True)
    value = synthesize(tool.schema, ordinal=ordinal, fill=tool.strict)
    return Call(tool.name, _json(value if isinstance(value, dict) else {}))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _text(question: Question) -> str:
    if question.format is not None:
        if question.format.schema is not None:
            return _json(synthesize(question.format.schema))
        return _json({"from": NAME, "you_said": question.text[:_ECHO], "messages": question.received.messages})
    if question.directives.tokens is not None:
        return " ".join([f"demo{n}" for n in range(1, question.directives.tokens + 1)])
    if question.outputs:
        gave = " ".join(f"“{_shortened(output)}”" for output in question.outputs)
        return f"This is {NAME}, not a real model. The tool answered: {gave}"
    said = f"You said: “{_shortened(question.text)}”" if question.text else "You said nothing."
    return f"This is {NAME}, not a real model. {said}\n\n{_came_through(question)}"


def _came_through(question: Question) -> str:
    received = question.received
    counts = [("message", received.messages), ("image", received.images), ("file", received.files)]
    if received.audio:
        counts.append(("audio clip", received.audio))
    counts.append(("tool", len(received.tools)))
    told = ", ".join(f"{n} {thing}{'' if n == 1 else 's'}" for thing, n in counts)
    names = f" ({', '.join(received.tools[:20])})" if received.tools else ""
    effort = f"; reasoning effort {question.effort}" if question.effort else ""
    return f"What came through: model {question.model}, {told}{names}{effort}."


def _shortened(text: str) -> str:
    return text if len(text) <= _ECHO else f"{text[:_ECHO]}… ({len(text)} characters)"


def _cited(question: Question) -> Text:
    """The text with a citation in front of it; where JSON is asked for there is no place for one."""
    if question.format is not None:
        return Text(_text(question))
    start = "A search in this demo always finds the same page "
    link = f"([example.com]({PAGE}))"
    citation = Citation(len(start), len(start) + len(link), PAGE, PAGE_TITLE)
    return Text(f"{start}{link}. {_text(question)}", (citation,))


def _stopped(text: Text, stop: tuple[str, ...]) -> Text:
    """`text` up to the first of the stop sequences."""
    found = [text.text.find(sequence) for sequence in stop if sequence]
    end = min((at for at in found if at >= 0), default=len(text.text))
    return Text(text.text[:end], tuple(c for c in text.citations if c.end <= end))


def _within_limit(question: Question, parts: list[Part]) -> Answer:
    """The answer of `parts`, cut at the limit on output tokens."""
    left = question.limit
    given: list[Part] = []
    reasoning = output = 0
    complete = True
    for part in parts:
        if isinstance(part, Search):
            given.append(part)
            continue
        size = part.tokens if isinstance(part, Thought) else tokens.count([_words(part)])
        if left is not None and size > left:
            complete, size = False, left
            part = _cut(part, left)
        if isinstance(part, Thought):
            reasoning += size
        output += size
        left = None if left is None else left - size
        if complete or size:
            given.append(part)
        if not complete:
            break
    return Answer(tuple(given), Usage(question.input_tokens, output, reasoning), complete)


def _words(part: Text | Refusal | Call) -> str:
    return part.arguments if isinstance(part, Call) else part.text


def _cut(part: Thought | Text | Refusal | Call, limit: int) -> Part:
    """The first `limit` tokens of `part`."""
    if isinstance(part, Thought):
        return Thought((), limit, whole=False)
    words = "".join(tokens.split(_words(part))[:limit])
    if isinstance(part, Call):
        return replace(part, arguments=words, whole=False)
    if isinstance(part, Text):
        kept = tuple(citation for citation in part.citations if citation.end <= len(words))
        return replace(part, text=words, citations=kept, whole=False)
    return Refusal(words, whole=False)
