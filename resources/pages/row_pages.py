"""Pages of rows that may be very many: all of them, those of many holders at once, and single ones by their ids."""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

import sqlalchemy as sa

from resources.database.session import current_session
from resources.database.tables import Table
from resources.domain.models.shapes import camel
from resources.figures.totals import Counted, total
from resources.pages.selection import CAPPED_AT, Line, ListQuery, Selection, Total, page_info, page_of
from resources.subscriptions.list_fields import Column, Condition, ListFields
from resources.subscriptions.lists import FOR_EACH, page_ids

Reading: TypeAlias = tuple[sa.Select[*tuple[Any, ...]], Callable[[Sequence[Any]], tuple[Line, Sequence[Any]]]]
"""A statement, and what makes of one of its rows a line and the values of extra columns."""
HOLDERS = "holders"
MOST_KEPT = 500


@dataclass(frozen=True, eq=False)
class Link:
    """Where the rows of holders are: `joined` has them with the id of their holder, in `source`."""

    source: Column
    joined: sa.FromClause


class RowPages(ABC):
    """Reads rows of one table, each page in one statement, whose ids are cut before anything is joined."""

    def __init__(
        self, key: Any, fields: ListFields, newest: Any, beside: Mapping[type[Table], Condition], counted: Counted
    ) -> None:
        """`newest` is the order of a list that is not sorted, `beside` are tables by whose columns it may be, too."""
        self.key, self.fields, self.newest, self.beside, self.counted = key, fields, newest, beside, counted
        self._kept: dict[Any, Reading] = {}

    @abstractmethod
    def reading(
        self,
        page: sa.Subquery,
        selection: Selection,
        order: Sequence[Column] = (),
        extra: Sequence[Column] = (),
        where: Sequence[Condition] = (),
    ) -> Reading:
        """What reads the selected columns of the rows whose ids are in a page, and extra columns."""

    @abstractmethod
    def fill(self, lines: Sequence[Line], selection: Selection) -> None:
        """Add to lines what belongs to their rows."""

    def page(self, selection: Selection) -> Line:
        """One page of all rows. Raises InvalidQuery."""
        query = ListQuery.of(selection.arguments)
        where, order = self._conditions(query), self._order(query)

        def rows(limit: int) -> list[Line]:
            def make() -> Reading:
                cut = page_ids(self.key, where, order, limit=limit, offset=query.after, beside=self.beside)
                return self.reading(cut, selection.under("page"), order)

            found = [line for line, _ in self._read(limit, query, selection.under("page"), make)]
            self.fill(found[: query.first], selection.under("page"))
            return found

        return page_of(selection, query, self.fields, rows=rows, count=lambda: self._count(query, where))

    def by_id(self, ids: Collection[UUID], selection: Selection) -> dict[UUID, Line]:
        """Rows by their ids; those that are missing are left out."""
        chosen = sa.select(self.key).where(self.key.in_(ids)).subquery("page")
        statement, line_of = self.reading(chosen, selection)
        lines = [line_of(row)[0] for row in current_session().connection().execute(statement)]
        self.fill(lines, selection)
        return {line["_id"]: line for line in lines}

    def of_parents(self, holders: Mapping[Any, list[Line]], selection: Selection, link: Link) -> None:
        """Lay a page of rows into each holder. One statement reads the pages of all."""
        query, wanted = ListQuery.below(selection.arguments, len(holders)), selection.under("page")
        where = [link.source.in_(sa.bindparam(HOLDERS, expanding=True)), *self._conditions(query)]
        given = {HOLDERS: list(holders)}
        totals: dict[Any, int] = {}
        lines: dict[Any, list[Line]] = defaultdict(list)
        if "page" not in selection:
            counts = sa.select(link.source, sa.func.count()).select_from(link.joined).where(*where)
            rows = current_session().connection().execute(counts.group_by(link.source), given)
            totals = {row[0]: row[1] for row in rows}
        else:

            def make() -> Reading:
                order = self._order(query)
                at = sa.func.row_number().over(partition_by=link.source, order_by=(*order, self.key))
                total = sa.func.count().over(partition_by=link.source)
                ranked = sa.select(self.key, link.source.label("source"), total.label("total"), at.label("at"))
                cut = self._with_beside(ranked.select_from(link.joined).where(*where), order).subquery("page")
                shown = cut.c.at.between(query.after + 1, query.after + query.first)
                extra = (cut.c.source, cut.c.total, cut.c.at)
                return self.reading(cut, wanted, [cut.c.at], extra, [sa.or_(shown, cut.c.at == 1)])

            for line, (holder, number, place) in self._read(link, query, wanted, make, given):
                totals[holder] = number  # also from the first one when the page lies behind the end
                if query.after < place <= query.after + query.first:
                    lines[holder].append(line)
            self.fill([line for each in lines.values() for line in each], wanted)
        for holder, each in holders.items():
            of = totals.get(holder, 0)
            number = min(max(of - query.after, 0), query.first)
            info = page_info(query, number, query.after + number < of, Total(of), self.fields)
            for one in each:
                one[selection.place] = {"page": lines.get(holder, []), "pageInfo": info}

    def _read(
        self, what: Any, query: ListQuery, wanted: Selection, make: Callable[[], Reading], given: Any = None
    ) -> list[tuple[Line, Sequence[Any]]]:
        """Read with a statement, which is kept: to compose one takes as long as to execute it.

        Those with conditions are not kept, because a condition may be of this moment, as an age is.
        """
        if query.filters or query.text.strip():
            statement, line_of = make()
        else:
            part = (query.first, query.after, tuple(map(tuple, query.sort)))
            key = (what, part, tuple(wanted.below), tuple(wanted.under("product").below))
            if key not in self._kept:
                if len(self._kept) >= MOST_KEPT:
                    self._kept.clear()
                self._kept[key] = make()
            statement, line_of = self._kept[key]
        return [line_of(row) for row in current_session().connection().execute(statement, given)]

    def _conditions(self, query: ListQuery) -> list[Condition]:
        return [self.fields.search(query.text), *self.fields.conditions(query.filters)]

    def _order(self, query: ListQuery) -> list[Any]:
        return [*self.fields.ordering(query.sort)] or [self.newest]

    def _with_beside(self, statement: sa.Select[Any], order: Iterable[Any]) -> sa.Select[Any]:
        asked = sa.select(*order).columns_clause_froms
        for table, condition in self.beside.items():
            if table.__table__ in asked:
                statement = statement.join(table, condition, isouter=table not in FOR_EACH)
        return statement

    def _count(self, query: ListQuery, where: Sequence[Condition]) -> Total:
        """Exact where counts are kept or an index counts; the rows with some words are counted so far only."""
        if not query.text.strip():
            if (kept := total(self.counted, where)) is not None:
                return Total(kept)
            # Not of the key, which the index that answers need not have.
            rows = sa.select(sa.func.count()).select_from(self.key.table).where(*where)
            return Total(current_session().scalar(rows) or 0)
        some = sa.select(self.key).where(*where).limit(CAPPED_AT).subquery()
        found = current_session().scalar(sa.select(sa.func.count()).select_from(some)) or 0
        return Total(found, is_exact=found < CAPPED_AT)


def columns_of(table: type[Any], without: str = "") -> dict[str, Any]:
    """The columns of a table by the names that clients use."""
    left_out = without.split()
    return {camel(one.key): getattr(table, one.key) for one in table.__table__.c if one.key not in left_out}


def worded(status: Any) -> Any:
    """A status in upper case, in one word."""
    return sa.func.upper(sa.func.replace(status, " ", "_"))


def by_holder(lines: Iterable[Line], key: str = "_id") -> dict[Any, list[Line]]:
    """The lines of each id."""
    holders: dict[Any, list[Line]] = defaultdict(list)
    for line in lines:
        holders[line[key]].append(line)
    return holders
