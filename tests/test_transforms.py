"""How request transforms are found, ordered, run and listed."""

from __future__ import annotations

import os
import pickle
import sys
from importlib import invalidate_caches
from pathlib import Path
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

import oaiproxy.plugins
from oaiproxy.api.errors import ApiError, BadRequest
from oaiproxy.api.request import ApiRequest, Body, PortKind
from oaiproxy.discovery import BrokenPlugin
from oaiproxy.interfaces import PHASES, IConditionalTransform, IRequestTransform, ITransformContext
from oaiproxy.models import Catalogue
from oaiproxy.settings import Settings
from oaiproxy.transforms import (
    Discovery,
    Pipeline,
    TransformContext,
    TransformError,
    _fault,
    discover,
    listing,
    order,
)

BOTH = frozenset(PortKind)
CONTEXT = TransformContext(Settings(), Catalogue.builtin())


@implementer(IRequestTransform)
class Mark:
    """Adds its name to the body's ``marks``."""

    def __init__(
        self,
        name: str,
        phase: str = "rules",
        before: tuple[str, ...] = (),
        after: tuple[str, ...] = (),
        ports: frozenset[PortKind] = BOTH,
        paths: frozenset[str] = frozenset({"/chat/completions"}),
    ) -> None:
        self.name, self.phase, self.before, self.after, self.ports, self.paths = (
            name,
            phase,
            before,
            after,
            ports,
            paths,
        )

    def transform(self, request: ApiRequest, context: ITransformContext) -> ApiRequest:
        return request.with_fields(marks=[*request.json.get("marks", ()), self.name])


def post(path: str = "/chat/completions", kind: PortKind = PortKind.BRIDGE, **body: Any) -> ApiRequest:
    return ApiRequest(kind, "POST", path, (), Body.of(body))


#: A plugin module; what is between the class and the instance makes it a broken one.
PLUGIN = """
from zope.interface import implementer
from oaiproxy.api.request import PortKind
from oaiproxy.interfaces import IRequestTransform

@implementer(IRequestTransform)
class Shout:
    name = "shout"
    phase = "last"
    before = after = ()
    ports = frozenset(PortKind)
    paths = frozenset({"/chat/completions"})

    def transform(self, request, context):
        return request

shout = Shout()
"""


class PluginFolderTestCase(SynchronousTestCase):
    """Tests with plugin folders of their own in place of the real ones."""

    def setUp(self) -> None:
        self.folder = self.new_folder()
        self.patch(oaiproxy.plugins, "__path__", [str(self.folder)])
        before = set(sys.modules)
        self.addCleanup(self.forget_all_but, before)

    def new_folder(self) -> Path:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        return folder

    def forget_all_but(self, names: set[str]) -> None:
        for name in set(sys.modules) - names:
            self.forget(name)

    def forget(self, name: str) -> None:
        if name.startswith("oaiproxy.plugins."):
            sys.modules.pop(name, None)
            vars(oaiproxy.plugins).pop(name.rpartition(".")[2], None)

    def write(self, name: str, text: str, folder: Path | None = None) -> Path:
        path = (folder or self.folder) / f"{name}.py"
        path.write_text(text, encoding="utf-8")
        invalidate_caches()
        return path

    def reasons(self, found: Discovery) -> dict[str, str]:
        return {plugin.name: plugin.reason for plugin in found.broken}


class BuiltinDiscoveryTests(SynchronousTestCase):
    def test_the_built_in_transforms_are_found_as_plugins_in_their_order(self) -> None:
        found = discover()
        self.assertEqual(found.broken, ())
        names = [transform.name for transform in order(found.transforms)]
        self.assertEqual(
            [name for name in names if name in ("model-alias", "reasoning-default", "web-search-default")],
            ["model-alias", "reasoning-default", "web-search-default"],
        )

    def test_each_is_what_it_says(self) -> None:
        for transform in discover().transforms:
            verifyObject(IRequestTransform, transform)

    def test_a_context_is_what_it_says(self) -> None:
        verifyObject(ITransformContext, CONTEXT)


class DiscoveryTests(PluginFolderTestCase):
    def test_a_module_in_the_folder_is_found(self) -> None:
        self.write("thirdparty_shout", PLUGIN)
        found = discover()
        self.assertEqual([transform.name for transform in found.transforms], ["shout"])
        self.assertEqual(found.broken, ())

    def test_an_empty_folder_and_a_missing_one_hold_nothing(self) -> None:
        self.patch(oaiproxy.plugins, "__path__", [str(self.folder), str(self.folder / "missing")])
        self.assertEqual(discover(), Discovery((), ()))

    def test_it_is_found_again_from_the_cache(self) -> None:
        self.write("thirdparty_shout", PLUGIN)
        discover()
        self.assertTrue((self.folder / "dropin.cache").exists())
        self.forget("oaiproxy.plugins.thirdparty_shout")
        self.assertEqual([transform.name for transform in discover().transforms], ["shout"])

    def test_an_object_that_two_modules_name_is_found_once(self) -> None:
        self.write("a_shout", PLUGIN)
        self.write("b_shout", "from oaiproxy.plugins.a_shout import shout\nagain = shout\n")
        found = discover()
        self.assertEqual([transform.name for transform in found.transforms], ["shout"])
        self.assertEqual(found.broken, ())

    def test_a_module_that_cannot_be_imported_is_told_by_name_and_the_others_are_found(self) -> None:
        self.write("bad_import", "import no_such_module_anywhere\n")
        self.write("bad_syntax", "def f(:\n")
        self.write("bad_exit", "raise SystemExit('over\\nand out')\n")
        self.write("good", PLUGIN)
        found = discover()
        self.assertEqual([transform.name for transform in found.transforms], ["shout"])
        reasons = self.reasons(found)
        self.assertEqual(
            reasons.pop("oaiproxy.plugins.bad_import"),
            "it cannot be imported: ModuleNotFoundError: No module named 'no_such_module_anywhere'",
        )
        self.assertIn("it cannot be imported: SyntaxError: ", reasons.pop("oaiproxy.plugins.bad_syntax"))
        self.assertEqual(reasons.pop("oaiproxy.plugins.bad_exit"), "it cannot be imported: SystemExit: over and out")
        self.assertEqual(reasons, {})
        # Twisted's own tracebacks, for whoever wrote the module
        self.assertEqual(len(self.flushLoggedErrors(ModuleNotFoundError, SyntaxError, SystemExit)), 3)

    def test_a_cached_module_that_no_longer_imports_is_told_by_name(self) -> None:
        needed = self.write("needed", "")
        self.write("shout", PLUGIN + "import oaiproxy.plugins.needed\n")
        discover()
        needed.unlink()
        for name in ("needed", "shout"):
            self.forget(f"oaiproxy.plugins.{name}")
        invalidate_caches()
        found = discover()
        self.assertEqual(found.transforms, ())
        self.assertEqual(
            self.reasons(found),
            {
                "oaiproxy.plugins.shout": (
                    "it cannot be imported: ModuleNotFoundError: No module named 'oaiproxy.plugins.needed'"
                )
            },
        )
        self.assertEqual(len(self.flushLoggedErrors(ModuleNotFoundError)), 1)

    def test_a_module_that_is_older_than_a_cache_that_holds_another_is_found(self) -> None:
        path = self.write("shout", "")
        discover()
        self.forget("oaiproxy.plugins.shout")
        self.write("shout", PLUGIN)
        os.utime(path, (1, 1))
        self.assertEqual([transform.name for transform in discover().transforms], ["shout"])

    def test_a_cache_of_a_module_that_is_gone_is_no_harm(self) -> None:
        path = self.write("shout", PLUGIN)
        discover()
        path.unlink()
        self.forget("oaiproxy.plugins.shout")
        invalidate_caches()
        self.assertEqual(discover(), Discovery((), ()))

    def test_a_broken_cache_is_no_harm(self) -> None:
        self.write("shout", PLUGIN)
        for content in (b"", b"nonsense", pickle.dumps({"shout": 5})[:-3]):
            (self.folder / "dropin.cache").write_bytes(content)
            self.assertEqual([transform.name for transform in discover().transforms], ["shout"])

    def test_a_cache_that_cannot_be_written_is_no_harm(self) -> None:
        self.write("shout", PLUGIN)
        # even root cannot replace a folder by a file
        (self.folder / "dropin.cache").mkdir()
        found = discover()
        self.assertEqual([transform.name for transform in found.transforms], ["shout"])
        self.assertEqual(found.broken, ())

    def test_an_object_with_wrong_attributes_is_told_by_name(self) -> None:
        for number, (line, reason) in enumerate(
            {
                "name = 'Shout'": "name is 'Shout'; it has to be lower-case letters, digits and dashes",
                "name = 5": "name is 5; it has to be lower-case letters, digits and dashes",
                "phase = 'first'": "phase is 'first'; it has to be one of identify, rules, defaults, last",
                "before = ('model-alias')": (
                    "before is 'model-alias'; it has to be a tuple of names, such as ('model-alias',)"
                ),
                "after = [1]": "after is [1]; it has to be a tuple of names, such as ('model-alias',)",
                "ports = frozenset({'bridge'})": (
                    "ports is frozenset({'bridge'}); it has to be a frozenset of PortKind, "
                    "such as frozenset({PortKind.BRIDGE})"
                ),
                "ports = frozenset()": (
                    "ports is frozenset(); it has to be a frozenset of PortKind, such as frozenset({PortKind.BRIDGE})"
                ),
                "paths = '/chat/completions'": (
                    "paths is '/chat/completions'; it has to be a frozenset of paths, "
                    "such as frozenset({'/chat/completions'})"
                ),
                "paths = frozenset({'/v1/chat/completions'})": (
                    "paths has '/v1/chat/completions'; a path is as it is below /v1, such as '/chat/completions'"
                ),
                "paths = frozenset({'chat'})": (
                    "paths has 'chat'; a path is as it is below /v1, such as '/chat/completions'"
                ),
                "del name": "The name attribute was not provided.",
                "del phase, after": "The phase attribute was not provided.; The after attribute was not provided.",
                "def transform(self, request): return request": (
                    "The contract of transform(request, context) is violated because 'Shout.transform(request)' "
                    "doesn't allow enough arguments."
                ),
                "transform = None": (
                    "The contract of transform(request, context) is violated because 'None' is not a method."
                ),
                "name = property(lambda self: 1 / 0)": "it cannot be looked at: ZeroDivisionError: division by zero",
            }.items()
        ):
            module = f"wrong_{number}"
            self.write(module, PLUGIN.replace("\nshout =", f"\n    {line}\n\nshout ="))
            found = discover()
            self.assertEqual(found.transforms, (), line)
            self.assertEqual(self.reasons(found), {f"oaiproxy.plugins.{module}.shout": reason}, line)
            (self.folder / f"{module}.py").unlink()

    def test_a_class_without_an_instance_is_told_by_name(self) -> None:
        self.write("shout", PLUGIN.replace("shout = Shout()", ""))
        self.assertEqual(
            self.reasons(discover()),
            {
                "oaiproxy.plugins.shout.Shout": (
                    "it is a class; bind an instance of it to a name, such as shout = Shout()"
                )
            },
        )

    def test_a_class_that_others_use_is_no_fault(self) -> None:
        self.write("base", PLUGIN.replace("shout = Shout()", "").replace("class Shout", "class _Shout"))
        self.write("user", "from oaiproxy.plugins.base import _Shout as Shout\nshout = Shout()\n")
        self.write("idle", "from oaiproxy.plugins.user import Shout\n")
        found = discover()
        self.assertEqual(([t.name for t in found.transforms], found.broken), (["shout"], ()))

    def test_a_module_behind_one_of_the_same_name_is_told_by_name(self) -> None:
        behind = self.new_folder()
        self.patch(oaiproxy.plugins, "__path__", [str(self.folder), str(behind), str(self.folder)])
        first = self.write("shout", PLUGIN)
        second = self.write("shout", PLUGIN, behind)
        found = discover()
        self.assertEqual([transform.name for transform in found.transforms], ["shout"])
        self.assertEqual(self.reasons(found), {"oaiproxy.plugins.shout": f"{second} is hidden by {first}"})

    def test_an_object_that_cannot_be_asked_anything_does_not_stop_the_others(self) -> None:
        self.write(
            "odd", "class Odd:\n def __getattr__(self, name):\n  raise RuntimeError('no ' + name)\nodd = Odd()\n"
        )
        self.write("shout", PLUGIN)
        found = discover()
        self.assertEqual([transform.name for transform in found.transforms], ["shout"])
        (reason,) = self.reasons(found).values()
        self.assertIn("RuntimeError: no ", reason)


class OrderTests(SynchronousTestCase):
    def names(self, *transforms: Mark) -> list[str]:
        return [transform.name for transform in order(transforms)]

    def test_phases_come_first_then_names(self) -> None:
        self.assertEqual(
            self.names(
                Mark("b", "last"), Mark("a", "last"), Mark("z", "identify"), Mark("c", "defaults"), Mark("d", "rules")
            ),
            ["z", "d", "c", "a", "b"],
        )

    def test_before_and_after_come_before_names(self) -> None:
        self.assertEqual(self.names(Mark("a", after=("c",)), Mark("b"), Mark("c")), ["b", "c", "a"])
        self.assertEqual(self.names(Mark("a"), Mark("b"), Mark("c", before=("a",))), ["b", "c", "a"])
        self.assertEqual(self.names(Mark("a", after=("b",)), Mark("b", before=("a",))), ["b", "a"])

    def test_absent_ones_may_be_named(self) -> None:
        self.assertEqual(self.names(Mark("a", before=("absent",), after=("nobody",))), ["a"])

    def test_names_of_other_phases_may_be_named_where_they_agree(self) -> None:
        self.assertEqual(self.names(Mark("a", "last", after=("b",)), Mark("b", "identify", before=("a",))), ["b", "a"])

    def test_nothing_is_in_order(self) -> None:
        self.assertEqual(order(()), ())

    def test_two_of_one_name_are_an_error_that_names_both_modules(self) -> None:
        other = Mark("model-alias", "identify")
        builtin = next(t for t in discover().transforms if t.name == "model-alias")
        error = self.assertRaises(TransformError, order, (builtin, other))
        self.assertEqual(
            str(error),
            f"two transforms are called 'model-alias': those of oaiproxy.plugins.model_alias and {__name__}",
        )

    def test_one_that_is_given_twice_is_one(self) -> None:
        mark = Mark("a")
        self.assertEqual(order((mark, mark)), (mark,))

    def test_a_circle_is_an_error_that_names_it(self) -> None:
        marks = [Mark("a", before=("b",)), Mark("b", before=("c",)), Mark("c", before=("a",)), Mark("d")]
        error = self.assertRaises(TransformError, order, marks)
        self.assertEqual(str(error), "transforms run before each other in a circle: a -> b -> c -> a")

    def test_one_that_runs_before_itself_is_a_circle(self) -> None:
        error = self.assertRaises(TransformError, order, [Mark("a", after=("a",))])
        self.assertEqual(str(error), "transforms run before each other in a circle: a -> a")

    def test_what_contradicts_the_phases_is_an_error(self) -> None:
        for marks in (
            (Mark("late", "last", before=("early",)), Mark("early", "identify")),
            (Mark("late", "last"), Mark("early", "identify", after=("late",))),
        ):
            error = self.assertRaises(TransformError, order, marks)
            self.assertEqual(str(error), "'late' is to run before 'early', but its phase 'last' comes after 'identify'")

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from("abcdefg"),
                st.sampled_from(PHASES),
                st.lists(st.sampled_from("abcdefgh"), max_size=2).map(tuple),
                st.lists(st.sampled_from("abcdefgh"), max_size=2).map(tuple),
            ),
            unique_by=lambda row: row[0],
        ),
        st.randoms(),
    )
    def test_any_order_keeps_every_promise_and_does_not_depend_on_the_input(self, rows: Any, random: Any) -> None:
        marks = [Mark(*row) for row in rows]
        shuffled = list(marks)
        random.shuffle(shuffled)
        try:
            names = self.names(*marks)
        except TransformError as e:
            self.assertEqual(str(self.assertRaises(TransformError, order, shuffled)), str(e))
            return
        self.assertEqual(self.names(*shuffled), names)
        self.assertEqual(sorted(names), sorted(mark.name for mark in marks))
        place = {name: number for number, name in enumerate(names)}
        phases = [next(mark.phase for mark in marks if mark.name == name) for name in names]
        self.assertEqual(phases, sorted(phases, key=PHASES.index))
        for mark in marks:
            self.assertTrue(all(place[mark.name] < place[other] for other in mark.before if other in place))
            self.assertTrue(all(place[mark.name] > place[other] for other in mark.after if other in place))


class PipelineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def test_those_that_want_it_run_one_after_another(self) -> None:
        pipeline = Pipeline(
            [
                Mark("one"),
                Mark("elsewhere", paths=frozenset({"/responses"})),
                Mark("other-port", ports=frozenset({PortKind.PASSTHROUGH})),
                Mark("two", paths=frozenset({"/responses", "/chat/completions"})),
            ]
        )
        self.assertEqual(pipeline.run(post(model="m"), CONTEXT).json, {"model": "m", "marks": ["one", "two"]})
        self.assertEqual(pipeline.run(post("/responses"), CONTEXT).json, {"marks": ["elsewhere", "two"]})
        self.assertEqual(
            pipeline.run(post(kind=PortKind.PASSTHROUGH), CONTEXT).json, {"marks": ["one", "other-port", "two"]}
        )

    def test_a_body_that_nobody_wants_to_see_is_never_decoded(self) -> None:
        pipeline = Pipeline([Mark("one", ports=frozenset({PortKind.BRIDGE}))])
        for kind, path in ((PortKind.PASSTHROUGH, "/chat/completions"), (PortKind.BRIDGE, "/chat/completions/x")):
            request = ApiRequest(kind, "POST", path, (), Body(b"not JSON"))
            self.assertEqual(pipeline.for_request(kind, path), ())
            self.assertIs(pipeline.run(request, CONTEXT), request)
            self.assertEqual(request.body.raw, b"not JSON")

    def test_the_same_request_gets_the_same_transforms_without_looking_again(self) -> None:
        pipeline = Pipeline([Mark("one")])
        first = pipeline.for_request(PortKind.BRIDGE, "/chat/completions")
        self.assertEqual([transform.name for transform in first], ["one"])
        self.assertIs(pipeline.for_request(PortKind.BRIDGE, "/chat/completions"), first)

    def test_paths_that_clients_make_up_take_no_memory(self) -> None:
        pipeline = Pipeline([Mark("one")])
        before = len(pipeline._wanted)
        for number in range(100):
            pipeline.for_request(PortKind.BRIDGE, f"/{number}")
        self.assertEqual(len(pipeline._wanted), before)

    def test_only_posts_are_seen(self) -> None:
        pipeline = Pipeline([Mark("one")])
        request = ApiRequest(PortKind.BRIDGE, "GET", "/chat/completions", (), Body(b""))
        self.assertIs(pipeline.run(request, CONTEXT), request)

    def test_a_transform_may_refuse_a_request(self) -> None:
        error = BadRequest("No.", param="model")

        class Refusing(Mark):
            def transform(self, request: ApiRequest, context: ITransformContext) -> ApiRequest:
                raise error

        pipeline = Pipeline([Refusing("refusing"), Mark("later")])
        self.assertIs(self.assertRaises(BadRequest, pipeline.run, post(), CONTEXT), error)

    def failure_of(self, transform: Mark) -> tuple[ApiError, str]:
        error = self.assertRaises(ApiError, Pipeline([transform]).run, post(secret="s3cret"), CONTEXT)
        (event,) = [event for event in self.events if event.get("log_namespace") == "oaiproxy.transforms.Pipeline"]
        self.assertEqual(event["log_level"].name, "error")
        self.assertNotIn("s3cret", repr(event))
        return error, event["log_format"].format(**event)

    def test_a_transform_that_fails_is_named_to_the_client_and_its_place_to_the_operator(self) -> None:
        class Failing(Mark):
            def transform(self, request: ApiRequest, context: ITransformContext) -> ApiRequest:
                raise KeyError(request.json["secret"])

        error, line = self.failure_of(Failing("failing"))
        self.assertEqual((error.status, error.type, error.code), (500, "api_error", "transform_failed"))
        self.assertEqual(
            error.message,
            "The request transform 'failing' of this proxy failed. Its operator finds the reason in the proxy's log.",
        )
        # nothing of the request goes along with it
        self.assertEqual((error.__cause__, error.__suppress_context__), (None, True))
        self.assertRegex(
            line,
            rf"^request transform failing of {__name__} failed: KeyError at test_transforms\.py:\d+ transform$",
        )

    def test_a_transform_that_returns_no_request_has_failed(self) -> None:
        class Forgetful(Mark):
            def transform(self, request: ApiRequest, context: ITransformContext) -> ApiRequest:
                return None  # type: ignore[return-value]

        error, line = self.failure_of(Forgetful("forgetful"))
        self.assertEqual(error.code, "transform_failed")
        self.assertTrue(line.endswith("failed: it returned NoneType, not an ApiRequest"), line)

    def test_a_transform_without_an_end_has_failed(self) -> None:
        class Endless(Mark):
            def transform(self, request: ApiRequest, context: ITransformContext) -> ApiRequest:
                return self.transform(request, context)

        error, line = self.failure_of(Endless("endless"))
        self.assertEqual(error.code, "transform_failed")
        self.assertLess(len(line), 400)


@implementer(IConditionalTransform)
class StrictOnly(Mark):
    """A mark on strict ports."""

    asked = 0

    def wanted(self, settings: Settings) -> bool:
        self.asked += 1
        return settings.strict


class ConditionalTests(SynchronousTestCase):
    def test_one_that_has_nothing_to_do_on_a_port_is_left_out_there(self) -> None:
        pipeline = Pipeline([Mark("always"), StrictOnly("strict-only")])
        strict, plain = pipeline.for_settings(Settings(strict=True)), pipeline.for_settings(Settings())
        self.assertIs(strict, pipeline)
        self.assertEqual(strict.run(post(), CONTEXT).json, {"marks": ["always", "strict-only"]})
        self.assertEqual(plain.run(post(), CONTEXT).json, {"marks": ["always"]})

    def test_a_body_that_only_such_ones_would_see_is_not_decoded(self) -> None:
        pipeline = Pipeline([StrictOnly("strict-only")]).for_settings(Settings())
        request = ApiRequest(PortKind.BRIDGE, "POST", "/chat/completions", (), Body(b"not JSON"))
        self.assertEqual(pipeline.for_request(request.port, request.path), ())
        self.assertIs(pipeline.run(request, CONTEXT), request)

    def test_it_is_asked_once_for_a_port_and_not_for_its_requests(self) -> None:
        transform = StrictOnly("strict-only")
        pipeline = Pipeline([transform]).for_settings(Settings(strict=True))
        for _ in range(3):
            pipeline.run(post(), CONTEXT)
        self.assertEqual(transform.asked, 1)

    def test_one_that_cannot_say_is_wanted_and_its_fault_is_logged(self) -> None:
        class Failing(StrictOnly):
            def wanted(self, settings: Settings) -> bool:
                raise KeyError("x")

        events: list[LogEvent] = []
        observer = cast(ILogObserver, events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        pipeline = Pipeline([Failing("failing")]).for_settings(Settings())
        self.assertEqual([transform.name for transform in pipeline.for_port(PortKind.BRIDGE)], ["failing"])
        (line,) = [
            e["log_format"].format(**e) for e in events if e.get("log_namespace") == "oaiproxy.transforms.Pipeline"
        ]
        self.assertRegex(
            line, r"failing of .* cannot say whether it is wanted: KeyError at test_transforms\.py:\d+ wanted$"
        )

    def test_one_without_the_method_that_it_promises_is_left_out(self) -> None:
        broken = implementer(IConditionalTransform)(type("Broken", (Mark,), {}))("broken")
        self.assertEqual(_fault(broken), "The wanted(settings) attribute was not provided.")

    def test_the_built_in_ones_are_found_and_listed_whatever_the_settings(self) -> None:
        pipeline = Pipeline(order(discover().transforms))
        for kind in PortKind:
            names = [transform.name for transform in pipeline.for_port(kind)]
            self.assertEqual([name for name in names if name.endswith("-rules")], ["model-rules", "parameter-rules"])
        self.assertIn("parameter-rules", listing(pipeline))
        names = [transform.name for transform in pipeline.for_settings(Settings()).for_port(PortKind.PASSTHROUGH)]
        self.assertEqual(names, [])

    def test_models_are_settled_before_aliases_are(self) -> None:
        names = [transform.name for transform in order(discover().transforms)]
        self.assertLess(names.index("model-rules"), names.index("model-alias"))


class ListingTests(SynchronousTestCase):
    maxDiff = None

    def test_each_kind_of_port_in_running_order_and_what_is_left_out(self) -> None:
        found = discover()
        mine = Mark("mine", "last", ports=frozenset({PortKind.PASSTHROUGH}), paths=frozenset({"/responses", "/a"}))
        builtin = [
            transform for transform in found.transforms if transform.name in ("model-alias", "reasoning-default")
        ]
        text = listing(Pipeline(order([mine, *builtin])), [BrokenPlugin("oaiproxy.plugins.bad", "it is bad")])
        self.assertEqual(
            text,
            "passthrough ports:\n"
            f"  1. mine  last  {__name__}  /a /responses\n"
            "bridge ports:\n"
            "  1. model-alias        identify  oaiproxy.plugins.model_alias        /chat/completions /completions\n"
            "  2. reasoning-default  defaults  oaiproxy.plugins.reasoning_default  /chat/completions\n"
            "left out:\n"
            "  oaiproxy.plugins.bad: it is bad",
        )

    def test_a_port_without_transforms_says_so(self) -> None:
        self.assertEqual(listing(Pipeline(())), "passthrough ports: none\nbridge ports: none")
