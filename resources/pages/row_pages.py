"""Pages of rows that may be very many: all of them, those of many holders at once, and single ones by their ids."""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from resources.database.session import current_session
from resources.database.tables import Table
from resources.domain.models.shapes import camel
from resources.figures.totals import Counted, total
from resources.pages.selection import CAPPED_AT, Line, ListQuery, Selection, Total, page_info, page_of
from resources.subscriptions.list_fields import Column, Condition, ListFields
from resources.subscriptions.lists import FOR_EACH, page_ids


class RowPages(ABC):
    """Reads rows of one table, each page in one statement, whose ids are cut before anything is joined."""

    def __init__(
        self, key: Any, fields: ListFields, newest: Any, beside: Mapping[type[Table], Condition], counted: Counted
    ) -> None:
        """`newest` is the order of a list that is not sorted, `beside` are tables by whose columns it may be, too."""
        self.key, self.fields, self.newest, self.beside, self.counted = key, fields, newest, beside, counted

    @abstractmethod
    def lines(
        self,
        page: sa.Subquery,
        selection: Selection,
        order: Sequence[Column] = (),
        extra: Sequence[Column] = (),
        where: Sequence[Condition] = (),
    ) -> Iterable[tuple[Line, Sequence[Any]]]:
        """The selected columns of the rows whose ids are in a page, and the values of extra columns."""

    @abstractmethod
    def fill(self, lines: Sequence[Line], selection: Selection) -> None:
        """Add to lines what belongs to their rows."""

    def page(self, selection: Selection) -> Line:
        """One page of all rows. Raises InvalidQuery."""
        query = ListQuery.of(selection.arguments)
        where, order = self._conditions(query), self._order(query)

        def rows(limit: int) -> list[Line]:
            cut = page_ids(self.key, where, order, limit=limit, offset=query.after, beside=self.beside)
            found = [line for line, _ in self.lines(cut, selection.under("page"), order)]
            self.fill(found[: query.first], selection.under("page"))
            return found

        return page_of(selection, query, self.fields, rows=rows, count=lambda: self._count(query, where))

    def by_id(self, ids: Collection[UUID], selection: Selection) -> dict[UUID, Line]:
        """Rows by their ids; those that are missing are left out."""
        chosen = sa.select(self.key).where(self.key.in_(ids)).subquery("page")
        lines = [line for line, _ in self.lines(chosen, selection)]
        self.fill(lines, selection)
        return {line["_id"]: line for line in lines}

    def of_parents(
        self, holders: Mapping[Any, list[Line]], selection: Selection, source: Column, joined: sa.FromClause
    ) -> None:
        """Lay a page of rows into each holder. `joined` has the rows with the id of their holder, in `source`.

        One statement reads the pages of all.
        """
        query = ListQuery.below(selection.arguments, len(holders))
        where = [source.in_(list(holders)), *self._conditions(query)]
        totals: dict[Any, int] = {}
        lines: dict[Any, list[Line]] = defaultdict(list)
        if "page" not in selection:
            counts = sa.select(source, sa.func.count()).select_from(joined).where(*where).group_by(source)
            totals = {row[0]: row[1] for row in current_session().execute(counts)}
        else:
            order = self._order(query)
            at = sa.func.row_number().over(partition_by=source, order_by=(*order, self.key))
            total = sa.func.count().over(partition_by=source)
            ranked = sa.select(self.key, source.label("source"), total.label("total"), at.label("at"))
            cut = self._with_beside(ranked.select_from(joined).where(*where), order).subquery("page")
            shown = cut.c.at.between(query.after + 1, query.after + query.first)
            extra = (cut.c.source, cut.c.total, cut.c.at)
            for line, (holder, number, place) in self.lines(
                cut, selection.under("page"), [cut.c.at], extra, [sa.or_(shown, cut.c.at == 1)]
            ):
                totals[holder] = number  # also from the first one when the page lies behind the end
                if query.after < place <= query.after + query.first:
                    lines[holder].append(line)
            self.fill([line for each in lines.values() for line in each], selection.under("page"))
        for holder, each in holders.items():
            of = totals.get(holder, 0)
            number = min(max(of - query.after, 0), query.first)
            info = page_info(query, number, query.after + number < of, Total(of), self.fields)
            for one in each:
                one[selection.place] = {"page": lines.get(holder, []), "pageInfo": info}

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
