"""What a model can do: the facts that defaults and translation have to respect."""

from __future__ import annotations

from dataclasses import dataclass

#: Reasoning efforts, from least to most (schema ``ReasoningEffort``).
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

#: Reasoning summaries (schema ``Reasoning.summary``); ``none`` is ours and means that none is asked for.
SUMMARIES = ("auto", "concise", "detailed", "none")

#: What `Capabilities.sampling` may be.
SAMPLING = ("always", "without_reasoning", "never")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model takes.  As it stands, a model that nothing is known about: it only chats.

    @ivar reasoning: it takes the ``reasoning`` field.
    @ivar efforts: the values of `EFFORTS` that it takes; empty if it does not reason.
    @ivar default_effort: the effort of a request that names none: ``none`` for a model that reasons only on demand,
        None for one that never does.
    @ivar sampling: whether ``temperature``, ``top_p`` and the log probabilities are taken: ``always``,
        ``without_reasoning`` (only while the effort is ``none``) or ``never``.
    @ivar web_search: it takes the hosted ``web_search`` tool.
    @ivar known: it is of a family of OpenAI's in the built-in data, so that what the API's description says holds for
        it; of others we know at most what their operator says.
    """

    reasoning: bool = False
    efforts: frozenset[str] = frozenset()
    default_effort: str | None = None
    sampling: str = "always"
    web_search: bool = False
    known: bool = False

    def nearest_effort(self, wanted: str) -> str | None:
        """The effort the model takes that comes nearest to `wanted`; of two that are as near, the lower.

        ``none`` never stands in for another effort: it would turn off what was asked for.

        @return: one of `efforts`, or None where there are none.
        """
        if wanted in self.efforts:
            return wanted
        place = EFFORTS.index(wanted)
        ranks = [rank for rank, effort in enumerate(EFFORTS) if effort in self.efforts and effort != "none"]
        return EFFORTS[min(ranks, key=lambda rank: (abs(rank - place), rank))] if ranks else None

    @property
    def lowest_effort(self) -> str | None:
        """The lowest effort at which the model still reasons, or None where it cannot."""
        return next((effort for effort in EFFORTS[1:] if effort in self.efforts), None)


#: A model that its operator says reasons and that we know nothing else about: the efforts that every reasoning model of
#: the API's first years took, and sampling, which servers other than OpenAI's allow.
GENERIC_REASONING = Capabilities(
    reasoning=True, efforts=frozenset({"low", "medium", "high"}), default_effort="medium", sampling="always"
)
