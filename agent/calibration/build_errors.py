"""All that a build refuses with words for its user."""

from agent.calibration.bundle_build import BuildError
from agent.calibration.datasets import DataError
from agent.calibration.risk import RiskError
from agent.models.discovery import DiscoveryError
from agent.models.export import ExportError

ALL = (BuildError, DataError, DiscoveryError, ExportError, RiskError)
