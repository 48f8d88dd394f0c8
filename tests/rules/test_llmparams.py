"""``LLM_PARAMS``: the forms that users of cot_proxy have, and every way to get them wrong."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.rules.llmparams import SPECIAL, parse_llm_params
from oaiproxy.rules.params import ParameterRules
from oaiproxy.rules.tables import ModelTable
from oaiproxy.rules.think import ThinkMode


def overrides(text: str) -> dict[str, Any]:
    """What the one table of a text says of parameters."""
    (table,) = parse_llm_params(text)
    return dict(table.rules.overrides)


class FormTests(SynchronousTestCase):
    def test_the_whole_form(self) -> None:
        text = (
            "model=Qwen3-32B-Non-Thinking,upstream_model_name=Qwen3-32B,temperature=0.7,top_k=20,top_p=0.8,"
            "enable_think_tag_filtering=true,think_tag_start=<think>,think_tag_end=</think>,"
            "append_to_last_user_message=\\n\\n/no_think;"
            "model=default,temperature=0.5,enable_think_tag_filtering=false"
        )
        self.assertEqual(
            parse_llm_params(text),
            (
                ModelTable(
                    pattern="Qwen3-32B-Non-Thinking",
                    rules=ParameterRules(
                        overrides={"temperature": 0.7, "top_k": 20, "top_p": 0.8}, append="\n\n/no_think"
                    ),
                    upstream_model="Qwen3-32B",
                    think=ThinkMode.REMOVE,
                    think_tag="<think>",
                    think_end_tag="</think>",
                ),
                ModelTable(pattern=None, rules=ParameterRules(overrides={"temperature": 0.5}), think=ThinkMode.OFF),
            ),
        )

    def test_a_value_has_the_type_that_it_looks_like(self) -> None:
        for written, value in (
            ("1", 1),
            ("-1", -1),
            ("+1", 1),
            ("0.7", 0.7),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("true", True),
            ("True", True),
            ("FALSE", False),
            ("null", None),
            ("", None),
            ("high", "high"),
            ('["a", "b;c"]', ["a", "b;c"]),
            ('{"effort": "low", "n": [1, 2]}', {"effort": "low", "n": [1, 2]}),
            ('"a, b; c=d"', "a, b; c=d"),
            ('"1"', "1"),
            ('"line\\nbreak"', "line\nbreak"),
            ("'a, b'", "a, b"),
            ("'true'", "true"),
            ("a=b", "a=b"),
        ):
            (found,) = overrides(f"model=m,x={written}").values()
            self.assertEqual((found, type(found)), (value, type(value)), written)

    def test_a_string_that_merely_looks_odd_stays_a_string(self) -> None:
        for odd in (
            "007",
            "1_000",
            "nan",
            "inf",
            "1e999",
            "1.2.3",
            "[a",
            "[1]x",
            '{"a"',
            '"a',
            "it's",
            "None",
            "9" * 50,
        ):
            self.assertEqual(overrides(f"model=m,x={odd},y=1"), {"x": odd, "y": 1}, odd)

    def test_white_space_and_empty_pieces_do_not_count(self) -> None:
        text = " ; model = a b , x = 1 ,, y =  two words , z = [1, 2]  ;;\n model=c ; "
        self.assertEqual(
            [(table.pattern, table.rules.overrides) for table in parse_llm_params(text)],
            [("a b", {"x": 1, "y": "two words", "z": [1, 2]}), ("c", {})],
        )

    def test_nothing_is_no_table(self) -> None:
        for text in ("", " ", ";", ",;,"):
            self.assertEqual(parse_llm_params(text), ())

    def test_of_two_tables_or_values_the_second_counts(self) -> None:
        (table,) = parse_llm_params("model=a,x=1,y=1;model=a,x=2,x=3")
        self.assertEqual(table.rules.overrides, {"x": 3})

    def test_special_keys_are_text_whatever_they_look_like(self) -> None:
        (table,) = parse_llm_params("model=4,upstream_model_name=5,think_tag_start=[1],think_tag_end='a,b'")
        self.assertEqual(
            (table.pattern, table.upstream_model, table.think_tag, table.think_end_tag), ("4", "5", "[1]", "a,b")
        )

    def test_a_special_key_without_a_value_says_nothing(self) -> None:
        for key in SPECIAL:
            self.assertEqual(parse_llm_params(f"model=a,{key}="), (ModelTable("a"),), key)

    def test_escapes_in_what_is_appended(self) -> None:
        for written, text in (
            (r"\n\n/think", "\n\n/think"),
            (r"a\tb\\n\x", "a\tb\\n\\x"),
            (r'"\n, and so on;"', "\n, and so on;"),
            (r'"\\n"', "\\n"),
            (r"'\n, x'", "\n, x"),
        ):
            (table,) = parse_llm_params(f"model=a,append_to_last_user_message={written}")
            self.assertEqual(table.rules.append, text, written)


class MistakeTests(SynchronousTestCase):
    def test_each_says_where(self) -> None:
        for text, message in (
            ("temperature=1", "table 1: must begin with model=, not with 'temperature'"),
            ("model=a;x=1", "table 2: must begin with model=, not with 'x'"),
            ("model=a;nonsense", "table 2: 'nonsense' is no key=value"),
            ("model=", "table 1: model= names no model"),
            (
                "model=a,x=1,foo",
                "model 'a': 'foo' is no key=value (a value with a comma or a semicolon has to be quoted)",
            ),
            ("model=a,stop=x, y", "model 'a': 'y' is no key=value"),
            ("model=a,model=b", "model 'a': names a second model, 'b': a semicolon has to stand before its model="),
            ("model=a,=3", "model 'a': ='3' has no key"),
            (
                "model=a,enable_think_tag_filtering=maybe",
                "model 'a': enable_think_tag_filtering: must be true or false",
            ),
            ('model=a,x="\\ud800"', "model 'a': x: holds what is no text in UTF-8"),
            ("model=a,x=\udcff", "model 'a': x: holds what is no text in UTF-8"),
            (["model=a"], "must be a string such as model=NAME,key=value, not list"),
        ):
            error = self.assertRaises(ValueError, parse_llm_params, text)
            self.assertTrue(str(error).startswith(message), (text, str(error)))
            self.assertNotIn("\n", str(error))


# -- properties -------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
KEYS = st.from_regex(r"[a-z_]{1,12}", fullmatch=True).filter(lambda key: key != "model" and key not in SPECIAL)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
TABLES = st.builds(
    ModelTable,
    pattern=st.none() | NAMES.filter(lambda name: name != "default"),
    rules=st.builds(ParameterRules, overrides=st.dictionaries(KEYS, JSON, max_size=4), append=st.none() | NAMES),
    upstream_model=st.none() | NAMES,
    think=st.sampled_from((None, ThinkMode.OFF, ThinkMode.REMOVE)),
    think_tag=st.none() | NAMES,
    think_end_tag=st.none() | NAMES,
)


def written(table: ModelTable) -> str:
    """A table as somebody careful writes it: every value in JSON."""
    said: list[tuple[str, Any]] = [("model", "default" if table.pattern is None else table.pattern)]
    said += table.rules.overrides.items()
    if table.think is not None:
        said.append(("enable_think_tag_filtering", "true" if table.think is ThinkMode.REMOVE else "false"))
    said += [
        (key, value)
        for key, value in (
            ("append_to_last_user_message", table.rules.append),
            ("upstream_model_name", table.upstream_model),
            ("think_tag_start", table.think_tag),
            ("think_tag_end", table.think_end_tag),
        )
        if value is not None
    ]
    return ", ".join(f"{key}={json.dumps(value)}" for key, value in said)


class PropertyTests(SynchronousTestCase):
    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(st.lists(TABLES, max_size=4, unique_by=lambda table: table.pattern))
    def test_what_is_written_out_is_read_again(self, tables: list[ModelTable]) -> None:
        self.assertEqual(parse_llm_params(" ; ".join(map(written, tables))), tuple(tables))

    def test_a_message_is_one_line_whatever_the_key_is(self) -> None:
        error = self.assertRaises(ValueError, parse_llm_params, "model=a,one\nkey=\udcff")
        self.assertEqual(str(error), r"model 'a': 'one\nkey': holds what is no text in UTF-8")
        error = self.assertRaises(ValueError, parse_llm_params, 'model=a,k={"a\\nb": "\udcff"}')
        self.assertEqual(str(error), r"model 'a': k.'a\nb': holds what is no text in UTF-8")
        error = self.assertRaises(ValueError, parse_llm_params, "model=a," + "k" * 50 + "=\udcff")
        self.assertEqual(str(error), f"model 'a': '{'k' * 37}...': holds what is no text in UTF-8")

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(
        st.text()
        | st.lists(
            st.sampled_from([*"[]{}\"'\\,;= \n", "model=", "model=a,", "x=", "1", "-", "e9", "nul", "true", *SPECIAL])
        ).map("".join)
    )
    def test_garbage_is_a_value_error_at_most(self, text: str) -> None:
        try:
            tables = parse_llm_params(text)
        except ValueError as e:
            self.assertNotIn("\n", str(e))
        else:
            self.assertTrue(all(isinstance(table, ModelTable) for table in tables))
