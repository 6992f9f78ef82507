"""Failures that Dagster shows as one sentence, without a stack trace: for what people can put right by themselves."""

from collections.abc import Mapping
from itertools import dropwhile
from pathlib import Path
from traceback import TracebackException
from typing import Any

from click import ClickException
from dagster import DagsterInvalidConfigError, Failure, MetadataValue

# Dagster shows an error of this class by the messages that it carries, which have no stack when we make them. It prints
# a stack trace of any other exception, also of a Failure.
from dagster._core.errors import DagsterUserCodeProcessError
from dagster_shared.error import SerializableErrorInfo

FLOOR = Path(__file__).parents[2] / "ops"
ENGINE = (str(FLOOR / "running"), str(FLOOR / "steps"))
"""Where the frames between Dagster's and those of a step's function are."""


class Refusal(Failure, DagsterUserCodeProcessError):
    """A failure of a step that is a sentence, and is not retried.

    With the `bug` that caused it, it shows where that was raised: the frames of the step's own code, without ours.
    """

    def __init__(
        self,
        sentence: str,
        metadata: Mapping[str, MetadataValue[Any]] | None = None,
        bug: BaseException | None = None,
    ) -> None:
        shown = SerializableErrorInfo(sentence, [], None)
        if bug is not None:
            raised = TracebackException.from_exception(bug)
            own = list(dropwhile(lambda frame: frame.filename.startswith(ENGINE), raised.stack))
            raised.stack[:] = own or raised.stack
            found = SerializableErrorInfo.from_traceback(raised)
            shown = SerializableErrorInfo(sentence, found.stack, None, found.cause)
        DagsterUserCodeProcessError.__init__(self, sentence, user_code_process_error_infos=[shown])  # type: ignore[no-untyped-call]
        self.description, self.metadata, self.allow_retries = sentence, dict(metadata or {}), False


class InvalidRunConfig(DagsterInvalidConfigError, DagsterUserCodeProcessError, ClickException):  # type: ignore[misc]
    """A run config that cannot be used: refused before there is a run, also by Dagster's commands as one sentence."""

    def __init__(self, sentence: str, config: Any) -> None:
        shown = SerializableErrorInfo(sentence, [], None)
        DagsterUserCodeProcessError.__init__(self, sentence, user_code_process_error_infos=[shown])  # type: ignore[no-untyped-call]
        self.errors, self.error_messages, self.config_value = [], [sentence], config
