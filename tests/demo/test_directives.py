from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy import demo
from oaiproxy.api.errors import BadRequest
from oaiproxy.demo.directives import NAMES, Directives, Trouble, error, parse, without


class DirectiveTests(SynchronousTestCase):
    def test_each_directive_is_found_in_the_text(self) -> None:
        for text, expected in (
            ("plain text", Directives()),
            ("please demo:error=429 now", Directives(error=429)),
            ("demo:fail-midstream", Directives(trouble=Trouble.FAIL)),
            ("demo:cut", Directives(trouble=Trouble.CUT)),
            ("demo:eof", Directives(trouble=Trouble.EOF)),
            ("demo:stall=1.5", Directives(stall=1.5)),
            ("demo:slow=20", Directives(slow=0.02)),
            ("demo:silence=3", Directives(silence=3.0)),
            ("demo:tokens=500", Directives(tokens=500)),
            ("demo:empty", Directives(empty=True)),
            ("demo:preamble", Directives(preamble=True)),
            ("demo:slow=20 and\ndemo:tokens=2.", Directives(slow=0.02, tokens=2)),
        ):
            self.assertEqual(parse(text), expected, text)

    def test_what_only_looks_like_a_directive_is_text(self) -> None:
        for text in ("run registry/demo:cut", "demo:latest", "the demo: cut it", "xdemo:error=400"):
            self.assertEqual(parse(text), Directives(), text)

    def test_a_number_that_is_missing_or_out_of_range_is_an_error_that_says_which_are_taken(self) -> None:
        for text in (
            "demo:error",
            "demo:error=99",
            "demo:error=600",
            "demo:tokens=x",
            "demo:slow=1e9",
            "demo:stall=-1",
        ):
            self.assertRaises(BadRequest, parse, text)
        raised = self.assertRaises(BadRequest, parse, "demo:error=200", "input")
        self.assertEqual(raised.message, "demo:error takes a number from 400 to 599: demo:error=400")
        self.assertEqual((raised.param, raised.code), ("input", "invalid_value"))

    def test_words_are_looked_for_outside_of_the_directives(self) -> None:
        self.assertEqual(without("call demo:error=429 it"), "call   it")
        self.assertEqual(without("pull demo:latest"), "pull demo:latest")

    def test_every_directive_is_in_the_rooms_documentation(self) -> None:
        for name in NAMES:
            self.assertIn(f"``demo:{name}", demo.__doc__ or "")

    def test_an_error_has_the_status_and_says_that_it_was_asked_for(self) -> None:
        asked = error(429)
        self.assertEqual((asked.status, asked.code, asked.headers), (429, "rate_limit_exceeded", {"Retry-After": "1"}))
        self.assertIn("demo:error=429", asked.message)
        self.assertEqual((error(502).status, error(502).type, error(502).headers), (502, "server_error", {}))
        self.assertEqual((error(418).status, error(418).type), (418, "invalid_request_error"))
