"""The demo judges as the real API does: recorded requests are taken and refused as they were."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.demo.support import Demo, sent_json

#: Beside the checkout, and not part of it.
RECORDINGS = Path(__file__).resolve().parents[2].parent / "shared" / "recordings"

_PATHS = {"responses": "/v1/responses", "chat": "/v1/chat/completions", "embeddings": "/v1/embeddings"}

#: What the demo does not have: a request that needs it is none to judge by.
_STATE = ("previous_response_id", "conversation", "background")


def _exchanges() -> Iterator[tuple[str, str, dict[str, Any], int, Any]]:
    """Recorded requests to OpenAI itself: name, path, request, status, and the error where there was one."""
    if not RECORDINGS.is_dir():
        raise SkipTest(f"there are no recordings at {RECORDINGS}")
    for meta in sorted(RECORDINGS.glob("*/meta.json")):
        told = json.loads(meta.read_text())
        for exchange in sorted(path for path in meta.parent.iterdir() if (path / "request.json").exists()):
            head = exchange / "head.json"
            hosts = [http.get("host") for http in told.get("http", ())] or ["api.openai.com"]
            answer = exchange / "response.json"
            if told["api"] not in _PATHS or set(hosts) != {"api.openai.com"} or not head.exists():
                continue
            status = json.loads(head.read_text())["status"]
            error = json.loads(answer.read_text())["error"] if status >= 400 else None
            request = json.loads((exchange / "request.json").read_text())
            yield f"{meta.parent.name}/{exchange.name}", _PATHS[told["api"]], request, status, error


class RecordingTests(SynchronousTestCase):
    def test_what_the_api_took_is_taken(self) -> None:
        count = 0
        for name, path, request, status, _ in _exchanges():
            foreign = '"encrypted_content": "' in json.dumps(request) or "audio" in (request.get("modalities") or ())
            if status != 200 or foreign or any(request.get(field) for field in _STATE):
                continue
            reply = Demo().reply("POST", path, json.dumps(request).encode())
            if reply.status != 200:
                self.fail(f"{name}: {sent_json(reply)}")
            count += 1
        self.assertGreater(count, 30)

    def test_what_the_api_refused_is_refused_in_the_same_words(self) -> None:
        count = 0
        for name, path, request, status, error in _exchanges():
            # other keys and models than the API's own are fine with the demo
            if status != 400 or error.get("code") == "model_not_found":
                continue
            reply = Demo().reply("POST", path, json.dumps(request).encode())
            self.assertEqual(reply.status, 400, name)
            refused = sent_json(reply)["error"]
            self.assertEqual((refused["message"], refused["param"]), (error["message"], error["param"]), name)
            count += 1
        self.assertGreater(count, 1)
