"""How much memory MLX may hold: left to itself it keeps what it frees, up to most of the machine's memory."""

from dataclasses import dataclass

from tidegate.engines.mlx.runtime import mx

_CACHE_SHARE = 8
_MOST_CACHE_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """In bytes: of everything that MLX allocates, of what it frees and keeps for the next answer, and of what it
    wires down for the GPU. None leaves the runtime's own."""

    memory_bytes: int | None
    cache_bytes: int
    wired_bytes: int | None

    @classmethod
    def within(cls, budget_bytes: int | None) -> "MemoryLimits":
        """Of a worker that may hold so many bytes; None: it has no limit of its own.

        Allocating beyond MLX's limit waits for what is in use, it does not fail: the supervisor's limit does.
        """
        if budget_bytes is None:
            return cls(None, _MOST_CACHE_BYTES, None)
        return cls(budget_bytes, min(_MOST_CACHE_BYTES, budget_bytes // _CACHE_SHARE), budget_bytes // 2)

    def apply(self) -> None:
        """To this process."""
        mx.set_cache_limit(self.cache_bytes)
        if self.memory_bytes is not None:
            mx.set_memory_limit(self.memory_bytes)
        if self.wired_bytes is not None and mx.metal.is_available():
            most = int(mx.device_info()["max_recommended_working_set_size"])
            mx.set_wired_limit(min(self.wired_bytes, most))
