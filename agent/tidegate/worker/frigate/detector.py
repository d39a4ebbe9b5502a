"""What Frigate's requests are answered with: boxes of the serving point, or why there are none."""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import cast

from tidegate.engines.engine import Array
from tidegate.messages import AdmissionState
from tidegate.worker.admission import Admission, TooMuch
from tidegate.worker.frigate.hand_over import HandOver
from tidegate.worker.frigate.heads import rows_found, rows_of
from tidegate.worker.frigate.pictures import batch_of, check_fits, size_of
from tidegate.worker.frigate.protocol import (
    NOTHING_FOUND,
    ModelAsked,
    ModelSent,
    Picture,
    Refused,
    about_model,
    detections,
    model_taken,
)
from tidegate.worker.inference_queue import InferenceQueue, QueueAnswer, QueueFull
from tidegate.worker.protocol.interface import Interface
from tidegate.worker.shadow import Shadow

log = logging.getLogger(__name__)

Reply = list[bytes]


@dataclass(frozen=True, slots=True)
class Awaited:
    """A reply that comes later: `reply` makes it of what `future` gives, once that is done."""

    future: "Future[QueueAnswer] | Future[Reply]"
    reply: Callable[[], Reply]


class Detector:
    """Answers with the bundle's network, or with the model handed over last. Belongs to one thread.

    `state` is what the supervisor last said of the policy.
    """

    def __init__(
        self,
        model: str,
        interface: Interface,
        queue: InferenceQueue,
        shadow: Shadow,
        admission: Admission,
        state: Callable[[], AdmissionState],
        hand_over: HandOver | None = None,
    ) -> None:
        self._model = model
        self._interface = interface
        self._queue = queue
        self._shadow = shadow
        self._admission = admission
        self._state = state
        self._hand_over = hand_over
        # Opening a model takes seconds, and pictures are answered meanwhile.
        self._opening = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hand-over")
        if hand_over is not None:
            self._opening.submit(hand_over.open_last)

    def close(self) -> None:
        """Open no more models."""
        self._opening.shutdown(wait=False, cancel_futures=True)

    def asked(self, request: ModelAsked) -> Reply | Awaited:
        """Whether a model is here. Without hand-over the bundle answers for a model of any name.

        Frigate asks no more pictures of a detector that says no, until it is started again.
        """
        hand_over = self._hand_over
        if hand_over is None:
            log.info("Frigate's model %s: bundle %s answers for it", request.name, self._model)
            return about_model(request.name, available=True, loaded=True, message=f"bundle {self._model} answers")
        return self._opened(lambda: self._about_kept(hand_over, request.name))

    def sent(self, request: ModelSent) -> Reply | Awaited:
        """Take a model over."""
        hand_over = self._hand_over
        if hand_over is None:
            message = f"bundle {self._model} answers; with frigate.hand_over in agent.yaml models are taken"
            return model_taken(request.name, saved=True, loaded=True, message=message)
        return self._opened(lambda: self._taken(hand_over, request))

    def boxes(self, picture: Picture) -> Reply | Awaited:
        """What is found in a picture, now where that is quick. Raises Refused, TooMuch, QueueFull."""
        state = self._state()
        if state.refuse:
            raise TooMuch(state.reason, 1.0)
        if self._hand_over is not None:
            return self._by_model(picture, self._hand_over, state)
        batch = batch_of(picture, self._interface.sample_shape, self._interface.scale)
        known = self._interface.detector
        if known is None:
            raise Refused(f"bundle {self._model} is no detector; `bundle build --task detect` makes one")

        def reply(answered: QueueAnswer) -> Reply:
            self._shadow.consider(batch, answered, state.shadow_share, "frigate")
            return detections(rows_found(known, answered.answer.outputs))

        if self._queue.answers_here:
            with self._admission.enter(state.rate_hz, state.concurrency):
                answered = self._queue.infer_here(batch)
            return reply(answered)
        return self._later(state, lambda: self._queue.infer(batch), reply)

    def _by_model(self, picture: Picture, hand_over: HandOver, state: AdmissionState) -> Awaited:
        variant = hand_over.variant
        if variant is None:
            raise Refused("no model was handed over yet; Frigate does so when it starts")
        check_fits(picture, variant.input_shape)
        values = cast("Array", picture.values)  # a file's variant takes either datatype
        size = size_of(picture)
        return self._later(
            state,
            lambda: self._queue.infer(values, variant=variant),
            lambda answered: detections(rows_of(picture.model_type, answered.answer.outputs, *size)),
        )

    def _later(
        self,
        state: AdmissionState,
        ask: Callable[[], "Future[QueueAnswer]"],
        reply: Callable[[QueueAnswer], Reply],
    ) -> Awaited:
        with ExitStack() as place:
            place.enter_context(self._admission.enter(state.rate_hz, state.concurrency))
            future = ask()
            kept = place.pop_all()
        future.add_done_callback(lambda _: kept.close())
        return Awaited(future, lambda: reply(future.result()))

    def _opened(self, work: Callable[[], Reply]) -> Awaited:
        future = self._opening.submit(work)
        return Awaited(future, future.result)

    @staticmethod
    def _about_kept(hand_over: HandOver, name: str) -> Reply:
        if not hand_over.has(name):
            return about_model(name, available=False, loaded=False, message="hand it over")
        reason = hand_over.open_named(name)
        # A file that opens no more is asked for again: it may have been damaged.
        return about_model(name, available=not reason, loaded=not reason, message=reason)

    @staticmethod
    def _taken(hand_over: HandOver, request: ModelSent) -> Reply:
        kept, reason = hand_over.take(request.name, request.content)
        return model_taken(request.name, saved=kept, loaded=not reason, message=reason)


def nothing(error: Exception) -> Reply:
    """The reply to a picture without an answer; the log says why."""
    if isinstance(error, Refused | TooMuch | QueueFull):
        log.warning("no boxes for Frigate: %s", error)
    else:
        log.error("no boxes for Frigate", exc_info=error)
    return NOTHING_FOUND
