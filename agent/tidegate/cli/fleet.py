"""`tidegate fleet`: many devices at once."""

import typer

from tidegate.cli import fleet_push, fleet_views

app = typer.Typer(help="Look at many devices, and roll out to them.", no_args_is_help=True)
app.command("status")(fleet_views.status_command)
app.command("watch")(fleet_views.watch_command)
app.command("tail")(fleet_views.tail_command)
app.command("push")(fleet_push.push_command)
