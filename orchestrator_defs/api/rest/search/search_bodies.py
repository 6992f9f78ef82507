"""The bodies and answers of searches."""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orchestrator_defs.api.rest.fields import Shape, Text, UnixTime
from resources.searches.aggregation import Measure, Operation, Period
from resources.searches.hits import Found, Search
from resources.searches.saved_queries import search_of

Path = Annotated[Text, Field(min_length=1, max_length=500, examples=["subscription.product.name"])]


class SearchKind(StrEnum):
    """What can be searched."""

    SUBSCRIPTIONS = "subscriptions"
    PROCESSES = "processes"
    PRODUCTS = "products"
    WORKFLOWS = "workflows"


class OrderBy(BaseModel):
    """The order of the hits."""

    model_config = ConfigDict(extra="forbid")

    element: Path
    direction: Literal["asc", "desc", "ASC", "DESC"] = "asc"


class Query(BaseModel):
    """What is searched for; all of it must fit."""

    model_config = ConfigDict(extra="forbid")

    query: Text | None = Field(
        None, max_length=512, description="in the query language", examples=["ams1 status:active"]
    )
    filters: Any = Field(
        None,
        description="`bool`, `term`, `range` … as Elasticsearch's, or `op` and `children` with `path` and `condition`",
        examples=[{"bool": {"must": [{"term": {"subscription.status": "active"}}]}}],
    )
    retriever: Text | None = Field(
        None, max_length=20, description="`fuzzy` finds similar words if pg_trgm is installed"
    )
    response_columns: list[Path] = Field([], max_length=50, description="the paths that each hit shows")
    order_by: OrderBy | None = Field(None, description="by default the newest first")

    def search(self, kind: str) -> Search:
        """The search of these values."""
        return search_of(kind, self.model_dump())


class SearchBody(Query):
    """A search for a page of hits."""

    limit: int | None = Field(None, ge=1, le=1000, description="by default 10, or that of the page before")


class MatchingField(BaseModel):
    """A text in which a word of the query stands."""

    text: str
    path: str
    highlight_indices: list[tuple[int, int]] = Field(description="from and behind")


class Hit(BaseModel):
    """An entry that was found."""

    entity_id: UUID
    entity_type: str = Field(examples=["SUBSCRIPTION"])
    entity_title: str
    score: float
    perfect_match: int = Field(description="1 when the query is the title")
    matching_fields: list[MatchingField]
    response_columns: dict[str, Any] = Field(description="exactly the asked paths")


class PageInfo(BaseModel):
    """Whether there is more."""

    has_next_page: bool
    next_page_cursor: str | None


class SearchMetadata(BaseModel):
    """How it was searched."""

    search_type: str = Field(examples=["structured"])
    description: str


class Cursor(BaseModel):
    """Which part of the whole this is; null when it is empty."""

    total_items: int
    start_cursor: int | None
    end_cursor: int | None


class Hits(BaseModel):
    """A page of hits."""

    data: list[Hit]
    page_info: PageInfo
    search_metadata: SearchMetadata
    cursor: Cursor

    @classmethod
    def of(cls, found: Found, asked: Query) -> Self:
        """The page as clients read it."""
        how = "structured", "Filters only."
        if asked.query:
            how = "text", "Words are found by their beginnings."
            if asked.retriever == "fuzzy":
                how = "text", "Words are found by their beginnings: the server has no pg_trgm for similar ones."
        if found.is_fuzzy:
            how = "fuzzy", "Similar titles are found, too (pg_trgm)."
        last = found.first + len(found.hits) - 1
        return cls(
            data=[Hit(**hit) for hit in found.hits],
            page_info=PageInfo(has_next_page=found.cursor is not None, next_page_cursor=found.cursor),
            search_metadata=SearchMetadata(search_type=how[0], description=how[1]),
            cursor=Cursor(
                total_items=found.total,
                start_cursor=found.first if found.hits else None,
                end_cursor=last if found.hits else None,
            ),
        )


class MeasureBody(BaseModel):
    """A number to compute; `field` may only be left out of a count."""

    model_config = ConfigDict(extra="forbid")

    type: Operation
    field: Path | None = None


class PeriodBody(BaseModel):
    """A moment by whose periods, in UTC, is grouped."""

    model_config = ConfigDict(extra="forbid")

    field: Path = Field(examples=["subscription.start_date"])
    period: Period


class AggregateBody(Query):
    """What is counted and summed of all that is found."""

    aggregations: list[MeasureBody] = Field([], max_length=10)
    group_by: list[Path] = Field([], max_length=5)
    temporal_group_by: list[PeriodBody] = Field([], max_length=2)
    limit: int = Field(1000, ge=1, le=10_000)

    @property
    def measures(self) -> list[Measure]:
        """The numbers to compute."""
        return [Measure(one.type, one.field) for one in self.aggregations]


class Group(BaseModel):
    """A group: `count` of its entries, and `type_field` for each measure; exact numbers are texts."""

    group_values: dict[str, Any] = Field(examples=[{"subscription.product.name": "Port 10G"}])
    aggregations: dict[str, Any] = Field(examples=[{"count": 3, "sum_version": "9"}])


class Groups(BaseModel):
    """All groups, up to the limit."""

    results: list[Group]
    total: int = Field(description="how many groups there are here")


class SavedBody(BaseModel):
    """A search to keep. One of yours with the same name is replaced."""

    model_config = ConfigDict(extra="forbid")

    name: Text = Field(min_length=1, max_length=255, examples=["Ports out of sync"])
    kind: SearchKind
    parameters: Query
    is_shared: bool = Field(False, description="whether all may see it")

    @model_validator(mode="after")
    def _of_bounded_size(self) -> Self:
        if len(self.parameters.model_dump_json()) > 100_000:
            raise ValueError("the search is longer than 100,000 characters")
        return self


class Saved(Shape):
    """A search that is kept."""

    query_id: UUID
    name: str
    kind: SearchKind
    parameters: dict[str, Any]
    is_shared: bool
    created_by: str
    created_at: UnixTime


class Leaf(BaseModel):
    """A value by which is filtered, and the paths where it is."""

    name: str = Field(examples=["site"])
    ui_types: list[str]
    paths: list[str]


class Paths(BaseModel):
    """What may be named in filters."""

    leaves: list[Leaf]
    components: list[Leaf]
