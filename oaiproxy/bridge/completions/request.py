"""A legacy completions request becomes one Responses request for each answer that is wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace

from oaiproxy.api.chat import ReasoningField
from oaiproxy.api.errors import BadRequest
from oaiproxy.api.request import ApiRequest, JsonObject
from oaiproxy.bridge.checks import as_boolean, as_integer, as_string
from oaiproxy.bridge.completions.failures import completion_error
from oaiproxy.bridge.completions.fields import CHAT_FIELDS, COMPLETION_FIELDS
from oaiproxy.bridge.completions.plan import CompletionPlan, CompletionTranslation
from oaiproxy.bridge.completions.prompt import messages, read_prompts, require_prompt
from oaiproxy.bridge.fields import KNOWN_FIELDS, Fate
from oaiproxy.bridge.notes import Notes, excused, too_lossy
from oaiproxy.bridge.request import translate

if TYPE_CHECKING:
    from oaiproxy.models import Capabilities

#: The limit of a request that names none (schema ``CreateCompletionRequest``).  Clients of this API rely on it, and
#: Responses takes no less.
DEFAULT_MAX_TOKENS = 16

#: So many tokens a model that reasons gets beside the limit.  This API's limit is one on the text, upstream's pays for
#: the reasoning too: a model that thinks on 16 tokens has none left to write with.
ROOM_TO_REASON = 4096

#: So many answers one request may ask for; each of them is a request upstream.  It is the most that ``n`` may be.
MAX_ANSWERS = 128

MAX_BEST_OF = 20
MAX_LOGPROBS = 5

#: What is read here; all other fields of the table are a chat request's too.
_OWN = frozenset({"best_of", "echo", "logprobs", "max_tokens", "n", "prompt", "suffix"})

#: What goes into the chat request under its own name.
_SHARED = (frozenset(COMPLETION_FIELDS) | frozenset(CHAT_FIELDS)) - _OWN

_T = TypeVar("_T")


def translate_completion(
    request: ApiRequest, capabilities: Capabilities, strict: bool = False, created: int = 0
) -> CompletionTranslation:
    """Translate a legacy request.

    @param request: the request after its transforms have run: its model is no alias any more.
    @param capabilities: what its model can do.
    @param strict: refuse a request of which something would be left out.
    @param created: Unix time in seconds, for an answer whose upstream does not say it.
    @raise BadRequest: the request cannot be translated; ``param`` names the field in the client's words.
    """
    notes = Notes()
    given = request.json
    wish = _read(given)
    chat = replace(
        request,
        path="/chat/completions",
        # no warning is to name a field that this API does not have
        added=request.added | {"messages", "top_logprobs"} | ({"logprobs"} if wish.logprobs is None else frozenset()),
    )
    common = _shared_fields(request, notes)
    common["max_tokens"] = _limit(given, capabilities, notes)
    if wish.logprobs is not None or wish.ranked:
        common["logprobs"] = True
        common["top_logprobs"] = wish.logprobs or None
    try:
        translations = [
            translate(
                chat.with_json({**common, "messages": messages(prompt, wish.suffix)}),
                capabilities,
                ReasoningField.NONE,
                created=created,
            )
            for prompt in wish.prompts
        ]
    except BadRequest as e:
        raise completion_error(e) from None
    plan = CompletionPlan(
        chat=translations[0].plan,
        prompts=wish.prompts,
        kept=wish.kept,
        made=wish.made,
        echo=wish.echo,
        logprobs=wish.logprobs if translations[0].plan.logprobs else None,
    )
    if wish.ranked and not plan.chat.logprobs:
        notes.dropped("best_of", "the model gives no log probabilities to choose by")
        plan = replace(plan, made=plan.kept)
    told = tuple(dict.fromkeys((*translations[0].notes, *excused(notes.all(), request.demanded))))
    if strict and (error := too_lossy((*request.notes, *told))) is not None:
        raise error
    return CompletionTranslation(
        bodies=tuple(translation.body for translation in translations for _ in range(plan.made)), plan=plan, notes=told
    )


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a legacy request says that no chat request says in the same way."""

    prompts: tuple[str, ...]
    suffix: str
    echo: bool
    logprobs: int | None
    kept: int
    made: int

    @property
    def ranked(self) -> bool:
        """Whether only the best of the answers are wanted."""
        return self.made > self.kept


def _read(given: Mapping[str, Any]) -> _Wish:
    prompts = read_prompts(require_prompt(given))
    logprobs = _integer(given, "logprobs", 0, MAX_LOGPROBS)
    echo = bool(_optional(given, "echo", as_boolean))
    if echo and logprobs is not None:
        raise BadRequest(
            "This port cannot give log probabilities of a prompt, which 'echo' together with 'logprobs' asks for: the "
            "Responses API has only those of the answer. Leave one of the two out.",
            param="echo",
            code="unsupported_value",
        )
    kept, made = _counts(given)
    if len(prompts) * made > MAX_ANSWERS:
        raise BadRequest(
            f"The request asks for {len(prompts) * made} answers: {made} for each of {len(prompts)} prompts. This port "
            f"makes up to {MAX_ANSWERS} at once. Send fewer prompts, and the others in another request.",
            param="prompt",
            code="array_above_max_length",
        )
    return _Wish(prompts, _optional(given, "suffix", as_string) or "", echo, logprobs, kept, made)


def _counts(given: Mapping[str, Any]) -> tuple[int, int]:
    """How many choices are wanted for each prompt, and of how many they are the best."""
    n = _integer(given, "n", 1, MAX_ANSWERS) or 1
    # 0 is in the schema and can only mean that nothing is chosen
    best_of = _integer(given, "best_of", 0, MAX_BEST_OF) or n
    if best_of < n:
        raise BadRequest(
            f"'best_of' ({best_of}) is less than 'n' ({n}): of so few no {n} can be chosen. Raise 'best_of', or leave "
            "it out.",
            param="best_of",
            code="invalid_value",
        )
    if best_of > n and _optional(given, "stream", as_boolean):
        raise BadRequest(
            "'best_of' cannot be streamed: which of the answers are the best is known when all are complete. Leave "
            "'best_of' or 'stream' out.",
            param="best_of",
            code="unsupported_value",
        )
    return n, best_of


def _shared_fields(request: ApiRequest, notes: Notes) -> JsonObject:
    """The fields that a chat request has as well, as they are."""
    shared: JsonObject = {}
    for name, value in request.json.items():
        known = KNOWN_FIELDS.get(name)
        if name in _SHARED:
            shared[name] = value
        elif name in _OWN or value is None or name in request.added or (known is not None and value in ([], {})):
            continue
        elif known is not None and known.fate in (Fate.DROPPED, Fate.IGNORED):
            shared[name] = value  # the chat half knows why
        else:
            notes.unknown(name)
    return shared


def _limit(given: Mapping[str, Any], capabilities: Capabilities, notes: Notes) -> int:
    """The limit on tokens, with room for what the model thinks."""
    asked = _optional(given, "max_tokens", as_integer)
    if asked is not None and asked < 1:
        raise BadRequest(
            f"'max_tokens' is {asked}, which asks for no text. This port cannot rate a prompt without going on with "
            "it: send at least 1.",
            param="max_tokens",
            code="integer_below_min_value",
        )
    limit = DEFAULT_MAX_TOKENS if asked is None else asked
    if not _reasons(given, capabilities):
        return limit
    if asked is not None:
        notes.add(f"raised max_tokens by {ROOM_TO_REASON} (the model reasons first)")
    return limit + ROOM_TO_REASON


def _reasons(given: Mapping[str, Any], capabilities: Capabilities) -> bool:
    """Whether the model will think before it writes."""
    if not capabilities.reasoning:
        return False
    inside = given.get("reasoning")
    inside = inside if isinstance(inside, dict) else {}
    effort = given.get("reasoning_effort") or inside.get("effort")
    if effort is None and inside.get("enabled") is False:
        return "none" not in capabilities.efforts
    if effort is None and (inside.get("enabled") or inside.get("max_tokens")):
        return True
    return (effort or capabilities.default_effort) != "none"


def _optional(given: Mapping[str, Any], name: str, check: Callable[[Any, str], _T]) -> _T | None:
    value = given.get(name)
    return None if value is None else check(value, name)


def _integer(given: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    """An integer in its range, or None where there is none.

    @raise BadRequest: it is out of its range, or no integer.
    """
    value = _optional(given, name, as_integer)
    if value is None or least <= value <= most:
        return value
    below = value < least
    raise BadRequest(
        f"Invalid '{name}': integer {'below minimum' if below else 'above maximum'} value. Expected a value "
        f"{'>=' if below else '<='} {least if below else most}, but got {value} instead.",
        param=name,
        code="integer_below_min_value" if below else "integer_above_max_value",
    )
