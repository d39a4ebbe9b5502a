"""Spoken keywords made by a synthesizer: twelve words in many voices, speeds and pitches, in noise, as log-mel
images.

No set of recordings ships in a registry. What is synthetic here is the voice; the task, the features and the noise
are those of keyword spotting (Warden, arXiv:1804.03209: one second, 40 mel bands).
"""

import io
import shutil
import subprocess
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tidegate_bench.pays.unavailable import DataSetUnavailable

WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go", "seven", "marvin")
VOICES = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029")
VARIANTS = tuple(f"{kind}{index}" for kind, last in (("m", 8), ("f", 5)) for index in range(1, last + 1))
UTTERANCES = 12_000

RATE_HZ = 22_050
"""Of espeak-ng's output."""

SECONDS = 1.0
BANDS = 40
WINDOW = 660
HOP = 344
"""30 ms every 15.6 ms: 64 frames a second."""

FRAMES = 64
NOISE_DB = (0.0, 20.0)
"""Signal to noise: the range that utterances are drawn from."""

SEED = 0
PROCESSES = 2

Signal = npt.NDArray[np.float32]


def spoken_keywords(_folder: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Log-mel images uint8 (n, 1, 40, 64) and which word each is. Raises DataSetUnavailable without espeak-ng."""
    program = shutil.which("espeak-ng")
    if program is None:
        raise DataSetUnavailable("keywords: needs espeak-ng, which speaks them; install the package espeak-ng")
    rng = np.random.default_rng(SEED)
    commands = list(_commands(program, rng))
    with ThreadPoolExecutor(PROCESSES) as threads:
        spoken = list(threads.map(_spoken, commands))
    filters = _mel_filters()
    images = np.stack([_log_mel(_in_noise(each, rng), filters) for each in spoken])
    labels = np.arange(UTTERANCES) % len(WORDS)
    return images[:, None], labels


def _commands(program: str, rng: np.random.Generator) -> Iterator[list[str]]:
    for index in range(UTTERANCES):
        voice = f"{rng.choice(VOICES)}+{rng.choice(VARIANTS)}"
        pitch, speed = rng.integers(20, 80), rng.integers(110, 230)
        word = WORDS[index % len(WORDS)]
        yield [program, "-v", voice, "-p", str(pitch), "-s", str(speed), "--stdout", word]


def _spoken(command: list[str]) -> Signal:
    """One utterance, at most a second, peak 1."""
    done = subprocess.run(command, capture_output=True, check=True)
    with wave.open(io.BytesIO(done.stdout)) as sound:
        # Read to the end: the header of what was written to a pipe has no length.
        samples = np.frombuffer(sound.readframes(int(RATE_HZ * 2 * SECONDS)), "<i2").astype(np.float32)
    loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
    samples = samples[loud[0] : loud[-1] + 1][: int(RATE_HZ * SECONDS)]
    peak: np.float32 = np.abs(samples).max()
    return np.asarray(samples / peak, np.float32)


def _in_noise(word: Signal, rng: np.random.Generator) -> Signal:
    """A second of pink or white noise with the word somewhere in it."""
    length = int(RATE_HZ * SECONDS)
    noise = rng.standard_normal(length).astype(np.float32)
    if rng.random() < 0.5:
        spectrum = np.fft.rfft(noise)
        noise = np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)), length).astype(np.float32)
    decibels = rng.uniform(*NOISE_DB)
    noise *= np.sqrt(np.mean(word**2) / np.mean(noise**2)) * 10 ** (-decibels / 20)
    start = rng.integers(0, length - len(word) + 1)
    noise[start : start + len(word)] += word
    return noise * np.float32(rng.uniform(0.2, 1.0))


def _log_mel(signal: Signal, filters: Signal) -> npt.NDArray[np.uint8]:
    """uint8 (40, 64): 80 dB below the loudest cell is 0, the loudest 255."""
    padded = np.pad(signal, (0, max(0, FRAMES * HOP + WINDOW - len(signal))))
    frames = np.stack([padded[start : start + WINDOW] for start in range(0, FRAMES * HOP, HOP)])
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW), 1024)) ** 2
    decibels = 10 * np.log10(filters @ power.T + 1e-10)
    scaled = np.clip((decibels - decibels.max()) / 80 + 1, 0, 1)
    image: npt.NDArray[np.uint8] = np.rint(scaled * 255).astype(np.uint8)
    return image


def _mel_filters() -> Signal:
    """Triangles (40, 513) from 60 Hz to 7.6 kHz, equally wide in mel."""
    lowest, highest = (2595 * np.log10(1 + hertz / 700) for hertz in (60, 7600))
    centres = 700 * (10 ** (np.linspace(lowest, highest, BANDS + 2) / 2595) - 1)
    bins = np.arange(513) * RATE_HZ / 1024
    rising = (bins - centres[:-2, None]) / (centres[1:-1] - centres[:-2])[:, None]
    falling = (centres[2:, None] - bins) / (centres[2:] - centres[1:-1])[:, None]
    filters: Signal = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    return filters
