"""Reasoning that survives the turn (bridge.md 6).

A chat client sends back texts and calls, and drops what else upstream's answer held: reasoning, phases, searches.  Here
an answer's items are made into a `KeptTurn` when it ends, and put back in its place in a later request's history, where
the client's own words still agree with it.  All of it is plain code; who keeps the turns meanwhile is the caller's to
say: a state store, or the client itself (`oaiproxy.bridge.continuity.carrier`).
"""

from oaiproxy.bridge.continuity.carrier import carried, details
from oaiproxy.bridge.continuity.conversation import Before, Conversation, SaidTurn, converse
from oaiproxy.bridge.continuity.recall import NOTHING, Recalled, blames_recall, blames_these, recall
from oaiproxy.bridge.continuity.turns import (
    KeptTurn,
    Scope,
    family,
    kept_items,
    kept_turn,
    says_more,
    turn_key,
)

__all__ = [
    "NOTHING",
    "Before",
    "Conversation",
    "KeptTurn",
    "Recalled",
    "SaidTurn",
    "Scope",
    "blames_recall",
    "blames_these",
    "carried",
    "converse",
    "details",
    "family",
    "kept_items",
    "kept_turn",
    "recall",
    "says_more",
    "turn_key",
]
