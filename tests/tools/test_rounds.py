"""Several rounds of a model as one answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.asis import AsItIs
from oaiproxy.api.errors import ApiError, UpstreamIncomplete, UpstreamInvalid
from oaiproxy.tools import RoundsAnswer, Told
from tests.tools.support import DONE, call, chunk, chunks, completion, said, usage

OWN = frozenset({"clock", "dice"})
STREAM = "text/event-stream"


class Rounds:
    """Feeds rounds to a `RoundsAnswer`, as an exchange does.

    @ivar turns: the messages of the turns whose calls were run.
    """

    def __init__(self, stream: bool = True, last: int = 99, stop: Any = None) -> None:
        self.answer = RoundsAnswer(OWN, Told(stop), stream, as_is=True)
        self.kind = STREAM if stream else "application/json"
        self.last = last
        self.turns: list[Any] = []

    def feed(self, *rounds: bytes, cut: Sequence[int] = ()) -> bytes:
        """What the client gets for these rounds.

        @param cut: where the bytes of each round are cut.
        """
        out = []
        for number, body in enumerate(rounds):
            self.answer.next_round(AsItIs(), number >= self.last)
            self.answer.open(0, self.kind)
            places = [0, *sorted(min(place, len(body)) for place in cut), len(body)]
            for start, end in pairwise(places):
                out.append(self.answer.feed(0, body[start:end]))
                out.append(self.answer.feed(0, b""))
            out.append(self.answer.end(0))
            self.answer.check()
            turn = self.answer.turn
            if turn is not None:
                self.turns.append(turn.message(number))
            assert (turn is None) is (number == len(rounds) - 1), "the wrong number of rounds"
        return b"".join(out)


def streamed(*rounds: Sequence[bytes], **how: Any) -> tuple[bytes, list[Any]]:
    """What the client gets for rounds of chunks, and the turns whose calls were run."""
    run = Rounds(**how)
    return run.feed(*(b"".join(each) for each in rounds)), run.turns


ROLE = chunk({"role": "assistant", "content": ""})
CALLED = (ROLE, chunk({"tool_calls": [call()]}), chunk({}, "tool_calls"), DONE)


class StreamTests(SynchronousTestCase):
    def test_a_stream_without_calls_is_as_it_was_byte_for_byte(self) -> None:
        body = (
            b": hello\n\n" + ROLE + chunk({"content": "Hi"}) + chunk({}, "stop") + chunk(None, usage=usage(1, 2)) + DONE
        )
        for end in ("\n\n", "\r\n\r\n"):
            given = body.replace(b"\n\n", end.encode())
            self.assertEqual(Rounds().feed(given), given)

    def test_calls_of_ours_are_left_out_and_the_next_round_goes_on_in_the_same_message(self) -> None:
        answer = (
            chunk({"role": "assistant", "content": ""}, id="chatcmpl-2"),
            chunk({"content": "Noon"}, id="chatcmpl-2"),
        )
        body, turns = streamed(CALLED, (*answer, chunk({}, "stop", id="chatcmpl-2"), DONE))
        found = chunks(body)
        self.assertEqual(
            [(c["id"], c["choices"][0]["delta"], c["choices"][0]["finish_reason"]) for c in found],
            [
                ("chatcmpl-1", {"role": "assistant", "content": ""}, None),
                ("chatcmpl-1", {"content": "Noon"}, None),
                ("chatcmpl-1", {}, "stop"),
            ],
        )
        (turn,) = turns
        self.assertEqual(
            turn,
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "call_clock", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
                ],
            },
        )

    def test_arguments_in_pieces_are_put_together(self) -> None:
        first = call(arguments="")
        pieces = [{"index": 0, "function": {"arguments": text}} for text in ('{"zone"', ': "UTC"}')]
        body, (turn,) = streamed(
            (ROLE, *(chunk({"tool_calls": [piece]}) for piece in (first, *pieces)), chunk({}, "tool_calls"), DONE),
            (chunk({"content": "Noon"}), chunk({}, "stop"), DONE),
        )
        self.assertEqual(turn["tool_calls"][0]["function"]["arguments"], '{"zone": "UTC"}')
        self.assertNotIn(b"tool_calls", body)

    def test_calls_of_the_client_s_tools_are_its_own_and_end_the_answer(self) -> None:
        weather = call("weather", '{"city": "Rome"}')
        body, turns = streamed((ROLE, chunk({"tool_calls": [weather]}), chunk({}, "tool_calls"), DONE))
        self.assertEqual(turns, [])
        self.assertEqual([c["choices"][0]["delta"].get("tool_calls") for c in chunks(body)], [None, [weather], None])
        self.assertEqual(chunks(body)[-1]["choices"][0]["finish_reason"], "tool_calls")

    def test_where_both_are_called_the_client_gets_its_own_numbered_from_0(self) -> None:
        calls = [call("clock"), call("weather", index=1), call("dice", index=2), call("news", index=3)]
        more = {"index": 3, "function": {"arguments": " "}}
        body, turns = streamed(
            (ROLE, *(chunk({"tool_calls": [each]}) for each in (*calls, more)), chunk({}, "tool_calls"), DONE)
        )
        self.assertEqual(turns, [])
        found = [each for c in chunks(body) for each in c["choices"][0]["delta"].get("tool_calls", ())]
        self.assertEqual(found, [{**calls[1], "index": 0}, {**calls[3], "index": 1}, {**more, "index": 1}])

    def test_calls_of_a_later_round_are_numbered_from_0(self) -> None:
        weather = call("weather", index=1)
        body, _ = streamed(CALLED, (chunk({"tool_calls": [call(), weather]}), chunk({}, "tool_calls"), DONE))
        found = [each for c in chunks(body) for each in c["choices"][0]["delta"].get("tool_calls", ())]
        self.assertEqual(found, [{**weather, "index": 0}])

    def test_a_call_whose_name_comes_later_or_in_pieces_is_held_until_it_is_known(self) -> None:
        def pieces(*names: str) -> list[bytes]:
            parts = [{"index": 0, "id": "c1", "type": "function", "function": {"name": names[0], "arguments": ""}}]
            parts += [{"index": 0, "function": {"name": name}} for name in names[1:]]
            parts.append({"index": 0, "function": {"arguments": "{}"}})
            return [chunk({"tool_calls": [part]}) for part in parts]

        answer = (chunk({"content": "Noon"}), chunk({}, "stop"), DONE)
        for names in (("", "clock"), ("cl", "ock"), ("clock", "clock")):
            body, (turn,) = streamed((ROLE, *pieces(*names), chunk({}, "tool_calls"), DONE), answer)
            self.assertEqual(turn["tool_calls"][0]["function"], {"name": "clock", "arguments": "{}"})
            self.assertNotIn(b"tool_calls", body)
        for names, name in ((("", "weather"), "weather"), (("clock", "work"), "clockwork"), (("cl",), "cl")):
            body, turns = streamed((ROLE, *pieces(*names), chunk({}, "tool_calls"), DONE))
            calls = [each for c in chunks(body) for each in c["choices"][0]["delta"].get("tool_calls", ())]
            self.assertEqual((turns, calls[0]["id"], calls[0]["function"]["name"]), ([], "c1", name))
            self.assertEqual("".join(c["function"].get("arguments", "") for c in calls), "{}")

    def test_a_call_that_is_held_to_the_end_is_the_client_s_before_it(self) -> None:
        held = call("cl", "")
        body, turns = streamed((ROLE, chunk({"tool_calls": [held]}), chunk({}, "tool_calls"), DONE))
        last = chunks(body)[-1]["choices"][0]
        self.assertEqual((last["delta"]["tool_calls"], last["finish_reason"], turns), ([held], "tool_calls", []))

    def test_servers_that_give_every_call_the_same_index_have_each_of_them_run(self) -> None:
        calls = [call("clock", id="a"), call("dice", id="b")]
        _, (turn,) = streamed(
            (ROLE, *(chunk({"tool_calls": [each]}) for each in calls), chunk({}, "stop"), DONE),
            (chunk({"content": "Noon"}), chunk({}, "stop"), DONE),
        )
        self.assertEqual([each["id"] for each in turn["tool_calls"]], ["a", "b"])

    def test_calls_without_ids_and_arguments_get_both(self) -> None:
        bare = {"index": 0, "function": {"name": "clock"}}
        _, (turn,) = streamed(
            (ROLE, chunk({"tool_calls": [bare]}), chunk({}, "tool_calls"), DONE),
            (chunk({"content": "Noon"}), chunk({}, "stop"), DONE),
        )
        (found,) = turn["tool_calls"]
        self.assertEqual(
            found, {"id": "call_0_0", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
        )

    def test_what_servers_say_of_calls_and_thoughts_goes_back_to_them(self) -> None:
        signed = {**call(), "extra_content": {"google": {"thought_signature": "abc"}}}
        _, (turn,) = streamed(
            (
                ROLE,
                chunk({"reasoning_content": "Let me "}),
                chunk({"reasoning_content": "see", "reasoning_details": [{"text": "see"}]}),
                chunk({"content": "One moment.", "annotations": [{}]}),
                chunk({"tool_calls": [signed]}),
                chunk({}, "tool_calls"),
                DONE,
            ),
            (chunk({"content": "Noon"}), chunk({}, "stop"), DONE),
        )
        del signed["index"]
        self.assertEqual(
            turn,
            {
                "role": "assistant",
                "content": "One moment.",
                "reasoning_content": "Let me see",
                "reasoning_details": [{"text": "see"}],
                "tool_calls": [signed],
            },
        )

    def test_texts_of_different_rounds_are_set_apart(self) -> None:
        first = (ROLE, chunk({"reasoning_content": "Hm"}), chunk({"content": "Wait."}), *CALLED[1:])
        second = (
            chunk({"reasoning_content": "Ah"}),
            chunk({"content": "No"}),
            chunk({"content": "on"}),
            chunk({}, "stop"),
            DONE,
        )
        body, _ = streamed(first, second)
        self.assertEqual((said(body), said(body, "reasoning_content")), ("Wait.\n\nNoon", "Hm\n\nAh"))

    def test_what_sets_them_apart_is_no_stop_sequence(self) -> None:
        first = (ROLE, chunk({"content": "Wait."}), *CALLED[1:])
        second = (chunk({"content": "Noon"}), chunk({}, "stop"), DONE)
        for stop, expected in (("\n\n", "Wait.\nNoon"), (["x", "\n"], "Wait. Noon"), ([" ", "\n"], "Wait.Noon")):
            self.assertEqual(said(streamed(first, second, stop=stop)[0]), expected)

    def test_usage_is_the_sum_and_said_once(self) -> None:
        first = (*CALLED[:-1], chunk(None, usage=usage(10, 1)), DONE)
        second = (chunk({"content": "Noon"}), chunk({}, "stop"), chunk(None, usage=usage(20, 2)), DONE)
        body, _ = streamed(first, first, second)
        self.assertEqual([c["usage"] for c in chunks(body) if "usage" in c], [usage(40, 4)])

    def test_usage_in_every_chunk_grows_over_the_rounds(self) -> None:
        first = (chunk({"tool_calls": [call()]}, usage=usage(10, 1)), chunk({}, "tool_calls", usage=usage(10, 3)), DONE)
        second = (chunk({"content": "Noon"}, usage=usage(20, 1)), chunk({}, "stop", usage=usage(20, 2)), DONE)
        body, _ = streamed(first, second)
        self.assertEqual([c["usage"] for c in chunks(body)], [usage(30, 4), usage(30, 5)])

    def test_annotations_are_about_where_the_text_is_now(self) -> None:
        def note(start: int) -> dict[str, Any]:
            return {"type": "url_citation", "url_citation": {"start_index": start, "end_index": start + 4, "url": "u"}}

        first = (ROLE, chunk({"content": "Wait."}), chunk({"tool_calls": [call()]}), chunk({}, "tool_calls"), DONE)
        second = (chunk({"content": "Noon"}), chunk({"annotations": [note(0)]}, "stop"), DONE)
        body, _ = streamed(first, second)
        (found,) = (
            c["choices"][0]["delta"]["annotations"] for c in chunks(body) if "annotations" in c["choices"][0]["delta"]
        )
        self.assertEqual(found, [note(7)])
        self.assertEqual(said(body)[7:11], "Noon")

    def test_pictures_are_numbered_over_all_rounds(self) -> None:
        pictures = [chunk({"images": [{"index": index, "type": "image_url"}]}) for index in (0, 1)]
        body, _ = streamed(
            (ROLE, *pictures, *CALLED[1:]), (pictures[0], chunk({"content": "Noon"}), chunk({}, "stop"), DONE)
        )
        found = [each["index"] for c in chunks(body) for each in c["choices"][0]["delta"].get("images", ())]
        self.assertEqual(found, [0, 1, 2])

    def test_annotations_with_the_end_of_a_round_are_not_lost(self) -> None:
        cited = (
            ROLE,
            chunk({"content": "Wait."}),
            chunk({"tool_calls": [call()]}),
            chunk({"annotations": [{"type": "x"}]}, "tool_calls"),
            DONE,
        )
        body, _ = streamed(cited, (chunk({"content": "Noon"}), chunk({}, "stop"), DONE))
        ends = [(c["choices"][0]["delta"], c["choices"][0]["finish_reason"]) for c in chunks(body)]
        self.assertIn(({"annotations": [{"type": "x"}]}, None), ends)

    def test_a_turn_that_was_cut_runs_nothing(self) -> None:
        for reason in ("length", "content_filter"):
            body, turns = streamed((ROLE, chunk({"tool_calls": [call()]}), chunk({}, reason), DONE))
            self.assertEqual((turns, chunks(body)[-1]["choices"][0]["finish_reason"]), ([], reason))
            self.assertNotIn(b"tool_calls", body)

    def test_a_stream_that_breaks_off_in_a_call_is_incomplete(self) -> None:
        self.assertRaises(UpstreamIncomplete, streamed, (ROLE, chunk({"tool_calls": [call()]})))

    def test_a_stream_without_a_finish_reason_ends_with_its_end(self) -> None:
        body, turns = streamed(
            (ROLE, chunk({"tool_calls": [call()]}), DONE), (chunk({"content": "Noon"}), chunk({}, "stop"), DONE)
        )
        self.assertEqual((said(body), len(turns)), ("Noon", 1))
        held = call("cl", "")
        body, turns = streamed((ROLE, chunk({"tool_calls": [held]}), DONE))
        self.assertEqual((chunks(body)[-1]["choices"][0]["delta"]["tool_calls"], turns), ([held], []))

    def test_a_stream_whose_last_line_is_not_ended_is_read_to_its_end(self) -> None:
        run = Rounds()
        whole = b"".join((ROLE, chunk({"tool_calls": [call()]}), chunk({}, "tool_calls").rstrip()))
        body = run.feed(whole, chunk({"content": "Noon"}) + chunk({}, "stop") + DONE.rstrip())
        self.assertEqual((said(body), len(run.turns)), ("Noon", 1))

    def test_errors_and_comments_of_upstream_pass_as_they_are(self) -> None:
        error = b'data: {"error": {"message": "no"}}\n\n'
        body, _ = streamed(CALLED, (b": ping\n\n", error))
        self.assertEqual(body, ROLE + b": ping\n\n" + error)

    def test_a_model_that_will_not_stop_calling_is_an_error_that_says_so(self) -> None:
        run = Rounds(last=2)
        error = self.assertRaises(ApiError, run.feed, *(b"".join(CALLED) for _ in range(4)))
        self.assertEqual((error.status, error.code, len(run.turns)), (502, "tool_rounds_exceeded", 2))
        self.assertIn("in each of 2 rounds", error.message)

    def test_what_it_said_before_is_the_client_s_all_the_same(self) -> None:
        run = Rounds(last=1)
        run.feed(b"".join(CALLED), chunk({}, "stop"))
        run.answer.next_round(AsItIs(), last=True)
        run.answer.open(0, STREAM)
        told = run.answer.feed(0, chunk({"content": "Hm"}) + b"".join(CALLED[1:]))
        self.assertIn(b'"Hm"', told)
        self.assertRaises(ApiError, run.answer.feed, 0, b"")

    def test_a_stream_after_none_is_not_what_the_api_says(self) -> None:
        run = Rounds()
        run.answer.next_round(AsItIs(), last=False)
        run.answer.open(0, STREAM)
        run.answer.next_round(AsItIs(), last=False)
        self.assertRaises(UpstreamInvalid, run.answer.open, 0, "application/json")

    def test_what_upstream_took_once_it_has_taken(self) -> None:
        run = Rounds()
        run.answer.next_round(AsItIs(), last=False)
        self.assertEqual((run.answer.accepted, run.answer.acknowledged), (False, False))
        run.answer.open(0, STREAM)
        run.answer.feed(0, b"".join(CALLED))
        run.answer.next_round(AsItIs(), last=False)
        self.assertEqual((run.answer.accepted, run.answer.acknowledged, run.answer.finished), (True, True, False))

    def test_between_rounds_a_chunk_that_says_nothing_keeps_the_connection_alive(self) -> None:
        run = Rounds()
        self.assertEqual(run.answer.keepalive(), b"")
        run.answer.next_round(AsItIs(), last=False)
        run.answer.open(0, STREAM)
        self.assertEqual(run.answer.keepalive(), b"")
        run.answer.feed(0, b"".join(CALLED))
        (idle,) = chunks(run.answer.keepalive() + DONE)
        self.assertEqual(
            (idle["id"], idle["choices"]), ("chatcmpl-1", [{"index": 0, "delta": {}, "finish_reason": None}])
        )

    def test_a_failure_is_the_event_on_which_clients_raise_in_any_round(self) -> None:
        run, error = Rounds(), ApiError("no")
        run.answer.next_round(AsItIs(), last=False)
        run.answer.open(0, STREAM)
        run.answer.feed(0, b"".join(CALLED))
        run.answer.next_round(AsItIs(), last=False)  # which never begins
        self.assertEqual(run.answer.fail(error), error.event())

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.lists(st.integers(0, 700), max_size=6), st.booleans())
    def test_however_the_network_cuts_it_the_answer_is_the_same(self, cut: list[int], crlf: bool) -> None:
        first = b"".join((ROLE, chunk({"content": "Wäit."}), *CALLED[1:-1], chunk(None, usage=usage(1, 1)), DONE))
        last = b"".join(
            (chunk({"content": "Noon"}), chunk({"tool_calls": [call("weather")]}), chunk({}, "tool_calls"), DONE)
        )
        rounds = [each.replace(b"\n\n", b"\r\n\r\n") if crlf else each for each in (first, last)]
        self.assertEqual(Rounds().feed(*rounds, cut=cut), Rounds().feed(*rounds))


class CompletionTests(SynchronousTestCase):
    def feed(self, *rounds: bytes, **how: Any) -> tuple[Any, list[Any]]:
        run = Rounds(stream=False, **how)
        return json.loads(run.feed(*rounds)), run.turns

    def test_a_completion_without_calls_of_ours_is_as_it_was_byte_for_byte(self) -> None:
        for body in (completion("Hi"), completion(None, [call("weather")], "tool_calls"), b'{"odd": 1}', b"no json"):
            self.assertEqual(Rounds(stream=False).feed(body), body)

    def test_the_last_round_answers_in_the_name_of_the_first(self) -> None:
        first = completion("Wait.", [call()], "tool_calls", usage=usage(10, 1), message={"reasoning_content": "Hm"})
        second = completion("Noon", id="chatcmpl-2", created=2, usage=usage(20, 2), message={"reasoning_content": "Ah"})
        found, (turn,) = self.feed(first, second)
        self.assertEqual(
            found,
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1,
                "model": "m",
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": "Wait.\n\nNoon", "reasoning_content": "Hm\n\nAh"},
                        "finish_reason": "stop",
                    }
                ],
                "usage": usage(30, 3),
            },
        )
        self.assertEqual((turn["content"], turn["reasoning_content"]), ("Wait.", "Hm"))

    def test_where_both_are_called_the_client_gets_its_own(self) -> None:
        found, turns = self.feed(completion(None, [call(), call("weather")], "tool_calls"))
        (choice,) = found["choices"]
        self.assertEqual([c["function"]["name"] for c in choice["message"]["tool_calls"]], ["weather"])
        self.assertEqual((choice["finish_reason"], turns), ("tool_calls", []))

    def test_a_turn_that_was_cut_runs_nothing(self) -> None:
        found, turns = self.feed(completion("Hm", [call(arguments='{"z')], "length"))
        self.assertEqual((found["choices"][0]["finish_reason"], turns), ("length", []))
        self.assertNotIn("tool_calls", found["choices"][0]["message"])

    def test_a_model_that_will_not_stop_calling_is_an_error(self) -> None:
        body = completion(None, [call()], "tool_calls")
        error = self.assertRaises(ApiError, self.feed, body, body, last=1)
        self.assertEqual(error.code, "tool_rounds_exceeded")

    def test_log_probabilities_are_those_of_the_whole_text(self) -> None:
        def with_logprobs(body: bytes, token: str) -> bytes:
            value = json.loads(body)
            value["choices"][0]["logprobs"] = {"content": [{"token": token}], "refusal": None}
            return json.dumps(value).encode()

        first = with_logprobs(completion("Wait.", [call()], "tool_calls"), "Wait.")
        found, _ = self.feed(first, with_logprobs(completion("Noon"), "Noon"))
        self.assertEqual(
            found["choices"][0]["logprobs"], {"content": [{"token": "Wait."}, {"token": "Noon"}], "refusal": None}
        )

    def test_there_is_no_keepalive_and_no_event_in_it(self) -> None:
        run = Rounds(stream=False)
        run.answer.next_round(AsItIs(), last=False)
        run.answer.open(0, "application/json")
        self.assertEqual((run.answer.keepalive(), run.answer.fail(ApiError("no"))), (b"", b""))

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(
        st.lists(
            st.tuples(
                st.text("ab c", max_size=4),
                st.text("xy", max_size=3),
                st.lists(st.sampled_from(["clock", "dice"]), min_size=1, max_size=3),
            ),
            max_size=3,
        ),
        st.text("de", max_size=4),
        st.lists(st.sampled_from(["clock", "weather"]), max_size=3),
    )
    def test_streamed_or_not_it_is_the_same_answer(
        self, before: list[tuple[str, str, list[str]]], text: str, calls: list[str]
    ) -> None:
        if calls and set(calls) <= OWN:
            calls = [*calls, "weather"]
        rounds = [*before, (text, "", calls)]
        whole, streams = [], []
        for number, (content, thought, names) in enumerate(rounds):
            made = [call(name, index=index, id=f"c{number}{index}") for index, name in enumerate(names)]
            finish = "tool_calls" if names else "stop"
            whole.append(
                completion(content, made, finish, usage=usage(number, 1), message={"reasoning_content": thought})
            )
            pieces = [chunk({"role": "assistant", "content": ""})]
            pieces += [chunk({"reasoning_content": letter}) for letter in thought]
            pieces += [chunk({"content": letter}) for letter in content]
            pieces += [chunk({"tool_calls": [each]}) for each in made]
            streams.append(b"".join((*pieces, chunk({}, finish), chunk(None, usage=usage(number, 1)), DONE)))
        plain, plain_run = json.loads((run := Rounds(stream=False)).feed(*whole)), run
        body, turns = streamed(*([each] for each in streams))
        message = plain["choices"][0]["message"]
        found = [each for c in chunks(body) if c["choices"] for each in c["choices"][0]["delta"].get("tool_calls", ())]
        self.assertEqual(said(body), message["content"])
        self.assertEqual(said(body, "reasoning_content"), message["reasoning_content"])
        self.assertEqual([each["id"] for each in found], [each["id"] for each in message.get("tool_calls", ())])
        self.assertEqual([each["index"] for each in found], list(range(len(found))))
        self.assertEqual(chunks(body)[-1]["usage"], plain["usage"])
        self.assertEqual(turns, plain_run.turns)
