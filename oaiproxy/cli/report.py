"""What a dry run found, for people and for programs."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from oaiproxy.api.notes import Dropped
from oaiproxy.api.request import JsonObject
from oaiproxy.bridge import AnswerPlan
from oaiproxy.bridge.fields import Fate, Field
from oaiproxy.cli.dryrun import ROUTES, AnswerRun, Effect, RequestRun
from oaiproxy.cli.recorded import EVENTS, JSON, Recorded, events_of

#: A value that a line of the report shows is cut after so many characters.
_SHOWN = 100

#: Who added what no transform did.
BRIDGE = "the bridge itself"


def request_report(run: RequestRun, url: str) -> JsonObject:
    """All about a request that would go upstream, as JSON.

    @param url: where it would go.
    """
    call, request = run.call, run.request
    bodies = list(dict.fromkeys(call.bodies))
    body = msgspec.json.decode(bodies[0])
    notes = (*request.notes, *call.notes)
    lost = [note for note in notes if isinstance(note, Dropped)]
    fields = ROUTES[request.path].fields
    given = {name: fields[name] for name, value in request.json.items() if value is not None and name in fields}
    return {
        "method": "POST",
        "url": url,
        "requests": [msgspec.Raw(one) for one in bodies],
        "sent": len(call.bodies),
        "path": run.asked.path,
        "profile": run.profile,
        **_effects(run.effects, _own(body, given)),
        "renamed": _renamed(body, given, {note.param for note in lost}),
        "tool_names": dict(call.plan.names) if call.plan is not None else {},
        "emulated": [
            name
            for name, field in given.items()
            if field.fate is Fate.EMULATED and not field.asks_nothing(request.json[name])
        ],
        "dropped": [{"field": note.param, "why": note.why} for note in lost],
        "notes": [note.text for note in notes if not isinstance(note, Dropped)],
        "ignored": [name for name, field in given.items() if field.fate is Fate.IGNORED],
        "answer": None if call.plan is None else _plan(call.plan),
        "stream": call.stream,
    }


def _own(body: Mapping[str, Any], given: Mapping[str, Field]) -> JsonObject:
    """What in a translated body comes from none of the request's fields."""
    sources = {field.upstream.partition(".")[0] for field in given.values()}
    return {name: value for name, value in body.items() if name not in sources and name not in given}


def _effects(effects: Sequence[Effect], own: Mapping[str, Any]) -> JsonObject:
    """What was added, changed and removed, and by whom.

    @param own: what the translation added.
    """
    added = [(effect.transform, effect.added) for effect in effects]
    return {
        "added": [
            {"by": who, "field": name, "value": value}
            for who, fields in (*added, (BRIDGE, own))
            for name, value in fields.items()
        ],
        "changed": [
            {"by": effect.transform, "field": name, "from": old, "to": new}
            for effect in effects
            for name, (old, new) in effect.changed.items()
        ],
        "removed": [{"by": effect.transform, "field": name} for effect in effects for name in effect.removed],
    }


def _renamed(body: Mapping[str, Any], given: Mapping[str, Field], lost: Container[str]) -> list[JsonObject]:
    """Which fields have another name upstream, of those that are there."""
    return [
        {"from": name, "to": field.upstream}
        for name, field in given.items()
        if field.upstream not in ("", name) and name not in lost and _at(body, field.upstream) is not None
    ]


def _at(body: Mapping[str, Any], path: str) -> Any:
    """What stands under a dotted path."""
    value: Any = body
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _plan(plan: AnswerPlan) -> JsonObject:
    """How the answer will look."""
    return {
        "stream": plan.stream,
        "include_usage": plan.include_usage,
        "choices": plan.choices,
        "reasoning_field": plan.reasoning_field.value,
        "stop": list(plan.stop),
        "logprobs": plan.logprobs,
        "legacy_functions": plan.legacy_functions,
        "functions": sorted(plan.functions),
        "custom_tools": sorted(plan.custom_tools),
        "hosted_tools": sorted(plan.hosted_tools),
        "model": plan.model,
    }


def request_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The same for people, line by line."""
    times = f", {report['sent']} requests at once" if report["sent"] > 1 else ""
    yield f"{report['method']} {report['url']}{times}"
    if report["profile"] != "default":
        yield line("profile", report["profile"])
    for entry in report["changed"]:
        yield line("changed", f"{entry['field']}: {_value(entry['from'])} -> {_value(entry['to'])}", entry["by"])
    for entry in report["added"]:
        yield line("added", f"{entry['field']}: {_value(entry['value'])}", entry["by"])
    for entry in report["removed"]:
        yield line("removed", entry["field"], entry["by"])
    for entry in report["renamed"]:
        yield line("renamed", f"{entry['from']} -> {entry['to']}")
    for upstream, name in report["tool_names"].items():
        yield line("renamed", f"tool {name} -> {upstream}")
    for name in report["emulated"]:
        yield line("emulated", name)
    for entry in report["dropped"]:
        yield line("dropped", entry["field"], entry["why"])
    for text in report["notes"]:
        yield line("note", text)
    for name in report["ignored"]:
        yield line("ignored", name, "the client's own bookkeeping")
    yield line("answer", _answer(report))


def _answer(report: Mapping[str, Any]) -> str:
    plan = report["answer"]
    words = ["a stream of chunks" if report["stream"] else "one JSON object"]
    if plan is not None:
        if plan["stream"] and plan["include_usage"]:
            words.append("the last chunk with usage")
        words.append(f"reasoning summaries in {plan['reasoning_field']}")
        words += ["calls as function_call"] * plan["legacy_functions"] + ["log probabilities"] * plan["logprobs"]
    return ", ".join(words)


def answer_report(run: AnswerRun, answers: Iterable[Recorded]) -> JsonObject:
    """All about an answer that the client would get, as JSON."""
    remarks = [answer.remark for answer in answers if answer.remark]
    content_type = EVENTS if run.stream else JSON
    # a stream is read as any client reads it
    body = events_of(Recorded(run.body, content_type))
    return {
        "status": run.status,
        "content_type": content_type,
        "body": body if run.stream else body[0] if body else None,
        "error": None if run.error is None else run.error.as_object()["error"],
        "cut": run.error is not None and run.stream,
        "recordings": remarks,
    }


def answer_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The same for people, line by line."""
    chunks = f", {len(report['body'])} events" if report["content_type"] == EVENTS else ""
    yield f"HTTP {report['status']}, {report['content_type']}{chunks}"
    if report["error"] is not None:
        yield line("failed", report["error"]["message"])
    if report["cut"]:
        yield line("cut", "the stream breaks off behind the error, without [DONE]")
    for remark in report["recordings"]:
        yield line("recording", remark)


def compared(body: Any, sent: list[Any]) -> str:
    """How a request relates to what the log says was sent.

    @param body: the request, decoded.
    @param sent: the requests in the log, in order.
    """
    if not sent:
        return "the log has no upstream request to compare with"
    if any(body == one for one in sent):
        return "the same as was sent then"
    first = sent[0] if isinstance(sent[0], dict) else {}
    names = [name for name in dict.fromkeys((*first, *body)) if first.get(name) != body.get(name)]
    return f"differs from what was sent then in {', '.join(names)}"


def line(kind: str, text: str, why: str = "") -> str:
    """A line of a report."""
    return f"  {kind:<9} {text}{f'  ({why})' if why else ''}"


def _value(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
