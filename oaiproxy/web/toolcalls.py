"""Running the calls of a turn: each within its time, all at once, and none for a client that has left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, FirstError, gatherResults, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from oaiproxy.api.place import place_of
from oaiproxy.api.request import ApiRequest
from oaiproxy.interfaces import IToolContext
from oaiproxy.settings import Settings
from oaiproxy.tools import ToolBox, ToolCall, ToolError, arguments_of, failure_text, result_text

#: So many calls of one turn are run; a model that has lost its way makes hundreds.
MOST_AT_ONCE = 32


@implementer(IToolContext)
@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool may know beside its arguments (`IToolContext`)."""

    settings: Settings
    request: ApiRequest
    reactor: Any


class _TooLate(Exception):
    """The time limit was over."""


class ToolRunner:
    """Runs calls for one exchange."""

    _log = Logger()

    def __init__(self, name: str, box: ToolBox, context: ToolContext) -> None:
        """
        @param name: the exchange's, for the log.
        @param box: the tools, and their limits.
        @param context: what they may know.
        """
        self._name = name
        self._box = box
        self._context = context

    async def run(self, calls: Sequence[ToolCall]) -> list[str]:
        """Run the calls of a turn, all at once.

        @return: of each what the model is told: the result, or what went wrong.
        @raise CancelledError: the client has left; so are they.
        """
        running = [Deferred.fromCoroutine(self._one(number, call)) for number, call in enumerate(calls)]
        try:
            return await gatherResults(running, consumeErrors=True)
        except FirstError as e:
            for each in running:
                each.cancel()
            e.subFailure.raiseException()

    async def _one(self, number: int, call: ToolCall) -> str:
        settings, clock = self._box.settings, self._context.reactor
        tool, began = self._box[call.function], clock.seconds()
        try:
            if number >= MOST_AT_ONCE:
                raise ToolError(f"no more than {MOST_AT_ONCE} calls are run at once; call it again")
            arguments = arguments_of(call.arguments, tool.parameters)
            text = result_text(
                await _within(clock, maybeDeferred(tool.call, arguments, self._context), settings.seconds),
                settings.bytes,
            )
        except CancelledError:
            raise
        except Exception as e:
            reason = self._reason(e, settings.seconds)
            self._log.info(
                "exchange {id}: tool {name} failed after {seconds:.2f} s: {reason}",
                id=self._name,
                name=tool.name,
                seconds=clock.seconds() - began,
                # a tool's own words are for the model: they may say what the client said
                reason="the model was told why" if isinstance(e, ToolError) else f"{reason} at {place_of(e)}",
            )
            return result_text(failure_text(tool.name, reason), settings.bytes)
        self._log.info(
            "exchange {id}: tool {name} took {seconds:.2f} s",
            id=self._name,
            name=tool.name,
            seconds=clock.seconds() - began,
        )
        return text

    @staticmethod
    def _reason(error: Exception, seconds: float) -> str:
        if isinstance(error, ToolError):
            return error.message
        if isinstance(error, _TooLate):
            return f"it did not answer within {seconds:g} s"
        # its message may hold anything, a key in a URL for one
        return f"it failed ({type(error).__name__})"


def _within(clock: Any, working: Deferred[Any], seconds: float) -> Deferred[Any]:
    """What becomes of `working`, or `_TooLate`; it is over then, even where `working` will not be cancelled."""
    cancelled = False

    def cancel(_: Deferred[Any]) -> None:
        nonlocal cancelled
        cancelled = True
        if timer.active():
            timer.cancel()
        working.cancel()

    outcome: Deferred[Any] = Deferred(cancel)

    def late() -> None:
        outcome.errback(_TooLate())
        working.cancel()

    def settle(result: Any) -> None:
        if cancelled or outcome.called:
            return
        timer.cancel()
        if isinstance(result, Failure) and result.check(CancelledError):
            outcome.errback(ToolError("it was cancelled"))
        else:
            outcome.callback(result)

    timer = clock.callLater(seconds, late)
    working.addBoth(settle)
    return outcome
