"""Which output item an event is about.

Events name their item by ``output_index``, and by ``item_id``.  The index is what counts: Copilot gives a new id on
every event.  Yet llama.cpp sends no index at all, others give two items the same one, or never announce an item; so
each question has an order of answers, from the surest to a guess.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

import msgspec

from oaiproxy.api.request import JsonObject
from oaiproxy.bridge.items import ITEMS, Place
from oaiproxy.bridge.toolcalls import ToolCall
from oaiproxy.bridge.values import citation, file_annotation


class Kind(Enum):
    """What an item is to a chat client."""

    MESSAGE = "message"
    REASONING = "reasoning"
    CALL = "call"
    OTHER = "other"


_KINDS = {Place.CONTENT: Kind.MESSAGE, Place.REASONING: Kind.REASONING, Place.CALL: Kind.CALL}
_KINDS_BY_TYPE = {type: _KINDS.get(shown.place, Kind.OTHER) for type, shown in ITEMS.items()}


def kind_of(item: Mapping[str, Any]) -> Kind:
    """The kind of an output item."""
    kind = item.get("type")
    return _KINDS_BY_TYPE.get(kind, Kind.OTHER) if isinstance(kind, str) else Kind.OTHER


class Part(msgspec.Struct, eq=False):
    """A part of an item's text.

    @ivar sent: whether any of it went to the client.
    @ivar ended: whether an event said that it is whole.
    @ivar start: how much of the message's content stands before it, in characters.
    @ivar annotations: upstream's annotations of it.
    """

    sent: bool = False
    ended: bool = False
    start: int = 0
    annotations: list[Any] = []


class Slot(msgspec.Struct, eq=False):
    """One output item, as far as it is known.

    @ivar id: its id, the first one that it was given.
    @ivar name: the name of the tool that it calls.
    @ivar announced: whether an ``output_item.added`` or ``.done`` spoke of it; else only its deltas did.
    @ivar closed: whether it is complete.
    @ivar shared: whether another open item has the same index, so that the index alone does not say which is meant.
    @ivar matched: whether the terminal event's output listed it.
    @ivar parts: its texts by ``content_index`` (or ``summary_index``).
    @ivar refused: the content indexes of the refusals that went to the client.
    @ivar raw: whether its reasoning is the model's own text (open models) and not a summary; None while unknown.
    @ivar thoughts: the model's own text, as far as it went to the client.
    @ivar call: the client's call that it is.
    @ivar item: the whole of it, as its end said; None where only pieces came.
    @ivar shown: the ids of the calls that the client was shown for it at its end.
    """

    kind: Kind
    index: int | None
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    announced: bool = False
    closed: bool = False
    shared: bool = False
    matched: bool = False
    parts: dict[int, Part] = {}
    refused: set[int] = set()
    raw: bool | None = None
    thoughts: list[str] = []
    call: ToolCall | None = None
    item: JsonObject | None = None
    shown: Sequence[str] = ()

    def part(self, index: int) -> Part:
        """The part at `index`."""
        part = self.parts.get(index)
        if part is None:
            part = self.parts[index] = Part()
        return part

    def end_of(self, index: int) -> bool:
        """Note that the text at `index` is whole, and say whether it went to the client already.

        Servers may count otherwise in their deltas (vLLM from -1): a text that went out and was not said to be whole
        yet is then the one that is meant.
        """
        part = self.part(index)
        if not part.sent:
            part = next((other for other in self.parts.values() if other.sent and not other.ended), part)
        part.ended = True
        return part.sent

    def lacks(self, summary: str) -> bool:
        """Whether a summary says something that is not in the model's own text, which went to the client before it."""
        return _squeezed(summary) not in _squeezed("".join(self.thoughts))

    def sent(self) -> int:
        """How many of its parts went to the client."""
        return sum(part.sent for part in self.parts.values())


class Slots:
    """The output items of one response, in the order in which they became known."""

    def __init__(self) -> None:
        self._all: list[Slot] = []
        self._by_index: dict[int | None, Slot] = {}
        self._by_id: dict[str, Slot] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._all)

    def annotations(self, end: int | None) -> tuple[list[JsonObject], list[JsonObject]]:
        """The annotations in Chat's form, and those that Chat has no form for.

        @param end: the place in the content at which it was cut, or None where it was not.
        """
        cited: list[JsonObject] = []
        files: list[JsonObject] = []
        for slot in self._all:
            for _, part in sorted(slot.parts.items()):
                for annotation in part.annotations:
                    of_url, of_file = citation(annotation, part.start), file_annotation(annotation, part.start)
                    if of_url is not None and (end is None or of_url["url_citation"]["end_index"] <= end):
                        cited.append(of_url)
                    if of_file is not None and (end is None or of_file.get("end_index", 0) <= end):
                        files.append(of_file)
        return cited, files

    def of_delta(self, kind: Kind, index: Any, item_id: Any) -> Slot:
        """The item of `kind` that a delta is about."""
        if index.__class__ is not int:
            index = None
        slot = self._by_index.get(index)
        if slot is not None and slot.kind is kind and not slot.shared:
            return slot
        found = self._named(kind, index, item_id)
        if found is None and index is None:
            found = self._newest(kind, None)
        if found is None and slot is not None and slot.kind is kind:
            found = slot
        if found is None and index is not None:
            found = self._newest(kind, index)
        if found is None and isinstance(item_id, str):
            # a server whose deltas count the items otherwise than what announced them
            named = self._by_id.get(item_id)
            found = named if named and named.kind is kind and named.announced and not named.closed else None
        return self._settled(found, kind, index, {"id": item_id})

    def of_added(self, index: Any, item: Mapping[str, Any]) -> Slot:
        """The item that an ``output_item.added`` announces: usually a new one."""
        index = index if index.__class__ is int else None
        kind = kind_of(item)
        there = self._by_index.get(index)
        found = self._named(kind, index, item.get("id"), item.get("call_id"))
        if found is None and there is not None and there.kind is kind and not there.closed:
            # its deltas came first, or it is announced twice
            found = there if not there.announced or _alike(there, item) else None
        if found is None and index is None:
            found = next((s for s in self._all if s.kind is kind and not s.announced and not s.closed), None)
        slot = self._settled(found, kind, index, item)
        slot.announced = True
        if there is not None and there is not slot and not there.closed:
            slot.shared = there.shared = True
        return slot

    def of_done(self, index: Any, item: Mapping[str, Any]) -> Slot:
        """The item that an ``output_item.done`` completes."""
        index = index if index.__class__ is int else None
        kind = kind_of(item)
        there = self._by_index.get(index)
        if there is not None and there.kind is kind and not there.closed and not there.shared:
            found: Slot | None = there
        else:
            found = self._named(kind, index, item.get("id"), item.get("call_id"))
            if found is None and (there is None or there.kind is not kind):
                found = next((s for s in self._all if _may_be(s, kind, index) and _alike(s, item)), None)
            if found is None and there is not None and there.kind is kind and (not there.closed or _alike(there, item)):
                found = there
        slot = self._settled(found, kind, index, item)
        slot.announced = True
        return slot

    def of_final(self, position: int, item: Mapping[str, Any], listed: Container[str] = ()) -> Slot:
        """The item that stands at `position` in the output of the terminal event.

        @param listed: the call ids in that output.
        """
        kind = kind_of(item)
        slot = self._settled(self._unmatched(kind, position, item, listed) if self._all else None, kind, None, item)
        slot.announced = slot.matched = True
        return slot

    def _unmatched(self, kind: Kind, position: int, item: Mapping[str, Any], listed: Container[str]) -> Slot | None:
        """The item of `kind` that no other item of the terminal event's output is."""
        call_id = item.get("call_id")
        for key in (item.get("id"), call_id):
            slot = self._by_id.get(key) if isinstance(key, str) else None
            if slot is not None and slot.kind is kind and not slot.matched:
                return slot
        there = self._by_index.get(position)
        candidates = ([there] if there is not None else []) + self._all
        open_to = [s for s in candidates if s.kind is kind and not s.matched]
        slot = next((s for s in open_to if _agree(s.call_id, call_id)), None)
        if slot is None:
            # servers make up the ids anew; a call that is shown twice would be made twice
            name = _name(item.get("name"))
            slot = next((s for s in open_to if name and s.name == name and s.call_id not in listed), None)
        return slot

    def _named(self, kind: Kind, index: int | None, *names: Any) -> Slot | None:
        """The slot of `kind` with one of these ids, unless it is known to stand elsewhere."""
        for name in names:
            slot = self._by_id.get(name) if isinstance(name, str) and name else None
            if slot is not None and slot.kind is kind and (index is None or slot.index is None or slot.index == index):
                return slot
        return None

    def _newest(self, kind: Kind, index: int | None) -> Slot | None:
        return next((slot for slot in reversed(self._all) if _may_be(slot, kind, index)), None)

    def _settled(self, slot: Slot | None, kind: Kind, index: int | None, item: Mapping[str, Any]) -> Slot:
        """`slot`, or a new one if there is none, with what is now known of it."""
        if slot is None:
            slot = Slot(kind, index)
            self._all.append(slot)
        if index is not None:
            if slot.index is None:
                slot.index = index
            self._by_index[index] = slot
        for name in (item.get("id"), item.get("call_id")):
            if isinstance(name, str) and name:
                self._by_id.setdefault(name, slot)
        slot.id, slot.call_id = slot.id or _name(item.get("id")), slot.call_id or _name(item.get("call_id"))
        slot.name = slot.name or _name(item.get("name"))
        return slot


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _agree(one: str | None, other: Any) -> bool:
    """Whether two ids may be of one item: they are the same, or one of them is not known."""
    return one is None or _name(other) is None or one == other


def _may_be(slot: Slot, kind: Kind, index: int | None) -> bool:
    """Whether it is of `kind`, not complete, and may stand at `index`."""
    return slot.kind is kind and not slot.closed and (index is None or slot.index is None or slot.index == index)


def _alike(slot: Slot, item: Mapping[str, Any]) -> bool:
    return _agree(slot.id, item.get("id")) and _agree(slot.call_id, item.get("call_id"))
