"""What is said to those who look for a stored chat completion."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.bridge.answer import completion
from oaiproxy.bridge.plan import AnswerPlan
from oaiproxy.bridge.stored import no_list, not_stored, response_id
from tests.bridge.completing import response


class StoredTests(SynchronousTestCase):
    def test_a_completions_id_leads_back_to_its_response(self) -> None:
        made = completion(response("Hi", id="resp_68a-B_1"), AnswerPlan())
        self.assertEqual(response_id(made["id"]), "resp_68a-B_1")

    def test_other_ids_lead_nowhere(self) -> None:
        for other in ("", "resp_1", "chatcmpl-", "chatcmpl-a b", "chatcmpl-a/../b", "chatcmpl-é", "x" * 5000):
            self.assertIsNone(response_id(other))

    def test_each_request_is_told_what_to_send_instead(self) -> None:
        for method, below, instead in (
            ("GET", "", "Use GET /v1/responses/resp_1a on this port."),
            ("HEAD", "", "Use GET /v1/responses/resp_1a on this port."),
            ("POST", "", "Use GET /v1/responses/resp_1a on this port. A response's metadata is set when it is made"),
            ("DELETE", "", "Use DELETE /v1/responses/resp_1a on this port."),
            ("GET", "messages", "Use GET /v1/responses/resp_1a/input_items on this port."),
        ):
            error = not_stored(method, "chatcmpl-1a", below)
            self.assertEqual(
                (error.status, error.type, error.code), (404, "invalid_request_error", "completion_not_stored")
            )
            self.assertEqual(error.param, "completion_id")
            self.assertIn(instead, error.message)
            self.assertIn("Without store: true nothing of it was kept.", error.message)

    def test_an_id_from_elsewhere_is_not_repeated(self) -> None:
        message = not_stored("GET", "<b>other</b>").message
        self.assertIn("Use GET /v1/responses/{response_id} on this port ({response_id} is", message)
        self.assertNotIn("other", message)

    def test_other_methods_are_not_allowed(self) -> None:
        for below, allow in (("", "GET, HEAD, POST, DELETE"), ("messages", "GET, HEAD")):
            error = not_stored("PUT", "chatcmpl-1a", below)
            self.assertEqual((error.status, error.headers), (405, {"Allow": allow}))

    def test_there_is_no_list_and_a_hint_instead(self) -> None:
        error = no_list()
        self.assertEqual((error.status, error.headers), (405, {"Allow": "POST"}))
        self.assertIn("GET /v1/responses/{response_id}", error.message)
