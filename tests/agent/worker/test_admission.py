"""Admission lets in what the policy's limit says, and tells the others when to come back."""

import pytest

from tidegate.worker.admission import Admission, TooMuch


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def let_in(admission: Admission, rate_hz: float | None) -> bool:
    try:
        with admission.enter(rate_hz, None):
            return True
    except TooMuch:
        return False


def test_without_limits_everything_enters() -> None:
    admission = Admission(Clock())
    assert all(let_in(admission, None) for _ in range(1000))


@pytest.mark.parametrize("rate_hz", [0.5, 2.0, 10.0])
def test_the_mean_rate_is_the_limit(rate_hz: float) -> None:
    clock = Clock()
    admission = Admission(clock)
    entered = 0
    for _ in range(60_000):
        clock.now += 0.01
        entered += let_in(admission, rate_hz)
    assert entered == pytest.approx(600 * rate_hz, abs=2)


def test_what_is_too_much_is_told_when_to_ask_again() -> None:
    admission = Admission(Clock())
    assert let_in(admission, 0.5)
    with pytest.raises(TooMuch, match=r"0\.5 requests a second") as caught, admission.enter(0.5, None):
        pass
    assert caught.value.retry_after_s == pytest.approx(2.0)
    with pytest.raises(TooMuch, match="no requests"), admission.enter(0.0, None):
        pass


def test_places_are_given_back_also_after_an_error() -> None:
    admission = Admission(Clock())
    one_more = pytest.raises(TooMuch, match="1 requests in at once")
    with admission.enter(None, 1), one_more, admission.enter(None, 1):
        pass
    with pytest.raises(RuntimeError), admission.enter(None, 1):
        raise RuntimeError
    with admission.enter(None, 1):
        pass
