"""A job that reports each product's counts every hour, for plots, and its checks, also when nothing is validated."""

from collections.abc import Iterator

from dagster import (
    DefaultScheduleStatus,
    JobDefinition,
    OpExecutionContext,
    Output,
    ScheduleDefinition,
    in_process_executor,
    job,
    op,
)

from ops.running.asset_reports import ProductAssets, Report, observations, verdicts
from resources import tags
from resources.settings import settings
from resources.validations.standing import standing_of

EVERY_HOUR = "0 * * * *"


def product_counts(assets: ProductAssets, location: str) -> tuple[JobDefinition, ScheduleDefinition]:
    """The job `report_product_counts` of a location, and its schedule, which is on."""

    @op(required_resource_keys={"database"})
    def report_counts(context: OpExecutionContext) -> Iterator[Output[None] | Report]:
        """Report how the subscriptions of each product stand: by status, and by the result of their validation."""
        if not settings().report_assets:
            context.log.info("REPORT_ASSETS is false: nothing is reported.")
        else:
            with context.resources.database.transaction(read_only=True):
                standing = standing_of(assets.keys)
            yield from observations(assets, standing)
            yield from verdicts(assets, standing)
        yield Output(None)

    @job(
        executor_def=in_process_executor,
        description=str(report_counts.description),
        tags={tags.LOCATION: location},  # retention removes its old runs
    )
    def report_product_counts() -> None:
        report_counts()

    schedule = ScheduleDefinition(
        name="report_product_counts_schedule",
        job_name=report_product_counts.name,
        cron_schedule=EVERY_HOUR,
        default_status=DefaultScheduleStatus.RUNNING,
        description="Report the counts of each product, every hour, so that Dagster's page plots them.",
    )
    return report_product_counts, schedule
