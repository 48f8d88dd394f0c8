"""The operator's rules on running ports of both kinds, told by variables, by a file, and through real sockets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from oaiproxy.api.request import PortKind
from oaiproxy.options import Options
from oaiproxy.rules.params import ModelRules, ParameterRules, RuleBook
from oaiproxy.settings import Settings
from oaiproxy.transforms import discover, order
from tests.support import SocketTestCase, http_answer, http_stream
from tests.web.test_bridge import ADDED, COMPLETED, CREATED, JSON, chat, delta, response
from tests.web.test_healing import refusal

HI = [{"role": "user", "content": "Hi"}]

TOML = """
model_map = {"gpt-4o" = "gpt-5"}
default_model = "fast"
limit_field = "max_completion_tokens"

[param_defaults]
temperature = 0.7
top_p = 0.9

[model."gpt-5*"]
param_drop = ["temperature"]
param_overrides = {seed = 5}

[model.fast]
upstream_model = "gpt-5:res-low"
append_to_last_user_message = '\\n/fast'

[[ports]]
kind = "passthrough"
listen = 5101

[[ports]]
kind = "bridge"
listen = 5102
disable_auto_web_search = true

[ports.model.fast]
upstream_model = "gpt-5.1:res-low"
"""

LLM_PARAMS = (
    "model=Qwen3-32B-Thinking,upstream_model_name=Qwen3-32B,temperature=0.6,top_k=20,"
    "append_to_last_user_message=\\n\\n/think;model=default,upstream_model_name=Qwen3-8B,temperature=0.5"
)


class RulesTestCase(SocketTestCase):
    def setUp(self) -> None:
        self.scripted = self.upstream()

    def port(self, kind: PortKind, settings: Settings) -> int:
        """A port with all the built-in transforms."""
        return self.proxy(kind, settings, transforms=order(discover().transforms))

    async def sent(self, port: int, path: str, body: dict[str, Any], *fields: str) -> dict[str, Any]:
        """What upstream gets of a request; the answer's status, head and body are kept."""
        self.scripted.requests.clear()
        raw = json.dumps(body).encode()
        self.status, head, self.body = await self.ask(port, "POST", f"/v1{path}", raw, JSON, *fields)
        self.assertEqual(self.status, 200, self.body)
        self.warned = [
            line.partition(": ")[2] for line in head.decode().split("\r\n") if line.lower().startswith("x-oaiproxy-w")
        ]
        self.received = self.scripted.requests[-1]
        found: dict[str, Any] = json.loads(self.received.body)
        return found

    async def models(self, port: int) -> list[str]:
        status, _, body = await self.ask(port, "GET", "/v1/models")
        self.assertEqual(status, 200)
        return [model["id"] for model in json.loads(body)["data"]]


class PassthroughTests(RulesTestCase):
    async def test_without_rules_no_body_is_decoded(self) -> None:
        port = self.port(PortKind.PASSTHROUGH, Settings())
        raw = b'{ "model" : "m",  "model":"n", "input": [1.0e0] }'
        for path in ("/embeddings", "/responses", "/completions"):
            await self.ask(port, "POST", f"/v1{path}", raw, JSON)
            self.assertEqual(self.scripted.requests[-1].body, raw)

    async def test_a_request_that_no_rule_is_about_goes_on_byte_for_byte(self) -> None:
        settings = Settings(rules=RuleBook(ParameterRules(drop=("seed",)), model_map={"a": "b"}))
        port = self.port(PortKind.PASSTHROUGH, settings)
        raw = b'{ "model" : "m",  "messages":[] }'
        await self.ask(port, "POST", "/v1/chat/completions", raw, JSON)
        self.assertEqual(self.scripted.requests[-1].body, raw)

    async def test_rules_of_one_port_are_not_another_s(self) -> None:
        ruled = self.port(PortKind.PASSTHROUGH, Settings(rules=RuleBook(ParameterRules(drop=("seed",)))))
        plain = self.port(PortKind.PASSTHROUGH, Settings())
        body = {"model": "m", "messages": HI, "seed": 1}
        self.assertEqual(await self.sent(ruled, "/chat/completions", body), {"model": "m", "messages": HI})
        self.assertEqual(self.warned, ["dropped seed (a rule of this proxy)"])
        self.assertEqual(await self.sent(plain, "/chat/completions", body), body)
        self.assertEqual(self.warned, [])

    async def test_what_no_server_could_take_is_refused_with_rules_as_without(self) -> None:
        port = self.port(PortKind.PASSTHROUGH, Settings(rules=RuleBook(ParameterRules(append="!"))))
        for raw, param in ((b'{"model": "m"}', "messages"), (b"[]", None), (b"{", None)):
            status, _, body = await self.ask(port, "POST", "/v1/chat/completions", raw, JSON)
            self.assertEqual((status, json.loads(body)["error"]["param"]), (400, param))
        self.assertEqual(self.scripted.requests, [])

    async def test_streams_pass_as_they_are(self) -> None:
        self.scripted.answers(http_stream(b"data: 1\n\n", b"data: [DONE]\n\n"))
        port = self.port(PortKind.PASSTHROUGH, Settings(rules=RuleBook(ParameterRules(defaults={"seed": 1}))))
        sent = await self.sent(port, "/chat/completions", {"model": "m", "messages": HI, "stream": True})
        self.assertEqual(sent["seed"], 1)
        self.assertEqual(self.body, b"data: 1\n\ndata: [DONE]\n\n")

    async def test_responses_and_embeddings(self) -> None:
        rules = RuleBook(
            ParameterRules(defaults={"max_tokens": 50, "reasoning_effort": "low"}, append="!"),
            models=(ModelRules("e", ParameterRules(defaults={"dimensions": 8}), upstream_model="embed"),),
            default_model="m",
        )
        port = self.port(PortKind.PASSTHROUGH, Settings(rules=rules))
        self.assertEqual(
            await self.sent(port, "/responses", {"input": "Hi"}),
            {"model": "m", "input": "Hi!", "max_output_tokens": 50, "reasoning": {"effort": "low"}},
        )
        self.assertEqual(
            await self.sent(port, "/embeddings", {"model": "e", "input": "Hi"}),
            {"model": "embed", "input": "Hi", "dimensions": 8},
        )


class BridgeTests(RulesTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.scripted.answers(http_answer(json.dumps(response()).encode(), "200 OK", JSON))

    async def test_what_an_override_sets_reaches_upstream_translated(self) -> None:
        for fields, field, value in (
            ({"max_output_tokens": 500}, "max_output_tokens", 500),
            ({"max_tokens": 500}, "max_output_tokens", 500),
            ({"reasoning_effort": "low"}, "reasoning", {"effort": "low", "summary": "auto"}),
            ({"reasoning": {"effort": "low"}}, "reasoning", {"effort": "low"}),
            ({"verbosity": "low"}, "text", {"verbosity": "low"}),
            ({"service_tier": "flex"}, "service_tier", "flex"),
            ({"store": True}, "store", True),
            ({"tools": [{"type": "web_search"}]}, "tools", [{"type": "web_search"}]),
            ({"tool_choice": "none"}, "tool_choice", "none"),
            ({"stop": ["x"]}, "stream", True),
        ):
            port = self.port(PortKind.BRIDGE, Settings(rules=RuleBook(ParameterRules(overrides=fields))))
            body = {"model": "gpt-5.1", "messages": HI, "max_completion_tokens": 9999, "reasoning_effort": "high"}
            if "stop" in fields:
                self.scripted.answers(http_stream(CREATED, ADDED, delta("Hello"), COMPLETED))
            self.assertEqual((await self.sent(port, "/chat/completions", body)).get(field), value, fields)

    async def test_a_default_gives_way_to_the_client_s_own_word_in_any_of_its_forms(self) -> None:
        rules = RuleBook(ParameterRules(defaults={"max_tokens": 50, "reasoning": {"effort": "low", "summary": "auto"}}))
        port = self.port(PortKind.BRIDGE, Settings(rules=rules, strict=True))
        for body, limit, reasoning in (
            ({"model": "gpt-5.1"}, 50, {"effort": "low", "summary": "auto"}),
            ({"model": "gpt-5.1", "max_completion_tokens": 77}, 77, {"effort": "low", "summary": "auto"}),
            ({"model": "gpt-5.1:res-high"}, 50, {"effort": "high", "summary": "auto"}),
            ({"model": "gpt-5.1:sum-none"}, 50, {"effort": "low"}),
            ({"model": "gpt-5.1", "reasoning_effort": "high"}, 50, {"effort": "high", "summary": "auto"}),
        ):
            sent = await self.sent(port, "/chat/completions", {**body, "messages": HI})
            self.assertEqual((sent["max_output_tokens"], sent["reasoning"]), (limit, reasoning))
            self.assertEqual(self.warned, [])

    async def test_a_rule_without_effect_is_told_and_refused_by_no_strict_port(self) -> None:
        rules = RuleBook(ParameterRules(overrides={"seed": 1, "top_k": 2, "own_field": 3}))
        port = self.port(PortKind.BRIDGE, Settings(rules=rules, strict=True))
        for path, body in (("/chat/completions", {"messages": HI}), ("/completions", {"prompt": "Hi"})):
            await self.sent(port, path, {"model": "gpt-5.1", **body})
            self.assertEqual(
                self.warned,
                [
                    "dropped seed (the Responses API has no such field; it is set by a rule of this proxy), "
                    "dropped top_k (the Responses API has no such field; it is set by a rule of this proxy), "
                    "dropped own_field (unknown field; it is set by a rule of this proxy)"
                ],
            )

    async def test_what_the_client_itself_asks_for_is_refused_by_a_strict_port_as_ever(self) -> None:
        port = self.port(PortKind.BRIDGE, Settings(rules=RuleBook(ParameterRules(overrides={"top_k": 2})), strict=True))
        status, _, body = await self.ask(port, "POST", "/v1/chat/completions", chat(seed=1), JSON)
        self.assertEqual((status, json.loads(body)["error"]["param"]), (400, "seed"))

    async def test_a_strict_port_lets_pass_what_its_operator_takes_out(self) -> None:
        port = self.port(PortKind.BRIDGE, Settings(rules=RuleBook(ParameterRules(drop=("seed",))), strict=True))
        await self.sent(port, "/chat/completions", {"model": "gpt-5.1", "messages": HI, "seed": 1})
        self.assertEqual(self.warned, ["dropped seed (a rule of this proxy)"])

    async def test_what_the_operator_set_is_not_taken_out_when_upstream_refuses_it(self) -> None:
        for fields, param in (
            ({"reasoning": {"effort": "low", "summary": "detailed"}}, "reasoning.summary"),
            ({"reasoning": {"effort": "low", "summary": "detailed"}}, "reasoning"),
            ({"tools": [{"type": "web_search"}]}, "tools"),
            ({"prompt_cache_key": "ours"}, "prompt_cache_key"),
            ({"store": True}, "store"),
        ):
            for kind in ("defaults", "overrides"):
                self.scripted.requests.clear()
                self.scripted.answers(refusal(param))
                said: dict[str, Any] = {kind: fields}
                rules = RuleBook(ParameterRules(**said), default_model="gpt-5.1")
                port = self.port(PortKind.BRIDGE, Settings(rules=rules))
                status, _, _ = await self.ask(port, "POST", "/v1/chat/completions", chat(), JSON)
                self.assertEqual((status, len(self.scripted.requests)), (400, 1), (fields, kind))

    async def test_a_model_of_its_own_can_what_its_upstream_model_can(self) -> None:
        rules = RuleBook(
            models=(ModelRules("fast", upstream_model="gpt-5.1"), ModelRules("old", upstream_model="gpt-4o"))
        )
        port = self.port(PortKind.BRIDGE, Settings(rules=rules))
        sent = await self.sent(port, "/chat/completions", {"model": "fast", "messages": HI})
        self.assertEqual((sent["model"], sent["reasoning"]), ("gpt-5.1", {"effort": "medium", "summary": "auto"}))
        self.assertEqual(self.warned, [])
        sent = await self.sent(port, "/chat/completions", {"model": "old", "messages": HI, "temperature": 0.5})
        self.assertEqual((sent["model"], sent["temperature"], sent.get("reasoning")), ("gpt-4o", 0.5, None))

    async def test_prompts_have_rules_too(self) -> None:
        rules = RuleBook(
            ParameterRules(overrides={"max_completion_tokens": 40, "reasoning_effort": "none"}), default_model="gpt-5.1"
        )
        port = self.port(PortKind.BRIDGE, Settings(rules=rules))
        sent = await self.sent(port, "/completions", {"prompt": "Once", "max_tokens": 20})
        self.assertEqual(
            (sent["model"], sent["max_output_tokens"], sent["reasoning"]), ("gpt-5.1", 40, {"effort": "none"})
        )
        self.assertEqual(self.warned, ["changed max_tokens to 40 (a rule of this proxy)"])

    async def test_responses_are_passed_on_with_the_rules(self) -> None:
        rules = RuleBook(ParameterRules(drop=("user",)), models=(ModelRules("fast", upstream_model="gpt-5.1"),))
        port = self.port(PortKind.BRIDGE, Settings(rules=rules))
        sent = await self.sent(port, "/responses", {"model": "fast", "input": "Hi", "user": "u"})
        self.assertEqual(
            (sent, self.received.line), ({"model": "gpt-5.1", "input": "Hi"}, "POST /v1/responses HTTP/1.1")
        )


class ListTests(RulesTestCase):
    RULES = RuleBook(
        models=(
            ModelRules("fast", upstream_model="gpt-5.1:res-low"),
            ModelRules("local", upstream_model="Qwen3-32B"),
            ModelRules("gpt-3*", upstream_model="gpt-5"),
            ModelRules("gpt-4o", upstream_model="gpt-5"),
            ModelRules("gpt-5", ParameterRules(drop=("seed",))),
        )
    )

    async def test_models_that_rules_make_are_listed_last_on_their_port(self) -> None:
        for kind in PortKind:
            plain = await self.models(self.port(kind, Settings()))
            own = ["fast", "local"] if "gpt-4o" in plain else ["fast", "local", "gpt-4o"]
            self.assertEqual(await self.models(self.port(kind, Settings(rules=self.RULES))), [*plain, *own])

    async def test_each_can_be_asked_for(self) -> None:
        port = self.port(PortKind.PASSTHROUGH, Settings(rules=self.RULES))
        _, _, like = await self.ask(port, "GET", "/v1/models/gpt-5.1")
        status, _, body = await self.ask(port, "GET", "/v1/models/fast")
        self.assertEqual((status, json.loads(body)), (200, {**json.loads(like), "id": "fast"}))
        status, _, body = await self.ask(port, "GET", "/v1/models/local")
        self.assertEqual((status, sorted(json.loads(body))), (200, ["created", "id", "object", "owned_by"]))
        status, _, _ = await self.ask(port, "GET", "/v1/models/gpt-3*")
        self.assertEqual(status, 404)


class ConfiguredTests(RulesTestCase):
    def options(self, *arguments: str, **environ: str) -> Options:
        options = Options(environ)
        options.parseOptions(arguments)
        return options

    def with_file(self, text: str) -> Options:
        path = Path(self.mktemp())
        path.write_text(text)
        return self.options("--config", str(path))

    async def test_a_file_with_rules_for_all_ports_and_for_one(self) -> None:
        passthrough, bridge = (self.port(port.kind, port.settings) for port in self.with_file(TOML).settings.ports)
        sent = await self.sent(passthrough, "/chat/completions", {"messages": HI, "max_tokens": 5})
        self.assertEqual(
            sent,
            {
                "model": "gpt-5:res-low",  # no alias on this kind of port
                "messages": [{"role": "user", "content": "Hi\n/fast"}],
                "max_completion_tokens": 5,
                "temperature": 0.7,
                "top_p": 0.9,
            },
        )
        sent = await self.sent(passthrough, "/chat/completions", {"model": "gpt-4o", "messages": HI, "temperature": 1})
        self.assertEqual(sent, {"model": "gpt-5", "messages": HI, "top_p": 0.9, "seed": 5})
        self.assertEqual(
            self.warned, ["changed model to gpt-5 (a rule of this proxy), dropped temperature (a rule of this proxy)"]
        )
        self.scripted.answers(http_answer(json.dumps(response()).encode(), "200 OK", JSON))
        sent = await self.sent(bridge, "/chat/completions", {"model": "fast", "messages": HI})
        self.assertEqual((sent["model"], sent["reasoning"]["effort"]), ("gpt-5.1", "low"))
        self.assertIn("fast", await self.models(passthrough))
        self.assertIn("fast", await self.models(bridge))

    async def test_the_forms_of_other_proxies(self) -> None:
        options = self.options(
            LLM_PARAMS=LLM_PARAMS,
            OPENAI_PARAM_DEFAULTS='{"top_p": 0.9, "temperature": 1}',
            OPENAI_PARAM_OVERRIDES='{"seed": 7}',
            OPENAI_PARAM_DROP="user, logit_bias",
            MODEL_MAP="gpt-4o=gpt-5",
        )
        port = self.port(PortKind.PASSTHROUGH, options.settings.ports[0].settings)
        self.assertEqual(
            await self.sent(port, "/chat/completions", {"model": "Qwen3-32B-Thinking", "messages": HI, "user": "u"}),
            {
                "model": "Qwen3-32B",
                "messages": [{"role": "user", "content": "Hi\n\n/think"}],
                "top_p": 0.9,
                "temperature": 0.6,
                "seed": 7,
                "top_k": 20,
            },
        )
        self.assertEqual(
            await self.sent(port, "/chat/completions", {"messages": HI}),
            {"model": "Qwen3-8B", "messages": HI, "top_p": 0.9, "temperature": 0.5, "seed": 7},
        )
        self.assertEqual(
            await self.sent(port, "/chat/completions", {"model": "gpt-4o", "messages": HI}),
            {"model": "gpt-5", "messages": HI, "top_p": 0.9, "temperature": 1, "seed": 7},
        )
        self.assertEqual((await self.models(port))[-1], "Qwen3-32B-Thinking")

    async def test_a_default_model_beats_that_of_llm_params(self) -> None:
        options = self.options(LLM_PARAMS=LLM_PARAMS, DEFAULT_MODEL="mine")
        port = self.port(PortKind.PASSTHROUGH, options.settings.ports[0].settings)
        sent = await self.sent(port, "/chat/completions", {"messages": HI})
        self.assertEqual(sent, {"model": "mine", "messages": HI, "temperature": 0.5})

    def test_a_mistake_ends_the_start_with_one_line(self) -> None:
        for name, value, message in (
            ("LLM_PARAMS", "model=a,foo", "LLM_PARAMS: model 'a': 'foo' is no key=value"),
            ("OPENAI_PARAM_DEFAULTS", "[1]", "OPENAI_PARAM_DEFAULTS: must be an object"),
            ("OPENAI_PARAM_OVERRIDES", '{"a": [NaN]}', "OPENAI_PARAM_OVERRIDES: a[0]: nan is no number in JSON"),
        ):
            error = self.assertRaises(SystemExit, self.options, **{name: value})
            self.assertIn(message, str(error))
            self.assertNotIn("\n", str(error))
        error = self.assertRaises(SystemExit, self.with_file, '[model."gpt-5*".param_defaults]\nwhen = 2026-01-01\n')
        self.assertIn("model: 'gpt-5*': param_defaults: when: JSON has no date; put it in quotes", str(error))
