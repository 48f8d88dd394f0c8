"""The embedded upstream (``--upstream demo``): a small server with the shape of the OpenAI API, and no model behind it.

It is there so that a newcomer without a key can try every feature and see real bytes, and it is what the project's
end-to-end tests and benchmarks talk to.  Every answer says that it comes from the demo: in its text, and in the header
``x-oaiproxy-demo: 1``.  Any key is taken, or none; no request is logged.

What it serves, below ``/v1``: ``/chat/completions``, ``/responses`` (stored ones can be fetched, deleted, and gone on
from with ``previous_response_id``), ``/completions``, ``/embeddings``, ``/models``, ``/files``,
``/audio/transcriptions`` and ``/audio/speech``.  Any model name is answered.  ``/files/file-demo-SIZE/content`` is a
binary file of SIZE bytes.

What the user's last message decides:

================================  ====================================================================================
it says                           the answer
================================  ====================================================================================
anything                          says it back, and how many messages, images, files and tools came through
``call``, ``tool``, ``function``  calls the first tool, or the one that the message names; arguments fit its schema
``parallel``                      calls up to three tools at once, or the only one twice
``refuse``                        is a refusal
``search``                        has a citation, where the request has a web search tool (or ``web_search_options``)
================================  ====================================================================================

Tools are called under ``tool_choice`` ``auto`` when the message asks for it, and always when the choice demands it;
when the tools have answered, the answer is a text that quotes them.  A model that reasons (by its name, or because the
request asks it to) gives a reasoning item, with a summary where one is asked for; what it costs (4 tokens for
``minimal`` effort, 16 for ``medium``, 128 for ``max``) counts against the limit on output tokens.  JSON is made up from
its schema where a format asks for it.

What else the text may hold, each a word of its own:

===========================  =========================================================================================
``demo:error=STATUS``        the request fails with that HTTP status (400 to 599; 429 comes with ``Retry-After``)
``demo:fail-midstream``      halfway the upstream says that it failed: ``error`` and ``response.failed``, or an error
                             object in a chat stream; without a stream a failed response, or status 500
``demo:cut``                 halfway the connection is aborted
``demo:eof``                 halfway the body ends as if it were complete
``demo:stall=SECONDS``       halfway nothing comes for a while
``demo:silence=SECONDS``     nothing comes before the first event (the head of a stream does)
``demo:slow=MS``             so many milliseconds lie between two chunks
``demo:tokens=N``            the text is N words, ``demo1 demo2 ...``, one a chunk (up to a million)
``demo:empty``               there is nothing in the answer
``demo:preamble``            a text comes before the tool calls
===========================  =========================================================================================

It refuses what the real API refuses, in the same words: unknown parameters, wrong types, tool calls without their
outputs, parameters that a model does not take.  So it is also the judge of what the bridge sends.

The parts: `answers` says what is answered to a `question.Question`; for each API ``*_fields`` and ``*_rules`` check a
request, ``*_question`` reads it, and `responses` and `chat` make a `reply.Reply` of the answer; `resources` and
`player` put that on the wire.  Only these two, `forms` and `site` know Twisted.
"""

from __future__ import annotations

from oaiproxy.demo.site import DemoSite, demo_site

__all__ = ["DemoSite", "demo_site"]
