"""A policy while somebody holds one operating point: what they ask for, within what protects the device. Pure."""

from dataclasses import replace

from tidegate.policy.policy import Goals, Named, Pause, Policy, Rule

HELD = "held from outside"
"""The name of the rule that stands for the hold."""


def held(policy: Policy, point: str) -> Policy:
    """As `policy`, at `point`; urgent rules, pauses, the ceiling on temperature and that on accuracy lost stay."""
    protecting = tuple(rule for rule in policy.rules if rule.urgent or isinstance(rule.use, Pause))
    goals = Goals(temperature_ceiling_c=policy.goals.temperature_ceiling_c)
    return replace(policy, rules=(*protecting, Rule(HELD, Named(point))), goals=goals)
