"""What the proxy takes back of its own when an upstream refuses it."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.errors import ApiError, BadRequest
from oaiproxy.api.request import ApiRequest, Body, ModelChoice, PortKind
from oaiproxy.bridge import Learnt, translate, upstream_error
from oaiproxy.bridge.healing import LEARNT_FOR, REPAIRS, repair_for
from oaiproxy.models import Capabilities

BODY = {"model": "gpt-5.1", "messages": [{"role": "user", "content": "Hi"}]}


def request(**fields: Any) -> ApiRequest:
    """A chat request as the client sent it."""
    return ApiRequest(PortKind.BRIDGE, "POST", "/chat/completions", (), Body.of({**BODY, **fields}))


def defaults(**fields: Any) -> ApiRequest:
    """A chat request with all that the proxy adds."""
    given = request(**fields).with_added(
        reasoning={"effort": "medium", "summary": "auto"}, tools=[{"type": "web_search"}], prompt_cache_key="k"
    )
    return replace(given, tools=frozenset({"current_time"}))


def refusal(message: str, param: str | None = None, status: int = 400) -> ApiError:
    body = {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": "unsupported"}}
    return upstream_error(status, "application/json", json.dumps(body).encode())


def repaired(given: ApiRequest, error: ApiError) -> tuple[str, ApiRequest]:
    found = repair_for(given, error)
    assert found is not None
    return found[0].name, found[1]


#: What upstreams say -> what is left out for it.
SAID = [
    (
        refusal("Your organization must be verified to generate reasoning summaries.", "reasoning.summary"),
        "reasoning.summary",
    ),
    (
        refusal("Unsupported parameter: 'reasoning.effort' is not supported with this model.", "reasoning.effort"),
        "reasoning",
    ),
    (refusal("Unknown parameter: 'reasoning'.", "reasoning"), "reasoning"),
    (refusal("Hosted tool 'web_search' is not supported with gpt-4.1-nano.", "tools"), "web_search"),
    (refusal("The following tools cannot be used with reasoning.effort 'minimal': web_search."), "web_search"),
    (refusal("'type' of tool must be 'function'"), "web_search"),
    (refusal("This model does not support function calling."), "the proxy's tools"),
    (refusal("Unknown parameter: 'prompt_cache_key'.", "prompt_cache_key"), "prompt_cache_key"),
    (refusal("Unknown parameter: 'stream_options.include_obfuscation'."), "stream_options"),
    (refusal("Unrecognized request argument supplied: store"), "store"),
    (refusal("Encrypted content is not supported with this model.", "include"), "reasoning.encrypted_content"),
    (refusal("include: reasoning.encrypted_content is not known here"), "reasoning.encrypted_content"),
    (refusal("Unsupported parameter: 'temperature' is not supported with this model.", "temperature"), "reasoning"),
    (
        upstream_error(
            422,
            "application/json",
            b'{"detail": [{"loc": ["body", "reasoning"], "msg": "Extra inputs are not permitted"}]}',
        ),
        "reasoning",
    ),
]

#: What they say where a stream is passed on, and the proxy counts what it costs.
SAID_OF_USAGE = [
    (refusal("Unrecognized request argument supplied: stream_options"), "stream_options.include_usage"),
    (refusal("Extra inputs are not permitted", "stream_options.include_usage"), "stream_options.include_usage"),
]


class RepairTests(SynchronousTestCase):
    def test_what_upstream_names_is_what_is_left_out(self) -> None:
        for error, name in SAID:
            self.assertEqual(repaired(defaults(), error)[0], name, error.message)

    def test_each_repair_is_tried_here(self) -> None:
        self.assertEqual({name for _, name in SAID + SAID_OF_USAGE}, {repair.name for repair in REPAIRS})

    def test_a_stream_whose_usage_is_refused_is_not_asked_for_it(self) -> None:
        passed = replace(request(stream=True), port=PortKind.PASSTHROUGH)
        for error, name in SAID_OF_USAGE:
            found = repaired(passed.with_added(stream_options={"include_usage": True}), error)
            self.assertEqual((found[0], found[1].json), (name, {**BODY, "stream": True}))
            self.assertIsNone(repair_for(found[1], error))
            # of the client's own options none goes
            both = {"include_usage": True, "include_obfuscation": False}
            _, kept = repaired(passed.with_added(stream_options=both), error)
            self.assertEqual(kept.json["stream_options"], {"include_obfuscation": False})
            self.assertIsNone(repair_for(passed.with_fields(stream_options=both), error))

    def test_without_a_summary_the_effort_stays(self) -> None:
        _, found = repaired(defaults(), refusal("No.", "reasoning.summary"))
        self.assertEqual(found.json["reasoning"], {"effort": "medium"})
        self.assertEqual(found.json["tools"], [{"type": "web_search"}])

    def test_where_tools_are_refused_the_search_goes_first_and_then_the_proxy_s_own(self) -> None:
        error = refusal("This model does not support tools.")
        name, found = repaired(defaults(), error)
        self.assertEqual((name, found.tools), ("web_search", {"current_time"}))
        name, found = repaired(found, error)
        self.assertEqual((name, found.tools), ("the proxy's tools", frozenset()))
        self.assertIsNone(repair_for(found, error))

    def test_what_only_a_translation_adds_is_not_left_out_of_what_is_none(self) -> None:
        passed = replace(request(), port=PortKind.PASSTHROUGH)
        self.assertIsNone(repair_for(passed, refusal("Unrecognized request argument supplied: store")))

    def test_a_summary_alone_goes_with_all_of_reasoning(self) -> None:
        given = request().with_added(reasoning={"summary": "auto"})
        self.assertNotIn("reasoning", repaired(given, refusal("No.", "reasoning.summary"))[1].json)

    def test_what_the_client_asked_for_is_never_left_out(self) -> None:
        own = request(
            reasoning={"effort": "high", "summary": "auto"},
            tools=[{"type": "web_search"}],
            prompt_cache_key="mine",
            store=True,
            include=["reasoning.encrypted_content"],
            stream_options={"include_obfuscation": True},
        )
        for error, _ in SAID:
            self.assertIsNone(repair_for(own, error), error.message)

    def test_what_an_alias_asked_for_is_the_client_s_wish(self) -> None:
        no_summary, no_reasoning = refusal("No.", "reasoning.summary"), refusal("No.", "reasoning")
        by_alias = defaults().with_choice(ModelChoice("gpt-5.1:res-high:sum-auto", effort="high", summary="auto"))
        self.assertIsNone(repair_for(by_alias, no_summary))
        self.assertIsNone(repair_for(by_alias, no_reasoning))
        effort_only = defaults().with_choice(ModelChoice("gpt-5.1:res-medium", effort="medium"))
        self.assertEqual(repaired(effort_only, no_summary)[1].json["reasoning"], {"effort": "medium"})

    def test_other_errors_are_nobody_s_to_heal(self) -> None:
        for status in (401, 404, 429, 500, 502):
            self.assertIsNone(repair_for(defaults(), refusal("reasoning web_search", "reasoning", status)))
        self.assertIsNone(repair_for(defaults(), refusal("Invalid image URL.", "input[0].content")))

    def test_our_own_refusals_are_final(self) -> None:
        self.assertIsNone(repair_for(defaults(), BadRequest("'reasoning' has to be an object.", param="reasoning")))

    def test_each_thing_is_left_out_once(self) -> None:
        given = defaults(stream=True)
        for error, _ in SAID:
            for _ in range(9):
                found = repair_for(given, error)
                if found is None:
                    break
                given = found[1]
            else:
                self.fail(f"it never ends: {error.message}")

    def test_what_the_translation_adds_is_not_added_again(self) -> None:
        given = request(stream=True, stream_options={"include_usage": True})
        before = json.loads(translate(given, Capabilities()).body)
        self.assertEqual((before["store"], before["stream_options"]), (False, {"include_obfuscation": False}))
        for message in ("store", "stream_options"):
            _, given = repaired(given, refusal(f"Unknown parameter: '{message}'."))
        translation = translate(given, Capabilities())
        self.assertEqual({"store", "stream_options"} & set(json.loads(translation.body)), set())
        self.assertTrue(translation.plan.include_usage)


class LearntTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 0.0
        self.learnt = Learnt(lambda: self.now)

    def learn(self, error: ApiError, account: bytes = b"a") -> bool:
        found = repair_for(defaults(), error)
        assert found is not None
        return self.learnt.keep("gpt-5.1", account, found[0])

    def test_what_was_learnt_is_left_out_of_the_next_request_for_that_model(self) -> None:
        self.learn(refusal("No.", "reasoning"))
        self.assertNotIn("reasoning", self.learnt.apply(defaults(), b"a").json)
        other = defaults().with_fields(model="gpt-5.2")
        self.assertEqual(self.learnt.apply(other, b"a"), other)

    def test_only_the_first_time_is_news(self) -> None:
        error = refusal("No.", "reasoning")
        self.assertEqual([self.learn(error), self.learn(error)], [True, False])

    def test_what_depends_on_the_account_is_learnt_of_it_alone(self) -> None:
        self.learn(refusal("Your organization must be verified.", "reasoning.summary"))
        self.assertEqual(self.learnt.apply(defaults(), b"a").json["reasoning"], {"effort": "medium"})
        self.assertIn("summary", self.learnt.apply(defaults(), b"b").json["reasoning"])

    def test_what_depends_on_the_model_holds_for_every_account(self) -> None:
        self.learn(refusal("No.", "tools"))
        self.assertNotIn("tools", self.learnt.apply(defaults(), b"b").json)

    def test_after_a_day_it_is_tried_again(self) -> None:
        self.learn(refusal("No.", "reasoning"))
        self.now = LEARNT_FOR + 1
        self.assertIn("reasoning", self.learnt.apply(defaults(), b"a").json)

    def test_what_the_client_asks_for_itself_is_not_left_out(self) -> None:
        self.learn(refusal("No.", "reasoning"))
        own = request(reasoning={"effort": "high"})
        self.assertEqual(self.learnt.apply(own, b"a"), own)

    def test_models_that_clients_make_up_do_not_fill_the_memory(self) -> None:
        found = repair_for(defaults(), refusal("No.", "reasoning"))
        assert found is not None
        for n in range(3000):
            self.learnt.keep(f"model-{n}", b"", found[0])
        self.assertLessEqual(len(self.learnt._known), 1024)
