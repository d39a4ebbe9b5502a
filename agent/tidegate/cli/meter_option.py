"""`--meter`: an external meter for the commands that read sensors without an agent.yaml."""

from typing import Annotated

import typer

from tidegate_drivers.meters import address


def _checked(named: str | None) -> str | None:
    if named is not None:
        try:
            address.parse(named)
        except ValueError as error:
            raise typer.BadParameter(f"{named}: {error}; allowed are {address.ALLOWED}") from None
    return named


MeterOption = Annotated[
    str | None, typer.Option("--meter", callback=_checked, help="An external meter, named as in agent.yaml.")
]
