"""`tidegate bundle`: look into a bundle, verify one, rebuild the demo's."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from agent.cli.console import EX_DATAERR, EX_UNAVAILABLE, fail, out
from agent.cli.view import format_risk
from agent.models.bundle import Bundle, open_bundle
from agent.models.errors import BundleError

app = typer.Typer(help="Inspect, verify and build bundles.", no_args_is_help=True)

BundlePath = Annotated[Path, typer.Argument(help="The bundle's directory.")]
