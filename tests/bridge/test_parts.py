"""Content parts."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.errors import BadRequest
from oaiproxy.bridge.parts import AssistantContent, input_content, input_part, media_type, tool_output

PNG = b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()
JPEG = b64encode(b"\xff\xd8\xff\xe0" + bytes(20)).decode()
WEBP = b64encode(b"RIFF\x10\x00\x00\x00WEBPVP8 " + bytes(20)).decode()
WAVE = b64encode(b"RIFF\x10\x00\x00\x00WAVEfmt " + bytes(20)).decode()
PDF = b64encode(b"%PDF-1.7\n" + bytes(20)).decode()
ZIP = b64encode(b"PK\x03\x04" + bytes(20)).decode()
URL = "https://example.org/cat.png"
MARK = {"mode": "explicit"}


def image(url: Any, detail: str = "auto") -> dict[str, Any]:
    return {"type": "input_image", "image_url": url, "detail": detail}


class InputPartTests(SynchronousTestCase):
    TABLE: tuple[tuple[Any, dict[str, Any]], ...] = (
        # text, whatever it is called
        ("bare", {"type": "input_text", "text": "bare"}),
        ({"type": "text", "text": "t"}, {"type": "input_text", "text": "t"}),
        ({"type": "text", "text": ""}, {"type": "input_text", "text": ""}),
        ({"type": "input_text", "text": "t"}, {"type": "input_text", "text": "t"}),
        ({"type": "output_text", "text": "t", "annotations": []}, {"type": "input_text", "text": "t"}),
        ({"type": "summary_text", "text": "t"}, {"type": "input_text", "text": "t"}),
        ({"text": "t"}, {"type": "input_text", "text": "t"}),
        ({"type": "something_new", "text": "t"}, {"type": "input_text", "text": "t"}),
        ({"type": "refusal", "refusal": "no"}, {"type": "input_text", "text": "no"}),
        ({"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}}, {"type": "input_text", "text": "t"}),
        (
            {"type": "text", "text": "t", "prompt_cache_breakpoint": MARK},
            {"type": "input_text", "text": "t", "prompt_cache_breakpoint": MARK},
        ),
        # images
        ({"type": "image_url", "image_url": {"url": URL}}, image(URL)),
        ({"type": "image_url", "image_url": {"url": URL, "detail": "high"}}, image(URL, "high")),
        ({"type": "image_url", "image_url": {"url": URL, "detail": None}}, image(URL)),
        ({"type": "image_url", "image_url": {"url": URL, "detail": "original"}}, image(URL, "original")),
        ({"type": "image_url", "image_url": URL}, image(URL)),
        ({"type": "image_url", "image_url": URL, "detail": "low"}, image(URL, "low")),
        ({"image_url": {"url": URL}}, image(URL)),
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PNG}},
            image("data:image/png;base64," + PNG),
        ),
        ({"type": "image_url", "image_url": {"url": PNG}}, image("data:image/png;base64," + PNG)),
        ({"type": "image_url", "image_url": {"url": JPEG}}, image("data:image/jpeg;base64," + JPEG)),
        ({"type": "image_url", "image_url": {"url": WEBP}}, image("data:image/webp;base64," + WEBP)),
        (
            {"type": "image_url", "image_url": {"url": f"{PNG[:20]}\n{PNG[20:]}\n"}},
            image("data:image/png;base64," + PNG),
        ),
        (
            {"type": "image_url", "image_url": {"url": "file-abc123"}},
            {"type": "input_image", "file_id": "file-abc123", "detail": "auto"},
        ),
        (
            {"type": "image_url", "image_url": {"file_id": "file-abc", "detail": "low"}},
            {"type": "input_image", "file_id": "file-abc", "detail": "low"},
        ),
        ({"type": "input_image", "image_url": URL, "detail": "high"}, image(URL, "high")),
        ({"type": "input_image", "image_url": {"url": URL, "detail": "high"}}, image(URL, "high")),
        ({"type": "input_image", "file_id": "f"}, {"type": "input_image", "file_id": "f", "detail": "auto"}),
        (
            {"type": "image_url", "image_url": {"url": URL}, "prompt_cache_breakpoint": MARK},
            {**image(URL), "prompt_cache_breakpoint": MARK},
        ),
        # files
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64," + PDF, "filename": "a.pdf"}},
            {"type": "input_file", "file_data": "data:application/pdf;base64," + PDF, "filename": "a.pdf"},
        ),
        (
            {"type": "file", "file": {"file_data": PDF}},
            {"type": "input_file", "file_data": "data:application/pdf;base64," + PDF, "filename": "file.pdf"},
        ),
        (
            {"type": "file", "file": {"file_data": "aGVsbG8gd29ybGQ=", "filename": "n.TXT"}},
            {"type": "input_file", "file_data": "data:text/plain;base64,aGVsbG8gd29ybGQ=", "filename": "n.TXT"},
        ),
        (
            {"type": "file", "file": {"file_data": ZIP, "filename": "a.docx"}},
            {
                "type": "input_file",
                "file_data": "data:application/vnd.openxmlformats-officedocument.wordprocessingml.document;base64,"
                + ZIP,
                "filename": "a.docx",
            },
        ),
        (
            {"type": "file", "file": {"file_data": "????", "filename": "a.bin"}},
            {"type": "input_file", "file_data": "????", "filename": "a.bin"},
        ),
        ({"type": "file", "file": {"file_id": "file-1"}}, {"type": "input_file", "file_id": "file-1"}),
        (
            {"type": "file", "file": {"file_id": "file-1", "filename": "a.pdf"}},
            {"type": "input_file", "file_id": "file-1"},
        ),
        (
            {"type": "file", "file": {"url": "https://e.org/a.pdf"}},
            {"type": "input_file", "file_url": "https://e.org/a.pdf"},
        ),
        ({"type": "file", "file_id": "file-1"}, {"type": "input_file", "file_id": "file-1"}),
        (
            {"type": "input_file", "file_url": "https://e.org/a.pdf", "detail": "low"},
            {"type": "input_file", "detail": "low", "file_url": "https://e.org/a.pdf"},
        ),
    )

    def test_each_form(self) -> None:
        for given, made in self.TABLE:
            self.assertEqual(input_part(given, "p"), made, given)

    def test_a_sound_is_not_taken_for_a_picture(self) -> None:
        self.assertEqual(input_part({"type": "image_url", "image_url": WAVE}, "p"), image(WAVE))

    def test_media_types_are_told_by_the_first_bytes(self) -> None:
        for data, kind in ((PNG, "image/png"), (JPEG, "image/jpeg"), (WEBP, "image/webp"), (PDF, "application/pdf")):
            self.assertEqual(media_type(data), kind)

    def test_what_is_nothing_known_has_no_media_type(self) -> None:
        for data in (WAVE, "", "no base64!", "abcdefghi", "hello+world/"):
            self.assertIsNone(media_type(data))

    def test_the_clients_part_is_not_changed(self) -> None:
        part = {"type": "image_url", "image_url": {"url": PNG}}
        input_part(part, "p")
        self.assertEqual(part, {"type": "image_url", "image_url": {"url": PNG}})

    REFUSED: tuple[tuple[Any, str], ...] = (
        (None, "p"),
        (1, "p"),
        ([], "p"),
        ({}, "p.type"),
        ({"type": None}, "p.type"),
        ({"type": []}, "p.type"),
        ({"type": "text"}, "p.text"),
        ({"type": "text", "text": None}, "p.text"),
        ({"type": "text", "text": {"a": 1}}, "p.text"),
        ({"type": "hologram"}, "p.type"),
        ({"type": "hologram", "text": {"a": 1}}, "p.type"),
        ({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}, "p.type"),
        ({"type": "video_url", "video_url": {"url": URL}, "text": "t"}, "p.type"),
        ({"type": "image_url"}, "p.image_url"),
        ({"type": "image_url", "image_url": 1}, "p.image_url"),
        ({"type": "image_url", "image_url": ""}, "p.image_url"),
        ({"type": "image_url", "image_url": {}}, "p.image_url.url"),
        ({"type": "image_url", "image_url": {"url": 1}}, "p.image_url.url"),
        ({"type": "image_url", "image_url": {"url": URL, "detail": 1}}, "p.image_url.detail"),
        ({"type": "file"}, "p"),
        ({"type": "file", "file": {}}, "p.file"),
        ({"type": "file", "file": "file-1"}, "p.file"),
        ({"type": "file", "file": {"file_id": 1}}, "p.file.file_id"),
        ({"type": "file", "file": {"filename": "a.pdf"}}, "p.file"),
        ({"type": "text", "text": "t", "prompt_cache_breakpoint": "here"}, "p.prompt_cache_breakpoint"),
    )

    def test_what_is_no_part_is_refused_by_name(self) -> None:
        for given, param in self.REFUSED:
            error = self.assertRaises(BadRequest, input_part, given, "p")
            self.assertEqual(error.param, param, given)

    def test_a_refused_sound_comes_with_advice(self) -> None:
        error = self.assertRaises(BadRequest, input_part, {"type": "input_audio"}, "p")
        self.assertIn("send a transcript instead", error.message)


class ContentTests(SynchronousTestCase):
    def test_a_string_stays_a_string(self) -> None:
        self.assertEqual(input_content("", "c"), "")

    def test_parts_of_both_apis_may_be_mixed(self) -> None:
        given = ["a", {"type": "text", "text": "b"}, {"type": "input_text", "text": "c"}]
        self.assertEqual(input_content(given, "c"), [{"type": "input_text", "text": text} for text in "abc"])

    def test_errors_name_the_part(self) -> None:
        error = self.assertRaises(BadRequest, input_content, ["a", {"type": "x"}], "messages[0].content")
        self.assertEqual(error.param, "messages[0].content[1].type")

    def test_no_content_is_refused(self) -> None:
        odd: tuple[Any, ...] = (None, [], 1, {}, True)
        for content in odd:
            self.assertEqual(self.assertRaises(BadRequest, input_content, content, "c").param, "c")


class ToolOutputTests(SynchronousTestCase):
    TABLE: tuple[tuple[Any, Any], ...] = (
        ("text", "text"),
        (None, ""),
        ([], ""),
        ([{"type": "text", "text": "a"}, "b"], "a\nb"),
        (
            [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": URL}}],
            [{"type": "input_text", "text": "a"}, image(URL)],
        ),
        (
            [{"type": "text", "text": "a", "prompt_cache_breakpoint": MARK}],
            [{"type": "input_text", "text": "a", "prompt_cache_breakpoint": MARK}],
        ),
    )

    def test_each_form(self) -> None:
        for given, made in self.TABLE:
            self.assertEqual(tool_output(given, "c"), made, given)

    def test_an_object_is_refused(self) -> None:
        self.assertEqual(self.assertRaises(BadRequest, tool_output, {"a": 1}, "c").param, "c")


class AssistantContentTests(SynchronousTestCase):
    def read(self, content: Any) -> AssistantContent:
        found = AssistantContent()
        found.read(content, "c")
        return found

    def test_texts_and_refusals_are_sorted(self) -> None:
        found = self.read(
            [
                "a",
                {"type": "text", "text": "b"},
                {"type": "output_text", "text": "c"},
                {"type": "refusal", "refusal": "r"},
            ]
        )
        self.assertEqual((found.texts, found.refusals, found.media), (["a", "b", "c"], ["r"], []))

    def test_thoughts_are_left_out(self) -> None:
        found = self.read(
            [
                {"type": "thinking", "thinking": "t"},
                {"type": "reasoning", "text": "t"},
                {"type": "redacted_thinking", "data": "t"},
                {"type": "summary_text", "text": "t"},
            ]
        )
        self.assertEqual((found.texts, found.refusals, found.media), ([], [], []))

    def test_images_are_kept_apart(self) -> None:
        found = self.read([{"type": "image_url", "image_url": {"url": URL}}])
        self.assertEqual((found.texts, found.media), ([], [image(URL)]))

    def test_null_is_nothing(self) -> None:
        self.assertEqual(self.read(None).texts, [])

    def test_what_is_no_content_is_refused_by_name(self) -> None:
        for content, param in (
            (1, "c"),
            ({}, "c"),
            ([1], "c[0]"),
            ([None], "c[0]"),
            ([{"type": "refusal"}], "c[0].refusal"),
            ([{"type": "hologram"}], "c[0].type"),
            ([{"type": {}}], "c[0].type"),
        ):
            self.assertEqual(self.assertRaises(BadRequest, self.read, content).param, param)
