"""Recorded answers of real servers through the answer half, in both modes, however the network cuts them.

The recordings are third-party data and stand beside the checkout; without them these tests are skipped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from oaiproxy.api.chat import ReasoningField
from oaiproxy.api.errors import ApiError
from oaiproxy.api.sse import SseDecoder
from oaiproxy.bridge.answer import StreamedAnswer, answer_translator, completion
from oaiproxy.bridge.failures import upstream_error
from oaiproxy.bridge.plan import AnswerPlan
from tests.bridge.wire import SHARED, chunks, folded, run, sse

RECORDINGS = SHARED / "recordings"

#: The sizes of the pieces that a recording is fed in; 0 is at once.
SIZES = (0, 1, 7, 1000)

#: Larger recordings are not fed byte by byte, to keep the tests fast.
SMALL = 120_000

CONTENT_TYPES = {True: "text/event-stream; charset=utf-8", False: "application/json"}


@dataclass
class Case:
    """One recorded answer.

    @ivar final: the response that it amounts to, or None if it is an error.
    """

    name: str
    status: int
    streams: bool
    raw: bytes
    final: dict[str, Any] | None

    def in_mode(self, streams: bool) -> bytes:
        """Its bytes, in its own mode or as they would be in the other one."""
        if streams == self.streams:
            return self.raw
        if not streams:
            return json.dumps(self.final).encode()
        return sse(
            {"type": "response.created", "response": self.final}, {"type": "response.completed", "response": self.final}
        )


def final_of(raw: bytes) -> dict[str, Any] | None:
    """The response that a recorded stream amounts to: its deltas count where the closing object was trimmed."""
    decoder = SseDecoder()
    items: dict[int, Any] = {}
    texts: dict[tuple[int, int], str] = {}
    final = None
    for event in decoder.feed(raw) + decoder.end():
        if event.data.startswith(b"{"):
            found = json.loads(event.data)
            if found.get("type") == "response.output_item.done":
                items[found["output_index"]] = found["item"]
            elif found.get("type") == "response.output_text.delta":
                key = found["output_index"], found["content_index"]
                texts[key] = texts.get(key, "") + found["delta"]
            elif found.get("type") in ("response.completed", "response.incomplete"):
                final = found["response"]
    for (index, part), text in texts.items():
        items[index]["content"][part]["text"] = text
    return {**final, "output": [item for _, item in sorted(items.items())]} if final else None


@cache
def cases() -> list[Case]:
    """All recorded answers of Responses servers, but for those that are still being made."""
    found = []
    for folder in sorted(RECORDINGS.iterdir()) if RECORDINGS.exists() else ():
        meta = folder / "meta.json"
        if not meta.exists() or json.loads(meta.read_text())["api"] != "responses":
            continue
        for exchange in sorted(path for path in folder.iterdir() if path.is_dir()):
            head, stream = exchange / "head.json", exchange / "response.sse"
            status = json.loads(head.read_text())["status"] if head.exists() else 200
            raw = (stream if stream.exists() else exchange / "response.json").read_bytes()
            final = final_of(raw) if stream.exists() else json.loads(raw)
            if final is not None and final.get("object") != "response":
                final = None
            if final is None or final["status"] not in ("queued", "in_progress"):
                found.append(Case(f"{folder.name}/{exchange.name}", status, stream.exists(), raw, final))
    if not found:
        raise SkipTest("../shared/recordings is absent")
    return found


def squeezed(text: str | None) -> str:
    return "".join((text or "").split())


def said(final: dict[str, Any], kind: str, field: str) -> Iterator[str]:
    """The texts of all parts of one type in a response."""
    for item in final["output"]:
        for part in (item.get("content") or []) + (item.get("summary") or []):
            if part["type"] == kind:
                yield part[field]


def called(final: dict[str, Any]) -> list[tuple[str, str, Any]]:
    """Id, name and arguments of each call in a response; a custom tool's input as the one string that it becomes."""
    found = []
    for item in final["output"]:
        if item["type"] == "function_call":
            found.append((item["call_id"], item["name"], json.loads(item["arguments"] or "{}")))
        elif item["type"] == "custom_tool_call":
            found.append((item["call_id"], item["name"], {"input": item["input"]}))
    return found


class RecordingTests(SynchronousTestCase):
    def answers(self) -> Iterator[tuple[str, Case, dict[str, Any]]]:
        """Each recording as a client gets it, in both modes from upstreams in both modes: which, and the completion."""
        for case in cases():
            if case.final is None:
                continue
            for stream in (True, False):
                plan = AnswerPlan(stream=stream, include_usage=stream)
                for upstream in (True, False):
                    name = (
                        f"{case.name} to {'chunks' if stream else 'object'} from {'events' if upstream else 'object'}"
                    )
                    raw = run(answer_translator(plan, CONTENT_TYPES[upstream]), case.in_mode(upstream))
                    yield name, case, folded(raw) if stream else json.loads(raw)

    def test_any_cut_gives_the_same_answer(self) -> None:
        for case in cases():
            for stream in (True, False):
                plan = AnswerPlan(stream=stream, include_usage=stream)
                found = set()
                for size in SIZES:
                    if case.final is not None and (size != 1 or len(case.raw) < SMALL):
                        found.add(run(answer_translator(plan, CONTENT_TYPES[case.streams]), case.raw, size))
                self.assertEqual(len(found), case.final is not None, case.name)

    def test_texts_and_refusals_and_summaries_are_whole(self) -> None:
        for name, case, answer in self.answers():
            assert case.final is not None
            message = answer["choices"][0]["message"]
            self.assertEqual(
                squeezed(message["content"]), squeezed("".join(said(case.final, "output_text", "text"))), name
            )
            self.assertEqual(
                squeezed(message["refusal"]), squeezed("".join(said(case.final, "refusal", "refusal"))), name
            )
            summaries = squeezed("".join(said(case.final, "summary_text", "text")))
            self.assertIn(summaries, squeezed(message.get("reasoning_content")), name)

    def test_calls_are_whole_and_in_order(self) -> None:
        for name, case, answer in self.answers():
            assert case.final is not None
            message = answer["choices"][0]["message"]
            found = [
                (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
                for call in message.get("tool_calls", ())
            ]
            self.assertEqual(found, called(case.final), name)

    def test_the_end_usage_and_citations_are_what_upstream_said(self) -> None:
        for name, case, answer in self.answers():
            final = case.final
            assert final is not None
            why = (final.get("incomplete_details") or {}).get("reason")
            expected = {"max_output_tokens": "length"}.get(str(why)) or ("tool_calls" if called(final) else "stop")
            self.assertEqual(answer["choices"][0]["finish_reason"], expected, name)
            usage, counted = answer["usage"], final["usage"]
            self.assertEqual(
                [usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]],
                [counted["input_tokens"], counted["output_tokens"], counted["total_tokens"]],
                name,
            )
            self.assertEqual(
                usage["completion_tokens_details"]["reasoning_tokens"],
                counted["output_tokens_details"]["reasoning_tokens"],
                name,
            )
            cited = [
                annotation
                for item in final["output"]
                if item["type"] == "message"
                for part in item["content"]
                for annotation in part.get("annotations") or ()
                if annotation["type"] == "url_citation"
            ]
            self.assertEqual(len(answer["choices"][0]["message"]["annotations"]), len(cited), name)

    def test_the_citations_of_a_web_search_stand_where_they_are_cited(self) -> None:
        seen = 0
        for name, _, answer in self.answers():
            message = answer["choices"][0]["message"]
            if "openai-web-search-tool" in name:
                for annotation in message["annotations"]:
                    cited = annotation["url_citation"]
                    self.assertIn(cited["url"], message["content"][cited["start_index"] : cited["end_index"]], name)
                    seen += 1
        self.assertGreater(seen, 0)

    def test_recorded_errors_are_raised(self) -> None:
        failed = [case for case in cases() if case.final is None]
        self.assertTrue(failed)
        for case in failed:
            if case.status >= 400:
                error = upstream_error(case.status, "application/json", case.raw)
                self.assertEqual((error.status, error.as_object()), (case.status, json.loads(case.raw)), case.name)
                continue
            for stream in (True, False):
                for size in SIZES:
                    translator = answer_translator(AnswerPlan(stream=stream), CONTENT_TYPES[case.streams])
                    found = self.assertRaises(ApiError, run, translator, case.raw, size)
                    self.assertEqual((found.status, found.code), (429, "insufficient_quota"), case.name)
                    self.assertFalse(translator.accepted)


class SchemaTests(SynchronousTestCase):
    """The answers to the recordings, held against the published schema."""

    def validators(self) -> tuple[Any, Any]:
        path = SHARED / "spec" / "openai-api.json"
        try:
            from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
        except ImportError:
            raise SkipTest("jsonschema is not installed") from None
        if not path.exists():
            raise SkipTest("../shared/spec/openai-api.json is absent")
        components = nullable(json.loads(path.read_text())["components"])
        chunk, whole = (
            Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": components})
            for name in ("CreateChatCompletionStreamResponse", "CreateChatCompletionResponse")
        )
        return chunk, whole

    def test_completions_and_chunks_are_valid(self) -> None:
        chunk, whole = self.validators()
        for case in cases():
            if case.final is None:
                continue
            raw = run(answer_translator(AnswerPlan(), CONTENT_TYPES[case.streams]), case.raw)
            self.assertEqual([e.message for e in whole.iter_errors(json.loads(raw))], [], case.name)
            plan = AnswerPlan(stream=True, include_usage=True)
            found = chunks(run(answer_translator(plan, CONTENT_TYPES[case.streams]), case.raw))
            # the many chunks in the middle differ in a string only
            for value in found[:20] + found[-5:]:
                self.assertEqual([e.message for e in chunk.iter_errors(value)], [], case.name)

    def test_what_no_recording_has_is_valid_too(self) -> None:
        chunk, whole = self.validators()
        cited = {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 0, "end_index": 1}
        logprobs = [{"token": "H", "logprob": -1, "top_logprobs": [{"token": "h", "logprob": -2}]}]
        verdict = {"type": "moderation_result", "model": "omni", "flagged": False}
        verdict |= {"categories": {}, "category_scores": {}, "category_applied_input_types": {}}
        response = {
            "id": "resp_1",
            "object": "response",
            "status": "completed",
            "service_tier": "default",
            "moderation": {"input": verdict, "output": {"type": "error", "code": "c", "message": "m"}},
            "output": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]},
                {
                    "type": "message",
                    "content": [
                        {"type": "output_text", "text": "H", "annotations": [cited], "logprobs": logprobs},
                        {"type": "refusal", "refusal": "No."},
                    ],
                },
                {"type": "image_generation_call", "result": "QUJD"},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            ],
        }
        for legacy in (False, True):
            for field in ReasoningField:
                plan = AnswerPlan(stream=True, logprobs=True, legacy_functions=legacy, reasoning_field=field)
                self.assertEqual([e.message for e in whole.iter_errors(completion(response, plan))], [])
                for value in chunks(run(StreamedAnswer(plan), json.dumps(response).encode())):
                    self.assertEqual([e.message for e in chunk.iter_errors(value)], [], value)


def nullable(schema: Any) -> Any:
    """OpenAPI 3.0's ``nullable`` as JSON Schema."""
    if isinstance(schema, list):
        return [nullable(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: nullable(part) for key, part in schema.items() if key not in ("nullable", "discriminator")}
    return {"anyOf": [found, {"type": "null"}]} if schema.get("nullable") is True else found
