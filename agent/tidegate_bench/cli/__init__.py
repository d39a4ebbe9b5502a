"""`tidegate bench NAME`: every published figure. A missed goal exits 0; only a broken benchmark does not."""

import typer

from tidegate_bench.cli import (
    adaptive_activation,
    control,
    demo,
    drivers,
    engine,
    footprint,
    ladder,
    pays,
    routing,
)

app = typer.Typer(help="Measure what the documentation states.", no_args_is_help=True)
app.command("demo")(demo.demo)
app.command("driver-faults")(drivers.faults)
app.command("driver-cost")(drivers.cost)
app.command("footprint")(footprint.footprint)
app.command("control")(control.control)
app.command("decide")(control.decide)
app.command("ladder")(ladder.ladder)
app.command("calibration")(ladder.calibration)
app.command("adaptive-activation")(adaptive_activation.adaptive_activation)
app.command("engine")(engine.engine)
app.command("pays")(pays.pays)
app.command("routing-synthetic")(routing.synthetic)
app.command("routing-classification")(routing.classification)
