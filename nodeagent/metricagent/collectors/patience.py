"""Asking what may never answer: a filesystem whose device is gone, or a driver that hangs, may keep its caller for ever."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

PATIENCE = 2.0  # seconds that one answer may take

Question = TypeVar("Question", bound=Hashable)
Answer = TypeVar("Answer")


class Patient(Generic[Question, Answer]):
    """`ask`, given up after `patience` seconds.

    The thread that waits for the answer is left behind, and as long as it waits the same is not asked again.
    """

    def __init__(self, ask: Callable[[Question], Answer], patience: float = PATIENCE) -> None:
        self._ask = ask
        self._patience = patience
        self._waiting: dict[Question, threading.Thread] = {}

    def __call__(self, question: Question) -> Answer:
        """The answer; what `ask` raises; TimeoutError (an OSError) when nothing comes."""
        if question in self._waiting:
            if self._waiting[question].is_alive():
                raise TimeoutError("still no answer")
            del self._waiting[question]
        answers: list[Answer] = []
        errors: list[Exception] = []
        thread = threading.Thread(target=self._wait, args=(question, answers, errors), name=f"ask {question}", daemon=True)
        thread.start()
        thread.join(self._patience)
        if errors:
            raise errors[0]
        if not answers:
            self._waiting[question] = thread
            raise TimeoutError(f"no answer within {self._patience:g} s")
        return answers[0]

    def _wait(self, question: Question, answers: list[Answer], errors: list[Exception]) -> None:
        try:
            answers.append(self._ask(question))
        except Exception as error:  # noqa: BLE001 whatever it is, it is raised where the question was asked
            errors.append(error)
