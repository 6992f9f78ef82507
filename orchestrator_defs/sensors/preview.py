"""Whether an evaluation is only looked at: then a sensor or schedule that may write writes nothing."""

from dagster import ScheduleEvaluationContext, SensorEvaluationContext


def is_preview(context: SensorEvaluationContext | ScheduleEvaluationContext) -> bool:
    """Whether this is a preview: `dagster sensor preview`, "test evaluation" on Dagster's page, or a unit test.

    The daemon names the log of an evaluation by the number of its tick. Without a tick Dagster names it by the time,
    with an underscore, or not at all.
    """
    key = context.log_key
    return not key or not key[-1].isdecimal()
