"""How an answer ends: the client learns it, in every form, and no failure looks like an end."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.chat import FinishReason
from oaiproxy.api.errors import ApiError
from oaiproxy.bridge.answer import ChatAnswer, StreamedAnswer
from oaiproxy.bridge.endings import FAILURES, FINISHES, End, finish_reason
from oaiproxy.bridge.plan import AnswerPlan
from oaiproxy.bridge.stream import ChatStream, CollectedStream
from tests.bridge.wire import added, arguments, call, completed, created, folded, message, run, sse, text

SAID = message(None, "one END two")["item"]
CALL: dict[str, Any] = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}


def incomplete(reason: Any, *output: Any) -> dict[str, Any]:
    """The end of a response that is not complete."""
    details = {"reason": reason} if reason else None
    return {**completed(*output, status="incomplete", incomplete_details=details), "type": "response.incomplete"}


class FinishTests(SynchronousTestCase):
    #: What ends the response, what the plan says, and why the choice ended.
    cases: tuple[tuple[dict[str, Any], dict[str, Any], str], ...] = (
        (completed(SAID), {}, "stop"),
        (completed(), {}, "stop"),
        (completed({"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}), {}, "stop"),
        (completed(SAID, CALL), {}, "tool_calls"),
        (completed(CALL), {"legacy_functions": True}, "function_call"),
        (completed({"type": "custom_tool_call", "call_id": "c", "name": "c", "input": "x"}), {}, "tool_calls"),
        (completed({"type": "local_shell_call", "call_id": "c", "action": {}}), {}, "stop"),
        (
            completed({"type": "local_shell_call", "call_id": "c", "action": {}}),
            {"hosted_tools": frozenset({"local_shell"})},
            "tool_calls",
        ),
        (incomplete("max_output_tokens", SAID), {}, "length"),
        (incomplete("max_tokens", SAID), {}, "length"),
        (incomplete("max_output_tokens", CALL), {}, "length"),
        (incomplete("content_filter", SAID), {}, "content_filter"),
        (incomplete("never_heard_of", SAID), {}, "length"),
        (incomplete(None), {}, "length"),
        (incomplete([]), {}, "length"),
        (completed(SAID), {"stop": ("END",)}, "stop"),
        (incomplete("max_output_tokens", SAID), {"stop": ("END",)}, "stop"),
        (completed(CALL, SAID), {"stop": ("END",)}, "tool_calls"),
        (completed(CALL, SAID), {"stop": ("END",), "legacy_functions": True}, "function_call"),
        (completed(SAID, CALL), {"stop": ("END",)}, "stop"),
    )

    def test_each_in_every_form(self) -> None:
        for end, how, reason in self.cases:
            plan = AnswerPlan(stream=True, **how)
            raw, events = json.dumps(end["response"]).encode(), sse(created(), end)
            answers = [
                json.loads(run(ChatAnswer(plan), raw)),
                folded(run(StreamedAnswer(plan), raw)),
                json.loads(run(CollectedStream(plan), events)),
                folded(run(ChatStream(plan), events)),
            ]
            for answer in answers:
                self.assertEqual(answer["choices"][0]["finish_reason"], reason, (end, how))

    def test_an_answer_without_a_word_has_a_content_all_the_same(self) -> None:
        [choice] = json.loads(run(CollectedStream(AnswerPlan()), sse(created(), incomplete("max_output_tokens"))))[
            "choices"
        ]
        self.assertEqual((choice["message"]["content"], choice["finish_reason"]), ("", "length"))

    def test_the_last_line_of_the_table_always_holds(self) -> None:
        self.assertTrue(FINISHES[-1].holds(End("never heard of")))

    def test_every_line_of_the_table_counts(self) -> None:
        flags = (False, True)
        ends = [
            End(status, reason, called, legacy, stopped)
            for status in ("completed", "incomplete")
            for reason in (None, "content_filter", "max_output_tokens")
            for called in flags
            for legacy in flags
            for stopped in flags
        ]
        first = {next(i for i, finish in enumerate(FINISHES) if finish.holds(end)) for end in ends}
        self.assertEqual(first, set(range(len(FINISHES))))
        self.assertEqual({finish_reason(end) for end in ends}, set(FinishReason))


FAILED = {
    "type": "response.failed",
    "response": {"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "Slow."}},
}


class FailureTests(SynchronousTestCase):
    #: Failure -> the bodies in which an upstream has it: events, or an object.
    bodies: dict[str, tuple[bytes, ...]] = {
        "failed": (sse(created(), FAILED), json.dumps({"object": "response", **FAILED["response"]}).encode()),
        "error": (
            sse(created(), {"type": "error", "code": "rate_limit_exceeded", "message": "Slow."}),
            sse(created(), {"type": "error", "error": {"code": "rate_limit_exceeded", "message": "Slow."}}, FAILED),
            b'data: {"error": {"code": "rate_limit_exceeded", "message": "Slow."}}\n\n',
            b'{"error": {"code": "rate_limit_exceeded", "message": "Slow."}}',
        ),
        "cancelled": (
            sse(created(), {"type": "response.cancelled", "response": {}}),
            sse(created(), completed(status="cancelled")),
            json.dumps(completed(status="cancelled")["response"]).encode(),
        ),
        "unfinished": tuple(json.dumps(completed(status=s)["response"]).encode() for s in ("queued", "in_progress")),
        "cut": (
            sse(created()),
            sse(created(), text("Hi")) + b"data: [DONE]\n\n",
            sse(created(), {**created(), "type": "response.queued"}),
            sse(created(), completed())[:-9],
        ),
        "empty": (b"",),
        "chat": (
            b'data: {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {}}]}\n\n',
            b'{"object": "chat.completion", "choices": [{"index": 0, "message": {}}]}',
        ),
        "other": (sse(created()) + b'data: {"type":\n\n', b"<html>", b"[]", b"{}"),
        "large": (sse(created(), text("x" * 2000)),),
    }

    def test_each_is_tried_below(self) -> None:
        self.assertEqual(set(self.bodies), set(FAILURES))

    def test_each_is_the_error_that_the_table_says_and_no_end(self) -> None:
        for name, bodies in self.bodies.items():
            case = FAILURES[name]
            expected = (case.status or 429, case.code or "rate_limit_exceeded")
            for body in bodies:
                streams = b"data:" in body or body == b""
                for kind in (ChatStream, CollectedStream) if streams else (ChatAnswer, StreamedAnswer):
                    translator = kind(AnswerPlan(stream=True), limit=1000)
                    written = b""
                    try:
                        written += translator.feed(body)
                        written += translator.end()
                    except ApiError as error:
                        found = (error.status, error.code)
                    else:
                        self.fail(f"{name}: no error for {body!r}")
                    self.assertEqual(found, expected, (name, body, kind))
                    self.assertFalse(translator.finished)
                    self.assertNotIn(b"[DONE]", written)
                    self.assertNotIn(b'"finish_reason":"', written)
        for kind in (ChatAnswer, StreamedAnswer):
            error = self.assertRaises(ApiError, run, kind(AnswerPlan()), b"")
            self.assertEqual((error.status, error.code), (502, "upstream_incomplete"))

    def test_an_error_in_the_middle_comes_behind_what_was_said(self) -> None:
        for last in (FAILED, {"type": "error", "code": "rate_limit_exceeded", "message": "Slow."}):
            translator = ChatStream(AnswerPlan(stream=True))
            written = translator.feed(sse(created(), text("Hi"), added(**call(1, "c", "f")), arguments("{", 1), last))
            self.assertIn(b'"content":"Hi"', written)
            error = self.assertRaises(ApiError, translator.feed, b"")
            self.assertEqual(translator.fail(error), b"data: " + error.body() + b"\n\n")
            self.assertEqual(json.loads(error.body())["error"]["code"], "rate_limit_exceeded")
            self.assertEqual(translator.feed(sse(completed())) + translator.end(), b"")
