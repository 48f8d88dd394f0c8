"""Pictures, citations, and log probabilities in a stream."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.chat import ReasoningField
from oaiproxy.bridge.plan import AnswerPlan
from tests.bridge.wire import (
    STREAM,
    Event,
    chunks,
    completed,
    deltas,
    done,
    joined,
    message,
    stream,
    summary,
    text,
)

PLAN = STREAM
THINK = AnswerPlan(stream=True, reasoning_field=ReasoningField.THINK)


class ImageTests(SynchronousTestCase):
    def test_a_picture_is_sent_once_with_an_index(self) -> None:
        items = [
            {"type": "image_generation_call", "id": f"ig_{n}", "result": "QUJD", "output_format": f}
            for n, f in enumerate(("webp", None))
        ]
        partial = {
            "type": "response.image_generation_call.partial_image",
            "output_index": 0,
            "partial_image_b64": "QQ==",
        }
        raw = stream(
            partial,
            *(done(n, **item) for n, item in enumerate(items)),
            done(2, type="image_generation_call", result=""),
            completed(*items),
        )
        self.assertEqual(
            [delta["images"] for delta in deltas(raw) if "images" in delta],
            [
                [{"index": 0, "type": "image_url", "image_url": {"url": "data:image/webp;base64,QUJD"}}],
                [{"index": 1, "type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}],
            ],
        )


class CitationTests(SynchronousTestCase):
    def flat(self, start: int, end: int, **more: Any) -> dict[str, Any]:
        return {
            "type": "url_citation",
            "url": "https://a",
            "title": "A",
            "start_index": start,
            "end_index": end,
            **more,
        }

    def nested(self, start: int, end: int) -> dict[str, Any]:
        return {
            "type": "url_citation",
            "url_citation": {"url": "https://a", "title": "A", "start_index": start, "end_index": end},
        }

    def told(self, annotation: Any, index: int = 0, part: int = 0) -> Event:
        kind = "response.output_text.annotation.added"
        return {"type": kind, "output_index": index, "content_index": part, "annotation": annotation}

    def test_citations_are_on_the_finish_chunk_and_nowhere_else(self) -> None:
        raw = stream(
            text("See A"), self.told(self.flat(4, 5)), message(0, "See A", annotations=[self.flat(4, 5)]), completed()
        )
        self.assertEqual([delta.get("annotations") for delta in deltas(raw)], [None, None, [self.nested(4, 5)]])

    def test_each_source_of_them_is_enough(self) -> None:
        one = [self.flat(4, 5)]
        part = {"type": "output_text", "text": "See A", "annotations": one}
        part_done = {"type": "response.content_part.done", "output_index": 0, "content_index": 0, "part": part}
        for events in ([self.told(one[0])], [part_done], [message(0, "See A", annotations=one)], []):
            raw = stream(text("See A"), *events, completed(message(0, "See A", annotations=one)["item"]))
            self.assertEqual(deltas(raw)[-1], {"annotations": [self.nested(4, 5)]}, events)

    def test_places_are_counted_from_the_beginning_of_the_content(self) -> None:
        raw = stream(
            summary("Hm"),
            text("é🦊", 1),
            text("B", 1, content_index=1),
            text("C", 2),
            self.told(self.flat(0, 1), 1, 1),
            self.told(self.flat(0, 1), 2),
            self.told(self.flat(0, 2), 1, 0),
            completed(),
            plan=THINK,
        )
        content = joined(raw, "content")
        self.assertEqual(content, "<think>\nHm\n</think>\n\né🦊B\n\nC")
        cited = [a["url_citation"] for a in deltas(raw)[-1]["annotations"]]
        self.assertEqual([content[c["start_index"] : c["end_index"]] for c in cited], ["é🦊", "B", "C"])

    def test_citations_of_files_keep_the_form_they_have(self) -> None:
        file = {"type": "file_citation", "file_id": "f", "filename": "a.md", "index": 1}
        path = {"type": "file_path", "file_id": "f", "index": 1}
        container = {"type": "container_file_citation", "file_id": "f", "container_id": "c", "filename": "a.png"}
        told = [file, path, {**container, "start_index": 0, "end_index": 3}]
        raw = stream(text("One"), text("Two", 1), *(self.told(one, 1) for one in told), completed())
        self.assertEqual(
            deltas(raw)[-1], {"file_annotations": [file, path, {**container, "start_index": 5, "end_index": 8}]}
        )

    def test_annotations_that_nobody_knows_are_left_out(self) -> None:
        for odd in ({"type": "never_heard_of", "file_id": "f"}, {"type": None}, {"type": []}, {}, None, 5):
            raw = stream(text("Hi"), self.told(odd), completed())
            self.assertEqual(deltas(raw)[-1], {}, odd)

    def test_what_a_citation_lacks_is_filled_in(self) -> None:
        raw = stream(
            text("Hi"),
            self.told({"type": "url_citation", "url": "https://a"}),
            self.told(self.nested(1, 2)),
            completed(),
        )
        bare, nested = deltas(raw)[-1]["annotations"]
        self.assertEqual(bare["url_citation"], {"url": "https://a", "title": "", "start_index": 0, "end_index": 0})
        self.assertEqual(nested, self.nested(1, 2))


class LogprobTests(SynchronousTestCase):
    entry = {
        "token": "é",
        "logprob": -0.5,
        "top_logprobs": [{"token": "e", "logprob": -1, "bytes": [101]}, {"logprob": 1}],
    }
    shown = {
        "token": "é",
        "logprob": -0.5,
        "bytes": [195, 169],
        "top_logprobs": [{"token": "e", "logprob": -1, "bytes": [101]}],
    }

    def logprobs(self, plan: AnswerPlan, *events: Event) -> list[Any]:
        return [chunk["choices"][0]["logprobs"] for chunk in chunks(stream(*events, completed(), plan=plan))]

    def test_they_come_with_their_text_and_have_bytes(self) -> None:
        plan = AnswerPlan(stream=True, logprobs=True)
        self.assertEqual(
            self.logprobs(plan, text("é", logprobs=[self.entry]), text("x", logprobs=[])),
            [None, {"content": [self.shown], "refusal": None}, None, None],
        )

    def test_without_deltas_they_come_with_the_whole(self) -> None:
        plan = AnswerPlan(stream=True, logprobs=True)
        whole = {"type": "response.output_text.done", "output_index": 0, "text": "é", "logprobs": [self.entry]}
        for event in (whole, message(0, "é", logprobs=[self.entry])):
            self.assertEqual(self.logprobs(plan, event)[1], {"content": [self.shown], "refusal": None})

    def test_part_of_a_character_has_no_known_bytes(self) -> None:
        plan = AnswerPlan(stream=True, logprobs=True)
        [_, found, _] = self.logprobs(plan, text("\ufffd", logprobs=[{"token": "\ufffd", "logprob": None}, 5, {}]))
        self.assertEqual(found["content"], [{"token": "\ufffd", "logprob": -9999.0, "bytes": None, "top_logprobs": []}])

    def test_a_client_that_did_not_ask_gets_none(self) -> None:
        self.assertEqual(self.logprobs(PLAN, text("é", logprobs=[self.entry])), [None] * 3)
