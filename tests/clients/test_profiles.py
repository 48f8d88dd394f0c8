"""Which client gets which profile, and what the built-in profiles say."""

from __future__ import annotations

import dataclasses

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.chat import ReasoningField
from oaiproxy.clients import (
    DEFAULT,
    ClientProfile,
    ErrorForm,
    KeepaliveForm,
    ModelListForm,
    OddBody,
    UnknownProfile,
    find_profile,
    profile_names,
)
from oaiproxy.clients.book import builtin
from tests.clients import table

#: What clients really send, and what they get for it.
USER_AGENTS: list[tuple[str, str]] = [
    ("Xcode/24577 CFNetwork/3860.300.31 Darwin/25.2.0", "xcode"),
    ("Xcode/25183.107.5 CFNetwork/3896.100.1.1.1 Darwin/27.0.0", "xcode"),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) CherryStudio/1.7.13 "
        "Chrome/140.0.7339.249 Electron/38.7.0 Safari/537.36",
        "cherry-studio",
    ),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) CherryStudio/1.7.17 "
        "Chrome/140.0.7339.249 Electron/38.7.0 Safari/537.36",
        "cherry-studio",
    ),
    ("n8n", "n8n"),
    ("codex_cli_rs/0.144.1 (Ubuntu 22.4.0; x86_64) xterm-256color", "codex"),
    ("codex_exec/0.169.0 (Debian 12.0.0; x86_64) unknown", "codex"),
    ("codex-tui/0.146.0 (Ubuntu 22.4.0; x86_64) xterm-256color", "codex"),
    # these say nothing of the program that uses them
    ("langchainjs-openai/1.0.0 ((node/v24.16.0; linux; x64))", "default"),
    ("OpenAI/JS 6.49.0", "default"),
    ("OpenAI/Python 3.52.0", "default"),
    ("AsyncOpenAI/Python 3.52.0", "default"),
    ("Python/3.11 aiohttp/3.12.15", "default"),
    ("python-httpx/0.28.1", "default"),
    ("ktor-client", "default"),
    ("com.apple.FoundationModels", "default"),
    ("curl/8.14.1", "default"),
    (
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
        "default",
    ),
    ("", "default"),
    # no names, though they hold one
    ("CopilotForXcode/0.38.0", "default"),
    ("n8ncustom/1", "default"),
    ("mycodex_cli_rs/1", "default"),
]

PLAIN = {"reasoning_field": ReasoningField.REASONING_CONTENT, "keepalive": KeepaliveForm.CHUNK}

#: How each profile differs from the default.
DIFFERENCES: dict[str, dict[str, object]] = {
    "default": {},
    "xcode": {"reasoning_field": ReasoningField.NONE},
    "xcode-errors-in-chat": {"reasoning_field": ReasoningField.NONE, "errors": ErrorForm.MESSAGE},
    "cursor": {"accepts": frozenset({OddBody.EMPTY_MESSAGES})},
    "jetbrains": {},
    "open-webui": {},
    "lobechat": {},
    "cherry-studio": {},
    "n8n": {},
    "codex": {"model_list": ModelListForm.MODELS},
    "openrouter": {"reasoning_field": ReasoningField.REASONING, "keepalive": KeepaliveForm.COMMENT},
}


class UserAgentTests(SynchronousTestCase):
    def test_each_real_user_agent_gets_its_profile(self) -> None:
        for user_agent, name in USER_AGENTS:
            self.assertEqual(find_profile(user_agent).name, name, user_agent)

    def test_case_does_not_matter(self) -> None:
        self.assertEqual(find_profile("xcode/1 cfnetwork/2").name, "xcode")

    def test_a_name_wins_over_the_user_agent(self) -> None:
        self.assertEqual(find_profile("Xcode/24577", "cursor").name, "cursor")
        self.assertIs(find_profile("Xcode/24577", "default"), DEFAULT)

    def test_a_name_may_be_written_in_capitals(self) -> None:
        self.assertEqual(find_profile("", " Cherry-Studio ").name, "cherry-studio")

    def test_an_unknown_name_is_an_error_that_names_the_known(self) -> None:
        error = self.assertRaises(UnknownProfile, find_profile, "", "netscape" * 100)
        self.assertIn("default, xcode, xcode-errors-in-chat, cursor, ", str(error))
        self.assertIn("...'", str(error))
        self.assertLess(len(str(error)), 300)

    def test_no_client_can_make_the_memory_of_user_agents_grow(self) -> None:
        book = builtin()
        for i in range(2000):
            self.assertIs(book.fitting(f"agent/{i}" + "x" * 10_000), DEFAULT)
        self.assertLessEqual(book._remembering.cache_info().currsize, 256)

    def test_a_user_agent_is_looked_up_once(self) -> None:
        book = builtin()
        book.fitting("only/once")
        before = book._remembering.cache_info().misses
        book.fitting("only/once")
        self.assertEqual(book._remembering.cache_info().misses, before)


class BuiltinTests(SynchronousTestCase):
    def test_each_differs_from_the_default_as_the_evidence_says_and_in_nothing_else(self) -> None:
        self.assertEqual(profile_names(), tuple(DIFFERENCES))
        words = ("name", "title", "user_agents", "sends", "notes", "evidence")
        for profile in builtin().profiles:
            found = {
                field.name: getattr(profile, field.name)
                for field in dataclasses.fields(ClientProfile)
                if field.name not in words and getattr(profile, field.name) != getattr(DEFAULT, field.name)
            }
            self.assertEqual(found, DIFFERENCES[profile.name], profile.name)

    def test_the_default_is_what_suits_most(self) -> None:
        self.assertEqual({name: getattr(DEFAULT, name) for name in PLAIN}, PLAIN)

    def test_each_has_evidence_and_says_what_it_sends(self) -> None:
        for profile in builtin().profiles[1:]:
            self.assertTrue(profile.evidence and profile.sends and profile.notes, profile.name)

    def test_each_user_agent_pattern_is_shown_to_fit_something_real(self) -> None:
        fitted = {name for _, name in USER_AGENTS}
        for profile in builtin().profiles[1:]:
            self.assertEqual(bool(profile.user_agents), profile.name in fitted, profile.name)

    def test_the_page_shows_the_profiles_as_they_are(self) -> None:
        self.assertEqual(
            table.PAGE.read_text(encoding="utf-8"),
            table.page(),
            "docs/clients.md is out of date: python -m tests.clients.table",
        )

    def test_the_page_explains_every_word_of_the_data(self) -> None:
        page = table.PAGE.read_text(encoding="utf-8")
        words = [*KeepaliveForm, *ModelListForm, *ErrorForm, *OddBody]
        for word in words:
            if word is not KeepaliveForm.NONE:
                self.assertIn(f"| `{word.value}` | ", page)
