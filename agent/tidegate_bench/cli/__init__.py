"""`tidegate bench NAME`: every published figure. A missed goal exits 0; only a broken benchmark does not."""

import typer

from tidegate_bench.cli import (
    adaptive_activation,
    apple,
    batching,
    control,
    coverage,
    demo,
    drivers,
    engine,
    few_labels,
    fleet,
    footprint,
    frigate,
    ladder,
    mqtt,
    pays,
    placements,
    pretrained,
    routing,
    serving,
    soak,
    starts,
)

app = typer.Typer(help="Measure what the documentation states.", no_args_is_help=True)
app.command("demo")(demo.demo)
app.command("driver-faults")(drivers.faults)
app.command("driver-cost")(drivers.cost)
app.command("fleet-storm")(fleet.storm)
app.command("footprint")(footprint.footprint)
app.command("frigate")(frigate.frigate)
app.command("soak")(soak.soak)
app.command("mqtt-kills")(mqtt.kills)
app.command("mqtt-hostile")(mqtt.hostile)
app.command("spool")(mqtt.spool)
app.command("control")(control.control)
app.command("decide")(control.decide)
app.command("coverage")(coverage.coverage)
app.command("ladder")(ladder.ladder)
app.command("calibration")(ladder.calibration)
app.command("adaptive-activation")(adaptive_activation.adaptive_activation)
app.command("engine")(engine.engine)
app.command("pays")(pays.pays)
app.command("few-labels")(few_labels.few_labels)
app.command("pretrained")(pretrained.pretrained)
app.command("apple")(apple.apple)
app.command("placements")(placements.placements)
app.command("routing-synthetic")(routing.synthetic)
app.command("routing-classification")(routing.classification)
app.command("batching")(batching.batching)
app.command("starts")(starts.starts)
app.command("serving")(serving.serving)
