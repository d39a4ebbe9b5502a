"""Windows of 36 ms of speech by espeak-ng, of pauses and of noise, as silero-vad takes them at 16 kHz."""

import io
import shutil
import subprocess
import wave

import numpy as np
import numpy.typing as npt

from tidegate_bench.pretrained.packages import PackageUnavailable

Floats = npt.NDArray[np.float32]

RATE_HZ, SPOKEN_HZ = 16_000, 22_050
WINDOW = 576
"""512 samples after the last 64 of the window before."""
EACH = 8
"""Inputs out of one line."""
WORDS = (
    "river",
    "seven",
    "yellow",
    "garden",
    "under",
    "never",
    "window",
    "paper",
    "morning",
    "silver",
    "before",
    "engine",
    "winter",
    "carry",
    "answer",
    "middle",
    "happy",
    "little",
    "stone",
    "summer",
    "bread",
    "open",
    "water",
    "letter",
    "forest",
    "number",
    "travel",
    "quiet",
    "second",
    "dozen",
    "apple",
    "market",
)
VOICES = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "de", "fr", "es", "it")
VARIANTS = tuple(f"{kind}{index}" for kind, last in (("m", 8), ("f", 5)) for index in range(1, last + 1))


def utterances(n: int, seed: int) -> Floats:
    """(n, 576). Raises PackageUnavailable without espeak-ng."""
    program = shutil.which("espeak-ng")
    if program is None:
        raise PackageUnavailable(
            "silero-vad: needs espeak-ng, which speaks its inputs; install the package espeak-ng"
        )
    rng = np.random.default_rng(seed)
    found = np.empty((n, WINDOW), np.float32)
    for start in range(0, n, EACH):
        line = _line(program, rng)
        for row in found[start : start + EACH]:
            at = int(rng.integers(0, len(line) - WINDOW))
            row[:] = line[at : at + WINDOW]
    return found


def _line(program: str, rng: np.random.Generator) -> Floats:
    """Words with pauses of up to a second between them, in noise 0 to 40 dB below."""
    parts = [_pause(rng)]
    for _ in range(2):
        parts += [_spoken(program, rng), _pause(rng)]
    signal = np.concatenate(parts)
    power = float(np.mean(signal**2))
    noise = rng.standard_normal(len(signal)) * np.sqrt(power) * 10 ** (-rng.uniform(0, 40) / 20)
    return np.asarray((signal + noise) * rng.uniform(0.1, 0.7), np.float32)


def _pause(rng: np.random.Generator) -> Floats:
    return np.zeros(int(rng.uniform(0.1, 1.0) * RATE_HZ), np.float32)


def _spoken(program: str, rng: np.random.Generator) -> Floats:
    """One to three words, peak 1."""
    voice = f"{rng.choice(VOICES)}+{rng.choice(VARIANTS)}"
    text = " ".join(rng.choice(WORDS, int(rng.integers(1, 4))))
    pitch, speed = str(rng.integers(20, 80)), str(rng.integers(110, 230))
    command = [program, "-v", voice, "-p", pitch, "-s", speed, "--stdout", text]
    done = subprocess.run(command, capture_output=True, check=True)
    with wave.open(io.BytesIO(done.stdout)) as sound:
        # The header of what was written to a pipe has no length.
        given = np.frombuffer(sound.readframes(60 * SPOKEN_HZ), "<i2").astype(np.float32)
    times = np.arange(int(len(given) * RATE_HZ / SPOKEN_HZ)) * (SPOKEN_HZ / RATE_HZ)
    samples = np.interp(times, np.arange(len(given)), given)
    return np.asarray(samples / np.abs(samples).max(), np.float32)
