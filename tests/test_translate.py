"""``oaiproxy translate``: what it prints, what it reports, and how it ends."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.request import PortKind
from oaiproxy.cli import find_command
from oaiproxy.cli.options import TranslateOptions
from oaiproxy.cli.translate import main
from oaiproxy.clients import DEFAULT
from oaiproxy.models import Catalogue
from oaiproxy.observe.exchange import ExchangeLog
from oaiproxy.observe.traffic import _encode
from oaiproxy.settings import Settings
from oaiproxy.transforms import Pipeline, TransformContext, discover, order
from oaiproxy.web.dialects import CallContext, chat_over_responses
from tests.plugins.support import chat
from tests.process import ROOT, run

RECORDINGS = ROOT.parent / "shared" / "recordings"

KEY = "sk-abcdefgh12345678"

ASKED: dict[str, Any] = {
    "model": "gpt-5.1:res-high",
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}],
    "max_tokens": 5,
    "seed": 7,
    "stop": ["."],
    "chat_id": "abc",
    "tools": [{"type": "function", "function": {"name": "a.b"}}],
}

MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Because.", "annotations": []}],
}
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "gpt-5.1",
    "status": "completed",
    "output": [MESSAGE],
    "usage": {
        "input_tokens": 2000,
        "output_tokens": 3,
        "total_tokens": 2003,
        "input_tokens_details": {"cached_tokens": 1920, "cache_write_tokens": 64},
    },
}
STREAM = b"".join(
    b"data: %s\n\n" % json.dumps(event).encode()
    for event in (
        {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "output": [], "usage": None}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**MESSAGE, "content": []}},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Because."},
        {"type": "response.completed", "response": RESPONSE},
    )
)


class Ran:
    """What a run of the command left."""

    def __init__(self, status: int, out: bytes, err: bytes) -> None:
        self.status, self.out, self.err = status, out, err.decode()
        self.lines = self.err.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def chunks(self) -> list[Any]:
        """The chunks of a stream; the end mark has to be there."""
        *blocks, end, rest = self.out.split(b"\n\n")
        assert (end, rest) == (b"data: [DONE]", b""), self.out[-200:]
        return [json.loads(block.removeprefix(b"data: ")) for block in blocks]


class TranslateCase(SynchronousTestCase):
    def command(self, *arguments: str, stdin: Any = b"", environ: Mapping[str, str] | None = None) -> Ran:
        """Run it on `stdin`, bytes or JSON."""
        given = stdin if isinstance(stdin, bytes) else json.dumps(stdin).encode()
        out, err = io.BytesIO(), io.BytesIO()
        status = main(arguments, io.BytesIO(given), out, err, environ or {})
        self.assertNotIn(b"Traceback", err.getvalue())
        return Ran(status, out.getvalue(), err.getvalue())

    def file(self, content: Any) -> str:
        """A file that holds bytes or JSON."""
        path = Path(self.mktemp())
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return str(path)


class RequestTests(TranslateCase):
    def test_it_prints_what_a_port_would_send(self) -> None:
        settings, models = Settings(), Catalogue.builtin()
        request = Pipeline(order(discover().transforms)).run(chat(**ASKED), TransformContext(settings, models))
        call = chat_over_responses(request, CallContext(settings, models, DEFAULT, now=0))
        ran = self.command(stdin=ASKED)
        self.assertEqual(ran.status, 0)
        self.assertEqual(ran.json, json.loads(call.bodies[0]))
        self.assertEqual(list(ran.json), list(json.loads(call.bodies[0])))

    def test_a_file_is_read_as_well(self) -> None:
        ran = self.command(stdin=ASKED)
        for name in (self.file(ASKED), "-"):
            other = self.command(name, stdin=ASKED)
            self.assertEqual((other.out, other.err), (ran.out, ran.err))

    def test_the_report_says_what_became_of_it(self) -> None:
        ran = self.command(stdin=ASKED)
        name = next(tool["name"] for tool in ran.json["tools"])
        self.assertEqual(
            ran.lines,
            [
                "POST https://api.openai.com/v1/responses",
                '  changed   model: "gpt-5.1:res-high" -> "gpt-5.1"  (model-alias)',
                f'  added     prompt_cache_key: "{ran.json["prompt_cache_key"]}"  (prompt-cache-default)',
                '  added     reasoning: {"effort":"high"}  (reasoning-default)',
                "  added     store: false  (the bridge itself)",
                "  added     stream: true  (the bridge itself)",
                '  added     stream_options: {"include_obfuscation":false}  (the bridge itself)',
                "  renamed   messages -> input",
                "  renamed   max_tokens -> max_output_tokens",
                f"  renamed   tool a.b -> {name}",
                "  emulated  stop",
                "  dropped   seed  (the Responses API has no such field)",
                "  note      usage is not known where a stop sequence ends the answer",
                "  note      clamped max_tokens to 16",
                "  ignored   chat_id  (the client's own bookkeeping)",
                "  answer    one JSON object, reasoning summaries in reasoning_content",
            ],
        )

    def test_as_json_all_of_it_is_one_object(self) -> None:
        ran = self.command("--json", stdin=ASKED)
        self.assertEqual(ran.lines, [])
        self.assertEqual(ran.json["requests"], [self.command(stdin=ASKED).json])
        self.assertEqual(ran.json["dropped"], [{"field": "seed", "why": "the Responses API has no such field"}])
        self.assertEqual(ran.json["url"], "https://api.openai.com/v1/responses")
        self.assertIn({"by": "reasoning-default", "field": "reasoning", "value": {"effort": "high"}}, ran.json["added"])
        self.assertEqual(ran.json["answer"]["stop"], ["."])

    def test_several_requests_at_once_are_counted(self) -> None:
        ran = self.command(stdin={"model": "gpt-5.1", "messages": ASKED["messages"], "n": 3})
        self.assertEqual(ran.lines[0], "POST https://api.openai.com/v1/responses, 3 requests at once")
        self.assertEqual(ran.json["model"], "gpt-5.1")
        self.assertIn("  emulated  n", ran.lines)

    def test_a_legacy_prompt_is_told_by_its_fields_or_by_the_path(self) -> None:
        ran = self.command(stdin={"model": "gpt-5.1", "prompt": "Once upon a time"})
        self.assertEqual(ran.status, 0)
        self.assertIn("  renamed   prompt -> input", ran.lines)
        ran = self.command("--path", "/chat/completions", stdin={"model": "gpt-5.1", "prompt": "Once upon a time"})
        self.assertEqual((ran.status, ran.json["error"]["param"]), (1, "messages"))

    def test_the_service_s_options_count(self) -> None:
        bare = {"model": "gpt-5.1", "messages": ASKED["messages"]}
        self.assertEqual(self.command(stdin=bare).json["tools"], [{"type": "web_search"}])
        self.assertNotIn("tools", self.command("--disable-auto-web-search", stdin=bare).json)
        environ = {"OAIPROXY_DISABLE_AUTO_WEB_SEARCH": "true", "OAIPROXY_UPSTREAM": "http://up:1/base"}
        ran = self.command(stdin=bare, environ=environ)
        self.assertNotIn("tools", ran.json)
        self.assertEqual(ran.lines[0], "POST http://up:1/base/responses")
        ran = self.command("--upstream", "https://api.openai.com/v1", stdin=bare, environ=environ)
        self.assertEqual(ran.lines[0], "POST https://api.openai.com/v1/responses")
        ran = self.command("--reasoning-field=think", stdin=bare)
        self.assertIn("reasoning summaries in think", ran.lines[-1])
        models = self.file([{"id": "gpt-5.1", "web_search": False}])
        self.assertNotIn("tools", self.command("--models", models, stdin=bare).json)

    def test_the_tools_that_a_port_runs_itself_are_shown(self) -> None:
        bare = {"model": "gpt-5.1", "messages": ASKED["messages"]}
        ran = self.command(stdin=bare, environ={"ENABLE_TOOL_EXECUTION": "true"})
        self.assertEqual([tool.get("name") for tool in ran.json["tools"]], [None, "current_time"])
        self.assertTrue(any(line.endswith("(tool-execution)") for line in ran.lines), ran.lines)
        environ = {"ENABLE_TOOL_EXECUTION": "true", "OAIPROXY_TOOLS": "no_such_tool"}
        ran = self.command(stdin=bare, environ=environ)
        self.assertIn("there is no tool 'no_such_tool'", ran.lines[0])

    def test_a_profile_counts(self) -> None:
        ran = self.command("--profile", "xcode", stdin={"model": "gpt-5.1", "messages": ASKED["messages"]})
        self.assertIn("  profile   xcode", ran.lines)

    def test_strict(self) -> None:
        ran = self.command("--strict", stdin=ASKED)
        self.assertEqual((ran.status, ran.json["error"]["param"]), (1, "seed"))

    def test_a_stream_can_be_wanted_or_not(self) -> None:
        bare = {"model": "gpt-5.1", "messages": ASKED["messages"], "stream": True}
        self.assertEqual(self.command("--no-stream", stdin=bare).json["stream"], False)
        self.assertEqual(self.command("--stream", stdin={**bare, "stream": False}).json["stream"], True)

    def test_the_rules_of_the_file_s_first_bridge_port_are_shown(self) -> None:
        path = Path(self.mktemp())
        path.write_text(
            '[param_defaults]\ntop_p = 0.5\n[[ports]]\nkind = "passthrough"\nparam_drop = ["messages"]\n'
            '[[ports]]\nkind = "bridge"\nparam_drop = ["seed"]\n'
            '[ports.model.fast]\nupstream_model = "gpt-5.1:res-low"\n'
            "param_overrides = {max_tokens = 99}\n"
        )
        asked = {"model": "fast", "messages": [{"role": "user", "content": "Why?"}], "max_tokens": 5, "seed": 1}
        ran = self.command("--config", str(path), stdin=asked)
        self.assertEqual((ran.json["model"], ran.json["max_output_tokens"]), ("gpt-5.1", 99))
        self.assertEqual(ran.json["reasoning"]["effort"], "low")
        for line in (
            '  changed   model: "fast" -> "gpt-5.1"  (model-rules)',
            "  changed   max_tokens: 5 -> 99  (parameter-rules)",
            "  removed   seed  (parameter-rules)",
            "  added     top_p: 0.5  (parameter-rules)",
        ):
            self.assertIn(line, ran.lines)

    def test_options_may_stand_behind_the_file(self) -> None:
        ran = self.command(self.file(ASKED), "--json", "--upstream", "http://up:1")
        self.assertEqual(ran.json["url"], "http://up:1/v1/responses")

    def test_the_same_input_gives_the_same_output(self) -> None:
        one, other = self.command(stdin=ASKED), self.command(stdin=ASKED)
        self.assertEqual((one.out, one.err), (other.out, other.err))


class RefusedTests(TranslateCase):
    """The client would get an error: the error is printed, and the status is 1."""

    def test_what_is_no_json(self) -> None:
        for raw in (b"", b"{", b"[]", b"\xff"):
            ran = self.command(stdin=raw)
            self.assertEqual(ran.status, 1)
            self.assertEqual(ran.json["error"]["type"], "invalid_request_error")
            self.assertEqual(ran.lines, ["refused with HTTP 400, nothing goes upstream"])

    def test_what_the_bridge_refuses(self) -> None:
        ran = self.command(stdin={"model": "gpt-5.1", "messages": [{"role": "king", "content": "Hi"}]})
        self.assertEqual((ran.status, ran.json["error"]["param"]), (1, "messages[0].role"))

    def test_what_a_transform_refuses(self) -> None:
        ran = self.command(stdin={**ASKED, "model": "gpt-5.1:res-hihg"})
        self.assertEqual((ran.status, ran.json["error"]["code"]), (1, "invalid_model_alias"))


class AnswerTests(TranslateCase):
    def test_an_object_becomes_a_completion(self) -> None:
        ran = self.command("--response", stdin=RESPONSE)
        self.assertEqual(ran.status, 0)
        self.assertEqual(ran.json["object"], "chat.completion")
        self.assertEqual(ran.json["choices"][0]["message"]["content"], "Because.")
        self.assertEqual(ran.lines[0], "HTTP 200, application/json")

    def test_cached_tokens_are_reported_in_both_forms(self) -> None:
        details = {"cached_tokens": 1920, "cache_write_tokens": 64, "audio_tokens": 0}
        ran = self.command("--response", stdin=RESPONSE)
        self.assertEqual(ran.json["usage"]["prompt_tokens_details"], details)
        ran = self.command("--response", stdin=STREAM)
        self.assertEqual(ran.chunks[-1]["usage"]["prompt_tokens_details"], details)

    def test_a_stream_becomes_chunks(self) -> None:
        ran = self.command("--response", stdin=STREAM)
        text = "".join(choice["delta"].get("content") or "" for chunk in ran.chunks for choice in chunk["choices"])
        self.assertEqual((ran.status, text), (0, "Because."))
        self.assertEqual(ran.lines[0], f"HTTP 200, text/event-stream, {len(ran.chunks)} events")

    def test_either_becomes_the_form_that_the_client_wants(self) -> None:
        whole, chunks = self.command("--response", stdin=RESPONSE), self.command("--response", stdin=STREAM)
        self.assertEqual(self.command("--response", "--no-stream", stdin=STREAM).json, whole.json)
        other = self.command("--response", "--stream", stdin=RESPONSE)
        self.assertEqual(other.chunks[-1]["usage"], chunks.chunks[-1]["usage"])

    def test_an_awkward_recording_gives_the_same(self) -> None:
        plain = self.command("--response", stdin=STREAM)
        for raw in (
            STREAM.replace(b"\n", b"\r\n"),
            STREAM.replace(b"\n\n", b"\n"),
            b"\n".join(block.removeprefix(b"data: ") for block in STREAM.split(b"\n\n")),
            b"HTTP/2 200 \r\ncontent-type: text/event-stream\r\n\r\n" + STREAM,
        ):
            self.assertEqual(self.command("--response", stdin=raw).out, plain.out)

    def test_the_request_decides_how_it_looks(self) -> None:
        request = self.file({**ASKED, "stop": "cause"})
        ran = self.command("--response", self.file(RESPONSE), "--request", request)
        self.assertEqual(ran.json["choices"][0]["message"]["content"], "Be")
        self.assertNotIn("assumed", ran.err)

    def test_without_a_request_the_tools_are_those_that_the_answer_names(self) -> None:
        call = {"type": "custom_tool_call", "call_id": "call_1", "name": "shout", "input": "hey", "status": "completed"}
        answer = {**RESPONSE, "output": [call], "tools": [{"type": "custom", "name": "shout", "description": None}]}
        ran = self.command("--response", stdin=answer)
        self.assertEqual(
            ran.json["choices"][0]["message"]["tool_calls"][0]["custom"], {"name": "shout", "input": "hey"}
        )
        self.assertIn("  request   one that says nothing is assumed; name the real one with --request", ran.lines)

    def test_several_answers_become_several_choices(self) -> None:
        request = self.file({"model": "gpt-5.1", "messages": ASKED["messages"], "n": 2})
        answers = [self.file(RESPONSE), self.file({**RESPONSE, "id": "resp_2"})]
        ran = self.command("--response", "--request", request, *answers)
        self.assertEqual([choice["index"] for choice in ran.json["choices"]], [0, 1])
        ran = self.command("--response", "--request", request, answers[0])
        self.assertEqual(ran.status, 2)
        self.assertIn("the request makes 2 upstream requests, and there are 1 answers", ran.err)

    def test_a_legacy_answer(self) -> None:
        ran = self.command("--response", "--path=/completions", stdin=RESPONSE)
        self.assertEqual(ran.json["object"], "text_completion")

    def test_as_json_the_chunks_are_an_array(self) -> None:
        ran = self.command("--response", "--json", stdin=STREAM)
        chunks = self.command("--response", stdin=STREAM).chunks
        self.assertEqual(ran.json["body"], chunks)
        self.assertEqual((ran.json["status"], ran.json["error"], ran.json["cut"]), (200, None, False))

    def test_an_http_error_is_the_client_s_error(self) -> None:
        error = {"error": {"message": "No such field", "param": "max_output_tokens", "type": "invalid_request_error"}}
        request = self.file(ASKED)
        ran = self.command("--response", "--status", "400", "--request", request, stdin=error)
        self.assertEqual((ran.status, ran.json["error"]["param"]), (1, "max_tokens"))
        self.assertEqual(ran.lines[:2], ["HTTP 400, application/json", "  failed    No such field"])

    def test_a_failure_before_the_answer_is_told_with_the_status(self) -> None:
        failed = {"type": "response.failed", "response": {"status": "failed", "error": {"code": "rate_limit_exceeded"}}}
        ran = self.command("--response", stdin=b"data: %s\n\n" % json.dumps(failed).encode())
        self.assertEqual((ran.status, ran.lines[0]), (1, "HTTP 429, application/json"))
        self.assertEqual(ran.json["error"]["code"], "rate_limit_exceeded")

    def test_a_failure_in_the_middle_is_an_event_and_the_stream_is_cut(self) -> None:
        begun = STREAM[: STREAM.index(b'data: {"type": "response.completed"')]
        ran = self.command("--response", stdin=begun)
        self.assertEqual(ran.status, 1)
        self.assertIn(b'"content":"Because."', ran.out)
        self.assertIn(b"upstream_incomplete", ran.out.split(b"\n\n")[-2])
        self.assertNotIn(b"[DONE]", ran.out)
        self.assertIn("  cut       the stream breaks off behind the error, without [DONE]", ran.lines)


class SecretTests(TranslateCase):
    def test_no_secret_is_printed(self) -> None:
        mcp = {
            "type": "mcp",
            "server_label": "x",
            "server_url": "https://x",
            "headers": {"Authorization": "hunter2hunter"},
        }
        body = {
            **ASKED,
            "messages": [{"role": "user", "content": f"My key is {KEY}"}],
            "tools": [mcp],
            "seed": KEY,
            KEY: 1,
        }
        for arguments in ((), ("--json",), ("--strict",)):
            ran = self.command(*arguments, stdin=body)
            for secret in (KEY, "hunter2hunter"):
                self.assertNotIn(secret, ran.out.decode() + ran.err)
            self.assertIn("***", ran.out.decode())
        self.assertIn("  masked    secrets are shown as ***", self.command(stdin=body).lines)

    def test_none_of_an_answer_either(self) -> None:
        leaking = json.loads(json.dumps(RESPONSE).replace("Because.", f"Use {KEY}"))
        for arguments in ((), ("--stream",), ("--json",)):
            ran = self.command("--response", *arguments, stdin=leaking)
            self.assertNotIn(KEY, ran.out.decode() + ran.err)


class LogTests(TranslateCase):
    """A traffic log is all that a bug report needs."""

    def log(self, *, sent: bytes | None = None, agent: bytes = b"curl", body: Any = ASKED) -> str:
        records: list[Any] = []

        class Observer:
            observe = staticmethod(records.append)

        log = ExchangeLog([Observer], PortKind.BRIDGE.value, "ab-1", lambda: 1795251420.0)  # type: ignore[list-item]
        headers = [(b"Authorization", b"Bearer " + KEY.encode()), (b"User-Agent", agent)]
        log.downstream_request("POST", b"/v1/chat/completions", headers, json.dumps(body).encode())
        log.upstream_request("POST", b"http://up/v1/responses", headers, sent or self.command(stdin=body).out)
        log.upstream_response(200, [(b"Content-Type", b"text/event-stream")])
        log.upstream_chunk(STREAM)
        log.downstream_response(200, [(b"Content-Type", b"application/json")])
        log.close()
        return self.file(b"".join(_encode(record) + b"\n" for record in records))

    def test_the_request_is_translated_again_and_compared(self) -> None:
        ran = self.command("--log", self.log())
        self.assertEqual((ran.status, ran.json), (0, self.command(stdin=ASKED).json))
        self.assertEqual(
            ran.lines[-2:],
            ["  exchange  ab-1 of 2026-11-21T08:57:00.000Z, status 200", "  then      the same as was sent then"],
        )

    def test_what_was_sent_otherwise_is_named(self) -> None:
        sent = {**self.command(stdin=ASKED).json, "store": True, "truncation": "auto"}
        del sent["reasoning"]
        ran = self.command("--log", self.log(sent=json.dumps(sent).encode()), "--exchange", "1")
        self.assertEqual(ran.lines[-1], "  then      differs from what was sent then in store, truncation, reasoning")

    def test_the_answer_is_translated_again(self) -> None:
        ran = self.command("--log", self.log(), "--response")
        self.assertEqual((ran.status, ran.json["choices"][0]["message"]["content"]), (0, "Because"))

    def test_the_client_s_own_headers_count(self) -> None:
        ran = self.command("--log", self.log(agent=b"Xcode/27000 CFNetwork/3800"))
        self.assertIn("  profile   xcode", ran.lines)

    def test_a_log_that_has_not_what_is_asked_for_is_one_line(self) -> None:
        for arguments in (("--exchange", "9"), ("--exchange", "ab-9", "--response")):
            path = self.log()
            ran = self.command("--log", path, *arguments)
            self.assertEqual((ran.status, ran.out), (2, b""))
            self.assertTrue(ran.lines[0].startswith(f"oaiproxy translate: {path}: it has no exchange called"))
            self.assertEqual(len(ran.lines), 1)


class MistakeTests(TranslateCase):
    """One clear line, the status 2, nothing on the standard output."""

    def test_each_mistake_is_one_line(self) -> None:
        file = self.file(ASKED)
        for words, *arguments in (
            ("no/such/file cannot be read: No such file or directory", "no/such/file"),
            ("cannot be read: Is a directory", "."),
            ("no/such/log cannot be read", "--log", "no/such/log"),
            ("is no record of a traffic log", "--log", self.file(b"hello\nworld\n")),
            ("no/request cannot be read", "--response", file, "--request", "no/request"),
            ("--colour", "--colour"),
            ("--profile: 'nobody' is none of", "--profile", "nobody", file),
            ("--reasoning-field", "--reasoning-field=x", file),
            ("--upstream", "--upstream", "nonsense", file),
            ("no-models", "--models", "no-models", file),
            ("--path: '/embeddings' is none of", "--path", "/embeddings", file),
            ("--status: '7' is no HTTP status", "--response", "--status", "7", file),
            ("--status is about an answer", "--status", "400", file),
            ("--request is about an answer", "--request", file),
            ("--stream and --no-stream", "--stream", "--no-stream", file),
            ("--exchange is one of a traffic log", "--exchange", "1", file),
            ("--log brings the request", "--log", file, file),
            ("one request at a time", file, file),
        ):
            with self.subTest(arguments=arguments):
                ran = self.command(*arguments)
                self.assertEqual((ran.status, ran.out), (2, b""))
                self.assertEqual(len(ran.lines), 1, ran.err)
                self.assertTrue(ran.err.startswith("oaiproxy translate: "), ran.err)
                self.assertIn(words, ran.err)

    def test_a_variable_of_the_environment_that_is_wrong(self) -> None:
        ran = self.command(stdin=ASKED, environ={"OAIPROXY_STRICT": "perhaps"})
        self.assertEqual((ran.status, len(ran.lines)), (2, 1))
        self.assertIn("OAIPROXY_STRICT: must be true or false", ran.err)


class DocumentTests(TranslateCase):
    """The examples in the documents are true."""

    #: A file and what is printed of it, in docs/translate.md.
    EXAMPLE = re.compile(
        r"^\$ cat chat\.json\n(.*?)^\$ oaiproxy translate chat\.json\n(.*?)^```$", re.DOTALL | re.MULTILINE
    )

    def test_the_example_prints_that(self) -> None:
        found = self.EXAMPLE.search((ROOT / "docs" / "translate.md").read_text(encoding="utf-8"))
        assert found is not None
        ran = self.command(self.file(found[1].encode()))
        self.assertEqual(ran.err + ran.out.decode(), found[2])
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        self.assertIn(f"$ oaiproxy translate chat.json > responses.json\n{ran.err}```\n", readme)

    def test_every_option_is_named(self) -> None:
        text = (ROOT / "docs" / "translate.md").read_text(encoding="utf-8")
        for option in TranslateOptions({}).longOpt:
            if option not in ("help", "version"):
                self.assertIn(
                    f"`--{option.rstrip('=')}", text.replace("oaiproxy translate --", "`--").replace(" --", " `--")
                )


class CommandTests(SynchronousTestCase):
    def test_it_is_found_by_its_name_and_nothing_else_is(self) -> None:
        self.assertIs(find_command("translate"), main)
        for name in ("", "--bridge", "5102", "translat"):
            self.assertIsNone(find_command(name))

    def test_the_process_prints_reports_and_ends_without_a_reactor(self) -> None:
        path = Path(self.mktemp())
        path.write_text(json.dumps(ASKED))
        code = (
            "import sys; from oaiproxy.__main__ import main\n"
            "try: main()\n"
            "finally: print('twisted.internet.reactor' in sys.modules, file=sys.stderr)"
        )
        done = run(sys.executable, "-c", code, "translate", str(path.resolve()))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["model"], "gpt-5.1")
        self.assertTrue(done.stderr.startswith("POST https://api.openai.com/v1/responses\n"))
        self.assertEqual(done.stderr.splitlines()[-1], "False")

    def test_who_reads_may_stop_and_a_full_disk_is_one_line(self) -> None:
        path = Path(self.mktemp())
        path.write_text(json.dumps({**ASKED, "messages": [{"role": "user", "content": "x" * 1000}] * 1000}))
        command = f"{sys.executable} -m oaiproxy translate {path.resolve()}"
        done = run(
            "bash", "-c", f"{command} 2>&1 >/dev/null | head -c 1; {command} | head -c 1; echo ${{PIPESTATUS[0]}}"
        )
        self.assertEqual(done.stdout.splitlines()[-1], "P{0")
        self.assertNotIn("Traceback", done.stderr)
        if not Path("/dev/full").exists():
            raise SkipTest("there is no /dev/full here")
        done = run("bash", "-c", f"{command} > /dev/full")
        self.assertEqual(done.returncode, 2)
        self.assertEqual(
            done.stderr.splitlines()[-1],
            "oaiproxy translate: the standard output cannot be written: No space left on device",
        )

    def test_a_bad_request_ends_with_status_1(self) -> None:
        path = Path(self.mktemp())
        path.write_text("{}")
        done = run(sys.executable, "-m", "oaiproxy", "translate", str(path.resolve()))
        self.assertEqual((done.returncode, json.loads(done.stdout)["error"]["param"]), (1, "model"))


class RecordingTests(TranslateCase):
    """Real answers, with the requests that they answered: the recordings beside the checkout."""

    def test_every_recorded_answer_is_translated_or_the_client_s_error(self) -> None:
        if not RECORDINGS.is_dir():
            raise SkipTest("the recordings are not beside the checkout")
        translated = 0
        for path in sorted(RECORDINGS.glob("openai--*/*/response.*")):
            request = path.parent / "request.json"
            ran = self.command("--response", str(path), *(("--request", str(request)) if request.exists() else ()))
            self.assertIn(ran.status, (0, 1), path)
            if ran.status == 1:
                self.assertIn(b'"error"', ran.out, path)
            elif path.suffix == ".sse" and b"chat.completion.chunk" in ran.out:
                self.assertGreater(len(ran.chunks), 1, path)
                translated += 1
            else:
                self.assertIn(ran.json["object"], ("chat.completion", "text_completion"))
                translated += 1
        self.assertGreater(translated, 20)
