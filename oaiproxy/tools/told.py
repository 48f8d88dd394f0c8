"""What the client has been told of an answer that takes several rounds, so that it stays one answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oaiproxy.api.request import JsonObject
from oaiproxy.api.usage import summed

#: What all chunks of a stream, and the one completion, repeat; the first round's counts.
ENVELOPE = ("id", "object", "created", "model")

#: The texts of which those of different rounds are set apart.
_SET_APART = ("content", "reasoning_content", "reasoning")

#: What may stand between the texts of two rounds.
_SEPARATORS = ("\n\n", "\n", " ")


class Told:
    """What the client knows, over all rounds.

    @ivar rounds: how many rounds were before this one.
    @ivar length: of the content, in characters.
    """

    def __init__(self, stop: Any = None) -> None:
        """@param stop: the request's stop sequences, none of which the proxy must write itself."""
        stops = [each for each in (stop if isinstance(stop, list) else [stop]) if isinstance(each, str) and each]
        self._separator = next((s for s in _SEPARATORS if not any(each in s for each in stops)), "")
        self.rounds = -1
        self.length = 0
        self._spoken: set[str] = set()  # the texts of earlier rounds
        self._begun: set[str] = set()  # those of this one
        self._offset = 0  # where the content of this round begins
        self._images = 0
        self._images_before = 0
        self._usages: list[Any] = []
        self._usage: Any = None

    def next_round(self) -> None:
        """Another round begins."""
        self.rounds += 1
        self._spoken |= self._begun
        self._begun.clear()
        self._offset = self.length
        self._images_before = self._images
        if self._usage is not None:
            self._usages.append(self._usage)
            self._usage = None

    def before(self, field: str) -> str:
        """What has to stand before the next piece of a text; mostly nothing."""
        if field in self._begun or field not in _SET_APART:
            return ""
        self._begun.add(field)
        text = self._separator if field in self._spoken else ""
        if field == "content":
            self.length += len(text)
            self._offset = self.length
        return text

    def say(self, text: Any) -> None:
        """The client is told a piece of content."""
        if isinstance(text, str):
            self.length += len(text)

    def usage(self, usage: Any) -> Any:
        """Take the usage of this round, as far as it is known, and return that of all of them."""
        self._usage = usage
        return summed([*self._usages, usage]) if self._usages else usage

    def usage_so_far(self) -> Any:
        """The usage of all rounds, where this one has none; None where none is known."""
        usages = [*self._usages, *([] if self._usage is None else [self._usage])]
        return summed(usages) if usages else None

    def placed(self, message: JsonObject) -> JsonObject:
        """A message, or a delta, with what it says of places in the content moved to where the content of this round
        stands in the whole, and its pictures numbered behind those of earlier rounds."""
        changed = {}
        if self._offset and isinstance(annotations := message.get("annotations"), list) and annotations:
            changed["annotations"] = [_moved(annotation, self._offset) for annotation in annotations]
        if isinstance(images := message.get("images"), list) and images:
            self._images += len(images)
            if self._images_before:
                changed["images"] = [_renumbered(image, self._images_before) for image in images]
        return {**message, **changed} if changed else message


def _moved(annotation: Any, offset: int) -> Any:
    """An annotation that is about text further back (schema ``ChatCompletionResponseMessage.annotations``)."""
    if not isinstance(annotation, Mapping):
        return annotation
    moved = {
        key: {
            name: place + offset if name in ("start_index", "end_index") and isinstance(place, int) else place
            for name, place in value.items()
        }
        for key, value in annotation.items()
        if isinstance(value, Mapping)
    }
    return {**annotation, **moved}


def _renumbered(image: Any, count: int) -> Any:
    if isinstance(image, Mapping) and isinstance(index := image.get("index"), int):
        return {**image, "index": index + count}
    return image


def joined_logprobs(found: Sequence[Any]) -> Any:
    """The ``logprobs`` of several rounds as those of one choice."""
    known = [each for each in found if isinstance(each, Mapping)]
    if len(known) < 2:
        return known[0] if known else None
    names = dict.fromkeys(name for each in known for name in each)
    return {
        name: [entry for each in known for entry in each.get(name) or ()] or None
        if any(isinstance(each.get(name), list) for each in known)
        else known[-1].get(name)
        for name in names
    }
