"""The levels that macOS counts, in words: pure, and tested against recordings of the documented formats."""

from tidegate_drivers.apple.plist import RecordError

# OSThermalNotification.h: nominal, moderate, heavy, trapping, sleeping.
_PRESSURES = {0: "nominal", 1: "fair", 2: "serious", 3: "critical", 4: "critical"}
_PRESSURE_WORDS = ("nominal", "moderate", "heavy", "trapping", "sleeping")
# NSProcessInfoThermalState
_PROCESS_STATES = {0: "nominal", 1: "fair", 2: "serious", 3: "critical"}
# DISPATCH_MEMORYPRESSURE_*
_MEMORY_LEVELS = {1: "normal", 2: "warn", 4: "critical"}


def thermal_pressure(state: int) -> str:
    """The state of com.apple.system.thermalpressurelevel as one of THERMAL_PRESSURES. Raises RecordError."""
    if state not in _PRESSURES:
        raise RecordError(f"thermal pressure level {state}; known are 0 to 4")
    return _PRESSURES[state]


def thermal_pressure_word(said: object) -> str:
    """The same from the level's name, or its number, in powermetrics. Raises RecordError."""
    if isinstance(said, int) and not isinstance(said, bool):
        return thermal_pressure(said)
    word = said.strip().lower() if isinstance(said, str) else ""
    if word not in _PRESSURE_WORDS:
        raise RecordError(f"thermal pressure is {said!r:.60}; known are {', '.join(_PRESSURE_WORDS)}")
    return thermal_pressure(_PRESSURE_WORDS.index(word))


def process_thermal_state(state: int) -> str:
    """NSProcessInfo.thermalState as one of THERMAL_PRESSURES. Raises RecordError."""
    if state not in _PROCESS_STATES:
        raise RecordError(f"thermal state {state}; known are 0 to 3")
    return _PROCESS_STATES[state]


def memory_level(level: int) -> str:
    """kern.memorystatus_vm_pressure_level in words. Raises RecordError."""
    if level not in _MEMORY_LEVELS:
        raise RecordError(f"memory pressure level {level}; known are 1, 2 and 4")
    return _MEMORY_LEVELS[level]
