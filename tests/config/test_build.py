"""Options, environment and file become settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.chat import ReasoningField
from oaiproxy.api.request import PortKind
from oaiproxy.api.secrets import Secret
from oaiproxy.config import SETTINGS, ConfigError, build
from oaiproxy.config.sources import environment, from_environment, read_file
from oaiproxy.options import Options
from oaiproxy.rules.params import ModelRules, ParameterRules
from oaiproxy.rules.think import ThinkMode, ThinkRules
from oaiproxy.settings import AuthMode, ServiceSettings, StoreSettings, TargetApi, Timeouts
from oaiproxy.storeplace import StoreHome, StorePlace

KEYS = {"OPENAI_API_KEY": "sk-ours", "PROXY_API_KEYS": "one,two"}

#: A place that is not this process's memory, and what goes with it.
STORE = {"OAIPROXY_STORE": "rediss://x", "OAIPROXY_STORE_KEY": "0123456789abcdef0123456789abcdef"}

#: A value of each setting that is not its default: as text, and where it has another form in the file.
TRIED: Mapping[str, tuple[str, object]] = {
    "upstream": ("http://x/v1", "http://x/v1"),
    "upstream_ca": ("ca.pem", "ca.pem"),
    "health_upstream": ("true", True),
    "target_api": ("completions", "completions"),
    "disable_auto_web_search": ("true", True),
    "strict": ("true", True),
    "keepalive": ("3", 3),
    "reasoning_field": ("think", "think"),
    "reasoning_continuity": ("carrier", "carrier"),
    "profile": ("cursor", "cursor"),
    "models": ("m.json", "m.json"),
    "model_map": ("a=b", {"a": "b"}),
    "default_model": ("m", "m"),
    "param_defaults": ('{"a": 1}', {"a": 1}),
    "param_overrides": ('{"a": 1}', {"a": 1}),
    "param_drop": ("a,b", ["a", "b"]),
    "param_rename": ("a=b", {"a": "b"}),
    "limit_field": ("max_tokens", "max_tokens"),
    "append_to_last_user_message": ("x", "x"),
    "llm_params": ("model=m,temperature=0.5", "model=m,temperature=0.5"),
    "model": ("", {"m": {"param_drop": ["a"]}}),
    "think": ("move", "move"),
    "think_tag": ("<a>", "<a>"),
    "think_end_tag": ("</a>", "</a>"),
    "think_opened": ("true", True),
    "auth": ("replace", "replace"),
    "require_api_key": ("true", True),
    "upstream_key": ("sk-x", "sk-x"),
    "proxy_keys": ("k", ["k"]),
    "organization": ("o", "o"),
    "project": ("p", "p"),
    "forward_auth_header": ("true", True),
    "unauthenticated_health": ("false", False),
    "cors_origin": ("https://a.example", ["https://a.example"]),
    "timeout": ("5", 5),
    "connect_timeout": ("5", 5),
    "first_byte_timeout": ("5", 5),
    "idle_timeout": ("5", 5),
    "max_retries": ("5", 5),
    "max_json_body": ("1 MB", 1048576),
    "max_upload": ("1000", 1000),
    "header_timeout": ("5", 5),
    "body_timeout": ("5", 5),
    "client_idle_timeout": ("5", 5),
    "max_exchanges": ("5", 5),
    "max_exchanges_per_client": ("5", 5),
    "requests_per_minute": ("5", 5),
    "tokens_per_minute": ("5", 5),
    "tool_execution": ("true", True),
    "tools": ("clock", ["clock"]),
    "tool_offer": ("false", False),
    "tool_rounds": ("3", 3),
    "tool_timeout": ("3", 3),
    "tool_result_limit": ("3", 3),
    "store": ("sqlite:kept", "sqlite:kept"),
    "store_key": (32 * "k", [32 * "k"]),
    "store_password": ("p", "p"),
    "store_ca": ("ca.pem", "ca.pem"),
    "store_bytes": ("1 MB", 1048576),
    "store_ttl": ("5", 5),
    "log": ("l", "l"),
    "drain_delay": ("5", 5),
    "drain": ("5", 5),
    "workers": ("5", 5),
    "debug": ("true", True),
}

#: What has an effect only beside something else.
BESIDE = {"upstream_key", "proxy_keys", "organization", "project", "auth", "require_api_key"}


class SettingsTestCase(SynchronousTestCase):
    """Tests in an empty folder."""

    def setUp(self) -> None:
        here = os.getcwd()
        empty = self.mktemp()
        os.mkdir(empty)
        os.chdir(empty)
        self.addCleanup(os.chdir, here)

    def file(self, text: str, name: str = "oaiproxy.toml") -> Path:
        Path(name).write_text(text)
        return Path(name)

    def parsed(self, *arguments: str, **environ: str) -> ServiceSettings:
        options = Options(environ)
        options.parseOptions(arguments)
        return options.settings

    def from_file(self, text: str, **environ: str) -> ServiceSettings:
        return build({}, from_environment(environ), read_file(self.file(text)))

    def mistake(self, text: str, **environ: str) -> str:
        return str(self.assertRaises(ConfigError, self.from_file, text, **environ))


def toml(value: object) -> str:
    """A TOML value."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {toml(given)}" for name, given in value.items()) + "}"
    return f'"{value}"' if isinstance(value, str) else str(value)


class EverySettingTests(SettingsTestCase):
    """Each setting has its effect from wherever it may be said, and the same one."""

    def base(self, key: str) -> dict[str, str]:
        if key in ("store", "store_key", "store_password", "store_ca"):
            return STORE
        if key not in BESIDE:
            return {}
        rest = {} if key in ("auth", "require_api_key") else {"OAIPROXY_AUTH": "replace"}
        return {**KEYS, **rest}

    def test_each_is_tried(self) -> None:
        self.assertEqual(set(TRIED), {setting.key for setting in SETTINGS})

    def test_each_variable_does_what_the_key_in_the_file_does(self) -> None:
        for setting in SETTINGS:
            text, value = TRIED[setting.key]
            base = {k: v for k, v in self.base(setting.key).items() if k not in setting.variables}
            by_file = self.from_file(f"{setting.key} = {toml(value)}\n", **base)
            self.assertNotEqual(
                by_file, build({}, from_environment(self.base(setting.key)), read_file(self.file(""))), setting.key
            )
            for variable in setting.variables:
                by_variable = build({}, from_environment({**base, variable: text}), read_file(self.file("")))
                if variable == "TARGET_BASE_URL":
                    self.assertTrue(by_variable.common.health_asks_upstream)
                    continue
                self.assertEqual(by_variable, by_file, variable)

    def test_each_option_does_what_the_key_in_the_file_does(self) -> None:
        for setting in SETTINGS:
            if not setting.option:
                continue
            text, value = TRIED[setting.key]
            base = {k: v for k, v in self.base(setting.key).items() if k not in setting.variables}
            option = f"--{setting.option}" if setting.is_flag else f"--{setting.option}={text}"
            self.assertEqual(
                self.parsed(option, **base), self.from_file(f"{setting.key} = {toml(value)}\n", **base), option
            )

    def test_each_that_is_secret_may_stand_in_a_file_of_its_own(self) -> None:
        secret = "sk-from-a-file-0123456789abcdef0123456789"
        Path("key").write_text(secret + "\n")
        for setting in SETTINGS:
            if not setting.file:
                continue
            base = {
                k: v for k, v in {**KEYS, **STORE, "OAIPROXY_AUTH": "replace"}.items() if k not in setting.variables
            }
            ways = [
                self.parsed(f"--{setting.key.replace('_', '-')}-file=key", **base),
                self.from_file(f'{setting.key}_file = "key"\n', **base),
                *(self.parsed(**{**base, f"{variable}_FILE": "key"}) for variable in setting.variables),
            ]
            for found in ways:
                access, store = found.common.access, found.store
                assert store.place is not None
                known = (access.upstream_key, *access.proxy_keys, store.place.password, *store.keys)
                self.assertIn(Secret(secret), known, setting.key)


class PrecedenceTests(SettingsTestCase):
    def test_option_then_variable_then_file_then_default(self) -> None:
        name = str(self.file("keepalive = 1\n"))
        self.assertEqual(self.parsed().common.keepalive, 15)
        self.assertEqual(self.parsed("--config", name).common.keepalive, 1)
        self.assertEqual(self.parsed("--config", name, OAIPROXY_KEEPALIVE="2").common.keepalive, 2)
        self.assertEqual(self.parsed("--config", name, "--keepalive", "3", OAIPROXY_KEEPALIVE="2").common.keepalive, 3)

    def test_our_own_name_wins_over_the_others(self) -> None:
        found = self.parsed(OAIPROXY_UPSTREAM="http://a", TARGET_BASE_URL="http://b", OPENAI_BASE_URL="http://c")
        self.assertEqual(found.common.upstream, "http://a/v1")
        self.assertEqual(self.parsed(OPENAI_BASE_URL="http://c").common.upstream, "http://c/v1")

    def test_an_empty_variable_says_nothing(self) -> None:
        self.assertEqual(self.parsed(OPENAI_BASE_URL="", DEBUG="", OAIPROXY_KEEPALIVE=""), self.parsed())

    def test_a_port_s_own_word_wins_over_the_file_s_common_one(self) -> None:
        text = 'keepalive = 1\n[[ports]]\nkind = "bridge"\nkeepalive = 2\n[[ports]]\nkind = "passthrough"\n'
        self.assertEqual([port.settings.keepalive for port in self.from_file(text).ports], [2, 1])
        found = self.from_file(text, OAIPROXY_KEEPALIVE="3")
        self.assertEqual([port.settings.keepalive for port in found.ports], [3, 3])

    def test_the_variable_names_the_file_as_well(self) -> None:
        name = str(self.file("keepalive = 1\n"))
        self.assertEqual(self.parsed(OAIPROXY_CONFIG=name).common.keepalive, 1)

    def test_a_dotenv_file_lies_beneath_the_environment(self) -> None:
        self.file("A=1\nexport B='2'\n# C=3\nD=\nE=$A\n", ".env")
        found = environment({"A": "0"}, Path(".env"))
        self.assertEqual(found, {"A": "0", "B": "2", "D": "", "E": "$A"})
        self.assertEqual(environment({"A": "0"}, Path("none")), {"A": "0"})

    def test_the_service_reads_the_dotenv_file_of_its_folder(self) -> None:
        self.file("OAIPROXY_KEEPALIVE=7\n", ".env")
        self.patch(os, "environ", {})
        options = Options()
        options.parseOptions([])
        self.assertEqual(options.settings.common.keepalive, 7)


class PortTests(SettingsTestCase):
    def test_a_file_may_have_any_number_of_ports(self) -> None:
        found = self.from_file(
            """
            upstream = "http://common"
            [[ports]]
            kind = "bridge"
            listen = [6001, "unix:/x"]
            [[ports]]
            kind = "passthrough"
            listen = "6002"
            interface = "10.0.0.1"
            upstream = "demo"
            """
        )
        self.assertEqual(
            [(port.kind, port.endpoints[0].split(":backlog")[0], port.settings.upstream) for port in found.ports],
            [
                (PortKind.BRIDGE, "tcp:6001:interface=127.0.0.1", "http://common/v1"),
                (PortKind.BRIDGE, "unix:/x", "http://common/v1"),
                (PortKind.PASSTHROUGH, "tcp:6002:interface=10.0.0.1", "demo"),
            ],
        )

    def test_without_a_place_it_is_the_usual_one(self) -> None:
        (port,) = self.from_file('[[ports]]\nkind = "bridge"\n').ports
        self.assertIn("tcp:5102:", port.endpoints[0])

    def test_the_command_line_s_ports_take_the_place_of_the_file_s(self) -> None:
        name = str(self.file('keepalive = 1\n[[ports]]\nkind = "bridge"\nlisten = 6001\n'))
        (port,) = self.parsed("--config", name, "--passthrough", "6002").ports
        self.assertEqual((port.kind, port.settings.keepalive), (PortKind.PASSTHROUGH, 1))


class MistakeTests(SettingsTestCase):
    def test_each_is_said_with_its_place(self) -> None:
        for text, said in [
            ("keepalive = 'x'", "oaiproxy.toml: keepalive: must be a number of seconds, not 'x'"),
            ("keepaliv = 1", "oaiproxy.toml: keepaliv: there is no such setting (did you mean keepalive?)"),
            ("a = 1", "oaiproxy.toml: a: there is no such setting"),
            ("a =", "oaiproxy.toml: it is no TOML"),
            ("ports = 1", "oaiproxy.toml: ports: must be tables"),
            ("[[ports]]", "oaiproxy.toml: ports[0].kind: is missing; there are passthrough, bridge"),
            ("[[ports]]\nkind = 'brige'", "oaiproxy.toml: ports[0].kind: 'brige' is none of passthrough, bridge"),
            ("[[ports]]\nkind = 'bridge'\nlisten = 'x'", "oaiproxy.toml: ports[0].listen: 'x' is neither"),
            ("[[ports]]\nkind = 'bridge'\nlisten = 70000", "oaiproxy.toml: ports[0].listen: 70000 is no port number"),
            ("[[ports]]\nkind = 'bridge'\nlisten = []", "oaiproxy.toml: ports[0].listen: must not be empty"),
            ("[[ports]]\nkind = 'bridge'\nlog = 'x'", "oaiproxy.toml: ports[0].log: there is no such setting"),
            ("[[ports]]\nkind = 'bridge'\nupstream = 'x'", "oaiproxy.toml: ports[0].upstream: 'x' is no URL"),
            ("[model.m]\nparam_dorp = []", "oaiproxy.toml: model: 'm': param_dorp: there is no such setting"),
            ("[model.m]\nthink = 1", "oaiproxy.toml: model: 'm': think: 1 is none of"),
            ("upstream_key_file = 'none'", "oaiproxy.toml: upstream_key_file: none cannot be read: No such file"),
            ("upstream_key_file = 1", "oaiproxy.toml: upstream_key_file: must be the name of a file"),
            ("cors_origin = ['x']", "oaiproxy.toml: cors_origin: 'x' is no origin"),
            ("auth = 'replace'", "oaiproxy.toml: auth: there is no upstream key to lend"),
        ]:
            self.assertIn(said, self.mistake(text), text)

    def test_a_variable_is_named_too(self) -> None:
        self.assertIn("OPENAI_TIMEOUT: must be", self.mistake("", OPENAI_TIMEOUT="soon"))
        self.assertIn("OPENAI_API_KEY_FILE: none cannot be read", self.mistake("", OPENAI_API_KEY_FILE="none"))

    def test_a_file_that_is_not_there(self) -> None:
        with self.assertRaises(SystemExit) as caught:
            self.parsed("--config", "none.toml")
        self.assertIn("none.toml: it cannot be read: No such file", str(caught.exception.code))

    def test_any_page_may_not_use_a_lent_key(self) -> None:
        said = self.mistake("auth = 'replace'\ncors_origin = ['*']", **KEYS)
        self.assertIn("oaiproxy.toml: cors_origin: '*' would let any web page use the upstream key", said)


class MeaningTests(SettingsTestCase):
    def test_one_time_limit_stands_for_two(self) -> None:
        self.assertEqual(self.parsed().common.timeouts, Timeouts(10, 600, 600))
        self.assertEqual(self.parsed(OPENAI_TIMEOUT="60").common.timeouts, Timeouts(10, 60, 60))
        self.assertEqual(self.parsed("--idle-timeout=9", API_REQUEST_TIMEOUT="60").common.timeouts, Timeouts(10, 60, 9))

    def test_a_required_key_means_that_ours_goes_upstream(self) -> None:
        access = self.parsed(PROXY_REQUIRE_API_KEY="true", **KEYS).common.access
        self.assertEqual((access.mode, access.upstream_key), (AuthMode.REPLACE, Secret("sk-ours")))
        self.assertEqual(access.proxy_keys, (Secret("one"), Secret("two")))

    def test_a_key_in_the_environment_is_not_used_unless_somebody_says_so(self) -> None:
        access = self.parsed(**KEYS).common.access
        self.assertEqual((access.mode, access.upstream_key, access.proxy_keys), (AuthMode.FORWARD, None, ()))

    def test_proxy_keys_that_nobody_asks_for_are_remarked_on(self) -> None:
        (remark,) = self.parsed(**KEYS).remarks
        self.assertIn("PROXY_API_KEYS is not used", remark)
        self.assertEqual(self.parsed(PROXY_REQUIRE_API_KEY="true", **KEYS).remarks, ())

    def test_keys_are_shown_nowhere(self) -> None:
        found = self.parsed(PROXY_REQUIRE_API_KEY="true", **KEYS)
        self.assertNotIn("sk-ours", repr(found))
        self.assertNotIn("'one'", repr(found))

    def test_tables_about_models_become_rules(self) -> None:
        found = self.from_file(
            """
            think = "remove"
            [model."qwen*"]
            param_defaults = {temperature = 0.6}
            think_tag = "<thought>"
            think_opened = true
            [model.fast]
            upstream_model = "gpt-5-nano"
            append_to_last_user_message = "Be brief."
            think = "off"
            """
        ).common
        self.assertEqual(
            found.rules.models,
            (
                ModelRules("qwen*", ParameterRules(defaults={"temperature": 0.6})),
                ModelRules("fast", ParameterRules(append="Be brief."), "gpt-5-nano"),
            ),
        )
        self.assertEqual(found.think.everywhere, ThinkRules(ThinkMode.REMOVE))
        self.assertEqual(
            found.think.models,
            (
                ("qwen*", ThinkRules(ThinkMode.REMOVE, "<thought>", "</think>", opened=True)),
                ("fast", ThinkRules(ThinkMode.OFF)),
            ),
        )

    def test_requests_that_name_no_model_have_think_tags_of_their_own(self) -> None:
        found = self.parsed(
            OAIPROXY_THINK_OPENED="true",
            LLM_PARAMS="model=default,enable_think_tag_filtering=true,think_tag_start=[,think_tag_end=]",
        ).common.think
        self.assertEqual(found.everywhere, ThinkRules(opened=True))
        self.assertEqual(found.unnamed, ThinkRules(ThinkMode.REMOVE, "[", "]", opened=True))
        self.assertEqual(found.models, ())

    def test_what_users_of_other_proxies_have_works_unchanged(self) -> None:
        found = self.parsed(
            OPENAI_PARAM_DEFAULTS='{"temperature": 0.2}',
            OPENAI_PARAM_OVERRIDES='{"top_p": 1}',
            OPENAI_PARAM_DROP="seed, user",
            THINK_TAG="<t>",
            TARGET_BASE_URL="http://127.0.0.1:1234/v1/",
            TARGET_API="completions",
            DEFAULT_MODEL="m",
            OPENAI_MAX_RETRIES="0",
            DEBUG="true",
        )
        rules = found.common.rules
        self.assertEqual(
            rules.everywhere,
            ParameterRules(defaults={"temperature": 0.2}, overrides={"top_p": 1}, drop=("seed", "user")),
        )
        self.assertEqual((rules.default_model, found.common.think.everywhere.start), ("m", "<t>"))
        self.assertEqual((found.common.upstream, found.common.health_asks_upstream), ("http://127.0.0.1:1234/v1", True))
        self.assertEqual((found.common.target_api, found.common.retries, found.debug), (TargetApi.COMPLETIONS, 0, True))

    def test_a_bridge_of_one_s_own(self) -> None:
        found = self.from_file('[[ports]]\nkind = "bridge"\nreasoning_field = "think"\nprofile = "cursor"\n')
        settings = found.ports[0].settings
        self.assertEqual((settings.reasoning_field, settings.profile), (ReasoningField.THINK, "cursor"))


class StoreTests(SettingsTestCase):
    """Where turns and counts are kept."""

    def test_where_nothing_is_said_it_is_left_open(self) -> None:
        self.assertEqual(self.parsed().store, StoreSettings())
        self.assertEqual(self.parsed("--store", "memory").store, StoreSettings(StorePlace()))

    def test_all_that_is_said_is_there(self) -> None:
        found = self.parsed(
            "--store=rediss://me@host/2",
            "--store-ca=ca.pem",
            "--store-ttl=60",
            "--store-bytes=1 MB",
            OAIPROXY_STORE_KEY=f"{32 * 'a'},{32 * 'b'}",
            OAIPROXY_STORE_PASSWORD="word",
        )
        place = StorePlace(
            StoreHome.REDIS,
            host="host",
            tls=True,
            database=2,
            user="me",
            password=Secret("word"),
            authorities=Path("ca.pem"),
        )
        self.assertEqual(
            found.store, StoreSettings(place, (Secret(32 * "a"), Secret(32 * "b")), bytes=2**20, seconds=60.0)
        )
        for secret in ("word'", 32 * "a", 32 * "b"):
            self.assertNotIn(secret, repr(found))

    def test_the_password_in_the_place_wins(self) -> None:
        found = self.parsed("--store=redis://:mine@host", **{**STORE, "OAIPROXY_STORE_PASSWORD": "other"})
        assert found.store.place is not None
        self.assertEqual(found.store.place.password, Secret("mine"))

    def test_what_others_could_read_needs_a_key_and_is_told_how_to_make_one(self) -> None:
        for place in ("sqlite:x", "redis://x", "unix:/x"):
            self.assertEqual(
                self.mistake(f'store = "{place}"\n'),
                "oaiproxy.toml: store: what is kept there is encrypted, and there is no key: set OAIPROXY_STORE_KEY "
                "(or store_key, or store_key_file) to 32 characters or more that you keep; openssl rand -hex 32 makes "
                "them",
            )

    def test_a_short_key_is_refused_and_not_shown(self) -> None:
        for keys in ("", "short", f"{32 * 'a'} short"):
            said = self.mistake(f'store_key = "{keys}"\n')
            self.assertEqual(
                said,
                "oaiproxy.toml: store_key: each key must have 32 characters or more; openssl rand -hex 32 makes one",
            )

    def test_a_place_that_is_none_is_named_and_not_shown(self) -> None:
        said = self.mistake('store = "redis://:secret@host:x"\n')
        self.assertTrue(said.startswith("oaiproxy.toml: store: is no such URL as redis://"), said)
        self.assertNotIn("secret", said)

    def test_a_key_for_nothing_is_remarked(self) -> None:
        remark = "OAIPROXY_STORE_KEY is not used: nothing is kept anywhere but in memory (--store)"
        key = {"OAIPROXY_STORE_KEY": 32 * "k"}
        self.assertEqual(self.parsed(**key).remarks, (remark,))
        self.assertEqual(self.parsed("--store=memory", **key).remarks, (remark,))
        self.assertEqual(self.parsed("--store=sqlite:x", **key).remarks, ())
