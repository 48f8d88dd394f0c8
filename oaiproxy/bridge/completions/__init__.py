"""Legacy completions (``POST /v1/completions``) over Responses: a prompt goes in, the text that continues it comes out.

It is layered on the chat bridge.  A request becomes one chat-shaped request per prompt, whose messages tell the model
to go on with the text; the answers come back as chat completions or chunks, which are rewritten to ``text_completion``
objects here.  So everything that the chat bridge knows of upstreams holds for this API too.
"""

from oaiproxy.bridge.completions.answer import completion_translator
from oaiproxy.bridge.completions.failures import completion_error
from oaiproxy.bridge.completions.plan import CompletionPlan, CompletionTranslation
from oaiproxy.bridge.completions.request import translate_completion

__all__ = [
    "CompletionPlan",
    "CompletionTranslation",
    "completion_error",
    "completion_translator",
    "translate_completion",
]
