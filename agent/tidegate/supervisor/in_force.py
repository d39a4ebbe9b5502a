"""What the agent runs by at this moment; a reload puts another one in its place."""

from dataclasses import dataclass

from tidegate.config import AgentConfig
from tidegate.models.bundle import Bundle
from tidegate.supervisor.control.drift_record import DriftRecord
from tidegate.supervisor.own_certificate import CertifiedBundle
from tidegate.telemetry.payloads.reported import ReportedCertificate


@dataclass(frozen=True, slots=True)
class InForce:
    """The configuration, the bundle served, with its certificates here, and what is known of its points.

    `certified` is None where nobody has looked for a certificate of this place.
    """

    config: AgentConfig
    bundle: Bundle
    drift: DriftRecord
    certified: CertifiedBundle | None = None

    @property
    def build(self) -> Bundle:
        """The bundle as its build left it."""
        return self.bundle if self.certified is None else self.certified.build

    @property
    def certificate(self) -> ReportedCertificate | None:
        """What became of the certificate that agent.yaml names; None where it names none."""
        return None if self.certified is None else self.certified.report
