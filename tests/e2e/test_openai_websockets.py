"""The openai SDK's WebSockets through either port: the Responses API over one, and the Realtime API."""

from __future__ import annotations

from typing import Any

from tests.e2e.test_aimock import AimockTestCase


def question(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


class WebSocketTests(AimockTestCase):
    def test_responses_one_after_the_other_on_one_connection(self) -> None:
        for port in ("passthrough", "bridge"):
            with self.client(port).responses.connect() as connection:
                for text, answer in (("hello", "Hello! How can I help you today?"), ("think", "The answer is 42.")):
                    connection.response.create(model="gpt-5.1", input=[question(text)])
                    said, kinds = "", []
                    for event in connection:
                        kinds.append(event.type)
                        if event.type == "response.output_text.delta":
                            said += event.delta
                        elif event.type == "response.completed":
                            break
                    self.assertEqual(said, answer)
                    self.assertEqual(kinds[0], "response.created")

    def test_a_realtime_conversation(self) -> None:
        for port in ("passthrough", "bridge"):
            with self.client(port).realtime.connect(model="gpt-realtime") as connection:
                connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
                connection.conversation.item.create(item=question("hello"))
                connection.response.create()
                said = ""
                for event in connection:
                    if event.type == "response.output_text.delta":
                        said += event.delta
                    elif event.type in ("response.done", "error"):
                        break
                self.assertEqual((said, event.type), ("Hello! How can I help you today?", "response.done"))

    def test_a_key_that_upstream_refuses_is_refused_in_its_words(self) -> None:
        for port in ("passthrough", "bridge"):
            with (
                self.assertRaises(Exception) as caught,
                self.client(port, api_key="sk-another").responses.connect(),
            ):
                pass
            self.assertEqual(caught.exception.response.status_code, 401)  # type: ignore[attr-defined]
            self.assertIn(b"error", caught.exception.response.body)  # type: ignore[attr-defined]


class LimitedTests(AimockTestCase):
    """A port whose limits a WebSocket would go around."""

    more = ("--requests-per-minute", "1000")

    def test_the_sdk_raises_with_what_to_do_instead(self) -> None:
        with self.assertRaises(Exception) as caught, self.client("bridge").responses.connect():
            pass
        self.assertEqual(caught.exception.response.status_code, 426)  # type: ignore[attr-defined]
        self.assertIn(b"POST /v1/responses with 'stream': true", caught.exception.response.body)  # type: ignore[attr-defined]
        # as it says
        with self.client("bridge").responses.create(model="gpt-5.1", input="hello", stream=True) as stream:
            said = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        self.assertEqual(said, "Hello! How can I help you today?")
