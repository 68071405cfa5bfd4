"""Which key of a shop's own log rows is which field, by its name: told from the structure of all rows.

Names are compared without case, accents, blanks and marks. A name with a dot
is a key and the one around it (``user.id``); others may lie at any depth, the outermost first.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from features.sql_text import quoted

FIELDS: Mapping[str, Sequence[str]] = {
    "time": ("timestamp", "@timestamp", "eventtime", "eventtimestamp", "ts", "datetime", "time", "createdat",
             "created", "occurredat", "loggedat", "receivedat", "servertime", "clienttime", "searchtime",
             "searchedat", "querytime", "clicktime", "clickedat", "at", "when", "eventdate", "zeit", "zeitstempel",
             "zeitpunkt", "dateheure", "fechahora", "uhrzeit", "hora", "heure", "fecha", "datum", "jour", "date"),
    "query": ("userquery", "querytext", "searchquery", "searchterm", "searchterms", "searchtext", "searchstring",
              "searchphrase", "searchkeyword", "searchkeywords", "keyword", "keywords", "query", "q", "query.text",
              "search.text", "search.query", "search.term", "search.q", "params.q", "term", "terms", "phrase",
              "rawquery", "querystring", "search", "suchbegriff", "suchwort", "suche",
              "suchanfrage", "recherche", "terme", "motcle", "busqueda", "termino", "palabrasclave", "ricerca",
              "zoekterm"),
    "action": ("actionname", "action", "eventname", "eventtype", "event", "actiontype", "eventaction", "activity",
               "interaction", "interactiontype", "behavior", "behaviour", "behaviortype", "type", "event.name",
               "event.type", "evt", "aktion", "ereignis", "accion", "evento", "evenement", "azione", "actie"),
    "item": ("itemid", "productid", "objectid", "sku", "articleid", "asin", "item.id", "product.id", "product.sku",
             "item.sku", "object.id", "docid", "documentid", "goodsid", "productcode", "itemcode", "productsku",
             "itemsku", "articlenumber", "artikelnummer", "offerid", "listingid", "resultid", "item", "product",
             "article", "pid", "artnr", "artikelnr", "artikel", "produkt", "produktid", "producto", "productoid",
             "idproducto", "referencia", "produit", "produitid", "prodotto", "items", "products", "productids",
             "itemids", "skus", "cart.items", "order.items", "lineitems", "orderlines"),
    "results": ("results", "resultids", "hits", "hitids", "docs", "documents", "queryresponsehitids", "returned",
                "returnedids", "shown", "shownids", "shownitems", "shownproducts", "displayed", "displayedids",
                "impressions", "impressionids", "resultitems", "searchresults", "response.docs", "hits.hits",
                "response", "productids", "itemids", "skus", "products", "items"),
    "clicked": ("clicked", "clicks", "clickedid", "clickedids", "clickeditem", "clickeditems", "clickeditemid",
                "clickeditemids", "clickedproduct", "clickedproducts", "productclicked", "productsclicked",
                "itemclicked", "itemsclicked", "clickedproductid", "clickedproductids", "clickedsku",
                "clickedskus", "clickeddocs", "clickedresult", "clickedresults"),
    "ordered": ("ordered", "purchased", "bought", "ordereditems", "purchaseditems", "boughtitems", "orderedids",
                "purchasedids", "purchasedproducts", "purchasedskus", "orderedskus"),
    "position": ("position", "positionordinal", "rank", "pos", "ordinal", "slot", "clickposition", "resultposition",
                 "clickrank", "resultrank", "itemposition", "index", "itemlistindex",
                 "listposition", "platz", "rang", "posicion"),
    "query_id": ("queryid", "searchid", "searchuuid", "queryuuid", "searchrequestid", "requestid", "query.id",
                 "search.id", "responseid", "qid"),
    "user": ("userid", "customerid", "memberid", "accountid", "loginid", "user.id", "customer.id", "uid", "user",
             "customer", "kundennummer", "kundennr", "kunde", "benutzer", "nutzer", "usuario", "usuarioid", "cliente",
             "clienteid", "utilisateur", "utente"),
    "client": ("clientid", "visitorid", "anonymousid", "deviceid", "cookieid", "browserid", "visitor.id", "guestid",
               "anonid", "visitor", "cookie", "fullvisitorid", "device.id", "userpseudoid",
               "besucher", "besucherid", "visitante", "visiteur"),
    "session": ("sessionid", "visitid", "session.id", "sessionkey", "sid", "session", "visit", "gasessionid",
                "idvisit", "sitzung", "sitzungsid", "sesion", "sesionid"),
    "order_id": ("orderid", "transactionid", "order.id", "ordernumber", "receiptid"),
    "event_id": ("eventid", "eventuuid", "messageid", "logid"),
    "agent": ("useragent", "agent", "browser"),
}  # fmt: skip
"""Field -> names of keys that hold it, best first."""
CLOCKS = frozenset({"time", "uhrzeit", "hora", "heure"})
DAYS = frozenset({"date", "eventdate", "datum", "fecha", "jour"})
"""Columns of a time of day and of a day, which together are a time."""
_LISTS = frozenset({"results", "clicked", "ordered"})
"""Fields that one row may have many of."""
MOST_KEYS = 3
"""Keys that one field is read from: what a row lacks in the first is in the next."""
_DEPTH = 4


@dataclass(frozen=True)
class Key:
    """A key of the rows."""

    path: tuple[str, ...]
    """Its name, and those of the objects around it, outermost first."""
    kind: str
    """``list``, ``object`` or ``scalar``."""
    inner: tuple[str, ...] = ()
    """Of a list of objects, their names."""
    packed: bool = False
    """Whether the outermost key holds JSON as text."""

    @property
    def value(self) -> str:
        """SQL of its value, JSON, over a column ``body``."""
        if self.packed:
            return f"json_extract(opened(json_extract(body, {_json_path(self.path[:1])})), {_json_path(self.path[1:])})"
        return f"json_extract(body, {_json_path(self.path)})"

    @property
    def spelt(self) -> tuple[str, ...]:
        """The names in the one spelling."""
        return tuple(spelling(name) for name in self.path)

    @property
    def told(self) -> str:
        """As people write it."""
        return ".".join(self.path)


def spelling(name: str) -> str:
    """A name without case, accents, blanks and marks: ``"Date/Time"`` is ``"datetime"``."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    return "".join(c for c in letters if c.isalnum() or c in ".@")


def _json_path(names: Sequence[str]) -> str:
    escaped = (name.replace("\\", "\\\\").replace('"', '\\"') for name in names)
    return quoted("$" + "".join(f'."{name}"' for name in escaped))


def keys_of(structure: str, around: Key | None = None) -> list[Key]:
    """The keys in what DuckDB's ``json_group_structure`` tells of rows, the outermost first.

    Args:
        structure: What it tells.
        around: The key that holds them as JSON in a text.
    """
    found = _walk(json.loads(structure), around.path if around else ())
    return sorted((replace(key, packed=around is not None) for key in found), key=lambda key: len(key.path))


def _walk(structure: Any, around: tuple[str, ...]) -> Iterator[Key]:
    if not isinstance(structure, dict):
        return
    for name, inner in structure.items():
        path = (*around, name)
        held = tuple(inner[0]) if isinstance(inner, list) and inner and isinstance(inner[0], dict) else ()
        yield Key(path, "object" if isinstance(inner, dict) else "list" if isinstance(inner, list) else "scalar", held)
        if isinstance(inner, dict) and len(path) < _DEPTH:
            yield from _walk(inner, path)


def assign_keys(keys: Sequence[Key], given: Mapping[str, str]) -> dict[str, list[Key]]:
    """Field -> the keys that it is read from, best first; each key is of one field, ``results`` and ``item`` apart.

    Args:
        keys: Those of the rows.
        given: Field -> a key by its dotted name, which alone is of the field.

    Raises:
        KeyError: there is no key of a given name; with that name.
    """
    by_name = {key.told.casefold(): key for key in keys}
    chosen: dict[str, list[Key]] = {}
    for field, name in given.items():
        if name.casefold() not in by_name:
            raise KeyError(name)
        chosen[field] = [by_name[name.casefold()]]
    taken = {key.path for listed in chosen.values() for key in listed}
    for field, names in FIELDS.items():
        if field in chosen:
            continue
        shared = field in ("results", "item")
        found = [key for key in _named(keys, names) if _fits(field, key) and (shared or key.path not in taken)]
        if found:
            chosen[field] = found[:MOST_KEYS]
            taken |= set() if shared else {key.path for key in chosen[field]}
    return chosen


def _named(keys: Sequence[Key], names: Sequence[str]) -> list[Key]:
    found: dict[tuple[str, ...], Key] = {}
    for name in names:
        parts = tuple(name.split("."))
        for key in keys:
            if key.spelt[-len(parts) :] == parts:
                found.setdefault(key.path, key)
    return list(found.values())


def _fits(field: str, key: Key) -> bool:
    """Whether a key of this type may hold the field: an object is no text, and a list no single id."""
    if field in _LISTS:
        return key.kind != "object"
    if field == "item":
        return key.kind != "object" or key.spelt[-1] in ("item", "product", "article")
    return key.kind == "scalar"
