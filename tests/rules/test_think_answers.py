"""Chat answers and chunk streams whose thoughts are taken out or set apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from oaiproxy.api.errors import UpstreamIncomplete, UpstreamInvalid
from oaiproxy.rules.think import ThinkMode, ThinkRules
from oaiproxy.rules.thinkanswer import ChatAsItIs
from oaiproxy.rules.thinkchunks import ThinkChunks
from oaiproxy.rules.thinkobject import without_thoughts

REMOVE, MOVE = ThinkRules(ThinkMode.REMOVE), ThinkRules(ThinkMode.MOVE)

RECORDED = (
    Path(__file__).resolve().parents[3]
    / "shared/recordings/pydantic--test_huggingface--test_hf_model_thinking_part_iter/01/response.sse"
)

DONE = b"data: [DONE]\n\n"


def chunk(content: str | None = None, finish: str | None = None, index: int = 0, **fields: Any) -> bytes:
    """A chunk as many servers write it, with spaces; `fields` are of the delta."""
    delta = {**fields, **({} if content is None else {"content": content})}
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return event({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "r1", "choices": [choice]})


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def filtered(rules: ThinkRules, *pieces: bytes) -> list[bytes]:
    """What comes of each piece, and of the end."""
    chunks = ThinkChunks(rules)
    return [*(chunks.feed(piece) for piece in pieces), chunks.end()]


def events(data: bytes) -> list[Any]:
    return [json.loads(block[6:]) for block in data.decode().split("\n\n") if block.startswith("data: {")]


def deltas(*pieces: bytes) -> list[dict[str, Any]]:
    return [choice["delta"] for value in events(b"".join(pieces)) for choice in value["choices"]]


def told(data: bytes, index: int = 0) -> tuple[str, str]:
    """All of a choice's content, all of its reasoning."""
    choices = [c for value in events(data) for c in value.get("choices") or () if c["index"] == index]
    return (
        "".join(choice["delta"].get("content") or "" for choice in choices),
        "".join(choice["delta"].get("reasoning_content") or "" for choice in choices),
    )


class UntouchedTests(SynchronousTestCase):
    """What passes byte for byte."""

    def test_what_has_no_thoughts_stays_the_bytes_it_was(self) -> None:
        stream = (
            b": keep-alive\n\n",
            chunk("", role="assistant"),
            b"event: message\r\nid: 7\r\nretry: 10\r\n"
            b'data: {"choices" :[{"index":0,"delta":{"content":"Hi \\u003c b"}}]}\r\n\r\n',
            chunk(None, reasoning_content="own thought"),
            chunk(None, refusal="I <think> not"),
            chunk(None, tool_calls=[{"index": 0, "function": {"arguments": '{"content": "<think>"}'}}]),
            b'data: {not json, "content"\n\n',
            b'data: {"content": "no chunk <think>"}\n\n',
            b'data: {"choices": [null], "content": 1}\n\n',
            b'data: {"choices": [{"index": 0, "delta": {"content": [{"type": "text", "text": "<think>"}]}}]}\n\n',
            event({"error": {"message": "no content", "code": 5}}),
            chunk(None, "stop"),
            event({"choices": [], "usage": {"total_tokens": 3}}),
            DONE,
        )
        for rules in (REMOVE, MOVE):
            self.assertEqual(filtered(rules, *stream), [*stream, b""])

    def test_a_chunk_without_thoughts_is_never_held_back(self) -> None:
        self.assertEqual(filtered(REMOVE, chunk("a < b")), [chunk("a < b"), b""])

    def test_a_stream_that_ends_without_an_empty_line_stays_so(self) -> None:
        self.assertEqual(filtered(REMOVE, chunk("Hi"), b"data: [DONE]\n"), [chunk("Hi"), b"", b"data: [DONE]\n"])

    def test_half_a_chunk_at_the_end_stays_half_a_chunk(self) -> None:
        half = chunk("Hi")[:-20]
        self.assertEqual(filtered(REMOVE, half), [b"", half])

    def test_text_that_is_no_unicode_stays_as_it_is(self) -> None:
        odd = b'data: {"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\n'
        broken = b'data: {"choices":[{"index":0,"delta":{"content":"\xff"}}]}\n\n'
        self.assertEqual(filtered(REMOVE, odd, broken), [odd, broken, b""])

    def test_an_event_that_is_too_large_is_refused(self) -> None:
        self.assertRaises(UpstreamInvalid, ThinkChunks(REMOVE, limit=100).feed, b"data: " + b"x" * 100)


class RemovedTests(SynchronousTestCase):
    def test_chunks_that_have_only_thoughts_are_left_out(self) -> None:
        out = filtered(REMOVE, chunk("<think>"), chunk("\nWell"), chunk("</think>"), chunk("\n\n"), chunk("Hi"))
        self.assertEqual(out, [b"", b"", b"", b"", chunk("Hi"), b""])

    def test_the_answer_in_a_chunk_with_thoughts_is_kept_with_all_else_that_it_has(self) -> None:
        given = (
            b'data: {"id": "c", "odd": [1.50], "choices": '
            b'[{"index":0,"delta":{"content":"<think>x</think>Hi","z": 1e5}, "y": -0}]}\n\n'
        )
        kept = b'data: {"id":"c","odd":[1.50],"choices":[{"index":0,"delta":{"content":"Hi","z":1e5},"y":-0}]}\n\n'
        self.assertEqual(filtered(REMOVE, given), [kept, b""])

    def test_the_role_is_said_once_and_said(self) -> None:
        out = filtered(REMOVE, chunk("<think>", role="assistant"), chunk("x", role="assistant"), chunk("</think>"))
        self.assertEqual(deltas(*out), [{"role": "assistant", "content": ""}])

    def test_an_empty_chunk_with_something_else_is_kept(self) -> None:
        call = [{"index": 0, "id": "call_1"}]
        usage = {"total_tokens": 3}
        for sent, kept in (
            (chunk("x", "length"), chunk("", "length")),
            (chunk("x", tool_calls=call), chunk("", tool_calls=call)),
            (chunk("x", odd=1), chunk("", odd=1)),
            (chunk("x")[:-5] + b', "stop_reason": 1}]}\n\n', chunk("")[:-5] + b', "stop_reason": 1}]}\n\n'),
            (
                chunk("x").replace(b"}\n\n", b', "usage": %b}\n\n' % json.dumps(usage).encode()),
                chunk("").replace(b"}\n\n", b', "usage": %b}\n\n' % json.dumps(usage).encode()),
            ),
        ):
            out = filtered(REMOVE, chunk("<think>"), sent)
            self.assertEqual(events(b"".join(out)), events(kept), sent)

    def test_an_empty_chunk_with_null_usage_is_left_out(self) -> None:
        given = chunk("x").replace(b"}\n\n", b', "usage": null, "service_tier": "default"}\n\n')
        self.assertEqual(filtered(REMOVE, chunk("<think>"), given), [b"", b"", b""])

    def test_what_is_held_back_comes_before_the_finish_chunk(self) -> None:
        out = filtered(REMOVE, chunk("a <thi"), chunk(None, "stop"), DONE)
        self.assertEqual(deltas(out[0]), [{"content": "a "}])
        self.assertEqual(events(out[1]), events(chunk("<thi")) + events(chunk(None, "stop")))
        self.assertTrue(out[1].endswith(chunk(None, "stop")))
        self.assertEqual(out[2:], [DONE, b""])

    def test_a_finish_chunk_with_text_has_all_of_the_text(self) -> None:
        out = filtered(REMOVE, chunk("a <"), chunk("th", "stop"))
        self.assertEqual(events(out[1]), events(chunk("<th", "stop")))

    def test_what_is_held_back_comes_before_a_call(self) -> None:
        call = chunk(None, tool_calls=[{"index": 0, "id": "call_1"}])
        self.assertEqual(filtered(REMOVE, chunk("<"), call), [b"", chunk_compact("<") + call, b""])

    def test_what_is_held_back_comes_before_the_end(self) -> None:
        error = event({"error": {"message": "overloaded"}})
        for end in (DONE, error):
            self.assertEqual(filtered(REMOVE, chunk("a<"), end)[1], chunk_compact("<") + end)
        self.assertEqual(filtered(REMOVE, chunk("a<"))[1], chunk_compact("<"))
        self.assertEqual(filtered(REMOVE, chunk("a<"), b"data: [DON")[2], chunk_compact("<") + b"data: [DON")

    def test_a_last_chunk_without_an_empty_line_is_filtered_as_well(self) -> None:
        self.assertEqual(
            filtered(REMOVE, chunk("<think>x</think>a<")[:-1]), [b"", chunk_compact("a") + b"\n\n" + chunk_compact("<")]
        )

    def test_pings_in_the_middle_of_a_tag_do_no_harm(self) -> None:
        ping = event({"type": "ping"})
        self.assertEqual(
            filtered(REMOVE, chunk("<thi"), ping, b": hi\n\n", chunk("nk>x")), [b"", ping, b": hi\n\n", b"", b""]
        )

    def test_each_choice_has_thoughts_of_its_own(self) -> None:
        stream = chunk("<think>") + chunk("A", index=1) + chunk("a") + chunk("<th", index=1) + chunk("</think>b")
        stream += chunk("ink>x", index=1) + chunk(None, "stop") + chunk("y</think>B", "stop", index=1)
        out = b"".join(filtered(REMOVE, stream))
        self.assertEqual((told(out, 0), told(out, 1)), (("b", ""), ("AB", "")))

    def test_several_choices_may_share_a_chunk(self) -> None:
        shared = event(
            {
                "id": "c",
                "choices": [
                    json.loads(chunk(text, index=n)[6:])["choices"][0] for n, text in enumerate(("<think>x", "y"))
                ],
            }
        )
        out = b"".join(filtered(REMOVE, shared))
        self.assertEqual([c["delta"] for c in events(out)[0]["choices"]], [{"content": ""}, {"content": "y"}])

    def test_log_probabilities_go_with_their_tokens(self) -> None:
        def with_logprobs(*tokens: str) -> bytes:
            entries = ", ".join(f'{{"token": {json.dumps(token)}, "logprob": -1.50}}' for token in tokens)
            given = chunk("".join(tokens)).decode()
            return given.replace(
                '"finish', f'"logprobs": {{"content": [{entries}], "refusal": null}}, "finish'
            ).encode()

        out = filtered(
            REMOVE,
            with_logprobs("A", "<"),
            with_logprobs("think", ">"),
            with_logprobs("x"),
            with_logprobs("</think>", " B", "<"),
            chunk(None, "stop"),
        )
        said = [
            (
                choice["delta"].get("content"),
                choice.get("logprobs") and [e["token"] for e in choice["logprobs"]["content"]],
            )
            for value in events(b"".join(out))
            for choice in value["choices"]
        ]
        self.assertEqual(said, [("A", ["A"]), (" B", [" B"]), ("<", ["<"]), (None, None)])
        self.assertIn(b'{"token": "A", "logprob": -1.50}', out[0])

    def test_text_that_is_said_twice_is_removed_twice(self) -> None:
        given = chunk("<think>x</think>Hi").replace(b'"finish', b'"text": "<think>x</think>Hi", "finish')
        self.assertEqual(events(filtered(REMOVE, given)[0])[0]["choices"][0]["text"], "Hi")

    def test_the_lines_of_an_event_that_are_not_its_data_are_kept(self) -> None:
        head = b": note\nid: 7\nevent: chunk\n"
        out = filtered(REMOVE, head + chunk("<think>x</think>Hi"), head + chunk("<think>"))
        self.assertEqual(out, [head + chunk_compact("Hi"), b": note\nid: 7\n\n", b""])

    def test_thoughts_that_are_no_unicode_are_removed_as_well(self) -> None:
        given = b'data: {"choices":[{"index":0,"delta":{"content":"<think>\\ud83d</think>\\ude00"}}]}\n\n'
        self.assertEqual(
            filtered(REMOVE, given)[0], b'data: {"choices":[{"index":0,"delta":{"content":"\\ude00"}}]}\n\n'
        )

    def test_a_silence_that_is_the_filter_s_can_be_broken(self) -> None:
        chunks = ThinkChunks(REMOVE)
        self.assertEqual(chunks.pulse(), b"")
        chunks.feed(chunk("<think>") + chunk("x"))
        self.assertEqual((events(chunks.pulse()), chunks.pulse()), (events(chunk("")), b""))
        chunks.feed(chunk("y") + chunk("</think>Hi"))
        self.assertEqual(chunks.pulse(), b"")


def chunk_compact(content: str) -> bytes:
    """A chunk as we write it."""
    return b"data: " + json.dumps(json.loads(chunk(content)[6:]), separators=(",", ":")).encode() + b"\n\n"


class MovedTests(SynchronousTestCase):
    def test_thoughts_go_where_clients_read_reasoning(self) -> None:
        out = filtered(MOVE, chunk("<think>\nWell"), chunk(".\n</think>\n\nHi"), chunk(" you"))
        self.assertEqual(
            deltas(*out),
            [{"reasoning_content": "Well"}, {"reasoning_content": ".\n"}, {"content": "Hi"}, {"content": " you"}],
        )

    def test_a_chunk_has_one_of_both_and_the_order_is_kept(self) -> None:
        out = filtered(MOVE, chunk("a<think>b</think>c", "stop", role="assistant"))
        first, second, third = events(out[0])
        self.assertEqual(
            first["choices"][0], {"index": 0, "delta": {"role": "assistant", "content": "a"}, "finish_reason": None}
        )
        self.assertEqual(second["choices"][0]["delta"], {"reasoning_content": "b"})
        self.assertEqual((third["choices"][0]["delta"]["content"], third["choices"][0]["finish_reason"]), ("c", "stop"))

    def test_two_thoughts_that_were_apart_stay_so(self) -> None:
        out = b"".join(filtered(MOVE, chunk("<think>a"), chunk("b</think>"), chunk("x<think>"), chunk("c")))
        self.assertEqual(told(out), ("x", "ab\n\nc"))

    def test_an_empty_block_is_no_thought(self) -> None:
        self.assertEqual(filtered(MOVE, chunk("<think>\n\n</think>\n\n"), chunk("Hi")), [b"", chunk("Hi"), b""])

    def test_reasoning_of_the_server_s_own_is_kept(self) -> None:
        own = chunk(None, reasoning_content="own")
        out = filtered(MOVE, own, chunk("<think>a</think>Hi"), chunk("<think>b", reasoning_content="c"))
        self.assertEqual(out[0], own)
        self.assertEqual(told(b"".join(out)), ("Hi", "own\n\na\n\nbc"))

    def test_a_null_of_the_server_s_own_is_no_reasoning(self) -> None:
        out = filtered(
            MOVE, chunk("", role="assistant", reasoning_content=None), chunk("<think>a", reasoning_content=None)
        )
        self.assertEqual(deltas(out[1]), [{"reasoning_content": "a"}])

    def test_the_field_may_have_another_name(self) -> None:
        chunks = ThinkChunks(MOVE, field="reasoning")
        self.assertEqual(deltas(chunks.feed(chunk("<think>a"))), [{"reasoning": "a"}])

    def test_log_probabilities_have_no_place_with_thoughts(self) -> None:
        given = chunk("<think>a").replace(b'"finish', b'"logprobs": {"content": [{"token": "<think>a"}]}, "finish')
        self.assertIsNone(events(filtered(MOVE, given)[0])[0]["choices"][0]["logprobs"])

    def test_a_half_tag_in_a_block_that_does_not_end_is_thought(self) -> None:
        out = b"".join(filtered(MOVE, chunk("<think>a</th"), chunk(None, "length"), DONE))
        self.assertEqual(told(out), ("", "a</th"))
        self.assertTrue(out.endswith(chunk(None, "length") + DONE))


class CompletionTests(SynchronousTestCase):
    def test_the_rest_of_a_completion_stays_the_bytes_it_was(self) -> None:
        given = (
            b'{"id" : "c", "choices": [{"index": 0, "message": {"role": "assistant", '
            b'"content": "<think>x</think>\\n\\nHi", "z": 1.50}, "finish_reason": "stop"}], "usage": {"n": 1}}'
        )
        self.assertEqual(
            without_thoughts(given, REMOVE),
            b'{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"Hi","z":1.50},'
            b'"finish_reason":"stop"}],"usage":{"n": 1}}',
        )

    def message(self, rules: ThinkRules, **message: Any) -> dict[str, Any]:
        body = json.dumps({"choices": [{"index": 0, "message": message}]}).encode()
        found: dict[str, Any] = json.loads(without_thoughts(body, rules))["choices"][0]["message"]
        return found

    def test_thoughts_are_removed(self) -> None:
        self.assertEqual(
            self.message(REMOVE, content="<think>a</think>\nHi <think>b</think>you"), {"content": "Hi you"}
        )

    def test_thoughts_are_moved(self) -> None:
        self.assertEqual(
            self.message(MOVE, content="<think>\na</think>Hi<think>b"), {"content": "Hi", "reasoning_content": "a\n\nb"}
        )

    def test_reasoning_of_the_server_s_own_comes_first(self) -> None:
        given = {"content": "<think>a</think>Hi", "reasoning_content": "own"}
        self.assertEqual(self.message(MOVE, **given), {"content": "Hi", "reasoning_content": "own\n\na"})
        self.assertEqual(self.message(REMOVE, **given), {"content": "Hi", "reasoning_content": "own"})

    def test_an_answer_that_was_all_thoughts_is_empty(self) -> None:
        calls = [{"id": "call_1"}]
        self.assertEqual(
            self.message(REMOVE, content="<think>a", tool_calls=calls), {"content": "", "tool_calls": calls}
        )

    def test_log_probabilities_go_with_their_tokens(self) -> None:
        tokens = ["<think>", "a", "</think>", "Hi", " you"]
        entries = [{"token": token, "logprob": -0.5} for token in tokens]
        choice = {
            "index": 0,
            "message": {"content": "".join(tokens)},
            "logprobs": {"content": entries, "refusal": None},
        }
        found = json.loads(without_thoughts(json.dumps({"choices": [choice]}).encode(), REMOVE))["choices"][0]
        self.assertEqual(found["logprobs"], {"content": entries[3:], "refusal": None})

    def test_every_choice_is_looked_at(self) -> None:
        choices = [{"index": n, "message": {"content": text}} for n, text in enumerate(("a", "<think>x</think>b"))]
        found = json.loads(without_thoughts(json.dumps({"choices": choices}).encode(), REMOVE))
        self.assertEqual([choice["message"]["content"] for choice in found["choices"]], ["a", "b"])

    def test_what_has_no_thoughts_stays_the_bytes_it_was(self) -> None:
        for body in (
            b'{ "choices": [{"message": {"content": "Hi <th"}}]}',
            b'{ "choices": [{"message": {"content": null, "tool_calls": []}}]}',
            b'{ "choices": [{"message": {"content": [{"type": "text", "text": "<think>"}]}}]}',
            b'{ "choices": [{"text": "<think>a</think>"}]}',
            b'{ "object": "list", "data": [{"content": "<think>"}]}',
            b'{ "choices": "<think>"}',
            b'{ "error": {"message": "<think>"}}',
            b"<html><think></html>",
            b"[1]",
            b"",
        ):
            self.assertEqual(without_thoughts(body, REMOVE), body)


class CutTests(SynchronousTestCase):
    """A body that breaks off."""

    def test_a_stream_says_what_it_held_back_and_that_it_failed(self) -> None:
        answer = ChatAsItIs(REMOVE, asks_stream=True)
        answer.open(0, "text/event-stream")
        out = answer.feed(0, chunk("a <") + b'data: {"id": "c", "cho')
        out += answer.fail(UpstreamIncomplete("It broke off."))
        self.assertEqual(told(out), ("a <", ""))
        self.assertEqual(events(out)[-1]["error"]["message"], "It broke off.")
        self.assertNotIn(b"[DONE]", out)
        self.assertNotIn(b"stop", out)

    def test_half_a_completion_is_nothing(self) -> None:
        answer = ChatAsItIs(REMOVE, asks_stream=False)
        answer.open(0, "application/json")
        self.assertEqual(answer.feed(0, b'{"choices": [') + answer.fail(UpstreamIncomplete("It broke off.")), b"")

    def test_a_completion_that_is_too_large_is_refused(self) -> None:
        answer = ChatAsItIs(REMOVE, asks_stream=False, limit=10)
        answer.open(0, "application/json")
        self.assertRaises(UpstreamInvalid, answer.feed, 0, b'{"choices": [')

    def test_a_body_of_no_known_type_is_what_was_asked_for(self) -> None:
        for stream, body in (
            (True, chunk("<think>x</think>Hi")),
            (False, b'{"choices":[{"message":{"content":"<think>x"}}]}'),
        ):
            answer = ChatAsItIs(REMOVE, asks_stream=stream)
            answer.open(0, "text/plain")
            self.assertNotIn(b"x", (answer.feed(0, body) + answer.end(0)).replace(b"index", b""))


class PropertyTests(SynchronousTestCase):
    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(
        st.lists(
            st.tuples(
                st.integers(0, 1),
                st.sampled_from(["<", "think>", "/think>", "</think>", "<think>", " ", "\n", "a", "é"]),
            ),
            max_size=14,
        ),
        st.sampled_from([REMOVE, MOVE]),
        st.data(),
    )
    def test_any_cut_of_a_stream_says_what_the_whole_completion_says(
        self, texts: list[tuple[int, str]], rules: ThinkRules, data: st.DataObject
    ) -> None:
        stream = b"".join(chunk(text, index=index) for index, text in texts)
        stream += chunk(None, "stop", 0) + chunk(None, "stop", 1) + DONE
        places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
        pieces = [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]
        out = b"".join(filtered(rules, *pieces))
        self.assertEqual(out, b"".join(filtered(rules, stream)))
        self.assertTrue(out.endswith(DONE))
        choices = [
            {"index": n, "message": {"content": "".join(text for index, text in texts if index == n)}} for n in (0, 1)
        ]
        whole = json.loads(without_thoughts(json.dumps({"choices": choices}).encode(), rules))
        for n, choice in enumerate(whole["choices"]):
            message = choice["message"]
            self.assertEqual(told(out, n), (message["content"], message.get("reasoning_content", "")))

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(st.binary(max_size=6), st.integers(0, 200), st.integers(0, 60))
    def test_damage_of_any_sort_is_no_crash_and_hides_no_chunk_after_it(self, noise: bytes, at: int, gone: int) -> None:
        given = chunk("a<think>\u00e9</think>b<", "stop", role="assistant")
        damaged = given[:at] + noise + given[at + gone :]
        out = b"".join(filtered(MOVE, damaged + b"\n\n" + chunk("Hi", index=1) + DONE))
        self.assertIn(chunk("Hi", index=1), out)
        self.assertTrue(out.endswith(DONE), out)
        without_thoughts(damaged[6:], MOVE)


class RecordedTests(SynchronousTestCase):
    def test_the_thoughts_of_a_recorded_stream_are_told_from_its_answer(self) -> None:
        if not RECORDED.is_file():
            raise SkipTest("the recordings are not here")
        stream = RECORDED.read_bytes()
        text, _ = told(stream)
        before, thought, answer = text.partition("<think>")[0], *text.partition("<think>")[2].split("</think>")
        self.assertEqual(before, "")
        self.assertEqual(told(b"".join(filtered(MOVE, stream))), (answer.lstrip(), thought.lstrip()))
        removed = b"".join(filtered(REMOVE, stream))
        self.assertEqual(told(removed), (answer.lstrip(), ""))
        self.assertEqual([e["choices"][0].get("text") for e in events(removed)][:3], ["", "", ""])
        self.assertTrue(removed.endswith(b"data: [DONE]\n\n"))
        self.assertEqual(events(removed)[-1]["usage"], events(stream)[-1]["usage"])
