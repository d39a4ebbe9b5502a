"""The whole policy document: pydantic at the border, the frozen Policy behind it."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from tidegate.documents import Kind, refuse
from tidegate.documents.problem import shown
from tidegate.policy import policy as data
from tidegate.policy.schema.conditions import ConditionPart, Location, Names
from tidegate.policy.schema.controls import ControlsPart
from tidegate.policy.schema.goals import DriftGuardPart, GoalsPart
from tidegate.policy.schema.part import Name, Part
from tidegate.policy.schema.times import SchedulePart, TimeZone, WindowPart, window
from tidegate.policy.schema.uses import SLEEP, WAKE_HINT, BoundsPart, LimitPart, UsePart, WakePart, use
from tidegate.quantities.units import Duration, Share


class RulePart(Part):
    """One rule."""

    name: Name
    when: ConditionPart | None = None
    between: WindowPart | None = None
    use: UsePart
    wake: WakePart | None = None
    limit: LimitPart | None = None
    controls: ControlsPart | None = None
    urgent: bool = False

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.when is None and self.between is None:
            hint = "put what always holds into `default`"
            raise refuse("a rule needs `when`, `between` or both", hint=hint)
        return self

    @model_validator(mode="after")
    def _wakes(self) -> Self:
        if self.use == SLEEP and self.wake is None:
            raise refuse("a rule that sleeps needs `wake`", hint=WAKE_HINT, at=("use",))
        if self.use != SLEEP and self.wake is not None:
            raise refuse(
                "only a rule with `use: sleep` wakes", hint="write `use: sleep`, or leave `wake` out", at=("wake",)
            )
        return self

    def rule(self, path: str, names: Names) -> data.Rule:
        """The rule as data; `path` is where it stands in the document."""
        when = None if self.when is None else self.when.condition(f"{path}.when", names)
        between = None if self.between is None else window(self.between, f"{path}.between", names.schedules)
        limit = data.NO_LIMIT if self.limit is None else self.limit.limit()
        chosen = use(self.use) if self.wake is None else data.Sleep(self.wake.wake())
        return data.Rule(self.name, chosen, when, between, self.urgent, limit, _controls(self.controls))

    def schedules_named(self) -> Iterator[tuple[Location, str]]:
        """The schedules it refers to, each with the way to the reference."""
        if isinstance(self.between, str):
            yield ("between",), self.between
        if self.when is not None:
            yield from ((("when", *location), name) for location, name in self.when.schedules_named())


class DefaultPart(Part):
    """What to use while no rule holds."""

    use: UsePart = "full"
    controls: ControlsPart | None = None

    @model_validator(mode="before")
    @classmethod
    def _not_a_word(cls, value: object) -> object:
        if isinstance(value, str):
            raise refuse(
                "expected a mapping", allowed="{use: ...}", hint=f"write `default: {{use: {shown(value)}}}`"
            )
        return value

    @model_validator(mode="after")
    def _awake(self) -> Self:
        if self.use == SLEEP:
            hint = "write a rule with `use: sleep` and `wake`"
            raise refuse(
                "only a rule can sleep", allowed="full, cheapest, pause, a point or bounds", hint=hint, at=("use",)
            )
        return self


def _controls(part: ControlsPart | None) -> data.Controls:
    return {} if part is None else part.controls()


class DwellPart(Part):
    """The least time between two switches."""

    down: Duration = data.Dwell().down_s
    up: Duration = data.Dwell().up_s


LevelMissing = Literal["assume_low", "assume_high", "ignore"]
HeatMissing = Literal["assume_cool", "assume_hot", "ignore"]


class OnMissingPart(Part):
    """What each reading counts as while it is unavailable or stale."""

    battery: LevelMissing = "ignore"
    temperature: HeatMissing = "ignore"
    power: LevelMissing = "ignore"
    cpu: LevelMissing = "ignore"
    memory_available: LevelMissing = "ignore"
    memory_pressure: LevelMissing = "ignore"
    request_rate: LevelMissing = "ignore"
    latency: LevelMissing = "ignore"
    input: LevelMissing = "ignore"
    power_source: Literal["assume_battery", "assume_external", "ignore"] = "ignore"
    throttled: Literal["assume_yes", "assume_no", "ignore"] = "ignore"
    under_voltage: Literal["assume_yes", "assume_no", "ignore"] = "ignore"
    thermal_pressure: HeatMissing = "ignore"


class PolicyDocument(Part):
    """A whole policy document."""

    KIND: ClassVar = Kind.POLICY

    tidegate: Literal[1] = Field(description="the version of the policy language: `tidegate: 1`")
    name: Name
    version: int = Field(ge=1, lt=1 << 53, description="a whole number, higher with every change")
    max_accuracy_loss: Share = Field(description="the ceiling over all rules, for example `1.5 %`")
    default: DefaultPart = DefaultPart()
    rules: tuple[RulePart, ...] = Field(
        (), strict=False, description="a list: every rule begins with `- name: ...`"
    )
    dwell: DwellPart = Field(DwellPart(), description="for example {down: 5 s, up: 60 s}")
    on_missing: OnMissingPart = OnMissingPart()
    no_fit: Literal["refuse", "slow_down", "cheapest_uncertified"] = "refuse"
    goals: GoalsPart | None = None
    schedule: tuple[SchedulePart, ...] = Field((), strict=False)
    time_zone: TimeZone | None = None
    drift_guard: DriftGuardPart | None = None

    @model_validator(mode="after")
    def _unique(self) -> Self:
        for key, names, hint in (
            ("rules", [rule.name for rule in self.rules], "each needs its own name: decisions refer to it"),
            (
                "schedule",
                [schedule.name for schedule in self.schedule],
                "each needs its own name: rules refer to it",
            ),
        ):
            for index, name in enumerate(names):
                if (first := names.index(name)) < index:
                    raise refuse(f"{key}[{first}] has this name already", hint=hint, at=(key, index, "name"))
        return self

    @model_validator(mode="after")
    def _schedules_known(self) -> Self:
        known = [schedule.name for schedule in self.schedule]
        for index, rule in enumerate(self.rules):
            for location, name in rule.schedules_named():
                if name not in known:
                    raise refuse(
                        "no schedule of this name",
                        allowed=", ".join(known) or 'two times such as ["22:00", "06:00"]',
                        hint="add it to `schedule`",
                        at=("rules", index, *location),
                    )
        return self

    @model_validator(mode="after")
    def _below_ceiling(self) -> Self:
        uses: list[tuple[tuple[str | int, ...], Any]] = [(("default", "use"), self.default.use)]
        uses += [(("rules", index, "use"), rule.use) for index, rule in enumerate(self.rules)]
        for path, part in uses:
            loss = part.max_accuracy_loss if isinstance(part, BoundsPart) else None
            if loss is not None and loss > self.max_accuracy_loss:
                ceiling = f"at most the policy's own max_accuracy_loss, {self.max_accuracy_loss * 100:g} %"
                raise refuse("above the ceiling", allowed=ceiling, at=(*path, "max_accuracy_loss"))
        return self

    def policy(self, zones: Mapping[str, str]) -> data.Policy:
        """The frozen policy; `zones` are the board's zone types by role."""
        names = Names({schedule.name: schedule.window() for schedule in self.schedule}, zones)
        return data.Policy(
            name=self.name,
            version=self.version,
            max_accuracy_loss=self.max_accuracy_loss,
            rules=tuple(rule.rule(f"rules[{index}]", names) for index, rule in enumerate(self.rules)),
            default=use(self.default.use),
            default_controls=_controls(self.default.controls),
            dwell=data.Dwell(self.dwell.down, self.dwell.up),
            on_missing={name: data.Assumption(word) for name, word in self.on_missing.model_dump().items()},
            no_fit=data.NoFit(self.no_fit),
            goals=data.Goals() if self.goals is None else self.goals.goals(),
            time_zone=self.time_zone,
            drift_guard=None if self.drift_guard is None else self.drift_guard.guard(),
        )
