"""The cache key that is filled in: the same for all turns of a conversation, another for another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.clients import DEFAULT
from oaiproxy.models import Catalogue
from oaiproxy.plugins.prompt_cache_default import INSTRUCTIONS_HEAD, cache_key, prompt_cache_default
from oaiproxy.settings import Settings
from oaiproxy.transforms import Pipeline, discover, order
from oaiproxy.web.dialects import CallContext, chat_over_responses
from tests.plugins.support import chat, context

ROOT = Path(__file__).resolve().parents[2]

RULES = {"role": "system", "content": "Be brief."}
FIRST = {"role": "user", "content": "What is a proxy?"}
ANSWER = {"role": "assistant", "content": "Someone who acts for another."}
SECOND = {"role": "user", "content": "And a reverse one?"}
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}


def parts(text: str, **marks: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text, **marks}]


def key(*messages: Any, **fields: Any) -> str | None:
    """The key for a request with these messages, and a model unless given."""
    return cache_key({"model": "gpt-5.1", **({"messages": list(messages)} if messages else {}), **fields})


def upstream_bytes(**body: Any) -> bytes:
    """What a bridge port sends upstream for this body."""
    models = Catalogue.builtin()
    request = Pipeline(order(discover().transforms)).run(chat(**body), context())
    (sent,) = chat_over_responses(request, CallContext(Settings(), models, DEFAULT, now=0)).bodies
    return sent


class KeyTests(SynchronousTestCase):
    ONE = key(RULES, FIRST)

    def test_the_turns_of_a_conversation_share_it(self) -> None:
        for turn in (
            (RULES, FIRST, ANSWER, SECOND),
            (RULES, FIRST, ANSWER, SECOND, ANSWER, FIRST),
            (RULES, FIRST, RULES, {"role": "developer", "content": "Be briefer."}),
        ):
            self.assertEqual(key(*turn), self.ONE, turn)

    def test_what_the_client_sets_from_turn_to_turn_does_not_change_it(self) -> None:
        for fields in (
            {"stream": True, "temperature": 0.5, "reasoning_effort": "high", "max_tokens": 9},
            {"tools": [{"type": "web_search"}]},
            {"functions": [{"name": "f"}]},
        ):
            self.assertEqual(key(RULES, FIRST, **fields), self.ONE, fields)

    def test_the_form_of_the_content_does_not_change_it(self) -> None:
        for content in (
            parts("What is a proxy?"),
            parts("What is a proxy?", cache_control={"type": "ephemeral"}),
            parts("What is a proxy?", prompt_cache_breakpoint={"mode": "explicit"}),
            ["What is a proxy?"],
        ):
            self.assertEqual(key(RULES, {"role": "user", "content": content}), self.ONE, content)
        self.assertEqual(key({"role": "developer", "content": parts("Be brief.")}, FIRST), self.ONE)

    def test_the_order_of_a_part_s_fields_does_not_change_it(self) -> None:
        turned = {"image_url": {"detail": "low", "url": PICTURE["image_url"]["url"]}, "type": "image_url"}
        one, other = ({"role": "user", "content": [part]} for part in (PICTURE, turned))
        self.assertEqual(key(one), key(other))

    def test_another_conversation_has_another(self) -> None:
        keys = [
            self.ONE,
            key(RULES, SECOND),
            key(FIRST),
            key({"role": "system", "content": "Be verbose."}, FIRST),
            key(RULES, ANSWER, FIRST),
            key(RULES, {"role": "user", "content": [*parts("What is a proxy?"), PICTURE]}),
            key(RULES, {"role": "user", "content": ["What is", " a proxy?"]}),
            key(RULES, FIRST, model="gpt-5"),
            key(RULES, FIRST, user="ann"),
            key(RULES, FIRST, user="bob"),
            key(RULES, FIRST, safety_identifier="ann"),
            key(RULES, FIRST, chat_id="1"),
            key(RULES),
        ]
        self.assertEqual(len(set(keys)), len(keys))
        self.assertNotIn(None, keys)

    def test_only_the_head_of_the_instructions_counts(self) -> None:
        head = "Ä" * (INSTRUCTIONS_HEAD // 2)
        morning, evening = ({"role": "system", "content": f"{head} It is {time}."} for time in ("08:00", "20:00"))
        self.assertEqual(key(morning, FIRST), key(evening, FIRST))
        self.assertNotEqual(key(morning, FIRST), key(morning, SECOND))
        self.assertNotEqual(key(morning, FIRST), key({"role": "system", "content": head[:-1]}, FIRST))

    def test_a_conversation_that_the_client_names_is_known_by_its_name(self) -> None:
        for field in ("chat_id", "conversation"):
            named = key(FIRST, **{field: "c1"})
            self.assertEqual(key(RULES, SECOND, **{field: "c1"}), named)
            self.assertNotEqual(key(FIRST, **{field: "c2"}), named)
        self.assertEqual(key(FIRST, conversation={"id": "c1"}), key(FIRST, conversation="c1"))

    def test_a_responses_body_has_one_too(self) -> None:
        self.assertEqual(key(input="Hi"), key(input=[{"role": "user", "content": parts("Hi")}]))
        self.assertEqual(key(input=[FIRST, ANSWER, SECOND], instructions="Be brief."), self.ONE)
        self.assertNotEqual(key(input="Hi"), key(input="Ho"))

    def test_a_request_that_is_chained_to_an_answer_has_none(self) -> None:
        self.assertEqual(key(SECOND, previous_response_id="resp_1"), None)

    def test_a_request_that_says_nothing_has_none(self) -> None:
        for body in ({}, {"messages": None}, {"messages": 7}, {"input": None}):
            self.assertEqual(cache_key(body), None, body)

    def test_odd_messages_do_no_harm(self) -> None:
        for message in (7, None, {}, {"role": 7}, {"role": "user"}, {"role": "user", "content": [7, None, [], {}]}):
            self.assertIsNotNone(key(message), message)

    def test_it_says_nothing_of_what_the_client_wrote_and_fits(self) -> None:
        found = key(RULES, FIRST, user="ann@example.com")
        self.assertRegex(found or "", r"\Aoaiproxy-[0-9a-f]{40}\Z")
        self.assertLessEqual(len(found or ""), 64)

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(
        st.lists(st.sampled_from([RULES, ANSWER]), max_size=3),
        st.text(max_size=20),
        st.lists(st.sampled_from([RULES, FIRST, ANSWER, SECOND]), max_size=6),
    )
    def test_whatever_comes_after_the_first_question_changes_nothing(
        self, before: list[Any], question: str, after: list[Any]
    ) -> None:
        opening = [*before, {"role": "user", "content": question}]
        self.assertEqual(key(*opening), key(*opening, *after))


class TransformTests(SynchronousTestCase):
    def test_it_is_added_and_noted_as_ours(self) -> None:
        request = chat(model="gpt-5.1", messages=[FIRST])
        result = prompt_cache_default.transform(request, context())
        self.assertEqual(result.json, {**request.json, "prompt_cache_key": key(FIRST)})
        self.assertEqual(result.added, {"prompt_cache_key"})

    def test_a_client_can_send_its_own_or_want_none(self) -> None:
        for own in ("mine", "", None):
            request = chat(model="gpt-5.1", messages=[FIRST], prompt_cache_key=own)
            self.assertIs(prompt_cache_default.transform(request, context()), request)

    def test_a_model_that_nobody_knows_gets_none(self) -> None:
        for model in ("llama-3.3", "gpt-oss-20b", "", None, 7):
            request = chat(model=model, messages=[FIRST])
            self.assertIs(prompt_cache_default.transform(request, context()), request, model)

    def test_a_request_without_messages_goes_on_as_it_is(self) -> None:
        request = chat(model="gpt-5.1")
        self.assertIs(prompt_cache_default.transform(request, context()), request)

    def test_aliases_of_a_model_share_it(self) -> None:
        sent = [
            json.loads(upstream_bytes(model=model, messages=[FIRST]))["prompt_cache_key"]
            for model in ("gpt-5.1", "gpt-5.1:res-high", "gpt-5.1:res-low:sum-none")
        ]
        self.assertEqual(sent, [key(FIRST)] * 3)


class UpstreamTests(SynchronousTestCase):
    """What upstream gets to see."""

    def test_null_sends_none(self) -> None:
        sent = json.loads(upstream_bytes(model="gpt-5.1", messages=[FIRST], prompt_cache_key=None))
        self.assertNotIn("prompt_cache_key", sent)

    def test_the_bytes_of_a_turn_begin_those_of_the_next(self) -> None:
        for fields in ({}, {"stream": True}, {"tools": [{"type": "function", "function": {"name": "f"}}]}):
            one = upstream_bytes(model="gpt-5.1", messages=[RULES, FIRST], **fields)
            two = upstream_bytes(model="gpt-5.1", messages=[RULES, FIRST, ANSWER, SECOND], **fields)
            self.assertTrue(one.endswith(b"}]}"))
            self.assertEqual(two[: len(one) - 2], one[:-2])
            self.assertIn(b'"prompt_cache_key":"oaiproxy-', one)

    def test_the_same_history_gives_the_same_bytes_in_every_process(self) -> None:
        body = {
            "model": "gpt-5.1:res-high",
            "messages": [RULES, {"role": "user", "content": [*parts("What is this?"), PICTURE]}, ANSWER, SECOND],
            "tools": [{"type": "function", "function": {"name": name}} for name in ("a.b", "c/d", "e")],
            "include": ["message.output_text.logprobs", "reasoning.encrypted_content"],
            "metadata": {"b": "1", "a": "2"},
            "stream": True,
        }
        code = (
            "import json, sys\n"
            "from tests.plugins.test_prompt_cache_default import upstream_bytes\n"
            "sys.stdout.buffer.write(upstream_bytes(**json.load(sys.stdin)))\n"
        )
        sent = {upstream_bytes(**body), upstream_bytes(**json.loads(json.dumps(body)))}
        for seed in ("1", "2"):
            done = subprocess.run(
                [sys.executable, "-c", code],
                input=json.dumps(body).encode(),
                capture_output=True,
                cwd=ROOT,
                env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
                timeout=60,
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            sent.add(done.stdout)
        self.assertEqual(len(sent), 1, sent)
