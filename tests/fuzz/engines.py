"""The fuzzers that feed the targets."""

from __future__ import annotations

import hashlib
import random
import sys
import tempfile
from pathlib import Path

#: The modules that they are.
ENGINES = ("hypothesis", "atheris")

#: The longest case, in bytes.
LONGEST = 2048

#: A string that hypothesis makes is little longer than it has to be.
_SHORTEST = (0, 40, 200, 800)

#: How many strings atheris begins with.
_SEEDS = 64

#: hypothesis remembers every case of a run; so a long run is many short ones.
_BATCH = 10_000


def hypothesis_run(target: str, cases: int, crashes: Path) -> int:
    """Give a target cases of hypothesis's, the same ones each time.

    @param crashes: where a case that finds a fault is kept.
    @return: the exit status.
    """
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from hypothesis import strategies as st

    from tests.fuzz.targets import run

    strings = st.one_of([st.binary(min_size=size, max_size=LONGEST) for size in _SHORTEST])
    failing: list[bytes] = []

    def case(data: bytes) -> None:
        try:
            run(target, data)
        except Exception:
            failing.append(data)
            raise

    for batch, start in enumerate(range(0, cases, _BATCH)):
        check = settings(
            max_examples=min(_BATCH, cases - start),
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )(given(strings)(case))
        try:
            seed(batch)(check)()
        except BaseException:
            if failing:
                crashes.mkdir(exist_ok=True)
                path = crashes / f"{target}-{hashlib.sha256(failing[-1]).hexdigest()[:12]}"
                path.write_bytes(failing[-1])
                print(f"the case is kept in {path}", file=sys.stderr)
            raise
    return 0


def atheris_run(target: str, cases: int, crashes: Path) -> int:
    """Give a target cases of atheris's, which looks for new paths through the code.

    @param crashes: where a case that finds a fault is kept.
    @return: the exit status; mostly it does not return, as atheris ends the process.
    """
    import atheris  # type: ignore[import-untyped]

    with atheris.instrument_imports(include=["oaiproxy"]):
        from tests.fuzz.targets import run

    crashes.mkdir(exist_ok=True)
    corpus = Path(tempfile.mkdtemp())
    chance = random.Random(1)
    for number in range(_SEEDS):
        # short ones it would find by itself
        (corpus / str(number)).write_bytes(chance.randbytes(chance.choice((30, 100, 400, 1000))))
    options = [
        f"-runs={cases}",
        "-seed=1",
        f"-max_len={LONGEST}",
        "-verbosity=0",
        f"-artifact_prefix={crashes}/{target}-",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], lambda data: run(target, data))
    atheris.Fuzz()
    return 0
