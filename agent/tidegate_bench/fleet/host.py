"""A process full of light agents: takes orders as lines of JSON and answers each with one."""

import asyncio
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from random import Random

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from tidegate.documents import parse
from tidegate.models.bundle import open_bundle
from tidegate.paths import profiles_directory
from tidegate.telemetry.broker import Broker
from tidegate.trust.keys import PublicKey
from tidegate.trust.trusted_keys import Role, TrustedKey, TrustedKeys
from tidegate_bench.fleet.light_agent import LightAgent, Shared

LOCAL = "tidegate: 1\nname: local\nversion: 1\nmax_accuracy_loss: 5 %\ndefault: {use: full}\n"
STEP_S = 0.5
WINDOW_EVERY_S = 60.0


@dataclass(frozen=True)
class HostOrder:
    """What a host is started with: each agent's name with its groups, and how many answers each compares a step.

    `key` is the operator's public key, in hexadecimal.
    """

    port: int
    directory: str
    agents: dict[str, tuple[str, ...]]
    key: str
    answers: int
    seed: int


@dataclass(frozen=True)
class HostState:
    """Of all agents of a host: when each last came online (monotonic, s; None: it is not).

    `offline` counts the others by the reason, `running` all by the version of their policy; `put`, `acknowledged`
    and `waiting` are rows of all spools together, None where one can't be read.
    """

    online_at_s: dict[str, float | None]
    offline: dict[str, int]
    running: dict[int, int]
    put: int | None
    acknowledged: int | None
    waiting: int | None


HOST_ORDER: TypeAdapter[HostOrder] = TypeAdapter(HostOrder)
HOST_STATE: TypeAdapter[HostState] = TypeAdapter(HostState)


def state_of(agents: dict[str, LightAgent]) -> HostState:
    """What there is to say of them now."""
    online: dict[str, float | None] = {}
    offline: dict[str, int] = {}
    running: dict[int, int] = {}
    for name, agent in agents.items():
        counters = agent.link.counters
        online[name] = agent.online_at_s[-1] if counters.state.state == "online" else None
        if online[name] is None:
            offline[counters.state.reason] = offline.get(counters.state.reason, 0) + 1
        version = agent.updates.state.running.policy.version
        on_trial = agent.updates.state.on_trial
        running[version] = running.get(version, 0) + (not on_trial)
    spools = [agent.spool.counters for agent in agents.values()]
    known = [each for each in spools if each is not None]
    if len(known) < len(spools):
        return HostState(online, offline, running, None, None, None)
    put, acknowledged = sum(each.put for each in known), sum(each.acknowledged for each in known)
    return HostState(online, offline, running, put, acknowledged, sum(each.waiting for each in known))


async def host(order: HostOrder) -> None:
    """Keep the agents until told to stop."""
    keys = TrustedKeys((TrustedKey("ops", PublicKey(bytes.fromhex(order.key)), frozenset({Role.POLICY})),))
    bundle = open_bundle(profiles_directory() / "bundles" / "digits")
    shared = Shared(Broker("127.0.0.1", order.port), bundle, parse(LOCAL, "local.yaml"), keys)
    loop, seeds = asyncio.get_running_loop(), Random(order.seed)  # noqa: S311 - made-up answers
    with ExitStack() as closing:
        agents: dict[str, LightAgent] = {}
        for name, groups in order.agents.items():
            directory = Path(order.directory) / name
            directory.mkdir()
            random = Random(seeds.random())  # noqa: S311 - made-up answers
            agents[name] = closing.enter_context(LightAgent(shared, name, groups, directory, random))
        closing.callback(_hang_up, agents)
        for agent in agents.values():
            agent.start()
            await asyncio.sleep(0)
        stepping = loop.create_task(_step(list(agents.values()), order.answers))
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            match json.loads(line):
                case "state":
                    sys.stdout.write(HOST_STATE.dump_json(state_of(agents)).decode() + "\n")
                case ["forget", *names]:
                    for name in names:
                        agents[name].forget()
                    sys.stdout.write("{}\n")
                case _:
                    break
            sys.stdout.flush()
        stepping.cancel()


def _hang_up(agents: dict[str, LightAgent]) -> None:
    """All at once: each waits for the broker."""
    with ThreadPoolExecutor(64) as pool:
        for agent in agents.values():
            pool.submit(agent.link.stop, 0.0)


async def _step(agents: list[LightAgent], answers: int) -> None:
    """All of them twice a second, and the windows of each spread over their time."""
    steps = round(WINDOW_EVERY_S / STEP_S)
    number = 0
    while True:
        begun = asyncio.get_running_loop().time()
        for index, agent in enumerate(agents):
            await agent.step(answers)
            if index % steps == number % steps:
                agent.put_window()
        number += 1
        await asyncio.sleep(max(0.01, begun + STEP_S - asyncio.get_running_loop().time()))


if __name__ == "__main__":
    # Each of a hundred links has a thread. Those that wait for the interpreter would wake 200 times a second to
    # ask for it, which takes more of the machine than all that they do.
    sys.setswitchinterval(0.2)
    asyncio.run(host(HOST_ORDER.validate_json(sys.stdin.readline())))
