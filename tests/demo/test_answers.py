from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.errors import ApiError
from oaiproxy.demo import tokens
from oaiproxy.demo.answers import Call, Refusal, Search, Text, Thought, Usage, answer
from oaiproxy.demo.directives import parse
from oaiproxy.demo.question import Format, Mode, Question, Received, Tool

_SKY = Tool("sky", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
_SEA = Tool("sea", {"type": "object", "properties": {"depth": {"type": "integer"}}})
_NOTE = Tool("note", None)


def _ask(text: str = "Hello", **more: Any) -> Question:
    return Question("gpt-x", text, directives=parse(text), **more)


def _parts(text: str = "Hello", **more: Any) -> list[Any]:
    return list(answer(_ask(text, **more)).parts)


class TextTests(SynchronousTestCase):
    def test_it_says_that_it_is_the_demo_and_what_came_through(self) -> None:
        received = Received(messages=3, images=1, files=0, audio=2, tools=("sky", "sea"))
        self.assertEqual(
            _parts("Is it blue? 🌊", received=received, effort=None),
            [
                Text(
                    "This is oaiproxy's demo upstream, not a real model. You said: “Is it blue? 🌊”\n\n"
                    "What came through: model gpt-x, 3 messages, 1 image, 0 files, 2 audio clips, 2 tools (sky, sea)."
                )
            ],
        )

    def test_a_long_message_is_not_said_back_whole(self) -> None:
        (text,) = _parts("x" * 5000)
        self.assertIn("x" * 2000 + "… (5000 characters)", text.text)
        self.assertLess(len(text.text), 2300)

    def test_the_words_asked_for_are_counted_from_one(self) -> None:
        self.assertEqual(_parts("demo:tokens=3"), [Text("demo1 demo2 demo3")])

    def test_each_word_asked_for_is_one_token(self) -> None:
        (text,) = _parts("demo:tokens=1200")
        self.assertEqual(len(tokens.split(text.text)), 1200)

    def test_an_empty_answer_has_no_parts(self) -> None:
        self.assertEqual(_parts("demo:empty", effort="high"), [])

    def test_a_stop_sequence_ends_the_text_before_it(self) -> None:
        self.assertEqual(_parts("demo:tokens=9", stop=("mo4", "mo7")), [Text("demo1 demo2 demo3 de")])

    def test_a_refusal_is_given_when_it_is_asked_for(self) -> None:
        (part,) = _parts("please refuse this")
        self.assertIsInstance(part, Refusal)

    def test_json_follows_the_schema(self) -> None:
        schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
        self.assertEqual(_parts(format=Format(schema)), [Text('{"a":1}')])
        (text,) = _parts("Hello", format=Format())
        self.assertEqual(text.text, '{"from":"oaiproxy\'s demo upstream","you_said":"Hello","messages":0}')

    def test_an_error_asked_for_is_raised(self) -> None:
        raised = self.assertRaises(ApiError, answer, _ask("demo:error=503"))
        self.assertEqual(raised.status, 503)

    def test_the_same_question_has_the_same_answer(self) -> None:
        question = _ask("call parallel", tools=(_SKY, _SEA), effort="low", summary="auto")
        self.assertEqual(answer(question), answer(question))


class SearchTests(SynchronousTestCase):
    def test_a_search_comes_with_a_citation_that_covers_its_link(self) -> None:
        search, text = _parts("search for birds", search=True)
        self.assertEqual(search, Search("search for birds"))
        (citation,) = text.citations
        self.assertEqual(text.text[citation.start : citation.end], "([example.com](https://example.com/oaiproxy-demo))")

    def test_without_the_word_or_the_tool_nothing_is_searched(self) -> None:
        self.assertEqual(len(_parts("find birds", search=True)), 1)
        self.assertEqual(len(_parts("search for birds")), 1)

    def test_a_search_that_is_demanded_is_made(self) -> None:
        self.assertIsInstance(_parts("birds", search=True, must_search=True)[0], Search)


class CallTests(SynchronousTestCase):
    def test_a_tool_is_called_when_it_is_named_or_tools_are_spoken_of(self) -> None:
        for text, name in (("what about the sea?", "sea"), ("call something", "sky"), ("use a tool", "sky")):
            (part,) = _parts(text, tools=(_SKY, _SEA))
            self.assertEqual(part.name, name, text)

    def test_no_tool_is_called_without_being_asked_for(self) -> None:
        for text in ("Hello", "recall the seaside"):
            (part,) = _parts(text, tools=(_SKY, _SEA))
            self.assertIsInstance(part, Text, text)

    def test_a_tool_is_called_when_that_is_demanded(self) -> None:
        self.assertEqual(_parts(tools=(_SKY,), mode=Mode.REQUIRED), [Call("sky", '{"city":"demo city"}')])

    def test_no_tool_is_called_when_that_is_forbidden(self) -> None:
        (part,) = _parts("call sky", tools=(_SKY,), mode=Mode.NONE)
        self.assertIsInstance(part, Text)

    def test_several_tools_are_called_at_once(self) -> None:
        calls = _parts("parallel please", tools=(_SKY, _SEA, _NOTE))
        self.assertEqual([call.name for call in calls], ["sky", "sea", "note"])

    def test_a_single_tool_is_called_twice_with_different_arguments(self) -> None:
        calls = _parts("parallel", tools=(_SKY,))
        self.assertEqual([call.arguments for call in calls], ['{"city":"demo city"}', '{"city":"demo city 2"}'])

    def test_one_tool_is_called_where_several_are_not_wanted(self) -> None:
        self.assertEqual(len(_parts("parallel", tools=(_SKY, _SEA), parallel=False)), 1)

    def test_a_custom_tool_gets_text(self) -> None:
        self.assertEqual(_parts("note it", tools=(_NOTE,)), [Call("note", "demo input for note", custom=True)])

    def test_a_strict_tool_gets_all_its_properties_and_another_only_the_required_ones(self) -> None:
        schema = {"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}}, "required": ["a"]}
        (strict,) = _parts("call", tools=(Tool("f", schema, strict=True),))
        (loose,) = _parts("call", tools=(Tool("f", schema),))
        self.assertEqual((strict.arguments, loose.arguments), ('{"a":1,"b":2}', '{"a":1}'))

    def test_the_tools_answer_is_quoted_even_when_a_call_is_demanded(self) -> None:
        parts = _parts("call sky", tools=(_SKY,), mode=Mode.REQUIRED, outputs=("grey", "wet"))
        self.assertEqual(
            parts, [Text("This is oaiproxy's demo upstream, not a real model. The tool answered: “grey” “wet”")]
        )

    def test_a_text_can_come_first(self) -> None:
        text, call = _parts("demo:preamble call", tools=(_SKY,))
        self.assertEqual((text.preamble, call.name), (True, "sky"))


class ReasoningTests(SynchronousTestCase):
    def test_the_summary_has_as_many_parts_as_its_kind_wants(self) -> None:
        for summary, count in ((None, 0), ("concise", 1), ("auto", 2), ("detailed", 2)):
            thought = _parts(effort="low", summary=summary)[0]
            self.assertEqual(len(thought.summary), count)

    def test_more_effort_costs_more(self) -> None:
        costs = [answer(_ask(effort=e)).usage.reasoning for e in ("minimal", "low", "medium", "high", "xhigh", "max")]
        self.assertEqual(costs, sorted(set(costs)))


class LimitTests(SynchronousTestCase):
    def test_the_text_is_cut_at_the_limit(self) -> None:
        said = answer(_ask("demo:tokens=30", limit=16, input_tokens=5))
        self.assertFalse(said.complete)
        self.assertEqual(said.parts, (Text(" ".join(f"demo{n}" for n in range(1, 17)), whole=False),))
        self.assertEqual(said.usage, Usage(input=5, output=16))

    def test_an_answer_of_just_the_limit_is_complete(self) -> None:
        said = answer(_ask("demo:tokens=16", limit=16))
        self.assertEqual((said.complete, said.usage.output), (True, 16))

    def test_reasoning_counts_and_can_leave_nothing_for_the_answer(self) -> None:
        said = answer(_ask("Hello", effort="high", summary="auto", limit=20))
        self.assertEqual(said.parts, (Thought((), 20, whole=False),))
        self.assertEqual((said.complete, said.usage), (False, Usage(0, 20, 20)))

    def test_reasoning_that_takes_it_all_leaves_no_text(self) -> None:
        said = answer(_ask("Hello", effort="medium", limit=16))
        self.assertEqual(said.parts, (Thought((), 16),))
        self.assertFalse(said.complete)

    def test_arguments_are_cut_and_later_calls_are_gone(self) -> None:
        tool = Tool("f", {"type": "object", "properties": {f"p{n}": {} for n in range(20)}})
        said = answer(_ask("parallel", tools=(tool,), limit=10))
        (call,) = said.parts
        assert isinstance(call, Call)
        self.assertEqual((call.whole, len(tokens.split(call.arguments))), (False, 10))

    def test_a_citation_beyond_the_cut_is_gone(self) -> None:
        _, text = answer(_ask("search", search=True, limit=8)).parts
        assert isinstance(text, Text)
        self.assertEqual((text.whole, text.citations), (False, ()))


class TokenTests(SynchronousTestCase):
    def test_tokens_put_together_are_the_text(self) -> None:
        for text in ("", "a", "  two  blanks ", "it's — fine…\n\nnew 🎉🎉 line\t", '{"a":[1,-2.5]}'):
            self.assertEqual("".join(tokens.split(text)), text)

    def test_logprobs_hold_the_bytes_and_as_many_alternatives_as_asked_for(self) -> None:
        entries: Any = tokens.logprobs("hé du", 2)
        first, second = entries
        self.assertEqual((first["token"], first["bytes"]), ("hé", [104, 195, 169]))
        self.assertEqual([top["token"] for top in second["top_logprobs"]], [" du", " du'"])
        self.assertEqual(tokens.logprobs("x", 0)[0]["top_logprobs"], [])
