"""Windows as Hypothesis draws them."""

from hypothesis import strategies as st

from tidegate.telemetry.payloads.window import ModelWindow, Window

counts = st.none() | st.integers(0, 10**6)
amounts = st.none() | st.integers(0, 10**7).map(lambda value: value / 10)
values = st.integers(-9999, 9999).map(lambda value: value / 10)
readings = st.fixed_dictionaries(
    {},
    optional={
        "battery": values,
        "temperature/soc": values,
        "power_source": st.sampled_from(("external", "battery")),
    },
)
shadows = st.dictionaries(
    st.sampled_from(("int8", "skip")), st.tuples(st.integers(0, 1000), st.integers(0, 1000)), max_size=2
)

models = st.dictionaries(
    st.sampled_from(("plates", "faces")),
    st.builds(
        ModelWindow,
        state=st.sampled_from(("READY", "UNAVAILABLE")),
        point=st.none() | st.sampled_from(("full", "int8")),
        requests=counts,
        p95_ms=amounts,
        weights_bytes=counts,
    ),
    max_size=2,
)

windows = st.builds(
    Window,
    at=st.integers(0, 2 * 10**9).map(float),
    s=st.integers(0, 6000).map(lambda value: value / 10),
    point=st.sampled_from(("full", "int8", "skip")),
    policy=st.integers(1, 2**53 - 1),
    worker=st.sampled_from(("serving", "down")),
    restarts=st.integers(0, 100),
    switches=st.integers(0, 100),
    risk=st.none() | st.floats(0, 1),
    requests=counts,
    failed=counts,
    turned_away=counts,
    samples=counts,
    p50_ms=amounts,
    p95_ms=amounts,
    skip=st.none() | st.floats(0, 1),
    weights_bytes=counts,
    energy_j=amounts,
    total_j=amounts,
    shadow=shadows,
    readings=readings,
    models=models,
)
"""One window as a device sends it, whatever it knew."""
