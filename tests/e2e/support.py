"""What the end-to-end tests share: processes that serve several tests, clients for them, and what a client was told."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import openai
from twisted.trial.unittest import SynchronousTestCase

from tests.process import PATIENCE, Process, Service

try:
    import httpx2 as httpx  # what the SDK brings since version 3
except ImportError:
    import httpx  # type: ignore[import-not-found, no-redef, unused-ignore]

__all__ = [
    "BROKEN",
    "KEY",
    "Answer",
    "ProcessTestCase",
    "ServiceTestCase",
    "ServiceTests",
    "answer_of",
    "heard",
]

#: The key that the tests' clients send.
KEY = "sk-e2e-0123456789abcdefghij"

#: What an SDK raises when a connection breaks, before the body or in it.
BROKEN = (openai.APIConnectionError, httpx.TransportError)

P = TypeVar("P", bound=Process)
T = TypeVar("T")


class ProcessTestCase(SynchronousTestCase):
    """Tests that share processes: those of a class are started before its first test, and end when another class's are
    started or the run is over.  (Trial knows no ``setUpClass``.)"""

    _owner: ClassVar[type | None] = None
    _stops: ClassVar[list[Callable[[], object]]] = []

    @classmethod
    def start(cls) -> None:
        """Start the processes with `started`, and keep them as attributes of the class."""
        raise NotImplementedError

    @classmethod
    def started(cls, process: P) -> P:
        """See to it that `process` ends."""
        cls.at_end(process.stop)
        return process

    @classmethod
    def at_end(cls, stop: Callable[[], object]) -> None:
        """See to it that `stop` is called when the processes end."""
        ProcessTestCase._stops.append(stop)

    @staticmethod
    def end_processes() -> None:
        """End what runs, the last first."""
        ProcessTestCase._owner = None
        while ProcessTestCase._stops:
            ProcessTestCase._stops.pop()()

    def setUp(self) -> None:
        super().setUp()
        if ProcessTestCase._owner is not type(self):
            self.end_processes()
            ProcessTestCase._owner = type(self)
            try:
                self.start()
            except BaseException:
                self.end_processes()
                raise


atexit.register(ProcessTestCase.end_processes)


class ServiceTestCase(ProcessTestCase):
    """Tests of a service.  Whatever a test does, the service's log must have no traceback.

    @cvar options: its options.
    @cvar port: the kind of port that `client` talks to by default: ``passthrough`` or ``bridge``.
    """

    options: ClassVar[tuple[str, ...]] = ("--upstream", "demo")
    port: ClassVar[str] = "bridge"
    service: ClassVar[Service]

    @classmethod
    def start(cls) -> None:
        cls.service = cls.started(Service(*cls.options))

    def tearDown(self) -> None:
        self.assertNotIn("Traceback", self.service.output)
        self.assertNotIn("Unhandled", self.service.output)
        super().tearDown()

    def base(self, port: str | None = None) -> str:
        """The base URL of a port, by default of `port`."""
        return str(getattr(self.service, port or self.port))

    def client(self, port: str | None = None, **settings: Any) -> Any:
        """An SDK client for a port, by default for `port`, that tries everything only once.

        @return: an `openai.OpenAI`; untyped, as its annotations know no plain dict of JSON.
        """
        settings = {"api_key": KEY, "max_retries": 0, "timeout": PATIENCE, **settings}
        # a proxy that the environment names is not for these, and to read authorities for each takes 25 ms
        http = openai.DefaultHttpxClient(trust_env=False, verify=False)
        client = openai.OpenAI(base_url=self.base(port), http_client=http, **settings)
        self.addCleanup(client.close)
        return client

    @staticmethod
    def at_once(do: Callable[[T], object], cases: Iterable[T]) -> None:
        """Do something for each case, for all at the same time; the first failure is the test's.

        For what waits: the service asks some upstreams that fail several times, seconds apart.
        """
        with ThreadPoolExecutor() as pool:
            list(pool.map(do, cases))

    def ask(self, text: str | None = None, /, **request: Any) -> Answer:
        """Ask with and without a stream, and see that the answers are the same.

        @param text: the user's only message; otherwise `request` has ``messages``.
        @param request: the rest of the chat request.
        @return: the answer, with the usage.
        """
        if text is not None:
            request["messages"] = [{"role": "user", "content": text}]
        chat = self.client().chat.completions
        whole = answer_of(chat.create(**request))
        streamed = heard(chat.create(**request, stream=True, stream_options={"include_usage": True}))
        self.assertEqual(streamed, whole)
        return whole


#: What tests for both ports derive from: they become tests once they are mixed with a case that names its port.
if TYPE_CHECKING:
    ServiceTests = ServiceTestCase
else:
    ServiceTests = object


@dataclass
class Answer:
    """What a chat client was told.

    @ivar calls: name and text (arguments or input) of each tool call.
    @ivar logprobs: the tokens that came with a log probability.
    @ivar usage: prompt, completion, reasoning and total tokens, or None.
    """

    content: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    function_call: tuple[str, str] | None = None
    annotations: list[dict[str, Any]] = field(default_factory=list)
    logprobs: list[str] = field(default_factory=list)
    finish: str | None = None
    model: str = ""
    usage: tuple[int, int, int, int] | None = None
    call_ids: list[str] = field(default_factory=list, compare=False)
    id: str = field(default="", compare=False)


def answer_of(completion: Any) -> Answer:
    """What a completion of the SDK says."""
    choice = completion.choices[0]
    message = choice.message
    assert completion.object == "chat.completion", completion
    assert message.role == "assistant", completion
    assert len(completion.choices) == 1, completion
    called = message.function_call
    return Answer(
        content=message.content or "",
        reasoning=_reasoning(message),
        refusal=message.refusal or "",
        calls=[_call(call) for call in message.tool_calls or ()],
        function_call=(called.name, called.arguments) if called else None,
        annotations=[annotation.model_dump() for annotation in message.annotations or ()],
        logprobs=_tokens(choice),
        finish=choice.finish_reason,
        model=completion.model,
        usage=_usage(completion.usage),
        call_ids=[call.id for call in message.tool_calls or ()],
        id=completion.id,
    )


def heard(stream: Iterable[Any]) -> Answer:
    """What the chunks of a stream of the SDK say, which has to be in good order."""
    answer = Answer()
    calls: dict[int, list[str]] = {}
    first = None
    for chunk in stream:
        assert chunk.object == "chat.completion.chunk", chunk
        first = first or chunk
        assert (chunk.id, chunk.created, chunk.model) == (first.id, first.created, first.model), chunk
        assert answer.usage is None, f"a chunk after the usage: {chunk}"
        if not chunk.choices:
            assert answer.finish, "the usage came before the end"
            answer.usage = _usage(chunk.usage)
            continue
        assert chunk.usage is None, chunk
        assert answer.finish is None, f"a chunk after the end: {chunk}"
        (choice,) = chunk.choices
        assert (choice.delta.role == "assistant") is (chunk is first), chunk
        _add(answer, choice, calls)
    assert first is not None, "the stream is empty"
    assert sorted(calls) == list(range(len(calls))), calls
    answer.calls = [(name, text) for _, name, text in calls.values()]
    answer.call_ids = [call_id for call_id, _, _ in calls.values()]
    answer.model, answer.id = first.model, first.id
    return answer


def _add(answer: Answer, choice: Any, calls: dict[int, list[str]]) -> None:
    delta = choice.delta
    answer.content += delta.content or ""
    answer.reasoning += _reasoning(delta)
    answer.refusal += delta.refusal or ""
    answer.annotations += getattr(delta, "annotations", None) or ()
    answer.logprobs += _tokens(choice)
    answer.finish = choice.finish_reason
    for call in delta.tool_calls or ():
        name, text = _call(call)
        slot = calls.setdefault(call.index, [call.id, name, ""])
        assert slot[0] and slot[1], f"a call has to begin with its id and name: {call}"
        slot[2] += text
    if delta.function_call:
        name, text = answer.function_call or (delta.function_call.name, "")
        answer.function_call = (name, text + delta.function_call.arguments)


def _reasoning(message: Any) -> str:
    extra = message.model_extra or {}
    return extra.get("reasoning_content") or extra.get("reasoning") or ""


def _call(call: Any) -> tuple[str, str]:
    """The name and the text of a call, or of a piece of one, which may lack either."""
    custom = getattr(call, "custom", None)
    if custom is None:
        return call.function.name or "", call.function.arguments or ""
    # the SDK has no class for the custom calls of a stream: there they are plain objects
    told = custom if isinstance(custom, dict) else custom.model_dump()
    return told.get("name") or "", told.get("input") or ""


def _tokens(choice: Any) -> list[str]:
    return [token.token for token in (choice.logprobs and choice.logprobs.content) or ()]


def _usage(usage: Any) -> tuple[int, int, int, int] | None:
    if usage is None:
        return None
    details = usage.completion_tokens_details
    reasoning = (details and details.reasoning_tokens) or 0
    return usage.prompt_tokens, usage.completion_tokens, reasoning, usage.total_tokens
