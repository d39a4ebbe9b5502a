"""The memory figures of one operating point, kept apart because they answer different questions."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MemoryFigures:
    """None: not measured.

    - `weights_disk_bytes`: the weights file. It holds fp32 masters, so that every point can be made from it.
    - `weights_resident_bytes`: the tensors that the engine holds.
    - `peak_live_dense_bytes`: stored activations alive at once, at their bits, for one input; the largest over
      the inputs measured.
    - `peak_live_encoded_bytes`: the same, with each value as bitmap and non-zeros where that is smaller. It is
      what the values would take at rest; kernels here compute on dense tensors, so no process shows this saving.
    - `process_rss_bytes`, `process_pss_bytes`: a process that holds the model and has answered, its libraries
      included.
    """

    weights_disk_bytes: int
    weights_resident_bytes: int
    peak_live_dense_bytes: int
    peak_live_encoded_bytes: int
    process_rss_bytes: int | None = None
    process_pss_bytes: int | None = None

    @property
    def model_bytes(self) -> int:
        """Weights resident plus encoded live activations: the figure that the selection works on."""
        return self.weights_resident_bytes + self.peak_live_encoded_bytes
