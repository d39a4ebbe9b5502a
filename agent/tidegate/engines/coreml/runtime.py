"""coremltools: the one place that loads it. It writes packages anywhere and runs them on macOS."""

import logging

# It warns of every newer torch and scikit-learn, which nothing here uses, and on Linux of what can't run there.
_disabled = logging.root.manager.disable
logging.disable(logging.WARNING)

import coremltools as ct  # noqa: E402 - while its warnings are off
from coremltools.converters.mil import Builder as mb  # noqa: E402, N813 - what its documentation calls it
from coremltools.converters.mil.converter import mil_convert  # noqa: E402
from coremltools.converters.mil.mil import Function, Program, Var, types  # noqa: E402
from coremltools.models import CompiledMLModel  # noqa: E402
from coremltools.models.compute_device import (  # noqa: E402
    MLCPUComputeDevice,
    MLGPUComputeDevice,
    MLNeuralEngineComputeDevice,
)
from coremltools.models.compute_plan import MLComputePlan  # noqa: E402
from coremltools.models.utils import compile_model  # noqa: E402
from coremltools.proto import FeatureTypes_pb2, Model_pb2  # noqa: E402

logging.disable(_disabled)

ComputeUnit = ct.ComputeUnit
TARGET = ct.target.iOS18
"""macOS 15: weights in 4 bits, several functions in one package."""

__all__ = [
    "TARGET",
    "CompiledMLModel",
    "ComputeUnit",
    "FeatureTypes_pb2",
    "Function",
    "MLCPUComputeDevice",
    "MLComputePlan",
    "MLGPUComputeDevice",
    "MLNeuralEngineComputeDevice",
    "Model_pb2",
    "Program",
    "Var",
    "compile_model",
    "ct",
    "mb",
    "mil_convert",
    "types",
]
