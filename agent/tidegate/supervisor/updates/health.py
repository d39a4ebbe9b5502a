"""Whether a policy on trial does harm: the worker has to follow it, and to answer after that."""

import asyncio
from typing import Protocol

from tidegate.policy.policy import Policy
from tidegate.supervisor.worker.channel import WorkerDown

HEALTH_DEADLINE_S = 30.0
"""A worker that answers nothing for this long under a policy on trial fails the trial."""


class PolicyControl(Protocol):
    """What decides by a policy."""

    async def adopt(self, policy: Policy) -> None:
        """Decide by this policy from the next step on."""

    async def attempt(self, policy: Policy) -> bool:
        """Adopt a policy and decide by it at once; False, and as before, when the worker did not follow."""


class AskedWorker(Protocol):
    """What a trial needs of a worker."""

    async def wait_ready(self) -> None:
        """Return once a worker answers requests."""

    async def ping(self) -> None:
        """Return once the worker has answered. Raises WorkerDown."""


async def health_problem(policy: Policy, control: PolicyControl, worker: AskedWorker) -> str | None:
    """What is wrong under the policy on trial; None when it was adopted, the worker followed it and answers."""
    try:
        async with asyncio.timeout(HEALTH_DEADLINE_S):
            await worker.wait_ready()
            if not await control.attempt(policy):
                return "the worker did not follow it; the event before says why"
            await worker.ping()
    except TimeoutError:
        return f"no worker was ready within {HEALTH_DEADLINE_S:.0f} s"
    except WorkerDown as error:
        return f"the worker stopped answering: {error}"
    return None
