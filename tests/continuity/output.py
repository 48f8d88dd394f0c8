"""The output items of a response, made of what a turn says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.continuity.canonical import Item, Rendered, digest
from tests.continuity.sealing import Contents, Sealer
from tests.continuity.turns import Call, Custom, Part, Refuse, Say, Search, Thought

#: Names that a model calls without their being declared.
_WRAPPERS = frozenset({"parallel"})


class Output:
    """Makes the items of one response, one after the other.

    @ivar items: those made so far; encrypted content is that of ``response.output_item.done``.
    @ivar contents: what is sealed in the reasoning items, or would be, by their ids.
    """

    def __init__(self, name: str, account: str, family: str, prompt: Rendered, sealer: Sealer | None) -> None:
        """
        @param name: makes the ids differ from those of other responses.
        @param prompt: what the model was shown.
        @param sealer: seals the reasoning; None where it is not asked for.
        """
        self.items: list[dict[str, Any]] = []
        self.contents: dict[str, Contents] = {}
        self._name = name
        self._account = account
        self._family = family
        self._prompt = prompt
        self._sealer = sealer

    def add(self, part: Part, tools: Mapping[str, str]) -> None:
        """One more item.

        @param tools: name -> type of the tools that the model has.
        """
        if isinstance(part, Thought):
            self._add_thought(part)
            return
        if isinstance(part, Call):
            known = tools.get(part.name) == "function" or part.name in _WRAPPERS
            item = self._call("fc", "function_call", part.name, arguments=part.arguments) if known else None
        elif isinstance(part, Custom):
            known = tools.get(part.name) == "custom"
            item = self._call("ctc", "custom_tool_call", part.name, input=part.input) if known else None
        elif isinstance(part, Search):
            item = self._search(part) if "web_search" in tools.values() else None
        else:
            item = self._message(part)
        # a model cannot use what it does not have
        item = item or self._message(Say(f"I would use {getattr(part, 'name', 'web_search')}."))
        self._prompt.add(item)
        self.items.append(item)

    def as_in(self, stage: str) -> list[Item]:
        """The items as the events of another stage have them: what is sealed is sealed anew (R5)."""
        return [self._resealed(item, stage) for item in self.items]

    def _resealed(self, item: Item, stage: str) -> Item:
        if "encrypted_content" not in item or self._sealer is None:
            return item
        blob = self._sealer.seal(self.contents[item["id"]], stage)
        # what comes with the beginning of an item is not even whole
        return {**item, "encrypted_content": blob[: len(blob) // 2] if stage == "added" else blob}

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{digest(self._name.encode(), b'%d' % len(self.items))}"

    def _add_thought(self, part: Thought) -> None:
        item_id = self._id("rs")
        item: dict[str, Any] = {
            "id": item_id,
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": text} for text in part.summary],
        }
        if part.text:
            item["content"] = [{"type": "reasoning_text", "text": part.text}]
        contents = Contents(item_id, self._account, self._family, self._prompt.state)
        if self._sealer is not None and part.sealed:
            item["encrypted_content"] = self._sealer.seal(contents)
        if part.text:
            self._prompt.add(item)
        else:
            self.contents[item_id] = contents
            self._prompt.add_thought(item_id)
        self.items.append(item)

    def _call(self, prefix: str, kind: str, name: str, **said: str) -> dict[str, Any]:
        item_id = self._id(prefix)
        call_id = f"call_{item_id[-24:]}"
        return {"id": item_id, "type": kind, "status": "completed", "call_id": call_id, "name": name, **said}

    def _search(self, part: Search) -> dict[str, Any]:
        action: dict[str, Any] = {"type": part.action}
        if part.action == "search":
            action |= {"query": part.query, "queries": [part.query], "sources": None}
        else:
            action |= {"url": "https://example.com/"}
            action |= {"pattern": part.query} if part.action == "find_in_page" else {}
        return {"id": self._id("ws"), "type": "web_search_call", "status": "completed", "action": action}

    def _message(self, part: Say | Refuse) -> dict[str, Any]:
        item: dict[str, Any] = {"id": self._id("msg"), "type": "message", "status": "completed", "role": "assistant"}
        if isinstance(part, Refuse):
            return {**item, "content": [{"type": "refusal", "refusal": part.text}]}
        item["content"] = [
            {"type": "output_text", "annotations": [], "logprobs": [], "text": text} for text in part.texts
        ]
        if part.phase is not None:
            item["phase"] = part.phase
        return item if part.whole else {**item, "status": "incomplete"}
