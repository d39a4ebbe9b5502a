"""`tidegate.simulate`: a policy's day over a bundle's ladder."""

import tidegate
from tidegate.paths import profiles_directory


def test_a_careful_policy_uses_less_of_a_day() -> None:
    profiles = profiles_directory()
    bundle = profiles / "bundles" / "digits"
    totals = {
        name: tidegate.simulate(
            profiles / "policies" / name, profiles / "traces" / "field-camera-day.csv", bundle, requests_hz=2
        ).totals
        for name in ("always-plugged.yaml", "field-camera.yaml")
    }
    assert all(each.answered > 0 for each in totals.values())
    assert totals["field-camera.yaml"].energy_j <= totals["always-plugged.yaml"].energy_j
