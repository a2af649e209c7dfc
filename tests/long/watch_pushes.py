"""A watch that is over waits for what it hands on, and not for ever."""

from threading import Event

from armarius.watch.push import Pushes
from armarius.watch.signals import Kind, Signal


def test_signals_that_a_slow_way_did_not_hand_on_are_counted_at_the_end() -> None:
    let_go, warnings = Event(), list[str]()

    def slow(_signal: Signal) -> str | None:
        let_go.wait()
        return None

    with Pushes({"slow": slow}, warnings.append) as pushes:
        for number in range(3):
            pushes.send(Signal(kind=Kind.STALLED, id=f"sig_{number}", at_us=0, text="", source="watch"))
    let_go.set()
    assert warnings == ["3 signals were not handed on within 10 s of the end"]
