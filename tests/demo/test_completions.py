from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.demo.reply import Cut
from tests.demo.support import Demo, sent

_MODEL = "gpt-3.5-turbo-instruct"


def _complete(prompt: Any, **more: Any) -> Any:
    return Demo().post("/v1/completions", model=_MODEL, prompt=prompt, **more)


class CompletionTests(SynchronousTestCase):
    def test_a_completion(self) -> None:
        completion = _complete("demo:tokens=2")
        self.assertEqual((completion["id"], completion["object"]), ("cmpl-demo00000001", "text_completion"))
        self.assertEqual(
            completion["choices"], [{"index": 0, "text": "demo1 demo2", "logprobs": None, "finish_reason": "stop"}]
        )
        self.assertEqual(completion["usage"], {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7})

    def test_sixteen_tokens_are_the_default(self) -> None:
        completion = _complete("Once upon a time")
        self.assertEqual(completion["choices"][0]["finish_reason"], "length")
        self.assertEqual(completion["usage"]["completion_tokens"], 16)

    def test_several_prompts_and_several_choices(self) -> None:
        choices = _complete(["one", "two"], n=2, max_tokens=99)["choices"]
        self.assertEqual([choice["index"] for choice in choices], [0, 1, 2, 3])
        self.assertEqual(["“one”" in choice["text"] for choice in choices], [True, True, False, False])

    def test_the_prompt_is_echoed_and_text_stops(self) -> None:
        choice = _complete("demo:tokens=5", echo=True, stop="3")["choices"][0]
        self.assertEqual(choice["text"], "demo:tokens=5demo1 demo2 demo")

    def test_log_probabilities_have_offsets(self) -> None:
        logprobs = _complete("demo:tokens=2", logprobs=1)["choices"][0]["logprobs"]
        self.assertEqual((logprobs["tokens"], logprobs["text_offset"]), (["demo1", " demo2"], [0, 5]))
        self.assertEqual(list(logprobs["top_logprobs"][0]), ["demo1"])

    def test_a_stream(self) -> None:
        body = {"model": _MODEL, "prompt": "demo:tokens=2", "stream": True, "stream_options": {"include_usage": True}}
        reply = Demo().reply("POST", "/v1/completions", json.dumps(body).encode())
        *events, done = [step for step in reply.steps if isinstance(step, bytes)]
        chunks = [json.loads(event.removeprefix(b"data: ")) for event in events]
        self.assertEqual([c["text"] for chunk in chunks for c in chunk["choices"]], ["demo1", " demo2", ""])
        self.assertEqual([c["finish_reason"] for chunk in chunks for c in chunk["choices"]], [None, None, "stop"])
        self.assertEqual((chunks[-1]["choices"], chunks[-1]["usage"]["completion_tokens"]), ([], 2))
        self.assertEqual(done, b"data: [DONE]\n\n")

    def test_a_stream_that_is_cut(self) -> None:
        body = {"model": _MODEL, "prompt": "demo:tokens=4 demo:cut", "stream": True}
        steps = list(Demo().reply("POST", "/v1/completions", json.dumps(body).encode()).steps)
        self.assertEqual((len(steps), steps[-1]), (3, Cut()))

    def test_what_is_refused(self) -> None:
        for wrong, param in (
            ({"prompt": 5}, "prompt"),
            ({"prompt": [{}]}, "prompt[0]"),
            ({"prompt": [True]}, "prompt[0]"),
            ({"n": 200}, "n"),
            ({"messages": []}, None),
        ):
            error = Demo().error("/v1/completions", **{"model": _MODEL, "prompt": "x", **wrong})
            self.assertEqual((error["status"], error["param"]), (400, param))

    def test_a_failure_is_an_error(self) -> None:
        reply = Demo().reply("POST", "/v1/completions", b'{"model":"x","prompt":"demo:fail-midstream"}')
        self.assertEqual(reply.status, 500)
        self.assertIn(b"server_error", sent(reply))
