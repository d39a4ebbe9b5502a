"""The goals that compare peers on one network, from what they measured."""

from collections.abc import Iterable, Iterator, Mapping

from tidegate_bench.engine.peer_race import Measured
from tidegate_bench.figures import Cell, Goal

Table = Mapping[tuple[str, int, str], Measured]
"""By network, threads and peer."""

_GATED = {"onnx fp32": 1.05, "onnx int8": 1.05, "litert fp32": 1.05, "litert int8": 1.05}

_OURS = ("onnx", "litert")
_BEST = {"int8": 1.05, "fp32": 1.15}
"""How much more CPU time than the best peer's the best of our engines may take, by precision, with 1 thread."""

_ALONE = (("", "", ""),)
_LIKE_WITH_LIKE = ((", spinning", " spun", ""), (", not spinning", "", " unspun"))
"""With several threads: ONNX Runtime's spin unless told not to, ours only when told to."""


def rows(table: Table) -> Iterator[dict[str, Cell]]:
    """One per peer; a lost one says why."""
    for (network, threads, peer), measured in table.items():
        eager = table.get((network, threads, "eager"))
        times_eager = _ratio(eager, measured)
        row: dict[str, Cell] = {
            "network": network,
            "threads": threads,
            "engine": f"{peer} ({measured.lost})" if measured.lost else peer,
            "latency_ms": _rounded(measured.latency_ms, 3),
            "times_eager": _rounded(times_eager, 2),
            "cpu_ms": _rounded(measured.cpu_ms, 3),
            "cpu_ms_at_10_hz": _rounded(measured.cpu_ms_at_10_hz, 3),
            "rss_mib": _rounded(measured.rss_mib, 1),
        }
        yield row


def goals(table: Table) -> Iterator[Goal]:
    """Those of every network and thread count in the table."""
    for network, threads in dict.fromkeys((network, threads) for network, threads, _ in table):
        here = {peer: each for (name, count, peer), each in table.items() if (name, count) == (network, threads)}
        yield from _goals_of(f"{network}, {threads} threads:", here)
        if threads == 1:
            yield from _best(f"{network}, 1 thread:", here)


def _best(label: str, peers: Mapping[str, Measured]) -> Iterator[Goal]:
    """Ours against the fastest of all others at each precision."""
    for precision, allowed in _BEST.items():
        own = [f"{engine} {precision}" for engine in _OURS]
        others = [name for name in peers if precision in name.split() and name.split()[0] not in _OURS]
        ours, theirs = _times(peers, own), _times(peers, others)
        share = min(ours) / min(theirs) if ours and theirs else None
        # How many there were decides what it is worth.
        text = f"{label} CPU time of our best {precision} / of the best of {len(theirs)} others'"
        yield Goal(text, allowed, share, False)


def _times(peers: Mapping[str, Measured], names: Iterable[str]) -> list[float]:
    times = [peers[name].cpu_ms for name in names if name in peers]
    return [time for time in times if time is not None]


def _goals_of(label: str, peers: Mapping[str, Measured]) -> Iterator[Goal]:
    def ratio(over: str, under: str) -> float | None:
        return _ratio(peers.get(over), peers.get(under))

    for waiting, ours, theirs in _LIKE_WITH_LIKE if "onnx fp32 spun" in peers else _ALONE:
        share = ratio(f"onnx fp32{ours}", f"ort fp32{theirs}")
        yield Goal(f"{label} onnx fp32's latency / ORT fp32's{waiting}", 1.05, share, False)
        if f"ort int8{theirs}" in peers:
            share = ratio(f"onnx int8{ours}", f"ort int8{theirs}")
            yield Goal(f"{label} onnx int8's latency / ORT int8's{waiting}", 1.05, share, False)
    for name, allowed in _GATED.items():
        if f"{name} gated" in peers:
            yield Goal(
                f"{label} {name} with all gates open / without gates", allowed, ratio(f"{name} gated", name), False
            )


def _ratio(above: Measured | None, below: Measured | None) -> float | None:
    if above is None or below is None or above.latency_ms is None or below.latency_ms is None:
        return None
    return above.latency_ms / below.latency_ms


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
