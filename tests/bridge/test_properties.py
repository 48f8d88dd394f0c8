"""What holds for every request, every stream, and every cut, and not only for those that somebody thought of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.chat import ReasoningField
from oaiproxy.api.errors import ApiError, BadRequest
from oaiproxy.bridge.answer import ChatAnswer, StreamedAnswer
from oaiproxy.bridge.plan import AnswerPlan
from oaiproxy.bridge.stream import ChatStream, CollectedStream
from oaiproxy.bridge.values import chat_usage
from tests.bridge.asking import ALWAYS, NEVER, ON_DEMAND, UNKNOWN, asked, off_schema
from tests.bridge.published import Published, Values
from tests.bridge.wire import Event, completed, created, folded, run, sse, stream_of

_settings = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


def from_schema(make: Callable[[Published], Values]) -> Values:
    """Values made from the published schema, which may be absent when this module is imported."""
    return st.deferred(lambda: make(_published()))


def _published() -> Published:
    global _found
    if _found is None:
        _found = Published({"Response": st.deferred(_response), "Tool": st.just({"type": "web_search"})})
    return _found


_found: Published | None = None


def _response() -> Values:
    """Responses without their echo of the request."""
    published = _published()
    fields = published.fields("Response")
    usage = st.fixed_dictionaries(
        {"input_tokens": st.integers(0, 99), "output_tokens": st.integers(0, 99), "total_tokens": st.integers(0, 199)}
    )
    return st.fixed_dictionaries(
        {
            "id": st.sampled_from(["resp_1", "resp_2"]),
            "object": st.just("response"),
            "created_at": st.sampled_from([1700000000, 1700000000.5]),
            "model": st.just("gpt-5.1"),
            "status": st.sampled_from(["completed", "incomplete", "in_progress"]),
            "output": st.lists(published.named("OutputItem"), max_size=3),
        },
        optional={
            "usage": st.one_of(st.none(), usage),
            **{name: fields[name] for name in ("incomplete_details", "service_tier", "moderation")},
        },
    )


#: Every way in which an answer may have to look.
PLANS = st.builds(
    AnswerPlan,
    stream=st.just(True),
    include_usage=st.booleans(),
    legacy_functions=st.booleans(),
    functions=st.sampled_from([frozenset(), frozenset({"f"}), frozenset({"parallel"})]),
    custom_tools=st.sampled_from([frozenset(), frozenset({"f", "g"})]),
    hosted_tools=st.sampled_from([frozenset(), frozenset({"local_shell", "shell", "apply_patch", "computer"})]),
    names=st.sampled_from([{}, {"g": "g.g"}]),
    logprobs=st.booleans(),
    stop=st.sampled_from([(), ("i",), ("END", "\n\n"), ("é🦊", " ", "n", "#")]),
    reasoning_field=st.sampled_from(ReasoningField),
)


def responses() -> Values:
    """Finished responses of items of any type; those with something to tell come more often."""

    def make(published: Published) -> Values:
        loud = ["OutputMessage", "ReasoningItem", "FunctionToolCall", "CustomToolCall", "ImageGenToolCall"]
        names = [*published.members("OutputItem").values(), *loud * 8]
        items = st.lists(st.sampled_from(names).flatmap(published.named), max_size=4)
        return st.builds(_finished, _response(), items, st.sampled_from(["completed", "incomplete"]))

    return from_schema(make)


def _finished(response: Event, items: list[Event], status: str) -> Event:
    for part in (part for item in items if item["type"] == "message" for part in item["content"]):
        if part["type"] == "output_text":
            part["logprobs"] = [{"token": c, "logprob": -1.0, "bytes": [], "top_logprobs": []} for c in part["text"]]
    return {**response, "status": status, "output": items, "usage": response.get("usage")}


def streams() -> Values:
    """Events in good order, cut off or not, or in none."""
    orderly = st.tuples(responses(), st.integers(1, 5), st.integers(0, 40))
    return st.one_of(
        disorderly(),
        orderly.map(lambda drawn: list(stream_of(drawn[0], in_steps(drawn[1])))[: drawn[2] + 1]),
        orderly.map(lambda drawn: list(stream_of(drawn[0], in_steps(drawn[1])))),
    )


def in_steps(size: int) -> Callable[[str], list[str]]:
    """Cuts a text into pieces of `size` characters."""
    return lambda text: [text[i : i + size] for i in range(0, len(text), size)]


def disorderly() -> Values:
    """Valid events in any order, and mostly one that ends the response."""

    def make(published: Published) -> Values:
        kinds = published.members("ResponseStreamEvent")
        ends = {"response.completed", "response.incomplete", "response.failed", "error"}
        said = [name for kind, name in kinds.items() if kind not in ends]
        # those with something to tell come more often
        loud = [n for k, n in kinds.items() if k.startswith(("response.output_", "response.refusal", "response.func"))]
        loud += [n for k, n in kinds.items() if k.startswith(("response.reasoning", "response.custom"))]
        events = st.lists(st.sampled_from(said + loud * 3).flatmap(published.named), max_size=12)
        end = st.sampled_from(sorted(ends)).flatmap(lambda kind: published.named(kinds[kind]))
        return st.tuples(events, st.one_of(end, st.builds(completed), st.none()))

    return from_schema(make).map(lambda pair: [created(), *pair[0], *([pair[1]] if pair[1] else [])])


def told(translator: ChatStream | CollectedStream, pieces: Iterable[bytes]) -> tuple[bytes, str | None]:
    """What comes out for these pieces, and the error that ended it."""
    out = []
    try:
        for piece in pieces:
            out.append(translator.feed(piece))
        out.append(translator.end())
    except ApiError as error:
        return b"".join(out), error.message
    return b"".join(out), None


def pieces(raw: bytes, cuts: list[int]) -> Iterator[bytes]:
    """`raw`, cut at these places."""
    places = sorted({cut % (len(raw) + 1) for cut in cuts})
    for start, end in zip([0, *places], [*places, len(raw)], strict=True):
        yield raw[start:end]


class RequestTests(SynchronousTestCase):
    @settings(_settings, max_examples=250)
    @given(
        from_schema(lambda published: published.named("CreateChatCompletionRequest")),
        st.sampled_from([ON_DEMAND, ALWAYS, NEVER, UNKNOWN]),
    )
    def test_a_valid_request_becomes_a_valid_one_or_is_refused_by_its_field(self, body: Any, capabilities: Any) -> None:
        try:
            translation = asked(body, capabilities)
        except BadRequest as error:
            assert error.param is not None
            self.assertIn(error.param.partition(".")[0].partition("[")[0], body)
            return
        self.assertEqual(off_schema("CreateResponse", json.loads(translation.body)), [])
        self.assertEqual(asked(json.loads(json.dumps(body)), capabilities), translation)


class StreamTests(SynchronousTestCase):
    @settings(_settings, max_examples=250)
    @given(streams(), PLANS)
    def test_any_valid_events_give_a_valid_stream(self, events: list[Event], plan: AnswerPlan) -> None:
        translator = ChatStream(plan)
        raw, failed = told(translator, [sse(*events)])
        self.assertEqual(translator.finished, failed is None)
        blocks = raw.decode().split("\n\n")
        self.assertEqual(blocks.pop(), "")
        self.assertTrue(all(block.startswith("data: ") and "\n" not in block for block in blocks))
        self.assertEqual(blocks[-1:] == ["data: [DONE]"], failed is None)
        if failed is None:
            blocks.pop()
        self.valid([json.loads(block.removeprefix("data: ")) for block in blocks], plan, failed is None)

    def valid(self, chunks: list[Event], plan: AnswerPlan, whole: bool) -> None:
        for chunk in chunks:
            wrong = off_schema("CreateChatCompletionStreamResponse", chunk)
            # the API streams custom tools, which its schema forgets
            self.assertEqual([error for error in wrong if "'custom' is not one of" not in error], [], chunk)
        if not chunks:
            self.assertFalse(whole)
            return
        for key in ("id", "object", "created", "model"):
            self.assertEqual(len({chunk[key] for chunk in chunks}), 1, key)
        if plan.include_usage:
            self.assertEqual([c["usage"] is not None for c in chunks], [False] * (len(chunks) - whole) + [True] * whole)
            if whole:
                self.assertEqual(chunks.pop()["choices"], [])
        else:
            self.assertFalse(any("usage" in chunk for chunk in chunks))
        choices = [choice for chunk in chunks for choice in chunk["choices"]]
        self.assertEqual(len(choices), len(chunks))
        reasons = [choice["finish_reason"] for choice in choices]
        self.assertEqual([reason is not None for reason in reasons], [False] * (len(chunks) - whole) + [True] * whole)
        first, *deltas = [choice["delta"] for choice in choices]
        self.assertIn(first.pop("content"), ("", None))
        self.assertEqual(first, {"role": "assistant", "refusal": None})
        self.one_kind_each(deltas, plan, whole)
        self.calls_in_order(deltas, plan)

    def one_kind_each(self, deltas: list[Event], plan: AnswerPlan, whole: bool) -> None:
        middle = deltas[: len(deltas) - whole]
        self.assertEqual({len(delta) for delta in middle} - {1}, set())
        for last in deltas[len(middle) :]:
            self.assertEqual(last.keys() - {"annotations", "file_annotations"}, set())
        # an empty text is said once, by an answer of no words
        self.assertNotIn("", [value for delta in middle[:-1] for value in delta.values()])
        kinds = {kind for delta in middle for kind in delta}
        fields = {field.value for field in ReasoningField}
        self.assertEqual(kinds & fields - {plan.reasoning_field.value}, set())
        content = "".join(delta.get("content") or "" for delta in middle).rpartition("</think>\n\n")[2]
        for stop in plan.stop if plan.reasoning_field is not ReasoningField.THINK else ():
            self.assertNotIn(stop, content)

    def calls_in_order(self, deltas: list[Event], plan: AnswerPlan) -> None:
        names = [delta["function_call"].get("name") for delta in deltas if "function_call" in delta]
        self.assertEqual(names[1:], [None] * len(names[1:]))
        count = 0
        for call in (call for delta in deltas for call in delta.get("tool_calls", ())):
            self.assertFalse(plan.legacy_functions)
            if "id" in call:
                self.assertEqual((call["index"], bool(call["id"])), (count, True))
                count += 1
            self.assertLess(call["index"], count)

    @settings(_settings, max_examples=100)
    @given(
        streams(),
        PLANS,
        st.sampled_from([b"\n", b"\r\n", b"\r"]),
        st.sampled_from([b"", b": ping\n\n", b"\xef\xbb\xbf"]),
        st.lists(st.integers(0, 1 << 20), max_size=12),
    )
    def test_any_cut_of_the_bytes_gives_the_same(
        self, events: list[Event], plan: AnswerPlan, line_end: bytes, before: bytes, cuts: list[int]
    ) -> None:
        raw = (before + sse(*events)).replace(b"\n", line_end)
        for kind in (ChatStream, CollectedStream):
            whole = told(kind(plan), [raw])
            self.assertEqual(told(kind(plan), pieces(raw, cuts)), whole)
        self.assertEqual(told(kind(plan), (raw[i : i + 1] for i in range(len(raw)))), whole)


class AgreementTests(SynchronousTestCase):
    """One response gives one answer, whichever way it comes and goes."""

    @settings(_settings, max_examples=250)
    @given(responses(), PLANS, st.integers(1, 5))
    def test_streamed_or_not_the_answer_is_the_same(self, response: Event, plan: AnswerPlan, step: int) -> None:
        raw = json.dumps(response).encode()
        events = sse(*stream_of(response, in_steps(step)))
        whole = json.loads(run(ChatAnswer(plan), raw))
        self.assertEqual(off_schema("CreateChatCompletionResponse", whole), [])
        self.agrees(folded(run(StreamedAnswer(plan), raw)), whole, plan)
        for kind in (ChatStream, CollectedStream):
            translator = kind(plan)
            out = run(translator, events)
            answer = folded(out) if kind is ChatStream else json.loads(out)
            self.agrees(answer, whole, plan, streams=kind is ChatStream, cut=translator.cut_short)

    def agrees(self, answer: Event, whole: Event, plan: AnswerPlan, streams: bool = True, cut: bool = False) -> None:
        [one], [other] = answer["choices"], whole["choices"]
        if cut:
            # after a stop sequence upstream is not listened to any more
            for name in ("annotations", "file_annotations"):
                for cited in one["message"].pop(name, []):
                    self.assertIn(cited, other["message"][name])
        elif not streams or plan.include_usage:
            # the chunk that was asked for comes, whether or not upstream counted
            nothing = chat_usage({}) if streams else None
            self.assertEqual(answer.get("usage"), whole.get("usage") or nothing)
        self.assertEqual({**one, "message": None}, {**other, "message": None})
        self.assertEqual(one["message"], {key: other["message"][key] for key in one["message"]})
