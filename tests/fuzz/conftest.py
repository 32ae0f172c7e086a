"""The time that fuzzing may take, and the alarm that ends a hang."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType

import pytest
from hypothesis import HealthCheck, settings

DEFAULT_S = 5.0  # all of tests/fuzz together, so that `./task test` stays quick; `.ci/run fuzz` gives more
HANG_S = 60  # one batch of examples takes a second or two; making a failed one smaller may take longer
BATCH = 100  # examples from one seed
SETTINGS = settings(
    max_examples=BATCH,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)

Fuzz = Callable[[Callable[[], None]], None]


class Hang(BaseException):
    """No Exception: hypothesis would run the example again and again to make it smaller."""


def _ring(_signal: int, frame: FrameType | None) -> None:
    while frame is not None and frame.f_code.co_name != "holds":
        frame = frame.f_back
    raise Hang(f"no end after {HANG_S} s with {frame.f_locals if frame else 'no example'}")


@pytest.fixture
def fuzz(request: pytest.FixtureRequest) -> Iterator[Fuzz]:
    """fuzz(holds): run this property with one random seed after the other for this test's share of $TBOX_FUZZ_S seconds."""
    named = os.environ.get("TBOX_FUZZ_S", "")
    budget = float(named) if named else DEFAULT_S
    tests = [item for item in request.session.items if "fuzz" in getattr(item, "fixturenames", ())]
    until = time.monotonic() + budget / len(tests)

    def run(holds: Callable[[], None]) -> None:
        once = SETTINGS(holds)
        while True:
            signal.alarm(HANG_S)
            once()
            if time.monotonic() >= until:
                return

    before = signal.signal(signal.SIGALRM, _ring)
    yield run
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
