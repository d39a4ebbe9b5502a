"""The bill of materials of a release: CycloneDX 1.6 of its wheel and of all that a service installs with it."""

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from release.pins import Pin
from release.vendored import Vendored


def bill_of_materials(
    version: str,
    wheel_sha256: str,
    pins: Iterable[Pin],
    licences: Mapping[str, str],
    copied: Iterable[Vendored],
    at: datetime,
) -> str:
    """The bill as JSON, the same bytes for the same release. Raises ValueError if the schema refuses it."""
    us = Component(
        name="tidegate",
        version=version,
        type=ComponentType.APPLICATION,
        purl=PackageURL("pypi", name="tidegate", version=version),
        bom_ref=f"tidegate@{version}",
        licenses=[LicenseExpression("Apache-2.0")],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=wheel_sha256)],
    )
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"tidegate@{version}#{wheel_sha256}"))
    bom.metadata.component = us
    bom.metadata.timestamp = at
    parts = [(pin, _component(pin, licences[pin.name])) for pin in pins]
    for _, component in parts:
        bom.components.add(component)
    libraries = [_copied(library) for library in copied]
    for library in libraries:
        bom.components.add(library)
    for needing in (us, *(component for _, component in parts)):
        needed = [part for pin, part in parts if needing.name in pin.via]
        bom.register_dependency(needing, [*needed, *(libraries if needing is us else ())])
    told: str = JsonV1Dot6(bom).output_as_string(indent=2)
    if (fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(told)) is not None:
        raise ValueError(f"the bill of materials is not valid: {fault}")
    return told + "\n"


def _copied(library: Vendored) -> Component:
    reference = f"{library.name}@{library.version}"
    files = [
        Component(
            name=name,
            type=ComponentType.FILE,
            bom_ref=f"{reference}/{name}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)],
        )
        for name, sha256 in library.sha256.items()
    ]
    return Component(
        name=library.name,
        version=library.version,
        type=ComponentType.LIBRARY,
        purl=PackageURL("npm", name=library.name.lower(), version=library.version),
        bom_ref=reference,
        licenses=[LicenseExpression(library.licence)],
        components=files,
    )


def _component(pin: Pin, licence: str) -> Component:
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(f"https://pypi.org/project/{pin.name}/{pin.version}/"),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256) for sha256 in pin.sha256],
    )
    return Component(
        name=pin.name,
        version=pin.version,
        type=ComponentType.LIBRARY,
        purl=PackageURL("pypi", name=pin.name, version=pin.version),
        bom_ref=f"{pin.name}@{pin.version}",
        licenses=[LicenseExpression(licence)],
        external_references=[files],
        properties=[Property(name="tidegate:marker", value=pin.marker)] if pin.marker else [],
    )
