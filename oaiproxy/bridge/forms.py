"""The table of forms: where a field of a chat request may hold one thing or another, what becomes of each.

The fields themselves are in `oaiproxy.bridge.fields`.  The translation takes its lists of what it knows from here, the
documentation shows it, and a test tries each form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from oaiproxy.bridge.fields import Fate


@dataclass(frozen=True, slots=True)
class Form:
    """One form of a field.

    @ivar name: what is in the field, or the name of the field within it.
    @ivar fate: what becomes of it.
    @ivar note: one line that explains it.
    @ivar chat: whether Chat's schema has it; if not, clients send it all the same.
    """

    name: str
    fate: Fate
    note: str
    chat: bool = True


_OWN_ITEM = "An item in the same place, "

#: Field -> its forms.
FORMS: Mapping[str, tuple[Form, ...]] = {
    "messages[].role": (
        Form("system", Fate.TRANSLATED, _OWN_ITEM + "as developer message where the model reasons."),
        Form("developer", Fate.CARRIED, _OWN_ITEM + "as it is."),
        Form("user", Fate.CARRIED, _OWN_ITEM + "as it is."),
        Form("assistant", Fate.TRANSLATED, _OWN_ITEM + "and one for each call; none for an empty message."),
        Form("tool", Fate.TRANSLATED, "The output of its call; text of the user's where the call is not to be found."),
        Form("function", Fate.TRANSLATED, "The output of the nearest call of that name."),
    ),
    "messages[]": (
        Form("content", Fate.TRANSLATED, "A string as it is; parts, see below."),
        Form("name", Fate.TRANSLATED, "Before the text, where a role has several names; else dropped with a warning."),
        Form("refusal", Fate.TRANSLATED, "The assistant's words; the schema has no other form without a stored id."),
        Form("tool_calls", Fate.TRANSLATED, "One item each, ids over 64 characters hashed."),
        Form("tool_call_id", Fate.TRANSLATED, "As the id of the call has it."),
        Form("function_call", Fate.TRANSLATED, "One item, with an id made from what it says."),
        Form("audio", Fate.REFUSED, "Responses knows no audio answers."),
        Form("images", Fate.TRANSLATED, "What this proxy showed comes back in a message of the user's.", chat=False),
        Form("phase", Fate.CARRIED, "Responses' own field.", chat=False),
    ),
    "messages[].content[].type": (
        Form("text", Fate.TRANSLATED, "`input_text`; an assistant's are joined to a string."),
        Form("image_url", Fate.TRANSLATED, "`input_image`, un-nested; bare base64 becomes a data URL."),
        Form("file", Fate.TRANSLATED, "`input_file`, un-nested; data gets its type and a name."),
        Form("refusal", Fate.TRANSLATED, "Like the field of that name."),
        Form("input_audio", Fate.REFUSED, "Responses takes no audio; a transcript does."),
        Form("video_url", Fate.REFUSED, "Responses takes no video.", chat=False),
        Form("input_text", Fate.CARRIED, "Responses' own form, like `output_text`.", chat=False),
        Form("input_image", Fate.CARRIED, "Responses' own form.", chat=False),
        Form("input_file", Fate.CARRIED, "Responses' own form.", chat=False),
    ),
    "tools[].type": (
        Form("function", Fate.TRANSLATED, "Un-nested; `strict` is false unless the client says true."),
        Form("custom", Fate.TRANSLATED, "Un-nested, its grammar too."),
        Form("web_search", Fate.CARRIED, "As it is, like every built-in tool of Responses'.", chat=False),
    ),
    "tools[].custom.format.type": (
        Form("text", Fate.CARRIED, "As it is."),
        Form("grammar", Fate.TRANSLATED, "Un-nested: `syntax` and `definition` beside the type."),
    ),
    "tool_choice": (
        Form("none", Fate.CARRIED, "As it is."),
        Form("auto", Fate.CARRIED, "As it is."),
        Form("required", Fate.CARRIED, "As it is."),
        Form("function", Fate.TRANSLATED, "Un-nested."),
        Form("custom", Fate.TRANSLATED, "Un-nested."),
        Form("allowed_tools", Fate.TRANSLATED, "Un-nested, and every tool in it."),
        Form("any", Fate.TRANSLATED, "`required`.", chat=False),
        Form("file_search", Fate.CARRIED, "As it is, like every built-in tool of Responses'.", chat=False),
    ),
    "function_call": (
        Form("none", Fate.CARRIED, "As `tool_choice`."),
        Form("auto", Fate.CARRIED, "As `tool_choice`."),
        Form("name", Fate.TRANSLATED, "As the `tool_choice` of that function."),
    ),
    "response_format.type": (
        Form("text", Fate.TRANSLATED, "Left out: it is what Responses does."),
        Form("json_object", Fate.TRANSLATED, "As it is, with a hint where nobody says the word JSON."),
        Form("json_schema", Fate.TRANSLATED, "Un-nested; a schema that is missing is an open object."),
    ),
    "stream_options": (
        Form("include_usage", Fate.EMULATED, "The chunk is made here."),
        Form("include_obfuscation", Fate.CARRIED, "False unless the client says true."),
    ),
    "modalities[]": (
        Form("text", Fate.TRANSLATED, "Left out: it is all that Responses has."),
        Form("audio", Fate.REFUSED, "Responses has no audio."),
    ),
    "web_search_options": (
        Form("search_context_size", Fate.CARRIED, "In the tool."),
        Form("user_location", Fate.TRANSLATED, "In the tool, one level up."),
    ),
}


def form_names(field: str, *, taken: bool = False) -> tuple[str, ...]:
    """The names of a field's forms in Chat's schema, in order.

    @param taken: only of those that are not refused.
    """
    return tuple(form.name for form in FORMS[field] if form.chat and not (taken and form.fate is Fate.REFUSED))
