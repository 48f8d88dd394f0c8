"""When a worker that has ended is replaced, and when nobody believes in it any longer."""

from __future__ import annotations

from dataclasses import dataclass

#: A worker that has run for so many seconds was well.
STEADY = 10.0

#: Seconds until one that was not well is replaced: at first, and at most; they double each time.
FIRST_DELAY = 0.1
LONGEST_DELAY = 30.0

#: So often in a row a place may fail to get a worker that starts, where there is no worker at all.
ATTEMPTS = 3


@dataclass(slots=True)
class _Place:
    """What happened in a place, one worker after the other.

    @ivar unsteady: how many in a row did not run for long.
    @ivar unready: how many in a row did not even get ready.
    """

    unsteady: int = 0
    unready: int = 0


class Restarts:
    """Knows how long the workers in each place have run."""

    def __init__(self, places: int) -> None:
        """@param places: how many workers there are to be."""
        self._places = [_Place() for _ in range(places)]

    def ended(self, place: int, ran: float | None) -> float:
        """A worker has ended.

        @param ran: for how many seconds it was ready; None if it never was.
        @return: in how many seconds it is to be replaced.
        """
        found = self._places[place]
        found.unready = found.unready + 1 if ran is None else 0
        if ran is not None and ran >= STEADY:
            found.unsteady = 0
            return 0.0
        found.unsteady += 1
        # not more than it takes to get to the longest, however often it comes
        return float(min(FIRST_DELAY * 2 ** min(found.unsteady - 1, 20), LONGEST_DELAY))

    @property
    def hopeless(self) -> bool:
        """Whether none of the places gets a worker that starts."""
        return all(place.unready >= ATTEMPTS for place in self._places)
