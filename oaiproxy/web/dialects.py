"""What the proxy can speak upstream in place of what the client speaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import msgspec

from oaiproxy.api.asis import AsItIs
from oaiproxy.api.body import JointTranslator
from oaiproxy.api.chat import ReasoningField
from oaiproxy.api.check import check_body
from oaiproxy.api.errors import ApiError, BadRequest
from oaiproxy.api.notes import Note
from oaiproxy.api.request import ApiRequest
from oaiproxy.bridge import AnswerPlan, joint_translator, translate, upstream_error
from oaiproxy.bridge.completions import completion_error, completion_translator, translate_completion
from oaiproxy.clients import ClientProfile, OddBody
from oaiproxy.models import Catalogue
from oaiproxy.rates import WithoutUsageChunk
from oaiproxy.rules.think import ThinkMode, ThinkRules
from oaiproxy.rules.thinkanswer import REASONING, ChatAsItIs, ThoughtlessAnswer
from oaiproxy.settings import Settings
from oaiproxy.web.continuity import Turns


class Call(msgspec.Struct, frozen=True):
    """A request in the upstream's dialect, and how what comes back becomes the client's.

    @ivar path: the path below the upstream's base.
    @ivar bodies: the JSON bytes to send: one request each, all at once; the answers are joined to one.
    @ivar stream: whether the client gets a stream.
    @ivar asks_stream: whether upstream is asked for one.
    @ivar notes: what the client must be told of the translation.
    @ivar translator: makes the translator of the answers, anew for each time the requests are sent.
    @ivar failure: makes the client's error of a failed answer's status, content type and body.
    @ivar plan: what `translator` goes by, for those who explain a translation; None where there is no such thing.
    @ivar as_is: the answer is upstream's own, status, header fields and failures, but for what the translator changes.
    """

    path: bytes
    bodies: tuple[bytes, ...]
    stream: bool
    asks_stream: bool
    notes: tuple[Note, ...]
    translator: Callable[[], JointTranslator]
    failure: Callable[[int, str, bytes], ApiError]
    plan: AnswerPlan | None = None
    as_is: bool = False


class CallContext(msgspec.Struct, frozen=True):
    """What a dialect may know beside the request.

    @ivar settings: the service's settings.
    @ivar models: the models and what each can do.
    @ivar profile: how to speak to this client.
    @ivar now: the Unix time in seconds, for answers whose upstream does not say when they were made.
    @ivar named: the model that the client named, before request transforms; None where it named none.
    @ivar turns: the kept turns of the conversation; None where none are kept.
    """

    settings: Settings
    models: Catalogue
    profile: ClientProfile
    now: int
    named: str | None = None
    turns: Turns | None = None


#: Makes a call of a request in the client's dialect.
#: @raise oaiproxy.api.errors.BadRequest: it cannot be said in the upstream's.
Dialect = Callable[[ApiRequest, CallContext], Call]


#: The request header field by which a client chooses for one request what ``--strict`` says for all.
STRICT = "x-oaiproxy-strict"


def is_strict(request: ApiRequest, settings: Settings) -> bool:
    """Whether a request is refused rather than that something of it is left out.

    @raise BadRequest: the client's `STRICT` is neither true nor false.
    """
    last = dict(request.headers).get(STRICT)
    if last is None:
        return settings.strict
    said = last.strip().lower()
    if said not in ("true", "false"):
        raise BadRequest(
            f"The header {STRICT} has to be true or false. Leave it out for what the proxy was started with.",
            param=STRICT,
            code="invalid_value",
        )
    return said == "true"


def chat_over_responses(request: ApiRequest, context: CallContext) -> Call:
    """The bridge: Chat Completions for the client, Responses upstream."""
    capabilities = context.models.capabilities(request.model)
    strict, turns = is_strict(request, context.settings), context.turns
    translation = translate(
        request,
        capabilities,
        # what the operator says is for all clients
        context.settings.reasoning_field or context.profile.reasoning_field,
        strict=strict,
        empty_messages=OddBody.EMPTY_MESSAGES in context.profile.accepts,
        created=context.now,
        kept=None if turns is None else turns.recalled.turns,
    )
    plan = translation.plan
    if turns is not None and not plan.legacy_functions:
        # calls without ids cannot be found again
        plan = msgspec.structs.replace(plan, keep=turns.keep)
    think, translator = context.settings.think, partial(joint_translator, plan, plan.choices)
    return Call(
        path=b"/responses",
        bodies=(translation.body,) * plan.choices,
        stream=plan.stream,
        asks_stream=plan.asks_stream,
        notes=translation.notes,
        translator=_thoughtless(translator, think.rules_for(context.named, plan.model), plan)
        if think.on
        else translator,
        failure=lambda status, content_type, body: upstream_error(status, content_type, body, plan),
        plan=plan,
    )


def _thoughtless(
    make: Callable[[], JointTranslator], rules: ThinkRules, plan: AnswerPlan
) -> Callable[[], JointTranslator]:
    """What makes a translator of chat answers, with the think rules applied to the answers."""
    if rules.mode is ThinkMode.OFF or plan.reasoning_field is ReasoningField.THINK:
        # the latter wants a block of thoughts in the content
        return make
    if plan.reasoning_field is ReasoningField.NONE:
        rules = replace(rules, mode=ThinkMode.REMOVE)
    field = "reasoning" if plan.reasoning_field is ReasoningField.REASONING else REASONING
    return lambda: ThoughtlessAnswer(make(), rules, plan.stream, field)


def chat_as_is(rules: ThinkRules | None) -> Dialect:
    """Chat Completions (or completions) on both sides, for answers whose thoughts are taken out or set apart, or that
    are read for other reasons.

    @param rules: what is a thought, and what is done with it; None where nothing is.
    """

    def dialect(request: ApiRequest, context: CallContext) -> Call:
        check_body(request.path, request.body.raw)
        stream = request.json.get("stream") is True

        def translator() -> JointTranslator:
            answer = AsItIs() if rules is None else ChatAsItIs(rules, stream)
            # asked for to count the tokens (`oaiproxy.rates.asking_for_usage`), not by the client
            return WithoutUsageChunk(answer, stream) if "stream_options" in request.added else answer

        return Call(
            path=request.path.encode("latin-1"),
            bodies=(request.body.raw,),
            stream=stream,
            asks_stream=stream,
            notes=(),
            translator=translator,
            # passed on as it is wherever that is possible
            failure=lambda status, content_type, body: upstream_error(status, content_type, body),
            as_is=True,
        )

    return dialect


def completions_over_responses(request: ApiRequest, context: CallContext) -> Call:
    """The bridge for prompts: legacy completions for the client, Responses upstream."""
    capabilities = context.models.capabilities(request.model)
    strict = is_strict(request, context.settings)
    translation = translate_completion(request, capabilities, strict=strict, created=context.now)
    plan, chat = translation.plan, translation.plan.chat
    return Call(
        path=b"/responses",
        bodies=translation.bodies,
        stream=chat.stream,
        asks_stream=chat.asks_stream,
        notes=translation.notes,
        translator=lambda: completion_translator(plan),
        failure=lambda status, content_type, body: completion_error(upstream_error(status, content_type, body, chat)),
    )
