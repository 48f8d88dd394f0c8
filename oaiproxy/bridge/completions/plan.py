"""What passes from the request half of legacy completions to their answer half."""

from __future__ import annotations

import msgspec

from oaiproxy.api.notes import Note
from oaiproxy.bridge.plan import AnswerPlan


class CompletionPlan(msgspec.Struct, frozen=True):
    """What a legacy request said about how its answer has to look.

    Upstream answers `made` times to each prompt, the answers to the first prompt first; the client gets `kept` of them.

    @ivar chat: how the chat answers have to look that the legacy answer is made of.
    @ivar prompts: the texts to complete.
    @ivar kept: how many choices the client gets for each prompt (``n``).
    @ivar made: how many are made for each prompt (``best_of``); where there are more, the most likely ones are kept.
    @ivar echo: the prompt stands before its completion.
    @ivar logprobs: how many alternatives the client wants to see for each token, or None where it wants no log
        probabilities.
    """

    chat: AnswerPlan
    prompts: tuple[str, ...]
    kept: int = 1
    made: int = 1
    echo: bool = False
    logprobs: int | None = None

    @property
    def answers(self) -> int:
        """How many upstream answers the legacy answer is made of."""
        return len(self.prompts) * self.made

    def prompt_of(self, answer: int) -> str:
        """The prompt that an upstream answer completes."""
        return self.prompts[answer // self.made]


class CompletionTranslation(msgspec.Struct, frozen=True):
    """A legacy request, translated.

    @ivar bodies: the JSON bytes of the Responses requests, in the order that `CompletionPlan` says; the same request
        always gives the same bytes.
    @ivar plan: how the answer has to look.
    @ivar notes: what was dropped or changed.
    """

    bodies: tuple[bytes, ...]
    plan: CompletionPlan
    notes: tuple[Note, ...] = ()
