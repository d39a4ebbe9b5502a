"""Tones with harmonics in noise, as frames of CREPE: 1,024 samples at 16 kHz, each of mean 0 and deviation 1."""

import numpy as np
import numpy.typing as npt

RATE_HZ, FRAME = 16_000, 1024


def tones(n: int, seed: int) -> npt.NDArray[np.float32]:
    """Frames (n, 1024) of 60 to 900 Hz, two of three with vibrato, some with hardly more than noise."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(FRAME) / RATE_HZ
    found = np.empty((n, FRAME), np.float32)
    for index in range(n):
        pitch_hz = float(np.exp(rng.uniform(np.log(60), np.log(900))))
        wobble = rng.uniform(0, 0.02) * np.sin(2 * np.pi * rng.uniform(3, 9) * seconds + rng.uniform(0, 6))
        phase = 2 * np.pi * np.cumsum(pitch_hz * (1 + wobble)) / RATE_HZ
        loudness = rng.uniform(0, 1, 10) / np.arange(1, 11)
        starts = rng.uniform(0, 6, 10)
        parts = [loudness[place] * np.sin((place + 1) * phase + starts[place]) for place in range(10)]
        values = np.sum(parts, axis=0) + rng.normal(0, rng.choice([0.01, 0.05, 0.2]), FRAME)
        found[index] = (values - values.mean()) / values.std()
    return found
