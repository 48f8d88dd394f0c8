"""A whole chat completion with the thoughts taken out of its text, or set apart: bytes in, bytes out."""

from __future__ import annotations

from oaiproxy.api.rawjson import as_list, as_object, as_plain, close_object, open_object, says_nothing
from oaiproxy.api.request import JsonObject
from oaiproxy.rules.think import ThinkRules
from oaiproxy.rules.thinkchoice import SEPARATOR, Segment, ThinkChoice


def without_thoughts(body: bytes, rules: ThinkRules, field: str = "reasoning_content") -> bytes:
    """A chat completion as the client gets it.

    @param body: the completion.  What is none stays as it is, byte for byte, and so does one without thoughts.
    @param rules: what is a thought, and what is done with it.
    @param field: where thoughts are moved.
    """
    try:
        top = open_object(body)
    except ValueError:
        return body
    choices = as_list(top.get("choices"))
    changed = False
    for position, choice in enumerate(choices):
        given = as_object(choice)
        if _rewrite(given, rules, field):
            choices[position] = given
            changed = True
    return close_object({**top, "choices": choices}) if changed else body


def _rewrite(given: JsonObject, rules: ThinkRules, field: str) -> bool:
    """Rewrite an opened choice; says whether anything of it changed."""
    message = as_object(given.get("message"))
    text = as_plain(message.get("content"))
    if not isinstance(text, str) or not text:
        return False
    choice = ThinkChoice(rules)
    known = given.get("logprobs")
    segments = choice.feed(text, lambda: known)
    if segments is None:
        return False
    segments += choice.flush()
    answer = _joined(segments, thought=False)
    if answer.text == text:
        return False  # what was held back was no tag
    given["message"] = {**message, "content": answer.text}
    thought = _joined(segments, thought=True)
    if thought.text:
        own = as_plain(message.get(field))
        if isinstance(own, str) and own:
            thought.text = own + SEPARATOR + thought.text
        given["message"][field] = thought.text
    if not says_nothing(known) and (choice.aligned or not answer.text):
        given["logprobs"] = {**as_object(known), "content": answer.logprobs} if answer.logprobs else None
    return True


def _joined(segments: list[Segment], thought: bool) -> Segment:
    chosen = [segment for segment in segments if segment.thought is thought]
    entries = [entry for segment in chosen for entry in segment.logprobs]
    return Segment(thought, "".join(segment.text for segment in chosen), entries)
